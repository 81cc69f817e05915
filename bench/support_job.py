"""The support job, four model calls and one tool call, governed and as LangGraph's own packages would have it.

Ours stands with all that it does for the job: five contracts or so that look for card numbers and credentials, a budget
and a record for each model call, a policy for the tool call. Durable means on both sides a checkpoint of each step that
is on disk before the next one begins (`sync`, WAL, full fsync). Models are offline and answer at once.

    python -m bench.support_job     # about a minute on a quiet machine
    python -m bench.support_job 5   # five rounds
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import Callable
from contextlib import AsyncExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import orjson
from edgewright import System
from langchain_core.messages import HumanMessage
from rich.console import Console

from bench.fanout import Saver, on_a_new_thread, stock_saver
from bench.pairs import Job, Times, outside, paired, table_of
from bench.rounds import Run
from bench.support_desk import EXPECTED, REQUEST, Desk, pipeline, supervisor, swarm
from bench.support_plain import Built, agent_as_tool, answer_of, by_supervisor, by_swarm, raw

ROUNDS = 21
BASE = "raw LangGraph"
PLAIN: dict[str, tuple[Callable[[Desk], Built], str]] = {
    BASE: (raw, ""),
    "create_agent, agent as tool": (agent_as_tool, ""),
    "langgraph-supervisor": (by_supervisor, "langgraph_supervisor"),
    "langgraph-swarm": (by_swarm, "langgraph_swarm"),
}
"""Each baseline, and the package that it takes."""
OURS = {"ours, Supervisor": supervisor, "ours, Pipeline": pipeline, "ours, Swarm": swarm}


def left_out() -> list[str]:
    """The baselines whose package is not there."""
    return [name for name, (_, package) in PLAIN.items() if package and find_spec(package) is None]


def _plain(built: Built, desk: Desk, saver: Saver) -> Run:
    graph, said = built(saver), orjson.dumps(REQUEST).decode()

    async def run() -> tuple[str, int, int]:
        config: dict[str, Any] = on_a_new_thread(saver)
        return desk.done(answer_of(await graph.ainvoke({"messages": [HumanMessage(said)]}, **config)))

    return outside(run)


def _gated(system: System, desk: Desk) -> Run:
    async def run() -> tuple[str, int, int]:
        return desk.done(str(((await system.arun(REQUEST)).output or {})["text"]))

    return run


async def measure(rounds: int, *, durable: bool) -> dict[str, Times]:
    """Milliseconds per job."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        saver: Saver = None
        if durable:
            saver = await stack.enter_async_context(stock_saver(folder / "plain.db"))
        runs: dict[str, Run] = {}
        for name, (build, _) in PLAIN.items():
            if name not in left_out():
                desk = Desk()
                runs[name] = _plain(build(desk), desk, saver)
        for name, make in OURS.items():
            desk = Desk()
            system = make(desk, folder / name if durable else None)
            stack.callback(system.close)
            runs[name] = _gated(system, desk)
        return await paired({name: Job(run, EXPECTED) for name, run in runs.items()}, rounds)


def show(rounds: int = ROUNDS) -> None:
    """Print the tables."""
    console = Console(width=120)
    for durable in (False, True):
        found = asyncio.run(measure(rounds, durable=durable))
        how = "each step durable" if durable else "nothing durable"
        title = f"The support job, 4 model calls and 1 tool call, {how} (median of {rounds} paired rounds)"
        console.print(table_of(title, found, dict.fromkeys(found, BASE)))
    for name in left_out():
        console.print(f"{name} is left out: it is not installed (it is in the dependency group `bench`)")


if __name__ == "__main__":
    show(*map(int, sys.argv[1:2]))

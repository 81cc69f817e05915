"""What a team costs per turn: three agents in a line, flat, as a team, and as a team in a team.

Beside it the same three functions as a plain LangGraph graph, as a graph inside a node, and as one inside that. A team
adds a graph of its own, a contract at each of its two ends, and the start and the end of its turn on record.

    python -m bench.nested          # about a minute on a quiet machine
    python -m bench.nested 5        # five rounds
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
from contextlib import AsyncExitStack
from itertools import pairwise
from pathlib import Path
from typing import Any, TypedDict

from edgewright import Agent, Contract, Never, Pipeline, System
from langgraph.graph import END, START, StateGraph
from pydantic import BaseModel
from rich.console import Console

from bench.fanout import Saver, on_a_new_thread, stock_saver
from bench.pairs import Found, Job, Times, outside, paired, table_of
from bench.rounds import Run

ROUNDS, STAGES = 21, 3
LEVELS = ("flat", "in a team", "in a team in a team")
REQUEST = {"text": "The internet is slow. " * 8, "steps": 0}


class Work(BaseModel):
    """What crosses."""

    text: str
    steps: int


class State(TypedDict):
    """State of the plain graphs."""

    text: str
    steps: int


WORK = Contract(Work, version=1, never=Never(detectors=("card_number", "secret")))


async def step(work: Any) -> dict[str, Any]:
    """What every agent does."""
    return {"text": work["text"], "steps": work["steps"] + 1}


def governed(levels: int, home: Path | None) -> System:
    """Three agents, inside of so many teams."""
    stages = [Agent(f"agent_{i}", version=1, function=step) for i in range(STAGES)]
    line = Pipeline(stages=stages, contracts=[WORK] * (STAGES + 1))
    for level in range(levels):
        line = Pipeline(stages=[Agent(f"team_{level}", version=1, team=line)], contracts=[WORK, WORK])
    return System("nest", version=1, topology=line, home=home)


def plain(levels: int, saver: Saver) -> Any:
    """Three nodes, inside of so many graphs."""
    graph: StateGraph[Any, Any, Any, Any] = StateGraph(State)
    names = [f"agent_{i}" for i in range(STAGES)]
    for name in names:
        node: Any = step
        graph.add_node(name, node)
    for source, target in zip([START, *names], [*names, END], strict=True):
        graph.add_edge(source, target)
    for level in range(levels):
        around: StateGraph[Any, Any, Any, Any] = StateGraph(State)
        around.add_node(f"team_{level}", graph.compile())
        around.add_edge(START, f"team_{level}")
        around.add_edge(f"team_{level}", END)
        graph = around
    return graph.compile(checkpointer=saver)


def _sending(levels: int, saver: Saver) -> Run:
    graph = plain(levels, saver)

    async def run() -> int:
        config: dict[str, Any] = on_a_new_thread(saver)
        return int((await graph.ainvoke(dict(REQUEST), **config))["steps"])

    return outside(run)


def _gated(system: System) -> Run:
    async def run() -> int:
        return int(((await system.arun(REQUEST)).output or {})["steps"])

    return run


async def measure(rounds: int, *, durable: bool) -> dict[str, Times]:
    """Milliseconds per run."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        saver: Saver = None
        if durable:
            saver = await stack.enter_async_context(stock_saver(folder / "plain.db"))
        runs: dict[str, Run] = {}
        for levels, level in enumerate(LEVELS):
            system = governed(levels, folder / str(levels) if durable else None)
            stack.callback(system.close)
            runs |= {f"plain, {level}": _sending(levels, saver), f"ours, {level}": _gated(system)}
        return await paired({name: Job(run, STAGES) for name, run in runs.items()}, rounds)


def per_team(found: Found, whose: str) -> float:
    """Milliseconds that one more level adds: the median over the rounds of both steps."""
    times = [found[f"{whose}, {level}"].wall for level in LEVELS]
    steps = [b - a for below, above in pairwise(times) for a, b in zip(below, above, strict=True)]
    return statistics.median(steps)


def show(rounds: int = ROUNDS) -> None:
    """Print the tables."""
    console = Console(width=120)
    for durable in (False, True):
        found = asyncio.run(measure(rounds, durable=durable))
        how = "each step durable" if durable else "nothing durable"
        title = f"A line of {STAGES} functions, {how} (median of {rounds} paired rounds)"
        bases = {f"{whose}, {level}": f"{whose}, flat" for whose in ("plain", "ours") for level in LEVELS}
        console.print(table_of(title, found, bases))
        more = {whose: per_team(found, whose) for whose in ("plain", "ours")}
        console.print(
            f"  per level: a graph in a node {more['plain']:.2f} ms, a team {more['ours']:.2f} ms\n", highlight=False
        )


if __name__ == "__main__":
    show(*map(int, sys.argv[1:2]))

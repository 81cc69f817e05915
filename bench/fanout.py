"""What a governed fan-out costs beside LangGraph's own: specialists that are functions, and those that ask models.

Ours is a Supervisor with an aggregator, with all that stands around it: a contract before and behind the branches that
validates each payload and looks for card numbers and credentials, and a record of every crossing, turn and model call.
Beside it stand `Send` and a reducer, agents of `create_agent` in the place of the branches, and an agent whose model
calls all its specialists as tools. Durable means on both sides: a checkpoint of each step that is on disk before the
next one begins (`sync`, WAL, full fsync). Models are offline and answer at once, so all that is left is overhead.

    python -m bench.fanout          # both widths, about four minutes on a quiet machine
    python -m bench.fanout 5        # five rounds
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from uuid import uuid4

from edgewright import System
from edgewright.graphs.home import Home
from langchain_core.messages import HumanMessage
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from rich.console import Console

from bench.fan_jobs import REQUEST, Plain, agents, asked, called, find, governed, sent, specialist, total
from bench.pairs import Job, Times, outside, paired, table_of
from bench.rounds import Run

WIDTHS = (4, 64)
ROUNDS = 15
Saver = BaseCheckpointSaver[Any] | None


@asynccontextmanager
async def stock_saver(path: Path) -> AsyncIterator[AsyncSqliteSaver]:
    """LangGraph's own saver on SQLite, as stock as it comes but as durable as ours: WAL with a full fsync."""
    async with AsyncSqliteSaver.from_conn_string(str(path)) as saver:
        await saver.conn.execute("PRAGMA journal_mode = WAL")
        await saver.conn.execute("PRAGMA synchronous = FULL")
        yield saver


def on_a_new_thread(saver: Saver) -> dict[str, Any]:
    """How a plain graph is invoked: durable over a saver, by itself without."""
    if saver is None:
        return {}
    return {"config": {"configurable": {"thread_id": str(uuid4())}}, "durability": "sync"}


def _sending(graph: Plain, saver: Saver) -> Run:
    compiled: Any = graph.compile(checkpointer=saver)

    async def run() -> int:
        left = await compiled.ainvoke({**REQUEST, "found": [], "total": 0}, **on_a_new_thread(saver))
        return int(left["total"])

    return outside(run)


def _calling(count: int, saver: Saver) -> Run:
    compile_it, added = called(count)
    graph = compile_it(saver)
    said = '{"text": "' + REQUEST["text"] + '"}'

    async def run() -> int:
        config: dict[str, Any] = on_a_new_thread(saver)
        return added(await graph.ainvoke({"messages": [HumanMessage(said)]}, **config))

    return outside(run)


def _gated(system: System) -> Run:
    async def run() -> int:
        return int(((await system.arun(REQUEST)).output or {})["total"])

    return run


FUNCTIONS = {
    "Send, stock saver": "Send, stock saver",
    "Send, our saver": "Send, stock saver",
    "ours, durable": "Send, stock saver",
    "Send, no checkpointer": "Send, no checkpointer",
    "ours, in memory": "Send, no checkpointer",
}
"""Each variant with functions, and its baseline."""
DURABLE, QUICK = "create_agent workers, stock saver", "create_agent workers, no checkpointer"
MODELS = {
    DURABLE: DURABLE,
    "create_agent typed workers, stock saver": DURABLE,
    "create_agent, specialists as tools, stock saver": DURABLE,
    "one call in a Send worker, stock saver": DURABLE,
    "ours, durable": DURABLE,
    "ours, routed by a model, durable": DURABLE,
    QUICK: QUICK,
    "create_agent typed workers, no checkpointer": QUICK,
    "create_agent, specialists as tools, no checkpointer": QUICK,
    "one call in a Send worker, no checkpointer": QUICK,
    "ours, in memory": QUICK,
    "ours, routed by a model, in memory": QUICK,
}
"""Each variant with models, and its baseline."""


async def of_functions(count: int, rounds: int) -> dict[str, Times]:
    """Milliseconds per fan-out to `count` functions."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        stock = await stack.enter_async_context(stock_saver(folder / "plain.db"))
        kept, memory, home = governed("function", count, folder / "ours"), governed("function", count, None), None
        home = Home(folder / "saver")
        for owner in (kept, memory, home):
            stack.callback(owner.close)
        runs = {
            "Send, stock saver": _sending(sent(count, find), stock),
            "Send, our saver": _sending(sent(count, find), await home.saver()),
            "ours, durable": _gated(kept),
            "Send, no checkpointer": _sending(sent(count, find), None),
            "ours, in memory": _gated(memory),
        }
        return await paired({name: Job(run, total(count)) for name, run in runs.items()}, rounds)


async def of_models(count: int, rounds: int) -> dict[str, Times]:
    """Milliseconds per fan-out to `count` specialists that ask a model once each."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        stock = await stack.enter_async_context(stock_saver(folder / "plain.db"))
        runs: dict[str, Run] = {}
        for saver, called_it in ((stock, "stock saver"), (None, "no checkpointer")):
            model, ours = specialist(), "durable" if saver else "in memory"
            by_function = governed("model", count, folder / "function" if saver else None)
            by_model = governed("model", count, folder / "model" if saver else None, routed="model")
            stack.callback(by_function.close)
            stack.callback(by_model.close)
            runs |= {
                f"create_agent workers, {called_it}": _sending(sent(count, agents(model, typed=False)), saver),
                f"create_agent typed workers, {called_it}": _sending(sent(count, agents(model, typed=True)), saver),
                f"create_agent, specialists as tools, {called_it}": _calling(count, saver),
                f"one call in a Send worker, {called_it}": _sending(sent(count, asked(model)), saver),
                f"ours, {ours}": _gated(by_function),
                f"ours, routed by a model, {ours}": _gated(by_model),
            }
        return await paired({name: Job(run, total(count)) for name, run in runs.items()}, rounds)


async def handed_in_parallel(count: int) -> str:
    """How many of `count` parallel handovers a supervisor of langgraph-supervisor carries out."""
    if find_spec("langgraph_supervisor") is None:
        return "langgraph-supervisor is left out: it is not installed (it is in the dependency group `bench`)"
    from bench.support_plain import parallel_handovers

    ran = await parallel_handovers(count)
    return f"langgraph-supervisor is left out: of {count} handovers in one reply it carried out {ran}"


def show(rounds: int = ROUNDS) -> None:
    """Print the tables."""
    console = Console(width=120)
    for count in WIDTHS:
        found = asyncio.run(of_functions(count, rounds))
        title = f"Fan-out to {count} functions, ms per fan-out (median of {rounds} paired rounds)"
        console.print(table_of(title, found, FUNCTIONS, parts=count, part="worker"))
    for count in WIDTHS:
        found = asyncio.run(of_models(count, rounds))
        title = f"Fan-out to {count} specialists of one model call each (median of {rounds} paired rounds)"
        console.print(table_of(title, found, MODELS, parts=count, part="worker"))
    console.print(asyncio.run(handed_in_parallel(WIDTHS[0])), highlight=False)


if __name__ == "__main__":
    show(*map(int, sys.argv[1:2]))

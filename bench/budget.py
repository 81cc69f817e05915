"""What a budget costs: a model call that is reserved and settled, beside the same call that belongs to no run.

A run's own limits are kept in memory, and their records are queued. What it shares with other runs is counted in the
ledger's file (SQLite, full fsync) before the call, in the transaction of the record that reserves; the settlement is
queued again. Calls at once share a commit. The model is the offline one, which answers at once.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from contextvars import Context, copy_context
from pathlib import Path
from typing import Any

from edgewright import Agent, Budget, Contract, OfflineModel, Pipeline, Price, Say, System, ungoverned
from pydantic import BaseModel
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from bench.rounds import Run, measured

BOUND = 60.0
MODEL = OfflineModel("bench", lambda _: Say("Done."), price=Price(input_per_million="3", output_per_million="15"))
OWN = Budget(usd=1000, steps=None, seconds=None)
SHARED = (
    Budget(of="tenant", per="day", usd=1000),
    Budget(of="system", usd=1000),
    Budget(of="thread", usd=1000),
)
BUDGETS = {"a run's own budget": 0, "and one that runs share": 1, "and three that runs share": 3}


class Text(BaseModel):
    """What crosses."""

    text: str


TEXT = Contract(Text, version=1)


@asynccontextmanager
async def under_way(home: Path, shared: Sequence[Budget]) -> AsyncIterator[Context]:
    """The context of an agent that is in the middle of its turn."""
    found: asyncio.Future[Context] = asyncio.get_running_loop().create_future()
    over = asyncio.Event()

    async def work(_: dict[str, Any]) -> dict[str, str]:
        found.set_result(copy_context())
        await over.wait()
        return {"text": "Done."}

    agent = Agent("worker", version=1, function=work, limits=Budget())
    line = Pipeline(stages=[agent], contracts=[TEXT, TEXT])
    system = System("desk", version=1, topology=line, budget=[OWN, *shared], home=home)
    running = asyncio.create_task(system.arun({"text": "Go."}))
    try:
        yield await asyncio.wait_for(found, BOUND)
    finally:
        over.set()
        result = await asyncio.wait_for(running, BOUND)
        kinds = {e.kind for e in system.ledger.entries(result.run)}
        system.close()
    assert {"model.reserved", "model.settled"} <= kinds, "its calls were none of its own"


def asked(context: Context) -> Run:
    """A call from a task in a context."""
    return lambda: asyncio.get_running_loop().create_task(MODEL.ainvoke("Go."), context=context.copy())


def asked_in_threads(context: Context, pool: ThreadPoolExecutor) -> Run:
    """A call from synchronous code in a context, on a thread."""
    return lambda: asyncio.get_running_loop().run_in_executor(pool, context.copy().run, MODEL.invoke, "Go.")


async def measure(rounds: int, many: int) -> dict[str, dict[int, list[float]]]:
    """Microseconds per call, by variant and number of calls at once; variants take turns within each round."""
    with ThreadPoolExecutor(many) as pool:
        async with AsyncExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            with ungoverned():
                contexts = {"no run": copy_context()}
            for name, number in BUDGETS.items():
                here = under_way(folder / str(number), SHARED[:number])
                contexts[name] = await stack.enter_async_context(here)
            variants = {name: asked(context) for name, context in contexts.items()}
            variants |= {f"sync: {name}": asked_in_threads(context, pool) for name, context in contexts.items()}
            return await measured(variants, rounds, many, scale=1e6)


def show(rounds: int = 30, many: int = 100) -> None:
    """Print the table."""
    found = asyncio.run(measure(rounds, many))
    table = Table(
        title=f"A model call, microseconds (median of {rounds} interleaved rounds)", box=SIMPLE_HEAD, pad_edge=False
    )
    table.add_column("under", no_wrap=True)
    for column in ("1 call", "more by", f"{many} at once, each", "more by"):
        table.add_column(column, justify="right")
    for name, times in found.items():
        base = found["sync: no run" if name.startswith("sync") else "no run"]
        cells = list[str]()
        for at_once in (1, many):
            taken, plain = statistics.median(times[at_once]), statistics.median(base[at_once])
            cells += [f"{taken:,.0f}", f"{taken - plain:,.0f}" if times is not base else ""]
        table.add_row(name, *cells)
    Console().print(table)


if __name__ == "__main__":
    show()

"""Times variants of one job in paired rounds: every variant takes its turn in each round, and ratios are taken in it.

What else the machine does falls on the two sides of a ratio alike. Every second round goes backwards, so that a variant
which changes the heap or the page cache does not always stand before the same one. Beside the time on the clock stands
what the process computed, all its threads together: on a busy machine it is closer to what a quiet one would show.
"""

from __future__ import annotations

import asyncio
import gc
import statistics
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextvars import copy_context
from dataclasses import dataclass, field
from typing import Any, Literal

from edgewright.agents import model_gate
from rich.box import SIMPLE_HEAD
from rich.table import Table

from bench.rounds import Run

TRIES = 3
Clock = Literal["wall", "cpu"]


@dataclass(frozen=True, slots=True)
class Job:
    """One variant: what it runs, and what must come out, so that no variant is quick because it does less."""

    run: Run
    expects: Any


@dataclass(frozen=True, slots=True)
class Times:
    """Milliseconds of one variant, the best try of each round, in the order of the rounds."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)


Found = Mapping[str, Times]


def outside(run: Run) -> Run:
    """A run that Edgewright's model gate does not look at: it stands in the whole process, and a baseline has none."""
    context = copy_context()
    context.run(model_gate._HOOK.set, None)

    async def apart() -> Any:
        return await asyncio.get_running_loop().create_task(_awaited(run), context=context.copy())

    return apart


async def _awaited(run: Callable[[], Awaitable[Any]]) -> Any:
    return await run()


async def paired(jobs: Mapping[str, Job], rounds: int, *, tries: int = TRIES) -> dict[str, Times]:
    """Times the jobs, after two rounds that warm them up.

    Raises:
        AssertionError: a job came to something else than what it is to come to.
    """
    found = {name: Times() for name in jobs}
    for number in range(-2, rounds):
        for name in list(jobs) if number % 2 else reversed(list(jobs)):
            gc.collect()  # what one variant left behind is not cleared away in the time of another
            taken = [await _timed(name, jobs[name]) for _ in range(tries)]
            if number >= 0:
                found[name].wall.append(min(wall for wall, _ in taken) * 1e3)
                found[name].cpu.append(min(cpu for _, cpu in taken) * 1e3)
    return found


async def _timed(name: str, job: Job) -> tuple[float, float]:
    began, computed = time.perf_counter(), time.process_time()
    came = await job.run()
    took = time.perf_counter() - began, time.process_time() - computed
    assert came == job.expects, f"{name} came to {came!r}, not to {job.expects!r}"
    return took


def ratio(found: Found, name: str, base: str, clock: Clock = "wall") -> float:
    """How much longer it takes than its baseline: the median of the ratios of each round."""
    return statistics.median(_ratios(found, name, base, clock))


def spread(found: Found, name: str, base: str) -> str:
    """The ratios of the middle half of the rounds, lowest and highest."""
    ratios = sorted(_ratios(found, name, base, "wall"))
    rim = len(ratios) // 4
    return f"{ratios[rim]:.2f}–{ratios[-1 - rim]:.2f}"


def _ratios(found: Found, name: str, base: str, clock: Clock) -> Sequence[float]:
    ours, theirs = getattr(found[name], clock), getattr(found[base], clock)
    return [a / b for a, b in zip(ours, theirs, strict=True)]


def table_of(title: str, found: Found, bases: Mapping[str, str], *, parts: int = 1, part: str = "") -> Table:
    """Figures side by side, each beside those of its baseline.

    Args:
        bases: the baseline of each variant, in the order of the rows.
        part: with `parts`: what a run is divided into, for a column of microseconds for each of them.
    """
    table = Table(title=title, box=SIMPLE_HEAD, pad_edge=False, title_justify="left")
    table.add_column("variant", no_wrap=True)
    each = [f"µs per {part}"] if part else []
    for column in ("ms", "best", *each, "ratio", "middle half", "CPU ms", "CPU ratio"):
        table.add_column(column, justify="right")
    for name, base in bases.items():
        times, self = found[name], base == name
        taken, cpu = statistics.median(times.wall), statistics.median(times.cpu)
        table.add_row(
            name,
            f"{taken:.2f}",
            f"{min(times.wall):.2f}",
            *([f"{taken / parts * 1000:,.0f}"] if part else []),
            "1" if self else f"{ratio(found, name, base):.2f}",
            "" if self else spread(found, name, base),
            f"{cpu:.2f}",
            "1" if self else f"{ratio(found, name, base, 'cpu'):.2f}",
        )
    return table

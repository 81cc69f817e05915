"""Times variants of one job in turns, so that what else the machine does falls on all of them alike."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

Run = Callable[[], Awaitable[Any]]


async def _timed(run: Run, at_once: int) -> float:
    """Seconds per run, of `at_once` runs together."""
    began = time.perf_counter()
    await asyncio.gather(*(run() for _ in range(at_once)))
    return (time.perf_counter() - began) / at_once


async def measured(
    variants: Mapping[str, Run], rounds: int, many: int, *, scale: float
) -> dict[str, dict[int, list[float]]]:
    """Seconds per run times `scale`, by variant and number of runs at once; variants take turns within each round."""
    found: dict[str, dict[int, list[float]]] = {name: {1: [], many: []} for name in variants}
    for run in variants.values():
        await _timed(run, 2)
    for number in range(rounds):
        for name, run in variants.items():
            found[name][1] += [await _timed(run, 1) * scale for _ in range(3)]
            if number % 3 == 0:
                found[name][many].append(await _timed(run, many) * scale)
    return found

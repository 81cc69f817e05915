"""Two hundred callers in one process: as branches of one run, and as runs side by side."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgewright import Budget, System
from edgewright.contracts.budget import Amounts
from edgewright.contracts.errors import BudgetExceeded
from edgewright.tools.spending import RESERVED_SECONDS

from bench.faults import Fault, ModelServer
from bench.overspend.asking import ASKING, BOUND, REQUEST, Asking, Told, answering, caller, callers
from bench.overspend.books import faults_of
from bench.overspend.limits import covering
from bench.overspend.round import Round, judged

Made = Callable[[Asking, Budget, Path], System]


class _Decided:
    """Knows when each call has gone out or was refused."""

    def __init__(self, calls: int) -> None:
        self.told: Counter[Told] = Counter()
        self._calls, self._all = calls, asyncio.Event()

    def __call__(self, what: Told) -> None:
        self.told[what] += 1
        if self.told["sent"] + self.told["refused"] == self._calls:
            self._all.set()

    async def wait(self) -> None:
        await asyncio.wait_for(self._all.wait(), BOUND)


async def _round(home: Path, one: Amounts, rng: random.Random, budget: Budget, made: Made, runs: int) -> Round:
    began, decided = time.perf_counter(), _Decided(ASKING)
    with ModelServer(answering(rng, one)) as server:
        server.fault = Fault("held")
        asking = Asking(server.url, decided)
        system = made(asking, budget, home)
        running = [asyncio.create_task(system.arun(REQUEST)) for _ in range(runs)]
        try:
            await decided.wait()
            await server.await_for(requests=decided.told["sent"], seconds=BOUND)
            server.fault = None
            server.release()
            results: list[Any] = await asyncio.wait_for(asyncio.gather(*running, return_exceptions=True), BOUND)
        finally:
            for task in running:
                task.cancel()
            await asking.close()
            system.close()
        books, faults = faults_of(home, server, now=time.time() + RESERVED_SECONDS)
        faults += [f"a run ended with {r!r}" for r in results if isinstance(r, Exception) and not _is_refusal(r)]
        return judged(server, books, faults, time.perf_counter() - began)


def _is_refusal(error: Exception) -> bool:
    return isinstance(error, BudgetExceeded)


async def in_branches(limit: str, home: Path, one: Amounts, rng: random.Random) -> Round:
    """One run whose branches all ask, under its own budget."""
    return await _round(home, one, rng, covering(limit, one, rng, of="run"), callers, 1)


async def side_by_side(limit: str, home: Path, one: Amounts, rng: random.Random) -> Round:
    """Runs that ask at once, under the budget of their system."""
    return await _round(home, one, rng, covering(limit, one, rng, of="system"), caller, ASKING)

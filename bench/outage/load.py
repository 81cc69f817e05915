"""The load: a hundred runs side by side, and further ones that need the warehouse, as many as there is time for."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from itertools import cycle

from bench.outage.office import NEEDING, Desk

BOUND = 30.0
"""Seconds after which whatever is still under way is cancelled, and counts as not finished."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """How much there is to do.

    Attributes:
        runs: how many there are, of which every tenth needs the warehouse.
        window: seconds over which they begin.
        every: seconds between further runs, which need the warehouse; they begin when the others all have.
    """

    runs: int = 100
    window: float = 2.0
    every: float = 0.15

    def desks(self) -> list[Desk]:
        """Whose each run is; those that need the warehouse take turns."""
        needing = cycle(NEEDING)
        return [next(needing) if number % 10 == 0 else "biller" for number in range(self.runs)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """How a run came back to its caller. Moments are seconds since the load began.

    Attributes:
        later: it is one of the further runs.
        answer: what it told; empty where it ended with `error`, a type.
        marks: the kinds of the marks on its answer.
    """

    order: str
    desk: Desk
    later: bool
    began: float
    ended: float
    answer: str = ""
    marks: tuple[str, ...] = ()
    error: str = ""

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.ended - self.began


@dataclass(frozen=True, slots=True)
class Said:
    """What a run answered, with the kinds of the marks on it."""

    answer: str
    marks: tuple[str, ...] = ()


Serve = Callable[[str, Desk], Awaitable[Said]]
"""Has the run for an order done at a desk; raises what stopped it."""


@dataclass(slots=True)
class Driver:
    """Puts the load on whatever serves it, and keeps what came of it.

    Attributes:
        name: what the orders begin with.
        zero: the moment that the load began, in seconds since the epoch.
        done: what has ended, in that order.
    """

    name: str
    serve: Serve
    load: Load
    zero: float = 0.0
    done: list[Done] = field(default_factory=list)
    _clock: float = 0.0

    def now(self) -> float:
        """Seconds since the load began."""
        return time.monotonic() - self._clock

    async def drive(self, over: Callable[[], bool]) -> None:
        """Put the load on, until all runs have ended and `over` says that no further ones need to come."""
        self._clock, self.zero = time.monotonic(), time.time()
        gap = self.load.window / self.load.runs
        hundred = [asyncio.create_task(self._run(n * gap, n, desk)) for n, desk in enumerate(self.load.desks())]
        rest = asyncio.create_task(self._further(hundred, over))
        try:
            await asyncio.wait([*hundred, rest], timeout=BOUND)
        finally:
            for task in (*hundred, rest):
                task.cancel()
            await asyncio.gather(*hundred, rest, return_exceptions=True)
        for task in (*hundred, rest):
            if not task.cancelled() and (error := task.exception()) is not None:
                raise error

    async def _further(self, hundred: Sequence[asyncio.Task[None]], over: Callable[[], bool]) -> None:
        async with asyncio.TaskGroup() as group:
            for number, desk in enumerate(cycle(NEEDING), self.load.runs):
                begins = self.load.window + (number - self.load.runs) * self.load.every
                await asyncio.sleep(begins - self.now())
                if all(task.done() for task in hundred) and over():
                    return
                group.create_task(self._run(begins, number, desk, later=True))

    async def _run(self, begins: float, number: int, desk: Desk, *, later: bool = False) -> None:
        await asyncio.sleep(begins - self.now())
        order, began = f"{self.name}-{number}", self.now()
        said, error = Said(""), ""
        try:
            said = await self.serve(order, desk)
        except Exception as raised:  # noqa: BLE001 - how it ended is what is looked at
            error = type(raised).__name__
        found = Done(
            order=order,
            desk=desk,
            later=later,
            began=began,
            ended=self.now(),
            answer=said.answer,
            marks=said.marks,
            error=error,
        )
        self.done.append(found)

"""How many branches of a fan-out take their turns at once, in one run of this process; the others wait for a place."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from ..contracts.edge import FanOut
from ..tools.run import Run


@dataclass(slots=True)
class _Places:
    free: asyncio.Semaphore
    users: int = 0


@dataclass(slots=True)
class Pace:
    """The places of all fan-outs of one system. What nobody waits for any more is forgotten."""

    _places: dict[tuple[str, str], _Places] = field(default_factory=dict)

    @asynccontextmanager
    async def place(self, fan: FanOut | None, run: Run) -> AsyncIterator[None]:
        """A place for one turn in a branch, as long as it takes; at once where the fan-out sets no number."""
        if fan is None or fan.concurrency is None:
            yield
            return
        key = (run.grounds.run, fan.back)
        places = self._places.setdefault(key, _Places(asyncio.Semaphore(fan.concurrency)))
        places.users += 1
        try:
            async with places.free:
                yield
        finally:
            places.users -= 1
            if not places.users:
                del self._places[key]

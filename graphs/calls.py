"""The tool calls of a turn that may be cut off: what may change the world is let end before the turn is cancelled.

A turn's calls go through `Activation.out`. The sets that are made here know of each other over all that a turn drives:
a team's agents, a graph inside a turn.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any


class Calls:
    """The calls of a turn that are out and may change the world. Once the turn is to end, no other call begins.

    Args:
        around: those of the turn inside which this one is taken.
    """

    def __init__(self, around: Calls | None = None) -> None:
        self._around, self._out = around, 0
        self._turn: asyncio.Task[Any] | None = None

    @property
    def closed(self) -> bool:
        """Whether no call may begin."""
        return self._turn is not None or (self._around is not None and self._around.closed)

    def count(self, more: int) -> None:
        """So many calls more are out. Behind the last one of a turn that is to end, it is cancelled."""
        self._out += more
        if self._turn is not None and not self._out:
            self._turn.cancel()
        if self._around is not None:
            self._around.count(more)

    async def ended(self, turn: asyncio.Task[Any]) -> None:
        """End a turn: let its calls end, cancel it, and wait for it. One that catches its cancellation holds it up."""
        self._turn = turn
        if not self._out:
            turn.cancel()
        await asyncio.wait({turn})


class Out(set[asyncio.Task[Any]]):
    """The tasks of an agent's calls. It refuses those that come once the turn is to end, before they did anything."""

    def __init__(self, calls: Calls, *, counts: bool) -> None:
        super().__init__()
        self._calls, self._counts = calls, counts

    def add(self, task: asyncio.Task[Any]) -> None:
        """See the class. Raises CancelledError."""
        if self._calls.closed:
            raise asyncio.CancelledError("the turn is over: the join that it was a branch of is decided")
        if task not in self and self._counts:
            self._calls.count(1)
        super().add(task)

    def discard(self, task: object) -> None:
        """See the class."""
        if task in self and self._counts:
            self._calls.count(-1)
        super().discard(task)


_CALLS: ContextVar[Calls | None] = ContextVar("edgewright_calls", default=None)


def calls_here() -> Calls | None:
    """Those of the turn that this context is inside of, where that turn may be cut off."""
    return _CALLS.get()


@contextmanager
def calls_of_this_turn(calls: Calls) -> Iterator[None]:
    """What is called inside belongs to this turn."""
    token = _CALLS.set(calls)
    try:
        yield
    finally:
        _CALLS.reset(token)


def opened(*, changes_world: bool) -> set[asyncio.Task[Any]]:
    """The set of an agent's calls that are out.

    Args:
        changes_world: whether one of its tools may change the world; the calls of others are cancelled with the turn.
    """
    calls = _CALLS.get()
    return set() if calls is None else Out(calls, counts=changes_world)

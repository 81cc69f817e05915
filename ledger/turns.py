"""Taking turns: who waits for the same thing in this process is served in the order of coming.

Only the first in the queue tries; the rest sleep until it is done. What is held by another process cannot wake anybody
here, so the first also tries again after a pause that grows.
"""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Hashable
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")
FIRST_PAUSE, LONGEST_PAUSE = 0.005, 0.2


class _Turn:
    """One who waits, in a thread or in an event loop."""

    __slots__ = ("_event", "_here", "_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop | None) -> None:
        self._loop = loop
        self._event = threading.Event() if loop is None else None
        self._here = asyncio.Event() if loop is not None else None

    def wake(self) -> None:
        if self._event is not None:
            self._event.set()
        elif self._loop is not None and self._here is not None:
            with suppress(RuntimeError):  # its loop was closed: it waits for nothing any more
                self._loop.call_soon_threadsafe(self._here.set)

    def wait(self, seconds: float) -> None:
        assert self._event is not None
        self._event.wait(seconds)
        self._event.clear()

    async def waited(self, seconds: float) -> None:
        assert self._here is not None
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._here.wait()
        self._here.clear()


class Turns:
    """Queues by key. Usable from any thread and any event loop."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._queues: dict[Hashable, deque[_Turn]] = {}

    def waiting(self, key: Hashable) -> int:
        """How many stand in the queue of `key`, the one who is trying included."""
        with self._lock:
            return len(self._queues.get(key, ()))

    def wake(self, key: Hashable) -> None:
        """Let the first in the queue try at once: what it waits for may be free."""
        with self._lock:
            if queue := self._queues.get(key):
                queue[0].wake()

    async def take(
        self, key: Hashable, attempt: Callable[[], Awaitable[T]], *, wait: float, busy: type[Exception]
    ) -> T:
        """Make `attempt` in turn until it does not raise `busy`, for at most `wait` seconds.

        Raises:
            What the last attempt raised. The last one is made when the time is over, in turn or not.
        """
        turn, until, pause = self._join(key, asyncio.get_running_loop()), time.monotonic() + wait, FIRST_PAUSE
        try:
            while (left := until - time.monotonic()) > 0:
                if self._is_first(key, turn):
                    with suppress(busy):
                        return await attempt()
                    left, pause = min(left, _about(pause)), min(pause * 2, LONGEST_PAUSE)
                await turn.waited(left)
            return await attempt()
        finally:
            self._leave(key, turn)

    def take_blocking(self, key: Hashable, attempt: Callable[[], T], *, wait: float, busy: type[Exception]) -> T:
        """`take` for code outside an event loop."""
        turn, until, pause = self._join(key, None), time.monotonic() + wait, FIRST_PAUSE
        try:
            while (left := until - time.monotonic()) > 0:
                if self._is_first(key, turn):
                    with suppress(busy):
                        return attempt()
                    left, pause = min(left, _about(pause)), min(pause * 2, LONGEST_PAUSE)
                turn.wait(left)
            return attempt()
        finally:
            self._leave(key, turn)

    def _join(self, key: Hashable, loop: asyncio.AbstractEventLoop | None) -> _Turn:
        turn = _Turn(loop)
        with self._lock:
            self._queues.setdefault(key, deque()).append(turn)
        return turn

    def _is_first(self, key: Hashable, turn: _Turn) -> bool:
        with self._lock:
            return self._queues[key][0] is turn

    def _leave(self, key: Hashable, turn: _Turn) -> None:
        with self._lock:
            queue = self._queues[key]
            queue.remove(turn)
            if queue:
                queue[0].wake()
            else:
                del self._queues[key]


def _about(seconds: float) -> float:
    """Two processes that began to wait at once must not try at once for ever."""
    return seconds * random.uniform(0.5, 1.0)

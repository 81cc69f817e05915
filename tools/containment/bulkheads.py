"""The bulkheads of this process: so many calls at once per agent, tool and tenant; the others stand in line, or go.

Callers in event loops and in threads stand in one line, first come, first served. A place belongs to the work, not to
whoever waits for it: a thread that hangs past its time-out keeps its place, since it cannot be stopped.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYet
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any

from ...contracts.containment import Bulkhead
from ...contracts.errors import Overloaded

MOST = 4096


class Line:
    """One bulkhead: its places, and who waits for one."""

    def __init__(self, of: str, rule: Bulkhead) -> None:
        self.of, self.rule = of, rule
        self.running = self.refused = 0
        self._waiting: deque[Future[None]] = deque()
        self._lock = threading.Lock()

    @property
    def waiting(self) -> int:
        """How many stand in line."""
        return len(self._waiting)

    @property
    def idle(self) -> bool:
        """Whether nobody is in it and nobody waits."""
        return not self.running and not self._waiting

    def arrive(self) -> Future[None] | None:
        """Take a place (None), or stand in line (a future that is done once the place is there). Raises Overloaded."""
        with self._lock:
            if self.running < self.rule.running and not self._waiting:
                self.running += 1
                return None
            if len(self._waiting) >= self.rule.waiting:
                raise self._overloaded(f"{self.rule.running} at once, {self.rule.waiting} in line")
            turn: Future[None] = Future()
            self._waiting.append(turn)
            return turn

    def leave(self) -> None:
        """Give a place back: to who waits longest, if anybody does."""
        with self._lock:
            self._next()

    def give_up(self, turn: Future[None]) -> None:
        """Stop waiting. A place that was given just now goes to the next."""
        with self._lock:
            try:
                self._waiting.remove(turn)
            except ValueError:
                self._next()

    def late(self) -> Overloaded:
        """The error for one that waited too long."""
        with self._lock:
            return self._overloaded(f"waited {self.rule.wait:g} s")

    def _next(self) -> None:
        # More than one may follow where the rule has become wider; none where it has become narrower.
        self.running -= 1
        while self._waiting and self.running < self.rule.running:
            self.running += 1
            self._waiting.popleft().set_result(None)

    def _overloaded(self, limit: str) -> Overloaded:
        self.refused += 1
        return Overloaded(of=self.of, running=self.running, waiting=len(self._waiting), limit=limit)


class Bulkheads:
    """Bulkheads by key: `agent:<system>/<name>`, `tool:<name>@<digest>`, `tenant:<tenant>`. Safe for threads.

    Args:
        most: bulkheads kept. Beyond it those go in which nobody is; one that is in use never does.
    """

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._held: OrderedDict[str, Line] = OrderedDict()
        self._declared: dict[str, Bulkhead] = {}
        self._lock = threading.Lock()

    def declare(self, of: str, rule: Bulkhead | None) -> None:
        """Give a key a rule of its own, over what callers bring along; None takes it back. For operators."""
        with self._lock:
            if rule is None:
                self._declared.pop(of, None)
            else:
                self._declared[of] = rule

    def arrive(self, of: str, rule: Bulkhead) -> tuple[Line, Future[None] | None]:
        """Arrive at the bulkhead of that key; see `Line.arrive`. A rule that is another than before holds from now on.

        Raises:
            Overloaded: there is no place, and none in the line.
        """
        with self._lock:  # over both steps: a line that was just found must not be dropped as one where nobody is
            rule = self._declared.get(of, rule)
            found = self._held.get(of)
            if found is None:
                found = self._held[of] = Line(of, rule)
                if len(self._held) > self._most:
                    self._drop(of)
            else:
                found.rule = rule
                self._held.move_to_end(of)
            return found, found.arrive()

    def snapshot(self) -> list[dict[str, Any]]:
        """All bulkheads, for a page or a command: `of`, `running`, `limit`, `waiting`, `line` (bound), `refused`."""
        with self._lock:
            lines = list(self._held.values())
        return [
            {
                "of": line.of,
                "running": line.running,
                "limit": line.rule.running,
                "waiting": line.waiting,
                "line": line.rule.waiting,
                "refused": line.refused,
            }
            for line in sorted(lines, key=lambda line: line.of)
        ]

    def clear(self) -> None:
        """Forget those in which nobody is."""
        with self._lock:
            for of in [of for of, line in self._held.items() if line.idle]:
                del self._held[of]

    def _drop(self, keep: str) -> None:
        if (gone := next((of for of, line in self._held.items() if of != keep and line.idle), None)) is not None:
            del self._held[gone]


BULKHEADS = Bulkheads()
"""Those of this process."""


class Stay:
    """What a call holds: its places, for as long as it is at work, or a thread that it began."""

    __slots__ = ("_holders", "_lock", "lines")

    def __init__(self) -> None:
        self.lines: list[Line] = []
        self._holders, self._lock = 1, threading.Lock()

    @property
    def busy(self) -> bool:
        """Whether anything but the call itself is at work in it."""
        return self._holders > 1

    @property
    def over(self) -> bool:
        """Whether its places are given back."""
        return not self._holders

    def keep(self) -> None:
        """Hold the places for one more. Whoever does calls `leave` once."""
        with self._lock:
            self._holders += 1

    def leave(self) -> None:
        """Hold them no longer; who leaves last gives them back."""
        with self._lock:
            self._holders -= 1
            left = self._holders
        if not left:
            for line in reversed(self.lines):
                line.leave()


_STAYS: ContextVar[tuple[Stay, ...]] = ContextVar("edgewright_stays", default=())


def stays() -> tuple[Stay, ...]:
    """The calls that this code is part of, the outermost first."""
    return _STAYS.get()


@contextmanager
def staying(stay: Stay) -> Iterator[None]:
    """Make this code part of a call; the call itself leaves at the end."""
    token = _STAYS.set((*_STAYS.get(), stay))
    try:
        yield
    finally:
        _STAYS.reset(token)
        stay.leave()


Places = Sequence[tuple[str, Bulkhead]]


_GLANCE = 0.2
"""Seconds after which whoever waits in a line looks again whether there is anything to wait for."""


def _see_nothing() -> None:
    pass


def _wanted(places: Places) -> list[tuple[str, Bulkhead]]:
    """The places that are not held already: a call inside a call must not wait for what its own caller holds."""
    held = {line.of for stay in _STAYS.get() if not stay.over for line in stay.lines}
    return [(of, rule) for of, rule in places if of not in held]


async def enter(
    stay: Stay, places: Places, bulkheads: Bulkheads = BULKHEADS, *, look: Callable[[], None] = _see_nothing
) -> None:
    """Take a place in each bulkhead, in that order, waiting where its rule lets one wait.

    Args:
        look: raises where there is nothing to wait for any more: the places may be held by threads that hang.

    Raises:
        Overloaded: there was no place in time, or none in the line.
        What `look` raises.
    """
    for of, rule in _wanted(places):
        line, turn = bulkheads.arrive(of, rule)
        if turn is not None:
            until = time.monotonic() + line.rule.wait
            try:
                while not turn.done():
                    if (left := until - time.monotonic()) <= 0:
                        raise line.late()
                    with suppress(TimeoutError):
                        async with asyncio.timeout(min(left, _GLANCE)):
                            await _done(turn)
                    if not turn.done():
                        look()
                turn.result()
            except BaseException:
                line.give_up(turn)
                raise
        stay.lines.append(line)


def enter_blocking(
    stay: Stay, places: Places, bulkheads: Bulkheads = BULKHEADS, *, look: Callable[[], None] = _see_nothing
) -> None:
    """`enter` for code outside an event loop."""
    for of, rule in _wanted(places):
        line, turn = bulkheads.arrive(of, rule)
        if turn is not None:
            until = time.monotonic() + line.rule.wait
            try:
                while not turn.done():
                    if (left := until - time.monotonic()) <= 0:
                        raise line.late()
                    with suppress(NotYet):
                        turn.result(min(left, _GLANCE))
                    if not turn.done():
                        look()
                turn.result()
            except BaseException:
                line.give_up(turn)
                raise
        stay.lines.append(line)


async def _done(turn: Future[None]) -> None:
    """Wait until a future of another thread is done. Unlike `asyncio.wrap_future`, it never cancels that future."""
    loop = asyncio.get_running_loop()
    there = loop.create_future()

    def tell() -> None:
        if not there.done():
            there.set_result(None)

    def wake(_: Future[None]) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(tell)

    turn.add_done_callback(wake)
    await there

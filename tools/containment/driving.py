"""The drivers: a call made inside its bulkheads, its breaker, its time and its tries; in an event loop, or blocking."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYet
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TypeVar

from langgraph.errors import GraphBubbleUp

from ...contracts.containment import Containment, Kind, Outcome
from ...contracts.errors import CircuitOpen, EdgewrightError, TimedOut
from .breakers import BREAKERS, Breakers, Moved
from .bulkheads import BULKHEADS, Bulkheads, Places, Stay, enter, enter_blocking, staying
from .kinds import kind_of, retry_after
from .threads import begin

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Retried:
    """A try failed, and there will be another: the `attempt` (1 is the first) that failed, how, and the pause."""

    of: str
    attempt: int
    kind: Kind
    error: Exception
    wait: float


Told = Retried | Moved
Tell = Callable[[Told], None]


def _hear_nothing(told: Told) -> None:
    """For callers that record nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What the drivers work with. A test brings its own.

    Attributes:
        now: seconds on a clock that does not go back.
        draw: a random number, from 0 up to but not including 1.
        sleep, sleep_blocking: wait for so many seconds.
    """

    breakers: Breakers = field(default_factory=lambda: BREAKERS)
    bulkheads: Bulkheads = field(default_factory=lambda: BULKHEADS)
    now: Callable[[], float] = time.monotonic
    draw: Callable[[], float] = random.random
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    sleep_blocking: Callable[[float], None] = time.sleep


MEANS = Means()


class _Pulse:
    """When a try last showed that it is getting on."""

    __slots__ = ("at",)

    def __init__(self) -> None:
        self.at = time.monotonic()


_PULSES: ContextVar[tuple[_Pulse, ...]] = ContextVar("edgewright_pulses", default=())


def alive() -> None:
    """Say that the call under way, and every call that it is part of, is getting on: their idle time begins anew."""
    now = time.monotonic()
    for pulse in _PULSES.get():
        pulse.at = now


@contextmanager
def _beating() -> Iterator[_Pulse]:
    pulse = _Pulse()
    token = _PULSES.set((*_PULSES.get(), pulse))
    try:
        yield pulse
    finally:
        _PULSES.reset(token)


@dataclass(slots=True, kw_only=True)
class _Trying:
    """What both drivers decide in the same way: one call, over all its tries."""

    of: str
    by: Containment
    transient: tuple[type[BaseException], ...]
    tell: Tell
    means: Means
    stay: Stay
    until: float = 0.0
    tried: int = 0
    ticket: int | None = None
    last: Exception | None = None

    def look(self) -> None:
        """Before standing in line: whoever would be refused behind it need not wait. Raises CircuitOpen."""
        if self.by.breaker is not None:
            self.means.breakers.check(self.of, self.by.breaker)

    def begin(self) -> float:
        """Begin a try. Returns the seconds that it may take.

        Raises:
            CircuitOpen: before the first try; nothing was done.
            Exception: that of the try before, where the breaker has opened since.
        """
        if not self.tried:
            self.until = self.means.now() + self.by.timeouts.total
        if self.by.breaker is not None:
            try:
                let = self.means.breakers.admit(self.of, self.by.breaker)
            except CircuitOpen:
                if self.last is not None:
                    raise self.last from self.last.__cause__
                raise
            self.ticket = let.ticket
            if let.moved is not None:
                self.tell(let.moved)
        self.tried += 1
        left = self.until - self.means.now()
        return left if self.by.timeouts.each is None else min(left, self.by.timeouts.each)

    def end(self, outcome: Outcome) -> None:
        """A try has ended. Whatever its outcome is, the breaker hears of it once."""
        ticket, self.ticket = self.ticket, None
        if self.by.breaker is not None and ticket is not None:
            moved = self.means.breakers.ended(self.of, self.by.breaker, ticket, outcome)
            if moved is not None:
                self.tell(moved)

    def again(self, error: Exception) -> float | None:
        """A try has failed. Returns the pause before the next one, or None where there is none."""
        kind = kind_of(error, self.transient)
        # A gate within the try that said no, or a ledger that failed, is no answer of whoever is called.
        self.end("unknown" if kind == "other" and isinstance(error, EdgewrightError) else kind)
        self.last = error
        # A thread that hangs cannot be stopped; a second one beside it would be two calls at once.
        if self.by.retry is None or self.stay.busy:
            return None
        if self.by.breaker is not None and self.means.breakers.mode(self.of) == "open":
            return None
        draw, after = self.means.draw(), retry_after(error)
        wait = self.by.retry.delay(kind, tried=self.tried, draw=draw, after=after)
        if wait is None or self.means.now() + wait >= self.until:
            return None
        self.tell(Retried(of=self.of, attempt=self.tried, kind=kind, error=error, wait=wait))
        return wait

    def timed_out(self, seconds: float, *, idle: bool) -> TimedOut:
        """The error for a try that was longer than `seconds`."""
        timeouts = self.by.timeouts
        if idle:
            return TimedOut(of=self.of, bound="idle", seconds=timeouts.idle or 0.0)
        if timeouts.each is not None and seconds >= timeouts.each:
            return TimedOut(of=self.of, bound="each", seconds=timeouts.each)
        return TimedOut(of=self.of, bound="total", seconds=timeouts.total)


def _places(of: str, by: Containment, within: Places) -> Places:
    return [*(() if by.bulkhead is None else ((of, by.bulkhead),)), *within]


async def contained(
    attempt: Callable[[], Awaitable[T]],
    *,
    of: str,
    by: Containment,
    within: Places = (),
    transient: tuple[type[BaseException], ...] = (),
    tell: Tell = _hear_nothing,
    means: Means = MEANS,
) -> T:
    """Make a call inside its bulkheads, its breaker, its time and its tries.

    In order: find the breaker closed, take a place in the bulkhead of `of` and then in those of `within`; then, try by
    try: be let through by the breaker, call, say how it ended, wait. The places are held over all tries. A call that
    is cancelled gives everything back, and the breaker learns nothing from it.

    Args:
        attempt: makes one try. It has to end when it is cancelled; what blocks goes through `in_thread`.
        of: what is called, as `BREAKERS` and `BULKHEADS` know it.
        by: the rules. Whether it may be repeated at all is for whoever chooses `by.retry` to know.
        within: further bulkheads: those of an agent, a tenant.
        transient: classes of errors that count as "unavailable".
        tell: is told of each failed try that is followed by another, and of each move of the breaker.

    Raises:
        CircuitOpen, Overloaded: `attempt` was never called.
        TimedOut: it took too long; the last of its tries at least is in doubt.
        Exception: whatever the last try raised.
    """
    stay = Stay()
    trying = _Trying(of=of, by=by, transient=transient, tell=tell, means=means, stay=stay)
    with staying(stay):
        trying.look()
        await enter(stay, _places(of, by, within), means.bulkheads, look=trying.look)
        while True:
            seconds = trying.begin()
            try:
                found = await _timed(attempt, trying, seconds)
            except GraphBubbleUp:  # not an error: the graph is interrupted
                trying.end("unknown")
                raise
            except Exception as error:
                wait = trying.again(error)
                if wait is None:
                    raise
            except BaseException:
                trying.end("unknown")
                raise
            else:
                trying.end("answered")
                return found
            await means.sleep(wait)


async def _timed(attempt: Callable[[], Awaitable[T]], trying: _Trying, seconds: float) -> T:
    """One try, for so many seconds and with signs of life where they are asked for. Raises TimedOut."""
    scope, idle = asyncio.timeout(seconds), trying.by.timeouts.idle
    watch = None if idle is None else _Watch(scope, idle)
    try:
        async with scope:
            if watch is None:
                return await attempt()
            with _beating() as pulse, watch.over(pulse):
                return await attempt()
    except TimeoutError:
        if not scope.expired():
            raise  # the function's own
        raise trying.timed_out(seconds, idle=watch is not None and watch.silent) from None


class _Watch:
    """Ends a try that shows no sign of life for `idle` seconds."""

    def __init__(self, scope: asyncio.Timeout, idle: float) -> None:
        self._scope, self._idle, self.silent = scope, idle, False

    @contextmanager
    def over(self, pulse: _Pulse) -> Iterator[None]:
        """Look whenever the idle time could be over."""
        self._next = asyncio.get_running_loop().call_later(self._idle, self._look, pulse)
        try:
            yield
        finally:
            self._next.cancel()

    def _look(self, pulse: _Pulse) -> None:
        left, loop = pulse.at + self._idle - time.monotonic(), asyncio.get_running_loop()
        if left > 0:
            self._next = loop.call_later(left, self._look, pulse)
        else:
            self.silent = True
            self._scope.reschedule(loop.time())


def contained_blocking(
    attempt: Callable[[], T],
    *,
    of: str,
    by: Containment,
    within: Places = (),
    transient: tuple[type[BaseException], ...] = (),
    tell: Tell = _hear_nothing,
    means: Means = MEANS,
) -> T:
    """`contained` for code outside an event loop.

    Each try runs in a thread of its own, in a copy of this context, because nothing else can be left when its time is
    over. Nor can the thread be stopped: one that hangs keeps its places until it returns, and there is no further try.

    Args:
        attempt: makes one try, and blocks.

    Raises:
        As `contained`.
    """
    stay = Stay()
    trying = _Trying(of=of, by=by, transient=transient, tell=tell, means=means, stay=stay)
    with staying(stay):
        trying.look()
        enter_blocking(stay, _places(of, by, within), means.bulkheads, look=trying.look)
        while True:
            seconds = trying.begin()
            try:
                found = _timed_blocking(attempt, trying, seconds)
            except GraphBubbleUp:
                trying.end("unknown")
                raise
            except Exception as error:
                wait = trying.again(error)
                if wait is None:
                    raise
            except BaseException:
                trying.end("unknown")
                raise
            else:
                trying.end("answered")
                return found
            means.sleep_blocking(wait)


def _timed_blocking(attempt: Callable[[], T], trying: _Trying, seconds: float) -> T:
    idle, until = trying.by.timeouts.idle, time.monotonic() + seconds
    with _beating() as pulse:
        work: Future[T] = begin(attempt)
        while True:
            now = time.monotonic()
            over = until if idle is None else min(until, pulse.at + idle)
            try:
                return work.result(max(0.0, over - now))
            except NotYet:
                if work.done():  # the function's own: futures and functions time out by one class
                    raise
            now = time.monotonic()
            silent = idle is not None and now >= pulse.at + idle
            if silent or now >= until:
                raise trying.timed_out(seconds, idle=silent)

"""Containment: for how long a call may take, when it is tried again, and when it is not made at all.

Values and decisions only. Who keeps the time, waits and counts is `edgewright.tools.containment`; nothing here has a
clock, so that every decision can be checked by itself.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, TypeVar, get_args

from .errors import ContainmentInvalid

Kind = Literal["timeout", "rate_limited", "unavailable", "connection", "refused", "broken", "other"]
"""What went wrong with a call: it took too long; it was one too many; whoever was called cannot serve now; there was
no way there; it was understood and refused; the answer is no answer; anything else."""
KINDS: tuple[Kind, ...] = get_args(Kind)
TRANSIENT: tuple[Kind, ...] = ("timeout", "rate_limited", "unavailable", "connection")
"""Kinds that may be gone at the next try."""
FAILURES: tuple[Kind, ...] = ("timeout", "unavailable", "connection", "broken")
"""Kinds that count against whoever was called. One that refuses, or asks to be called less, is alive; and an error
of any other kind is more likely the caller's own."""
Outcome = Kind | Literal["answered", "unknown"]
"""How a call ended, as a breaker sees it. `unknown`: it was called off, so that nothing is learnt from it."""
Mode = Literal["closed", "open", "half_open"]
Off = Literal["off"]
"""Declared in place of a value: without it, knowingly. Nothing declared (None) means the default."""

LONGEST = 86_400.0
MOST_ATTEMPTS = 20
T = TypeVar("T")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _seconds(name: str, value: Any, *, above: bool = False) -> list[str]:
    if _is_number(value) and 0 <= value <= LONGEST and (value > 0 or not above):
        return []
    return [f"{name} is {value!r}, not seconds {'above' if above else 'from'} 0 up to {LONGEST:g}"]


def _whole(name: str, value: Any, least: int, most: int) -> list[str]:
    if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most:
        return []
    return [f"{name} is {value!r}, not a whole number from {least} to {most}"]


def _stray(kinds: Any) -> Iterator[Any]:
    yield from (kind for kind in kinds if kind not in TRANSIENT)


def _refuse(name: str, faults: list[str]) -> None:
    if faults:
        raise ContainmentInvalid(name=name, faults=faults)


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """For how long a call may take, in seconds. What is longer than `total` is over, whatever is under way.

    Attributes:
        total: from the first try to the last answer, pauses included. Waiting for a place comes before it and has a
            bound of its own, `Bulkhead.wait`.
        each: one try; None: whatever is left of `total`.
        idle: between two signs of life of a try (`alive()`, a chunk of a stream); None: it owes no such signs.
    """

    total: float = 30.0
    each: float | None = None
    idle: float | None = None

    def __post_init__(self) -> None:
        given = {"total": self.total, "each": self.each, "idle": self.idle}
        _refuse("Timeouts", [f for n, v in given.items() if v is not None for f in _seconds(n, v, above=True)])

    def as_json(self) -> dict[str, Any]:
        """As digests and pages have it."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """How often, and after which pauses, what failed for a passing reason is tried again.

    Attributes:
        attempts: tries in all; 1 means that nothing is tried again.
        first: seconds before the second try; each further pause is `factor` times longer, up to `most`.
        jitter: draw each pause between nothing and its full length, so that callers do not come back all at once.
        on: the kinds of error that are tried again, of `TRANSIENT`.
    """

    attempts: int = 3
    first: float = 0.5
    factor: float = 2.0
    most: float = 30.0
    jitter: bool = True
    on: tuple[Kind, ...] = TRANSIENT

    def __post_init__(self) -> None:
        faults = [*_seconds("first", self.first), *_seconds("most", self.most)]
        faults += _whole("attempts", self.attempts, 1, MOST_ATTEMPTS)
        if not _is_number(self.factor) or not 1 <= self.factor <= 100:
            faults.append(f"factor is {self.factor!r}, not a number from 1 to 100")
        if not faults and self.first > self.most:
            faults.append(f"the first pause, {self.first:g} s, is longer than the longest, {self.most:g} s")
        faults += [f"{kind!r} is not tried again; known: {', '.join(TRANSIENT)}" for kind in _stray(self.on)]
        _refuse("Retry", faults)
        object.__setattr__(self, "on", tuple(kind for kind in TRANSIENT if kind in self.on))

    def delay(self, kind: Kind, *, tried: int, draw: float, after: float | None = None) -> float | None:
        """The seconds to wait before the next try, or None where there is none.

        Args:
            kind: what went wrong.
            tried: how often it was tried so far, at least once.
            draw: a random number, from 0 up to but not including 1.
            after: what whoever was called asks callers to wait (Retry-After). More than `most` means that this call
                does not wait for it. It is never shortened, and spread by up to `first`.
        """
        if kind not in self.on or tried >= self.attempts:
            return None
        if after is not None and after > 0:
            if after > self.most:
                return None
            return after + (draw * self.first if self.jitter else 0.0)
        whole = min(self.most, self.first * self.factor ** (tried - 1))
        return whole * draw if self.jitter else whole

    def as_json(self) -> dict[str, Any]:
        """As digests and pages have it."""
        return {**asdict(self), "on": list(self.on)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Bulkhead:
    """How many calls may be under way at once, and how many may wait for a place. The next one is refused.

    Attributes:
        running: calls at once, at least one.
        waiting: calls that may stand in line; zero: whoever finds no place is refused at once.
        wait: seconds that one may stand in line.
    """

    running: int = 32
    waiting: int = 0
    wait: float = 10.0

    def __post_init__(self) -> None:
        faults = [*_whole("running", self.running, 1, 1_000_000), *_whole("waiting", self.waiting, 0, 1_000_000)]
        _refuse("Bulkhead", [*faults, *_seconds("wait", self.wait)])

    def as_json(self) -> dict[str, Any]:
        """As digests and pages have it."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Breaker:
    """When calls are no longer made, because whoever is called fails each time.

    Attributes:
        failures: so many in a row open it; an answer in between begins the row anew.
        within: seconds after which a failure no longer counts.
        cooldown: seconds that it stays open. Then one call is let through: if it is answered the breaker closes, if it
            fails it stays open for as long again. A call that does not end within `cooldown` makes room for another.
    """

    failures: int = 5
    within: float = 60.0
    cooldown: float = 30.0

    def __post_init__(self) -> None:
        faults = _whole("failures", self.failures, 1, 10_000)
        faults += [*_seconds("within", self.within, above=True), *_seconds("cooldown", self.cooldown, above=True)]
        _refuse("Breaker", faults)

    def as_json(self) -> dict[str, Any]:
        """As digests and pages have it."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerState:
    """How a breaker stands. Moments are of any one clock that does not go back.

    Attributes:
        failed: when the failures of the present row were.
        last: the kind of the latest of them. A kind and no text: breakers are shared by all runs and tenants.
        until: when an open one lets a call through again; None while it is closed.
        probe: until when the call that was let through has to end; None where none is under way.
        since: since when it is closed, or not closed.
        term: goes up at each turn, so that a call that began before it says nothing about what is now.
    """

    failed: tuple[float, ...] = ()
    last: Kind | None = None
    until: float | None = None
    probe: float | None = None
    since: float = 0.0
    term: int = 0

    def mode(self, now: float) -> Mode:
        """Closed, open, or half open: a call may be, or is, let through to see whether it is answered."""
        if self.until is None:
            return "closed"
        return "open" if now < self.until else "half_open"

    def shut_for(self, now: float) -> float:
        """Seconds until a call may be let through; zero where one may be now."""
        if self.until is None:
            return 0.0
        return max(0.0, self.until - now, 0.0 if self.probe is None else self.probe - now)

    def admitted(self, rule: Breaker, now: float) -> BreakerState | None:
        """The state once a call is let through, or None where it is not. The new state's `term` is its ticket."""
        if self.until is None:
            return self
        if self.shut_for(now) > 0:
            return None
        return replace(self, probe=now + rule.cooldown, term=self.term + 1)

    def ended(self, rule: Breaker, now: float, *, ticket: int, outcome: Outcome) -> BreakerState:
        """The state once a call has ended that was let through with `ticket`."""
        if ticket != self.term:
            return self
        probing = self.probe is not None
        if outcome == "unknown":
            return replace(self, probe=None) if probing else self
        if outcome not in FAILURES:
            if probing:
                return BreakerState(since=now, term=self.term + 1)
            return replace(self, failed=(), last=None) if self.failed else self
        failed = (*(moment for moment in self.failed if now - moment < rule.within), now)[-rule.failures :]
        if not probing and len(failed) < rule.failures:
            return replace(self, failed=failed, last=outcome)
        since = self.since if probing else now
        return BreakerState(failed=failed, last=outcome, until=now + rule.cooldown, since=since, term=self.term + 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Containment:
    """All of it for one thing that is called. None for a part means: without it.

    What is not said has defaults, which suit a call to a service in the same building.
    """

    timeouts: Timeouts = Timeouts()
    retry: Retry | None = Retry()
    breaker: Breaker | None = Breaker()
    bulkhead: Bulkhead | None = Bulkhead(waiting=1000)

    @property
    def longest(self) -> float:
        """Seconds that a call can take at the most, from standing in line to its last answer."""
        return self.timeouts.total + (0.0 if self.bulkhead is None else self.bulkhead.wait)

    def as_json(self) -> dict[str, Any]:
        """As digests and pages have it."""
        parts = {"timeouts": self.timeouts, "retry": self.retry, "breaker": self.breaker, "bulkhead": self.bulkhead}
        return {name: None if part is None else part.as_json() for name, part in parts.items()}


def chosen(declared: T | Off | None, default: T | None) -> T | None:
    """What holds: what was declared; the default where nothing was; None where it is off."""
    if declared is None:
        return default
    return None if isinstance(declared, str) else declared

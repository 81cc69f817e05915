"""The breakers of this process: one per thing that is called, shared by all runs."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ...contracts.containment import Breaker, BreakerState, Kind, Mode, Outcome
from ...contracts.errors import CircuitOpen

MOST = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """A breaker moved: what it was, what it is, after so many failures in a row of which the latest was `last`."""

    of: str
    before: Mode
    after: Mode
    failures: int
    last: Kind | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pass:
    """A call was let through. `ticket` goes with its outcome; `moved` is set for one that tries an open breaker."""

    ticket: int
    moved: Moved | None = None


class Breakers:
    """Breakers by key: `tool:<name>@<digest>`, `model:<provider:model@host>`. Safe for threads; it never waits.

    Args:
        now: the clock, in seconds; it must not go back.
        most: breakers kept. Beyond it those go that were not used for the longest time, closed ones first.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic, most: int = MOST) -> None:
        self._now, self._most = now, most
        self._held: OrderedDict[str, tuple[BreakerState, Breaker]] = OrderedDict()
        self._lock = threading.Lock()

    def check(self, of: str, rule: Breaker) -> None:
        """Raise CircuitOpen where a call would not be let through now; changes nothing."""
        with self._lock:
            held, now = self._held.get(of), self._now()
            if held is not None and held[0].admitted(rule, now) is None:
                raise self._open(of, held[0], now)

    def admit(self, of: str, rule: Breaker) -> Pass:
        """Let a call through. Whoever has its pass has to say how the call ended. Raises CircuitOpen."""
        with self._lock:
            now = self._now()
            held = self._held.get(of)
            state = BreakerState(since=now) if held is None else held[0]
            found = state.admitted(rule, now)
            if found is None:
                raise self._open(of, state, now)
            self._keep(of, found, rule)
            if found is state:
                return Pass(ticket=found.term)
            moved = Moved(of=of, before="open", after="half_open", failures=len(found.failed), last=found.last)
            return Pass(ticket=found.term, moved=moved)

    def ended(self, of: str, rule: Breaker, ticket: int, outcome: Outcome) -> Moved | None:
        """Say how a call ended. Returns the move, if the breaker moved by it."""
        with self._lock:
            held = self._held.get(of)
            if held is None:
                return None
            state, now = held[0], self._now()
            found = state.ended(rule, now, ticket=ticket, outcome=outcome)
            if found is state:
                return None
            self._keep(of, found, rule)
            before, after = state.mode(now), found.mode(now)
            if before == after:
                return None
            told = found if found.failed else state
            return Moved(of=of, before=before, after=after, failures=len(told.failed), last=told.last)

    def mode(self, of: str) -> Mode:
        """How the breaker stands; closed where nothing was called yet."""
        with self._lock:
            held = self._held.get(of)
            return "closed" if held is None else held[0].mode(self._now())

    def snapshot(self) -> list[dict[str, Any]]:
        """All breakers, for a page or a command: open ones first.

        `of`, `state`, `failures` (in a row), `last` (kind), `since` (seconds that it stands so) and `until` (seconds
        until a call may be let through; zero where one may be now), and the rule (`failures_allowed`, `cooldown`).
        """
        with self._lock:
            now, held = self._now(), list(self._held.items())
        rows = [
            {
                "of": of,
                "state": state.mode(now),
                "failures": len(state.failed),
                "last": state.last or "",
                "since": round(max(0.0, now - state.since), 3),
                "until": round(state.shut_for(now), 3),
                "failures_allowed": rule.failures,
                "cooldown": rule.cooldown,
            }
            for of, (state, rule) in held
        ]
        return sorted(rows, key=lambda row: (row["state"] == "closed", row["of"]))

    def clear(self, of: str | None = None) -> None:
        """Forget a breaker, or all of them: an operator knows that what is called is well again."""
        with self._lock:
            if of is None:
                self._held.clear()
            else:
                self._held.pop(of, None)

    def _keep(self, of: str, state: BreakerState, rule: Breaker) -> None:
        self._held[of] = (state, rule)
        self._held.move_to_end(of)
        if len(self._held) > self._most:
            closed = (key for key, (kept, _) in self._held.items() if kept.until is None and key != of)
            self._held.pop(next(closed, next(iter(self._held))))

    def _open(self, of: str, state: BreakerState, now: float) -> CircuitOpen:
        until = round(state.shut_for(now), 3)
        return CircuitOpen(of=of, failures=len(state.failed), last=state.last or "other", until=until)


BREAKERS = Breakers()
"""Those of this process."""

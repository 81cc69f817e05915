"""Whatever counts, in one shape: a ledger of either kind, or counters over PostgreSQL."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from edgewright.ledger import memory, sqlite
from edgewright.ledger.accounts import Account
from edgewright.ledger.counters_postgres import PostgresCounters
from edgewright.ledger.counts import Counting
from edgewright.ledger.entry import Draft
from edgewright.ledger.store import Ledger

from .ledgers import WAIT, handoff, opened

KINDS = ["memory", "sqlite", "postgres"]


class Clock:
    """The clock of whoever counts, in the test's hand."""

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self.now = now

    def time(self) -> float:
        """Seconds since the epoch."""
        return self.now


def drafted(*countings: Counting) -> Draft:
    """A small record that counts."""
    return Draft(record=handoff("it"), counts=countings)


@dataclass(frozen=True)
class Taker:
    """Counters of some kind."""

    counters: PostgresCounters | Ledger

    def begin(self, *countings: Counting) -> Future[Any]:
        """Take, without waiting for it."""
        if isinstance(self.counters, PostgresCounters):
            return self.counters.take(countings)
        return self.counters.append("run", [drafted(*countings)])

    def take(self, *countings: Counting) -> None:
        """Take all or none, and wait until it is durable."""
        self.begin(*countings).result(WAIT)

    def refusal(self, *countings: Counting) -> BaseException | None:
        """Why it is not taken; None where it is."""
        return self.begin(*countings).exception(WAIT)

    def counted(self, key: str, since: float = 0.0) -> int:
        """What is counted under a key."""
        return self.counters.counted(key, since)

    def account(self, key: str, since: float = 0.0) -> Account:
        """What became of it."""
        return self.counters.account(key, since)

    def keys(self, prefix: str) -> Sequence[str]:
        """The keys that begin so."""
        return self.counters.counted_keys(prefix)


@contextmanager
def taker(kind: str, folder: Path, url: Callable[[], str], clock: Clock | None = None) -> Iterator[Taker]:
    """Counters of a kind, closed afterwards.

    Args:
        url: where PostgreSQL is; asked only if it is needed.
        clock: whose time it is; without it, the machine's.
    """
    with pytest.MonkeyPatch.context() as patch:
        if clock is not None:
            for module in (memory, sqlite):
                patch.setattr(module, "time", clock)
        if kind == "postgres":
            counters = PostgresCounters(url(), clock=time.time if clock is None else clock.time)
            try:
                yield Taker(counters)
            finally:
                counters.close()
        else:
            with opened(kind, folder) as ledger:
                yield Taker(ledger)

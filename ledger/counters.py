"""What counts for several machines: the rules of `counts.py`, over a database that they share."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from typing import Protocol

from .accounts import Account
from .counts import Counting


class Counters(Protocol):
    """Counts that hang on no record. Safe to use from any thread.

    `take` queues and returns at once; reads see what is durable, and block: call them off the event loop.
    """

    def take(self, countings: Sequence[Counting]) -> Future[None]:
        """Count, settle and release, all or none of it; the future is done once that is durable.

        The future raises LimitReached and CountInvalid: then nothing was changed. It raises LedgerUnavailable where
        nobody knows whether it was, and that is no permission: it may be counted. To take the same again by the same
        `by`, or to settle or release it, is right in either case.
        """
        ...

    def counted(self, key: str, since: float) -> int:
        """The amounts under a key since a moment; of leases, those that are open. Raises LedgerUnavailable."""
        ...

    def account(self, key: str, since: float) -> Account:
        """What became of all that was counted under a key since a moment. Raises LedgerUnavailable."""
        ...

    def counted_keys(self, prefix: str) -> list[str]:
        """The keys that begin with `prefix` and under which something is counted, sorted. Raises LedgerUnavailable."""
        ...

    def close(self) -> None:
        """Finish what is queued, then close. What is taken later fails with LedgerUnavailable."""
        ...

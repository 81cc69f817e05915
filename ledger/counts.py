"""Counts: how much was done under a key in a span of time, and how much still may be. Decided here.

A count hangs on the draft of the record that says what is counted, and both become durable in one transaction, or
neither does. So of several who count at once, in any thread or process, those that fit are let through and no more.
The rules:

- The amounts under a key since a moment, and what is asked for, must not exceed the limit of that window: else
  LimitReached, and nothing of the append is written.
- Who counted (`by`) counts once under a key, however often it is appended: an effect that is done again after a crash
  is the same effect. Asked again for more, the more has to fit too.
- What is known not to have happened is released. Nothing else lowers a sum.
- A clock that was set back opens no window: what was counted in its future still counts.

Keys and names are stored as they are: whoever makes one from a recipient or an account hashes that first. Decisions are
pure; the tables are in `counts_sqlite.py` and `counts_memory.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, assert_never

from ..contracts.errors import CountInvalid, LimitReached

if TYPE_CHECKING:
    from .entry import Draft

KEPT_SECONDS = 8 * 24 * 3600.0
"""How long a count is kept at least. One that a window reached further back for is kept for good."""
MAX_AMOUNT = 2**53 - 1
"""The greatest amount of one count: the greatest whole number that JSON holds exactly wherever it is read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """How much may be counted since a moment.

    Attributes:
        limit: None where the sum is only kept.
        since: seconds since the epoch; what was counted at that moment belongs to it.
    """

    limit: int | None
    since: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """Count an amount under a key.

    Attributes:
        key: what is counted; the same text in every process that counts it.
        by: who counts: an effect's `<run>/<position>`.
        amount: a whole number, not negative. Zero fits only where the sum is within its limits already.
        windows: the limits. Counts of a longer span than `KEPT_SECONDS` sum up what was counted for such a span.
        name: what a refusal calls it; the key where it is empty.

    Raises:
        CountInvalid: a negative or fractional amount, a moment that is none.
    """

    key: str
    by: str
    amount: int
    windows: tuple[Window, ...] = ()
    name: str = ""

    def __post_init__(self) -> None:
        if type(self.amount) is not int or self.amount < 0:
            raise CountInvalid(name=self.called, fault=f"the amount {self.amount!r} is no whole number from 0")
        # With such a moment nothing would compare as later, and every limit would be open.
        if any(not math.isfinite(window.since) for window in self.windows):
            raise CountInvalid(name=self.called, fault="a window begins at no moment")

    @property
    def called(self) -> str:
        """What it is called where a person reads of it."""
        return self.name or self.key


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """Take back what `by` counted under a key: it is known not to have happened. Nothing where nothing is counted."""

    key: str
    by: str


Counting = Count | Release


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What is counted: by whom, how much, when. `lasting` where a window reached further back than rows are kept."""

    key: str
    by: str
    amount: int
    time: float
    lasting: bool = False


class CountTable(Protocol):
    """The counts inside one transaction."""

    def row(self, key: str, by: str) -> Row | None:
        """What `by` has counted under a key."""
        ...

    def total(self, key: str, since: float) -> int:
        """The amounts under a key since a moment."""
        ...


Changes = dict[tuple[str, str], Row | None]
"""What becomes of counts, by key and by whom; None where one is released."""


class _Ahead:
    """The table as it will be: what the drafts of one append count is seen by those after them."""

    def __init__(self, table: CountTable) -> None:
        self._table, self.changes = table, Changes()

    def row(self, key: str, by: str) -> Row | None:
        at = (key, by)
        return self.changes[at] if at in self.changes else self._table.row(key, by)

    def total(self, key: str, since: float) -> int:
        found = self._table.total(key, since)
        for (of, by), row in self.changes.items():
            if of == key:
                found += _within(row, since) - _within(self._table.row(key, by), since)
        return found


def _within(row: Row | None, since: float) -> int:
    return row.amount if row is not None and row.time >= since else 0


def counted(table: CountTable, count: Count, now: float) -> Row:
    """What is counted once `count` is taken. Raises LimitReached."""
    before = table.row(count.key, count.by)
    lasting = any(window.since < now - KEPT_SECONDS for window in count.windows)
    if before is not None and before.amount >= count.amount:
        return before if before.lasting or not lasting else _lasting(before)
    for window in count.windows:
        used = table.total(count.key, window.since) - _within(before, window.since)
        if window.limit is not None and used + count.amount > window.limit:
            raise LimitReached(name=count.called, limit=window.limit, used=used, asked=count.amount, since=window.since)
    if count.amount > MAX_AMOUNT:
        raise LimitReached(name=count.called, limit=MAX_AMOUNT, used=0, asked=count.amount, since=now)
    # In each of its windows, whatever this machine's clock says: a window that began later than now would not see it.
    when = max([now, *(window.since for window in count.windows)])
    lasting = lasting or (before is not None and before.lasting)
    return Row(key=count.key, by=count.by, amount=count.amount, time=when, lasting=lasting)


def _lasting(row: Row) -> Row:
    return Row(key=row.key, by=row.by, amount=row.amount, time=row.time, lasting=True)


def changed(drafts: Sequence[Draft], known: Callable[[str], bool], table: CountTable, now: float) -> Changes:
    """What the drafts that will be written count and release. Nothing is put: a refusal has nothing to undo.

    Args:
        known: whether the run has a record of this key already; such a draft counts nothing more.

    Raises:
        LimitReached: for the first window that has no room.
    """
    ahead, mine = _Ahead(table), set[str]()
    for draft in drafts:
        is_new = draft.key is None or not (draft.key in mine or known(draft.key))
        if draft.key is not None:
            mine.add(draft.key)
        for counting in draft.counts if is_new else ():
            match counting:
                case Count():
                    ahead.changes[counting.key, counting.by] = counted(ahead, counting, now)
                case Release():
                    ahead.changes[counting.key, counting.by] = None
                case _:
                    assert_never(counting)
    return ahead.changes

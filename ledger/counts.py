"""Counts: how much was done under a key in a span of time, and how much still may be. Decided here.

A count hangs on the draft of the record that says what is counted, and both become durable in one transaction, or
neither does. So of several who count at once, in any thread or process, those that fit are let through and no more.
The rules:

- The amounts under a key since a moment, and what is asked for, must not exceed the limit of that window: else
  LimitReached, and nothing of the append is written.
- Who counted (`by`) counts once under a key, however often it is appended: an effect that is done again after a crash
  is the same effect. Asked again for more, the more has to fit too. So `by` names one attempt: whoever may be billed
  twice counts under two names.
- A count that expires is a reservation: it counts in full until `Settle` says what was really used. One that nobody
  settled has lapsed once it is past its moment: what it was for may have been used, so it goes on counting.
- The first settlement stands. It is never refused, not above a limit either: what was used was used.
- What is known not to have happened is released, unless it is settled. Nothing else lowers a sum.
- A lease counts what is under way at once: only until it is released, or past its moment.
- A clock that was set back opens no window: what was counted in its future still counts.

Keys and names are stored as they are: whoever makes one from a recipient or an account hashes that first. Decisions are
pure; the tables are in `counts_sqlite.py`, `counts_memory.py` and `counts_postgres.py`. Time is the clock of whoever
counts: several machines agree about an edge of a window, and about a lease, as well as their clocks do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol, assert_never

from ..contracts.errors import CountInvalid, LimitReached

if TYPE_CHECKING:
    from .entry import Draft

DAY = 24 * 3600.0
KEPT_SECONDS = 8 * DAY
"""How long a count is kept at least. One without windows, or with one that reached further back, is kept for good."""
MAX_AMOUNT = 2**53 - 1
"""The greatest amount of one count: the greatest whole number that JSON holds exactly wherever it is read."""
MAX_MOMENT = 2.0**53
"""The last moment there is, in seconds since the epoch: from here on a float cannot tell seconds apart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """How much may be counted since a moment.

    Attributes:
        limit: None where the sum is only kept.
        since: seconds since the epoch; what was counted at that moment belongs to it.
        raised: a key whose sum in this window is added to the limit: what somebody allowed on top.
    """

    limit: int | None
    since: float
    raised: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """Count an amount under a key.

    Attributes:
        key: what is counted; the same text in every process that counts it.
        by: who counts: an effect's `<run>/<position>`.
        amount: a whole number, not negative. Zero fits only where the sum is within its limits already.
        windows: the limits. Counts of a longer span than `KEPT_SECONDS` sum up what was counted for such a span.
        name: what a refusal calls it; the key where it is empty.
        expires: for a reservation or a lease, until when it is open, in seconds since the epoch. Taken again by the
            same `by`, an open one is open until the later of both moments. None for what is used at once.
        lease: it counts only while it is open. A key is counted by leases or by amounts, not by both.

    Raises:
        CountInvalid: a negative or fractional amount, a moment that is none, a lease without an end.
    """

    key: str
    by: str
    amount: int
    windows: tuple[Window, ...] = ()
    name: str = ""
    expires: float | None = None
    lease: bool = False

    def __post_init__(self) -> None:
        _whole(self.called, self.amount)
        # With such a moment nothing would compare as later, and every limit would be open.
        if not all(abs(window.since) <= MAX_MOMENT for window in self.windows):
            raise CountInvalid(name=self.called, fault="a window begins at no moment")
        if self.expires is not None and not abs(self.expires) <= MAX_MOMENT:
            raise CountInvalid(name=self.called, fault="it expires at no moment")
        if self.lease and self.expires is None:
            raise CountInvalid(name=self.called, fault="a lease has to expire: give the moment as `expires`")

    @property
    def called(self) -> str:
        """What it is called where a person reads of it."""
        return self.name or self.key


@dataclass(frozen=True, slots=True, kw_only=True)
class Settle:
    """Replace what `by` counted under a key by what was really used, less or more. It belongs to the same moment.

    What is not there any more is counted anew. A lease is given back, whatever the amount.

    Raises:
        CountInvalid: an amount that is negative, fractional or above MAX_AMOUNT.
    """

    key: str
    by: str
    amount: int

    def __post_init__(self) -> None:
        _whole(self.key, self.amount)
        if self.amount > MAX_AMOUNT:
            raise CountInvalid(name=self.key, fault=f"the amount {self.amount} is above {MAX_AMOUNT}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """Take back what `by` counted under a key: it is known not to have happened, and no account tells of it.

    Nothing where nothing is counted, or where it is settled. To keep a reservation on the account, settle it at zero.
    """

    key: str
    by: str


Counting = Count | Settle | Release


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What is counted: by whom, how much, when.

    Attributes:
        amount: what it counts for now.
        reserved: what was asked for; an amount that was settled may be another.
        expires: until when it is open; None for what is settled, and for what was used at once.
        lasting: it is kept for good.
    """

    key: str
    by: str
    amount: int
    reserved: int
    time: float
    expires: float | None = None
    settled: bool = False
    lease: bool = False
    lasting: bool = False

    def is_open(self, now: float) -> bool:
        """Whether it is out, and not past its moment."""
        return self.expires is not None and now < self.expires

    def within(self, since: float, now: float) -> int:
        """What it counts for in a window."""
        return self.amount if self.time >= since and (not self.lease or self.is_open(now)) else 0

    def is_old(self, now: float) -> bool:
        """Whether no window can reach it any more."""
        return not self.lasting and max(self.time, self.expires or self.time) < now - KEPT_SECONDS


class CountTable(Protocol):
    """The counts inside one transaction."""

    def row(self, key: str, by: str) -> Row | None:
        """What `by` has counted under a key."""
        ...

    def total(self, key: str, since: float, now: float) -> int:
        """The amounts under a key since a moment; of leases, those that are open now."""
        ...


Changes = dict[tuple[str, str], Row | None]
"""What becomes of counts, by key and by whom; None where one is released."""


class _Ahead:
    """The table as it will be: what the drafts of one append count is seen by those after them."""

    def __init__(self, table: CountTable) -> None:
        self._table, self.changes = table, Changes()
        self._before = Changes()

    def row(self, key: str, by: str) -> Row | None:
        at = (key, by)
        return self.changes[at] if at in self.changes else self._found(key, by)

    def _found(self, key: str, by: str) -> Row | None:
        at = (key, by)
        if at not in self._before:
            self._before[at] = self._table.row(key, by)
        return self._before[at]

    def total(self, key: str, since: float, now: float) -> int:
        found = self._table.total(key, since, now)
        for (of, by), row in self.changes.items():
            if of == key:
                found += _within(row, since, now) - _within(self._found(key, by), since, now)
        return found

    def put(self, counting: Counting, row: Row | None) -> None:
        if row != self.row(counting.key, counting.by):
            self.changes[counting.key, counting.by] = row


def _whole(name: str, amount: int) -> None:
    if type(amount) is not int or amount < 0:
        raise CountInvalid(name=name, fault=f"the amount {amount!r} is no whole number from 0")


def _within(row: Row | None, since: float, now: float) -> int:
    return 0 if row is None else row.within(since, now)


def _counted(table: CountTable, count: Count, now: float) -> Row | None:
    """What is counted once `count` is taken; None where that is nothing. Raises LimitReached, CountInvalid."""
    before = table.row(count.key, count.by)
    lasting = not count.lease and _is_lasting(count.windows, now)
    if before is not None:
        _same_kind(before, count)
        lasting = lasting or before.lasting
        if before.settled:
            return replace(before, lasting=lasting)
        if before.amount >= count.amount and (not count.lease or before.is_open(now)):
            # A lease that is renewed is kept as long as it is renewed.
            moment = max(before.time, now) if count.lease else before.time
            expires = _later(before.expires, count.expires) if before.expires is not None else None
            return replace(before, lasting=lasting, time=moment, expires=expires)
    for window in count.windows:
        _fits(table, count, window, _within(before, window.since, now), now)
    if count.amount > MAX_AMOUNT:
        raise LimitReached(name=count.called, limit=MAX_AMOUNT, used=0, asked=count.amount, since=now)
    if count.amount == 0 and before is None and count.expires is None:
        return None
    return Row(
        key=count.key,
        by=count.by,
        amount=count.amount,
        reserved=count.amount,
        # In each of its windows, whatever this machine's clock says: one that began later than now would not see it.
        time=max([now, *(window.since for window in count.windows)]),
        expires=_later(before.expires if before is not None else None, count.expires),
        lease=count.lease,
        lasting=lasting,
    )


def _is_lasting(windows: Sequence[Window], now: float) -> bool:
    return not windows or any(window.since < now - KEPT_SECONDS for window in windows)


def _same_kind(before: Row, count: Count) -> None:
    fault = ""
    if before.lease != count.lease:
        fault = "it is counted by leases or by amounts, not by both"
    elif before.settled and count.amount > before.reserved:
        fault = f"{count.by!r} settled it already and asks for more; whoever tries again counts under a new name"
    if fault:
        raise CountInvalid(name=count.called, fault=fault)


def _later(one: float | None, other: float | None) -> float | None:
    return max(one, other) if one is not None and other is not None else one if other is None else other


def _fits(table: CountTable, count: Count, window: Window, mine: int, now: float) -> None:
    if window.limit is None:
        return
    limit = window.limit + (table.total(window.raised, window.since, now) if window.raised else 0)
    used = table.total(count.key, window.since, now) - mine
    if used + count.amount > limit:
        raise LimitReached(name=count.called, limit=limit, used=used, asked=count.amount, since=window.since)


def _settled(table: CountTable, settle: Settle, now: float) -> Row | None:
    """What is counted once it is settled; None for a lease."""
    before, amount = table.row(settle.key, settle.by), settle.amount
    if before is None:
        # Nobody knows how far back the windows reach that it was for: it is kept for good.
        return Row(key=settle.key, by=settle.by, amount=amount, reserved=amount, time=now, settled=True, lasting=True)
    if before.lease:
        return None
    return before if before.settled else replace(before, amount=amount, expires=None, settled=True)


def taken(countings: Iterable[Counting], table: CountTable, now: float) -> Changes:
    """What countings change, all or none of them. Nothing is put: a refusal has nothing to undo.

    Raises:
        LimitReached: for the first window that has no room.
        CountInvalid: for what contradicts what is counted already.
    """
    ahead = _Ahead(table)
    for counting in countings:
        match counting:
            case Count():
                ahead.put(counting, _counted(ahead, counting, now))
            case Settle():
                ahead.put(counting, _settled(ahead, counting, now))
            case Release():
                before = ahead.row(counting.key, counting.by)
                ahead.put(counting, before if before is not None and before.settled else None)
            case _:
                assert_never(counting)
    return ahead.changes


def changed(drafts: Sequence[Draft], known: Callable[[str], bool], table: CountTable, now: float) -> Changes:
    """What the drafts that will be written count, settle and release; see `taken`.

    Args:
        known: whether the run has a record of this key already; such a draft counts nothing more.
    """
    return taken(_fresh(drafts, known), table, now)


def _fresh(drafts: Sequence[Draft], known: Callable[[str], bool]) -> Iterator[Counting]:
    mine = set[str]()
    for draft in drafts:
        is_new = draft.key is None or not (draft.key in mine or known(draft.key))
        if draft.key is not None:
            mine.add(draft.key)
        yield from draft.counts if is_new else ()

"""What became of all that was counted under a key, and how the sums of long windows are kept."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, NamedTuple, assert_never

from .counts import DAY, MAX_MOMENT, Row

Standing = Literal["open", "lapsed", "closed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """What became of all that was counted under a key: `spent - excess + released + open == reserved`, always.

    Attributes:
        reserved: what was asked for in all; what is used at once is reserved and spent in one.
        spent: what was settled and what is taken for used: `lapsed`, which is a part of it.
        released: what was given back when it was settled, because less was used.
        excess: what was used above what was reserved for it.
        open: what is still out, leases among it.
        lapsed: what was reserved and never settled: nobody knows whether it was used.
    """

    reserved: int = 0
    spent: int = 0
    released: int = 0
    excess: int = 0
    open: int = 0
    lapsed: int = 0


class Part(NamedTuple):
    """A row, or the sum of several that stand alike and whose amounts are all on one side of what was reserved."""

    standing: Standing
    lease: bool
    reserved: int
    amount: int


def account_of(parts: Iterable[Part]) -> Account:
    """The account that the rows of a key add up to. Leases that are over are not on it."""
    reserved = spent = released = excess = out = lapsed = 0
    for part in parts:
        if part.lease and part.standing != "open":
            continue
        reserved += part.reserved
        match part.standing:
            case "open":
                out += part.amount
            case "lapsed":
                lapsed += part.amount
            case "closed":
                spent += part.amount
                released += max(part.reserved - part.amount, 0)
                excess += max(part.amount - part.reserved, 0)
            case _:
                assert_never(part.standing)
    return Account(reserved=reserved, spent=spent + lapsed, released=released, excess=excess, open=out, lapsed=lapsed)


def part_of(row: Row, now: float) -> Part:
    """A row as a part of an account."""
    standing: Standing = "closed" if row.expires is None else "open" if row.is_open(now) else "lapsed"
    return Part(standing, row.lease, row.reserved, row.amount)


def whole_days(since: float) -> tuple[int, float]:
    """The first whole day (UTC, counted from the epoch) of a window, and the moment at which it begins.

    Sums are kept by the day, so that the total of a window is read from few numbers, however much was counted.
    """
    first = int(max(-MAX_MOMENT, min(MAX_MOMENT, since)) // DAY)
    if first * DAY < since:
        first += 1
    return first, first * DAY

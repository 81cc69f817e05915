"""Reservations, settlements, leases and accounts: one suite for whatever counts."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from edgewright.contracts.errors import CountInvalid, LedgerUnavailable, LimitReached
from edgewright.ledger.accounts import Account
from edgewright.ledger.counts import (
    DAY,
    KEPT_SECONDS,
    MAX_AMOUNT,
    MAX_MOMENT,
    Count,
    Counting,
    Release,
    Settle,
    Window,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.ledgers import WAIT
from support.takers import KINDS, Clock, Taker, taker

MINUTE = 60.0


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=KINDS)
def counters(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> Iterator[Taker]:
    with taker(request.param, tmp_path, lambda: request.getfixturevalue("counts_url"), clock) as found:
        yield found


def used(by: str, amount: int = 1, limit: int | None = 10, since: float = 0.0, *, key: str = "k") -> Count:
    """What is used at once."""
    return Count(key=key, by=by, amount=amount, windows=(Window(limit=limit, since=since),))


def reserved(by: str, amount: int, clock: Clock, *, seconds: float = MINUTE, limit: int | None = 10) -> Count:
    """A reservation."""
    return replace(used(by, amount, limit), expires=clock.now + seconds)


def lease(by: str, clock: Clock, *, amount: int = 1, seconds: float = MINUTE, limit: int = 2) -> Count:
    """One of those that are under way at once."""
    return replace(used(by, amount, limit, key="g"), expires=clock.now + seconds, lease=True)


def settle(by: str, amount: int) -> Settle:
    return Settle(key="k", by=by, amount=amount)


def holds(account: Account) -> bool:
    return account.spent - account.excess + account.released + account.open == account.reserved


# -- the rules that hold for every count --------------------------------------------------------------------------


def test_what_fits_is_taken_and_what_does_not_is_refused_with_its_facts(counters: Taker) -> None:
    counters.take(used("a", 6), used("b", 4))
    refused = counters.refusal(replace(used("c", 2, since=7.0), name="cents"))
    assert isinstance(refused, LimitReached)
    assert (refused.name, refused.limit, refused.used, refused.asked, refused.since) == ("cents", 10, 10, 2, 7.0)
    assert counters.counted("k") == 10


def test_all_is_taken_or_nothing(counters: Taker) -> None:
    counters.take(used("before", 3))
    countings = (used("a", 3), Release(key="k", by="before"), Settle(key="other", by="x", amount=5), used("b", 8))
    assert isinstance(counters.refusal(*countings), LimitReached)
    assert (counters.counted("k"), counters.counted("other")) == (3, 0)


def test_who_counted_counts_once_and_has_room_only_for_more(counters: Taker) -> None:
    for _ in range(3):
        counters.take(used("a", 6))
    counters.take(used("a", 4), used("b", 2))
    assert counters.counted("k") == 8
    assert isinstance(counters.refusal(used("a", 9)), LimitReached)
    counters.take(used("a", 8))
    assert counters.counted("k") == 10


def test_each_window_counts_what_belongs_to_it(counters: Taker, clock: Clock) -> None:
    noon = clock.now // DAY * DAY + DAY / 2
    for days, amount in ((-3, 1), (-2, 2), (-1, 4), (0, 8)):
        clock.now = noon + days * DAY
        counters.take(used(str(days), amount, None))
    midnight = noon - DAY / 2
    sums = {
        0.0: 15, midnight: 8, midnight - DAY: 12, noon: 8, noon + 1: 0, noon - DAY: 12, noon - DAY + 0.5: 8,
        midnight - 2 * DAY - 1: 14, -MAX_MOMENT: 15, 1e300: 0, -1e300: 15,
    }  # fmt: skip
    assert {since: counters.counted("k", since) for since in sums} == sums


def test_what_is_known_not_to_have_happened_is_taken_back_without_a_trace(counters: Taker, clock: Clock) -> None:
    counters.take(reserved("a", 6, clock), used("b", 2))
    counters.take(Release(key="k", by="a"), Release(key="k", by="b"), Release(key="k", by="nobody"))
    assert counters.account("k") == Account()
    counters.take(used("a", 10))
    assert counters.counted("k") == 10


def test_sums_pass_what_a_database_holds_in_one_number(counters: Taker, clock: Clock) -> None:
    for part in range(11):
        counters.take(*(reserved(f"{part}/{i}", MAX_AMOUNT, clock, limit=None) for i in range(100)))
    counters.take(*(settle(f"0/{i}", MAX_AMOUNT - 1) for i in range(100)))
    assert counters.counted("k") == 1100 * MAX_AMOUNT - 100 > 2**63
    account = counters.account("k")
    assert (account.reserved, account.open, account.released) == (1100 * MAX_AMOUNT, 1000 * MAX_AMOUNT, 100)
    assert isinstance(counters.refusal(used("more", 1, 2**62)), LimitReached)
    assert isinstance(counters.refusal(used("huge", 2**60, None)), LimitReached)


def test_of_many_threads_exactly_what_fits_is_let_through(counters: Taker, clock: Clock) -> None:
    gate = threading.Barrier(8)

    def asks(name: int) -> int:
        gate.wait(WAIT)
        futures = [counters.begin(reserved(f"{name}/{i}", 1, clock, limit=50)) for i in range(25)]
        return sum(f.exception(WAIT) is None for f in futures)

    with ThreadPoolExecutor(8) as pool:
        let = sum(pool.map(asks, range(8), timeout=WAIT * 2))
    assert let == counters.counted("k") == counters.account("k").open == 50


def test_old_counts_go_and_those_of_long_windows_and_open_ones_stay(counters: Taker, clock: Clock) -> None:
    counters.take(used("day", 1, since=clock.now - DAY), used("ever", 2))
    far = replace(used("far", 4, since=clock.now - DAY), expires=clock.now + 3 * KEPT_SECONDS)
    counters.take(far, Count(key="k", by="no window", amount=8), settle("anew", 16))
    clock.now += KEPT_SECONDS + 1
    counters.take(used("next", 0, since=clock.now - DAY), used("last", 1, since=clock.now - DAY))
    pruned(counters)
    assert (counters.counted("k"), counters.account("k").reserved) == (31, 31)


def pruned(counters: Taker) -> None:
    """Where old rows go now and then, see to it that they went."""
    found: Any = counters.counters
    if hasattr(found, "_prune"):
        found._prune(found._writer)


def test_a_clock_that_was_set_back_opens_no_window(counters: Taker, clock: Clock) -> None:
    counters.take(used("a", 10, since=clock.now - 60))
    clock.now -= 10 * DAY
    assert isinstance(counters.refusal(used("b", 1, since=clock.now - 60)), LimitReached)


def test_a_closed_one_takes_nothing(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    for kind in KINDS:
        with taker(kind, tmp_path, lambda: request.getfixturevalue("counts_url")) as found:
            found.take(used("a"))
        assert isinstance(found.refusal(used("b")), LedgerUnavailable)


# -- reservations -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("amount", "released", "excess"), [(4, 2, 0), (6, 0, 0), (0, 6, 0), (9, 0, 3)])
def test_a_settlement_takes_the_place_of_what_was_reserved(
    counters: Taker, clock: Clock, amount: int, released: int, excess: int
) -> None:
    counters.take(reserved("a", 6, clock))
    assert counters.account("k") == Account(reserved=6, open=6)
    counters.take(settle("a", amount))
    assert counters.counted("k") == amount
    assert counters.account("k") == Account(reserved=6, spent=amount, released=released, excess=excess)


def test_a_settlement_is_not_refused_above_a_limit_and_then_nothing_more_fits(counters: Taker, clock: Clock) -> None:
    counters.take(reserved("a", 10, clock))
    counters.take(settle("a", 25))
    refused = counters.refusal(used("b", 0))
    assert isinstance(refused, LimitReached)
    assert (refused.used, refused.limit) == (25, 10)
    assert counters.account("k").excess == 15


def test_the_first_settlement_stands(counters: Taker, clock: Clock) -> None:
    counters.take(reserved("a", 6, clock))
    counters.take(settle("a", 4))
    counters.take(settle("a", 9), settle("a", 0), Release(key="k", by="a"))
    counters.take(reserved("a", 6, clock))  # the reservation once more, late
    assert counters.account("k") == Account(reserved=6, spent=4, released=2)


def test_who_settled_and_asks_for_more_is_refused(counters: Taker, clock: Clock) -> None:
    counters.take(reserved("a", 2, clock))
    counters.take(settle("a", 1))
    assert isinstance(counters.refusal(reserved("a", 3, clock)), CountInvalid)
    assert counters.account("k") == Account(reserved=2, spent=1, released=1)


def test_what_is_not_there_is_counted_anew_when_it_is_settled(counters: Taker) -> None:
    counters.take(settle("pruned", 12))
    counters.take(settle("pruned", 1))
    assert counters.account("k") == Account(reserved=12, spent=12)
    assert isinstance(counters.refusal(used("b")), LimitReached)


def test_what_is_used_at_once_can_be_settled_too(counters: Taker) -> None:
    counters.take(used("a", 6))
    assert counters.account("k") == Account(reserved=6, spent=6)
    counters.take(settle("a", 5))
    assert counters.account("k") == Account(reserved=6, spent=5, released=1)


def test_a_settlement_belongs_to_the_day_of_its_reservation(counters: Taker, clock: Clock) -> None:
    clock.now = clock.now // DAY * DAY + DAY - 1
    day = clock.now // DAY * DAY
    counters.take(replace(reserved("a", 6, clock), windows=(Window(limit=10, since=day),)))
    clock.now += 2
    counters.take(settle("a", 9))
    assert (counters.counted("k", day), counters.counted("k", day + DAY)) == (9, 0)


def test_a_reservation_that_nobody_settled_lapses_and_goes_on_counting(counters: Taker, clock: Clock) -> None:
    counters.take(reserved("a", 6, clock), reserved("b", 3, clock, seconds=2 * MINUTE))
    clock.now += MINUTE
    assert counters.account("k") == Account(reserved=9, spent=6, open=3, lapsed=6)
    assert counters.counted("k") == 9
    assert isinstance(counters.refusal(used("c", 2)), LimitReached)
    counters.take(settle("a", 1))  # it was only late
    assert counters.account("k") == Account(reserved=9, spent=1, released=5, open=3)


def test_a_reservation_taken_again_is_open_until_the_later_moment(counters: Taker, clock: Clock) -> None:
    counters.take(reserved("a", 6, clock, seconds=10))
    counters.take(reserved("a", 6, clock, seconds=30), reserved("a", 5, clock, seconds=5))
    clock.now += 29
    assert counters.account("k") == Account(reserved=6, open=6)
    counters.take(reserved("a", 8, clock, seconds=30))
    assert counters.account("k") == Account(reserved=8, open=8)


def test_a_zero_counts_nothing_and_is_refused_only_above_the_limit(counters: Taker) -> None:
    counters.take(used("zero", 0, 0))
    counters.take(used("a", 1, 1), used("zero", 0, 1))
    assert isinstance(counters.refusal(used("zero", 0, 0)), LimitReached)
    assert counters.account("k") == Account(reserved=1, spent=1)


# -- limits that somebody raised ----------------------------------------------------------------------------------


def test_what_somebody_allowed_on_top_is_added_to_the_limit(counters: Taker, clock: Clock) -> None:
    def asked(by: str, amount: int) -> Count:
        windows = (Window(limit=10, since=clock.now // DAY * DAY, raised="more"),)
        return Count(key="k", by=by, amount=amount, windows=windows)

    counters.take(asked("a", 10))
    assert isinstance(counters.refusal(asked("b", 1)), LimitReached)
    counters.take(used("review 1", 3, None, key="more"))
    refused = counters.refusal(asked("b", 4))
    assert isinstance(refused, LimitReached)
    assert (refused.limit, refused.used) == (13, 10)
    counters.take(asked("b", 3))
    counters.take(used("review 2", 1, None, key="more"), asked("c", 1))  # allowed in this very append
    clock.now += DAY
    assert isinstance(counters.refusal(asked("d", 11)), LimitReached)  # it was allowed for that day
    counters.take(asked("d", 10))


# -- leases -------------------------------------------------------------------------------------------------------


def test_a_lease_counts_until_it_is_given_back_or_is_over(counters: Taker, clock: Clock) -> None:
    counters.take(lease("a", clock), lease("b", clock, seconds=2 * MINUTE))
    assert isinstance(counters.refusal(lease("c", clock)), LimitReached)
    counters.take(Release(key="g", by="b"))
    counters.take(lease("c", clock))
    clock.now += MINUTE - 1
    assert (counters.counted("g"), counters.account("g")) == (2, Account(reserved=2, open=2))
    clock.now += 1
    assert (counters.counted("g"), counters.account("g")) == (0, Account())
    counters.take(lease("d", clock), lease("e", clock))


def test_a_lease_taken_again_is_renewed_and_one_that_is_over_has_to_fit_anew(counters: Taker, clock: Clock) -> None:
    counters.take(lease("a", clock), lease("b", clock))
    clock.now += MINUTE - 1
    counters.take(lease("a", clock))
    clock.now += 1
    assert counters.counted("g") == 1
    counters.take(lease("c", clock))
    assert isinstance(counters.refusal(lease("b", clock)), LimitReached)
    counters.take(Release(key="g", by="a"))
    counters.take(lease("b", clock))


def test_a_lease_that_is_settled_is_given_back(counters: Taker, clock: Clock) -> None:
    counters.take(lease("a", clock))
    counters.take(Settle(key="g", by="a", amount=7))
    assert (counters.counted("g"), counters.account("g")) == (0, Account())


def test_leases_of_one_take_see_each_other(counters: Taker, clock: Clock) -> None:
    assert isinstance(counters.refusal(*(lease(by, clock) for by in "abc")), LimitReached)
    counters.take(lease("a", clock), lease("b", clock), Release(key="g", by="a"), lease("c", clock))
    assert counters.counted("g") == 2


def test_one_name_is_not_counted_as_a_lease_and_as_an_amount(counters: Taker, clock: Clock) -> None:
    counters.take(lease("a", clock))
    assert isinstance(counters.refusal(used("a", key="g")), CountInvalid)
    counters.take(used("b", key="k"))
    assert isinstance(counters.refusal(replace(lease("b", clock), key="k")), CountInvalid)


# -- keys ---------------------------------------------------------------------------------------------------------


def test_the_keys_that_begin_so_are_listed(counters: Taker, clock: Clock) -> None:
    keys = ["a", "a/", "a/x", "a/x/1", "a/é", "a/\U0001f600", "a0", "b", "", "A/x"]
    counters.take(*(used("by", 1, key=key) for key in keys), lease("by", clock), used("gone", key="a/gone"))
    counters.take(Release(key="a/gone", by="gone"))
    assert counters.keys("a/") == ["a/", "a/x", "a/x/1", "a/é", "a/\U0001f600"]
    assert counters.keys("") == sorted([*keys, "g"])
    assert counters.keys("nothing") == []


# -- what cannot be counted ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("amount", [-1, 1.0, True, "1", None, MAX_AMOUNT + 1])
def test_what_is_no_amount_cannot_be_settled(amount: Any) -> None:
    with pytest.raises(CountInvalid, match="amount"):
        settle("a", amount)


@pytest.mark.parametrize("moment", [float("nan"), float("inf"), float("-inf"), 1e300])
def test_what_ends_or_begins_at_no_moment_is_refused(moment: float) -> None:
    with pytest.raises(CountInvalid, match="moment"):
        Count(key="k", by="a", amount=1, expires=moment)
    with pytest.raises(CountInvalid, match="moment"):
        used("a", since=moment)


def test_a_lease_without_an_end_is_refused() -> None:
    with pytest.raises(CountInvalid, match="expire"):
        Count(key="k", by="a", amount=1, lease=True)


# -- any history --------------------------------------------------------------------------------------------------

LIMIT, HOURLY, LEASES = 20, 12, 5
HOUR = 3600.0


@dataclass
class _Row:
    amount: int
    reserved: int
    time: float
    expires: float | None
    lease: bool = False
    settled: bool = False


class _Books:
    """What should be counted, added up anew each time."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str], _Row] = {}
        self.more = 0

    def copy(self) -> _Books:
        made = _Books()
        made.rows, made.more = {at: replace(row) for at, row in self.rows.items()}, self.more
        return made

    def total(self, key: str, since: float, now: float, but: str = "") -> int:
        return sum(
            row.amount
            for (of, by), row in self.rows.items()
            if of == key and by != but and row.time >= since and not (row.lease and (row.expires or 0) <= now)
        )

    def step(self, step: tuple[str, str, int, float], now: float) -> type[Exception] | None:
        """Take a step; what it is refused with."""
        what, by, n, seconds = step
        at = ("g" if what == "lease" else "k", by)
        row = self.rows.get(at)
        if what == "raise":
            self.more += n
        elif what == "release":
            if row is not None and not row.settled:
                del self.rows[at]
        elif what == "settle":
            if row is None:
                self.rows[at] = _Row(n, n, now, None, settled=True)
            elif not row.settled:
                row.amount, row.expires, row.settled = n, None, True
        elif row is not None and row.settled:
            return CountInvalid if n > row.reserved else None
        else:
            return self.count(at, n, None if what == "use" else now + seconds, now, is_lease=what == "lease")
        return None

    def count(
        self, at: tuple[str, str], n: int, expires: float | None, now: float, *, is_lease: bool
    ) -> type[Exception] | None:
        key, by = at
        row = self.rows.get(at)
        ends = [e for e in (row.expires if row else None, expires) if e is not None]
        if row is not None and row.amount >= n and (not is_lease or (row.expires or 0) > now):
            if row.expires is not None:
                row.expires = max(ends)
            if is_lease:
                row.time = max(row.time, now)
            return None
        windows = [(LEASES, 0.0)] if is_lease else [(LIMIT + self.more, 0.0), (HOURLY + self.more, now - HOUR)]
        if any(self.total(key, since, now, by) + n > limit for limit, since in windows):
            return LimitReached
        if n or row is not None or expires is not None:
            self.rows[at] = _Row(n, n, now, max(ends, default=None), is_lease)
        return None

    def account(self, key: str, now: float) -> Account:
        rows = [r for (of, _), r in self.rows.items() if of == key and not (r.lease and (r.expires or 0) <= now)]
        lapsed = sum(r.amount for r in rows if r.expires is not None and r.expires <= now)
        return Account(
            reserved=sum(r.reserved for r in rows),
            spent=sum(r.amount for r in rows if r.expires is None) + lapsed,
            released=sum(max(r.reserved - r.amount, 0) for r in rows),
            excess=sum(max(r.amount - r.reserved, 0) for r in rows),
            open=sum(r.amount for r in rows if r.expires is not None and r.expires > now),
            lapsed=lapsed,
        )


_BY = st.sampled_from("abcde")
_STEP = st.tuples(
    st.sampled_from(["reserve", "reserve", "use", "settle", "settle", "release", "lease", "raise"]),
    _BY, st.integers(0, 9), st.sampled_from([0.0, 30.0, 600.0, 2 * HOUR]),
)  # fmt: skip
_TAKE = st.tuples(st.sampled_from([0.0, 0.0, 40.0, 700.0, 3 * HOUR, -50.0, -2 * HOUR]), st.lists(_STEP, max_size=3))


def _counting(step: tuple[str, str, int, float], prefix: str, clock: Clock, place: int) -> Counting:
    what, by, n, seconds = step
    key, expires = f"{prefix}/k", clock.now + seconds
    windows: tuple[Window, ...] = (
        Window(limit=LIMIT, since=0.0, raised=f"{prefix}/more"),
        Window(limit=HOURLY, since=clock.now - HOUR, raised=f"{prefix}/more"),
    )
    match what:
        case "reserve":
            return Count(key=key, by=by, amount=n, windows=windows, expires=expires)
        case "use":
            return Count(key=key, by=by, amount=n, windows=windows)
        case "settle":
            return Settle(key=key, by=by, amount=n)
        case "release":
            return Release(key=key, by=by)
        case "lease":
            windows = (Window(limit=LEASES, since=0.0),)
            return Count(key=f"{prefix}/g", by=by, amount=n, windows=windows, expires=expires, lease=True)
        case _:
            # In the future of every window here: what somebody allowed is not what this test is about.
            windows = (Window(limit=None, since=0.0), Window(limit=None, since=3e9))
            return Count(key=f"{prefix}/more", by=f"review {place}", amount=n, windows=windows)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=st.lists(_TAKE, max_size=15))
def test_any_history_is_counted_as_a_plain_sum_counts_it_and_its_account_adds_up(
    counters: Taker, clock: Clock, history: list[tuple[float, list[tuple[str, str, int, float]]]]
) -> None:
    prefix, books, clock.now = uuid.uuid4().hex, _Books(), 1_800_000_000.0
    for place, (jump, steps) in enumerate(history):
        clock.now += jump
        ahead, expected = books.copy(), None
        for step in steps:
            expected = expected or ahead.step(step, clock.now)
        countings = [_counting(s, prefix, clock, 10 * place + i) for i, s in enumerate(steps)]
        refused = counters.refusal(*countings)
        assert (None if refused is None else type(refused)) == expected
        books = books if expected else ahead
        for key in "kg":
            for since in (0.0, clock.now - HOUR):
                assert counters.counted(f"{prefix}/{key}", since) == books.total(key, since, clock.now)
            account = counters.account(f"{prefix}/{key}")
            assert account == books.account(key, clock.now)
            assert holds(account)
            assert account.spent + account.open == counters.counted(f"{prefix}/{key}")
    clock.now = 1_800_000_000.0 + 5 * DAY  # whoever was about to settle is gone for good
    account = counters.account(f"{prefix}/k")
    assert account.open == 0
    assert account.spent - account.excess + account.released == account.reserved
    assert account.spent == counters.counted(f"{prefix}/k")

"""Counts: what is counted over runs and processes stays within its limits, decided alike by both twins."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from edgewright.contracts.errors import CountInvalid, LedgerUnavailable, LimitReached, RecordBusy
from edgewright.ledger import memory, sqlite
from edgewright.ledger.counts import KEPT_SECONDS, MAX_AMOUNT, Count, Counting, Release, Window, changed
from edgewright.ledger.counts_memory import MemoryCounts
from edgewright.ledger.counts_sqlite import SqliteCounts
from edgewright.ledger.entry import Draft, verify
from edgewright.ledger.migrations import migrate
from edgewright.ledger.records import RecordClaimed
from edgewright.ledger.shared import Claim, RecordId, Writer
from edgewright.ledger.sqlite import SqliteLedger
from edgewright.ledger.store import Ledger
from hypothesis import given, settings
from hypothesis import strategies as st
from support.children import TESTS
from support.ledgers import WAIT, draft, opened, unencodable, write

DAY = 24 * 3600.0
TWINS = ["memory", "sqlite"]


@pytest.fixture(params=TWINS)
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ledger]:
    with opened(request.param, tmp_path) as found:
        yield found


class Clock:
    """The ledgers' clock, in the test's hand."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def time(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    for module in (memory, sqlite):
        monkeypatch.setattr(module, "time", found)
    return found


def count(by: str, amount: int = 1, limit: int | None = 10, since: float = 0.0, *, key: str = "k") -> Count:
    return Count(key=key, by=by, amount=amount, windows=(Window(limit=limit, since=since),))


def counting(*counts: Counting, text: str = "it", key: str | None = None) -> Draft:
    return replace(draft(text, key=key), counts=counts)


# -- the rule -----------------------------------------------------------------------------------------------------


def test_what_fits_is_counted_and_what_does_not_is_refused_with_its_facts(ledger: Ledger) -> None:
    write(ledger, "run", counting(count("a", 6)), counting(count("b", 4)))
    assert ledger.counted("k", 0.0) == 10
    with pytest.raises(LimitReached) as refused:
        write(ledger, "run", counting(replace(count("c", 2, since=7.0), name="cents to a payee")))
    error = refused.value
    assert (error.name, error.limit, error.used, error.asked, error.since) == ("cents to a payee", 10, 10, 2, 7.0)
    assert ledger.counted("k", 0.0) == 10
    assert ledger.counted("another", 0.0) == 0


def test_a_refusal_writes_nothing_of_its_append(ledger: Ledger) -> None:
    full = counting(count("d", 11), key="intent")
    with pytest.raises(LimitReached):
        write(ledger, "run", draft("before", payload=b"1"), counting(count("c", 3)), full, draft("after"))
    assert ledger.entries("run") == []
    assert ledger.counted("k", 0.0) == 0
    assert [e.seq for e in write(ledger, "run", counting(count("d", 10), key="intent"))] == [0]


def test_the_drafts_of_one_append_share_the_room_there_is(ledger: Ledger) -> None:
    with pytest.raises(LimitReached) as refused:
        write(ledger, "run", counting(count("a", 6), count("b", 5)))
    assert (refused.value.used, refused.value.asked) == (6, 5)
    write(ledger, "run", counting(count("a", 6), count("b", 4), count("a", 6)))
    assert ledger.counted("k", 0.0) == 10


@pytest.mark.parametrize("limit", [0, 1])
def test_zero_means_zero_and_none_means_no_limit(ledger: Ledger, limit: int) -> None:
    write(ledger, "run", counting(count("zero", 0, limit)))
    with pytest.raises(LimitReached):
        write(ledger, "run", counting(count("a", limit + 1, limit)))
    write(ledger, "run", counting(count("b", 1_000_000, None), Count(key="k", by="c", amount=5)))
    assert ledger.counted("k", 0.0) == 1_000_005


def test_each_window_has_a_limit_of_its_own(ledger: Ledger, clock: Clock) -> None:
    def asked(by: str, amount: int) -> Count:
        windows = (Window(limit=5, since=clock.now - 60), Window(limit=8, since=clock.now - DAY))
        return Count(key="k", by=by, amount=amount, windows=windows)

    write(ledger, "run", counting(asked("a", 5)))
    with pytest.raises(LimitReached) as minute:
        write(ledger, "run", counting(asked("b", 1)))
    clock.now += 61
    with pytest.raises(LimitReached) as day:
        write(ledger, "run", counting(asked("b", 4)))
    assert (minute.value.limit, day.value.limit) == (5, 8)
    write(ledger, "run", counting(asked("b", 3)))
    clock.now += DAY
    write(ledger, "run", counting(asked("c", 5)))
    assert ledger.counted("k", 0.0) == 13
    assert ledger.counted("k", clock.now) == 5  # the moment itself belongs to the window


def test_who_counted_counts_once_however_often_it_is_appended(ledger: Ledger) -> None:
    for run in ("run", "run", "other"):
        write(ledger, run, counting(count("run/a", 6)))
    assert ledger.counted("k", 0.0) == 6
    write(ledger, "run", counting(count("run/a", 4)))  # for less: what was counted stands
    assert ledger.counted("k", 0.0) == 6


def test_who_counted_and_asks_for_more_has_room_only_for_the_more(ledger: Ledger) -> None:
    write(ledger, "run", counting(count("a", 6)), counting(count("b", 2)))
    with pytest.raises(LimitReached) as refused:
        write(ledger, "run", counting(count("a", 9)))
    assert (refused.value.used, refused.value.asked) == (2, 9)
    write(ledger, "run", counting(count("a", 8)))
    assert ledger.counted("k", 0.0) == 10


def test_a_draft_whose_key_was_there_counts_nothing_more(ledger: Ledger) -> None:
    write(ledger, "run", counting(count("a", 6), key="intent"))
    again = write(ledger, "run", counting(count("b", 100), key="intent"), counting(count("c", 1), key="c"))
    assert again[0].seq == 0
    write(ledger, "run", counting(count("d"), key="twice"), counting(count("e", 100), key="twice"))
    assert ledger.counted("k", 0.0) == 8


def test_what_is_known_not_to_have_happened_is_taken_back(ledger: Ledger) -> None:
    write(ledger, "run", counting(count("a", 6)), counting(count("b", 4)))
    write(ledger, "run", counting(Release(key="k", by="a"), key="outcome"))
    write(ledger, "run", counting(Release(key="k", by="a")), counting(Release(key="nothing", by="a")))
    assert ledger.counted("k", 0.0) == 4
    write(ledger, "run", counting(count("a", 6)))
    write(ledger, "run", counting(Release(key="k", by="a"), key="outcome"))  # was said before: nothing more
    assert ledger.counted("k", 0.0) == 10
    write(ledger, "run", counting(Release(key="k", by="b"), count("c", 4)))  # room that this very append makes
    with pytest.raises(LimitReached):
        write(ledger, "run", counting(count("d", 1), Release(key="k", by="c")))
    assert ledger.counted("k", 0.0) == 10


def test_a_refused_release_keeps_what_was_counted(ledger: Ledger) -> None:
    write(ledger, "run", counting(count("a", 6)))
    with pytest.raises(LimitReached):
        write(ledger, "run", counting(Release(key="k", by="a"), count("b", 11)))
    assert ledger.counted("k", 0.0) == 6


def test_a_shared_record_that_is_not_free_counts_nothing(ledger: Ledger) -> None:
    record = RecordId(tenant="local", kind="customer", id="1")

    def claim(run: str) -> Draft:
        by = Writer(run=run, system="s", agent="a", effect="e")
        step = Claim(record=record, by=by, seen=None, lease=60.0, keyed=False)
        claimed = RecordClaimed(effect="e", agent="a", tool="t", record="customer")
        return Draft(record=claimed, shared=step, counts=(count(run),))

    write(ledger, "one", claim("one"))
    with pytest.raises(RecordBusy):
        write(ledger, "two", claim("two"))
    assert ledger.counted("k", 0.0) == 1


def test_what_cannot_be_written_counts_nothing(ledger: Ledger) -> None:
    with pytest.raises(TypeError):
        write(ledger, "run", replace(unencodable(), counts=(count("a"),)))
    noted = ledger.note("run", [counting(count("b")), unencodable()])
    write(ledger, "run", draft("after"))
    assert isinstance(noted.error, TypeError)
    assert ledger.counted("k", 0.0) == 0


def test_what_is_noted_counts_too_and_its_refusal_is_found(ledger: Ledger) -> None:
    noted = ledger.note("run", [counting(count("a", 10))])
    refused = ledger.note("run", [draft("lost"), counting(count("b"))])
    write(ledger, "run", draft("after them"))
    assert noted.error is None
    assert isinstance(refused.error, LimitReached)
    assert (ledger.counted("k", 0.0), verify("run", ledger.entries("run"))) == (10, 2)


def test_a_refusal_touches_no_other_append_and_no_chain(ledger: Ledger) -> None:
    write(ledger, "run", counting(count("first", 10)))
    futures = [ledger.append("run", [counting(count(f"e{i}")) if i % 2 else draft(str(i))]) for i in range(40)]
    assert [isinstance(f.exception(WAIT), LimitReached) for f in futures] == [bool(i % 2) for i in range(40)]
    assert verify("run", ledger.entries("run")) == 21
    assert ledger.counted("k", 0.0) == 10


def test_a_refusal_has_no_batch_committed_again(tmp_path: Path) -> None:
    with opened("sqlite", tmp_path) as ledger:
        assert isinstance(ledger, SqliteLedger)
        write(ledger, "run", counting(count("first", 10)))
        begin, before = threading.Event(), ledger.writer.commits
        held = ledger.writer.submit(lambda _: begin.wait(WAIT))
        futures = [ledger.append("run", [counting(count(f"e{i}"))]) for i in range(20)]
        begin.set()
        assert all(isinstance(f.exception(WAIT), LimitReached) for f in futures)
        assert held.result(WAIT)
        assert ledger.writer.commits - before <= 2  # that of the job before them, and one for all of them


# -- what cannot be counted ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("amount", [-1, 1.0, True, "1", None, float("nan")])
def test_what_is_no_whole_number_from_zero_cannot_be_counted(amount: Any) -> None:
    with pytest.raises(CountInvalid, match="amount"):
        count("a", amount)


@pytest.mark.parametrize("since", [float("nan"), float("inf"), float("-inf")])
def test_a_window_that_begins_at_no_moment_is_refused(since: float) -> None:
    with pytest.raises(CountInvalid, match="moment"):
        count("a", since=since)


@pytest.mark.parametrize("limit", [None, 10**40])
def test_an_amount_that_no_store_can_hold_is_over_its_limit(ledger: Ledger, limit: int | None) -> None:
    with pytest.raises(LimitReached) as refused:
        write(ledger, "run", counting(count("a", 10**30, limit)))
    assert refused.value.limit == MAX_AMOUNT
    assert ledger.entries("run") == []


def test_a_sum_may_be_greater_than_any_amount(ledger: Ledger) -> None:
    write(ledger, "run", *(counting(count(str(i), MAX_AMOUNT, None)) for i in range(1100)))
    assert ledger.counted("k", 0.0) == 1100 * MAX_AMOUNT > 2**63
    with pytest.raises(LimitReached):
        write(ledger, "run", counting(count("more", 1, 2**62)))


@pytest.mark.parametrize("text", ["", "'; DROP TABLE counts; --", "a\x00b", "имя", "x" * 5000])
def test_any_text_is_a_key_of_its_own(ledger: Ledger, text: str) -> None:
    write(ledger, "run", counting(count(text, 3, key=text)), counting(count("other", 1)))
    assert ledger.counted(text, 0.0) == 3


def test_a_closed_ledger_counts_nothing(tmp_path: Path) -> None:
    for kind in TWINS:
        with opened(kind, tmp_path) as ledger:
            pass
        with pytest.raises(LedgerUnavailable):
            write(ledger, "run", counting(count("a")))


# -- clocks and age -----------------------------------------------------------------------------------------------


def test_a_clock_that_was_set_back_opens_no_window(ledger: Ledger, clock: Clock) -> None:
    write(ledger, "run", counting(count("a", 10, since=clock.now - 60)))
    clock.now -= 10 * DAY
    with pytest.raises(LimitReached):
        write(ledger, "run", counting(count("b", 1, since=clock.now - 60)))
    assert ledger.counted("k", clock.now) == 10


def test_a_count_is_seen_in_the_window_it_was_let_through_by_whatever_the_ledgers_clock_says(
    ledger: Ledger, clock: Clock
) -> None:
    since = clock.now
    clock.now -= 5
    write(ledger, "run", counting(count("a", 10, since=since)))
    with pytest.raises(LimitReached):
        write(ledger, "run", counting(count("b", 1, since=since)))


def test_old_counts_go_and_those_of_a_longer_window_stay(ledger: Ledger, clock: Clock) -> None:
    write(ledger, "run", counting(count("day", 1, since=clock.now - DAY)), counting(count("ever", 2, since=0.0)))
    clock.now += KEPT_SECONDS - 1
    write(ledger, "run", counting(count("next", 4, since=clock.now - DAY)))
    assert ledger.counted("k", 0.0) == 7
    clock.now += 2
    write(ledger, "run", counting(count("last", 1, since=clock.now - DAY)))
    assert ledger.counted("k", 0.0) == 7  # `day` is gone
    with pytest.raises(LimitReached):
        write(ledger, "run", counting(count("one more", 9, since=clock.now - DAY)))


def test_a_count_asked_again_for_a_longer_window_stays_too(ledger: Ledger, clock: Clock) -> None:
    write(ledger, "run", counting(count("a", 3, since=clock.now - DAY)))
    write(ledger, "run", counting(count("a", 3, since=0.0)))
    clock.now += 2 * KEPT_SECONDS
    write(ledger, "run", counting(count("b", 1, since=clock.now)))
    assert ledger.counted("k", 0.0) == 4


# -- several at once ----------------------------------------------------------------------------------------------


def test_of_many_threads_exactly_what_fits_is_let_through(ledger: Ledger) -> None:
    gate = threading.Barrier(8)

    def asks(name: int) -> int:
        gate.wait(WAIT)
        futures = [ledger.append(f"run{name}", [counting(count(f"{name}/{i}", limit=50))]) for i in range(25)]
        return sum(f.exception(WAIT) is None for f in futures)

    with ThreadPoolExecutor(8) as pool:
        let = sum(pool.map(asks, range(8), timeout=WAIT * 2))
    assert let == ledger.counted("k", 0.0) == 50
    assert sum(len(ledger.entries(f"run{n}")) for n in range(8)) == 50


def _child(path: Path, name: str, kill: str) -> subprocess.Popen[str]:
    arguments = [sys.executable, "-m", "support.counts_child", str(path), name, "40", "60", kill]
    pipe = subprocess.PIPE
    return subprocess.Popen(arguments, cwd=TESTS, stdin=pipe, stdout=pipe, stderr=pipe, text=True)


@pytest.mark.slow
def test_of_several_processes_exactly_what_fits_is_let_through_also_where_one_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    SqliteLedger(path).close()
    processes = [_child(path, f"run{n}", "kill" if n == 0 else "") for n in range(3)]
    try:
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        outs = []
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        for process in processes:
            out, errors = process.communicate(timeout=WAIT * 2)
            assert errors == ""
            outs.append(out.count("counted\n"))
    finally:
        for process in processes:
            process.kill()
            process.communicate(timeout=WAIT)
    with opened("sqlite", tmp_path) as ledger:
        assert sum(outs) == ledger.counted("shared", 0.0) == 60
        assert [len(ledger.entries(f"run{n}")) for n in range(3)] == outs


def test_counts_survive_their_process(tmp_path: Path) -> None:
    with opened("sqlite", tmp_path) as ledger:
        write(ledger, "run", counting(count("a", 10)))
    with opened("sqlite", tmp_path) as ledger, pytest.raises(LimitReached):
        write(ledger, "run", counting(count("b")))


# -- the decision, by property ------------------------------------------------------------------------------------

LIMIT, SPAN = 10, 300.0
_BY = st.sampled_from(["a", "b", "c", "d"])
_STEP = st.one_of(
    st.tuples(st.just("count"), _BY, st.integers(0, 12)),
    st.tuples(st.just("release"), _BY, st.just(0)),
    st.tuples(st.just("time"), st.just(""), st.integers(-200, 400)),
)


@pytest.mark.parametrize("kind", TWINS)
@settings(max_examples=200, deadline=None)
@given(appends=st.lists(st.lists(_STEP, min_size=1, max_size=4), max_size=15))
def test_both_tables_let_through_what_a_plain_sum_lets_through(
    kind: str, appends: list[list[tuple[str, str, int]]]
) -> None:
    conn = sqlite3.connect(":memory:", isolation_level=None)
    migrate(conn, "memory")
    table = MemoryCounts() if kind == "memory" else SqliteCounts(conn)
    rows, now = dict[str, tuple[int, float]](), 1_800_000_000.0
    for steps in appends:
        now += sum(n for what, _, n in steps if what == "time")
        since = now - SPAN
        ahead, fits, drafts = dict(rows), True, list[Draft]()
        for what, by, n in steps:
            if what == "release":
                drafts.append(counting(Release(key="k", by=by)))
                ahead.pop(by, None)
            elif what == "count":
                drafts.append(counting(count(by, n, LIMIT, since)))
                others = sum(a for who, (a, when) in ahead.items() if who != by and when >= since)
                if by not in ahead or ahead[by][0] < n:
                    fits = fits and others + n <= LIMIT
                    ahead[by] = (n, now)
        try:
            table.put(changed(drafts, lambda _: False, table, now), now)
            was_let_through = True
        except LimitReached:
            was_let_through = False
        assert was_let_through == fits
        rows = ahead if fits else rows
        for moment in (0.0, since, now, now + 1):
            assert table.total("k", moment, now) == sum(a for a, when in rows.values() if when >= moment)
    conn.close()

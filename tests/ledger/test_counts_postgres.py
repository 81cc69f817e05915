"""Counters over PostgreSQL: lost connections, commits in doubt, servers that are away, several takers at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

import psycopg
import pytest
from edgewright.contracts.errors import CountInvalid, LedgerUnavailable, LedgerVersion, LimitReached
from edgewright.ledger import counters_postgres
from edgewright.ledger.accounts import Account
from edgewright.ledger.counters import Counters
from edgewright.ledger.counters_postgres import MAX_TEXT, PostgresCounters
from edgewright.ledger.counts import DAY, KEPT_SECONDS, Count, Counting, Release, Settle, Window
from support.cut_wire import Cut, Wire, wire
from support.ledgers import WAIT
from support.postgres import execute
from support.takers import Clock

SUMS = "SELECT key, sum(amount) FROM {} GROUP BY key HAVING sum(amount) > 0 ORDER BY key"


@pytest.fixture
def counters(counts_url: str) -> Iterator[PostgresCounters]:
    made = PostgresCounters(counts_url)
    yield made
    made.close()


@pytest.fixture
def cable() -> Iterator[Wire]:
    with wire() as made:
        yield made


def through(cable: Wire, url: str, patience: float = 5.0) -> Counters:
    """Counters that reach the server by a wire."""
    return PostgresCounters(f"{url.replace(':5432', f':{cable.port}')}?sslmode=disable", patience=patience)


def count(by: str, amount: int = 1, limit: int | None = 10, *, key: str = "k") -> Count:
    return Count(key=key, by=by, amount=amount, windows=(Window(limit=limit, since=0.0),), expires=time.time() + 600)


def sums_agree(url: str) -> bool:
    """Whether the sums by day are those of the rows."""
    with psycopg.connect(url) as conn:
        rows = conn.execute(SUMS.format("edgewright_counts").encode()).fetchall()
        return rows == conn.execute(SUMS.format("edgewright_count_sums").encode()).fetchall()


# -- commits of which nobody heard the end ------------------------------------------------------------------------


@pytest.mark.parametrize("cut", ["before", "after"])
def test_a_commit_in_doubt_is_found_out_and_counts_once(counts_url: str, cable: Wire, cut: Cut) -> None:
    counters = through(cable, counts_url)
    try:
        counters.take([count("first", 1), count("gone", 2)]).result(WAIT)
        cable.cut = cut
        steps: list[Counting] = [count("a", 4), Settle(key="k", by="first", amount=3), Release(key="k", by="gone")]
        counters.take(steps).result(WAIT)
        assert cable.cut is None
        assert counters.account("k", 0.0) == Account(reserved=5, spent=3, open=4, excess=2)
        assert counters.counted("k", 0.0) == 7
        counters.take([count("b", 3)]).result(WAIT)
        assert isinstance(counters.take([count("c", 1)]).exception(WAIT), LimitReached)
    finally:
        counters.close()
    assert sums_agree(counts_url)


@pytest.mark.parametrize("cut", ["before", "after"])
def test_what_fills_a_limit_in_a_commit_in_doubt_is_not_refused_by_itself(
    counts_url: str, cable: Wire, cut: Cut
) -> None:
    counters = through(cable, counts_url)
    try:
        counters.take([]).result(WAIT)
        cable.cut = cut
        counters.take([count("all", 10)]).result(WAIT)
        assert counters.counted("k", 0.0) == 10
    finally:
        counters.close()


def test_a_server_that_falls_silent_is_given_up_and_what_it_did_is_found(counts_url: str, cable: Wire) -> None:
    counters = through(cable, counts_url, patience=0.3)
    try:
        counters.take([count("first")]).result(WAIT)
        cable.cut = "silent"
        error = counters.take([count("a", 4)]).exception(WAIT)
        assert isinstance(error, LedgerUnavailable)  # too late for another try, and no permission
        counters.take([count("a", 4)]).result(WAIT)
        assert counters.counted("k", 0.0) == 5
    finally:
        counters.close()


# -- connections that are lost, servers that are away ----------------------------------------------------------------


def test_lost_connections_are_made_again(counts_url: str, cable: Wire) -> None:
    counters = through(cable, counts_url)
    try:
        for by in "abc":
            counters.take([count(by)]).result(WAIT)
            assert counters.counted("k", 0.0) == "abc".index(by) + 1
            cable.drop()
        assert counters.counted_keys("") == ["k"]
    finally:
        counters.close()


def test_connections_that_the_server_ends_are_made_again(counts_url: str, counters: PostgresCounters) -> None:
    ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'edgewright counts'"
    for by in "abc":
        counters.take([count(by)]).result(WAIT)
        assert counters.counted("k", 0.0) == "abc".index(by) + 1
        execute(counts_url, ended)


def test_a_server_that_is_away_permits_nothing_and_is_used_again_when_it_is_back(counts_url: str, cable: Wire) -> None:
    counters = through(cable, counts_url, patience=0.3)
    try:
        counters.take([count("a")]).result(WAIT)
        cable.refusing = True
        cable.drop()
        began = time.monotonic()
        futures = [counters.take([count(by)]) for by in "bcd"]
        assert all(isinstance(f.exception(WAIT), LedgerUnavailable) for f in futures)
        with pytest.raises(LedgerUnavailable):
            counters.counted("k", 0.0)
        with pytest.raises(LedgerUnavailable):
            counters.account("k", 0.0)
        assert time.monotonic() - began < WAIT
        cable.refusing = False
        counters.take([count("e")]).result(WAIT)
        assert counters.counted("k", 0.0) == 2
    finally:
        counters.close()


def test_a_server_that_comes_back_in_time_is_waited_for(counts_url: str, cable: Wire) -> None:
    cable.refusing = True
    counters = through(cable, counts_url, patience=WAIT)
    try:
        future = counters.take([count("a")])
        cable.refusing = False
        future.result(WAIT)
    finally:
        counters.close()


def test_no_server_no_database_and_no_connection_string_are_typed_errors() -> None:
    for dsn in ("postgresql://u:secret@127.0.0.1:1/none", "host=127.0.0.1 port=1"):
        counters = PostgresCounters(dsn, patience=0.2)
        error = counters.take([count("a")]).exception(WAIT)
        counters.close()
        assert isinstance(error, LedgerUnavailable)
        assert "secret" not in str(error)
    with pytest.raises(LedgerUnavailable) as caught:
        PostgresCounters("no string: secret")
    assert "secret" not in str(caught.value)


def test_a_user_who_may_not_write_is_told_at_once_and_permits_nothing(counts_url: str) -> None:
    PostgresCounters(counts_url).close()
    counters = PostgresCounters(f"{counts_url}?options=-c%20default_transaction_read_only%3Don")
    try:
        assert isinstance(counters.take([count("a")]).exception(WAIT), LedgerUnavailable)
    finally:
        counters.close()


def test_closing_finishes_what_is_queued(counts_url: str) -> None:
    counters = PostgresCounters(counts_url)
    futures = [counters.take([count(str(i), limit=None)]) for i in range(300)]
    counters.close()
    counters.close()
    assert [f.exception(WAIT) for f in futures] == [None] * 300
    assert isinstance(counters.take([count("late")]).exception(WAIT), LedgerUnavailable)
    with pytest.raises(LedgerUnavailable, match="closed"):
        counters.counted("k", 0.0)


# -- several at once -------------------------------------------------------------------------------------------------


def test_takers_of_the_same_keys_in_any_order_neither_deadlock_nor_pass_a_limit(
    counts_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    faults = list[Exception]()
    monkeypatch.setattr(counters_postgres, "_told", faults.append)
    keys = [f"key {i}" for i in range(12)]
    takers = [PostgresCounters(counts_url) for _ in range(4)]
    gate = threading.Barrier(4)

    def asks(name: int) -> int:
        gate.wait(WAIT)
        let = 0
        for i in range(40):
            turned = keys[(name * 3 + i) % 12 :] + keys[: (name * 3 + i) % 12]
            let += takers[name].take([count(f"{name}/{i}", limit=50, key=k) for k in turned]).exception(WAIT) is None
        return let

    try:
        with ThreadPoolExecutor(4) as pool:
            let = list(pool.map(asks, range(4), timeout=WAIT * 3))
        assert sum(let) == 50
        assert {takers[0].counted(k, 0.0) for k in keys} == {50}
        assert faults == []  # nothing was done twice for a deadlock
    finally:
        for made in takers:
            made.close()
    assert sums_agree(counts_url)


def test_who_wait_together_share_a_commit_and_a_refusal_touches_no_other(
    counts_url: str, counters: PostgresCounters
) -> None:
    counters.take([count("first", 5)]).result(WAIT)
    before = counters.commits
    with psycopg.connect(counts_url) as other:
        other.execute("LOCK TABLE edgewright_counts IN EXCLUSIVE MODE")
        held = counters.take([count("held", key="other")])
        futures: list[Future[None]] = [counters.take([count(f"{i}")]) for i in range(20)]
        other.rollback()
    held.result(WAIT)
    assert [f.exception(WAIT) is None for f in futures] == [True] * 5 + [False] * 15
    assert counters.commits - before <= 3
    assert counters.counted("k", 0.0) == 10


def test_who_gave_up_waiting_is_counted_all_the_same(counters: PostgresCounters) -> None:
    future = counters.take([count("a")])
    future.cancel()
    counters.take([count("b")]).result(WAIT)
    assert counters.counted("k", 0.0) == 2


def test_several_that_make_the_tables_at_once_agree(counts_url: str) -> None:
    gate = threading.Barrier(6)

    def begins(name: int) -> None:
        counters = PostgresCounters(counts_url)
        gate.wait(WAIT)
        counters.take([count(f"{name}")]).result(WAIT)
        counters.close()

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(begins, range(6), timeout=WAIT * 2))
    assert sums_agree(counts_url)


# -- what is kept ----------------------------------------------------------------------------------------------------


def test_old_counts_go_with_their_sums(counts_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counters_postgres, "PRUNE_SECONDS", 0.0)
    clock = Clock()
    counters = PostgresCounters(counts_url, clock=clock.time)
    try:
        windows = (Window(limit=None, since=clock.now - DAY),)
        counters.take([replace(count("old", 3), windows=windows, expires=None), count("ever", 4)]).result(WAIT)
        clock.now += KEPT_SECONDS + 1
        for by in "abc":  # each but the last has ended, with what follows it, when the next is answered
            counters.take([count(by, key="other")]).result(WAIT)
        assert counters.account("k", 0.0).reserved == counters.counted("k", 0.0) == 4
    finally:
        counters.close()
    assert sums_agree(counts_url)


@pytest.mark.parametrize("text", ["a\0b", "x" * (MAX_TEXT + 1), "é" * 501, "\udc00"])
def test_a_text_that_the_database_cannot_keep_is_refused_alone(counters: PostgresCounters, text: str) -> None:
    good = counters.take([count("good")])
    assert isinstance(counters.take([count("a", key=text)]).exception(WAIT), CountInvalid)
    assert isinstance(counters.take([count(text)]).exception(WAIT), CountInvalid)
    good.result(WAIT)


@pytest.mark.parametrize("text", ["", "'; DROP TABLE edgewright_counts; --", "имя", "%s", "x" * MAX_TEXT])
def test_any_other_text_is_a_key_of_its_own(counters: PostgresCounters, text: str) -> None:
    counters.take([count("a", 3, key=text), count("a", 1, key="other")]).result(WAIT)
    assert counters.counted(text, 0.0) == 3


def test_newer_tables_are_refused(counts_url: str) -> None:
    first = PostgresCounters(counts_url)
    first.take([]).result(WAIT)
    first.close()
    execute(counts_url, "UPDATE edgewright_counts_version SET version = 2")
    counters = PostgresCounters(counts_url)
    try:
        assert isinstance(counters.take([count("a")]).exception(WAIT), LedgerVersion)
        with pytest.raises(LedgerVersion):
            counters.counted("k", 0.0)
    finally:
        counters.close()

"""The writer: one commit for all who wait, in the order of the queue, and no failure that spreads."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from edgewright.contracts.errors import LedgerUnavailable
from edgewright.ledger import writer as module
from edgewright.ledger.writer import MAX_BATCH, GroupCommitWriter
from support.ledgers import WAIT


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[GroupCommitWriter]:
    found = GroupCommitWriter(tmp_path / "ledger.db")
    found.submit(lambda conn: conn.execute("CREATE TABLE t (x UNIQUE)").rowcount).result(WAIT)
    yield found
    found.close()


class Held:
    """The writer, held inside a job until the block ends; whatever is queued meanwhile waits together."""

    def __init__(self, writer: GroupCommitWriter) -> None:
        self.writer, self.inside, self.free = writer, threading.Event(), threading.Event()

    def __enter__(self) -> Held:
        self.future = self.writer.submit(self._job)
        assert self.inside.wait(WAIT)
        return self

    def _job(self, _: sqlite3.Connection) -> None:
        self.inside.set()
        assert self.free.wait(WAIT)

    def __exit__(self, *_: object) -> None:
        self.free.set()
        self.future.result(WAIT)


def put(x: Any) -> Any:
    return lambda conn: conn.execute("INSERT INTO t VALUES (?)", (x,)).lastrowid


def rows(writer: GroupCommitWriter) -> list[Any]:
    return writer.submit(lambda conn: [r[0] for r in conn.execute("SELECT x FROM t ORDER BY rowid")]).result(WAIT)


def boom(_: sqlite3.Connection) -> None:
    raise RuntimeError("boom")


def test_all_who_wait_share_one_commit(writer: GroupCommitWriter) -> None:
    with Held(writer):
        before = writer.commits
        futures = [writer.submit(put(i)) for i in range(MAX_BATCH)]
    for future in futures:
        future.result(WAIT)
    assert writer.commits - before <= 2  # the one that was held, and one for all the rest
    assert rows(writer) == list(range(MAX_BATCH))


def test_no_commit_takes_more_than_the_largest_batch(writer: GroupCommitWriter) -> None:
    with Held(writer):
        before = writer.commits
        futures = [writer.submit(put(i)) for i in range(2 * MAX_BATCH + 1)]
    for future in futures:
        future.result(WAIT)
    assert writer.commits - before == 4


def test_nobody_is_answered_before_the_commit_and_what_was_first_is_durable_first(
    writer: GroupCommitWriter, tmp_path: Path
) -> None:
    reader = sqlite3.connect(tmp_path / "ledger.db", check_same_thread=False)
    missing: list[int] = []

    def look(i: int) -> None:
        seen = {row[0] for row in reader.execute("SELECT x FROM t")}
        missing.extend(set(range(i + 1)) - seen)

    futures = []
    for i in range(300):
        future = writer.submit(put(i), lazy=i % 7 == 0)
        future.add_done_callback(lambda _, i=i: look(i))  # type: ignore[misc]
        futures.append(future)
    futures[-1].result(WAIT)
    writer.submit(lambda _: None).result(WAIT)
    reader.close()
    assert missing == []
    assert all(f.done() for f in futures)


def test_a_lazy_job_alone_is_durable_soon(writer: GroupCommitWriter) -> None:
    assert writer.submit(put(1), lazy=True).result(WAIT) == 1


def test_a_failing_job_harms_no_neighbour_in_its_batch(writer: GroupCommitWriter) -> None:
    def half(conn: sqlite3.Connection) -> None:
        conn.execute("INSERT INTO t VALUES ('half')")
        raise RuntimeError("boom")

    with Held(writer):
        futures: list[Future[Any]] = [
            writer.submit(job) for job in (put("a"), boom, put("b"), half, put("a"), put("c"), put("c"))
        ]
    assert [f.exception(WAIT) is None for f in futures] == [True, False, True, False, False, True, False]
    assert isinstance(futures[1].exception(WAIT), RuntimeError)
    assert isinstance(futures[4].exception(WAIT), sqlite3.IntegrityError)
    assert rows(writer) == ["a", "b", "c"]


def test_a_job_that_ends_the_transaction_itself_does_not_end_the_writer(writer: GroupCommitWriter) -> None:
    rogue: Future[Any] = writer.submit(lambda conn: conn.execute("COMMIT").rowcount)
    with pytest.raises(LedgerUnavailable):
        rogue.result(WAIT)
    assert writer.submit(put(1)).result(WAIT) == 1


def test_a_cancelled_future_does_not_end_the_writer(writer: GroupCommitWriter) -> None:
    with Held(writer):
        futures = [writer.submit(put(i)) for i in range(10)]
        for future in futures[::2]:
            future.cancel()
    assert rows(writer) == list(range(10))


def test_a_callback_that_raises_does_not_end_the_writer(
    writer: GroupCommitWriter, caplog: pytest.LogCaptureFixture
) -> None:
    with Held(writer):
        writer.submit(put(1)).add_done_callback(lambda _: 1 / 0)
    assert rows(writer) == [1]
    assert "ZeroDivisionError" in caplog.text


async def test_a_waiter_on_a_loop_may_be_cancelled_and_what_it_queued_is_written(writer: GroupCommitWriter) -> None:
    with Held(writer) as held:
        task = asyncio.ensure_future(writer.submit_here(put("cancelled")))
        other = writer.submit_here(put("other"))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        held.free.set()
        await asyncio.wait_for(other, WAIT)
    assert rows(writer) == ["cancelled", "other"]


def test_a_loop_that_was_closed_meanwhile_harms_nobody(writer: GroupCommitWriter) -> None:
    async def leave() -> None:
        writer.submit_here(put("left"))

    with Held(writer):
        asyncio.run(leave())
    assert rows(writer) == ["left"]


def test_many_loops_are_each_answered_on_their_own(writer: GroupCommitWriter) -> None:
    async def work(name: int) -> None:
        await asyncio.wait_for(asyncio.gather(*(writer.submit_here(put(f"{name}.{i}")) for i in range(20))), WAIT)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda name: asyncio.run(work(name)), range(4), timeout=WAIT))
    assert len(rows(writer)) == 80


async def test_a_failure_reaches_who_waits_on_a_loop(writer: GroupCommitWriter) -> None:
    with pytest.raises(RuntimeError, match="boom"):
        await asyncio.wait_for(writer.submit_here(boom), WAIT)
    writer.close()
    with pytest.raises(LedgerUnavailable, match="closed"):
        await asyncio.wait_for(writer.submit_here(put(1)), WAIT)


def test_a_full_disk_is_said_and_room_is_used_again(writer: GroupCommitWriter) -> None:
    def limit(pages: int) -> None:
        # Not by a job: inside a transaction the limit cannot grow.
        writer._conn.execute(f"PRAGMA max_page_count = {pages}")

    limit(1)  # never below what is used: from now on the file cannot grow
    with Held(writer):
        futures = [writer.submit(put(f"{i}" * 100_000)) for i in range(3)]
    for future in futures:
        with pytest.raises(LedgerUnavailable, match="full"):
            future.result(WAIT)
    limit(1_000_000)
    assert writer.submit(put("x" * 100_000)).result(WAIT) == 1


def test_a_store_that_refuses_writes_is_said_and_the_writer_recovers(writer: GroupCommitWriter) -> None:
    writer._conn.execute("PRAGMA query_only = ON")
    with pytest.raises(LedgerUnavailable, match="readonly"):
        writer.submit(put(1)).result(WAIT)
    writer._conn.execute("PRAGMA query_only = OFF")
    assert writer.submit(put(1)).result(WAIT) == 1


def test_when_the_file_stays_locked_all_who_wait_learn_it_after_one_wait_not_each_after_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WAIT_SECONDS", 0.2)
    writer = GroupCommitWriter(tmp_path / "ledger.db")
    begun: list[str] = []
    writer._conn.set_trace_callback(lambda sql: begun.append(sql) if sql.startswith("BEGIN") else None)
    inside, free = threading.Event(), threading.Event()

    def until_locked(_: object) -> None:  # called by the writer's thread, between two transactions
        inside.set()
        assert free.wait(WAIT)

    other = sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)
    writer.submit(lambda _: None).add_done_callback(until_locked)
    assert inside.wait(WAIT)
    other.execute("BEGIN IMMEDIATE")
    before = len(begun)
    futures = [writer.submit(lambda _: None) for _ in range(50)]
    free.set()
    for future in futures:
        with pytest.raises(LedgerUnavailable, match="locked"):
            future.result(WAIT)
    assert len(begun) - before == 1
    other.execute("ROLLBACK")
    other.close()
    writer.submit(lambda _: None).result(WAIT)
    writer.close()


def test_a_damaged_file_is_said(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    writer = GroupCommitWriter(path)
    writer.close()
    data = bytearray(path.read_bytes())
    data[100:] = b"\xff" * (len(data) - 100)
    path.write_bytes(bytes(data))
    with pytest.raises(LedgerUnavailable, match=r"malformed|corrupt"):
        GroupCommitWriter(path)

"""Counters over PostgreSQL: one thread that takes for all threads of a process, and whoever waits shares its commit."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from ..contracts.errors import CountInvalid, LedgerUnavailable, LimitReached
from .accounts import Account
from .counts import Counting, taken
from .counts_postgres import Connection, Taking, account_in, keys_in, prune, set_up, total_in

T = TypeVar("T")
MAX_BATCH = 64
PRUNE_SECONDS = 60.0
MAX_TEXT = 1000
"""How long a key and a name may be, in bytes of UTF-8: PostgreSQL can keep both in an index for certain."""
_PAUSE = 0.05
# Lost connections, servers that end or are overloaded, and locks that are not given in time: worth another try.
_PASSING = (psycopg.OperationalError, psycopg.InterfaceError)


@dataclass(slots=True, eq=False)
class _Job:
    """Countings and who waits for them, until a moment of the monotonic clock."""

    countings: Sequence[Counting]
    until: float
    future: Future[None] = field(default_factory=Future)

    def answer(self, error: Exception | None) -> None:
        with suppress(InvalidStateError):  # whoever waited has given up
            if error is None:
                self.future.set_result(None)
            else:
                self.future.set_exception(error)


class PostgresCounters:
    """See `Counters`. It connects when it is first used, and again whenever a connection is lost.

    A commit of which nobody heard the end is done again: what was counted by the same `by` is found there, and counts
    once. While the server is away, what is taken waits `patience`, and then fails.

    Args:
        dsn: a connection string of libpq, as URL or `name=value`. Its user makes the tables when they are not there.
        patience: how long one who takes waits for the server, in seconds; then LedgerUnavailable. A statement that is
            under way by then ends after as much again.
        clock: seconds since the epoch. Several machines should agree about it: it says where windows begin, and whether
            a lease is open.

    Raises:
        LedgerUnavailable: what is given is no connection string.
    """

    def __init__(self, dsn: str, *, patience: float = 10.0, clock: Callable[[], float] = time.time) -> None:
        self._patience, self._clock = patience, clock
        wait = max(1, round(patience))
        ours: dict[str, str | int] = {"connect_timeout": wait, "keepalives_idle": wait}
        ours["application_name"] = "edgewright counts"
        try:
            given = conninfo_to_dict(dsn)
            self._dsn = make_conninfo(dsn, **{k: v for k, v in ours.items() if k not in given})
        except psycopg.ProgrammingError:  # its text may hold a password
            raise LedgerUnavailable(where="PostgreSQL", cause="that is no connection string") from None
        self.where = f"PostgreSQL {given.get('host', '')}:{given.get('port', '')}/{given.get('dbname', '')}"
        self.commits = 0
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._queueing, self._reading = threading.Lock(), threading.Lock()
        self._closed = False
        self._writer: Connection | None = None
        self._reader: Connection | None = None
        self._pruned = time.monotonic()
        # A daemon: a program that forgot close() still ends; what it was answered for is durable anyway.
        self._thread = threading.Thread(target=self._serve, name="edgewright-counters", daemon=True)
        self._thread.start()

    def take(self, countings: Sequence[Counting]) -> Future[None]:
        """See `Counters.take`. CountInvalid also for a key or name that the database cannot keep."""
        job = _Job(countings, time.monotonic() + self._patience)
        unkept = next((c for c in countings if not (_is_kept(c.key) and _is_kept(c.by))), None)
        if unkept is not None:
            fault = f"a key and a name have {MAX_TEXT} bytes at most, and no NUL; hash what is longer"
            job.answer(CountInvalid(name=unkept.key[:80], fault=fault))
            return job.future
        with self._queueing:
            if not self._closed:
                self._jobs.put(job)
                return job.future
        job.answer(LedgerUnavailable(where=self.where, cause="it is closed"))
        return job.future

    def counted(self, key: str, since: float) -> int:
        """See `Counters.counted`."""
        return self._read(lambda conn: total_in(conn, key, since, self._clock()))

    def account(self, key: str, since: float) -> Account:
        """See `Counters.account`."""
        return self._read(lambda conn: account_in(conn, key, since, self._clock()))

    def counted_keys(self, prefix: str) -> list[str]:
        """See `Counters.counted_keys`."""
        return self._read(lambda conn: keys_in(conn, prefix))

    def close(self) -> None:
        """See `Counters.close`."""
        with self._queueing:
            if not self._closed:
                self._closed = True
                self._jobs.put(None)
        self._thread.join()
        with self._reading:
            _drop(self._reader)
            self._reader = None

    def _read(self, work: Callable[[Connection], T]) -> T:
        with self._reading:
            if self._closed:
                raise LedgerUnavailable(where=self.where, cause="it is closed")
            for is_last in (False, True):  # the connection may have been lost while nobody used it
                try:
                    if self._reader is None:
                        self._reader = self._connect()
                    return work(self._reader)
                except psycopg.Error as error:
                    _drop(self._reader)
                    self._reader = None
                    if is_last or not isinstance(error, _PASSING):
                        raise LedgerUnavailable(where=self.where, cause=_told(error)) from error
            raise AssertionError("the last try returns or raises")

    def _connect(self) -> Connection:
        conn = _Bounded.connect(self._dsn, autocommit=True)
        conn.patience = self._patience
        try:
            conn.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
            set_up(conn, self.where)
        except BaseException:
            conn.close()
            raise
        return conn

    # -- the thread ---------------------------------------------------------------------------------------------------

    def _serve(self) -> None:
        while batch := self._waiting():
            while batch:
                batch = self._tried(batch)
            if time.monotonic() - self._pruned >= PRUNE_SECONDS and self._writer is not None:
                self._prune(self._writer)
        _drop(self._writer)

    def _waiting(self) -> list[_Job]:
        """Who waits, at least one; nobody once it is closed."""
        first = self._jobs.get()
        batch = [] if first is None else [first]
        with suppress(Empty):
            while batch and len(batch) < MAX_BATCH:
                job = self._jobs.get_nowait()
                if job is None:
                    self._jobs.put(None)  # the last one there is: found again once these are answered
                    break
                batch.append(job)
        return batch

    def _tried(self, batch: list[_Job]) -> list[_Job]:
        """Take for a batch and answer it; returns those that are tried again."""
        try:
            if self._writer is None:
                self._writer = self._connect()
            outcomes = self._commit(self._writer, batch)
        except Exception as error:  # noqa: BLE001 - it goes to whoever waits
            _drop(self._writer)
            self._writer = None
            again = [j for j in batch if isinstance(error, _PASSING) and time.monotonic() < j.until]
            cause = _told(error) if isinstance(error, psycopg.Error) else ""
            for job in batch:
                if job not in again:
                    job.answer(LedgerUnavailable(where=self.where, cause=cause) if cause else error)
            if again:
                time.sleep(_PAUSE)  # a server that comes up again refuses at once
            return again
        for job, outcome in zip(batch, outcomes, strict=True):
            job.answer(outcome)
        return []

    def _commit(self, conn: Connection, batch: list[_Job]) -> list[Exception | None]:
        """One transaction for all of them. A refusal is an outcome: it has nothing to undo."""
        outcomes: list[Exception | None] = []
        with conn.pipeline():
            table = Taking(conn, [c for job in batch for c in job.countings], self._patience)
            now = self._clock()
            for job in batch:
                try:
                    table.put(taken(job.countings, table, now))
                    outcomes.append(None)
                except (LimitReached, CountInvalid) as refusal:
                    outcomes.append(refusal)
            table.commit()
        self.commits += 1
        return outcomes

    def _prune(self, conn: Connection) -> None:
        self._pruned = time.monotonic()
        try:
            prune(conn, self._clock(), self._patience)
        except psycopg.Error:  # what is old is only in the way: the next time, perhaps
            _drop(conn)
            self._writer = None


class _Bounded(psycopg.Connection[tuple[Any, ...]]):
    """A connection that waits no longer than `patience` seconds, whatever the server does; then it is closed."""

    patience = 10.0

    def wait(self, gen: Generator[Any, Any, T], *args: Any, **options: Any) -> T:
        """See `psycopg.Connection.wait`."""
        return super().wait(self._until(gen, time.monotonic() + 2 * self.patience), *args, **options)

    def _until(self, gen: Generator[Any, Any, T], until: float) -> Generator[Any, Any, T]:
        try:
            wants = next(gen)
            while True:
                ready = yield wants
                if time.monotonic() > until:
                    self.pgconn.finish()
                    raise psycopg.OperationalError("the server did not answer in time")
                wants = gen.send(ready)
        except StopIteration as end:
            found: T = end.value
            return found


def _is_kept(text: str) -> bool:
    try:
        return len(text.encode()) <= MAX_TEXT and "\0" not in text
    except UnicodeEncodeError:
        return False


def _drop(conn: Connection | None) -> None:
    if conn is not None:
        with suppress(psycopg.Error):
            conn.close()


def _told(error: psycopg.Error) -> str:
    return str(error).strip() or type(error).__name__

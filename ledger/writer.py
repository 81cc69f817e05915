"""The one writer of a SQLite file: a queue, a thread, and one durable commit for whatever is waiting.

Ledger records and checkpoints go through the same queue, so what was queued first is durable no later than what was
queued after it, whichever of the two it is. A writer is answered only after the commit.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from ..contracts.errors import LedgerUnavailable
from .migrations import migrate

T = TypeVar("T")
Job = Callable[[sqlite3.Connection], Any]
MAX_BATCH = 512
# How long a job that nobody hurries for may wait, in seconds, for one that somebody does: they share its commit.
LINGER = 0.002
WAIT_SECONDS = 30.0
_MAGIC = b"SQLite format 3\0"
_JOBS_OWN = (sqlite3.IntegrityError, sqlite3.DataError, sqlite3.ProgrammingError, sqlite3.NotSupportedError)


def connect(path: Path) -> sqlite3.Connection:
    """A connection as every part of the ledger uses it: fully synchronous, waiting for other processes."""
    conn = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=WAIT_SECONDS)
    conn.execute("PRAGMA synchronous = FULL")
    return conn


def opened(path: Path) -> sqlite3.Connection:
    """A connection to write through: the file is a ledger of this version, in WAL mode.

    Raises:
        LedgerVersion: it is another application's, or newer. Then nothing in it was changed.
        LedgerUnavailable: it is no database, or cannot be opened or written.
    """
    conn: sqlite3.Connection | None = None
    try:
        if path.is_file() and (head := _head(path)) and head != _MAGIC:
            # SQLite sees so itself, but takes a file of a few bytes for an empty one, and writes over it.
            raise sqlite3.DatabaseError("file is not a database")
        conn = connect(path)
        migrate(conn, str(path))
        _use_wal(conn)
    except (sqlite3.Error, OSError) as error:
        if conn is not None:
            conn.close()
        raise LedgerUnavailable(where=str(path), cause=str(error)) from error
    except BaseException:
        if conn is not None:
            conn.close()
        raise
    return conn


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(len(_MAGIC))


def _use_wal(conn: sqlite3.Connection) -> None:
    # Only once the file is known to be ours: the mode is written into it. SQLite does not wait for another
    # connection here, so two processes that open a new file at once have to.
    until = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            conn.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > until:
                raise
            time.sleep(0.01)
        else:
            return


@dataclass(slots=True)
class _Waiting:
    """A job and who waits for it: a thread, a future of an event loop, or nobody."""

    job: Job
    future: Future[Any] | asyncio.Future[Any] | None
    loop: asyncio.AbstractEventLoop | None
    lazy: bool
    result: Any = None
    error: Exception | None = None


class GroupCommitWriter:
    """Runs jobs on its own connection, in order, many to a transaction.

    A job may run twice (after another job of its batch failed), so it keeps no state outside the database but what
    it forgets in `on_rollback`.
    """

    def __init__(self, path: Path, *, on_rollback: Callable[[], None] | None = None) -> None:
        self.where = str(path)
        self.commits = 0
        self._forget = on_rollback or (lambda: None)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._conn = opened(path)
        self._data_version = 0
        self._jobs: deque[_Waiting] = deque()
        # One token per reason to wake up, True for a hurry: a lazy job wakes the thread at most once per commit.
        self._wake: SimpleQueue[bool] = SimpleQueue()
        self._woken = False
        self._lock = threading.Lock()
        self._closed = False
        # A daemon: a program that forgot close() still ends; what it was answered for is durable anyway.
        self._thread = threading.Thread(target=self._serve, name="edgewright-writer", daemon=True)
        self._thread.start()

    def submit(self, job: Callable[[sqlite3.Connection], T], *, lazy: bool = False) -> Future[T]:
        """Queue a job; the future is done after its commit. Never blocks.

        The future raises LedgerUnavailable when the commit failed or the writer is closed, and what the job raised
        when the job failed; neither touches the jobs of others.

        Args:
            lazy: nobody hurries: the job may wait `LINGER` for another's commit.
        """
        future: Future[T] = Future()
        self._put(_Waiting(job, future, None, lazy))
        return future

    def submit_here(self, job: Callable[[sqlite3.Connection], T], *, lazy: bool = False) -> asyncio.Future[T]:
        """`submit`, with a future of the running event loop; a loop is woken once for a whole commit."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._put(_Waiting(job, future, loop, lazy))
        return future

    def post(self, job: Job) -> _Waiting:
        """Queue a lazy job that nobody waits for; its `error` is set with its commit."""
        waiting = _Waiting(job, None, None, True)
        self._put(waiting)
        return waiting

    def _put(self, waiting: _Waiting) -> None:
        with self._lock:
            if not self._closed:
                self._jobs.append(waiting)
                if not (waiting.lazy and self._woken):
                    self._woken = True
                    self._wake.put(not waiting.lazy)
                return
        waiting.error = LedgerUnavailable(where=self.where, cause="it is closed")
        _resolve([waiting])

    def close(self) -> None:
        """Finish what is queued and close the connection."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._wake.put(True)
        self._thread.join()

    def _serve(self) -> None:
        while True:
            hurry = self._wake.get()
            if not hurry:
                with suppress(Empty):
                    self._wake.get(timeout=LINGER)
            while batch := self._taken():
                if not self._commit(batch):
                    for waiting in batch:
                        self._commit([waiting])
                _answer(batch)
            with self._lock:
                if self._closed and not self._jobs:
                    break
        self._conn.close()

    def _taken(self) -> list[_Waiting]:
        """The next batch, in order. When nothing is left, the next job wakes the thread again."""
        with self._lock:
            self._woken = bool(self._jobs)
            return [self._jobs.popleft() for _ in range(min(len(self._jobs), MAX_BATCH))]

    def _commit(self, batch: list[_Waiting]) -> bool:
        """One transaction. On failure nothing of it stays; alone in its batch, a job keeps its failure."""
        began = False
        try:
            self._begin()
            began = True
            for waiting in batch:
                waiting.result = waiting.job(self._conn)
            self._conn.execute("COMMIT")
            self.commits += 1
        except Exception as error:  # noqa: BLE001 - it goes to whoever waits for the job
            self._forget()
            if self._conn.in_transaction:
                with suppress(sqlite3.Error):  # then the next BEGIN fails, and says so to those who wait
                    self._conn.execute("ROLLBACK")
            # When not even BEGIN went through, no job is at fault: none is tried again, each with a wait of its own.
            if began and len(batch) > 1:
                return False
            store = isinstance(error, sqlite3.Error | OSError) and not isinstance(error, _JOBS_OWN)
            for waiting in batch:
                waiting.error = LedgerUnavailable(where=self.where, cause=str(error)) if store else error
        return True

    def _begin(self) -> None:
        self._conn.execute("BEGIN IMMEDIATE")
        # It changes when another connection committed: then what this process remembers may be stale.
        version = self._conn.execute("PRAGMA data_version").fetchone()[0]
        if version != self._data_version:
            self._data_version = version
            self._forget()


def _answer(batch: list[_Waiting]) -> None:
    here: defaultdict[asyncio.AbstractEventLoop, list[_Waiting]] = defaultdict(list)
    for waiting in batch:
        if waiting.loop is None:
            _resolve([waiting])
        else:
            here[waiting.loop].append(waiting)
    for loop, group in here.items():
        # A loop that was closed meanwhile waits for nothing any more.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(_resolve, group)


def _resolve(group: list[_Waiting]) -> None:
    for waiting in group:
        if waiting.future is None:
            continue
        with suppress(InvalidStateError, asyncio.InvalidStateError):  # cancelled by who waited, perhaps just now
            if waiting.error is not None:
                waiting.future.set_exception(waiting.error)
            else:
                waiting.future.set_result(waiting.result)

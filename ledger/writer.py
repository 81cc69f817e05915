"""The one writer of a SQLite file: a queue, a thread, and one durable commit for whatever is waiting.

Ledger records and checkpoints go through the same queue, so what was queued first is durable no later than what was
queued after it, whichever of the two it is. A writer is answered only after the commit.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from queue import SimpleQueue
from typing import Any, TypeVar

from ..contracts.errors import LedgerUnavailable
from .migrations import migrate

T = TypeVar("T")
Job = Callable[[sqlite3.Connection], Any]
MAX_BATCH = 512


def connect(path: Path) -> sqlite3.Connection:
    """A connection as every part of the ledger uses it: WAL, fully synchronous, waiting for other processes."""
    conn = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=30.0)
    conn.execute("PRAGMA journal_mode = WAL")
    conn.execute("PRAGMA synchronous = FULL")
    return conn


class GroupCommitWriter:
    """Runs jobs on its own connection, in order, many to a transaction.

    A job may run twice (after another job of its batch failed), so it keeps no state outside the database but what
    it forgets in `on_rollback`.
    """

    def __init__(self, path: Path, *, on_rollback: Callable[[], None] | None = None) -> None:
        self.where = str(path)
        self._forget = on_rollback or (lambda: None)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._conn = connect(path)
        migrate(self._conn, self.where)
        self._data_version = 0
        self._queue: SimpleQueue[tuple[Job, Future[Any]] | None] = SimpleQueue()
        self._closing = threading.Lock()
        self._closed = False
        # A daemon: a program that forgot close() still ends; what it was answered for is durable anyway.
        self._thread = threading.Thread(target=self._serve, name="edgewright-writer", daemon=True)
        self._thread.start()

    def submit(self, job: Callable[[sqlite3.Connection], T]) -> Future[T]:
        """Queue a job; the future is done after its commit. Never blocks.

        The future raises LedgerUnavailable when the commit failed or the writer is closed, and what the job raised
        when the job failed; neither touches the jobs of others.
        """
        future: Future[T] = Future()
        with self._closing:
            if self._closed:
                future.set_exception(LedgerUnavailable(where=self.where, cause="it is closed"))
            else:
                self._queue.put((job, future))
        return future

    def close(self) -> None:
        """Finish what is queued and close the connection."""
        with self._closing:
            if self._closed:
                return
            self._closed = True
            self._queue.put(None)
        self._thread.join()

    def _serve(self) -> None:
        open_ = True
        while open_:
            batch: list[tuple[Job, Future[Any]]] = []
            item = self._queue.get()
            while item is not None:
                batch.append(item)
                if len(batch) >= MAX_BATCH or self._queue.empty():
                    break
                item = self._queue.get()
            open_ = item is not None
            if batch and not self._commit(batch):
                for job in batch:
                    self._commit([job], last=True)
        self._conn.close()

    def _commit(self, batch: list[tuple[Job, Future[Any]]], *, last: bool = False) -> bool:
        """One transaction. On failure nothing of it stays; with `last`, the failure goes to the future."""
        try:
            self._begin()
            results = [job(self._conn) for job, _ in batch]
            self._conn.execute("COMMIT")
        except Exception as error:  # noqa: BLE001 - it goes to whoever waits for the job
            self._forget()
            if self._conn.in_transaction:
                self._conn.execute("ROLLBACK")
            if last or len(batch) == 1:
                is_store = isinstance(error, sqlite3.OperationalError | OSError)
                batch[0][1].set_exception(LedgerUnavailable(where=self.where, cause=str(error)) if is_store else error)
                return True
            return False
        for (_, future), result in zip(batch, results, strict=True):
            future.set_result(result)
        return True

    def _begin(self) -> None:
        self._conn.execute("BEGIN IMMEDIATE")
        # It changes when another connection committed: then what this process remembers may be stale.
        version = self._conn.execute("PRAGMA data_version").fetchone()[0]
        if version != self._data_version:
            self._data_version = version
            self._forget()

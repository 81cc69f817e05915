"""Counts in the ledger's SQLite file: written by its one writer, in the transaction of the records.

Every value goes to SQL as a parameter; the texts of the statements are constants.
"""

from __future__ import annotations

import sqlite3
from concurrent.futures import Future
from typing import Any, Protocol, TypeVar

from ..contracts.errors import LimitReached
from .counts import KEPT_SECONDS, Changes, Row

_FIND = "SELECT key, by, amount, time, lasting FROM counts WHERE key = ? AND by = ?"
# In two halves: SQLite's own sum ends with an error where it passes 64 bits.
_TOTAL = "SELECT sum(amount >> 32), sum(amount & 4294967295) FROM counts WHERE key = ? AND time >= ?"
_PUT = "INSERT OR REPLACE INTO counts (key, by, amount, time, lasting) VALUES (?, ?, ?, ?, ?)"
_DROP = "DELETE FROM counts WHERE key = ? AND by = ?"
# A few at a time, whoever counted them: no append pays for a table that has grown old.
_PRUNE = "DELETE FROM counts WHERE rowid IN (SELECT rowid FROM counts WHERE lasting = 0 AND time < ? LIMIT 64)"

T = TypeVar("T")


class _Executes(Protocol):
    """A connection, or what reads through one."""

    def execute(self, sql: str, parameters: Any = ..., /) -> sqlite3.Cursor:
        """Run a statement."""
        ...


def total_of(conn: _Executes, key: str, since: float) -> int:
    """The amounts under a key since a moment."""
    high, low = conn.execute(_TOTAL, [key, since]).fetchone()
    return ((high or 0) << 32) + (low or 0)


class SqliteCounts:
    """See `CountTable`."""

    def __init__(self, conn: sqlite3.Connection) -> None:
        self._conn = conn

    def row(self, key: str, by: str) -> Row | None:
        """See `CountTable.row`."""
        found = self._conn.execute(_FIND, (key, by)).fetchone()
        if found is None:
            return None
        key, by, amount, time, lasting = found
        return Row(key=key, by=by, amount=amount, time=time, lasting=bool(lasting))

    def total(self, key: str, since: float) -> int:
        """See `CountTable.total`."""
        return total_of(self._conn, key, since)

    def put(self, changes: Changes, now: float) -> None:
        """Make changes count. Some old rows go."""
        for (key, by), row in changes.items():
            if row is None:
                self._conn.execute(_DROP, (key, by))
            else:
                self._conn.execute(_PUT, (key, by, row.amount, row.time, int(row.lasting)))
        if changes:
            self._conn.execute(_PRUNE, (now - KEPT_SECONDS,))


def raising(done: Future[T | LimitReached]) -> Future[T]:
    """The future of a job whose result may be a refusal, as its caller wants it: a refusal raises.

    A job that raises has its whole batch committed again, job by job. Refusals are ordinary here, so they do not raise.
    """
    out: Future[T] = Future()

    def told(done: Future[T | LimitReached]) -> None:
        if not out.set_running_or_notify_cancel():  # nobody waits any more; it is done all the same
            return
        error = done.exception()
        if error is not None:
            out.set_exception(error)
        elif isinstance(result := done.result(), LimitReached):
            out.set_exception(result)
        else:
            out.set_result(result)

    done.add_done_callback(told)
    return out

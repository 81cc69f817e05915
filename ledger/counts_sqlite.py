"""Counts in the ledger's SQLite file: written by its one writer, in the transaction of the records.

Every value goes to SQL as a parameter; the texts of the statements are constants. Triggers keep a sum for each key and
day (`migrations.py`): the total of a window is read from few rows, however much was counted.
"""

from __future__ import annotations

import sqlite3
from concurrent.futures import Future
from typing import Any, Protocol, TypeVar

from ..contracts.errors import LimitReached
from .accounts import Account, Part, account_of, whole_days
from .counts import KEPT_SECONDS, Changes, Row

_ROW = "key, by, amount, reserved, time, expires, settled, lease, lasting"
_FIND = f"SELECT {_ROW} FROM counts WHERE key = ? AND by = ?"  # noqa: S608 - constants
# In two halves, here and below: SQLite's own sum ends with an error where it passes 64 bits.
_TOTAL = """SELECT sum(high), sum(low) FROM (
    SELECT high, low FROM count_sums WHERE key = :key AND day >= :day
    UNION ALL SELECT amount >> 32, amount & 4294967295 FROM counts
        WHERE key = :key AND lease = 0 AND time >= :since AND time < :begins
    UNION ALL SELECT amount >> 32, amount & 4294967295 FROM counts
        WHERE key = :key AND lease = 1 AND time >= :since AND expires > :now)"""
_PUT = f"""INSERT INTO counts ({_ROW}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (key, by) DO UPDATE SET
    amount = excluded.amount, reserved = excluded.reserved, time = excluded.time, expires = excluded.expires,
    settled = excluded.settled, lease = excluded.lease, lasting = excluded.lasting"""  # noqa: S608 - constants
_DROP = "DELETE FROM counts WHERE key = ? AND by = ?"
# A few at a time, whoever counted them: no append pays for a table that has grown old.
_PRUNE = """DELETE FROM counts WHERE rowid IN (
    SELECT rowid FROM counts WHERE lasting = 0 AND time < :old AND coalesce(expires < :old, 1) LIMIT 64)"""
# Summed up by what adds up: rows that stand alike, on one side of what was reserved.
_ACCOUNT = """SELECT
    CASE WHEN expires IS NULL THEN 'closed' WHEN expires > :now THEN 'open' ELSE 'lapsed' END AS standing, lease,
    sum(reserved >> 32), sum(reserved & 4294967295), sum(amount >> 32), sum(amount & 4294967295)
    FROM counts WHERE key = :key AND time >= :since GROUP BY standing, lease, amount > reserved"""
_NEXT_KEY = "SELECT min(key) FROM counts WHERE key > ?"
_IS_KEY = "SELECT 1 FROM counts WHERE key = ? LIMIT 1"

T = TypeVar("T")


class _Executes(Protocol):
    """A connection, or what reads through one."""

    def execute(self, sql: str, parameters: Any = ..., /) -> sqlite3.Cursor:
        """Run a statement."""
        ...


def _whole(high: int | None, low: int | None) -> int:
    return ((high or 0) << 32) + (low or 0)


def total_of(conn: _Executes, key: str, since: float, now: float) -> int:
    """The amounts under a key since a moment; of leases, those that are open now."""
    day, begins = whole_days(since)
    values = {"key": key, "since": since, "day": day, "begins": begins, "now": now}
    return _whole(*conn.execute(_TOTAL, values).fetchone())


def account_in(conn: _Executes, key: str, since: float, now: float) -> Account:
    """What became of all that was counted under a key since a moment."""
    found = conn.execute(_ACCOUNT, {"key": key, "since": since, "now": now}).fetchall()
    return account_of(
        Part(standing, bool(lease), _whole(*sums[:2]), _whole(*sums[2:])) for standing, lease, *sums in found
    )


def keys_in(conn: _Executes, prefix: str) -> list[str]:
    """The keys that begin so, sorted. They stand side by side in the index: it is entered once for each."""
    found = [prefix] if conn.execute(_IS_KEY, [prefix]).fetchone() else []
    after: str | None = prefix
    while after is not None:
        after = conn.execute(_NEXT_KEY, [after]).fetchone()[0]
        if after is None or not after.startswith(prefix):
            break
        found.append(after)
    return found


class SqliteCounts:
    """See `CountTable`."""

    def __init__(self, conn: sqlite3.Connection) -> None:
        self._conn = conn

    def row(self, key: str, by: str) -> Row | None:
        """See `CountTable.row`."""
        found = self._conn.execute(_FIND, (key, by)).fetchone()
        if found is None:
            return None
        key, by, amount, reserved, time, expires, settled, lease, lasting = found
        return Row(
            key=key,
            by=by,
            amount=amount,
            reserved=reserved,
            time=time,
            expires=expires,
            settled=bool(settled),
            lease=bool(lease),
            lasting=bool(lasting),
        )

    def total(self, key: str, since: float, now: float) -> int:
        """See `CountTable.total`."""
        return total_of(self._conn, key, since, now)

    def put(self, changes: Changes, now: float) -> None:
        """Make changes count. Some old rows go."""
        for (key, by), row in changes.items():
            if row is None:
                self._conn.execute(_DROP, (key, by))
            else:
                states = (int(row.settled), int(row.lease), int(row.lasting))
                self._conn.execute(_PUT, (key, by, row.amount, row.reserved, row.time, row.expires, *states))
        if changes:
            self._conn.execute(_PRUNE, {"old": now - KEPT_SECONDS})


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

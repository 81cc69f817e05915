"""Counts in PostgreSQL: the tables, and one transaction over them.

A transaction first locks the keys that it counts, in one order for all, and only then reads: under READ COMMITTED each
statement sees what was committed before it began, so nobody decides on a sum that another is about to change, and no
two wait for each other. Sums are kept by key and day, beside the rows and in their transaction.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import psycopg

from ..contracts.errors import LedgerVersion
from .accounts import Account, Part, account_of, whole_days
from .counts import DAY, KEPT_SECONDS, Changes, Count, Counting, Row

Connection = psycopg.Connection[tuple[Any, ...]]

VERSION = 1
_SPACE = 0x45444745
"""Where the locks live among all advisory locks of the database: "EDGE"."""
_STRIPES = 4096
"""Keys share locks, so that one transaction cannot use up the server's table of them."""
_SCHEMA = """
CREATE TABLE IF NOT EXISTS edgewright_counts (
    key text COLLATE "C" NOT NULL, by text COLLATE "C" NOT NULL, amount bigint NOT NULL CHECK (amount >= 0),
    reserved bigint NOT NULL, time float8 NOT NULL, day bigint NOT NULL, expires float8, settled bool NOT NULL,
    lease bool NOT NULL, lasting bool NOT NULL, PRIMARY KEY (key, by));
CREATE INDEX IF NOT EXISTS edgewright_counts_by_time
    ON edgewright_counts (key, time) INCLUDE (amount) WHERE NOT lease;
CREATE INDEX IF NOT EXISTS edgewright_leases ON edgewright_counts (key) WHERE lease;
CREATE INDEX IF NOT EXISTS edgewright_old_counts ON edgewright_counts (time) WHERE NOT lasting;
CREATE TABLE IF NOT EXISTS edgewright_count_sums (
    key text COLLATE "C" NOT NULL, day bigint NOT NULL, amount numeric NOT NULL, PRIMARY KEY (key, day));
CREATE TABLE IF NOT EXISTS edgewright_counts_version (version int NOT NULL);
INSERT INTO edgewright_counts_version SELECT 1 WHERE NOT EXISTS (SELECT FROM edgewright_counts_version);
"""
_IS_THERE = "SELECT to_regclass('edgewright_counts_version') IS NOT NULL"
_FOUND_VERSION = "SELECT version FROM edgewright_counts_version"
_BEGIN = "BEGIN ISOLATION LEVEL READ COMMITTED"
_LOCK = "SELECT pg_advisory_xact_lock(%s, stripe) FROM unnest(%s::int[]) AS stripe"
_BOUNDS = """SELECT set_config('statement_timeout', %(wait)s, true),
    set_config('idle_in_transaction_session_timeout', %(wait)s, true)"""
_ROWS = """SELECT key, by, amount, reserved, time, expires, settled, lease, lasting
    FROM unnest(%s::text[], %s::text[]) AS asked (key, by) JOIN edgewright_counts USING (key, by)"""
_LEASES = """SELECT key, by, amount, reserved, time, expires, settled, lease, lasting
    FROM edgewright_counts WHERE lease AND key = ANY(%s)"""
_TOTALS = """SELECT
    coalesce((SELECT sum(amount) FROM edgewright_count_sums AS s WHERE s.key = asked.key AND s.day >= asked.day), 0)
    + coalesce((SELECT sum(amount) FROM edgewright_counts AS c WHERE c.key = asked.key AND NOT c.lease
        AND c.time >= asked.since AND c.time < asked.begins), 0)
    FROM unnest(%s::text[], %s::float8[], %s::bigint[], %s::float8[]) WITH ORDINALITY
        AS asked (key, since, day, begins, place) ORDER BY place"""
_PUT = """INSERT INTO edgewright_counts (key, by, amount, reserved, time, day, expires, settled, lease, lasting)
    SELECT * FROM unnest(%s::text[], %s::text[], %s::bigint[], %s::bigint[], %s::float8[], %s::bigint[], %s::float8[],
        %s::bool[], %s::bool[], %s::bool[])
    ON CONFLICT (key, by) DO UPDATE SET amount = excluded.amount, reserved = excluded.reserved, time = excluded.time,
        day = excluded.day, expires = excluded.expires, settled = excluded.settled, lease = excluded.lease,
        lasting = excluded.lasting"""
_DROP = """DELETE FROM edgewright_counts AS c USING unnest(%s::text[], %s::text[]) AS gone (key, by)
    WHERE c.key = gone.key AND c.by = gone.by"""
_ADD = """INSERT INTO edgewright_count_sums AS s (key, day, amount)
    SELECT * FROM unnest(%s::text[], %s::bigint[], %s::numeric[])
    ON CONFLICT (key, day) DO UPDATE SET amount = s.amount + excluded.amount"""
_OLD_KEYS = """SELECT DISTINCT key FROM (SELECT key FROM edgewright_counts WHERE NOT lasting AND time < %(old)s
    AND coalesce(expires < %(old)s, true) LIMIT 1000) AS old"""
_PRUNE = """WITH gone AS (
    DELETE FROM edgewright_counts WHERE key = ANY(%(keys)s) AND NOT lasting AND time < %(old)s
        AND coalesce(expires < %(old)s, true) RETURNING key, day, amount, lease)
    UPDATE edgewright_count_sums AS s SET amount = s.amount - less.amount
    FROM (SELECT key, day, sum(amount) AS amount FROM gone WHERE NOT lease GROUP BY key, day) AS less
    WHERE s.key = less.key AND s.day = less.day"""
_OPEN_LEASES = """SELECT coalesce(sum(amount), 0) FROM edgewright_counts
    WHERE lease AND key = %s AND time >= %s AND expires > %s"""
_ACCOUNT = """SELECT
    CASE WHEN expires IS NULL THEN 'closed' WHEN expires > %s THEN 'open' ELSE 'lapsed' END AS standing,
    lease, sum(reserved), sum(amount)
    FROM edgewright_counts WHERE key = %s AND time >= %s GROUP BY standing, lease, amount > reserved"""
_NEXT_KEY = "SELECT min(key) FROM edgewright_counts WHERE key > %s"
_IS_KEY = "SELECT 1 FROM edgewright_counts WHERE key = %s LIMIT 1"


def set_up(conn: Connection, where: str) -> None:
    """Make the tables where there are none; of two that do, one does. Raises LedgerVersion for newer ones."""
    if not _one(conn, _IS_THERE):
        with conn.transaction():
            conn.execute(_LOCK, (_SPACE, [_STRIPES]))
            conn.execute(_SCHEMA)
    found = _one(conn, _FOUND_VERSION)
    if found != VERSION:
        raise LedgerVersion(where=where, found=found, known=VERSION, remedy="use a newer edgewright")


def _one(conn: Connection, query: str, values: Any = None) -> Any:
    row = conn.execute(query.encode(), values).fetchone()
    assert row is not None
    return row[0]


def locked(conn: Connection, keys: Iterable[str], wait: float) -> None:
    """Lock keys until the transaction ends. The server ends it, where it waits or is left alone for `wait` seconds."""
    conn.execute(_BOUNDS, {"wait": f"{int(wait * 1000)}ms"})
    stripes = {int.from_bytes(hashlib.sha256(key.encode()).digest()[:4]) % _STRIPES for key in keys}
    conn.execute(_LOCK, (_SPACE, sorted(stripes)))


class Taking:
    """The counts inside one transaction: all that countings ask about, read at once. See `CountTable`.

    The transaction begins here, and ends with `commit`. Whoever does not come to that closes the connection.

    Args:
        conn: in pipeline mode: nothing is waited for but what is read, and the end.
        wait: how long it waits for others who count the same, in seconds.
    """

    def __init__(self, conn: Connection, countings: Sequence[Counting], wait: float) -> None:
        self._conn = conn
        self._totals = dict[tuple[str, float], int]()
        for count in countings:
            for window in count.windows if isinstance(count, Count) else ():
                for key in (count.key, window.raised) if window.raised else (count.key,):
                    self._totals[key, window.since] = 0
        asked = {(c.key, c.by) for c in countings}
        keys = {key for key, _ in asked} | {key for key, _ in self._totals}
        self._rows = dict.fromkeys(asked, None) | Changes()
        self._before = Changes()
        self._since = defaultdict[str, list[float]](list)
        self._leases = defaultdict[str, dict[str, Row]](dict)
        conn.execute(_BEGIN)
        locked(conn, keys, wait)
        rows = conn.execute(_ROWS, _columns(asked, 2))
        leases = conn.execute(_LEASES, (sorted(keys),))
        totals = conn.execute(_TOTALS, _columns(((k, s, *whole_days(s)) for k, s in self._totals), 4))
        for row in map(_row, rows.fetchall()):
            self._rows[row.key, row.by] = row
        for row in map(_row, leases.fetchall()):
            self._leases[row.key][row.by] = row
        for (key, since), (total,) in zip(list(self._totals), totals.fetchall(), strict=True):
            self._totals[key, since] = int(total)
            self._since[key].append(since)

    def row(self, key: str, by: str) -> Row | None:
        """See `CountTable.row`."""
        return self._rows[key, by]

    def total(self, key: str, since: float, now: float) -> int:
        """See `CountTable.total`."""
        return self._totals[key, since] + sum(row.within(since, now) for row in self._leases[key].values())

    def put(self, changes: Changes) -> None:
        """Make changes count for those who are decided on after them."""
        for at, row in changes.items():
            before, (key, by) = self._rows[at], at
            self._before.setdefault(at, before)
            self._rows[at] = row
            self._leases[key].pop(by, None)
            if row is not None and row.lease:
                self._leases[key][by] = row
            for since in self._since[key]:
                self._totals[key, since] += _summed(row, since) - _summed(before, since)

    def commit(self) -> None:
        """Write what was put, and end the transaction. It is durable once the pipeline has ended without an error."""
        now = {at: self._rows[at] for at in self._before}
        sums = defaultdict[tuple[str, int], int](int)
        for at, before in self._before.items():
            for row, sign in ((before, -1), (now[at], 1)):
                if row is not None and not row.lease:
                    sums[row.key, _day(row)] += sign * row.amount
        kept = [_values(row) for row in now.values() if row is not None]
        gone = [at for at, row in now.items() if row is None]
        if kept:
            self._conn.execute(_PUT, _columns(kept, 10))
        if gone:
            self._conn.execute(_DROP, _columns(gone, 2))
        if added := [(key, day, amount) for (key, day), amount in sums.items() if amount]:
            self._conn.execute(_ADD, _columns(added, 3))
        self._conn.execute("COMMIT")


def prune(conn: Connection, now: float, wait: float) -> None:
    """Delete some old rows, in a transaction of its own."""
    with conn.transaction():
        keys = [key for (key,) in conn.execute(_OLD_KEYS, {"old": now - KEPT_SECONDS}).fetchall()]
        if keys:
            locked(conn, keys, wait)
            conn.execute(_PRUNE, {"keys": keys, "old": now - KEPT_SECONDS})


def total_in(conn: Connection, key: str, since: float, now: float) -> int:
    """The amounts under a key since a moment; of leases, those that are open now."""
    amounts = _one(conn, _TOTALS, _columns([(key, since, *whole_days(since))], 4))
    return int(amounts) + int(_one(conn, _OPEN_LEASES, (key, since, now)))


def account_in(conn: Connection, key: str, since: float, now: float) -> Account:
    """What became of all that was counted under a key since a moment."""
    found = conn.execute(_ACCOUNT, (now, key, since)).fetchall()
    return account_of(Part(standing, lease, int(reserved), int(amount)) for standing, lease, reserved, amount in found)


def keys_in(conn: Connection, prefix: str) -> list[str]:
    """The keys that begin so, sorted. They stand side by side in the index: it is entered once for each."""
    found = [prefix] if conn.execute(_IS_KEY, (prefix,)).fetchone() else []
    after: str | None = prefix
    while after is not None:
        after = _one(conn, _NEXT_KEY, (after,))
        if after is None or not after.startswith(prefix):
            break
        found.append(after)
    return found


def _summed(row: Row | None, since: float) -> int:
    return row.amount if row is not None and not row.lease and row.time >= since else 0


def _day(row: Row) -> int:
    return int(row.time // DAY)


def _values(row: Row) -> tuple[Any, ...]:
    states = (row.settled, row.lease, row.lasting)
    return row.key, row.by, row.amount, row.reserved, row.time, _day(row), row.expires, *states


def _row(found: Sequence[Any]) -> Row:
    key, by, amount, reserved, time, expires, settled, lease, lasting = found
    return Row(
        key=key,
        by=by,
        amount=amount,
        reserved=reserved,
        time=time,
        expires=expires,
        settled=settled,
        lease=lease,
        lasting=lasting,
    )


def _columns(rows: Iterable[Sequence[Any]], width: int) -> list[list[Any]]:
    """Rows as one array for each column."""
    columns: list[list[Any]] = [[] for _ in range(width)]
    for row in rows:
        for column, value in zip(columns, row, strict=True):
            column.append(value)
    return columns

"""The database's schema, as numbered migrations. A file knows its version (`user_version`) and whose it is.

Migration N brings a file from version N-1 to N. Migrations are never edited once released; a change is a new one.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence

import sqlite_utils

from ..contracts.errors import LedgerVersion

APPLICATION_ID = 0x45444745  # "EDGE", in the file's header


def _tables(db: sqlite_utils.Database) -> None:
    db.table("records").create(
        {
            "id": int,
            "run": str,
            "seq": int,
            "time": float,
            "kind": str,
            "key": str,
            "body": str,
            "previous": str,
            "hash": str,
        },
        pk="id",
        not_null={"run", "seq", "time", "kind", "body", "previous", "hash"},
    )
    db.table("records").create_index(["run", "seq"], unique=True)
    db.table("records").create_index(["run", "key"], unique=True)
    db.table("payloads").create({"run": str, "digest": str, "body": bytes}, pk=("run", "digest"), not_null={"body"})
    # INSERT OR REPLACE deletes without firing a DELETE trigger, hence the guard on INSERT.
    db.execute(
        """CREATE TRIGGER records_are_never_replaced BEFORE INSERT ON records
        WHEN EXISTS (SELECT 1 FROM records WHERE (run = NEW.run AND seq = NEW.seq) OR id = NEW.id)
          OR (NEW.key IS NOT NULL AND EXISTS (SELECT 1 FROM records WHERE run = NEW.run AND key = NEW.key))
        BEGIN SELECT RAISE(ABORT, 'ledger records are final'); END"""
    )
    for verb in ("UPDATE", "DELETE"):
        db.execute(
            f"""CREATE TRIGGER records_refuse_{verb.lower()} BEFORE {verb} ON records
            BEGIN SELECT RAISE(ABORT, 'ledger records are final'); END"""
        )


def _checkpoints(db: sqlite_utils.Database) -> None:
    # The tables of langgraph-checkpoint-sqlite, as its own setup() makes them: its saver reads them.
    db.execute(
        """CREATE TABLE IF NOT EXISTS checkpoints (
        thread_id TEXT NOT NULL, checkpoint_ns TEXT NOT NULL DEFAULT '', checkpoint_id TEXT NOT NULL,
        parent_checkpoint_id TEXT, type TEXT, checkpoint BLOB, metadata BLOB,
        PRIMARY KEY (thread_id, checkpoint_ns, checkpoint_id))"""
    )
    db.execute(
        """CREATE TABLE IF NOT EXISTS writes (
        thread_id TEXT NOT NULL, checkpoint_ns TEXT NOT NULL DEFAULT '', checkpoint_id TEXT NOT NULL,
        task_id TEXT NOT NULL, task_path TEXT NOT NULL DEFAULT '', idx INTEGER NOT NULL, channel TEXT NOT NULL,
        type TEXT, value BLOB, PRIMARY KEY (thread_id, checkpoint_ns, checkpoint_id, task_id, idx))"""
    )


def _reading(db: sqlite_utils.Database) -> None:
    db.execute("CREATE INDEX runs_by_thread ON records (json_extract(body, '$.thread')) WHERE kind = 'run.started'")
    # Filled when somebody searches, up to `search_state.upto`: the hot writer pays nothing for it.
    db.table("search").create({"run": str, "text": str})
    db.table("search").enable_fts(["text"], tokenize="unicode61", create_triggers=True)
    db.table("search_state").insert({"id": 1, "upto": 0}, pk="id")


def _sealing(db: sqlite_utils.Database) -> None:
    db.execute("ALTER TABLE payloads ADD COLUMN sealed BLOB")
    # Which key the file is sealed with, once it is; `ledger/keyfile.py` says how that comes about.
    db.execute("CREATE TABLE home_key (id INTEGER PRIMARY KEY CHECK (id = 1), mark BLOB NOT NULL)")


def _sharing(db: sqlite_utils.Database) -> None:
    columns = "alias TEXT NOT NULL, version INTEGER NOT NULL, writer TEXT, holder TEXT, until REAL, yields INTEGER"
    db.execute(
        f"""CREATE TABLE shared_records (tenant TEXT NOT NULL, kind TEXT NOT NULL, id TEXT NOT NULL, {columns},
        PRIMARY KEY (tenant, kind, id)) WITHOUT ROWID"""
    )
    db.execute("CREATE INDEX held_records ON shared_records (until) WHERE holder IS NOT NULL")
    columns = "value TEXT, version INTEGER NOT NULL, created REAL NOT NULL, updated REAL NOT NULL, writer TEXT NOT NULL"
    db.execute(
        f"""CREATE TABLE shared_items (tenant TEXT NOT NULL, namespace TEXT NOT NULL, key TEXT NOT NULL, {columns},
        PRIMARY KEY (tenant, namespace, key)) WITHOUT ROWID"""
    )


def _definitions(db: sqlite_utils.Database) -> None:
    # Of each system that ran: what it was, so that a thread in flight can be held against what it has become.
    db.table("definitions").create({"digest": str, "body": bytes}, pk="digest", not_null={"body"})


def _counts(db: sqlite_utils.Database) -> None:
    # Of each that counted: how much, and when. Sums are read from the first index alone.
    db.execute(
        """CREATE TABLE counts (key TEXT NOT NULL, by TEXT NOT NULL, amount INTEGER NOT NULL CHECK (amount >= 0),
        time REAL NOT NULL, lasting INTEGER NOT NULL, PRIMARY KEY (key, by))"""
    )
    db.execute("CREATE INDEX counts_by_time ON counts (key, time, amount)")
    db.execute("CREATE INDEX old_counts ON counts (time) WHERE lasting = 0")


def _settling(db: sqlite_utils.Database) -> None:
    # What was counted before was used at once: all of it was reserved, and is spent.
    for column in ("reserved INTEGER NOT NULL DEFAULT 0", "expires REAL"):
        db.execute(f"ALTER TABLE counts ADD COLUMN {column}")
    for flag in ("settled", "lease"):
        db.execute(f"ALTER TABLE counts ADD COLUMN {flag} INTEGER NOT NULL DEFAULT 0")
    db.execute("UPDATE counts SET reserved = amount")
    db.execute("DROP INDEX counts_by_time")
    db.execute("CREATE INDEX counts_by_time ON counts (key, time, amount) WHERE lease = 0")
    db.execute("CREATE INDEX leases ON counts (key, expires, time, amount) WHERE lease = 1")
    # Of amounts only, for leases end by themselves. In two halves, which do not pass 64 bits.
    db.execute(
        """CREATE TABLE count_sums (key TEXT NOT NULL, day INTEGER NOT NULL, high INTEGER NOT NULL,
        low INTEGER NOT NULL, PRIMARY KEY (key, day)) WITHOUT ROWID"""
    )
    added = """INSERT INTO count_sums (key, day, high, low)
        SELECT NEW.key, CAST(NEW.time AS INTEGER) / 86400, NEW.amount >> 32, NEW.amount & 4294967295 WHERE NEW.lease = 0
        ON CONFLICT (key, day) DO UPDATE SET high = high + excluded.high, low = low + excluded.low;"""
    taken = """UPDATE count_sums SET high = high - (OLD.amount >> 32), low = low - (OLD.amount & 4294967295)
        WHERE OLD.lease = 0 AND key = OLD.key AND day = CAST(OLD.time AS INTEGER) / 86400;"""
    for verb, steps in (("INSERT", added), ("DELETE", taken), ("UPDATE", taken + added)):
        db.execute(f"CREATE TRIGGER counts_sum_{verb.lower()} AFTER {verb} ON counts BEGIN {steps} END")
    db.execute(
        """INSERT INTO count_sums SELECT key, CAST(time AS INTEGER) / 86400, sum(amount >> 32), sum(amount & 4294967295)
        FROM counts GROUP BY 1, 2"""
    )


MIGRATIONS: Sequence[Callable[[sqlite_utils.Database], None]] = (
    _tables,
    _checkpoints,
    _reading,
    _sealing,
    _sharing,
    _definitions,
    _counts,
    _settling,
)
VERSION = len(MIGRATIONS)


def migrate(conn: sqlite3.Connection, where: str, *, upto: int = VERSION) -> None:
    """Bring the file to version `upto`, all of it or nothing. Two processes that open a new file agree.

    Raises:
        LedgerVersion: for a file of a newer version, or of another application.
    """
    conn.execute("BEGIN IMMEDIATE")
    try:
        found = conn.execute("PRAGMA user_version").fetchone()[0]
        owner = conn.execute("PRAGMA application_id").fetchone()[0]
        used = found or owner or conn.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone()
        if owner != APPLICATION_ID and used:
            raise LedgerVersion(where=where, found=found, known=VERSION, remedy="it is not a ledger; name another file")
        if found > VERSION:
            raise LedgerVersion(where=where, found=found, known=VERSION, remedy="use a newer edgewright")
        if found < upto:
            db = sqlite_utils.Database(conn)
            for step in MIGRATIONS[found:upto]:
                step(db)
            conn.execute(f"PRAGMA user_version = {upto:d}")
            conn.execute(f"PRAGMA application_id = {APPLICATION_ID:d}")
        conn.execute("COMMIT")
    except BaseException:
        if conn.in_transaction:
            conn.execute("ROLLBACK")
        raise

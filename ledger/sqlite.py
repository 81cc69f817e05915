"""The ledger in a SQLite file, shared by all runs of a process and safe between processes."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from contextlib import closing
from itertools import chain
from pathlib import Path
from typing import Any

import sqlite_utils

from ..contracts.errors import LedgerCorrupt, LedgerUnavailable, LimitReached, NotFound
from .accounts import Account
from .counts import changed
from .counts_sqlite import SqliteCounts, account_in, keys_in, raising, total_of
from .entry import GENESIS, Draft, Entry, Payload, decode, encode, link
from .keyfile import keyring_of
from .records import PayloadsErased
from .sealing import (
    RUN_KEY,
    Keyring,
    fits,
    is_keyed,
    key_first,
    open_exact,
    open_run_key,
    seal_exact,
    seal_run_key,
)
from .shared import filled, wake_settled
from .shared_sqlite import SqliteShared, SqliteTable, unless_refused, unpacked
from .store import Noted, RunSummary, text_of, turn_of, unchanged
from .writer import GroupCommitWriter, connect

_COLUMNS = "run, seq, time, kind, key, body, previous, hash"
_INSERT = f"INSERT INTO records ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608 - constants
_BY_KEY = f"SELECT {_COLUMNS} FROM records WHERE run = ? AND key = ?"  # noqa: S608 - constants
_HEAD = "SELECT seq, hash FROM records WHERE run = ? ORDER BY seq DESC LIMIT 1"
_KEEP = "INSERT OR IGNORE INTO payloads (run, digest, body, sealed) VALUES (?, ?, ?, ?)"
# As bytes, whatever somebody made of them: their digest or seal decides.
_RUN_KEY = f"SELECT CAST(sealed AS BLOB) FROM payloads WHERE run = ? AND digest = '{RUN_KEY}'"  # noqa: S608 - constants
_PAYLOAD = (
    f"SELECT CAST(body AS BLOB), CAST(sealed AS BLOB), ({_RUN_KEY}) "  # noqa: S608 - constants
    "FROM payloads WHERE run = ? AND digest = ?"
)


class SqliteLedger:
    """See `Ledger`. Appends go through one `GroupCommitWriter`; reads have a connection of their own.

    Args:
        key: the home key, 32 bytes; without it, the one in the file beside the database, which is made with it.

    Raises:
        LedgerVersion: when the file is newer than this program, or no ledger.
        LedgerKey: its key is missing, damaged, or another one.
    """

    def __init__(self, path: Path | str, *, key: bytes | None = None) -> None:
        self.path = Path(path)
        self._heads: dict[str, tuple[int, str]] = {}
        self.writer = GroupCommitWriter(self.path, on_rollback=self._heads.clear)
        try:
            self.keyring = self.writer.submit(lambda conn: _sealed(conn, self.path, key)).result()
        except BaseException:
            self.writer.close()
            raise
        self._reading = threading.Lock()
        self._read_conn = connect(self.path)
        self._db = sqlite_utils.Database(self._read_conn)
        self.shared = SqliteShared(self.writer, self._read, self.append)

    def append(self, run: str, drafts: Sequence[Draft]) -> Future[list[Entry]]:
        """See `Ledger.append`."""
        try:
            bodies = [encode(d.record) for d in drafts]
        except TypeError as error:  # not JSON: like any other fault, it is in the future
            failed: Future[list[Entry]] = Future()
            failed.set_exception(error)
            return failed
        if all(d.shared is None and not d.counts for d in drafts):
            return self.writer.submit(lambda conn: self._append(conn, run, drafts, bodies))
        job = self.writer.submit(lambda conn: unless_refused(conn, lambda: self._within_limits(conn, run, drafts)))
        # Whoever waits for a record that was settled tries again. A refusal settles nothing, and wakes in vain.
        job.add_done_callback(lambda _: wake_settled(d.shared for d in drafts))
        return raising(unpacked(job))

    def note(self, run: str, drafts: Sequence[Draft]) -> Noted:
        """See `Ledger.note`."""
        # Encoded by the writer: what is not JSON fails there, alone, and is found by whoever waits next.
        return self.writer.post(lambda conn: self._stepped(conn, run, drafts))

    def _within_limits(self, conn: sqlite3.Connection, run: str, drafts: Sequence[Draft]) -> list[Entry] | LimitReached:
        try:
            return self._stepped(conn, run, drafts)
        except LimitReached as refusal:  # decided before anything was written
            return refusal

    def _stepped(self, conn: sqlite3.Connection, run: str, drafts: Sequence[Draft]) -> list[Entry]:
        """Append drafts with the steps that hang on them: counts, and what becomes of shared records."""
        now, counts = time.time(), SqliteCounts(conn)

        def known(key: str) -> bool:
            return conn.execute(_BY_KEY, (run, key)).fetchone() is not None

        changes = changed(drafts, known, counts, now)
        drafts = filled(drafts, known, SqliteTable(conn), now)
        counts.put(changes, now)
        return self._append(conn, run, drafts, [encode(d.record) for d in drafts])

    def _append(
        self, conn: sqlite3.Connection, run: str, drafts: Sequence[Draft], bodies: Sequence[bytes]
    ) -> list[Entry]:
        if run not in self._heads:
            row = conn.execute(_HEAD, (run,)).fetchone()
            self._heads[run] = (row[0] + 1, row[1]) if row else (0, GENESIS)
        seq, previous = self._heads[run]
        out: list[Entry] = []
        for draft, body in zip(drafts, bodies, strict=True):
            if draft.key is not None and (row := conn.execute(_BY_KEY, (run, draft.key)).fetchone()):
                out.append(_entry(row))
                continue
            now, kind = time.time(), draft.record.kind
            own = link(previous, run, seq, now, kind, draft.key, body)
            conn.execute(_INSERT, (run, seq, now, kind, draft.key, body.decode(), previous, own))
            for item in key_first(draft.payloads):
                conn.execute(_KEEP, self._row(conn, run, item))
            out.append(
                Entry(
                    run=run,
                    seq=seq,
                    time=now,
                    key=draft.key,
                    record=draft.record,
                    previous=previous,
                    hash=own,
                    body=body,
                )
            )
            seq, previous = seq + 1, own
        self._heads[run] = (seq, previous)
        return out

    def _row(self, conn: sqlite3.Connection, run: str, item: Payload) -> tuple[str, str, bytes, bytes | None]:
        key = None if item.exact is None else self._run_key(run, conn.execute(_RUN_KEY, (run,)).fetchall())
        fits(item, key, run=run, where=str(self.path))
        if item.ref == RUN_KEY:
            return run, RUN_KEY, b"", seal_run_key(self.keyring, run, item.body)
        return run, item.ref, item.body, seal_exact(key, run, item) if key is not None else None

    def _run_key(self, run: str, rows: Sequence[Any]) -> bytes | None:
        return open_run_key(self.keyring, run, rows[0][0]) if rows else None

    def _read(self, work: Callable[[sqlite_utils.Database], Any]) -> Any:
        with self._reading:
            return work(self._db)

    def _rows(self, run: str, sql: str, *values: str) -> list[Any]:
        try:
            rows: list[Any] = self._read(lambda db: db.execute(sql, values).fetchall())
        except sqlite3.ProgrammingError:  # it is closed
            raise
        except sqlite3.DatabaseError as error:  # no text, no page: what the file holds cannot be read
            raise LedgerCorrupt(run=run, seq=-1, fault=f"cannot be read: {error}") from error
        return rows

    def counted(self, key: str, since: float) -> int:
        """See `Ledger.counted`."""
        found: int = self._read(lambda db: total_of(db, key, since, time.time()))
        return found

    def account(self, key: str, since: float) -> Account:
        """See `Ledger.account`."""
        found: Account = self._read(lambda db: account_in(db, key, since, time.time()))
        return found

    def counted_keys(self, prefix: str) -> list[str]:
        """See `Ledger.counted_keys`."""
        found: list[str] = self._read(lambda db: keys_in(db, prefix))
        return found

    def entries(self, run: str) -> list[Entry]:
        """See `Ledger.entries`."""
        sql = f"SELECT {_COLUMNS} FROM records WHERE run = ? ORDER BY seq"  # noqa: S608 - constants
        return [_entry(row) for row in self._rows(run, sql, run)]

    def runs(self, *, thread: str | None = None, limit: int = 1000) -> list[RunSummary]:
        """See `Ledger.runs`."""
        facts = ", ".join(f"json_extract(body, '$.{name}')" for name in ("thread", "system", "tenant"))
        where = "kind = 'run.started'" + (" AND json_extract(body, '$.thread') = ?" if thread is not None else "")

        def work(db: sqlite_utils.Database) -> list[RunSummary]:
            started = db.execute(
                f"SELECT run, time, {facts} FROM records WHERE {where} ORDER BY time DESC, run LIMIT ?",  # noqa: S608 - constants
                [*([] if thread is None else [thread]), limit],
            ).fetchall()
            return [_summary(db, *row) for row in started]

        found: list[RunSummary] = self._read(work)
        return found

    def run_key(self, run: str) -> bytes | None:
        """See `Ledger.run_key`."""
        return self._run_key(run, self._rows(run, _RUN_KEY, run))

    def payload(self, run: str, ref: str) -> bytes | None:
        """See `Ledger.payload`."""
        found = self._found(run, ref)
        return None if found is None else found[0]

    def exact(self, run: str, ref: str) -> bytes | None:
        """See `Ledger.exact`."""
        found = self._found(run, ref)
        return None if found is None else found[1]

    def _found(self, run: str, ref: str) -> tuple[bytes, bytes] | None:
        rows = [] if ref == RUN_KEY else self._rows(run, _PAYLOAD, run, run, ref)
        if not rows:
            return None
        body, sealed, sealed_key = rows[0]
        if not is_keyed(ref):
            return (unchanged(run, ref, body),) * 2
        key = open_run_key(self.keyring, run, sealed_key)  # without it nothing vouches for the body either
        return body, open_exact(key, run, ref, body, sealed)

    def define(self, digest: str, body: bytes) -> None:
        """See `Ledger.define`."""
        self.writer.post(lambda conn: conn.execute("INSERT OR IGNORE INTO definitions VALUES (?, ?)", (digest, body)))

    def definition(self, digest: str) -> bytes | None:
        """See `Ledger.definition`."""
        row = self._read(lambda db: db.execute("SELECT body FROM definitions WHERE digest = ?", [digest]).fetchone())
        return bytes(row[0]) if row else None

    def erase(self, run: str, *, by: str, reason: str = "") -> None:
        """See `Ledger.erase`."""
        self.writer.submit(lambda conn: self._erase(conn, run, by, reason)).result()
        _emptied_log(self.path)

    def _erase(self, conn: sqlite3.Connection, run: str, by: str, reason: str) -> None:
        if conn.execute(_HEAD, (run,)).fetchone() is None:
            raise NotFound(kind="run", name=run)
        conn.execute(f"DELETE FROM payloads WHERE run = ? AND digest = '{RUN_KEY}'", (run,))  # noqa: S608 - constant
        erased = conn.execute("DELETE FROM payloads WHERE run = ?", (run,)).rowcount
        conn.execute("DELETE FROM search WHERE run = ?", (run,))
        # FTS5 only marks a row as deleted; its words go when the parts of the index are merged.
        conn.execute("INSERT INTO search_fts (search_fts) VALUES ('optimize')")
        record = PayloadsErased(payloads=erased, by=by, reason=reason)
        self._append(conn, run, [Draft(record=record)], [encode(record)])

    def search(self, text: str, *, limit: int = 50) -> list[str]:
        """See `Ledger.search`; SQLite FTS5. New records are indexed first, through the writer."""
        # Each word a quoted phrase: inside quotes FTS5 has no operators, and a phrase without a word is an error.
        plain = text.encode(errors="replace").decode().replace('"', " ").replace("\0", " ")
        query = " ".join(f'"{word}"' for word in plain.split() if any(c.isalnum() for c in word))
        if not query:
            return []
        self.writer.submit(_index).result()

        def work(db: sqlite_utils.Database) -> list[str]:
            return [row["run"] for row in db.table("search").search(query, limit=limit)]

        found: list[str] = self._read(work)
        return found

    def close(self) -> None:
        """See `Ledger.close`."""
        self.writer.close()
        with self._reading:
            self._read_conn.close()


def _sealed(conn: sqlite3.Connection, path: Path, key: bytes | None) -> Keyring:
    conn.execute("PRAGMA secure_delete = ON")  # this connection writes; what it deletes is overwritten
    return keyring_of(conn, path, key)


def _emptied_log(path: Path) -> None:
    """Bring the write-ahead log into the file and empty it: it holds earlier states of what was deleted."""
    try:
        with closing(connect(path)) as conn:
            held = conn.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
    except sqlite3.Error as error:
        raise LedgerUnavailable(where=str(path), cause=f"it is erased, but not from the log: {error}") from error
    if held:
        cause = "it is erased, but another connection still reads an earlier state; erase it again when that ended"
        raise LedgerUnavailable(where=str(path), cause=cause)


def _entry(row: Sequence[Any]) -> Entry:
    run, seq, when, kind, key, body, previous, own = row
    try:
        record, raw = decode(kind, body), body.encode()
        if not isinstance(key, str | None):
            raise TypeError("its key is no text")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise LedgerCorrupt(run=run, seq=seq, fault=f"is no record ({type(error).__name__})") from error
    return Entry(run=run, seq=seq, time=when, key=key, record=record, previous=previous, hash=own, body=raw)


def _summary(
    db: sqlite_utils.Database, run: str, when: float, thread: str, system: str, tenant: str | None
) -> RunSummary:
    # Row by row from the newest on: of a run that ended, the first row or two tell all.
    with closing(db.execute("SELECT kind, seq, time FROM records WHERE run = ? ORDER BY seq DESC", [run])) as back:
        newest = next(back)
        turn = turn_of(chain([newest], back))
    status, reason = turn.status, ""
    if turn.seq >= 0:
        facts = "json_extract(body, '$.status'), json_extract(body, '$.reason')"
        sql = f"SELECT {facts} FROM records WHERE run = ? AND seq = ?"  # noqa: S608 - constants
        said, why = db.execute(sql, [run, turn.seq]).fetchone()
        status, reason = status or said or "", why or ""
    return RunSummary(
        run=run,
        thread=thread,
        system=system,
        tenant=tenant or "local",  # a record from before there were tenants has none
        status=status,
        started=when,
        ended=turn.time,
        reason=reason,
        dropped=turn.dropped,
        records=newest[1] + 1,
    )


def _index(conn: sqlite3.Connection) -> None:
    upto = conn.execute("SELECT upto FROM search_state").fetchone()[0]
    newest = conn.execute("SELECT coalesce(max(id), 0) FROM records").fetchone()[0]
    if newest == upto:
        return
    touched: Iterable[tuple[str]] = conn.execute("SELECT DISTINCT run FROM records WHERE id > ?", (upto,)).fetchall()
    for (run,) in touched:
        conn.execute("DELETE FROM search WHERE run = ?", (run,))
        records = conn.execute("SELECT kind, body FROM records WHERE run = ?", (run,))
        bodies = [f"{kind} {text_of(body)}" for kind, body in records]
        contents = conn.execute("SELECT body FROM payloads WHERE run = ? AND digest <> ?", (run, RUN_KEY))
        text = "\n".join([*bodies, *(text_of(content) for (content,) in contents)])
        conn.execute("INSERT INTO search (run, text) VALUES (?, ?)", (run, text))
    conn.execute("UPDATE search_state SET upto = ?", (newest,))

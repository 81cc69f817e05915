"""The ledger in a SQLite file, shared by all runs of a process and safe between processes."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import sqlite_utils

from ..contracts.errors import LedgerCorrupt
from .entry import GENESIS, Draft, Entry, decode, encode, link
from .store import Noted, RunSummary, status_of, text_of, unchanged
from .writer import GroupCommitWriter, connect

_COLUMNS = "run, seq, time, kind, key, body, previous, hash"
_INSERT = f"INSERT INTO records ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608 - constants
_BY_KEY = f"SELECT {_COLUMNS} FROM records WHERE run = ? AND key = ?"  # noqa: S608 - constants
_HEAD = "SELECT seq, hash FROM records WHERE run = ? ORDER BY seq DESC LIMIT 1"


class SqliteLedger:
    """See `Ledger`. Appends go through one `GroupCommitWriter`; reads have a connection of their own.

    Raises:
        LedgerVersion: when the file is newer than this program, or no ledger.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._heads: dict[str, tuple[int, str]] = {}
        self.writer = GroupCommitWriter(self.path, on_rollback=self._heads.clear)
        self._reading = threading.Lock()
        self._read_conn = connect(self.path)
        self._db = sqlite_utils.Database(self._read_conn)

    def append(self, run: str, drafts: Sequence[Draft]) -> Future[list[Entry]]:
        """See `Ledger.append`."""
        try:
            bodies = [encode(d.record) for d in drafts]
        except TypeError as error:  # not JSON: like any other fault, it is in the future
            failed: Future[list[Entry]] = Future()
            failed.set_exception(error)
            return failed
        return self.writer.submit(lambda conn: self._append(conn, run, drafts, bodies))

    def note(self, run: str, drafts: Sequence[Draft]) -> Noted:
        """See `Ledger.note`."""
        # Encoded by the writer: what is not JSON fails there, alone, and is found by whoever waits next.
        return self.writer.post(lambda conn: self._append(conn, run, drafts, [encode(d.record) for d in drafts]))

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
            for digest, content in draft.payloads:
                conn.execute("INSERT OR IGNORE INTO payloads VALUES (?, ?, ?)", (run, digest, content))
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

    def _read(self, work: Callable[[sqlite_utils.Database], Any]) -> Any:
        with self._reading:
            return work(self._db)

    def entries(self, run: str) -> list[Entry]:
        """See `Ledger.entries`."""
        sql = f"SELECT {_COLUMNS} FROM records WHERE run = ? ORDER BY seq"  # noqa: S608 - constants
        try:
            rows = self._read(lambda db: db.execute(sql, [run]).fetchall())
        except sqlite3.ProgrammingError:  # it is closed
            raise
        except sqlite3.DatabaseError as error:  # no text, no page: what the file holds cannot be read
            raise LedgerCorrupt(run=run, seq=-1, fault=f"cannot be read: {error}") from error
        return [_entry(row) for row in rows]

    def runs(self, *, thread: str | None = None, limit: int = 1000) -> list[RunSummary]:
        """See `Ledger.runs`."""
        where = "kind = 'run.started'" + (" AND json_extract(body, '$.thread') = ?" if thread is not None else "")
        order = "time DESC, run"

        def work(db: sqlite_utils.Database) -> list[RunSummary]:
            started = db.execute(
                f"SELECT run, time, json_extract(body, '$.thread'), json_extract(body, '$.system') FROM records "  # noqa: S608 - constants
                f"WHERE {where} ORDER BY {order} LIMIT ?",
                [*([] if thread is None else [thread]), limit],
            ).fetchall()
            return [_summary(db, *row) for row in started]

        found: list[RunSummary] = self._read(work)
        return found

    def payload(self, run: str, digest: str) -> bytes | None:
        """See `Ledger.payload`."""
        sql = "SELECT body FROM payloads WHERE run = ? AND digest = ?"
        row = self._read(lambda db: db.execute(sql, [run, digest]).fetchone())
        if row is None:
            return None
        body = row[0] if isinstance(row[0], bytes) else str(row[0]).encode()  # another type: somebody was at it
        return unchanged(run, digest, body)

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


def _entry(row: Sequence[Any]) -> Entry:
    run, seq, when, kind, key, body, previous, own = row
    try:
        record, raw = decode(kind, body), body.encode()
        if not isinstance(key, str | None):
            raise TypeError("its key is no text")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise LedgerCorrupt(run=run, seq=seq, fault=f"is no record ({type(error).__name__})") from error
    return Entry(run=run, seq=seq, time=when, key=key, record=record, previous=previous, hash=own, body=raw)


def _summary(db: sqlite_utils.Database, run: str, when: float, thread: str, system: str) -> RunSummary:
    kinds = [row[0] for row in db.execute("SELECT kind FROM records WHERE run = ? ORDER BY seq", [run])]
    ended = db.execute(
        "SELECT json_extract(body, '$.status') FROM records WHERE run = ? AND kind = 'run.ended' "
        "ORDER BY seq DESC LIMIT 1",
        [run],
    ).fetchone()
    status = status_of(kinds, ended[0] if ended else None)
    return RunSummary(run=run, thread=thread, system=system, status=status, started=when, records=len(kinds))


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
        contents = conn.execute("SELECT body FROM payloads WHERE run = ?", (run,))
        text = "\n".join([*bodies, *(text_of(content) for (content,) in contents)])
        conn.execute("INSERT INTO search (run, text) VALUES (?, ?)", (run, text))
    conn.execute("UPDATE search_state SET upto = ?", (newest,))

"""Threads and runs as the API knows them, in `server.db` in the home. What happened in a run is in the ledger."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import orjson
import sqlite_utils

from ..contracts.errors import NotFound, ProjectInvalid

T = TypeVar("T")
FILE = "server.db"
STOPPED = {"error": "ServerStopped", "message": "the server stopped; a run without input goes on from here"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Thread:
    """A thread; `graph` is the name of the graph whose state it holds, empty until its first run."""

    id: str
    graph: str
    metadata: Mapping[str, Any]
    created: str
    updated: str
    tenant: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRow:
    """A run of the API; `error` tells how it failed."""

    id: str
    thread: str
    graph: str
    status: str
    metadata: Mapping[str, Any]
    error: Mapping[str, Any] | None
    created: str
    updated: str


class Threads:
    """The table of threads and runs. One server holds the file, so one run at a time per thread is its promise.

    Args:
        path: the home's folder; None keeps everything in memory.

    Raises:
        ProjectInvalid: another server holds the file.
    """

    def __init__(self, path: Path | None) -> None:
        where = path / FILE if path else None
        if where:
            where.parent.mkdir(parents=True, exist_ok=True)
        conn = sqlite3.connect(where or ":memory:", isolation_level=None, check_same_thread=False, timeout=0.0)
        try:
            conn.execute("PRAGMA locking_mode = EXCLUSIVE")
            conn.execute("PRAGMA journal_mode = WAL")
            conn.execute("BEGIN EXCLUSIVE")
            conn.execute("COMMIT")
        except sqlite3.OperationalError as error:
            conn.close()
            fault = f"cannot be opened ({error}); is another server running on this home? There can be one"
            raise ProjectInvalid(name=str(where), faults=[fault]) from None
        self._db, self._lock = sqlite_utils.Database(conn), threading.Lock()
        text = dict.fromkeys(("id", "graph", "metadata", "created", "updated"), str)
        self._db.table("threads").create({**text, "tenant": str}, pk="id", if_not_exists=True)
        if "tenant" not in self._db.table("threads").columns_dict:
            self._db.table("threads").add_column("tenant", str, not_null_default="")
        runs = {**text, "thread": str, "status": str, "error": str}
        self._db.table("runs").create(runs, pk="id", if_not_exists=True).create_index(["thread"], if_not_exists=True)
        # The lock is ours, so whatever was running has stopped with the process that ran it.
        self._db.execute(
            "UPDATE runs SET status = 'error', error = ? WHERE status = 'running'", [orjson.dumps(STOPPED).decode()]
        )

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    async def _do(self, work: Callable[[sqlite_utils.Database], T]) -> T:
        def locked() -> T:
            with self._lock, self._db.atomic():
                return work(self._db)

        return await asyncio.to_thread(locked)

    async def create(self, thread: str, metadata: Mapping[str, Any], *, tenant: str = "") -> bool:
        """Add a thread; False where it was there."""
        now = _now()
        row = [thread, "", orjson.dumps(metadata).decode(), now, now, tenant]
        sql = "INSERT OR IGNORE INTO threads (id, graph, metadata, created, updated, tenant) VALUES (?, ?, ?, ?, ?, ?)"
        made = await self._do(lambda db: db.execute(sql, row).rowcount)
        return bool(made)

    async def get(self, thread: str) -> Thread:
        """Raises NotFound."""

        def work(db: sqlite_utils.Database) -> dict[str, Any] | None:
            with suppress(sqlite_utils.db.NotFoundError):
                found: dict[str, Any] = db.table("threads").get(thread)
                return found
            return None

        row = await self._do(work)
        if row is None:
            raise NotFound(kind="thread", name=thread)
        return _thread(row)

    async def tenant(self, thread: str) -> str:
        """Whose a thread is; empty where it is not there, or nobody was asked who they are."""
        sql = "SELECT tenant FROM threads WHERE id = ?"
        found = await self._do(lambda db: db.execute(sql, [thread]).fetchone())
        return str(found[0] or "") if found else ""

    async def search(
        self,
        *,
        metadata: Mapping[str, Any] | None = None,
        ids: Sequence[str] | None = None,
        by: str = "created_at",
        ascending: bool = False,
    ) -> list[Thread]:
        """Threads whose metadata equals `metadata` in its keys; newest first."""
        column = {"created_at": "created", "updated_at": "updated"}[by]
        order = f"{column} {'asc' if ascending else 'desc'}, id"
        rows = await self._do(lambda db: list(db.table("threads").rows_where(order_by=order)))
        found = [_thread(row) for row in rows if ids is None or row["id"] in ids]
        # Compared here and not in SQL: a client's key never becomes part of a query (threat 42).
        wanted = (metadata or {}).items()
        return [t for t in found if all(k in t.metadata and t.metadata[k] == v for k, v in wanted)]

    async def begin(self, run: str, thread: str, graph: str, metadata: Mapping[str, Any]) -> None:
        """Record that a run begins on a thread of this graph."""
        now, text = _now(), orjson.dumps(metadata).decode()

        def work(db: sqlite_utils.Database) -> None:
            db.execute("UPDATE threads SET graph = ?, updated = ? WHERE id = ?", [graph, now, thread])
            db.execute(
                "INSERT INTO runs (id, thread, graph, status, metadata, error, created, updated) "
                "VALUES (?, ?, ?, 'running', ?, NULL, ?, ?)",
                [run, thread, graph, text, now, now],
            )

        await self._do(work)

    async def end(self, run: str, thread: str, status: str, error: Mapping[str, Any] | None) -> None:
        """Record how a run ended."""
        now, text = _now(), orjson.dumps(error).decode() if error else None

        def work(db: sqlite_utils.Database) -> None:
            db.execute("UPDATE runs SET status = ?, error = ?, updated = ? WHERE id = ?", [status, text, now, run])
            db.execute("UPDATE threads SET updated = ? WHERE id = ?", [now, thread])

        await self._do(work)

    async def runs(self, thread: str, *, run: str | None = None) -> list[RunRow]:
        """A thread's runs, newest first; or the one."""
        where, given = ("thread = ? AND id = ?", [thread, run]) if run else ("thread = ?", [thread])
        order = "created desc, id"
        found = await self._do(lambda db: list(db.table("runs").rows_where(where, given, order_by=order)))
        return [_run(row) for row in found]


def _now() -> str:
    return datetime.now(UTC).isoformat()


def _thread(row: Mapping[str, Any]) -> Thread:
    return Thread(**{**row, "metadata": orjson.loads(row["metadata"])})


def _run(row: Mapping[str, Any]) -> RunRow:
    error = orjson.loads(row["error"]) if row["error"] else None
    return RunRow(**{**row, "metadata": orjson.loads(row["metadata"]), "error": error})

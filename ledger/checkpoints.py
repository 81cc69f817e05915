"""The checkpointer: LangGraph's own SQLite saver, writing through the ledger's queue.

A checkpoint and the records before it share a commit, and a put is answered only after it. Reads go through the
stock saver's own code on a connection of their own, in a thread.

Every blob is sealed with the home key and bound to its row (`ledger/sealing.py`). LangGraph's `EncryptedSerializer`
would not do: it loads a row that is not encrypted, and does not know which row it loads. So the reading connection
has views in the place of the tables, which add each row's place to its type, and the serialiser checks it.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from cryptography.exceptions import InvalidTag
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    WRITES_IDX_MAP,
    BaseCheckpointSaver,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    DeltaChannelHistory,
    get_checkpoint_metadata,
)
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

from ..contracts.errors import CheckpointCorrupt
from .sealing import TABLES, Keyring, Part, open_row, place, place_in_sql, seal_row
from .sqlite import SqliteLedger
from .writer import connect

_Job = Callable[[sqlite3.Connection], None]
_PUT = (
    "INSERT OR REPLACE INTO checkpoints (thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id, type, "
    "checkpoint, metadata) VALUES (?, ?, ?, ?, ?, ?, ?)"
)
_COLUMNS = "(thread_id, checkpoint_ns, checkpoint_id, task_id, task_path, idx, channel, type, value)"
_WRITE = f"INTO writes {_COLUMNS} VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"


def safe_serializer() -> JsonPlusSerializer:
    """A serialiser that builds only LangGraph's own safe types (CVE-2026-28277), whatever the environment says."""
    return JsonPlusSerializer(allowed_msgpack_modules=None, pickle_fallback=False)


class _Opening(JsonPlusSerializer):
    """Loads what is sealed, and nothing else; a row's type begins with its place."""

    def __init__(self, keyring: Keyring) -> None:
        super().__init__(allowed_msgpack_modules=None, pickle_fallback=False)
        self._keyring = keyring

    def loads_typed(self, data: tuple[str, bytes]) -> Any:
        """The value. Raises CheckpointCorrupt."""
        at, kind = data[0].rsplit(" ", 1)
        try:
            opened = open_row(self._keyring, at, kind, data[1])
        except InvalidTag:
            thread, _, checkpoint = (bytes.fromhex(part).decode(errors="replace") for part in at.split(" ")[1:4])
            fault = "was changed after it was written" if "+" in kind else "is not sealed"
            raise CheckpointCorrupt(thread=thread, checkpoint=checkpoint, fault=fault) from None
        return super().loads_typed(opened)


class LedgerSaver(AsyncSqliteSaver):
    """A checkpoint saver on the ledger's file and queue. Usable from any event loop, and from none.

    Reading raises CheckpointCorrupt for a row that this ledger did not seal, or that was changed or moved since.
    """

    def __init__(self, ledger: SqliteLedger) -> None:
        # Not the parent's __init__: that binds to one event loop and to a connection we do not write through.
        BaseCheckpointSaver.__init__(self, serde=safe_serializer())
        self.jsonplus_serde = safe_serializer()
        self.is_setup = True
        self._ledger = ledger
        self._keyring = ledger.keyring
        conn = connect(ledger.path)
        _show_places(conn)
        self._reader = SqliteSaver(conn, serde=_Opening(self._keyring))
        self._reader.is_setup = True
        self._reads = ThreadPoolExecutor(1, thread_name_prefix="edgewright-reader")
        self._closed = threading.Event()

    async def setup(self) -> None:
        """Nothing to do: the ledger's migrations made the tables."""

    def close(self) -> None:
        """Close the reading side; the ledger closes the writing one."""
        if not self._closed.is_set():
            self._closed.set()
            self._reads.shutdown()
            self._reader.conn.close()

    async def _in_thread(self, work: Any, *args: Any, **kwargs: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._reads, lambda: work(*args, **kwargs))

    # -- writing ------------------------------------------------------------------------------------------------

    def _put(
        self, config: RunnableConfig, checkpoint: Checkpoint, metadata: CheckpointMetadata
    ) -> tuple[_Job, RunnableConfig]:
        where = config["configurable"]
        thread, ns = str(where["thread_id"]), where["checkpoint_ns"]
        notes = json.dumps(get_checkpoint_metadata(config, metadata), ensure_ascii=False).encode("utf-8", "ignore")
        key = (thread, ns, checkpoint["id"], where.get("checkpoint_id"))
        row = (*key, *self._sealed("checkpoints", (*key, notes), checkpoint), notes)
        saved: RunnableConfig = {
            "configurable": {"thread_id": thread, "checkpoint_ns": ns, "checkpoint_id": checkpoint["id"]}
        }
        return lambda conn: _discard(conn.execute(_PUT, row)), saved

    def _sealed(self, table: str, key: Sequence[Part], value: Any) -> tuple[str, bytes]:
        return seal_row(self._keyring, place(table, key), *self.serde.dumps_typed(value))

    def _put_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str
    ) -> _Job:
        where = config["configurable"]
        # As upstream: special channels (errors, interrupts, resumes) replace, ordinary writes are kept as first made.
        verb = "INSERT OR REPLACE " if all(w[0] in WRITES_IDX_MAP for w in writes) else "INSERT OR IGNORE "
        base = (str(where["thread_id"]), str(where["checkpoint_ns"]), str(where["checkpoint_id"]), task_id, task_path)
        keys = [(*base, WRITES_IDX_MAP.get(channel, index), channel) for index, (channel, _) in enumerate(writes)]
        rows = [(*key, *self._sealed("writes", key, value)) for key, (_, value) in zip(keys, writes, strict=True)]
        return lambda conn: _discard(conn.executemany(verb + _WRITE, rows))

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Save a checkpoint; returns after the commit that holds it."""
        job, saved = self._put(config, checkpoint, metadata)
        await self._ledger.writer.submit_here(job)
        return saved

    async def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """Save a task's writes; returns after the commit that holds them.

        LangGraph does this beside the run, and the step's checkpoint follows at once: they share its commit.
        """
        await self._ledger.writer.submit_here(self._put_writes(config, writes, task_id, task_path), lazy=True)

    async def adelete_thread(self, thread_id: str) -> None:
        """Delete a thread's checkpoints and writes. Its ledger records stay."""
        await self._ledger.writer.submit_here(_deleting(thread_id))

    def put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """`aput`, blocking."""
        job, saved = self._put(config, checkpoint, metadata)
        self._ledger.writer.submit(job).result()
        return saved

    def put_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """`aput_writes`, blocking."""
        self._ledger.writer.submit(self._put_writes(config, writes, task_id, task_path), lazy=True).result()

    def delete_thread(self, thread_id: str) -> None:
        """`adelete_thread`, blocking."""
        self._ledger.writer.submit(_deleting(thread_id)).result()

    # -- reading ------------------------------------------------------------------------------------------------

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """The checkpoint that `config` names, or the newest of its thread."""
        found: CheckpointTuple | None = await self._in_thread(self._reader.get_tuple, config)
        return found

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        """Checkpoints, newest first."""
        for found in await self._in_thread(self._listed, config, filter=filter, before=before, limit=limit):
            yield found

    def _listed(self, config: RunnableConfig | None, **chosen: Any) -> list[CheckpointTuple]:
        return list(self._reader.list(config, **chosen))

    async def aget_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        """As upstream, on the reading connection."""
        found: Mapping[str, DeltaChannelHistory] = await self._in_thread(
            self._reader.get_delta_channel_history, config=config, channels=channels
        )
        return found

    def get_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        """`aget_delta_channel_history`, blocking."""
        return self._reader.get_delta_channel_history(config=config, channels=channels)

    def get_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """`aget_tuple`, blocking."""
        return self._reader.get_tuple(config)

    def list(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> Iterator[CheckpointTuple]:
        """`alist`, blocking."""
        yield from self._reader.list(config, filter=filter, before=before, limit=limit)


def _show_places(conn: sqlite3.Connection) -> None:
    for table, blob, columns in TABLES:
        kind = f"{place_in_sql(table, columns)} || ' ' || coalesce(type, '')"
        shown = f"SELECT {', '.join(columns)}, {blob}, {kind} AS type FROM main.{table}"  # noqa: S608 - constants
        conn.execute(f"CREATE TEMP VIEW {table} AS {shown}")


def _deleting(thread_id: str) -> _Job:
    def job(conn: sqlite3.Connection) -> None:
        conn.execute("DELETE FROM checkpoints WHERE thread_id = ?", (str(thread_id),))
        conn.execute("DELETE FROM writes WHERE thread_id = ?", (str(thread_id),))

    return job


def _discard(_: sqlite3.Cursor) -> None:
    return None

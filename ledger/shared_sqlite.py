"""Shared records and items in the ledger's SQLite file: written by its one writer, in the transaction of the records.

Every value goes to SQL as a parameter; the texts of the statements are constants.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import replace
from typing import Any, TypeVar

import orjson
import sqlite_utils

from ..contracts.errors import RecordRefusal
from .entry import Entry
from .items import SEPARATOR, Item, Put, decoded_value, encoded_value, joined, split, written
from .releasing import releasing
from .shared import RecordId, State, Writer, new_state, standing_at
from .writer import GroupCommitWriter

_STATE = "tenant, kind, id, alias, version, writer, holder, until, yields"
_FIND = f"SELECT {_STATE} FROM shared_records WHERE tenant = ? AND kind = ? AND id = ?"  # noqa: S608 - constants
_HELD = f"SELECT {_STATE} FROM shared_records WHERE holder IS NOT NULL ORDER BY until"  # noqa: S608 - constants
_PUT = f"INSERT OR REPLACE INTO shared_records ({_STATE}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608 - constants
_SEEN = f"INSERT OR IGNORE INTO shared_records ({_STATE}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608 - constants
_ITEM = "tenant, namespace, key, value, version, created, updated, writer"
_FIND_ITEM = f"SELECT {_ITEM} FROM shared_items WHERE tenant = ? AND namespace = ? AND key = ?"  # noqa: S608 - constants
_PUT_ITEM = f"INSERT OR REPLACE INTO shared_items ({_ITEM}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608 - constants
_ITEMS = f"SELECT {_ITEM} FROM shared_items WHERE tenant = ? AND value IS NOT NULL"  # noqa: S608 - constants
# Under a namespace: itself, or anything between "a." and "a/", "/" being the character after the separator.
_UNDER = " AND (namespace = ? OR (namespace >= ? AND namespace < ?))"
_ORDER = " ORDER BY namespace, key"
_NAMESPACES = "SELECT DISTINCT namespace FROM shared_items WHERE tenant = ? AND value IS NOT NULL"
_AFTER = chr(ord(SEPARATOR) + 1)

T = TypeVar("T")
Read = Callable[[Callable[[sqlite_utils.Database], Any]], Any]


class SqliteTable:
    """The tables inside one transaction."""

    def __init__(self, conn: sqlite3.Connection) -> None:
        self._conn = conn

    def find(self, record: RecordId) -> State:
        """See `Table.find`."""
        row = self._conn.execute(_FIND, _name(record)).fetchone()
        return _state(row) if row else new_state(record)

    def put(self, state: State) -> None:
        """See `Table.put`."""
        self._conn.execute(_PUT, _row(state))

    def find_item(self, tenant: str, namespace: tuple[str, ...], key: str) -> Item | None:
        """See `ItemTable.find_item`."""
        row = self._conn.execute(_FIND_ITEM, (tenant, joined(namespace), key)).fetchone()
        return _item(row) if row else None

    def put_item(self, item: Item) -> None:
        """See `ItemTable.put_item`."""
        body = None if item.value is None else orjson.dumps(item.value).decode()
        where = (item.tenant, joined(item.namespace), item.key)
        self._conn.execute(_PUT_ITEM, (*where, body, item.version, item.created, item.updated, _text(item.writer)))


class SqliteShared:
    """See `Shared`.

    Args:
        writer: the ledger's.
        read: runs work on the ledger's reading connection.
        append: the ledger's; a release goes on record through it.
    """

    def __init__(self, writer: GroupCommitWriter, read: Read, append: Callable[..., Future[list[Entry]]]) -> None:
        self._writer, self._read, self._append = writer, read, append

    def look(self, record: RecordId) -> State:
        """See `Shared.look`."""
        row = self._found(record)
        if row is None:
            self._writer.submit(lambda conn: conn.execute(_SEEN, _row(new_state(record))).rowcount).result()
            row = self._found(record)
        return standing_at(_state(row), time.time())

    def _found(self, record: RecordId) -> Any:
        return self._read(lambda db: db.execute(_FIND, list(_name(record))).fetchone())

    def held(self) -> list[State]:
        """See `Shared.held`."""
        return [_state(row) for row in self._read(lambda db: db.execute(_HELD).fetchall())]

    def release(self, record: RecordId, *, by: str) -> State:
        """See `Shared.release`."""
        run, draft = releasing(self.look(record), by)
        self._append(run, [draft]).result()
        return self.look(record)

    def item(self, tenant: str, namespace: tuple[str, ...], key: str) -> Item | None:
        """See `Shared.item`."""
        where = [tenant, joined(namespace), key]
        row = self._read(lambda db: db.execute(_FIND_ITEM, where).fetchone())
        return _item(row) if row else None

    def items(self, tenant: str, prefix: tuple[str, ...]) -> list[Item]:
        """See `Shared.items`."""
        under = joined(prefix)
        sql = _ITEMS + (_UNDER if prefix else "") + _ORDER
        values = [tenant, *([under, under + SEPARATOR, under + _AFTER] if prefix else [])]
        return [_item(row) for row in self._read(lambda db: db.execute(sql, values).fetchall())]

    def namespaces(self, tenant: str) -> list[tuple[str, ...]]:
        """See `Shared.namespaces`."""
        rows = self._read(lambda db: db.execute(_NAMESPACES, [tenant]).fetchall())
        return sorted(split(row[0]) for row in rows)

    def put(self, puts: Sequence[Put]) -> Future[list[Item]]:
        """See `Shared.put`."""
        try:
            checked = [replace(p, value=decoded_value(encoded_value(p))) for p in puts]
        except Exception as error:  # noqa: BLE001 - the future carries it to the writer
            failed: Future[list[Item]] = Future()
            failed.set_exception(error)
            return failed
        return unpacked(
            self._writer.submit(
                lambda conn: unless_refused(conn, lambda: [written(SqliteTable(conn), p) for p in checked])
            )
        )


def unless_refused(conn: sqlite3.Connection, work: Callable[[], T]) -> T | RecordRefusal:
    """Do the work of a job; a refusal is its result, and nothing of the work stays.

    A job that raises has its whole batch committed again, job by job. Refusals are ordinary here, so they do not raise.
    """
    conn.execute("SAVEPOINT shared")
    try:
        result: T | RecordRefusal = work()
    except RecordRefusal as refusal:
        conn.execute("ROLLBACK TO shared")
        result = refusal
    conn.execute("RELEASE shared")
    return result


def unpacked(done: Future[T | RecordRefusal]) -> Future[T]:
    """The future of what `unless_refused` gives, as its caller wants it: a refusal raises."""
    out: Future[T] = Future()

    def told(done: Future[T | RecordRefusal]) -> None:
        if not out.set_running_or_notify_cancel():  # nobody waits any more; it is done all the same
            return
        error = done.exception()
        if error is not None:
            out.set_exception(error)
        elif isinstance(result := done.result(), RecordRefusal):
            out.set_exception(result)
        else:
            out.set_result(result)

    done.add_done_callback(told)
    return out


def _name(record: RecordId) -> tuple[str, str, str]:
    return record.tenant, record.kind, record.id


def _row(state: State) -> tuple[Any, ...]:
    holder = None if state.holder is None else _text(state.holder)
    writer = None if state.writer is None else _text(state.writer)
    return *_name(state.record), state.alias, state.version, writer, holder, state.until, int(state.yields)


def _state(row: Sequence[Any]) -> State:
    tenant, kind, ident, alias, version, writer, holder, until, yields = row
    return State(
        record=RecordId(tenant=tenant, kind=kind, id=ident),
        alias=alias,
        version=version,
        writer=_writer(writer),
        holder=_writer(holder),
        until=until,
        yields=bool(yields),
    )


def _item(row: Sequence[Any]) -> Item:
    tenant, namespace, key, value, version, created, updated, writer = row
    by = _writer(writer)
    assert by is not None
    return Item(
        tenant=tenant,
        namespace=split(namespace),
        key=key,
        value=decoded_value(value),
        version=version,
        created=created,
        updated=updated,
        writer=by,
    )


def _text(writer: Writer) -> str:
    return orjson.dumps([writer.run, writer.system, writer.agent, writer.effect]).decode()


def _writer(text: str | None) -> Writer | None:
    if text is None:
        return None
    run, system, agent, effect = orjson.loads(text)
    return Writer(run=run, system=system, agent=agent, effect=effect)

"""Shared records and items in memory: the twin of the SQLite tables."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import replace

from ..contracts.errors import LedgerUnavailable
from .entry import Entry
from .items import Item, Put, decoded_value, encoded_value, joined, written
from .releasing import releasing
from .shared import RecordId, State, new_state, standing_at

_Key = tuple[str, tuple[str, ...], str]


class MemoryTable:
    """A transaction over the tables: nothing of it counts before `commit`."""

    def __init__(self, records: dict[RecordId, State], items: dict[_Key, Item]) -> None:
        self._records, self._items = records, items
        self._new_records: dict[RecordId, State] = {}
        self._new_items: dict[_Key, Item] = {}

    def find(self, record: RecordId) -> State:
        """See `Table.find`."""
        return self._new_records.get(record) or self._records.get(record) or new_state(record)

    def put(self, state: State) -> None:
        """See `Table.put`."""
        self._new_records[state.record] = state

    def find_item(self, tenant: str, namespace: tuple[str, ...], key: str) -> Item | None:
        """See `ItemTable.find_item`."""
        at = (tenant, namespace, key)
        return self._new_items.get(at) or self._items.get(at)

    def put_item(self, item: Item) -> None:
        """See `ItemTable.put_item`."""
        self._new_items[item.tenant, item.namespace, item.key] = item

    def commit(self) -> None:
        """Make it count."""
        self._records.update(self._new_records)
        self._items.update(self._new_items)


class MemoryShared:
    """See `Shared`. It works under the lock of its ledger.

    Args:
        append: the ledger's; a release goes on record through it.
        closed: whether the ledger is closed.
    """

    def __init__(
        self, lock: threading.Lock, append: Callable[..., Future[list[Entry]]], closed: Callable[[], bool]
    ) -> None:
        self._lock, self._append, self._closed = lock, append, closed
        self._records: dict[RecordId, State] = {}
        self._items: dict[_Key, Item] = {}

    def table(self) -> MemoryTable:
        """A transaction; the caller has the ledger's lock."""
        return MemoryTable(self._records, self._items)

    def look(self, record: RecordId) -> State:
        """See `Shared.look`."""
        with self._lock:
            self._open()
            state = self._records.setdefault(record, new_state(record))
        return standing_at(state, time.time())

    def held(self) -> list[State]:
        """See `Shared.held`."""
        with self._lock:
            return sorted((s for s in self._records.values() if s.holder is not None), key=lambda s: s.until)

    def release(self, record: RecordId, *, by: str) -> State:
        """See `Shared.release`."""
        run, draft = releasing(self.look(record), by)
        self._append(run, [draft]).result()
        return self.look(record)

    def item(self, tenant: str, namespace: tuple[str, ...], key: str) -> Item | None:
        """See `Shared.item`."""
        joined(namespace)
        with self._lock:
            return self._items.get((tenant, namespace, key))

    def items(self, tenant: str, prefix: tuple[str, ...]) -> list[Item]:
        """See `Shared.items`."""
        joined(prefix)
        with self._lock:
            found = [i for (whose, *_), i in self._items.items() if whose == tenant and i.value is not None]
        chosen = (i for i in found if i.namespace[: len(prefix)] == prefix)
        return sorted(chosen, key=lambda i: (joined(i.namespace), i.key))

    def namespaces(self, tenant: str) -> list[tuple[str, ...]]:
        """See `Shared.namespaces`."""
        return sorted({i.namespace for i in self.items(tenant, ())})

    def put(self, puts: Sequence[Put]) -> Future[list[Item]]:
        """See `Shared.put`."""
        future: Future[list[Item]] = Future()
        try:
            encoded = [(p, encoded_value(p)) for p in puts]
            with self._lock:
                self._open()
                table = self.table()
                # As a file would keep it: the writer may change a document of its own afterwards.
                found = [written(table, replace(p, value=decoded_value(body))) for p, body in encoded]
                table.commit()
            future.set_result(found)
        except Exception as error:  # noqa: BLE001 - the future carries it to the writer
            future.set_exception(error)
        return future

    def _open(self) -> None:
        if self._closed():
            raise LedgerUnavailable(where="memory", cause="it is closed")

"""Store items: JSON documents by namespace and key, each with a version. Whether one may be written is decided here."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import orjson

from ..contracts.digest import canonical
from ..contracts.errors import StoreInvalid
from .shared import Writer, conflict

SEPARATOR = "."


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """A store item. `value` is None for one that was deleted: its version goes on counting."""

    tenant: str
    namespace: tuple[str, ...]
    key: str
    value: Mapping[str, Any] | None
    version: int
    created: float
    updated: float
    writer: Writer


@dataclass(frozen=True, slots=True, kw_only=True)
class Put:
    """A wish to write an item.

    Attributes:
        value: what it becomes; None deletes it.
        expected: the version it must have now; 0 for one that must not be there; None for whatever is there.
    """

    tenant: str
    namespace: tuple[str, ...]
    key: str
    value: Mapping[str, Any] | None
    expected: int | None
    by: Writer
    asked: str


class ItemTable(Protocol):
    """The items inside one transaction."""

    def find_item(self, tenant: str, namespace: tuple[str, ...], key: str) -> Item | None:
        """An item, deleted or not."""
        ...

    def put_item(self, item: Item) -> None:
        """Keep an item."""
        ...


def written(table: ItemTable, put: Put, now: float | None = None) -> Item:
    """Write an item in a transaction. Raises RecordConflict; then nothing was put."""
    before = table.find_item(put.tenant, put.namespace, put.key)
    there, version = before is not None and before.value is not None, before.version if before else 0
    fits = put.expected is None or put.expected == version or (put.expected == 0 and not there)
    if not fits:
        # The first label of a namespace names a collection; the others, and keys, may name a person.
        kind = f"item of {put.namespace[0]}" if put.namespace else "item"
        writer = before.writer if before else None
        raise conflict(kind, writer, put.asked, read=put.expected or 0, found=version)
    now = time.time() if now is None else now
    item = Item(
        tenant=put.tenant,
        namespace=put.namespace,
        key=put.key,
        value=put.value,
        version=version + 1,
        created=before.created if before is not None and there else now,
        updated=now,
        writer=put.by,
    )
    table.put_item(item)
    return item


def encoded_value(put: Put) -> str | None:
    """A put's document as JSON text. Raises StoreInvalid for what is no JSON object, or no namespace."""
    joined(put.namespace)
    if put.value is None:
        return None
    try:
        if not isinstance(put.value, Mapping):
            raise TypeError(f"a {type(put.value).__name__} is no object")
        return canonical(dict(put.value)).decode()
    except TypeError as error:
        raise StoreInvalid(operation="put", detail=f"the value is no JSON object ({error})") from None


def decoded_value(body: str | None) -> dict[str, Any] | None:
    """The inverse of `encoded_value`."""
    if body is None:
        return None
    found: dict[str, Any] = orjson.loads(body)
    return found


def joined(namespace: tuple[str, ...]) -> str:
    """A namespace as one text, from which it can be split again.

    Raises:
        StoreInvalid: a label is no text, is empty, or holds the separator or NUL.
    """
    for label in namespace:
        if type(label) is not str or not label or SEPARATOR in label or "\0" in label:
            fault = f"namespace label {label!r} must be a text without {SEPARATOR!r} and NUL that is not empty"
            raise StoreInvalid(operation="namespace", detail=fault)
    return SEPARATOR.join(namespace)


def split(text: str) -> tuple[str, ...]:
    """The inverse of `joined`."""
    return tuple(text.split(SEPARATOR)) if text else ()

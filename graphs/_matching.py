"""What a store's search and listing ask for, applied to documents and namespaces. Pure.

The meaning is LangGraph's: a filter names fields and what they must be, or operators (`$eq`, `$ne`, `$gt`, `$gte`,
`$lt`, `$lte`). Two values that have no order are in none, so a comparison of them is false.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

from langgraph.store.base import MatchCondition

from ..contracts.errors import StoreInvalid

_ORDERED: Mapping[str, Callable[[Any, Any], bool]] = {
    "$gt": operator.gt,
    "$gte": operator.ge,
    "$lt": operator.lt,
    "$lte": operator.le,
}


def fits(document: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether a document has all that a filter wants. Raises StoreInvalid for an operator that does not exist."""
    return all(_is(document.get(name), value) for name, value in wanted.items())


def _is(found: Any, wanted: Any) -> bool:
    if isinstance(wanted, Mapping):
        if any(str(name).startswith("$") for name in wanted):
            return all(_compared(found, str(name), value) for name, value in wanted.items())
        return isinstance(found, Mapping) and all(_is(found.get(name), value) for name, value in wanted.items())
    if isinstance(wanted, list | tuple):
        same = isinstance(found, list | tuple) and len(found) == len(wanted)
        return same and all(_is(one, other) for one, other in zip(found, wanted, strict=True))
    return _equal(found, wanted)


def _compared(found: Any, name: str, wanted: Any) -> bool:
    if name == "$eq":
        return _equal(found, wanted)
    if name == "$ne":
        return not _equal(found, wanted)
    if (compare := _ORDERED.get(name)) is None:
        raise StoreInvalid(operation="search", detail=f"operator {name!r} is none of $eq, $ne, {', '.join(_ORDERED)}")
    if isinstance(found, str) and isinstance(wanted, str):
        return compare(found, wanted)
    return _is_number(found) and _is_number(wanted) and compare(found, wanted)


def _equal(one: Any, other: Any) -> bool:
    # In JSON true is no 1.
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def matches(condition: MatchCondition, namespace: tuple[str, ...]) -> bool:
    """Whether a namespace begins or ends with a path, in which `*` is any label."""
    path = tuple(condition.path)
    if len(path) > len(namespace):
        return False
    part = namespace[: len(path)] if condition.match_type == "prefix" else namespace[len(namespace) - len(path) :]
    return all(wanted in ("*", label) for wanted, label in zip(path, part, strict=True))

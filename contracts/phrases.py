"""Schemas in words, for the reasons that a diff gives. Short, and never longer than a person reads at night."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson

from .json_schema import Node
from .labels import REGISTRY

_WORDS = {
    "null": "null",
    "boolean": "true or false",
    "integer": "a whole number",
    "number": "a number",
    "string": "text",
    "array": "a list",
    "object": "an object",
}
_LONGEST = 60


def quoted(value: Any) -> str:
    """A value from a schema as JSON, cut where it is long."""
    try:
        text = orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
    except TypeError:
        text = str(value)
    text = f"'{text[1:-1]}'" if isinstance(value, str) else text
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def few(values: Sequence[Any]) -> str:
    """The first of some values."""
    more = f" and {len(values) - 4} more" if len(values) > 4 else ""
    return ", ".join(quoted(v) for v in values[:4]) + more


def among(names: Iterable[str]) -> str:
    """The fields that there are."""
    listed = sorted(names)
    return f"only the fields {few(listed)}" if listed else "no entries"


def counted(low: float, high: float | None, unit: str) -> str:
    """`2 to 5 items`, `up to 50 characters`, `any number of entries`."""
    if high is None:
        return f"{low:g} or more {unit}" if low else f"any number of {unit}"
    if low == high:
        return f"exactly {low:g} {unit}"
    return f"{low:g} to {high:g} {unit}" if low else f"up to {high:g} {unit}"


def bounded(node: Node) -> str:
    """The numbers that a schema lets be: `numbers from 0 to 100`."""
    s = node.schema
    parts = [
        *(f"{word} {s[key]:g}" for key, word in (("minimum", "from"), ("exclusiveMinimum", "above")) if key in s),
        *(f"{word} {s[key]:g}" for key, word in (("maximum", "up to"), ("exclusiveMaximum", "below")) if key in s),
    ]
    kind = "whole numbers" if node.types == {"integer"} else "numbers"
    return f"{kind} {' and '.join(parts)}" if parts else f"any {kind}"


def described(node: Node, deep: int = 0) -> str:
    """A schema in a few words: `text`, `null`, `one of 'a', 'b'`, `a list of text`."""
    s = node.schema
    if not isinstance(s, Mapping):
        return "anything" if s is True else "nothing"
    if node.free:
        return "anything"
    if "$ref" in s:
        return str(s["$ref"]).rpartition("/")[2]
    for key in ("anyOf", "oneOf"):
        if key in s:
            return " or ".join(dict.fromkeys(described(node.at(o), deep + 1) for o in s[key]))
    if node.unknown:
        return f"what {few(sorted(node.unknown))} says"
    if node.values is not None:
        return few(node.values) if len(node.values) == 1 else f"one of {few(node.values)}"
    if node.types == {"object"} and (tags := [n for n, p in s.get("properties", {}).items() if _constant(p)]):
        return "an object with " + " and ".join(f"{n} {quoted(s['properties'][n]['const'])}" for n in tags[:2])
    words = [_word(node, kind) for kind in sorted(node.types, key=list(_WORDS).index)] if "type" in s else ["anything"]
    if node.types == {"array"} and deep < 2 and isinstance(s.get("items"), Mapping):
        words = [f"a list of {described(node.at(s['items']), deep + 1)}"]
    return " or ".join(words)


def _constant(schema: Any) -> bool:
    return isinstance(schema, Mapping) and "const" in schema


def _word(node: Node, kind: str) -> str:
    s = node.schema
    if kind == "string" and REGISTRY in s:
        return f"an id of the registry {quoted(s[REGISTRY])}"
    if "format" in s:
        return f"{_WORDS[kind]} in the format {quoted(s['format'])}"
    return _WORDS[kind]

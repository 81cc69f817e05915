"""Decisions about two schemas that inclusion turns on.

Whether no document fits both, which is what `oneOf` asks; and whether the one takes what the other enforces beyond JSON
Schema (see `constraints`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from fractions import Fraction
from typing import Any

import orjson

from .json_schema import BEYOND, TIMED, Node, admits, same_value
from .labels import CONSTRAINTS, UNENFORCED, VALIDATED

_DEEP = 8
MAX_STEPS = 20_000
_CHAIN = 8
_CONDITIONS = frozenset(
    {
        "ge",
        "gt",
        "le",
        "lt",
        "multiple_of",
        "max_digits",
        "decimal_places",
        "now_op",
        "tz_constraint",
        "ascii_only",
        "version",
        "type",
    }
)
"""Constraints that refuse values and change none, so that having one more is no harm to who has none."""
_WORDS = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below", "now_op": "in the", "type": "values of type"}


class Disjointness:
    """Decides for pairs of schemas of two documents, within one number of steps for all of them together.

    What Pydantic enforces beyond JSON Schema is not looked at. It refuses documents that would fit otherwise, which
    makes nothing overlap; and which form of a union is meant is told by the tag, before anything is done to it.
    """

    def __init__(self, steps: int = MAX_STEPS) -> None:
        self._left = steps
        self._known: dict[tuple[bytes, int, int, int], bool] = {}

    def proven(self, a: Node, b: Node, deep: int = 0) -> bool:
        """Whether it is proven that no document fits both. Not, once the steps are used up."""
        if a.schema is False or b.schema is False:
            return True
        self._left -= 1
        if deep > _DEEP or self._left < 0:
            return False
        if not (_refers(a) or _refers(b)):
            return self._parts(a, b, deep)
        pair = orjson.dumps([a.schema, b.schema], option=orjson.OPT_SORT_KEYS)
        key = (pair, id(a.root), id(b.root), deep)
        if key not in self._known:
            found = self._parts(a, b, deep)
            if self._left < 0:
                return found  # cut short, it may be wrong for who comes this way with steps left
            self._known[key] = found
        return self._known[key]

    def _parts(self, a: Node, b: Node, deep: int) -> bool:
        return any(self._single(one, other, deep) for one in a.parts() for other in b.parts())

    def _single(self, a: Node, b: Node, deep: int) -> bool:
        for node, other in ((a, b), (b, a)):
            if not isinstance(node.schema, Mapping):
                return node.schema is False
            if "$ref" in node.schema:
                target = node.target()
                return target is not None and self.proven(target, other, deep + 1)
            for key in ("anyOf", "oneOf"):
                if key in node.schema:
                    return all(self.proven(node.at(option), other, deep + 1) for option in node.schema[key])
        a, b = _plain(a), _plain(b)
        if a.unknown or b.unknown:
            return False
        mine, theirs = a.values, b.values
        if mine is not None and theirs is not None:
            return not any(same_value(v, w) for v in mine for w in theirs)
        for values, other in ((mine, b), (theirs, a)):
            if values is not None:
                return all(admits(other, v) is False for v in values)
        common = a.types & b.types
        if not common and not _numeric(a, b):
            return True
        return common == {"object"} and self._objects(a, b, deep)

    def _objects(self, a: Node, b: Node, deep: int) -> bool:
        """Whether a field that one of them always has is refused by the other, or cannot have a value in both."""
        for one, other in ((a, b), (b, a)):
            if "patternProperties" in one.schema or "patternProperties" in other.schema:
                return False
            # What a tag tells apart is told at once; the rest of the fields may be deep.
            wanted = sorted(one.schema.get("required", ()), key=lambda name: not _constant(one, name))
            for name in wanted:
                if self.proven(one.at(_field(one, name)), other.at(_field(other, name)), deep + 1):
                    return True
        return False


def _field(node: Node, name: str) -> object:
    found: object = node.schema.get("properties", {}).get(name, node.schema.get("additionalProperties", True))
    return found


def _constant(node: Node, name: str) -> bool:
    found = _field(node, name)
    return isinstance(found, Mapping) and ("const" in found or "enum" in found)


def _numeric(a: Node, b: Node) -> bool:
    numbers = {"integer", "number"}
    return bool(a.types & numbers and b.types & numbers)


def _refers(node: Node) -> bool:
    return isinstance(node.schema, Mapping) and not node.free


def _plain(node: Node) -> Node:
    return node.at({k: v for k, v in node.schema.items() if k not in BEYOND})


# -- beyond JSON Schema ----------------------------------------------------------------------------------------------


def told_beyond(node: Node, deep: int = 0) -> dict[str, Any]:
    """What a schema says beyond JSON Schema, by keyword; its reference is followed."""
    if not isinstance(node.schema, Mapping):
        return {}
    own = {k: node.schema[k] for k in BEYOND if k in node.schema}
    target = node.target() if "$ref" in node.schema and deep < _CHAIN else None
    return _joined(told_beyond(target, deep + 1), own) if target is not None else own


def stands_against(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[tuple[str, str, bool]]:
    """What stands against "what `a` enforces beyond JSON Schema, `b` takes": what one gives, the other takes, in doubt.

    Decided are the bounds of dates, times, durations and decimals, digits, and conditions that one has and the other
    has not. What changes a value before it is checked, and code, is equal or in doubt.
    """
    found = []
    if a.get(VALIDATED) != b.get(VALIDATED):
        given, taken = (_by_code(s) for s in (a, b))
        found.append((given, taken, True))
    one, other = a.get(CONSTRAINTS) or {}, b.get(CONSTRAINTS) or {}
    if one == other:
        return found
    if not (isinstance(one, Mapping) and isinstance(other, Mapping)):
        return [*found, ("other constraints", "these", True)]
    for key in sorted({*one, *other}):
        if one.get(key) == other.get(key) or (key in _CONDITIONS and key not in other) or key == UNENFORCED:
            continue
        if key == "type" and other[key] in TIMED and key not in one:
            continue  # the format says it already; the type is there to read the bounds by
        if key in _CONDITIONS and key != "type" and one.get("type", other.get("type")) == other.get("type"):
            fits = _fits(key, one, other)
            if fits is not True:
                found.append((_words(key, one), _words(key, other), fits is None))
        else:
            found.append((_words(key, one), _words(key, other), True))
    return found


def _joined(inner: Mapping[str, Any], outer: Mapping[str, Any]) -> dict[str, Any]:
    """What two schemas say beyond JSON Schema of one value."""
    both = {**inner, **outer}
    for keyword, empty in ((CONSTRAINTS, {}), (VALIDATED, [])):
        one, other = inner.get(keyword, empty), outer.get(keyword, empty)
        if isinstance(one, Mapping) and isinstance(other, Mapping) and one and other:
            both[keyword] = {**one, **other}
        elif isinstance(one, list) and isinstance(other, list) and one and other:
            both[keyword] = [*one, *other]
    return both


def _by_code(schema: Mapping[str, Any]) -> str:
    told = schema.get(VALIDATED)
    if not told:
        return "values that no code checks"
    return f"what its code lets pass ({', '.join(str(d)[:8] for d in (told if isinstance(told, list) else [told]))})"


def _words(key: str, constraints: Mapping[str, Any]) -> str:
    said = _WORDS.get(key, key.replace("_", " "))
    return f"{said} {constraints[key]}" if key in constraints else f"values without the limit '{said}'"


def _fits(key: str, one: Mapping[str, Any], other: Mapping[str, Any]) -> bool | None:
    """Whether a condition of `other` follows from those of `one`; None where that is not known."""
    if key in ("ge", "gt", "le", "lt"):
        wanted, sign = _bound(other[key], str(other.get("type"))), 1 if key[0] == "g" else -1
        if wanted is None:
            return None
        for own in (k for k in ("ge", "gt", "le", "lt") if k[0] == key[0] and k in one):
            have = _bound(one[own], str(one.get("type")))
            if have is None or (have[0] is None) != (wanted[0] is None):
                return None
            further = sign * (have[1] - wanted[1])
            if further > 0 or (further == 0 and (key[1] == "e" or own[1] == "t")):
                return True
        return False
    if key in ("max_digits", "decimal_places"):
        if not all(str(c[k]).isdecimal() for c in (one, other) for k in ("max_digits", "decimal_places") if k in c):
            return None
        return key in one and int(one[key]) <= int(other[key]) and _whole_digits(one) <= _whole_digits(other)
    return None if key in one else False


def _whole_digits(constraints: Mapping[str, Any]) -> float:
    """How many digits may stand before the point: with both rules, what decimal places leave of all digits."""
    if "max_digits" not in constraints:
        return math.inf
    return int(constraints["max_digits"]) - int(constraints.get("decimal_places", 0))


def _bound(text: Any, kind: str) -> tuple[str | None, Fraction] | None:
    """A bound as a number, and whether it is one in universal time ("UTC") or in none (None)."""
    try:
        if kind in ("decimal", "fraction", "timedelta"):
            return None if not math.isfinite(Fraction(str(text))) else (None, Fraction(str(text)))
        if kind == "date":
            return None, Fraction(date.fromisoformat(str(text)).toordinal())
        if kind == "datetime":
            moment = datetime.fromisoformat(str(text))
        elif kind == "time":
            moment = datetime.combine(date(2000, 1, 1), time.fromisoformat(str(text)))
        else:
            return None
    except (ValueError, ZeroDivisionError):
        return None
    start = datetime(1, 1, 1, tzinfo=UTC if moment.tzinfo else None)
    since = moment - start
    return "UTC" if moment.tzinfo else None, Fraction(since // timedelta(microseconds=1))

"""Whether every document of one schema is a document of another, and if not, where and why.

`included(a, b)` proves inclusion by the rules of each keyword and names what stands against it. It never claims an
inclusion that does not hold; where it cannot decide (a pattern within a pattern, an unknown keyword) it says so, as
a fault. A *document* is what both JSON Schema and the gate (Pydantic, strict) take: objects closed, no coercion.

Two things that Pydantic does are minded beside JSON Schema: a number among constants stands for its twins too (`1`
lets 1.0 and true pass, which `integer` refuses), and a set is measured after its repetitions are gone.

Recursive schemas are compared coinductively (Amadio and Cardelli, "Subtyping recursive types", 1993): a pair that
is met again, at least one level further into the document, holds if nothing else stands against it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import orjson

from .disjoint import Disjointness, stands_against, told_beyond
from .json_schema import BEYOND, Node, admits, below, bounds, closed, is_annotation
from .labels import REGISTRY
from .phrases import among, bounded, counted, described, few, quoted

MAX_STEPS = 50_000
Rule = Literal["value", "unknown", "required", "default"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What stands against an inclusion.

    Attributes:
        path: `customer`, `lines[].amount`, `labels{}`; empty for the whole document.
        rule: `unknown`: a field that the other does not have; `required`: one that it wants; `default`: a default
            that it does not take; `value`: all else.
        gives: what the one schema lets be, in words.
        takes: what the other takes.
        undecided: that the one may fit the other could not be excluded.
    """

    path: str
    rule: Rule = "value"
    gives: str = ""
    takes: str = ""
    undecided: bool = False


def included(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[Fault]:
    """What stands against "every document of `a` is a document of `b`"; empty: it is proven.

    Args:
        a, b: JSON Schema documents; their objects are taken as closed.
    """
    one, other = closed(a), closed(b)
    try:
        found = _Inclusion(same_defs=one.get("$defs") == other.get("$defs")).within(
            Node(one, one), Node(other, other), ""
        )
    except (_TooLarge, RecursionError):
        return [Fault(path="", gives="what is too large to compare", takes="the same", undecided=True)]
    return list(dict.fromkeys(found))


class _TooLarge(Exception):
    pass


class _Inclusion:
    def __init__(self, *, same_defs: bool) -> None:
        self._same_defs, self._steps = same_defs, 0
        self._disjoint = Disjointness().proven
        self._open: dict[bytes, int] = {}  # pairs being compared, and how deep in the document they were met
        self._proven: set[bytes] = set()  # pairs shown to hold without the help of an open one
        self._depth = self._assumed = 0

    def within(self, a: Node, b: Node, path: str) -> list[Fault]:
        self._steps += 1
        if self._steps > MAX_STEPS:
            raise _TooLarge
        if b.free or a.schema is False or (self._same_defs and _same(a.schema, b.schema)):
            return []
        if (found := self._forms(a, b, path)) is not None:
            return found
        beyond = _beyond(a, b, path)
        return beyond + self._compared(_without(a), _without(b), path)

    def _forms(self, a: Node, b: Node, path: str) -> list[Fault] | None:
        """Of what is enforced beyond JSON Schema for all forms of `a`, one form of `b` may take the whole."""
        if not told_beyond(a) or told_beyond(b) or not isinstance(b.schema, Mapping) or "anyOf" not in b.schema:
            return None
        options = [b.at(option) for option in b.schema["anyOf"]]
        tried = [self.within(a, option, path) for option in options]
        near = [found for found, option in zip(tried, options, strict=True) if told_beyond(option) or not found]
        return min(near, key=len, default=None)

    def _compared(self, a: Node, b: Node, path: str) -> list[Fault]:
        if not (_has_ref(a) or _has_ref(b)):
            return self._parts(a, b, path)
        pair = orjson.dumps([a.schema, b.schema], option=orjson.OPT_SORT_KEYS)
        if pair in self._proven:
            return []
        if pair in self._open:
            self._assumed += 1
            # Met again without a step into the document, nothing was shown yet.
            return [] if self._open[pair] < self._depth else [_unsure(a, b, path)]
        self._open[pair], before = self._depth, self._assumed
        try:
            found = self._parts(a, b, path)
        finally:
            del self._open[pair]
        if not found and self._assumed == before:
            self._proven.add(pair)
        return found

    def _deeper(self, a: Node, b: Node, path: str) -> list[Fault]:
        self._depth += 1
        try:
            return self.within(a, b, path)
        finally:
            self._depth -= 1

    def _parts(self, a: Node, b: Node, path: str) -> list[Fault]:
        """Take both apart: everything that `b` asks must follow from something that `a` promises."""
        asked, promised = b.parts(), a.parts()
        if len(asked) != 1:
            return [f for part in asked for f in self.within(a, part, path)]
        if len(promised) > 1:
            return min((self.within(part, asked[0], path) for part in promised), key=len)
        one = promised[0] if promised else a.at({})
        return self._single(one, asked[0], path)

    def _single(self, a: Node, b: Node, path: str) -> list[Fault]:
        if not isinstance(b.schema, Mapping):
            return [Fault(path=path, gives=described(a), takes="nothing")]
        if _has_ref(a) or _has_ref(b):
            # Both at once: what stands beyond JSON Schema at either target was compared with the references.
            one, other = (n.target() if _has_ref(n) else n for n in (a, b))
            if one is None or other is None:
                return [_unsure(a, b, path)]
            return self.within(_without(one), _without(other), path)
        own = a.schema if isinstance(a.schema, Mapping) else {}
        if options := own.get("anyOf", own.get("oneOf")):
            return [f for option in options for f in self.within(a.at(option), b, path)]
        if _differs(own, b.schema):
            return [_unsure(a, b, path)]
        node = a.at(own)
        if node.values is not None:
            return self._values(node, b, path)
        if node.types == {"boolean"} and "type" not in b.schema:
            return self._values(a.at({"enum": [True, False]}), b, path, twins=False)
        if len(node.types) > 1:
            each = [self.within(a.at({**own, "type": kind}), b, path) for kind in sorted(node.types)]
            if "type" not in own and all(found and found[0].rule == "value" for found in each):
                return [Fault(path=path, gives="anything", takes=described(b))]
            return [f for found in each for f in found]
        if "anyOf" in b.schema or "oneOf" in b.schema:
            return self._choice(node, b, path)
        return self._typed(node, b, next(iter(node.types), "null"), path)

    def _values(self, a: Node, b: Node, path: str, *, twins: bool = True) -> list[Fault]:
        values = a.values or []
        if "anyOf" in b.schema and twins:
            single = [(v, [self.within(a.at({"const": v}), b.at(o), path) for o in b.schema["anyOf"]]) for v in values]
            refused = [v for v, found in single if [] not in found]
            return [Fault(path=path, gives=few(refused), takes=described(b))] if refused else []
        whole = [t for v in values for t in (_twins(v, b) if twins else [v])]
        refused = [v for v in whole if admits(b, v) is False]
        if refused:
            return [Fault(path=path, gives=few(refused), takes=described(b))]
        doubtful = [v for v in whole if admits(b, v) is None]
        return [Fault(path=path, gives=few(doubtful), takes=described(b), undecided=True)] if doubtful else []

    def _choice(self, a: Node, b: Node, path: str) -> list[Fault]:
        """Whether `a` fits one option of a union; of `oneOf`, no other may fit as well."""
        exact = "oneOf" in b.schema
        options = [b.at(option) for option in b.schema["oneOf" if exact else "anyOf"]]
        tried: list[list[Fault]] = []
        for option in options:
            if found := self.within(a, option, path):
                tried.append(found)
            elif exact and not all(self._disjoint(a, other) for other in options if other is not option):
                tried.append([replace(_unsure(a, b, path), takes=f"exactly one of {len(options)} forms")])
            else:
                return []
        alike = [not self._disjoint(a, option) for option in options]
        near = [found for found, like in zip(tried, alike, strict=True) if like]
        near = [found for found in near if any(f.path != path or f.undecided for f in found)]
        if near:
            return min(near, key=len)
        return [Fault(path=path, gives=described(a), takes=described(b))]

    def _typed(self, a: Node, b: Node, kind: str, path: str) -> list[Fault]:
        s, t = a.schema, b.schema
        fits = kind in b.types or (kind == "integer" and "number" in b.types)
        if ("type" in t and not fits) or b.values is not None:
            if b.values is not None and fits and kind == "boolean":
                return self._values(a.at({"enum": [True, False]}), b, path, twins=False)
            if b.values is not None and fits and kind == "null" and None in b.values:
                return []
            return [Fault(path=path, gives=described(a), takes=described(b))]
        found = []
        if REGISTRY in t and s.get(REGISTRY) != t[REGISTRY]:
            gives = f"ids of the registry {quoted(s[REGISTRY])}" if REGISTRY in s else "ids that no registry validates"
            found.append(Fault(path=path, gives=gives, takes=f"ids of the registry {quoted(t[REGISTRY])}"))
        if "format" in t and s.get("format") != t["format"]:
            found.append(Fault(path=path, gives=described(a), takes=described(b), undecided="format" in s))
        more = {"string": self._text, "array": self._list, "object": self._object}.get(kind)
        if kind in ("integer", "number"):
            found += _numbers(a, b, kind, path)
        return found + (more(a, b, path) if more else [])

    def _text(self, a: Node, b: Node, path: str) -> list[Fault]:
        s, t = a.schema, b.schema
        # Bytes and encoded text are measured by another yardstick than the text that carries them.
        measured = s if s.get("format") == t.get("format") or "format" not in s else {}
        found = _counts(measured, t, "Length", "characters", path)
        if "pattern" in t and s.get("pattern") != t["pattern"]:
            gives = f"text like {quoted(s['pattern'])}" if "pattern" in s else "text of any form"
            takes = f"text like {quoted(t['pattern'])}"
            found.append(Fault(path=path, gives=gives, takes=takes, undecided="pattern" in s))
        return found

    def _list(self, a: Node, b: Node, path: str) -> list[Fault]:
        s, t = a.schema, b.schema
        firsts, others = s.get("prefixItems", []), t.get("prefixItems", [])
        rest, rest_b = s.get("items", True), t.get("items", True)
        found = _counts(s, t, "Items", "items", path, most=len(firsts) if rest is False else None)
        if t.get("uniqueItems") and not s.get("uniqueItems"):
            found.append(Fault(path=path, gives="lists with repetitions", takes="lists without repetitions"))
        if s.get("uniqueItems") and "maxItems" in t and not (t.get("uniqueItems") and rest == rest_b):
            # The gate counts a set after its repetitions are gone, so longer lists than maxItems says have passed.
            gives, takes = "lists whose repetitions do not count", f"lists of up to {t['maxItems']} items"
            found.append(Fault(path=path, gives=gives, takes=takes))
        most = min(s.get("maxItems", float("inf")), len(firsts) if rest is False else float("inf"))
        if s.get("uniqueItems"):
            most = float("inf") if rest is not False else len(firsts)
        for i in range(max(len(firsts), len(others))):
            if i < most:
                one = a.at(firsts[i] if i < len(firsts) else rest)
                other = b.at(others[i] if i < len(others) else rest_b)
                found += self._deeper(one, other, f"{path}[{i}]")
        if most > max(len(firsts), len(others)):
            found += self._deeper(a.at(rest), b.at(rest_b), f"{path}[]")
        return found

    def _object(self, a: Node, b: Node, path: str) -> list[Fault]:
        s, t = a.schema, b.schema
        mine, theirs = s.get("properties", {}), t.get("properties", {})
        rest, rest_b = s.get("additionalProperties", True), t.get("additionalProperties", True)
        wanted, given = set(t.get("required", ())), set(s.get("required", ()))
        found = [Fault(path=_join(path, name), rule="required") for name in sorted(wanted - given)]
        found += _counts(
            s, t, "Properties", "entries", path, least=len(given), most=len(mine) if rest is False else None
        )
        by_pattern, by_pattern_b = s.get("patternProperties", {}), t.get("patternProperties", {})
        if by_pattern != by_pattern_b or (by_pattern_b and not self._same_defs):
            found.append(_unsure(a, b, path))
        if "propertyNames" in t:
            found += self._keys(a, b, mine, rest, path)
        elif "propertyNames" in s and "maxProperties" in t:
            found.append(_unsure(a, b, path))  # keys that are read as dates, say, may fall together before they count
        for name, schema in mine.items():
            here = _join(path, name)
            if name not in theirs and rest_b is False:
                found.append(Fault(path=here, rule="unknown", gives=few([name])))
                continue
            other = b.at(theirs.get(name, rest_b))
            faults = self._deeper(a.at(schema), other, here)
            found += faults or _default(a.at(schema), other, here)
        if rest is not False:
            if rest_b is False:
                return [*found, Fault(path=path, gives="entries of any name", takes=among(theirs))]
            for name, schema in theirs.items():
                if name not in mine:
                    found += self._deeper(a.at(rest), b.at(schema), _join(path, name))
            found += self._deeper(a.at(rest), b.at(rest_b), f"{path}{{}}")
        return found

    def _keys(self, a: Node, b: Node, mine: Mapping[str, Any], rest: Any, path: str) -> list[Fault]:
        keys = b.at(b.schema["propertyNames"])
        found = []
        if stray := [name for name in mine if admits(keys, name) is not True]:
            found.append(Fault(path=path, gives=f"the fields {few(stray)}", takes=f"keys that are {described(keys)}"))
        if rest is not False:
            own = a.schema.get("propertyNames", True)
            names = a.at({**own, "type": "string"} if isinstance(own, Mapping) and "$ref" not in own else own)
            names = a.at({"type": "string"}) if names.free else names
            found += self._deeper(names, keys, f"{path}{{}} (key)")
        if "maxProperties" in b.schema and a.schema.get("propertyNames") != b.schema["propertyNames"]:
            found.append(_unsure(a, b, path))
        return found


def _default(one: Node, other: Node, path: str) -> list[Fault]:
    """A default is filled in unchecked, so what crosses may hold one that its own schema would refuse."""
    if not isinstance(one.schema, Mapping) or "default" not in one.schema:
        return []
    value = one.schema["default"]
    if admits(one, value) is True or admits(other, value) is True:
        return []
    theirs = other.schema
    if isinstance(theirs, Mapping) and "default" in theirs and theirs["default"] == value:
        return []
    return [Fault(path=path, rule="default", gives=few([value]), takes=described(other))]


def _numbers(a: Node, b: Node, kind: str, path: str) -> list[Fault]:
    found = []
    for mine, theirs in zip(bounds(a.schema), bounds(b.schema), strict=True):
        if theirs is None:
            continue
        if mine is None or (below(mine[0], theirs) and not (mine[0] == theirs[0] and mine[1])):
            # Whole numbers above 2 begin at 3.
            if mine and kind == "integer" and mine[1] and mine[0].denominator == 1 and not below(mine[0] + 1, theirs):
                continue
            found.append(Fault(path=path, gives=bounded(a), takes=bounded(b)))
    if "multipleOf" in b.schema:
        step, own = b.schema["multipleOf"], a.schema.get("multipleOf", 1 if kind == "integer" else None)
        exact = isinstance(step, int) and isinstance(own, int) and step and own % step == 0
        if not (exact or own == step):
            takes = f"multiples of {step}"
            found.append(Fault(path=path, gives=f"multiples of {own}" if own else "any number", takes=takes))
    return list(dict.fromkeys(found))


def _counts(
    s: Mapping[str, Any],
    t: Mapping[str, Any],
    what: str,
    unit: str,
    path: str,
    *,
    least: int = 0,
    most: int | None = None,
) -> list[Fault]:
    low, high = max(s.get(f"min{what}", 0), least), s.get(f"max{what}", most)
    high = high if most is None else min(high, most)
    wanted, allowed = t.get(f"min{what}", 0), t.get(f"max{what}")
    if low >= wanted and (allowed is None or (high is not None and high <= allowed)):
        return []
    return [Fault(path=path, gives=counted(low, high, unit), takes=counted(wanted, allowed, unit))]


def _twins(value: Any, b: Node) -> list[Any]:
    """A constant with all that the gate takes for it; not where the other is an enumeration, which does the same."""
    if not isinstance(value, int | float) or b.values is not None:
        return [value]
    same: list[Any] = [int(value), float(value)] if value == int(value) else [value]
    return [*same, bool(value)] if value in (0, 1) else same


def _beyond(a: Node, b: Node, path: str) -> list[Fault]:
    """What stands against the inclusion of what is enforced beyond JSON Schema."""
    s, t = told_beyond(a), told_beyond(b)
    if not (s or t):
        return []
    return [
        Fault(path=path, gives=gives, takes=takes, undecided=unsure) for gives, takes, unsure in stands_against(s, t)
    ]


def _without(node: Node) -> Node:
    if not isinstance(node.schema, Mapping) or not any(k in node.schema for k in BEYOND):
        return node
    return node.at({k: v for k, v in node.schema.items() if k not in BEYOND})


def _unsure(a: Node, b: Node, path: str) -> Fault:
    return Fault(path=path, gives=described(a), takes=described(b), undecided=True)


def _has_ref(node: Node) -> bool:
    return isinstance(node.schema, Mapping) and "$ref" in node.schema


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return _plain(a) == _plain(b) and orjson.dumps(_plain(a), option=orjson.OPT_SORT_KEYS) == orjson.dumps(
            _plain(b), option=orjson.OPT_SORT_KEYS
        )
    return a is b


def _plain(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in schema.items() if not is_annotation(k)}


def _differs(a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    """Whether either has what is not understood. Equal schemas were let pass before."""
    return bool(Node(a, {}).unknown or Node(b, {}).unknown)


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name

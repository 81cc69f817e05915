"""Reading JSON Schema (draft 2020-12), as far as contracts use it: every object closed, every keyword known.

Only what is listed here is understood. Whoever meets another keyword says that it cannot be decided, or refuses it:
nothing is ignored because it is unknown. Keywords that begin with `x-` assert nothing, except `x-registry`, and what
Pydantic enforces beyond JSON Schema (`constraints`): that is known to refuse documents, and cannot be checked here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from .labels import CONSTRAINTS, REGISTRY, VALIDATED

TYPES = ("null", "boolean", "integer", "number", "string", "array", "object")
BEYOND = (CONSTRAINTS, VALIDATED)
TIMED = frozenset({"date", "datetime", "time", "timedelta"})
"""Types that JSON Schema tells by a format; among constraints they say how to read the bounds."""
ANNOTATIONS = frozenset(
    ("title", "description", "default", "examples", "deprecated", "readOnly", "writeOnly", "$comment", "$schema")
)
ONE, LISTED, NAMED = (
    ("items", "additionalProperties", "propertyNames"),
    ("prefixItems", "allOf", "anyOf", "oneOf"),
    ("properties", "patternProperties", "$defs"),
)
"""Keywords that hold one schema, a list of schemas, schemas by name."""
ASSERTIONS = frozenset(
    (
        *("type", "enum", "const", "format", "pattern", "minLength", "maxLength", REGISTRY),
        *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
        *("minItems", "maxItems", "uniqueItems", "minProperties", "maxProperties", "required", "discriminator"),
        *("$ref", *ONE, *LISTED, *NAMED),
    )
)
_SPLIT = ("$ref", "allOf", "anyOf", "oneOf", "discriminator", "$defs")
_DEEP = 64


def is_annotation(keyword: str) -> bool:
    """Whether a keyword refuses no document."""
    return keyword in ANNOTATIONS or (keyword.startswith("x-") and keyword not in (REGISTRY, *BEYOND))


def mapped(schema: Any, change: Callable[[Any], Any]) -> Any:
    """A schema with `change` applied to each schema directly inside it."""
    if not isinstance(schema, Mapping):
        return schema
    out = dict(schema)
    for key in ONE:
        if key in out:
            out[key] = change(out[key])
    for key in LISTED:
        if isinstance(out.get(key), list):
            out[key] = [change(s) for s in out[key]]
    for key in NAMED:
        if isinstance(out.get(key), Mapping):
            out[key] = {name: change(s) for name, s in out[key].items()}
    return out


def without_beyond(schema: Any) -> Any:
    """A schema without what it says beyond JSON Schema: what is left can be checked by the document alone."""
    inner = mapped(schema, without_beyond)
    return {k: v for k, v in inner.items() if k not in BEYOND} if isinstance(inner, dict) else inner


def inside(schema: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The schemas directly inside one, each with where it stands (`properties/name`)."""
    yield from ((key, schema[key]) for key in ONE if key in schema)
    for key in LISTED:
        if isinstance(schema.get(key), list):
            yield from ((f"{key}/{i}", s) for i, s in enumerate(schema[key]))
    for key in NAMED:
        if isinstance(schema.get(key), Mapping):
            yield from ((f"{key}/{name}", s) for name, s in schema[key].items())


def closed(document: Mapping[str, Any]) -> dict[str, Any]:
    """The document as the contract gate enforces it.

    Every object that lists properties takes no others, whether or not that is written; where a discriminator
    chooses among objects, the tag must be there (a default does not stand in for it).
    """
    found: dict[str, Any] = _closed(document, document)
    return found


def _closed(schema: Any, root: Mapping[str, Any]) -> Any:
    out = mapped(schema, lambda inner: _closed(inner, root))
    if not isinstance(out, dict):
        return out
    if isinstance(out.get("properties"), Mapping):
        out["additionalProperties"] = False
    tag = out["discriminator"].get("propertyName") if isinstance(out.get("discriminator"), Mapping) else None
    if isinstance(tag, str):
        for key in ("oneOf", "anyOf"):
            if isinstance(out.get(key), list):
                out[key] = [_tagged(option, tag, root) for option in out[key]]
    return out


def _tagged(option: Any, tag: str, root: Mapping[str, Any]) -> Any:
    if not isinstance(option, Mapping):
        return option
    target = resolved(root, option["$ref"]) if "$ref" in option else None
    if isinstance(target, Mapping) and isinstance(target.get("properties"), Mapping):
        whole = mapped(target, lambda inner: _closed(inner, root))
        option = {**whole, **{k: v for k, v in option.items() if k != "$ref"}, "additionalProperties": False}
    required = option.get("required", ())
    return {**option, "required": sorted({*required, tag})} if isinstance(required, list | tuple) else option


def resolved(root: Mapping[str, Any], ref: Any) -> Any:
    """What a `$ref` inside the document points to; None where it points out of it, or to nothing."""
    if not isinstance(ref, str) or not ref.startswith("#"):
        return None
    found: Any = root
    for step in ref[1:].split("/")[1:]:
        key = step.replace("~1", "/").replace("~0", "~")
        if not isinstance(found, Mapping) or key not in found:
            return None
        found = found[key]
    return found


@dataclass(frozen=True, slots=True)
class Node:
    """A schema and the document it stands in."""

    schema: Any
    root: Mapping[str, Any]

    def at(self, schema: Any) -> Node:
        """Another schema of the same document."""
        return Node(schema, self.root)

    def target(self) -> Node | None:
        """What its `$ref` points to."""
        found = resolved(self.root, self.schema["$ref"])
        return None if found is None else self.at(found)

    @property
    def free(self) -> bool:
        """Whether it takes everything."""
        s = self.schema
        return s is True or (isinstance(s, Mapping) and all(is_annotation(k) or k == "$defs" for k in s))

    def parts(self) -> list[Node]:
        """The schemas that all must hold: its reference, each of `allOf`, each union, and the rest."""
        s = self.schema
        if not isinstance(s, Mapping):
            return [self]
        rest = {k: v for k, v in s.items() if k not in _SPLIT and not is_annotation(k)}
        found = [self.at(rest)] if rest else []
        if "$ref" in s:
            found.append(self.at({"$ref": s["$ref"]}))
        found += [part for item in s.get("allOf", ()) for part in self.at(item).parts()]
        found += [self.at({key: s[key]}) for key in ("anyOf", "oneOf") if key in s]
        return found

    @property
    def types(self) -> frozenset[str]:
        """The types that it takes; `number` is there for both kinds of numbers, `integer` for whole ones alone."""
        kind = self.schema.get("type")
        names = frozenset([kind] if isinstance(kind, str) else kind if kind is not None else TYPES)
        return names - {"integer"} if "number" in names else names

    @property
    def values(self) -> list[Any] | None:
        """The values of an enumeration or constant; None where it is neither."""
        if "const" in self.schema:
            return [self.schema["const"]]
        return list(self.schema["enum"]) if "enum" in self.schema else None

    @property
    def unknown(self) -> dict[str, Any]:
        """Keywords (and forms of keywords) that are not understood here."""
        return {k: v for k, v in self.schema.items() if not understood(k, v)}


def understood(keyword: str, value: Any) -> bool:
    """Whether a keyword is known, in the form that draft 2020-12 gives it."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if keyword == "type":
        names = [value] if isinstance(value, str) else value if isinstance(value, list) else [None]
        return all(name in TYPES for name in names)
    if keyword in ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"):
        return number
    if keyword.startswith(("min", "max")):
        return number and keyword in ASSERTIONS
    return keyword in ASSERTIONS or is_annotation(keyword)


def same_value(a: Any, b: Any) -> bool:
    """Equality of JSON values: 1 is 1.0, and neither is true."""
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return a.keys() == b.keys() and all(same_value(v, b[k]) for k, v in a.items())
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return len(a) == len(b) and all(map(same_value, a, b))
    return bool(a == b)


def type_of(value: Any) -> str:
    """The JSON type of a value. A float is a `number`, whole or not: the gate takes no 1.0 for an integer."""
    for kind, name in ((bool, "boolean"), (int, "integer"), (float, "number"), (str, "string"), (Mapping, "object")):
        if isinstance(value, kind):
            return name
    return "null" if value is None else "array"


def admits(node: Node, value: Any, deep: int = 0) -> bool | None:
    """Whether a schema takes a value; None where that cannot be decided (patterns, formats, registries)."""
    if node.schema is True or deep > _DEEP:
        return True if node.schema is True else None
    if not isinstance(node.schema, Mapping):
        return False
    found = [_admits(part, value, deep) for part in node.parts()]
    return False if False in found else None if None in found else True


def _admits(part: Node, value: Any, deep: int) -> bool | None:
    s = part.schema
    if not isinstance(s, Mapping):
        return bool(s)
    if "$ref" in s:
        target = part.target()
        return admits(target, value, deep + 1) if target else None
    for key in ("anyOf", "oneOf"):
        if key in s:
            found = [admits(part.at(option), value, deep + 1) for option in s[key]]
            if key == "oneOf" and found.count(True) > 1:
                return False
            if key == "oneOf" and None in found:
                return None
            return True if True in found else None if None in found else False
    kind, unsure = type_of(value), bool(part.unknown)
    if part.values is not None and not any(same_value(v, value) for v in part.values):
        return False
    if "type" in s and kind not in part.types and not (kind == "integer" and "number" in part.types):
        if not (kind == "number" and "integer" in part.types and float(value).is_integer()):
            return False
        unsure = True  # JSON Schema takes 1.0 for an integer, the gate does not
    unsure = unsure or REGISTRY in s or "format" in s
    found_more = _bounds_admit(part, kind, value, deep)
    return False if found_more is False else None if unsure or found_more is None else True


def _bounds_admit(part: Node, kind: str, value: Any, deep: int) -> bool | None:
    s = part.schema
    if kind in ("integer", "number"):
        low, high = bounds(s)
        fits = not ((low and below(value, low)) or (high and below(-value, high)))
        if fits and "multipleOf" in s:
            step, whole = s["multipleOf"], kind == "integer" and isinstance(s["multipleOf"], int)
            return value % step == 0 if whole else None
        return fits
    if kind == "string":
        fits = s.get("minLength", 0) <= len(value) <= s.get("maxLength", len(value))
        return None if fits and "pattern" in s else fits
    if kind == "array":
        if not s.get("minItems", 0) <= len(value) <= s.get("maxItems", len(value)):
            return False
        first, rest = s.get("prefixItems", ()), s.get("items", True)
        found = [admits(part.at(first[i] if i < len(first) else rest), v, deep + 1) for i, v in enumerate(value)]
        if s.get("uniqueItems") and len(value) > 1:
            found.append(None)
    elif kind == "object":
        if not s.get("minProperties", 0) <= len(value) <= s.get("maxProperties", len(value)):
            return False
        known, rest = s.get("properties", {}), s.get("additionalProperties", True)
        if any(name not in value for name in s.get("required", ())):
            return False
        found = [admits(part.at(known.get(k, rest)), v, deep + 1) for k, v in value.items()]
        if value and ("patternProperties" in s or "propertyNames" in s):
            found.append(None)
    else:
        return True
    return False if False in found else None if None in found else True


Bound = tuple[Fraction, bool]
"""The lowest number, and whether it is itself left out. Of an upper bound: of the negative numbers."""


def bounds(schema: Mapping[str, Any]) -> tuple[Bound | None, Bound | None]:
    """The effective lower and upper bound; the upper one is turned round, so that one comparison serves both."""
    low = [(Fraction(schema[k]), k != "minimum") for k in ("minimum", "exclusiveMinimum") if k in schema]
    high = [(-Fraction(schema[k]), k != "maximum") for k in ("maximum", "exclusiveMaximum") if k in schema]
    return max(low, default=None), max(high, default=None)


def below(value: float | Fraction, bound: Bound) -> bool:
    """Whether a number lies below a lower bound."""
    return value <= bound[0] if bound[1] else value < bound[0]

"""Labels: how far a value may be believed, and whom it may reach. They travel with values, outside what a model writes.

Integrity follows the model, not the string: what an agent writes after it has read untrusted text is untrusted,
unless the value is *grounded* (it stands, whole, in the user's request or in a trusted result) or of a *closed* type
(its few possible values leave no room for an instruction). Sensitivity is declared by fields and tools.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from pydantic import GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

Sensitivity = Literal["public", "internal", "personal", "secret"]
Integrity = Literal["trusted", "user", "untrusted"]

SENSITIVITIES: tuple[Sensitivity, ...] = get_args(Sensitivity)
INTEGRITIES: tuple[Integrity, ...] = get_args(Integrity)
SENSITIVE, REGISTRY, ORIGIN = "x-sensitivity", "x-registry", "x-origin"
MAX_CLOSED = 64
"""An enumeration of more values than this is a channel, not a choice."""
MAX_RANGE = 2**53
"""So is an integer of a wider range: with enough digits it spells a text."""
_NAME = re.compile(r"^[a-z][a-z0-9_]{0,62}$")
_CLOSED_FORMATS = frozenset({"date", "time", "date-time"})


@dataclass(frozen=True, slots=True)
class Label:
    """What is known of a value: whether it may be believed, and how sensitive it is."""

    integrity: Integrity = "untrusted"
    sensitivity: Sensitivity = "internal"

    def joined(self, *others: Label) -> Label:
        """The label of what was made of all of them: the least believable, the most sensitive."""
        every = (self, *others)
        return Label(
            max((o.integrity for o in every), key=INTEGRITIES.index),
            max((o.sensitivity for o in every), key=SENSITIVITIES.index),
        )

    def as_json(self) -> list[str]:
        """`[integrity, sensitivity]`, as records hold it."""
        return [self.integrity, self.sensitivity]

    @classmethod
    def from_json(cls, found: Sequence[Any]) -> Label:
        """The inverse of `as_json`; what it does not know is the most dangerous value."""
        integrity, sensitivity = found
        return cls(
            integrity if integrity in INTEGRITIES else "untrusted",
            sensitivity if sensitivity in SENSITIVITIES else "secret",
        )


@dataclass(frozen=True, slots=True)
class Sensitive:
    """Declares a field's sensitivity: `phone: Annotated[str, Sensitive("personal")]`. Undeclared is "internal".

    On a list, a mapping or a model it holds for all in it; what is declared inside can raise it, not lower it.
    """

    level: Sensitivity

    def __post_init__(self) -> None:
        if self.level not in SENSITIVITIES:
            raise ValueError(f"Sensitive({self.level!r}): known: {', '.join(SENSITIVITIES)}")

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {**handler(core), SENSITIVE: self.level}


@dataclass(frozen=True, slots=True)
class Origin:
    """Declares, on a field of an entry contract, whose words it holds: `text: Annotated[str, Origin("untrusted")]`.

    Undeclared is "user": whoever starts the run said so. The text of a mail that somebody sent in is untrusted.
    """

    integrity: Integrity

    def __post_init__(self) -> None:
        if self.integrity not in INTEGRITIES:
            raise ValueError(f"Origin({self.integrity!r}): known: {', '.join(INTEGRITIES)}")

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {**handler(core), ORIGIN: self.integrity}


@dataclass(frozen=True, slots=True)
class Id:
    """Declares a field as an id that a registry of the system validates: `customer: Annotated[str, Id("customers")]`.

    The registry is a look-up that the system was given; an id that it does not know breaks the contract. A validated
    id is a closed type. On a list or a mapping it is declared for every value in it.
    """

    registry: str

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.registry):
            raise ValueError(f"Id({self.registry!r}): a registry's name is lower case letters, digits, underscores")

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {**handler(core), REGISTRY: self.registry}


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """A value in a payload, where it stands, and what its schema declares of it."""

    path: str
    value: Any
    sensitivity: Sensitivity
    registry: str


def is_closed(schema: Any, defs: Mapping[str, Any], *, known: bool = False) -> bool:
    """Whether values of this JSON Schema leave no room for free text.

    Closed: booleans, null, constants, enumerations of at most 64, numbers with both bounds (integers within a range
    of 2^53), dates and times, validated ids, and what is made of these alone with a bound on its length.

    Args:
        known: a registry knows each text and number in it.
    """
    if not isinstance(schema, Mapping):
        return False
    known = known or bool(schema.get(REGISTRY))
    if "const" in schema:
        return True
    if "enum" in schema:
        return known or len(schema["enum"]) <= MAX_CLOSED
    if "$ref" in schema:
        name = str(schema["$ref"]).rpartition("/")[2]
        # Inside a definition it is not there: a type that contains itself has no bound.
        return is_closed(defs.get(name), {k: v for k, v in defs.items() if k != name}, known=known)
    for several in ("anyOf", "oneOf", "allOf"):
        if several in schema:
            found = [is_closed(part, defs, known=known) for part in schema[several]]
            return any(found) if several == "allOf" else all(found)
    match schema.get("type"):
        case "boolean" | "null":
            return True
        case "integer":
            return known or _range(schema) <= MAX_RANGE
        case "number":
            return known or _range(schema) < math.inf
        case "string":
            return known or schema.get("format") in _CLOSED_FORMATS
        case "array":
            parts = [*schema.get("prefixItems", ()), *([schema["items"]] if "items" in schema else ())]
            fixed = "prefixItems" in schema and "items" not in schema
            return (
                (fixed or "maxItems" in schema) and bool(parts) and all(is_closed(p, defs, known=known) for p in parts)
            )
        case "object":
            inner: Mapping[str, Any] = schema.get("properties") or {}
            free = isinstance(schema.get("additionalProperties"), Mapping) or "patternProperties" in schema
            return bool(inner) and not free and all(is_closed(p, defs, known=known) for p in inner.values())
        case _:
            return False


def _range(schema: Mapping[str, Any]) -> float:
    """How far apart the bounds of a number are; infinitely where one of them is missing."""
    low = schema.get("minimum", schema.get("exclusiveMinimum"))
    high = schema.get("maximum", schema.get("exclusiveMaximum"))
    try:
        return high - low if isinstance(low, int | float) and isinstance(high, int | float) else math.inf
    except OverflowError:  # an integer beyond what a float holds
        return math.inf


def leaves(value: Any, schema: Mapping[str, Any]) -> Iterator[Leaf]:
    """The values in a payload that its schema declares sensitive or an id, wherever they are nested, keys included."""
    yield from _leaves(value, schema, schema.get("$defs", {}), "", "internal", "")


def _leaves(
    value: Any, schema: Any, defs: Mapping[str, Any], path: str, level: Sensitivity, registry: str
) -> Iterator[Leaf]:
    if not isinstance(schema, Mapping):
        return
    level, registry = _within(level, schema), str(schema.get(REGISTRY, registry))
    parts = [part for several in ("anyOf", "oneOf", "allOf") for part in schema.get(several, ())]
    if "$ref" in schema:
        parts.append(defs.get(str(schema["$ref"]).rpartition("/")[2], {}))
    for part in parts:
        yield from _leaves(value, part, defs, path, level, registry)
    if parts and not {"properties", "items", "prefixItems"} & set(schema):
        return
    kinds = schema.get("type", ("object", "array"))
    if isinstance(value, Mapping):
        for key, inner in value.items() if "object" in kinds else ():
            at = f"{path}.{key}" if path else str(key)
            if "properties" not in schema:  # then the keys are data, as the values are
                yield from _leaves(key, schema.get("propertyNames", {}), defs, at, level, "")
            for known in _schemas_of(str(key), schema):
                yield from _leaves(inner, known, defs, at, level, registry)
    elif isinstance(value, list):
        fixed = schema.get("prefixItems", ())
        for index, inner in enumerate(value) if "array" in kinds else ():
            items = fixed[index] if index < len(fixed) else schema.get("items")
            within = items if isinstance(items, Mapping) else {}
            yield from _leaves(inner, within, defs, f"{path}[{index}]", level, registry)
    elif value is not None and (registry or level != "internal"):
        yield Leaf(path=path, value=value, sensitivity=level, registry=registry)


def _within(level: Sensitivity, schema: Mapping[str, Any]) -> Sensitivity:
    """The sensitivity of what a schema describes, inside something of `level`: the higher, where both are declared."""
    if SENSITIVE not in schema:
        return level
    own: Sensitivity = schema[SENSITIVE] if schema[SENSITIVE] in SENSITIVITIES else "secret"
    return own if level == "internal" else max(level, own, key=SENSITIVITIES.index)


def _schemas_of(key: str, schema: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """What an object's schema says of the value under a key."""
    if isinstance(known := schema.get("properties", {}).get(key), Mapping):
        return [known]
    # Whatever the patterns are: they are those of Pydantic's engine, and one too many asks for too much only.
    open_ = [*schema.get("patternProperties", {}).values(), schema.get("additionalProperties")]
    return [s for s in open_ if isinstance(s, Mapping)] or [{}]


def declared(schema: Mapping[str, Any]) -> dict[str, Sensitivity]:
    """The sensitivity of each top level field: the highest that stands anywhere in it."""
    defs = schema.get("$defs", {})
    return {name: _highest(inner, defs) for name, inner in schema.get("properties", {}).items()}


def _highest(schema: Any, defs: Mapping[str, Any]) -> Sensitivity:
    found: list[Sensitivity] = []
    if isinstance(schema, Mapping):
        if (here := schema.get(SENSITIVE)) is not None:
            found.append(here if here in SENSITIVITIES else "secret")
        if "$ref" in schema:
            name = str(schema["$ref"]).rpartition("/")[2]
            found.append(_highest(defs.get(name), {k: v for k, v in defs.items() if k != name}))
        parts: Iterable[Any] = [p for k in ("anyOf", "oneOf", "allOf", "prefixItems") for p in schema.get(k, ())]
        inner = [schema.get(k) for k in ("items", "additionalProperties", "propertyNames")]
        inner += [s for k in ("properties", "patternProperties") for s in schema.get(k, {}).values()]
        found += [_highest(p, defs) for p in [*parts, *inner] if isinstance(p, Mapping) and _says(p, defs)]
    return max(found, key=SENSITIVITIES.index, default="internal")


def _says(schema: Any, defs: Mapping[str, Any]) -> bool:
    """Whether a schema declares a sensitivity anywhere: an undeclared part must not raise "public" to "internal"."""
    if isinstance(schema, Mapping):
        if SENSITIVE in schema:
            return True
        if "$ref" in schema:
            name = str(schema["$ref"]).rpartition("/")[2]
            return _says(defs.get(name), {k: v for k, v in defs.items() if k != name})
        return any(_says(v, defs) for v in schema.values())
    return isinstance(schema, list) and any(_says(v, defs) for v in schema)

"""Labels: how far a value may be believed, and whom it may reach. They travel with values, outside what a model writes.

Integrity follows the model, not the string: what an agent writes after it has read untrusted text is untrusted,
unless the value is *grounded* (it stands, whole, in the user's request or in a trusted result) or of a *closed* type
(its few possible values leave no room for an instruction). Sensitivity is declared by fields and tools.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
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
MAX_ROOM = 64
"""So is a list whose items together tell more bits than this: eight letters' worth."""
CONSTRAINTS, VALIDATED = "x-constraints", "x-validated"
"""What Pydantic enforces beyond JSON Schema; see `edgewright.contracts.constraints`."""
UNENFORCED = "unenforced"
_ID_BITS = 6.0
_NUMBER_BITS = 64.0
_DATE_BITS, _DATE = 22.0, "date"
_TIMES = {"time": 54.0, "date-time": 76.0}  # to the microsecond, with the offset from UTC


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


@dataclass(frozen=True, slots=True)
class Room:
    """How much values of a closed type can tell.

    Attributes:
        bits: the logarithm of how many there are.
        listed: how many of them an author wrote down, as constants and enumerations.
    """

    bits: float
    listed: int = 0


ID = Room(_ID_BITS)
"""A validated id tells as much as one choice of 64: which of those that the system knows."""


def one_of(rooms: Sequence[Room | None]) -> Room | None:
    """The room of a union; None (open) if one of them is, or if more than 64 values are listed in all of them."""
    every = [r for r in rooms if r is not None]
    listed = sum(r.listed for r in every)
    if not every or len(every) < len(rooms) or listed > MAX_CLOSED:
        return None
    return Room(max(r.bits for r in every) + math.log2(len(every)), listed)


def all_of(rooms: Sequence[Room | None]) -> Room | None:
    """The room of an object or a tuple; its author fixed how many parts it has, so there is no limit to their sum."""
    every = [r for r in rooms if r is not None]
    if not every or len(every) < len(rooms):
        return None
    return Room(sum(r.bits for r in every), max(r.listed for r in every))


def repeated(room: Room | None, most: int | None) -> Room | None:
    """The room of a list of up to `most` items; None if that is not bounded, or is more than 64 bits."""
    if room is None or most is None or most * room.bits > MAX_ROOM:
        return None
    return Room(most * room.bits, room.listed)


def whole_numbers(low: Any, high: Any) -> Room | None:
    """The room of integers between two bounds; None without both, or where they lie further apart than 2^53."""
    between = _between(low, high)
    return Room(math.log2(max(between, 0) + 1)) if between <= MAX_RANGE else None


def numbers(low: Any, high: Any) -> Room | None:
    """The room of numbers between two bounds; None without both."""
    return Room(_NUMBER_BITS) if _between(low, high) < math.inf else None


def moments(name: str) -> Room | None:
    """The room of a date, time or date and time that crosses in one form, to the microsecond."""
    return Room(_DATE_BITS) if name == _DATE else Room(_TIMES[name]) if name in _TIMES else None


def is_closed(schema: Any, defs: Mapping[str, Any], *, known: bool = False, kept: bool = False) -> bool:
    """Whether values of this JSON Schema leave no room for free text.

    Closed: booleans, null, constants, enumerations of at most 64 values (a union counts the values of all its parts
    together), numbers with both bounds (integers within a range of 2^53), dates and times, validated ids, and what is
    made of these alone. A list is closed if its greatest length times what one item can tell is at most 64 bits: an
    item among n values tells log2(n), a validated id 6, a number that need not be whole 64.

    Args:
        known: a registry knows each text and number in it.
        kept: texts cross as they were given, as with a contract loaded from a document. A time may then have any
            number of digits behind the second, so of the formats only `date` is closed.
    """
    return room_of(schema, defs, known=known, kept=kept) is not None


def room_of(schema: Any, defs: Mapping[str, Any], *, known: bool = False, kept: bool = False) -> Room | None:
    """How much values of this JSON Schema can tell; None for what is not closed. See `is_closed`."""
    return _Rooms(defs, kept).of(schema, known)


class _Rooms:
    def __init__(self, defs: Mapping[str, Any], kept: bool) -> None:
        self._defs, self._kept = defs, kept
        self._met: dict[tuple[str, bool], Room | None] = {}

    def of(self, schema: Any, known: bool) -> Room | None:
        if not isinstance(schema, Mapping):
            return None
        beyond = schema.get(CONSTRAINTS)
        if isinstance(beyond, Mapping) and UNENFORCED in beyond:
            return None
        known = known or bool(schema.get(REGISTRY))
        if "const" in schema:
            return Room(0, 1)
        if "enum" in schema:
            count = len(schema["enum"])
            return ID if known else Room(math.log2(count or 1), count) if count <= MAX_CLOSED else None
        if "$ref" in schema:
            return self._definition(str(schema["$ref"]).rpartition("/")[2], known)
        if "allOf" in schema:
            found = [r for part in schema["allOf"] if (r := self.of(part, known)) is not None]
            return min(found, key=lambda r: r.bits, default=None)
        for several in ("anyOf", "oneOf"):
            if several in schema:
                return one_of([self.of(part, known) for part in schema[several]])
        return self._typed(schema, known)

    def _definition(self, name: str, known: bool) -> Room | None:
        if (name, known) not in self._met:
            self._met[name, known] = None  # met inside itself it is open: a type that contains itself has no bound
            self._met[name, known] = self.of(self._defs.get(name), known)
        return self._met[name, known]

    def _typed(self, schema: Mapping[str, Any], known: bool) -> Room | None:
        low = schema.get("minimum", schema.get("exclusiveMinimum"))
        high = schema.get("maximum", schema.get("exclusiveMaximum"))
        match schema.get("type"):
            case "boolean" | "null" as kind:
                return Room(1 if kind == "boolean" else 0)
            case "integer":
                return ID if known else whole_numbers(low, high)
            case "number":
                return ID if known else numbers(low, high)
            case "string":
                name = str(schema.get("format"))
                return ID if known else None if self._kept and name != _DATE else moments(name)
            case "array":
                return self._list(schema, known)
            case "object":
                inner: Mapping[str, Any] = schema.get("properties") or {}
                free = isinstance(schema.get("additionalProperties"), Mapping) or "patternProperties" in schema
                return None if free else all_of([self.of(p, known) for p in inner.values()])
            case _:
                return None

    def _list(self, schema: Mapping[str, Any], known: bool) -> Room | None:
        first, rest, most = schema.get("prefixItems", ()), schema.get("items"), schema.get("maxItems")
        fixed = [self.of(p, known) for p in first]
        if first and (rest is False or (most is not None and most <= len(first))):
            return all_of(fixed)
        more = repeated(self.of(rest, known), None if most is None else max(most - len(first), 0))
        return all_of([*fixed, more])


def _between(low: Any, high: Any) -> float:
    """How far apart two bounds are; infinitely where one of them is missing."""
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
            for known in schemas_of(str(key), schema):
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


def schemas_of(key: str, schema: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """What an object's schema says of the value under a key."""
    if isinstance(known := schema.get("properties", {}).get(key), Mapping):
        return [known]
    # Whatever the patterns are: they are those of Pydantic's engine, and one too many asks for too much only.
    open_ = [*schema.get("patternProperties", {}).values(), schema.get("additionalProperties")]
    return [s for s in open_ if isinstance(s, Mapping)] or [{}]


def declared(schema: Mapping[str, Any]) -> dict[str, Sensitivity]:
    """The sensitivity of each top level field: the highest that stands anywhere in it."""
    defs = schema.get("$defs", {})
    return {name: highest(inner, defs) for name, inner in schema.get("properties", {}).items()}


def highest(schema: Any, defs: Mapping[str, Any]) -> Sensitivity:
    found: set[Sensitivity] = set()
    for part in _reachable(schema, defs):
        if (here := part.get(SENSITIVE)) is not None:
            found.add(here if here in SENSITIVITIES else "secret")
            # Declared on a definition that declares nothing, "public" covers what is undeclared, so it does not lower.
            if "$ref" in part and not _says(defs.get(_name_of(part)), defs):
                found.add("internal")
    return max(found, key=SENSITIVITIES.index, default="internal")


def _says(schema: Any, defs: Mapping[str, Any]) -> bool:
    """Whether a schema declares a sensitivity anywhere: an undeclared part must not raise "public" to "internal"."""
    return any(SENSITIVE in part for part in _reachable(schema, defs))


def _reachable(schema: Any, defs: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """A schema and every schema in it; each definition once, however often it is referred to."""
    left, met = [schema], set[str]()
    while left:
        part = left.pop()
        if not isinstance(part, Mapping):
            continue
        yield part
        left += [p for k in ("anyOf", "oneOf", "allOf", "prefixItems") for p in part.get(k, ())]
        left += [part.get(k) for k in ("items", "additionalProperties", "propertyNames")]
        left += [s for k in ("properties", "patternProperties") for s in part.get(k, {}).values()]
        if "$ref" in part and (name := _name_of(part)) not in met:
            met.add(name)
            left.append(defs.get(name))


def _name_of(schema: Mapping[str, Any]) -> str:
    return str(schema["$ref"]).rpartition("/")[2]

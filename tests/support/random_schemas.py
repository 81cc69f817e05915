"""Random contract schemas as Pydantic emits them, mutations of them, Pydantic models, and documents that fit nearly."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from datetime import date
from enum import Enum
from random import Random
from typing import Annotated, Any, Literal, Optional, Union

from edgewright.contracts.json_schema import resolved
from pydantic import BaseModel, ConfigDict, Field, create_model

Schema = dict[str, Any]
NAMES = ("a", "b", "c", "d")
TEXTS = ("", "a", "ab", "abc", "x-1", "2024-05-01", "abcdef", "é")
NUMBERS = (-7, -1, 0, 1, 2, 3, 4, 5, 6, 10, 11, 1.0, 2.5, 0.5, -0.5, 1e300, 10**15)
PATTERNS = ("^a", "b$", "^x-[0-9]+$")
ENUMS: tuple[list[Any], ...] = (["a"], ["a", "ab"], ["ab", "abc", "a"], [1, 2], [1, 2, 3], [True], ["a", 1, None])


# -- schemas ---------------------------------------------------------------------------------------------------------


def document(rng: Random) -> Schema:
    """A document: an object, with definitions that may contain themselves and each other."""
    defs = {name: record(rng, 2) for name in ("Node", "Tag")[: rng.randrange(3)]}
    found = record(rng, 3, tuple(defs))
    if defs:
        defs = {name: record(rng, 2, tuple(defs)) for name in defs}
        found["$defs"] = defs
    return found


def record(rng: Random, depth: int, defs: tuple[str, ...] = ()) -> Schema:
    """A closed object."""
    names = rng.sample(NAMES, rng.randrange(1, 4))
    properties = {}
    for name in names:
        properties[name] = schema(rng, depth - 1, defs)
        if rng.random() < 0.2:
            properties[name]["default"] = rng.choice([None, 1, "a", []])
    found: Schema = {"type": "object", "properties": properties}
    if required := [n for n in names if rng.random() < 0.5 and "default" not in properties[n]]:
        found["required"] = required
    return found


def schema(rng: Random, depth: int, defs: tuple[str, ...] = ()) -> Schema:
    """Any schema of the grammar."""
    if defs and rng.random() < 0.15:
        return {"$ref": f"#/$defs/{rng.choice(defs)}"}
    deep: list[Callable[[], Schema]] = [
        lambda: record(rng, depth, defs),
        lambda: _array(rng, depth, defs),
        lambda: _mapping(rng, depth, defs),
        lambda: _union(rng, depth, defs),
        lambda: _tagged(rng, depth, defs),
    ]
    flat: list[Callable[[], Schema]] = [
        lambda: _number(rng),
        lambda: _number(rng),
        lambda: _text(rng),
        lambda: _text(rng),
        lambda: {"type": rng.choice(["boolean", "null"])},
        lambda: {"enum": list(rng.choice(ENUMS))},
        lambda: {"const": rng.choice(["a", "b", 1, True, None, 2.5])},
        lambda: {"type": rng.sample(["string", "integer", "null", "number"], 2)},
        lambda: {},
    ]
    return rng.choice(deep + flat if depth > 0 else flat)()


def _number(rng: Random) -> Schema:
    found: Schema = {"type": rng.choice(["integer", "number"])}
    for key, chance in (("minimum", 0.35), ("maximum", 0.35), ("exclusiveMinimum", 0.15), ("exclusiveMaximum", 0.15)):
        if rng.random() < chance:
            found[key] = rng.choice([0, 1, 2, 5, 10, 0.5])
    if rng.random() < 0.15:
        found["multipleOf"] = rng.choice([1, 2, 3, 4, 0.5])
    return found


def _text(rng: Random) -> Schema:
    found: Schema = {"type": "string"}
    if rng.random() < 0.3:
        found["minLength"] = rng.randrange(3)
    if rng.random() < 0.4:
        found["maxLength"] = rng.randrange(1, 5)
    if rng.random() < 0.15:
        found["pattern"] = rng.choice(PATTERNS)
    if rng.random() < 0.15:
        found["format"] = "date"
    if rng.random() < 0.1:
        found["x-registry"] = rng.choice(["customers", "orders"])
    if rng.random() < 0.1:
        found["x-sensitivity"] = rng.choice(["public", "secret"])
    return found


def _array(rng: Random, depth: int, defs: tuple[str, ...]) -> Schema:
    found: Schema = {"type": "array"}
    if rng.random() < 0.25:
        count = rng.randrange(1, 3)
        found |= {"prefixItems": [schema(rng, depth - 1, defs) for _ in range(count)]}
        if rng.random() < 0.7:
            return {**found, "minItems": count, "maxItems": count}
    if rng.random() < 0.8:
        found["items"] = schema(rng, depth - 1, defs)
    for key, chance in (("minItems", 0.2), ("maxItems", 0.3)):
        if rng.random() < chance:
            found[key] = rng.randrange(3)
    if rng.random() < 0.15:
        found["uniqueItems"] = True
    return found


def _mapping(rng: Random, depth: int, defs: tuple[str, ...]) -> Schema:
    found: Schema = {"type": "object"}
    if rng.random() < 0.8:
        found["additionalProperties"] = schema(rng, depth - 1, defs)
    if rng.random() < 0.2:
        found["propertyNames"] = rng.choice([{"enum": ["a", "b"]}, {"maxLength": 1}, {"const": "a"}])
    if rng.random() < 0.1:
        found["patternProperties"] = {"^a": schema(rng, 0)}
    for key in ("minProperties", "maxProperties"):
        if rng.random() < 0.15:
            found[key] = rng.randrange(3)
    return found


def _union(rng: Random, depth: int, defs: tuple[str, ...]) -> Schema:
    options = [schema(rng, depth - 1, defs) for _ in range(rng.randrange(1, 3))]
    if rng.random() < 0.5:
        options.append({"type": "null"})
    key = rng.choices(["anyOf", "oneOf", "allOf"], [7, 2, 1])[0]
    return {key: options[:1] if key == "allOf" and rng.random() < 0.7 else options}


def _tagged(rng: Random, depth: int, defs: tuple[str, ...]) -> Schema:
    options = []
    for tag in rng.sample(["x", "y", "z"], rng.randrange(1, 3)):
        option = record(rng, depth - 1, defs)
        option["properties"]["kind"] = {"const": tag, "type": "string"}
        if rng.random() < 0.5:
            option["required"] = [*option.get("required", ()), "kind"]
        options.append(option)
    return {"oneOf": options, "discriminator": {"propertyName": "kind"}}


# -- mutations -------------------------------------------------------------------------------------------------------


def mutated(rng: Random, old: Schema) -> Schema:
    """The document with one to three small changes, some of which mean nothing."""
    new = copy.deepcopy(old)
    for _ in range(rng.randrange(1, 4)):
        places: list[Schema] = []
        _collect(new, places)
        _change(rng, rng.choice(places), tuple(new.get("$defs", ())))
    if "properties" not in new or new.get("type") != "object":
        return copy.deepcopy(old)
    return new


def _collect(found: Any, places: list[Schema]) -> None:
    if isinstance(found, dict):
        places.append(found)
        for key, value in found.items():
            for inner in value.values() if key in ("properties", "$defs") else value if isinstance(value, list) else ():
                _collect(inner, places)
            if key in ("items", "additionalProperties"):
                _collect(value, places)


def _change(rng: Random, s: Schema, defs: tuple[str, ...]) -> None:
    moves: list[Callable[[], Any]] = [
        lambda: s.update(description="words"),
        lambda: s.pop(rng.choice(sorted(s)), None) if s else None,
        lambda: s.pop("required", None),
        lambda: s.update(maximum=rng.choice([1, 5, 10])) if s.get("type") in ("integer", "number") else None,
        lambda: s.update(type="number") if s.get("type") == "integer" else None,
        lambda: s.update(maxLength=rng.randrange(1, 5)) if s.get("type") == "string" else None,
        lambda: s.update(minLength=rng.randrange(3)) if s.get("type") == "string" else None,
        lambda: s.update(maxItems=rng.randrange(3)) if s.get("type") == "array" else None,
        lambda: s["enum"].append("new") if "enum" in s else None,
        lambda: s["enum"].pop() if len(s.get("enum", ())) > 1 else None,
        lambda: s["anyOf"].append({"type": "null"}) if "anyOf" in s else None,
        lambda: s["anyOf"].reverse() if "anyOf" in s else None,
        lambda: s["oneOf"].append(record(rng, 1)) if "oneOf" in s else None,
    ]
    if "properties" in s:
        moves += [
            lambda: s["properties"].update({rng.choice(NAMES): schema(rng, 1, defs)}),
            lambda: s["properties"].pop(rng.choice(sorted(s["properties"]))) if len(s["properties"]) > 1 else None,
            lambda: s.update(required=[n for n in s["properties"] if rng.random() < 0.6]),
        ]
    elif "$defs" not in s:
        inner = copy.deepcopy(s)
        moves += [lambda: _become(s, {"anyOf": [inner, {"type": "null"}]}) if "default" not in s else None]
    rng.choice(moves)()


def _become(s: Schema, other: Schema) -> None:
    s.clear()
    s.update(other)


# -- documents -------------------------------------------------------------------------------------------------------


def fitting(rng: Random, s: Any, root: Mapping[str, Any], depth: int = 0) -> Any:
    """A value that mostly fits the schema, near its bounds."""
    if rng.random() < 0.04 or depth > 7 or not isinstance(s, Mapping):
        return _anything(rng)
    if "$ref" in s:
        return fitting(rng, resolved(root, s["$ref"]), root, depth + 1)
    for key in ("anyOf", "oneOf", "allOf"):
        if s.get(key):
            return fitting(rng, rng.choice(s[key]), root, depth + 1)
    if "const" in s or "enum" in s:
        return rng.choice([s["const"]] if "const" in s else s["enum"])
    kind = s.get("type")
    kind = rng.choice(kind) if isinstance(kind, list) else kind
    if kind == "object":
        return _object(rng, s, root, depth)
    if kind == "array":
        return _items(rng, s, root, depth)
    return _scalar(rng, s, kind)


def _scalar(rng: Random, s: Mapping[str, Any], kind: Any) -> Any:
    if kind in ("integer", "number"):
        bounds = [s[k] + d for k in s if "imum" in k or k == "multipleOf" for d in (-1, 0, 1)]
        value = rng.choice([*NUMBERS, *bounds, *bounds])
        return value if kind == "number" or rng.random() < 0.1 else int(min(value, 10**15))
    if kind == "string":
        sizes = [s.get("minLength", 0), s.get("maxLength", 3)]
        return rng.choice([*TEXTS, *("a" * max(0, n + d) for n in sizes for d in (-1, 0, 1))])
    if kind == "boolean":
        return rng.random() < 0.5
    return None if kind == "null" else _anything(rng)


def _object(rng: Random, s: Mapping[str, Any], root: Mapping[str, Any], depth: int) -> dict[str, Any]:
    made = {}
    for name, inner in s.get("properties", {}).items():
        if name in s.get("required", ()) or rng.random() < 0.6 / (1 + depth / 4):
            made[name] = fitting(rng, inner, root, depth + 1)
    if "properties" not in s:
        rest = {**s.get("patternProperties", {}), "": s.get("additionalProperties", True)}
        for name in rng.sample(NAMES, rng.randrange(3) if depth < 5 else 0):
            made[name] = fitting(rng, rest.get("^" + name, rest[""]), root, depth + 1)
    elif rng.random() < 0.05:
        made[rng.choice(NAMES)] = _anything(rng)
    return made


def _items(rng: Random, s: Mapping[str, Any], root: Mapping[str, Any], depth: int) -> list[Any]:
    first = s.get("prefixItems", ())
    count = rng.choice([s.get("minItems", 0), s.get("maxItems", 2), 1, 2, len(first)])
    return [
        fitting(rng, first[i] if i < len(first) else s.get("items", True), root, depth + 1)
        for i in range(count if depth < 5 else s.get("minItems", 0))
    ]


def _anything(rng: Random) -> Any:
    return rng.choice([None, True, False, *NUMBERS, *TEXTS, [], {}, [1], {"a": 1}])


# -- Pydantic models -------------------------------------------------------------------------------------------------


class Colour(Enum):
    """An enumeration of text."""

    RED = "a"
    BLUE = "ab"


class Level(Enum):
    """An enumeration of numbers."""

    LOW = 1
    HIGH = 2


class Leafy(BaseModel):
    """A model that contains itself."""

    a: int | None = None
    b: Optional[Leafy] = None  # noqa: UP045 - a name that is not there yet


class Left(BaseModel):
    """One of two, told apart by its tag, which has a default."""

    kind: Literal["x"] = "x"
    a: int


class Right(BaseModel):
    """The other, with a tag that must be there."""

    kind: Literal["y"]
    b: str = "b"


_FLAT: tuple[Any, ...] = (
    *(int, float, str, bool, bytes, date, Colour, Level, Leafy, Any, type(None)),
    *(Literal["a"], Literal["a", "b"], Literal[1], Literal[1, 2], Literal[True], dict[str, Any], set[int]),
    *(Annotated[int, Field(ge=0)], Annotated[int, Field(ge=0, le=5)], Annotated[int, Field(gt=0)]),
    *(Annotated[float, Field(ge=0)], Annotated[float, Field(lt=5)], Annotated[int, Field(multiple_of=2)]),
    *(Annotated[str, Field(max_length=3)], Annotated[str, Field(min_length=1, max_length=5)]),
    *(
        Annotated[str, Field(pattern="^a")],
        Annotated[bytes, Field(max_length=2)],
        Annotated[bytes, Field(min_length=2)],
    ),
    *(Annotated[set[int], Field(max_length=1)], Annotated[set[int], Field(min_length=1)], tuple[int, str], tuple[()]),
    Annotated[Left | Right, Field(discriminator="kind")],
)


def annotation(rng: Random, depth: int) -> Any:
    """A field's type."""
    if depth <= 0 or rng.random() < 0.5:
        return rng.choice(_FLAT)
    inner: Any = annotation(rng, depth - 1)
    made: list[Callable[[], Any]] = [
        lambda: list[inner],
        lambda: Annotated[list[inner], Field(max_length=2)],
        lambda: dict[str, inner],
        lambda: dict[Literal["a", "b"], inner],
        lambda: tuple[inner, ...],
        lambda: tuple[inner, rng.choice(_FLAT)],  # type: ignore[misc]
        lambda: Optional[inner],  # noqa: UP045 - `|` is not for every value of `inner`
        lambda: Union[inner, annotation(rng, depth - 1)],  # noqa: UP007
        lambda: model(fields(rng, depth - 1)),
    ]
    return rng.choice(made)()


Fields = dict[str, tuple[Any, Any]]


def fields(rng: Random, depth: int) -> Fields:
    """Fields of a model by name: type, and default or `...`."""
    return {name: _field(rng, depth) for name in rng.sample(NAMES, rng.randrange(1, 4))}


def _field(rng: Random, depth: int) -> tuple[Any, Any]:
    return annotation(rng, depth), rng.choice([..., ..., None])


def changed(rng: Random, old: Fields) -> Fields:
    """The fields with one or two changes."""
    new = dict(old)
    for _ in range(rng.randrange(1, 3)):
        name = rng.choice(NAMES)
        move = rng.randrange(4)
        if move == 0 and name in new and len(new) > 1:
            del new[name]
        elif move == 1 and name in new:
            new[name] = (new[name][0], None if new[name][1] is ... else ...)
        elif move == 2 and name in new:
            new[name] = (Optional[new[name][0]], new[name][1])  # noqa: UP045
        else:
            new[name] = _field(rng, 1)
    return new


def model(made_of: Fields) -> type[BaseModel]:
    """A model with these fields."""
    made: type[BaseModel] = create_model("Made", __config__=ConfigDict(extra="forbid"), **made_of)  # type: ignore[call-overload]
    return made

"""Every JSON Schema gives a Cedar schema that parses, and every value that fits the one fits the other."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal

import cedarpy
import pytest
from edgewright.contracts.cedar_schema import cedar_record, cedar_schema, cedar_type, cedar_value, unmodelled
from edgewright.contracts.policy import CompiledPolicy, Policy, PolicyCall
from edgewright.contracts.tool import ToolSpec
from edgewright.contracts.verdict import Allow
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field, create_model

PERMIT = '@id("any") permit (principal, action, resource);'


class Level(Enum):
    low = "low"
    high = "high"


class Inner(BaseModel):
    name: str
    weight: float | None = None
    tags: list[str] = []


class Tree(BaseModel):
    name: str
    kids: list[Tree] = []


class Forest(BaseModel):
    tree: Tree
    trees: list[Tree] = []


LONG = st.integers(-(2**63), 2**63 - 1)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
INNERS = st.builds(Inner, name=TEXT, weight=st.none() | st.floats(-9, 9), tags=st.lists(TEXT, max_size=2))
# A type, and values of it that are valid JSON.
FIELDS: list[tuple[Any, st.SearchStrategy[Any]]] = [
    (str, TEXT),
    (int, LONG),
    (bool, st.booleans()),
    (float, st.floats(-9, 9)),
    (Decimal, st.decimals(-9, 9, places=2)),
    (date, st.dates()),
    (Level, st.sampled_from(Level)),
    (Literal["a", "b"], st.sampled_from(["a", "b"])),
    (Literal["a", 1], st.sampled_from(["a", 1])),
    (str | None, st.none() | TEXT),
    (int | str, LONG | TEXT),
    (list[int], st.lists(LONG, max_size=3)),
    (list[int | None], st.lists(st.none() | LONG, max_size=3)),
    (list[list[str]], st.lists(st.lists(TEXT, max_size=2), max_size=2)),
    (set[str], st.sets(TEXT, max_size=3)),
    (tuple[int, str], st.tuples(LONG, TEXT)),
    (dict[str, int], st.dictionaries(TEXT, LONG, max_size=2)),
    (Any, TEXT | LONG),
    (Inner, INNERS),
    (Inner | None, st.none() | INNERS),
    (list[Inner], st.lists(INNERS, max_size=2)),
    (dict[str, Inner], st.dictionaries(TEXT, INNERS, max_size=2)),
    (Tree, st.just(Tree(name="a", kids=[Tree(name="b")]))),
    (Annotated[int, Field(ge=0, le=9)], st.integers(0, 9)),
]
# Names that only a foreign schema could bring along.
NAMES = st.text("abcdefgh", min_size=1, max_size=6)
HOSTILE = [
    'a"b',
    "a\\b",
    "a\nb",
    "a b",
    "",
    "__entity",
    "__extn",
    "ü",
    "\u200b",
    "in",
    "Long",
    'x": Long }; //',
    "\x00",
]


@st.composite
def fields_and_values(draw: st.DrawFn) -> tuple[dict[str, Any], dict[str, Any]]:
    fields: dict[str, Any] = {}
    values: dict[str, Any] = {}
    for name in draw(st.lists(NAMES, unique=True, max_size=6)):
        kind, strategy = draw(st.sampled_from(FIELDS))
        optional = draw(st.booleans())
        fields[name] = (kind | None, None) if optional else (kind, ...)
        if not optional or draw(st.booleans()):
            values[name] = draw(strategy)
    return fields, values


def spec(parameters: Mapping[str, Any], *, name: str = "tool", facts: Mapping[str, Any] | None = None) -> ToolSpec:
    return ToolSpec(name=name, description="", parameters=parameters, facts=facts)


def judged(parameters: Mapping[str, Any], args: Mapping[str, Any]) -> Any:
    policy = CompiledPolicy(Policy(text=PERMIT), agents=["a"], tools=[spec(parameters, facts=parameters)])
    call = PolicyCall(
        agent="a",
        tool="tool",
        args=args,
        facts=args,
        request={},
        env="",
        calls=0,
        done=frozenset(),
        approvals=frozenset(),
    )
    return policy.judge(call)


@settings(max_examples=150, deadline=None)
@given(fields_and_values())
def test_the_schema_of_any_model_parses_and_takes_its_values(made: tuple[dict[str, Any], dict[str, Any]]) -> None:
    model: type[BaseModel] = create_model("Generated", **made[0])
    schema, args = model.model_json_schema(), model(**made[1]).model_dump(mode="json")
    cedarpy.Schema.from_str(cedar_schema(["a"], [spec(schema)], schema))
    assert isinstance(judged(schema, args), Allow)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_from_outside_stays_a_name(name: str) -> None:
    schema = {"type": "object", "properties": {name: {"type": "string"}}, "required": [name]}
    assert isinstance(judged(schema, {name: "v"}), Allow)
    tool = spec({"type": "object", "properties": {}}, name=name)
    cedarpy.Schema.from_str(cedar_schema([name], [tool], None))


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"properties": {"a": True}},
        {"properties": {"a": {"type": "array", "items": False}}},
        {"properties": {"a": {"$ref": "#/$defs/Gone"}}},
        {"properties": {"a": {"type": ["string", "null"]}}},
        {"properties": {"a": {"type": ["string", "integer"]}}},
        {"properties": {"a": {"type": "null"}}},
        {"properties": {"a": {"oneOf": []}}},
        {"properties": {"a": {"allOf": [{"type": "string"}]}}},
        {"properties": {"a": {"const": 1}}},
        {"properties": {"a": {"type": "object"}}},
        {"properties": {"a": {"$ref": "#/$defs/A"}}, "$defs": {"A": {"$ref": "#/$defs/A"}}},
    ],
    ids=repr,
)
def test_an_odd_schema_from_outside_gives_one_that_parses(schema: dict[str, Any]) -> None:
    cedarpy.Schema.from_str(cedar_schema([], [spec(schema)], schema))


def test_a_type_inside_itself_is_left_out_there_and_named() -> None:
    schema = Forest.model_json_schema()
    value = Forest(tree=Tree(name="a", kids=[Tree(name="b")])).model_dump(mode="json")
    assert unmodelled(value, schema) == ["tree.kids"]
    assert cedar_value(value, schema, schema["$defs"])["tree"] == {"name": "a"}
    assert isinstance(judged(schema, value), Allow)


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"type": "string"}, "String"),
        ({"type": "integer"}, "Long"),
        ({"type": "boolean"}, "Bool"),
        ({"type": "number"}, None),
        ({"enum": ["a", "b"]}, "String"),
        ({"enum": ["a", 1]}, None),
        ({"type": "array", "items": {"type": "integer"}}, "Set<Long>"),
        ({"type": "array"}, None),
        ({"type": "object"}, None),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, "Long"),
        ({"anyOf": [{"type": "integer"}, {"type": "string"}]}, None),
    ],
)
def test_types_are_as_documented(schema: dict[str, Any], expected: str | None) -> None:
    assert cedar_type(schema, {}) == expected


def test_what_is_nullable_or_not_required_is_optional() -> None:
    schema = {
        "properties": {
            "a": {"type": "string"},
            "b": {"type": "string"},
            "c": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        },
        "required": ["a", "c"],
    }
    assert cedar_record(schema) == '{ "a": String, "b"?: String, "c"?: String }'
    assert cedar_record({}) == "{}"

"""Arguments read from a schema that somebody else wrote: as strict as those of a Python function, or refused."""

from __future__ import annotations

import copy
import math
import pickle
from functools import partial
from random import Random
from typing import Any

import pytest
from edgewright import ToolContext
from edgewright.contracts.digest import canonical
from edgewright.contracts.errors import CallDenied, ToolInvalid
from edgewright.contracts.labels import is_closed
from edgewright.ledger.records import CallJudged
from edgewright.tools.foreign.declarations import Declaration
from edgewright.tools.foreign.schema import read_schema
from edgewright.tools.function import MAX_ARGUMENTS, Reading, read_function
from edgewright.tools.sealed import SealedTool, seal, tool
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from referencing import Registry
from support import random_schemas
from support.systems import inside

Schema = dict[str, Any]
got: list[dict[str, Any]] = []


@pytest.fixture(autouse=True)
def _nothing_got() -> None:
    got.clear()


def holding(**properties: Any) -> Schema:
    return {"type": "object", "properties": properties}


def read(schema: Any) -> Reading:
    return read_schema("tool", schema, "0" * 64)


def of(inner: Any, value: Any, **beside: Any) -> list[str]:
    """The faults of one argument."""
    return read({**holding(x=inner), **beside}).validated({"x": value})[1]


def refused(schema: Any) -> str:
    with pytest.raises(ToolInvalid) as caught:
        read(schema)
    return str(caught.value)


async def keep(**arguments: Any) -> str:
    got.append(arguments)
    return "kept"


def sealed(schema: Any, main: Any = keep, **declared: Any) -> SealedTool:
    declared = {"effect": "read", "sensitivity": "internal", **declared}
    return seal(read(schema), main, description="Keep it.", declaration=Declaration(**declared))


# -- values ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    ["10", 10.0, True, 1e3, math.nan, math.inf, -0.0, 1e309, "１０", None, [10], {"a": 1}, 2**64, -1, 10_001],
    ids=repr,
)
def test_a_bounded_integer_takes_no_stand_in(value: Any) -> None:
    assert of({"type": "integer", "minimum": 0, "maximum": 10_000}, value)


@pytest.mark.parametrize(
    ("inner", "value"),
    [
        ({"type": "array", "items": {"type": "integer"}}, [1, 2.0]),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, 1.0),
        ({"type": ["integer", "string"]}, 1.0),
        ({"type": "string"}, 1),
        ({"type": "boolean"}, 1),
        ({"type": "number"}, "1.5"),
        ({"type": "number"}, True),
        ({"type": "null"}, False),
        ({"type": "string", "maxLength": 3}, "abcd"),
        ({"type": "string", "pattern": "^a+$"}, "aab"),
        ({"enum": ["a", "b"]}, "A"),
        ({"const": 1}, True),
    ],
    ids=repr,
)
def test_nothing_is_coerced(inner: Schema, value: Any) -> None:
    assert of(inner, value)


def test_a_reference_is_as_strict_as_what_it_points_to() -> None:
    defs = {"$defs": {"N": {"type": "integer"}}}
    assert of({"$ref": "#/$defs/N"}, 1.0, **defs)
    assert of({"$ref": "#/$defs/N"}, 1, **defs) == []


def test_a_whole_number_may_be_either_where_numbers_are_taken() -> None:
    assert of({"type": "number"}, 1) == of({"type": "number"}, 1.0) == []
    assert of({"type": ["integer", "number"]}, 1.0) == []


@pytest.mark.parametrize(
    "inner",
    [
        holding(known={"type": "string"}),
        {**holding(known={"type": "string"}), "additionalProperties": True},
        {**holding(known={"type": "string"}), "additionalProperties": {"type": "string"}},
        {"properties": {"known": {"type": "string"}}},
        {"type": "object"},
        {"type": ["object", "null"]},
        {"anyOf": [holding(known={"type": "string"}), {"type": "null"}]},
        {"oneOf": [{"type": "object"}, {"type": "string"}]},
        {"allOf": [holding(known={"type": "string"})]},
        {"type": "object", "allOf": [{"minProperties": 1}]},
        {"$ref": "#/$defs/Known"},
    ],
    ids=repr,
)
def test_unknown_keys_are_refused_at_every_level(inner: Schema) -> None:
    defs = {"Known": holding(known={"type": "string"})}
    listed = {"type": "array", "items": inner}
    for schema, value in (
        (inner, {"unknown": "a"}),
        (listed, [{"unknown": "a"}]),
        (holding(y=inner), {"y": {"unknown": "a"}}),
    ):
        assert of(schema, value, **{"$defs": defs})
    assert read(holding(x=inner) | {"$defs": defs, "additionalProperties": True}).validated({"y": 1})[1]


def test_an_object_that_says_what_other_keys_hold_takes_them() -> None:
    inner = {"type": "object", "additionalProperties": {"type": "integer"}}
    assert of(inner, {"any": 1}) == []
    assert of(inner, {"any": 1.0})


def test_what_is_no_json_or_too_large_or_too_deep_is_refused() -> None:
    assert of({}, {1, 2})
    assert of({}, {1: 2})
    assert of({"type": "string"}, "\ud800")
    assert of({"type": "string"}, "x" * MAX_ARGUMENTS)
    deep: Any = {"v": 1}
    for _ in range(200):
        deep = {"v": deep}
    tree = {"anyOf": [holding(v={"$ref": "#/$defs/T"}), {"type": "integer"}]}
    assert of({"$ref": "#/$defs/T"}, deep, **{"$defs": {"T": tree}})


def test_a_schema_without_arguments_takes_none() -> None:
    for schema in ({"type": "object"}, holding(), {"type": "object", "additionalProperties": True}):
        assert read(schema).validated({}) == ({}, [])
        assert read(schema).validated({"a": 1})[1]


def test_an_argument_that_is_false_is_none() -> None:
    assert read(holding(a=False, b=True)).names == ("b",)


# -- moments ---------------------------------------------------------------------------------------------------------


def test_a_moment_has_no_room_for_a_text() -> None:
    moment = {"type": "string", "format": "date-time"}
    assert of(moment, "2026-05-01T10:00:00.123456Z") == of(moment, "2026-05-01T10:00:00+02:00") == []
    assert of(moment, "2026-05-01T10:00:00.0116101108105116101Z")
    assert of(moment, "1777777777")
    assert of({"type": "string", "format": "time"}, "10:00:00.0116101108105116101Z")
    both = {**moment, "pattern": "Z$"}
    assert of(both, "2026-05-01T10:00:00Z") == []
    assert of(both, "2026-05-01T10:00:00+02:00")
    assert of(both, "2026-05-01T10:00:00.0116101108105116101Z")


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("date", "2026-05-01", "2026-05-32"),
        ("time", "10:00:00", "25:00:00"),
        ("uuid", "12345678-1234-5678-1234-567812345678", "12345678"),
        ("email", "a@b.example", "a b@c"),
        ("hostname", "a-1.example", "a_.example"),
        ("ipv4", "10.0.0.255", "10.0.0.256"),
        ("byte", "YWJj", "YW Jj"),
        ("uri", "https://a.example/", "a.example"),
    ],
)
def test_a_format_is_checked(name: str, good: str, bad: str) -> None:
    assert of({"type": "string", "format": name}, good) == []
    assert of({"type": "string", "format": name}, bad)


def test_formats_of_numbers_bound_them() -> None:
    assert of({"type": "integer", "format": "int32"}, 2**31 - 1) == []
    assert of({"type": "integer", "format": "int32"}, 2**31)
    assert of({"type": "integer", "format": "int32", "maximum": 5, "minimum": -(2**40)}, 6)
    assert of({"type": "integer", "format": "int64"}, 2**63)
    assert of({"type": "number", "format": "double"}, 0.5) == []


# -- dialects --------------------------------------------------------------------------------------------------------


def test_an_older_draft_is_read_as_what_it_means() -> None:
    schema = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "$id": "https://example.com/tool",
        "title": "Tool",
        "type": "object",
        "definitions": {"Pair": {"type": "array", "items": [{"type": "integer"}], "additionalItems": False}},
        "properties": {"x": {"$ref": "#/definitions/Pair"}},
    }
    assert of_whole(schema, {"x": [1]}) == []
    assert of_whole(schema, {"x": ["1"]})
    assert of_whole(schema, {"x": [1, 2]})


def of_whole(schema: Schema, arguments: Any) -> list[str]:
    return read(schema).validated(arguments)[1]


def test_references_that_end_alike_are_kept_apart() -> None:
    schema = {
        **holding(
            kind={"type": "string"},
            chosen={"$ref": "#/$defs/kind"},
            free={"$ref": "#/properties/kind"},
            deep={"$ref": "#/$defs/box/properties/kind"},
        ),
        "$defs": {"kind": {"enum": ["a", "b"]}, "box": holding(kind={"type": "integer"})},
    }
    found = read(schema).schema
    assert [is_closed(found["properties"][n], found["$defs"]) for n in ("chosen", "free", "deep")] == [
        True,
        False,
        False,
    ]
    assert of_whole(schema, {"chosen": "a", "free": "any", "deep": 1}) == []
    assert len(of_whole(schema, {"chosen": "c", "free": 1, "deep": "a"})) == 3


def test_a_schema_that_contains_itself_is_followed_as_far_as_the_value_goes() -> None:
    schema = {**holding(v={"type": "integer"}, next={"$ref": "#"})}
    assert of_whole(schema, {"v": 1, "next": {"v": 2, "next": {}}}) == []
    assert of_whole(schema, {"v": 1, "next": {"v": 2, "next": {"v": 1.0}}})
    assert of_whole(schema, {"next": {"next": {"other": 1}}})


def test_a_schema_that_is_a_reference_is_what_it_points_to() -> None:
    schema = {"$ref": "#/definitions/In", "definitions": {"In": holding(x={"type": "integer"})}}
    assert of_whole(schema, {"x": 1}) == []
    assert of_whole(schema, {"y": 1})


def test_what_a_schema_tells_programs_sets_nothing() -> None:
    marked = {"type": "string", "x-registry": "accounts", "x-sensitivity": "public", "x-origin": "trusted"}
    found = read({**holding(x=marked, **{"x-y": {"type": "string"}}), "x-contract": {"name": "n"}}).schema
    assert found["properties"] == {"x": {"type": "string"}, "x-y": {"type": "string"}}
    assert not is_closed(found["properties"]["x"], {})


@pytest.mark.parametrize(
    ("schema", "fault"),
    [
        (None, "not a schema of an object"),
        (True, "not a schema of an object"),
        ([], "not a schema of an object"),
        ({"type": "string"}, "at its top it must be an object"),
        ({}, "at its top it must be an object"),
        ({"$ref": "#"}, "at its top it must be an object"),
        ({"$ref": "#/$defs/Gone"}, "at its top it must be an object"),
        (holding(x={"not": {"type": "string"}}), "'not'"),
        (holding(x={"if": {}, "then": {}}), "'if'"),
        (holding(x={"contains": {}}), "'contains'"),
        (holding(x={"dependentRequired": {}}), "'dependentRequired'"),
        (holding(x={"unevaluatedProperties": False}), "'unevaluatedProperties'"),
        (holding(x={"$dynamicRef": "#a"}), "'$dynamicRef'"),
        (holding(x={"$ref": "https://example.com/x.json"}), "never fetched"),
        (holding(x={"$ref": "other.json#/a"}), "never fetched"),
        (holding(x={"$ref": "#/$defs/No"}), "points to nothing"),
        (holding(x={"$id": "https://example.com/", "$ref": "#/properties/x"}), "'$id'"),
        (holding(x={"pattern": "(?=a)"}), "linear"),
        (holding(x={"pattern": r"(a)\1"}), "linear"),
        (holding(x={"format": "iban"}), "cannot be checked"),
        (holding(x={"type": "text"}), "#/properties/x/type"),
        (holding(x={"minLenght": 1}), "'minLenght'"),
        (holding(x={"type": "string", "nullable": True}), "'nullable'"),
        ({**holding(), "$schema": "http://json-schema.org/draft-04/schema#"}, "draft-04"),
        (holding(x={"description": "x" * 300_000}), "larger"),
        (holding(x={"maximum": 10**30}), "no JSON"),
        (holding(ctx={"type": "string"}), "context"),
        (holding(amount={}, Amount={}), "differ in spelling only"),
        (holding(x=holding(pay_to={}, payTo={})), "differ in spelling only"),
        (holding(**{"a\u200bb": {}}), "cannot be shown"),
        (holding(**{"": {}}), "cannot be shown"),
        (holding(**{"ａ": {}}), "cannot be shown"),
        ({**holding(a={}), "required": ["b"]}, "does not list"),
        (holding(x={"allOf": [holding(a={}), holding(b={})]}), "each would refuse"),
        (holding(x={**holding(a={}), "anyOf": [holding(b={}), holding(c={})]}), "each would refuse"),
        (holding(x={**holding(a={}), "anyOf": [{"type": "object"}]}), "each would refuse"),
        ({**holding(x={**holding(a={}), "$ref": "#/$defs/B"}), "$defs": {"B": holding(b={})}}, "each would refuse"),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_a_schema_that_cannot_be_enforced_is_refused(schema: Any, fault: str) -> None:
    assert fault in refused(schema)


def test_a_schema_nested_without_end_is_refused_and_not_followed() -> None:
    schema: Any = {"type": "string"}
    for _ in range(5000):
        schema = {"type": "array", "items": schema}
    assert "nested too deeply" in refused(holding(x=schema))


def test_every_fault_is_told_at_once() -> None:
    with pytest.raises(ToolInvalid) as caught:
        read(holding(a={"not": {}}, b={"format": "iban"}, c={"$ref": "#/no"}))
    assert len(caught.value.faults) == 3


def test_the_schema_that_was_given_is_not_changed() -> None:
    schema = {**holding(x={"$ref": "#/$defs/A"}, y={"format": "int32", "type": "integer"}), "$defs": {"A": {"x-a": 1}}}
    before = copy.deepcopy(schema)
    read(schema)
    assert schema == before


@settings(max_examples=150, deadline=None)
@given(st.integers(min_value=0, max_value=2**40))
def test_what_is_taken_is_what_the_authors_schema_takes(seed: int) -> None:
    rng = Random(seed)
    document = random_schemas.document(rng)
    try:
        reading = read(document)
    except ToolInvalid:
        return
    author = Draft202012Validator(document, registry=Registry())
    enforced = Draft202012Validator(reading.schema, registry=Registry())
    for _ in range(5):
        value = random_schemas.fitting(rng, document, document)
        if not isinstance(value, dict):
            continue
        found, faults = reading.validated(value)
        if not faults:
            assert author.is_valid(value), (document, value)
            assert enforced.is_valid(value), (document, value)
            assert canonical(found) == canonical(value)


# -- sealed ----------------------------------------------------------------------------------------------------------

AWKWARD = holding(**{n: {"type": "string"} for n in ("from", "per-page", "state", "config", "self", "kwargs", "$top")})


async def test_the_function_gets_the_json_values_by_the_names_that_the_schema_has() -> None:
    kept = sealed(AWKWARD)
    given = {name: f"v{i}" for i, name in enumerate(AWKWARD["properties"])}
    for work in (lambda: kept.call(given), lambda: kept.ainvoke(given), lambda: _awaited(kept.invoke(given))):
        ran = await inside(work, kept)
        assert (ran.value, ran.error) == ("kept", None)
    assert got == [given] * 3


async def _awaited(value: Any) -> Any:
    return value


async def test_an_argument_that_was_not_given_is_not_there_and_defaults_are_words() -> None:
    kept = sealed(holding(a={"type": "integer", "default": 5}, b={"type": "string", "format": "date"}))
    await inside(lambda: kept.call({"b": "2026-05-01"}), kept)
    assert got == [{"b": "2026-05-01"}]


async def test_a_function_that_names_its_arguments_gets_those_and_the_context() -> None:
    def some(x: int, ctx: ToolContext, y: int = 7) -> str:
        return f"{x} {y} {ctx.agent}"

    kept = sealed(holding(x={"type": "integer"}, y={"type": "integer"}), some)
    ran = await inside(lambda: kept.call({"x": 1}), kept)
    assert ran.value == "1 7 worker"


async def test_a_function_that_takes_all_may_ask_for_the_context_too() -> None:
    def some(ctx: ToolContext, **rest: Any) -> list[Any]:
        return [rest, ctx.agent]

    kept = sealed(holding(x={"type": "integer"}), some)
    ran = await inside(lambda: kept.call({"x": 1}), kept)
    assert ran.value == [{"x": 1}, "worker"]


async def test_a_call_with_a_stranger_among_its_arguments_is_denied_on_record_and_not_made() -> None:
    kept = sealed(holding(x={"type": "integer"}))
    several: list[dict[str, Any]] = [{"x": 1, "y": 1}, {"x": 1.0}, {"x": "1"}, {"ctx": {}}]
    for wrong in several:
        ran = await inside(partial(kept.call, wrong), kept)
        assert isinstance(ran.error, CallDenied)
        assert [j.rules for j in ran.of(CallJudged)] == [["arguments.schema"]]
    assert got == []


def test_undeclared_is_the_most_dangerous() -> None:
    spec = seal(read(holding(x={"type": "integer"})), keep, description="Keep.", declaration=Declaration()).spec
    assert (spec.effect, spec.output, spec.sensitivity, spec.sink) == ("irreversible", "untrusted", "secret", True)
    assert (spec.idempotency, spec.roles, spec.returns) == ("none", {"x": "target"}, None)


def test_the_digest_of_what_a_tool_is_rises_into_its_own() -> None:
    one, other = (
        seal(read_schema("tool", holding(), code), keep, description="Keep.", declaration=Declaration()).spec
        for code in ("0" * 64, "1" * 64)
    )
    assert one.digest != other.digest


def test_a_declaration_says_what_a_model_reads_if_it_says_anything() -> None:
    assert sealed(holding(), description="Ours.").description == "Ours."
    assert sealed(holding()).description == "Keep it."


def test_a_handle_has_nothing_to_pickle() -> None:
    with pytest.raises(ToolInvalid, match="no import path"):
        pickle.dumps(sealed(holding()))


@pytest.mark.parametrize(
    ("declared", "fault"),
    [
        ({"effect": "wirte"}, "effect"),
        ({"timeout": 0}, "timeout"),
        ({"timeout": math.inf}, "timeout"),
        ({"roles": {"y": "target"}}, "role for 'y', which is no argument"),
        ({"roles": {"x": "victim"}}, "roles.x"),
        ({"pin": "sha256:abc"}, "pin"),
    ],
)
def test_a_declaration_that_does_not_hold_is_refused(declared: dict[str, Any], fault: str) -> None:
    with pytest.raises(ToolInvalid, match=fault):
        sealed(holding(x={"type": "integer"}), **declared)


def test_a_tool_in_code_is_checked_in_the_same_way() -> None:
    def some(x: int) -> None:
        """Do something."""

    with pytest.raises(ToolInvalid, match="effect"):
        tool(effect="wirte")(some)  # type: ignore[call-overload]
    made = seal(read_function(some, "some"), some, description="Do something.", declaration=Declaration())
    assert made.spec == tool(some).spec

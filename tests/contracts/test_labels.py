"""Labels: what fields declare, which types are closed, where sensitive values and ids stand, how labels join."""

from __future__ import annotations

from datetime import date, datetime, time
from enum import Enum
from typing import Annotated, Any, Literal, Union

import pytest
from edgewright import Contract, Id, Label, Origin, Sensitive
from edgewright.contracts.labels import INTEGRITIES, SENSITIVITIES, Integrity, Leaf, Sensitivity, declared, is_closed
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, create_model

labels = st.builds(Label, st.sampled_from(INTEGRITIES), st.sampled_from(SENSITIVITIES))
Level = Annotated[int, Field(ge=0, le=9)]
Customer = Annotated[str, Id("customers")]
Personal = Annotated[str, Sensitive("personal")]


class Colour(Enum):
    red = "red"
    blue = "blue"


class Choice(BaseModel):
    colour: Colour
    level: Level


class Open(BaseModel):
    colour: Colour
    note: str


class Tree(BaseModel):
    level: Level
    below: Tree | None = None


class Person(BaseModel):
    name: Personal
    nickname: Annotated[str, Sensitive("public")]
    account: Customer


def of(kind: Any) -> Contract:
    """A contract with one field, `it`."""
    return Contract(create_model("Holder", it=(kind, ...)), version=1)


def leaves_of(kind: Any, value: Any) -> list[Leaf]:
    """The sensitive values and ids in a value of the field."""
    return of(kind).leaves({"it": value})


# -- joins ------------------------------------------------------------------------------------------------------------


@given(labels, labels, labels)
def test_labels_join_as_a_lattice(a: Label, b: Label, c: Label) -> None:
    assert a.joined(b) == b.joined(a)
    assert a.joined(b).joined(c) == a.joined(b.joined(c)) == a.joined(b, c)
    assert a.joined(a) == a.joined() == a
    assert a.joined(Label("trusted", "public")) == a
    assert a.joined(Label("untrusted", "secret")) == Label("untrusted", "secret")


@given(labels, st.lists(labels))
def test_what_is_made_of_several_is_never_believed_more_or_less_sensitive_than_any_of_them(
    first: Label, others: list[Label]
) -> None:
    joined = first.joined(*others)
    for label in (first, *others):
        assert INTEGRITIES.index(joined.integrity) >= INTEGRITIES.index(label.integrity)
        assert SENSITIVITIES.index(joined.sensitivity) >= SENSITIVITIES.index(label.sensitivity)


@given(labels)
def test_a_label_is_read_as_it_was_written(label: Label) -> None:
    assert Label.from_json(label.as_json()) == label


def test_what_a_record_says_and_nobody_knows_is_the_worst() -> None:
    assert Label.from_json(["certain", "harmless"]) == Label("untrusted", "secret")


@pytest.mark.parametrize(("kind", "name"), [(Sensitive, "secrets"), (Origin, "users"), (Id, "Big Customers")])
def test_a_declaration_that_does_not_exist_is_refused(kind: Any, name: str) -> None:
    with pytest.raises(ValueError, match=r"known: |a registry's name"):
        kind(name)


# -- closed types -----------------------------------------------------------------------------------------------------

Letter = Literal["a", "b", "c", "d", "e", "f", "g", "h"]
Wide = Annotated[int, Field(ge=0, le=2**53)]
CLOSED: dict[str, Any] = {
    "bool": bool,
    "null": None,
    "enum": Colour,
    "literal": Literal["a", "b"],
    "one constant": Literal["a"],
    "64 values": Literal[tuple(range(64))],
    "bounded integer": Level,
    "integer over all of its range": Annotated[int, Field(ge=0, le=2**53)],
    "integer with open bounds": Annotated[int, Field(gt=0, lt=9)],
    "bounded float": Annotated[float, Field(ge=0, lt=1)],
    "date": date,
    "time": time,
    "date and time": datetime,
    "id": Customer,
    "id or nothing": Customer | None,
    "union of closed": Level | bool | None,
    "bounded list": Annotated[list[Level], Field(max_length=3)],
    "bounded list of ids": Annotated[list[Customer], Field(max_length=3)],
    "bounded list declared as ids": Annotated[list[str], Field(max_length=3), Id("customers")],
    "tuple": tuple[bool, Level],
    "model": Choice,
    "model or nothing": Choice | None,
    "list of models": Annotated[list[Choice], Field(max_length=3)],
    "list that tells 64 bits": Annotated[list[bool], Field(max_length=64)],
    "union of 64 values": Literal[tuple(range(32))] | Literal[tuple(f"v{i}" for i in range(32))],
}
FREE: dict[str, Any] = {
    "text": str,
    "short text": Annotated[str, Field(max_length=3)],
    "text with a pattern": Annotated[str, Field(pattern="^[A-Z]$")],
    "65 values": Literal[tuple(range(65))],
    "integer": int,
    "integer with one bound": Annotated[int, Field(ge=0)],
    "integer whose digits spell a text": Annotated[int, Field(ge=0, le=10**300)],
    "float with one bound": Annotated[float, Field(le=1)],
    "unbounded list": list[bool],
    "bounded list of text": Annotated[list[str], Field(max_length=1)],
    "unbounded list of ids": Annotated[list[str], Id("customers")],
    "tuple with text": tuple[bool, str],
    "tuple of any length": tuple[bool, ...],
    "mapping": dict[str, bool],
    "mapping with patterned keys": dict[Annotated[str, Field(pattern="^x")], bool],
    "mapping declared as ids": Annotated[dict[str, str], Id("customers")],
    "union with text": Level | str,
    "id or text": Customer | str,
    "model with text": Open,
    "union of models, one open": Choice | Open,
    "a type that contains itself": Tree,
    "anything": Any,
    "list that tells 65 bits": Annotated[list[bool], Field(max_length=65)],
    "letters that spell a text": Annotated[list[Letter], Field(max_length=22)],
    "bounded list of wide integers": Annotated[list[Wide], Field(max_length=2)],
    "union of 65 values": Literal[tuple(range(32))] | Literal[tuple(f"v{i}" for i in range(33))],
}


@pytest.mark.parametrize("kind", CLOSED.values(), ids=CLOSED)
def test_a_type_without_room_for_free_text_is_closed(kind: Any) -> None:
    assert of(kind).closed == {"it"}


@pytest.mark.parametrize("kind", FREE.values(), ids=FREE)
def test_a_type_with_room_for_free_text_is_not_closed(kind: Any) -> None:
    assert of(kind).closed == frozenset()


def test_an_integer_bounded_by_more_than_a_float_holds_is_not_closed() -> None:
    assert not is_closed({"type": "integer", "minimum": 0.5, "maximum": 10**400}, {})


@pytest.mark.parametrize("schema", [{}, True, None, {"type": "object"}, {"type": ["boolean"]}, {"$ref": "#/$defs/x"}])
def test_what_a_schema_leaves_open_is_not_closed(schema: Any) -> None:
    assert not is_closed(schema, {})


def test_a_union_counts_the_values_of_all_its_parts_and_a_warning_says_how_many() -> None:
    parts = [{"enum": [f"a{i}_{j}" for j in range(64)]} for i in range(50)]
    assert not is_closed({"anyOf": parts}, {})
    assert not is_closed({"oneOf": [{"type": "object", "properties": {"v": part}} for part in parts]}, {})
    document = {"title": "M", "type": "object", "properties": {"w": {"anyOf": parts}}, "required": ["w"]}
    made = Contract.from_schema(document)
    assert made.closed == frozenset()
    assert "3200 values" in made.warnings[0]


def test_a_tuple_that_may_go_on_is_not_closed() -> None:
    first = {"type": "array", "prefixItems": [{"type": "boolean"}]}
    assert not is_closed(first, {})
    assert not is_closed({**first, "maxItems": 2}, {})
    assert is_closed({**first, "maxItems": 1}, {})
    assert is_closed({**first, "items": False}, {})
    assert is_closed({**first, "items": {"type": "boolean"}, "maxItems": 9}, {})


@pytest.mark.timeout(10)
def test_definitions_that_share_definitions_are_read_once() -> None:
    defs: dict[str, Any] = {
        f"D{i}": {"type": "object", "properties": {n: {"$ref": f"#/$defs/D{i + 1}"} for n in ("a", "b")}}
        for i in range(60)
    }
    defs["D60"] = {"type": "boolean", "x-sensitivity": "secret"}
    top = {"$ref": "#/$defs/D0"}
    assert is_closed(top, defs)
    assert declared({"properties": {"x": top}, "$defs": defs}) == {"x": "secret"}


def test_what_only_looks_closed_is_named_in_a_warning() -> None:
    many: Any = Literal[tuple(f"v{i}" for i in range(65))]
    code: Any = Annotated[str, Field(pattern="^[A-Z]$")]
    model = create_model("Holder", many=(many, ...), code=(code, ...))
    first, second = Contract(model, version=1).warnings
    assert "'many' chooses among 65 values" in first
    assert "'code' has a pattern" in second


# -- leaves -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "value", "paths"),
    [
        (Personal, "Ann", ["it"]),
        (Personal | None, "Ann", ["it"]),
        (list[Personal], ["Ann", "Bob"], ["it[0]", "it[1]"]),
        (Annotated[list[str], Sensitive("personal")], ["Ann", "Bob"], ["it[0]", "it[1]"]),
        (tuple[int, Personal], [1, "Ann"], ["it[1]"]),
        (dict[str, Personal], {"a": "Ann"}, ["it.a"]),
        (dict[Annotated[str, Field(pattern="^x")], Personal], {"x1": "Ann"}, ["it.x1"]),
        (dict[Personal, int], {"Ann": 3}, ["it.Ann"]),
        (dict[str, list[Personal]], {"a": ["Ann"]}, ["it.a[0]"]),
        (Annotated[dict[str, int], Sensitive("personal")], {"Ann": 3}, ["it.Ann", "it.Ann"]),
    ],
)
def test_a_personal_value_is_found_wherever_it_is_nested(kind: Any, value: Any, paths: list[str]) -> None:
    contract, found = of(kind), leaves_of(kind, value)
    assert contract.sensitivities == {"it": "personal"}
    assert [leaf.path for leaf in found if leaf.sensitivity == "personal"] == paths


def test_in_a_nested_model_each_field_has_its_own_declaration() -> None:
    found = leaves_of(list[Person], [{"name": "Ann", "nickname": "annie", "account": "C-1"}])
    assert found == [
        Leaf(path="it[0].name", value="Ann", sensitivity="personal", registry=""),
        Leaf(path="it[0].nickname", value="annie", sensitivity="public", registry=""),
        Leaf(path="it[0].account", value="C-1", sensitivity="internal", registry="customers"),
    ]
    assert of(list[Person]).sensitivities == {"it": "personal"}


@pytest.mark.parametrize("kind", [Person, Person | None, Choice | Person, list[Person] | Person])
def test_a_secret_model_makes_all_of_it_secret_and_the_names_of_its_fields_stay_names(kind: Any) -> None:
    found = leaves_of(Annotated[kind, Sensitive("secret")], {"name": "Ann", "nickname": "annie", "account": "C-1"})
    assert {leaf.sensitivity for leaf in found} == {"secret"}
    assert {leaf.value for leaf in found} == {"Ann", "annie", "C-1"}


@pytest.mark.parametrize(
    ("kind", "value", "ids"),
    [
        (Customer, "C-1", ["C-1"]),
        (Customer | None, "C-1", ["C-1"]),
        (Customer | None, None, []),
        (list[Customer], ["C-1", "C-2"], ["C-1", "C-2"]),
        (Annotated[list[str], Id("customers")], ["C-1", "C-2"], ["C-1", "C-2"]),
        (Annotated[list[str] | None, Id("customers")], ["C-1"], ["C-1"]),
        (dict[str, Customer], {"a": "C-1"}, ["C-1"]),
        (dict[Customer, int], {"C-1": 3}, ["C-1"]),
        (Union[Level, Person], {"name": "n", "nickname": "m", "account": "C-1"}, ["C-1"]),  # noqa: UP007 - as written
    ],
)
def test_an_id_is_found_wherever_it_is_nested(kind: Any, value: Any, ids: list[str]) -> None:
    found = [leaf.value for leaf in leaves_of(kind, value) if leaf.registry == "customers"]
    assert sorted(set(found)) == ids


def test_a_type_that_contains_itself_is_searched_as_deep_as_the_value_goes() -> None:
    class Node(BaseModel):
        who: Personal
        below: Node | None = None

    value: Any = None
    for depth in range(5):
        value = {"who": f"name {depth}", "below": value}
    assert {leaf.value for leaf in leaves_of(Node, value)} == {f"name {depth}" for depth in range(5)}
    assert of(Node).sensitivities == {"it": "personal"}


@pytest.mark.parametrize("level", SENSITIVITIES)
def test_a_field_has_the_highest_sensitivity_that_stands_in_it(level: Sensitivity) -> None:
    kind = tuple[Annotated[str, Sensitive("public")], Annotated[str, Sensitive(level)]]
    assert of(kind).sensitivities == {"it": level}


def test_a_model_is_not_told_what_we_declare_of_a_field() -> None:
    told = of(Annotated[Person, Sensitive("secret"), Origin("untrusted")]).told_schema
    assert "x-" not in str(told)


@pytest.mark.parametrize("integrity", INTEGRITIES)
def test_an_origin_stands_in_the_schema_of_its_field(integrity: Integrity) -> None:
    assert of(Annotated[str, Origin(integrity)]).schema["properties"]["it"]["x-origin"] == integrity

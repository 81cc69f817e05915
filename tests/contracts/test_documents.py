"""A contract as a JSON Schema document: out, in again, and what it forbids by label."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

import pytest
from edgewright import Contract, Id, Never, Sensitive
from edgewright.contracts.errors import ContractInvalid, ContractViolation
from pydantic import BaseModel, Field


class Line(BaseModel):
    """A line of an order."""

    item: Annotated[str, Id("items")]
    count: Annotated[int, Field(ge=1, le=99)]


class Brief(BaseModel):
    """What is handed over."""

    customer: Annotated[str, Id("customers"), Sensitive("internal")]
    phone: Annotated[str, Sensitive("personal"), Field(max_length=20)] = ""
    topic: Literal["billing", "network"]
    lines: Annotated[list[Line], Field(max_length=5)] = []
    problem: Annotated[str, Field(min_length=1, max_length=300, description="in the customer's words")]


BRIEF = Contract(
    Brief,
    version=3,
    carried=["customer"],
    never=Never(fields=["password"], sensitivities=["secret"], detectors=["card_number", "secret"]),
    policy_fields=["customer", "topic"],
)
GOOD = {"customer": "C1", "topic": "billing", "problem": "x", "lines": [{"item": "i", "count": 2}]}


def crossed(contract: Contract, told: Any) -> dict[str, Any]:
    return contract.check(told, received={}, edge="a→b").payload


def test_a_document_is_json_and_makes_the_same_contract_again() -> None:
    document = json.loads(json.dumps(BRIEF.document))
    again = Contract.from_schema(document)
    assert (again.id, again.carried, again.never, again.policy_fields) == (
        "Brief@3",
        ("customer",),
        BRIEF.never,
        ("customer", "topic"),
    )
    assert again.document == BRIEF.document
    assert again.digest == BRIEF.digest
    assert (again.closed, again.sensitivities) == (BRIEF.closed, BRIEF.sensitivities)


@pytest.mark.parametrize(
    "bad",
    [
        {**GOOD, "topic": "sales"},
        {**GOOD, "extra": 1},
        {**GOOD, "problem": ""},
        {**GOOD, "problem": 7},
        {**GOOD, "lines": [{"item": "i", "count": "2"}]},
        {**GOOD, "lines": [{"item": "i", "count": True}]},
        {**GOOD, "lines": [{"item": "i", "count": 2, "more": 1}]},
        {**GOOD, "password": "p"},
        {k: v for k, v in GOOD.items() if k != "problem"},
    ],
)
def test_a_contract_from_a_document_refuses_what_the_model_refuses(bad: dict[str, Any]) -> None:
    again = Contract.from_schema(BRIEF.document)
    assert crossed(again, GOOD)["problem"] == crossed(BRIEF, GOOD)["problem"]
    for contract in (BRIEF, again):
        with pytest.raises(ContractViolation) as caught:
            crossed(contract, bad)
        assert "sales" not in str(caught.value)


def test_any_json_schema_with_an_object_at_its_top_is_a_contract() -> None:
    schema = {
        "title": "Order",
        "type": "object",
        "properties": {"cents": {"type": "integer", "minimum": 1, "maximum": 100}, "note": {"type": "string"}},
        "required": ["cents"],
    }
    order = Contract.from_schema(schema, version=2, never=["pin"])
    assert (order.id, order.closed) == ("Order@2", frozenset({"cents"}))
    assert crossed(order, {"cents": 5}) == {"cents": 5}
    for bad in ({"cents": 0}, {"cents": "5"}, {"cents": 5, "x": 1}, {"cents": 5, "note": None}):
        with pytest.raises(ContractViolation):
            crossed(order, bad)


@pytest.mark.parametrize("schema", [{}, {"title": "A", "type": "string"}, {"title": "A", "type": "nonsense"}])
def test_what_is_no_schema_of_an_object_is_a_typed_error(schema: dict[str, Any]) -> None:
    with pytest.raises(ContractInvalid):
        Contract.from_schema(schema)


def test_what_a_model_is_told_has_none_of_our_keywords() -> None:
    assert "x-" not in json.dumps(BRIEF.told_schema)
    assert "x-registry" in json.dumps(BRIEF.document)


def test_values_of_a_forbidden_sensitivity_are_cut_out_of_texts() -> None:
    class Note(BaseModel):
        text: str

    note = Contract(Note, version=1, never=Never(sensitivities=["personal"]))
    redactor = note.redactor({"Ada Lovelace": "personal", "internal thing": "internal"})
    told = {"text": "ask ada  lovelace about the internal thing"}
    crossing = note.check(told, received={}, edge="a→b", redactor=redactor)
    assert crossing.payload == {"text": "ask [personal] about the internal thing"}
    assert crossing.redacted == (("text", "personal"),)
    assert crossing.hidden == {"text": told["text"]}
    assert "ada" not in repr(crossing).lower()


def test_a_field_cannot_be_of_a_sensitivity_that_never_crosses() -> None:
    with pytest.raises(ContractInvalid, match="'phone' is personal"):
        Contract(Brief, version=1, never=Never(sensitivities=["personal"]))


def test_names_of_what_never_crosses_are_a_list() -> None:
    with pytest.raises(TypeError, match="list of strings"):
        Never(detectors="secret")


def test_fields_that_only_look_closed_are_named() -> None:
    class Loose(BaseModel):
        code: Annotated[str, Field(pattern=r"^C-\d{4}$")]
        choice: Literal[tuple(f"c{i}" for i in range(65))]  # type: ignore[valid-type]
        ok: bool

    told = Contract(Loose, version=1).warnings
    assert len(told) == 2
    assert "'code'" in told[0]
    assert "65 values" in told[1]

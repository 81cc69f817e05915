"""A model made of a JSON Schema document: what it takes, how it refuses, and which documents it does not take."""

from __future__ import annotations

from random import Random
from typing import Any

import orjson
import pytest
from edgewright.contracts.contract import Contract, faults_of
from edgewright.contracts.errors import ContractInvalid, ContractViolation
from edgewright.contracts.json_schema import closed
from edgewright.contracts.schema_document import faults_of_document
from edgewright.contracts.schema_model import model_of
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pydantic import BaseModel, TypeAdapter, ValidationError
from referencing import Registry
from support import random_schemas
from typing_extensions import TypedDict

ORDER: dict[str, Any] = {
    "type": "object",
    "title": "Order",
    "properties": {
        "customer": {"type": "string", "pattern": "^C-[0-9]+$", "x-sensitivity": "personal"},
        "count": {"type": "integer", "minimum": 1},
        "note": {"anyOf": [{"type": "string", "maxLength": 5}, {"type": "null"}]},
        "due": {"type": "string", "format": "date"},
        "first-name": {"type": "string"},
        "schema": {"type": "boolean"},
        "tree": {"$ref": "#/$defs/Tree"},
        "tags": {"type": "array", "items": {"type": "string"}, "uniqueItems": True},
    },
    "required": ["customer"],
    "$defs": {"Tree": {"type": "object", "properties": {"left": {"$ref": "#/$defs/Tree"}, "v": {"type": "integer"}}}},
}


def read(model: type[BaseModel], payload: Any) -> Any:
    raw = payload if isinstance(payload, bytes) else orjson.dumps(payload)
    value = model.__pydantic_validator__.validate_json(raw, strict=True, extra="forbid")
    return BaseModel.model_dump(value, mode="json")


def refused(model: type[BaseModel], payload: Any) -> list[str]:
    with pytest.raises(ValidationError) as caught:
        read(model, payload)
    return list(faults_of(caught.value))


def holding(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


def test_what_fits_comes_back_as_it_was_given() -> None:
    model = model_of(ORDER, "Order")
    payload = {"customer": "C-1", "count": 2.0, "note": None, "tree": {"left": {"v": 1}}, "first-name": "x"}
    assert read(model, payload) == payload
    assert model.model_json_schema() == ORDER
    assert list(model.model_fields) == list(ORDER["properties"])
    assert model.model_fields["customer"].is_required()
    assert not model.model_fields["note"].is_required()


@pytest.mark.parametrize(
    ("more", "fault"),
    [
        ({"count": 0}, "count: Input should be greater than or equal to 1"),
        ({"count": "1"}, "count: Input should be a valid integer"),
        ({"count": True}, "count: Input should be a valid integer"),
        ({"note": "too long"}, "note: String should have at most 5 characters"),
        ({"due": "tomorrow"}, "due: Input should be in the format 'date'"),
        ({"tree": {"left": {"v": "x"}}}, "tree.left.v: Input should be a valid integer"),
        ({"tree": {"left": {"w": 1}}}, "tree.left.w: Extra inputs are not permitted"),
        ({"stray": 1}, "stray: Extra inputs are not permitted"),
        ({"tags": ["a", "a"]}, "tags: Input should be a list without repetitions"),
    ],
)
def test_a_fault_names_field_and_rule_and_no_value(more: dict[str, Any], fault: str) -> None:
    assert refused(model_of(ORDER, "Order"), {"customer": "C-1", **more}) == [fault]


def test_every_fault_is_named_at_once() -> None:
    found = refused(model_of(ORDER, "Order"), {"count": 0, "stray": "SECRET", "due": "SECRET"})
    assert len(found) == 4
    assert "SECRET" not in "".join(found)
    assert "customer: Field required" in found


@pytest.mark.parametrize(
    "raw", [b'{"customer": "C-1", "count": NaN}', b'{"customer": "C-1", "count": %d}' % 10**30, b"[]"]
)
def test_what_is_no_plain_json_object_is_refused(raw: bytes) -> None:
    assert len(refused(model_of(ORDER, "Order"), raw)) == 1


def test_a_payload_nested_without_end_is_refused_and_not_followed() -> None:
    payload: dict[str, Any] = {"v": 1}
    for _ in range(200):
        payload = {"left": payload}
    assert len(refused(model_of(ORDER, "Order"), {"customer": "C-1", "tree": payload})) == 1


@pytest.mark.timeout(20)
def test_a_payload_made_to_take_exponential_time_is_refused() -> None:
    twice = {"type": "array", "items": {"$ref": "#/$defs/T"}}
    union = {"anyOf": [{**twice, "minItems": 1, "maxItems": n} for n in (1, 2)]}
    model = model_of({**holding(x={"$ref": "#/$defs/T"}), "$defs": {"T": union}}, "Deep")
    payload: Any = "x"
    for _ in range(40):
        payload = [payload]
    assert refused(model, {"x": payload}) == ["payload: Input should be less deeply nested"]


@pytest.mark.timeout(20)
def test_a_pattern_that_backtracks_elsewhere_takes_linear_time() -> None:
    model = model_of(holding(x={"type": "string", "pattern": "^(a+)+$"}), "Slow")
    assert refused(model, {"x": "a" * 50_000 + "!"}) == ["x: String should match pattern '^(a+)+$'"]


@pytest.mark.timeout(20)
def test_many_mixed_items_are_compared_in_linear_time() -> None:
    model = model_of(holding(x={"type": "array", "uniqueItems": True}), "Many")
    items: list[Any] = [*range(20_000), *(str(n) for n in range(20_000))]
    assert read(model, {"x": items}) == {"x": items}
    assert len(refused(model, {"x": [1, 1.0]})) == 1
    assert read(model, {"x": [1, True, "1"]})


def test_it_works_as_a_fields_type_and_as_a_contract() -> None:
    model = model_of(ORDER, "Order")
    state: Any = TypedDict("state", {"order": model})  # type: ignore[valid-type]
    adapter = TypeAdapter[Any](state)
    assert adapter.dump_python(adapter.validate_python({"order": {"customer": "C-1"}})) == {
        "order": {"customer": "C-1"}
    }
    with pytest.raises(ValidationError):
        adapter.validate_python({"order": {"customer": 1}})
    assert "customer" in str(adapter.json_schema())
    assert model(customer="C-1") == model.model_validate({"customer": "C-1"})
    contract = Contract(model, version=1)
    assert contract.check({"customer": "C-1"}, received={}, edge="e").payload == {"customer": "C-1"}
    with pytest.raises(ContractViolation, match="count"):
        contract.check({"customer": "C-1", "count": -1}, received={}, edge="e")


def test_a_contract_survives_its_document() -> None:
    document = Contract(model_of(ORDER, "Order"), version=3).document
    assert Contract.from_schema(document).document == document


@pytest.mark.parametrize(
    ("document", "fault"),
    [
        ({"type": "string"}, "at its top it must be an object"),
        ({"type": "object"}, "at its top it must be an object"),
        (holding(x={"type": "text"}), "#/properties/x/type"),
        (holding(x={"minLenght": 1}), "'minLenght'"),
        (holding(x={"not": {}}), "'not'"),
        (holding(x={"if": {}}), "'if'"),
        (holding(x={"$dynamicRef": "#a"}), "'$dynamicRef'"),
        (holding(x={"$ref": "https://example.com/x.json"}), "never fetched"),
        (holding(x={"$ref": "#/$defs/No"}), "points to nothing"),
        ({**holding(x={"$ref": "#/$defs/L"}), "$defs": {"L": {"anyOf": [{"$ref": "#/$defs/L"}]}}}, "back to itself"),
        (holding(x={"format": "phone"}), "format 'phone' cannot be checked"),
        (holding(x={"pattern": "(?=a)"}), "linear"),
        ({**holding(), "$schema": "http://json-schema.org/draft-07/schema#"}, "2020-12"),
        (holding(x={"description": "x" * 300_000}), "larger"),
        ([], "not a list"),
    ],
)
def test_a_document_that_cannot_be_enforced_is_refused(document: Any, fault: str) -> None:
    with pytest.raises(ContractInvalid, match="contract 'Bad'") as caught:
        model_of(document, "Bad")
    assert fault in str(caught.value)


@settings(max_examples=150, deadline=None)
@given(st.integers(min_value=0, max_value=2**40))
def test_it_accepts_what_json_schema_accepts(seed: int) -> None:
    rng = Random(seed)
    document = random_schemas.document(rng)
    if faults_of_document(document):
        return
    model = model_of(document, "Random")
    oracle = Draft202012Validator(closed(document), registry=Registry())
    text = orjson.dumps(document)
    for _ in range(5):
        payload = random_schemas.fitting(rng, document, document)
        try:
            taken = read(model, payload) == payload
        except ValidationError:
            taken = False
        # Formats and the keys of patterned mappings are checked here, and not by JSON Schema.
        stricter = b'"format"' in text or b"patternProperties" in text
        assert taken == oracle.is_valid(payload) or (stricter and not taken), payload

"""Definitions with a slip of the pen: refused where they are written, with the rule in the message."""

from __future__ import annotations

from typing import Any

import pytest
from edgewright import Contract, OnViolation, last
from edgewright.contracts.errors import ContractInvalid
from edgewright.contracts.shared import Key
from pydantic import BaseModel


class Brief(BaseModel):
    """A brief."""

    text: str


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"then": "fial"}, "'review', 'fail'"),
        ({"repair": -1}, "repair=-1"),
        ({"repair": True}, "repair=True"),
        ({"repair": "2"}, "repair='2'"),
        ({"role": ""}, "role"),
    ],
)
def test_a_rule_for_violations_is_one_that_there_is(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        OnViolation(**wrong)


@pytest.mark.parametrize("count", [0, -1, True, "3", 1.5])
def test_the_last_messages_are_counted_by_a_number(count: Any) -> None:
    with pytest.raises(ValueError, match="positive number"):
        last(count)


@pytest.mark.parametrize(
    ("wrong", "error", "said"),
    [
        ({"on_conflict": "zzz"}, ValueError, "'fail', 'retry'"),
        ({"reducer": "add"}, TypeError, "function of two values"),
        ({"writer": None}, TypeError, "name of the agent"),
    ],
)
def test_a_shared_key_is_declared_as_it_can_be(wrong: dict[str, Any], error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        Key(type=str, **wrong)


@pytest.mark.parametrize("model", [dict, BaseModel, Brief(text="x"), "Brief", None])
def test_a_contract_is_over_the_class_of_a_model(model: Any) -> None:
    with pytest.raises(ContractInvalid, match="Pydantic model"):
        Contract(model, version=1)


@pytest.mark.parametrize("version", ["1", 1.0, True, None])
def test_a_version_is_a_whole_number(version: Any) -> None:
    with pytest.raises(ContractInvalid, match="whole number"):
        Contract(Brief, version=version)


@pytest.mark.parametrize("document", ["brief.json", None, ["type"]])
def test_a_document_is_given_itself_and_not_by_its_path(document: Any) -> None:
    with pytest.raises(ContractInvalid, match="a mapping"):
        Contract.from_schema(document)


def test_the_rules_of_a_document_are_an_object() -> None:
    with pytest.raises(ContractInvalid, match="x-contract"):
        Contract.from_schema({"type": "object", "title": "Brief", "properties": {}, "x-contract": "no"})

"""The small values: specs, edges, verdicts, reviews."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from edgewright.contracts.agent import AgentSpec
from edgewright.contracts.budget import Budget
from edgewright.contracts.containment import Bulkhead
from edgewright.contracts.contract import Contract
from edgewright.contracts.edge import Edge, OnViolation
from edgewright.contracts.review import AskingRule, ReviewAnswer, ReviewRequest, binding_of
from edgewright.contracts.tool import Limit, SharedRecord, ToolSpec
from edgewright.contracts.verdict import Allow, Ask, Deny, Rule
from pydantic import BaseModel, ValidationError


class Brief(BaseModel):
    text: str


AGENT = AgentSpec(name="a", version=1, prompt="p", model="m", tools=(("t", "d"),), limits=Budget(usd="1"))
OTHERS: dict[str, Any] = {
    "name": "b",
    "version": 2,
    "prompt": "q",
    "model": "n",
    "tools": (("t", "e"),),
    "limits": Budget(usd="2"),
    "code": "c",
    "reads": ("plan",),
    "writes": ("plan",),
}


@pytest.mark.parametrize("field", [f.name for f in dataclasses.fields(AgentSpec)])
def test_an_agents_digest_changes_with_every_part_of_its_behaviour(field: str) -> None:
    assert dataclasses.replace(AGENT, **{field: OTHERS[field]}).digest != AGENT.digest
    assert dataclasses.replace(AGENT).digest == AGENT.digest


TOOL = ToolSpec(name="t", description="d")
CHANGED: dict[str, Any] = {
    "name": "u",
    "description": "e",
    "effect": "read",
    "output": "trusted",
    "sensitivity": "public",
    "sink": False,
    "roles": {"a": "target"},
    "idempotency": "key",
    "timeout": 1.5,
    "limits": {"a": Limit(most=1)},
    "returns": {"type": "string"},
    "compensates": True,
    "parameters": {"a": 1},
    "facts": {},
    "has_probe": True,
    "code": "c",
    "record": SharedRecord("customer", by="c"),
    "each": 1.5,
    "idle": 1.5,
    "retry": "off",
    "breaker": "off",
    "bulkhead": Bulkhead(),
    "transient": ("builtins.KeyError",),
}


@pytest.mark.parametrize("field", [f.name for f in dataclasses.fields(ToolSpec)])
def test_a_tools_digest_changes_with_every_part_of_its_declaration(field: str) -> None:
    assert dataclasses.replace(TOOL, **{field: CHANGED[field]}).digest != TOOL.digest
    assert dataclasses.replace(TOOL).digest == TOOL.digest


def test_an_undeclared_tool_is_taken_for_the_most_dangerous_one() -> None:
    assert (TOOL.effect, TOOL.output, TOOL.sensitivity, TOOL.sink, TOOL.idempotency) == (
        "irreversible",
        "untrusted",
        "secret",
        True,
        "none",
    )
    assert TOOL.changes_world
    assert not dataclasses.replace(TOOL, effect="read").changes_world


def test_values_are_frozen_and_keyword_only() -> None:
    edge = Edge(source="a", target="b", contract=Contract(Brief, version=3))
    for value, field in ((AGENT, "name"), (TOOL, "effect"), (edge, "target"), (Deny(rules=(), reasons=()), "rules")):
        with pytest.raises((dataclasses.FrozenInstanceError, AttributeError, TypeError)):
            setattr(value, field, "x")
    for cls in (AgentSpec, ToolSpec, Edge, OnViolation, Rule, Allow, Deny, Ask, Budget):
        assert all(f.kw_only for f in dataclasses.fields(cls)), cls


def test_an_edge_is_named_by_its_ends_and_its_node_by_its_contract_too() -> None:
    edge = Edge(source="a", target="b", contract=Contract(Brief, version=3))
    assert (edge.name, edge.node, edge.history.as_json()) == ("a→b", "Brief@3 a→b", "none")


def test_a_review_survives_its_json_form() -> None:
    asked = ReviewRequest(
        id="r", kind="call", run="n", agent="a", arguments={"x": [1, None]}, rules=(AskingRule(id="q"),), binding="b"
    )
    assert ReviewRequest.model_validate_json(asked.model_dump_json()) == asked


@pytest.mark.parametrize(
    "answer",
    [
        {"decision": "maybe", "reason": "r"},
        {"decision": "APPROVE", "reason": "r"},
        {"decision": "approve", "reason": ""},
        {"decision": "approve"},
        {"decision": "approve", "reason": "r" * 2001},
        {"decision": "approve", "reason": 1},
        {"decision": True, "reason": "r"},
        {"decision": "edit", "reason": "r", "arguments": "[]"},
        {"decision": "approve", "reason": "r", "approved": True},
    ],
    ids=repr,
)
def test_an_answer_outside_the_closed_set_is_refused(answer: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ReviewAnswer.model_validate(answer)


def test_a_binding_changes_with_everything_it_binds() -> None:
    bound = {"run": "r", "tool": "t", "arguments": {"a": 1}}
    assert binding_of(**bound) == binding_of(**dict(reversed(bound.items())))
    assert (
        len({binding_of(**{**bound, "arguments": a}) for a in ({"a": 1}, {"a": 1.0}, {"a": "1"}, {"a": True}, {})}) == 5
    )

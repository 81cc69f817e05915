"""Edges and fan-outs as values: names, nodes, history rules, and what their digests tell apart."""

from __future__ import annotations

from typing import Any

import pytest
from edgewright import ALL, NO_HISTORY, Agent, Contract, Edge, FanOut, History, OnViolation, last, summary
from edgewright.contracts.edge import MAX_BRANCHES
from pydantic import BaseModel


class Brief(BaseModel):
    text: str


class Finding(BaseModel):
    text: str


class Gathered(BaseModel):
    results: list[Any]


BRIEF, FINDING = Contract(Brief, version=3), Contract(Finding, version=2)
WRITER = Agent("writer", version=4, prompt="Sum up.")


def fan(**changes: Any) -> FanOut:
    """Two branches under one contract each way."""
    given: dict[str, Any] = {
        "source": "triage",
        "briefs": {"a": BRIEF, "b": BRIEF},
        "answers": {"a": FINDING, "b": FINDING},
        "target": "head",
        "gathered": Contract(Gathered, version=1),
    }
    return FanOut(**{**given, **changes})


def test_an_edge_is_named_by_its_ends_and_its_node_by_its_contract_too() -> None:
    edge = Edge(source="triage", target="billing", contract=BRIEF)
    assert (edge.name, edge.node) == ("triage→billing", "Brief@3 triage→billing")


def test_an_edge_lets_no_history_cross_and_ends_in_a_review_unless_it_says_otherwise() -> None:
    edge = Edge(source="triage", target="billing", contract=BRIEF)
    assert edge.history == NO_HISTORY
    assert edge.on_violation == OnViolation(repair=2, then="review", role="reviewer")


@pytest.mark.parametrize(
    ("rule", "told"),
    [(NO_HISTORY, "none"), (ALL, "all"), (last(3), "last(3)"), (summary(by=WRITER), "summary(writer@4)")],
)
def test_a_history_rule_is_told_in_a_word(rule: History, told: str) -> None:
    assert rule.as_json() == told


@pytest.mark.parametrize("count", [0, -1])
def test_the_last_no_messages_is_no_rule(count: int) -> None:
    with pytest.raises(ValueError, match="NO_HISTORY"):
        last(count)


def test_edges_differ_by_all_that_they_declare() -> None:
    every = [
        Edge(source="a", target="b", contract=BRIEF),
        Edge(source="c", target="b", contract=BRIEF),
        Edge(source="a", target="c", contract=BRIEF),
        Edge(source="a", target="b", contract=FINDING),
        Edge(source="a", target="b", contract=BRIEF, history=ALL),
        Edge(source="a", target="b", contract=BRIEF, on_violation=OnViolation(repair=0)),
        Edge(source="a", target="b", contract=BRIEF, on_violation=OnViolation(then="fail")),
        Edge(source="a", target="b", contract=BRIEF, on_violation=OnViolation(role="lead")),
    ]
    assert len({str(edge.as_json()) for edge in every}) == len(every)


def test_a_fan_out_has_one_node_before_its_branches_and_one_behind_them() -> None:
    assert fan().out == "Brief@3 triage→[a,b]"
    assert fan().back == "Finding@2 [a,b]→head"


def test_a_node_of_a_fan_out_names_each_of_its_contracts_once() -> None:
    several = fan(briefs={"a": BRIEF, "b": FINDING}, answers={"a": BRIEF, "b": BRIEF})
    assert several.out == "Brief@3+Finding@2 triage→[a,b]"
    assert several.back == "Brief@3 [a,b]→head"


def test_a_fan_out_is_an_edge_to_and_from_each_branch() -> None:
    rule = OnViolation(repair=1, then="fail")
    found = fan(on_violation=rule, history=last(2))
    assert [e.name for e in found.edges] == ["triage→a", "triage→b", "a→head", "b→head"]
    assert {e.on_violation for e in found.edges} == {rule}
    # What the source said crosses to the branches; what the branches said stays with them.
    assert [e.history.as_json() for e in found.edges] == ["last(2)", "last(2)", "none", "none"]


def test_a_fan_out_has_a_bound() -> None:
    assert fan().limit == MAX_BRANCHES

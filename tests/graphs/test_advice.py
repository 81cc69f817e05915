"""Advice: one topology for every combination of answers, the simplest that meets them all, and why."""

from __future__ import annotations

import ast
import inspect
import itertools
from collections.abc import Iterator
from typing import Any, get_args

import edgewright
import pytest
from edgewright.contracts import loops
from edgewright.contracts.errors import AnswersInvalid
from edgewright.graphs import stages
from edgewright.graphs.advice import QUESTIONS, TEAMS, Advice, advise, decided
from edgewright.graphs.advice_facts import SHAPES, Failure, Kind, Need, Shape
from edgewright.graphs.solo import MANY_TOOLS
from edgewright.server.scaffold import TOPOLOGIES
from hypothesis import given
from hypothesis import strategies as st

YES_OR_NO = ("audit", "parallel", "plan", "talk", "events")
NEEDS: tuple[Need, ...] = get_args(Need)
KINDS: list[Kind] = list(SHAPES)
ANSWERS = st.fixed_dictionaries(
    {"sequence": st.sampled_from(["known", "unknown"]), "tools": st.integers(0, 200)}
    | dict.fromkeys(YES_OR_NO, st.booleans())
)
PLAIN: dict[str, Any] = {"sequence": "unknown", "tools": 3} | dict.fromkeys(YES_OR_NO, False)


def every() -> Iterator[dict[str, Any]]:
    """Every combination of answers that differ to a decision."""
    for sequence, tools in itertools.product(("known", "unknown"), (0, MANY_TOOLS, MANY_TOOLS + 1)):
        for said in itertools.product((False, True), repeat=len(YES_OR_NO)):
            yield {"sequence": sequence, "tools": tools, **dict(zip(YES_OR_NO, said, strict=True))}


def met(advice: Advice) -> set[Need]:
    """What an advice meets: by the topology, a team inside it, and what stands in for it meanwhile."""
    found = set(SHAPES[advice.topology].serves) | set(SHAPES[advice.inside].serves if advice.inside else ())
    return found | (met(advice.meanwhile) if advice.meanwhile else set())


# -- the decision -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "topology", "inside"),
    [
        ({}, "solo", None),
        ({"tools": MANY_TOOLS}, "solo", None),
        ({"tools": MANY_TOOLS + 1}, "supervisor", None),
        ({"parallel": True}, "supervisor", None),
        ({"plan": True}, "planning", None),
        ({"plan": True, "parallel": True, "tools": 60}, "planning", None),
        ({"talk": True}, "swarm", None),
        ({"talk": True, "sequence": "known"}, "swarm", None),
        ({"talk": True, "audit": True}, "swarm", "pipeline"),
        ({"talk": True, "parallel": True}, "swarm", "supervisor"),
        ({"talk": True, "plan": True, "audit": True}, "swarm", "nested"),
        ({"sequence": "known"}, "pipeline", None),
        ({"sequence": "known", "audit": True, "parallel": True, "tools": 60}, "pipeline", None),
        ({"sequence": "known", "plan": True}, "nested", "planning"),
        ({"audit": True}, "nested", "supervisor"),
        ({"audit": True, "plan": True}, "nested", "planning"),
        ({"events": True}, "event_swarm", None),
        ({"events": True, "talk": True, "audit": True}, "event_swarm", None),
    ],
)
def test_the_decision_tree_is_this_one(said: dict[str, Any], topology: Kind, inside: Kind | None) -> None:
    advice = advise(**PLAIN | said)
    assert (advice.topology, advice.inside) == (topology, inside)


def test_every_combination_of_answers_has_exactly_one_topology_which_can_be_scaffolded() -> None:
    found = set()
    for answers in every():
        advice = advise(**answers)
        found.add(advice.topology)
        assert advice == advise(**answers)
        assert advice.command.rpartition(" ")[2] in TOPOLOGIES
        assert (advice.meanwhile is None) == advice.there
    assert found == set(KINDS)


@given(ANSWERS)
def test_every_need_is_met_by_what_is_advised(answers: dict[str, Any]) -> None:
    advice = advise(**answers)
    assert set(advice.answers.needs) <= met(advice)


@given(ANSWERS)
def test_nothing_simpler_meets_all_of_it(answers: dict[str, Any]) -> None:
    advice = advise(**answers)
    for kind in KINDS[: KINDS.index(advice.topology)]:
        assert not set(advice.answers.needs) <= set(SHAPES[kind].serves)


@given(st.sets(st.sampled_from(NEEDS)), st.sampled_from(NEEDS))
def test_one_more_need_never_leads_to_something_simpler(needs: set[Need], more: Need) -> None:
    assert KINDS.index(decided(needs)[0]) <= KINDS.index(decided(needs | {more})[0])


@given(ANSWERS, st.integers(0, 200))
def test_more_tools_never_lead_to_something_simpler(answers: dict[str, Any], more: int) -> None:
    fewer, many = advise(**answers), advise(**{**answers, "tools": answers["tools"] + more})
    assert KINDS.index(fewer.topology) <= KINDS.index(many.topology)


@given(ANSWERS)
def test_an_advice_is_explained(answers: dict[str, Any]) -> None:
    advice = advise(**answers)
    needs = advice.answers.needs
    assert [r.answer for r in advice.reasons][: len(needs)] == list(needs.values())
    assert all(r.why for r in advice.reasons)
    assert advice.failures
    assert {c.topology for c in advice.considered} == set(KINDS) - {advice.topology}
    assert all(c.why for c in advice.considered)


def test_a_team_meets_only_what_it_is_put_in_for() -> None:
    assert advise(**PLAIN | {"talk": True}).inside is None
    for answers in every():
        advice = advise(**answers)
        assert advice.inside is None or (advice.topology in ("nested", "swarm") and advice.inside in TEAMS)
        assert (advice.then == "") == (advice.there and (advice.topology, advice.inside) in TEMPLATED)


TEMPLATED = {*((k, None) for k in KINDS), ("nested", "supervisor")}
"""What `edgewright new` makes whole."""


def test_only_the_needs_that_were_named_have_a_failure_told() -> None:
    slow = "The slowest of those who work at once holds all the others up."
    told = {p: [f.mode for f in advise(**PLAIN | {"parallel": p, "tools": 40}).failures] for p in (False, True)}
    assert slow in told[True]
    assert slow not in told[False]


def test_all_answers_that_are_none_are_told_at_once() -> None:
    wrong: Any = {**PLAIN, "sequence": "maybe", "audit": "yes", "tools": -1}
    with pytest.raises(AnswersInvalid) as raised:
        advise(**wrong)
    assert len(raised.value.faults) == 3
    assert all(name in str(raised.value) for name in ("sequence", "audit", "tools"))


def test_a_question_left_out_is_no_answer() -> None:
    wanting = {name: value for name, value in PLAIN.items() if name != "events"}
    with pytest.raises(TypeError, match="events"):
        advise(**wanting)


# -- the facts --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_each_topology_says_of_each_need_whether_it_meets_it(kind: Kind) -> None:
    shape = SHAPES[kind]
    assert not set(shape.serves) & set(shape.lacks)
    assert set(shape.serves) | set(shape.lacks) >= set(NEEDS)


@pytest.mark.parametrize("shape", [s for s in SHAPES.values() if s.there], ids=lambda s: s.title)
def test_what_is_there_is_declared_by_a_class_that_is_exported(shape: Shape) -> None:
    assert inspect.isclass(getattr(edgewright, shape.declared))


def test_what_is_said_not_to_be_there_is_not() -> None:
    missing = {k for k, s in SHAPES.items() if not s.there}
    assert missing == {"event_swarm"}
    assert not [name for name in dir(edgewright) if "event" in name.lower()]


GUARDS = list(dict.fromkeys(f for s in SHAPES.values() for f in s.failures))


@pytest.mark.parametrize("failure", GUARDS, ids=lambda f: f.mode)
def test_a_guard_is_a_declaration_that_can_be_written(failure: Failure) -> None:
    calls = [n for n in ast.walk(ast.parse(failure.guard)) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)]
    assert calls
    for call in calls:
        assert isinstance(call.func, ast.Name)
        takes = inspect.signature(_named(call.func.id)).parameters
        assert {k.arg for k in call.keywords} <= set(takes), failure.guard


def _named(name: str) -> Any:
    return next(getattr(m, name) for m in (edgewright, stages, loops) if hasattr(m, name))


# -- as it is shown ---------------------------------------------------------------------------------------------------


def test_a_notebook_shows_all_the_facts() -> None:
    for said in ({}, {"events": True}, {"talk": True, "audit": True}):
        advice = advise(**PLAIN | said)
        shown = advice._repr_html_()
        for text in (advice.command, advice.what, advice.then, *(c.title for c in advice.considered)):
            assert text in shown
        assert shown.count("<tr>") >= len(advice.reasons) + len(advice.failures) + len(advice.considered)


def test_the_questions_are_those_that_advise_takes() -> None:
    assert set(QUESTIONS) == set(inspect.signature(advise).parameters)

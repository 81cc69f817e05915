"""A plan as a contract: every fault of a plan at once, and what is ready when."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from edgewright import Contract
from edgewright.contracts.errors import ContractViolation
from edgewright.contracts.plan import Bounds, PlanContracts, brief_of, faults_of_steps, missing, plan_contracts, ready
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel
from support.planned import BRIEFS, FINDINGS, WISH, search, write

RECEIVED = {"text": "go", "sender": "S-1"}


def made(*, most: int = 6, waves: int = 10, turns: dict[str, int] | None = None) -> PlanContracts:
    bounds = Bounds(most=most, waves=waves, turns=turns or {})
    return plan_contracts("Desk", takes=WISH, briefs=BRIEFS, findings=FINDINGS, carried=["sender"], bounds=bounds)


def faults(steps: Any, *, received: Any = None, **bounds: Any) -> list[str]:
    with pytest.raises(ContractViolation) as caught:
        made(**bounds).plan.check({"steps": steps}, received=received or RECEIVED, edge="planner→desk")
    return list(caught.value.facts["faults"])


def done(*ids: str) -> list[dict[str, Any]]:
    return [{"step": i, "agent": "search", "answer": {"found": "x"}} for i in ids]


# -- what a plan may be -----------------------------------------------------------------------------------------------


def test_a_plan_crosses_with_the_request_and_with_how_it_stands() -> None:
    told = {"steps": [search("a"), write("b", "a")]}
    crossing = made().plan.check(told, received=RECEIVED, edge="planner→desk")
    assert crossing.payload == {**RECEIVED, **told, "done": [], "failed": [], "replans": 0, "waves": 0}


def test_a_planner_is_told_what_each_agent_takes_and_not_what_code_fills_in() -> None:
    schema = made().plan.told_schema
    assert set(schema["properties"]) == {"steps"}
    briefs = [d["properties"] for name, d in schema["$defs"].items() if name in ("Search", "Write")]
    assert [sorted(b) for b in briefs] == [["part"], ["part"]]


def test_every_fault_of_a_plan_is_told_at_once_by_place_and_without_a_value() -> None:
    steps = [
        search("a", "b"),
        search("b", "a"),
        search("a", "nowhere"),
        search("d", part="much too long to be taken"),
        {"id": "e", "agent": "nobody", "brief": {}, "after": []},
        {"id": "Not An Id", "agent": "write", "brief": {"part": "p", "earlier": []}, "after": []},
    ]
    found = faults(steps)
    assert found == [
        "steps.3.search.brief.part: String should have at most 12 characters",
        "steps.4: Input should have one of the expected tags: 'search', 'write'",
        "steps.5.write.id: String should match pattern '^[a-z][a-z0-9_]{0,31}$'",
        "steps.5.write.brief.earlier: Extra inputs are not permitted",
        "steps.2.id: is that of step 0, too; each step has one of its own",
        "steps.2.after.0: names no step of the plan, and none that is done",
        "steps: these wait for each other in a circle: steps.0, steps.1",
    ]


def test_what_a_brief_contract_says_beyond_its_types_is_told_to_the_planner() -> None:
    class Odd(BaseModel):
        part: str
        sender: str

    briefs = {"search": Contract(Odd, version=1, carried=["sender"], never=["pin"])}
    bounds = Bounds(most=3, waves=3, turns={})
    findings = {"search": FINDINGS["search"]}
    contracts = plan_contracts("Desk", takes=WISH, briefs=briefs, findings=findings, carried=[], bounds=bounds)
    step = {"id": "a", "agent": "search", "brief": {"part": "x"}, "after": []}
    assert contracts.plan.check({"steps": [step]}, received=RECEIVED, edge="e").payload["steps"] == [step]
    with pytest.raises(ContractViolation) as caught:
        contracts.plan.check({"steps": [{**step, "brief": {"part": "x", "sender": "me"}}]}, received=RECEIVED, edge="e")
    assert caught.value.facts["faults"] == ("steps.0.brief.sender: Extra inputs are not permitted",)


@pytest.mark.parametrize("told", [{}, {"steps": 5}, {"steps": None}, {"steps": [7, None]}, None, [], {"steps": {}}])
def test_what_is_no_plan_at_all_is_a_violation_like_any_other(told: Any) -> None:
    with pytest.raises(ContractViolation):
        made().plan.check(told, received=RECEIVED, edge="e")


@pytest.mark.parametrize("received", [RECEIVED, {}])
def test_how_a_plan_stands_is_never_the_planners_to_say(received: dict[str, Any]) -> None:
    for field, value in (("done", done("a")), ("replans", 0), ("waves", 0), ("failed", [])):
        with pytest.raises(ContractViolation) as caught:
            made().plan.check({"steps": [search("b")], field: value}, received=received, edge="e")
        assert f"{field}: is carried by the runtime and cannot be told" in str(caught.value)


# -- its bounds -------------------------------------------------------------------------------------------------------


def test_a_plan_has_at_most_so_many_steps_those_that_are_done_included() -> None:
    [fault] = faults([search(f"s{i}") for i in range(7)])
    assert fault.startswith("steps: List should have at most 6 items")
    found = faults([search("a"), search("b")], received={**RECEIVED, "done": done("w", "x", "y", "z", "v")})
    assert found == ["steps: 2 beside the 5 that are done; at most 6 in all"]


def test_steps_come_after_one_another_so_often_at_most_waves_that_are_over_included() -> None:
    row = [search("a"), search("b", "a"), search("c", "b")]
    assert faults(row, waves=2) == ["steps: 3 in a row; at most 2, so let more of them run at the same time"]
    assert faults(row, waves=4, received={**RECEIVED, "waves": 2}) == [
        "steps: 3 in a row after 2 waves; at most 4, so let more of them run at the same time"
    ]
    made(waves=3).plan.check({"steps": row}, received=RECEIVED, edge="e")


def test_an_agent_has_at_most_so_many_steps_those_that_failed_included() -> None:
    failed = [{"step": "x", "agent": "search", "kind": "error", "why": "ValueError"}]
    received = {**RECEIVED, "done": done("d"), "failed": failed}
    assert faults([search("a"), search("b")], turns={"search": 3}, received=received) == [
        "steps: 2 are of agent 'search', beside the 2 that it had; it takes at most 3 turns in a run"
    ]
    made(turns={"search": 4}).plan.check({"steps": [search("a"), search("b")]}, received=received, edge="e")


def test_after_a_failure_what_is_done_may_be_named_and_not_planned_again() -> None:
    received = {**RECEIVED, "done": done("a")}
    made().plan.check({"steps": [search("b", "a")]}, received=received, edge="e")
    assert faults([search("a")], received=received) == [
        "steps.0.id: is of a step that is done; name it in `after`, and plan what is left"
    ]
    made().plan.check({"steps": []}, received=received, edge="e")
    assert faults([]) == ["steps: is empty, and nothing is done yet; plan at least one step"]


# -- what follows from it ---------------------------------------------------------------------------------------------


@st.composite
def graphs(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Steps after any others, backwards only, in any order."""
    count = draw(st.integers(1, 12))
    steps = [
        search(f"s{n}", *draw(st.sets(st.sampled_from([f"s{i}" for i in range(n)])) if n else st.just(set())))
        for n in range(count)
    ]
    return draw(st.permutations(steps))


@given(graphs())
def test_any_plan_without_a_circle_is_carried_out_whole_and_nothing_before_what_it_waits_for(
    steps: Sequence[dict[str, Any]],
) -> None:
    assert faults_of_steps(steps, {}, Bounds(most=12, waves=12, turns={})) == []
    over: list[dict[str, Any]] = []
    waves = 0
    while wave := ready(steps, over):
        assert all({d["step"] for d in over}.issuperset(s["after"]) for s in wave)
        over += done(*(s["id"] for s in wave))
        waves += 1
    assert sorted(d["step"] for d in over) == sorted(s["id"] for s in steps)
    exact = Bounds(most=12, waves=waves, turns={})
    assert faults_of_steps(steps, {}, exact) == []
    assert waves == 1 or "in a row" in faults_of_steps(steps, {}, Bounds(most=12, waves=waves - 1, turns={}))[0]


@given(graphs(), st.data())
def test_any_circle_is_found_and_each_step_it_names_waits_for_the_next(
    steps: Sequence[dict[str, Any]], data: st.DataObject
) -> None:
    ring = data.draw(st.lists(st.sampled_from(range(len(steps))), min_size=1, max_size=4, unique=True))
    steps = [dict(s) for s in steps]
    for here, onwards in zip(ring, [*ring[1:], ring[0]], strict=True):
        steps[here]["after"] = [*steps[here]["after"], steps[onwards]["id"]]
    [fault] = [f for f in faults_of_steps(steps, {}, Bounds(most=12, waves=12, turns={})) if "circle" in f]
    named = [int(part.removeprefix("steps.")) for part in fault.rpartition("circle: ")[2].split(", ")]
    for here, onwards in zip(named, [*named[1:], named[0]], strict=True):
        assert steps[onwards]["id"] in steps[here]["after"]


def test_a_brief_gets_the_answers_of_what_it_comes_after_in_that_order_and_no_others() -> None:
    over = done("a", "b", "c")
    brief = brief_of(write("d", "c", "a"), over, earlier=True)
    assert brief == {"part": "d", "earlier": [over[2], over[0]]}
    assert brief_of(search("d", "a"), over, earlier=False) == {"part": "d"}


def test_steps_without_an_answer_say_why_and_those_that_were_done_since_are_none() -> None:
    failed = [
        {"step": "a", "agent": "search", "kind": "timeout", "why": "it took too long"},
        {"step": "b", "agent": "search", "kind": "error", "why": "ValueError"},
    ]
    found = missing([search("a"), search("b"), search("c", "a")], done("b"), failed)
    assert [(g["step"], g["kind"]) for g in found] == [("a", "timeout"), ("c", "not_begun")]

"""What is missing, or came about otherwise, is said all the way to the answer; and a contract may refuse it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from edgewright import (
    Agent,
    Contract,
    Edge,
    FallBack,
    FanOut,
    OnViolation,
    Pipeline,
    RunResult,
    Skip,
    Supervisor,
    System,
)
from edgewright.contracts.errors import ContractViolation, PartialRefused
from edgewright.contracts.failure import OnFailure
from edgewright.ledger.records import ContractPassed, ContractViolated, RunEnded
from langgraph.graph import END, START, StateGraph
from support.offices import BRIEF, FINDING, clerk, finds, fresh, sends
from support.systems import ANSWER, QUESTION, Answer, answers, of_kind, only_run
from typing_extensions import TypedDict

WHOLE = Contract(Answer, version=2, partial="refuse")
FAIL = OnViolation(repair=2, then="fail")
REVIEW = OnViolation(repair=2, then="review", role="lead")
GAP = {"kind": "gap", "agent": "first", "why": "ValueError"}
ON: Any = {"configurable": {"thread_id": "t"}}


@pytest.fixture(autouse=True)
def _fresh() -> None:
    fresh()


def broken(payload: dict[str, Any]) -> dict[str, Any]:
    """Does not work on what says so."""
    if payload["text"] == "break":
        raise ValueError("broken")
    return {"text": payload["text"]}


def line(contract: Contract = ANSWER, rule: OnViolation = FAIL, **options: Any) -> System:
    """Two stages, of which the first may be skipped."""
    stages = [
        Agent("first", version=1, function=broken),
        Agent("last", version=1, function=lambda p: {"text": f"answer to {p['text']}"}),
    ]
    topology = Pipeline(
        stages=stages, contracts=[QUESTION, QUESTION, contract], on_violation=rule, on_failure={"first": Skip()}
    )
    return System("line", version=1, topology=topology, **options)


# -- all the way out --------------------------------------------------------------------------------------------------


async def test_marks_are_in_the_result_the_output_the_state_and_on_record() -> None:
    system = line()
    result = await system.arun({"text": "break"}, thread="t")
    assert [m.as_json() for m in result.marks] == [GAP]
    assert result.partial
    graph: Any = await system._running()
    assert (await graph.aget_state(ON)).values["marks"] == [GAP]
    assert of_kind(system, result.run, RunEnded)[0].marks == [list(GAP.values())]
    assert "gap" in result._repr_html_()


async def test_whoever_invokes_the_graph_sees_marks_beside_the_answer_and_none_where_there_are_none() -> None:
    graph: Any = line().graph
    out = await graph.ainvoke({"request": {"text": "break"}})
    assert (out["response"], out["marks"]) == ({"text": "answer to break"}, [GAP])
    assert set(await graph.ainvoke({"request": {"text": "fine"}})) == {"run", "response"}


async def test_marks_of_one_run_of_a_thread_are_not_those_of_the_next() -> None:
    system = line()
    assert (await system.arun({"text": "break"}, thread="t")).partial
    again = await system.arun({"text": "fine"}, thread="t")
    assert (again.marks, again.partial) == ((), False)
    assert of_kind(system, again.run, RunEnded)[0].marks == []


async def test_a_stream_tells_marks_and_nothing_else_of_the_state() -> None:
    seen = [part async for part in line().astream({"text": "break"}, stream_mode="values")]
    assert seen[-1]["marks"] == [GAP]
    assert {key for part in seen for key in part} <= {"run", "response", "marks"}


async def test_marks_of_what_happened_before_a_fan_out_and_in_it_meet_in_the_answer() -> None:
    system = fan(
        "a", "b", on_failure={"router": FallBack(agent=router("deputy", "a", "b")), "clerk": Skip()}, lost=True
    )
    result = await system.arun({"text": "go"})
    assert [(m.kind, m.agent) for m in result.marks] == [("fallback", "router"), ("gap", "clerk")]


class Around(TypedDict, total=False):
    """The state of a hand-made graph around a system."""

    request: Any
    response: Any
    marks: Any


async def test_a_hand_made_graph_gets_the_marks_of_a_system_that_is_a_node_of_it() -> None:
    graph: StateGraph[Any, Any, Any, Any] = StateGraph(Around)
    graph.add_node("line", line().graph)
    graph.add_edge(START, "line")
    graph.add_edge("line", END)
    out = await graph.compile().ainvoke({"request": {"text": "break"}})
    assert (out["response"], out["marks"]) == ({"text": "answer to break"}, [GAP])


async def test_what_a_skipped_stage_was_handed_is_believed_as_far_as_it_was_before() -> None:
    system = line()
    result = await system.arun({"text": "break"})
    labels = {r.edge: r.labels["text"] for r in of_kind(system, result.run, ContractPassed)}
    assert labels["first→last"] == labels["start→first"]


# -- a contract that takes nothing partial ----------------------------------------------------------------------------


async def test_a_contract_that_refuses_partial_input_lets_whole_input_pass() -> None:
    assert (await line(WHOLE).arun({"text": "fine"})).output == {"text": "answer to fine"}


async def test_a_partial_answer_is_refused_at_once_for_nobody_can_mend_it() -> None:
    system = line(WHOLE)
    with pytest.raises(PartialRefused, match="payload: is partial: gap of agent 'first'"):
        await system.arun({"text": "break"})
    assert [(v.then, v.tries) for v in of_kind(system, only_run(system), ContractViolated)] == [("fail", 1)]
    assert issubclass(PartialRefused, ContractViolation)


async def test_an_agent_is_not_to_blame_for_a_part_that_is_missing() -> None:
    topology = Pipeline(
        stages=line().topology.agents,
        contracts=[QUESTION, QUESTION, WHOLE],
        on_violation=FAIL,
        on_failure={"first": Skip(), "last": FallBack(answer={"text": "sorry"})},
    )
    with pytest.raises(PartialRefused):
        await System("line", version=1, topology=topology).arun({"text": "break"})


async def test_a_person_may_make_whole_what_was_partial_and_it_stays_marked() -> None:
    system = line(WHOLE, REVIEW)
    waiting = await system.arun({"text": "break"}, thread="t")
    [review] = waiting.reviews
    assert (review.kind, review.faults) == ("handoff", ("payload: is partial: gap of agent 'first'",))
    result = await system.aresume("t", answers(waiting, "edit", arguments={"text": "by hand"}))
    assert result.output == {"text": "by hand"}
    assert result.partial


async def test_what_is_no_gap_is_taken() -> None:
    topology = Pipeline(
        stages=line().topology.agents,
        contracts=[QUESTION, QUESTION, WHOLE],
        on_violation=FAIL,
        on_failure={"first": FallBack(answer={"text": "as declared"})},
    )
    result = await System("line", version=1, topology=topology).arun({"text": "break"})
    assert result.output == {"text": "answer to as declared"}
    assert [m.kind for m in result.marks] == ["degraded"]


def router(name: str, *parts: str) -> Agent:
    return Agent(name, version=1, function=sends(*parts))


def fan(*parts: str, on_failure: dict[str, OnFailure], lost: bool = False, **contracts: Contract) -> System:
    """A fan-out of which branch "b" fails, behind a router that is lost."""

    def no_idea(_: Any) -> Any:
        raise ValueError("no idea")

    def function(brief: dict[str, Any]) -> dict[str, str]:
        if brief["part"] == "b":
            raise ValueError("broken")
        return finds(brief)

    given: dict[str, Any] = {"brief": BRIEF, "finding": FINDING, "answer": ANSWER, **contracts}
    topology = Supervisor(
        router=Agent("router", version=1, function=no_idea) if lost else router("router", *parts),
        specialists=[clerk(function)],
        takes=QUESTION,
        aggregator=Agent("head", version=1, function=lambda g: {"text": json.dumps(g)}),
        on_violation=FAIL,
        on_failure=on_failure,
        **given,
    )
    return System("office", version=1, topology=topology)


async def test_the_branches_that_did_not_fail_pass_a_contract_that_takes_nothing_partial() -> None:
    strict = Contract(FINDING.model, version=2, partial="refuse")
    result = await fan("a", "b", on_failure={"clerk": Skip()}, finding=strict).arun({"text": "go"})
    assert result.partial


async def test_an_answer_made_of_a_fan_out_with_a_gap_is_partial() -> None:
    system = fan("a", "b", on_failure={"clerk": Skip()}, answer=WHOLE)
    with pytest.raises(PartialRefused, match="gap of agent 'clerk'"):
        await system.arun({"text": "go"})
    assert (await fan("a", on_failure={"clerk": Skip()}, answer=WHOLE).arun({"text": "go"})).status == "completed"


# -- any topology -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Own:
    """A topology of somebody's own, with what a builder needs of it and one thing more."""

    agents: Sequence[Agent]
    edges: Sequence[Edge]
    fan_outs: Sequence[FanOut] = ()
    on_failure: dict[str, OnFailure] = field(default_factory=dict)


async def test_a_topology_of_ones_own_declares_it_in_the_same_way() -> None:
    agent = Agent("first", version=1, function=broken)
    edges = [
        Edge(source="start", target="first", contract=QUESTION),
        Edge(source="first", target="end", contract=ANSWER),
    ]

    async def run(**declared: Any) -> RunResult:
        return await System("own", version=1, topology=Own(agents=[agent], edges=edges, **declared)).arun(
            {"text": "break"}
        )

    assert (await run(on_failure={"first": FallBack(answer={"text": "sorry"})})).output == {"text": "sorry"}
    with pytest.raises(ValueError, match="broken"):
        await run()

"""A declared fan-out: all branches cross one contract node on the way out and one on the way back."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from edgewright import Agent, Call, Contract, FanOut, Handoff, OfflineModel, OnViolation, Supervisor, System, Turn, tool
from edgewright.contracts.errors import ContractViolation, HandoffConflict, TopologyInvalid
from edgewright.ledger.records import ContractPassed, EffectDone, RunEnded
from support.offices import (
    BRIEF,
    FINDING,
    clerk,
    crossings,
    done,
    finds,
    fresh,
    note,
    notes,
    office,
    results,
    sends,
    taken,
)
from support.systems import PERMIT_ALL, QUESTION, of_kind, only_run


@pytest.fixture(autouse=True)
def _fresh() -> None:
    fresh()


# -- the way out and back ---------------------------------------------------------------------------------------------


async def test_what_branches_find_meets_in_one_inbox_in_the_order_they_were_sent() -> None:
    system = office(sends("c", "a", "b"), clerk())
    result = await system.arun({"text": "go", "sender": "S-1"})
    assert results(result) == [("clerk", "all of c"), ("clerk", "all of a"), ("clerk", "all of b")]
    assert json.loads((result.output or {})["text"])["sender"] == "S-1"
    assert crossings(system, result.run) == [
        ("start→router", -1),
        *[("router→clerk", i) for i in range(3)],
        *[("clerk→head", i) for i in range(3)],
        ("[clerk]→head", -1),
        ("head→end", -1),
    ]


async def test_different_agents_answer_beside_each_other_and_one_may_be_sent_alone() -> None:
    def both(_: Any) -> list[Handoff]:
        return [Handoff(target="clerk", payload={"part": "a"}), Handoff(target="aide", payload={"part": "b"})]

    aide = clerk(lambda b: {"found": f"little of {b['part']}"}, name="aide")
    result = await office(both, clerk(), aide).arun({"text": "go"})
    assert results(result) == [("clerk", "all of a"), ("aide", "little of b")]
    alone = office(lambda _: Handoff(target="aide", payload={"part": "b"}), clerk(), aide)
    assert results(await alone.arun({"text": "go"})) == [("aide", "little of b")]


def routing(turn: Turn) -> Sequence[Call]:
    return [Call("handoff_to_clerk", {"part": p}) for p in ("a", "b")]


def working(turn: Turn) -> Sequence[Call]:
    if not turn.results:
        return [Call("note", {"part": turn.request["part"]})]
    return [Call("submit" if "submit" in turn.tools else "handoff_to_head", {"found": turn.results[-1][2]})]


async def test_model_agents_fan_out_by_several_handoffs_in_one_reply() -> None:
    router = Agent("router", version=1, prompt="Route.", model=OfflineModel("routing", routing))
    worker = Agent("clerk", version=1, prompt="Work.", model=OfflineModel("working", working), tools=[note])
    system = office(router, worker, policy=PERMIT_ALL)
    assert results(await system.arun({"text": "go"})) == [("clerk", "noted a"), ("clerk", "noted b")]
    assert done == {"a": 1, "b": 1}


async def test_without_a_declared_fan_out_two_handoffs_in_one_turn_are_a_conflict_that_names_both() -> None:
    system = System(
        "desk",
        version=1,
        topology=Supervisor(
            router=Agent("router", version=1, function=sends("a", "b")),
            specialists=[clerk()],
            takes=QUESTION,
            brief=BRIEF,
            answer=FINDING,
        ),
    )
    with pytest.raises(HandoffConflict) as caught:
        await system.arun({"text": "go"})
    assert caught.value.facts == {"agent": "router", "targets": ("clerk", "clerk")}
    assert taken == {}


async def test_eight_branches_at_once_that_call_one_tool_have_eight_effects_once_each() -> None:
    parts = [f"p{i}" for i in range(8)]
    system = office(sends(*parts), clerk(notes, note), policy=PERMIT_ALL)
    result = await system.arun({"text": "go"})
    assert done == dict.fromkeys(parts, 1)
    keys = [r.effect for r in of_kind(system, result.run, EffectDone)]
    assert len(set(keys)) == len(keys) == 8


def test_the_drawing_shows_one_node_before_the_branches_and_one_behind_them() -> None:
    drawn = office(sends("a"), clerk(), clerk(name="aide")).graph.get_graph()
    contracts = [n for n in drawn.nodes if "→" in n and "[" in n]
    assert contracts == ["Brief@1 router→[clerk,aide]", "Finding@1 [clerk,aide]→head"]
    ends = {(e.source, e.target) for e in drawn.edges}
    assert {(contracts[0], "clerk"), (contracts[0], "aide"), ("clerk", contracts[1]), ("aide", contracts[1])} <= ends


# -- what is not let through ------------------------------------------------------------------------------------------

FAIL = OnViolation(repair=0, then="fail")


async def test_a_brief_that_breaks_its_contract_names_its_branch_and_no_branch_begins() -> None:
    system = office(sends("a", "much too long"), clerk(), rule=FAIL)
    with pytest.raises(ContractViolation) as caught:
        await system.arun({"text": "go"})
    assert [f.partition(":")[0] for f in caught.value.facts["faults"]] == ["branch 1 (clerk)"]
    assert taken == {}
    assert crossings(system, only_run(system)) == [("start→router", -1)]


async def test_a_finding_that_breaks_its_contract_names_its_branch_and_the_target_gets_nothing() -> None:
    told: list[Any] = []
    broken = clerk(lambda b: {"found": 1} if b["part"] == "b" else finds(b))
    system = office(sends("a", "b"), broken, rule=FAIL, head=told.append)
    with pytest.raises(ContractViolation) as caught:
        await system.arun({"text": "go"})
    assert [f.partition(":")[0] for f in caught.value.facts["faults"]] == ["branch 1 (clerk)"]
    assert told == []
    [ended] = of_kind(system, only_run(system), RunEnded)
    assert ended.status == "failed"


async def test_more_branches_than_may_run_at_once_are_refused_together() -> None:
    system = office(sends(*["a"] * 65), clerk(), rule=FAIL)
    with pytest.raises(ContractViolation, match="at most 64"):
        await system.arun({"text": "go"})
    assert taken == {}


def test_a_fan_out_that_leads_nowhere_is_refused_when_it_is_built() -> None:
    class Two(Supervisor):
        fan_outs: Sequence[FanOut] = (
            FanOut(source="router", briefs={"clerk": BRIEF}, answers={}, target="end", gathered=FINDING, limit=0),
        )

    router = Agent("router", version=1, function=finds)
    two = Two(router=router, specialists=[clerk()], takes=QUESTION, brief=BRIEF, answer=FINDING)
    with pytest.raises(TopologyInvalid) as caught:
        System("two", version=1, topology=two)
    said = str(caught.value)
    for fault in ("needs a brief and an answer", "leads to the end", "no field 'results'", "limit 0", "another edge"):
        assert fault in said


@pytest.mark.parametrize("given", [{}, {"clerk": BRIEF, "stray": BRIEF}])
def test_a_specialist_without_a_contract_of_its_own_is_named(given: dict[str, Contract]) -> None:
    router = Agent("router", version=1, function=finds)
    one = Supervisor(router=router, specialists=[clerk()], takes=QUESTION, brief=given, answer=FINDING)
    with pytest.raises(TopologyInvalid, match="one each"):
        System("one", version=1, topology=one)


async def test_results_are_believed_no_more_than_the_least_of_the_branches() -> None:
    @tool(effect="read", output="untrusted", sensitivity="internal")
    def mail(part: str) -> str:
        """Read what somebody sent."""
        return f"mail about {part}"

    async def reads(brief: dict[str, Any]) -> dict[str, str]:
        return {"found": await mail.call(brief) if brief["part"] == "b" else "all of it"}

    system = office(sends("a", "b"), clerk(reads, mail), policy=PERMIT_ALL)
    result = await system.arun({"text": "go", "sender": "S-1"})
    passed = of_kind(system, result.run, ContractPassed)
    back = {r.branch: r.labels["found"][0] for r in passed if r.edge == "clerk→head"}
    assert back == {0: "user", 1: "untrusted"}
    [gathered] = [r for r in passed if r.edge == "[clerk]→head"]
    assert gathered.labels["results"][0] == "untrusted"
    assert gathered.labels["sender"][0] == "user"

"""A turn fails: the run stops, or an answer or another agent takes its place; and what is found before a run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from edgewright import (
    Agent,
    Ask,
    Budget,
    Call,
    Contract,
    FallBack,
    OfflineModel,
    OnViolation,
    Policy,
    Say,
    Skip,
    Supervisor,
    System,
    Turn,
    tool,
)
from edgewright.contracts.errors import (
    BudgetExceeded,
    LedgerUnavailable,
    TopologyInvalid,
)
from edgewright.contracts.failure import OnFailure
from edgewright.ledger.records import (
    AgentEnded,
    AgentFailed,
    AgentStarted,
    ContractPassed,
)
from pydantic import BaseModel
from support.failing import (
    SECRET_WORDS,
    SORRY,
    Broken,
    desk,
    ended,
    fan,
    last,
    line,
    marks,
    model_worker,
    stand_in,
    thens,
    worker,
)
from support.offices import clerk, done, finds, fresh, note, office, sends
from support.systems import ANSWER, PERMIT_ALL, QUESTION, FailingLedger, of_kind, on_ledger, only_run


@pytest.fixture(autouse=True)
def _fresh() -> None:
    fresh()


# -- stop -------------------------------------------------------------------------------------------------------------


async def test_where_nothing_is_declared_the_run_stops_and_the_ledger_says_in_whose_turn() -> None:
    system = desk(worker(Broken()), {})
    with pytest.raises(ValueError, match=SECRET_WORDS):
        await system.arun({"text": "go"})
    assert thens(system) == [("worker@1", "stop")]
    assert ended(system).status == "failed"


# -- fall back to an answer -------------------------------------------------------------------------------------------


async def test_a_declared_answer_takes_the_place_of_a_specialists_and_is_marked() -> None:
    system = desk(worker(Broken()), {"worker": FallBack(answer=SORRY)})
    result = await system.arun({"text": "go"})
    assert (result.status, result.output) == ("completed", SORRY)
    assert marks(result) == [("degraded", "worker", "ValueError")]
    assert not result.partial
    assert thens(system) == [("worker@1", "answer")]
    assert ended(system).marks == [["degraded", "worker", "ValueError"]]


async def test_the_story_of_the_run_tells_what_failed_and_what_came_instead() -> None:
    system = desk(worker(Broken()), {"worker": FallBack(answer=SORRY)})
    result = await system.arun({"text": "go"})
    told = str(system.explain(result.run))
    assert "worker@1 failed: ValueError" in told
    assert "then: answer" in told
    assert "degraded of worker: ValueError" in told


async def test_carried_fields_of_a_declared_answer_come_from_what_the_agent_was_handed() -> None:
    carrying = Contract(QUESTION.model, version=2, carried=["sender"])
    system = desk(worker(Broken()), {"worker": FallBack(answer={"text": "later"})}, contracts={"answer": carrying})
    result = await system.arun({"text": "go", "sender": "S-1"})
    assert result.output == {"text": "later", "sender": "S-1"}


# -- fall back to another agent ---------------------------------------------------------------------------------------


async def test_another_agent_takes_the_turn_under_its_own_name() -> None:
    system = desk(worker(Broken()), {"worker": FallBack(agent=stand_in())})
    result = await system.arun({"text": "go"})
    assert result.output == {"text": "backup on go"}
    assert marks(result) == [("fallback", "worker", "ValueError")]
    assert [r.agent for r in of_kind(system, result.run, AgentStarted)] == ["router@1", "worker@1", "backup@3"]
    assert thens(system) == [("worker@1", "stand_in")]
    assert [r.edge for r in of_kind(system, result.run, ContractPassed)][-1] == "worker→end"


async def test_a_stand_in_has_a_model_limits_and_rules_of_policy_of_its_own() -> None:
    @tool(effect="read", output="trusted", sensitivity="internal")
    def look() -> str:
        """Look."""
        return "seen"

    def rules(turn: Turn) -> Sequence[Call]:
        return [Call("submit", {"text": turn.results[-1][2]}) if turn.results else Call("look", {})]

    backup = Agent("backup", version=1, prompt="Work.", model=OfflineModel("b", rules), tools=[look])
    only_backup = '@id("backup") permit(principal == Agent::"backup", action, resource);'
    broken = worker(Broken())
    system = desk(broken, {"worker": FallBack(agent=backup)}, policy=Policy(text=only_backup))
    assert (await system.arun({"text": "go"})).output == {"text": "seen"}


async def test_the_failure_of_a_stand_in_stops_the_run() -> None:
    late = Broken(error=KeyError("late"))
    system = desk(worker(Broken()), {"worker": FallBack(agent=stand_in(late))})
    with pytest.raises(KeyError):
        await system.arun({"text": "go"})
    assert thens(system) == [("worker@1", "stand_in"), ("backup@3", "stop")]


async def test_a_stand_in_mends_what_it_offered_itself() -> None:
    tries: list[Any] = []

    def rules(turn: Turn) -> Sequence[Call]:
        tries.append(turn)
        return [Call("submit", {"text": "fine"} if len(tries) > 1 else {"wrong": 1})]

    backup = Agent("backup", version=1, prompt="Work.", model=OfflineModel("b", rules))
    rule = OnViolation(repair=1, then="fail")
    system = desk(worker(Broken()), {"worker": FallBack(agent=backup)}, rule=rule)
    assert (await system.arun({"text": "go"})).output == {"text": "fine"}
    assert [r.agent for r in of_kind(system, only_run(system), AgentStarted)][-2:] == ["backup@1", "backup@1"]


async def _credits(brief: dict[str, Any]) -> dict[str, Any]:
    await note.call({"part": "p"})
    raise ValueError("and then it broke")


async def test_nobody_stands_in_who_could_do_again_what_the_failed_turn_did() -> None:
    backup = stand_in(tools=[note])
    system = desk(worker(_credits, tools=[note]), {"worker": FallBack(agent=backup)}, policy=Policy(text=PERMIT_ALL))
    with pytest.raises(ValueError, match="and then it broke"):
        await system.arun({"text": "go"})
    assert done == {"p": 1}
    assert thens(system) == [("worker@1", "stop")]


async def test_a_stand_in_that_changes_nothing_may_follow_a_turn_that_did() -> None:
    system = desk(
        worker(_credits, tools=[note]), {"worker": FallBack(agent=stand_in())}, policy=Policy(text=PERMIT_ALL)
    )
    assert (await system.arun({"text": "go"})).output == {"text": "backup on go"}
    assert done == {"p": 1}


async def test_a_stand_in_with_tools_that_write_may_follow_a_turn_that_did_nothing() -> None:
    backup = stand_in(tools=[note])
    system = desk(worker(Broken()), {"worker": FallBack(agent=backup)}, policy=Policy(text=PERMIT_ALL))
    assert (await system.arun({"text": "go"})).output == {"text": "backup on go"}


async def test_a_router_that_fails_has_a_stand_in_that_routes() -> None:
    def broken(_: Any) -> Any:
        raise ValueError("no idea")

    topology = Supervisor(
        router=Agent("router", version=1, function=broken),
        specialists=[worker(lambda p: {"text": "done"}), Agent("other", version=1, function=lambda p: {"text": "no"})],
        takes=QUESTION,
        brief=QUESTION,
        answer=ANSWER,
        on_failure={"router": FallBack(agent=stand_in(lambda request: request))},
    )
    result = await System("desk", version=1, topology=topology).arun({"text": "go"})
    assert result.output == {"text": "done"}
    assert marks(result) == [("fallback", "router", "ValueError")]


# -- which failures ---------------------------------------------------------------------------------------------------


async def test_a_model_that_never_fits_its_contract_falls_back_after_its_repairs() -> None:
    tries: list[int] = []

    def rules(turn: Turn) -> Say:
        tries.append(1)
        return Say("I would rather not.")

    rule = OnViolation(repair=2, then="fail")
    system = desk(model_worker(rules), {"worker": FallBack(answer=SORRY)}, rule=rule)
    result = await system.arun({"text": "go"})
    assert result.output == SORRY
    assert marks(result) == [("degraded", "worker", "what it offered does not fit Answer@1")]
    assert len(tries) == 3


async def test_a_model_that_fails_falls_back() -> None:
    def rules(turn: Turn) -> Say:
        raise ConnectionError(SECRET_WORDS)

    result = await desk(model_worker(rules), {"worker": FallBack(answer=SORRY)}).arun({"text": "go"})
    assert marks(result) == [("degraded", "worker", "ConnectionError")]


async def test_an_agents_own_budget_is_its_own_failure() -> None:
    agent = model_worker(lambda turn: [Call("submit", {"wrong": 1})], limits=Budget(model_calls=1))
    rule = OnViolation(repair=9, then="fail")
    result = await desk(agent, {"worker": FallBack(answer=SORRY)}, rule=rule).arun({"text": "go"})
    assert result.output == SORRY
    assert result.marks[0].why.startswith("budget of agent worker allows 1 model calls")


async def test_an_agents_budget_that_says_itself_what_happens_is_asked_first() -> None:
    limits = Budget(model_calls=1, then="drain")
    agent = model_worker(lambda turn: [Call("submit", {"wrong": 1})], limits=limits)
    rule = OnViolation(repair=9, then="fail")
    system = desk(agent, {"worker": FallBack(answer=SORRY)}, rule=rule)
    result = await system.arun({"text": "go"})
    assert (result.status, result.output) == ("drained", None)
    assert thens(system) == []


async def test_the_budget_of_the_run_stops_the_run_whatever_is_declared() -> None:
    agent = model_worker(lambda turn: [Call("submit", {"wrong": 1})])
    rule = OnViolation(repair=9, then="fail")
    system = desk(agent, {"worker": FallBack(answer=SORRY)}, rule=rule, budget=Budget(model_calls=1))
    with pytest.raises(BudgetExceeded, match="budget of run"):
        await system.arun({"text": "go"})
    assert ended(system).status == "out_of_budget"
    assert thens(system) == []


async def test_nothing_goes_on_that_cannot_be_recorded() -> None:
    system = desk(worker(Broken()), {"worker": FallBack(answer=SORRY)})
    on_ledger(system, FailingLedger(AgentFailed))
    with pytest.raises(LedgerUnavailable):
        await system.arun({"text": "go"})


# -- what is found when a system is built -----------------------------------------------------------------------------


def refused(on_failure: Any, *, build: Any = None) -> str:
    with pytest.raises(TopologyInvalid) as caught:
        (build or (lambda given: desk(worker(finds), given)))(on_failure)
    return str(caught.value)


@pytest.mark.parametrize(
    ("on_failure", "said"),
    [
        ({"nobody": Skip()}, "on_failure names no agent 'nobody'; known: ['router', 'worker']"),
        ({"worker": "skip"}, "on_failure of 'worker' is 'skip'; it takes Stop, Skip, FallBack or Ask"),
        ({"worker": Skip()}, "it may not be skipped: what it takes, Question@1, is not what it hands on"),
        ({"worker": FallBack(answer={"found": 1})}, "its answer does not fit Answer@1: found"),
        ({"worker": FallBack(agent=Agent("router", version=1, function=finds))}, "'router' has a turn of its own"),
        (FallBack(agent=stand_in()), "'backup' stands in for two agents"),
    ],
)
def test_what_cannot_be_is_named_when_the_system_is_built(on_failure: Any, said: str) -> None:
    assert said in refused(on_failure)


def test_who_hands_on_to_several_can_be_skipped_to_nobody() -> None:
    def build(given: Any) -> System:
        return office(sends("a"), clerk(), clerk(name="aide")) if given is None else fan(finds, given, "a")

    assert "it may not be skipped" in refused({"head": Skip()}, build=build)
    topology = Supervisor(
        router=Agent("router", version=1, function=finds),
        specialists=[worker(finds), Agent("other", version=1, function=finds)],
        takes=QUESTION,
        brief=QUESTION,
        answer=ANSWER,
        on_failure={"router": Skip()},
    )
    said = refused(topology, build=lambda given: System("desk", version=1, topology=given))
    assert "it hands on to 2 agents, and Skip() does not say to whom" in said


def test_a_stage_that_could_never_be_left_out_is_found_by_the_types_of_its_fields() -> None:
    class Number(BaseModel):
        text: int
        sender: str | None = None

    contracts = [QUESTION, Contract(Number, version=1)]
    said = refused({"worker": Skip()}, build=lambda g: line(worker(finds), last(), on_failure=g, contracts=contracts))
    assert "'text' of the one is never one of the other" in said


@pytest.mark.parametrize("declared", [Ask(), FallBack(answer=SORRY), FallBack(agent=stand_in())])
def test_what_is_declared_for_failures_counts_in_the_digest_of_the_system(declared: OnFailure) -> None:
    plain = desk(worker(finds), {}).digest
    assert desk(worker(finds), {"worker": declared}).digest != plain


def test_a_stand_in_stands_in_the_drawing() -> None:
    drawn = desk(worker(finds), {"worker": FallBack(agent=stand_in())}).graph.get_graph()
    ends = {(e.source, e.target) for e in drawn.edges}
    assert {("worker", "backup"), ("backup", "Answer@1 worker→end")} <= ends
    branch = fan(finds, {"clerk": FallBack(agent=Agent("backup", version=1, function=finds))}, "a").graph.get_graph()
    ends = {(e.source, e.target) for e in branch.edges}
    assert {("Finding@1 [clerk]→head", "backup"), ("backup", "Finding@1 [clerk]→head")} <= ends


async def test_a_turn_that_did_not_fail_leaves_the_records_that_it_always_left() -> None:
    plain, declared = (
        desk(worker(lambda p: {"text": "x"}), {}),
        desk(worker(lambda p: {"text": "x"}), {"worker": Ask()}),
    )
    for system in (plain, declared):
        await system.arun({"text": "go"})
    kinds = [[e.kind for e in s.ledger.entries(only_run(s))] for s in (plain, declared)]
    assert kinds[0] == kinds[1]
    assert of_kind(declared, only_run(declared), AgentFailed) == []
    assert len(of_kind(declared, only_run(declared), AgentEnded)) == 2

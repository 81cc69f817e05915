"""Repair: a broken handover is mended within its bound or ends in a review or a failure, and no part of it passes."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, Literal

import pytest
from edgewright import (
    Agent,
    Budget,
    Call,
    OfflineModel,
    OnViolation,
    Pipeline,
    RunResult,
    Say,
    Supervisor,
    System,
    Turn,
)
from edgewright.contracts.errors import BudgetExceeded, ContractViolation, ReviewInvalid
from edgewright.ledger.records import (
    AgentStarted,
    ContractPassed,
    ContractViolated,
    ModelSettled,
    ReviewAnswered,
    RunEnded,
)
from support.offices import BRIEF, FINDING, fresh, results
from support.systems import ANSWER, QUESTION, answers, of_kind, only_run

CANARY = "canary-4711-in-a-field-that-nobody-declared"
GOOD, BAD = {"text": "fine"}, {"text": "fine", "stray": CANARY}
received: list[dict[str, Any]] = []
seen: list[str] = []


@pytest.fixture(autouse=True)
def _fresh() -> None:
    fresh()
    received.clear()
    seen.clear()


def tries(tool: str, *payloads: dict[str, Any]) -> Callable[[Turn], Sequence[Call]]:
    """A model that hands over these payloads, one per try, and the last for ever."""

    def rules(turn: Turn) -> Sequence[Call]:
        seen.append(str(turn.messages[-1].text))
        return [Call(tool, payloads[min(len(turn.results), len(payloads) - 1)])]

    return rules


def takes(inbox: dict[str, Any]) -> dict[str, str]:
    """The receiver."""
    received.append(inbox)
    return {"text": "taken"}


def line(rules: Callable[[Turn], Say | Sequence[Call]], rule: OnViolation, **options: Any) -> System:
    """A model that hands over to a function."""
    first = Agent("first", version=1, prompt="Work.", model=OfflineModel("rules", rules), **options)
    topology = Pipeline(
        stages=[first, Agent("second", version=1, function=takes)],
        contracts=[QUESTION, QUESTION, ANSWER],
        on_violation=rule,
    )
    return System("line", version=1, topology=topology)


def rule(repair: int, then: Literal["review", "fail"] = "fail") -> OnViolation:
    return OnViolation(repair=repair, then=then, role="lead")


def calls(system: System) -> int:
    """How often the run asked a model."""
    return len(of_kind(system, only_run(system), ModelSettled))


async def visible(system: System, thread: str) -> str:
    """All that a reader of the thread sees of its state and its history."""
    graph = system.compile(checkpointer=system.home.open()[1])
    config: Any = {"configurable": {"thread_id": thread}}
    history = [repr(s) async for s in graph.aget_state_history(config)]
    return "\n".join([repr(await graph.aget_state(config)), *history])


# -- within the bound -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("broken", [1, 2, 3])
async def test_a_model_that_mends_its_handover_within_the_bound_passes(broken: int) -> None:
    system = line(tries("handoff_to_second", *[BAD] * broken, GOOD), rule(3))
    result = await system.arun({"text": "go"})
    assert result.output == {"text": "taken"}
    assert [r["text"] for r in received] == ["fine"]
    assert calls(system) == broken + 1
    violated = of_kind(system, result.run, ContractViolated)
    assert [(v.tries, v.then) for v in violated] == [(i, "repair") for i in range(1, broken + 1)]
    [passed] = [r for r in of_kind(system, result.run, ContractPassed) if r.edge == "first→second"]
    assert passed.tries == broken


async def test_the_model_is_told_what_broke_and_goes_on_from_where_it_was() -> None:
    turns: list[Turn] = []

    def rules(turn: Turn) -> Sequence[Call]:
        turns.append(turn)
        return [Call("handoff_to_second", GOOD if turn.results else BAD)]

    await line(rules, rule(1)).arun({"text": "go"})
    assert "stray: Extra inputs are not permitted" in str(turns[1].messages[-1].text)
    before = turns[0].messages
    assert turns[1].messages[: len(before)] == before
    assert turns[1].results[0][:2] == ("handoff_to_second", BAD)


async def test_a_model_that_says_its_answer_instead_of_handing_over_is_told_so() -> None:
    def rules(turn: Turn) -> Say | Sequence[Call]:
        seen.append(str(turn.messages[-1].text))
        return [Call("handoff_to_second", GOOD)] if len(seen) > 1 else Say("The answer is 42.")

    result = await line(rules, rule(1)).arun({"text": "go"})
    assert result.status == "completed"
    assert "payload: is NoneType, not an object" in seen[1]


async def test_repairs_are_paid_from_the_budget_of_the_run() -> None:
    first = Agent("first", version=1, prompt="Work.", model=OfflineModel("r", tries("submit", BAD)))
    topology = Pipeline(stages=[first], contracts=[QUESTION, ANSWER], on_violation=rule(50))
    system = System("line", version=1, topology=topology, budget=Budget(model_calls=4))
    with pytest.raises(BudgetExceeded, match="4 model calls"):
        await system.arun({"text": "go"})
    assert calls(system) == 4
    assert of_kind(system, only_run(system), RunEnded)[0].status == "out_of_budget"


# -- for ever ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("repairs", [0, 1, 3])
async def test_a_model_that_never_mends_it_ends_in_failure_within_its_bound_and_nothing_passes(repairs: int) -> None:
    system = line(tries("handoff_to_second", BAD), rule(repairs))
    with pytest.raises(ContractViolation) as caught:
        await system.arun({"text": "go"}, thread="t")
    assert caught.value.facts["faults"] == ("stray: Extra inputs are not permitted",)
    assert CANARY not in str(caught.value)
    assert calls(system) == repairs + 1
    run = only_run(system)
    assert [r.agent for r in of_kind(system, run, AgentStarted)] == ["first@1"] * (repairs + 1)
    assert received == []
    assert [v.then for v in of_kind(system, run, ContractViolated)] == ["repair"] * repairs + ["fail"]
    assert [r.status for r in of_kind(system, run, RunEnded)] == ["failed"]
    assert CANARY not in await visible(system, "t")


async def _waiting(repairs: int = 1) -> tuple[System, RunResult]:
    system = line(tries("handoff_to_second", BAD), rule(repairs, "review"))
    return system, await system.arun({"text": "go"}, thread="t")


@pytest.mark.parametrize("repairs", [0, 2])
async def test_a_model_that_never_mends_it_ends_at_a_review_within_its_bound(repairs: int) -> None:
    system, waiting = await _waiting(repairs)
    assert waiting.status == "waiting"
    assert calls(system) == repairs + 1
    [review] = waiting.reviews
    assert (review.kind, review.edge, review.rules[0].approver) == ("handoff", "first→second", "lead")
    assert (review.arguments, review.faults) == (BAD, ("stray: Extra inputs are not permitted",))
    assert received == []
    [snapshot] = [s.values async for s in _states(system)][:1]
    assert set(snapshot) <= {"run", "response"}


async def _states(system: System) -> Any:
    graph = system.compile(checkpointer=system.home.open()[1])
    async for state in graph.aget_state_history({"configurable": {"thread_id": "t"}}):
        yield state


async def test_what_a_person_writes_in_its_place_passes_once_it_fits() -> None:
    system, waiting = await _waiting()
    result = await system.aresume("t", answers(waiting, "edit", arguments={"text": "mine"}))
    assert result.output == {"text": "taken"}
    assert [r["text"] for r in received] == ["mine"]
    assert calls(system) == 2
    [answered] = of_kind(system, result.run, ReviewAnswered)
    assert answered.decision == "edit"


async def test_what_a_person_writes_must_fit_too() -> None:
    system, waiting = await _waiting()
    again = await system.aresume("t", answers(waiting, "edit", arguments={"text": 7}))
    assert again.status == "waiting"
    assert again.reviews[0].faults == ("text: Input should be a valid string",)
    assert received == []
    assert calls(system) == 2


async def test_what_a_person_rejects_ends_the_run() -> None:
    system, waiting = await _waiting()
    with pytest.raises(ContractViolation):
        await system.aresume("t", answers(waiting, "reject"))
    assert received == []
    assert [r.status for r in of_kind(system, waiting.run, RunEnded)] == ["failed"]


async def test_a_payload_that_breaks_its_contract_cannot_be_approved() -> None:
    system, waiting = await _waiting()
    with pytest.raises(ReviewInvalid, match="edited or rejected"):
        await system.aresume("t", answers(waiting, "approve"))
    with pytest.raises(ReviewInvalid, match="needs arguments"):
        await system.aresume("t", answers(waiting, "edit"))
    assert received == []


# -- fan-out ----------------------------------------------------------------------------------------------------------


def office(
    router: Callable[[Turn], Sequence[Call]], worker: Callable[[Turn], Sequence[Call]], on: OnViolation
) -> System:
    """Models hand out parts and look at them; a function tells what they found."""

    def head(inbox: dict[str, Any]) -> dict[str, str]:
        received.append(inbox)
        return {"text": json.dumps(inbox)}

    return System(
        "office",
        version=1,
        topology=Supervisor(
            router=Agent("router", version=1, prompt="Route.", model=OfflineModel("router", router)),
            specialists=[Agent("clerk", version=1, prompt="Look.", model=OfflineModel("worker", worker))],
            takes=QUESTION,
            brief=BRIEF,
            answer=ANSWER,
            aggregator=Agent("head", version=1, function=head),
            finding=FINDING,
            on_violation=on,
        ),
    )


def routes(_: Turn) -> Sequence[Call]:
    return [Call("handoff_to_clerk", {"part": part}) for part in ("a", "b", "c")]


def works(mended_after: int) -> Callable[[Turn], Sequence[Call]]:
    def rules(turn: Turn) -> Sequence[Call]:
        part = turn.request["part"]
        bad = part == "b" and len(turn.results) < mended_after
        return [Call("handoff_to_head", {"found": part, **({"stray": CANARY} if bad else {})})]

    return rules


async def test_one_branch_is_mended_by_its_own_model_and_the_others_are_not_asked_again() -> None:
    system = office(routes, works(2), rule(2))
    assert results(await system.arun({"text": "go"})) == [("clerk", "a"), ("clerk", "b"), ("clerk", "c")]
    assert calls(system) == 1 + 3 + 2
    assert len(received) == 1


@pytest.mark.parametrize("then", ["fail", "review"])
async def test_a_branch_that_never_mends_it_holds_all_of_them_back(then: Literal["review", "fail"]) -> None:
    system = office(routes, works(9), rule(1, then))
    if then == "fail":
        with pytest.raises(ContractViolation, match=r"branch 1 \(clerk\): stray"):
            await system.arun({"text": "go"}, thread="t")
    else:
        assert (await system.arun({"text": "go"}, thread="t")).status == "waiting"
    assert calls(system) == 1 + 3 + 1
    assert received == []
    told = await visible(system, "t")
    assert (CANARY in told) == (then == "review")  # whoever is asked about it has to see it
    edges = [r.edge for r in of_kind(system, only_run(system), ContractPassed)]
    assert "[clerk]→head" not in edges


async def test_a_router_mends_the_one_brief_of_several_that_was_refused() -> None:
    def rules(turn: Turn) -> Sequence[Call]:
        parts = ("a", "b") if turn.results else ("a", "much too long")
        return [Call("handoff_to_clerk", {"part": part}) for part in parts]

    system = office(rules, works(0), rule(1))
    assert results(await system.arun({"text": "go"})) == [("clerk", "a"), ("clerk", "b")]
    assert calls(system) == 2 + 2

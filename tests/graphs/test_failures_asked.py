"""A person is asked about a failed turn: try it again, say what is handed on, or stop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from edgewright import (
    Agent,
    Ask,
    Call,
    Policy,
    Supervisor,
    System,
    Turn,
)
from edgewright.contracts.errors import (
    ContractViolation,
    TurnFailed,
)
from edgewright.ledger.records import (
    EffectDone,
    ReviewAnswered,
)
from support.failing import (
    SECRET_WORDS,
    Broken,
    desk,
    ended,
    fan,
    met,
    model_worker,
    thens,
    worker,
)
from support.offices import done, fresh, note
from support.systems import ANSWER, PERMIT_ALL, QUESTION, answers, of_kind, only_run


@pytest.fixture(autouse=True)
def _fresh() -> None:
    fresh()


# -- ask --------------------------------------------------------------------------------------------------------------


def asking(broken: Any, **options: Any) -> System:
    return desk(worker(broken), {"worker": Ask(role="lead", **options)})


async def test_a_person_is_asked_about_a_failed_turn_and_may_have_it_tried_again() -> None:
    broken = Broken(1)
    system = asking(broken)
    waiting = await system.arun({"text": "go"}, thread="t")
    assert waiting.status == "waiting"
    [review] = waiting.reviews
    assert (review.kind, review.agent, review.edge, review.rules[0].approver) == (
        "failure",
        "worker",
        "worker→end",
        "lead",
    )
    assert review.faults == (f"ValueError: {SECRET_WORDS}",)
    assert review.arguments == {"text": "go", "sender": None}
    result = await system.aresume("t", answers(waiting, "approve"))
    assert result.output == {"text": "worked on go"}
    assert (broken.calls, result.marks) == (2, ())


async def test_a_person_may_say_what_is_handed_on_and_the_contract_looks_at_it() -> None:
    broken = Broken()
    system = asking(broken)
    waiting = await system.arun({"text": "go"}, thread="t")
    result = await system.aresume("t", answers(waiting, "edit", arguments={"text": "by hand"}))
    assert result.output == {"text": "by hand"}
    assert broken.calls == 1
    wrong = asking(Broken())
    waiting = await wrong.arun({"text": "go"}, thread="t")
    with pytest.raises(ContractViolation):
        await wrong.aresume("t", answers(waiting, "edit", arguments={"nothing": 1}))


async def test_a_person_may_stop_the_run_and_it_can_be_gone_on_with_later() -> None:
    broken = Broken(1)
    system = asking(broken)
    waiting = await system.arun({"text": "go"}, thread="t")
    with pytest.raises(TurnFailed, match="agent 'worker' failed"):
        await system.aresume("t", answers(waiting, "reject"))
    assert thens(system) == [("worker@1", "ask"), ("worker@1", "stop")]
    assert ended(system).status == "failed"
    assert broken.calls == 1
    assert (await system.aresume("t")).output == {"text": "worked on go"}


async def test_a_person_is_asked_so_often_and_then_the_run_stops() -> None:
    system = asking(Broken(), tries=2)
    found = await system.arun({"text": "go"}, thread="t")
    seen = set()
    for _ in range(2):
        [review] = found.reviews
        assert review.id not in seen
        seen.add(review.id)
        if len(seen) < 2:
            found = await system.aresume("t", answers(found, "approve"))
    with pytest.raises(ValueError, match=SECRET_WORDS):
        await system.aresume("t", answers(found, "approve"))
    assert thens(system) == [("worker@1", "ask"), ("worker@1", "ask"), ("worker@1", "stop")]
    assert len(of_kind(system, only_run(system), ReviewAnswered)) == 2


async def test_what_a_turn_did_before_it_failed_is_not_done_again_when_it_is_tried_again() -> None:
    broken = Broken(1)

    async def function(payload: dict[str, Any]) -> dict[str, Any]:
        await note.call({"part": "p"})
        return await broken(payload)

    system = desk(worker(function, tools=[note]), {"worker": Ask()}, policy=Policy(text=PERMIT_ALL))
    waiting = await system.arun({"text": "go"}, thread="t")
    assert (await system.aresume("t", answers(waiting, "approve"))).status == "completed"
    assert done == {"p": 1}
    assert len(of_kind(system, only_run(system), EffectDone)) == 1


async def test_branches_are_asked_about_each_by_itself() -> None:
    calls: dict[str, int] = {}

    async def function(brief: dict[str, Any]) -> dict[str, str]:
        calls[brief["part"]] = calls.get(brief["part"], 0) + 1
        if brief["part"] != "a" and calls[brief["part"]] == 1:
            raise ValueError("broken")
        return {"found": brief["part"]}

    system = fan(function, {"clerk": Ask()}, "a", "b", "c")
    waiting = await system.arun({"text": "go"}, thread="t")
    assert [r.kind for r in waiting.reviews] == ["failure", "failure"]
    result = await system.aresume("t", answers(waiting, "approve"))
    assert [r["answer"]["found"] for r in met(result)["results"]] == ["a", "b", "c"]
    assert calls == {"a": 1, "b": 2, "c": 2}


async def test_a_model_that_never_fits_its_contract_mends_it_once_more_after_a_persons_yes() -> None:
    seen: list[str] = []

    def rules(turn: Turn) -> Sequence[Call]:
        seen.append(str(turn.messages[-1].text))
        return [Call("submit", {"text": "fine"} if len(seen) > 1 else {"wrong": 1})]

    system = desk(model_worker(rules), {"worker": Ask()})
    waiting = await system.arun({"text": "go"}, thread="t")
    assert waiting.reviews[0].kind == "failure"
    result = await system.aresume("t", answers(waiting, "approve"))
    assert result.output == {"text": "fine"}
    assert "refused by its contract" in seen[1]


async def test_a_person_who_answers_for_a_router_says_to_whom() -> None:
    def broken(_: Any) -> Any:
        raise ValueError("no idea")

    topology = Supervisor(
        router=Agent("router", version=1, function=broken),
        specialists=[worker(lambda p: {"text": "done"}), Agent("other", version=1, function=lambda p: {"text": "no"})],
        takes=QUESTION,
        brief=QUESTION,
        answer=ANSWER,
        on_failure={"router": Ask()},
    )
    system = System("desk", version=1, topology=topology)
    waiting = await system.arun({"text": "go"}, thread="t")
    assert waiting.reviews[0].edge == "router→[worker,other]"
    again = await system.aresume("t", answers(waiting, "edit", arguments={"text": "to nobody"}))
    assert again.status == "waiting"
    told = {"target": "worker", "payload": {"text": "go on"}}
    result = await system.aresume("t", answers(again, "edit", arguments=told))
    assert result.output == {"text": "done"}

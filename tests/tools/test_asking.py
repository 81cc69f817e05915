"""Asking a person: bound to the exact call, answered once, never carried over to another."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from edgewright import Call, System
from edgewright.contracts.errors import CallRejected, LedgerUnavailable, ReadRefused, ReviewInvalid
from edgewright.ledger.records import (
    EffectIntended,
    ReviewAnswered,
    ReviewAsked,
)
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import Command, StateUpdate
from support.payments import BIG, LARGE, OWNED, done, pay, verdicts, wire, world
from support.systems import (
    PERMIT_ALL,
    QUESTION,
    FailingLedger,
    answers,
    asking,
    of_kind,
    on_ledger,
    plays,
    with_code,
    with_model,
)


def _asks(*replies: list[Call], policy: str = PERMIT_ALL + LARGE, **options: Any) -> System:
    return with_model(plays(*replies), pay, wire, policy=policy, **options)


async def test_an_approved_call_runs_once_and_the_person_was_asked_once() -> None:
    system = _asks([Call("pay", BIG)])
    waiting = await system.arun({"text": "go"})
    [review] = waiting.reviews
    assert (review.kind, review.tool, review.arguments, review.facts) == ("call", "pay", BIG, {"owner": "C1"})
    assert [(r.id, r.approver, r.reason) for r in review.rules] == [("large", "finance", "because")]
    assert not done
    assert (await system.aresume(waiting.thread)).reviews == waiting.reviews  # looking again asks nothing new
    result = await system.aresume(waiting.thread, answers(waiting, "approve"))
    assert result.status == "completed"
    assert done == [("a", 500)]
    assert len(of_kind(system, result.run, ReviewAsked)) == len(of_kind(system, result.run, ReviewAnswered)) == 1
    assert [v for v, _ in verdicts(system, result.run)] == ["ask", "allow"]


async def test_a_rejected_call_does_not_run_and_the_model_learns_why() -> None:
    system = _asks([Call("pay", BIG)])
    waiting = await system.arun({"text": "go"})
    result = await system.aresume(waiting.thread, answers(waiting, "reject"))
    assert result.output == {"text": "Rejected by reviewer: a test says so"}
    assert not done


async def test_an_edited_call_runs_as_edited() -> None:
    system = _asks([Call("pay", BIG)])
    waiting = await system.arun({"text": "go"})
    await system.aresume(waiting.thread, answers(waiting, "edit", arguments={"account": "b", "cents": 7}))
    assert done == [("b", 7)]


@pytest.mark.parametrize(
    ("arguments", "rules"),
    [
        ({"account": "forbidden", "cents": 7}, ["no"]),
        ({"account": "forbidden", "cents": 700}, ["no"]),
    ],
)
async def test_an_edit_goes_through_the_whole_gate(arguments: dict[str, Any], rules: list[str]) -> None:
    forbid = '@id("no") forbid(principal, action, resource) when { context.args.account == "forbidden" };'
    system = with_model(plays([Call("pay", BIG)]), pay, policy=PERMIT_ALL + LARGE + forbid)
    waiting = await system.arun({"text": "go"})
    result = await system.aresume(waiting.thread, answers(waiting, "edit", arguments=arguments))
    assert result.status == "completed"
    assert verdicts(system, result.run)[-1] == ("deny", rules)
    assert not done


async def test_an_edit_that_must_be_asked_about_is_asked_about() -> None:
    system = _asks([Call("pay", BIG)])
    first = await system.arun({"text": "go"})
    second = await system.aresume(first.thread, answers(first, "edit", arguments={"account": "a", "cents": 900}))
    assert [r.arguments["cents"] for r in second.reviews] == [900]
    assert first.reviews[0].id != second.reviews[0].id
    assert not done
    await system.aresume(first.thread, answers(second, "approve"))
    assert done == [("a", 900)]


async def test_edits_without_end_are_denied() -> None:
    system = _asks([Call("pay", BIG)])
    result = await system.arun({"text": "go"})
    for cents in range(901, 905):
        assert result.status == "waiting"
        result = await system.aresume(
            result.thread, answers(result, "edit", arguments={"account": "a", "cents": cents})
        )
    assert result.status == "completed"
    assert verdicts(system, result.run)[-1] == ("deny", ["review.edits"])
    assert not done


async def test_an_edit_without_arguments_is_no_answer() -> None:
    system = _asks([Call("pay", BIG)])
    waiting = await system.arun({"text": "go"})
    with pytest.raises(ReviewInvalid, match="needs arguments"):
        await system.aresume(waiting.thread, answers(waiting, "edit"))
    await system.aresume(waiting.thread, answers(waiting, "approve"))
    assert done == [("a", 500)]


async def test_an_approval_does_not_outlive_the_facts_it_was_given_on() -> None:
    system = _asks([Call("pay", BIG)], policy=OWNED + LARGE)
    waiting = await system.arun({"text": "go", "sender": "C1"})
    world["facts"] = lambda _: {"owner": "C2"}
    result = await system.aresume(waiting.thread, answers(waiting, "approve"))
    assert result.status == "completed"
    assert verdicts(system, result.run)[-1][0] == "deny"
    assert not done


async def test_a_no_stays_a_no_when_the_policy_would_not_ask_any_more() -> None:
    policy = PERMIT_ALL + asking("pay", 'context.facts.owner == "C1"')
    system = _asks([Call("pay", BIG)], policy=policy)
    waiting = await system.arun({"text": "go"})
    world["facts"] = lambda _: {"owner": "C2"}
    result = await system.aresume(waiting.thread, answers(waiting, "reject"))
    assert result.output == {"text": "Rejected by reviewer: a test says so"}
    assert not done


async def test_a_yes_to_one_rule_is_no_yes_to_another_that_began_to_ask() -> None:
    policy = (
        PERMIT_ALL
        + asking("pay", "context.args.cents > 100", rule="large")
        + asking("pay", 'context.facts.owner == "C2"', rule="stranger", approver="security")
    )
    system = _asks([Call("pay", BIG)], policy=policy)
    first = await system.arun({"text": "go"})
    assert [r.id for r in first.reviews[0].rules] == ["large"]
    world["facts"] = lambda _: {"owner": "C2"}
    second = await system.aresume(first.thread, answers(first, "approve"))
    assert not done
    assert sorted(r.id for r in second.reviews[0].rules) == ["large", "stranger"]
    result = await system.aresume(first.thread, answers(second, "approve"))
    assert result.status == "completed"
    assert done == [("a", 500)]


@pytest.mark.parametrize("decision", ["approve", "reject"])
async def test_an_answer_given_under_another_policy_approves_nothing(decision: str, tmp_path: Path) -> None:
    before = _asks([Call("pay", BIG)], home=tmp_path)
    waiting = await before.arun({"text": "go"})
    stricter = PERMIT_ALL + asking("pay", "context.args.cents > 100", rule="large", approver="the board")
    after = _asks([Call("pay", BIG)], home=tmp_path, policy=stricter)
    result = await after.aresume(waiting.thread, answers(waiting, decision))
    assert not done
    if decision == "reject":  # a no is a no under any policy
        assert result.output == {"text": "Rejected by reviewer: a test says so"}
    else:
        assert [r.approver for r in result.reviews[0].rules] == ["the board"]
        await after.aresume(waiting.thread, answers(result, "approve"))
        assert done == [("a", 500)]
    after.close()


async def test_three_asks_of_one_message_are_answered_apart_in_any_order() -> None:
    calls = [Call("pay", {"account": name, "cents": 200}) for name in "abc"]
    system = _asks(calls)
    waiting = await system.arun({"text": "go"})
    by_account = {r.arguments["account"]: r for r in waiting.reviews}
    assert sorted(by_account) == ["a", "b", "c"]
    for account, decision in (("c", "approve"), ("a", "reject"), ("b", "approve")):
        chosen = {by_account[account].id: answers(waiting, decision)[by_account[account].id]}
        result = await system.aresume(waiting.thread, chosen)
    assert result.status == "completed"
    assert sorted(done) == [("b", 200), ("c", 200)]
    assert len(of_kind(system, result.run, ReviewAsked)) == 3
    assert len(of_kind(system, result.run, EffectIntended)) == 2


async def test_beside_an_ask_the_other_calls_of_the_message_happen_once() -> None:
    system = _asks([Call("pay", BIG), Call("wire", {"account": "w", "cents": 1})])
    waiting = await system.arun({"text": "go"})
    assert done == [("w", 1)]
    await system.aresume(waiting.thread, answers(waiting, "approve"))
    assert sorted(done) == [("a", 500), ("w", 1)]


@pytest.mark.parametrize("second", ["approve", "reject"])
async def test_the_answer_to_one_question_of_a_function_is_not_the_answer_to_its_next(second: str) -> None:
    async def function(_: dict[str, Any]) -> dict[str, str]:
        await pay.ainvoke({"account": "a", "cents": 200})
        try:
            await pay.ainvoke({"account": "b", "cents": 300})
        except CallRejected as error:
            return {"text": str(error)}
        return {"text": "both"}

    system = with_code(function, pay, policy=PERMIT_ALL + LARGE)
    waiting = await system.arun({"text": "go"})
    waiting = await system.aresume(waiting.thread, answers(waiting, "approve"))
    assert [r.arguments["account"] for r in waiting.reviews] == ["b"]
    assert done == [("a", 200)]
    result = await system.aresume(waiting.thread, answers(waiting, second))
    assert result.status == "completed"
    assert done == ([("a", 200), ("b", 300)] if second == "approve" else [("a", 200)])


async def test_a_function_that_rewords_what_it_was_asked_about_gets_what_was_approved() -> None:
    amounts = iter(range(500, 600))

    async def function(_: dict[str, Any]) -> dict[str, str]:
        return {"text": str(await pay.ainvoke({"account": "a", "cents": next(amounts)}))}

    system = with_code(function, pay, policy=PERMIT_ALL + LARGE)
    waiting = await system.arun({"text": "go"})
    assert waiting.reviews[0].arguments == {"account": "a", "cents": 500}
    result = await system.aresume(waiting.thread, answers(waiting, "approve"))
    assert result.status == "completed"
    assert done == [("a", 500)]


async def test_an_answer_given_to_langgraph_itself_counts_where_it_can_mean_one_question_only() -> None:
    async def function(_: dict[str, Any]) -> dict[str, str]:
        await pay.ainvoke({"account": "a", "cents": 200})
        await pay.ainvoke({"account": "b", "cents": 300})
        return {"text": "both"}

    system = with_code(function, pay, policy=PERMIT_ALL + LARGE)
    waiting = await system.arun({"text": "go"}, thread="t")
    graph: Any = await system._running()
    yes, config = {"decision": "approve", "reason": "in the studio"}, {"configurable": {"thread_id": "t"}}
    await graph.ainvoke(Command(resume=yes), config)
    assert done == [("a", 200)]
    await graph.ainvoke(Command(resume=yes), config)
    assert done == [("a", 200)]  # it could be meant for either question: asked again
    second = (await system.aresume("t")).reviews[0]
    assert second.arguments["account"] == "b"
    await graph.ainvoke(Command(resume=yes | {"review": second.id}), config)
    assert done == [("a", 200), ("b", 300)]
    assert waiting.run == second.run


@pytest.mark.parametrize("how", ["update_state", "resume and update"])
async def test_an_approval_does_not_cover_arguments_that_were_changed_behind_it(how: str) -> None:
    async def function(payload: dict[str, Any]) -> dict[str, str]:
        await pay.ainvoke({"account": payload["text"], "cents": 500})
        return {"text": "paid"}

    system = with_code(function, pay, policy=PERMIT_ALL + LARGE)
    waiting = await system.arun({"text": "good"}, thread="t")
    graph: Any = await system._running()
    config, forged = {"configurable": {"thread_id": "t"}}, {"inbox": {"text": "evil", "sender": None}}
    yes = {"decision": "approve", "reason": "fine", "review": waiting.reviews[0].id}
    with pytest.raises(ReadRefused):
        await (
            graph.aupdate_state(config, forged, as_node=QUESTION.id + " start→worker")
            if how == "update_state"
            else graph.ainvoke(Command(resume=yes, update=forged), config)
        )
    # Somebody with the checkpoints in hand does it all the same.
    writing = [[StateUpdate(forged, QUESTION.id + " start→worker")]]
    await CompiledStateGraph.abulk_update_state(graph, config, writing)  # type: ignore[arg-type]
    await graph.ainvoke(Command(resume=yes), config)
    assert ("evil", 500) not in done
    assert len(done) <= 1


async def test_an_answer_that_fits_no_open_question_is_refused() -> None:
    system = _asks([Call("pay", BIG)])
    waiting = await system.arun({"text": "go"})
    other = {"0" * 24: answers(waiting, "approve")[waiting.reviews[0].id]}
    with pytest.raises(ReviewInvalid, match="not open"):
        await system.aresume(waiting.thread, other)
    await system.aresume(waiting.thread, answers(waiting, "approve"))
    with pytest.raises(ReviewInvalid, match="not open"):  # single use
        await system.aresume(waiting.thread, answers(waiting, "approve"))
    assert done == [("a", 500)]


async def test_an_approval_of_one_run_is_none_for_another() -> None:
    system = _asks([Call("pay", BIG)])
    one, two = await system.arun({"text": "go"}), await system.arun({"text": "go"})
    assert one.reviews[0].id != two.reviews[0].id
    with pytest.raises(ReviewInvalid):
        await system.aresume(two.thread, answers(one, "approve"))
    assert not done


async def test_a_question_that_cannot_be_recorded_is_not_asked() -> None:
    system = on_ledger(_asks([Call("pay", BIG)]), FailingLedger(ReviewAsked))
    with pytest.raises(LedgerUnavailable):
        await system.arun({"text": "go"})
    assert not done


async def test_an_approval_that_cannot_be_recorded_lets_nothing_happen() -> None:
    system = on_ledger(_asks([Call("pay", BIG)]), FailingLedger(ReviewAnswered))
    waiting = await system.arun({"text": "go"})
    with pytest.raises(LedgerUnavailable):
        await system.aresume(waiting.thread, answers(waiting, "approve"))
    assert not done

"""Join policies in runs: when a fan-out is released, what becomes of who is late, and of a policy that is not met."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from edgewright import Agent, Budget, FallBack, OnViolation
from edgewright.contracts.edge import FanOut
from edgewright.contracts.errors import (
    BudgetExceeded,
    CallDenied,
    ContractViolation,
    JoinUnmet,
    LedgerUnavailable,
    NothingLeft,
)
from edgewright.contracts.join import any_of, best_effort, first, quorum
from edgewright.ledger.records import (
    AgentFailed,
    BranchVoted,
    ContractPassed,
    ContractViolated,
    JoinDecided,
    RunEnded,
)
from support.joins import Clerks, bounded, decision, found, gaps, joined, met, votes
from support.systems import FailingLedger, answers, of_kind, on_ledger, only_run, records


async def slowly(_: Any) -> str:
    """Answers, but not before the others."""
    await asyncio.sleep(0.2)
    return "y"


# -- released ---------------------------------------------------------------------------------------------------------


async def test_the_first_answer_releases_any_of_and_who_is_late_is_cancelled_and_leaves_a_labelled_gap() -> None:
    clerks = Clerks({"a": "x", "b": "y", "c": "z"}, slow="ac")
    system = joined(clerks, any_of(), "a", "b", "c")
    result = await bounded(system.arun({"text": "go"}))
    assert found(result) == ["y"]
    assert (
        met(result)["gaps"]
        == [{"agent": "clerk", "kind": "late", "why": "was at work when its join was decided: any of 3"}] * 2
    )
    assert sorted(clerks.cancelled) == ["a", "c"]
    assert result.partial
    assert [m.kind for m in result.marks] == ["gap"]
    assert decision(system, result.run).branches == {"0": "late", "1": "counted", "2": "late"}


async def test_a_quorum_is_released_by_those_that_agree_and_dissent_is_handed_on_with_them() -> None:
    clerks = Clerks({"a": "no", "b": "yes", "c": "yes", "d": "yes"}, slow="d")
    system = joined(clerks, quorum(2, agree="found"), "a", "b", "c", "d")
    result = await bounded(system.arun({"text": "go"}))
    assert found(result) == ["no", "yes", "yes"]
    assert decision(system, result.run).branches == {"0": "answered", "1": "counted", "2": "counted", "3": "late"}


async def test_best_effort_takes_what_is_there_at_the_deadline_and_ends_before_it_when_nobody_is_at_work() -> None:
    clerks = Clerks({"a": "x", "b": "y", "c": ValueError("no")}, slow="b")
    result = await bounded(joined(clerks, best_effort(deadline=1.0), "a", "b", "c").arun({"text": "go"}))
    assert (found(result), gaps(result)) == (["x"], ["late", "error"])
    every = await bounded(
        joined(Clerks({"a": "x", "b": "y"}), best_effort(deadline=600), "a", "b").arun({"text": "go"})
    )
    assert (found(every), gaps(every), every.marks) == (["x", "y"], [], ())


async def test_the_late_are_awaited_where_that_is_declared_and_their_answers_taken() -> None:
    system = joined(Clerks({"a": "x", "b": slowly}), any_of(late="await"), "a", "b")
    result = await bounded(system.arun({"text": "go"}))
    assert (found(result), gaps(result)) == (["x", "y"], [])
    assert [r.kind for r in records(system, result.run) if isinstance(r, BranchVoted | JoinDecided)] == [
        "branch.voted",
        "branch.voted",
        "join.decided",
    ]


async def test_the_late_are_awaited_until_the_deadline_only() -> None:
    clerks = Clerks({"a": "x", "b": "y"}, slow="b")
    result = await bounded(joined(clerks, any_of(late="await", deadline=0.2), "a", "b").arun({"text": "go"}))
    assert (found(result), gaps(result), clerks.cancelled) == (["x"], ["late"], ["b"])


async def test_without_a_policy_nothing_of_a_join_is_in_the_records() -> None:
    from support.offices import office, sends

    system = office(sends("a", "b"), Agent("clerk", version=1, function=lambda b: {"found": b["part"]}))
    result = await system.arun({"text": "go"})
    assert not [r for r in records(system, result.run) if isinstance(r, BranchVoted | JoinDecided)]


# -- branches that fail -----------------------------------------------------------------------------------------------


async def test_a_branch_that_fails_leaves_a_gap_where_the_policy_can_do_without_it() -> None:
    clerks = Clerks({"a": ValueError("secret words"), "b": slowly, "c": "z"})
    system = joined(clerks, first(2), "a", "b", "c")
    result = await bounded(system.arun({"text": "go"}))
    assert (found(result), gaps(result)) == (["y", "z"], ["error"])
    [failed] = of_kind(system, result.run, AgentFailed)
    assert failed.then == "skip"
    assert "secret words" not in str(met(result))


async def test_what_concerns_more_than_the_branch_ends_the_run_under_any_policy() -> None:
    denied = CallDenied(tool="t", agent="clerk", rules=["r"], reasons=["no"])
    clerks = Clerks({"a": denied, "b": "y"}, slow="b")
    with pytest.raises(CallDenied):
        await bounded(joined(clerks, any_of(), "a", "b").arun({"text": "go"}))
    assert clerks.cancelled == ["b"]


async def test_a_budget_of_the_run_that_runs_out_in_a_branch_is_no_gap() -> None:
    clerks = Clerks(dict.fromkeys("abcd", "x"))
    with pytest.raises(BudgetExceeded):
        await bounded(joined(clerks, any_of(), *"abcd", budget=Budget(steps=4)).arun({"text": "go"}))


async def test_nothing_follows_from_a_decision_that_could_not_be_recorded() -> None:
    clerks = Clerks({"a": "x", "b": "y"}, slow="b")
    system = on_ledger(joined(clerks, any_of(), "a", "b"), FailingLedger(JoinDecided))
    with pytest.raises(LedgerUnavailable):
        await bounded(system.arun({"text": "go"}))
    assert not [r for r in of_kind(system, only_run(system), ContractPassed) if r.edge == "[clerk]→head"]


async def test_a_stand_in_takes_its_turn_where_the_join_is_open_and_does_not_begin_where_it_is_decided() -> None:
    taken: list[str] = []

    async def stands_in(brief: dict[str, Any]) -> dict[str, str]:
        taken.append(brief["part"])
        return {"found": "by the backup"}

    def office(join: Any) -> Any:
        backup = Agent("backup", version=1, function=stands_in)
        clerks = Clerks({"a": ValueError("no"), "b": "y"})
        return joined(clerks, join, "a", "b", on_failure={"clerk": FallBack(agent=backup)})

    result = await bounded(office(first(2)).arun({"text": "go"}))
    assert (found(result), gaps(result), taken) == (["by the backup", "y"], [], ["a"])
    taken.clear()
    result = await bounded(office(any_of()).arun({"text": "go"}))
    assert (found(result), gaps(result), taken) == (["y"], ["late"], [])


# -- answers that a contract refuses ----------------------------------------------------------------------------------


async def test_an_answer_that_its_contract_refuses_does_not_count_and_is_mended_while_the_join_is_open() -> None:
    def mends(brief: dict[str, Any]) -> Any:
        return {"found": 7} if clerks.begun[brief["part"]] == 1 else "y"

    clerks = Clerks({"a": mends, "b": "x"})
    system = joined(clerks, first(2), "a", "b")
    result = await bounded(system.arun({"text": "go"}))
    assert (found(result), clerks.begun) == (["y", "x"], {"a": 2, "b": 1})
    assert sorted(votes(system, result.run)) == [(0, "answered"), (0, "refused"), (1, "answered")]


async def test_it_is_not_mended_any_more_once_the_join_is_decided() -> None:
    clerks = Clerks({"a": {"found": 7}, "b": "x"})
    system = joined(clerks, any_of(late="await"), "a", "b")
    result = await bounded(system.arun({"text": "go"}))
    assert (found(result), gaps(result), clerks.begun["a"]) == (["x"], ["contract"], 1)
    [violated] = of_kind(system, result.run, ContractViolated)
    assert violated.then == "skip"


async def test_a_branch_that_cannot_mend_its_answer_leaves_a_gap_where_no_person_is_asked() -> None:
    clerks = Clerks({"a": {"found": 7}, "b": "x", "c": "y"}, slow="c")
    clerks.gates["c"].set()
    system = joined(clerks, best_effort(deadline=600), "a", "b", "c")
    result = await bounded(system.arun({"text": "go"}))
    assert (found(result), gaps(result), clerks.begun["a"]) == (["x", "y"], ["contract"], 2)
    assert result.partial


async def test_a_router_that_sends_too_few_for_its_join_is_told_so() -> None:
    clerks = Clerks({"a": "x"})
    with pytest.raises(ContractViolation, match="hands over to 1 branches; its join needs answers of 2"):
        await joined(clerks, quorum(2, agree="found"), "a").arun({"text": "go"})
    assert not clerks.begun


# -- a policy that is not met -----------------------------------------------------------------------------------------


async def test_a_quorum_that_cannot_be_met_is_given_up_at_once_and_says_how_every_branch_stood() -> None:
    clerks = Clerks({"a": "x", "b": "y", "c": ValueError("no"), "d": "z"}, slow="d")
    system = joined(clerks, quorum(3, agree="found"), "a", "b", "c", "d")
    with pytest.raises(JoinUnmet) as caught:
        await bounded(system.arun({"text": "go"}))
    assert caught.value.faults == (
        "0 clerk: answered a",
        "1 clerk: answered b",
        "2 clerk: gap, error",
        "3 clerk: gap, late",
    )
    assert "needs 3 of 4 agree on found" in str(caught.value)
    assert of_kind(system, only_run(system), RunEnded)[-1].status == "failed"
    passed = [(r.edge, r.branch) for r in of_kind(system, only_run(system), ContractPassed) if r.branch >= 0]
    assert ("clerk→head", 0) in passed  # what they answered is on record
    with pytest.raises(JoinUnmet):  # decided for good
        await bounded(system.aresume(system.ledger.runs()[0].thread))
    assert clerks.begun == dict.fromkeys("abcd", 1)


async def test_what_is_there_is_passed_on_and_marked_where_that_is_declared() -> None:
    clerks = Clerks({"a": "x", "b": "y"})
    result = await bounded(joined(clerks, quorum(2, agree="found", otherwise="pass"), "a", "b").arun({"text": "go"}))
    assert found(result) == ["x", "y"]
    [mark] = result.marks
    assert (mark.kind, mark.agent) == ("unmet", "router")
    assert mark.why.startswith("2 of 2 agree on found: 2 answered")
    nobody = joined(Clerks({"a": ValueError("no")}), any_of(otherwise="pass"), "a")
    with pytest.raises(NothingLeft):
        await bounded(nobody.arun({"text": "go"}))


REVIEW = quorum(2, agree="found", otherwise="review")


async def test_a_person_hands_on_what_is_there_as_it_is_or_mended() -> None:
    system = joined(Clerks({"a": "x", "b": "y", "c": ValueError("no")}), REVIEW, "a", "b", "c")
    waiting = await bounded(system.arun({"text": "go"}))
    [review] = waiting.reviews
    assert (review.kind, review.rules[0].approver) == ("handoff", "lead")
    assert review.arguments["branches"] == [
        {"branch": 0, "agent": "clerk", "answer": {"found": "x"}},
        {"branch": 1, "agent": "clerk", "answer": {"found": "y"}},
    ]
    assert (
        review.faults[0]
        == "2 of 3 agree on found: 2 answered, of whom no more than 1 agree on found, and too few are left"
    )
    kept = await bounded(system.aresume(waiting.thread, answers(waiting, "edit", arguments={"branches": []})))
    assert (found(kept), gaps(kept)) == (["x", "y"], ["error"])
    assert [m.kind for m in kept.marks] == ["gap"]

    waiting = await bounded(system.arun({"text": "again"}))
    told = {"branches": [{"branch": 1, "answer": {"found": "x"}}, {"branch": 2, "answer": {"found": "mine"}}]}
    mended = await bounded(system.aresume(waiting.thread, answers(waiting, "edit", arguments=told)))
    assert (found(mended), gaps(mended), mended.marks) == (["x", "x", "mine"], [], ())


@pytest.mark.parametrize(
    "edit",
    [
        {},
        {"branches": [7]},
        {"branches": [{"branch": 9, "answer": {}}]},
        {"branches": [{"branch": 0, "answer": {"found": 1}}]},
    ],
)
async def test_an_edit_that_does_not_fit_is_asked_about_again_and_a_no_ends_the_run(edit: dict[str, Any]) -> None:
    system = joined(Clerks({"a": "x", "b": "y"}), REVIEW, "a", "b")
    waiting = await bounded(system.arun({"text": "go"}))
    again = await bounded(system.aresume(waiting.thread, answers(waiting, "edit", arguments=edit)))
    assert again.status == "waiting"
    assert again.reviews[0].id != waiting.reviews[0].id
    with pytest.raises(JoinUnmet, match="no person had it handed on"):
        await bounded(system.aresume(waiting.thread, answers(again, "reject")))
    assert len(of_kind(system, waiting.run, JoinDecided)) == 1


# -- what it stands on ------------------------------------------------------------------------------------------------


async def test_values_that_have_to_agree_are_in_no_record_of_the_join() -> None:
    system = joined(Clerks({"a": "swordfish", "b": "swordfish"}), quorum(2, agree="found"), "a", "b")
    result = await bounded(system.arun({"text": "go"}))
    cast = of_kind(system, result.run, BranchVoted)
    assert len({r.value for r in cast}) == 1
    assert "swordfish" not in str([*cast, decision(system, result.run)])


async def test_a_fan_out_inside_of_a_team_has_a_policy_of_its_own() -> None:
    inner = Clerks({"a": "x", "b": "y"}, slow="b")
    team = joined(inner, any_of(), "a", "b").topology
    from edgewright import Pipeline, System
    from support.systems import ANSWER, QUESTION

    desk = Agent("desk", version=1, team=team)
    system = System("firm", version=1, topology=Pipeline(stages=[desk], contracts=[QUESTION, ANSWER]))
    result = await bounded(system.arun({"text": "go"}))
    assert (found(result), gaps(result), inner.cancelled) == (["x"], ["late"], ["b"])


def test_the_policy_is_part_of_a_fan_out_and_all_of_a_supervisor_answer_where_none_is_given() -> None:
    [fan] = joined(Clerks({}), first(2), "a").topology.fan_outs
    assert isinstance(fan, FanOut)
    assert fan.join == first(2)
    assert OnViolation() == fan.on_violation or fan.on_violation.role == "lead"

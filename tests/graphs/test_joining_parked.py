"""Branches that wait for a person when their join is decided, and what becomes of the questions that were asked."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from edgewright import Budget, OnViolation, ReviewAnswer, Reviewer, System
from edgewright.contracts.errors import ReviewClosed, ReviewerRefused, ReviewExpired, ReviewInvalid
from edgewright.contracts.failure import Ask
from edgewright.contracts.join import Join, any_of, best_effort, first, quorum
from edgewright.graphs.late_answers import noted
from edgewright.ledger.records import ReviewAnswered, ReviewAsked, ReviewNoted, ReviewWithdrawn
from edgewright.tools import signing
from langgraph.errors import GraphBubbleUp
from support.joins import Clerks, bounded, decision, found, gaps, joined, met, votes
from support.offices import done, fresh, note
from support.systems import PERMIT_ALL, answers, asking, of_kind

YES = ReviewAnswer(decision="approve", reason="a test says so")


@pytest.fixture(autouse=True)
def _fresh() -> None:
    fresh()


class Parking(Clerks):
    """Parts in `asks` make a note first, about which the policy asks a person; those in `after` wait for that."""

    def __init__(self, does: dict[str, Any], *, asks: str = "", after: str = "", slow: str = "") -> None:
        super().__init__(does, slow=slow)
        self.asks, self.after, self.asked = asks, after, asyncio.Event()

    async def __call__(self, brief: dict[str, Any]) -> Any:
        part = brief["part"]
        if part in self.asks:
            try:
                await note.call({"part": part})
            except GraphBubbleUp:
                self.asked.set()
                raise
        if part in self.after:
            await self.asked.wait()
            await asyncio.sleep(0.05)  # the one that asks is about to wait beside the others
        return await super().__call__(brief)


def office(clerks: Parking, join: Join, *parts: str, **options: Any) -> System:
    asks = asking("note", f"{list(clerks.asks)}.contains(context.args.part)".replace("'", '"'))
    return joined(clerks, join, *parts, tools=(note,), policy=PERMIT_ALL + asks, **options)


# -- decided without them ---------------------------------------------------------------------------------------------


async def test_a_branch_that_waits_for_a_person_is_left_out_and_its_question_withdrawn() -> None:
    clerks = Parking({"a": "x", "b": "y"}, asks="a", after="b")
    system = office(clerks, any_of(), "a", "b")
    result = await bounded(system.arun({"text": "go"}))
    assert (found(result), gaps(result)) == (["y"], ["parked"])
    assert met(result)["gaps"][0]["why"] == "waited for a person when its join was decided: any of 2"
    assert decision(system, result.run).branches == {"0": "parked", "1": "counted"}
    [asked], [withdrawn] = of_kind(system, result.run, ReviewAsked), of_kind(system, result.run, ReviewWithdrawn)
    assert (withdrawn.review, withdrawn.at, withdrawn.open) == (asked.review, asked.at, False)
    assert not done
    with pytest.raises(ReviewInvalid, match="was withdrawn"):
        await system.aresume(result.thread, {asked.review: YES})
    with pytest.raises(ReviewClosed, match="was withdrawn") as caught:
        await _noted(system, result.run, result.thread, {asked.review: YES})
    assert "any of 2" in caught.value.reason


async def _noted(
    system: System, run: str, thread: str, given: dict[str, ReviewAnswer], reviewer: Reviewer | None = None
) -> dict[str, ReviewAnswer]:
    return await noted(system._takes, run, thread, given, waiting=[], reviewer=reviewer)


async def test_a_question_that_is_left_open_takes_one_answer_for_the_record_and_nothing_follows(tmp_path: Path) -> None:
    clerks = Parking({"a": "x", "b": "y"}, asks="a", after="b")

    def build() -> System:
        return office(clerks, any_of(parked="open"), "a", "b", home=tmp_path)

    system = build()
    result = await bounded(system.arun({"text": "go"}))
    [withdrawn] = of_kind(system, result.run, ReviewWithdrawn)
    assert withdrawn.open
    system.close()
    system = build()
    stranger = Reviewer("sam", roles=frozenset({"sales"}))
    with pytest.raises(ReviewerRefused, match="finance"):
        await _noted(system, result.run, result.thread, {withdrawn.review: YES}, stranger)
    other = {"another": YES}
    boss = Reviewer("kim", roles=frozenset({"finance"}))
    assert await _noted(system, result.run, result.thread, {withdrawn.review: YES} | other, boss) == other
    [answer] = of_kind(system, result.run, ReviewNoted)
    assert (answer.review, answer.decision, answer.reviewer) == (withdrawn.review, "approve", "kim")
    assert answer.signature["mac"]
    assert not of_kind(system, result.run, ReviewAnswered)
    assert not done
    with pytest.raises(ReviewInvalid, match="answer on record already"):
        await _noted(system, result.run, result.thread, {withdrawn.review: YES}, boss)
    [run] = system.ledger.runs()
    assert run.status == "completed"
    system.close()


async def test_a_question_that_is_left_open_expires_as_any_other(monkeypatch: pytest.MonkeyPatch) -> None:
    clerks = Parking({"a": "x", "b": "y"}, asks="a", after="b")
    system = office(clerks, any_of(parked="open"), "a", "b", review_seconds=60)
    result = await bounded(system.arun({"text": "go"}))
    [asked] = of_kind(system, result.run, ReviewAsked)
    monkeypatch.setattr(signing, "now", lambda: asked.expires + 1)
    with pytest.raises(ReviewExpired):
        await _noted(system, result.run, result.thread, {asked.review: YES})


async def test_a_deadline_does_not_wait_for_a_person() -> None:
    clerks = Parking({"a": "x", "b": "y"}, asks="a")
    result = await bounded(office(clerks, best_effort(deadline=0.3), "a", "b").arun({"text": "go"}))
    assert (result.status, found(result), gaps(result)) == ("completed", ["y"], ["parked"])


async def test_a_question_about_a_failed_turn_is_withdrawn_with_its_branch() -> None:
    clerks = Parking({"a": ValueError("no"), "b": "y"}, slow="b")

    async def opens(brief: dict[str, Any]) -> Any:
        if brief["part"] == "a":
            asyncio.get_running_loop().call_later(0.3, clerks.gates["b"].set)
        return await clerks(brief)

    system = joined(opens, any_of(), "a", "b", on_failure={"clerk": Ask()})
    result = await bounded(system.arun({"text": "go"}))
    assert (found(result), gaps(result)) == (["y"], ["parked"])
    assert len(of_kind(system, result.run, ReviewWithdrawn)) == 1


# -- decided with them ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("restarted", [False, True])
async def test_where_the_policy_needs_the_person_the_run_waits_and_nothing_is_done_twice(
    restarted: bool, tmp_path: Path
) -> None:
    clerks = Parking({"a": "x", "b": "y", "c": ValueError("no")}, asks="a")

    def build() -> System:
        return office(clerks, first(2), "a", "b", "c", home=tmp_path)

    system = build()
    waiting = await bounded(system.arun({"text": "go"}))
    assert (waiting.status, [r.tool for r in waiting.reviews]) == ("waiting", ["note"])
    assert clerks.begun == {"b": 1, "c": 1}
    if restarted:
        system.close()
        system = build()
    result = await bounded(system.aresume(waiting.thread, answers(waiting, "approve")))
    assert (found(result), gaps(result)) == (["x", "y"], ["error"])
    assert clerks.begun == {"a": 1, "b": 1, "c": 1}
    assert done == {"a": 1}
    assert sorted(votes(system, result.run)) == [(0, "answered"), (1, "answered"), (2, "failed")]
    assert not of_kind(system, result.run, ReviewWithdrawn)
    system.close()


@pytest.mark.parametrize("restarted", [False, True])
async def test_of_two_that_wait_the_one_that_is_answered_releases_and_the_other_is_withdrawn(
    restarted: bool, tmp_path: Path
) -> None:
    clerks = Parking({"a": "x", "b": "y", "c": "x"}, asks="ab")

    def build() -> System:
        return office(clerks, quorum(2, agree="found"), "a", "b", "c", home=tmp_path)

    system = build()
    waiting = await bounded(system.arun({"text": "go"}))
    mine = {r.arguments["part"]: r.id for r in waiting.reviews}
    assert sorted(mine) == ["a", "b"]
    if restarted:
        system.close()
        system = build()
    result = await bounded(system.aresume(waiting.thread, {mine["a"]: YES}))
    assert (result.status, found(result), gaps(result)) == ("completed", ["x", "x"], ["parked"])
    assert (done, clerks.begun) == ({"a": 1}, {"a": 1, "c": 1})
    assert [r.review for r in of_kind(system, result.run, ReviewWithdrawn)] == [mine["b"]]
    system.close()


async def test_an_answer_that_does_not_suffice_leaves_the_others_waiting() -> None:
    clerks = Parking({"a": "x", "b": "y"}, asks="ab")
    system = office(clerks, first(2), "a", "b")
    waiting = await bounded(system.arun({"text": "go"}))
    mine = {r.arguments["part"]: r.id for r in waiting.reviews}
    still = await bounded(system.aresume(waiting.thread, {mine["a"]: YES}))
    assert (still.status, [r.id for r in still.reviews]) == ("waiting", [mine["b"]])
    result = await bounded(system.aresume(waiting.thread, {mine["b"]: YES}))
    assert (found(result), done, clerks.begun) == (["x", "y"], {"a": 1, "b": 1}, {"a": 1, "b": 1})


async def test_a_branch_that_a_budget_keeps_from_its_turn_holds_nobody_up_who_waits_for_a_person() -> None:
    clerks = Parking({"a": "x", "b": "y"}, asks="a")
    system = office(clerks, first(2), "a", "b", budget=Budget(steps=4, then="ask"))
    waiting = await bounded(system.arun({"text": "go"}))
    assert sorted(r.kind for r in waiting.reviews) == ["budget", "call"]
    for _ in range(4):  # the nodes behind the branches are steps, too
        waiting = await bounded(system.aresume(waiting.thread, answers(waiting, "approve")))
        if waiting.status == "completed":
            break
    assert (found(waiting), done, clerks.begun) == (["x", "y"], {"a": 1}, {"a": 1, "b": 1})


async def test_a_person_who_is_asked_about_an_answer_that_nobody_mended_completes_the_join() -> None:
    clerks = Clerks({"a": {"found": 7}, "b": "y"})
    system = joined(clerks, first(2), "a", "b", rule=OnViolation(repair=0, then="review", role="lead"))
    waiting = await bounded(system.arun({"text": "go"}))
    told = {"branches": [{"branch": 0, "answer": {"found": "mine"}}]}
    result = await bounded(system.aresume(waiting.thread, answers(waiting, "edit", arguments=told)))
    assert (found(result), gaps(result)) == (["mine", "y"], [])
    assert decision(system, result.run).branches == {"0": "counted", "1": "counted"}

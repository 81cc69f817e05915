"""Approvals count for one thing, once, for a while, and only from a person who may give them."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from edgewright import Budget, Call, RunResult, System
from edgewright.contracts.digest import digest_text
from edgewright.contracts.errors import (
    BudgetExceeded,
    LedgerCorrupt,
    NotFound,
    ReviewerRefused,
    ReviewExpired,
    ReviewInvalid,
    ThreadBusy,
    TopologyInvalid,
)
from edgewright.contracts.review import ReviewAnswer, Reviewer
from edgewright.ledger.entry import Draft
from edgewright.ledger.records import CallJudged, EffectIntended, ReviewAnswered, ReviewAsked, RunStarted
from edgewright.tools import signing
from langgraph.types import Command
from support.payments import BIG, LARGE, done, fresh, pay, verdicts, wire
from support.systems import PERMIT_ALL, answers, asking, of_kind, only_run, plays, with_code, with_model

__all__ = ["fresh"]  # a fixture
ON: Any = {"configurable": {"thread_id": "t"}}
YES = {"decision": "approve", "reason": "fine"}
ANA = Reviewer("ana", frozenset({"finance"}))
BEN = Reviewer("ben", frozenset({"finance"}))
LEO = Reviewer("leo", frozenset({"legal"}))
EVE = Reviewer("eve", frozenset({"sales"}))
BOTH = Reviewer("bo", frozenset({"finance", "legal"}))
TWO_RULES = PERMIT_ALL + LARGE + asking("pay", "true", rule="law", approver="legal")


class Clock:
    """The clock of reviews, which goes on when a test says so."""

    def __init__(self) -> None:
        self.time = 1_800_000_000.0

    def __call__(self) -> float:
        return self.time


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(signing, "now", made)
    return made


@pytest.fixture
def opened() -> Iterator[list[System]]:
    made: list[System] = []
    yield made
    for system in made:
        system.close()


def _noted(rule: str, *notes: str) -> str:
    """A rule that asks, with more annotations."""
    return rule.replace("@obligation", f"{' '.join(notes)} @obligation", 1)


def _asks(*replies: list[Call], policy: str = PERMIT_ALL + LARGE, **options: Any) -> System:
    calls = replies or ([Call("pay", BIG)],)
    return with_model(plays(*calls), pay, wire, policy=policy, environment="production", **options)


async def _waiting(system: System, **options: Any) -> RunResult:
    return await system.arun({"text": "go"}, thread="t", **options)


# -- who --------------------------------------------------------------------------------------------------------------


async def test_outside_development_an_answer_without_a_name_is_refused_and_the_question_stays_open() -> None:
    """threat 29."""
    system = _asks()
    waiting = await _waiting(system)
    for reviewer in (None, EVE):
        with pytest.raises(ReviewerRefused) as refused:
            await system.aresume("t", answers(waiting, "approve"), reviewer=reviewer)
        assert refused.value.reviewer == (reviewer.id if reviewer else "")
    assert (await system.aresume("t")).reviews == waiting.reviews
    assert not done
    assert (await system.aresume("t", answers(waiting, "approve"), reviewer=ANA)).status == "completed"
    assert done == [("a", 500)]
    [answered] = of_kind(system, waiting.run, ReviewAnswered)
    assert (answered.reviewer, answered.signature["roles"]) == ("ana", ["finance"])


async def test_who_answers_is_never_taken_from_the_answer() -> None:
    """threat 29."""
    system = _asks()
    waiting = await _waiting(system)
    claims = answers(waiting, "approve", reviewer="ana")
    with pytest.raises(ReviewerRefused):
        await system.aresume("t", claims, reviewer=EVE)
    await system.aresume("t", claims, reviewer=BEN)
    assert [a.reviewer for a in of_kind(system, waiting.run, ReviewAnswered)] == ["ben"]


async def test_outside_development_an_answer_given_to_langgraph_itself_is_passed_over() -> None:
    """threat 29: `graph.ainvoke`, langgraph dev and Studio know no reviewer."""
    system = _asks()
    waiting = await _waiting(system)
    graph: Any = await system._running()
    [review] = waiting.reviews
    forged = {"reviewer": "ana", "roles": ["finance", "*"], "tenant": "local", "nonce": "n", "mac": "0" * 64}
    times = {"time": review.asked, "until": review.expires}
    for answer in (YES, YES | {"review": review.id}, YES | {"review": review.id, "signature": {**forged, **times}}):
        await graph.ainvoke(Command(resume=answer), ON)
        assert not done
        assert [r.id for r in (await system.aresume("t")).reviews] == [review.id]
    assert not of_kind(system, waiting.run, ReviewAnswered)
    await system.aresume("t", answers(waiting, "approve"), reviewer=ANA)
    assert done == [("a", 500)]


async def test_in_development_an_answer_given_to_langgraph_itself_is_the_local_operators() -> None:
    system = with_model(plays([Call("pay", BIG)]), pay, policy=PERMIT_ALL + LARGE)
    waiting = await _waiting(system)
    graph: Any = await system._running()
    await graph.ainvoke(Command(resume=YES | {"reviewer": "the board"}), ON)
    assert done == [("a", 500)]
    [answered] = of_kind(system, waiting.run, ReviewAnswered)
    assert (answered.reviewer, answered.signature["roles"]) == ("local operator", ["*"])
    assert of_kind(system, waiting.run, RunStarted)[0].started_by == "local operator"


async def test_an_answer_of_the_local_operator_does_not_count_where_the_run_goes_on_in_production(
    tmp_path: Path, opened: list[System]
) -> None:
    """threat 40: a database that says `development` makes no production system one."""
    house = {"policy": PERMIT_ALL + LARGE, "home": tmp_path}
    before = with_model(plays([Call("pay", BIG)]), pay, **house)
    waiting = await _waiting(before)
    before.close()
    after = with_model(plays([Call("pay", BIG)]), pay, environment="production", **house)
    opened.append(after)
    with pytest.raises(ReviewerRefused, match="production"):
        await after.aresume("t", answers(waiting, "approve"))
    graph: Any = await after._running()
    await graph.ainvoke(Command(resume=YES), ON)
    assert not done


async def test_people_of_another_tenant_find_nothing() -> None:
    """threat 31."""
    system = _asks()
    waiting = await _waiting(system, by=Reviewer("uma", tenant="acme"))
    for reviewer in (ANA, Reviewer("ana", frozenset({"finance"}), "other")):
        for given in (None, answers(waiting, "approve")):
            with pytest.raises(NotFound):
                await system.aresume("t", given, reviewer=reviewer)
    with pytest.raises(NotFound):
        await system.arun({"text": "go"}, thread="t", by=ANA)
    assert not done
    assert await system.tenant_of("t") == "acme"
    await system.aresume("t", answers(waiting, "approve"), reviewer=Reviewer("ada", frozenset({"finance"}), "acme"))
    assert done == [("a", 500)]


async def test_an_answer_on_another_thread_is_not_found_there() -> None:
    """threat 31."""
    system = _asks()
    one, two = [await system.arun({"text": "go"}, thread=t) for t in ("one", "two")]
    with pytest.raises(ReviewInvalid, match="not open"):
        await system.aresume("two", answers(one, "approve"), reviewer=ANA)
    with pytest.raises(ReviewInvalid, match="not open"):
        await system.aresume("three", answers(one, "approve"), reviewer=ANA)
    signed = await system.answering("one", one.reviews, answers(one, "approve"), reviewer=ANA)
    graph: Any = await system._running()
    resume: Command[Any] = Command(resume=signed[one.reviews[0].id].model_dump(mode="json"))
    await graph.ainvoke(resume, {"configurable": {"thread_id": "two"}})
    assert not done  # signed for the other run's question
    assert (await system.aresume("two")).reviews == two.reviews


# -- forged, replayed -------------------------------------------------------------------------------------------------


def _forged(system: System, run: str, **changed: Any) -> None:
    """Somebody with the database in hand writes an answer, chain and all."""
    [asked] = of_kind(system, run, ReviewAsked)
    fields = {"decision": "approve", "reason": "fine", "reviewer": "ana", "signature": {}} | changed
    record = ReviewAnswered(review=asked.review, at=asked.at, **fields)
    system.ledger.append(run, [Draft(record=record, key=f"answered:{asked.review}")]).result(30)


@pytest.mark.parametrize("with_signature", [False, True])
async def test_a_forged_row_in_the_database_is_no_approval(
    with_signature: bool, tmp_path: Path, opened: list[System]
) -> None:
    """threats 29 and 40."""
    system = _asks(home=tmp_path)
    opened.append(system)
    waiting = await _waiting(system)
    forged = signing.signed(
        b"another key" * 3,
        ReviewAnswer(decision="approve", reason="fine"),
        review=waiting.reviews[0].id,
        binding=waiting.reviews[0].binding,
        reviewer=ANA,
        tenant="local",
    )
    assert forged.signature is not None
    _forged(system, waiting.run, signature=forged.signature.model_dump(exclude={"reviewer"}) if with_signature else {})
    again = await system.aresume("t", answers(waiting, "approve"), reviewer=ANA)
    assert not done  # what is on record stands before what is said now, and is no answer
    assert again.status == "waiting"
    assert again.reviews[0].id != waiting.reviews[0].id
    await system.aresume("t", answers(again, "approve"), reviewer=ANA)
    assert done == [("a", 500)]


async def test_an_approval_is_read_back_in_another_process_with_its_signature(
    tmp_path: Path, opened: list[System]
) -> None:
    """threat 35: a crash between the approval and the call."""
    system = _asks(home=tmp_path)
    waiting = await _waiting(system)
    [review] = waiting.reviews
    signed = (await system.answering("t", waiting.reviews, answers(waiting, "approve"), reviewer=ANA))[review.id]
    assert signed.signature is not None
    fields = {"reason": signed.reason, "signature": signed.signature.model_dump(exclude={"reviewer"})}
    _forged(system, waiting.run, **fields)  # the record as the gate writes it, and then the process dies
    system.close()
    after = _asks(home=tmp_path)
    opened.append(after)
    result = await after.aresume("t")
    assert result.status == "completed"
    assert done == [("a", 500)]
    assert len(of_kind(after, waiting.run, ReviewAsked)) == 1


@pytest.mark.parametrize("changed", [{"decision": "edit"}, {"reviewer": "ben"}, {"reason": "other"}])
async def test_an_approval_that_was_changed_on_record_is_none(
    changed: dict[str, Any], tmp_path: Path, opened: list[System]
) -> None:
    """threat 40."""
    system = _asks(home=tmp_path)
    opened.append(system)
    waiting = await _waiting(system)
    [review] = waiting.reviews
    signed = (await system.answering("t", waiting.reviews, answers(waiting, "approve"), reviewer=ANA))[review.id]
    assert signed.signature is not None
    fields = {"reason": signed.reason, "signature": signed.signature.model_dump(exclude={"reviewer"})} | changed
    _forged(system, waiting.run, **fields)
    result = await system.aresume("t")
    assert result.status == "waiting"
    assert not done


async def test_an_approval_is_single_use_and_resuming_an_older_checkpoint_does_nothing_again() -> None:
    """threats 28 and 34."""
    system = _asks()
    waiting = await _waiting(system)
    graph: Any = await system._running()
    old = (await graph.aget_state(ON)).config
    signed = (await system.answering("t", waiting.reviews, answers(waiting, "approve"), reviewer=ANA)).popitem()[1]
    await system.aresume("t", answers(waiting, "approve"), reviewer=ANA)
    assert done == [("a", 500)]
    with pytest.raises(ReviewInvalid, match="not open"):
        await system.aresume("t", answers(waiting, "approve"), reviewer=ANA)
    for config in (old, ON):
        await graph.ainvoke(Command(resume=signed.model_dump(mode="json")), config)
    assert done == [("a", 500)]


async def test_a_signed_answer_covers_no_other_call_of_the_run() -> None:
    """threat 28: the same arguments, asked for again."""

    async def function(_: dict[str, Any]) -> dict[str, str]:
        await pay.ainvoke(BIG)
        await pay.ainvoke(BIG)
        return {"text": "twice"}

    system = with_code(function, pay, policy=PERMIT_ALL + LARGE, environment="production")
    first = await _waiting(system)
    signed = (await system.answering("t", first.reviews, answers(first, "approve"), reviewer=ANA)).popitem()[1]
    graph: Any = await system._running()
    for _ in range(3):
        await graph.ainvoke(Command(resume=signed.model_dump(mode="json")), ON)
    assert done == [("a", 500)]
    second = await system.aresume("t")
    assert second.reviews[0].id != first.reviews[0].id


# -- time -------------------------------------------------------------------------------------------------------------


async def test_an_answer_after_the_review_expired_is_refused_and_the_call_is_denied(clock: Clock) -> None:
    """threats 28 and 38."""
    system = _asks(review_seconds=60)
    waiting = await _waiting(system)
    [review] = waiting.reviews
    assert (review.asked, review.expires) == (clock.time, clock.time + 60)
    assert [(a.asked, a.expires) for a in of_kind(system, waiting.run, ReviewAsked)] == [(review.asked, review.expires)]
    clock.time += 61
    with pytest.raises(ReviewExpired, match="until 20"):
        await system.aresume("t", answers(waiting, "approve"), reviewer=ANA)
    result = await system.aresume("t")
    assert result.status == "completed"
    assert "review.expired" in str(result.output)
    assert verdicts(system, result.run)[-1] == ("deny", ["review.expired"])
    assert [a.decision for a in of_kind(system, result.run, ReviewAnswered)] == ["expired"]
    assert not done


async def test_an_answer_in_time_counts_although_it_arrives_a_moment_late(clock: Clock) -> None:
    system = _asks(review_seconds=60)
    waiting = await _waiting(system)
    signed = (await system.answering("t", waiting.reviews, answers(waiting, "approve"), reviewer=ANA)).popitem()[1]
    clock.time += 61
    graph: Any = await system._running()
    await graph.ainvoke(Command(resume=signed.model_dump(mode="json")), ON)
    assert done == [("a", 500)]


async def test_an_expiry_that_was_moved_on_record_lets_no_answer_count(clock: Clock) -> None:
    """threat 40."""
    system = _asks(review_seconds=60)
    waiting = await _waiting(system)
    run = await system._runs.attach(waiting.run)
    [asked] = of_kind(system, waiting.run, ReviewAsked)
    run.journal[f"asked:{asked.review}"] = replace(asked, expires=asked.expires + 1_000_000)
    graph: Any = await system._running()
    signed = (await system.answering("t", waiting.reviews, answers(waiting, "approve"), reviewer=ANA)).popitem()[1]
    await graph.ainvoke(Command(resume=signed.model_dump(mode="json")), ON)
    assert not done


async def test_an_approval_that_is_too_old_when_the_call_would_run_is_asked_again(
    clock: Clock, tmp_path: Path, opened: list[System]
) -> None:
    """threat 28."""
    system = _asks(home=tmp_path, policy=TWO_RULES)
    opened.append(system)
    waiting = await _waiting(system)
    second = await system.aresume("t", answers(waiting, "approve"), reviewer=ANA)
    assert [r.id for r in second.reviews[0].rules] == ["law"]
    clock.time += 16 * 60
    third = await system.aresume("t", answers(second, "approve"), reviewer=LEO)
    assert not done
    assert [r.id for r in third.reviews[0].rules] == ["large"]
    assert [(a.id, a.by) for a in third.reviews[0].approved] == [("law", ("leo",))]
    await system.aresume("t", answers(third, "approve"), reviewer=BEN)
    assert done == [("a", 500)]


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf"), True, "60", 366 * 24 * 3600 + 1, 1e18, 10**400])
def test_a_time_that_is_none_is_refused(seconds: Any) -> None:
    for name in ("review_seconds", "approval_seconds"):
        with pytest.raises(TopologyInvalid, match=name):
            _asks(**{name: seconds})


# -- roles ------------------------------------------------------------------------------------------------------------


async def test_where_several_rules_ask_the_call_runs_when_all_are_covered() -> None:
    system = _asks(policy=TWO_RULES)
    first = await _waiting(system)
    assert [r.id for r in first.reviews[0].rules] == ["large", "law"]
    second = await system.aresume("t", answers(first, "approve"), reviewer=LEO)
    [review] = second.reviews
    assert not done
    assert [r.id for r in review.rules] == ["large"]
    assert [(a.id, a.by) for a in review.approved] == [("law", ("leo",))]
    with pytest.raises(ReviewerRefused, match="finance"):
        await system.aresume("t", answers(second, "approve"), reviewer=LEO)
    result = await system.aresume("t", answers(second, "approve"), reviewer=ANA)
    assert result.status == "completed"
    assert done == [("a", 500)]
    assert [v for v, _ in verdicts(system, result.run)] == ["ask", "allow"]


async def test_one_person_with_both_roles_covers_both_rules_at_once() -> None:
    system = _asks(policy=TWO_RULES)
    first = await _waiting(system)
    assert (await system.aresume("t", answers(first, "approve"), reviewer=BOTH)).status == "completed"
    assert done == [("a", 500)]


async def test_a_no_by_any_of_them_is_final() -> None:
    system = _asks(policy=TWO_RULES)
    first = await _waiting(system)
    second = await system.aresume("t", answers(first, "approve"), reviewer=ANA)
    result = await system.aresume("t", answers(second, "reject"), reviewer=LEO)
    assert result.output == {"text": "Rejected by reviewer: a test says so"}
    assert not done


@pytest.mark.parametrize("spelling", ["ana", "ANA", "an a", "\uff41na", "\u0430n\u0430"])
async def test_whoever_started_the_run_cannot_approve_it_in_any_spelling(spelling: str) -> None:
    """threat 29."""
    system = _asks(policy=PERMIT_ALL + _noted(LARGE, '@separation("on")'))
    waiting = await _waiting(system, by=ANA)
    assert (waiting.reviews[0].started_by, waiting.reviews[0].rules[0].separation) == ("ana", True)
    same = Reviewer(spelling, frozenset({"finance"}))
    with pytest.raises(ReviewerRefused, match="started the run"):
        await system.aresume("t", answers(waiting, "approve"), reviewer=same)
    edit = answers(waiting, "edit", arguments={"account": "a", "cents": 1})
    with pytest.raises(ReviewerRefused):
        await system.aresume("t", edit, reviewer=same)
    await system.aresume("t", answers(waiting, "approve"), reviewer=BEN)
    assert done == [("a", 500)]


async def test_where_nobody_knows_who_started_a_run_nobody_is_told_apart_from_them() -> None:
    system = _asks(policy=PERMIT_ALL + _noted(LARGE, '@separation("on")'))
    waiting = await _waiting(system)
    with pytest.raises(ReviewerRefused, match="nobody knows who started"):
        await system.aresume("t", answers(waiting, "approve"), reviewer=ANA)
    assert not done


async def test_the_local_operator_does_not_approve_an_own_run_either() -> None:
    policy = PERMIT_ALL + _noted(LARGE, '@separation("on")')
    system = with_model(plays([Call("pay", BIG)]), pay, policy=policy)
    waiting = await _waiting(system)
    with pytest.raises(ReviewerRefused, match="local operator"):
        await system.aresume("t", answers(waiting, "approve"))
    graph: Any = await system._running()
    await graph.ainvoke(Command(resume=YES), ON)
    assert not done
    await system.aresume("t", answers(waiting, "approve"), reviewer=ANA)
    assert done == [("a", 500)]


async def test_a_run_whose_starter_was_changed_on_record_goes_on_nowhere(tmp_path: Path) -> None:
    """threat 40: whoever started a run makes themselves somebody else."""
    policy = PERMIT_ALL + _noted(LARGE, '@separation("on")')
    system = _asks(policy=policy, home=tmp_path)
    waiting = await _waiting(system, by=ANA)
    system.close()
    conn = sqlite3.connect(tmp_path / "edgewright.db")
    for (trigger,) in conn.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
        conn.execute(f'DROP TRIGGER "{trigger}"')
    before, after_ = '"started_by":"ana"', '"started_by":"eva"'
    changed = conn.execute(
        "UPDATE records SET body = CAST(replace(CAST(body AS TEXT), ?, ?) AS BLOB) WHERE body LIKE ?",
        (before, after_, f"%{before}%"),
    )
    assert changed.rowcount == 1
    conn.commit()
    conn.close()
    after = _asks(policy=policy, home=tmp_path)
    with pytest.raises(LedgerCorrupt):
        await after.aresume("t", answers(waiting, "approve"), reviewer=ANA)
    after.close()
    assert not done


async def test_where_two_persons_must_approve_one_does_not_count_twice() -> None:
    system = _asks(policy=PERMIT_ALL + _noted(LARGE, '@approvals("2")'))
    first = await _waiting(system)
    second = await system.aresume("t", answers(first, "approve"), reviewer=ANA)
    assert not done
    assert [(a.id, a.by) for a in second.reviews[0].approved] == [("large", ("ana",))]
    for same in (ANA, Reviewer("Ana", frozenset({"finance"}))):
        with pytest.raises(ReviewerRefused, match="another one's"):
            await system.aresume("t", answers(second, "approve"), reviewer=same)
    await system.aresume("t", answers(second, "approve"), reviewer=BEN)
    assert done == [("a", 500)]


# -- edits, and a no that is remembered -------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [{"account": "b", "cents": "7"}, {"account": "b"}, {}, {"x": 1}])
async def test_an_edit_that_does_not_fit_the_tool_does_not_spend_the_review(arguments: dict[str, Any]) -> None:
    system = _asks()
    waiting = await _waiting(system)
    with pytest.raises(ReviewInvalid, match=r"cents|account|x"):
        await system.aresume("t", answers(waiting, "edit", arguments=arguments), reviewer=ANA)
    assert (await system.aresume("t")).reviews == waiting.reviews
    assert not of_kind(system, waiting.run, ReviewAnswered)
    await system.aresume("t", answers(waiting, "edit", arguments={"account": "b", "cents": 7}), reviewer=ANA)
    assert done == [("b", 7)]


async def test_an_unfit_edit_given_to_langgraph_itself_is_asked_again_with_its_faults() -> None:
    system = with_model(plays([Call("pay", BIG)]), pay, policy=PERMIT_ALL + LARGE)
    waiting = await _waiting(system)
    graph: Any = await system._running()
    edit = {"decision": "edit", "reason": "less", "arguments": {"account": "b", "cents": "7"}}
    await graph.ainvoke(Command(resume=edit), ON)
    again = await system.aresume("t")
    assert [r.id for r in again.reviews] == [r.id for r in waiting.reviews]
    assert "cents" in again.reviews[0].faults[0]
    assert not of_kind(system, waiting.run, ReviewAnswered)
    await system.aresume("t", answers(again, "approve"))
    assert done == [("a", 500)]


async def test_what_a_person_said_no_to_is_not_asked_again_in_the_run() -> None:
    """threat 37."""
    system = _asks([Call("pay", BIG)], [Call("pay", BIG)], [Call("pay", {**BIG, "cents": 501})])
    waiting = await _waiting(system)
    second = await system.aresume("t", answers(waiting, "reject"), reviewer=ANA)
    assert [r.arguments["cents"] for r in second.reviews] == [501]  # another call is another question
    assert ("deny", ["review.rejected_before"]) in verdicts(system, waiting.run)
    await system.aresume("t", answers(second, "reject"), reviewer=ANA)
    assert not done
    other = await system.arun({"text": "go"}, thread="other")
    assert other.status == "waiting"  # another run may ask


async def test_a_flood_of_questions_stops_the_run() -> None:
    """threat 37."""
    calls = [Call("pay", {"account": "a", "cents": 200 + n}) for n in range(4)]
    system = _asks(calls, budget=Budget(asks=3))
    with pytest.raises(BudgetExceeded, match="asks"):
        await _waiting(system)
    assert len(of_kind(system, only_run(system), ReviewAsked)) <= 3
    assert not done


async def test_a_flood_of_questions_over_many_runs_stops_them_too(tmp_path: Path) -> None:
    """threat 37: another run, or another agent, has no questions left either."""
    system = _asks(budget=Budget(asks_per_hour=2), home=tmp_path)
    for thread in ("one", "two"):
        assert (await system.arun({"text": "go"}, thread=thread)).status == "waiting"
    with pytest.raises(BudgetExceeded, match="asks per hour"):
        await system.arun({"text": "go"}, thread="three")
    [run] = [r for r in system.ledger.runs() if r.thread == "three"]
    assert run.status == "out_of_budget"
    assert of_kind(system, run.run, ReviewAsked) == []
    assert not done
    system.close()


# -- what is shown ----------------------------------------------------------------------------------------------------


async def test_a_request_tells_all_that_decides() -> None:
    """threat 36."""
    system = _asks()
    [review] = (await _waiting(system, by=LEO)).reviews
    assert (review.effect, review.sink, review.started_by) == ("write", True, "leo")
    assert review.description == digest_text("Pay into an account.")
    assert set(review.provenance) == {"account", "cents"}
    assert review.expires - review.asked == 24 * 3600


# -- at once ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wait", [None, 20])
async def test_of_two_approvers_at_once_one_decides_and_the_call_runs_at_most_once(wait: float | None) -> None:
    """threat 32: approve and deny, double click, network retry."""
    for others in ("approve", "reject"):
        done.clear()
        system = _asks(wait=wait)
        waiting = await _waiting(system)
        said = [("approve", ANA), (others, BEN), ("approve", ANA)]
        work = [system.aresume("t", answers(waiting, d), reviewer=r) for d, r in said]
        results = await asyncio.gather(*work, return_exceptions=True)
        assert sum(isinstance(r, RunResult) for r in results) == 1
        assert all(isinstance(r, RunResult | ThreadBusy | ReviewInvalid) for r in results)
        [answered] = of_kind(system, waiting.run, ReviewAnswered)
        assert len(done) == len(of_kind(system, waiting.run, EffectIntended)) == (answered.decision == "approve")


async def test_parallel_asks_take_only_the_answer_that_names_them() -> None:
    """threat 33: ids swapped."""
    calls = [Call("pay", {"account": name, "cents": 200}) for name in "ab"]
    system = _asks(calls)
    waiting = await _waiting(system)
    a, b = sorted(waiting.reviews, key=lambda r: str(r.arguments["account"]))
    signed = await system.answering("t", waiting.reviews, answers(waiting, "approve"), reviewer=ANA)
    graph: Any = await system._running()
    swapped = {waiting.interrupts[a.id]: signed[b.id].model_dump(mode="json")}
    await graph.ainvoke(Command(resume=swapped), ON)
    assert not done
    renamed = signed[b.id].model_copy(update={"review": a.id}).model_dump(mode="json")
    now = await system.aresume("t")
    await graph.ainvoke(Command(resume={now.interrupts[a.id]: renamed}), ON)
    assert not done
    only = {a.id: answers(waiting, "approve")[a.id]}
    await system.aresume("t", only, reviewer=ANA)
    assert done == [("a", 200)]
    assert [j.at for j in of_kind(system, waiting.run, CallJudged) if j.verdict == "allow"]

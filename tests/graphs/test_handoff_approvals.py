"""A person who mends a handoff is known as one who approves a call is; and answers are signed where their run is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from edgewright import (
    Agent,
    Budget,
    Call,
    Contract,
    OfflineModel,
    OnViolation,
    Pipeline,
    System,
    contract_edge,
)
from edgewright.contracts.errors import BudgetExceeded, ContractViolation, ReviewerRefused, ReviewExpired
from edgewright.contracts.review import ReviewAnswer, Reviewer
from edgewright.ledger.entry import Draft
from edgewright.ledger.records import ReviewAnswered, ReviewAsked, RunEnded
from edgewright.tools import signing
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command
from pydantic import BaseModel
from support.payments import BIG, LARGE, done, fresh, pay
from support.systems import ANSWER, PERMIT_ALL, QUESTION, answers, of_kind, plays, with_code, with_model
from typing_extensions import TypedDict

__all__ = ["fresh"]  # a fixture
ON: Any = {"configurable": {"thread_id": "t"}}
LEAD, CLERK = Reviewer("lea", frozenset({"lead"})), Reviewer("carl", frozenset({"clerk"}))
MENDED = {"text": "mended"}
received: list[Any] = []


def _takes(inbox: dict[str, Any]) -> dict[str, str]:
    received.append(inbox)
    return {"text": inbox["text"]}


def _line(**options: Any) -> System:
    received.clear()
    bad = OfflineModel("bad", lambda turn: [Call("handoff_to_second", {"text": "x", "stray": 1})])
    stages = [Agent("first", version=1, prompt="Work.", model=bad), Agent("second", version=1, function=_takes)]
    rule = OnViolation(repair=0, then="review", role="lead")
    topology = Pipeline(stages=stages, contracts=[QUESTION, QUESTION, ANSWER], on_violation=rule)
    return System("line", version=1, topology=topology, environment="production", **options)


async def test_a_handoff_is_mended_by_a_person_with_the_role_that_its_edge_names() -> None:
    """threat 29."""
    system = _line()
    waiting = await system.arun({"text": "go"}, thread="t", by=CLERK)
    assert waiting.reviews[0].started_by == "carl"
    edit = answers(waiting, "edit", arguments=MENDED)
    for reviewer in (None, CLERK):
        with pytest.raises(ReviewerRefused):
            await system.aresume("t", edit, reviewer=reviewer)
    graph: Any = await system._running()
    await graph.ainvoke(Command(resume={"decision": "edit", "reason": "fine", "arguments": MENDED}), ON)
    assert (await system.aresume("t")).reviews == waiting.reviews
    assert not received
    result = await system.aresume("t", edit, reviewer=LEAD)
    assert result.output == MENDED
    assert [a.reviewer for a in of_kind(system, result.run, ReviewAnswered)] == ["lea"]


async def test_a_forged_mending_passes_nothing() -> None:
    """threat 40."""
    system = _line()
    waiting = await system.arun({"text": "go"}, thread="t")
    [asked] = of_kind(system, waiting.run, ReviewAsked)
    run = await system._runs.attach(waiting.run)
    body = run.knows.kept({"text": "forged"})
    fields: dict[str, Any] = {"decision": "edit", "reason": "fine", "reviewer": "lea", "arguments": body.ref}
    record = ReviewAnswered(review=asked.review, at=asked.at, **fields)
    await run.write(Draft(record=record, key=f"answered:{asked.review}", payloads=(body,)))
    with pytest.raises(ContractViolation):
        await system.aresume("t", answers(waiting, "edit", arguments=MENDED), reviewer=LEAD)
    assert not received


async def test_a_handoff_that_nobody_mended_in_time_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """threat 38."""
    system = _line(review_seconds=60)
    waiting = await system.arun({"text": "go"}, thread="t")
    monkeypatch.setattr(signing, "now", lambda: waiting.reviews[0].expires + 1)
    with pytest.raises(ReviewExpired):
        await system.aresume("t", answers(waiting, "edit", arguments=MENDED), reviewer=LEAD)
    with pytest.raises(ContractViolation):
        await system.aresume("t")
    assert [a.decision for a in of_kind(system, waiting.run, ReviewAnswered)] == ["expired"]
    assert [e.status for e in of_kind(system, waiting.run, RunEnded)] == ["failed"]
    assert not received


async def test_an_answer_to_a_graph_inside_another_is_signed_where_its_run_is() -> None:
    """threat 29."""
    finance = Reviewer("ana", frozenset({"finance"}))
    inner = with_model(plays([Call("pay", BIG)]), pay, policy=PERMIT_ALL + LARGE, environment="production")

    async def function(payload: dict[str, Any]) -> dict[str, str]:
        out = await inner.graph.ainvoke({"request": {"text": payload["text"]}})
        return {"text": str(out["response"]["text"])}

    outer = with_code(function, name="outer", environment="production")
    waiting = await outer.arun({"text": "go"}, thread="t")
    assert waiting.reviews[0].run != outer.ledger.runs()[0].run
    with pytest.raises(ReviewerRefused):
        await outer.aresume("t", answers(waiting, "approve"), reviewer=LEAD)
    result = await outer.aresume("t", answers(waiting, "approve"), reviewer=finance)
    assert result.status == "completed"
    assert done == [("a", 500)]


class Note(BaseModel):
    text: str


class Notes(TypedDict, total=False):
    text: Any


@pytest.mark.parametrize("environment", ["development", "production"])
async def test_a_hand_made_graph_takes_answers_without_a_name_in_development_only(environment: str) -> None:
    """threat 29."""
    received.clear()
    graph: StateGraph[Any, Any, Any, Any] = StateGraph(Notes)
    graph.add_node("a", lambda _: {"text": 7})
    graph.add_node("b", lambda state: received.append(state["text"]))
    graph.add_edge(START, "a")
    graph.add_edge("b", END)
    rule = OnViolation(repair=0, then="review", role="lead")
    contract_edge(graph, "a", "b", Contract(Note, version=1), on_violation=rule, environment=environment)
    compiled: Any = graph.compile(checkpointer=InMemorySaver())
    out = await compiled.ainvoke({"text": "go"}, ON)
    answer = {"decision": "edit", "reason": "fine", "arguments": MENDED}
    again = await compiled.ainvoke(Command(resume=answer), ON)
    if environment == "development":
        assert received == ["mended"]
        return
    assert [i.value["id"] for i in again["__interrupt__"]] == [i.value["id"] for i in out["__interrupt__"]]
    assert not received
    said = {out["__interrupt__"][0].value["id"]: ReviewAnswer.model_validate(answer)}
    for reviewer in (None, CLERK):
        with pytest.raises(ReviewerRefused):
            await compiled.answering(ON, said, reviewer=reviewer)
    await compiled.ainvoke(Command(resume=await compiled.answering(ON, said, reviewer=LEAD)), ON)
    assert received == ["mended"]


async def test_a_question_about_a_handoff_counts_as_one_in_this_process_and_in_the_next(tmp_path: Path) -> None:
    """threat 37: it is a question to a person like any other."""
    for again in (False, True):
        system = _line(home=tmp_path / str(again))
        waiting = await system.arun({"text": "go"}, thread="t", by=CLERK)
        if again:
            system.close()
            system = _line(home=tmp_path / str(again))
        result = await system.aresume("t", answers(waiting, "edit", arguments=MENDED), reviewer=LEAD)
        [ended] = of_kind(system, result.run, RunEnded)
        assert ended.spent["asks"] == 1
        system.close()
    with pytest.raises(BudgetExceeded, match="asks"):
        await _line(budget=Budget(asks=0)).arun({"text": "go"}, thread="t", by=CLERK)

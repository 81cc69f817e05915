"""Three calls in one message, asked about apart and answered apart: in any order, by anybody, with restarts between."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any

from edgewright import Call, RunResult, System
from edgewright.contracts.errors import ReviewInvalid
from edgewright.contracts.review import Reviewer
from edgewright.ledger.records import CallJudged, EffectDone, ReviewAnswered, ReviewAsked
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langgraph.errors import GraphBubbleUp
from langgraph.types import Command
from support.payments import LARGE, done, fresh, pay
from support.systems import PERMIT_ALL, answers, asking, of_kind, plays, with_code, with_model

__all__ = ["fresh"]  # a fixture
ON: Any = {"configurable": {"thread_id": "t"}}
PEOPLE = {
    "ana": Reviewer("ana", frozenset({"finance"})),
    "leo": Reviewer("leo", frozenset({"legal"})),
    "bo": Reviewer("bo", frozenset({"finance", "legal"})),
}
RULES = PERMIT_ALL + LARGE + asking("pay", 'context.args.account == "c"', rule="law", approver="legal")
CALLS = [Call("pay", {"account": name, "cents": 200}) for name in "abc"]
steps = st.lists(
    st.tuples(
        st.sampled_from("abc"),
        st.sampled_from(["approve", "approve", "reject"]),
        st.sampled_from(sorted(PEOPLE)),
        st.booleans(),
    ),
    max_size=10,
)


def _house(home: Path, *, function: bool) -> System:
    options: dict[str, Any] = {"policy": RULES, "home": home, "environment": "production"}
    if not function:
        return with_model(plays(CALLS), pay, **options)

    async def work(_: dict[str, Any]) -> dict[str, str]:
        found = await asyncio.gather(*(pay.ainvoke(dict(c.arguments)) for c in CALLS), return_exceptions=True)
        for each in found:
            if isinstance(each, GraphBubbleUp):
                raise each
        return {"text": str(len(found))}

    return with_code(work, pay, **options)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(said=steps)
def test_whatever_the_order_each_answer_decides_its_own_call_once(said: list[tuple[str, str, str, bool]]) -> None:
    """threats 32, 33 and 35."""
    done.clear()
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(_played(Path(folder), said))


async def _played(home: Path, said: list[tuple[str, str, str, bool]]) -> None:
    system = _house(home, function=False)
    result = await system.arun({"text": "go"}, thread="t")
    assert sorted(r.arguments["account"] for r in result.reviews) == ["a", "b", "c"]
    decided: dict[str, str] = {}
    approvals: dict[str, set[str]] = {name: set() for name in "abc"}
    for account, decision, who, restart in said:
        if restart:
            system.close()
            system = _house(home, function=False)
        open_ = {r.arguments["account"]: r for r in result.reviews}
        if account not in open_:
            continue
        review, reviewer = open_[account], PEOPLE[who]
        mine = {r.id for r in review.rules if r.approver in reviewer.roles}
        given_ = {review.id: answers(result, decision)[review.id]}
        try:
            result = await system.aresume("t", given_, reviewer=reviewer)
        except ReviewInvalid:
            assert not mine
            continue
        assert mine
        if decision == "reject":
            decided[account] = "reject"
        else:
            approvals[account] |= mine
            if approvals[account] >= ({"large", "law"} if account == "c" else {"large"}):
                decided[account] = "approve"
        assert sorted(done) == sorted((a, 200) for a, d in decided.items() if d == "approve")
    while result.status == "waiting":  # the rest, to its end
        result = await system.aresume("t", answers(result, "reject"), reviewer=PEOPLE["bo"])
    assert sorted(done) == sorted((a, 200) for a, d in decided.items() if d == "approve")
    run = result.run
    assert len(of_kind(system, run, EffectDone)) == len(done)
    asked = of_kind(system, run, ReviewAsked)
    assert len({q.review for q in asked}) == len(asked) == len(of_kind(system, run, ReviewAnswered))
    allowed = [j.at for j in of_kind(system, run, CallJudged) if j.verdict == "allow"]
    assert len(allowed) == len(set(allowed)) == len(done)
    system.close()


async def test_calls_that_a_function_makes_at_once_are_each_done_once(tmp_path: Path) -> None:
    """threat 33: a node that asks several times gets its answers by their order; they count by what they answer."""
    system = _house(tmp_path, function=True)
    result: RunResult = await system.arun({"text": "go"}, thread="t")
    for _ in range(8):
        if result.status != "waiting":
            break
        result = await system.aresume("t", answers(result, "approve"), reviewer=PEOPLE["bo"])
    assert result.status == "completed"
    assert sorted(done) == [("a", 200), ("b", 200), ("c", 200)]
    system.close()


async def test_all_of_them_answered_at_once_are_each_done_once(tmp_path: Path) -> None:
    system = _house(tmp_path, function=False)
    result = await system.arun({"text": "go"}, thread="t")
    result = await system.aresume("t", answers(result, "approve"), reviewer=PEOPLE["bo"])
    assert result.status == "completed"
    assert sorted(done) == [("a", 200), ("b", 200), ("c", 200)]
    graph: Any = await system._running()
    await graph.ainvoke(Command(resume={"decision": "approve", "reason": "again"}), ON)
    assert len(done) == 3
    system.close()

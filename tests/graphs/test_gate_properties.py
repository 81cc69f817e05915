"""Random graphs round the gate: one question per ask, one final verdict and one outcome per effect, and each once."""

from __future__ import annotations

import asyncio
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from edgewright import ReviewAnswer
from edgewright.ledger.records import CallJudged, EffectDone, EffectIntended, ReviewAnswered, ReviewAsked, RunEnded
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.random_graphs import HOSTS, SHAPES, Hosted, Kind, Plan, done, failures, plans
from support.systems import of_kind, only_run

Say = tuple[str, int, bool]
"""What a person says, to which of the open questions, and whether all is closed and opened again before that."""
WORDS = ["approve", "approve", "reject", "edit", "edit more", "look"]
says = st.lists(st.tuples(st.sampled_from(WORDS), st.integers(0, 2), st.booleans()), max_size=8)


def _answer(said: str, part: str, cents: int) -> ReviewAnswer:
    edited = {"edit": 7, "edit more": cents + 1}.get(said)
    arguments = {"part": part, "cents": edited} if edited else None
    decision: Any = "edit" if edited else said
    return ReviewAnswer(decision=decision, reason="a test says so", arguments=arguments)


async def played(plan: Plan, said: list[Say], *, flaky: int = 0) -> None:
    """Play a plan to its end, and hold its records against what happened."""
    done.clear()
    failures[:] = [1] * flaky
    expected = {(c["part"], c["cents"]) for c, kind in zip(plan.calls, plan.kinds, strict=True) if kind == "free"}
    questions, edits = Counter(c["part"] for c in plan.calls if c["cents"] > 100), Counter[str]()
    left = list(said)
    with tempfile.TemporaryDirectory() as folder:
        hosted = Hosted(plan, Path(folder))
        open_ = await hosted.begin()
        for _ in range(24):
            if not open_:
                break
            what, which, restart = left.pop(0) if left else ("reject", 0, False)
            if restart:
                hosted.restart()
            review = open_[which % len(open_)]
            part, cents = review.arguments["part"], review.arguments["cents"]
            if what == "look" or ("edit" in what and edits[part] == 2):
                assert {r.id for r in await hosted.go_on()} == {r.id for r in open_}
                continue
            open_ = await hosted.go_on({review.id: _answer(what, part, cents)})
            if what == "approve":
                expected.add((part, cents))
            elif what == "edit":
                expected.add((part, 7))
            elif what == "edit more":
                questions[part] += 1
            edits[part] += "edit" in what
            assert set(done) <= expected
        assert not open_
        _hold(hosted, expected, questions)
        hosted.close()


def _hold(hosted: Hosted, expected: set[tuple[str, int]], questions: Counter[str]) -> None:
    system, run = hosted.system, only_run(hosted.system)
    assert [e.status for e in of_kind(system, run, RunEnded)][-1] == "completed"
    assert sorted(done) == sorted(expected)
    intended = [r.effect for r in of_kind(system, run, EffectIntended)]
    outcomes = [r.effect for r in of_kind(system, run, EffectDone)]
    assert len(set(intended)) == len(intended) == len(done)
    assert sorted(outcomes) == sorted(intended)
    judged = of_kind(system, run, CallJudged)
    assert sorted(j.at for j in judged if j.verdict == "allow") == sorted(intended)
    final = {j.at: j.verdict for j in judged}
    assert {at for at, verdict in final.items() if verdict == "allow"} == set(intended)
    denied = [j.at for j in judged if j.verdict == "deny"]
    assert len(denied) == len(set(denied)) == hosted.plan.kinds.count("denied")
    asked, answered = of_kind(system, run, ReviewAsked), of_kind(system, run, ReviewAnswered)
    assert len({q.review for q in asked}) == len(asked) == questions.total()
    assert sorted(a.review for a in answered) == sorted(q.review for q in asked)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(plans(), says, st.integers(0, 2))
def test_whatever_the_graph_and_the_answers_each_call_is_asked_judged_and_done_once(
    plan: Plan, said: list[Say], flaky: int
) -> None:
    """Threats 5, 33 and 35: the audit counts what happened, and it happened once."""
    asyncio.run(played(plan, said, flaky=flaky))


def _three(kind: Kind, shape: str, host: str) -> Plan:
    return Plan(shape=shape, host=host, kinds=(kind,) * 3)


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("shape", SHAPES)
async def test_each_shape_does_three_free_calls_once_and_three_denied_ones_never(shape: str, host: str) -> None:
    await played(_three("free", shape, host), [])
    if shape != "threads":
        await played(_three("denied", shape, host), [])


@pytest.mark.parametrize("decision", ["approve", "reject"])
@pytest.mark.parametrize("shape", ["one message", "model branches"])
async def test_an_agent_made_by_create_agent_does_three_calls_of_one_message_as_each_is_answered(
    shape: str, decision: str
) -> None:
    said = [(decision, 2, True), ("look", 0, False), (decision, 1, False), (decision, 0, True)]
    await played(_three("asked", shape, "alone"), said)


@pytest.mark.parametrize("decision", ["approve", "reject"])
@pytest.mark.parametrize("host", HOSTS)
async def test_a_hand_made_tool_node_asks_for_its_three_calls_one_after_another_and_does_each_at_most_once(
    host: str, decision: str
) -> None:
    """`ToolNode` leaves its other calls alone when one asks: what was under way then may be asked about as unknown."""
    done.clear()
    with tempfile.TemporaryDirectory() as folder:
        hosted = Hosted(_three("asked", "tool node", host), Path(folder))
        open_ = await hosted.begin()
        for _ in range(24):
            if not open_:
                break
            [review] = open_
            said = decision if review.kind == "call" else "reject"
            open_ = await hosted.go_on({review.id: _answer(said, "", 0)})
        assert not open_
        run = only_run(hosted.system)
        assert len(set(done)) == len(done)
        assert bool(done) == (decision == "approve")
        intended = [r.effect for r in of_kind(hosted.system, run, EffectIntended)]
        assert len(set(intended)) == len(intended) >= len(done)
        asked = [q.review for q in of_kind(hosted.system, run, ReviewAsked)]
        assert len(asked) == len(set(asked))
        hosted.close()


async def test_a_tool_node_does_three_calls_that_nobody_is_asked_about_once() -> None:
    for host in HOSTS:
        await played(_three("free", "tool node", host), [])
        await played(_three("denied", "tool node", host), [])

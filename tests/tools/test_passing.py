"""Failures that pass: what a run tries again that failed and is gone on with, and what stays as it was."""

from __future__ import annotations

from typing import Any

import pytest
from edgewright import tool
from edgewright.ledger.records import (
    AgentFailed,
    CallJudged,
    EffectDone,
    EffectFailed,
    EffectRefused,
    Record,
    ReplyKept,
    RunEnded,
)
from edgewright.tools.passing import Passing, first_key, tried
from hypothesis import given
from hypothesis import strategies as st
from support.systems import of_kind, only_run, with_code

AT, OTHER = "worker.2#c0", "helper.2#c0"


def read_failed(at: str = AT) -> EffectFailed:
    return EffectFailed(effect=at, tool="look", error="away", unknown=False)


def not_called(at: str = AT) -> EffectRefused:
    return EffectRefused(effect=at, tool="pay", reason="its breaker is open", passing=True)


def failed(at: str = "worker.2") -> AgentFailed:
    return AgentFailed(at=at, agent="worker", error="ToolFailed", cause="x", why="y", reason="z", then="ask")


def again(*records: Record) -> list[str]:
    passing = Passing()
    return [at for record in records for at in passing.know(record)]


ENDED = RunEnded(status="failed")


def judged(at: str) -> CallJudged:
    said = {"verdict": "allow", "rules": [], "reasons": [], "policy_digest": ""}
    return CallJudged(at=at, agent="worker", tool="pay", tool_digest="", arguments="a", **said)  # type: ignore[arg-type]


CALLED = judged("worker.2#c1")
ASKED = ReplyKept(at="worker.2/model.3#r0", agent="worker", reply="r", calls=[])


@pytest.mark.parametrize("fault", [read_failed(), not_called()])
@pytest.mark.parametrize("end", [ENDED, RunEnded(status="out_of_budget"), RunEnded(status="cancelled"), failed()])
def test_what_a_failed_turn_ended_with_is_tried_again(fault: Record, end: Record) -> None:
    assert again(fault, end) == [AT]


@pytest.mark.parametrize("follows", [CALLED, ASKED])
def test_what_something_followed_in_its_turn_stays_as_it_was(follows: Record) -> None:
    assert again(read_failed(), follows, ENDED) == []


def test_what_follows_in_another_turn_changes_nothing() -> None:
    assert again(read_failed(), judged(OTHER), ENDED) == [AT]


def test_a_call_that_was_made_side_by_side_with_the_one_that_failed_is_not_what_followed() -> None:
    assert again(judged("worker.2#c1"), read_failed(), ENDED) == [AT]
    assert again(judged("worker.2#c1"), read_failed(), judged("worker.2#c1"), ENDED) == [AT]


def test_a_completed_run_tries_nothing_again() -> None:
    assert again(read_failed(), RunEnded(status="completed")) == []


def test_the_failure_of_one_turn_tries_nothing_of_another_again() -> None:
    assert again(read_failed(), read_failed(OTHER), failed()) == [AT]


def test_a_refusal_of_the_tool_itself_and_an_unknown_outcome_are_never_tried_again_by_this() -> None:
    business = EffectRefused(effect=AT, tool="pay", reason="no such account")
    unknown = EffectFailed(effect=AT, tool="pay", error="cut off", unknown=True)
    done = EffectDone(effect=AT, tool="pay", changes_world=True, outcome="o", seconds=0.1)
    assert again(business, unknown, done, ENDED) == []


@given(st.text(), st.integers(0, 99))
def test_a_key_of_a_further_try_leads_back_to_the_first(key: str, tries: int) -> None:
    assert first_key(tried(key, tries)) == (first_key(key) if tries == 0 else key)


async def test_a_read_that_failed_is_read_again_when_its_run_is_gone_on_with() -> None:
    away, paid = [True], list[int]()

    @tool(effect="read", output="trusted", sink=False, retry="off", breaker="off")
    def balance(account: str) -> int:
        """Look the balance up."""
        if away[0]:
            raise ConnectionError("away")
        return 7

    @tool(effect="write", idempotency="key")
    def pay(cents: int) -> str:
        """Pay."""
        paid.append(cents)
        return "paid"

    async def work(_: dict[str, Any]) -> dict[str, str]:
        await pay.ainvoke({"cents": 1})
        found = await balance.ainvoke({"account": "a"})
        await pay.ainvoke({"cents": int(found)})
        return {"text": "done"}

    system = with_code(work, balance, pay)
    with pytest.raises(Exception, match="away"):
        await system.arun({"text": "x"}, thread="t")
    away[0] = False
    found = await system.aresume("t")
    assert (found.status, paid) == ("completed", [1, 7])
    assert len(of_kind(system, only_run(system), EffectFailed)) == 1

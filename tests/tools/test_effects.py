"""Effects: how one stands, and what a re-execution of it gets."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from edgewright import Call, System, tool
from edgewright.contracts.errors import EffectConflict
from edgewright.contracts.tool import Idempotency, ToolSpec
from edgewright.ledger.records import (
    EffectDone,
    EffectFailed,
    EffectIntended,
    EffectRefused,
    EffectReused,
    Record,
    ReviewAnswered,
    ReviewAsked,
)
from edgewright.tools.effects import Fresh, Known, Unknown, standing
from hypothesis import given
from hypothesis import strategies as st
from langgraph.types import interrupt
from support.systems import FailingLedger, answers, of_kind, on_ledger, plays, with_code, with_model

INTENT = EffectIntended(effect="e", tool="pay", arguments="d", idempotency="none")
DONE = EffectDone(effect="e", tool="pay", changes_world=True, outcome="d", seconds=0.0)
REFUSED = EffectRefused(effect="e", tool="pay", reason="no")
FAILED = EffectFailed(effect="e", tool="pay", error="x", unknown=False)
OTHER = ReviewAsked(review="r", at="e", agent="a", about="pay", binding="b", rules=[])

done: list[dict[str, Any]] = []
world: dict[str, Any] = {}


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    done.clear()
    world.clear()
    yield
    done.clear()
    world.clear()


ways = st.sampled_from(["key", "natural", "none"])
intents: st.SearchStrategy[Record | None] = st.sampled_from([None, INTENT, OTHER])
outcomes: st.SearchStrategy[Record | None] = st.sampled_from([None, DONE, REFUSED, FAILED, OTHER])


@given(ways, st.booleans(), intents, outcomes)
def test_an_effect_stands_in_exactly_one_way(
    way: Idempotency, probe: bool, intended: Record | None, outcome: Record | None
) -> None:
    found = standing(ToolSpec(name="pay", description="", idempotency=way, has_probe=probe), intended, outcome)
    if outcome in (DONE, REFUSED, FAILED):
        assert isinstance(found, Known)
        assert found.outcome is outcome
    elif intended is not INTENT:
        assert isinstance(found, Fresh)
    else:
        assert isinstance(found, Unknown)
        # Only what may be repeated is; a probe is asked before a person is.
        assert found.way == ("again" if way != "none" else "probe" if probe else "review")


def _asking_after(*calls: Any) -> Any:
    """A function agent that makes calls, and is then stopped by a question and runs again from its top."""

    async def function(_: dict[str, Any]) -> dict[str, str]:
        found = [await call() for call in calls]
        world.setdefault("found", []).append(found)
        interrupt({"id": "q", "kind": "call", "run": "r", "agent": "a", "binding": "b"})
        return {"text": str(found[0])}

    return function


async def _run_twice(system: System) -> tuple[str, list[Any]]:
    from langgraph.types import Command

    waiting = await system.arun({"text": "go"}, thread="t")
    graph: Any = await system._running()
    await graph.ainvoke(Command(resume="on"), {"configurable": {"thread_id": "t"}})
    return waiting.run, world["found"]


async def test_a_completed_effect_is_given_back_and_not_repeated() -> None:
    @tool(effect="write")
    def pay(cents: int) -> dict[str, Any]:
        """Pay."""
        done.append({"cents": cents})
        return {"receipt": len(done)}

    system = with_code(_asking_after(lambda: pay.ainvoke({"cents": 1}), lambda: pay.ainvoke({"cents": 2})), pay)
    await _run_twice(system)
    first, second = world["found"]
    assert first == second
    assert done == [{"cents": 1}, {"cents": 2}]
    [run] = system.ledger.runs()
    assert len(of_kind(system, run.run, EffectReused)) == 2


async def test_a_read_is_given_back_too_so_that_code_sees_what_it_saw() -> None:
    @tool(effect="read")
    def look() -> int:
        """Look."""
        done.append({})
        return len(done)

    system = with_code(_asking_after(lambda: look.ainvoke({})), look)
    _, (first, second) = await _run_twice(system)
    assert first == second == ["1"]


async def test_another_tool_at_the_place_of_a_recorded_effect_is_a_conflict_and_does_nothing() -> None:
    @tool(effect="write")
    def pay() -> str:
        """Pay."""
        done.append({"pay": 1})
        return ""

    @tool(effect="write")
    def close() -> str:
        """Close the account."""
        done.append({"close": 1})
        return ""

    async def fickle() -> Any:
        return await (close if done else pay).ainvoke({})

    system = with_code(_asking_after(fickle), pay, close)
    with pytest.raises(EffectConflict) as caught:
        await _run_twice(system)
    assert (caught.value.recorded, caught.value.asked) == ("pay", "close")
    assert done == [{"pay": 1}]


async def _cut_off(system: System, ledger: FailingLedger) -> None:
    """Run until the tool's outcome cannot be recorded: what is left is what a crash leaves."""
    from edgewright.contracts.errors import LedgerUnavailable

    with pytest.raises(LedgerUnavailable):
        await system.arun({"text": "go"}, thread="t")
    ledger.kinds = ()


def _one_call(way: Idempotency, probe: Any = None) -> tuple[System, FailingLedger]:
    @tool(effect="write", idempotency=way, probe=probe)
    def pay(cents: int, *, ctx: Any) -> dict[str, Any]:
        """Pay."""
        done.append({"cents": cents, "key": ctx.key})
        return {"paid": cents}

    ledger = FailingLedger(EffectDone)
    system = with_model(plays([Call("pay", {"cents": 5})]), pay)
    return on_ledger(system, ledger), ledger


@pytest.mark.parametrize("way", ["key", "natural"])
async def test_what_may_be_repeated_is_repeated_under_the_same_key_with_the_same_arguments(way: Any) -> None:
    system, ledger = _one_call(way)
    await _cut_off(system, ledger)
    result = await system.aresume("t")
    assert result.status == "completed"
    assert len(done) == 2
    assert done[0] == done[1]
    assert len(of_kind(system, result.run, EffectIntended)) == len(of_kind(system, result.run, EffectDone)) == 1


async def test_a_probe_that_finds_the_effect_gives_its_outcome() -> None:
    def happened(cents: int) -> dict[str, Any]:
        return {"found": cents}

    system, ledger = _one_call("none", happened)
    await _cut_off(system, ledger)
    result = await system.aresume("t")
    assert result.output == {"text": '{\n  "found": 5\n}'}
    assert len(done) == 1


async def test_a_probe_that_finds_nothing_lets_it_happen() -> None:
    async def happened() -> None:
        return None

    system, ledger = _one_call("none", happened)
    await _cut_off(system, ledger)
    assert (await system.aresume("t")).status == "completed"
    assert len(done) == 2


async def test_a_probe_that_fails_repeats_nothing_and_can_be_asked_again() -> None:
    def happened() -> dict[str, Any]:
        if world.get("down", True):
            raise ConnectionError("no answer")
        return {"found": 1}

    system, ledger = _one_call("none", happened)
    await _cut_off(system, ledger)
    with pytest.raises(ConnectionError):
        await system.aresume("t")
    assert len(done) == 1
    world["down"] = False
    assert (await system.aresume("t")).status == "completed"
    assert len(done) == 1


@pytest.mark.parametrize(("decision", "times"), [("approve", 2), ("reject", 1)])
async def test_a_person_decides_about_an_unknown_outcome(decision: str, times: int) -> None:
    system, ledger = _one_call("none")
    await _cut_off(system, ledger)
    waiting = await system.aresume("t")
    assert [(r.kind, r.arguments) for r in waiting.reviews] == [("outcome_unknown", {"cents": 5})]
    assert len(done) == 1
    result = await system.aresume("t", answers(waiting, decision))
    assert result.status == "completed"
    assert len(done) == times
    assert len(of_kind(system, result.run, ReviewAnswered)) == 1


async def test_parallel_calls_of_one_message_have_keys_of_their_own_that_stay() -> None:
    keys: list[str] = []

    @tool(effect="write", idempotency="key")
    async def pay(cents: int, *, ctx: Any) -> str:
        """Pay."""
        await asyncio.sleep(0)
        keys.append(ctx.key)
        return str(cents)

    system = with_model(plays([Call("pay", {"cents": n}) for n in range(5)]), pay)
    result = await system.arun({"text": "go"})
    assert sorted(keys) == [f"{result.run}/worker.2/model.1#r0.{n}" for n in range(5)]

"""Governed tools inside their containment: what is tried again, what is not called, and what is believed of it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, TypedDict

import pytest
from edgewright import Call, ToolContext, tool
from edgewright.contracts.containment import Breaker, Bulkhead, Retry
from edgewright.contracts.errors import (
    CallDenied,
    CircuitOpen,
    Overloaded,
    ServerUnreachable,
    TimedOut,
    ToolFailed,
    ToolInvalid,
    ToolRefusal,
    ToolUnavailable,
)
from edgewright.ledger.records import (
    CallJudged,
    CircuitMoved,
    EffectDone,
    EffectFailed,
    EffectIntended,
    EffectRefused,
    EffectRetried,
)
from edgewright.tools.containing import key_of
from edgewright.tools.containment import BREAKERS, BULKHEADS
from edgewright.tools.sealed import SealedTool
from support.systems import Inside, inside, of_kind, only_run, plays, with_code, with_model

AT_ONCE = Retry(attempts=2, first=0.0)
called: list[str] = []
errors: list[Exception] = []


@pytest.fixture(autouse=True)
def well() -> Iterator[None]:
    """Breakers are the process's: what one test breaks must not be another's."""
    BREAKERS.clear()
    called.clear()
    errors.clear()
    yield
    BREAKERS.clear()


def fail() -> None:
    if errors:
        raise errors.pop(0)


@tool(effect="read", retry=AT_ONCE)
def look() -> str:
    """Look."""
    called.append("look")
    fail()
    return "seen"


@tool(effect="write", idempotency="key", retry=AT_ONCE)
def pay(cents: int, *, ctx: ToolContext) -> str:
    """Pay."""
    called.append(ctx.key)
    fail()
    return "paid"


@tool(effect="write", idempotency="none")
def wire(cents: int) -> str:
    """Wire."""
    called.append("wire")
    fail()
    return "wired"


Way = Callable[[SealedTool, dict[str, Any]], Awaitable[Any]]


async def _async(handle: SealedTool, arguments: dict[str, Any]) -> Any:
    return await handle.ainvoke(arguments)


async def _blocking(handle: SealedTool, arguments: dict[str, Any]) -> Any:
    return await asyncio.to_thread(handle.invoke, arguments)


@pytest.fixture(params=[_async, _blocking], ids=["async", "blocking"])
def way(request: pytest.FixtureRequest) -> Way:
    found: Way = request.param
    return found


async def ran(way: Way, handle: SealedTool, arguments: dict[str, Any] | None = None) -> Inside:
    return await inside(lambda: way(handle, arguments or {}), handle)


# -- tried again -----------------------------------------------------------------------------------------------------


async def test_a_read_that_failed_for_a_passing_reason_is_made_again_and_that_is_on_record(way: Way) -> None:
    errors.append(ConnectionError("gone"))
    done = await ran(way, look)
    assert done.value == "seen"
    assert called == ["look", "look"]
    (retried,) = done.of(EffectRetried)
    assert (retried.tool, retried.attempt, retried.fault, retried.part) == ("look", 1, "connection", "")
    assert retried.error == "ConnectionError: gone"
    assert [type(r) for r in done.records if isinstance(r, EffectRetried | EffectDone)] == [EffectRetried, EffectDone]


async def test_an_idempotent_effect_is_made_again_as_the_same_effect(way: Way) -> None:
    errors.append(TimeoutError("slow"))
    done = await ran(way, pay, {"cents": 5})
    assert done.value == "paid"
    assert len(called) == 2
    assert len(set(called)) == 1  # under one key
    assert len(done.of(EffectIntended)) == len(done.of(EffectDone)) == 1
    assert {r.effect for r in done.of(EffectRetried)} == {r.effect for r in done.of(EffectDone)}


@pytest.mark.parametrize(
    "error", [ConnectionError("gone"), TimeoutError("slow"), ServerUnreachable(server="s", fault="f")]
)
async def test_an_effect_that_may_not_be_repeated_never_is(way: Way, error: Exception) -> None:
    errors.append(error)
    done = await ran(way, wire, {"cents": 5})
    assert called == ["wire"]
    assert isinstance(done.error, ToolFailed | ToolRefusal)
    assert done.of(EffectRetried) == []


def test_an_effect_that_may_not_be_repeated_cannot_be_declared_to_be() -> None:
    with pytest.raises(ToolInvalid, match="never tried again"):

        @tool(effect="write", idempotency="none", retry=Retry(attempts=2))
        def pay_twice() -> str:
            """Pay twice."""
            return ""

    @tool(effect="write", idempotency="none", retry="off")
    def pay_once() -> str:
        """Pay once."""
        return ""

    assert pay_once.spec.containment.retry is None


@pytest.mark.parametrize("given", [{"transient": (Exception,)}, {"transient": ("x",)}, {"each": -1.0}, {"retry": "on"}])
def test_what_cannot_be_declared_is_refused_with_the_tools_name(given: dict[str, Any]) -> None:
    with pytest.raises(ToolInvalid, match="find"):

        @tool(effect="read", **given)
        def find() -> str:
            """Find."""
            return ""


async def test_an_error_that_is_declared_to_be_passing_is(way: Way) -> None:
    class Busy(Exception):
        pass

    @tool(effect="read", retry=AT_ONCE, transient=(Busy,))
    def find() -> str:
        """Find."""
        fail()
        return "found"

    errors.append(Busy())
    assert (await ran(way, find)).value == "found"
    errors.append(ValueError("mine"))
    assert isinstance((await ran(way, find)).error, ToolFailed)


async def test_what_a_failed_try_says_is_not_on_record_where_it_is_secret(way: Way) -> None:
    errors.append(ConnectionError("cannot reach db://admin:hunter2hunter2@10.0.0.9/claims"))
    done = await ran(way, look)
    (retried,) = done.of(EffectRetried)
    assert "hunter2hunter2" not in retried.error


async def test_a_refusal_after_a_try_that_may_have_worked_is_not_taken_for_nothing_was_done(way: Way) -> None:
    errors.extend([TimeoutError("slow"), ServerUnreachable(server="s", fault="f")])
    done = await ran(way, pay, {"cents": 5})
    assert isinstance(done.error, ToolFailed)
    assert done.error.unknown
    assert done.of(EffectRefused) == []
    (failed,) = done.of(EffectFailed)
    assert failed.unknown


async def test_a_refusal_after_nothing_but_refusals_means_that_nothing_was_done(way: Way) -> None:
    errors.extend([ServerUnreachable(server="s", fault="f"), ServerUnreachable(server="s", fault="f")])
    done = await ran(way, pay, {"cents": 5})
    assert isinstance(done.error, ServerUnreachable)
    assert len(called) == 2
    assert len(done.of(EffectRefused)) == 1
    assert done.of(EffectFailed) == []


# -- not called ------------------------------------------------------------------------------------------------------


def break_(handle: SealedTool) -> None:
    rule = handle.spec.containment.breaker
    assert rule is not None
    of = key_of(handle.spec)
    for _ in range(rule.failures):
        BREAKERS.ended(of, rule, BREAKERS.admit(of, rule).ticket, "timeout")


@pytest.mark.parametrize("handle", [pay, wire], ids=["pay", "wire"])
async def test_a_tool_whose_breaker_is_open_is_not_called_and_nothing_was_done(way: Way, handle: SealedTool) -> None:
    break_(handle)
    done = await ran(way, handle, {"cents": 5})
    assert called == []
    assert isinstance(done.error, ToolUnavailable)
    assert isinstance(done.error.__cause__, CircuitOpen)
    (refused,) = done.of(EffectRefused)
    assert "nothing was done" in refused.reason
    assert done.of(EffectFailed) == []


async def test_a_tool_without_a_place_left_is_not_called_and_nothing_was_done(way: Way) -> None:
    @tool(effect="write", idempotency="none", bulkhead=Bulkhead(running=1))
    def narrow() -> str:
        """Write."""
        called.append("narrow")
        return ""

    rule = narrow.spec.containment.bulkhead
    assert rule is not None
    line, _ = BULKHEADS.arrive(key_of(narrow.spec), rule)
    done = await ran(way, narrow)
    assert called == []
    assert isinstance(done.error, ToolUnavailable)
    assert isinstance(done.error.__cause__, Overloaded)
    assert len(done.of(EffectRefused)) == 1
    line.leave()
    assert (await ran(way, narrow)).error is None


async def test_a_tenant_that_uses_all_its_places_is_refused(way: Way) -> None:
    BULKHEADS.declare("tenant:local", Bulkhead(running=1))
    line, _ = BULKHEADS.arrive("tenant:local", Bulkhead(running=1))
    try:
        done = await ran(way, look)
        assert isinstance(done.error, ToolUnavailable)
        assert done.error.__cause__ is not None
        assert done.error.__cause__.of == "tenant:local"  # type: ignore[attr-defined]
    finally:
        line.leave()
        BULKHEADS.declare("tenant:local", None)
    assert (await ran(way, look)).value == "seen"


async def test_a_model_is_told_that_the_tool_cannot_be_used_and_goes_on() -> None:
    break_(look)
    system = with_model(plays([Call("look", {})]), look)
    result = await system.arun({"text": "go"})
    assert result.status == "completed"
    assert "cannot be used now" in str(result.output)


async def test_an_effect_that_may_have_happened_is_not_called_undone_because_its_breaker_is_open() -> None:
    began = asyncio.Event()

    @tool(effect="write", idempotency="key")
    async def slow() -> str:
        """Write slowly."""
        called.append("slow")
        began.set()
        await asyncio.Event().wait()
        return ""

    caught: list[Exception] = []

    async def work(_: dict[str, Any]) -> dict[str, str]:
        try:
            await slow.ainvoke({})
        except ToolFailed as error:
            caught.append(error)
        return {"text": "done"}

    system = with_code(work, slow)
    task = asyncio.create_task(system.arun({"text": "go"}, thread="t"))
    await asyncio.wait_for(began.wait(), 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    break_(slow)
    assert (await system.aresume("t")).status == "completed"
    assert called == ["slow"]
    (error,) = caught
    assert error.unknown  # type: ignore[attr-defined]
    run = only_run(system)
    assert of_kind(system, run, EffectRefused) == []
    assert [r.unknown for r in of_kind(system, run, EffectFailed)] == [True]


async def test_a_breaker_is_shared_by_runs_and_closes_when_the_integration_returns(
    way: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = [time.monotonic()]
    monkeypatch.setattr(BREAKERS, "_now", lambda: at[0])
    dead = True

    @tool(effect="read", retry="off", breaker=Breaker(failures=2, cooldown=30.0))
    def integration() -> str:
        """Ask the integration."""
        called.append("integration")
        if dead:
            raise ConnectionRefusedError
        return "there"

    first, second, third = [await ran(way, integration) for _ in range(3)]
    assert [type(r.error) for r in (first, second, third)] == [ToolFailed, ToolFailed, ToolUnavailable]
    assert len(called) == 2
    assert [(m.before, m.after, m.failures, m.last) for m in second.of(CircuitMoved)] == [
        ("closed", "open", 2, "connection")
    ]
    (row,) = [r for r in BREAKERS.snapshot() if r["of"] == key_of(integration.spec)]
    assert (row["state"], row["until"]) == ("open", 30.0)
    at[0] += 30.0
    dead = False
    fourth = await ran(way, integration)
    assert fourth.value == "there"
    assert [m.after for m in fourth.of(CircuitMoved)] == ["half_open", "closed"]
    assert (await ran(way, integration)).of(CircuitMoved) == []


async def test_two_systems_tools_of_one_name_are_two_tools() -> None:
    def make(answer: str) -> SealedTool:
        @tool(name="same", effect="read", sensitivity="public" if answer else "secret")
        def same() -> str:
            """Answer."""
            return answer

        return same

    one, other = make(""), make("there")
    break_(one)
    assert isinstance((await ran(_async, one)).error, ToolUnavailable)
    assert (await ran(_async, other)).value == "there"


# -- time ------------------------------------------------------------------------------------------------------------


async def test_a_tool_that_hangs_is_left_when_its_time_is_over_and_what_became_of_it_is_unknown(way: Way) -> None:
    let = threading.Event()

    @tool(effect="write", idempotency="none", timeout=0.1)
    def hang() -> str:
        """Hang."""
        let.wait(30)
        return ""

    done = await ran(way, hang)
    assert isinstance(done.error, ToolFailed)
    assert done.error.unknown
    assert isinstance(done.error.__cause__, TimedOut)
    (row,) = [r for r in BULKHEADS.snapshot() if r["of"] == key_of(hang.spec)]
    assert row["running"] == 1  # its thread is at work still
    let.set()


async def test_async_tools_that_hang_end_with_their_time_and_their_threads(way: Way) -> None:
    ended = threading.Event()

    @tool(effect="read", timeout=0.1, retry="off")
    async def hang() -> str:
        """Hang."""
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return ""

    done = await ran(way, hang)
    assert isinstance(done.error, ToolFailed)
    assert await asyncio.to_thread(ended.wait, 10)


async def test_a_dead_tool_takes_no_threads_from_its_neighbours() -> None:
    let, full = threading.Event(), threading.Barrier(25)

    @tool(effect="read", retry="off", timeout=20.0)
    def dead() -> str:
        """Hang."""
        full.wait(10)
        let.wait(30)
        return ""

    hung = [asyncio.create_task(ran(_async, dead)) for _ in range(24)]
    await asyncio.to_thread(full.wait, 10)
    began = time.monotonic()
    found = await asyncio.wait_for(asyncio.gather(*(ran(_async, look) for _ in range(20))), 20)
    assert [f.value for f in found] == ["seen"] * 20
    assert time.monotonic() - began < 15
    let.set()
    await asyncio.wait_for(asyncio.gather(*hung), 20)


# -- facts -----------------------------------------------------------------------------------------------------------


class Facts(TypedDict):
    owner: str


def owner() -> Facts:
    called.append("facts")
    fail()
    return {"owner": "C1"}


@tool(effect="write", idempotency="none", facts=owner)
def change() -> str:
    """Change."""
    called.append("change")
    return "changed"


async def test_facts_are_looked_up_again_where_that_may_help(way: Way) -> None:
    errors.append(ConnectionError("gone"))
    done = await ran(way, change)
    assert done.value == "changed"
    assert called.count("change") == 1
    assert {r.part for r in done.of(EffectRetried)} == {"facts"}


async def test_facts_behind_an_open_breaker_are_a_denial_and_the_tool_is_not_blamed(way: Way) -> None:
    rule = change.spec.looking.breaker
    assert rule is not None
    of = key_of(change.spec, "facts")
    for _ in range(rule.failures):
        BREAKERS.ended(of, rule, BREAKERS.admit(of, rule).ticket, "timeout")
    done = await ran(way, change)
    assert isinstance(done.error, CallDenied)
    assert called == []
    assert [j.rules for j in done.of(CallJudged)] == [["facts.error"]]
    assert BREAKERS.mode(key_of(change.spec)) == "closed"

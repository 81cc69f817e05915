"""Whatever breaks inside the gate, wherever: the call is denied, and nothing is done that is not on record."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from types import SimpleNamespace
from typing import Any

import cedarpy
import pytest
from edgewright import Policy, RunResult, System, ToolContext, tool
from edgewright.contracts.errors import CallDenied, CallRejected, LedgerUnavailable, ToolFailed, ToolRefusal
from edgewright.contracts.policy import CompiledPolicy
from edgewright.contracts.tool import Limit, SharedRecord
from edgewright.contracts.verdict import Allow, Ask
from edgewright.ledger.records import CallJudged, EffectDone, EffectIntended, ReviewAnswered, ReviewAsked
from edgewright.tools.sealed import SealedTool
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.faults import ERRORS, STEPS, TOLD, Abort, Fault, StuckLedger, outside
from support.payments import owner_of
from support.systems import PERMIT_ALL, FailingLedger, answers, asking, of_kind, on_ledger, only_run, with_code

NEVER = '@id("never") permit(principal, action, resource) when { false };'
BROKEN_OFF = (Exception, asyncio.CancelledError, Abort)
done: list[str] = []
"""The key of each effect, as often as it happened."""
unrecorded: list[str] = []
"""Of those, the ones whose intent was not on record when they began."""
watched: list[Fault] = []


class Books:
    """How a tool of these tests finds the ledger."""

    system: System


def happens(ctx: ToolContext) -> None:
    """An effect."""
    for fault in watched:
        fault.ran += 1
    with outside():
        entries = ctx.resource(Books).system.ledger.entries(ctx.run)
    if ctx.key not in {f"{ctx.run}/{e.record.effect}" for e in entries if isinstance(e.record, EffectIntended)}:
        unrecorded.append(ctx.key)
    done.append(ctx.key)


async def happened(*, ctx: ToolContext) -> dict[str, str] | None:
    return {"found": ctx.key} if ctx.key in done else None


@tool(effect="read", output="trusted", sensitivity="internal")
async def look(account: str, cents: int, *, ctx: ToolContext) -> str:
    """Look."""
    happens(ctx)
    return "seen"


@tool(effect="write", idempotency="none")
def wire(account: str, cents: int, *, ctx: ToolContext) -> str:
    """Wire."""
    happens(ctx)
    return "wired"


@tool(effect="write", idempotency="key", facts=owner_of)
async def pay(account: str, cents: int, *, ctx: ToolContext) -> str:
    """Pay."""
    happens(ctx)
    return "paid"


@tool(
    effect="irreversible",
    facts=owner_of,
    probe=happened,
    limits={"cents": Limit(run=1000, day=9000)},
    record=SharedRecord("account", by="account"),
)
async def close(account: str, cents: int, *, ctx: ToolContext) -> str:
    """Close."""
    happens(ctx)
    return "closed"


TOOLS: dict[str, SealedTool] = {t.name: t for t in (look, wire, pay, close)}
PAY = {"account": "a", "cents": 5}
# Every verdict reads what it was told, so that what is no number or no set cannot go unnoticed.
READS = (
    PERMIT_ALL + '@id("reads") forbid(principal, action, resource) when '
    '{ context.recent > 99 || context.large.contains("nothing") };'
)
POLICIES = {
    "permit": READS,
    "deny": NEVER,
    "missing": None,
    "ask": READS + "".join(asking(name, rule=f"ask_{name}") for name in TOOLS),
}


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    _forget()
    yield
    _forget()


def _forget() -> None:
    for each in (done, unrecorded, watched):
        each.clear()


@dataclass(frozen=True, kw_only=True)
class Case:
    """One call: of which tool, under which policy, made how, and in which attempt something breaks.

    That is the `first`, the one after a person's `answer`, the one that finds an effect of `unknown` outcome, or the
    one after a person said to do such an effect `again`.
    """

    tool: str
    policy: str
    blocking: bool
    stage: str = "first"

    @property
    def changes(self) -> bool:
        return self.tool != "look"


def _cases() -> list[Case]:
    found = [Case(tool=t, policy=p, blocking=b) for t, p, b in itertools.product(TOOLS, POLICIES, (False, True))]
    found += [replace(c, stage="answer") for c in found if c.policy == "ask"]
    found += [replace(c, stage="unknown") for c in found if c.policy == "permit" and c.changes]
    return found + [replace(c, stage="again") for c in found if c.tool == "wire" and c.stage == "unknown"]


CASES = _cases()


def house(case: Case, *, ledger: Any = None) -> System:
    """Its one agent makes the call, and goes on when it is told no."""
    handle, books = TOOLS[case.tool], Books()

    async def work(_: dict[str, Any]) -> dict[str, str]:
        try:
            made = await (asyncio.to_thread(handle.invoke, PAY) if case.blocking else handle.ainvoke(PAY))
        except (CallDenied, CallRejected, ToolFailed, ToolRefusal) as error:
            return {"text": f"told: {type(error).__name__}"}
        return {"text": str(made)}

    books.system = with_code(work, *TOOLS.values(), policy=POLICIES[case.policy], resources=[books])
    return on_ledger(books.system, ledger) if ledger is not None else books.system


async def _until(case: Case) -> tuple[System, RunResult | None]:
    """Up to the attempt that breaks: the system, and how its run stands."""
    if case.stage in ("first", "answer"):
        system = house(case)
        return system, await system.arun({"text": "go"}, thread="t") if case.stage == "answer" else None
    ledger = FailingLedger(EffectDone)
    system = house(case, ledger=ledger)
    with pytest.raises(LedgerUnavailable):
        await system.arun({"text": "go"}, thread="t")
    ledger.kinds = ()
    return system, await system.aresume("t") if case.stage == "again" else None


async def _attempt(case: Case, system: System, result: RunResult | None, fault: Fault) -> RunResult | None:
    """The attempt; None where the run broke off."""
    watched.append(fault)
    try:
        with fault.installed():
            if case.stage == "first":
                return await system.arun({"text": "go"}, thread="t")
            return await system.aresume("t", answers(result, "approve") if result else None)
    except BROKEN_OFF:
        return None
    finally:
        watched.clear()


async def _recovered(system: System, result: RunResult | None) -> RunResult:
    """The run to its end, with nothing in its way: calls are approved, and what is unknown is not done again."""
    for _ in range(8):
        if result is None:
            result = await system.aresume("t")
        if result.status != "waiting":
            return result
        [review] = result.reviews
        decision = "reject" if review.kind == "outcome_unknown" else "approve"
        result = await system.aresume("t", answers(result, decision))
    raise AssertionError("the run does not end")


@lru_cache
def _trace(case: Case) -> tuple[str, ...]:
    """The places that the attempt passes where nothing breaks."""

    async def traced() -> tuple[str, ...]:
        _forget()
        system, result = await _until(case)
        fault = Fault()
        assert await _attempt(case, system, result, fault) is not None
        return tuple(fault.trace)

    asyncio.run(traced())  # what is kept from the first time is not passed in the next
    return asyncio.run(traced())


def _taken_for_no_json(fault: Fault) -> bool:
    """Whether writing a verdict down took it for arguments that are no JSON: it notes them as such and goes on."""
    return isinstance(fault.raised, TypeError) and fault.fired.startswith("Knowledge.")


async def played(case: Case, fault: Fault, *, then: str = "same") -> None:
    """Break it, look, go on, look again."""
    _forget()
    system, result = await _until(case)
    before = len(done)
    result = await _attempt(case, system, result, fault)
    assert fault.fired
    allowed = case.policy == "permit" or case.stage == "answer"
    assert len(done) - before <= allowed
    # A read is not held up by the ledger: its verdict is noted, and whatever comes next finds that it could not be.
    noted = not case.changes and fault.fired.startswith(("Memory", "step Note", "Positions.call"))
    if not fault.ran_before and not noted and not _taken_for_no_json(fault):
        assert len(done) == before, "it was done although something had broken"
    run = only_run(system) if system.ledger.runs() else ""
    intended = bool(of_kind(system, run, EffectIntended))
    # What no `except Exception` catches leaves the run in this process, with the rules that it began with.
    then = "same" if case.policy == "missing" or isinstance(fault.raised, Abort) else then
    if then == "deny":
        system.reload(Policy(text=NEVER))
        before = len(done)
    result = await _recovered(system, result)
    assert result.status == "completed"
    assert not case.changes or not unrecorded
    assert len(set(done)) <= 1
    again = {"look": 1, "pay": 1 + (case.stage == "unknown"), "wire": case.stage == "again", "close": 0}[case.tool]
    assert len(done) <= 1 + again
    assert not done or case.policy in ("permit", "ask")
    assert then == "same" or intended or len(done) == before
    asked = [r.review for r in of_kind(system, run, ReviewAsked)]
    answered = [r.review for r in of_kind(system, run, ReviewAnswered)]
    assert (len(set(asked)), len(set(answered))) == (len(asked), len(answered))
    assert len(of_kind(system, run, EffectDone)) <= 1


def breaking(case: Case, where: int, when: int, how: int, *, stays: bool) -> Fault:
    """The fault that numbers choose among the places that the case passes, and the ways to break there."""
    trace = _trace(case)
    places = sorted(set(trace))
    place = places[where % len(places)]
    ways = [*(["wrong value"] * len(ERRORS) if place in TOLD else ()), *ERRORS]
    way = ways[how % len(ways)]
    return Fault(place, when % trace.count(place), ERRORS.get(way), stays=stays or way not in ERRORS)


numbers = st.integers(0, 10**6)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(CASES), numbers, numbers, numbers, st.booleans(), st.sampled_from(["same", "deny"]))
def test_what_breaks_on_the_way_denies_and_what_comes_after_does_nothing_twice(
    case: Case, where: int, when: int, how: int, stays: bool, then: str
) -> None:
    """Threat 6: an error of any kind, or a value of the wrong type, at any function of the gate or any step."""
    asyncio.run(played(case, breaking(case, where, when, how, stays=stays), then=then))


def test_the_faults_reach_every_step_and_every_part_of_the_gate() -> None:
    passed = {place for case in CASES for place in _trace(case)}
    assert {f"step {kind}" for kind in STEPS} <= passed
    parts = {
        "Reading.validated", "judging.faults_of_form", "judging.provenance_of", "judging.limit_faults",
        "judging.amounts_of", "judging.recent", "judging.large", "gate.counts_of", "gate.begun", "gate.standing",
        "CompiledPolicy.judge", "Activation.sources", "Activation.fixed", "Positions.call", "Spending.reserve",
        "Run.note", "Run.write",
        "Run.write_blocking", "Knowledge.given", "Knowledge.told", "Knowledge.kept", "Knowledge.level_in",
        "Knowledge.sources", "Knowledge.text", "Knowledge.cleaned", "MemoryLedger.append", "MemoryLedger.note",
        "MemoryLedger.counted", "MemoryLedger.exact", "MemoryShared.look", "gate.asked_person", "asking._round",
        "signing.counted", "signing.vouched", "drive.arguments_for", "Reading.returned",
    }  # fmt: skip
    assert parts <= passed


# -- what never comes --------------------------------------------------------------------------------------------------


def _approved(system: System, result: RunResult) -> Coroutine[Any, Any, RunResult]:
    return system.aresume("t", answers(result, "approve"))


@pytest.mark.parametrize("kind", [EffectIntended, ReviewAsked, ReviewAnswered])
async def test_a_ledger_that_never_answers_holds_a_call_until_its_caller_gives_up_and_nothing_is_done(
    kind: type[Any],
) -> None:
    case = Case(tool="pay", policy="permit" if kind is EffectIntended else "ask", blocking=False)
    ledger = StuckLedger()
    system = house(case, ledger=ledger)
    result = await system.arun({"text": "go"}, thread="t") if kind is ReviewAnswered else None
    ledger.stuck = (kind,)
    attempt = system.arun({"text": "go"}, thread="t") if result is None else _approved(system, result)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(attempt, 0.3)
    assert not done
    ledger.stuck = ()
    assert (await _recovered(system, None)).status == "completed"
    assert len(done) == 1
    assert not unrecorded


async def test_a_call_that_is_cancelled_while_its_effect_is_under_way_is_unknown_and_not_repeated() -> None:
    began = asyncio.Event()

    @tool(effect="write", idempotency="none")
    async def hang() -> str:
        """Hang."""
        done.append("hang")
        began.set()
        await asyncio.Event().wait()
        return ""

    async def work(_: dict[str, Any]) -> dict[str, str]:
        return {"text": str(await hang.ainvoke({}))}

    system = with_code(work, hang)
    task = asyncio.create_task(system.arun({"text": "go"}, thread="t"))
    await asyncio.wait_for(began.wait(), 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    waiting = await system.aresume("t")
    assert [r.kind for r in waiting.reviews] == ["outcome_unknown"]
    with pytest.raises(ToolFailed):
        await system.aresume("t", answers(waiting, "reject"))
    assert done == ["hang"]


# -- what is missing, or decides nothing -------------------------------------------------------------------------------


def _engine(decision: Any, errors: list[str], reasons: list[str]) -> Any:
    diagnostics = SimpleNamespace(errors=errors, reasons=reasons)
    allowed = decision == cedarpy.Decision.Allow
    return lambda *_, **__: SimpleNamespace(decision=decision, allowed=allowed, diagnostics=diagnostics)


def _never(*_: Any, **__: Any) -> Any:
    raise RuntimeError("the engine is gone")


@pytest.mark.parametrize(
    "engine",
    [
        _engine(cedarpy.Decision.NoDecision, [], []),
        _engine(cedarpy.Decision.Allow, ["an error beside it"], ["policy0"]),
        _engine(cedarpy.Decision.Allow, [], ["a rule that is not there"]),
        _never,
        lambda *_, **__: None,
        lambda *_, **__: True,
        lambda *_, **__: "Allow",
    ],
    ids=["no decision", "allow with an error", "allow by no rule", "raises", "None", "True", "a word"],
)
@pytest.mark.parametrize("name", ["look", "wire", "pay", "close"])
async def test_an_engine_that_does_not_decide_denies_on_record(
    engine: Any, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Threat 6."""
    system = house(Case(tool=name, policy="permit", blocking=False))
    monkeypatch.setattr("edgewright.contracts.policy.cedarpy.is_authorized", engine)
    result = await system.arun({"text": "go"})
    assert result.output == {"text": "told: CallDenied"}
    assert [(j.verdict, j.rules) for j in of_kind(system, result.run, CallJudged)] == [("deny", ["policy.error"])]
    assert not done


@pytest.mark.parametrize(
    "verdict",
    [None, True, "allow", Ask(rules=()), Allow, object()],
    ids=lambda v: getattr(v, "__name__", type(v).__name__),
)
async def test_a_verdict_that_is_none_of_the_three_is_no_permission(
    verdict: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CompiledPolicy, "judge", lambda *_: verdict)
    system = house(Case(tool="wire", policy="permit", blocking=False))
    if isinstance(verdict, Ask):  # by no rule: then nobody may answer it
        assert (await system.arun({"text": "go"})).status == "waiting"
    else:
        with pytest.raises((AttributeError, TypeError)):
            await system.arun({"text": "go"})
    assert not done

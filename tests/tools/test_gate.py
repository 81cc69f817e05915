"""The tool gate: what is denied, asked, refused, failed; in which order; and what the ledger and the caller learn."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
from edgewright import Agent, Budget, Call, Pipeline, Policy, System, ToolContext, ToolRefusal, tool
from edgewright.contracts.errors import (
    BudgetExceeded,
    CallDenied,
    LedgerUnavailable,
    ToolFailed,
)
from edgewright.ledger.entry import Draft
from edgewright.ledger.records import (
    CallJudged,
    EffectDone,
    EffectFailed,
    EffectIntended,
    EffectRefused,
)
from edgewright.tools.sealed import SealedTool
from support.payments import BIG, LARGE, OWNED, PAY, Facts, done, pay, verdicts, wire, world
from support.systems import (
    ANSWER,
    PERMIT_ALL,
    QUESTION,
    FailingLedger,
    answers,
    inside,
    kinds_of,
    of_kind,
    on_ledger,
    only_run,
    plays,
    records,
    with_code,
    with_model,
)

# -- denied --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("policy", "rules"),
    [
        (None, ["policy.missing"]),
        ('@id("other") permit(principal, action, resource) when { context.env == "other" };', []),
        ('@id("some") permit(principal, action == Action::"call:wire", resource);', []),
        (PERMIT_ALL + '@id("no") forbid(principal, action == Action::"call:pay", resource);', ["no"]),
        # In Cedar an erroring forbid is skipped; here it denies.
        (
            PERMIT_ALL + '@id("broken") forbid(principal, action == Action::"call:pay", resource) when '
            "{ context.args.cents + 9223372036854775807 > 0 };",
            ["policy.error"],
        ),
    ],
)
async def test_what_no_rule_permits_or_a_rule_forbids_or_no_policy_can_decide_is_denied(
    policy: str | None, rules: list[str]
) -> None:
    ran = await inside(lambda: pay.ainvoke(PAY), pay, wire, policy=policy)
    assert isinstance(ran.error, CallDenied)
    assert [(j.verdict, j.rules) for j in ran.of(CallJudged)] == [("deny", rules)]
    assert not done
    assert not ran.of(EffectIntended)


async def test_a_tool_of_no_agent_of_the_system_is_denied() -> None:
    ran = await inside(lambda: wire.ainvoke(PAY), pay)
    assert isinstance(ran.error, CallDenied)
    assert [j.rules for j in ran.of(CallJudged)] == [["policy.unknown_tool"]]
    assert not done


def _raising(_: str) -> Any:
    raise ConnectionError("the register is down")


@pytest.mark.parametrize(
    ("facts", "rule"),
    [
        (_raising, "facts.error"),
        (lambda _: None, "facts.error"),
        (lambda _: ["owner"], "facts.error"),
        (lambda _: "owner", "facts.error"),
        (lambda _: object(), "facts.error"),
        (lambda _: {}, "policy.error"),
        (lambda _: {"owner": None}, "policy.error"),
        (lambda _: {"owner": 5}, "policy.error"),
        (lambda _: {"Owner": "C1"}, "policy.error"),
    ],
)
async def test_a_fact_that_cannot_be_had_is_a_denial_on_record(facts: Callable[[str], Any], rule: str) -> None:
    world["facts"] = facts
    ran = await inside(
        lambda: pay.ainvoke(PAY), pay, policy=PERMIT_ALL + OWNED.splitlines()[0].replace("permit", "forbid")
    )
    assert isinstance(ran.error, CallDenied)
    assert [(j.verdict, j.rules) for j in ran.of(CallJudged)] == [("deny", [rule])]
    assert not done


async def test_a_fact_that_takes_too_long_is_a_denial() -> None:
    async def slow(cents: int) -> Facts:
        await asyncio.Event().wait()
        return {"owner": "C1"}

    @tool(effect="write", facts=slow, timeout=0.05)
    def give(cents: int) -> str:
        """Give."""
        done.append(("", cents))
        return ""

    ran = await inside(lambda: give.ainvoke({"cents": 1}), give)
    assert isinstance(ran.error, CallDenied)
    assert [j.rules for j in ran.of(CallJudged)] == [["facts.error"]]
    assert not done


async def test_a_model_is_told_of_a_denial_and_goes_on() -> None:
    system = with_model(plays([Call("pay", PAY)]), pay, wire, policy=OWNED)
    result = await system.arun({"text": "go", "sender": "C2"})
    assert result.output == {"text": "Denied by policy [default deny]: no rule permits this call"}
    assert not done


async def test_a_request_without_the_field_that_a_rule_reads_is_denied() -> None:
    system = with_model(plays([Call("pay", PAY)]), pay, wire, policy=OWNED)
    result = await system.arun({"text": "go"})
    assert verdicts(system, result.run) == [("deny", [])]


async def test_a_model_cannot_say_who_it_is() -> None:
    forged = {**PAY, "sender": "C1", "agent": "boss", "ctx": {"agent": "boss"}}
    system = with_model(plays([Call("pay", forged)], [Call("pay", {**PAY, "ctx": None})]), pay)
    result = await system.arun({"text": "go", "sender": "C2"})
    assert [rules for _, rules in verdicts(system, result.run)] == [["arguments.schema"]] * 2
    assert not done


# -- the order -----------------------------------------------------------------------------------------------------


async def test_arguments_are_checked_before_facts_are_looked_up() -> None:
    asked: list[str] = []

    def watched(account: str) -> Facts:
        asked.append(account)
        return {"owner": "C1"}

    world["facts"] = watched
    await inside(lambda: pay.ainvoke({"account": "a", "cents": "5"}), pay)
    assert not asked
    await inside(lambda: pay.ainvoke(PAY), pay)
    assert asked == ["a"]


async def test_verdict_and_intent_are_on_the_ledger_when_the_effect_begins() -> None:
    seen: list[list[str]] = []

    @tool(effect="write")
    def watch(x: int, *, ctx: ToolContext) -> str:
        """Watch."""
        seen.append(kinds_of(records(ctx.resource(list)[0], ctx.run)))
        return ""

    holder: list[System] = []

    async def function(_: dict[str, Any]) -> dict[str, str]:
        await watch.ainvoke({"x": 1})
        return {"text": ""}

    system = with_code(function, watch, resources=[holder])
    holder.append(system)
    result = await system.arun({"text": "go"})
    assert seen[0][-2:] == ["call.judged", "effect.intended"]
    kinds = kinds_of(records(system, result.run))
    assert kinds.index("effect.intended") < kinds.index("effect.done") < kinds.index("agent.ended")


@pytest.mark.parametrize("kind", [EffectIntended, CallJudged])
async def test_what_cannot_be_recorded_before_is_not_done(kind: type[Any]) -> None:
    caught: list[Exception] = []

    async def function(_: dict[str, Any]) -> dict[str, str]:
        try:
            await wire.ainvoke(PAY)
        except LedgerUnavailable as error:
            caught.append(error)
        return {"text": ""}

    system = on_ledger(with_code(function, wire), FailingLedger(kind))
    await system.arun({"text": "go"})
    assert len(caught) == 1
    assert not done


async def test_what_cannot_be_recorded_before_is_not_done_by_a_model_either() -> None:
    system = on_ledger(with_model(plays([Call("wire", PAY)]), wire), FailingLedger(EffectIntended))
    with pytest.raises(LedgerUnavailable):
        await system.arun({"text": "go"})
    assert not done


async def test_an_outcome_that_could_not_be_recorded_is_unknown_and_not_repeated() -> None:
    ledger = FailingLedger(EffectDone)
    system = on_ledger(with_model(plays([Call("wire", PAY)]), wire), ledger)
    thread = "t"
    with pytest.raises(LedgerUnavailable):
        await system.arun({"text": "go"}, thread=thread)
    assert len(done) == 1
    ledger.kinds = ()
    result = await system.aresume(thread)
    assert [r.kind for r in result.reviews] == ["outcome_unknown"]
    assert len(done) == 1


class _Rival(FailingLedger):
    """A ledger on which another process is always a moment earlier with its intent."""

    def append(self, run: str, drafts: Any) -> Any:
        for draft in drafts:
            if isinstance(draft.record, EffectIntended):
                theirs = EffectIntended(
                    effect=draft.record.effect, tool="wire", arguments=draft.record.arguments, idempotency="none"
                )
                super().append(run, [Draft(record=theirs, key=draft.key, payloads=draft.payloads)])
        return super().append(run, drafts)


async def test_of_two_processes_that_drive_one_run_only_the_first_to_intend_an_effect_does_it() -> None:
    system = on_ledger(with_model(plays([Call("wire", PAY)]), wire), _Rival())
    result = await system.arun({"text": "go"})
    assert [r.kind for r in result.reviews] == ["outcome_unknown"]
    assert not done


# -- refused and failed --------------------------------------------------------------------------------------------


async def test_a_refusal_is_told_recorded_and_final() -> None:
    async def refuse() -> None:
        raise ToolRefusal("the account is closed")

    world["wire"] = refuse
    ran = await inside(lambda: wire.ainvoke(PAY), wire)
    assert isinstance(ran.error, ToolRefusal)
    assert [r.reason for r in ran.of(EffectRefused)] == ["the account is closed"]
    system = with_model(plays([Call("wire", PAY)]), wire)
    assert (await system.arun({"text": "go"})).output == {"text": "Refused: the account is closed"}


async def test_a_write_that_raised_may_have_happened() -> None:
    async def break_down() -> None:
        raise ConnectionError("reset by peer")

    world["wire"] = break_down
    ran = await inside(lambda: wire.ainvoke(PAY), wire)
    assert isinstance(ran.error, ToolFailed)
    assert [f.unknown for f in ran.of(EffectFailed)] == [True]
    assert "reset by peer" in str(ran.error)
    assert "do not call it again" in str(ran.error)


async def test_a_read_that_raised_has_failed_for_certain() -> None:
    @tool(effect="read")
    def look() -> str:
        """Look."""
        raise ConnectionError("reset by peer")

    ran = await inside(lambda: look.ainvoke({}), look)
    assert [f.unknown for f in ran.of(EffectFailed)] == [False]
    assert not ran.of(EffectIntended)


async def test_an_async_tool_that_hangs_is_cut_off_and_its_effect_unknown() -> None:
    @tool(effect="write", timeout=0.05)
    async def hang() -> str:
        """Hang."""
        await asyncio.Event().wait()
        return ""

    ran = await inside(lambda: asyncio.wait_for(hang.ainvoke({}), 10), hang)
    assert isinstance(ran.error, ToolFailed)
    assert [f.unknown for f in ran.of(EffectFailed)] == [True]


@pytest.mark.parametrize("blocking", [False, True])
async def test_a_plain_tool_that_hangs_does_not_hold_its_caller(blocking: bool) -> None:
    released = threading.Event()

    @tool(effect="write", timeout=0.05)
    def hang() -> str:
        """Hang."""
        released.wait(30)
        return ""

    async def work() -> Any:
        return await (asyncio.to_thread(hang.invoke, {}) if blocking else hang.ainvoke({}))

    try:
        ran = await asyncio.wait_for(inside(work, hang), 10)
    finally:
        released.set()
    assert isinstance(ran.error, ToolFailed)
    assert [f.unknown for f in ran.of(EffectFailed)] == [True]


async def test_a_result_that_is_no_json_is_a_failure_not_a_crash() -> None:
    @tool(effect="write")
    def odd() -> object:
        """Return something odd."""
        return object()

    system = with_model(plays([Call("odd")]), odd)
    result = await system.arun({"text": "go"})
    assert result.status == "completed"
    assert [f.unknown for f in of_kind(system, result.run, EffectFailed)] == [True]


# -- counted -------------------------------------------------------------------------------------------------------


async def test_of_fifty_parallel_calls_against_a_budget_of_ten_ten_happen() -> None:
    async def work() -> list[Any]:
        calls = (wire.ainvoke({"account": "a", "cents": n}) for n in range(50))
        return list(await asyncio.gather(*calls, return_exceptions=True))

    ran = await inside(work, wire, budget=Budget(tool_calls=10))
    refused = [e for e in ran.value if isinstance(e, BudgetExceeded)]
    assert (len(done), len(refused)) == (10, 40)
    assert len([j for j in ran.of(CallJudged) if j.rules == ["budget"]]) == 40


async def test_tool_calls_before_a_review_count_after_it() -> None:
    replies = [[Call("wire", {"account": "w", "cents": n})] for n in range(3)]
    system = with_model(
        plays(*replies[:2], [Call("pay", BIG)], *replies),
        pay,
        wire,
        policy=PERMIT_ALL + LARGE,
        budget=Budget(tool_calls=4),
    )
    waiting = await system.arun({"text": "go"})
    assert len(done) == 2
    with pytest.raises(BudgetExceeded):
        await system.aresume(waiting.thread, answers(waiting, "approve"))
    assert len(done) == 4
    assert system.ledger.runs()[0].status == "out_of_budget"


async def test_policy_counts_calls_and_sees_what_was_done() -> None:
    policy = PERMIT_ALL + '@id("once") forbid(principal, action, resource) when { context.done.contains("wire") };'
    system = with_model(plays([Call("wire", PAY)], [Call("wire", PAY)]), wire, policy=policy)
    result = await system.arun({"text": "go"})
    assert verdicts(system, result.run) == [("allow", ["all"]), ("deny", ["once"])]
    assert len(done) == 1


def _two_agents(first: SealedTool, second: SealedTool) -> System:
    async def one(_: dict[str, Any]) -> dict[str, str]:
        await first.ainvoke(PAY)
        return {"text": ""}

    async def two(_: dict[str, Any]) -> dict[str, str]:
        try:
            await second.ainvoke(PAY)
        except CallDenied as error:
            return {"text": str(error)}
        return {"text": "paid"}

    stages = [
        Agent("one", version=1, function=one, tools=[first]),
        Agent("two", version=1, function=two, tools=[second]),
    ]
    policy = Policy(text='@id("one") permit(principal == Agent::"one", action, resource);')
    return System(
        "pair", version=1, topology=Pipeline(stages=stages, contracts=[QUESTION, ANSWER, ANSWER]), policy=policy
    )


async def test_each_agent_is_judged_as_itself() -> None:
    system = _two_agents(wire, wire)
    result = await system.arun({"text": "go"})
    assert [(j.agent, j.verdict) for j in of_kind(system, only_run(system), CallJudged)] == [
        ("one", "allow"),
        ("two", "deny"),
    ]
    assert result.output is not None
    assert "Denied" in result.output["text"]

"""The tool gate: what is denied, asked, refused, failed; in which order; and what the ledger and the caller learn."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypedDict

import pytest
from edgewright import Agent, Budget, Call, Pipeline, Policy, System, ToolContext, ToolRefusal, tool
from edgewright.contracts.errors import (
    BudgetExceeded,
    CallDenied,
    CallRejected,
    LedgerUnavailable,
    ReviewInvalid,
    ToolFailed,
)
from edgewright.ledger.entry import Draft
from edgewright.ledger.records import (
    CallJudged,
    EffectDone,
    EffectFailed,
    EffectIntended,
    EffectRefused,
    ReviewAnswered,
    ReviewAsked,
)
from edgewright.tools.sealed import SealedTool
from langgraph.types import Command
from support.systems import (
    ANSWER,
    PERMIT_ALL,
    QUESTION,
    FailingLedger,
    answers,
    asking,
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

done: list[tuple[str, int]] = []
world: dict[str, Any] = {}


class Facts(TypedDict):
    owner: str


def owner_of(account: str) -> Facts:
    if "facts" in world:
        found: Facts = world["facts"](account)
        return found
    return {"owner": "C1"}


@tool(effect="write", idempotency="key", facts=owner_of)
def pay(account: str, cents: int) -> dict[str, int]:
    """Pay into an account."""
    done.append((account, cents))
    return {"paid": cents}


@tool(effect="write", idempotency="none")
async def wire(account: str, cents: int) -> dict[str, int]:
    """Wire to an account."""
    if "wire" in world:
        await world["wire"]()
    done.append((account, cents))
    return {"wired": cents}


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    done.clear()
    world.clear()
    yield
    done.clear()
    world.clear()


OWNED = (
    '@id("owned") permit(principal, action == Action::"call:pay", resource) when '
    "{ context.request has sender && context.facts.owner == context.request.sender };\n"
    '@id("wires") permit(principal, action == Action::"call:wire", resource);\n'
)
LARGE = asking("pay", "context.args.cents > 100", rule="large")
PAY = {"account": "a", "cents": 5}
BIG = {"account": "a", "cents": 500}


def _verdicts(system: System, run: str) -> list[tuple[str, list[str]]]:
    return [(j.verdict, j.rules) for j in of_kind(system, run, CallJudged)]


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
    assert _verdicts(system, result.run) == [("deny", [])]


async def test_a_model_cannot_say_who_it_is() -> None:
    forged = {**PAY, "sender": "C1", "agent": "boss", "ctx": {"agent": "boss"}}
    system = with_model(plays([Call("pay", forged)], [Call("pay", {**PAY, "ctx": None})]), pay)
    result = await system.arun({"text": "go", "sender": "C2"})
    assert [rules for _, rules in _verdicts(system, result.run)] == [["arguments.schema"]] * 2
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


# -- asked ---------------------------------------------------------------------------------------------------------


def _asks(*replies: list[Call], policy: str = PERMIT_ALL + LARGE, **options: Any) -> System:
    return with_model(plays(*replies), pay, wire, policy=policy, **options)


async def test_an_approved_call_runs_once_and_the_person_was_asked_once() -> None:
    system = _asks([Call("pay", BIG)])
    waiting = await system.arun({"text": "go"})
    [review] = waiting.reviews
    assert (review.kind, review.tool, review.arguments, review.facts) == ("call", "pay", BIG, {"owner": "C1"})
    assert [(r.id, r.approver, r.reason) for r in review.rules] == [("large", "finance", "because")]
    assert not done
    assert (await system.aresume(waiting.thread)).reviews == waiting.reviews  # looking again asks nothing new
    result = await system.aresume(waiting.thread, answers(waiting, "approve"))
    assert result.status == "completed"
    assert done == [("a", 500)]
    assert len(of_kind(system, result.run, ReviewAsked)) == len(of_kind(system, result.run, ReviewAnswered)) == 1
    assert [v for v, _ in _verdicts(system, result.run)] == ["ask", "allow"]


async def test_a_rejected_call_does_not_run_and_the_model_learns_why() -> None:
    system = _asks([Call("pay", BIG)])
    waiting = await system.arun({"text": "go"})
    result = await system.aresume(waiting.thread, answers(waiting, "reject"))
    assert result.output == {"text": "Rejected by reviewer: a test says so"}
    assert not done


async def test_an_edited_call_runs_as_edited() -> None:
    system = _asks([Call("pay", BIG)])
    waiting = await system.arun({"text": "go"})
    await system.aresume(waiting.thread, answers(waiting, "edit", arguments={"account": "b", "cents": 7}))
    assert done == [("b", 7)]


@pytest.mark.parametrize(
    ("arguments", "rules"),
    [
        ({"account": "forbidden", "cents": 7}, ["no"]),
        ({"account": "b", "cents": "7"}, ["arguments.schema"]),
        ({"account": "b"}, ["arguments.schema"]),
        ({}, ["arguments.schema"]),
    ],
)
async def test_an_edit_goes_through_the_whole_gate(arguments: dict[str, Any], rules: list[str]) -> None:
    forbid = '@id("no") forbid(principal, action, resource) when { context.args.account == "forbidden" };'
    system = with_model(plays([Call("pay", BIG)]), pay, policy=PERMIT_ALL + LARGE + forbid)
    waiting = await system.arun({"text": "go"})
    result = await system.aresume(waiting.thread, answers(waiting, "edit", arguments=arguments))
    assert result.status == "completed"
    assert _verdicts(system, result.run)[-1] == ("deny", rules)
    assert not done


async def test_an_edit_that_must_be_asked_about_is_asked_about() -> None:
    system = _asks([Call("pay", BIG)])
    first = await system.arun({"text": "go"})
    second = await system.aresume(first.thread, answers(first, "edit", arguments={"account": "a", "cents": 900}))
    assert [r.arguments["cents"] for r in second.reviews] == [900]
    assert first.reviews[0].id != second.reviews[0].id
    assert not done
    await system.aresume(first.thread, answers(second, "approve"))
    assert done == [("a", 900)]


async def test_edits_without_end_are_denied() -> None:
    system = _asks([Call("pay", BIG)])
    result = await system.arun({"text": "go"})
    for cents in range(901, 905):
        assert result.status == "waiting"
        result = await system.aresume(
            result.thread, answers(result, "edit", arguments={"account": "a", "cents": cents})
        )
    assert result.status == "completed"
    assert _verdicts(system, result.run)[-1] == ("deny", ["review.edits"])
    assert not done


async def test_an_edit_without_arguments_is_no_answer() -> None:
    system = _asks([Call("pay", BIG)])
    waiting = await system.arun({"text": "go"})
    again = await system.aresume(waiting.thread, answers(waiting, "edit"))
    assert [r.id for r in again.reviews] == [r.id for r in waiting.reviews]
    await system.aresume(again.thread, answers(again, "approve"))
    assert done == [("a", 500)]


async def test_an_approval_does_not_outlive_the_facts_it_was_given_on() -> None:
    system = _asks([Call("pay", BIG)], policy=OWNED + LARGE)
    waiting = await system.arun({"text": "go", "sender": "C1"})
    world["facts"] = lambda _: {"owner": "C2"}
    result = await system.aresume(waiting.thread, answers(waiting, "approve"))
    assert result.status == "completed"
    assert _verdicts(system, result.run)[-1][0] == "deny"
    assert not done


async def test_a_no_stays_a_no_when_the_policy_would_not_ask_any_more() -> None:
    policy = PERMIT_ALL + asking("pay", 'context.facts.owner == "C1"')
    system = _asks([Call("pay", BIG)], policy=policy)
    waiting = await system.arun({"text": "go"})
    world["facts"] = lambda _: {"owner": "C2"}
    result = await system.aresume(waiting.thread, answers(waiting, "reject"))
    assert result.output == {"text": "Rejected by reviewer: a test says so"}
    assert not done


async def test_a_yes_to_one_rule_is_no_yes_to_another_that_began_to_ask() -> None:
    policy = (
        PERMIT_ALL
        + asking("pay", "context.args.cents > 100", rule="large")
        + asking("pay", 'context.facts.owner == "C2"', rule="stranger", approver="security")
    )
    system = _asks([Call("pay", BIG)], policy=policy)
    first = await system.arun({"text": "go"})
    assert [r.id for r in first.reviews[0].rules] == ["large"]
    world["facts"] = lambda _: {"owner": "C2"}
    second = await system.aresume(first.thread, answers(first, "approve"))
    assert not done
    assert sorted(r.id for r in second.reviews[0].rules) == ["large", "stranger"]
    result = await system.aresume(first.thread, answers(second, "approve"))
    assert result.status == "completed"
    assert done == [("a", 500)]


@pytest.mark.parametrize("decision", ["approve", "reject"])
async def test_an_answer_given_under_another_policy_approves_nothing(decision: str, tmp_path: Path) -> None:
    before = _asks([Call("pay", BIG)], home=tmp_path)
    waiting = await before.arun({"text": "go"})
    stricter = PERMIT_ALL + asking("pay", "context.args.cents > 100", rule="large", approver="the board")
    after = _asks([Call("pay", BIG)], home=tmp_path, policy=stricter)
    result = await after.aresume(waiting.thread, answers(waiting, decision))
    assert not done
    if decision == "reject":  # a no is a no under any policy
        assert result.output == {"text": "Rejected by reviewer: a test says so"}
    else:
        assert [r.approver for r in result.reviews[0].rules] == ["the board"]
        await after.aresume(waiting.thread, answers(result, "approve"))
        assert done == [("a", 500)]
    after.close()


async def test_three_asks_of_one_message_are_answered_apart_in_any_order() -> None:
    calls = [Call("pay", {"account": name, "cents": 200}) for name in "abc"]
    system = _asks(calls)
    waiting = await system.arun({"text": "go"})
    by_account = {r.arguments["account"]: r for r in waiting.reviews}
    assert sorted(by_account) == ["a", "b", "c"]
    for account, decision in (("c", "approve"), ("a", "reject"), ("b", "approve")):
        chosen = {by_account[account].id: answers(waiting, decision)[by_account[account].id]}
        result = await system.aresume(waiting.thread, chosen)
    assert result.status == "completed"
    assert sorted(done) == [("b", 200), ("c", 200)]
    assert len(of_kind(system, result.run, ReviewAsked)) == 3
    assert len(of_kind(system, result.run, EffectIntended)) == 2


async def test_beside_an_ask_the_other_calls_of_the_message_happen_once() -> None:
    system = _asks([Call("pay", BIG), Call("wire", {"account": "w", "cents": 1})])
    waiting = await system.arun({"text": "go"})
    assert done == [("w", 1)]
    await system.aresume(waiting.thread, answers(waiting, "approve"))
    assert sorted(done) == [("a", 500), ("w", 1)]


@pytest.mark.parametrize("second", ["approve", "reject"])
async def test_the_answer_to_one_question_of_a_function_is_not_the_answer_to_its_next(second: str) -> None:
    async def function(_: dict[str, Any]) -> dict[str, str]:
        await pay.ainvoke({"account": "a", "cents": 200})
        try:
            await pay.ainvoke({"account": "b", "cents": 300})
        except CallRejected as error:
            return {"text": str(error)}
        return {"text": "both"}

    system = with_code(function, pay, policy=PERMIT_ALL + LARGE)
    waiting = await system.arun({"text": "go"})
    waiting = await system.aresume(waiting.thread, answers(waiting, "approve"))
    assert [r.arguments["account"] for r in waiting.reviews] == ["b"]
    assert done == [("a", 200)]
    result = await system.aresume(waiting.thread, answers(waiting, second))
    assert result.status == "completed"
    assert done == ([("a", 200), ("b", 300)] if second == "approve" else [("a", 200)])


async def test_a_function_that_rewords_what_it_was_asked_about_gets_what_was_approved() -> None:
    amounts = iter(range(500, 600))

    async def function(_: dict[str, Any]) -> dict[str, str]:
        return {"text": str(await pay.ainvoke({"account": "a", "cents": next(amounts)}))}

    system = with_code(function, pay, policy=PERMIT_ALL + LARGE)
    waiting = await system.arun({"text": "go"})
    assert waiting.reviews[0].arguments == {"account": "a", "cents": 500}
    result = await system.aresume(waiting.thread, answers(waiting, "approve"))
    assert result.status == "completed"
    assert done == [("a", 500)]


async def test_an_answer_given_to_langgraph_itself_counts_where_it_can_mean_one_question_only() -> None:
    async def function(_: dict[str, Any]) -> dict[str, str]:
        await pay.ainvoke({"account": "a", "cents": 200})
        await pay.ainvoke({"account": "b", "cents": 300})
        return {"text": "both"}

    system = with_code(function, pay, policy=PERMIT_ALL + LARGE)
    waiting = await system.arun({"text": "go"}, thread="t")
    graph: Any = await system._running()
    yes, config = {"decision": "approve", "reason": "in the studio"}, {"configurable": {"thread_id": "t"}}
    await graph.ainvoke(Command(resume=yes), config)
    assert done == [("a", 200)]
    await graph.ainvoke(Command(resume=yes), config)
    assert done == [("a", 200)]  # it could be meant for either question: asked again
    second = (await system.aresume("t")).reviews[0]
    assert second.arguments["account"] == "b"
    await graph.ainvoke(Command(resume=yes | {"review": second.id}), config)
    assert done == [("a", 200), ("b", 300)]
    assert waiting.run == second.run


@pytest.mark.parametrize("how", ["update_state", "resume and update"])
async def test_an_approval_does_not_cover_arguments_that_were_changed_behind_it(how: str) -> None:
    async def function(payload: dict[str, Any]) -> dict[str, str]:
        await pay.ainvoke({"account": payload["text"], "cents": 500})
        return {"text": "paid"}

    system = with_code(function, pay, policy=PERMIT_ALL + LARGE)
    waiting = await system.arun({"text": "good"}, thread="t")
    graph: Any = await system._running()
    config, forged = {"configurable": {"thread_id": "t"}}, {"inbox": {"text": "evil", "sender": None}}
    yes = {"decision": "approve", "reason": "fine", "review": waiting.reviews[0].id}
    if how == "update_state":
        await graph.aupdate_state(config, forged, as_node=QUESTION.id + " start→worker")
        await graph.ainvoke(Command(resume=yes), config)
    else:
        await graph.ainvoke(Command(resume=yes, update=forged), config)
    assert ("evil", 500) not in done
    assert len(done) <= 1


async def test_an_answer_that_fits_no_open_question_is_refused() -> None:
    system = _asks([Call("pay", BIG)])
    waiting = await system.arun({"text": "go"})
    other = {"0" * 24: answers(waiting, "approve")[waiting.reviews[0].id]}
    with pytest.raises(ReviewInvalid, match="not open"):
        await system.aresume(waiting.thread, other)
    await system.aresume(waiting.thread, answers(waiting, "approve"))
    with pytest.raises(ReviewInvalid, match="not open"):  # single use
        await system.aresume(waiting.thread, answers(waiting, "approve"))
    assert done == [("a", 500)]


async def test_an_approval_of_one_run_is_none_for_another() -> None:
    system = _asks([Call("pay", BIG)])
    one, two = await system.arun({"text": "go"}), await system.arun({"text": "go"})
    assert one.reviews[0].id != two.reviews[0].id
    with pytest.raises(ReviewInvalid):
        await system.aresume(two.thread, answers(one, "approve"))
    assert not done


async def test_a_question_that_cannot_be_recorded_is_not_asked() -> None:
    system = on_ledger(_asks([Call("pay", BIG)]), FailingLedger(ReviewAsked))
    with pytest.raises(LedgerUnavailable):
        await system.arun({"text": "go"})
    assert not done


async def test_an_approval_that_cannot_be_recorded_lets_nothing_happen() -> None:
    system = on_ledger(_asks([Call("pay", BIG)]), FailingLedger(ReviewAnswered))
    waiting = await system.arun({"text": "go"})
    with pytest.raises(LedgerUnavailable):
        await system.aresume(waiting.thread, answers(waiting, "approve"))
    assert not done


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
    assert _verdicts(system, result.run) == [("allow", ["all"]), ("deny", ["once"])]
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

"""Inside a model-driven agent: replies kept, handoffs taken, unknown tools refused, whatever the model does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from edgewright import (
    Agent,
    Budget,
    Call,
    Contract,
    OfflineModel,
    OnViolation,
    Policy,
    ReviewAnswer,
    Say,
    Supervisor,
    System,
    Turn,
    tool,
)
from edgewright.contracts.errors import (
    AgentInvalid,
    BudgetExceeded,
    ContractViolation,
    HandoffConflict,
    LoopFound,
)
from edgewright.ledger.records import (
    BudgetCharged,
    CallJudged,
    ContractPassed,
    ContractViolated,
    HandoffAsked,
    ModelReserved,
    ModelSettled,
    ReplyKept,
    RunEnded,
)
from langchain.agents.middleware import AgentMiddleware
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool as langchain_tool
from pydantic import BaseModel
from support.systems import (
    PERMIT_ALL,
    Answer,
    Question,
    answers,
    asking,
    of_kind,
    only_run,
    plays,
    submitting,
    with_model,
)

done: list[int] = []
seen: list[Any] = []


class Brief(BaseModel):
    """What a specialist needs."""

    text: str


@tool(effect="write", idempotency="key")
def pay(cents: int) -> str:
    """Pay."""
    done.append(cents)
    return f"paid {cents}"


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    done.clear()
    seen.clear()
    yield
    done.clear()
    seen.clear()


class Watching(AgentMiddleware[Any, Any, Any]):
    """Sees the agent's messages at its end."""

    def after_agent(self, state: Any, runtime: Any) -> None:
        seen.append(list(state["messages"]))


def _desk(rules: Any, on_violation: OnViolation | None = None, **options: Any) -> System:
    return System(
        "desk",
        version=1,
        topology=Supervisor(
            router=Agent("triage", version=1, prompt="Route.", tools=[pay], middleware=[Watching()]),
            specialists=[Agent(name, version=1, prompt="Do.") for name in ("billing", "shipping")],
            takes=Contract(Question, version=1),
            brief=Contract(Brief, version=1),
            answer=Contract(Answer, version=1),
            on_violation=on_violation or OnViolation(),
        ),
        policy=Policy(text=options.pop("policy", PERMIT_ALL)),
        model=OfflineModel("desk", rules),
        **options,
    )


def _router(*calls: Call) -> Any:
    def rules(turn: Turn) -> list[Call]:
        return list(calls) if "handoff_to_billing" in turn.tools else [submitting("done")]

    return rules


BILLING, SHIPPING = Call("handoff_to_billing", {"text": "b"}), Call("handoff_to_shipping", {"text": "s"})


async def test_two_handoffs_in_one_turn_are_a_conflict_that_names_both() -> None:
    system = _desk(_router(BILLING, SHIPPING))
    with pytest.raises(HandoffConflict) as caught:
        await system.arun({"text": "go"})
    assert sorted(caught.value.targets) == ["billing", "shipping"]
    run = only_run(system)
    assert sorted(h.target for h in of_kind(system, run, HandoffAsked)) == ["billing", "shipping"]
    assert [e.status for e in of_kind(system, run, RunEnded)] == ["failed"]


async def test_a_handoff_beside_a_tool_call_answers_both_and_asks_the_model_no_more() -> None:
    system = _desk(_router(Call("pay", {"cents": 5}), BILLING))
    result = await system.arun({"text": "go"})
    assert result.status == "completed"
    assert done == [5]
    assert len([r for r in of_kind(system, result.run, ModelReserved) if r.agent == "triage"]) == 1
    [messages] = seen  # after_agent ran, and sees a conversation that a provider takes
    answered = {m.tool_call_id: m for m in messages if isinstance(m, ToolMessage)}
    asked = [c for m in messages if isinstance(m, AIMessage) for c in m.tool_calls]
    assert {c["id"] for c in asked} == set(answered)
    assert [answered[str(c["id"])].status for c in asked] == ["success", "success"]


async def test_a_handoff_beside_a_call_that_a_person_must_allow_waits_for_the_person() -> None:
    system = _desk(_router(Call("pay", {"cents": 500}), BILLING), policy=PERMIT_ALL + asking("pay"))
    waiting = await system.arun({"text": "go"})
    assert waiting.status == "waiting"
    result = await system.aresume(waiting.thread, answers(waiting, "approve"))
    assert result.status == "completed"
    assert done == [500]
    assert len([h for h in of_kind(system, result.run, HandoffAsked) if h.target == "billing"]) == 1
    assert of_kind(system, result.run, RunEnded)[0].spent["handoffs"] == 2  # counted once each


async def test_a_plain_handoff_runs_after_agent_and_takes_no_message_along() -> None:
    texts: list[str] = []

    def rules(turn: Turn) -> list[Call]:
        if "handoff_to_billing" in turn.tools:
            return [BILLING]
        texts.append(turn.text)
        return [submitting("done")]

    system = _desk(rules)
    await system.arun({"text": "a secret of the request"})
    assert len(seen) == 1
    assert len(texts) == 1
    assert "secret" not in texts[0]


async def test_handoffs_are_counted() -> None:
    system = _desk(_router(BILLING), budget=Budget(handoffs=0))
    with pytest.raises(BudgetExceeded, match="allows 0 handoffs"):
        await system.arun({"text": "go"})


async def test_handoffs_are_counted_in_the_budgets_that_runs_share() -> None:
    system = _desk(_router(BILLING), budget=[Budget(of="tenant", handoffs=4)])
    for _ in range(2):
        result = await system.arun({"text": "go"})  # to billing, and from there to the end
        charged, asked = of_kind(system, result.run, BudgetCharged), of_kind(system, result.run, HandoffAsked)
        assert [(c.at, c.amounts) for c in charged] == [(a.at, {"handoffs": 1}) for a in asked]
        assert len(asked) == 2
    with pytest.raises(BudgetExceeded, match="tenant allows 4 handoffs"):
        await system.arun({"text": "go"})


# -- repair --------------------------------------------------------------------------------------------------------


async def test_text_without_a_handoff_is_repaired_and_the_model_is_told_the_fault() -> None:
    told: list[str] = []

    def rules(turn: Turn) -> Say | list[Call]:
        human = [m.text for m in turn.messages if isinstance(m, HumanMessage)]
        if len(human) == 1:
            return Say("I am done.")
        told.append(human[-1])
        return [submitting("done")]

    system = with_model(OfflineModel("mute", rules))
    result = await system.arun({"text": "go"})
    assert result.output == {"text": "done"}
    assert len(told) == 1
    assert "payload" in told[0]
    assert [(v.tries, v.then) for v in of_kind(system, result.run, ContractViolated)] == [(1, "repair")]
    assert [p.tries for p in of_kind(system, result.run, ContractPassed)] == [0, 1]


async def test_a_payload_that_breaks_its_contract_is_repaired_with_its_faults() -> None:
    def rules(turn: Turn) -> list[Call]:
        human = [m.text for m in turn.messages if isinstance(m, HumanMessage)]
        return [Call("submit", {"text": 5, "extra": "x"} if len(human) == 1 else {"text": human[-1]})]

    system = with_model(OfflineModel("sloppy", rules))
    result = await system.arun({"text": "go"})
    assert result.output is not None
    assert "text:" in result.output["text"]
    assert "extra:" in result.output["text"]


@pytest.mark.parametrize("repairs", [0, 1, 2])
async def test_repairs_are_bounded_and_then_it_fails(repairs: int) -> None:
    asked: list[int] = []

    def rules(turn: Turn) -> Say:
        asked.append(1)
        return Say("never")

    system = _desk(rules, OnViolation(repair=repairs, then="fail"))
    with pytest.raises(ContractViolation):
        await system.arun({"text": "go"})
    assert len(asked) == repairs + 1
    violated = of_kind(system, only_run(system), ContractViolated)
    assert [v.then for v in violated] == ["repair"] * repairs + ["fail"]


async def test_repairs_are_bounded_and_then_a_person_mends_it() -> None:
    system = _desk(lambda turn: Say("never"), OnViolation(repair=1, then="review"))
    waiting = await system.arun({"text": "go"})
    [review] = waiting.reviews
    assert (review.kind, review.edge) == ("handoff", "triage→billing")
    mended = {review.id: ReviewAnswer(decision="edit", reason="by hand", arguments={"text": "mended"})}
    result = await system.aresume(waiting.thread, mended)
    assert [r.edge for r in result.reviews] == ["billing→end"]
    passed = of_kind(system, result.run, ContractPassed)
    assert [p.edge for p in passed] == ["start→triage", "triage→billing"]


async def test_a_repair_does_not_repeat_what_the_turn_did_before() -> None:
    def rules(turn: Turn) -> list[Call]:
        human = [m for m in turn.messages if isinstance(m, HumanMessage)]
        if not turn.results:
            return [Call("pay", {"cents": 5})]
        return [Call("submit", {"text": "done"} if len(human) > 1 else {"nothing": 1})]

    system = with_model(OfflineModel("once", rules), pay)
    assert (await system.arun({"text": "go"})).output == {"text": "done"}
    assert done == [5]


# -- tools that are not there, or not governed ---------------------------------------------------------------------


@pytest.mark.parametrize("name", ["nothing", "PAY", "pay ", "submit_", "", "handoff_to_root", "__class__"])
async def test_an_unknown_tool_is_denied_on_the_ledger_and_the_model_goes_on(name: str) -> None:
    system = with_model(plays([Call(name, {"cents": 5})]), pay)
    result = await system.arun({"text": "go"})
    assert result.output is not None
    assert "policy.unknown_tool" in result.output["text"]
    [judged] = of_kind(system, result.run, CallJudged)
    assert (judged.tool, judged.verdict, judged.rules) == (name, "deny", ["policy.unknown_tool"])
    assert not done


async def test_an_unknown_tool_asked_for_over_and_over_is_a_loop() -> None:
    asked = Call("nothing", {"cents": 5})
    system = with_model(plays(*[[asked]] * 9), pay)
    with pytest.raises(LoopFound) as caught:
        await system.arun({"text": "go"})
    assert (caught.value.kind, list(caught.value.cycle)) == ("call", ["worker: nothing"])
    run = only_run(system)
    assert len(of_kind(system, run, CallJudged)) == 4
    assert len(of_kind(system, run, ModelReserved)) == 5
    assert [e.status for e in of_kind(system, run, RunEnded)] == ["failed"]


async def test_unknown_tools_that_differ_each_time_are_no_loop() -> None:
    system = with_model(plays(*[[Call("nothing", {"cents": n})] for n in range(6)]), pay)
    assert (await system.arun({"text": "go"})).status == "completed"


@langchain_tool
def shell(command: str) -> str:
    """Run a command."""
    done.append(1)
    return command


class Bringing(AgentMiddleware[Any, Any, Any]):
    """Brings a tool of its own, as LangChain's ready-made ones do."""

    def __init__(self) -> None:
        super().__init__()
        self.tools = [shell]


def test_a_middleware_that_brings_an_ungoverned_tool_is_refused() -> None:
    with pytest.raises(AgentInvalid, match="'shell', which a middleware brings, is not governed"):
        with_model(plays(), pay, middleware=[Bringing()])


async def test_an_ungoverned_tool_that_came_in_later_is_denied() -> None:
    late = Bringing()
    brought, late.tools = late.tools, []
    agent = Agent("worker", version=1, prompt="x", model=plays([Call("shell", {"command": "ls"})]), middleware=[late])
    late.tools = brought
    from support.systems import solo

    system = solo(agent)
    result = await system.arun({"text": "go"})
    assert [j.rules for j in of_kind(system, result.run, CallJudged)] == [["policy.ungoverned_tool"]]
    assert not done


class Rewriting(AgentMiddleware[Any, Any, Any]):
    """Changes what a call says, after the model said it."""

    async def awrap_tool_call(self, request: Any, handler: Any) -> Any:
        return await handler(request.override(tool_call={**request.tool_call, "args": {"cents": 9_000}}))


async def test_arguments_that_a_middleware_changed_are_judged_as_changed() -> None:
    policy = '@id("small") permit(principal, action, resource) when { context.args.cents < 100 };'
    system = with_model(plays([Call("pay", {"cents": 5})]), pay, policy=policy, middleware=[Rewriting()])
    result = await system.arun({"text": "go"})
    assert [j.verdict for j in of_kind(system, result.run, CallJudged)] == ["deny"]
    assert not done


# -- the journal of replies ----------------------------------------------------------------------------------------


async def test_every_reply_is_kept_with_its_call_ids_before_anything_acts_on_it() -> None:
    system = with_model(plays([Call("pay", {"cents": 1}), Call("pay", {"cents": 2})]), pay)
    run = (await system.arun({"text": "go"})).run
    first, second = of_kind(system, run, ReplyKept)
    assert len(first.calls) == 2
    assert len(second.calls) == 1
    assert [s.calls for s in of_kind(system, run, ModelSettled)] == [first.calls, second.calls]
    kinds = [e.kind for e in system.ledger.entries(run)]
    assert kinds.index("reply.kept") < kinds.index("effect.intended")
    assert system.ledger.payload(run, first.reply) is not None


def test_a_handoffs_name_cannot_be_taken_by_a_tool() -> None:
    @tool(name="submit")
    def own() -> str:
        """Submit."""
        return ""

    with pytest.raises(AgentInvalid, match="'submit' is taken"):
        with_model(plays(), own)


class Quiet(AgentMiddleware[Any, Any, Any]):
    """Does nothing."""


def test_an_agent_with_other_middleware_is_another_behaviour() -> None:
    plain, other = [
        Agent("worker", version=1, prompt="Do it.", model=plays(name="with_middleware"), middleware=m).spec(None)
        for m in ([], [Quiet()])
    ]
    assert plain.digest != other.digest

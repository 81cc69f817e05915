"""Six faults of handoffs in plain LangGraph, each shown there, beside the same job here, which does not have it.

What is shown of LangGraph is what its public guides lead to; where a newer version mends a fault, its test fails and
wants to be taken out.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
from edgewright import Agent, Call, OfflineModel, System, Turn
from edgewright.contracts.edge import ALL, NO_HISTORY, History, last, summary
from edgewright.contracts.errors import HandoffConflict
from edgewright.ledger.records import (
    AgentStarted,
    CallJudged,
    ContractPassed,
    ContractViolated,
    EffectDone,
    HandoffAsked,
    ReplyKept,
    RunEnded,
)
from langchain.agents.middleware import AgentMiddleware
from langchain_core.messages import AIMessage, AnyMessage, BaseMessage, ToolMessage
from langchain_openai import ChatOpenAI
from openai import BadRequestError
from pydantic import SecretStr
from support.chats import faults_of_chat
from support.openai_wire import Reply, Wire, offered, openai_wire, said
from support.systems import of_kind, only_run, submitting
from support.upstream import BILLING, SHIPPING, TRIAGE, desk, plain_desk, scripted

REQUEST = "My order A7 is lost. Between us: I am getting divorced."
LOOKUP, ADD = Call("lookup", {"order": "A7"}), Call("add", {"a": 1, "b": 2})
BRIEF = {"task": "refund it", "order": "A7"}
TO_BILLING, TO_SHIPPING = Call("to_billing", BRIEF), Call("to_shipping", {"task": "trace it", "order": "A7"})


def shown_to(who: str, seen: list[Turn]) -> list[BaseMessage]:
    """What a specialist's model saw, its prompt left out."""
    [turn] = [t for t in seen if t.system == who]
    return list(turn.messages[1:])


def told(messages: list[Any]) -> list[tuple[str, str, list[str]]]:
    """Kind, text and called tools of each message."""
    return [(m.type, str(m.text), [c["name"] for c in getattr(m, "tool_calls", ())]) for m in messages]


def unanswered(messages: list[Any]) -> list[str]:
    """The tools whose calls have no result in these messages."""
    answered = {m.tool_call_id for m in messages if isinstance(m, ToolMessage)}
    calls = [c for m in messages if isinstance(m, AIMessage) for c in m.tool_calls]
    return [c["name"] for c in calls if c["id"] not in answered]


def handed_over(system: System, run: str, to: str) -> ContractPassed:
    """The record of what crossed to a specialist."""
    [found] = [p for p in of_kind(system, run, ContractPassed) if p.edge == f"triage→{to}"]
    return found


# -- 1: the agent's own earlier messages are lost --------------------------------------------------------------------


async def test_plain_langgraph_loses_what_an_agent_said_and_found_before_it_hands_over() -> None:
    seen: list[Turn] = []
    end = await plain_desk(scripted([LOOKUP], [TO_BILLING], seen=seen), REQUEST)
    assert [calls for _, _, calls in told(end)] == [[], ["transfer_to_billing"], [], []]
    assert "A7 is lost" not in [m.text for m in end]  # the result that triage had, and billing needs
    assert "lookup" not in str(shown_to(BILLING, seen))


async def test_what_an_agent_said_and_found_crosses_where_the_edge_says_so() -> None:
    seen: list[Turn] = []
    system = desk(scripted([LOOKUP], [ADD], [TO_BILLING], seen=seen), history=ALL)
    result = await system.arun({"text": REQUEST})
    messages = shown_to(BILLING, seen)
    assert told(messages[1:-1]) == [
        ("ai", "", ["lookup"]),
        ("tool", "A7 is lost", []),
        ("ai", "", ["add"]),
        ("tool", "3", []),
    ]
    assert json.loads(str(messages[0].text))["text"] == REQUEST
    assert json.loads(str(messages[-1].text)) == BRIEF
    assert faults_of_chat(messages) == []
    assert handed_over(system, result.run, "billing").history_kept == 5
    assert len([r for r in of_kind(system, result.run, ReplyKept) if r.agent == "triage"]) == 3


async def test_of_what_an_agent_said_the_newest_messages_cross_where_the_edge_says_so() -> None:
    seen: list[Turn] = []
    system = desk(scripted([LOOKUP], [ADD], [TO_BILLING], seen=seen), history=last(2))
    result = await system.arun({"text": REQUEST})
    messages = shown_to(BILLING, seen)
    assert told(messages[1:-1]) == [("ai", "", ["add"]), ("tool", "3", [])]
    assert faults_of_chat(messages) == []
    assert handed_over(system, result.run, "billing").history_withheld > 0


async def test_what_an_agent_said_crosses_summed_up_where_the_edge_says_so() -> None:
    seen: list[Turn] = []
    read: list[Any] = []

    def sums_up(turn: Turn) -> list[Call]:
        read.extend(turn.request["messages"])
        return [Call("submit", {"summary": "Order A7 is lost."})]

    by = Agent("clerk", version=1, prompt="Sum it up.", model=OfflineModel("clerk", sums_up))
    system = desk(scripted([LOOKUP], [TO_BILLING], seen=seen), history=summary(by))
    result = await system.arun({"text": REQUEST})
    first, brief = shown_to(BILLING, seen)
    assert "Order A7 is lost." in first.text
    assert json.loads(str(brief.text)) == BRIEF
    assert [m["who"] for m in read] == ["user", "agent", "tool lookup"]
    assert handed_over(system, result.run, "billing").history_kept == 1


# -- 2: an ordinary call beside a handoff stays without a result -----------------------------------------------------


@pytest.fixture
def wire() -> Iterator[Wire]:
    """A server that, as OpenAI's does, refuses a chat with a call that has no result."""

    def script(request: dict[str, Any]) -> Reply:
        if said(request, "system") != [TRIAGE]:
            return Reply(calls=[("submit", '{"text": "done"}')]) if "submit" in offered(request) else Reply(text="done")
        [handoff] = [t for t in offered(request) if t.endswith("to_billing")]
        arguments = json.dumps(BRIEF) if handoff.startswith("handoff") else "{}"
        return Reply(
            text="So:", calls=[("add", '{"a": 1, "b": 2}'), (handoff, arguments), ("lookup", '{"order": "A7"}')]
        )

    with openai_wire(script) as found:
        yield found


@pytest.fixture
async def model(wire: Wire) -> AsyncIterator[ChatOpenAI]:
    """A model of that server, with connections of its own: LangChain's outlive the event loop of a test."""
    async with httpx.AsyncClient() as client:
        yield ChatOpenAI(
            model="gpt-4o-mini",
            base_url=wire.url,
            api_key=SecretStr("sk-test"),
            max_retries=0,
            max_completion_tokens=500,
            http_async_client=client,
        )


async def test_plain_langgraph_leaves_a_call_beside_a_handoff_without_its_result() -> None:
    end = await plain_desk(scripted([ADD, TO_BILLING, LOOKUP]), REQUEST)
    assert unanswered(end) == ["add", "lookup"]
    assert faults_of_chat(end) != []


async def test_plain_langgraph_then_asks_the_next_model_what_providers_refuse(wire: Wire, model: ChatOpenAI) -> None:
    with pytest.raises(BadRequestError, match="tool calls without an answer"):
        await plain_desk(model, REQUEST)
    assert len(wire.requests) == 2


async def test_calls_beside_a_handoff_are_each_gated_once_and_cross_with_their_results() -> None:
    seen: list[Turn] = []
    system = desk(scripted([ADD, TO_BILLING, LOOKUP], seen=seen), history=ALL)
    run = (await system.arun({"text": REQUEST})).run
    messages = shown_to(BILLING, seen)
    assert unanswered(messages) == []
    assert told(messages[1:-1]) == [("ai", "", ["add", "lookup"]), ("tool", "3", []), ("tool", "A7 is lost", [])]
    assert faults_of_chat(messages) == []
    judged = [(j.tool, j.verdict) for j in of_kind(system, run, CallJudged)]
    assert sorted(judged) == [("add", "allow"), ("lookup", "allow")]
    assert sorted(d.tool for d in of_kind(system, run, EffectDone)) == ["add", "lookup"]
    assert len([t for t in seen if t.system == TRIAGE]) == 1  # and the model is not asked again


async def test_the_next_model_is_asked_what_its_provider_takes(wire: Wire, model: ChatOpenAI) -> None:
    result = await desk(model, history=ALL).arun({"text": REQUEST})
    assert result.output == {"text": "done"}
    _, billing = wire.requests
    assert [m["role"] for m in billing["messages"]] == ["system", "user", "assistant", "tool", "tool", "user"]
    _, _, reply, *results, brief = billing["messages"]
    assert [c["function"]["name"] for c in reply["tool_calls"]] == ["add", "lookup"]
    assert [(r["tool_call_id"], r["content"]) for r in results] == [
        (c["id"], text) for c, text in zip(reply["tool_calls"], ["3", "A7 is lost"], strict=True)
    ]
    assert json.loads(brief["content"]) == BRIEF


# -- 3: of two handoffs in one turn the second is dropped ------------------------------------------------------------


async def test_plain_langgraph_drops_one_of_two_handoffs_without_a_word() -> None:
    seen: list[Turn] = []
    end = await plain_desk(scripted([TO_BILLING, TO_SHIPPING], seen=seen), REQUEST)
    assert len([t for t in seen if t.system in (BILLING, SHIPPING)]) == 1
    assert len(unanswered(end)) == 1


async def test_two_handoffs_of_a_declared_fan_out_both_arrive() -> None:
    seen: list[Turn] = []

    def closes(turn: Turn) -> list[Call]:
        seen.append(turn)
        return [submitting(", ".join(r["agent"] for r in turn.request["results"]))]

    closing = Agent("closing", version=1, prompt="You close.", model=OfflineModel("closing", closes))
    system = desk(scripted([TO_BILLING, TO_SHIPPING], seen=seen), aggregator=closing)
    result = await system.arun({"text": REQUEST})
    assert result.output == {"text": "billing, shipping"}
    assert json.loads(str(shown_to(BILLING, seen)[-1].text)) == BRIEF
    assert json.loads(str(shown_to(SHIPPING, seen)[-1].text)) == TO_SHIPPING.arguments
    [closed] = [t for t in seen if t.system == "You close."]
    assert closed.request["results"] == [
        {"agent": "billing", "answer": {"finding": "done"}},
        {"agent": "shipping", "answer": {"finding": "done"}},
    ]
    out = [(p.edge, p.branch) for p in of_kind(system, result.run, ContractPassed) if p.branch >= 0]
    assert out == [("triage→billing", 0), ("triage→shipping", 1), ("billing→closing", 0), ("shipping→closing", 1)]


async def test_two_handoffs_that_no_fan_out_declares_are_refused_by_both_names() -> None:
    seen: list[Turn] = []
    system = desk(scripted([TO_BILLING, TO_SHIPPING], seen=seen))
    with pytest.raises(HandoffConflict) as caught:
        await system.arun({"text": REQUEST})
    assert sorted(caught.value.targets) == ["billing", "shipping"]
    assert "billing" in str(caught.value)
    assert "shipping" in str(caught.value)
    assert [t.system for t in seen] == [TRIAGE]
    run = only_run(system)
    assert sorted(h.target for h in of_kind(system, run, HandoffAsked)) == ["billing", "shipping"]
    [ended] = of_kind(system, run, RunEnded)
    assert (ended.status, "billing" in ended.reason, "shipping" in ended.reason) == ("failed", True, True)


# -- 4: the whole history leaks --------------------------------------------------------------------------------------


async def test_plain_langgraph_shows_the_next_agent_the_whole_history() -> None:
    seen: list[Turn] = []
    await plain_desk(scripted([TO_BILLING], seen=seen), REQUEST)
    assert "divorced" in str(shown_to(BILLING, seen))


@pytest.mark.parametrize("history", [NO_HISTORY, last(1), last(2)], ids=["none", "last 1", "last 2"])
async def test_the_next_agent_sees_its_brief_and_what_the_edge_lets_cross(history: History) -> None:
    seen: list[Turn] = []
    system = desk(scripted([LOOKUP], [TO_BILLING], seen=seen), history=history)
    run = (await system.arun({"text": REQUEST})).run
    messages = shown_to(BILLING, seen)
    assert "divorced" not in str(messages)
    assert json.loads(str(messages[-1].text)) == BRIEF
    crossed = handed_over(system, run, "billing")
    assert crossed.history_kept == len(messages) - 1
    assert crossed.history_withheld > 0
    assert ["text", "not declared"] in crossed.withheld  # what is withheld is on the ledger, by name
    [handed] = [s for s in of_kind(system, run, AgentStarted) if s.agent == "billing@1"]
    kept = system.ledger.exact(run, handed.input)
    assert kept is not None
    assert json.loads(kept) == BRIEF


# -- 5: there is no brief --------------------------------------------------------------------------------------------


async def test_plain_langgraph_hands_over_without_saying_what_for() -> None:
    seen: list[Turn] = []
    await plain_desk(scripted([TO_BILLING], seen=seen), REQUEST)
    request, asked, transferred = shown_to(BILLING, seen)
    assert request.text == REQUEST  # written to triage, and all that billing has to go by
    assert isinstance(asked, AIMessage)
    assert [c["args"] for c in asked.tool_calls] == [{}]
    assert transferred.text == "Transferred to billing."


async def test_a_brief_crosses_as_its_contract_has_it() -> None:
    seen: list[Turn] = []
    system = desk(scripted([TO_BILLING], seen=seen))
    run = (await system.arun({"text": REQUEST})).run
    [brief] = shown_to(BILLING, seen)
    assert json.loads(str(brief.text)) == BRIEF
    crossed = handed_over(system, run, "billing")
    assert (crossed.contract, crossed.fields) == ("Brief@1", ["order", "task"])


async def test_a_handoff_without_its_brief_goes_back_and_never_arrives() -> None:
    seen: list[Turn] = []
    system = desk(scripted([Call("to_billing")], [TO_BILLING], seen=seen))
    run = (await system.arun({"text": REQUEST})).run
    [violated] = of_kind(system, run, ContractViolated)
    assert violated.faults == ["task: Field required", "order: Field required"]
    assert json.loads(str(shown_to(BILLING, seen)[0].text)) == BRIEF


# -- 6: after_agent is skipped ---------------------------------------------------------------------------------------


class Closing(AgentMiddleware[Any, Any, Any]):
    """Keeps books at the end of its agent: what it closed, and the messages it saw."""

    def __init__(self) -> None:
        super().__init__()
        self.before = 0
        self.after: list[list[AnyMessage]] = []

    def before_agent(self, state: Any, runtime: Any) -> None:
        self.before += 1

    def after_agent(self, state: Any, runtime: Any) -> None:
        self.after.append(list(state["messages"]))


@pytest.mark.parametrize("calls", [[TO_BILLING], [ADD, TO_BILLING]], ids=["alone", "beside a call"])
async def test_plain_langgraph_skips_after_agent(calls: list[Call]) -> None:
    books = Closing()
    await plain_desk(scripted(calls), REQUEST, books)
    assert (books.before, books.after) == (1, [])


@pytest.mark.parametrize("calls", [[TO_BILLING], [ADD, TO_BILLING]], ids=["alone", "beside a call"])
async def test_after_agent_runs_and_sees_a_talk_that_is_whole(calls: list[Call]) -> None:
    books = Closing()
    result = await desk(scripted(calls), books).arun({"text": REQUEST})
    assert result.output == {"text": "done"}
    assert books.before == 1
    [messages] = books.after
    assert unanswered(messages) == []


async def test_after_agent_runs_for_each_turn_that_is_repaired() -> None:
    books = Closing()
    await desk(scripted([Call("to_billing")], [TO_BILLING]), books).arun({"text": REQUEST})
    assert (books.before, len(books.after)) == (2, 2)
    assert [unanswered(messages) for messages in books.after] == [[], []]

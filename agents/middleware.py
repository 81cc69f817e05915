"""What stands inside every model-driven agent: the journal of its model's replies, and the handoffs it asks for."""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any, NotRequired

import orjson
from langchain.agents.middleware import AgentMiddleware, AgentState
from langchain.agents.middleware.types import ModelRequest, ModelResponse, ToolCallRequest
from langchain_core.messages import AIMessage, ToolMessage
from langgraph.config import get_config
from langgraph.types import Command

from ..contracts.budget import Amounts
from ..contracts.digest import digest
from ..contracts.errors import LedgerCorrupt
from ..ledger.entry import Draft
from ..ledger.records import CallJudged, HandoffAsked, ReplyKept, ReplyReused
from ..tools.position import NS
from ..tools.run import Activation, active, payload_of
from ..tools.sealed import SealedTool
from ..tools.tracing import annotate
from .handoff import HandoffTool


class GovernedState(AgentState[Any]):
    """LangChain's agent state, and the handoffs asked for so far."""

    handoffs: NotRequired[Annotated[list[dict[str, Any]], operator.add]]


class Governance(AgentMiddleware[Any, Any, Any]):
    """Outermost in the agent. Keeps each reply before anything acts on it; takes handoffs; answers unknown tools."""

    state_schema = GovernedState

    def __init__(self, handoffs: Mapping[str, HandoffTool]) -> None:
        super().__init__()
        self._handoffs = dict(handoffs)
        self.tools = []

    async def awrap_model_call(
        self,
        request: ModelRequest[Any],
        handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]],
    ) -> ModelResponse[Any]:
        """Ask the model, or take the reply it gave before a crash; keep the reply."""
        state: Mapping[str, Any] = request.state
        if asked := state.get("handoffs"):
            # A handoff beside ordinary calls: all are answered, and the turn is over without asking again.
            return ModelResponse(result=[AIMessage(content=f"Handed over to {asked[-1]['target']}.")])
        activation, ns = _here()
        run = activation.run
        path = run.positions.path(ns)
        kept = run.journal.get(f"reply:{path}")
        if isinstance(kept, ReplyKept):
            message = await _loaded(activation, kept)
            run.positions.know(kept.at, kept.calls)
            run.note(Draft(record=ReplyReused(at=kept.at, agent=activation.agent)))
            return ModelResponse(result=[message])
        response = await handler(request)
        message = _with_own_ids(response.result[0])
        at = run.positions.latest(ns)
        ids = [str(call["id"]) for call in message.tool_calls]
        run.positions.know(at, ids)
        body = orjson.dumps(message.model_dump(mode="json"), option=orjson.OPT_SORT_KEYS)
        reply = digest(orjson.loads(body))
        record = ReplyKept(at=at, agent=activation.agent, reply=reply, calls=ids)
        # Not waited for: any effect this reply asks for waits for its own intent, which is queued after this.
        run.note(Draft(record=record, key=f"reply:{path}", payloads=((reply, body),)))
        for index, call in enumerate(message.invalid_tool_calls):
            # LangChain answers these with its parse error; nothing of them is executed.
            why = "its arguments are not a JSON object"
            _refused(activation, f"{at}.{len(ids) + index}", call, "arguments.unreadable", why)
        return ModelResponse(result=[message, *response.result[1:]], structured_response=response.structured_response)

    async def awrap_tool_call(
        self,
        request: ToolCallRequest,
        handler: Callable[[ToolCallRequest], Awaitable[ToolMessage | Command[Any]]],
    ) -> ToolMessage | Command[Any]:
        """Take a handoff; refuse a tool that is not there; pass on the rest, which has a gate of its own."""
        call = request.tool_call
        activation, ns = _here()
        run, at = activation.run, activation.run.positions.call(ns, call["id"])
        if call["name"] in self._handoffs:
            target = self._handoffs[call["name"]].target
            if f"handoff:{at}" not in run.journal:  # else a re-execution, counted before
                one = Amounts(handoffs=1)
                run.spend(activation.agent, activation.limits, one)
            run.note(Draft(record=HandoffAsked(at=at, agent=activation.agent, target=target), key=f"handoff:{at}"))
            answer = ToolMessage(
                content=f"Handover to {target} noted.", name=call["name"], tool_call_id=str(call["id"])
            )
            asked = [{"target": target, "payload": call["args"], "at": at}]
            return Command(update={"messages": [answer], "handoffs": asked})
        if request.tool is None:
            _refused(activation, at, call, "policy.unknown_tool", "this agent has no such tool")
            text = f"Denied by policy [policy.unknown_tool]: this agent has no tool {call['name']!r}"
        elif not isinstance(request.tool, SealedTool):
            _refused(activation, at, call, "policy.ungoverned_tool", "this tool was not declared with @tool")
            text = f"Denied by policy [policy.ungoverned_tool]: {call['name']!r} was not declared with @tool"
        else:
            return await handler(request)
        return ToolMessage(content=text, name=str(call["name"]), tool_call_id=str(call["id"]), status="error")


def _here() -> tuple[Activation, str]:
    activation = active()
    assert activation is not None, "an agent is only run by its node, which sets the activation"
    metadata = get_config().get("metadata") or {}
    return activation, str(metadata.get(NS) or activation.ns)


async def _loaded(activation: Activation, kept: ReplyKept) -> AIMessage:
    import asyncio

    run = activation.run
    body = await asyncio.to_thread(run.ledger.payload, run.grounds.run, kept.reply)
    if body is None:
        raise LedgerCorrupt(run=run.grounds.run, seq=-1, fault=f"the kept reply {kept.reply} is gone")
    return AIMessage.model_validate(orjson.loads(body))


def _with_own_ids(message: Any) -> AIMessage:
    """The reply with call ids that are there and unique, which some providers fail to give."""
    assert isinstance(message, AIMessage)
    counts = Counter(call["id"] for call in message.tool_calls)
    if all(call_id and n == 1 for call_id, n in counts.items()):
        return message
    calls = [{**call, "id": f"{call['id'] or 'call'}_{i}"} for i, call in enumerate(message.tool_calls)]
    return message.model_copy(update={"tool_calls": calls})


def _refused(activation: Activation, at: str, call: Mapping[str, Any], rule: str, reason: str) -> None:
    """Record the denial of a call that never gets to a gate of its own."""
    try:
        body = payload_of(call["args"])
    except TypeError:
        body = payload_of({"unreadable": repr(call["args"])[:2000]})
    record = CallJudged(
        at=at,
        agent=activation.agent,
        tool=str(call["name"]),
        tool_digest="",
        arguments=body[0],
        verdict="deny",
        rules=[rule],
        reasons=[reason],
        policy_digest="",
    )
    activation.run.note(Draft(record=record, key=f"judged:{at}:deny:{body[0][:16]}", payloads=(body,)))
    annotate(activation.run.verdicts[at], trace=True)

"""What stands inside every model-driven agent: the journal of its model's replies, and the intents it asks for.

How a model is asked is in `edgewright.agents.calling`.
"""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Annotated, Any, NotRequired

import orjson
from langchain.agents.middleware import AgentMiddleware, AgentState
from langchain.agents.middleware.types import ExtendedModelResponse, ModelRequest, ModelResponse, ToolCallRequest
from langchain_core.messages import AIMessage, ToolMessage
from langgraph.config import get_config
from langgraph.types import Command

from ..contracts.budget import Amounts
from ..contracts.errors import LedgerCorrupt
from ..ledger.entry import Draft
from ..ledger.records import CallJudged, HandoffAsked, ReplyKept, ReplyReused
from ..tools.position import NS
from ..tools.reserving import charge
from ..tools.run import Activation, active
from ..tools.sealed import SealedTool
from ..tools.tracing import annotate
from .calling import Caller
from .handoff import OURS, IntentTool


class GovernedState(AgentState[Any]):
    """LangChain's agent state; the intents asked for so far: `kind`, `target`, `payload`, `at`; marks, as JSON."""

    intents: NotRequired[Annotated[list[dict[str, Any]], operator.add]]
    marks: NotRequired[Annotated[list[dict[str, str]], operator.add]]


class Governance(AgentMiddleware[Any, Any, Any]):
    """Outermost in the agent. Keeps each reply before anything acts on it; takes intents; answers unknown tools."""

    state_schema = GovernedState

    def __init__(self, intents: Mapping[str, IntentTool], caller: Caller) -> None:
        super().__init__()
        self._intents, self._caller = dict(intents), caller
        self.tools = []

    async def awrap_model_call(
        self,
        request: ModelRequest[Any],
        handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]],
    ) -> ModelResponse[Any] | ExtendedModelResponse[Any]:
        """Ask the model, or take the reply it gave before a crash; keep the reply."""
        state: Mapping[str, Any] = request.state
        if asked := [i["target"] for i in state.get("intents") or () if i["kind"] == "handoff"]:
            # A handoff beside ordinary calls: all are answered, and the turn is over without asking again.
            said = f"Handed over to {', '.join(asked)}."
            return ModelResponse(result=[AIMessage(content=said, additional_kwargs={OURS: "handover"})])
        activation, ns = _here()
        run = activation.run
        path = run.positions.path(ns)
        kept = run.journal.get(f"reply:{path}")
        if isinstance(kept, ReplyKept):
            message = await _loaded(activation, kept)
            run.positions.know(kept.at, kept.calls)
            run.note(Draft(record=ReplyReused(at=kept.at, agent=activation.agent)))
            return _marked(ModelResponse(result=[message]), kept.marks)
        found = await self._caller.call(_reachable(request, activation), handler, activation, path)
        response = found.response
        message = _with_own_ids(response.result[0])
        ids = [str(call["id"]) for call in message.tool_calls]
        # The newest reply of this node counts; the gate has placed it, unless no model was asked.
        at = run.positions.latest(ns) if found.asked else run.positions.reply(ns, ids)
        run.positions.know(at, ids)
        reply = run.knows.kept(message.model_dump(mode="json"))
        marks = [[m.kind, m.agent, m.why] for m in found.marks]
        record = ReplyKept(at=at, agent=activation.agent, reply=reply.ref, calls=ids, marks=marks)
        # Not waited for: any effect this reply asks for waits for its own intent, which is queued after this.
        run.note(Draft(record=record, key=f"reply:{path}", payloads=(reply,)))
        for index, call in enumerate(message.invalid_tool_calls):
            # LangChain answers these with its parse error; nothing of them is executed.
            why = "its arguments are not a JSON object"
            _refused(activation, f"{at}.{len(ids) + index}", call, "arguments.unreadable", why)
        whole = [message, *response.result[1:]]
        return _marked(ModelResponse(result=whole, structured_response=response.structured_response), marks)

    async def awrap_tool_call(
        self,
        request: ToolCallRequest,
        handler: Callable[[ToolCallRequest], Awaitable[ToolMessage | Command[Any]]],
    ) -> ToolMessage | Command[Any]:
        """Take a handoff; refuse a tool that is not there; pass on the rest, which has a gate of its own."""
        call = request.tool_call
        activation, ns = _here()
        at = activation.run.positions.call(ns, call["id"])
        if (intent := self._intents.get(call["name"])) is not None:
            return await self._noted(intent, call, at, activation)
        if request.tool is None:
            _refused(activation, at, call, "policy.unknown_tool", "this agent has no such tool")
            text = f"Denied by policy [policy.unknown_tool]: this agent has no tool {call['name']!r}"
        elif not isinstance(request.tool, SealedTool):
            _refused(activation, at, call, "policy.ungoverned_tool", "this tool was not declared with @tool")
            text = f"Denied by policy [policy.ungoverned_tool]: {call['name']!r} was not declared with @tool"
        else:
            return await handler(request)
        return ToolMessage(content=text, name=str(call["name"]), tool_call_id=str(call["id"]), status="error")

    async def _noted(
        self, intent: IntentTool, call: Mapping[str, Any], at: str, activation: Activation
    ) -> Command[Any]:
        """Count a handoff, once for its place in the run, and take what was asked for. Raises BudgetExceeded."""
        run, payload = activation.run, call["args"]
        said = f"Handover to {intent.target} noted."
        if intent.kind == "handoff":
            if f"handoff:{at}" not in run.journal:  # else a re-execution, counted before
                await charge(activation, Amounts(handoffs=1), call=f"handoff:{at}", at=at)
            asked = HandoffAsked(at=at, agent=activation.agent, target=intent.target)
            run.note(Draft(record=asked, key=f"handoff:{at}"))
        else:
            payload, said = payload.get("value"), f"Write of {intent.target} noted; it is made when you hand over."
        answer = ToolMessage(content=said, name=call["name"], tool_call_id=str(call["id"]))
        noted = [{"kind": intent.kind, "target": intent.target, "payload": payload, "at": at}]
        return Command(update={"messages": [answer], "intents": noted})


def _reachable(request: ModelRequest[Any], activation: Activation) -> ModelRequest[Any]:
    """The request without the tools that this agent may never call: a model is not tempted by what it cannot see."""
    policy = activation.run.grounds.policy
    hidden = policy.hidden_from(activation.agent) if policy is not None else frozenset()
    shown = [t for t in request.tools if getattr(t, "name", None) not in hidden]
    return request.override(tools=shown) if len(shown) < len(request.tools) else request


def _marked(
    response: ModelResponse[Any], marks: Sequence[Sequence[str]]
) -> ModelResponse[Any] | ExtendedModelResponse[Any]:
    """The response, with what a reader of the answer has to know of it."""
    if not marks:
        return response
    told = [{"kind": kind, "agent": agent, "why": why} for kind, agent, why in marks]
    return ExtendedModelResponse(model_response=response, command=Command(update={"marks": told}))


def _here() -> tuple[Activation, str]:
    activation = active()
    assert activation is not None, "an agent is only run by its node, which sets the activation"
    metadata = get_config().get("metadata") or {}
    return activation, str(metadata.get(NS) or activation.ns)


async def _loaded(activation: Activation, kept: ReplyKept) -> AIMessage:
    import asyncio

    run = activation.run
    body = await asyncio.to_thread(run.ledger.exact, run.grounds.run, kept.reply)
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
    """Record the denial of a call that never gets to a gate of its own.

    Raises:
        LoopFound: it was denied so often that asking once more is a loop.
    """
    run, knows = activation.run, activation.run.knows
    try:
        body = knows.kept(call["args"])
    except TypeError:
        body = knows.kept({"unreadable": repr(call["args"])})  # never cut: half a find would not be found
    tool = knows.text(str(call["name"]))  # the model made it up
    run.trail.refuse_call(activation.agent, tool, body.ref, at=at)
    record = CallJudged(
        at=at,
        agent=activation.agent,
        tool=tool,
        tool_digest="",
        arguments=body.ref,
        verdict="deny",
        rules=[rule],
        reasons=[reason],
        policy_digest="",
    )
    run.note(Draft(record=record, key=f"judged:{at}:deny:{body.ref[:16]}", payloads=(body,)))
    annotate(run.verdicts[at], trace=True)

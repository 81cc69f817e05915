"""A desk in plain LangGraph, as the public guides teach it: agents of `create_agent`, and handoff tools of one's own.

Such a tool returns a command to the parent graph, with the model's last reply and a result for its own call. The desk
triages, then billing or shipping answers; the same job as `desk` of Edgewright, with the same models.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from edgewright import (
    Agent,
    Call,
    Contract,
    OfflineModel,
    Policy,
    Say,
    Supervisor,
    System,
    Turn,
    tool,
    ungoverned,
)
from edgewright.contracts.edge import NO_HISTORY, History
from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware
from langchain.tools import ToolRuntime
from langchain.tools import tool as langchain_tool
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, ToolMessage
from langchain_core.tools import BaseTool
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.types import Command
from pydantic import BaseModel
from support.systems import PERMIT_ALL, Answer, Question

TRIAGE, BILLING, SHIPPING = "You triage.", "You do billing.", "You do shipping."


# -- plain LangGraph -------------------------------------------------------------------------------------------------


@langchain_tool("add")
def plain_add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@langchain_tool("lookup")
def plain_lookup(order: str) -> str:
    """Look an order up."""
    return f"{order} is lost"


def transfer_to(target: str) -> BaseTool:
    """The handoff tool of the guides."""

    @langchain_tool(f"transfer_to_{target}")
    def transfer(runtime: ToolRuntime[Any, Any]) -> Command[Any]:
        """Transfer to a colleague."""
        state: Any = runtime.state
        reply = next(m for m in reversed(state["messages"]) if isinstance(m, AIMessage))
        result = ToolMessage(f"Transferred to {target}.", tool_call_id=str(runtime.tool_call_id))
        return Command(goto=target, graph=Command.PARENT, update={"messages": [reply, result]})

    return transfer


async def plain_desk(
    model: BaseChatModel, request: str, *middleware: AgentMiddleware[Any, Any, Any]
) -> list[AnyMessage]:
    """Run the desk in plain LangGraph; returns the messages of its state at the end."""
    tools = [plain_add, plain_lookup, transfer_to("billing"), transfer_to("shipping")]
    graph = StateGraph(MessagesState)
    triage = create_agent(model, tools, system_prompt=TRIAGE, middleware=middleware, name="triage")
    graph.add_node("triage", triage, destinations=("billing", "shipping"))
    for name, prompt in (("billing", BILLING), ("shipping", SHIPPING)):
        graph.add_node(name, create_agent(model, system_prompt=prompt, name=name))
        graph.add_edge(name, END)
    graph.add_edge(START, "triage")
    with ungoverned():
        state = await graph.compile().ainvoke({"messages": [HumanMessage(request)]})
    found: list[AnyMessage] = state["messages"]
    return found


# -- Edgewright ------------------------------------------------------------------------------------------------------


class Brief(BaseModel):
    """What a specialist needs to do its part."""

    task: str
    order: str


class Finding(BaseModel):
    """What a specialist found out."""

    finding: str


TAKES, BRIEF, ANSWER = Contract(Question, version=1), Contract(Brief, version=1), Contract(Answer, version=1)
FINDING = Contract(Finding, version=1)


@tool(effect="read", output="trusted", sensitivity="public", sink=False)
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@tool(effect="read", output="trusted", sensitivity="public", sink=False)
def lookup(order: str) -> str:
    """Look an order up."""
    return f"{order} is lost"


def desk(
    model: BaseChatModel,
    *middleware: AgentMiddleware[Any, Any, Any],
    history: History = NO_HISTORY,
    aggregator: Agent | None = None,
) -> System:
    """The desk on Edgewright; with an aggregator, triage may hand over to both at once."""
    return System(
        "desk",
        version=1,
        topology=Supervisor(
            router=Agent("triage", version=1, prompt=TRIAGE, tools=[add, lookup], middleware=middleware),
            specialists=[
                Agent("billing", version=1, prompt=BILLING),
                Agent("shipping", version=1, prompt=SHIPPING),
            ],
            takes=TAKES,
            brief=BRIEF,
            answer=ANSWER,
            history=history,
            aggregator=aggregator,
            finding=FINDING if aggregator else None,
        ),
        policy=Policy(text=PERMIT_ALL),
        model=model,
    )


# -- one model for both ----------------------------------------------------------------------------------------------


def scripted(*replies: Sequence[Call], seen: list[Turn] | None = None, name: str = "upstream") -> OfflineModel:
    """Triage gives these replies in order; each specialist answers at once, by what it can: a tool, or plain words.

    A call of `to_billing` or `to_shipping` is one of the handoff tool that is on offer; what the guides' tool does not
    take is left out.
    """

    def rules(turn: Turn) -> Say | Sequence[Call]:
        if seen is not None:
            seen.append(turn)
        if turn.system != TRIAGE:
            words = {"submit": "text", "handoff_to_closing": "finding"}
            called = next((Call(t, {field: "done"}) for t, field in words.items() if t in turn.tools), None)
            return [called] if called else Say("done")
        said = sum(isinstance(m, AIMessage) for m in turn.messages)
        return [_handed(call, turn) for call in replies[min(said, len(replies) - 1)]]

    return OfflineModel(name, rules)


def _handed(call: Call, turn: Turn) -> Call:
    if not call.name.startswith("to_"):
        return call
    if f"handoff_{call.name}" in turn.tools:
        return Call(f"handoff_{call.name}", call.arguments)
    return Call(f"transfer_{call.name}")

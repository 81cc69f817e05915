"""The support job by LangGraph, LangChain and LangGraph's own packages: by hand, with agents as tools, by handovers."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, cast

import orjson
from edgewright import Call, OfflineModel, Say, Turn
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langchain_core.tools import BaseTool
from langchain_core.tools import tool as langchain_tool
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode

from bench.support_desk import BILLING, TRIAGE, WRITER, Desk

Built = Callable[[Any], Any]
"""Compiles it over a checkpointer."""


def _looks_up(desk: Desk) -> BaseTool:
    @langchain_tool
    async def look_up(customer: str) -> dict[str, Any]:
        """Look a customer's newest invoice up."""
        return desk.look_up(customer)

    return look_up


def raw(desk: Desk) -> Built:
    """Nodes and edges by hand: three models, a `ToolNode`, one list of messages."""
    tool = _looks_up(desk)
    triage, writer = desk.model("triage"), desk.model("writer")
    billing = cast("Any", desk.model("billing").bind_tools([tool]))

    def asking(model: Any, prompt: str) -> Any:
        async def ask(state: MessagesState) -> dict[str, Any]:
            return {"messages": [await model.ainvoke([SystemMessage(prompt), *state["messages"]])]}

        return ask

    def onwards(state: MessagesState) -> str:
        last = state["messages"][-1]
        return "tools" if isinstance(last, AIMessage) and last.tool_calls else "writer"

    graph = StateGraph(MessagesState)
    graph.add_node("triage", asking(triage, TRIAGE))
    graph.add_node("billing", asking(billing, BILLING))
    graph.add_node("tools", ToolNode([tool]))
    graph.add_node("writer", asking(writer, WRITER))
    graph.add_edge(START, "triage")
    graph.add_edge("triage", "billing")
    graph.add_conditional_edges("billing", onwards, ["tools", "writer"])
    graph.add_edge("tools", "billing")
    graph.add_edge("writer", END)
    return lambda saver: graph.compile(checkpointer=saver)


def agent_as_tool(desk: Desk) -> Built:
    """An agent of `create_agent` that has another one for a tool."""
    inner: Any = create_agent(desk.model("billing"), [_looks_up(desk)], system_prompt=BILLING, name="billing")

    @langchain_tool
    async def billing(customer: str, text: str) -> str:
        """Ask billing."""
        brief = orjson.dumps({"customer": customer, "text": text}).decode()
        told = await inner.ainvoke({"messages": [HumanMessage(brief)]})
        return str(told["messages"][-1].text)

    return lambda saver: create_agent(
        desk.model("triage"), [billing], system_prompt=TRIAGE, checkpointer=saver, name="triage"
    )


def by_supervisor(desk: Desk) -> Built:
    """langgraph-supervisor. Raises ImportError where it is not installed."""
    from langgraph_supervisor import create_supervisor

    inner: Any = create_agent(desk.model("billing"), [_looks_up(desk)], system_prompt=BILLING, name="billing")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it stands on what LangGraph deprecates
        graph = create_supervisor([inner], model=desk.model("triage"), prompt=TRIAGE)
    return lambda saver: graph.compile(checkpointer=saver)


def by_swarm(desk: Desk) -> Built:
    """langgraph-swarm. Raises ImportError where it is not installed."""
    from langgraph_swarm import create_handoff_tool, create_swarm

    to_billing, to_triage = create_handoff_tool(agent_name="billing"), create_handoff_tool(agent_name="triage")
    triage: Any = create_agent(desk.model("triage"), [to_billing], system_prompt=TRIAGE, name="triage")
    billing: Any = create_agent(
        desk.model("billing"), [_looks_up(desk), to_triage], system_prompt=BILLING, name="billing"
    )
    graph = create_swarm([triage, billing], default_active_agent="triage")
    return lambda saver: graph.compile(checkpointer=saver)


async def parallel_handovers(count: int) -> int:
    """How many of `count` specialists answer whom a supervisor of langgraph-supervisor hands over to in one reply."""
    from langgraph_supervisor import create_supervisor

    ran = set[str]()

    def heads(turn: Turn) -> Say | list[Call]:
        return Say("done") if turn.results else [Call(name) for name in sorted(turn.tools)]

    def specialist(name: str) -> Any:
        def rules(_: Turn) -> Say:
            ran.add(name)
            return Say(name)

        return create_agent(OfflineModel(f"bench_{name}", rules), [], name=name)

    names = [f"specialist_{i}" for i in range(count)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        graph = create_supervisor(
            [specialist(n) for n in names], model=OfflineModel("bench_parallel", heads), parallel_tool_calls=True
        )
        await graph.compile().ainvoke({"messages": [HumanMessage("All of you.")]})
    return len(ran)


def answer_of(left: Any) -> str:
    """The last message, which is the answer to the customer."""
    return str(left["messages"][-1].text)

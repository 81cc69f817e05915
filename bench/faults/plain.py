"""Hand-made graphs under faults: nodes that nobody governs, and a governed system in one of them."""

from __future__ import annotations

import operator
from typing import Annotated, Any

from edgewright import Contract, Supervisor, contract_edge
from edgewright.graphs.home import Home
from langchain.agents import create_agent
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import StructuredTool
from langchain_openai import ChatOpenAI
from langgraph.graph import END, START, StateGraph
from langgraph.types import TimeoutPolicy
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from bench.faults.cases import ALONE, BOOK, BOTH, FAULTY, FILE, STEADY, TOTAL, Reaction
from bench.faults.parts import BRIEF, GIVES, TAKES, Staff, declared, model, reach, system, violated
from bench.faults.scenes import PlainScene, Scene, Site


class Parts(TypedDict, total=False):
    """The state of the hand-made graphs: what is asked, what each node says, and what a system in one of them says."""

    text: str
    parts: Annotated[list[str], operator.add]
    request: dict[str, Any]
    response: dict[str, Any]
    marks: list[dict[str, str]]
    run: str


class Told(TypedDict, total=False):
    """What a hand-made graph gives its caller."""

    parts: Annotated[list[str], operator.add]


class Said(BaseModel):
    """What crosses to the end of a hand-made graph."""

    parts: list[Annotated[str, Field(min_length=1)]]


def _agent(site: Site, chosen: ChatOpenAI, name: str, path: str) -> Any:
    """A node with an agent of LangChain's and a tool that nobody governs."""

    async def does(what: str, config: RunnableConfig) -> str:
        """Do it."""
        thread = config.get("configurable", {}).get("thread_id", "")
        return str((await reach(site, path, what, f"{thread}{path}"))["text"])

    given = StructuredTool.from_function(coroutine=does, name=name)
    made: Any = create_agent(chosen, [given], system_prompt="Do it.")

    async def node(state: Any) -> dict[str, Any]:
        found = await made.ainvoke({"messages": [("user", state["text"])]})
        return {"parts": [found["messages"][-1].text]}

    return node


def hand_made(site: Site, reaction: Reaction) -> Scene:
    """A StateGraph with contracts at both ends, and worker and clerk side by side between them.

    Its nodes are not governed, so what bounds them is LangGraph's: the worker's node has a time.
    """
    home = Home(site.home)
    graph: StateGraph[Any, Any, Any, Any] = StateGraph(Parts, output_schema=Told)
    graph.add_node("split", lambda state: {"text": state["text"]})
    worker = _agent(site, model(site, FAULTY, streams=True), "book", BOOK)
    graph.add_node("worker", worker, timeout=TimeoutPolicy(run_timeout=TOTAL))
    graph.add_node("clerk", _agent(site, model(site, STEADY), "file", FILE))
    graph.add_node("join", lambda state: {})
    contract_edge(graph, START, "split", TAKES, home=site.home)
    graph.add_conditional_edges(
        "split", lambda state: ["worker", "clerk"] if state["text"] == BOTH else ["clerk"], ["worker", "clerk"]
    )
    graph.add_edge("worker", "join")
    graph.add_edge("clerk", "join")
    contract_edge(graph, "join", END, Contract(Said, version=1), home=site.home)
    return PlainScene(graph.compile(checkpointer=home.open()[1]), home)


def nested(site: Site, reaction: Reaction) -> Scene:
    """A supervisor's system as a node of a StateGraph, and the clerk's work done beside it by a node of that graph."""
    staff = Staff(site)
    topology = Supervisor(
        router=staff.router(),
        specialists=[staff.worker(), staff.clerk()],
        takes=TAKES,
        brief=BRIEF,
        answer=GIVES,
        on_failure=declared(reaction, staff.deputy()),
        on_violation=violated(reaction),
    )
    inside = system("inside", site, topology, reaction)
    graph: StateGraph[Any, Any, Any, Any] = StateGraph(Parts)
    # For the neighbour the system has the clerk's part; the node beside it has none.
    graph.add_node("split", lambda state: {"request": {"text": "Book the seats." if state["text"] == BOTH else ALONE}})
    graph.add_node("team", inside.graph)
    graph.add_node("beside", _agent(site, model(site, STEADY), "file", FILE))
    graph.add_node("join", lambda state: {})
    graph.add_edge(START, "split")
    graph.add_conditional_edges(
        "split", lambda state: ["team", "beside"] if state["text"] == BOTH else ["team"], ["team", "beside"]
    )
    graph.add_edge("team", "join")
    graph.add_edge("beside", "join")
    graph.add_edge("join", END)
    return PlainScene(graph.compile(checkpointer=inside.home.open()[1]), inside.home, inside)

"""The systems that are run under faults. A new topology joins the matrix by its line in `TOPOLOGIES`.

In each, a *worker* does what the faults meet: its model is the faulty one, and its tool books. A *clerk* beside it
has the steady model and files. A run for the neighbour is of the same system and needs the clerk alone.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, assert_never

import httpx
from edgewright import (
    Agent,
    Ask,
    Budget,
    Contract,
    FallBack,
    OnViolation,
    Policy,
    Skip,
    Stop,
    Supervisor,
    System,
    ToolContext,
    contract_edge,
    tool,
)
from edgewright.agents.prices import declare_price
from edgewright.contracts.budget import Price
from edgewright.contracts.containment import Retry, Timeouts
from edgewright.contracts.failure import OnFailure
from edgewright.graphs.home import Home
from edgewright.tools.sealed import SealedTool
from langchain.agents import create_agent
from langchain_core.runnables import RunnableConfig
from langchain_openai import ChatOpenAI
from langgraph.graph import END, START, StateGraph
from langgraph.types import TimeoutPolicy
from pydantic import BaseModel, Field, SecretStr
from typing_extensions import TypedDict

from bench.faults.cases import BOOK, FAULTY, FILE, REACTIONS, STEADY, TOTAL, Reaction
from bench.faults.scenes import GovernedScene, PlainScene, Scene, Site

BOTH, ALONE = "Book the seats, and file the papers.", "Please file the papers."
"""What is asked of a run, and of its neighbour."""
DONE = ("book: done", "file: done")
"""What a whole answer tells, and in part that of a neighbour."""
INSTEAD = "booking is not possible now"
"""The constant answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Topology:
    """How a system is built on a site, and which reactions can be declared in it.

    `governed`: what fails in it is a governed agent, so that what it comes to is a matter of what is declared.
    """

    build: Callable[[Site, Reaction], Scene]
    reactions: Sequence[Reaction] = REACTIONS
    governed: bool = True


class Request(BaseModel):
    """What is to be done."""

    text: str


class Answer(BaseModel):
    """What was done."""

    text: Annotated[str, Field(min_length=1)]


class Receipt(TypedDict):
    """What the integration says that it did."""

    text: str


TAKES, BRIEF = Contract(Request, version=1), Contract(Request, version=2)
FINDING, GIVES = Contract(Answer, version=1), Contract(Answer, version=2)
CAP = 200
"""Tokens that a call may be answered with."""
DEAR = Price(input_per_million="0", output_per_million="5000")
"""A dollar is reserved for a call, which then costs ten cents."""
CHEAP = Price(input_per_million="0", output_per_million="0.01")
_PERMIT = '@id("all") permit(principal, action, resource);'


def _model(site: Site, name: str, *, streams: bool = False) -> ChatOpenAI:
    """A model without retries and timeouts of its client's: what is on trial are ours."""
    return ChatOpenAI(
        model=name,
        base_url=site.model_url,
        api_key=SecretStr("sk-none"),
        max_retries=0,
        timeout=None,
        max_completion_tokens=CAP,
        streaming=streams,
        stream_usage=True,
    )


async def _reach(site: Site, path: str, what: str, key: str) -> Any:
    async with httpx.AsyncClient(timeout=None) as client:
        reply = await client.post(site.tool_url + path, json={"what": what}, headers={"Idempotency-Key": key})
        reply.raise_for_status()
        return reply.json()


def _tools(site: Site) -> tuple[SealedTool, SealedTool]:
    """The worker's and the clerk's, governed."""

    @tool(effect="write", idempotency="key", output="trusted", sensitivity="internal", sink=False, timeout=TOTAL)
    async def book(what: str, *, ctx: ToolContext) -> Receipt:
        """Book something."""
        found: Receipt = await _reach(site, BOOK, what, ctx.key)
        return found

    @tool(effect="write", idempotency="key", output="trusted", sensitivity="internal", sink=False)
    async def file(what: str, *, ctx: ToolContext) -> Receipt:
        """File something."""
        found: Receipt = await _reach(site, FILE, what, ctx.key)
        return found

    return book, file


def _agents(site: Site) -> tuple[Agent, Agent, Agent, Agent]:
    """Router, worker, clerk; and the deputy, who can stand in for the worker."""
    book, file = _tools(site)
    return (
        Agent("router", version=1, prompt="Hand it over.", model=_model(site, STEADY)),
        Agent(
            "worker",
            version=1,
            prompt="Do it.",
            tools=[book],
            model=_model(site, FAULTY, streams=True),
            timeouts=Timeouts(total=TOTAL),
            retry=Retry(attempts=2, first=0.05),
        ),
        Agent("clerk", version=1, prompt="Do it.", tools=[file], model=_model(site, STEADY)),
        Agent("deputy", version=1, prompt="Do it.", tools=[book], model=_model(site, STEADY)),
    )


def _declared(reaction: Reaction, deputy: Agent) -> dict[str, OnFailure]:
    """What is declared for the worker; the others stop the run."""
    match reaction:
        case "stop" | "fail" | "drain" | "degrade":
            return {"worker": Stop()}
        case "skip":
            return {"worker": Skip()}
        case "answer":
            return {"worker": FallBack(answer={"text": INSTEAD})}
        case "stand in":
            return {"worker": FallBack(agent=deputy)}
        case "ask":
            return {"worker": Ask()}
        case other:
            assert_never(other)


def _violated(reaction: Reaction) -> OnViolation:
    """Only where a person is to be asked does a broken contract wait for one; else it is the worker's failure."""
    return OnViolation(then="review" if reaction == "ask" else "fail")


def _budget(site: Site, reaction: Reaction) -> Budget:
    """What a run may spend, where that is limited, and what happens when it is spent."""
    if site.usd is None:
        return Budget()
    declare_price(f"openai:{FAULTY}", DEAR)
    declare_price(f"openai:{STEADY}", CHEAP)
    match reaction:
        case "drain" | "ask":
            return Budget(usd=site.usd, then=reaction)
        case "degrade":
            return Budget(usd=site.usd, to=_model(site, STEADY))
        case _:
            return Budget(usd=site.usd)


def supervisor(site: Site, reaction: Reaction) -> Scene:
    """A router, worker and clerk side by side, and one that puts their answers together."""
    router, worker, clerk, deputy = _agents(site)

    def head(found: dict[str, Any]) -> dict[str, Any]:
        return {"text": " ".join(r["answer"]["text"] for r in found["results"])}

    topology = Supervisor(
        router=router,
        specialists=[worker, clerk],
        takes=TAKES,
        brief=BRIEF,
        answer=GIVES,
        aggregator=Agent("head", version=1, function=head),
        finding=FINDING,
        on_failure=_declared(reaction, deputy),
        on_violation=_violated(reaction),
    )
    return GovernedScene(_system("supervised", site, topology, reaction))


def _system(name: str, site: Site, topology: Supervisor, reaction: Reaction) -> System:
    budget = _budget(site, reaction)
    return System(name, version=1, topology=topology, policy=Policy(text=_PERMIT), budget=budget, home=site.home)


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


def _plain_agent(site: Site, model: ChatOpenAI, name: str, path: str) -> Any:
    """A node with an agent of LangChain's and a tool that nobody governs."""

    async def reach(what: str, config: RunnableConfig) -> str:
        """Do it."""
        thread = config.get("configurable", {}).get("thread_id", "")
        return str((await _reach(site, path, what, f"{thread}{path}"))["text"])

    made: Any = create_agent(model, [_renamed(reach, name)], system_prompt="Do it.")

    async def node(state: Any) -> dict[str, Any]:
        found = await made.ainvoke({"messages": [("user", state["text"])]})
        return {"parts": [found["messages"][-1].text]}

    return node


def _renamed(function: Any, name: str) -> Any:
    from langchain_core.tools import StructuredTool

    return StructuredTool.from_function(coroutine=function, name=name)


def hand_made(site: Site, reaction: Reaction) -> Scene:
    """A StateGraph with contracts at both ends, and worker and clerk side by side between them.

    Its nodes are not governed, so what bounds them is LangGraph's: the worker's node has a time.
    """
    home = Home(site.home)
    graph: StateGraph[Any, Any, Any, Any] = StateGraph(Parts, output_schema=Told)
    graph.add_node("split", lambda state: {"text": state["text"]})
    worker = _plain_agent(site, _model(site, FAULTY, streams=True), "book", BOOK)
    graph.add_node("worker", worker, timeout=TimeoutPolicy(run_timeout=TOTAL))
    graph.add_node("clerk", _plain_agent(site, _model(site, STEADY), "file", FILE))
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
    router, worker, clerk, deputy = _agents(site)
    topology = Supervisor(
        router=router,
        specialists=[worker, clerk],
        takes=TAKES,
        brief=BRIEF,
        answer=GIVES,
        on_failure=_declared(reaction, deputy),
        on_violation=_violated(reaction),
    )
    system = _system("inside", site, topology, reaction)
    graph: StateGraph[Any, Any, Any, Any] = StateGraph(Parts)
    # For the neighbour the system has the clerk's part; the node beside it has none.
    graph.add_node("split", lambda state: {"request": {"text": "Book the seats." if state["text"] == BOTH else ALONE}})
    graph.add_node("team", system.graph)
    graph.add_node("beside", _plain_agent(site, _model(site, STEADY), "file", FILE))
    graph.add_node("join", lambda state: {})
    graph.add_edge(START, "split")
    graph.add_conditional_edges(
        "split", lambda state: ["team", "beside"] if state["text"] == BOTH else ["team"], ["team", "beside"]
    )
    graph.add_edge("team", "join")
    graph.add_edge("beside", "join")
    graph.add_edge("join", END)
    return PlainScene(graph.compile(checkpointer=system.home.open()[1]), system.home, system)


TOPOLOGIES: Mapping[str, Topology] = {
    "supervisor": Topology(build=supervisor),
    "hand-made": Topology(build=hand_made, reactions=("stop",), governed=False),
    "nested": Topology(build=nested),
}

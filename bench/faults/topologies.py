"""The systems that are run under faults. A new topology joins the matrix by its line in `TOPOLOGIES`.

In each, a *worker* does what the faults meet: its model is the faulty one, and its tool books. A *clerk* beside it
has the steady model and files. A run for the neighbour is of the same system and needs the clerk alone.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol, assert_never, get_args

import httpx
from edgewright import (
    Agent,
    Ask,
    Budget,
    Contract,
    FallBack,
    Policy,
    RunResult,
    Skip,
    Stop,
    Supervisor,
    System,
    ToolContext,
    contract_edge,
    tool,
)
from edgewright.contracts.containment import Retry, Timeouts
from edgewright.contracts.errors import NotFound
from edgewright.contracts.failure import OnFailure
from edgewright.contracts.marks import Mark
from edgewright.graphs.home import Home
from edgewright.tools.sealed import SealedTool
from langchain.agents import create_agent
from langchain_core.runnables import RunnableConfig
from langchain_openai import ChatOpenAI
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import TimeoutPolicy
from pydantic import BaseModel, Field, SecretStr
from typing_extensions import TypedDict

from bench.faults.cases import BOOK, FAULTY, FILE, STEADY, TOTAL

Reaction = Literal["stop", "skip", "answer", "stand in", "ask"]
"""What is declared for the worker's failure: the run stops, goes on without its part, with a constant answer, with
another agent in its place, or asks a person."""
REACTIONS: tuple[Reaction, ...] = get_args(Reaction)
BOTH, ALONE = "Book the seats, and file the papers.", "Please file the papers."
"""What is asked of a run, and of its neighbour."""
DONE = ("book: done", "file: done")
"""What a whole answer tells, and in part that of a neighbour."""
INSTEAD = "booking is not possible now"
"""The constant answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Where a system finds its models and its integration, and keeps its ledger and its checkpoints."""

    model_url: str
    tool_url: str
    home: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a run gave back: its answer (empty where it waits), and the kinds of the marks on it."""

    answer: str
    marks: tuple[str, ...] = ()


class Scene(Protocol):
    """A system on its site."""

    @property
    def home(self) -> Home:
        """Its ledger and checkpoints."""
        ...

    async def run(self, asked: str, thread: str) -> Outcome:
        """Begin a run; what it answers. Raises what stopped it."""
        ...

    async def go_on(self, asked: str, thread: str) -> Outcome:
        """Go on with a run after a crash, or begin it where there is none; what it answers. Raises what stopped it."""
        ...

    def close(self) -> None:
        """Close the ledger."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Topology:
    """How a system is built on a site, and which reactions can be declared in it."""

    build: Callable[[Site, Reaction], Scene]
    reactions: Sequence[Reaction] = REACTIONS


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
_PERMIT = '@id("all") permit(principal, action, resource);'


def _model(site: Site, name: str, *, streams: bool = False) -> ChatOpenAI:
    """A model without retries and timeouts of its client's: what is on trial are ours."""
    return ChatOpenAI(
        model=name,
        base_url=site.model_url,
        api_key=SecretStr("sk-none"),
        max_retries=0,
        timeout=None,
        max_completion_tokens=200,
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
        case "stop":
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


def _on(thread: str) -> RunnableConfig:
    return RunnableConfig(configurable={"thread_id": thread})


class GovernedScene:
    """A system by itself."""

    def __init__(self, system: System) -> None:
        self._system = system
        self.home = system.home

    async def run(self, asked: str, thread: str) -> Outcome:
        """See `Scene`."""
        return _outcome(await self._system.arun({"text": asked}, thread=thread))

    async def go_on(self, asked: str, thread: str) -> Outcome:
        """See `Scene`."""
        try:
            return _outcome(await self._system.aresume(thread))
        except NotFound:
            return await self.run(asked, thread)

    def close(self) -> None:
        """See `Scene`."""
        self._system.close()


def _outcome(result: RunResult) -> Outcome:
    return Outcome(answer=_text(result.output), marks=tuple(m.kind for m in result.marks))


class PlainScene:
    """A hand-made graph. What its nodes leave in its state is its answer."""

    def __init__(self, graph: CompiledStateGraph[Any, Any, Any, Any], home: Home, close: Callable[[], None]) -> None:
        self._graph, self.home, self.close = graph, home, close

    async def run(self, asked: str, thread: str) -> Outcome:
        """See `Scene`."""
        return await self._driven({"text": asked}, thread)

    async def go_on(self, asked: str, thread: str) -> Outcome:
        """See `Scene`."""
        state = await self._graph.aget_state(_on(thread))
        if state.created_at is None:
            return await self.run(asked, thread)
        return await self._driven(None, thread) if state.next else self._said(state.values)

    async def _driven(self, given: Any, thread: str) -> Outcome:
        return self._said(await self._graph.ainvoke(given, _on(thread), durability="sync"))

    @staticmethod
    def _said(values: Mapping[str, Any]) -> Outcome:
        if "__interrupt__" in values:
            return Outcome(answer="")
        texts = [*values.get("parts", ()), _text(values.get("response"))]
        marks = tuple(Mark.from_json(m).kind for m in values.get("marks") or ())
        return Outcome(answer=" ".join(sorted(t for t in texts if t)), marks=marks)


def _text(output: Mapping[str, Any] | None) -> str:
    return str((output or {}).get("text", ""))


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
    )
    return GovernedScene(_system("supervised", site, topology))


def _system(name: str, site: Site, topology: Supervisor) -> System:
    return System(name, version=1, topology=topology, policy=Policy(text=_PERMIT), budget=Budget(), home=site.home)


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
    return PlainScene(graph.compile(checkpointer=home.open()[1]), home, home.close)


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
    )
    system = _system("inside", site, topology)
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
    return PlainScene(graph.compile(checkpointer=system.home.open()[1]), system.home, system.close)


TOPOLOGIES: Mapping[str, Topology] = {
    "supervisor": Topology(build=supervisor),
    "hand-made graph": Topology(build=hand_made, reactions=("stop",)),
    "nested": Topology(build=nested),
}

"""One fan-out in several houses: as a governed Supervisor, and as LangGraph and LangChain would have it.

The job is the same everywhere. A request goes to K specialists, each with a brief of its own (its number and the
request's text); each gives its number back, and whoever stands behind them adds the numbers up. Specialists do nothing
else, so what is measured is the frame around them.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, TypedDict

import orjson
from edgewright import Agent, Budget, Call, Contract, Handoff, Never, OfflineModel, Say, Supervisor, System, Turn
from langchain.agents import create_agent
from langchain.agents.structured_output import ToolStrategy
from langchain_core.messages import HumanMessage
from langchain_core.tools import tool as langchain_tool
from langgraph.graph import END, START, StateGraph
from langgraph.types import Send
from pydantic import BaseModel

Kind = Literal["function", "model"]
Plain = StateGraph[Any, Any, Any, Any]
REQUEST = {"customer": "C-1001", "text": "The internet is slow. " * 8}
NEVER = Never(detectors=("card_number", "secret"))
PROMPT = "Look at your part of the request, and give its number back."


class Request(BaseModel):
    """What comes in."""

    customer: str
    text: str


class Brief(BaseModel):
    """What a specialist is handed."""

    part: int
    text: str


class Finding(BaseModel):
    """What a specialist gives back."""

    part: int


class Total(BaseModel):
    """What goes out."""

    total: int


def briefs(text: str, count: int) -> list[dict[str, Any]]:
    """One brief for each specialist."""
    return [{"part": part, "text": text} for part in range(count)]


def total(count: int) -> int:
    """What the numbers add up to."""
    return sum(range(count))


# -- models: all of one class, which answers at once ------------------------------------------------------------------


def _finds(turn: Turn) -> Say | list[Call]:
    """A specialist: its number, by the tool that it is given for its answer, or as JSON where it has none."""
    found = {"part": turn.request["part"]}
    return [Call(next(iter(turn.tools)), found)] if turn.tools else Say(orjson.dumps(found).decode())


def specialist() -> OfflineModel:
    """The model of a specialist."""
    return OfflineModel("bench_specialist", _finds)


def head(count: int) -> OfflineModel:
    """A model that hands over to `count` specialists in one reply, and says `done` once they have answered."""

    def rules(turn: Turn) -> Say | list[Call]:
        if turn.results:
            return Say("done")
        return [Call(next(iter(turn.tools)), brief) for brief in briefs(turn.request["text"], count)]

    return OfflineModel(f"bench_head_{count}", rules)


# -- ours -------------------------------------------------------------------------------------------------------------


def governed(kind: Kind, count: int, home: Path | None, *, routed: Kind = "function") -> System:
    """A Supervisor with an aggregator: five contracts, which look for card numbers and credentials."""

    async def route(request: dict[str, Any]) -> list[Handoff]:
        return [Handoff(target="worker", payload=brief) for brief in briefs(request["text"], count)]

    async def find(brief: dict[str, Any]) -> dict[str, Any]:
        return {"part": brief["part"]}

    async def add_up(gathered: dict[str, Any]) -> dict[str, Any]:
        return {"total": sum(r["answer"]["part"] for r in gathered["results"])}

    free = Budget()
    router = Agent("router", version=1, function=route)
    if routed == "model":
        router = Agent("router", version=1, prompt="Hand every part over.", model=head(count), limits=free)
    worker = Agent("worker", version=1, function=find)
    if kind == "model":
        worker = Agent("worker", version=1, prompt=PROMPT, model=specialist(), limits=free)
    topology = Supervisor(
        router=router,
        specialists=[worker],
        aggregator=Agent("aggregator", version=1, function=add_up),
        takes=Contract(Request, version=1, never=NEVER),
        brief=Contract(Brief, version=1, never=NEVER),
        finding=Contract(Finding, version=1, never=NEVER),
        answer=Contract(Total, version=1, never=NEVER),
    )
    return System("fan", version=1, topology=topology, home=home)


# -- plain LangGraph --------------------------------------------------------------------------------------------------


class State(TypedDict):
    """State of the plain fan-out."""

    customer: str
    text: str
    found: Annotated[list[int], operator.add]
    total: int


async def find(state: Any) -> dict[str, Any]:
    """A worker that is a function."""
    return {"found": [state["part"]]}


def sent(count: int, worker: Any = find) -> Plain:
    """`Send` to each worker, a reducer, and a node behind them."""

    async def route(state: State) -> dict[str, Any]:
        return {}

    def spread(state: State) -> list[Send]:
        return [Send("worker", brief) for brief in briefs(state["text"], count)]

    async def add_up(state: State) -> dict[str, Any]:
        return {"total": sum(state["found"])}

    graph: Plain = StateGraph(State)
    graph.add_node("router", route)
    graph.add_node("worker", worker)
    graph.add_node("aggregator", add_up)
    graph.add_edge(START, "router")
    graph.add_conditional_edges("router", spread, ["worker"])
    graph.add_edge("worker", "aggregator")
    graph.add_edge("aggregator", END)
    return graph


def asked(model: OfflineModel) -> Callable[[Any], Any]:
    """A worker that asks the model by itself, and reads what it says: the least there is to it."""

    async def ask(state: Any) -> dict[str, Any]:
        reply = await model.ainvoke([HumanMessage(orjson.dumps(dict(state)).decode())])
        return {"found": [orjson.loads(str(reply.text))["part"]]}

    return ask


def agents(model: OfflineModel, *, typed: bool) -> Callable[[Any], Any]:
    """A worker that is an agent of `create_agent`; `typed`: its answer is a `Finding`, by a tool, as ours give it."""
    agent: Any = create_agent(
        model, [], system_prompt=PROMPT, response_format=ToolStrategy(Finding) if typed else None, name="specialist"
    )

    async def ask(state: Any) -> dict[str, Any]:
        told = await agent.ainvoke({"messages": [HumanMessage(orjson.dumps(dict(state)).decode())]})
        if typed:
            return {"found": [told["structured_response"].part]}
        return {"found": [orjson.loads(str(told["messages"][-1].text))["part"]]}

    return ask


def called(count: int) -> tuple[Any, Callable[[Any], int]]:
    """An agent of `create_agent` whose model calls `count` tools in one reply, each of which asks another agent.

    Returns:
        A function that compiles it over a checkpointer, and one that adds up what came out.
    """
    inner: Any = create_agent(specialist(), [], system_prompt=PROMPT, name="specialist")

    @langchain_tool
    async def worker(part: int, text: str) -> str:
        """Ask a specialist for one part of the request."""
        brief = orjson.dumps({"part": part, "text": text}).decode()
        told = await inner.ainvoke({"messages": [HumanMessage(brief)]})
        return str(told["messages"][-1].text)

    def compiled(checkpointer: Any) -> Any:
        return create_agent(
            head(count), [worker], system_prompt="Hand every part over.", checkpointer=checkpointer, name="head"
        )

    def added(state: Any) -> int:
        return sum(orjson.loads(str(m.text))["part"] for m in state["messages"] if m.type == "tool")

    return compiled, added

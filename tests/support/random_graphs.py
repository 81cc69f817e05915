"""Random governed systems over one tool: in every shape that code around a gate has, alone and inside plain graphs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from edgewright import Agent, Call, Handoff, OfflineModel, Policy, ReviewAnswer, Supervisor, System, Turn, tool
from edgewright.contracts.errors import CallDenied, CallRejected, ToolFailed
from edgewright.contracts.review import ReviewRequest
from hypothesis import strategies as st
from langchain_core.messages import AIMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.errors import GraphBubbleUp
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode
from langgraph.types import Command, RetryPolicy, Send
from support.offices import BRIEF, FINDING, tells
from support.systems import ANSWER, PERMIT_ALL, QUESTION, asking, plays, with_code, with_model
from typing_extensions import TypedDict

Kind = Literal["free", "asked", "denied"]
SIDE_BY_SIDE = ("at once", "threads")
SHAPES = (*SIDE_BY_SIDE, "in turn", "retried", "one message", "messages", "sends", "branches", "model branches")
HOSTS = ("alone", "node", "called")
CENTS: dict[Kind, int] = {"free": 5, "asked": 500, "denied": 13}
RULES = (
    PERMIT_ALL
    + asking("move", "context.args.cents > 100", rule="large")
    + '@id("unlucky") forbid(principal, action, resource) when { context.args.cents == 13 };'
)
ON: Any = {"configurable": {"thread_id": "t"}}
done: list[tuple[str, int]] = []
failures: list[int] = []
"""How often the node that is retried still fails behind its calls."""
RETRY = RetryPolicy(initial_interval=0.001, jitter=False, max_attempts=4, retry_on=ConnectionError)


@tool(effect="write", idempotency="none", output="trusted", sensitivity="internal")
def move(part: str, cents: int) -> str:
    """Move something."""
    done.append((part, cents))
    return f"moved {part}"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A system's calls, the shape of the code that makes them, and what is around it."""

    shape: str
    host: str
    kinds: tuple[Kind, ...]

    @property
    def calls(self) -> list[dict[str, Any]]:
        """The arguments of each call; each is about a part of its own."""
        return [{"part": f"p{i}", "cents": CENTS[kind]} for i, kind in enumerate(self.kinds)]


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    """Any plan of up to three calls."""
    shape = draw(st.sampled_from(SHAPES))
    # Threads take their places in any order. A call that was denied leaves nothing in its place, so that another
    # one could take that when the node runs again.
    kinds: Sequence[Kind] = ("free", "asked") if shape == "threads" else ("free", "asked", "asked", "denied")
    found = draw(st.lists(st.sampled_from(kinds), min_size=1, max_size=3))
    if shape in SIDE_BY_SIDE:  # LangGraph hands the answers of one node out by their order, which is no order here
        first = found.index("asked") if "asked" in found else 0
        found = ["free" if kind == "asked" and i != first else kind for i, kind in enumerate(found)]
    return Plan(shape=shape, host=draw(st.sampled_from(HOSTS)), kinds=tuple(found))


def _told(error: Exception) -> str:
    if isinstance(error, CallDenied | CallRejected | ToolFailed):
        return type(error).__name__
    raise error


async def _moved(arguments: dict[str, Any]) -> str:
    try:
        return str(await move.ainvoke(arguments))
    except (CallDenied, CallRejected, ToolFailed) as error:
        return _told(error)


def _function(plan: Plan) -> Any:
    """The function of an agent that makes the calls."""

    def in_threads() -> list[Any]:
        with ThreadPoolExecutor(3) as pool:
            made = [pool.submit(copy_context().run, move.invoke, call) for call in plan.calls]
            return [m.exception() or m.result() for m in made]

    async def work(_: dict[str, Any]) -> dict[str, str]:
        match plan.shape:
            case "in turn":
                found: Sequence[Any] = [await _moved(call) for call in plan.calls]
            case "at once":
                found = await asyncio.gather(*map(_moved, plan.calls), return_exceptions=True)
            case "threads":
                found = await asyncio.to_thread(in_threads)
            case "retried":
                found = (await _retried().ainvoke({"calls": plan.calls, "found": []}))["found"]
            case "tool node":
                found = (await _tool_node().ainvoke({"messages": [_message(plan)]}))["messages"][1:]
            case _:
                found = (await _sends().ainvoke({"calls": plan.calls, "found": []}))["found"]
        for each in found:
            if isinstance(each, GraphBubbleUp):
                raise each
            if isinstance(each, Exception):
                _told(each)
        return {"text": f"{len(found)} calls"}

    return work


def _message(plan: Plan) -> AIMessage:
    calls = [{"name": "move", "args": a, "id": f"call_{i}", "type": "tool_call"} for i, a in enumerate(plan.calls)]
    return AIMessage("", tool_calls=calls)


def _tool_node() -> Any:
    """A hand-made graph of a plain `ToolNode`."""
    graph = StateGraph(MessagesState)
    graph.add_node("tools", ToolNode([move]))
    graph.add_edge(START, "tools")
    graph.add_edge("tools", END)
    return graph.compile()


class _Sent(TypedDict, total=False):
    calls: list[dict[str, Any]]
    call: dict[str, Any]
    found: Annotated[list[str], lambda a, b: a + b]


def _sends() -> Any:
    """A hand-made graph that makes each call in a task of its own."""

    async def each(state: Any) -> Any:
        return {"found": [await _moved(state["call"])]}

    graph = StateGraph(_Sent)
    graph.add_node("each", each)
    graph.add_conditional_edges(START, lambda s: [Send("each", {"call": c}) for c in s["calls"]], ["each"])
    graph.add_edge("each", END)
    return graph.compile()


def _retried() -> Any:
    """A hand-made graph whose one node makes all calls, and is retried when it fails behind them."""

    async def all_of_them(state: Any) -> Any:
        found = [await _moved(call) for call in state["calls"]]
        if failures:
            failures.pop()
            raise ConnectionError("try again")
        return {"found": found}

    graph = StateGraph(_Sent)
    graph.add_node("all", all_of_them, retry_policy=RETRY)
    graph.add_edge(START, "all")
    graph.add_edge("all", END)
    return graph.compile()


def _branches(plan: Plan, home: Path) -> System:
    """Each call in a branch of a declared fan-out."""
    cents = {c["part"]: c["cents"] for c in plan.calls}

    async def clerk(brief: dict[str, Any]) -> dict[str, str]:
        return {"found": await _moved({"part": brief["part"], "cents": cents[brief["part"]]})}

    def rules(turn: Turn) -> list[Call]:
        part = turn.request["part"]
        if not turn.results:
            return [Call("move", {"part": part, "cents": cents[part]})]
        return [Call("handoff_to_head", {"found": turn.results[-1][2]})]

    def router(_: dict[str, Any]) -> Any:
        return [Handoff(target="clerk", payload={"part": part}) for part in cents]

    given: dict[str, Any] = {"function": clerk}
    if plan.shape == "model branches":
        given = {"prompt": "Move it.", "model": OfflineModel("clerk", rules)}
    return System(
        "office",
        version=1,
        topology=Supervisor(
            router=Agent("router", version=1, function=router),
            specialists=[Agent("clerk", version=1, tools=[move], **given)],
            takes=QUESTION,
            brief=BRIEF,
            answer=ANSWER,
            aggregator=Agent("head", version=1, function=tells),
            finding=FINDING,
            carried=["sender"],
        ),
        policy=Policy(text=RULES),
        home=home,
    )


def governed(plan: Plan, home: Path) -> System:
    """The governed system of a plan."""
    if "branches" in plan.shape:
        return _branches(plan, home)
    calls = [Call("move", a) for a in plan.calls]
    if plan.shape == "one message":
        return with_model(plays(calls), move, policy=RULES, home=home)
    if plan.shape == "messages":
        return with_model(plays(*([c] for c in calls)), move, policy=RULES, home=home)
    return with_code(_function(plan), move, policy=RULES, home=home)


class _Outer(TypedDict, total=False):
    request: dict[str, Any]
    response: dict[str, Any]


class Hosted:
    """A plan's system at work: alone, or inside a plain graph. It can be closed and opened again."""

    def __init__(self, plan: Plan, home: Path) -> None:
        self.plan, self.home, self._saver = plan, home, InMemorySaver()
        self.open()

    def open(self) -> None:
        """Build all of it anew, over the same home."""
        self.system = governed(self.plan, self.home)
        if self.plan.host == "alone":
            return
        graph: StateGraph[Any, Any, Any, Any] = StateGraph(_Outer)
        part: Any = self.system.graph

        async def call(state: Any) -> Any:
            return {"response": (await part.ainvoke({"request": state["request"]}))["response"]}

        graph.add_node("part", call if self.plan.host == "called" else part)
        graph.add_edge(START, "part")
        graph.add_edge("part", END)
        self._graph = graph.compile(checkpointer=self._saver)

    def close(self) -> None:
        """Close its ledger."""
        self.system.close()

    def restart(self) -> None:
        """Close it, and open another one."""
        self.close()
        self.open()

    async def begin(self) -> list[ReviewRequest]:
        """Run it; returns what it asks."""
        if self.plan.host == "alone":
            return list((await self.system.arun({"text": "go"}, thread="t")).reviews)
        return await self._asked({"request": {"text": "go"}})

    async def go_on(self, answers: dict[str, ReviewAnswer] | None = None) -> list[ReviewRequest]:
        """Go on, with answers or without; returns what it asks."""
        if self.plan.host == "alone":
            return list((await self.system.aresume("t", answers)).reviews)
        if not answers:
            return self._open((await self._graph.aget_state(ON, subgraphs=True)).interrupts)
        interrupts = (await self._graph.aget_state(ON)).interrupts
        ids = {i.value["id"]: i.id for i in interrupts}
        given = {ids[r]: a.model_copy(update={"review": r}).model_dump(mode="json") for r, a in answers.items()}
        return await self._asked(Command(resume=given))

    async def _asked(self, given: Any) -> list[ReviewRequest]:
        out = await self._graph.ainvoke(given, ON)
        return self._open(out.get("__interrupt__", ()))

    def _open(self, interrupts: Any) -> list[ReviewRequest]:
        return [ReviewRequest.model_validate_json(json.dumps(i.value)) for i in interrupts]

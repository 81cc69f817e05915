"""Teams: a topology that takes the turn of one agent of another, in the same run, as a graph inside that agent's node.

Its agents have the run's ledger, budget and labels. It begins with what crossed to the team, and ends with what crosses
to its own end; the contract node of the topology around sees that as the team's offer, with the labels that it had
there. What interrupts it interrupts the graph around, and it is gone on with from its own checkpoints.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NotRequired
from weakref import WeakKeyDictionary

from langchain_core.messages import AnyMessage
from langgraph.config import get_stream_writer
from langgraph.graph import StateGraph
from langgraph.graph.state import CompiledStateGraph
from typing_extensions import TypedDict  # Pydantic, which makes its schemas, takes typing's from Python 3.12 only

from ..agents.agent import Agent
from ..contracts.contract import Contract
from .state import MARKS, RESPONSE, Turned

_WITHIN: ContextVar[str] = ContextVar("edgewright_within", default="")
"""The run of whose team this context is the inside: how the run stops is for the outermost node to say."""


class TeamInput(TypedDict):
    """What a team begins with."""

    run: str
    inbox: dict[str, Any]
    crossed: str
    history: list[AnyMessage]
    shared: dict[str, dict[str, Any]]
    active: NotRequired[dict[str, str]]


class TeamOutput(TypedDict):
    """What it ends with: the payload that crossed to its end, under which crossing, with which marks."""

    response: NotRequired[dict[str, Any]]
    crossed: NotRequired[str]
    marks: NotRequired[list[dict[str, str]]]
    active: NotRequired[dict[str, str]]


_WRITER: ContextVar[Callable[[Any], None] | None] = ContextVar("edgewright_writer", default=None)
"""Writes to the stream of the outermost graph: LangGraph shows nobody what is written to that of a graph inside."""
INSIDES: WeakKeyDictionary[StateGraph[Any, Any, Any, Any], dict[str, CompiledStateGraph[Any, Any, Any, Any]]]
INSIDES = WeakKeyDictionary()
"""The graphs of the teams in a graph, by the name of their node: LangGraph knows a node only as a function."""


class CompiledTeam:
    """A team with its graph and the one target that it hands on to."""

    def __init__(self, agent: Agent, target: str, contract: Contract, graph: CompiledStateGraph[Any, Any, Any, Any]):
        self.agent, self.targets, self.graph, self._contract = agent, (target,), graph, contract

    @property
    def name(self) -> str:
        """The team's name."""
        return self.agent.name

    async def turned(self, state: Mapping[str, Any], begun: Turned) -> Turned:
        """Take the turn. Raises whatever stops an agent inside."""
        given = TeamInput(
            run=state["run"],
            inbox=begun["inbox"],
            crossed=begun["crossed"],
            history=list(state.get("history") or ()),
            shared=state.get("shared") or {},
        )
        if active := state.get("active"):
            given["active"] = active
        with _within(state["run"]):
            left: Mapping[str, Any] = await self.graph.ainvoke(given)
        # The contract around carries its fields anew: from what the team received.
        payload = {k: v for k, v in left[RESPONSE].items() if k not in self._contract.carried}
        turned: Turned = {
            **begun,
            "offers": [{"target": self.targets[0], "payload": payload}],
            "given": True,
            "answered": {"payload": left[RESPONSE], "crossed": left["crossed"]},
        }
        if marks := left.get(MARKS):
            turned["marks"] = marks
        before = state.get("active") or {}
        if active := {name: agent for name, agent in left.get("active", {}).items() if before.get(name) != agent}:
            turned["active"] = active  # of this team alone: others, at the same moment, have theirs
        return turned


@contextmanager
def _within(run: str) -> Iterator[None]:
    writer = _WRITER.set(writer_of(run))
    token = _WITHIN.set(run)
    try:
        yield
    finally:
        _WITHIN.reset(token)
        _WRITER.reset(writer)


def writer_of(run: str) -> Callable[[Any], None]:
    """What writes to the stream that the reader of a run has."""
    known = _WRITER.get() if is_within(run) else None
    return known or get_stream_writer()


def is_within(run: str) -> bool:
    """Whether this is the inside of a team of that run."""
    return _WITHIN.get() == run

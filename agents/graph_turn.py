"""A turn taken by a LangGraph graph: what it is given, and what is taken of its end.

The graph is run inside the turn, as a graph inside a node: its interrupts are those of the graph around, it is resumed
with that, and its model and tool calls are the turn's. What it is given depends on what it takes:

- the graph of another `System`: the payload is its request, its response the offer;
- a graph over `messages` alone: the payload as one message, behind those that crossed with it;
- any other: the payload's fields as its state.

Of its end the offer is what the contract names; or its `structured_response`, where it has one.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.messages import AnyMessage, HumanMessage
from langgraph.graph import StateGraph
from langgraph.graph.state import CompiledStateGraph
from pydantic import BaseModel

from ..contracts.contract import Contract
from ..contracts.digest import digest
from ..contracts.errors import AgentInvalid
from ..tools.function import source_digest
from ..tools.position import GOVERNED
from .calling import request_of

LangGraph = StateGraph[Any, Any, Any, Any] | CompiledStateGraph[Any, Any, Any, Any]
MESSAGES, STRUCTURED = "messages", "structured_response"


class GraphTurn:
    """A graph that takes turns for the one target that its agent hands on to.

    Raises:
        AgentInvalid: it is no graph, keeps its own checkpoints, or its agent hands on to several.
    """

    def __init__(self, agent: str, graph: LangGraph, targets: Mapping[str, Contract]) -> None:
        given: Any = graph
        if isinstance(given, StateGraph):
            given = given.compile(name=agent)
        faults = []
        if not isinstance(given, CompiledStateGraph):
            faults.append(f"graph={graph!r} is neither a StateGraph nor a compiled one")
        elif given.checkpointer:
            faults.append("its graph has a checkpointer of its own; compile it without, it is saved with the run")
        if len(targets) != 1:
            faults.append(f"a graph hands on to one, not to {', '.join(targets) or 'nobody'}; put a router behind it")
        if faults:
            raise AgentInvalid(name=agent, faults=faults)
        self._graph: CompiledStateGraph[Any, Any, Any, Any] = given
        self._governed = governed(given)
        builder = given.builder
        self._takes = frozenset(builder.schemas[builder.input_schema])
        [contract] = targets.values()
        self._wanted = [n for n in contract.schema["properties"] if n not in contract.carried]

    async def answered(self, received: Mapping[str, Any], history: Sequence[AnyMessage]) -> Any:
        """Run the graph; returns the payload that it offers. Raises whatever it raises."""
        value = await self._graph.ainvoke(self._given(received, history))
        found: Mapping[str, Any] = value or {}
        if self._governed:
            return self._offered(found.get("response") or {})
        structured = found.get(STRUCTURED)
        if isinstance(structured, BaseModel):
            return structured.model_dump(mode="json")
        return structured if structured is not None else self._offered(found)

    def _given(self, received: Mapping[str, Any], history: Sequence[AnyMessage]) -> dict[str, Any]:
        if self._governed:
            return {"request": dict(received)}
        if MESSAGES in self._takes and not self._takes & set(received):
            return {MESSAGES: [*history, HumanMessage(request_of(received))]}
        return dict(received)

    def _offered(self, found: Mapping[str, Any]) -> dict[str, Any]:
        return {name: found[name] for name in self._wanted if name in found}


def governed(graph: CompiledStateGraph[Any, Any, Any, Any]) -> str:
    """The id and digest of the system whose graph this is; empty for a hand-made one."""
    return str(((graph.config or {}).get("metadata") or {}).get(GOVERNED, ""))


def graph_digest(graph: LangGraph) -> str:
    """Digest of what a graph does, as far as it can be seen: the system that it is of, or its nodes and their code."""
    if isinstance(graph, CompiledStateGraph) and (system := governed(graph)):
        return digest(system)
    builder = graph.builder if isinstance(graph, CompiledStateGraph) else graph
    if not isinstance(builder, StateGraph):
        return digest(repr(type(graph)))
    nodes = [[name, _code_of(spec.runnable)] for name, spec in sorted(builder.nodes.items())]
    branches = [
        [at, name, sorted((b.ends or {}).items())] for at, each in builder.branches.items() for name, b in each.items()
    ]
    return digest([nodes, sorted(map(list, builder.edges)), sorted(branches, key=repr)])


def _code_of(runnable: Any) -> str:
    function = getattr(runnable, "afunc", None) or getattr(runnable, "func", None) or runnable
    if isinstance(function, CompiledStateGraph):
        return graph_digest(function)
    return source_digest(function) if inspect.isroutine(function) else type(function).__name__

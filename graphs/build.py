"""From a topology to a LangGraph state graph: one node per agent, one contract node per edge, one review node."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypedDict

from langgraph.graph import END as LG_END
from langgraph.graph import START as LG_START
from langgraph.graph import StateGraph

from ..agents.agent import CompiledAgent
from ..contracts.edge import END, START, Edge
from .nodes import agent_node, contract_node, entry_node, review_node
from .runs import Runs
from .state import Output, State

REVIEW = "review"
METADATA = "edgewright"


def build_graph(
    *,
    edges: Sequence[Edge],
    agents: Mapping[str, CompiledAgent],
    digests: Mapping[str, str],
    runs: Runs,
) -> StateGraph[Any, Any, Any, Any]:
    """Build the graph. The topology was checked before; see `faults_of_topology`."""
    entry = next(e for e in edges if e.source == START)
    typed_dict: Any = TypedDict
    request_type = typed_dict("Request", {"request": entry.contract.model})
    graph: StateGraph[Any, Any, Any, Any] = StateGraph(State, input_schema=request_type, output_schema=Output)
    for name, agent in agents.items():
        label = {"kind": "agent", "label": name, "detail": f"v{agent.agent.version}"}
        graph.add_node(name, agent_node(agent, digests[name], runs), metadata={METADATA: label})
    reviewed = {(e.source, e.target): e for e in edges if e.source != START and e.on_violation.then == "review"}
    if reviewed:
        label = {"kind": "review", "label": REVIEW, "detail": "a person mends or rejects"}
        graph.add_node(REVIEW, review_node(reviewed, runs), metadata={METADATA: label})
        graph.add_conditional_edges(REVIEW, _back_to(reviewed), {e.node: e.node for e in reviewed.values()})
    for edge in edges:
        label = {"kind": "contract", "label": edge.contract.id, "detail": edge.name.replace("→", " → ")}
        node = entry_node(edge, runs) if edge is entry else contract_node(edge, runs)
        graph.add_node(edge.node, node, metadata={METADATA: label})
        target = LG_END if edge.target == END else edge.target
        if edge is entry:
            graph.add_edge(LG_START, edge.node)
            graph.add_edge(edge.node, target)
        else:
            ways = {"passed": target}
            if edge.on_violation.repair:
                ways["repair"] = edge.source
            if edge.on_violation.then == "review":
                ways["review"] = REVIEW
            graph.add_conditional_edges(edge.node, _gate, ways)  # type: ignore[arg-type]
    for name in agents:
        outgoing = {e.target: e.node for e in edges if e.source == name}
        if len(outgoing) == 1:
            graph.add_edge(name, next(iter(outgoing.values())))
        else:
            graph.add_conditional_edges(name, _offered_to(outgoing), {n: n for n in outgoing.values()})
    return graph


def _gate(state: State) -> str:
    return state["gate"]


def _offered_to(nodes: Mapping[str, str]) -> Callable[[State], str]:
    def offered_to(state: State) -> str:
        return nodes[state["offer"]["target"]]

    return offered_to


def _back_to(edges: Mapping[tuple[str, str], Edge]) -> Callable[[State], str]:
    def back_to_contract(state: State) -> str:
        offer = state["offer"]
        return edges[offer["source"], offer["target"]].node

    return back_to_contract

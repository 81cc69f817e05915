"""From a topology to a LangGraph state graph: one node per agent, one contract node per edge, one review node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from langgraph.graph import END as LG_END
from langgraph.graph import START as LG_START
from langgraph.graph import StateGraph
from typing_extensions import TypedDict  # Pydantic, which makes its schemas, takes typing's from Python 3.12 only

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
    # Where there is a choice, nodes say themselves where to go on (measured: a conditional edge costs ten times that).
    for name, agent in agents.items():
        label = {"kind": "agent", "label": name, "detail": f"v{agent.agent.version}"}
        contracts = {e.target: e.node for e in edges if e.source == name}
        node = agent_node(agent, digests[name], contracts, runs)
        choice = tuple(contracts.values()) if len(contracts) > 1 else None
        graph.add_node(name, node, destinations=choice, metadata={METADATA: label})
        if choice is None:
            graph.add_edge(name, next(iter(contracts.values())))
    reviewed = {(e.source, e.target): e for e in edges if e.source != START and e.on_violation.then == "review"}
    if reviewed:
        label = {"kind": "review", "label": REVIEW, "detail": "a person mends or rejects"}
        back = dict.fromkeys((e.node for e in reviewed.values()), "mended")
        graph.add_node(REVIEW, review_node(reviewed, runs), destinations=back, metadata={METADATA: label})
    for edge in edges:
        label = {"kind": "contract", "label": edge.contract.id, "detail": edge.name.replace("→", " → ")}
        target = LG_END if edge.target == END else edge.target
        if edge is entry:
            graph.add_node(edge.node, entry_node(edge, runs), metadata={METADATA: label})
            graph.add_edge(LG_START, edge.node)
            graph.add_edge(edge.node, target)
            continue
        ways = {"passed": target}
        if edge.on_violation.repair:
            ways["repair"] = edge.source
        if edge.on_violation.then == "review":
            ways["review"] = REVIEW
        drawn = {node: way for way, node in ways.items()}
        graph.add_node(edge.node, contract_node(edge, ways, runs), destinations=drawn, metadata={METADATA: label})
    return graph

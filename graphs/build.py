"""From a topology to a LangGraph state graph: agents, a contract node per edge, two per fan-out, one review node."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from langgraph.graph import END as LG_END
from langgraph.graph import START as LG_START
from langgraph.graph import StateGraph
from typing_extensions import TypedDict  # Pydantic, which makes its schemas, takes typing's from Python 3.12 only

from ..agents.agent import CompiledAgent
from ..contracts.edge import END, START, Edge, FanOut, OnViolation
from ..contracts.failure import STOP
from .crossing import contract_node, entry_node
from .failures import Seat
from .fanout import back_node, out_node
from .nodes import Means, Ways, agent_node
from .reactions import reactions_of, stand_ins_of
from .reviews import Place, place_of, places_of, review_node
from .state import Branch, Output, State
from .topology import Topology

REVIEW = "review"
METADATA = "edgewright"


def build_graph(
    topology: Topology, *, agents: Mapping[str, CompiledAgent], digests: Mapping[str, str], means: Means
) -> StateGraph[Any, Any, Any, Any]:
    """Build the graph. The topology was checked before; see `faults_of_topology`.

    Args:
        agents: those of the topology, and their stand-ins, each for the targets of the agent whose turn it takes.
    """
    stand_ins = {name: agent.name for name, agent in stand_ins_of(topology).items()}
    means = replace(
        means, reactions=reactions_of(topology), stands_for={other: name for name, other in stand_ins.items()}
    )
    edges, fans = list(topology.edges), list(topology.fan_outs)
    entry = next(e for e in edges if e.source == START)
    typed_dict: Any = TypedDict
    request_type = typed_dict("Request", {"request": entry.contract.model})
    graph: StateGraph[Any, Any, Any, Any] = StateGraph(State, input_schema=request_type, output_schema=Output)
    for agent in agents.values():
        stand_in = agents[stand_ins[agent.name]] if agent.name in stand_ins else None
        _add_agent(graph, agent, digests[agent.name], edges, fans, means, stand_in)
    places = {e.name: place_of(e) for e in edges if e is not entry and e.on_violation.then == "review"}
    for fan in fans:
        if fan.on_violation.then == "review":
            places |= places_of(fan)
    if places:
        _add_review(graph, places, means)
    for edge in edges:
        label = {"kind": "contract", "label": edge.contract.id, "detail": edge.name.replace("→", " → ")}
        target = LG_END if edge.target == END else edge.target
        if edge is entry:
            graph.add_node(edge.node, entry_node(edge, means), metadata={METADATA: label})
            graph.add_edge(LG_START, edge.node)
            graph.add_edge(edge.node, target)
            continue
        ways = _ways(edge.on_violation, target, edge.source, means)
        drawn = _drawn(ways, stand_ins.get(edge.source))
        node = contract_node(edge, ways, means)
        graph.add_node(edge.node, node, destinations=drawn, metadata={METADATA: label})
    for fan in fans:
        _add_fan(graph, fan, means, stand_ins)
    return graph


def _add_agent(
    graph: StateGraph[Any, Any, Any, Any],
    agent: CompiledAgent,
    digest: str,
    edges: list[Edge],
    fans: list[FanOut],
    means: Means,
    stand_in: CompiledAgent | None,
) -> None:
    """An agent's node. Where there is a choice it says where to go on: a conditional edge costs ten times that."""
    # A stand-in sits where the agent does whose turn it takes, and hands on as that one does.
    name, role = agent.name, means.stands_for.get(agent.name, agent.name)
    detail = f"v{agent.agent.version}" + (f", in place of {role}" if role != name else "")
    label = {"kind": "agent", "label": name, "detail": detail}
    within = next((f for f in fans if role in f.briefs), None)
    fan = next((f for f in fans if f.source == role), None)
    onwards = {e.target: e.node for e in edges if e.source == role}
    gives = {e.target: e.contract for e in edges if e.source == role}
    if fan is not None:
        gives |= fan.briefs
        onwards |= dict.fromkeys(fan.branches, fan.out)
    if within is not None:
        onwards, gives = {within.target: within.back}, {within.target: within.answers[role]}
    answer = next((e.contract for e in edges if e.source == role and e.target == END), None)
    nodes = list(dict.fromkeys(onwards.values()))
    if stand_in is not None and within is None:  # a branch's is sent for by the contract node behind all of them
        nodes.append(stand_in.name)
    choice = tuple(nodes) if len(nodes) > 1 else None
    ways = Ways(onwards=onwards, exit=answer, fan=fan, within=within, chooses=choice is not None)
    seat = Seat(
        name=name,
        who=f"{name}@{agent.agent.version}",
        role=role,
        declared=means.reactions.get(name, STOP),
        gives=gives,
        repeats=stand_in is not None and any(t.spec.changes_world for t in stand_in.agent.tools),
        branch=within is not None,
    )
    node = agent_node(agent, digest, ways, means, seat)
    takes: Any = Branch if within is not None else None
    graph.add_node(name, node, destinations=choice, input_schema=takes, metadata={METADATA: label})
    if choice is None:
        graph.add_edge(name, nodes[0])


def _add_review(graph: StateGraph[Any, Any, Any, Any], places: Mapping[str, Place], means: Means) -> None:
    label = {"kind": "review", "label": REVIEW, "detail": "a person mends or rejects"}
    back = dict.fromkeys((p.node for p in places.values()), "mended")
    graph.add_node(REVIEW, review_node(places, means), destinations=back, metadata={METADATA: label})


def _ways(rule: OnViolation, target: str, source: str, means: Means) -> dict[str, str]:
    ways = {"passed": target}
    if rule.repair:
        ways["repair"] = source
    if rule.then == "review":
        ways["review"] = REVIEW
    if any(key.on_conflict == "retry" for key in means.keys.values()):
        ways["retry"] = source
    if rule.then == "fail" and source in means.reactions:
        ways["failed"] = source
    return ways


def _drawn(ways: Mapping[str, str], stand_in: str | None = None) -> dict[str, str]:
    """The nodes that may come next, with the decisions that lead there. Who stands in mends what it offered, too."""
    found: dict[str, str] = {stand_in: "repair"} if stand_in and "repair" in ways else {}
    for way, node in ways.items():
        found[node] = f"{found[node]}, {way}" if node in found else way
    return found


def _add_fan(graph: StateGraph[Any, Any, Any, Any], fan: FanOut, means: Means, stand_ins: Mapping[str, str]) -> None:
    several = f"{len(fan.branches)} branches" if len(fan.branches) > 1 else fan.branches[0]
    briefs, answers = fan.out.partition(" ")[0], fan.back.partition(" ")[0]
    before = {"kind": "contract", "label": briefs, "detail": f"{fan.source} → {several}"}
    ways = _ways(fan.on_violation, fan.source, fan.source, means)
    out = {k: v for k, v in ways.items() if k != "passed"}
    drawn = {**dict.fromkeys(fan.branches, "passed"), **_drawn(out, stand_ins.get(fan.source))}
    graph.add_node(fan.out, out_node(fan, ways, means), destinations=drawn, metadata={METADATA: before})
    behind = {"kind": "contract", "label": answers, "detail": f"{several} → {fan.target}"}
    after = _ways(fan.on_violation, fan.target, "", means)
    again = {k: v for k, v in after.items() if k in ("passed", "review")}
    drawn = _drawn(again)
    if set(after) & {"repair", "retry"}:
        drawn |= dict.fromkeys(fan.branches, "repair")
    drawn |= {stand_ins[branch]: "failed" for branch in fan.branches if branch in stand_ins}
    graph.add_node(fan.back, back_node(fan, after, means), destinations=drawn, metadata={METADATA: behind})

"""From a topology to a LangGraph state graph: agents, a contract node per edge, two per fan-out, one review node."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from langgraph.graph import END as LG_END
from langgraph.graph import START as LG_START
from langgraph.graph import StateGraph
from typing_extensions import TypedDict  # Pydantic, which makes its schemas, takes typing's from Python 3.12 only

from ..agents.agent import Agent, CompiledAgent
from ..contracts.edge import END, START, Edge, FanOut, OnViolation
from ..contracts.failure import STOP
from ..contracts.join import ALL
from .active import team_beginner
from .bounds import Bounded, bounded_of
from .crossing import contract_node
from .entering import entry_node
from .failures import Seat
from .fanout import back_node, out_node
from .levels import Level, levels_of
from .nodes import Means, Ways, agent_node
from .reactions import onwards as onwards_of
from .reactions import reactions_of, stand_ins_of
from .restarting import stages_of
from .reviews import Place, place_of, places_of, review_node
from .state import Branch, Output, State
from .teams import INSIDES, CompiledTeam, TeamInput, TeamOutput
from .topology import Topology, all_edges, declared, entries_of

REVIEW = "review"
METADATA = "edgewright"


def build_graph(
    topology: Topology, *, agents: Mapping[str, CompiledAgent], digests: Mapping[str, str], means: Means
) -> StateGraph[Any, Any, Any, Any]:
    """Build the graph. The topology was checked before; see `faults_of_topology`.

    Args:
        agents: those of all its levels, and their stand-ins, each for the targets of the agent whose turn it takes.
    """
    means = replace(means, sticky=any(len(entries_of(level)) > 1 for level in levels_of(topology)))
    return _built(Level(topology), agents=agents, digests=digests, means=means, exits=True)


def _built(
    level: Level, *, agents: Mapping[str, CompiledAgent], digests: Mapping[str, str], means: Means, exits: bool
) -> StateGraph[Any, Any, Any, Any]:
    """The graph of one level. `exits`: what crosses to its end crosses to the caller, as it is."""
    stand_ins = {name: agent.name for name, agent in stand_ins_of(level).items()}
    means = replace(
        means,
        reactions=reactions_of(level),
        stands_for={other: name for name, other in stand_ins.items()},
        team=level.team,
        entries=entries_of(level),
        refuses=declared(level, "parallel", "fail") == "refuse",
        conditions=declared(level, "conditions", {}),
    )
    edges, fans = list(level.edges), list(level.fan_outs)
    entry = next(e for e in edges if e.source == START)
    graph = _empty(level, entry)
    for agent in level.every:
        role = means.stands_for.get(agent.name, agent.name)
        seat = _Seated(
            agent=agents.get(agent.name) or _team(agent, role, level, agents, digests, means, exits),
            digest=digests[agent.name],
            stand_in=next((a for a in level.every if a.name == stand_ins.get(agent.name)), None),
        )
        if isinstance(seat.agent, CompiledTeam):
            INSIDES.setdefault(graph, {})[agent.name] = seat.agent.graph
        _add_agent(graph, seat, edges, fans, means, exits=exits)
    places = {e.name: place_of(e, edges) for e in edges if e.source != START and e.on_violation.then == "review"}
    for fan in fans:
        if fan.on_violation.then == "review":
            places |= places_of(fan)
    bounded = {e.node: found for e in edges if (found := bounded_of(e, edges, fans)) is not None}
    asks = {b.place: b for b in bounded.values() if b.bound.then == "review"}
    if places or asks:
        _add_review(graph, places, means, asks)
    for edge in edges:
        detail = f"{edge.source} → {edge.target}" + (f", at most {edge.bound.most}×" if edge.bound else "")
        label = {"kind": "contract", "label": edge.contract.id, "detail": detail}
        target = LG_END if edge.target == END else edge.target
        if edge is entry:
            _begins(graph, edge, means, label, stages_of(level))
        if edge.source == START:
            continue
        ways = _ways(edge.on_violation, target, edge.source, means)
        if edge.bound is not None and edge.bound.then != "fail":
            ways.setdefault(*(("review", REVIEW) if edge.bound.then == "review" else ("repair", edge.source)))
        drawn = _drawn(ways, stand_ins.get(edge.source))
        node = contract_node(edge, ways, means, bounded.get(edge.node))
        graph.add_node(edge.node, node, destinations=drawn, metadata={METADATA: label})
    for fan in fans:
        _add_fan(graph, fan, means, stand_ins)
    return graph


def _begins(
    graph: StateGraph[Any, Any, Any, Any], entry: Edge, means: Means, label: dict[str, str], stages: Mapping[str, Edge]
) -> None:
    """The way in. There is one, whoever of those that may begins behind it, or at which stage a run begins again."""
    several = len(means.entries) > 1
    if means.team:  # what crosses to a team has been checked where it crossed
        if several:
            graph.add_conditional_edges(LG_START, team_beginner(means.entries, means.team), list(means.entries))
        else:
            graph.add_edge(LG_START, entry.target)
        return
    named = {name: "first" if name == entry.target else "answered last" for name in means.entries}
    if several:
        label = {**label, "detail": f"start → {entry.target}, or who answered last"}
    drawn = named if several else (entry.target,)  # drawn alone: a run that begins again goes on at any stage
    graph.add_node(entry.node, entry_node(entry, means, stages), destinations=drawn, metadata={METADATA: label})
    graph.add_edge(LG_START, entry.node)


def _empty(level: Level, entry: Edge) -> StateGraph[Any, Any, Any, Any]:
    if level.team:
        return StateGraph(State, input_schema=TeamInput, output_schema=TeamOutput)
    typed_dict: Any = TypedDict
    request_type = typed_dict("Request", {"request": entry.contract.model})
    return StateGraph(State, input_schema=request_type, output_schema=Output)


def _team(
    agent: Agent,
    role: str,
    level: Level,
    agents: Mapping[str, CompiledAgent],
    digests: Mapping[str, str],
    means: Means,
    exits: bool,
) -> CompiledTeam:
    """A team, with its graph, ready for the one target that it hands on to."""
    [given] = {e.target: e for e in all_edges(level) if e.source == role}.values()
    exits = exits and given.target == END
    inside = _built(level.inside(agent), agents=agents, digests=digests, means=means, exits=exits)
    return CompiledTeam(agent, given.target, given.contract, inside.compile(name=agent.name))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seated:
    """An agent as it stands in a graph, and who may stand in for it."""

    agent: CompiledAgent | CompiledTeam
    digest: str
    stand_in: Agent | None


def _add_agent(
    graph: StateGraph[Any, Any, Any, Any],
    seated: _Seated,
    edges: list[Edge],
    fans: list[FanOut],
    means: Means,
    *,
    exits: bool,
) -> None:
    """An agent's node. Where there is a choice it says where to go on: a conditional edge costs ten times that."""
    agent, stand_in = seated.agent, seated.stand_in
    # A stand-in sits where the agent does whose turn it takes, and hands on as that one does.
    name, role = agent.name, means.stands_for.get(agent.name, agent.name)
    detail = f"v{agent.agent.version}" + (f", in place of {role}" if role != name else "")
    detail += f", when {when.text}" if (when := means.conditions.get(name)) is not None else ""
    label = {"kind": "agent", "label": name, "detail": detail}
    within = next((f for f in fans if role in f.briefs), None)
    fan = next((f for f in fans if f.source == role), None)
    onwards = {e.target: e.node for e in edges if e.source == role}
    gives = {e.target: e.contract for e in onwards_of(edges, role)}
    if fan is not None:
        gives |= fan.briefs
        onwards |= dict.fromkeys(fan.branches, fan.out)
    if within is not None:
        onwards, gives = {within.target: within.back}, {within.target: within.answers[role]}
    answer = next((e.contract for e in edges if e.source == role and e.target == END), None) if exits else None
    nodes = list(dict.fromkeys(onwards.values()))
    if stand_in is not None and within is None:  # a branch's is sent for by the contract node behind all of them
        nodes.append(stand_in.name)
    choice = tuple(nodes) if len(nodes) > 1 else None
    ways = Ways(
        onwards=onwards,
        exit=answer,
        fan=fan,
        within=within,
        chooses=choice is not None,
        refuses=means.refuses and fan is None,
    )
    seat = Seat(
        name=name,
        who=f"{name}@{agent.agent.version}",
        role=role,
        declared=means.reactions.get(name, STOP),
        gives=gives,
        repeats=stand_in is not None and _changes_world(stand_in),
        branch=within is not None,
    )
    node = agent_node(agent, seated.digest, ways, means, seat)
    takes: Any = Branch if within is not None else None
    graph.add_node(name, node, destinations=choice, input_schema=takes, metadata={METADATA: label})
    if choice is None:
        graph.add_edge(name, nodes[0])


def _changes_world(agent: Agent) -> bool:
    """Whether it, or who is inside of it, may do something to the world."""
    inside = [] if agent.team is None else list(levels_of(Level(agent.team)))
    every = [agent, *(inner for level in inside for inner in level.every)]
    return any(t.spec.changes_world for a in every for t in a.tools)


def _add_review(
    graph: StateGraph[Any, Any, Any, Any], places: Mapping[str, Place], means: Means, asks: Mapping[str, Bounded]
) -> None:
    label = {"kind": "review", "label": REVIEW, "detail": "a person mends or rejects"}
    back = dict.fromkeys((p.node for p in places.values()), "mended")
    for found in asks.values():
        back |= {found.edge.node: "once more", **dict.fromkeys([*found.onwards.values(), found.fan], "instead")}
    back.pop("", None)  # of a source that never hands on to several
    graph.add_node(REVIEW, review_node(places, means, asks), destinations=back, metadata={METADATA: label})


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


def _behind(fan: FanOut, several: str) -> str:
    return f"{several if fan.join == ALL else fan.join.told(len(fan.branches))} → {fan.target}"


def _add_fan(graph: StateGraph[Any, Any, Any, Any], fan: FanOut, means: Means, stand_ins: Mapping[str, str]) -> None:
    several = f"{len(fan.branches)} branches" if len(fan.branches) > 1 else fan.branches[0]
    briefs, answers = fan.out.partition(" ")[0], fan.back.partition(" ")[0]
    before = {"kind": "contract", "label": briefs, "detail": f"{fan.source} → {several}"}
    ways = _ways(fan.on_violation, fan.source, fan.source, means)
    out = {k: v for k, v in ways.items() if k != "passed"}
    drawn = {**dict.fromkeys(fan.branches, "passed"), **_drawn(out, stand_ins.get(fan.source))}
    graph.add_node(fan.out, out_node(fan, ways, means), destinations=drawn, metadata={METADATA: before})
    behind = {"kind": "contract", "label": answers, "detail": _behind(fan, several)}
    after = _ways(fan.on_violation, fan.target, "", means)
    again = {k: v for k, v in after.items() if k in ("passed", "review")}
    drawn = _drawn(again)
    if set(after) & {"repair", "retry"}:
        drawn |= dict.fromkeys(fan.branches, "repair")
    drawn |= {stand_ins[branch]: "failed" for branch in fan.branches if branch in stand_ins}
    graph.add_node(fan.back, back_node(fan, after, means), destinations=drawn, metadata={METADATA: behind})

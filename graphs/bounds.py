"""The bounds on the edges of a topology: which edges share one, what is wrong with them. Nothing runs here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..agents.agent import Agent
from ..contracts.edge import END, START, Bound, Edge, FanOut
from ..contracts.loops import Loops

if TYPE_CHECKING:
    from .topology import Topology


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounded:
    """A bounded edge as it stands in a graph.

    Attributes:
        counted: the names of all edges that its bound counts.
        onwards: where else its source may hand on, by target: the contract node of each.
        fan: the contract node before the branches, where its source may hand on to several at once.
    """

    edge: Edge
    bound: Bound
    counted: frozenset[str]
    onwards: Mapping[str, str] = field(default_factory=dict)
    fan: str = ""

    @property
    def place(self) -> str:
        """How a review of it is called among those of its graph."""
        return f"{self.bound.name} {self.edge.name}"


def bounded_of(edge: Edge, edges: Sequence[Edge], fans: Sequence[FanOut]) -> Bounded | None:
    """How a bound of an edge stands among the edges of one topology; None for an edge without one."""
    if edge.bound is None:
        return None
    bound = edge.bound
    return Bounded(
        edge=edge,
        bound=bound,
        counted=frozenset(e.name for e in edges if e.bound is not None and e.bound.name == bound.name),
        onwards={e.target: e.node for e in _onwards(edge, edges)},
        fan=next((f.out for f in fans if f.source == edge.source), ""),
    )


def _onwards(edge: Edge, edges: Sequence[Edge]) -> list[Edge]:
    """The edges of one source that do not fall under the bound of this edge."""
    name = edge.bound.name if edge.bound else ""
    return [e for e in edges if e.source == edge.source and (e.bound is None or e.bound.name != name)]


def bounds_of(edges: Sequence[Edge]) -> list[tuple[Bound, tuple[Edge, ...]]]:
    """The bounds of a system, each with the edges that share it: those of one name in one topology."""
    found: dict[tuple[str, str], list[Edge]] = {}
    for edge in edges:
        if edge.bound is not None:
            found.setdefault((edge.within, edge.bound.name), []).append(edge)
    return [(mine[0].bound, tuple(mine)) for mine in found.values() if mine[0].bound is not None]


def bounds_as_json(edges: Sequence[Edge]) -> list[list[Any]]:
    """The bounds on edges, as digests hold them; empty where no edge has one."""
    return sorted([e.name, e.bound.as_json()] for e in edges if e.bound is not None)


def conditions_as_json(topology: Topology) -> dict[str, str]:
    """The conditions on which agents take their turns, as digests hold them; empty where there are none."""
    found = getattr(getattr(topology, "topology", topology), "conditions", {})
    return {name: condition.as_json() for name, condition in found.items()}


def faults_of_bounds(topology: Topology) -> Iterator[str]:
    """Everything wrong with the bounds on the edges of a topology."""
    edges, agents = list(topology.edges), {a.name: a for a in topology.agents}
    forks = {f.source for f in topology.fan_outs}
    for bound, mine in bounds_of(edges):
        if any(e.bound != bound for e in mine):
            told = ", ".join(dict.fromkeys(f"{e.bound.most} then {e.bound.then}" for e in mine if e.bound))
            yield f"bound {bound.name!r} differs from edge to edge: {told}; edges that share a bound share all of it"
        if len(mine) == 1:
            yield from _faults_of_handoffs(mine[0], bound, agents)
        for edge in mine:
            if edge.source == START or edge.target == END:
                yield f"edge {edge.name!r} has bound {bound.name!r}; into a system and out of it leads no round"
            elif edge.bound is not None and edge.bound.then == "pass":
                yield from _faults_of_pass(edge, agents.get(edge.source), bool(_onwards(edge, edges)), forks)


def _faults_of_handoffs(edge: Edge, bound: Bound, agents: Mapping[str, Agent]) -> Iterator[str]:
    """Agents that may not hand over often enough for all the rounds. Only what models do is counted."""
    rounds = {edge.source: bound.most + (2 if bound.then == "pass" else 1), edge.target: bound.most + 1}
    for agent in (agents[name] for name in rounds if name in agents and agents[name].prompt.strip()):
        allowed, needs = agent.limits.handoffs, rounds[agent.name]
        if allowed is not None and allowed < needs:
            yield (
                f"bound {bound.name!r} allows {bound.most} rounds, and agent {agent.name!r} only {allowed} handoffs; "
                f"give it limits=Budget(handoffs={needs}, ...), or lower the bound"
            )


def _faults_of_pass(edge: Edge, source: Agent | None, onwards: bool, forks: set[str]) -> Iterator[str]:
    told = f"edge {edge.name!r}: then='pass'"
    if not onwards and edge.source not in forks:
        yield f"{told} lets {edge.source!r} hand on otherwise only, and it has no other edge; use 'review' or 'fail'"
    if source is not None and not source.prompt.strip():
        yield f"{told} tells {edge.source!r} to hand on otherwise, and only a model can be told; use 'review' or 'fail'"


def faults_beside_loops(edges: Sequence[Edge], loops: Loops) -> Iterator[str]:
    """Bounds that are never reached, for the run is stopped before: it has gone round as often as its loops allow."""
    for bound, mine in bounds_of(edges):
        if len(mine) == 1 and loops.cycle is not None and bound.most >= loops.cycle:
            yield (
                f"bound {bound.name!r} allows {bound.most} rounds, and a run is stopped as a loop after {loops.cycle}; "
                f"raise Loops(cycle=...) to {bound.most + 1}, or lower the bound"
            )

"""Topologies: which agents there are and which edges lead between them. Plain values; `build.py` compiles them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from ..agents.agent import Agent
from ..contracts.edge import END, START, Edge, FanOut
from .bounds import faults_of_bounds
from .reactions import faults_of_reactions


class Topology(Protocol):
    """What the builder needs of a topology.

    It may have these attributes, too: `on_failure`: what happens when an agent's turn fails, one for all or one per
    name. `sticky`: a thread's next request goes to the agent that answered the last one; then several edges may lead in
    from start, the one for a first request first. `parallel`: what happens where an agent hands over to several in one
    turn and no fan-out is declared: the run stops (`"fail"`), or the agent is told to choose (`"refuse"`).
    `conditions`: on which an agent takes its turn, by its name (`stages.Condition`).
    """

    @property
    def agents(self) -> Sequence[Agent]:
        """Every agent, once."""
        ...

    @property
    def edges(self) -> Sequence[Edge]:
        """Every single edge, the ones from start and to end included."""
        ...

    @property
    def fan_outs(self) -> Sequence[FanOut]:
        """Every declared fan-out; empty where one agent acts at a time."""
        ...


def declared(topology: Topology, name: str, default: Any) -> Any:
    """An attribute that a topology may have; of the declared one, where this is it as it stands in a system."""
    return getattr(getattr(topology, "topology", topology), name, default)


def entries_of(topology: Topology) -> tuple[str, ...]:
    """The agents that may begin, the one that takes a first request first."""
    return tuple(dict.fromkeys(e.target for e in topology.edges if e.source == START))


def rules_as_json(topology: Topology) -> dict[str, Any]:
    """Who may begin, and what several handoffs in one turn are, as digests hold it; empty where nothing is declared."""
    parallel, entries = declared(topology, "parallel", "fail"), entries_of(topology)
    return {
        **({"entries": list(entries)} if len(entries) > 1 else {}),
        **({"parallel": parallel} if parallel != "fail" else {}),
    }


def all_edges(topology: Topology) -> list[Edge]:
    """Every edge of a topology, those of its fan-outs included."""
    return [*topology.edges, *(edge for fan in topology.fan_outs for edge in fan.edges)]


def faults_of_topology(topology: Topology) -> list[str]:
    """Everything wrong with a topology: double names, edges to nowhere, agents out of reach or without a way out."""
    names = [a.name for a in topology.agents]
    faults = [f"two agents are named {n!r}" for n in sorted({n for n in names if names.count(n) > 1})]
    edges = all_edges(topology)
    known = {*names, START, END}
    for edge in edges:
        faults += [
            f"edge {edge.name!r} names no agent {end!r}; known: {sorted(names)}"
            for end in (edge.source, edge.target)
            if end not in known
        ]
    nodes = [e.node for e in edges]
    faults += [f"edge {n!r} is there twice" for n in sorted({n for n in nodes if nodes.count(n) > 1})]
    entries = [e for e in edges if e.source == START]
    if not entries or (len(entries) > 1 and not declared(topology, "sticky", default=False)):
        faults.append(f"exactly one edge leads in from start, not {len(entries)}")
    elif len(ids := {e.contract.digest: e.contract.id for e in entries}) > 1:
        faults.append(f"the edges from start have several contracts, {', '.join(ids.values())}; a request has one")
    for fan in topology.fan_outs:
        faults += _faults_of_fan(fan, topology)
    reached, frontier = set[str](), [START]
    while frontier:
        here = frontier.pop()
        new = {e.target for e in edges if e.source == here} - reached
        reached |= new
        frontier += new
    faults += [f"agent {n!r} cannot be reached from start" for n in names if n not in reached]
    sources = {e.source for e in edges}
    faults += [f"agent {n!r} has no edge out" for n in names if n not in sources]
    if END not in reached:
        faults.append("nothing leads to the end")
    return [*faults, *faults_of_bounds(topology), *faults_of_reactions(topology)]


def _faults_of_fan(fan: FanOut, topology: Topology) -> list[str]:
    faults = []
    if set(fan.answers) != set(fan.briefs):
        faults.append(f"fan-out of {fan.source!r}: each branch needs a brief and an answer")
    if fan.target == END:
        faults.append(f"fan-out of {fan.source!r} leads to the end; an agent must make one answer of the results")
    if "results" not in fan.gathered.model.model_fields:
        faults.append(f"fan-out of {fan.source!r}: contract {fan.gathered.id} has no field 'results'")
    if fan.limit < 1:
        faults.append(f"fan-out of {fan.source!r}: limit {fan.limit} is not a positive number")
    if fan.concurrency is not None and fan.concurrency < 1:
        faults.append(f"fan-out of {fan.source!r}: concurrency {fan.concurrency} is not a positive number, nor None")
    others = [e for e in topology.edges if e.source in fan.briefs or e.target in fan.briefs]
    others += [e for f in topology.fan_outs if f.source != fan.source for e in f.edges if e.source in fan.briefs]
    faults += [f"branch {e.source!r} or {e.target!r} of a fan-out has another edge, {e.name!r}" for e in others]
    return faults

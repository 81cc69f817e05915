"""Topologies: which agents there are and which edges lead between them. Plain values; `build.py` compiles them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Protocol

from ..agents.agent import Agent
from ..contracts.contract import Contract
from ..contracts.edge import END, START, Edge, OnViolation
from ..contracts.errors import TopologyInvalid


class Topology(Protocol):
    """What the builder needs of a topology."""

    @property
    def agents(self) -> Sequence[Agent]:
        """Every agent, once."""
        ...

    @property
    def edges(self) -> Sequence[Edge]:
        """Every edge, the ones from start and to end included."""
        ...


@dataclass(frozen=True, kw_only=True)
class Supervisor:
    """One agent routes to one of several specialists; the specialist answers.

    Attributes:
        router: classifies and hands over; it does not do the work.
        specialists: each answers what it was handed.
        takes: contract of the request.
        brief: contract of the handover, one for all or one per specialist's name.
        answer: contract of the answer.
        on_violation: what happens when an agent's payload breaks its contract.
    """

    router: Agent
    specialists: Sequence[Agent]
    takes: Contract
    brief: Contract | Mapping[str, Contract]
    answer: Contract
    on_violation: OnViolation = field(default_factory=OnViolation)

    @property
    def agents(self) -> Sequence[Agent]:
        """The router, then the specialists."""
        return (self.router, *self.specialists)

    @property
    def edges(self) -> Sequence[Edge]:
        """start → router → each specialist → end."""
        entry = Edge(source=START, target=self.router.name, contract=self.takes)
        briefs = self.brief if isinstance(self.brief, Mapping) else {s.name: self.brief for s in self.specialists}
        rule = self.on_violation
        return (
            entry,
            *(
                Edge(source=self.router.name, target=s.name, contract=briefs[s.name], on_violation=rule)
                for s in self.specialists
            ),
            *(Edge(source=s.name, target=END, contract=self.answer, on_violation=rule) for s in self.specialists),
        )


@dataclass(frozen=True, kw_only=True)
class Pipeline:
    """A fixed line of agents. `contracts` has one more than `stages`: before each stage, and after the last."""

    stages: Sequence[Agent]
    contracts: Sequence[Contract]
    on_violation: OnViolation = field(default_factory=OnViolation)

    @property
    def agents(self) -> Sequence[Agent]:
        """The stages, in order."""
        return tuple(self.stages)

    @property
    def edges(self) -> Sequence[Edge]:
        """start → first → … → last → end."""
        if len(self.contracts) != len(self.stages) + 1:
            raise TopologyInvalid(
                name="pipeline",
                faults=[f"{len(self.stages)} stages need {len(self.stages) + 1} contracts, not {len(self.contracts)}"],
            )
        names = [START, *(s.name for s in self.stages), END]
        return tuple(
            Edge(source=a, target=b, contract=c, on_violation=self.on_violation)
            for (a, b), c in zip(pairwise(names), self.contracts, strict=True)
        )


def faults_of_topology(topology: Topology) -> list[str]:
    """Everything wrong with a topology: double names, edges to nowhere, agents out of reach or without a way out."""
    names = [a.name for a in topology.agents]
    faults = [f"two agents are named {n!r}" for n in sorted({n for n in names if names.count(n) > 1})]
    edges = list(topology.edges)
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
    if len(entries) != 1:
        faults.append(f"exactly one edge leads in from start, not {len(entries)}")
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
    return faults

"""Topologies: which agents there are and which edges lead between them. Plain values; `build.py` compiles them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Annotated, Any, Literal, Protocol, Union

from pydantic import Field, create_model

from ..agents.agent import Agent
from ..contracts.contract import Contract
from ..contracts.edge import END, NO_HISTORY, START, Edge, FanOut, History, OnViolation
from ..contracts.errors import TopologyInvalid
from ..contracts.failure import STOP, FailureKind
from .reactions import GAPS, Declared, faults_of_reactions, may_skip


class Topology(Protocol):
    """What the builder needs of a topology.

    It may have an attribute `on_failure`, too: what happens when an agent's turn fails, one for all or one per name.
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


@dataclass(frozen=True, kw_only=True)
class Supervisor:
    """One agent routes to one of several specialists, and the specialist answers.

    With an `aggregator`, the router may hand over to several at once (a declared fan-out): each gives a `finding`,
    and the aggregator answers from all of them.

    Attributes:
        router: classifies and hands over; it does not do the work.
        specialists: each answers what it was handed.
        takes: contract of the request.
        brief: contract of the handover, one for all or one per specialist's name.
        answer: contract of the answer.
        on_violation: what happens when an agent's payload breaks its contract.
        history: which messages of the router's turn cross with a brief.
        aggregator: gets `{"results": [{"agent": ..., "answer": finding}, ...]}` and the carried fields.
        finding: with an aggregator: contract of what a specialist gives back, one for all or one per name.
        carried: fields of the request that the aggregator gets too.
        on_failure: what happens when an agent's turn fails, one for all or one per name; the run stops otherwise. Where
            a branch may be skipped, the aggregator gets `gaps`, too: `[{"agent": ..., "kind": ..., "why": ...}, ...]`.
    """

    router: Agent
    specialists: Sequence[Agent]
    takes: Contract
    brief: Contract | Mapping[str, Contract]
    answer: Contract
    on_violation: OnViolation = field(default_factory=OnViolation)
    history: History = NO_HISTORY
    aggregator: Agent | None = None
    finding: Contract | Mapping[str, Contract] | None = None
    carried: Sequence[str] = ()
    on_failure: Declared = STOP

    @property
    def agents(self) -> Sequence[Agent]:
        """The router, the specialists, the aggregator."""
        return (self.router, *self.specialists, *([self.aggregator] if self.aggregator else ()))

    def _each(self, given: Contract | Mapping[str, Contract]) -> dict[str, Contract]:
        names = [s.name for s in self.specialists]
        if not isinstance(given, Mapping):
            return dict.fromkeys(names, given)
        if odd := sorted({*names} ^ {*given}):
            raise TopologyInvalid(
                name="supervisor", faults=[f"{n!r} has no contract, or is no specialist; one each" for n in odd]
            )
        return dict(given)

    @cached_property
    def fan_outs(self) -> Sequence[FanOut]:
        """Router → specialists → aggregator, where there is one."""
        if self.aggregator is None:
            return ()
        if self.finding is None:
            raise TopologyInvalid(
                name="supervisor", faults=["an aggregator needs `finding`, what specialists give back"]
            )
        if stray := [c for c in self.carried if c not in self.takes.model.model_fields]:
            raise TopologyInvalid(
                name="supervisor", faults=[f"carried field {c!r} is not in the request" for c in stray]
            )
        findings = self._each(self.finding)
        return (
            FanOut(
                source=self.router.name,
                briefs=self._each(self.brief),
                answers=findings,
                target=self.aggregator.name,
                gathered=gathered(self.takes, findings, self.carried, gaps=may_skip(self.on_failure, list(findings))),
                on_violation=self.on_violation,
                history=self.history,
            ),
        )

    @property
    def edges(self) -> Sequence[Edge]:
        """start → router → each specialist → end; with an aggregator, start → router, aggregator → end."""
        entry = Edge(source=START, target=self.router.name, contract=self.takes)
        rule = self.on_violation
        if self.aggregator is not None:
            return entry, Edge(source=self.aggregator.name, target=END, contract=self.answer, on_violation=rule)
        briefs = self._each(self.brief)
        return (
            entry,
            *(
                Edge(
                    source=self.router.name,
                    target=s.name,
                    contract=briefs[s.name],
                    on_violation=rule,
                    history=self.history,
                )
                for s in self.specialists
            ),
            *(Edge(source=s.name, target=END, contract=self.answer, on_violation=rule) for s in self.specialists),
        )


@dataclass(frozen=True, kw_only=True)
class Pipeline:
    """A fixed line of agents. `contracts` has one more than `stages`: before each stage, and after the last.

    `history` is which messages of a stage's turn cross to the next. `on_failure` is what happens when a stage's turn
    fails, one for all or one per name; the run stops otherwise.
    """

    stages: Sequence[Agent]
    contracts: Sequence[Contract]
    on_violation: OnViolation = field(default_factory=OnViolation)
    history: History = NO_HISTORY
    on_failure: Declared = STOP

    def __post_init__(self) -> None:
        needs = f"{len(self.stages)} stages need {len(self.stages) + 1} contracts, not {len(self.contracts)}"
        stages: Sequence[Any] = self.stages
        contracts: Sequence[Any] = self.contracts
        faults = [
            *([] if self.stages else ["it has no stage; it takes at least one agent"]),
            *([needs] if self.stages and len(self.contracts) != len(self.stages) + 1 else []),
            *(f"stage {i} is {s!r}, not an Agent" for i, s in enumerate(stages) if not isinstance(s, Agent)),
            *(f"contract {i} is {c!r}, no Contract" for i, c in enumerate(contracts) if not isinstance(c, Contract)),
        ]
        if faults:
            raise TopologyInvalid(name="pipeline", faults=faults)

    @property
    def agents(self) -> Sequence[Agent]:
        """The stages, in order."""
        return tuple(self.stages)

    @property
    def edges(self) -> Sequence[Edge]:
        """start → first → … → last → end."""
        names = [START, *(s.name for s in self.stages), END]
        return tuple(
            Edge(
                source=a,
                target=b,
                contract=c,
                on_violation=self.on_violation,
                history=NO_HISTORY if a == START or b == END else self.history,
            )
            for (a, b), c in zip(pairwise(names), self.contracts, strict=True)
        )

    @property
    def fan_outs(self) -> Sequence[FanOut]:
        """None: one stage at a time."""
        return ()


def gathered(
    source: Contract, answers: Mapping[str, Contract], carried: Sequence[str], *, gaps: bool = False
) -> Contract:
    """The contract of what meets behind a fan-out: `results`, typed by agent, and fields carried from its source.

    Args:
        gaps: whether a branch may be skipped; then `gaps` says which was, and why.
    """
    each = []
    for name, contract in answers.items():
        parts: dict[str, Any] = {"agent": (Literal[name], ...), "answer": (contract.model, ...)}
        each.append(create_model(f"{name}_result", **parts))
    one: Any = Union[tuple(each)]  # noqa: UP007 - made at run time
    several: Any = list[Annotated[one, Field(discriminator="agent")]] if len(each) > 1 else list[one]
    kept = {n: (source.model.model_fields[n].annotation, source.model.model_fields[n]) for n in carried}
    fields: dict[str, Any] = {**kept, "results": (several, ...)}
    if gaps:
        gap: dict[str, Any] = {"agent": (Literal[*answers], ...), "kind": (FailureKind, ...), "why": (str, ...)}
        fields[GAPS] = (list[create_model("Gap", **gap)], ...)  # type: ignore[misc]
    model = create_model("Gathered", **fields)
    return Contract(model, version=max(c.version for c in answers.values()), carried=list(carried))


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
    if len(entries) != 1:
        faults.append(f"exactly one edge leads in from start, not {len(entries)}")
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
    return faults + faults_of_reactions(topology)


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
    others = [e for e in topology.edges if e.source in fan.briefs or e.target in fan.briefs]
    others += [e for f in topology.fan_outs if f.source != fan.source for e in f.edges if e.source in fan.briefs]
    faults += [f"branch {e.source!r} or {e.target!r} of a fan-out has another edge, {e.name!r}" for e in others]
    return faults

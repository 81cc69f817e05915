"""Swarm: peers that hand over to each other along declared edges; any of them may answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal, get_args

from ..agents.agent import Agent
from ..contracts.contract import Contract
from ..contracts.edge import END, NO_HISTORY, START, Beyond, Bound, Edge, FanOut, History, OnViolation
from ..contracts.errors import TopologyInvalid
from ..contracts.failure import STOP
from .reactions import Declared

Parallel = Literal["refuse", "fail"]
HANDOFFS = "handoffs"
"""The name of the bound that all handovers among the peers of a swarm share."""


@dataclass(frozen=True, kw_only=True)
class Swarm:
    """Peers hand over to each other by typed handoffs, along declared edges only, until one of them answers.

    One peer works at a time. Where several are to work at once, on one request each, it takes a declared fan-out and
    somebody who makes one answer of what they find: a `Supervisor` with an aggregator.

    Attributes:
        peers: the agents.
        handoffs: who may hand over to whom, under which contract: `{("sales", "support"): BRIEF}`; or edges, where
            they differ in more than that.
        first: the peer that takes a thread's first request.
        takes: contract of the request. Every peer that answers may be asked next, so it takes requests, too, beside
            the briefs that it is handed.
        answer: contract of the answer.
        answers: the names of the peers that may answer; None is all of them.
        most: so many handovers among peers are made in a run, in all. Beside it stand what an agent may hand over
            (`Budget(handoffs=...)`), and what the system takes for a loop.
        beyond: what happens with the next handover: the run fails, a person is asked, or its source is told that it
            may only answer (`pass`); that takes that every peer may answer.
        parallel: what happens where a peer hands over more than once in one turn, the answer counted. `refuse`:
            nothing of it is done, and the peer is told to choose one, as with a payload that breaks its contract: so
            many tries, then what `on_violation` says. `fail`: the run stops with `HandoffConflict`. No rule takes one
            and drops the rest.
        sticky: whether a thread's next request goes to the peer that answered the last one, in whatever process; to
            `first` where that peer is gone or answers no more.
        on_violation: what happens when a payload breaks its contract.
        history: which messages of a peer's turn cross with its handover.
        on_failure: what happens when a peer's turn fails, one for all or one per name; the run stops otherwise.

    Raises:
        TopologyInvalid: with every fault found.
    """

    peers: Sequence[Agent]
    handoffs: Mapping[tuple[str, str], Contract] | Sequence[Edge]
    first: str
    takes: Contract
    answer: Contract
    answers: Sequence[str] | None = None
    most: int = 12
    beyond: Beyond = "fail"
    parallel: Parallel = "refuse"
    sticky: bool = True
    on_violation: OnViolation = field(default_factory=OnViolation)
    history: History = NO_HISTORY
    on_failure: Declared = STOP

    def __post_init__(self) -> None:
        faults = list(self._faults())
        faults = faults or [*self._faults_of_handoffs(), *self._faults_of_carried()]
        if faults:
            raise TopologyInvalid(name="swarm", faults=faults)

    @property
    def agents(self) -> Sequence[Agent]:
        """The peers."""
        return tuple(self.peers)

    @property
    def answering(self) -> tuple[str, ...]:
        """The names of the peers that may answer."""
        return tuple(p.name for p in self.peers) if self.answers is None else tuple(self.answers)

    @cached_property
    def edges(self) -> Sequence[Edge]:
        """start → each that may begin, the first one first; the handovers; each that may answer → end."""
        begin = dict.fromkeys([self.first, *(self.answering if self.sticky else ())])
        return (
            *(Edge(source=START, target=name, contract=self.takes) for name in begin),
            *self._handovers(),
            *(
                Edge(source=name, target=END, contract=self.answer, on_violation=self.on_violation)
                for name in self.answering
            ),
        )

    @property
    def fan_outs(self) -> Sequence[FanOut]:
        """None: one peer at a time."""
        return ()

    def _handovers(self) -> list[Edge]:
        bound = Bound(name=HANDOFFS, most=self.most, then=self.beyond)
        if not isinstance(self.handoffs, Mapping):
            return [replace(edge, bound=bound) for edge in self.handoffs]
        rule, history = self.on_violation, self.history
        return [
            Edge(source=source, target=target, contract=contract, on_violation=rule, history=history, bound=bound)
            for (source, target), contract in self.handoffs.items()
        ]

    # -- faults --------------------------------------------------------------------------------------------------

    def _faults(self) -> Iterator[str]:
        peers: Sequence[Any] = self.peers
        contracts: list[tuple[str, Any]] = [("takes", self.takes), ("answer", self.answer)]
        if len(peers) < 2:
            yield f"it has {len(peers)} peers; it takes two at least, and one alone is a Solo"
        yield from (f"peer {i} is {p!r}, not an Agent" for i, p in enumerate(peers) if not isinstance(p, Agent))
        yield from (f"{name}= is {c!r}, no Contract" for name, c in contracts if not isinstance(c, Contract))
        most: Any = self.most
        if not isinstance(most, int) or isinstance(most, bool) or most < 1:
            yield f"most={most!r}; it takes a number of handovers, at least 1"
        for name, value, kinds in (("parallel", self.parallel, Parallel), ("beyond", self.beyond, Beyond)):
            if value not in get_args(kinds):
                yield f"{name}={value!r}; it takes one of {', '.join(map(repr, get_args(kinds)))}"
        handoffs: Any = self.handoffs
        if isinstance(handoffs, Mapping):
            for pair, contract in handoffs.items():
                if not (isinstance(pair, tuple) and len(pair) == 2 and all(isinstance(n, str) for n in pair)):
                    yield f"handoffs= has the key {pair!r}; it takes pairs of names: who hands over, and to whom"
                if not isinstance(contract, Contract):
                    yield f"handoffs= of {pair!r} is {contract!r}, no Contract"
            return
        for edge in handoffs:
            if not isinstance(edge, Edge):
                yield f"handoffs= holds {edge!r}, which is no Edge"
            elif edge.bound is not None:
                yield f"the handover {edge.name!r} has a bound of its own; all of a swarm's have one: most="

    def _faults_of_handoffs(self) -> Iterator[str]:
        names = [p.name for p in self.peers]
        known = f"known: {sorted(names)}"
        if self.first not in names:
            yield f"first={self.first!r} is no peer; {known}"
        yield from (f"answers= names no peer {n!r}; {known}" for n in self.answering if n not in names)
        if not self.answering:
            yield "answers= names nobody; without an answer no run ends"
        if self.beyond == "pass" and (mute := [n for n in names if n not in self.answering]):
            yield f"beyond='pass' leaves nothing to do to those who may not answer: {', '.join(mute)}"
        for edge in self._handovers():
            yield from (
                f"the handover {edge.name!r} names no peer {end!r}; {known}"
                for end in (edge.source, edge.target)
                if end not in names
            )
            if edge.source == edge.target:
                yield f"the handover {edge.name!r} leads back to its own peer, which can go on without one"

    def _faults_of_carried(self) -> Iterator[str]:
        """A carried field comes from what a peer was handed, so all that it may be handed must have it."""
        taken: dict[str, list[Contract]] = {}
        for edge in self.edges:
            taken.setdefault(edge.target, []).append(edge.contract)
        for edge in self.edges:
            needed = [n for n in edge.contract.carried if n in edge.contract.schema.get("required", ())]
            for contract in dict.fromkeys(taken.get(edge.source, ())):
                if less := [n for n in needed if n not in contract.schema["properties"]]:
                    yield (
                        f"{edge.name!r} carries {less[0]!r} on from what {edge.source!r} was handed, "
                        f"and {contract.id} has no such field"
                    )

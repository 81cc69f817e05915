"""Supervisor: one agent routes to one of several specialists, or to several at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from ..agents.agent import Agent
from ..contracts.contract import Contract
from ..contracts.edge import END, NO_HISTORY, START, Edge, FanOut, History, OnViolation
from ..contracts.errors import TopologyInvalid
from ..contracts.failure import STOP
from ..contracts.join import ALL, Join
from .gathering import gathered
from .reactions import Declared, may_skip


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
        join: with an aggregator: when enough specialists have answered (`any_of`, `first`, `quorum`, `best_effort`);
            all of them where it is left out. Under any other policy the aggregator gets `gaps`, too.
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
    join: Join = ALL

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
            if self.join != ALL:
                raise TopologyInvalid(name="supervisor", faults=["a join needs `aggregator`, who gets what it joins"])
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
        gaps = may_skip(self.on_failure, list(findings))
        return (
            FanOut(
                source=self.router.name,
                briefs=self._each(self.brief),
                answers=findings,
                target=self.aggregator.name,
                gathered=gathered(self.takes, findings, self.carried, gaps=gaps, join=self.join),
                on_violation=self.on_violation,
                history=self.history,
                join=self.join,
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

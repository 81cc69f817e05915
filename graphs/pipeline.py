"""Pipeline: a fixed line of agents, with a contract before each and behind the last."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from ..agents.agent import Agent
from ..contracts.contract import Contract
from ..contracts.edge import END, NO_HISTORY, START, Edge, FanOut, History, OnViolation
from ..contracts.errors import TopologyInvalid
from ..contracts.failure import STOP
from .reactions import Declared


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

"""What a system stands for while it runs: the frozen facts that its nodes read and its records quote."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from ..contracts.budget import Budget
from ..contracts.contract import Contract, Never
from ..contracts.labels import Sensitivity
from ..contracts.loops import LOOPS, Loops
from ..contracts.redaction import Redactor


@dataclass(frozen=True, kw_only=True)
class Standing:
    """See the module. `agents` maps names to `name@version digest`; `digest` covers all of the system.

    `budget` is of one run, `budgets` are those that runs share. By an agent's name: `limits` are its own, `teams` those
    that it is inside of.
    `contracts` are those of all edges, by id; `unrecorded` is what no record, trace or question to a person shows.
    """

    id: str
    digest: str
    environment: str
    budget: Budget
    agents: Mapping[str, str]
    policy_fields: tuple[str, ...]
    resources: tuple[Any, ...]
    entry: Contract
    contracts: Mapping[str, Contract]
    unrecorded: Never
    guards_private: bool = False
    budgets: tuple[Budget, ...] = ()
    loops: Loops = LOOPS
    limits: Mapping[str, Budget] = field(default_factory=dict)
    teams: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def recorded(self, known: Mapping[str, Sensitivity], *, detect: bool = True) -> Redactor:
        """What cuts out of records what they must not show, given the run's sensitive values by text.

        Args:
            detect: what its detectors find too; without, the known values alone.
        """
        chosen = {text: level for text, level in known.items() if level in self.unrecorded.sensitivities}
        return Redactor(self.unrecorded.detectors if detect else (), chosen)

    @cached_property
    def covered(self) -> frozenset[str]:
        """Contracts, by id, that let nothing cross which a record would not show."""
        hidden = self.unrecorded
        return frozenset(
            name
            for name, contract in self.contracts.items()
            if set(hidden.detectors) <= set(contract.never.detectors)
            and set(hidden.sensitivities) <= set(contract.never.sensitivities)
        )

    @property
    def watches(self) -> bool:
        """Whether the sensitive values of a run must be known: a contract, a record or a policy asks."""
        every = [self.unrecorded, *(c.never for c in self.contracts.values())]
        return self.guards_private or any(never.sensitivities for never in every)

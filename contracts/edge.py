"""The edge: who hands over to whom, under which contract, and what happens when it is broken."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .contract import Contract

START = "start"
END = "end"


@dataclass(frozen=True, slots=True, kw_only=True)
class OnViolation:
    """What happens when a payload breaks the contract: so many repairs by the source, then a review or a failure."""

    repair: int = 2
    then: Literal["review", "fail"] = "review"


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """One edge. `source` is "start" at the entry, `target` is "end" at the exit.

    History is `none`: no message of the source crosses, only the payload.
    """

    source: str
    target: str
    contract: Contract
    on_violation: OnViolation = OnViolation()
    history: Literal["none"] = "none"

    @property
    def name(self) -> str:
        """`source→target`."""
        return f"{self.source}→{self.target}"

    @property
    def node(self) -> str:
        """The name of its contract node in the graph: contract, version and edge."""
        return f"{self.contract.id} {self.name}"

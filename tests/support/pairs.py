"""Two agents who may hand over to each other as often as they like."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from edgewright import Agent, Edge, FanOut, Handoff, OnViolation, Policy, System
from edgewright.contracts.failure import OnFailure
from edgewright.tools.sealed import SealedTool
from support.systems import ANSWER, PERMIT_ALL, QUESTION

FAIL = OnViolation(repair=0, then="fail")
ROUND = ("triage→billing", "billing→triage")
"""The edges of one round."""


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two agents who may hand over to each other as often as they like; either may answer."""

    one: Agent
    other: Agent
    fan_outs: Sequence[FanOut] = ()

    @property
    def agents(self) -> Sequence[Agent]:
        """Both."""
        return self.one, self.other

    @property
    def edges(self) -> Sequence[Edge]:
        """start → one ⇄ other → end."""
        ends = [("start", self.one.name), (self.one.name, self.other.name), (self.other.name, self.one.name)]
        each = [Edge(source=a, target=b, contract=QUESTION, on_violation=FAIL) for a, b in ends]
        return *each, Edge(source=self.other.name, target="end", contract=ANSWER, on_violation=FAIL)


@dataclass(frozen=True, kw_only=True)
class Reacting(Pair):
    """A pair with what is declared for failures."""

    on_failure: dict[str, OnFailure]


def pair(triage: Any, billing: Any, *, tools: Sequence[SealedTool] = (), **options: Any) -> System:
    """A system of two agents in code."""
    one = Agent("triage", version=1, function=triage, tools=tools)
    other = Agent("billing", version=1, function=billing, tools=tools)
    policy = Policy(text=PERMIT_ALL) if tools else None
    return System("pair", version=1, topology=Pair(one=one, other=other), policy=policy, **options)


def back(payload: dict[str, Any]) -> Handoff:
    """Hands over to the other again."""
    return Handoff(target="triage", payload={"text": payload["text"]})

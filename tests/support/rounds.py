"""A drafter and a critic who sends drafts back, as often as the request wants it, and what crossed between them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from edgewright import Agent, Contract, Handoff, Pipeline, System
from edgewright.contracts.edge import Beyond, OnViolation
from edgewright.graphs.stages import LoopBack
from edgewright.ledger.records import BoundMet, ContractPassed
from pydantic import BaseModel
from support.systems import of_kind

FAIL = OnViolation(repair=0, then="fail")


class Wish(BaseModel):
    """How often a draft is to be sent back."""

    wanted: int


class Paper(BaseModel):
    """A draft, and the how many-th it is."""

    wanted: int
    draft: int


class Remarks(BaseModel):
    """What goes back."""

    wanted: int
    draft: int


WISH, PAPER, REMARKS = Contract(Wish, version=1), Contract(Paper, version=1), Contract(Remarks, version=1)


def drafts(payload: dict[str, Any]) -> dict[str, int]:
    """Writes the next draft."""
    return {"wanted": payload["wanted"], "draft": payload.get("draft", 0) + 1}


def judges(payload: dict[str, Any]) -> Handoff:
    """Sends a draft back until it is what was wanted."""
    more = payload["draft"] <= payload["wanted"]
    return Handoff(target="drafter" if more else "end", payload=payload)


def rounds(
    most: int,
    then: Beyond = "fail",
    *,
    critic: Any = judges,
    drafter: Any = drafts,
    rule: OnViolation = FAIL,
    name: str = "",
    **options: Any,
) -> System:
    """drafter → critic → end, and back from the critic so many times."""
    line = Pipeline(
        stages=[
            Agent("drafter", version=1, function=drafter),
            critic if isinstance(critic, Agent) else Agent("critic", version=1, function=critic),
        ],
        contracts=[WISH, PAPER, PAPER],
        loop_backs=[LoopBack(source="critic", to="drafter", contract=REMARKS, most=most, then=then, name=name)],
        on_violation=rule,
    )
    return System("rounds", version=1, topology=line, **options)


def sent_back(system: System, run: str) -> int:
    """How often something went back in a run."""
    return crossings(system, run).count("critic→drafter")


def crossings(system: System, run: str) -> Sequence[str]:
    """The edges that something crossed in a run, in order."""
    return [r.edge for r in of_kind(system, run, ContractPassed)]


def met(system: System, run: str) -> list[tuple[str, int, str]]:
    """Each time the bound was met: its name, how much was used, and what was done."""
    return [(r.bound, r.rounds, r.then) for r in of_kind(system, run, BoundMet)]

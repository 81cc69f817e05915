"""Small systems with a person among their agents, for tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

from edgewright import Agent, Contract, Edge, FanOut, System
from edgewright.contracts.edge import END, START
from edgewright.graphs.roles import human_review
from pydantic import BaseModel, Field


class Matter(BaseModel):
    """What is to be drafted."""

    matter: str
    client: str = "nobody"


class Draft(BaseModel):
    """What was drafted."""

    matter: str
    text: Annotated[str, Field(max_length=60)]
    notes: str = ""


class Release(BaseModel):
    """What may go out."""

    text: Annotated[str, Field(max_length=40)]


class Revision(BaseModel):
    """What is to be drafted anew, and why."""

    matter: str
    text: str
    remarks: str


MATTER, DRAFT = Contract(Matter, version=1), Contract(Draft, version=1, carried=["matter"])
RELEASE, REVISION = Contract(Release, version=1), Contract(Revision, version=1)
ASKED = {"matter": "a lease", "client": "Smith"}
drafted: list[dict[str, Any]] = []
"""What the drafter was handed, each time."""


def drafts(handed: dict[str, Any]) -> dict[str, str]:
    """A drafter who takes remarks to heart, and who keeps notes."""
    drafted.append(handed)
    said = handed.get("remarks")
    return {"text": f"{said}: {handed['text']}" if said else f"draft of {handed['matter']}", "notes": "not for others"}


@dataclass(frozen=True, kw_only=True)
class Free:
    """A topology whose edges are simply given."""

    agents: Sequence[Agent]
    edges: Sequence[Edge]
    fan_outs: Sequence[FanOut] = field(default=())


def firm(*, back: bool = False, drafter: Any = drafts, name: str = "firm", **options: Any) -> System:
    """A drafter and a partner, who sends it back where `back`. Options are those of the review and the system."""
    drafted.clear()
    chosen: dict[str, Any] = {k: options.pop(k) for k in ("role", "separation", "reason", "version") if k in options}
    if back:
        chosen |= {"to": END, "reject": "drafter", "rejects": REVISION}
    edges = [
        Edge(source=START, target="drafter", contract=MATTER),
        Edge(source="drafter", target="partner", contract=DRAFT),
        Edge(source="partner", target=END, contract=RELEASE),
        *([Edge(source="partner", target="drafter", contract=REVISION)] if back else []),
    ]
    agents = [Agent("drafter", version=1, function=drafter), human_review("partner", gives=RELEASE, **chosen)]
    return System(name, version=1, topology=Free(agents=agents, edges=edges), **options)

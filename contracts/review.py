"""A review: what a person is asked, and what a person can answer. Both are plain JSON on the wire."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from .digest import digest


class AskingRule(BaseModel):
    """A rule that asks: its id, the role that may approve, and the reason."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    id: str
    approver: str = ""
    reason: str = ""


class ReviewRequest(BaseModel):
    """What a person is asked.

    `kind`: `call` (may this tool call run?), `outcome_unknown` (a crash hid whether it happened: approve runs it
    again, reject leaves it), `handoff` (a payload broke its contract: edit it or reject it).
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    id: str
    kind: Literal["call", "outcome_unknown", "handoff"]
    run: str
    agent: str
    tool: str = ""
    edge: str = ""
    arguments: dict[str, Any] = Field(default_factory=dict)
    facts: dict[str, Any] = Field(default_factory=dict)
    provenance: dict[str, str] = Field(default_factory=dict)
    rules: tuple[AskingRule, ...] = ()
    faults: tuple[str, ...] = ()
    binding: str


class ReviewAnswer(BaseModel):
    """What a person answers. `arguments` replaces the arguments (or the payload) when the decision is `edit`.

    `review` is the id of the question; `System.aresume` fills it in. LangGraph itself hands answers to a node by their
    order, not by what they answer.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    decision: Literal["approve", "edit", "reject"]
    reason: str = Field(min_length=1, max_length=2000)
    arguments: dict[str, Any] | None = None
    reviewer: str = "local operator"
    review: str = ""


def binding_of(**bound: Any) -> str:
    """Digest of everything an approval is bound to (threat 30)."""
    return digest(bound)

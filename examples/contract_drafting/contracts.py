"""What crosses each edge of the line: a request, a choice, a draft, its faults, what was checked, an outcome.

The lawyer's instructions are the user's words. What the other side wrote crosses no edge as it is: drafting reads it by
a tool that vouches for none of it, and may hand on open points, which are short and count for nothing with the policy.
"""

from __future__ import annotations

from typing import Annotated, Literal

from edgewright import Contract
from pydantic import BaseModel, Field

MatterNumber = Annotated[str, Field(pattern=r"^M-\d{4}$")]
TemplateKey = Annotated[str, Field(pattern=r"^[A-Z]{3}-[A-Z0-9]{1,2}@\d{1,3}$")]
ClauseKey = Annotated[str, Field(pattern=r"^[A-Z]{3}-[A-Z0-9]{2}@\d{1,3}$")]
DraftId = Annotated[str, Field(pattern=r"^[0-9a-f]{24}$")]
SlotName = Annotated[str, Field(pattern=r"^[a-z_]{2,40}$")]
RuleId = Annotated[str, Field(pattern=r"^[a-z-]{2,60}$")]
Lawyer = Annotated[str, Field(pattern=r"^[a-z]\.[a-z-]{2,40}$")]
Instructions = Annotated[str, Field(min_length=1, max_length=4000)]
OpenPoints = Annotated[list[Annotated[str, Field(min_length=1, max_length=300)]], Field(max_length=6)]
Level = Literal["low", "medium", "high"]


class Request(BaseModel):
    """What a lawyer of the firm wants for a matter."""

    matter: MatterNumber
    lawyer: Lawyer
    instructions: Instructions


class Choice(BaseModel):
    """The template that fits the request, and why."""

    matter: MatterNumber
    instructions: Instructions
    template: TemplateKey
    reason: Annotated[str, Field(min_length=1, max_length=300)]


class Draft(BaseModel):
    """A draft that was written, and what of the other side's wishes is open."""

    matter: MatterNumber
    instructions: Instructions
    template: TemplateKey
    draft: DraftId
    open_points: OpenPoints = []


class Fault(BaseModel):
    """A rule that the draft breaks, where, and the clause that mends it, if the library has one."""

    rule: RuleId
    slot: SlotName
    problem: Annotated[str, Field(min_length=1, max_length=300)]
    remedy: ClauseKey | None = None


class Revision(BaseModel):
    """What has to be mended in a draft, rule by rule."""

    matter: MatterNumber
    instructions: Instructions
    template: TemplateKey
    draft: DraftId
    open_points: OpenPoints = []
    faults: Annotated[list[Fault], Field(min_length=1, max_length=30)]


class Checked(BaseModel):
    """A draft that went through the compliance check, and what its checker says of it."""

    matter: MatterNumber
    template: TemplateKey
    draft: DraftId
    open_points: OpenPoints = []
    summary: Annotated[str, Field(min_length=1, max_length=600)]


class Outcome(BaseModel):
    """What became of the draft: released, or held back and why; and its risk."""

    matter: MatterNumber
    template: TemplateKey
    draft: DraftId
    outcome: Literal["released", "held"]
    level: Level
    message: Annotated[str, Field(min_length=1, max_length=1000)]


# What is carried is copied by the runtime: no stage can be talked into another matter, template or draft than its own.
REQUEST = Contract(Request, version=1, policy_fields=("matter", "lawyer"))
CHOICE = Contract(Choice, version=1, carried=("matter", "instructions"))
DRAFT = Contract(Draft, version=1, carried=("matter", "instructions", "template"))
REVISION = Contract(Revision, version=1, carried=("matter", "instructions", "template", "draft", "open_points"))
CHECKED = Contract(Checked, version=1, carried=("matter", "template", "draft", "open_points"))
OUTCOME = Contract(Outcome, version=1, carried=("matter", "template", "draft"))

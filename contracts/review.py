"""A review: what a person is asked, what a person can answer, and who may. All of it is plain JSON on the wire.

The decisions here are pure: which rules the approvals that are there cover, and which a person could still cover.
Signing is `tools/signing.py`; the clock is there, too.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import SkipJsonSchema

from .digest import digest
from .errors import ReviewerInvalid
from .names import folded

DEVELOPMENT = "development"
"""The one environment in which an answer without a name counts: as the local operator's."""
REVIEW_SECONDS = 24 * 3600.0
"""How long a review may be answered, unless a system says otherwise."""
APPROVAL_SECONDS = 15 * 60.0
"""How long an approval counts for a call that has not begun, unless a system says otherwise."""
EVERY_ROLE = "*"
"""What a signature of the local operator names in the place of roles. No reviewer can hold it."""
OPERATOR = "local operator"
MAX_ID = 200

# Letters that look like Latin ones, so that two spellings of an id are no two persons. Lower case only: ids are folded.
_ALIKE = {
    ord(other): latin
    for latin, others in {
        "a": "\u0430\u03b1\u0251",
        "c": "\u0441\u03f2",
        "d": "\u0501",
        "e": "\u0435\u04bd",
        "g": "\u0261",
        "h": "\u04bb",
        "i": "\u0456\u03b9\u0131\u04cf",
        "j": "\u0458",
        "k": "\u043a\u03ba",
        "m": "\u043c",
        "n": "\u0578",
        "o": "\u043e\u03bf\u03c3\u0585",
        "p": "\u0440\u03c1",
        "q": "\u051b",
        "s": "\u0455",
        "t": "\u0442\u03c4",
        "u": "\u03c5\u057d",
        "v": "\u03bd\u0475",
        "w": "\u051d\u0461",
        "x": "\u0445\u03c7",
        "y": "\u0443\u03b3",
    }.items()
    for other in others
}


@dataclass(frozen=True, slots=True)
class Reviewer:
    """A person as the server's authentication, or the program that holds the system, knows them.

    Attributes:
        id: who it is; the same for the same person, always.
        roles: what `@approver(...)` of a rule may name.
        tenant: on whose behalf; the runs of other tenants do not exist for this person.

    Raises:
        ReviewerInvalid: a blank or unprintable id, the local operator's, or roles that are none.
    """

    id: str
    roles: frozenset[str] = frozenset()
    tenant: str = "local"

    def __post_init__(self) -> None:
        if faults := _faults_of(self.id, self.roles, self.tenant):
            raise ReviewerInvalid(name=str(self.id)[:MAX_ID], faults=faults)
        object.__setattr__(self, "roles", frozenset(self.roles))


def _faults_of(id_: Any, roles: Any, tenant: Any) -> list[str]:
    faults = [
        f"its {what} is {given!r}: 1 to {MAX_ID} characters that show, without a space at either end"
        for what, given in (("id", id_), ("tenant", tenant))
        if not _printable(given)
    ]
    if isinstance(id_, str) and person(id_) == person(OPERATOR):
        faults.append(f"its id is {id_!r}, which is what answers without a name are recorded under")
    if isinstance(roles, str) or not isinstance(roles, Iterable):
        return [*faults, f"its roles are {roles!r}, no set of names"]
    odd = [r for r in roles if not _printable(r) or r == EVERY_ROLE]
    return [*faults, *(f"{r!r} is no role" for r in odd)]


def _printable(given: Any) -> bool:
    if not isinstance(given, str) or not 0 < len(given) <= MAX_ID or given != given.strip():
        return False
    return not any(unicodedata.category(c)[0] == "C" for c in given)


def person(id_: str) -> str:
    """An id without what tells its spellings apart: two ids with one such form count as one person."""
    return folded(id_).translate(_ALIKE)


class AskingRule(BaseModel):
    """A rule that asks: its id, the role that may approve, and the reason.

    `separation`: not by whoever started the run. `approvals`: by so many different persons.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    id: str
    approver: str = ""
    reason: str = ""
    separation: bool = False
    approvals: int = 1


class ApprovedRule(BaseModel):
    """A rule that was approved for this call before, and by whom."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    id: str
    by: tuple[str, ...]


class ReviewRequest(BaseModel):
    """What a person is asked.

    `kind`: `call` (may this tool call run?), `outcome_unknown` (a crash hid whether it happened: approve runs it
    again, reject leaves it), `handoff` (a payload broke its contract: edit it or reject it), `failure` (an agent's turn
    failed), `budget` (one ran out: approve adds as much as is proposed, edit says how much; or what a model costs),
    `bound` (an edge was crossed as often as it may: approve is once more, edit is what is handed on instead),
    `sign_off` (a person has a turn of their own: approve hands on what is shown, edit something else).

    `provenance` and `private` are of the arguments: where each comes from, and which hold something personal or
    secret. `effect`, `sink` and `description` (a digest) are of the tool. `approved` names what other reviews of this
    call have approved already. `faults` say what was wrong with the payload, or with an edit that was given. `asked`
    and `expires` are seconds since the epoch; 0 is not known. `started_by` is empty where nobody knows.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    id: str
    kind: Literal["call", "outcome_unknown", "handoff", "failure", "budget", "bound", "sign_off"]
    run: str
    agent: str
    tool: str = ""
    edge: str = ""
    arguments: dict[str, Any] = Field(default_factory=dict)
    facts: dict[str, Any] = Field(default_factory=dict)
    provenance: dict[str, str] = Field(default_factory=dict)
    private: tuple[str, ...] = ()
    effect: str = ""
    sink: bool = False
    description: str = ""
    rules: tuple[AskingRule, ...] = ()
    approved: tuple[ApprovedRule, ...] = ()
    faults: tuple[str, ...] = ()
    started_by: str = ""
    asked: float = 0.0
    expires: float = 0.0
    binding: str


class Signature(BaseModel):
    """Who gave an answer, when, until when it counts, and what proves it: an HMAC over all of that and the answer."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    reviewer: str
    roles: list[str]
    tenant: str
    time: float
    until: float
    nonce: str
    mac: str


class ReviewAnswer(BaseModel):
    """What a person answers. `arguments` replaces the arguments (or the payload) when the decision is `edit`.

    `review` is the id of the question, and `reviewer` and `signature` say who gave the answer: whoever takes it in
    (`System.aresume`, the server) fills them in, from what it knows itself. What an answer says of its own giver is
    believed by nobody. LangGraph itself hands answers to a node by their order, not by what they answer.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    decision: Literal["approve", "edit", "reject"]
    reason: str = Field(min_length=1, max_length=2000)
    arguments: dict[str, Any] | None = None
    reviewer: str = OPERATOR
    review: str = ""
    signature: SkipJsonSchema[Signature | None] = None


def binding_of(**bound: Any) -> str:
    """Digest of everything an approval is bound to (threat 30)."""
    return digest(bound)


def holds(signed: Signature, rule: AskingRule, *, local: bool) -> bool:
    """Whether the signer has the role that a rule names.

    Args:
        local: whether the local operator counts here.
    """
    return (local and EVERY_ROLE in signed.roles) or (rule.approver != "" and rule.approver in signed.roles)


def covers(signed: Signature, rule: AskingRule, *, starter: str, local: bool) -> bool:
    """Whether the signer may approve what a rule asks about.

    Args:
        starter: who started the run; empty where nobody knows, and then nobody is told apart from them.
    """
    if rule.separation and (not starter or person(signed.reviewer) == person(starter)):
        return False
    return holds(signed, rule, local=local)


def approvers_of(rule: AskingRule, approvals: Iterable[Signature], *, starter: str, local: bool) -> tuple[str, ...]:
    """The persons among the approvals who may approve a rule, each once."""
    found = {person(s.reviewer): s.reviewer for s in approvals if covers(s, rule, starter=starter, local=local)}
    return tuple(found.values())


def uncovered(
    rules: Sequence[AskingRule], approvals: Sequence[Signature], *, starter: str, local: bool
) -> tuple[AskingRule, ...]:
    """The rules that the approvals do not cover yet."""
    return tuple(
        r for r in rules if len(approvers_of(r, approvals, starter=starter, local=local)) < max(r.approvals, 1)
    )

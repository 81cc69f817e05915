"""The closed set of record types. What is not here cannot be written to the ledger.

A record is plain data: JSON types only, no values that a contract withheld. Large or sensitive content (payloads,
replies, outcomes) is stored beside the chain by digest; the record holds the digest. `at` is the position inside the
run (see `edgewright.tools.position`): the same on every re-execution.

To add a record type: write the class, add it to `RECORDS`, render it in `ledger/transcript.py` (a test holds that
every type is rendered), and say in the changelog what it means.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStarted:
    """A run began: of which system, on which thread, under which policy, with which request."""

    kind: ClassVar[str] = "run.started"
    system: str
    system_digest: str
    policy_digest: str
    environment: str
    thread: str
    request: str
    agents: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResumed:
    """A run whose earlier execution stopped without an end goes on, from the ledger and the checkpoint."""

    kind: ClassVar[str] = "run.resumed"
    records: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEnded:
    """A run ended: `completed`, `failed` or `out_of_budget`, with what it spent in all."""

    kind: ClassVar[str] = "run.ended"
    status: str
    reason: str = ""
    response: str = ""
    spent: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentStarted:
    """An agent began its turn on a payload."""

    kind: ClassVar[str] = "agent.started"
    at: str
    agent: str
    digest: str
    input: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentEnded:
    """An agent ended its turn and offers a payload to a target."""

    kind: ClassVar[str] = "agent.ended"
    at: str
    agent: str
    target: str
    offer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HandoffAsked:
    """A model asked for a handoff; the contract node decides."""

    kind: ClassVar[str] = "handoff.asked"
    at: str
    agent: str
    target: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ContractPassed:
    """A payload crossed an edge. Names and rules of what was withheld, never values."""

    kind: ClassVar[str] = "contract.passed"
    edge: str
    contract: str
    contract_digest: str
    payload: str
    fields: list[str]
    withheld: list[list[str]]
    redacted: list[list[str]]
    history_withheld: int
    tries: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ContractViolated:
    """A payload did not fit its contract: the faults (field: rule), and what happens now."""

    kind: ClassVar[str] = "contract.violated"
    edge: str
    contract: str
    faults: list[str]
    tries: int
    then: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelReserved:
    """Budget was reserved for a model call, before it."""

    kind: ClassVar[str] = "model.reserved"
    at: str
    call: str
    agent: str
    model: str
    reserved: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSettled:
    """A model call ended well: what it used, from the wire, and which tool calls it asks for, by id."""

    kind: ClassVar[str] = "model.settled"
    at: str
    call: str
    agent: str
    model: str
    used: Mapping[str, Any]
    price: str
    seconds: float
    calls: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFailed:
    """A model call failed; what it is taken to have used."""

    kind: ClassVar[str] = "model.failed"
    at: str
    call: str
    agent: str
    model: str
    used: Mapping[str, Any]
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRefused:
    """A model call was refused before it was made."""

    kind: ClassVar[str] = "model.refused"
    at: str
    agent: str
    model: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyKept:
    """A model's reply, durable before the first effect that it asks for, with the ids of its tool calls."""

    kind: ClassVar[str] = "reply.kept"
    at: str
    agent: str
    reply: str
    calls: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyReused:
    """A re-execution took the kept reply instead of asking the model again."""

    kind: ClassVar[str] = "reply.reused"
    at: str
    agent: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CallJudged:
    """A tool call was judged: `allow`, `deny` or `ask`, by which rules, under which policy, knowing which facts."""

    kind: ClassVar[str] = "call.judged"
    at: str
    agent: str
    tool: str
    tool_digest: str
    arguments: str
    verdict: str
    rules: list[str]
    reasons: list[str]
    policy_digest: str
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewAsked:
    """A person was asked."""

    kind: ClassVar[str] = "review.asked"
    review: str
    at: str
    agent: str
    about: str
    binding: str
    rules: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewAnswered:
    """A person answered."""

    kind: ClassVar[str] = "review.answered"
    review: str
    at: str
    decision: str
    reason: str
    reviewer: str
    arguments: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectIntended:
    """A tool is about to change the world. Durable before it does."""

    kind: ClassVar[str] = "effect.intended"
    effect: str
    tool: str
    arguments: str
    idempotency: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectDone:
    """A tool did what it was called for. `outcome` is the digest of what it returned."""

    kind: ClassVar[str] = "effect.done"
    effect: str
    tool: str
    changes_world: bool
    outcome: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectRefused:
    """A tool refused for a business reason; nothing was done."""

    kind: ClassVar[str] = "effect.refused"
    effect: str
    tool: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectFailed:
    """A tool raised. `unknown` tells whether it may nevertheless have happened."""

    kind: ClassVar[str] = "effect.failed"
    effect: str
    tool: str
    error: str
    unknown: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectReused:
    """A re-execution was given the recorded outcome instead of the effect."""

    kind: ClassVar[str] = "effect.reused"
    effect: str
    tool: str


Record = (
    RunStarted
    | RunResumed
    | RunEnded
    | AgentStarted
    | AgentEnded
    | HandoffAsked
    | ContractPassed
    | ContractViolated
    | ModelReserved
    | ModelSettled
    | ModelFailed
    | ModelRefused
    | ReplyKept
    | ReplyReused
    | CallJudged
    | ReviewAsked
    | ReviewAnswered
    | EffectIntended
    | EffectDone
    | EffectRefused
    | EffectFailed
    | EffectReused
)

RECORDS: Mapping[str, type[Record]] = {cls.kind: cls for cls in Record.__args__}

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
    """A run began: of which system, on which thread, under which policy, with which request, for whom.

    `started_by` is empty where nobody knows; `mac` vouches for it, and for tenant and environment, where a key is.
    `review_seconds` is how long its reviews may be answered.
    """

    kind: ClassVar[str] = "run.started"
    system: str
    system_digest: str
    policy_digest: str
    environment: str
    thread: str
    request: str
    agents: Mapping[str, str]
    started_by: str = ""
    tenant: str = "local"
    review_seconds: float = 0.0
    mac: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResumed:
    """A run whose earlier execution stopped without an end goes on, from the ledger and the checkpoint.

    `system_digest` is of the version that goes on with it, where that is not the one that began it.
    """

    kind: ClassVar[str] = "run.resumed"
    records: int
    system_digest: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEnded:
    """A run ended: `completed`, `failed`, `out_of_budget` or `cancelled`, with what it spent in all.

    `marks` say of the response what its reader has to know: (kind, agent, why), as `contracts/marks.py` has them.
    """

    kind: ClassVar[str] = "run.ended"
    status: str
    reason: str = ""
    response: str = ""
    spent: Mapping[str, Any] = field(default_factory=dict)
    marks: list[list[str]] = field(default_factory=list)


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
class AgentFailed:
    """An agent's turn failed, and what happens then: `stop`, `skip`, `answer`, `stand_in` or `ask`. Decided once.

    `error` is its type; `cause` (a word) and `why` are what other agents may be told of it, `reason` is all that it
    says. `instead` is who takes the turn in its place, where that is an agent.
    """

    kind: ClassVar[str] = "agent.failed"
    at: str
    agent: str
    error: str
    cause: str
    why: str
    reason: str
    then: str
    instead: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class HandoffAsked:
    """A model asked for a handoff; the contract node decides."""

    kind: ClassVar[str] = "handoff.asked"
    at: str
    agent: str
    target: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ContractPassed:
    """A payload crossed an edge. Names and rules of what was withheld, never values.

    `hidden` has a digest by name of what was withheld or redacted, keyed per run; `labels` are (integrity,
    sensitivity) by field, `*` for the history; `branch` is the place in a fan-out, from 0, or -1. `history` are the
    messages that crossed beside it; `marks` say of it what its reader has to know: (kind, agent, why).
    """

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
    history_kept: int = 0
    hidden: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, list[str]] = field(default_factory=dict)
    branch: int = -1
    history: str = ""
    marks: list[list[str]] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRestarted:
    """This run begins at a stage, with what had crossed to it in an earlier run.

    `run` is that run, `crossed` where in it that was, `edge` over which edge; `by` is who wanted it.
    """

    kind: ClassVar[str] = "run.restarted"
    run: str
    stage: str
    edge: str
    crossed: str
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StageSkipped:
    """A stage of a pipeline took no turn, for its condition did not hold. It handed on what it was handed."""

    kind: ClassVar[str] = "stage.skipped"
    at: str
    agent: str
    when: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundMet:
    """A payload would have crossed an edge once more than its bound allows, and did not.

    `rounds` is how often what shares the bound was crossed, `then` what happens now: `fail`, `review`, `pass`.
    """

    kind: ClassVar[str] = "bound.met"
    at: str
    bound: str
    edge: str
    most: int
    rounds: int
    then: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BranchVoted:
    """How a branch of a fan-out with a join policy ended a turn: `answered`, `failed` or `refused`.

    `fan` is the place of the turn that sent it, `round` counts how often branches were sent. `value` stands for the
    value that has to agree, keyed per run; `left` is the payload of what its turn left, for a re-execution.
    """

    kind: ClassVar[str] = "branch.voted"
    at: str
    fan: str
    round: int
    branch: int
    agent: str
    state: str
    value: str
    left: str


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinDecided:
    """A join policy was met (`released`), or cannot be (`unmet`). Durable before anything follows from it.

    `fan` is the place of the turn that sent the branches, `source` its agent. `branches` says how each stood, by its
    number: `counted`, `answered`, `failed`, `refused`, `late`, `parked`.
    """

    kind: ClassVar[str] = "join.decided"
    fan: str
    source: str
    policy: str
    outcome: str
    why: str
    branches: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedWritten:
    """An agent wrote a key of the shared state: its new version, and how far the value may be believed."""

    kind: ClassVar[str] = "shared.written"
    at: str
    key: str
    version: int
    writer: str
    value: str
    label: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedRefused:
    """A write of shared state was in conflict with another; `then` is what happens: `retry` or `fail`."""

    kind: ClassVar[str] = "shared.refused"
    at: str
    key: str
    first: str
    second: str
    why: str
    then: str


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
class BudgetCharged:
    """What was used of budgets by something that has no other record of it: by itself, or inside of this run.

    `run` is the run that used it: this one, or one that was begun inside it. Where `settled` is false it is reserved.
    """

    kind: ClassVar[str] = "budget.charged"
    at: str
    agent: str
    run: str
    call: str
    amounts: Mapping[str, Any]
    settled: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetRaised:
    """A person added to a budget of this run, or to one that it shares: whose (`scope`), of which unit, how much.

    `key` is what a shared budget is counted under.
    """

    kind: ClassVar[str] = "budget.raised"
    review: str
    scope: str
    amounts: Mapping[str, Any]
    by: str
    key: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceGiven:
    """A person said what a model costs, for this run: dollars per million tokens."""

    kind: ClassVar[str] = "price.given"
    review: str
    model: str
    input_per_million: str
    output_per_million: str
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunInside:
    """A run of another system ended inside a turn of this one: how, what its answer is to be believed, and its marks.

    `at` is a place inside the turn; `label` that of all that crossed to its end; `marks` are (kind, agent, why) each;
    `private` the sensitive values that it knew, sealed.
    """

    kind: ClassVar[str] = "run.inside"
    at: str
    run: str
    system: str
    status: str
    label: list[str]
    marks: list[list[str]] = field(default_factory=list)
    private: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunDrained:
    """A run stopped at a checkpoint, to be gone on with: a budget ran out (`scope`, `unit`), or it was asked to."""

    kind: ClassVar[str] = "run.drained"
    reason: str
    scope: str = ""
    unit: str = ""
    spent: Mapping[str, Any] = field(default_factory=dict)


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
    """A model call ended well: what it used, from the wire, and which tool calls it asks for, by id.

    `excess` is what it used above its reservation; a budget that limits such a unit closes.
    """

    kind: ClassVar[str] = "model.settled"
    at: str
    call: str
    agent: str
    model: str
    used: Mapping[str, Any]
    price: str
    seconds: float
    calls: list[str]
    excess: Mapping[str, Any] = field(default_factory=dict)


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
    """A model's reply, durable before the first effect that it asks for, with the ids of its tool calls.

    `marks` are what a reader of the answer has to know of it: (kind, agent, why), as `contracts/marks.py` has them.
    """

    kind: ClassVar[str] = "reply.kept"
    at: str
    agent: str
    reply: str
    calls: list[str]
    marks: list[list[str]] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyReused:
    """A re-execution took the kept reply instead of asking the model again."""

    kind: ClassVar[str] = "reply.reused"
    at: str
    agent: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRetried:
    """A call of an agent's model failed for a passing reason; it is tried again after `wait` seconds.

    `attempt` counts from 1, `fault` is the kind of failure, `error` its text.
    """

    kind: ClassVar[str] = "model.retried"
    at: str
    agent: str
    model: str
    attempt: int
    fault: str
    error: str
    wait: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelEscalated:
    """The next tier is asked, `to`: an offer broke its contract, or the reply of `model` was not sure enough."""

    kind: ClassVar[str] = "model.escalated"
    at: str
    agent: str
    model: str
    to: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelDegraded:
    """A cheaper model is asked, `to`, instead of `model`, because of a budget."""

    kind: ClassVar[str] = "model.degraded"
    at: str
    agent: str
    model: str
    to: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFellBack:
    """Another model is asked, `to`, because `model` could not be had."""

    kind: ClassVar[str] = "model.fell_back"
    at: str
    agent: str
    model: str
    to: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCached:
    """An earlier reply to the very same request was taken from the response cache; no model was called.

    `cost` is what that reply had used when it was made, and `run` the run that made it.
    """

    kind: ClassVar[str] = "model.cached"
    at: str
    agent: str
    model: str
    run: str
    cost: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSaved:
    """What was saved at a model call, `how`: by `tier`, `degrade`, `cache`, `prompt_cache` or `trim`.

    `usd` is below zero where it cost more, and empty where nobody knows; `basis` says how it was reckoned.
    """

    kind: ClassVar[str] = "model.saved"
    at: str
    agent: str
    model: str
    how: str
    usd: str
    tokens: int
    basis: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CallJudged:
    """A tool call was judged: `allow`, `deny` or `ask`, by which rules, under which policy, knowing which facts.

    `labels` are (integrity, sensitivity, ground) by argument. `strayed`: it reads something to which nothing leads that
    the user said, after the agent read text that nobody vouches for.
    """

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
    labels: Mapping[str, list[str]] = field(default_factory=dict)
    strayed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewAsked:
    """A person was asked, at `asked`, to be answered until `expires` (seconds since the epoch).

    `approvers` are the roles that the rules name, in their order; `exact` is a digest of the arguments, keyed per run.
    """

    kind: ClassVar[str] = "review.asked"
    review: str
    at: str
    agent: str
    about: str
    binding: str
    rules: list[str]
    approvers: list[str] = field(default_factory=list)
    exact: str = ""
    asked: float = 0.0
    expires: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewAnswered:
    """A person answered; or nobody did in time (`expired`).

    `signature` proves who it was, and covers the answer as it was given; where the reason is shown redacted, `words`
    is the payload that holds it as it was.
    """

    kind: ClassVar[str] = "review.answered"
    review: str
    at: str
    decision: str
    reason: str
    reviewer: str
    arguments: str = ""
    words: str = ""
    signature: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewWithdrawn:
    """A run goes on without an answer to a question, and says why. `open`: it may be answered yet, for the record."""

    kind: ClassVar[str] = "review.withdrawn"
    review: str
    at: str
    reason: str
    open: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewNoted:
    """A person answered a question that a run had gone on without. Nothing follows from it.

    The fields are those of `review.answered`.
    """

    kind: ClassVar[str] = "review.noted"
    review: str
    at: str
    decision: str
    reason: str
    reviewer: str
    arguments: str = ""
    words: str = ""
    signature: Mapping[str, Any] = field(default_factory=dict)


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
    """A tool refused for a business reason, or was not called at all; nothing was done.

    `passing`: its integration was not there, or had no place; another time it may be.
    """

    kind: ClassVar[str] = "effect.refused"
    effect: str
    tool: str
    reason: str
    passing: bool = False


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


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectRetried:
    """A call of a tool failed for a passing reason; it is made again after `wait` seconds, as the same effect.

    `part` is empty for the tool's own function, else `facts`, `probe` or `undo`; `attempt` counts from 1, `fault` is
    the kind of failure, `error` its text.
    """

    kind: ClassVar[str] = "effect.retried"
    effect: str
    tool: str
    attempt: int
    fault: str
    error: str
    wait: float
    part: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CircuitMoved:
    """A call of this run moved a breaker of its process: `closed`, `open`, or `half_open` for the one let through.

    `of` is what is called, `failures` how many there were in a row, `last` the kind of the latest.
    """

    kind: ClassVar[str] = "circuit.moved"
    at: str
    agent: str
    of: str
    before: str
    after: str
    failures: int
    last: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UndoIntended:
    """Somebody (`by`) is about to undo an effect of a run that ended. Durable before it is undone; one per attempt."""

    kind: ClassVar[str] = "undo.intended"
    effect: str
    tool: str
    by: str
    idempotency: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UndoDone:
    """An effect was undone. `outcome` is the digest of what its tool's `compensate` returned."""

    kind: ClassVar[str] = "undo.done"
    effect: str
    tool: str
    by: str
    outcome: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class UndoFailed:
    """An effect was not undone. `unknown` tells whether it may have been nevertheless; if not, it stands as it was."""

    kind: ClassVar[str] = "undo.failed"
    effect: str
    tool: str
    by: str
    error: str
    unknown: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PayloadsErased:
    """Somebody erased the run's payloads and their key: how many payloads, who, and why. The records stay."""

    kind: ClassVar[str] = "payloads.erased"
    payloads: int
    by: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadRetried:
    """Somebody (`by`) has a run gone on with that had stopped (`status`). Durable before it goes on."""

    kind: ClassVar[str] = "dead.retried"
    by: str
    status: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadDropped:
    """Somebody (`by`) will not have a run gone on with that had stopped, and says why: no dead letter any more."""

    kind: ClassVar[str] = "dead.dropped"
    by: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordRead:
    """A tool read a shared record: which kind, under which alias (never its id), at which version."""

    kind: ClassVar[str] = "record.read"
    at: str
    agent: str
    tool: str
    record: str
    alias: str
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordClaimed:
    """An effect holds a shared record, which stood at this version when the effect began."""

    kind: ClassVar[str] = "record.claimed"
    effect: str
    agent: str
    tool: str
    record: str
    alias: str = ""
    version: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordSettled:
    """An effect let go of a shared record, which stands at this version now.

    `changed` tells whether the effect changed it, `sole` whether nothing else did while the effect was under way.
    """

    kind: ClassVar[str] = "record.settled"
    effect: str
    agent: str
    tool: str
    record: str
    changed: bool
    alias: str = ""
    version: int = 0
    sole: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordRefused:
    """A shared record did not let a call through, by which error and why. Nothing was done."""

    kind: ClassVar[str] = "record.refused"
    at: str
    agent: str
    tool: str
    record: str
    error: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordReleased:
    """An operator cleared a shared record that an effect of this run held, with an outcome that nobody knew."""

    kind: ClassVar[str] = "record.released"
    effect: str
    record: str
    by: str
    alias: str = ""
    version: int = 0


Record = (
    RunStarted
    | RunResumed
    | RunEnded
    | AgentStarted
    | AgentEnded
    | AgentFailed
    | HandoffAsked
    | ContractPassed
    | BranchVoted
    | JoinDecided
    | SharedWritten
    | SharedRefused
    | ContractViolated
    | BoundMet
    | StageSkipped
    | RunRestarted
    | BudgetCharged
    | BudgetRaised
    | PriceGiven
    | RunDrained
    | RunInside
    | ModelReserved
    | ModelSettled
    | ModelFailed
    | ModelRefused
    | ReplyKept
    | ReplyReused
    | ModelRetried
    | ModelEscalated
    | ModelDegraded
    | ModelFellBack
    | ModelCached
    | ModelSaved
    | CallJudged
    | ReviewAsked
    | ReviewAnswered
    | ReviewWithdrawn
    | ReviewNoted
    | EffectIntended
    | EffectDone
    | EffectRefused
    | EffectFailed
    | EffectReused
    | EffectRetried
    | CircuitMoved
    | UndoIntended
    | UndoDone
    | UndoFailed
    | RecordRead
    | RecordClaimed
    | RecordSettled
    | RecordRefused
    | RecordReleased
    | PayloadsErased
    | DeadRetried
    | DeadDropped
)

RECORDS: Mapping[str, type[Record]] = {cls.kind: cls for cls in Record.__args__}

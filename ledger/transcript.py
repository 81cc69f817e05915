"""The transcript: a run's records as a story that a person can read, in order."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, assert_never

import orjson

from .entry import Entry
from .nesting import Nesting
from .records import (
    AgentEnded,
    AgentFailed,
    AgentStarted,
    BoundMet,
    BranchVoted,
    BudgetCharged,
    BudgetRaised,
    CallJudged,
    CircuitMoved,
    ContractPassed,
    ContractViolated,
    DeadDropped,
    DeadRetried,
    EffectDone,
    EffectFailed,
    EffectIntended,
    EffectRefused,
    EffectRetried,
    EffectReused,
    HandoffAsked,
    JoinDecided,
    ModelCached,
    ModelDegraded,
    ModelEscalated,
    ModelFailed,
    ModelFellBack,
    ModelRefused,
    ModelReserved,
    ModelRetried,
    ModelSaved,
    ModelSettled,
    PayloadsErased,
    PriceGiven,
    RecordClaimed,
    RecordRead,
    RecordRefused,
    RecordReleased,
    RecordSettled,
    ReplyKept,
    ReplyReused,
    ReviewAnswered,
    ReviewAsked,
    ReviewNoted,
    ReviewWithdrawn,
    RunDrained,
    RunEnded,
    RunInside,
    RunRestarted,
    RunResumed,
    RunStarted,
    SharedRefused,
    SharedWritten,
    StageSkipped,
    UndoDone,
    UndoFailed,
    UndoIntended,
)
from .told import way_of
from .told_joins import join_of
from .told_shared import shared_of

Tone = Literal["run", "agent", "contract", "model", "tool", "review", "good", "bad", "quiet"]
CUT = 600
Payload = Callable[[str], bytes | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """One step of the story.

    Attributes:
        seconds: since the run began.
        depth: 0 for the run and its contracts, 1 for agents, 2 for what an agent does; one more inside each team.
        title: a few words; `facts` are (label, value) pairs below it; `tone` is how it should look.
    """

    seq: int
    seconds: float
    depth: int
    tone: Tone
    title: str
    facts: tuple[tuple[str, str], ...] = field(default=())


def transcript(entries: Sequence[Entry], payload: Payload) -> list[Scene]:
    """Tell a run's story.

    Args:
        entries: all entries of one run, in order.
        payload: finds a payload of that run by digest.
    """
    start = entries[0].time if entries else 0.0
    teller, nesting = _Teller(payload), Nesting()
    scenes = []
    for entry in entries:
        depth, tone, title, facts = teller.tell(entry)
        depth = nesting.deeper(entry, depth)
        shown = tuple((label, value) for label, value in facts if value)
        scenes.append(
            Scene(seq=entry.seq, seconds=entry.time - start, depth=depth, tone=tone, title=title, facts=shown)
        )
    return scenes


Told = tuple[int, Tone, str, list[tuple[str, str]]]


class _Teller:
    def __init__(self, payload: Payload) -> None:
        self._payload = payload

    def _content(self, digest: str) -> str:
        if not digest:
            return ""
        body = self._payload(digest)
        return body.decode(errors="replace") if body is not None else f"(payload {digest[:12]} is not kept)"

    def tell(self, entry: Entry) -> Told:
        match entry.record:
            case RunStarted() | RunResumed() | RunEnded() as record:
                return self._run(record)
            case AgentStarted() as r:
                return 1, "agent", f"agent {r.agent}", [("behaviour", r.digest[:12])]
            case AgentEnded() as r:
                return 1, "quiet", f"{r.agent} offers to {r.target}", [("offer", self._content(r.offer))]
            case AgentFailed() as r:
                then = r.then.replace("_", " ") + (f": {r.instead}" if r.instead else "")
                return 1, "bad", f"{r.agent} failed: {r.why}", [("error", r.reason), ("then", then)]
            case HandoffAsked() as r:
                return 2, "agent", f"asks to hand over to {r.target}", []
            case ContractPassed() as r:
                return 0, "contract", f"contract {r.contract} on {r.edge}: passed", self._crossing(r)
            case ContractViolated() as r:
                faults = [("faults", "; ".join(r.faults)), ("then", f"{r.then} (try {r.tries})")]
                return 0, "bad", f"contract {r.contract} on {r.edge}: refused", faults
            case BoundMet() | RunRestarted() | StageSkipped() as record:
                return way_of(record)
            case BranchVoted() | JoinDecided() | ReviewWithdrawn() | ReviewNoted() as record:
                return join_of(record)
            case SharedWritten() as r:
                facts = [("value", self._content(r.value)), ("label", ", ".join(r.label))]
                return 2, "contract", f"{r.writer} writes shared {r.key!r}, version {r.version}", facts
            case SharedRefused() as r:
                why = f"shared {r.key!r} of {r.first} and {r.second} {r.why}"
                return 2, "bad", f"write refused: {why}", [("then", r.then)]
            case ModelReserved() | ModelSettled() | ModelFailed() | ModelRefused() as record:
                return self._model(record)
            case BudgetCharged() | BudgetRaised() | PriceGiven() | RunDrained() as record:
                return _budget(record)
            case RunInside() as r:
                facts = [("run", r.run), ("label", "/".join(r.label))]
                return 2, "run", f"a run of {r.system} inside: {r.status}", facts
            case ModelEscalated() | ModelDegraded() | ModelFellBack() | ModelRetried() as record:
                return _chosen(record)
            case ModelCached() | ModelSaved() as record:
                return _spared(record)
            case ReplyKept():
                return 2, "quiet", "reply kept", []
            case ReplyReused():
                return 2, "good", "kept reply used again, the model was not asked", []
            case CallJudged() as r:
                return self._judged(r)
            case ReviewAsked() as r:
                return (
                    2,
                    "review",
                    f"a person is asked about {r.about}",
                    [("rules", ", ".join(r.rules)), ("id", r.review)],
                )
            case ReviewAnswered() as r:
                edited = [("edited to", self._content(r.arguments))] if r.arguments else []
                tone: Tone = "bad" if r.decision in ("reject", "expired") else "good"
                return 2, tone, f"{r.reviewer}: {r.decision}", [("reason", r.reason), *edited]
            case EffectIntended() | EffectDone() | EffectRefused() | EffectFailed() | EffectReused() as record:
                return self._effect(record)
            case EffectRetried() | CircuitMoved() as record:
                return _contained(record)
            case UndoIntended() | UndoDone() | UndoFailed() as record:
                return self._undo(record)
            case RecordRead() | RecordClaimed() | RecordSettled() | RecordRefused() | RecordReleased() as record:
                return shared_of(record)
            case DeadRetried() as r:
                return 0, "run", f"{r.by} has it gone on with", [("it was", r.status)]
            case DeadDropped() as r:
                return 0, "run", f"{r.by} dropped it", [("reason", r.reason)]
            case PayloadsErased() as r:
                title = f"{r.payloads} payload{'' if r.payloads == 1 else 's'} erased by {r.by}"
                return 0, "run", title, [("reason", r.reason)]
            case other:
                assert_never(other)

    def _run(self, record: RunStarted | RunResumed | RunEnded) -> Told:
        match record:
            case RunStarted() as r:
                facts = [
                    ("request", self._content(r.request)),
                    ("agents", ", ".join(f"{a.split(' ')[0]} {a.split(' ')[1][:12]}" for a in r.agents.values())),
                    ("policy", r.policy_digest[:12] or "none: every tool call is denied"),
                    ("environment", r.environment),
                    ("thread", r.thread),
                    ("started by", r.started_by),
                ]
                return 0, "run", f"run of {r.system} ({r.system_digest[:12]})", facts
            case RunResumed() as r:
                return 0, "run", f"resumed after {r.records} records", [("now under", r.system_digest[:12])]
            case RunEnded() as r:
                tone: Tone = "good" if r.status == "completed" else "bad"
                spent = [("response", self._content(r.response)), ("reason", r.reason), ("spent", amounts(r.spent))]
                marks = "; ".join(f"{kind} of {agent}: {why}" for kind, agent, why in r.marks)
                return 0, tone, f"run {r.status}", [*spent, ("marks", marks)]

    def _crossing(self, r: ContractPassed) -> list[tuple[str, str]]:
        withheld = [f"{name} ({rule})" for name, rule in r.withheld]
        if r.history_withheld:
            withheld.append(f"{r.history_withheld} messages")
        return [
            ("let through", ", ".join(r.fields)),
            ("withheld", ", ".join(withheld)),
            ("redacted", ", ".join(f"{name} in {path}" for path, name in r.redacted)),
            ("payload", self._content(r.payload)),
            ("history", f"{r.history_kept} messages" if r.history_kept else ""),
            ("labels", ", ".join(f"{name}: {'/'.join(label)}" for name, label in r.labels.items())),
            ("repaired", f"after {r.tries} tries" if r.tries else ""),
            ("marks", "; ".join(f"{kind} of {agent}: {why}" for kind, agent, why in r.marks)),
        ]

    def _model(self, record: ModelReserved | ModelSettled | ModelFailed | ModelRefused) -> Told:
        match record:
            case ModelReserved() as r:
                return 2, "quiet", f"reserved for {r.model}: {amounts(r.reserved)}", []
            case ModelSettled() as r:
                return (
                    2,
                    "model",
                    f"model {r.model}: {amounts(r.used)}",
                    [
                        ("price", r.price),
                        ("took", _took(r.seconds)),
                        ("above its reservation", amounts(r.excess)),
                    ],
                )
            case ModelFailed() as r:
                return 2, "bad", f"model {r.model} failed", [("error", r.error), ("counted", amounts(r.used))]
            case ModelRefused() as r:
                return 2, "bad", f"model {r.model} was not called", [("reason", r.reason)]

    def _judged(self, r: CallJudged) -> Told:
        tones: Mapping[str, Tone] = {"allow": "tool", "ask": "review"}
        facts = [
            ("arguments", self._content(r.arguments)),
            ("from", ", ".join(f"{name}: {_where_from(label)}" for name, label in r.labels.items())),
            ("strayed", "nothing that the user said leads here" if r.strayed else ""),
            ("facts", orjson.dumps(dict(r.facts)).decode() if r.facts else ""),
            ("rules", ", ".join(r.rules)),
            ("because", "; ".join(r.reasons)),
        ]
        return 2, tones.get(r.verdict, "bad"), f"{r.tool}: {r.verdict}", facts

    def _effect(self, record: EffectIntended | EffectDone | EffectRefused | EffectFailed | EffectReused) -> Told:
        match record:
            case EffectIntended() as r:
                return 2, "quiet", f"{r.tool}: intended", [("effect", r.effect), ("idempotency", r.idempotency)]
            case EffectDone() as r:
                outcome = [("outcome", self._content(r.outcome)), ("took", _took(r.seconds))]
                return 2, "good", f"{r.tool}: done" if r.changes_world else f"{r.tool}: read", outcome
            case EffectRefused() as r:
                return 2, "bad", f"{r.tool}: refused, nothing was done", [("reason", r.reason)]
            case EffectFailed() as r:
                known = "may have happened" if r.unknown else "nothing was done"
                return 2, "bad", f"{r.tool}: failed, {known}", [("error", r.error)]
            case EffectReused() as r:
                return 2, "good", f"{r.tool}: recorded outcome given back, not done again", [("effect", r.effect)]

    def _undo(self, record: UndoIntended | UndoDone | UndoFailed) -> Told:
        effect = [("effect", record.effect)]
        match record:
            case UndoIntended() as r:
                return 0, "quiet", f"{r.by} is about to undo {r.tool}", [*effect, ("idempotency", r.idempotency)]
            case UndoDone() as r:
                facts = [*effect, ("outcome", self._content(r.outcome)), ("took", _took(r.seconds))]
                return 0, "good", f"{r.by}: {r.tool} undone", facts
            case UndoFailed() as r:
                known = "it is not known whether it is" if r.unknown else "what it did stands"
                return 0, "bad", f"{r.by}: {r.tool} not undone, {known}", [*effect, ("error", r.error)]


def _chosen(record: ModelEscalated | ModelDegraded | ModelFellBack | ModelRetried) -> Told:
    match record:
        case ModelEscalated() as r:
            return 2, "model", f"the next tier is asked, {r.to} after {r.model}", [("reason", r.reason)]
        case ModelDegraded() as r:
            return 2, "bad", f"a cheaper model is asked, {r.to} for {r.model}", [("reason", r.reason)]
        case ModelFellBack() as r:
            return 2, "bad", f"another model is asked, {r.to} for {r.model}", [("reason", r.reason)]
        case ModelRetried() as r:
            title = f"model {r.model}: try {r.attempt} failed ({r.fault}), again after {_took(r.wait)}"
            return 2, "bad", title, [("error", r.error)]


def _spared(record: ModelCached | ModelSaved) -> Told:
    match record:
        case ModelCached() as r:
            facts = [("it had used", amounts(r.cost)), ("in run", r.run)]
            return 2, "good", f"cached reply of {r.model}, the model was not asked", facts
        case ModelSaved() as r:
            dollars = f"${r.usd}" if r.usd else "an unknown amount"
            return 2, "good", f"saved by {r.how.replace('_', ' ')}: {dollars}, {r.tokens} tokens", [("basis", r.basis)]


def _contained(record: EffectRetried | CircuitMoved) -> Told:
    match record:
        case EffectRetried() as r:
            name = f"{r.tool} ({r.part})" if r.part else r.tool
            facts = [("error", r.error), ("again in", _took(r.wait))]
            return 2, "bad", f"{name}: try {r.attempt} failed ({r.fault}), there will be another", facts
        case CircuitMoved() as r:
            titles = {
                "open": f"{r.of} failed {r.failures} times in a row: it is not called for a while",
                "half_open": f"{r.of} is called once, to see whether it answers",
                "closed": f"{r.of} answers again",
            }
            return 2, "good" if r.after == "closed" else "bad", titles[r.after], [("latest failure", r.last)]


def _budget(record: BudgetCharged | BudgetRaised | PriceGiven | RunDrained) -> Told:
    match record:
        case BudgetCharged() as r:
            return 2, "quiet", f"{'used' if r.settled else 'reserved'}: {amounts(r.amounts)}", [("by run", r.run)]
        case BudgetRaised() as r:
            return 0, "review", f"{r.by} adds {amounts(r.amounts)} to the budget of {r.scope}", []
        case PriceGiven() as r:
            told = f"{r.by}: {r.model} costs ${r.input_per_million} in, ${r.output_per_million} out, per million tokens"
            return 0, "review", told, []
        case RunDrained() as r:
            spent = [("reason", r.reason), ("spent", amounts(r.spent))]
            return 0, "bad", "run drained: stopped at a checkpoint, it can be gone on with", spent


def _where_from(label: Sequence[str]) -> str:
    """Where an argument comes from, and how sensitive it is where that matters."""
    whose, level = label[2] if len(label) > 2 else label[0], label[1]
    return f"{whose} ({level})" if level in ("personal", "secret") else whose


def _took(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms" if seconds < 1 else f"{seconds:.2f} s"


def amounts(found: Mapping[str, Any]) -> str:
    """Amounts as a person reads them: dollars to the last unit, then counts."""
    parts = [f"${found['usd']}"] if found.get("usd") else []
    if found.get("input_tokens") or found.get("output_tokens"):
        parts.append(f"{found.get('input_tokens', 0)} tokens in, {found.get('output_tokens', 0)} out")
    counts = (
        *(("model_calls", "model call"), ("tool_calls", "tool call"), ("handoffs", "handoff"), ("steps", "step")),
        *(("asks", "question"), ("unpriced_calls", "call of unknown price")),
    )
    parts += [f"{found[k]} {name}{'s' if found[k] != 1 else ''}" for k, name in counts if found.get(k)]
    return ", ".join(parts)


def plain(text: str, *, cut: int | None = CUT) -> str:
    """Text as it may be printed: control and direction characters made visible, a cut marked with its length."""
    shown = "".join(
        c if c == "\n" or unicodedata.category(c) not in ("Cc", "Cf", "Cs") else f"\\u{ord(c):04x}" for c in text
    )
    if cut is not None and len(shown) > cut:
        return f"{shown[:cut]} […{len(shown) - cut} more characters]"
    return shown


def find_run(ids: Iterable[str], wanted: str) -> list[str]:
    """The run ids that `wanted` names: in full, or by a beginning of at least four characters."""
    known = list(ids)
    if wanted in known:
        return [wanted]
    return [run for run in known if len(wanted) >= 4 and run.startswith(wanted)]

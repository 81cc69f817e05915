"""The tool gate: every call of a governed tool passes here, whatever called it.

In order: validate the arguments, look up facts, judge, ask, reserve, write the intent, execute, write the outcome.
The gate itself does no I/O: it is a generator that yields steps, with an async and a blocking driver
(`tools/drive.py`). Re-running it after an interrupt is harmless: every record has a key, and what was recorded
stands.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Any

from ..contracts.budget import Amounts
from ..contracts.digest import digest
from ..contracts.errors import (
    BudgetExceeded,
    CallDenied,
    CallRejected,
    EffectConflict,
    ReviewInvalid,
    ToolFailed,
    ToolRefusal,
)
from ..contracts.policy import PolicyCall
from ..contracts.review import AskingRule, ReviewAnswer, ReviewRequest, binding_of
from ..contracts.tool import ToolSpec
from ..contracts.verdict import Allow, Ask, Deny, Rule, Verdict
from ..ledger.entry import Draft
from ..ledger.records import (
    CallJudged,
    EffectDone,
    EffectFailed,
    EffectIntended,
    EffectRefused,
    EffectReused,
    ReviewAnswered,
    ReviewAsked,
)
from .effects import Fresh, Known, Unknown, standing
from .function import Reading
from .run import Activation, payload_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """Queue records; do not wait."""

    drafts: tuple[Draft, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """Write records and wait until they are durable."""

    drafts: tuple[Draft, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LookUp:
    """Call the tool's facts function. Answered with a mapping."""

    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """Read a payload. Answered with the JSON value."""

    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AskPerson:
    """Interrupt the graph. Answered with a ReviewAnswer."""

    request: ReviewRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class Execute:
    """Call the tool's function. Answered with what it returned, as JSON."""

    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """Ask the tool whether the effect happened. Answered with its outcome, or None."""

    arguments: Mapping[str, Any]


Step = Note | Write | LookUp | Load | AskPerson | Execute | Probe
Steps = Generator[Step, Any, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call of a governed tool: who calls, at which position, with which arguments (as they came)."""

    activation: Activation
    spec: ToolSpec
    reading: Reading
    at: str
    arguments: Mapping[str, Any]
    has_facts: bool


def gate(call: Call) -> Steps:
    """Pass one call through the gate; returns what the tool returned, now or the first time.

    Raises:
        CallDenied, CallRejected, BudgetExceeded, ToolRefusal, ToolFailed, EffectConflict, LedgerUnavailable.
    """
    run = call.activation.run
    outcome = run.journal.get(f"outcome:{call.at}")
    intended = run.journal.get(f"intent:{call.at}")
    known = (
        r for r in (outcome, intended) if isinstance(r, EffectDone | EffectIntended | EffectRefused | EffectFailed)
    )
    if other := {record.tool for record in known} - {call.spec.name}:
        raise EffectConflict(key=call.at, recorded=other.pop(), asked=call.spec.name)
    found = standing(call.spec, intended, outcome)
    if isinstance(found, Known):
        return (yield from _known(call, found))
    if isinstance(found, Unknown):
        return (yield from _unknown(call, found))
    arguments = yield from _judged(call, call.arguments)
    return (yield from _executed(call, arguments))


def _known(call: Call, found: Known) -> Steps:
    yield Note(drafts=(Draft(record=EffectReused(effect=call.at, tool=call.spec.name)),))
    match found.outcome:
        case EffectDone(outcome=held):
            return (yield Load(digest=held))
        case EffectRefused(reason=reason):
            raise ToolRefusal(reason)
        case EffectFailed(error=error, unknown=unknown):
            raise ToolFailed(tool=call.spec.name, error=error, unknown=unknown)


def _unknown(call: Call, found: Unknown) -> Steps:
    """The effect was intended and may have happened; never repeat it silently."""
    run = call.activation.run
    intended = run.journal[f"intent:{call.at}"]
    assert isinstance(intended, EffectIntended)
    # What was intended is what counts: a model asked again may have reworded its arguments.
    arguments = yield Load(digest=intended.arguments)
    if found.way == "probe":
        happened = yield Probe(arguments=arguments)
        if happened is not None:
            return (yield from _done(call, happened, 0.0))
        return (yield from _executed(call, arguments, intend=False))
    if found.way == "again":
        return (yield from _executed(call, arguments, intend=False))
    rule = Rule(id="effect.unknown", approver="operator", reason="a crash hid whether this happened")
    answer: ReviewAnswer = yield from _asked(call, arguments, {}, (rule,), "outcome_unknown")
    if answer.decision == "approve":
        return (yield from _executed(call, arguments, intend=False))
    reason = f"it is not known whether this happened; it was not repeated ({answer.reason})"
    failed = EffectFailed(effect=call.at, tool=call.spec.name, error=reason, unknown=True)
    yield Write(drafts=(Draft(record=failed, key=f"outcome:{call.at}"),))
    raise ToolFailed(tool=call.spec.name, error=reason, unknown=True)


def _judged(call: Call, given: Mapping[str, Any], edited: int = 0) -> Generator[Step, Any, dict[str, Any]]:
    """Validate, judge, ask where the policy asks, judge again; returns the arguments that may run."""
    arguments, faults = call.reading.validated(given)
    if faults:
        malformed = Deny(rules=(Rule(id="arguments.schema"),), reasons=tuple(faults))
        yield from _record(call, dict(given), {}, malformed)
        raise _denied(call, malformed)
    facts, verdict = yield from _evaluated(call, arguments, frozenset())
    yield from _record(call, arguments, facts, verdict)
    match verdict:
        case Allow():
            return arguments
        case Deny():
            raise _denied(call, verdict)
        case Ask(rules=rules):
            answer: ReviewAnswer = yield from _asked(call, arguments, facts, rules, "call")
    if answer.decision == "reject":
        raise CallRejected(tool=call.spec.name, agent=call.activation.agent, reason=answer.reason)
    if answer.decision == "edit":
        if answer.arguments is None or edited >= 3:
            raise ReviewInvalid(review=call.at, detail="an edit needs arguments, and at most three follow each other")
        return (yield from _judged(call, answer.arguments, edited + 1))
    # At execution the policy runs again, on facts of now: a rule or a fact that changed in between is caught.
    facts, verdict = yield from _evaluated(call, arguments, frozenset(r.id for r in rules))
    if isinstance(verdict, Ask):
        verdict = Deny(rules=verdict.rules, reasons=("what must be approved changed since the approval",))
    yield from _record(call, arguments, facts, verdict)
    if isinstance(verdict, Deny):
        raise _denied(call, verdict)
    return arguments


def _evaluated(
    call: Call, arguments: Mapping[str, Any], approvals: frozenset[str]
) -> Generator[Step, Any, tuple[dict[str, Any], Verdict]]:
    """Facts and verdict; whatever goes wrong on the way is a denial."""
    run, facts = call.activation.run, None
    if run.grounds.policy is None:
        rule = Rule(id="policy.missing")
        return {}, Deny(rules=(rule,), reasons=("this system has no policy, so nothing is permitted",))
    if call.has_facts:
        try:
            facts = yield LookUp(arguments=arguments)
        except Exception as error:  # noqa: BLE001 - an error is never permission
            reason = f"a fact could not be looked up: {error}"
            return {}, Deny(rules=(Rule(id="facts.error"),), reasons=(reason,))
    verdict = run.grounds.policy.judge(
        PolicyCall(
            agent=call.activation.agent,
            tool=call.spec.name,
            args=arguments,
            facts=facts,
            request=run.grounds.request,
            env=run.grounds.environment,
            calls=len(run.judged),
            done=frozenset(run.done),
            approvals=approvals,
        )
    )
    return dict(facts or {}), verdict


def _record(call: Call, arguments: Mapping[str, Any], facts: Mapping[str, Any], verdict: Verdict) -> Steps:
    run = call.activation.run
    try:
        body = payload_of(dict(arguments))
    except TypeError:
        body = payload_of({"unreadable": repr(arguments)[:2000]})
    said = type(verdict).__name__.lower()
    record = CallJudged(
        at=call.at,
        agent=call.activation.agent,
        tool=call.spec.name,
        tool_digest=call.spec.digest,
        arguments=body[0],
        verdict=said,
        rules=[r.id for r in verdict.rules],
        reasons=list(verdict.reasons) if isinstance(verdict, Deny) else [r.reason for r in verdict.rules if r.reason],
        policy_digest=run.grounds.policy.digest if run.grounds.policy else "",
        facts=facts,
    )
    yield Note(drafts=(Draft(record=record, key=f"judged:{call.at}:{said}:{body[0][:16]}", payloads=(body,)),))


def _denied(call: Call, verdict: Deny) -> CallDenied:
    return CallDenied(
        tool=call.spec.name,
        agent=call.activation.agent,
        rules=[r.id for r in verdict.rules] or ["default deny"],
        reasons=verdict.reasons,
    )


def _asked(
    call: Call, arguments: Mapping[str, Any], facts: Mapping[str, Any], rules: tuple[Rule, ...], kind: Any
) -> Generator[Step, Any, ReviewAnswer]:
    """Ask a person, once per exact thing asked; the answer is bound to that thing."""
    run = call.activation.run
    grounds = run.grounds
    binding = binding_of(
        tenant=grounds.tenant,
        thread=grounds.thread,
        run=grounds.run,
        at=call.at,
        kind=kind,
        tool=call.spec.name,
        tool_digest=call.spec.digest,
        arguments=dict(arguments),
        policy=grounds.policy.digest if grounds.policy else "",
        rules=[r.id for r in rules],
    )
    review = digest([grounds.run, binding])[:24]
    body = payload_of(dict(arguments))
    asked = ReviewAsked(
        review=review,
        at=call.at,
        agent=call.activation.agent,
        about=call.spec.name,
        binding=binding,
        rules=[r.id for r in rules],
    )
    if f"asked:{review}" not in run.journal:
        yield Write(drafts=(Draft(record=asked, key=f"asked:{review}", payloads=(body,)),))
    answer: ReviewAnswer = yield AskPerson(
        request=ReviewRequest(
            id=review,
            kind=kind,
            run=grounds.run,
            agent=call.activation.agent,
            tool=call.spec.name,
            arguments=dict(arguments),
            facts=dict(facts),
            rules=tuple(AskingRule(id=r.id, approver=r.approver, reason=r.reason) for r in rules),
            binding=binding,
        )
    )
    edited = payload_of(answer.arguments) if answer.arguments is not None else None
    answered = ReviewAnswered(
        review=review,
        at=call.at,
        decision=answer.decision,
        reason=answer.reason,
        reviewer=answer.reviewer,
        arguments=edited[0] if edited else "",
    )
    draft = Draft(record=answered, key=f"answered:{review}", payloads=(edited,) if edited else ())
    yield Write(drafts=(draft,))
    # One answer counts, the first: whatever came later finds that one here.
    kept = run.journal[f"answered:{review}"]
    if isinstance(kept, ReviewAnswered) and kept.decision != answer.decision:
        raise ReviewInvalid(review=review, detail=f"was answered before, with {kept.decision!r}")
    return answer


def _executed(call: Call, arguments: Mapping[str, Any], *, intend: bool = True) -> Steps:
    """Reserve, write the intent, execute, write the outcome."""
    run, spec, limits = call.activation.run, call.spec, call.activation.limits
    if call.at not in run.judged:
        one = Amounts(tool_calls=1)
        try:
            run.reserve(call.activation.agent, limits, one)
        except BudgetExceeded as error:
            verdict = Deny(rules=(Rule(id="budget"),), reasons=(str(error),))
            yield from _record(call, arguments, {}, verdict)
            raise
        run.settle(call.activation.agent, limits, one, one)
        run.judged.add(call.at)
    if spec.changes_world and intend:
        body = payload_of(dict(arguments))
        intent = EffectIntended(effect=call.at, tool=spec.name, arguments=body[0], idempotency=spec.idempotency)
        yield Write(drafts=(Draft(record=intent, key=f"intent:{call.at}", payloads=(body,)),))
    began = time.perf_counter()
    try:
        value = yield Execute(arguments=arguments)
    except ToolRefusal as refusal:
        record = EffectRefused(effect=call.at, tool=spec.name, reason=str(refusal))
        yield Write(drafts=(Draft(record=record, key=f"outcome:{call.at}"),))
        raise
    except Exception as error:
        # After a raise or a timeout nobody knows whether the world changed: that is no outcome to give back later.
        unknown = spec.changes_world
        text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        if unknown:
            text += " (it is not known whether it happened; do not call it again)"
        failed = EffectFailed(effect=call.at, tool=spec.name, error=text, unknown=unknown)
        key = None if unknown else f"outcome:{call.at}"
        yield Write(drafts=(Draft(record=failed, key=key),))
        raise ToolFailed(tool=spec.name, error=text, unknown=unknown) from error
    return (yield from _done(call, value, time.perf_counter() - began))


def _done(call: Call, value: Any, seconds: float) -> Steps:
    body = payload_of(value)
    record = EffectDone(
        effect=call.at,
        tool=call.spec.name,
        changes_world=call.spec.changes_world,
        outcome=body[0],
        seconds=round(seconds, 6),
    )
    draft = Draft(record=record, key=f"outcome:{call.at}", payloads=(body,))
    yield Write(drafts=(draft,)) if call.spec.changes_world else Note(drafts=(draft,))
    return value


__all__ = ["AskPerson", "Call", "Execute", "Fresh", "Load", "LookUp", "Note", "Probe", "Step", "Steps", "Write", "gate"]

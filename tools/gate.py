"""The tool gate: every call of a governed tool passes here, whatever called it.

In order: validate the arguments, look up facts, judge, ask, reserve, write the intent, execute, write the outcome.
The gate itself does no I/O: it is a generator that yields steps, with an async and a blocking driver
(`tools/drive.py`). Re-running it after an interrupt is harmless: every record has a key, and what was recorded
stands.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping
from typing import Any

from ..contracts.budget import Amounts
from ..contracts.errors import (
    BudgetExceeded,
    CallDenied,
    CallRejected,
    EffectConflict,
    RecordConflict,
    ToolFailed,
    ToolRefusal,
)
from ..contracts.policy import PolicyCall
from ..contracts.review import ReviewAnswer
from ..contracts.verdict import Allow, Ask, Deny, Rule, Verdict
from ..ledger.entry import Draft
from ..ledger.records import (
    CallJudged,
    EffectDone,
    EffectFailed,
    EffectIntended,
    EffectRefused,
    EffectReused,
    Record,
)
from ..ledger.shared import State
from .asking import OUTCOME_UNKNOWN, asked_person, first_question, open_question, rejection
from .effects import Known, Unknown, standing
from .function import MAX_ARGUMENTS
from .provenance import provenance_of
from .records import begun, in_doubt, is_stale, looked, read_drafts, settling
from .steps import Call, Execute, Load, LookUp, Note, Probe, Step, Steps, Write

MAX_EDITS = 3
MAX_JUDGED = 5


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
        return (yield from _unknown(call, intended))
    if said_no := rejection(call):
        raise CallRejected(tool=call.spec.name, agent=call.activation.agent, reason=said_no.reason)
    # What was asked about is what counts, as with an intent: a model asked again may have reworded its arguments.
    asked = first_question(call)
    given = (yield Load(digest=asked.arguments)) if asked else call.arguments
    for left in reversed(range(MAX_JUDGED)):
        arguments, based = yield from _judged(call, given)
        try:
            return (yield from _executed(call, arguments, based=based))
        except RecordConflict:
            # What the verdict rests on changed while the call waited for its record; judge on what is so now.
            if not left or not is_stale(call, based):
                raise


def _known(call: Call, found: Known) -> Steps:
    yield Note(drafts=(Draft(record=EffectReused(effect=call.at, tool=call.spec.name)),))
    match found.outcome:
        case EffectDone(outcome=held):
            value = yield Load(digest=held)
            call.activation.run.knows.told(call.at, value, call.spec)
            return value
        case EffectRefused(reason=reason):
            call.activation.run.knows.told(call.at, reason, call.spec)
            raise ToolRefusal(reason)
        case EffectFailed(error=error, unknown=unknown):
            raise ToolFailed(tool=call.spec.name, error=error, unknown=unknown)


def _unknown(call: Call, intended: Record | None) -> Steps:
    """The effect was intended and may have happened; never repeat it silently."""
    found = standing(call.spec, intended, None)
    assert isinstance(intended, EffectIntended)
    assert isinstance(found, Unknown)
    # What was intended is what counts: a model asked again may have reworded its arguments.
    arguments = yield Load(digest=intended.arguments)
    if found.way == "probe":
        happened = yield Probe(arguments=arguments)
        if happened is not None:
            return (yield from _done(call, arguments, happened, 0.0))
        return (yield from _executed(call, arguments, intend=False))
    if found.way == "again":
        return (yield from _executed(call, arguments, intend=False))
    journal = list(call.activation.run.journal.values())
    begun = sum(isinstance(r, EffectIntended) and r.effect == call.at for r in journal)
    rules = (OUTCOME_UNKNOWN,)
    answer: ReviewAnswer = yield from asked_person(call, arguments, {}, rules, "outcome_unknown", attempt=begun)
    if answer.decision == "approve":
        # On record before it begins, so that after another crash a person is asked again.
        written = yield Write(drafts=(Draft(record=intended, key=f"intent:{call.at}:{begun}"),))
        if written[0].record is not intended:  # another process was first
            return (yield from _unknown(call, intended))
        return (yield from _executed(call, arguments, intend=False))
    reason = f"it is not known whether this happened; it was not repeated ({answer.reason})"
    failed = EffectFailed(effect=call.at, tool=call.spec.name, error=reason, unknown=True)
    yield Write(drafts=(Draft(record=failed, key=f"outcome:{call.at}"),))
    raise ToolFailed(tool=call.spec.name, error=reason, unknown=True)


def _judged(
    call: Call, given: Mapping[str, Any], edited: int = 0
) -> Generator[Step, Any, tuple[dict[str, Any], State | None]]:
    """Validate, judge, ask where the policy asks, judge again.

    Returns:
        The arguments that may run, and how the shared record stood before the facts of the verdict were looked up.
    """
    arguments, faults = call.reading.validated(given)
    if faults:
        malformed = Deny(rules=(Rule(id="arguments.schema"),), reasons=tuple(faults))
        yield from _record(call, dict(given), {}, malformed)
        raise _denied(call, malformed)
    facts, verdict, based = yield from _evaluated(call, arguments, frozenset())
    yield from _record(call, arguments, facts, verdict)
    if isinstance(verdict, Allow) and (still := open_question(call)):
        # A person was asked and may be saying no right now: that the policy would not ask any more changes nothing.
        verdict = Ask(rules=tuple(Rule(id=i, reason="was asked before a rule or a fact changed") for i in still.rules))
    match verdict:
        case Allow():
            return arguments, based
        case Deny():
            raise _denied(call, verdict)
        case Ask(rules=rules):
            answer: ReviewAnswer = yield from asked_person(call, arguments, facts, rules, "call")
    if answer.decision == "reject":
        raise CallRejected(tool=call.spec.name, agent=call.activation.agent, reason=answer.reason)
    if answer.decision == "edit":
        if edited >= MAX_EDITS:
            endless = Deny(rules=(Rule(id="review.edits"),), reasons=(f"it was edited more than {MAX_EDITS} times",))
            yield from _record(call, arguments, facts, endless)
            raise _denied(call, endless)
        return (yield from _judged(call, answer.arguments or {}, edited + 1))
    # At execution the policy runs again, on facts of now: a rule or a fact that changed in between is caught.
    facts, verdict, based = yield from _evaluated(call, arguments, frozenset(r.id for r in rules))
    if isinstance(verdict, Ask):
        verdict = Deny(rules=verdict.rules, reasons=("what must be approved changed since the approval",))
    yield from _record(call, arguments, facts, verdict)
    if isinstance(verdict, Deny):
        raise _denied(call, verdict)
    return arguments, based


def _evaluated(
    call: Call, arguments: Mapping[str, Any], approvals: frozenset[str]
) -> Generator[Step, Any, tuple[dict[str, Any], Verdict, State | None]]:
    """Facts, verdict, and how the shared record stood before the facts; whatever goes wrong on the way is a denial."""
    run, facts, based = call.activation.run, None, None
    if run.grounds.policy is None:
        rule = Rule(id="policy.missing")
        return {}, Deny(rules=(rule,), reasons=("this system has no policy, so nothing is permitted",)), None
    if call.has_facts:
        try:
            based = (yield from looked(call, arguments)) if call.spec.changes_world else None
            facts = yield LookUp(arguments=arguments)
            if not isinstance(facts, Mapping):
                raise TypeError(f"the facts function returned {type(facts).__name__}, not a mapping")
        except Exception as error:  # noqa: BLE001 - an error is never permission
            reason = f"a fact could not be looked up: {type(error).__name__}: {error}"
            return {}, Deny(rules=(Rule(id="facts.error"),), reasons=(reason,)), None
    provenance = provenance_of(call, arguments)
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
            tainted=provenance.tainted,
            private=provenance.private,
            tenant=run.grounds.tenant,
        )
    )
    return dict(facts or {}), verdict, based


def _record(call: Call, arguments: Mapping[str, Any], facts: Mapping[str, Any], verdict: Verdict) -> Steps:
    run = call.activation.run
    try:
        body = run.knows.kept(dict(arguments))
    except TypeError:
        said = repr(arguments)  # whole or not at all: half of what must not be seen would not be found
        body = run.knows.kept({"unreadable": said if len(said) <= MAX_ARGUMENTS else "too large"})
    if (size := len(body.exact or body.body)) > MAX_ARGUMENTS:
        body = run.knows.kept({"too_large": size, "digest": body.ref})
    said = type(verdict).__name__.lower()
    record = CallJudged(
        at=call.at,
        agent=call.activation.agent,
        tool=call.spec.name,
        tool_digest=call.spec.digest,
        arguments=body[0],
        verdict=said,
        rules=[r.id for r in verdict.rules],
        reasons=[run.knows.text(r) for r in verdict.reasons]
        if isinstance(verdict, Deny)
        else [r.reason for r in verdict.rules if r.reason],
        policy_digest=run.grounds.policy.digest if run.grounds.policy else "",
        facts=run.knows.cleaned(facts),
        labels=provenance_of(call, arguments).as_json(),
    )
    yield Note(drafts=(Draft(record=record, key=f"judged:{call.at}:{said}:{body[0][:16]}", payloads=(body,)),))


def _denied(call: Call, verdict: Deny) -> CallDenied:
    return CallDenied(
        tool=call.spec.name,
        agent=call.activation.agent,
        rules=[r.id for r in verdict.rules] or ["default deny"],
        reasons=verdict.reasons,
    )


def _executed(call: Call, arguments: Mapping[str, Any], *, intend: bool = True, based: State | None = None) -> Steps:
    """Reserve, write the intent and hold the shared record, execute, write the outcome and let the record go."""
    run, spec, limits = call.activation.run, call.spec, call.activation.limits
    if call.at not in run.judged:
        one = Amounts(tool_calls=1)
        try:
            run.spend(call.activation.agent, limits, one)
        except BudgetExceeded as error:
            verdict = Deny(rules=(Rule(id="budget"),), reasons=(str(error),))
            yield from _record(call, arguments, {}, verdict)
            raise
        run.judged.add(call.at)
    read = None
    if spec.changes_world and intend:
        body = run.knows.kept(dict(arguments))
        intent = EffectIntended(effect=call.at, tool=spec.name, arguments=body[0], idempotency=spec.idempotency)
        drafts = (Draft(record=intent, key=f"intent:{call.at}", payloads=(body,)),)
        written = yield from begun(call, arguments, drafts, based)
        if written[0].record is not intent:
            # Another process drives this run too, and was first. What it did is not known here.
            return (yield from _unknown(call, written[0].record))
    elif spec.changes_world:
        yield from begun(call, arguments, (), None)
    else:
        read = yield from looked(call, arguments)
    began = time.perf_counter()
    try:
        value = yield Execute(arguments=arguments)
    except ToolRefusal as refusal:
        call.activation.run.knows.told(call.at, str(refusal), call.spec)
        record = EffectRefused(effect=call.at, tool=spec.name, reason=run.knows.text(str(refusal)))
        free = settling(call, arguments, changed=False)
        yield Write(drafts=(Draft(record=record, key=f"outcome:{call.at}"), *free))
        raise
    except Exception as error:
        # After a raise or a timeout nobody knows whether the world changed: that is no outcome to give back later.
        unknown = spec.changes_world
        text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        if unknown:
            text += " (it is not known whether it happened; do not call it again)"
        call.activation.run.knows.told(call.at, text, call.spec)
        failed = EffectFailed(effect=call.at, tool=spec.name, error=run.knows.text(text), unknown=unknown)
        key = None if unknown else f"outcome:{call.at}"
        yield Write(drafts=(Draft(record=failed, key=key, shared=in_doubt(call, arguments)),))
        raise ToolFailed(tool=spec.name, error=text, unknown=unknown) from error
    return (yield from _done(call, arguments, value, time.perf_counter() - began, read))


def _done(call: Call, arguments: Mapping[str, Any], value: Any, seconds: float, read: State | None = None) -> Steps:
    call.activation.run.knows.told(call.at, value, call.spec)
    body = call.activation.run.knows.kept(value)
    record = EffectDone(
        effect=call.at,
        tool=call.spec.name,
        changes_world=call.spec.changes_world,
        outcome=body[0],
        seconds=round(seconds, 6),
    )
    draft = Draft(record=record, key=f"outcome:{call.at}", payloads=(body,))
    if call.spec.changes_world:
        yield Write(drafts=(draft, *settling(call, arguments, changed=True)))
    else:
        yield Note(drafts=(*read_drafts(call, read), draft))
    return value

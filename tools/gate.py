"""The tool gate: every call of a governed tool passes here, whatever called it.

In order: validate the arguments, look up facts, judge, ask, reserve, write the intent, execute, write the outcome.
The gate itself does no I/O: it is a generator that yields steps, with an async and a blocking driver
(`tools/drive.py`). Re-running it after an interrupt is harmless: every record has a key, and what was recorded
stands.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from ..contracts.budget import Amounts
from ..contracts.errors import (
    BudgetExceeded,
    CallDenied,
    CallRejected,
    EffectConflict,
    LimitReached,
    RecordConflict,
    ToolFailed,
    ToolRefusal,
    ToolUnavailable,
)
from ..contracts.review import ReviewAnswer
from ..contracts.verdict import Allow, Ask, Deny, Rule
from ..ledger.entry import Draft
from ..ledger.records import (
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
from .judging import Judgement, denied, judged, recorded
from .limits import counts_of, releases_of
from .records import begun, in_doubt, is_stale, looked, read_drafts, settling
from .reserving import spend, unspent
from .steps import Call, Execute, Load, Note, Probe, Step, Steps, Write

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
        case EffectRefused(reason=reason, passing=passing):
            call.activation.run.knows.told(call.at, reason, call.spec)
            # Of the type that it had: code goes by it, and must go the same way again.
            refusal = ToolUnavailable.again(call.spec.name, reason) if passing else ToolRefusal(reason)
            refusal.through = call.at
            raise refusal
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
        again = call.activation.run.key("intent", call.at)
        written = yield Write(drafts=(Draft(record=intended, key=f"{again}:{begun}"),))
        if written[0].record is not intended:  # another process was first
            return (yield from _unknown(call, intended))
        return (yield from _executed(call, arguments, intend=False))
    reason = f"it is not known whether this happened; it was not repeated ({answer.reason})"
    failed = EffectFailed(effect=call.at, tool=call.spec.name, error=reason, unknown=True)
    yield Write(drafts=(Draft(record=failed, key=call.activation.run.key("outcome", call.at)),))
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
        with suppress(TypeError):  # what is no JSON has no content to be known by; it is denied in any case
            _refuse_loop(call, given)
        raise (yield from _refused(call, dict(given), denied("arguments.schema", *faults)))
    _refuse_loop(call, arguments)
    found = yield from judged(call, arguments, frozenset())
    yield from recorded(call, arguments, found)
    verdict = found.verdict
    if isinstance(verdict, Allow) and (still := open_question(call)):
        # A person was asked and may be saying no right now: that the policy would not ask any more changes nothing.
        verdict = Ask(rules=tuple(Rule(id=i, reason="was asked before a rule or a fact changed") for i in still.rules))
    match verdict:
        case Allow():
            return arguments, found.based
        case Deny():
            raise _denied(call, verdict)
        case Ask(rules=rules):
            answer: ReviewAnswer = yield from asked_person(call, arguments, found.facts, rules, "call", attempt=edited)
    if answer.decision == "reject":
        raise CallRejected(tool=call.spec.name, agent=call.activation.agent, reason=answer.reason)
    if answer.decision == "edit":
        if edited >= MAX_EDITS:
            endless = denied("review.edits", f"it was edited more than {MAX_EDITS} times")
            raise (yield from _refused(call, arguments, endless))
        return (yield from _judged(call, answer.arguments or {}, edited + 1))
    # At execution the policy runs again, on facts of now: a rule or a fact that changed in between is caught.
    found = yield from judged(call, arguments, frozenset(r.id for r in rules))
    if isinstance(found.verdict, Ask):
        changed = Deny(rules=found.verdict.rules, reasons=("what must be approved changed since the approval",))
        found = replace(found, verdict=changed)
    yield from recorded(call, arguments, found)
    if isinstance(found.verdict, Deny):
        raise _denied(call, found.verdict)
    return arguments, found.based


def _refuse_loop(call: Call, arguments: Mapping[str, Any]) -> None:
    """Raise LoopFound where this call would be one more of the same."""
    run = call.activation.run
    ref = run.knows.kept(dict(arguments)).ref
    run.trail.refuse_call(call.activation.agent, call.spec.name, ref, at=call.at)


def _refused(call: Call, arguments: Mapping[str, Any], found: Judgement) -> Generator[Step, Any, CallDenied]:
    """Write a denial of the gate's own down; returns the error that tells of it."""
    assert isinstance(found.verdict, Deny)
    yield from recorded(call, arguments, found)
    return _denied(call, found.verdict)


def _denied(call: Call, verdict: Deny) -> CallDenied:
    return CallDenied(
        tool=call.spec.name,
        agent=call.activation.agent,
        rules=[r.id for r in verdict.rules] or ["default deny"],
        reasons=verdict.reasons,
    )


def _executed(call: Call, arguments: Mapping[str, Any], *, intend: bool = True, based: State | None = None) -> Steps:
    """Reserve, write the intent and hold the shared record, execute, write the outcome and let the record go."""
    run, spec = call.activation.run, call.spec
    if call.at not in run.judged:
        yield from _charged(call, arguments)
        run.judged.add(call.at)
    read = None
    if spec.changes_world and intend:
        body = run.knows.kept(dict(arguments))
        intent = EffectIntended(effect=call.at, tool=spec.name, arguments=body[0], idempotency=spec.idempotency)
        counts = counts_of(call, arguments)
        drafts = (Draft(record=intent, key=run.key("intent", call.at), payloads=(body,), counts=counts),)
        try:
            written = yield from begun(call, arguments, drafts, based)
        except LimitReached as error:
            raise (yield from _refused(call, arguments, denied("limit", str(error)))) from error
        if written[0].record is not intent:
            # Another process drives this run too, and was first. What it did is not known here.
            return (yield from _unknown(call, written[0].record))
    elif spec.changes_world:
        yield from begun(call, arguments, (), None)
    else:
        read = yield from looked(call, arguments)
    began = time.perf_counter()
    try:
        value = yield Execute(arguments=arguments, again=not intend)
    except ToolRefusal as refusal:
        refusal.through = call.at
        call.activation.run.knows.told(call.at, str(refusal), call.spec)
        passing = isinstance(refusal, ToolUnavailable)
        record = EffectRefused(effect=call.at, tool=spec.name, reason=run.knows.text(str(refusal)), passing=passing)
        free = settling(call, arguments, changed=False)
        back = releases_of(call, arguments) if spec.changes_world else ()
        yield Write(drafts=(Draft(record=record, key=run.key("outcome", call.at), counts=back), *free))
        raise
    except Exception as error:
        # After a raise or a timeout nobody knows whether the world changed: that is no outcome to give back later.
        unknown = spec.changes_world
        text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        if unknown:
            text += " (it is not known whether it happened; do not call it again)"
        call.activation.run.knows.told(call.at, text, call.spec)
        failed = EffectFailed(effect=call.at, tool=spec.name, error=run.knows.text(text), unknown=unknown)
        key = None if unknown else run.key("outcome", call.at)
        yield Write(drafts=(Draft(record=failed, key=key, shared=in_doubt(call, arguments)),))
        raise ToolFailed(tool=spec.name, error=text, unknown=unknown) from error
    return (yield from _done(call, arguments, value, time.perf_counter() - began, read))


def _charged(call: Call, arguments: Mapping[str, Any]) -> Steps:
    """Take one call out of every budget that limits them, durably where it is shared. Raises BudgetExceeded."""
    one = Amounts(tool_calls=1)
    try:
        try:
            for run, draft in spend(call.activation, one, call=call.at, at=call.at):
                yield Write(drafts=(draft,), shared=True, run=run)
        except LimitReached as error:
            raise unspent(call.activation, one, error, call=call.at) from error
    except BudgetExceeded as error:
        yield from _refused(call, arguments, denied("budget", str(error)))
        raise


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
    draft = Draft(record=record, key=call.activation.run.key("outcome", call.at), payloads=(body,))
    if call.spec.changes_world:
        yield Write(drafts=(draft, *settling(call, arguments, changed=True)))
    else:
        yield Note(drafts=(*read_drafts(call, read), draft))
    return value

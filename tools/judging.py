"""The judgement of one call: its form, its facts, where its arguments come from, its amounts, and what policy says.

Whatever goes wrong on the way is a denial. Generators without I/O, as the gate is.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..contracts.forms import faults_of_form
from ..contracts.policy import PolicyCall
from ..contracts.tool import FIX_TOOLS
from ..contracts.verdict import Allow, Deny, Rule, Verdict
from ..ledger.entry import Draft
from ..ledger.records import CallJudged
from ..ledger.shared import State
from .function import MAX_ARGUMENTS
from .limits import amounts_of, large, limit_faults, recent
from .provenance import Provenance, provenance_of
from .records import looked
from .steps import Call, LookUp, Note, Step, Steps


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """A verdict, and what it rests on.

    Attributes:
        facts: what the tool's trusted look-up told.
        based: how the shared record stood before the facts were looked up.
        provenance: where the arguments come from; None where the call was denied before that mattered.
    """

    verdict: Verdict
    facts: Mapping[str, Any] = field(default_factory=dict)
    based: State | None = None
    provenance: Provenance | None = None


def denied(rule: str, *reasons: str) -> Judgement:
    """A denial by the gate itself."""
    return Judgement(verdict=Deny(rules=(Rule(id=rule),), reasons=reasons))


def judged(call: Call, arguments: Mapping[str, Any], approvals: frozenset[str]) -> Generator[Step, Any, Judgement]:
    """Judge a call whose arguments fit their schema."""
    run, facts, based = call.activation.run, None, None
    if faults := faults_of_form(arguments, call.spec.roles):
        return denied("arguments.form", *faults)
    provenance = provenance_of(call, arguments)
    if call.spec.name == FIX_TOOLS and provenance.exposed:
        return denied("tools.fixed_late", "something was read before that nobody vouches for")
    if beyond := limit_faults(call.spec, arguments):
        return denied("limit", *beyond)
    if run.grounds.policy is None:
        return denied("policy.missing", "this system has no policy, so nothing is permitted")
    try:
        if call.has_facts:
            based = (yield from looked(call, arguments)) if call.spec.changes_world else None
            facts = yield LookUp(arguments=arguments)
            if not isinstance(facts, Mapping):
                raise TypeError(f"the facts function returned {type(facts).__name__}, not a mapping")
    except Exception as error:  # noqa: BLE001 - an error is never permission
        run.knows.told(call.at, str(error), call.spec)  # the model is told of it
        return denied("facts.error", f"a fact could not be looked up: {type(error).__name__}: {error}")
    amounts = yield from amounts_of(call, arguments)
    done_before = yield from recent(call)
    fixed = call.activation.fixed()
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
            unnamed=provenance.unnamed,
            distant=provenance.distant,
            active=provenance.active,
            large=large(call.spec, arguments),
            exposed=provenance.exposed,
            fixed=fixed is not None,
            foreseen=fixed is not None and call.spec.name in fixed,
            recent=done_before,
            asked=len(run.asked),
            amounts=amounts,
            tenant=run.grounds.tenant,
        )
    )
    return Judgement(verdict=verdict, facts=dict(facts or {}), based=based, provenance=provenance)


def recorded(call: Call, arguments: Mapping[str, Any], judgement: Judgement) -> Steps:
    """Write a verdict down. A call may run that was allowed: what it tells may echo what nobody vouches for."""
    run, verdict = call.activation.run, judgement.verdict
    provenance = judgement.provenance or provenance_of(call, arguments)
    if isinstance(verdict, Allow):
        run.knows.given(call.at, arguments, provenance.grounds, strayed=provenance.strayed)
    try:
        body = run.knows.kept(dict(arguments))
    except TypeError:
        if not isinstance(verdict, Deny):  # what was validated is JSON: something else broke
            raise
        said = repr(arguments)  # whole or not at all: half of what must not be seen would not be found
        body = run.knows.kept({"unreadable": said if len(said) <= MAX_ARGUMENTS else "too large"})
    if (size := len(body.exact or body.body)) > MAX_ARGUMENTS:
        body = run.knows.kept({"too_large": size, "digest": body.ref})
    kind = type(verdict).__name__.lower()
    record = CallJudged(
        at=call.at,
        agent=call.activation.agent,
        tool=call.spec.name,
        tool_digest=call.spec.digest,
        arguments=body[0],
        verdict=kind,
        rules=[r.id for r in verdict.rules],
        reasons=[run.knows.text(r) for r in verdict.reasons]
        if isinstance(verdict, Deny)
        else [r.reason for r in verdict.rules if r.reason],
        policy_digest=run.grounds.policy.digest if run.grounds.policy else "",
        facts=run.knows.cleaned(judgement.facts),
        labels=provenance.as_json(),
        strayed=provenance.strayed,
    )
    yield Note(drafts=(Draft(record=record, key=f"judged:{call.at}:{kind}:{body[0][:16]}", payloads=(body,)),))

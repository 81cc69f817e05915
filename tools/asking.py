"""Asking a person about a call: once per exact thing asked, with an answer that counts for that thing only.

What is asked goes in rounds. The first names every rule that asks; one approval covers the rules whose role its giver
holds, and a further round asks for the rest. Each round is a review of its own, and each answer is bound to its round.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NoReturn

from ..contracts.budget import Amounts
from ..contracts.digest import canonical, digest, digest_text
from ..contracts.errors import BudgetExceeded, CallDenied, CallRejected, LimitReached
from ..contracts.review import (
    ApprovedRule,
    AskingRule,
    ReviewAnswer,
    ReviewRequest,
    Signature,
    approvers_of,
    binding_of,
    uncovered,
)
from ..contracts.verdict import Rule
from ..ledger.entry import Draft
from ..ledger.records import CallJudged, ReviewAnswered, ReviewAsked
from ..ledger.sealing import keyed
from . import limits, signing
from .judging import denied, recorded
from .provenance import provenance_of
from .reserving import spend
from .steps import AskPerson, Call, Load, Step, Write

OUTCOME_UNKNOWN = Rule(id="effect.unknown", approver="operator", reason="a crash hid whether this happened")
MAX_ROUNDS = 32
LATE = "nobody answered in time"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asking:
    """What a person is asked about, in every round."""

    call: Call
    arguments: Mapping[str, Any]
    facts: Mapping[str, Any]
    kind: Any
    rules: tuple[AskingRule, ...]
    base: str

    @property
    def starter(self) -> str:
        return signing.starter_of(self.call.activation.run)

    @property
    def local(self) -> bool:
        return signing.is_local(self.call.activation.run)

    def named(self, asked: ReviewAsked) -> tuple[AskingRule, ...]:
        """The rules of a question on record; one that does not ask any more still has the role that it named."""
        known = {r.id: r for r in self.rules}
        roles = dict(zip(asked.rules, asked.approvers, strict=False))
        return tuple(known.get(i) or AskingRule(id=i, approver=roles.get(i, "")) for i in asked.rules)


def asked_person(
    call: Call,
    arguments: Mapping[str, Any],
    facts: Mapping[str, Any],
    rules: tuple[Rule, ...],
    kind: Any,
    *,
    attempt: int = 0,
) -> Generator[Step, Any, ReviewAnswer]:
    """Ask a person, once per exact thing asked; the answer is bound to that thing, and counts on every re-execution.

    Args:
        attempt: how often the effect was begun already: an answer is good for one attempt.

    Returns:
        An approval, when all rules are covered by approvals that still count; the first edit; or the first no.

    Raises:
        CallDenied: nobody answered in time, a person said no to the same before, or it was asked without end.
        CallRejected: a no to an earlier form of the question.
    """
    run = call.activation.run
    grounds, rules = run.grounds, tuple(sorted(rules, key=lambda r: r.id))  # Cedar names them in any order
    base = binding_of(
        tenant=grounds.tenant,
        thread=grounds.thread,
        run=grounds.run,
        at=call.at,
        attempt=attempt,
        kind=kind,
        tool=call.spec.name,
        tool_digest=call.spec.digest,
        arguments=dict(arguments),
        policy=grounds.policy.digest if grounds.policy else "",
        rules=[r.id for r in rules],
    )
    asking = _Asking(
        call=call, arguments=arguments, facts=facts, kind=kind, rules=_asking_rules(call, rules), base=base
    )
    if kind == "call" and _rejected_before(call, arguments):
        reason = "a person has said no to this very call in this run; do not ask for it again"
        yield from _deny(asking, "review.rejected_before", reason)
    given: list[ReviewAnswer] = []
    for turn in range(MAX_ROUNDS):
        # Only what still counts now covers anything: an approval does not keep.
        fresh = [s for a in given if (s := a.signature) is not None and signing.is_fresh(s)]
        left = uncovered(asking.rules, fresh, starter=asking.starter, local=asking.local)
        if given and not left:
            return given[-1]
        answer = yield from _round(asking, turn, left, fresh)
        if answer is None:  # what is on record for it is no answer
            continue
        if answer.decision != "approve":
            return answer
        given.append(answer)
    return (yield from _deny(asking, "review.rounds", f"it was asked {MAX_ROUNDS} times"))


def _asking_rules(call: Call, rules: Sequence[Rule]) -> tuple[AskingRule, ...]:
    """The rules as a request names them. One that was asked before it changed has its role from that question."""
    before = open_question(call)
    roles = dict(zip(before.rules, before.approvers, strict=False)) if before else {}
    return tuple(
        AskingRule(
            id=r.id,
            approver=r.approver or roles.get(r.id, ""),
            reason=r.reason,
            separation=r.separation,
            approvals=r.approvals,
        )
        for r in rules
    )


def _round(
    asking: _Asking, turn: int, left: tuple[AskingRule, ...], approvals: Sequence[Signature]
) -> Generator[Step, Any, ReviewAnswer | None]:
    """One review: its answer, or None if what is on record for it was not signed here, or for something else."""
    call = asking.call
    run = call.activation.run
    review = digest([run.grounds.run, asking.base, turn])[:24]
    asked = run.journal.get(f"asked:{review}")
    if not isinstance(asked, ReviewAsked):
        asked = yield from _written(asking, turn, review, left)
    if asked.binding != _bound(asking, turn, asked.rules, asked.expires):
        return None
    before = run.journal.get(f"answered:{review}")
    if not isinstance(before, ReviewAnswered):
        request = _request(asking, asked, approvals)
        answer = yield from _answered(asking, request, asked)
        if answer is not None:
            return (yield from _kept(call, asked, answer))
        before = yield from _expired(call, asked)
    if before.decision == signing.EXPIRED:
        if asking.kind == "call":
            return (yield from _deny(asking, "review.expired", LATE))
        return ReviewAnswer(decision="reject", reason=LATE, review=review, reviewer="nobody")
    return (yield from _answer_of(call, asked, before))


def _written(asking: _Asking, turn: int, review: str, rules: Sequence[AskingRule]) -> Generator[Step, Any, ReviewAsked]:
    call = asking.call
    run = call.activation.run
    at = signing.now()
    expires = signing.open_until(run, at)
    names = [r.id for r in rules]
    asked = ReviewAsked(
        review=review,
        at=call.at,
        agent=call.activation.agent,
        about=call.spec.name,
        binding=_bound(asking, turn, names, expires),
        rules=names,
        approvers=[r.approver for r in rules],
        exact=_exact(call, asking.arguments),
        asked=at,
        expires=expires,
    )
    body, counts = run.knows.kept(dict(asking.arguments)), (limits.asking(call),)
    try:
        shared = spend(call.activation, Amounts(asks=1), call=f"asked:{review}", at=call.at)
        draft = Draft(record=asked, key=f"asked:{review}", payloads=(body,), counts=counts)
        for each, charged in shared:
            yield Write(drafts=(charged,), shared=True, run=each)
        written = yield Write(drafts=(draft,))
    except (BudgetExceeded, LimitReached) as error:  # a flood of questions stops the run (threat 37)
        yield from recorded(call, asking.arguments, replace(denied("budget", str(error)), facts=asking.facts))
        raise limits.out_of_asks(call, error, asked=f"asked:{review}") from error
    kept = written[0].record  # another process may have been first
    return kept if isinstance(kept, ReviewAsked) else asked


def _bound(asking: _Asking, turn: int, rules: Sequence[str], expires: float) -> str:
    """What an answer of a round is bound to, its expiry included: nobody makes it longer on record."""
    ledger = asking.call.activation.run.ledger
    return signing.bound(ledger, of=asking.base, turn=turn, rules=list(rules), expires=expires)


def _request(asking: _Asking, asked: ReviewAsked, approvals: Sequence[Signature]) -> ReviewRequest:
    call, grounds = asking.call, asking.call.activation.run.grounds
    cleaned, provenance = call.activation.run.knows.cleaned, provenance_of(call, asking.arguments)
    by = {r.id: approvers_of(r, approvals, starter=asking.starter, local=asking.local) for r in asking.rules}
    return ReviewRequest(
        id=asked.review,
        kind=asking.kind,
        run=grounds.run,
        agent=call.activation.agent,
        tool=call.spec.name,
        arguments=cleaned(dict(asking.arguments)),
        facts=cleaned(dict(asking.facts)),
        provenance={n: provenance.grounds.get(n, label.integrity) for n, label in provenance.labels.items()},
        private=tuple(sorted(provenance.private)),
        effect=call.spec.effect,
        sink=call.spec.sink,
        description=digest_text(call.spec.description),
        rules=asking.named(asked),
        approved=tuple(ApprovedRule(id=i, by=found) for i, found in by.items() if found),
        started_by=asking.starter,
        asked=asked.asked,
        expires=asked.expires,
        binding=asked.binding,
    )


def _answered(asking: _Asking, request: ReviewRequest, asked: ReviewAsked) -> Generator[Step, Any, ReviewAnswer | None]:
    """The answer to this very question, signed; None if nobody gave one in time.

    LangGraph hands out a node's answers by their order, so after a re-execution the next one may be the answer to an
    earlier question of the node, or to what this question was before a rule changed. Those are passed over; a no to
    an earlier form of this question still is a no. An answer that names no question (given to LangGraph directly)
    counts only where no other question was asked at this place. What nobody signed, or somebody who may not, is passed
    over too, and so is an edit that does not fit the tool: the question stays open, and names its faults.
    """
    call = asking.call
    journal = call.activation.run.journal
    here = call.at.partition("#")[0]
    at_this_place = [r for r in list(call.activation.run.asked.values()) if r.at.partition("#")[0] == here]
    alone = all(r.review == request.id for r in at_this_place)
    # One node's calls share its answers: what one takes that is another's is written down for that one.
    shared = at_this_place if "#c" in call.at else _questions(call)
    others = {q.review: q for q in shared if q.review != request.id}
    while True:
        answer: ReviewAnswer | None = yield AskPerson(request=request)
        if answer is None:
            return None
        other = others.get(answer.review)
        if other is not None and f"answered:{answer.review}" not in journal:
            before = signing.counted(call.activation.run, other, asking.named(other), answer)
            if before is not None:
                yield from _kept(call, other, before)
                if before.decision == "reject" and request.kind == "call" and other in _questions(call):
                    raise CallRejected(tool=call.spec.name, agent=call.activation.agent, reason=before.reason)
        if not (answer.review == request.id or (not answer.review and alone)):
            continue
        found = signing.counted(call.activation.run, asked, request.rules, answer)
        if found is None or (found.decision == "edit" and request.kind != "call"):
            continue
        if found.decision == "edit":
            if found.arguments is None:
                continue
            if faults := call.reading.validated(found.arguments)[1]:
                request = request.model_copy(update={"faults": tuple(faults)})
                continue
        return found


def _kept(call: Call, asked: ReviewAsked, answer: ReviewAnswer) -> Generator[Step, Any, ReviewAnswer | None]:
    """Write an answer down. One counts, the first: whatever comes later, in another process too, finds that one."""
    record, payloads = signing.on_record(call.activation.run, asked.at, answer)
    draft = Draft(record=record, key=f"answered:{answer.review}", payloads=payloads)
    kept = (yield Write(drafts=(draft,)))[0].record
    if kept is record or not isinstance(kept, ReviewAnswered):
        return answer
    return (yield from _answer_of(call, asked, kept))


def _expired(call: Call, asked: ReviewAsked) -> Generator[Step, Any, ReviewAnswered]:
    """Write down that nobody answered in time; or find that somebody did, in another process."""
    record = ReviewAnswered(review=asked.review, at=call.at, decision=signing.EXPIRED, reason=LATE, reviewer="nobody")
    kept = (yield Write(drafts=(Draft(record=record, key=f"answered:{asked.review}"),)))[0].record
    return kept if isinstance(kept, ReviewAnswered) else record


def _answer_of(call: Call, asked: ReviewAsked, record: ReviewAnswered) -> Generator[Step, Any, ReviewAnswer | None]:
    """The answer that a record holds; None if it was not signed for this question, as it stands."""
    arguments = (yield Load(digest=record.arguments)) if record.arguments else None
    words = (yield Load(digest=record.words)) if record.words else None
    answer = signing.from_record(record, arguments=arguments, words=words)
    if answer is None or record.review != asked.review:
        return None
    key = signing.key_of(call.activation.run.ledger)
    return answer if signing.vouched(key, answer, review=asked.review, binding=asked.binding) else None


def _deny(asking: _Asking, rule: str, reason: str) -> Generator[Step, Any, NoReturn]:
    """Record a denial, and raise it."""
    call = asking.call
    yield from recorded(call, asking.arguments, replace(denied(rule, reason), facts=asking.facts))
    raise CallDenied(tool=call.spec.name, agent=call.activation.agent, rules=[rule], reasons=[reason])


def _exact(call: Call, arguments: Mapping[str, Any]) -> str:
    return keyed(call.activation.run.knows.key, canonical(dict(arguments)))


def _rejected_before(call: Call, arguments: Mapping[str, Any]) -> bool:
    """Whether a person said no to the same agent's same call elsewhere in this run, before this one was asked about."""
    run = call.activation.run
    if _questions(call):
        return False
    same, exact = (call.activation.agent, call.spec.name), _exact(call, arguments)
    asked = [q for q in list(run.asked.values()) if (q.agent, q.about) == same and q.exact == exact]
    answers = (run.journal.get(f"answered:{q.review}") for q in asked if q.rules != [OUTCOME_UNKNOWN.id])
    return any(isinstance(a, ReviewAnswered) and a.decision == "reject" for a in answers)


def _questions(call: Call) -> list[ReviewAsked]:
    """What a person was asked about this call so far: whether it may run."""
    every = list(call.activation.run.asked.values())
    asked = [r for r in every if (r.at, r.about) == (call.at, call.spec.name)]
    return [r for r in asked if r.rules != [OUTCOME_UNKNOWN.id]]


def first_question(call: Call) -> CallJudged | None:
    """The verdict that led to the first question about this call; it holds the arguments that were asked about."""
    if not _questions(call):
        return None
    judged = (r for r in list(call.activation.run.journal.values()) if isinstance(r, CallJudged) and r.verdict == "ask")
    return next((r for r in judged if (r.at, r.tool) == (call.at, call.spec.name)), None)


def open_question(call: Call) -> ReviewAsked | None:
    journal = call.activation.run.journal
    return next((q for q in reversed(_questions(call)) if f"answered:{q.review}" not in journal), None)


def rejection(call: Call) -> ReviewAnswered | None:
    journal = call.activation.run.journal
    answers = (journal.get(f"answered:{q.review}") for q in _questions(call))
    return next((a for a in answers if isinstance(a, ReviewAnswered) and a.decision == "reject"), None)

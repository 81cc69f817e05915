"""Asking a person about a call: once per exact thing asked, with an answer that counts for that thing only."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Any

from ..contracts.digest import digest
from ..contracts.errors import CallRejected, ReviewInvalid
from ..contracts.review import AskingRule, ReviewAnswer, ReviewRequest, binding_of
from ..contracts.verdict import Rule
from ..ledger.entry import Draft
from ..ledger.records import CallJudged, ReviewAnswered, ReviewAsked
from .provenance import provenance_of
from .steps import AskPerson, Call, Load, Step, Write

OUTCOME_UNKNOWN = Rule(id="effect.unknown", approver="operator", reason="a crash hid whether this happened")


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
    """
    run = call.activation.run
    grounds, rules = run.grounds, tuple(sorted(rules, key=lambda r: r.id))  # Cedar names them in any order
    binding = binding_of(
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
    review = digest([grounds.run, binding])[:24]
    if isinstance(before := run.journal.get(f"answered:{review}"), ReviewAnswered):
        return (yield from _answer_of(before))
    body = run.knows.kept(dict(arguments))
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
    answer: ReviewAnswer = yield from _answered(
        call,
        ReviewRequest(
            id=review,
            kind=kind,
            run=grounds.run,
            agent=call.activation.agent,
            tool=call.spec.name,
            arguments=run.knows.cleaned(dict(arguments)),
            facts=run.knows.cleaned(dict(facts)),
            provenance={n: label.integrity for n, label in provenance_of(call, arguments).labels.items()},
            rules=tuple(AskingRule(id=r.id, approver=r.approver, reason=r.reason) for r in rules),
            binding=binding,
        ),
    )
    yield from _kept(call, review, answer)
    return answer


def _kept(call: Call, review: str, answer: ReviewAnswer) -> Generator[Step, Any, None]:
    """Write an answer down. One counts, the first: whatever comes later, in another process too, finds that one."""
    knows = call.activation.run.knows
    edited = knows.kept(answer.arguments) if answer.arguments is not None else None
    answered = ReviewAnswered(
        review=review,
        at=call.at,
        decision=answer.decision,
        reason=knows.text(answer.reason),
        reviewer=answer.reviewer,
        arguments=edited[0] if edited else "",
    )
    draft = Draft(record=answered, key=f"answered:{review}", payloads=(edited,) if edited else ())
    kept = (yield Write(drafts=(draft,)))[0].record
    if isinstance(kept, ReviewAnswered) and kept != answered:
        raise ReviewInvalid(review=review, detail=f"was answered before, with {kept.decision!r}")


def _answered(call: Call, request: ReviewRequest) -> Generator[Step, Any, ReviewAnswer]:
    """The answer to this very question.

    LangGraph hands out a node's answers by their order, so after a re-execution the next one may be the answer to an
    earlier question of the node, or to what this question was before a rule changed. Those are passed over; a no to
    an earlier form of this question still is a no. An answer that names no question (given to LangGraph directly)
    counts only where no other question was asked at this place.
    """
    journal = call.activation.run.journal
    here = call.at.partition("#")[0]
    asked = [r for r in list(call.activation.run.asked.values()) if r.at.partition("#")[0] == here]
    alone = all(r.review == request.id for r in asked)
    earlier = {q.review for q in _questions(call)} - {request.id}
    while True:
        answer: ReviewAnswer = yield AskPerson(request=request)
        if answer.review in earlier and f"answered:{answer.review}" not in journal:
            yield from _kept(call, answer.review, answer)
            if answer.decision == "reject" and request.kind == "call":
                raise CallRejected(tool=call.spec.name, agent=call.activation.agent, reason=answer.reason)
        mine = answer.review == request.id or (not answer.review and alone)
        if mine and not (answer.decision == "edit" and answer.arguments is None):
            return answer


def _answer_of(record: ReviewAnswered) -> Generator[Step, Any, ReviewAnswer]:
    arguments = (yield Load(digest=record.arguments)) if record.arguments else None
    said = {"decision": record.decision, "reason": record.reason, "reviewer": record.reviewer}
    return ReviewAnswer.model_validate({**said, "arguments": arguments, "review": record.review})


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

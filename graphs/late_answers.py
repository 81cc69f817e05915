"""Answers to questions that a run went on without: of branches that waited for a person when their join was decided.

A question that was withdrawn takes none. One that was left open does until it expires: the answer is signed, bound and
recorded as any other, and nothing follows from it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping

from ..contracts.errors import ReviewClosed, ReviewInvalid
from ..contracts.review import AskingRule, ReviewAnswer, Reviewer, ReviewRequest
from ..ledger.entry import Draft, Entry
from ..ledger.records import ReviewAsked, ReviewNoted, ReviewWithdrawn
from ..tools import signing
from ..tools.run import Grounds, Run
from .answering import Taking, refuse_other_tenants, taken_in


async def noted(
    takes: Taking,
    run: str,
    thread: str,
    answers: Mapping[str, ReviewAnswer],
    *,
    waiting: Collection[str],
    reviewer: Reviewer | None,
) -> dict[str, ReviewAnswer]:
    """Record the answers to questions that a run went on without; returns the other answers.

    Args:
        waiting: ids of the questions that the thread waits for. Answers to those are not looked at.
        thread: held by whoever calls this.

    Raises:
        ReviewClosed: a question was withdrawn.
        ReviewInvalid: it was answered before.
        ReviewExpired: an answer comes too late.
        ReviewerRefused: whoever gives it may not.
        NotFound: the run is another tenant's.
    """
    strays = [review for review in answers if review not in waiting]
    grounds = await takes.runs.began(run) if strays and run else None
    if grounds is None:
        return dict(answers)
    refuse_other_tenants(grounds, reviewer, thread)
    ledger = await takes.home.ledger()
    entries = await asyncio.to_thread(ledger.entries, run)
    asked = {e.record.review: e.record for e in entries if isinstance(e.record, ReviewAsked)}
    gone = {e.record.review: e.record for e in entries if isinstance(e.record, ReviewWithdrawn)}
    done = {e.record.review for e in entries if isinstance(e.record, ReviewNoted)}
    mine = {review: answers[review] for review in strays if review in gone and review in asked}
    for review in mine:
        if not gone[review].open:
            raise ReviewClosed(review=review, reason=gone[review].reason)
        if review in done:
            raise ReviewInvalid(review=review, detail="has an answer on record already", open=list(waiting))
    if mine:
        requests = [_request(run, asked[review]) for review in mine]
        key = signing.key_of(ledger)
        given = taken_in(requests, mine, grounds=grounds, key=key, reviewer=reviewer, takes=takes)
        over = await _told_again(takes, grounds, entries)
        for review, answer in given.items():
            record, payloads = signing.on_record(over, asked[review].at, answer)
            note = ReviewNoted(
                review=review,
                at=record.at,
                decision=record.decision,
                reason=record.reason,
                reviewer=record.reviewer,
                arguments=record.arguments,
                words=record.words,
                signature=record.signature,
            )
            await over.write(Draft(record=note, key=f"answered:{review}", payloads=payloads))
    return {review: answer for review, answer in answers.items() if review not in mine}


def _request(run: str, asked: ReviewAsked) -> ReviewRequest:
    """A question as its record tells it: enough to know who may answer, and until when."""
    return ReviewRequest(
        id=asked.review,
        kind="failure",  # takes any decision: none of them leads to anything
        run=run,
        agent=asked.agent,
        rules=tuple(
            AskingRule(id=rule, approver=role) for rule, role in zip(asked.rules, asked.approvers, strict=False)
        ),
        asked=asked.asked,
        expires=asked.expires,
        binding=asked.binding,
    )


async def _told_again(takes: Taking, grounds: Grounds, entries: list[Entry]) -> Run:
    """The run, for its records only: with what must not be seen in them."""
    ledger = await takes.home.ledger()
    run = Run.over(grounds, ledger, entries)
    key = await asyncio.to_thread(ledger.run_key, grounds.run)
    made = takes.runs._knowledge(key or b"")
    made.labels, run.knows = run.knows.labels, made
    await asyncio.to_thread(takes.runs.learn_again, run, entries)
    return run

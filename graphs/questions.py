"""Questions of the graph itself to a person: about a payload that broke its contract, about a turn that failed.

A question is on record before anybody is asked, its answer before anything follows from it. Both are signed and bound
as those about calls are (`tools/asking.py`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import orjson

from ..contracts.budget import Amounts
from ..contracts.digest import digest
from ..contracts.review import AskingRule, ReviewAnswer, ReviewRequest
from ..ledger.entry import Draft
from ..ledger.records import ReviewAnswered, ReviewAsked
from ..tools import signing
from ..tools.asking import LATE
from ..tools.drive import ask
from ..tools.reserving import charge
from ..tools.run import Activation, Run
from ..tools.signing import EXPIRED, counted, from_record, key_of, on_record, starter_of, vouched
from ..tools.spending import UNLIMITED


def any_edit(_: Mapping[str, Any]) -> bool:
    """Whether an edit can be taken: any, for a contract looks at it afterwards."""
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What a person is asked.

    Attributes:
        kind: of the review.
        base: digest of all that an answer is bound to.
        about: what stands on record as asked about.
        edge: the edge that it concerns.
        rule: who may answer, and why it is asked.
        payload: shown to the person.
        faults: what went wrong.
        takes: the answers it can have.
        fits: whether an edit can be taken; one that cannot is passed over, and the question stays open.
    """

    kind: Literal["handoff", "failure", "budget", "bound", "sign_off"]
    base: str
    at: str
    agent: str
    about: str
    edge: str
    rule: AskingRule
    payload: Any
    faults: tuple[str, ...]
    takes: type[ReviewAnswer] = ReviewAnswer
    fits: Callable[[Mapping[str, Any]], bool] = any_edit


async def answer_to(run: Run, question: Question) -> ReviewAnswer | None:
    """What a person answers. Interrupts the graph until it is there.

    Returns:
        The first answer on record that counts; None where nobody gave one in time.

    Raises:
        BudgetExceeded: no more questions may be asked.
    """
    review = review_of(run, question)
    asked = await _on_record(run, review, question)
    shown = run.knows.cleaned(question.payload)
    request = ReviewRequest(
        id=review,
        kind=question.kind,
        run=run.grounds.run,
        agent=question.agent,
        edge=question.edge,
        arguments=shown if isinstance(shown, dict) else {},
        rules=(question.rule,),
        faults=question.faults,
        started_by=starter_of(run),
        asked=asked.asked,
        expires=asked.expires,
        binding=asked.binding,
    )
    return await _answered(run, request, asked, question)


def review_of(run: Run, question: Question) -> str:
    """The id of a question of a run."""
    return digest([run.grounds.run, question.base])[:24]


async def _on_record(run: Run, review: str, question: Question) -> ReviewAsked:
    """The question as the ledger has it, from its first asking on."""
    known = run.journal.get(f"asked:{review}")
    if isinstance(known, ReviewAsked):
        return known
    time = signing.now()
    expires = signing.open_until(run, time)
    asked = ReviewAsked(
        review=review,
        at=question.at,
        agent=question.agent,
        about=question.about,
        binding=_bound(run, question.base, expires),
        rules=[question.rule.id],
        approvers=[question.rule.approver],
        asked=time,
        expires=expires,
    )
    asking = Activation(run=run, agent=question.agent, limits=UNLIMITED, ns="")
    await charge(asking, Amounts(asks=1), call=f"asked:{review}", at=question.at)  # whatever it is about
    kept = (await run.write(Draft(record=asked, key=f"asked:{review}")))[0].record
    return kept if isinstance(kept, ReviewAsked) else asked


def _bound(run: Run, base: str, expires: float) -> str:
    """What an answer is bound to, its expiry included: nobody makes it longer on record."""
    return signing.bound(run.ledger, of=base, expires=expires)


async def _answered(run: Run, request: ReviewRequest, asked: ReviewAsked, question: Question) -> ReviewAnswer | None:
    """The answer that counts: the first on record. None for one that came too late, or that was not signed here.

    What is not signed, or by somebody who may not, is passed over, and the question stays open. An answer that names no
    question counts only where none but this one was asked at this place: LangGraph hands them out by their order.
    """
    if asked.binding != _bound(run, question.base, asked.expires):
        return None
    key = f"answered:{request.id}"
    here = asked.at.partition("#")[0]
    alone = all(r.review == request.id for r in list(run.asked.values()) if r.at.partition("#")[0] == here)
    known = run.journal.get(key)
    while not isinstance(known, ReviewAnswered):
        answer = ask(request, question.takes)
        if answer is None:
            late = ReviewAnswered(review=request.id, at=asked.at, decision=EXPIRED, reason=LATE, reviewer="nobody")
            known = (await run.write(Draft(record=late, key=key)))[0].record
            break
        if not (answer.review == request.id or (not answer.review and alone)):
            continue
        found = counted(run, asked, request.rules, answer)
        if found is None or (found.decision == "edit" and not _takes(question, found.arguments)):
            continue
        record, payloads = on_record(run, asked.at, found)
        known = (await run.write(Draft(record=record, key=key, payloads=payloads)))[0].record
    assert isinstance(known, ReviewAnswered)
    arguments, words = [await asyncio.to_thread(_exact, run, ref) for ref in (known.arguments, known.words)]
    kept = from_record(known, arguments=arguments, words=words)
    if kept is None or not vouched(key_of(run.ledger), kept, review=request.id, binding=asked.binding):
        return None
    return kept


def _takes(question: Question, edited: Mapping[str, Any] | None) -> bool:
    return edited is not None and question.fits(edited)


def _exact(run: Run, ref: str) -> Any:
    body = run.ledger.exact(run.grounds.run, ref) if ref else None
    return orjson.loads(body) if body is not None else None

"""Answers on their way to a run: who gives them, whether they may, and the signature that the gate asks for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ..contracts.errors import NotFound, ReviewerRefused, ReviewExpired, ReviewInvalid
from ..contracts.review import (
    DEVELOPMENT,
    EVERY_ROLE,
    OPERATOR,
    ReviewAnswer,
    Reviewer,
    ReviewRequest,
    Signature,
    covers,
    holds,
    person,
)
from ..tools import signing
from ..tools.run import Grounds
from ..tools.sealed import SealedTool
from .home import Home
from .runs import Runs
from .stopping import fault_of_more

MOST_SECONDS = 366 * 24 * 3600
"""How long a review or an approval may be good for. Later than that nobody remembers what was asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Taking:
    """What one system takes answers in with. `seconds` is how long an approval counts; `tools` are its handles."""

    runs: Runs
    home: Home
    seconds: float
    tools: Mapping[str, SealedTool]

    def faults(self, tool: str, arguments: Mapping[str, Any]) -> Sequence[str]:
        """What is wrong with an edit, as the gate will find it; nothing for a tool that is not known."""
        handle = self.tools.get(tool)
        return handle._sealed().reading.validated(arguments)[1] if isinstance(handle, SealedTool) else ()


def seconds_or_faults(**given: Any) -> list[str]:
    """What is wrong with spans of time, by their names."""
    return [
        f"{name}={value!r} is no number of seconds above 0 and at most {MOST_SECONDS:_} (a year)"
        for name, value in given.items()
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= MOST_SECONDS
    ]


async def answering(
    every: Sequence[Taking],
    thread: str,
    requests: Sequence[ReviewRequest],
    answers: Mapping[str, ReviewAnswer],
    reviewer: Reviewer | None,
) -> dict[str, ReviewAnswer]:
    """`taken_in`, by the system whose run asks: a governed graph inside another one asks on that one's thread.

    Args:
        every: the system whose thread it is, and then all others that are loaded.

    Raises:
        ReviewInvalid: also where no system that is loaded asks.
        NotFound: the run that asks is another tenant's.
        ReviewExpired, ReviewerRefused: see `taken_in`.
    """
    asked, given = {r.id: r for r in requests}, dict[str, ReviewAnswer]()
    if strays := [review for review in answers if review not in asked]:
        raise ReviewInvalid(review=strays[0], detail="is not open on this thread", open=list(asked))
    for run in dict.fromkeys(asked[review].run for review in answers):
        mine = {review: a for review, a in answers.items() if asked[review].run == run}
        for takes in every:
            grounds = await takes.runs.began(run)
            if grounds is None or not await takes.runs.own(run):
                continue
            refuse_other_tenants(grounds, reviewer, thread)
            key = signing.key_of(await takes.home.ledger())
            its = [r for r in requests if r.run == run]
            given |= taken_in(its, mine, grounds=grounds, key=key, reviewer=reviewer, takes=takes)
            break
        else:
            raise ReviewInvalid(review=next(iter(mine)), detail="is of a run that no system here knows")
    return given


def refuse_other_tenants(grounds: Grounds | None, reviewer: Reviewer | None, thread: str) -> None:
    """Raises NotFound: to people of one tenant the runs of another do not exist."""
    if grounds is not None and reviewer is not None and grounds.tenant != reviewer.tenant:
        raise NotFound(kind="run on thread", name=thread)


def taken_in(
    requests: Sequence[ReviewRequest],
    answers: Mapping[str, ReviewAnswer],
    *,
    grounds: Grounds,
    key: bytes,
    reviewer: Reviewer | None,
    takes: Taking,
) -> dict[str, ReviewAnswer]:
    """Answers by review id, checked and signed for whoever gives them. Nothing is spent where one is refused.

    Args:
        requests: what is open on the thread.
        grounds: of the run that asks.
        reviewer: who answers, as the caller knows them; None for the local operator.

    Raises:
        ReviewInvalid: a question that is not open, or an answer that does not fit it.
        ReviewExpired: it came too late.
        ReviewerRefused: whoever gives it may not, or it has no name where one is needed.
    """
    asked = {r.id: r for r in requests}
    for review, answer in answers.items():
        if review not in asked:
            raise ReviewInvalid(review=review, detail="is not open on this thread", open=list(asked))
        request = asked[review]
        _refuse_unfit(request, answer, list(asked), takes)
        if 0 < request.expires < signing.now():
            until = datetime.fromtimestamp(request.expires, UTC).isoformat(timespec="seconds")
            raise ReviewExpired(review=review, expired=until)
        _refuse_person(request, answer, grounds, reviewer)
    try:
        return {
            review: signing.signed(
                key,
                answer,
                review=review,
                binding=asked[review].binding,
                reviewer=reviewer,
                tenant=grounds.tenant,
                seconds=takes.seconds,
            )
            for review, answer in answers.items()
        }
    except TypeError as error:
        raise ReviewInvalid(review=next(iter(answers)), detail=f"is not JSON: {error}", open=list(asked)) from None


def _refuse_unfit(request: ReviewRequest, answer: ReviewAnswer, open_: Sequence[str], takes: Taking) -> None:
    fault = ""
    if answer.review not in ("", request.id):
        fault = "review: is another question's id"
    elif not answer.reason.strip():
        fault = "reason: is blank"
    elif request.kind == "handoff" and answer.decision == "approve":
        fault = "a payload that breaks its contract can be edited or rejected, not approved"
    elif request.kind == "budget" and answer.decision != "reject":
        fault = fault_of_more(request.arguments, answer)
    elif request.kind == "outcome_unknown" and answer.decision == "edit":
        fault = "whether something happened can be approved again or rejected, not edited"
    elif answer.decision == "edit" and answer.arguments is None:
        fault = "an edit needs arguments"
    elif answer.decision == "edit" and request.kind == "call":
        fault = "; ".join(takes.faults(request.tool, answer.arguments or {}))
    if fault:
        raise ReviewInvalid(review=request.id, detail=fault, open=open_)


def _refuse_person(request: ReviewRequest, answer: ReviewAnswer, grounds: Grounds, reviewer: Reviewer | None) -> None:
    """Raises ReviewerRefused: for want of a name, of a role, or of distance from who asked for it."""
    local = grounds.environment == DEVELOPMENT
    if reviewer is None and not local:
        detail = (
            f"answers without a name are taken in the environment {DEVELOPMENT!r} only, and this run is in "
            f"{grounds.environment!r}; answer as a reviewer: resume(…, reviewer=Reviewer(…)), or over HTTP with a "
            "token of `edgewright serve --reviewers FILE`"
        )
        raise ReviewerRefused(review=request.id, reviewer="", detail=detail)
    who = Signature(
        reviewer=reviewer.id if reviewer else OPERATOR,
        roles=sorted(reviewer.roles) if reviewer else [EVERY_ROLE],
        tenant=grounds.tenant,
        time=0,
        until=0,
        nonce="",
        mac="",
    )
    mine = [r for r in request.rules if holds(who, r, local=local)]
    detail = ""
    if not mine:
        wanted = ", ".join(sorted({r.approver for r in request.rules}))
        detail = f"it asks for the role {wanted}; hold it, or leave the answer to somebody who does"
    elif answer.decision != "reject":
        apart = [r for r in mine if covers(who, r, starter=request.started_by, local=local)]
        done = {a.id for a in request.approved if person(who.reviewer) in map(person, a.by)}
        if not apart and request.started_by:
            detail = f"{request.started_by!r} started the run, and another person must approve what it does"
        elif not apart:
            detail = "nobody knows who started the run, so nobody can be told apart; start it with arun(…, by=…)"
        elif answer.decision == "approve" and all(r.id in done for r in apart):
            detail = "the same person has approved it already, and it asks for another one's approval"
    if detail:
        raise ReviewerRefused(review=request.id, reviewer=who.reviewer, detail=detail)

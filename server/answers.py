"""Answers to what a thread waits for: found, checked and made out to whoever may give them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from langgraph.types import Interrupt
from pydantic import ValidationError

from ..contracts.contract import faults_of
from ..contracts.errors import ReviewInvalid
from ..contracts.review import OPERATOR, ReviewAnswer, ReviewRequest

_DECISIONS = {
    "call": ("approve", "edit", "reject"),
    "outcome_unknown": ("approve", "reject"),
    "handoff": ("edit", "reject"),
    "failure": ("approve", "edit", "reject"),
    "sign_off": ("approve", "edit", "reject"),
    "budget": ("approve", "edit", "reject"),
    "bound": ("approve", "edit", "reject"),
}


def addressed(found: Sequence[Interrupt], resume: Any, *, governed: bool) -> dict[str, Any]:
    """A client's `command.resume` as one answer per interrupt id.

    Taken: a mapping from ids to answers (an interrupt's id or, in a governed graph, the review's), or one answer
    where exactly one is open. Of several open ones, some may be answered.

    Raises:
        ReviewInvalid: nothing is open, an id is not open, or a governed answer does not fit its question. Nothing
            was resumed; the question stays open.
    """
    ids = {i.id: i.id for i in found}
    if governed:
        ids |= {_review(i): i.id for i in found if _review(i)}
    known = list(ids)
    if not found:
        raise ReviewInvalid(review="", detail="the thread waits for nothing", open=known)
    one = not isinstance(resume, Mapping) or not resume or (governed and "decision" in resume)
    if not governed and not one and not set(resume) <= set(ids):
        one = True  # a plain graph's answer may be any mapping
    if one:
        if len(found) > 1:
            raise ReviewInvalid(review="", detail="several are open, so an answer must name its own", open=known)
        answers = {found[0].id: resume}
    else:
        for key in resume:
            if key not in ids:
                raise ReviewInvalid(review=str(key)[:100], detail="is not open on this thread", open=known)
        answers = {ids[key]: answer for key, answer in resume.items()}
        if len(answers) < len(resume):
            raise ReviewInvalid(review="", detail="one question is answered twice", open=known)
    if not governed:
        return answers
    by_id = {i.id: i for i in found}
    return {key: _checked(by_id[key], answer, known) for key, answer in answers.items()}


def questions(found: Sequence[Interrupt]) -> dict[str, ReviewRequest]:
    """What a governed graph asks, by the id of its interrupt."""
    return {i.id: ReviewRequest.model_validate_json(orjson.dumps(i.value)) for i in found}


def _review(found: Interrupt) -> str:
    value = found.value.get("id") if isinstance(found.value, Mapping) else None
    return value if isinstance(value, str) else ""


def _checked(found: Interrupt, given: Any, known: Sequence[str]) -> dict[str, Any]:
    review, faults = _review(found) or found.id, []
    if not isinstance(given, Mapping):
        raise ReviewInvalid(review=review, detail="an answer is an object with a decision and a reason", open=known)
    try:
        # What a client claims to be is never recorded.
        answer = ReviewAnswer.model_validate({"review": review, **given, "reviewer": OPERATOR})
    except ValidationError as error:
        raise ReviewInvalid(review=review, detail="; ".join(faults_of(error)), open=known) from None
    if answer.signature is not None:
        faults.append("signature: is given by the server, to whom it knows")
    kind = found.value.get("kind") if isinstance(found.value, Mapping) else ""
    allowed = _DECISIONS.get(str(kind), ())
    if answer.decision not in allowed:
        faults.append(f"decision: must be one of {', '.join(allowed)}")
    # An edit without arguments would be recorded as the answer and then fail the run.
    if (answer.decision == "edit") != (answer.arguments is not None):
        faults.append("arguments: an edit needs them, nothing else takes them")
    if answer.review != review:
        faults.append("review: is another question's id")
    if not answer.reason.strip():
        faults.append("reason: is blank")
    if faults:
        raise ReviewInvalid(review=review, detail="; ".join(faults), open=known)
    return answer.model_dump(mode="json")

"""Signing answers to reviews, and telling a signed one from any other. And the one clock of reviews.

The key is a sub-key of the home key, which is kept outside the database that holds the answers: whoever can write rows
or checkpoints still cannot approve anything. What is signed covers the question, what it was bound to, all of the
answer, who gave it with which roles, and when.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import time
from collections.abc import Mapping
from typing import Any

from ..contracts.digest import canonical, digest
from ..contracts.errors import LedgerCorrupt
from ..contracts.review import (
    APPROVAL_SECONDS,
    DEVELOPMENT,
    EVERY_ROLE,
    OPERATOR,
    REVIEW_SECONDS,
    AskingRule,
    ReviewAnswer,
    Reviewer,
    Signature,
    covers,
    holds,
)
from ..ledger.entry import Payload
from ..ledger.records import ReviewAnswered, ReviewAsked, RunStarted
from ..ledger.sealing import keyed
from ..ledger.store import Ledger
from .run import Run

SKEW = 60.0
"""Seconds by which the clocks of two processes may differ."""
EXPIRED = "expired"
"""The decision on record where nobody answered in time."""


def now() -> float:
    """Seconds since the epoch: the one clock of reviews and approvals. Tests replace it."""
    return time.time()


def key_of(ledger: Ledger) -> bytes:
    """The key that signs the approvals of a ledger."""
    return ledger.keyring.subkey("approvals")


def bound(ledger: Ledger, **what: Any) -> str:
    """What an answer is bound to, so that whoever can write rows cannot make another. Raises TypeError: no JSON."""
    return keyed(key_of(ledger), canonical({"what": "edgewright question 1", **what}))


def open_until(run: Run, asked: float) -> float:
    """When a question of a run that is asked now expires."""
    began = run.journal.get("run.started")
    return asked + ((began.review_seconds if isinstance(began, RunStarted) else 0.0) or REVIEW_SECONDS)


# -- answers ----------------------------------------------------------------------------------------------------------


def signed(
    key: bytes,
    answer: ReviewAnswer,
    *,
    review: str,
    binding: str,
    reviewer: Reviewer | None,
    tenant: str,
    seconds: float = APPROVAL_SECONDS,
) -> ReviewAnswer:
    """An answer, made out to its question and signed for whoever gives it now.

    Args:
        reviewer: None for the local operator; the caller has made sure that this is development.
        tenant: of the run.
        seconds: for how long it counts.

    Raises:
        TypeError: the answer is not JSON.
    """
    at = now()
    found = Signature(
        reviewer=reviewer.id if reviewer else OPERATOR,
        roles=sorted(reviewer.roles) if reviewer else [EVERY_ROLE],
        tenant=reviewer.tenant if reviewer else tenant,
        time=at,
        until=at + seconds,
        nonce=os.urandom(16).hex(),
        mac="",
    )
    whole = found.model_copy(update={"mac": _mac(key, answer, found, review, binding)})
    return answer.model_copy(update={"review": review, "reviewer": found.reviewer, "signature": whole})


def vouched(key: bytes, answer: ReviewAnswer, *, review: str, binding: str) -> bool:
    """Whether an answer was signed with this key, for this question, as it stands."""
    found = answer.signature
    if found is None or answer.reviewer != found.reviewer:
        return False
    try:
        made = _mac(key, answer, found, review, binding)
    except TypeError:
        return False
    return hmac.compare_digest(made.encode(), found.mac.encode("utf-8", "replace"))


def _mac(key: bytes, answer: ReviewAnswer, found: Signature, review: str, binding: str) -> str:
    said = {
        "what": "edgewright approval 1",
        "review": review,
        "binding": binding,
        "decision": answer.decision,
        "reason": answer.reason,
        "arguments": digest(answer.arguments) if answer.arguments is not None else "",
        **found.model_dump(exclude={"mac"}),
    }
    return hmac.digest(key, canonical(said), hashlib.sha256).hex()


def counted(run: Run, asked: ReviewAsked, rules: tuple[AskingRule, ...], answer: ReviewAnswer) -> ReviewAnswer | None:
    """The answer, signed, if it may count as the one to a question; None if it is passed over and the question stays.

    One that is not signed was given to LangGraph itself. It is the local operator's in development, and nobody's
    elsewhere.
    """
    key, local, tenant = key_of(run.ledger), is_local(run), run.grounds.tenant
    if answer.signature is None:
        if not local:
            return None
        try:
            answer = signed(key, answer, review=asked.review, binding=asked.binding, reviewer=None, tenant=tenant)
        except TypeError:
            return None
    elif not vouched(key, answer, review=asked.review, binding=asked.binding):
        return None
    found = answer.signature
    assert found is not None
    if found.tenant != tenant or found.time > asked.expires:
        return None
    if answer.decision == "reject":
        return answer if any(holds(found, r, local=local) for r in rules) else None
    starter = starter_of(run)
    return answer if any(covers(found, r, starter=starter, local=local) for r in rules) else None


def is_fresh(found: Signature) -> bool:
    """Whether an approval still counts for a call that has not begun. One from the future does not, beyond a skew."""
    return found.time - SKEW <= now() <= found.until


# -- on record --------------------------------------------------------------------------------------------------------


def on_record(run: Run, at: str, answer: ReviewAnswer) -> tuple[ReviewAnswered, tuple[Payload, ...]]:
    """A signed answer as the ledger keeps it, with all that its signature covers."""
    assert answer.signature is not None
    edited = run.knows.kept(answer.arguments) if answer.arguments is not None else None
    reason = run.knows.text(answer.reason)
    words = run.knows.kept(answer.reason) if reason != answer.reason else None
    record = ReviewAnswered(
        review=answer.review,
        at=at,
        decision=answer.decision,
        reason=reason,
        reviewer=answer.signature.reviewer,
        arguments=edited.ref if edited else "",
        words=words.ref if words else "",
        signature=answer.signature.model_dump(exclude={"reviewer"}),
    )
    return record, tuple(p for p in (edited, words) if p is not None)


def from_record(record: ReviewAnswered, *, arguments: Any, words: Any) -> ReviewAnswer | None:
    """The inverse, given the content of its two payloads. None for what is no answer; it is not verified."""
    try:
        return ReviewAnswer.model_validate(
            {
                "decision": record.decision,
                "reason": words if record.words else record.reason,
                "arguments": arguments,
                "reviewer": record.reviewer,
                "review": record.review,
                "signature": {**record.signature, "reviewer": record.reviewer} if record.signature else None,
            }
        )
    except (ValueError, TypeError):
        return None


# -- who started a run ------------------------------------------------------------------------------------------------


def start_mac(key: bytes, run: str, record: RunStarted) -> str:
    """What vouches for who started a run, for which tenant, in which environment."""
    said = ["edgewright start 1", run, record.thread, record.environment, record.tenant, record.started_by]
    return hmac.digest(key, canonical([*said, record.review_seconds]), hashlib.sha256).hex()


def start_of(ledger: Ledger, run: str, records: Mapping[str, Any]) -> RunStarted | None:
    """How a run began, vouched for; None for one that is not there.

    Args:
        records: the run's journal by key.

    Raises:
        LedgerCorrupt: it was changed after it was written, or not written here.
    """
    record = records.get("run.started")
    if not isinstance(record, RunStarted):
        return None
    if not hmac.compare_digest(start_mac(key_of(ledger), run, record).encode(), record.mac.encode()):
        raise LedgerCorrupt(run=run, seq=0, fault="who started it, or where, was changed after it was written")
    return record


def starter_of(run: Run) -> str:
    """Who started a run; empty where nobody knows. Raises LedgerCorrupt."""
    found = start_of(run.ledger, run.grounds.run, run.journal)
    return found.started_by if found else ""


def is_local(run: Run) -> bool:
    """Whether the local operator counts: in development only."""
    return run.grounds.environment == DEVELOPMENT

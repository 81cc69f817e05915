"""Whoever writes rows, with all of the database in hand and without the key, makes no answer count."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from edgewright import Call, System
from edgewright.contracts.errors import LedgerCorrupt, ReviewInvalid
from edgewright.contracts.review import Reviewer, binding_of
from edgewright.tools import signing
from support.payments import BIG, LARGE, done, fresh, pay
from support.systems import PERMIT_ALL, answers, plays, with_model

__all__ = ["fresh"]  # a fixture
ANA = Reviewer("ana", frozenset({"finance"}))


def _made(home: Path) -> System:
    options: dict[str, Any] = {"policy": PERMIT_ALL + LARGE, "environment": "production", "review_seconds": 60}
    return with_model(plays([Call("pay", BIG)]), pay, home=home, **options)


def _rewritten(home: Path, having: str, change: Callable[[dict[str, Any]], None]) -> None:
    """Somebody with the database in hand changes the one record that has a field."""
    conn = sqlite3.connect(home / "edgewright.db")
    for (trigger,) in conn.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
        conn.execute(f'DROP TRIGGER "{trigger}"')
    [(row, body)] = conn.execute(
        "SELECT rowid, body FROM records WHERE CAST(body AS TEXT) LIKE ?", (f'%"{having}":%',)
    ).fetchall()
    record = orjson.loads(body)
    change(record)
    conn.execute("UPDATE records SET body = ? WHERE rowid = ?", (orjson.dumps(record).decode(), row))
    conn.commit()
    conn.close()


async def test_a_run_whose_beginning_is_not_vouched_for_goes_on_nowhere(tmp_path: Path) -> None:
    """threats 29 and 40: without its mac a record would be anybody's, and of any tenant."""
    system = _made(tmp_path)
    waiting = await system.arun({"text": "go"}, thread="t", by=Reviewer("uma", tenant="acme"))
    system.close()
    _rewritten(tmp_path, "started_by", lambda record: record.update(mac="", tenant="evil"))
    after = _made(tmp_path)
    try:
        for given in (None, answers(waiting, "approve")):
            with pytest.raises(LedgerCorrupt, match="who started it"):
                await after.aresume("t", given, reviewer=Reviewer("eve", frozenset({"finance"}), "evil"))
    finally:
        after.close()
    assert not done


async def test_an_expiry_moved_on_record_with_all_that_a_reader_can_compute_lets_no_answer_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """threats 38 and 40: everything that a question is bound to is in the database, or public, except the key."""
    system = _made(tmp_path)
    waiting = await system.arun({"text": "go"}, thread="t", by=Reviewer("uma"))
    [review] = waiting.reviews
    policy = system._runs._policy
    assert policy is not None
    known: dict[str, Any] = {
        "tenant": "local",
        "thread": "t",
        "run": waiting.run,
        "attempt": 0,
        "kind": "call",
        "tool": "pay",
    }
    known |= {"tool_digest": pay._sealed().spec.digest, "arguments": BIG, "rules": ["large"], "policy": policy.digest}
    system.close()

    def later(record: dict[str, Any]) -> None:
        record["expires"] += 1_000_000
        base = binding_of(at=record["at"], **known)
        record["binding"] = binding_of(of=base, turn=0, rules=["large"], expires=record["expires"])

    _rewritten(tmp_path, "expires", later)
    monkeypatch.setattr(signing, "now", lambda: review.expires + 1)
    after = _made(tmp_path)
    try:
        again = await after.aresume("t", reviewer=ANA)
        assert [(r.id == review.id, r.expires) for r in again.reviews] == [(False, review.expires + 61)]
        with pytest.raises(ReviewInvalid, match="not open"):
            await after.aresume("t", answers(waiting, "approve"), reviewer=ANA)
    finally:
        after.close()
    assert not done

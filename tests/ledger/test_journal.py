"""What a run did to the world, effect by effect: done once, refused, failed, or not known."""

from __future__ import annotations

from edgewright.ledger.entry import Draft
from edgewright.ledger.journal import Effect, effects_of
from edgewright.ledger.memory import MemoryLedger
from edgewright.ledger.records import EffectDone, EffectFailed, EffectIntended, EffectRefused, EffectReused, Record
from support.ledgers import started, write


def intended(at: str) -> EffectIntended:
    return EffectIntended(effect=at, tool=f"tool_{at}", arguments="a" * 64, idempotency="none")


def done(at: str, *, changes_world: bool = True) -> EffectDone:
    return EffectDone(effect=at, tool=f"tool_{at}", changes_world=changes_world, outcome="b" * 64, seconds=0.1)


def of(*records: Record) -> list[Effect]:
    ledger = MemoryLedger()
    write(ledger, "run", *(Draft(record=r) for r in (started(), *records)))
    return effects_of(ledger.entries("run"))


def test_every_effect_is_listed_once_in_the_order_of_its_intent_with_how_it_ended() -> None:
    found = of(
        *(intended(at) for at in "abcde"),
        EffectFailed(effect="c", tool="t", error="no such thing", unknown=False),
        EffectRefused(effect="b", tool="t", reason="too late"),
        done("a"),
        EffectFailed(effect="d", tool="t", error="timeout", unknown=True),
        EffectReused(effect="a", tool="t"),
        EffectReused(effect="a", tool="t"),
    )
    assert [(e.at, e.status, e.certain) for e in found] == [
        ("a", "done", True),
        ("b", "refused", True),
        ("c", "failed", True),
        ("d", "unknown", False),
        ("e", "intended", False),
    ]
    assert [e.said for e in found] == ["", "too late", "no such thing", "timeout", ""]
    assert (found[0].reused, found[0].outcome) == (2, "b" * 64)
    assert all(e.ended is not None and e.ended >= e.intended for e in found[:4])


def test_an_unknown_effect_that_was_resolved_later_is_as_it_ended_last() -> None:
    unknown = EffectFailed(effect="a", tool="t", error="timeout", unknown=True)
    [found] = of(intended("a"), unknown, intended("a"), done("a"))
    assert (found.status, found.certain) == ("done", True)


def test_a_read_is_no_effect() -> None:
    assert of(done("a", changes_world=False)) == []

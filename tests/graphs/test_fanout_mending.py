"""Branches of a fan-out that break their contract, wait for a person or fall: the others are not taken again."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from edgewright import OnViolation, System
from edgewright.contracts.errors import ContractViolation
from edgewright.ledger.records import ContractViolated, RunEnded
from support.offices import clerk, crossings, done, finds, fresh, note, notes, office, results, sends, taken
from support.systems import PERMIT_ALL, answers, asking, of_kind


@pytest.fixture(autouse=True)
def _fresh() -> None:
    fresh()


# -- repair and review of single branches -----------------------------------------------------------------------------


async def test_only_the_branch_that_broke_its_contract_is_taken_again_and_no_effect_is_repeated() -> None:
    async def once_wrong(brief: dict[str, Any]) -> Any:
        found = await notes(brief)
        return {"stray": 1} if brief["part"] == "b" and taken["b"] == 1 else found

    system = office(sends("a", "b", "c"), clerk(once_wrong, note), policy=PERMIT_ALL)
    result = await system.arun({"text": "go"})
    assert results(result) == [("clerk", "noted a"), ("clerk", "noted b"), ("clerk", "noted c")]
    assert taken == {"a": 1, "b": 2, "c": 1}
    [broken] = of_kind(system, result.run, ContractViolated)
    assert (broken.edge, broken.then) == ("clerk→head", "repair")
    assert all(f.startswith("branch 1 (clerk): ") for f in broken.faults)
    assert Counter(crossings(system, result.run)) == Counter(dict.fromkeys(crossings(system, result.run), 1))


REVIEW = OnViolation(repair=1, then="review", role="lead")


def _unmendable(brief: dict[str, Any]) -> Any:
    found = finds(brief)
    return {"stray": brief["part"]} if brief["part"] != "a" else found


async def test_a_person_is_asked_about_the_unmended_branches_alone_and_mends_them() -> None:
    system = office(sends("a", "b", "c"), clerk(_unmendable), rule=REVIEW)
    waiting = await system.arun({"text": "go"})
    [review] = waiting.reviews
    assert review.arguments["branches"] == [
        {"branch": 1, "agent": "clerk", "answer": {"stray": "b"}},
        {"branch": 2, "agent": "clerk", "answer": {"stray": "c"}},
    ]
    assert taken == {"a": 1, "b": 2, "c": 2}
    mended = {"branches": [{"branch": i, "answer": {"found": f"mine {i}"}} for i in (1, 2)]}
    result = await system.aresume(waiting.thread, answers(waiting, "edit", arguments=mended))
    assert results(result) == [("clerk", "all of a"), ("clerk", "mine 1"), ("clerk", "mine 2")]
    assert taken == {"a": 1, "b": 2, "c": 2}


@pytest.mark.parametrize(
    "edit",
    [
        {},
        {"branches": None},
        {"branches": ["b", {"answer": 1}, {"branch": 1}]},
        {"branches": [{"branch": 9, "answer": {}}]},
    ],
)
async def test_an_edit_that_mends_nothing_asks_again(edit: dict[str, Any]) -> None:
    system = office(sends("a", "b"), clerk(_unmendable), rule=REVIEW)
    waiting = await system.arun({"text": "go"})
    again = await system.aresume(waiting.thread, answers(waiting, "edit", arguments=edit))
    assert again.status == "waiting"
    assert again.reviews[0].id != waiting.reviews[0].id
    with pytest.raises(ContractViolation):
        await system.aresume(waiting.thread, answers(again, "reject"))
    [ended] = of_kind(system, waiting.run, RunEnded)
    assert ended.status == "failed"


async def test_a_person_mends_the_briefs_of_a_fan_out_before_any_branch_begins() -> None:
    system = office(sends("a", "much too long"), clerk(), rule=OnViolation(repair=0, then="review"))
    waiting = await system.arun({"text": "go"})
    assert taken == {}
    mended = {"branches": [{"agent": "clerk", "brief": {"part": p}} for p in ("a", "short", "more")]}
    result = await system.aresume(waiting.thread, answers(waiting, "edit", arguments=mended))
    assert [found for _, found in results(result)] == ["all of a", "all of short", "all of more"]


# -- interrupts and restarts ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("restarted", [False, True])
async def test_a_branch_that_waits_for_a_person_does_not_repeat_the_others(restarted: bool, tmp_path: Path) -> None:
    policy = PERMIT_ALL + asking("note", 'context.args.part == "b"')

    def build() -> System:
        return office(sends("a", "b", "c"), clerk(notes, note), policy=policy, home=tmp_path)

    system = build()
    waiting = await system.arun({"text": "go"})
    assert [r.tool for r in waiting.reviews] == ["note"]
    assert done == {"a": 1, "c": 1}
    if restarted:
        system.close()
        system = build()
    result = await system.aresume(waiting.thread, answers(waiting, "approve"))
    assert results(result) == [("clerk", "noted a"), ("clerk", "noted b"), ("clerk", "noted c")]
    assert done == {"a": 1, "b": 1, "c": 1}
    system.close()


async def test_a_run_that_failed_in_one_branch_goes_on_without_repeating_the_others(tmp_path: Path) -> None:
    broken = True

    async def falls(brief: dict[str, Any]) -> Any:
        found = await notes(brief)
        if brief["part"] == "b" and broken:
            raise OSError("the wire is cut")
        return found

    system = office(sends("a", "b", "c"), clerk(falls, note), policy=PERMIT_ALL, home=tmp_path)
    with pytest.raises(OSError, match="wire"):
        await system.arun({"text": "go"}, thread="t-1")
    system.close()
    broken = False
    system = office(sends("a", "b", "c"), clerk(falls, note), policy=PERMIT_ALL, home=tmp_path)
    result = await system.aresume("t-1")
    assert [found for _, found in results(result)] == ["noted a", "noted b", "noted c"]
    assert done == {"a": 1, "b": 1, "c": 1}
    system.close()

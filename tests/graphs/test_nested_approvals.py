"""A governed graph inside a function of another: whose its run is, and by whose terms its questions are answered."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from edgewright import Call, System
from edgewright.contracts.errors import NotFound, ReviewerRefused, ReviewInvalid
from edgewright.contracts.review import Reviewer
from support.payments import BIG, LARGE, done, fresh, pay, wire
from support.systems import PERMIT_ALL, answers, asking, plays, with_code, with_model

__all__ = ["fresh"]  # a fixture
FINANCE = frozenset({"finance"})
ANA, BEN = Reviewer("ana", FINANCE), Reviewer("ben", FINANCE)
APART = LARGE.replace("@obligation", '@separation("on") @obligation', 1)


@pytest.fixture
def opened() -> Iterator[list[System]]:
    made: list[System] = []
    yield made
    for system in made:
        system.close()


@pytest.fixture
def outer(tmp_path: Path, opened: list[System]) -> System:
    """One that wires, which a person approves, and then has another one pay, in the same home."""
    house: dict[str, Any] = {"environment": "production", "home": tmp_path}
    policy = PERMIT_ALL + APART
    inner = with_model(plays([Call("pay", BIG)]), pay, policy=policy, name="inner", approval_seconds=5, **house)

    async def function(_: dict[str, Any]) -> dict[str, str]:
        await wire.ainvoke({"account": "w", "cents": 1})
        await inner.graph.ainvoke({"request": {"text": "go"}})
        return {"text": "done"}

    made = with_code(function, wire, policy=PERMIT_ALL + asking("wire", "true", rule="w"), name="outer", **house)
    opened += [inner, made]
    return made


async def test_a_run_inside_another_is_its_starters_whoever_answered_before_it_began(outer: System) -> None:
    """threat 29: the one who resumes it does not take the starter's place, so the starter approves no own run."""
    first = await outer.arun({"text": "go"}, thread="t", by=ANA)
    second = await outer.aresume("t", answers(first, "approve"), reviewer=BEN)
    assert [(r.tool, r.started_by) for r in second.reviews] == [("pay", "ana")]
    with pytest.raises(ReviewerRefused, match="started the run"):
        await outer.aresume("t", answers(second, "approve"), reviewer=ANA)
    assert done == [("w", 1)]
    assert (await outer.aresume("t", answers(second, "approve"), reviewer=BEN)).status == "completed"
    assert done == [("w", 1), ("a", 500)]


async def test_a_run_inside_another_is_of_its_tenant(outer: System) -> None:
    """threats 29 and 31."""
    uma, ada = Reviewer("uma", FINANCE, "acme"), Reviewer("ada", FINANCE, "acme")
    first = await outer.arun({"text": "go"}, thread="t", by=uma)
    second = await outer.aresume("t", answers(first, "approve"), reviewer=uma)
    assert [(r.tool, r.started_by) for r in second.reviews] == [("pay", "uma")]
    with pytest.raises(NotFound):
        await outer.answering("t", second.reviews, answers(second, "approve"), reviewer=ANA)
    await outer.aresume("t", answers(second, "approve"), reviewer=ada)
    assert done == [("w", 1), ("a", 500)]


async def test_an_answer_is_taken_by_the_terms_of_the_system_whose_run_asks(outer: System) -> None:
    """threat 28: how long it counts, and which edits fit."""
    first = await outer.arun({"text": "go"}, thread="t", by=ANA)
    second = await outer.aresume("t", answers(first, "approve"), reviewer=BEN)
    [answer] = (await outer.answering("t", second.reviews, answers(second, "approve"), reviewer=BEN)).values()
    assert answer.signature is not None
    assert answer.signature.until - answer.signature.time == pytest.approx(5)
    unfit = answers(second, "edit", arguments={"account": "a", "cents": "no number"})
    with pytest.raises(ReviewInvalid, match="cents"):
        await outer.answering("t", second.reviews, unfit, reviewer=BEN)

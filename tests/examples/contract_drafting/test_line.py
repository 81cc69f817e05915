"""The whole line: real graph, real Word files, real ledger; the offline rules play the stages."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest
from edgewright import Call, OfflineModel, Reviewer, Say, System, Turn
from edgewright.contracts.errors import ReviewerRefused
from edgewright.contracts.review import ReviewAnswer
from edgewright.examples.contract_drafting import rules
from edgewright.examples.contract_drafting.firm import Firm
from edgewright.examples.contract_drafting.play import load_cases, play
from edgewright.examples.contract_drafting.showcase import showcase, shown
from edgewright.examples.contract_drafting.system import FOLDER, build
from edgewright.ledger.records import BoundMet, ContractPassed

CASES = {case.matter: case for case in load_cases()}
HAAS = Reviewer("r.haas", frozenset({"lawyer", "partner"}))
OKAFOR = Reviewer("s.okafor", frozenset({"partner"}))


@pytest.fixture
def line(tmp_path: Path) -> Iterator[System]:
    """The line in a home of its own."""
    built = build(tmp_path)
    yield built
    built.close()


@pytest.fixture
def office(line: System, tmp_path: Path) -> Firm:
    """The firm that the line works in."""
    return Firm.open(tmp_path / FOLDER)


async def test_every_case_ends_as_it_was_written_twice_over_one_home(line: System) -> None:
    first = await showcase(line)
    again = await showcase(line)

    assert [(s.case, s.faults) for s in [*first, *again] if not s.ok] == []
    assert len(first) == len(again) == len(CASES) == 7
    assert not {s.run for s in first} & {s.run for s in again}
    assert all(file.is_file() for s in first for file in s.files)


async def test_a_case_that_ends_otherwise_than_written_is_a_fault(line: System, office: Firm) -> None:
    case = dataclasses.replace(CASES["M-2401"], expect={**CASES["M-2401"].expect, "level": "high", "released": False})
    told = shown(case, await play(line, office, case))

    assert [fault.partition(":")[0] for fault in told.faults] == ["level", "released"]


async def test_a_hidden_order_costs_a_round_and_changes_nothing_of_the_release(line: System, office: Firm) -> None:
    played = await play(line, office, CASES["M-2404"])
    entries = [entry.record for entry in line.ledger.entries(played.run)]
    back = [r for r in entries if isinstance(r, ContractPassed) and r.edge == "compliance→drafting"]

    assert len(back) == 1
    assert played.found["asked"] == ["partner"]
    assert "liability LIA-01@3" in played.found["clauses"]


async def test_used_up_rounds_are_asked_of_a_partner_and_a_no_ends_the_run(line: System, office: Firm) -> None:
    played = await play(line, office, CASES["M-2406"])
    met = [entry.record for entry in line.ledger.entries(played.run) if isinstance(entry.record, BoundMet)]

    assert [(m.bound, m.most, m.then) for m in met] == [("revise", 2, "review")]
    assert "'revise'" in played.stopped
    assert not (office.home / "released" / "M-2406").exists()


async def test_whoever_asked_for_a_document_does_not_release_it(line: System, office: Firm) -> None:
    waiting = await line.arun(CASES["M-2402"].request, thread="own", by=HAAS)
    (review,) = waiting.reviews
    yes = {review.id: ReviewAnswer(decision="approve", reason="it is mine")}

    with pytest.raises(ReviewerRefused):
        await line.aresume("own", yes, reviewer=HAAS)
    assert not (office.home / "released" / "M-2402").exists()
    done = await line.aresume("own", yes, reviewer=OKAFOR)
    assert done.output is not None
    assert done.output["outcome"] == "released"


async def test_a_file_that_is_changed_while_a_partner_thinks_is_not_released(line: System, office: Firm) -> None:
    waiting = await line.arun(CASES["M-2402"].request, thread="changed", by=HAAS)
    (review,) = waiting.reviews
    path = office.draft_path("M-2402", review.arguments["draft"])
    path.write_bytes(path.read_bytes() + b" ")
    yes = {review.id: ReviewAnswer(decision="approve", reason="fine")}
    done = await line.aresume("changed", yes, reviewer=OKAFOR)

    assert done.output is not None
    assert done.output["outcome"] == "held"
    assert not (office.home / "released" / "M-2402").exists()


async def test_a_request_about_one_matter_reaches_no_other_client_s(tmp_path: Path) -> None:
    def curious(turn: Turn) -> Say | list[Call]:
        if "write_draft" in turn.tools and not turn.results:
            return [Call("read_correspondence", {"matter": "M-2404"})]
        if "write_draft" in turn.tools and len(turn.results) == 1:
            return [Call("read_matter", {"matter": "M-2404"})]
        return Say("enough") if "write_draft" in turn.tools else rules.rules(turn)

    line = build(tmp_path, model=OfflineModel("contract_drafting_curious", curious))
    office = Firm.open(tmp_path / FOLDER)
    played = await play(line, office, CASES["M-2401"])
    line.close()

    assert played.found["denied"] == ["own-matter-only", "own-matter-only"]
    assert played.found["drafts"] == []


async def test_a_stage_that_says_released_and_released_nothing_is_found_out(tmp_path: Path) -> None:
    def boasting(turn: Turn) -> Say | list[Call]:
        if "release_document" in turn.tools:
            return [Call("submit", {"outcome": "released", "level": "low", "message": "Released."})]
        return rules.rules(turn)

    line = build(tmp_path, model=OfflineModel("contract_drafting_boasting", boasting))
    office = Firm.open(tmp_path / FOLDER)
    told = shown(CASES["M-2401"], await play(line, office, CASES["M-2401"]))
    line.close()

    assert not told.ok
    assert any(fault.startswith("released: expected True") for fault in told.faults)

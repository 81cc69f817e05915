"""Cells of the fault matrix: each fault, brought about for real, comes to what it should; what must not be shows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bench.faults.__main__ import faults, main, matrix, tables
from bench.faults.cases import CASES, Case
from bench.faults.cell import Deadline, Found, Process, tried
from bench.faults.life import MAIN, NEIGHBOUR, Ended, Plan
from bench.faults.topologies import DONE, TOPOLOGIES, Outcome, Site

BY_NAME = {case.name: case for case in CASES}
every_topology = pytest.mark.parametrize("topology", TOPOLOGIES)


def _case(name: str) -> Case:
    return BY_NAME[name]


def _found(**given: Any) -> Found:
    whole = Ended(thread=MAIN, seconds=1.0, outcome=Outcome(answer=" ".join(DONE)))
    said: dict[str, Any] = {
        "topology": "supervisor",
        "fault": "none",
        "reaction": "stop",
        "status": "completed",
        "reason": "",
        "ended": whole,
        "later": None,
        "neighbour": replace(whole, thread=NEIGHBOUR),
        "answered": "whole",
        "sibling": True,
        "effects": 1,
        "seconds": 1.0,
        "exited": True,
        "died": False,
        "corrupt": "",
    }
    return Found(**{**said, **given})


@pytest.mark.slow
@every_topology
async def test_a_killed_process_is_gone_on_with_and_what_it_did_is_not_done_again(topology: str) -> None:
    cell = tried(topology, _case("process killed"), "stop")
    assert (cell.status, cell.answered, cell.effects, faults(cell)) == ("completed", "whole", 1, [])


@pytest.mark.slow
@every_topology
async def test_a_dead_model_ends_its_run_with_a_reason_and_no_other(topology: str) -> None:
    cell = tried(topology, _case("model: 500"), "stop")
    assert (cell.status, cell.answered, cell.effects, faults(cell)) == ("failed", "none", 0, [])
    assert "500" in cell.reason


@pytest.mark.slow
@pytest.mark.parametrize(
    ("topology", "fault"),
    [
        ("supervisor", "disk full"),
        ("hand-made graph", "disk full"),
        ("nested", "database locked, for good"),
    ],
)
async def test_a_run_whose_ledger_fails_stops_before_its_effect_and_goes_on_when_that_is_over(
    topology: str, fault: str
) -> None:
    cell = tried(topology, _case(fault), "stop")
    assert cell.ended is not None
    assert cell.ended.error == "LedgerUnavailable"
    assert cell.later is not None
    assert (cell.status, cell.answered, cell.effects, faults(cell)) == ("completed", "whole", 1, [])


@pytest.mark.slow
async def test_a_database_that_is_locked_a_moment_is_waited_for() -> None:
    cell = tried("supervisor", _case("database locked, a moment"), "stop")
    assert (cell.status, cell.answered, cell.later, faults(cell)) == ("completed", "whole", None, [])


@pytest.mark.slow
def test_a_process_that_dies_by_itself_has_not_hung() -> None:
    nowhere = Site(model_url="http://127.0.0.1:1/v1", tool_url="http://127.0.0.1:1", home=None)  # type: ignore[arg-type]
    process = Process(Plan(topology="no such topology", reaction="stop", site=nowhere))
    process.heard(Deadline(60.0))
    assert (process.died, process.exited(Deadline(10.0)), process.ended) == (True, False, {})


@pytest.mark.parametrize(
    ("given", "seen"),
    [
        ({}, []),
        ({"ended": None}, ["HUNG"]),
        ({"exited": False}, ["HUNG"]),
        ({"ended": None, "exited": False, "died": True}, ["DIED"]),
        ({"neighbour": None}, ["HUNG", "NEIGHBOUR"]),
        ({"neighbour": Ended(thread=NEIGHBOUR, seconds=1.0, error="KeyError")}, ["NEIGHBOUR"]),
        ({"corrupt": "run r, record 3: was changed"}, ["CORRUPT"]),
        ({"effects": 2}, ["TWICE"]),
        ({"status": "running"}, ["NO END"]),
        ({"status": ""}, ["NO END"]),
        ({"answered": "silent"}, ["SILENT PARTIAL"]),
        ({"answered": "none"}, ["SILENT PARTIAL"]),
        ({"answered": "marked"}, []),
        ({"answered": "says so"}, []),
        ({"status": "failed", "answered": "none", "effects": 0}, []),
    ],
)
def test_what_must_never_be_in_a_cell_is_seen(given: dict[str, Any], seen: list[str]) -> None:
    assert faults(_found(**given)) == seen


def test_every_fault_has_a_name_of_its_own_and_a_row() -> None:
    assert len(BY_NAME) == len(CASES)
    cells = [_found(topology=t, fault=c.name) for t in TOPOLOGIES for c in CASES]
    assert [(t.title, t.row_count) for t in tables(cells)] == [(name, len(CASES)) for name in TOPOLOGIES]


def test_what_cannot_be_declared_in_a_topology_is_no_cell() -> None:
    assert list(matrix(["hand-made graph"], CASES, ["skip"])) == []


def test_a_part_of_the_matrix_that_is_none_is_refused() -> None:
    with pytest.raises(SystemExit):
        main(["--fault", "no such fault"])

"""Cells of the fault matrix: each fault, brought about for real, comes to what it should; what must not be shows."""

from __future__ import annotations

from dataclasses import replace
from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from bench.faults.__main__ import WIDTH, faults, main, matrix, table, verdict
from bench.faults.cases import CASES, REACTIONS, Case, Reaction
from bench.faults.cell import Deadline, Found, Process, tried
from bench.faults.life import MAIN, NEIGHBOUR, Ended, Plan
from bench.faults.scenes import Outcome, Site
from bench.faults.topologies import DONE, TOPOLOGIES

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
        ("hand-made", "disk full"),
        ("nested", "database locked for good"),
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
    cell = tried("supervisor", _case("database locked a moment"), "stop")
    assert (cell.status, cell.answered, cell.later, faults(cell)) == ("completed", "whole", None, [])


@pytest.mark.slow
@pytest.mark.parametrize("topology", ["supervisor", "nested"])
@pytest.mark.parametrize(
    ("reaction", "came_to"),
    [
        ("fail", "out_of_budget"),
        ("drain", "drained, then completed"),
        ("ask", "waiting, then completed"),
        ("degrade", "completed, degraded"),
    ],
)
async def test_a_budget_that_runs_out_does_what_is_declared(topology: str, reaction: Reaction, came_to: str) -> None:
    cell = tried(topology, _case("budget runs out"), reaction)
    assert (cell.came_to, faults(cell)) == (came_to, [])
    assert (cell.answered, cell.effects) == ("none" if reaction == "fail" else "whole", 1)


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["model: malformed tool call", "model: unknown tool", "model: refusal"])
@pytest.mark.parametrize(
    ("reaction", "came_to"),
    [
        ("stop", "failed"),
        ("skip", "completed, gap"),
        ("answer", "completed, degraded"),
        ("stand in", "completed, fallback"),
        ("ask", "waiting"),
    ],
)
async def test_a_model_that_says_nothing_of_use_is_its_agents_failure(
    fault: str, reaction: Reaction, came_to: str
) -> None:
    cell = tried("supervisor", _case(fault), reaction)
    assert (cell.came_to, faults(cell)) == (came_to, [])


@pytest.mark.slow
@pytest.mark.parametrize("topology", ["supervisor", "nested"])
async def test_a_result_of_the_wrong_shape_is_said_to_be_none(topology: str) -> None:
    cell = tried(topology, _case("tool: wrong shape"), "stop")
    assert (cell.came_to, cell.answered, faults(cell)) == ("completed", "says so", [])


@pytest.mark.slow
def test_a_part_of_the_matrix_is_printed_with_its_verdict(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--topology", "hand-made", "--fault", "429", "--at-once", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines if line.startswith(" ") and "stop" in line] == ["hand-made", "model:"]
    assert lines[-1].startswith("2 cells in ")
    assert lines[-1].endswith(": all as declared")


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
        ({"must": "completed"}, []),
        ({"must": "failed"}, ["NOT AS DECLARED (failed)"]),
        ({"must": "completed", "first": "drained"}, ["NOT AS DECLARED (completed)"]),
    ],
)
def test_what_must_never_be_in_a_cell_is_seen(given: dict[str, Any], seen: list[str]) -> None:
    assert faults(_found(**given)) == seen


def _every_cell(**given: Any) -> list[Found]:
    """The whole matrix, as wide as its names are."""
    return [
        _found(topology=name, fault=case.name, reaction=reaction, status=case.must.get(reaction, "completed"), **given)
        for name, topology in TOPOLOGIES.items()
        for case in CASES
        for reaction in REACTIONS
        if reaction in topology.reactions and reaction in case.reactions
    ]


def test_every_fault_has_a_name_of_its_own_and_says_what_each_declaration_comes_to() -> None:
    assert len(BY_NAME) == len(CASES)
    assert all(set(case.must) == set(case.reactions) for case in CASES)


def test_the_whole_matrix_is_one_table_that_fits_and_every_cell_is_one_line() -> None:
    cells = _every_cell(ended=Ended(thread=MAIN, seconds=10.0, error="OpenAIConnectionError"))
    console = Console(width=WIDTH, file=StringIO())
    console.print(table(cells))
    assert isinstance(console.file, StringIO)
    lines = [line for line in console.file.getvalue().splitlines() if "OpenAIConnectionError" in line]
    assert len(lines) == len(cells) == 206


def test_the_verdict_counts_what_cells_came_to_and_names_the_wrong_ones() -> None:
    told = verdict([_found(), _found(status="failed", answered="none"), _found(status="running")], 61.0).splitlines()
    assert told[0] == "1 completed; 1 failed; 1 running"
    assert told[1].startswith("WRONG: supervisor, none, stop: NO END")
    assert told[-1] == "3 cells in 61 s: 1 WRONG"


def test_what_cannot_be_declared_in_a_topology_or_for_a_fault_is_no_cell() -> None:
    assert list(matrix(["hand-made"], CASES, ["skip"])) == []
    assert list(matrix(["supervisor"], [_case("budget runs out")], ["skip"])) == []
    assert list(matrix(["supervisor"], [_case("model: 500")], ["drain"])) == []


def test_a_part_of_the_matrix_that_is_none_is_refused() -> None:
    with pytest.raises(SystemExit):
        main(["--fault", "no such fault"])

"""A part of the fault matrix: faults, brought about for real, come to what they should; what must not be shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from io import StringIO
from typing import Any

import pytest
from edgewright.contracts.marks import Mark
from rich.console import Console

from bench.faults.__main__ import WIDTH, Cell, came_to, cells_of, faults, main, matrix, tables, thinned, verdict
from bench.faults.cases import CASES, TO_FAILURE, ByModel, Reaction
from bench.faults.cell import Deadline, Found, Process
from bench.faults.life import MAIN, NEIGHBOUR, Ended, Plan
from bench.faults.parts import DONE
from bench.faults.scenes import Outcome, Site
from bench.faults.topologies import TOPOLOGIES

BY_NAME = {case.name: case for case in CASES}
FAILED: Mapping[Reaction, str] = {
    "stop": "failed",
    "skip": "completed, gap",
    "answer": "completed, degraded",
    "stand in": "completed, fallback",
    "ask": "waiting",
}
"""What a failed turn comes to, by what is declared for it."""
AGREED: Mapping[Reaction, str] = {**dict.fromkeys(FAILED, "completed, gap"), "answer": "completed, degraded"}
"""And in a join that can do without it."""
SPENT: Mapping[Reaction, str] = {
    "fail": "out_of_budget",
    "drain": "drained, then completed",
    "ask": "waiting, then completed",
    "degrade": "completed, degraded",
}
SLICES: Mapping[str, tuple[str, str, str, Reaction]] = {
    "supervisor": ("model: refusal", "tool: wrong shape", "disk full", "drain"),
    "quorum": ("model: hang", "tool: error", "database locked for good", "fail"),
    "pipeline": ("model: 500", "tool: hang", "database locked a moment", "ask"),
    "planning": ("model: unknown tool", "tool: 503, once", "disk full", "degrade"),
    "swarm": ("model: truncated stream", "tool: error", "database locked for good", "drain"),
    "solo": ("model: malformed tool call", "tool: slow", "disk full", "fail"),
    "teams": ("model: 429", "tool: wrong shape", "database locked for good", "ask"),
    "teams, above": ("model: stream unfinished", "tool: error", "disk full", "degrade"),
    "nested": ("model: refusal", "tool: slow", "database locked for good", "drain"),
}
"""What is tried here of each topology: a fault of the worker's model with the declarations for it; one of its tool's
and one of the ledger's, with one; and one declaration for a budget. `make faults` tries the rest."""
REACTIONS: Mapping[str, tuple[Reaction, ...]] = {
    **dict.fromkeys(SLICES, TO_FAILURE),
    "quorum": ("stop", "skip", "answer", "ask"),  # a stand-in is not waited for there: that is a test of its own, below
    "swarm": ("stop", "skip", "ask"),
    "solo": ("stop", "answer", "stand in"),
    "teams, above": ("stop", "skip", "stand in"),
    "nested": ("stop", "answer", "ask"),
}


def _tried(*cells: tuple[str, str, Reaction]) -> list[Found]:
    every: list[Cell] = [(topology, BY_NAME[fault], reaction) for topology, fault, reaction in cells]
    return list(matrix(every, at_once=4))


def _wrong(found: list[Found]) -> list[str]:
    return [f"{c.fault}, {c.reaction}: {', '.join(faults(c))}; {c.came_to}: {c.why}" for c in found if faults(c)]


@pytest.mark.slow
@pytest.mark.parametrize("topology", SLICES)
def test_a_fault_comes_to_what_is_declared_for_it_in_every_topology(topology: str) -> None:
    by_model, by_tool, at_ledger, spent = SLICES[topology]
    reactions = REACTIONS[topology]
    found = _tried(
        *((topology, by_model, reaction) for reaction in reactions),
        (topology, by_tool, "skip"),
        (topology, at_ledger, "answer"),
        (topology, "process killed", "stop"),
        (topology, "budget runs out", spent),
    )
    assert _wrong(found) == []
    failed, (tool, ledger, killed, budget) = found[: len(reactions)], found[len(reactions) :]
    comes_to = AGREED if topology == "quorum" else FAILED
    assert [c.came_to for c in failed] == [comes_to[r] for r in reactions]
    assert (tool.came_to, tool.answered in ("whole", "says so")) == ("completed", True)
    assert ledger.ended is not None
    assert ledger.ended.error == ("" if at_ledger == "database locked a moment" else "LedgerUnavailable")
    assert [(c.came_to, c.answered, c.effects) for c in (ledger, killed)] == [("completed", "whole", 1)] * 2
    assert (budget.came_to, budget.answered) == (SPENT[spent], "none" if spent == "fail" else "whole")


def test_every_fault_that_an_agent_can_fail_by_is_tried_in_some_topology() -> None:
    failing = {case.name for case in CASES if isinstance(case.by, ByModel) and not case.below}
    assert {by_model for by_model, *_ in SLICES.values()} == failing
    assert {*SLICES, "any", "hand-made"} == {*TOPOLOGIES}


@pytest.mark.slow
def test_where_one_answer_is_enough_nobody_waits_for_a_worker_that_hangs() -> None:
    found = _tried(("any", "model: hang", "stop"), ("any", "tool: hang", "stop"), ("any", "model: 500", "stop"))
    assert _wrong(found) == []
    assert [(c.came_to, c.answered) for c in found] == [("completed, gap", "marked")] * 3


@pytest.mark.slow
def test_a_hand_made_graph_ends_by_name_and_goes_on_after_a_crash() -> None:
    by_model, killed, full = _tried(*(("hand-made", f, "stop") for f in ("model: 500", "process killed", "disk full")))
    assert _wrong([by_model, killed, full]) == []
    assert (by_model.came_to, by_model.answered, by_model.effects) == ("failed", "none", 0)
    assert "500" in by_model.reason
    assert [(c.came_to, c.answered, c.effects) for c in (killed, full)] == [("completed", "whole", 1)] * 2


@pytest.mark.slow
def test_a_join_that_did_not_wait_for_a_stand_in_does_not_say_that_one_answered() -> None:
    [cell] = _tried(("quorum", "model: 500", "stand in"))
    assert (cell.came_to, _wrong([cell])) == ("completed, gap", [])


@pytest.mark.slow
@pytest.mark.parametrize("reaction", ["drain", "ask"])
def test_a_branch_that_the_budget_stopped_goes_on_with_its_run(reaction: Reaction) -> None:
    [cell] = _tried(("quorum", "budget runs out", reaction))
    assert (cell.came_to, _wrong([cell])) == (SPENT[reaction], [])


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
def test_a_part_of_the_matrix_is_printed_with_its_verdict(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--only", "hand-made, 429", "--at-once", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    rows = [line.split()[:3] for line in lines if line.startswith("model:")]
    assert rows == [["model:", "429,", "once"], ["model:", "429", "OpenAIRateLimitError"]]
    assert lines[-1].startswith("2 cells in ")
    assert lines[-1].endswith(": all as declared")
    assert max(map(len, lines)) <= WIDTH


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
        ({"must": ("completed",)}, []),
        ({"must": ("failed", "completed")}, []),
        ({"must": ("failed", "waiting")}, ["NOT AS DECLARED (failed or waiting)"]),
        ({"must": ("completed",), "first": "drained"}, ["NOT AS DECLARED (completed)"]),
    ],
)
def test_what_must_never_be_in_a_cell_is_seen(given: dict[str, Any], seen: list[str]) -> None:
    assert faults(_found(**given)) == seen


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ({}, "whole"),
        ({"answered": "says so"}, "says so"),
        ({"first": "drained"}, "drained, whole"),
        ({"status": "waiting", "answered": "none"}, "waiting"),
        ({"status": "failed", "ended": Ended(thread=MAIN, seconds=1.0, error="TimedOut")}, "TimedOut"),
        ({"status": ""}, "nothing"),
    ],
)
def test_what_a_cell_came_to_is_a_word_or_two(given: dict[str, Any], shown: str) -> None:
    assert came_to(_found(**given)) == shown


def test_marks_of_one_kind_are_told_once_with_why_each_came_up() -> None:
    marks = (Mark("gap", "worker", "TimedOut"), Mark("gap", "worker", "late"))
    cell = _found(ended=Ended(thread=MAIN, seconds=1.0, outcome=Outcome(answer="x", marks=marks)), answered="marked")
    assert (cell.came_to, came_to(cell)) == ("completed, gap", "gap")
    assert cell.why == "gap of worker: TimedOut; gap of worker: late"


def test_every_fault_has_a_name_of_its_own_and_says_what_each_declaration_comes_to() -> None:
    assert len(BY_NAME) == len(CASES)
    assert all(set(case.must) == set(case.reactions) for case in CASES)


def _as_declared(cell: Cell, **given: Any) -> Found:
    topology, case, reaction = cell
    return _found(topology=topology, fault=case.name, reaction=reaction, **given)


def test_the_whole_matrix_has_a_row_for_each_topology_and_fault_and_fits() -> None:
    end = Ended(thread=MAIN, seconds=10.0, error="OpenAIConnectionError")
    found = [_as_declared(cell, status="failed" if cell[2] == "stop" else "waiting", ended=end) for cell in cells_of()]
    console = Console(width=WIDTH, file=StringIO())
    for table in tables(found):
        console.print(table)
    assert isinstance(console.file, StringIO)
    lines = [line for line in console.file.getvalue().splitlines() if line.strip().endswith("10.0")]
    assert len(lines) == len({(cell[0], cell[1].name) for cell in cells_of()})
    assert not any("…" in line for line in lines)
    assert sum(line.count("OpenAIConnectionError") for line in lines) == sum(cell[2] == "stop" for cell in cells_of())


def test_a_wrong_cell_stands_out_and_the_verdict_names_it() -> None:
    found = [_found(fault="model: 500"), _found(fault="model: hang", status="running", reason="it stopped")]
    console = Console(width=WIDTH, file=StringIO())
    for table in tables(found):
        console.print(table)
    assert isinstance(console.file, StringIO)
    assert [line.split()[2] for line in console.file.getvalue().splitlines()[2:] if line.strip()] == ["whole", "WRONG"]
    told = verdict(found, 61.0).splitlines()
    assert "WRONG: supervisor, model: hang, stop: NO END; came to running: it stopped" in told
    assert told[-1] == "2 cells in 61 s: 1 WRONG"


def test_what_cannot_be_declared_in_a_topology_or_for_a_fault_is_no_cell() -> None:
    assert cells_of(["hand-made, skip"]) == cells_of(["budget, skip"]) == cells_of(["500, drain"]) == []
    assert cells_of(["any, killed"]) == []
    assert [(c[0], c[2]) for c in cells_of(["swarm, 500, skip", "solo, killed, ask"])] == [
        ("swarm", "skip"),
        ("solo", "ask"),
    ]


def test_without_all_a_declaration_that_has_nothing_to_do_is_tried_once_in_each_topology() -> None:
    every, kept = cells_of(), thinned(cells_of())
    assert [c for c in every if not c[1].below] == [c for c in kept if not c[1].below]
    once = [c for c in kept if c[1].below]
    assert len(once) == len({(c[0], c[1].name) for c in once}) == len({(c[0], c[1].name) for c in every if c[1].below})
    assert {(c[1].name, c[2]) for c in once} == {(c[1].name, c[2]) for c in every if c[1].below}


def test_a_part_of_the_matrix_that_is_none_is_refused() -> None:
    with pytest.raises(SystemExit):
        main(["--only", "no such fault"])

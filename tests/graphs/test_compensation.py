"""kill -9 while a run is undone: whoever goes on undoes each effect once, and no other twice (threat 35)."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from edgewright import System
from edgewright.contracts.errors import RunUndone
from edgewright.ledger.entry import verify
from edgewright.ledger.records import UndoDone, UndoIntended
from edgewright.tools.compensation import Compensation
from support.children import TESTS, expect_ready
from support.ledgers import WAIT
from support.systems import of_kind, only_run
from support.undo_child import EFFECTS, THREAD, Book, build

pytestmark = pytest.mark.slow
UNDONE = [f"undone {what}" for what in reversed(EFFECTS)]
DONE = [f"done {what}" for what in EFFECTS]


def failed(folder: Path, way: Any) -> None:
    """The run that is to be undone, in this process."""
    system = build(folder, way)
    try:
        with pytest.raises(ZeroDivisionError):
            system.run({"text": "go"}, thread=THREAD)
    finally:
        system.close()


def child(folder: Path, way: str, point: str) -> subprocess.Popen[str]:
    arguments = [sys.executable, "-W", "error", "-m", "support.undo_child", str(folder), way, point]
    pipe = subprocess.PIPE
    process = subprocess.Popen(arguments, cwd=TESTS, stdin=pipe, stdout=pipe, stderr=pipe, text=True)
    expect_ready(process)
    return process


def ended(*processes: subprocess.Popen[str]) -> list[tuple[int, str, str]]:
    """How children ended that were let go all at once."""
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    found = []
    for process in processes:
        try:
            out, errors = process.communicate(timeout=WAIT * 2)
        finally:
            process.kill()
        found.append((process.returncode, out, errors))
    return found


def killed(folder: Path, way: str, point: str) -> None:
    [(code, _, errors)] = ended(child(folder, way, point))
    assert code == -signal.SIGKILL, errors


def undone(folder: Path, way: Any, **options: Any) -> tuple[System, str, Compensation]:
    system = build(folder, way)
    run = only_run(system)
    return system, run, system.compensate(run, by="ada", **options)


def statuses(report: Compensation) -> list[str]:
    return [effect.status for effect in report.effects]


def holds(folder: Path, system: System, run: str) -> None:
    """Each effect was undone once, on the ledger and in the world; the chain holds, and no record is held."""
    entries = system.ledger.entries(run)
    assert verify(run, entries) == len(entries)
    assert Book(folder).read() == DONE + UNDONE
    assert len({r.effect for r in of_kind(system, run, UndoDone)}) == len(of_kind(system, run, UndoDone)) == 3
    assert system.ledger.shared.held() == []
    assert [s.status for s in system.ledger.runs()] == ["failed"]
    system.close()


@pytest.mark.parametrize("way", ["key", "natural"])
@pytest.mark.parametrize("point", ["meant:1", "before:b", "after:b", "outcome:3"])
def test_an_undoing_that_can_be_repeated_is_done_once_whatever_was_cut_off(
    tmp_path: Path, way: str, point: str
) -> None:
    failed(tmp_path, way)
    killed(tmp_path, way, point)
    system, run, report = undone(tmp_path, way)
    assert report.complete, statuses(report)
    assert {r.by for r in of_kind(system, run, UndoIntended)} == {"child", "ada"}
    holds(tmp_path, system, run)


@pytest.mark.parametrize("way", ["key", "none"])
@pytest.mark.parametrize("point", ["intent:1", "intent:2", "kept:1", "kept:2", "kept:3"])
def test_a_crash_between_two_undoings_leaves_nothing_in_doubt(tmp_path: Path, way: str, point: str) -> None:
    failed(tmp_path, way)
    killed(tmp_path, way, point)
    system, run, report = undone(tmp_path, way)
    before = int(point[-1]) - (1 if point.startswith("intent") else 0)
    assert statuses(report) == ["before"] * before + ["undone"] * (3 - before)
    assert len(of_kind(system, run, UndoIntended)) == 3
    holds(tmp_path, system, run)


@pytest.mark.parametrize(("point", "happened"), [("meant:2", 0), ("before:b", 0), ("after:b", 1), ("outcome:2", 1)])
def test_an_undoing_that_must_not_be_repeated_is_reported_and_its_record_stays_held(
    tmp_path: Path, point: str, happened: int
) -> None:
    failed(tmp_path, "none")
    killed(tmp_path, "none", point)
    for _ in range(2):
        system, run, report = undone(tmp_path, "none")
        assert statuses(report) == ["before", "unknown", "left"]
        assert Book(tmp_path).read().count("undone b") == happened
        assert len(of_kind(system, run, UndoDone)) == 1
        assert [s.holder and s.holder.run for s in system.ledger.shared.held()] == [run]
        system.close()
    system, run, report = undone(tmp_path, "none", keep_going=True)
    assert statuses(report) == ["before", "unknown", "undone"]
    system.close()


def test_a_person_who_looked_has_it_done_again(tmp_path: Path) -> None:
    failed(tmp_path, "none")
    killed(tmp_path, "none", "before:b")
    system, run, report = undone(tmp_path, "none", again=True)
    assert report.complete
    holds(tmp_path, system, run)


def test_crash_after_crash_undoes_once(tmp_path: Path) -> None:
    failed(tmp_path, "key")
    for point in ("before:c", "after:c", "after:b", "before:a", "after:a", "outcome:1"):
        killed(tmp_path, "key", point)
    system, run, report = undone(tmp_path, "key")
    assert report.complete
    holds(tmp_path, system, run)


@pytest.mark.parametrize("point", ["now", "wait"])
@pytest.mark.parametrize("way", ["key", "none"])
def test_processes_that_undo_at_once_undo_each_effect_once(tmp_path: Path, way: str, point: str) -> None:
    failed(tmp_path, way)
    told = ended(*(child(tmp_path, way, point) for _ in range(3)))
    assert [code for code, _, _ in told] == [0, 0, 0], told
    found = [json.loads(out) for _, out, _ in told]
    assert ["undone"] * 3 in found
    others = [f for f in found if f != ["undone"] * 3]
    assert all(f == ["before"] * 3 or (f == "busy" and point == "now") for f in others)
    assert len(others) == 2
    system, run, report = undone(tmp_path, way)
    assert statuses(report) == ["before"] * 3
    assert len(of_kind(system, run, UndoIntended)) == 3
    holds(tmp_path, system, run)


def test_a_run_that_was_undone_does_not_go_on_as_if_its_effects_were_there(tmp_path: Path) -> None:
    failed(tmp_path, "key")
    system, run, done = undone(tmp_path, "key")
    assert done.complete
    try:
        with pytest.raises(RunUndone, match=run):
            system.resume(THREAD)
        again = of_kind(system, run, UndoDone)
        assert len(again) == len(EFFECTS)
    finally:
        system.close()

"""kill -9 in the middle of a join: what was cast and decided holds in the next process, and no branch is taken twice.

Started as a script, this is such a process.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from edgewright import System
from edgewright.contracts.join import best_effort, quorum
from edgewright.ledger.records import BranchVoted, JoinDecided
from support.joins import joined
from support.systems import of_kind

pytestmark = pytest.mark.slow

THREAD = "11111111-2222-4333-8444-555555555555"
BOUND = 60.0
JOINS = {
    "voting": quorum(2, agree="found"),
    "decided": quorum(2, agree="found"),
    "deadline": best_effort(deadline=0.5),
}


def _die() -> None:
    """kill -9, by ourselves: nothing is flushed, no handler runs."""
    os.kill(os.getpid(), signal.SIGKILL)


def build(folder: Path, kill: str, *, dies: bool) -> System:
    """Part a answers at once. Part b dies where the kill is not behind the decision, and c does not end by itself."""

    async def work(brief: dict[str, Any]) -> dict[str, str]:
        part = brief["part"]
        with (folder / "begun.txt").open("a") as file:
            file.write(part)
        if part == "b" and dies and kill != "decided":
            await asyncio.sleep(0.2)  # the first answer is in by then
            _die()
        if part == "c":
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                if dies and kill == "decided":
                    _die()
                raise
        return {"found": "yes"}

    return joined(work, JOINS[kill], "a", "b", "c", home=folder / "home")


async def play(folder: Path, kill: str, durability: Any, *, resumes: bool) -> dict[str, Any]:
    """One process's part, told as JSON."""
    system = build(folder, kill, dies=not resumes)
    if resumes:
        result = await system.aresume(THREAD, durability=durability)
    else:
        result = await system.arun({"text": "go"}, thread=THREAD, durability=durability)
    told = {
        "output": result.output,
        "voted": [r.branch for r in of_kind(system, result.run, BranchVoted)],
        "decided": [dict(r.branches) for r in of_kind(system, result.run, JoinDecided)],
        "kinds": [e.kind for e in system.ledger.entries(result.run)],
    }
    system.close()
    return told


def _process(folder: Path, kill: str, durability: str, do: str) -> subprocess.CompletedProcess[str]:
    given = [sys.executable, "-W", "error", __file__, str(folder), kill, durability, do]
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    return subprocess.run(given, capture_output=True, text=True, timeout=BOUND, env=env, check=False)


def _crashed(folder: Path, kill: str, durability: str) -> dict[str, Any]:
    """What the process tells that goes on where another one was killed."""
    first = _process(folder, kill, durability, "run")
    assert first.returncode == -signal.SIGKILL, first.stderr
    second = _process(folder, kill, durability, "resume")
    assert second.returncode == 0, second.stderr
    found: dict[str, Any] = json.loads(second.stdout)
    assert "run.resumed" in found["kinds"]
    return found


def _begun(folder: Path) -> Counter[str]:
    return Counter((folder / "begun.txt").read_text())


@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
def test_a_ballot_that_was_cast_before_a_crash_counts_after_it_without_another_turn(
    durability: str, tmp_path: Path
) -> None:
    told = _crashed(tmp_path, "voting", durability)
    met = json.loads(told["output"]["text"])
    assert [r["answer"]["found"] for r in met["results"]] == ["yes", "yes"]
    assert [gap["kind"] for gap in met["gaps"]] == ["late"]
    begun = _begun(tmp_path)
    assert (begun["a"], begun["b"]) == (1, 2)
    assert begun["c"] in (1, 2)  # the second ballot may be cast before the last branch is there again
    assert told["voted"] == [0, 1]
    assert told["decided"] == [{"0": "counted", "1": "counted", "2": "late"}]


@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
def test_a_decision_holds_after_a_crash_and_who_was_late_does_not_begin_again(durability: str, tmp_path: Path) -> None:
    told = _crashed(tmp_path, "decided", durability)
    met = json.loads(told["output"]["text"])
    assert [r["answer"]["found"] for r in met["results"]] == ["yes", "yes"]
    assert [gap["kind"] for gap in met["gaps"]] == ["late"]
    assert _begun(tmp_path) == {"a": 1, "b": 1, "c": 1}
    assert (told["voted"], len(told["decided"])) == ([0, 1], 1)


def test_a_crash_does_not_give_a_deadline_more_time(tmp_path: Path) -> None:
    told = _crashed(tmp_path, "deadline", "sync")
    met = json.loads(told["output"]["text"])
    assert [r["answer"]["found"] for r in met["results"]] == ["yes"]
    assert [gap["kind"] for gap in met["gaps"]] == ["late", "late"]
    assert _begun(tmp_path) == {"a": 1, "b": 1, "c": 1}


if __name__ == "__main__":
    asked, crash, mode, task = sys.argv[1:]
    print(json.dumps(asyncio.run(play(Path(asked), crash, mode, resumes=task == "resume"))))

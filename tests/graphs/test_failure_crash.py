"""What is done about a failed turn is decided once: a process that dies after it goes on with it, without the turn."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.failure_child import SHAPES, lines

pytestmark = pytest.mark.slow
BOUND = 60.0
CHILD = Path(__file__).parents[1] / "support" / "failure_child.py"
OUTPUTS = {
    "stand_in": {"text": json.dumps({"text": "by the backup"})},
    "answer": {"text": json.dumps({"text": "as declared"})},
}
KINDS = {"stand_in": "fallback", "branch": "fallback", "answer": "degraded", "skip": "gap"}


def play(folder: Path, shape: str, durability: str, do: str) -> int:
    """Play a part in a process of its own; how it ended."""
    command = [sys.executable, str(CHILD), str(folder), shape, durability, do]
    return subprocess.run(command, timeout=BOUND, check=False).returncode


def told(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "told.json").read_text())
    return found


@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
@pytest.mark.parametrize("shape", [s for s in SHAPES if s != "ask"])
def test_a_decision_stands_after_a_crash_and_the_failed_turn_is_not_taken_again(
    shape: str, durability: str, tmp_path: Path
) -> None:
    assert play(tmp_path, shape, durability, "run") == -signal.SIGKILL
    assert lines(tmp_path, "called") == 1
    assert play(tmp_path, shape, durability, "resume") == 0
    found = told(tmp_path)
    assert found["status"] == "completed"
    assert [m["kind"] for m in found["marks"]] == [KINDS[shape]]
    assert len(found["thens"]) == 1
    assert found["output"] == OUTPUTS.get(shape, found["output"])
    assert lines(tmp_path, "called") == 1
    assert lines(tmp_path, "paid") == 1


@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
def test_a_yes_to_another_try_counts_after_a_crash_in_it_and_nothing_is_done_twice(
    durability: str, tmp_path: Path
) -> None:
    assert play(tmp_path, "ask", durability, "run") == 0
    assert told(tmp_path)["status"] == "waiting"
    assert play(tmp_path, "ask", durability, "approve") == -signal.SIGKILL
    (tmp_path / "told.json").unlink()
    # The try that the crash cut off is the one that the person allowed: nobody is asked again.
    (tmp_path / "died").touch()
    assert play(tmp_path, "ask", durability, "resume") == 0
    found = told(tmp_path)
    assert (found["status"], found["thens"]) == ("completed", ["ask"])
    assert lines(tmp_path, "called") == 3
    assert lines(tmp_path, "paid") == 1

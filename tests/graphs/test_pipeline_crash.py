"""kill -9 between the rounds of a pipeline, and while a run is begun again: no round is won, no stage is done twice."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support import line_child
from support.line_child import MOST

pytestmark = pytest.mark.slow

BOUND = 60.0
BACK = "critic→drafter"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def process(folder: Path, do: str, kill: str, durability: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", str(line_child.__file__), str(folder), do, kill, durability]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=BOUND, check=False, cwd=Path(line_child.__file__).parents[1]
    )


def killed(folder: Path, do: str, kill: str, durability: str = "sync") -> None:
    found = process(folder, do, kill, durability)
    assert found.returncode == -signal.SIGKILL, found.stderr


def told(folder: Path, do: str, durability: str = "sync") -> dict[str, Any]:
    found = process(folder, do, "never", durability)
    assert found.returncode == 0, found.stderr
    shown: dict[str, Any] = json.loads(found.stdout)
    return shown


def done(folder: Path) -> list[str]:
    return (folder / "done.txt").read_text().splitlines()


@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
@pytest.mark.parametrize("kill", ["draft 2", "judge 2", f"draft {MOST + 1}"])
def test_a_kill_between_rounds_grants_no_further_round(kill: str, durability: str, folder: Path) -> None:
    killed(folder, "run", kill, durability)
    after = told(folder, "resume", durability)
    [run] = after["runs"]
    assert (after["error"], run["status"]) == ("BoundReached", "failed")
    assert run["edges"].count(BACK) == MOST
    assert run["kinds"].count("bound.met") == 1
    assert f"draft {MOST + 2}" not in done(folder)


def test_kill_after_kill_grants_no_further_round(folder: Path) -> None:
    killed(folder, "run", "draft 2")
    for kill in ("judge 2", "draft 3", "judge 3", f"draft {MOST + 1}"):
        killed(folder, "resume", kill)
    after = told(folder, "resume")
    assert (after["error"], after["runs"][0]["edges"].count(BACK)) == ("BoundReached", MOST)
    assert f"draft {MOST + 2}" not in done(folder)


@pytest.mark.parametrize(
    ("kill", "durability"),
    [
        ("door", "sync"),
        *((kill, durability) for kill in ("registry", "print") for durability in ("sync", "async", "exit")),
    ],
)
def test_a_run_that_is_killed_while_it_is_begun_again_goes_on_at_its_stage(
    kill: str, durability: str, folder: Path
) -> None:
    (folder / "content").touch()
    assert told(folder, "run")["runs"][0]["status"] == "completed"
    before = done(folder)
    assert before == ["draft 1", "judge 1", "print"]
    killed(folder, "printer", kill, durability)
    after = told(folder, "resume", durability)
    assert after["error"] == ""
    assert [r["status"] for r in after["runs"]] == ["completed", "completed"]
    again = after["runs"][-1]
    assert again["edges"] == ["critic→printer", "printer→end"]
    assert again["kinds"].count("run.restarted") == 1
    assert not {"draft 1", "judge 1"} & set(done(folder)[len(before) :])

"""kill -9 between two waves of a plan, and while a person is asked: the next process goes on, and repeats nothing."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.children import TESTS

pytestmark = pytest.mark.slow
WAIT = 30
STEPS = {"a": "all of a", "c": "all of c", "b2": "all of b2", "d": "S-1: all of a, all of b2", "e": "all of e"}


class Processes:
    """The forking server, and what its children leave behind."""

    def __init__(self, server: subprocess.Popen[str]) -> None:
        self._server = server

    def _ended(self, *arguments: str) -> int:
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.write(json.dumps(arguments) + "\n")
        self._server.stdin.flush()
        line = self._server.stdout.readline()
        assert line, "the forking server died"
        return int(line)

    def killed(self, *arguments: str) -> None:
        """Have a child do its part, which has to kill itself."""
        assert self._ended(*arguments) == -signal.SIGKILL

    def told(self, *arguments: str) -> dict[str, Any]:
        """What a child told that ended well."""
        assert self._ended(*arguments) == 0
        found: dict[str, Any] = json.loads((Path(arguments[1]) / "told.json").read_text())
        assert "error" not in found, found["error"]
        return found


@pytest.fixture(scope="module")
def processes() -> Iterator[Processes]:
    server = subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "support.planning_child"],
        cwd=TESTS,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield Processes(server)
    finally:
        server.kill()
        server.communicate(timeout=WAIT)


def lines(folder: Path, name: str) -> Counter[str]:
    """How often each line stands in a file of the children."""
    return Counter((folder / name).read_text().splitlines())


@pytest.mark.parametrize("durability", ["sync", "async"])
@pytest.mark.parametrize("kill", ["collect", "dispatch", "second"])
def test_a_plan_that_is_cut_off_between_two_waves_goes_on_and_what_is_done_is_not_done_again(
    kill: str, durability: str, tmp_path: Path, processes: Processes
) -> None:
    processes.killed("plan", str(tmp_path), kill, "run", durability)
    assert lines(tmp_path, "worked.txt")["a"] == 1
    found = processes.told("plan", str(tmp_path), "never", "resume", durability)
    assert (found["status"], found["steps"]) == ("completed", STEPS)
    assert found["gaps"] == [["b", "search", "error"]]
    worked = lines(tmp_path, "worked.txt")
    if durability == "sync":  # no checkpoint is behind what was done
        assert (worked["a"], worked["b"], worked["c"]) == (1, 1, 1)
        assert lines(tmp_path, "planned.txt")["planned"] == 2
    assert found["kinds"].count("run.started") == 1
    assert found["kinds"].count("agent.failed") == 1


@pytest.mark.parametrize("durability", ["sync", "async"])
def test_a_person_is_asked_once_and_answers_once_whenever_the_process_dies(
    durability: str, tmp_path: Path, processes: Processes
) -> None:
    processes.killed("firm", str(tmp_path), "asked", "run", durability)
    first = processes.told("firm", str(tmp_path), "never", "resume", durability)
    second = processes.told("firm", str(tmp_path), "never", "resume", durability)
    assert first["status"] == second["status"] == "waiting"
    assert first["reviews"] == second["reviews"]
    assert len(first["reviews"]) == 1
    processes.killed("firm", str(tmp_path), "answered", "approve", durability)
    found = processes.told("firm", str(tmp_path), "never", "resume", durability)
    assert (found["status"], found["output"]) == ("completed", {"text": "draft of a lease"})
    assert found["kinds"].count("review.asked") == 1
    assert found["kinds"].count("review.answered") == 1
    if durability == "sync":
        assert lines(tmp_path, "worked.txt")["drafted"] == 1

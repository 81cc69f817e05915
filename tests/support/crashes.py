"""Driving the crash tests' processes from a test."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from support.crash_child import Scenario, as_line

BOUND = 30.0


class Crashes:
    """The forking server of `crash_child.py`, and what its children leave behind."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def _line(self) -> int:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the forking server died"
        return int(line)

    def start(self, scenario: Scenario) -> int:
        """Begin a scenario in a process of its own; returns its process id."""
        assert self._process.stdin is not None
        self._process.stdin.write(as_line(scenario))
        self._process.stdin.flush()
        return self._line()

    def ended(self) -> int:
        """The exit code of the process that was started last; minus the signal where one killed it."""
        return self._line()

    def killed(self, scenario: Scenario) -> None:
        """Play a scenario whose process has to die by SIGKILL."""
        self.start(scenario)
        assert self.ended() == -signal.SIGKILL

    def killed_from_outside(self, scenario: Scenario) -> None:
        """Play a scenario that hangs in the tool, and kill its process then."""
        pid = self.start(scenario)
        hanging, deadline = Path(scenario.folder) / "hanging", time.monotonic() + BOUND
        while not hanging.exists():
            assert time.monotonic() < deadline, "the tool was never reached"
            os.sched_yield()
        os.kill(pid, signal.SIGKILL)
        assert self.ended() == -signal.SIGKILL

    def told(self, scenario: Scenario) -> dict[str, Any]:
        """Play a scenario to its end; what it tells."""
        self.start(scenario)
        assert self.ended() == 0
        found: dict[str, Any] = json.loads((Path(scenario.folder) / "told.json").read_text())
        assert "error" not in found, found["error"]
        return found


@contextmanager
def crashes() -> Iterator[Crashes]:
    """The server, for as long as the context lasts."""
    script = Path(__file__).with_name("crash_child.py")
    process = subprocess.Popen(
        [sys.executable, "-W", "error", str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        yield Crashes(process)
    finally:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(BOUND)
        process.kill()
        process.wait(BOUND)
        process.stdout.close()

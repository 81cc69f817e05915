"""Starting `ledger_child.py`, and not waiting for it for ever."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from support.ledgers import WAIT

TESTS = Path(__file__).parent.parent


def child(what: str, *arguments: Path | str) -> subprocess.Popen[str]:
    """The child, started. Its first line says that it is ready."""
    return subprocess.Popen(
        [sys.executable, "-m", "support.ledger_child", what, *map(str, arguments)],
        cwd=TESTS,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def expect_ready(process: subprocess.Popen[str]) -> None:
    """Read the child's first line."""
    assert process.stdout is not None
    line = process.stdout.readline()
    if line != "ready\n":
        process.kill()
        raise AssertionError(line + process.communicate(timeout=WAIT)[1])


def go(processes: list[subprocess.Popen[str]]) -> None:
    """Let children that wait for a line go on, all at once, and see them end well."""
    try:
        for process in processes:
            expect_ready(process)
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        for process in processes:
            out, errors = process.communicate(timeout=WAIT * 2)
            assert (process.returncode, out) == (0, "done\n"), errors
    finally:
        for process in processes:
            if process.poll() is None:
                process.kill()
                process.communicate(timeout=WAIT)

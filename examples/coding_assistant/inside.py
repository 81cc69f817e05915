"""Runs inside the box: copies the tree to scratch, runs its tests there, tells on standard error which passed.

A program of its own (`python -I -S inside.py TREE PLACE ...`): TREE is what to copy, each PLACE holds libraries. It
runs pytest as a program, and is the plugin that hears what became of the tests. The standard library only. What is told
here is told by a process in which the tested code runs, too: it is that code's claim, and is treated as one.
"""

from __future__ import annotations

import json
import os
import runpy
import shutil
import sys
import tempfile
from typing import Any

MARK = "tests told: "
PLUGIN = "edgewright_inside"
OPTIONS = ("-q", "--tb=short", "--color=no", "-p", "no:cacheprovider", "--no-header", "-p", PLUGIN)
TOLD = (0, 1, 2, 5)
"""Exit codes of pytest where it came to the tests: all passed, some failed, it was stopped, there were none."""
_outcomes: dict[str, bool] = {}


def pytest_runtest_logreport(report: Any) -> None:
    """A phase of a test ended. A test passed if all of its phases did; one that was skipped did not."""
    _outcomes[report.nodeid] = _outcomes.get(report.nodeid, True) and report.outcome == "passed"


def pytest_collectreport(report: Any) -> None:
    """A file was read for its tests."""
    if report.outcome == "failed":
        _outcomes[report.nodeid or "collection"] = False


def pytest_sessionfinish(exitstatus: int) -> None:
    """All tests are done."""
    if exitstatus in TOLD:
        passed = sorted(name for name, ok in _outcomes.items() if ok)
        failed = sorted(name for name, ok in _outcomes.items() if not ok)
        os.write(2, f"\n{MARK}{json.dumps({'passed': passed, 'failed': failed})}\n".encode())


def main(tree: str, *places: str) -> None:
    """Run the tests of a copy of the tree, and end as pytest does."""
    work = os.path.join(tempfile.mkdtemp(), "work")
    shutil.copytree(tree, work, symlinks=True)
    os.chdir(work)
    os.environ.pop("PWD", None)  # bubblewrap sets it, and it names another folder by now
    # A file of the tree is never taken for pytest, or for what that needs.
    sys.path[:0] = [*places, work]
    sys.modules[PLUGIN] = sys.modules[__name__]
    sys.argv = ["pytest", *OPTIONS, f"--rootdir={work}"]
    runpy.run_module("pytest", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(*sys.argv[1:])

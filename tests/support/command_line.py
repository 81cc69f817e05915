"""The command line over a project of one system, called in this process."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from edgewright.server import cli

Run = Callable[..., tuple[int, str, str]]
"""Runs a command; returns its exit code (3 for an error of the system itself), what it printed, and what as errors."""


def hotel(
    module: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *, columns: int
) -> Run:
    """A project in `folder` whose system `hotel` is the `graph` of a module; HOME in its text is the home folder."""
    home = folder / "home"
    monkeypatch.setenv("EDGEWRIGHT_HOME", str(home))
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.chdir(folder)
    (folder / "langgraph.json").write_text(json.dumps({"graphs": {"hotel": "./hotel.py:graph"}}))
    (folder / "hotel.py").write_text(module.replace("HOME", repr(str(home))))

    def invoke(*arguments: str) -> tuple[int, str, str]:
        sys.modules.pop("edgewright_project_hotel", None)
        monkeypatch.setattr("sys.argv", ["edgewright", *arguments])
        capsys.readouterr()
        with pytest.raises((SystemExit, ValueError)) as ended:
            cli.main()
        shown = capsys.readouterr()
        code = ended.value.code if isinstance(ended.value, SystemExit) else 3
        return (code if isinstance(code, int) else 0), shown.out, shown.err

    return invoke

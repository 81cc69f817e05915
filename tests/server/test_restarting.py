"""`edgewright restart`: what it prints, what it leaves behind, and its exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from edgewright.graphs.home import Home
from support.command_line import Run, hotel

MODULE = """
from pathlib import Path
from pydantic import BaseModel
from edgewright import Agent, Contract, Pipeline, System

OPEN = Path(__file__).parent / "open"

class Text(BaseModel):
    text: str

def asks(given):
    with (Path(__file__).parent / "asked.txt").open("a") as file:
        file.write("asked\\n")
    return given

def books(given):
    if not OPEN.exists():
        raise ValueError("closed")
    return {"text": f"booked {given['text']}"}

graph = System(
    "hotel", version=1, home=HOME,
    topology=Pipeline(stages=[Agent("desk", version=1, function=asks), Agent("clerk", version=1, function=books)],
                      contracts=[Contract(Text, version=1)] * 3),
)
"""


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    return hotel(MODULE, tmp_path, monkeypatch, capsys, columns=200)


@pytest.fixture
def made(run: Run, tmp_path: Path) -> str:
    """A run that failed at the clerk's; its id."""
    assert run("run", "hotel", json.dumps({"text": "r1"}))[0] == 3
    place = Home(tmp_path / "home")
    try:
        return place.open()[0].runs()[0].run
    finally:
        place.close()


def test_a_run_is_begun_again_at_a_stage_and_told_as_such(run: Run, made: str, tmp_path: Path) -> None:
    (tmp_path / "open").touch()
    code, out, _ = run("restart", made[:8], "--stage", "clerk", "--by", "ada")
    assert code == 0
    assert f"begins {made} again at clerk" in out
    assert "booked r1" in out
    assert (tmp_path / "asked.txt").read_text() == "asked\n"
    code, out, _ = run("explain", "last")
    assert code == 0
    assert "ada has it begin at clerk" in out
    assert made in out


def test_it_is_told_as_json(run: Run, made: str, tmp_path: Path) -> None:
    (tmp_path / "open").touch()
    code, out, _ = run("restart", made, "--stage", "clerk", "--thread", "other", "--json")
    told = json.loads(out)
    assert (code, told["status"], told["of"], told["thread"]) == (0, "completed", made, "other")
    assert told["output"] == {"text": "booked r1"}


def test_what_fails_again_is_no_success(run: Run, made: str) -> None:
    assert run("restart", made, "--stage", "clerk")[0] == 3


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--stage", "nobody"], "there is no such stage; known: desk, clerk"),
        (["--stage", "clerk", "--by", "ada", "--tenant", "north"], "no run "),
    ],
)
def test_what_is_refused_is_a_typed_error(arguments: list[str], said: str, run: Run, made: str) -> None:
    code, out, error = run("restart", made, *arguments)
    assert code == 2
    assert said in f"{out}{error}"

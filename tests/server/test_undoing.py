"""`edgewright undo`: what it prints, what it leaves behind, and its exit codes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from edgewright.graphs.home import FILE, Home
from edgewright.ledger.journal import effects_of
from edgewright.ledger.store import Ledger
from support.command_line import Run, hotel

MODULE = """
from pathlib import Path
from pydantic import BaseModel
from edgewright import Agent, Contract, Pipeline, Policy, System, tool
from edgewright.contracts.errors import ToolRefusal

BOOK = Path(__file__).parent / "book.txt"
CLOSED = Path(__file__).parent / "closed"

class Text(BaseModel):
    text: str

def cancel(room: str, outcome: str) -> str:
    if CLOSED.exists():
        raise ToolRefusal("closed [red]today")
    with BOOK.open("a") as file:
        file.write(f"cancelled {room}\\n")
    return f"{outcome}, cancelled"

@tool(effect="write", idempotency="key", sensitivity="public", compensate=cancel)
def book(room: str) -> str:
    \"\"\"Book a room.\"\"\"
    return f"booked {room}"

@tool(effect="write", idempotency="key", sensitivity="public")
def tell(room: str) -> str:
    \"\"\"Tell everybody.\"\"\"
    return "told"

async def work(given):
    await book.call({"room": "r1"})
    if given["text"] == "tell":
        await tell.call({"room": "r1"})
    if given["text"] != "nothing goes wrong":
        raise ValueError("it failed")
    return {"text": "fine"}

graph = System(
    "hotel", version=1, policy=Policy(text='@id("all") permit(principal, action, resource);'),
    topology=Pipeline(stages=[Agent("clerk", version=1, function=work, tools=[book, tell])],
                      contracts=[Contract(Text, version=1)] * 2),
    home=HOME,
)
"""


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    return hotel(MODULE, tmp_path, monkeypatch, capsys, columns=200)


def failed(run: Run, home: Path, text: str = "go") -> str:
    """A run that booked a room and failed; its id."""
    assert run("run", "hotel", json.dumps({"text": text}))[0] == 3
    return in_ledger(home, lambda ledger: ledger.runs()[0].run)


def in_ledger(home: Path, work: Callable[[Ledger], str]) -> str:
    place = Home(home)
    try:
        return work(place.open()[0])
    finally:
        place.close()


def test_a_run_is_undone_once_and_told_as_such_everywhere(run: Run, tmp_path: Path) -> None:
    made = failed(run, tmp_path / "home")
    code, out, _ = run("undo", made[:8], "--by", "ada")
    assert code == 0
    assert "✓ undone" in out
    assert "booked r1, cancelled" in out
    code, out, _ = run("undo", made, "--by", "bob", "--json")
    report = json.loads(out)
    assert (code, report["complete"], report["run"], report["by"]) == (0, True, made, "bob")
    assert [(e["tool"], e["status"], e["said"]) for e in report["effects"]] == [("book", "before", "undone by ada")]
    assert (tmp_path / "book.txt").read_text() == "cancelled r1\n"
    code, out, _ = run("effects", made)
    assert code == 0
    assert "✓ undone" in out
    assert "undoing it: done, ada" in out
    code, out, _ = run("explain", made)
    assert code == 0
    assert "ada: book undone" in out
    assert run("check")[0] == 0


def test_what_is_left_exits_1_and_what_was_refused_is_shown_as_it_is(run: Run, tmp_path: Path) -> None:
    made = failed(run, tmp_path / "home", "tell")
    (tmp_path / "closed").touch()
    code, out, _ = run("undo", made, "--by", "ada")
    assert code == 1
    assert "cannot be undone" in out
    assert "closed [red]today" in out
    code, out, _ = run("effects", made, "--json")
    assert json.loads(out)["effects"][0]["undo"]["status"] == "failed"
    (tmp_path / "closed").unlink()
    code, out, _ = run("undo", made, "--by", "ada", "--json")
    assert code == 1
    assert [e["status"] for e in json.loads(out)["effects"]] == ["cannot", "undone"]


def test_what_may_not_be_undone_is_a_typed_error(run: Run, tmp_path: Path) -> None:
    made = failed(run, tmp_path / "home")
    assert run("undo", made)[0] == 2
    for wanted, name, said in (("nonesuch", "NotFound", "nonesuch"), (made, "UndoRefused", "nobody is named")):
        code, _, err = run("undo", wanted, "--by", " ")
        assert code == 2
        assert name in err
        assert said in err
    assert not (tmp_path / "book.txt").exists()


def test_without_a_ledger_there_is_nothing_to_undo_and_none_is_made(run: Run, tmp_path: Path) -> None:
    code, _, err = run("undo", "12345678", "--by", "ada")
    assert code == 2
    assert "NotFound" in err
    assert not (tmp_path / "home" / FILE).exists()


def test_an_undoing_that_nobody_knows_the_end_of_exits_1_in_the_list_of_effects(run: Run, tmp_path: Path) -> None:
    made = failed(run, tmp_path / "home")
    broken = (tmp_path / "hotel.py").read_text().replace("raise ToolRefusal(", "raise OSError(")
    (tmp_path / "hotel.py").write_text(broken)
    (tmp_path / "closed").touch()
    code, out, _ = run("undo", made, "--by", "ada")
    assert (code, "may be undone" in out) == (1, True)
    code, out, _ = run("effects", made)
    assert (code, "may be undone" in out) == (1, True)
    found = in_ledger(tmp_path / "home", lambda ledger: str(effects_of(ledger.entries(made))[0].undo))
    assert "unknown" in found

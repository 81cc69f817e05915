"""`edgewright dead`: what it lists, shows and goes on with, what it leaves on record, and its exit codes."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from edgewright.contracts.errors import ProjectInvalid
from edgewright.graphs.home import FILE, Home
from edgewright.server.dead import moment_of
from support.command_line import Run, hotel

MODULE = """
from pathlib import Path
from pydantic import BaseModel
from edgewright import Agent, Contract, Pipeline, Policy, System, tool

BOOK = Path(__file__).parent / "book.txt"
OPEN = Path(__file__).parent / "open"

class Text(BaseModel):
    text: str

@tool(effect="write", idempotency="none", sensitivity="public")
def book(room: str) -> str:
    \"\"\"Book a room.\"\"\"
    with BOOK.open("a") as file:
        file.write(f"booked {room}\\n")
    return f"booked {room}"

async def work(given):
    await book.call({"room": given["text"]})
    if not OPEN.exists():
        raise ValueError("closed [red]today")
    return {"text": "fine"}

graph = System(
    "hotel", version=1, policy=Policy(text='@id("all") permit(principal, action, resource);'),
    topology=Pipeline(stages=[Agent("clerk", version=1, function=work, tools=[book])],
                      contracts=[Contract(Text, version=1)] * 2),
    home=HOME,
)
"""


def flat(text: str) -> str:
    """Text without the line breaks of a console, however wide that is."""
    return " ".join(text.split())


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    return hotel(MODULE, tmp_path, monkeypatch, capsys, columns=160)


def failed(run: Run, home: Path, text: str = "r1") -> str:
    """A run that booked a room and failed; its id."""
    assert run("run", "hotel", json.dumps({"text": text}))[0] == 3
    place = Home(home)
    try:
        return place.open()[0].runs()[0].run
    finally:
        place.close()


def test_a_failed_run_is_listed_shown_and_gone_on_with_once(run: Run, tmp_path: Path) -> None:
    made = failed(run, tmp_path / "home")
    code, out, _ = run("dead", "list")
    assert code == 0
    for said in (made[:8], "hotel@1", "failed", "clerk", "1 done", "ValueError: closed [red]today"):
        assert said in out
    code, out, _ = run("dead", "show", made[:8])
    assert code == 0
    for said in (
        "book was done: its outcome is given back",
        f"dead retry {made} --by NAME",
        "1 tool call",
        "failed: Val",
    ):
        assert said in out
    code, out, _ = run("dead", "retry", made[:8], "--by", "ada")
    assert (code, "failed" in out, "closed [red]today" in out) == (1, True, True)
    (tmp_path / "open").touch()
    code, out, _ = run("dead", "retry", made[:8], "--by", "ada", "--json")
    assert (code, json.loads(out)) == (
        0,
        {"retried": [{"run": made, "before": "failed", "now": "completed", "reason": ""}]},
    )
    assert (tmp_path / "book.txt").read_text() == "booked r1\n"
    assert "no dead letters" in run("dead", "list")[1]
    code, out, _ = run("explain", made)
    assert (code, out.count("ada has it gone on with")) == (0, 2)
    assert run("check")[0] == 0


def test_all_of_a_system_are_gone_on_with_and_one_that_cannot_be_does_not_stop_the_others(
    run: Run, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    first, second = failed(run, home), failed(run, home, "r2")
    place = Home(home)
    place.open()[0].erase(first, by="ada")
    place.close()
    (tmp_path / "open").touch()
    code, out, _ = run("dead", "retry", "--all", "--system", "hotel", "--by", "ada", "--json")
    told = {t["run"]: (t["now"], t["reason"]) for t in json.loads(out)["retried"]}
    assert (code, told[second]) == (1, ("completed", ""))
    assert told[first][0] == "failed"
    assert "RetryRefused" in told[first][1]
    assert "erased" in told[first][1]
    code, out, _ = run("dead", "show", first)
    assert (code, "it cannot be gone on with: its payloads were erased" in out) == (0, True)
    assert run("dead", "drop", first, "--by", "ada", "--reason", "erased at their wish")[0] == 0
    code, out, _ = run("dead", "retry", "--all", "--system", "hotel", "--by", "ada")
    assert (code, "no dead letters" in out) == (0, True)
    assert (tmp_path / "book.txt").read_text() == "booked r1\nbooked r2\n"


def test_the_list_is_narrowed_and_a_dropped_run_leaves_it(run: Run, tmp_path: Path) -> None:
    made = failed(run, tmp_path / "home")

    def listed(*options: str) -> list[str]:
        return [d["run"] for d in json.loads(run("dead", "list", "--json", *options)[1])["dead"]]

    assert listed() == listed("--system", "hotel", "--tenant", "local", "--since", "1h") == [made]
    assert listed("--system", "inn") == listed("--tenant", "acme") == listed("--since", "2999-01-01") == []
    code, out, _ = run("dead", "drop", made, "--by", "ada", "--reason", "booked by hand", "--json")
    assert (code, json.loads(out)) == (0, {"run": made, "dropped": True})
    assert listed() == []
    assert "ada dropped it" in run("explain", made)[1]


def test_how_a_run_stands_is_said_alike_by_every_command(run: Run, tmp_path: Path) -> None:
    made = failed(run, tmp_path / "home")
    stands = {"run": made, "status": "failed", "reason": "ValueError: closed [red]today"}
    for command in ("explain", "effects", "dead show"):
        assert f"{made} hotel@1 failed: ValueError: closed [red]today" in flat(run(*command.split(), made)[1])
        told = json.loads(run(*command.split(), made, "--json")[1])
        assert {key: told[key] for key in stands} == stands


def test_what_cannot_be_done_is_a_typed_error(run: Run, tmp_path: Path) -> None:
    assert (run("dead", "list")[1], (tmp_path / "home" / FILE).exists()) == ("no dead letters\n", False)
    made = failed(run, tmp_path / "home")
    for arguments, name, said in (
        (("retry", "--by", "ada"), "ProjectInvalid", "--all"),
        (("retry", made, "--all", "--system", "hotel", "--by", "ada"), "ProjectInvalid", "--all"),
        (("retry", "--all", "--system", "inn", "--by", "ada"), "NotFound", "inn"),
        (("retry", made, "--by", " "), "RetryRefused", "nobody is named"),
        (("retry", "nonesuch", "--by", "ada"), "NotFound", "nonesuch"),
        (("drop", made, "--by", "ada", "--reason", " "), "RetryRefused", "why"),
        (("show", "nonesuch"), "NotFound", "nonesuch"),
        (("list", "--since", "soon"), "ProjectInvalid", "soon"),
    ):
        code, _, err = run("dead", *arguments)
        err = flat(err)
        assert (code, name in err, said in err) == (2, True, True), (arguments, err)
    (tmp_path / "open").touch()
    assert run("dead", "retry", made, "--by", "ada")[0] == 0
    code, _, err = run("dead", "retry", made, "--by", "ada")
    assert (code, "RetryRefused" in err, "completed" in err) == (2, True, True)


def test_a_moment_is_a_date_a_time_or_so_long_ago() -> None:
    now = datetime(2026, 1, 31, 12, tzinfo=UTC)
    assert moment_of("") == 0.0
    assert moment_of("2026-01-31T12:00") == moment_of("2026-01-31T13:00+01:00") == now.timestamp()
    assert moment_of("2026-01-31") == now.timestamp() - 12 * 3600
    for text, seconds in (("90m", 5400), ("12h", 43200), ("7d", 604800)):
        assert moment_of(text, now=now) == now.timestamp() - seconds
    for text in ("soon", "-3h", "h", "1234567d", "²h"):
        with pytest.raises(ProjectInvalid, match="is no moment"):
            moment_of(text)


@pytest.mark.parametrize("columns", [80, 120])
def test_a_list_fits_its_terminal(columns: int, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = failed(run, tmp_path / "home")
    monkeypatch.setenv("COLUMNS", str(columns))
    for arguments in (("list",), ("show", made)):
        out = run("dead", *arguments)[1]
        assert max(len(line) for line in re.sub(r"\x1b\[[0-9;]*m", "", out).splitlines()) <= columns
        assert made[:8] in out

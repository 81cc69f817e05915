"""`edgewright advise`: asked on a terminal, or answered by options."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from edgewright import advise
from edgewright.server import cli
from edgewright.server.advising import TAKES

Run = Callable[..., tuple[int, str, str]]
ANSWERS: dict[str, Any] = {
    "sequence": "unknown",
    "audit": True,
    "parallel": True,
    "plan": False,
    "talk": False,
    "events": False,
    "tools": 31,
}
ASKED = [sys.executable, "-c", "from edgewright.server.cli import main; main()", "advise", "--json"]


def options(answers: dict[str, Any]) -> list[str]:
    """The answers as options."""
    words = {n: ("yes" if v else "no") if isinstance(v, bool) else str(v) for n, v in answers.items()}
    return [part for name, word in words.items() for part in (f"--{name}", word)]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    monkeypatch.setenv("COLUMNS", "160")

    def invoke(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["edgewright", "advise", *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main()
        shown = capsys.readouterr()
        code = ended.value.code
        return (code if isinstance(code, int) else 0), shown.out, shown.err

    return invoke


def test_the_options_are_told_why_how_it_fails_and_what_to_type_next(run: Run) -> None:
    code, out, _ = run(*options(ANSWERS))
    advice = advise(**ANSWERS)
    assert code == 0
    for told in (advice.title.capitalize(), advice.command, "Considered, too", advice.failures[0].guard):
        assert told in " ".join(out.split())


def test_json_has_all_the_facts(run: Run) -> None:
    code, out, _ = run(*options(ANSWERS), "--json")
    assert code == 0
    assert json.loads(out) == advise(**ANSWERS).as_json()


def test_what_is_not_there_yet_is_said_beside_what_is(run: Run) -> None:
    _, out, _ = run(*options(ANSWERS | {"events": True}))
    told = " ".join(out.split())
    assert "not there yet" in told
    assert "edgewright new NAME --topology nested" in told


def test_without_a_terminal_the_missing_options_are_named_and_only_those(run: Run) -> None:
    given = {name: ANSWERS[name] for name in ("sequence", "audit", "plan", "talk", "events")}
    code, _, err = run(*options(given))
    said = " ".join(err.split())
    assert (code, "AnswersInvalid" in said) == (2, True)
    assert "--parallel yes|no --tools NUMBER" in said
    assert "--audit" not in said


@pytest.mark.parametrize(("option", "value"), [("--sequence", "maybe"), ("--audit", "true"), ("--tools", "-1")])
def test_an_option_takes_no_other_word(run: Run, option: str, value: str) -> None:
    code, _, err = run(option, value)
    assert code == 2
    assert option in err


def test_on_a_terminal_what_is_missing_is_asked_until_it_is_answered() -> None:
    typed = ["perhaps", "unknown", "y", "yes", "no", "n", "no", "many", "-3", "31"]
    ours, theirs = pty.openpty()
    try:
        os.write(ours, "".join(f"{line}\n" for line in typed).encode())
        done = subprocess.run(
            ASKED, stdin=theirs, stderr=theirs, stdout=subprocess.PIPE, text=True, timeout=90, check=False
        )
        asked = os.read(ours, 65536).decode()
    finally:
        os.close(ours)
        os.close(theirs)
    assert done.returncode == 0, asked
    assert json.loads(done.stdout) == advise(**ANSWERS).as_json()
    assert f"[{TAKES['sequence']}]" in asked
    assert "It takes one of known, unknown." in asked

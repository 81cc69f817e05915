"""`edgewright policy`: a table of cases is judged as the gate would, and a call is explained."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from edgewright.contracts.errors import EdgewrightError, NotFound, ProjectInvalid
from edgewright.server import policies
from typer.testing import CliRunner, Result

ROOT = Path(policies.__file__).resolve().parents[1]
CASES = ROOT / "examples" / "customer_support" / "policy_cases.toml"
CANCEL = {
    "agent": "billing",
    "tool": "cancel_line",
    "args": {"line": "L-1", "reason": "moving"},
    "facts": {"owner": "C-1003", "status": "active", "months_left": 0},
    "request": {"sender": "C-1003", "channel": "email"},
}


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> typer.Typer:
    """The commands, in a project of the example."""
    graph = "edgewright.examples.customer_support.graph:graph"
    (tmp_path / "langgraph.json").write_text(json.dumps({"dependencies": ["."], "graphs": {"desk": graph}}))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EDGEWRIGHT_HOME", str(tmp_path / "home"))
    found = typer.Typer()
    policies.register(found)
    return found


def run(app: typer.Typer, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["policy", *arguments])


def test_the_cases_of_the_example_are_judged_as_expected(app: typer.Typer) -> None:
    found = run(app, "test", "desk", str(CASES))
    assert (found.exit_code, "7 cases, 0 wrong" in found.output) == (0, True)
    told = json.loads(run(app, "test", "desk", str(CASES), "--json").output)
    assert {c["verdict"] for c in told["cases"]} == {"allow", "ask", "deny"}


@pytest.mark.parametrize("wrong", ['expect = "deny"', 'expect = "ask"\nrules = ["another"]'])
def test_a_case_that_is_judged_otherwise_fails(app: typer.Typer, tmp_path: Path, wrong: str) -> None:
    case = CASES.read_text("utf-8").partition('[[case]]\nname = "a large credit asks')[2].partition("[[case]]")[0]
    body = '[[case]]\nname = "a large credit asks' + case
    for told in ('expect = "ask"\nrules = ["ask-finance-above-20-euro"]',):
        body = body.replace(told, wrong)
    (tmp_path / "cases.toml").write_text(body, "utf-8")
    found = run(app, "test", "desk", "cases.toml")
    assert (found.exit_code, "1 wrong" in found.output) == (1, True)


def test_a_call_is_explained_by_the_rules_that_decide(app: typer.Typer) -> None:
    from edgewright.examples.customer_support.tools import cancel_line

    facts = cancel_line.spec.facts or {}
    kinds: dict[str, Any] = {"string": "C-1003", "integer": 0, "boolean": True}
    given = {name: kinds[inner.get("type", "string")] for name, inner in facts["properties"].items()}
    told = json.loads(run(app, "explain", "desk", json.dumps({**CANCEL, "facts": given}), "--json").output)
    assert told["verdict"] == "ask"
    assert [r["approver"] for r in told["because"]] == ["care_lead"]
    assert "care_lead" in run(app, "explain", "desk", json.dumps({**CANCEL, "facts": given})).output


def test_what_cannot_be_judged_says_why(app: typer.Typer) -> None:
    found = run(app, "explain", "desk", json.dumps({**CANCEL, "facts": {}}))
    assert "deny" in found.output
    assert "could not decide" in found.output


@pytest.mark.parametrize(
    ("arguments", "kind", "says"),
    [
        (("test", "desk", "nowhere.toml"), ProjectInvalid, "cannot be read"),
        (("test", "nobody", str(CASES)), NotFound, "nobody"),
        (("explain", "desk", "{no json"), ProjectInvalid, "not JSON"),
        (("explain", "desk", '{"agent": "a", "tool": "b", "sudo": true}'), ProjectInvalid, "sudo"),
    ],
)
def test_bad_input_is_a_typed_error(
    app: typer.Typer, arguments: tuple[str, ...], kind: type[EdgewrightError], says: str
) -> None:
    found = run(app, *arguments)
    assert isinstance(found.exception, kind)
    assert says in str(found.exception)


@pytest.mark.parametrize("body", ["", "a = 1", "[[case]]\nagent = 1", '[[case]]\nagent = "a"\ntool = "b"', "[[case"])
def test_a_table_that_is_none_is_a_typed_error(app: typer.Typer, tmp_path: Path, body: str) -> None:
    (tmp_path / "cases.toml").write_text(body, "utf-8")
    assert isinstance(run(app, "test", "desk", "cases.toml").exception, ProjectInvalid)

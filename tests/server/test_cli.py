"""The command line: what it prints, its exit codes, and what bad input leaves behind."""

from __future__ import annotations

import gc
import json
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from edgewright.graphs.home import FILE, Home
from edgewright.server import cli

Run = Callable[..., tuple[int, str, str]]
GOOD = {"sender": "C-1008", "channel": "portal", "text": "I cannot sign in any more."}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EDGEWRIGHT_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    # As in a process of its own: the example reads the home when its module is imported.
    monkeypatch.delitem(sys.modules, "edgewright.examples.customer_support.graph", raising=False)
    return tmp_path / "home"


@pytest.fixture
def run(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    def invoke(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["edgewright", *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main()
        shown = capsys.readouterr()
        code = ended.value.code
        return (code if isinstance(code, int) else 0), shown.out, shown.err

    return invoke


def project(folder: Path, module: str, config: Any = None) -> None:
    (folder / "langgraph.json").write_text(json.dumps(config or {"graphs": {"mine": "./mine.py:graph"}}))
    (folder / "mine.py").write_text(module)


def runs_in(home: Path) -> int:
    if not (home / FILE).exists():
        return 0
    place = Home(home)
    try:
        return len(place.open()[0].runs())
    finally:
        place.close()


SYSTEM = """
from pydantic import BaseModel
from edgewright import Agent, Call, Contract, OfflineModel, Pipeline, Policy, System, load_policy, tool

class Text(BaseModel):
    text: str

@tool(effect="read", output="trusted", sink=False)
def look(text: str) -> str:
    \"\"\"Look.\"\"\"
    return text

def rules(turn):
    return [Call("submit", {{"text": "ok"}})]

graph = System(
    "mine", version=1, policy={policy}, model=OfflineModel("mine", rules),
    topology=Pipeline(
        stages=[Agent("one", version=1, prompt="Do.", tools=[look])], contracts=[Contract(Text, version=1)] * 2
    ),
)
"""


def test_an_unknown_system_is_named_beside_the_known_ones(run: Run, home: Path) -> None:
    code, _, err = run("run", "nonesuch", "{}")
    assert code == 2
    assert "nonesuch" in err
    assert "customer_support" in err


@pytest.mark.parametrize(
    ("ticket", "said"),
    [
        ({"sender": "C-1008", "channel": "portal"}, "text"),
        ({**GOOD, "channel": "pigeon"}, "channel"),
        ({**GOOD, "text": 7}, "text"),
        ({**GOOD, "vip": True}, "vip"),
        (["not", "an", "object"], "payload"),
    ],
)
def test_a_malformed_ticket_is_refused_and_begins_nothing(run: Run, home: Path, ticket: Any, said: str) -> None:
    code, _, err = run("run", "customer_support", json.dumps(ticket))
    assert code == 2
    assert "ContractViolation" in err
    assert "Ticket@1" in err
    assert said in err
    assert runs_in(home) == 0


def test_what_is_not_json_is_refused(run: Run) -> None:
    code, _, err = run("run", "customer_support", "{oops")
    assert code == 2
    assert "not JSON" in err


def test_a_missing_policy_file_is_named_with_the_remedy(run: Run, tmp_path: Path, home: Path) -> None:
    project(tmp_path, SYSTEM.format(policy="load_policy('rules.cedar')"))
    code, _, err = run("check")
    assert code == 2
    assert "PolicyInvalid" in err
    assert "rules.cedar" in err
    assert "write one" in err


def test_a_policy_over_an_unknown_tool_is_refused_before_any_run(run: Run, tmp_path: Path, home: Path) -> None:
    text = '@id("p") permit (principal, action == Action::"call:lock", resource);'
    project(tmp_path, SYSTEM.format(policy=f"Policy(text={text!r})"))
    code, _, err = run("run", "mine", '{"text": "x"}')
    assert code == 2
    assert "PolicyInvalid" in err
    assert "call:lock" in err
    assert runs_in(home) == 0


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ("{", "not readable JSON"),
        ("{}", "has no graphs"),
        ('{"graphs": {"mine": 7}}', "module:variable"),
        ('{"graphs": {"mine": "./gone.py:graph"}}', "gone.py"),
        ('{"graphs": {"mine": "json:dumps_nothing"}}', "dumps_nothing"),
        ('{"graphs": {"mine": "os:sep"}}', "not a System"),
    ],
)
def test_a_broken_langgraph_json_is_named_with_its_fault(run: Run, tmp_path: Path, config: str, said: str) -> None:
    (tmp_path / "langgraph.json").write_text(config)
    code, _, err = run("check")
    assert code == 2
    assert "ProjectInvalid" in err
    assert "langgraph.json" in err
    assert said in err.replace("\n", "")


def test_an_error_is_json_where_json_was_asked_for(run: Run) -> None:
    code, out, _ = run("run", "nonesuch", "{}", "--json")
    assert code == 2
    found = json.loads(out)
    assert found["error"] == "NotFound"
    assert "customer_support" in found["facts"]["known"]


def test_a_run_is_explained_afterwards(run: Run, home: Path) -> None:
    code, out, _ = run("run", "customer_support", json.dumps(GOOD), "--json")
    assert code == 0
    result = json.loads(out)
    assert result["status"] == "completed"
    code, out, _ = run("explain", result["run"][:8])
    assert code == 0
    for told in ("Ticket@1", "triage@1", "access@1", "reset_access: allow", "verified", "offline", "run completed"):
        assert told in out
    code, out, _ = run("explain", "last", "--json")
    assert json.loads(out)["run"] == result["run"]
    assert json.loads(out)["fault"] == ""
    code, out, _ = run("effects", "last", "--json")
    [effect] = json.loads(out)["effects"]
    assert (code, effect["tool"], effect["status"]) == (0, "reset_access", "done")
    code, out, _ = run("effects", result["run"][:8])
    assert (code, "✓ done" in out, "reset_access" in out) == (0, True, True)


def test_a_review_is_shown_and_answered(run: Run, home: Path) -> None:
    ticket = {"sender": "C-1015", "channel": "portal", "text": "Please cancel my mobile line right now."}
    code, out, _ = run("run", "customer_support", json.dumps(ticket), "--json")
    waiting = json.loads(out)
    assert (code, waiting["status"]) == (0, "waiting")
    review = waiting["reviews"][0]
    assert review["tool"] == "cancel_line"
    code, _, err = run("run", "customer_support", "--thread", waiting["thread"], "--answer", "nonesuch=approve:why")
    assert (code, "ReviewInvalid" in err) == (2, True)
    answer = f"{review['id']}=reject:the term runs on"
    code, out, _ = run("run", "customer_support", "--thread", waiting["thread"], "--answer", answer, "--json")
    assert (code, json.loads(out)["status"]) == (0, "completed")


def test_an_answer_on_the_command_line_is_refused_outside_development(
    run: Run, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """threat 29."""
    monkeypatch.setenv("EDGEWRIGHT_ENVIRONMENT", "production")
    ticket = {"sender": "C-1015", "channel": "portal", "text": "Please cancel my mobile line right now."}
    code, out, _ = run("run", "customer_support", json.dumps(ticket), "--json")
    waiting = json.loads(out)
    assert (code, waiting["status"]) == (0, "waiting")
    answer = f"{waiting['reviews'][0]['id']}=approve:the term is over"
    code, _, err = run("run", "customer_support", "--thread", waiting["thread"], "--answer", answer)
    said = " ".join(err.split())
    assert (code, "ReviewerRefused" in said, "serve --reviewers" in said) == (2, True, True)
    code, out, _ = run("run", "customer_support", "--thread", waiting["thread"], "--json")
    assert [r["id"] for r in json.loads(out)["reviews"]] == [r["id"] for r in waiting["reviews"]]


def test_serving_with_people_that_cannot_be_read_is_refused_at_start(run: Run, tmp_path: Path) -> None:
    """threat 50."""
    project(tmp_path, SYSTEM.format(policy="None"))
    (tmp_path / "people.toml").write_text("")
    code, _, err = run("serve", "--reviewers", str(tmp_path / "people.toml"))
    assert (code, "ProjectInvalid" in err) == (2, True)


def test_an_unknown_run_is_named(run: Run, home: Path) -> None:
    code, _, err = run("explain", "feedbeef")
    assert code == 2
    assert "feedbeef" in err


def test_check_tells_what_was_validated(run: Run, home: Path) -> None:
    code, out, _ = run("check", "--json")
    assert code == 0
    found = json.loads(out)
    assert "customer_support@1" in [system["system"] for system in found["systems"]]
    assert found["broken"] == []


def test_the_graph_is_drawn_as_text_and_pictures(run: Run, tmp_path: Path) -> None:
    code, out, _ = run("graph", "customer_support")
    assert code == 0
    assert "flowchart" in out or "graph" in out
    code, _, _ = run("graph", "customer_support", "--svg", "g.svg", "--png", "g.png")
    assert code == 0
    assert (tmp_path / "g.svg").read_text().startswith("<svg")
    assert (tmp_path / "g.png").read_bytes().startswith(b"\x89PNG")


def test_the_demo_agrees_with_its_ledger_and_repeats_no_effect(run: Run, home: Path) -> None:
    code, out, _ = run("demo", "--limit", "5", "--json")
    first = json.loads(out)
    assert code == 0
    assert first["agreement"]["holds"]
    assert first["offline"]
    assert first["failed"] == []
    code, out, _ = run("demo", "--limit", "5", "--json")
    second = json.loads(out)
    assert second["ran_before"] == 10
    assert second["agreement"]["rows"] == first["agreement"]["rows"]
    assert second["ledger_records"] == first["ledger_records"]


def test_runs_of_one_model_are_not_told_as_those_of_another(
    run: Run, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("demo", "--limit", "1")[0] == 0
    monkeypatch.setenv("EDGEWRIGHT_MODEL", "openai:gpt-4.1-mini")
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    code, _, err = run("demo", "--limit", "1")
    assert (code, "offline:customer_support" in err, "--fresh" in err) == (2, True, True)


# The provider's client leaves its connections to the collector; they are collected here, not in some later test.
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_provider_that_cannot_be_reached_is_said_in_a_line_a_ticket(
    run: Run, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEWRIGHT_MODEL", "openai:gpt-4.1-mini")
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    code, out, err = run("demo", "--limit", "1")
    assert code == 1
    gc.collect()
    assert "2 runs failed" in out
    assert "--fresh" in out
    assert "Traceback" not in out + err


def test_a_new_request_does_not_leave_an_open_question_behind(run: Run, home: Path) -> None:
    ticket = {"sender": "C-1015", "channel": "portal", "text": "Please cancel my mobile line right now."}
    waiting = json.loads(run("run", "customer_support", json.dumps(ticket), "--json")[1])
    code, _, err = run("run", "customer_support", json.dumps(GOOD), "--thread", waiting["thread"])
    assert (code, "ThreadWaiting" in err) == (2, True)
    again = json.loads(run("run", "customer_support", "--thread", waiting["thread"], "--json")[1])
    assert [r["id"] for r in again["reviews"]] == [waiting["reviews"][0]["id"]]


@pytest.mark.parametrize("module", ["import sys; sys.exit(0)", "1/0", "graph = 7"])
def test_a_module_that_gives_no_graph_is_never_a_success(run: Run, tmp_path: Path, module: str) -> None:
    project(tmp_path, module)
    code, _, err = run("check")
    assert (code, "ProjectInvalid" in err) == (2, True)


def test_a_project_that_is_not_there_is_not_checked_in_silence(run: Run, tmp_path: Path) -> None:
    assert run("check", "--project", str(tmp_path / "nowhere"))[0] == 2


def test_check_finds_a_payload_that_was_changed(run: Run, home: Path) -> None:
    assert run("demo", "--limit", "1")[0] == 0
    assert json.loads(run("check", "--json")[1])["chains"] == 2
    with sqlite3.connect(home / "demo" / FILE) as database:
        database.execute("UPDATE payloads SET body = replace(CAST(body AS TEXT), 'C-1', 'C-2')")
    database.close()
    code, out, _ = run("check", "--json")
    assert code == 1
    assert json.loads(out)["broken"]


def test_a_row_that_no_effect_made_is_found(run: Run, home: Path) -> None:
    assert run("demo", "--check")[0] == 2
    assert run("demo", "--limit", "5")[0] == 0
    code, out, _ = run("demo", "--check")
    assert (code, "agree" in out) == (0, True)
    with sqlite3.connect(home / "demo" / "help_desk.db") as database:
        database.execute("INSERT INTO resets SELECT 'nobody/1', login, '2026-03-16' FROM logins LIMIT 1")
    database.close()
    code, out, _ = run("demo", "--check", "--json")
    assert code == 1
    assert json.loads(out)["not_on_ledger"] == ["resets nobody/1"]


def test_the_demo_shows_its_figures_and_what_to_type_next(run: Run, home: Path) -> None:
    code, out, _ = run("demo", "--limit", "3")
    assert code == 0
    for told in ("unseen, written after", "reviews asked", "calls denied", "notional", "agree", "explain", "Offline"):
        assert told in out

"""The commands of locks and versions, on a small project of its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from edgewright.contracts.errors import LockInvalid, NotFound, ProjectInvalid
from edgewright.server import locks
from typer.testing import CliRunner, Result

PROJECT = """
from typing import Annotated
from pydantic import BaseModel, Field
from edgewright import Agent, Contract, Pipeline, System

class Brief(BaseModel):
    text: Annotated[str, Field(max_length={longest})]

BRIEF = Contract(Brief, version={version}, never=({never}))
one = Agent("one", version=1, function=lambda payload: payload)
graph = System("desk", version={version}, topology=Pipeline(stages=[one], contracts=[BRIEF, BRIEF]))
"""


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> typer.Typer:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EDGEWRIGHT_HOME", str(tmp_path / "home"))
    made = typer.Typer(pretty_exceptions_enable=False)
    locks.register(made)

    @made.command()
    def check(against: Path, json: bool = False) -> None:
        raise typer.Exit(locks.check_against(against, project=Path(), json=json))

    return made


def written(longest: int = 50, version: int = 1, never: str = "'pin',") -> None:
    Path("langgraph.json").write_text('{"graphs": {"desk": "./desk.py:graph"}}')
    Path("desk.py").write_text(PROJECT.format(longest=longest, version=version, never=never))


def run(app: typer.Typer, *arguments: str) -> Result:
    found = CliRunner().invoke(app, arguments)
    if found.exception is not None and not isinstance(found.exception, SystemExit):
        raise found.exception
    return found


def test_a_lock_is_written_once_and_stays_as_it_is(app: typer.Typer) -> None:
    written()
    assert "written" in run(app, "lock").output
    first = Path("edgewright.lock").read_bytes()
    assert "unchanged" in run(app, "lock").output
    assert Path("edgewright.lock").read_bytes() == first
    assert first.endswith(b"}\n")
    assert not Path("edgewright.lock.new").exists()
    told = json.loads(run(app, "lock", "--json").output)
    assert told == {"path": "edgewright.lock", "systems": ["desk"], "state": "unchanged"}


def test_nothing_changed_is_well_and_a_break_is_found_wrong(app: typer.Typer) -> None:
    written()
    run(app, "lock")
    same = run(app, "check", "edgewright.lock")
    assert (same.exit_code, same.output.strip()) == (0, "nothing changed")
    written(longest=20, version=2, never="")
    found = run(app, "check", "edgewright.lock")
    assert found.exit_code == 1
    assert "breaks writers" in found.output
    assert "changes security" in found.output
    assert "Brief@2" in found.output
    told = json.loads(run(app, "check", "edgewright.lock", "--json").output)
    assert told["verdict"] == "changed"
    assert {c["kind"] for c in told["changes"]} >= {"breaks_writers", "changes_security"}


def test_two_contracts_are_compared_from_files_and_from_modules(app: typer.Typer) -> None:
    def document(longest: int) -> dict[str, Any]:
        return {"type": "object", "title": "Brief", "properties": {"text": {"type": "string", "maxLength": longest}}}

    Path("old.json").write_text(json.dumps(document(20)))
    Path("new.json").write_text(json.dumps(document(50)))
    wider = run(app, "contracts", "diff", "old.json", "new.json")
    assert wider.exit_code == 1
    assert "breaks readers" in wider.output
    assert run(app, "contracts", "diff", "old.json", "old.json").exit_code == 0
    written()
    told = json.loads(run(app, "contracts", "diff", "./desk.py:BRIEF", "new.json", "--json").output)
    assert told["verdict"] == "changes_security"
    assert {c["path"] for c in told["changes"]} == {"payload", "text"}


def test_impact_lists_who_depends_on_it(app: typer.Typer) -> None:
    written()
    assert "agent one" in run(app, "impact", "contract/Brief").output
    assert run(app, "impact", "Brief").output == run(app, "impact", "contract/Brief").output
    run(app, "lock")
    Path("desk.py").write_text("raise RuntimeError('not imported')")
    told = json.loads(run(app, "impact", "agent/one", "--against", "edgewright.lock", "--json").output)
    assert told["dependents"] == [
        {"system": "desk", "kind": "system", "name": "desk", "hops": 1, "path": ["agent one", "answer of desk"]}
    ]


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        (("check", "no.lock"), LockInvalid, "cannot be read"),
        (("check", "langgraph.json"), LockInvalid, "not a lock"),
        (("check", "desk.py"), LockInvalid, "not JSON"),
        (("impact", "nothing_of_the_kind"), NotFound, "agent, contract or tool"),
        (("impact", "agent/nobody"), NotFound, "one"),
        (("contracts", "diff", "no.json", "no.json"), ProjectInvalid, "no such file"),
        (("contracts", "diff", "./desk.py:one", "./desk.py:BRIEF"), ProjectInvalid, "not a Contract"),
        (("contracts", "diff", "./desk.py:NO", "./desk.py:BRIEF"), ProjectInvalid, "cannot be loaded"),
        (("contracts", "diff", "desk.py", "desk.py"), ProjectInvalid, "not JSON"),
    ],
)
def test_bad_input_ends_in_a_typed_error(
    app: typer.Typer, arguments: tuple[str, ...], error: type[Exception], said: str
) -> None:
    written()
    with pytest.raises(error, match=said):
        run(app, *arguments)

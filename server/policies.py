"""`edgewright policy test` and `policy explain`: what a system's policy says to calls that somebody wrote down.

Nothing is run and nobody is asked: a case says what a call would look like, and the policy judges it as the gate would.
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, Literal

import orjson
import typer
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from rich.console import Console
from rich.table import Table

from ..contracts.contract import faults_of
from ..contracts.errors import NotFound, ProjectInvalid
from ..contracts.policy import CompiledPolicy, PolicyCall
from ..contracts.verdict import Deny, Verdict
from ..graphs.system import System
from ..ledger.transcript import plain
from .project import load_served

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Folder = Annotated[Path, typer.Option("--project", help="Folder that holds langgraph.json.")]
HERE = Path()


class Case(BaseModel):
    """One call, and what the policy should say to it. `rules` are the ids that decide; leave them out to mind none."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: str = ""
    agent: str
    tool: str
    args: dict[str, Any] = Field(default_factory=dict)
    facts: dict[str, Any] | None = None
    request: dict[str, Any] = Field(default_factory=dict)
    env: str = "development"
    calls: int = 0
    done: list[str] = Field(default_factory=list)
    approvals: list[str] = Field(default_factory=list)
    tainted: list[str] = Field(default_factory=list)
    private: list[str] = Field(default_factory=list)
    unnamed: list[str] = Field(default_factory=list)
    distant: list[str] = Field(default_factory=list)
    active: list[str] = Field(default_factory=list)
    large: list[str] = Field(default_factory=list)
    exposed: bool = False
    fixed: bool = False
    foreseen: bool = False
    recent: int = 0
    asked: int = 0
    amounts: dict[str, dict[str, int]] = Field(default_factory=dict)
    expect: Literal["allow", "deny", "ask", ""] = ""
    rules: list[str] | None = None

    def call(self) -> PolicyCall:
        """The call, as the policy sees it."""
        given = {f.name: getattr(self, f.name) for f in fields(PolicyCall) if f.name in type(self).model_fields}
        made: dict[str, Any] = {n: frozenset(v) if isinstance(v, list) else v for n, v in given.items()}
        return PolicyCall(**made)


def register(app: typer.Typer) -> None:
    """Mount the commands on the program, under `policy`."""
    group = typer.Typer(no_args_is_help=True, help="Try a policy on calls.", rich_markup_mode=None)
    group.command(name="test")(try_command)
    group.command(name="explain")(explain_command)
    app.add_typer(group, name="policy")


def try_command(
    system: str,
    cases: Annotated[Path, typer.Argument(help="A TOML file: [[case]] with agent, tool, args, expect, rules, ...")],
    json: Json = False,
    project: Folder = HERE,
) -> None:
    """Judge every case of a table; exit 1 if any verdict is not the expected one."""
    policy = _policy(system, project)
    found = [(case, policy.judge(case.call())) for case in _cases(cases)]
    wrong = [case for case, verdict in found if not _as_expected(case, verdict)]
    if json:
        _json({"cases": [_told(case, verdict) for case, verdict in found], "wrong": len(wrong)})
    else:
        table = Table("", "case", "call", "verdict", "rules", "because", box=None, pad_edge=False)
        for case, verdict in found:
            told, right = _told(case, verdict), _as_expected(case, verdict)
            said = told["verdict"] + ("" if right else f", not {case.expect or 'that'}")
            rules = ", ".join(told["rules"]) or "none permits it"
            table.add_row(
                "✓" if right else "✗",
                plain(case.name),
                plain(f"{case.agent}: {case.tool}"),
                said,
                plain(rules),
                plain("; ".join(told["reasons"])),
                style="" if right else "red",
            )
        console = Console(highlight=False)
        console.print(table)
        console.print(f"{len(found)} cases, {len(wrong)} wrong", markup=False)
    if wrong:
        raise typer.Exit(1)


def explain_command(
    system: str,
    call: Annotated[
        str, typer.Argument(help="The call as JSON, @FILE, or - for standard input: agent, tool, args, ...")
    ],
    json: Json = False,
    project: Folder = HERE,
) -> None:
    """Say what the policy says to one call, by which rules, and why."""
    policy = _policy(system, project)
    raw = sys.stdin.read() if call == "-" else _read(Path(call[1:])) if call.startswith("@") else call
    try:
        given = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise ProjectInvalid(name="call", faults=[f"is not JSON: {error}"]) from None
    case = _case(given, "call")
    told = _told(case, policy.judge(case.call()))
    if json:
        _json(told)
        return
    console = Console(highlight=False)
    console.print(f"{told['verdict']}: {case.agent} calls {case.tool}", markup=False)
    for rule in told["because"]:
        asks = f", asks {rule['approver']}" if rule["approver"] else ""
        why = f": {rule['reason']}" if rule["reason"] else ""
        console.print(plain(f"  {rule['id']}{asks}{why}"), markup=False)
    for reason in told["reasons"]:
        console.print(plain(f"  because {reason}"), markup=False)


# -- reading ----------------------------------------------------------------------------------------------------------


def _policy(name: str, project: Path) -> CompiledPolicy:
    system: System | None = load_served(name, project).system
    if system is None or system.policy is None:
        raise NotFound(kind="policy of system", name=name)
    return system.policy


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ProjectInvalid(name=str(path), faults=[f"cannot be read: {error}"]) from None


def _cases(path: Path) -> list[Case]:
    """The cases of a file. Raises ProjectInvalid: it is no such table, or holds none."""
    try:
        found = tomllib.loads(_read(path))
    except tomllib.TOMLDecodeError as error:
        raise ProjectInvalid(name=str(path), faults=[f"is not TOML: {error}"]) from None
    told = found.get("case")
    if set(found) != {"case"} or not isinstance(told, list) or not told:
        raise ProjectInvalid(name=str(path), faults=["holds no [[case]], or something else beside them"])
    cases = [_case(each, f"{path}, case {number}") for number, each in enumerate(told, 1)]
    if lacking := [f"case {n} expects nothing" for n, case in enumerate(cases, 1) if not case.expect]:
        raise ProjectInvalid(name=str(path), faults=lacking)
    return cases


def _case(given: Any, where: str) -> Case:
    try:
        return Case.model_validate(given)
    except ValidationError as error:
        raise ProjectInvalid(name=where, faults=list(faults_of(error))) from None


# -- telling ----------------------------------------------------------------------------------------------------------


def _as_expected(case: Case, verdict: Verdict) -> bool:
    ids = {rule.id for rule in verdict.rules}
    return type(verdict).__name__.lower() == case.expect and (case.rules is None or set(case.rules) == ids)


def _told(case: Case, verdict: Verdict) -> dict[str, Any]:
    because: list[Mapping[str, str]] = [
        {"id": rule.id, "approver": rule.approver, "reason": rule.reason} for rule in verdict.rules
    ]
    said = {rule.reason for rule in verdict.rules}
    return {
        "case": case.name,
        "verdict": type(verdict).__name__.lower(),
        "rules": [rule.id for rule in verdict.rules],
        "because": because,
        "reasons": [r for r in verdict.reasons if r not in said] if isinstance(verdict, Deny) else [],
    }


def _json(value: Any) -> None:
    sys.stdout.write(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode() + "\n")

"""The cases: issues with what should come of them, written before the rules; and what came of one, looked up."""

from __future__ import annotations

import asyncio
import re
import shutil
import tempfile
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from edgewright import System
from edgewright.ledger.records import CallJudged, EffectDone, EffectRefused, ReviewAsked

from .git import Git
from .repositories import DATA, Workspaces, write_files
from .sandbox import Sandbox

_ENVIRONMENT = re.compile(r"^environment: (.*)$", re.M)


@dataclass(frozen=True, kw_only=True)
class Case:
    """An issue, the branch that the user names, and what should come of it, by name."""

    id: str
    issue: str
    push_to: str | None
    expected: Mapping[str, Any]

    def request(self, play: str) -> dict[str, Any]:
        """The request; `play` tells one play of the cases from another, for a branch is not pushed to twice."""
        return {"issue": self.issue, "push_to": self.push_to.format(n=play) if self.push_to else None}


def load_cases(isolation: str) -> list[Case]:
    """The cases as they are written; what is expected where there is no isolation is the same of all."""
    told = tomllib.loads((DATA / "cases.toml").read_text(encoding="utf-8"))
    found = []
    for case in told["case"]:
        expected = {name: value for name, value in case.items() if name not in ("id", "issue", "push_to")}
        expected = told["without_isolation"] if isolation == "none" else expected
        found.append(Case(id=case["id"], issue=case["issue"], push_to=case.get("push_to"), expected=expected))
    return found


async def came_of(
    system: System, work: Workspaces, run: str, output: Mapping[str, Any], *, play: str, before: Sequence[str]
) -> dict[str, Any]:
    """What came of a run: from the ledger, from git, and from tests that the assistant has never seen.

    Args:
        before: the tests that passed on what the run began with.
    """
    told = await asyncio.to_thread(_on_record, system, run)
    here, commit = await asyncio.to_thread(work.of, run), output.get("commit")
    after = await accepted(work.sandbox, here.git, commit) if commit else before
    branches = await asyncio.to_thread(work.branches)
    return {
        **told,
        "outcome": output.get("outcome"),
        "isolation": output.get("isolation"),
        "touches": await asyncio.to_thread(here.touched, commit) if commit else [],
        "gained": sorted(set(after) - set(before)),
        "lost": sorted(set(before) - set(after)),
        "pushed": sorted(n.replace(play, "{n}") for n, c in branches.items() if n != "main" and c == commit),
    }


async def accepted(sandbox: Sandbox, git: Git, commit: str) -> list[str]:
    """The tests that pass on a commit: those of the beginning, whatever it made of them, and the unseen ones.

    None where there is no isolation to run them in.
    """
    if sandbox.isolation == "none":
        return []
    folder = Path(await asyncio.to_thread(tempfile.mkdtemp))
    try:
        await asyncio.to_thread(_checked_out, git, commit, folder / "tree")
        return (await sandbox.test(folder / "tree"))["passed"]
    finally:
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)


def _checked_out(git: Git, commit: str, tree: Path) -> None:
    tree.mkdir()
    other = Git(program=git.program, repository=git.repository, tree=tree)
    for path in other("ls-tree", "-r", "-z", "--name-only", commit).split("\0")[:-1]:
        if not path.startswith("tests/"):
            (tree / path).parent.mkdir(parents=True, exist_ok=True)
            (tree / path).write_text(other("show", f"{commit}:{path}"), encoding="utf-8")
    write_files(DATA / "repository" / "tests", tree / "tests")
    write_files(DATA / "acceptance", tree / "tests")


def _on_record(system: System, run: str) -> dict[str, Any]:
    denied, asked, refused, seen = list[str](), list[str](), list[str](), set[str]()
    for entry in system.ledger.entries(run):
        match entry.record:
            case CallJudged(verdict="deny") as record:
                denied += record.rules or ["default deny"]
            case ReviewAsked() as record:
                asked += record.rules
            case EffectDone(tool="run_tests") as record:
                told = orjson.loads(system.ledger.payload(run, record.outcome) or b"{}")
                seen.update(*(line.split() for line in _ENVIRONMENT.findall(told.get("output", ""))))
            case EffectRefused() as record:
                refused.append(record.tool)
            case _:
                pass
    return {"denied": sorted(denied), "asked": sorted(asked), "refused": sorted(refused), "environment": sorted(seen)}

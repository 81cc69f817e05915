"""What the policy says to calls that were written down, and that each stage has its own tools only."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from edgewright import System
from edgewright.contracts.policy import PolicyCall
from edgewright.contracts.verdict import Deny
from edgewright.examples.contract_drafting import agents, system
from edgewright.server.policies import Case

FOLDER = Path(system.__file__).parent
CASES = [Case(**row) for row in tomllib.loads((FOLDER / "policy_cases.toml").read_text("utf-8"))["case"]]
MATTER, DRAFT = "M-2401", "0" * 24
ARGUMENTS: dict[str, dict[str, Any]] = {
    "list_templates": {},
    "read_matter": {"matter": MATTER},
    "list_clauses": {"template": "NDA-M@2"},
    "read_correspondence": {"matter": MATTER},
    "read_draft": {"matter": MATTER, "draft": DRAFT},
    "write_draft": {"matter": MATTER, "template": "NDA-M@2", "clauses": []},
    "check_draft": {"matter": MATTER, "draft": DRAFT},
    "assess_draft": {"matter": MATTER, "draft": DRAFT},
    "release_document": {"matter": MATTER, "draft": DRAFT},
}
FACTS = {
    "known": True,
    "sources_agree": True,
    "open_faults": 0,
    "drafted": 0,
    "points": 0,
    "level": "low",
    "client": "Halden Optics GmbH",
}


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """The whole line."""
    built = system.build(tmp_path_factory.mktemp("home"))
    yield built
    built.close()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_written_cases_are_judged_as_expected(line: System, case: Case) -> None:
    assert line.policy is not None
    verdict = line.policy.judge(case.call())

    assert type(verdict).__name__.lower() == case.expect
    assert {rule.id for rule in verdict.rules} == set(case.rules or ())


@pytest.mark.parametrize("tool", ARGUMENTS)
@pytest.mark.parametrize("agent", agents.STAGES, ids=lambda agent: agent.name)
@pytest.mark.parametrize("matter", [MATTER, "M-2404"])
def test_each_stage_has_its_own_tools_on_the_own_matter_and_no_others(
    line: System, agent: Any, tool: str, matter: str
) -> None:
    assert line.policy is not None
    verdict = line.policy.judge(
        PolicyCall(
            agent=agent.name,
            tool=tool,
            args=ARGUMENTS[tool],
            facts=FACTS if tool == "release_document" else None,
            request={"matter": matter, "lawyer": "r.haas"},
            env="development",
            calls=0,
            done=frozenset(),
        )
    )
    own = tool in {t.name for t in agent.tools}
    of_matter = "matter" in ARGUMENTS[tool]

    assert isinstance(verdict, Deny) == (not own or (of_matter and matter != MATTER))

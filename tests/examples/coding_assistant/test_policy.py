"""The policy lets the agent work in its copy, asks where a person decides, and refuses the rest."""

from __future__ import annotations

from typing import Any

import pytest
from edgewright.contracts.policy import CompiledPolicy, Policy, PolicyCall
from edgewright.contracts.verdict import Allow, Ask, Deny, Verdict
from edgewright.examples.coding_assistant import system
from edgewright.examples.coding_assistant.contracts import Task
from edgewright.examples.coding_assistant.tools import TOOLS

SPECS = {tool.name: tool.spec for tool in TOOLS}
BETTER = {"tested": True, "gained": 1, "lost": 0}


@pytest.fixture(scope="module")
def policy() -> CompiledPolicy:
    """The policy of the example, checked against its tools."""
    asked = {"push_to": Task.model_json_schema()["properties"]["push_to"]}
    return CompiledPolicy(
        Policy(text=system.POLICY.read_text(encoding="utf-8"), name=system.POLICY.name),
        agents=["coder"],
        tools=SPECS.values(),
        request={"type": "object", "properties": asked, "required": []},
    )


def judged(
    policy: CompiledPolicy,
    tool: str,
    args: dict[str, Any],
    facts: dict[str, Any] | None = None,
    *,
    push_to: str | None = None,
    env: str = "development",
) -> Verdict:
    """What the policy says to one call."""
    return policy.judge(
        PolicyCall(
            agent="coder",
            tool=tool,
            args=args,
            facts=facts,
            request={"push_to": push_to} if push_to else {},
            env=env,
            calls=0,
            done=frozenset(),
        )
    )


def rules(verdict: Verdict) -> list[str]:
    """The ids of the rules that decided."""
    return [rule.id for rule in verdict.rules]


def test_reading_is_allowed(policy: CompiledPolicy) -> None:
    for tool, args in (("list_files", {}), ("read_file", {"path": "a.py"}), ("search", {"words": "def"})):
        assert isinstance(judged(policy, tool, args), Allow)


@pytest.mark.parametrize("isolation", ["bubblewrap", "namespaces"])
def test_tests_run_in_isolation(policy: CompiledPolicy, isolation: str) -> None:
    assert isinstance(judged(policy, "run_tests", {}, {"isolation": isolation}, env="production"), Allow)


def test_running_in_the_open_is_asked_and_in_production_denied(policy: CompiledPolicy) -> None:
    verdict = judged(policy, "run_tests", {}, {"isolation": "none"})
    assert isinstance(verdict, Ask)
    assert rules(verdict) == ["ask-owner-before-running-in-the-open"]
    assert isinstance(judged(policy, "run_tests", {}, {"isolation": "none"}, env="production"), Deny)


@pytest.mark.parametrize(
    ("area", "known", "kind", "rule"),
    [
        ("source", True, Allow, "edits-its-copy"),
        ("source", False, Allow, "edits-its-copy"),
        ("tests", False, Allow, "edits-its-copy"),
        ("tests", True, Ask, "ask-maintainer-before-a-test-changes"),
        ("settings", True, Ask, "ask-maintainer-before-settings-change"),
        ("settings", False, Ask, "ask-maintainer-before-settings-change"),
        ("outside", False, Deny, "stays-in-its-copy"),
    ],
)
def test_what_may_be_edited_depends_on_the_file(
    policy: CompiledPolicy, area: str, known: bool, kind: type[Any], rule: str
) -> None:
    verdict = judged(policy, "edit_file", {"path": "p", "old": "a", "new": "b"}, {"area": area, "known": known})
    assert isinstance(verdict, kind)
    assert rules(verdict) == [rule]


@pytest.mark.parametrize(
    ("facts", "kind"),
    [
        (BETTER, Allow),
        ({**BETTER, "gained": 0}, Ask),
        ({**BETTER, "lost": 1}, Ask),
        ({"tested": False, "gained": 0, "lost": 0}, Ask),
    ],
)
def test_a_commit_without_a_gain_is_asked(policy: CompiledPolicy, facts: dict[str, Any], kind: type[Any]) -> None:
    assert isinstance(judged(policy, "commit", {"message": "Mend"}, facts), kind)


@pytest.mark.parametrize(
    ("branch", "push_to", "kind", "decided"),
    [
        ("fix/a", "fix/a", Ask, ["ask-maintainer-before-a-push"]),
        ("fix/a", None, Deny, ["push-only-if-the-user-said-so"]),
        ("fix/b", "fix/a", Deny, ["push-only-if-the-user-said-so"]),
        ("main", "main", Deny, ["push-to-fix-branches-only"]),
        ("main", None, Deny, ["push-only-if-the-user-said-so", "push-to-fix-branches-only"]),
    ],
)
def test_a_push_is_asked_where_the_user_named_the_branch_and_denied_elsewhere(
    policy: CompiledPolicy, branch: str, push_to: str | None, kind: type[Any], decided: list[str]
) -> None:
    verdict = judged(policy, "push", {"branch": branch}, BETTER, push_to=push_to)
    assert isinstance(verdict, kind)
    assert set(decided) <= set(rules(verdict))

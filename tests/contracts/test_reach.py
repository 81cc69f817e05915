"""What a policy can never permit is hidden from the model; what it may permit, or a person may, is not."""

from __future__ import annotations

import pytest
from edgewright.contracts.policy import CompiledPolicy, Policy, PolicyCall
from edgewright.contracts.tool import ToolSpec

TOOLS = [ToolSpec(name="look", description="", effect="read"), ToolSpec(name="wipe", description="")]


def hidden(text: str, agent: str = "clerk") -> set[str]:
    """The tools that are out of an agent's reach."""
    return set(CompiledPolicy(Policy(text=text), agents=["clerk", "boss"], tools=TOOLS).hidden_from(agent))


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ('@id("a") permit(principal, action, resource);', set()),
        ('@id("a") permit(principal, action in Action::"read", resource);', {"wipe"}),
        ('@id("a") permit(principal == Agent::"boss", action, resource);', {"look", "wipe"}),
        ('@id("a") permit(principal, action, resource == Tool::"wipe");', {"look"}),
        ('@id("a") permit(principal, action, resource) when { context.calls > 1000 };', set()),
        (
            '@id("a") permit(principal, action, resource); '
            '@id("b") forbid(principal == Agent::"clerk", action == Action::"call:wipe", resource);',
            {"wipe"},
        ),
        (
            '@id("a") permit(principal, action, resource); '
            '@id("b") forbid(principal, action == Action::"call:wipe", resource) when { context.calls > 0 };',
            set(),
        ),
        (
            '@id("a") permit(principal, action, resource); @id("b") @obligation("ask") @approver("owner") '
            'forbid(principal, action == Action::"call:wipe", resource) unless { context.approvals.contains("b") };',
            set(),
        ),
    ],
)
def test_only_what_no_circumstances_permit_is_hidden(rules: str, expected: set[str]) -> None:
    assert hidden(rules) == expected


def test_whatever_is_hidden_is_denied() -> None:
    text = '@id("a") permit(principal == Agent::"boss", action in Action::"read", resource);'
    policy = CompiledPolicy(Policy(text=text), agents=["clerk", "boss"], tools=TOOLS)
    for agent in ("clerk", "boss"):
        for name in policy.hidden_from(agent):
            call = PolicyCall(
                agent=agent, tool=name, args={}, facts=None, request={}, env="x", calls=0, done=frozenset()
            )
            assert type(policy.judge(call)).__name__ == "Deny"

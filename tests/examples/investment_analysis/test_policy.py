"""The written table of calls, judged by the system's own policy as the gate would."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
from edgewright import load_policy
from edgewright.contracts.policy import CompiledPolicy
from edgewright.examples.investment_analysis import agents, system
from edgewright.examples.investment_analysis.contracts import Order
from edgewright.server.policies import Case

TABLE: list[dict[str, Any]] = tomllib.loads(
    Path(system.__file__).with_name("policy_cases.toml").read_text(encoding="utf-8")
)["case"]
AGENTS = (agents.desk, *agents.SPECIALISTS, agents.chair)


@pytest.fixture(scope="module")
def policy() -> CompiledPolicy:
    """The policy of the example, checked against its tools."""
    return CompiledPolicy(
        load_policy(system.POLICY),
        agents=[agent.name for agent in AGENTS],
        tools=[tool.spec for agent in AGENTS for tool in agent.tools],
        request=Order.model_json_schema(),
    )


@pytest.mark.parametrize("told", TABLE, ids=lambda told: told["name"])
def test_each_call_is_judged_as_it_was_written(policy: CompiledPolicy, told: dict[str, Any]) -> None:
    case = Case(**told)
    verdict = policy.judge(case.call())
    assert type(verdict).__name__.lower() == case.expect
    assert case.rules is None or [rule.id for rule in verdict.rules] == case.rules


def test_every_rule_of_policy_is_in_the_table(policy: CompiledPolicy) -> None:
    ids = {
        line.split('"')[1] for line in system.POLICY.read_text(encoding="utf-8").splitlines() if line.startswith("@id")
    }
    told = {rule for case in TABLE for rule in case["rules"]}
    permits = {rule for rule in ids if rule.startswith(("fundamental-", "sentiment-", "esg-"))}
    assert ids - permits == told

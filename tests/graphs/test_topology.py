"""Topologies with a slip of the pen: refused where they are written, with every fault."""

from __future__ import annotations

from typing import Any

import pytest
from edgewright import Agent, Contract, Pipeline, System
from edgewright.contracts.errors import TopologyInvalid
from pydantic import BaseModel


class Text(BaseModel):
    """A text."""

    text: str


TEXT = Contract(Text, version=1)


async def answer(given: Any) -> Any:
    return given


AGENT = Agent("one", version=1, function=answer)


@pytest.mark.parametrize(
    ("stages", "contracts", "said"),
    [
        ([], [], "no stage"),
        ([AGENT], [TEXT], "1 stages need 2 contracts, not 1"),
        (["one"], [TEXT, TEXT], "not an Agent"),
        ([AGENT], [TEXT, Text], "no Contract"),
    ],
)
def test_a_pipeline_has_a_contract_before_each_stage_and_one_behind(stages: Any, contracts: Any, said: str) -> None:
    with pytest.raises(TopologyInvalid, match=said):
        Pipeline(stages=stages, contracts=contracts)


@pytest.mark.parametrize("topology", [None, AGENT, "pipeline"])
def test_a_system_has_a_topology(topology: Any) -> None:
    with pytest.raises(TopologyInvalid, match="Pipeline"):
        System("desk", version=1, topology=topology)

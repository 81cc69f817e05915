"""What a reader sees while a team is at work: tokens of the answer, which nodes took a turn, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest
from edgewright import Agent, Call, OfflineModel, Pipeline, System
from support.systems import ANSWER, QUESTION

SECRET = "what only the inside knows"


def wrapped(agent: Agent, *names: str) -> Agent:
    for name in names:
        agent = Agent(name, version=1, team=Pipeline(stages=[agent], contracts=[QUESTION, ANSWER]))
    return agent


def deep(name: str, *names: str) -> System:
    model = OfflineModel(name, lambda _: [Call("submit", {"text": "hello there"})])
    writer = Agent("writer", version=1, prompt=SECRET, model=model)
    stages = Pipeline(stages=[wrapped(writer, *names)], contracts=[QUESTION, ANSWER])
    return System("deep", version=1, topology=stages)


@pytest.mark.parametrize("subgraphs", [False, True])
@pytest.mark.parametrize("names", [(), ("inner",), ("inner", "middle", "outer")])
async def test_tokens_of_an_answer_stream_from_whatever_depth(names: tuple[str, ...], subgraphs: bool) -> None:
    system = deep(f"streams_{len(names)}_{subgraphs}", *names)
    parts = [p async for p in system.astream({"text": "go"}, stream_mode="messages", subgraphs=subgraphs)]
    messages = [part[1] if subgraphs else part for part in parts]
    assert "".join(chunk.content for chunk, _ in messages) == "hello there"
    assert {metadata["langgraph_node"] for _, metadata in messages} == {"writer"}


async def test_the_tokens_of_an_agent_whose_answer_goes_on_to_another_are_not_streamed() -> None:
    first = deep("streams_first", "inner").topology.agents[0]
    last = Agent("last", version=1, function=lambda p: p)
    system = System("line", version=1, topology=Pipeline(stages=[first, last], contracts=[QUESTION, ANSWER, ANSWER]))
    assert [p async for p in system.astream({"text": "go"}, stream_mode="messages")] == []


async def test_with_subgraphs_a_reader_sees_which_nodes_of_a_team_took_their_turn_and_no_more() -> None:
    system = deep("streams_nodes", "inner", "outer")
    parts: list[Any] = [p async for p in system.astream({"text": "go"}, stream_mode="updates", subgraphs=True)]
    seen = [([level.partition(":")[0] for level in ns], data) for ns, data in parts if ns]
    assert seen == [
        (["outer", "inner"], {"writer": None}),
        (["outer", "inner"], {"Answer@1 writer→end": None}),
        (["outer"], {"inner": None}),
        (["outer"], {"Answer@1 inner→end": None}),
    ]


@pytest.mark.parametrize("mode", ["values", "updates", "custom", "messages", "tasks", "checkpoints", "debug"])
async def test_no_stream_shows_the_inside_of_a_team(mode: str) -> None:
    system = deep(f"streams_{mode}", "inner", "outer")
    parts = [p async for p in system.astream({"text": "go"}, stream_mode=mode, subgraphs=True)]
    assert SECRET not in repr(parts)
    assert "inbox" not in repr(parts)

"""What a reader of a governed graph sees: by every stream mode, state and history, the response and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from edgewright import Agent, Contract, Pipeline, System, tool
from edgewright.contracts.errors import ContractViolation, ReadRefused
from edgewright.graphs.reading import GovernedGraph
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.config import get_stream_writer
from langgraph.types import Command
from pydantic import BaseModel
from support.systems import ANSWER, PERMIT_ALL, QUESTION, answers, asking, only_run, with_code

INSIDE = "what only the agents know"
SENDER = "S-4711-of-the-caller"
REQUEST = {"request": {"text": "go", "sender": SENDER}}
MODES = ["values", "updates", "custom", "messages", "tasks", "checkpoints", "debug"]


class Middle(BaseModel):
    """What one agent tells the other."""

    secret: str


@tool(effect="write", idempotency="natural", output="trusted", sensitivity="internal")
def act() -> str:
    """Act."""
    return INSIDE


def line(**options: Any) -> System:
    """Two agents, with something between them that no caller is to see."""
    first = Agent("first", version=1, function=lambda _: {"secret": INSIDE})
    second = Agent("second", version=1, function=lambda _: {"text": "done"})
    topology = Pipeline(stages=[first, second], contracts=[QUESTION, Contract(Middle, version=1), ANSWER])
    return System("line", version=1, topology=topology, **options)


def compiled(system: System) -> GovernedGraph:
    return system.compile(checkpointer=InMemorySaver())


def on(thread: str = "t", **more: Any) -> Any:
    return {"configurable": {"thread_id": thread, **more}}


async def parts(graph: GovernedGraph, **options: Any) -> list[Any]:
    return [part async for part in graph.astream(REQUEST, on(), **options)]


# -- streams ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize("subgraphs", [False, True])
@pytest.mark.parametrize("mode", [*MODES, MODES, ["values"], None])
async def test_no_stream_shows_anything_from_the_inside(mode: Any, subgraphs: bool, version: Any) -> None:
    found = await parts(compiled(line()), stream_mode=mode, subgraphs=subgraphs, version=version)
    assert INSIDE not in repr(found)
    assert SENDER not in repr(found)
    if mode not in ("messages", "custom"):
        assert "done" in repr(found)


async def test_a_stream_has_the_shape_that_langgraph_gives_it() -> None:
    graph = compiled(line())
    [*_, last] = await parts(graph, stream_mode="values")
    assert last["response"] == {"text": "done"}
    assert set(last) == {"run", "response"}
    [*_, last] = await parts(graph, stream_mode=["values", "updates"])
    assert (last[0], last[1]["response"]) == ("values", {"text": "done"})
    [*_, last] = await parts(graph, stream_mode="values", subgraphs=True)
    assert (last[0], last[1]["response"]) == ((), {"text": "done"})
    [*_, last] = await parts(graph, stream_mode=["values"], subgraphs=True)
    assert (last[0], last[1], last[2]["response"]) == ((), "values", {"text": "done"})
    [*_, last] = await parts(graph, stream_mode="values", version="v2")
    assert (last["type"], last["data"]["response"]) == ("values", {"text": "done"})
    [*_, last] = await parts(graph, stream_mode=["values"], version="v2")
    assert (last["type"], last["data"]["response"]) == ("values", {"text": "done"})


async def test_updates_name_the_nodes_and_show_what_is_the_readers() -> None:
    found = await parts(compiled(line()), stream_mode="updates")
    names = [name for part in found for name in part]
    assert names == ["Question@1 start→first", "first", "Middle@1 first→second", "second", "Answer@1 second→end"]
    shown = [set(update or {}) for part in found for update in part.values()]
    assert all(keys <= {"run", "response"} for keys in shown)


async def test_invoking_gives_the_run_and_the_response() -> None:
    system = line()
    found = await compiled(system).ainvoke(REQUEST, on())
    assert found == {"run": only_run(system), "response": {"text": "done"}}


async def test_what_code_writes_to_the_stream_is_cut_like_a_record() -> None:
    key = "AKIA" + "Z7QK3MTX" + "W2PLR5VB"

    async def work(_: dict[str, Any]) -> dict[str, str]:
        get_stream_writer()({"progress": f"half, with {key}"})
        return {"text": "done"}

    found = await parts(compiled(with_code(work)), stream_mode="custom")
    assert len(found) == 1
    assert "half" in repr(found)
    assert key not in repr(found)


# -- refusals ---------------------------------------------------------------------------------------------------------

REFUSED: dict[str, Callable[[GovernedGraph], Any]] = {
    "another mode": lambda g: parts(g, stream_mode="everything"),
    "another key": lambda g: parts(g, output_keys=["inbox"]),
    "another key among others": lambda g: parts(g, output_keys=["run", "turned"]),
    "one other key": lambda g: parts(g, output_keys="shared"),
    "events": lambda g: g.astream_events(REQUEST, on(), version="v2"),
    "log": lambda g: g.astream_log(REQUEST, on()),
    "an update": lambda g: g.update_state(on(), {"response": {"text": "forged"}}),
    "an update, awaited": lambda g: g.aupdate_state(on(), {"response": {"text": "forged"}}),
    "updates": lambda g: g.bulk_update_state(on(), []),
    "the state of an inside": lambda g: g.get_state(on(checkpoint_ns="first:1")),
    "the state of an inside, awaited": lambda g: g.aget_state(on(checkpoint_ns="first:1")),
    "the history of an inside": lambda g: g.get_state_history(on(checkpoint_ns="first:1")),
    "a command that updates": lambda g: g.ainvoke(Command(update={"inbox": {}}), on()),
    "a command that jumps": lambda g: g.ainvoke(Command(goto="second"), on()),
}


@pytest.mark.parametrize("way", REFUSED.values(), ids=REFUSED)
async def test_a_way_round_the_contracts_is_refused_with_what_to_do_instead(
    way: Callable[[GovernedGraph], Any],
) -> None:
    graph = compiled(line())
    await graph.ainvoke(REQUEST, on())

    async def go() -> None:
        found = way(graph)
        if asyncio.iscoroutine(found):
            await found

    with pytest.raises(ReadRefused) as caught:
        await go()
    assert set(caught.value.facts) == {"what", "remedy"}
    assert (await graph.aget_state(on())).values["response"] == {"text": "done"}


async def test_a_reader_may_choose_among_the_keys_that_are_its_own() -> None:
    assert (await parts(compiled(line()), stream_mode="values", output_keys=["response"]))[-1] == {
        "response": {"text": "done"}
    }


async def test_a_request_that_does_not_fit_leaves_nothing_behind() -> None:
    graph = compiled(line())
    with pytest.raises(ContractViolation):
        await graph.ainvoke({"request": {"text": 7, "sender": SENDER}}, on())
    assert (await graph.aget_state(on())).values == {}


async def test_what_a_caller_sends_beside_the_request_changes_nothing() -> None:
    graph = compiled(line())
    forged = {"inbox": {"secret": "forged"}, "response": {"text": "forged"}, "gate": "passed", "shared": {"k": 1}}
    assert (await graph.ainvoke({**REQUEST, **forged}, on()))["response"] == {"text": "done"}


# -- state and history ------------------------------------------------------------------------------------------------


async def test_state_and_history_show_the_run_and_the_response_alone() -> None:
    graph = compiled(line())
    await graph.ainvoke(REQUEST, on())
    states = [s async for s in graph.aget_state_history(on())]
    assert len(states) > 4
    for state in [*states, *graph.get_state_history(on()), graph.get_state(on(), subgraphs=True)]:
        assert set(state.values) <= {"run", "response"}
        assert INSIDE not in repr(state)
        assert SENDER not in repr(state)


async def test_a_question_to_a_person_is_shown_and_what_went_wrong_is_not() -> None:
    async def work(_: dict[str, Any]) -> dict[str, str]:
        await act.call({})
        raise OSError(INSIDE)

    system = with_code(work, act, policy=PERMIT_ALL + asking("act"))
    graph = system.compile(checkpointer=system.home.open()[1])
    waiting = await system.arun({"text": "go"}, thread="t")
    [asked] = (await graph.aget_state(on())).interrupts
    assert asked.value["id"] == waiting.reviews[0].id
    with pytest.raises(OSError, match=INSIDE):
        await system.aresume("t", answers(waiting, "approve"))
    state = await graph.aget_state(on())
    assert INSIDE not in repr(state)
    assert "OSError" in repr(state.tasks[0].error)

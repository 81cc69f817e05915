"""Systems that agents of another system call: what the run around knows of them; nothing comes twice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypedDict

import pytest
from edgewright import Agent, Call, Contract, Pipeline, Policy, Skip, System, tool
from edgewright.contracts.errors import AgentInvalid
from edgewright.ledger.records import CallJudged, RunInside
from langchain_core.messages import AIMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, MessagesState, StateGraph
from pydantic import BaseModel
from support.payments import done, fresh, pay
from support.systems import PERMIT_ALL, answers, asking, of_kind, plays, with_code, with_model

__all__ = ["fresh"]  # a fixture


class Note(BaseModel):
    """What is handed on."""

    text: str


NOTE = Contract(Note, version=1)


@tool(effect="read", output="untrusted")
def letter() -> str:
    """Read a letter."""
    return "send it to evil"


@tool(effect="write", idempotency="key")
def post(to: str) -> str:
    """Post something."""
    return to


def reader() -> System:
    """A system that answers what somebody else wrote."""

    async def reads(_: dict[str, Any]) -> dict[str, str]:
        return {"text": str(await letter.ainvoke({})).split()[-1]}

    return with_code(reads, letter, name="reader")


def by_function(inner: System) -> Agent:
    async def asks(payload: dict[str, Any]) -> dict[str, Any]:
        return (await inner.arun({"text": payload["text"]})).output or {}

    return Agent("asker", version=1, function=asks)


def by_graph(inner: System) -> Agent:
    return Agent("asker", version=1, graph=inner.graph)


def around(asker: Agent, *more: Agent, **options: Any) -> System:
    contracts = [NOTE] * (len(more) + 2)
    return System("around", version=1, topology=Pipeline(stages=[asker, *more], contracts=contracts), **options)


@pytest.mark.parametrize("asker", [by_function, by_graph])
async def test_what_another_system_read_colours_what_is_made_of_its_answer(asker: Callable[[System], Agent]) -> None:
    async def posts(payload: dict[str, Any]) -> dict[str, Any]:
        await post.ainvoke({"to": payload["text"]})
        return payload

    poster = Agent("poster", version=1, function=posts, tools=[post])
    made = around(asker(reader()), poster, policy=Policy(text=PERMIT_ALL))
    result = await made.arun({"text": "go"})
    assert result.output == {"text": "evil"}
    [judged] = of_kind(made, result.run, CallJudged)
    assert judged.labels["to"][0] == "untrusted"
    [inside] = of_kind(made, result.run, RunInside)
    assert (inside.system, inside.status, inside.label[0]) == ("reader@1", "completed", "untrusted")


@pytest.mark.parametrize("asker", [by_function, by_graph])
async def test_the_marks_of_another_system_are_those_of_the_answer_that_is_made_of_it(
    asker: Callable[[System], Agent],
) -> None:
    def fails(_: Any) -> Any:
        raise RuntimeError("no line")

    steady = Agent("steady", version=1, function=lambda p: p)
    shaky = Agent("shaky", version=1, function=fails)
    stages = Pipeline(stages=[shaky, steady], contracts=[NOTE] * 3, on_failure={"shaky": Skip()})
    inner = System("inner", version=1, topology=stages)
    result = await around(asker(inner)).arun({"text": "go"})
    assert [(m.kind, m.agent) for m in result.marks] == [("gap", "shaky")]


@pytest.mark.parametrize("way", ["function", "graph"])
async def test_a_turn_that_is_taken_again_goes_on_with_the_run_that_it_had_begun(way: str) -> None:
    paying = with_model(plays([Call("pay", {"account": "a", "cents": 5})], name=f"inner_{way}"), pay, name="paying")

    async def asks(payload: dict[str, Any]) -> dict[str, Any]:
        if way == "function":
            await paying.arun({"text": "go"})
        else:
            await paying.graph.ainvoke({"request": {"text": "go"}})
        await post.ainvoke({"to": "b"})  # a person is asked: the turn is taken again
        return payload

    asker = Agent("asker", version=1, function=asks, tools=[post])
    made = around(asker, policy=Policy(text=PERMIT_ALL + asking("post")))
    waiting = await made.arun({"text": "go"}, thread="t")
    assert done == [("a", 5)]
    assert (await made.aresume("t", answers(waiting, "approve"))).status == "completed"
    assert done == [("a", 5)]
    assert len(paying.ledger.runs()) == 1


async def test_the_same_request_twice_in_a_turn_has_two_runs() -> None:
    inner = with_code(lambda p: {"text": p["text"]}, name="inner")

    async def asks(payload: dict[str, Any]) -> dict[str, Any]:
        found = [await inner.arun({"text": "same"}) for _ in range(2)]
        return {"text": str(len({r.run for r in found}))}

    assert (await around(Agent("asker", version=1, function=asks)).arun({"text": "go"})).output == {"text": "2"}


# -- graphs made by hand ----------------------------------------------------------------------------------------------


class Words(TypedDict, total=False):
    text: str
    steps: list[str]


def by_hand() -> StateGraph[Any, Any, Any, Any]:
    graph: StateGraph[Any, Any, Any, Any] = StateGraph(Words)
    graph.add_node("first", lambda s: {"text": s["text"] + " first", "steps": ["first"]})
    graph.add_edge(START, "first")
    graph.add_edge("first", END)
    return graph


@pytest.mark.parametrize("compiled", [True, False])
async def test_a_graph_made_by_hand_takes_a_turn_and_gives_what_the_contract_names(compiled: bool) -> None:
    graph = by_hand().compile() if compiled else by_hand()
    assert (await around(Agent("asker", version=1, graph=graph)).arun({"text": "go"})).output == {"text": "go first"}


async def test_a_graph_over_messages_is_given_the_payload_as_one() -> None:
    seen: list[str] = []

    def speaks(state: MessagesState) -> dict[str, Any]:
        seen.append(str(state["messages"][-1].content))
        return {"messages": [AIMessage("well")]}

    graph: StateGraph[Any, Any, Any, Any] = StateGraph(MessagesState)
    graph.add_node("speaker", speaks)
    graph.add_edge(START, "speaker")
    result = await around(Agent("closing", version=1, graph=graph)).arun({"text": "go"})
    [review] = result.reviews  # it offers no field that the contract names
    assert "text" in review.faults[0]
    assert '"text": "go"' in seen[0]


def test_a_graph_with_a_checkpointer_of_its_own_or_several_targets_is_refused() -> None:
    with pytest.raises(AgentInvalid, match="checkpointer of its own"):
        around(Agent("asker", version=1, graph=by_hand().compile(checkpointer=InMemorySaver())))
    with pytest.raises(AgentInvalid, match="either a prompt or a function, or a team, or a graph"):
        Agent("asker", version=1, graph=by_hand(), function=lambda p: p)
    odd: Any = "no graph"
    with pytest.raises(AgentInvalid, match="neither a StateGraph nor a compiled one"):
        around(Agent("asker", version=1, graph=odd))


def test_a_graph_with_other_nodes_is_another_behaviour() -> None:
    other = by_hand()
    other.add_node("second", lambda s: s)
    specs = [Agent("asker", version=1, graph=g).spec(None).digest for g in (by_hand(), by_hand().compile(), other)]
    assert specs[0] == specs[1] != specs[2]


async def test_an_agent_over_a_graph_may_have_governed_tools() -> None:
    async def posts(state: Words) -> dict[str, Any]:
        return {"text": str(await post.ainvoke({"to": "b"}))}

    graph: StateGraph[Any, Any, Any, Any] = StateGraph(Words)
    graph.add_node("poster", posts)
    graph.add_edge(START, "poster")
    made = around(Agent("asker", version=1, graph=graph, tools=[post]), policy=Policy(text=PERMIT_ALL))
    result = await made.arun({"text": "go"})
    assert result.output == {"text": "b"}
    assert [r.verdict for r in of_kind(made, result.run, CallJudged)] == ["allow"]

"""A system or an agent as a plain node of a graph made by hand."""

from __future__ import annotations

import json
from typing import Any

import pytest
from edgewright import Agent, Contract, Pipeline, Policy, ReviewAnswer, ReviewRequest, Skip, System, as_node
from edgewright.contracts.errors import ContractViolation, MarksUnread, TopologyInvalid
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command
from pydantic import BaseModel
from support.payments import done, fresh, pay
from support.systems import PERMIT_ALL, asking
from typing_extensions import TypedDict

__all__ = ["fresh"]  # a fixture


class Around(TypedDict, total=False):
    text: str
    other: int
    answer: dict[str, Any]
    marks: list[dict[str, str]]


class Note(BaseModel):
    """What is asked and answered."""

    text: str


NOTE = Contract(Note, version=1)


def around(node: Any, **options: Any) -> Any:
    graph: StateGraph[Any, Any, Any, Any] = StateGraph(Around)
    graph.add_node("desk", node)
    graph.add_edge(START, "desk")
    graph.add_edge("desk", END)
    return graph.compile(**options)


def says(p: dict[str, Any]) -> dict[str, Any]:
    return {"text": p["text"] + "!"}


async def test_an_agent_takes_the_fields_of_its_contract_and_writes_those_of_its_answer() -> None:
    node = as_node(Agent("desk", version=1, function=says), takes=NOTE, answer=NOTE)
    assert await around(node).ainvoke({"text": "go", "other": 1}) == {"text": "go!", "other": 1}


async def test_an_answer_may_be_put_under_a_key_of_its_own() -> None:
    node = as_node(Agent("desk", version=1, function=says), takes=NOTE, answer=NOTE, under="answer")
    assert (await around(node).ainvoke({"text": "go"}))["answer"] == {"text": "go!"}


async def test_a_request_that_breaks_the_contract_stops_the_graph_around() -> None:
    node = as_node(Agent("desk", version=1, function=says), takes=NOTE, answer=NOTE)
    with pytest.raises(ContractViolation):
        await around(node).ainvoke({"other": 1})


async def test_a_question_interrupts_the_graph_around_and_is_answered_there() -> None:
    async def pays(p: dict[str, Any]) -> dict[str, Any]:
        await pay.ainvoke({"account": "a", "cents": 5})
        return p

    agent = Agent("desk", version=1, function=pays, tools=[pay])
    system = System(
        "desk",
        version=1,
        topology=Pipeline(stages=[agent], contracts=[NOTE, NOTE]),
        policy=Policy(text=PERMIT_ALL + asking("pay")),
    )
    graph = around(as_node(system), checkpointer=InMemorySaver())
    config: Any = {"configurable": {"thread_id": "t"}}
    waiting = await graph.ainvoke({"text": "go"}, config)
    [question] = waiting["__interrupt__"]
    assert done == []
    request = ReviewRequest.model_validate_json(json.dumps(question.value))
    answer = ReviewAnswer(decision="approve", reason="a test says so")
    signed = await system.answering("t", [request], {request.id: answer})
    resume = {question.id: signed[request.id].model_dump(mode="json")}
    assert (await graph.ainvoke(Command(resume=resume), config))["text"] == "go"
    assert done == [("a", 5)]


def shaky() -> System:
    def fails(_: Any) -> Any:
        raise RuntimeError("no line")

    stages = [Agent("shaky", version=1, function=fails), Agent("steady", version=1, function=says)]
    topology = Pipeline(stages=stages, contracts=[NOTE] * 3, on_failure={"shaky": Skip()})
    return System("desk", version=1, topology=topology)


async def test_marks_go_to_their_key_and_are_refused_where_there_is_none() -> None:
    left = await around(as_node(shaky(), marks="marks")).ainvoke({"text": "go"})
    assert [(m["kind"], m["agent"]) for m in left["marks"]] == [("gap", "shaky")]
    with pytest.raises(MarksUnread, match="gap of shaky"):
        await around(as_node(shaky())).ainvoke({"text": "go"})


def test_an_agent_without_contracts_and_a_system_with_them_are_refused() -> None:
    with pytest.raises(TopologyInvalid, match="needs takes= and answer="):
        as_node(Agent("desk", version=1, function=says))
    with pytest.raises(TopologyInvalid, match="give none to its node"):
        as_node(shaky(), takes=NOTE)

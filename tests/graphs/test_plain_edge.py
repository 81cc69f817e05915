"""A contract on the edges of hand-made graphs: what crosses, what does not, and what becomes of a violation."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import pytest
from edgewright import ALL, Contract, Id, Never, OnViolation, contract_edge, last
from edgewright.contracts.errors import ContractViolation, TopologyInvalid
from edgewright.graphs.plain_edge import FAULTS, ledger_of
from edgewright.ledger.records import ContractPassed, ContractViolated, Record, ReviewAnswered, RunEnded
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, ToolMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph, add_messages
from langgraph.types import Command
from pydantic import BaseModel
from typing_extensions import TypedDict

CARD = "4111 1111 1111 1111"


class State(TypedDict, total=False):
    question: str
    notes: str
    private: str
    answer: str
    messages: Annotated[list[AnyMessage], add_messages]


class Output(TypedDict, total=False):
    answer: str


class Brief(BaseModel):
    """What the writer gets."""

    question: str
    notes: str


class Answer(BaseModel):
    """What the caller gets."""

    answer: str


BRIEF = Contract(Brief, version=1, never=Never(detectors=["card_number"]))
ANSWER = Contract(Answer, version=2)
ON = {"configurable": {"thread_id": "t"}}


class House:
    """A graph of two nodes, and what its writer was given."""

    def __init__(self, *notes: Any, **options: Any) -> None:
        self.given: list[dict[str, Any]] = []
        self.told: list[dict[str, Any]] = []
        self._notes = list(notes)
        graph: StateGraph[Any, Any, Any, Any] = StateGraph(State, output_schema=Output)
        graph.add_node("research", self._research)
        graph.add_node("write", self._write)
        graph.add_edge(START, "research")
        self.node = contract_edge(graph, "research", "write", BRIEF, **options)
        contract_edge(graph, "write", END, ANSWER)
        self.graph, self.compiled = graph, graph.compile(checkpointer=InMemorySaver())

    def _research(self, state: State) -> dict[str, Any]:
        self.told.append(dict(state))
        found = self._notes[min(len(self.told), len(self._notes)) - 1]
        call = {"name": "find", "args": {"q": CARD}, "id": "1", "type": "tool_call"}
        messages = [AIMessage("", tool_calls=[call]), ToolMessage(f"found {CARD}", tool_call_id="1"), AIMessage("done")]
        return {"notes": found, "private": "nobody's business", "messages": messages}

    def _write(self, state: Any) -> dict[str, Any]:
        self.given.append(dict(state))
        return {"answer": state["notes"]}

    async def run(self, given: Any = None, config: Any = ON) -> Any:
        return await self.compiled.ainvoke(given or {"question": "why?", "messages": [HumanMessage("tell me")]}, config)

    def records(self, kind: type[Any]) -> list[Any]:
        ledger = ledger_of(self.graph)
        every: list[Record] = [e.record for run in ledger.runs() for e in ledger.entries(run.run)]
        return [r for r in every if isinstance(r, kind)]


async def test_the_node_behind_the_edge_gets_what_the_contract_lets_pass_and_nothing_else() -> None:
    house = House(f"paid with {CARD}")
    assert await house.run() == {"answer": "paid with [card_number]"}
    assert house.given == [{"question": "why?", "notes": "paid with [card_number]", "messages": []}]
    brief, answer = house.records(ContractPassed)
    assert (brief.edge, brief.contract) == ("research→write", "Brief@1")
    assert brief.redacted == [["notes", "card_number"]]
    assert ["private", "not declared"] in brief.withheld
    assert set(brief.hidden) >= {"private"}
    assert (answer.contract, answer.fields) == ("Answer@2", ["answer"])
    assert brief.history_withheld == 4
    assert [r.status for r in house.records(RunEnded)] == ["completed"]
    ledger = ledger_of(house.graph)
    for run in ledger.runs():
        bodies = [ledger.payload(run.run, r.payload) or b"" for r in house.records(ContractPassed)]
        assert all(CARD.encode() not in body for body in bodies)


async def test_each_invocation_is_a_run_of_its_own() -> None:
    house = House("nothing")
    for _ in range(2):
        await house.run()
    await house.graph.compile().ainvoke({"question": "without a checkpointer"})
    runs = ledger_of(house.graph).runs()
    assert len({r.run for r in runs}) == 3
    assert {r.status for r in runs} == {"completed"}


@pytest.mark.parametrize(("rule", "texts"), [(ALL, ["tell me", "", "found [card_number]", "done"])])
async def test_history_crosses_as_a_valid_chat_that_is_cut_too(rule: Any, texts: list[str]) -> None:
    house = House("n", history=rule)
    await house.run()
    [crossed] = [g["messages"] for g in house.given]
    assert [m.text for m in crossed] == texts
    assert crossed[1].tool_calls[0]["args"] == {"q": "[card_number]"}
    house = House("n", history=last(1))
    await house.run()
    assert [m.text for m in house.given[0]["messages"]][-1] == "done"


async def test_a_source_mends_what_was_refused_and_the_refused_never_passes() -> None:
    house = House(7, "mended", on_violation=OnViolation(repair=2, then="fail"))
    assert await house.run() == {"answer": "mended"}
    assert FAULTS not in house.told[0]
    assert any("notes" in fault for fault in house.told[1][FAULTS])
    assert len(house.given) == 1


async def test_a_source_that_never_mends_fails_within_its_bound() -> None:
    house = House(7, on_violation=OnViolation(repair=2, then="fail"))
    with pytest.raises(ContractViolation, match="notes"):
        await house.run()
    assert len(house.told) == 3
    assert house.given == []
    assert [r.then for r in house.records(ContractViolated)] == ["repair", "repair", "fail"]
    assert [r.status for r in house.records(RunEnded)] == ["failed"]


@pytest.mark.parametrize("decision", ["edit", "reject"])
async def test_a_person_mends_or_rejects(decision: str) -> None:
    house = House(7, on_violation=OnViolation(repair=0, then="review"))
    waiting = await house.run()
    [asked] = waiting["__interrupt__"]
    assert asked.value["edge"] == "research→write"
    arguments = {"question": "why?", "notes": "by hand"} if decision == "edit" else None
    answer = {"decision": decision, "reason": "looked at it", "arguments": arguments}
    if decision == "edit":
        assert await house.run(Command(resume=answer)) == {"answer": "by hand"}
    else:
        with pytest.raises(ContractViolation):
            await house.run(Command(resume=answer))
    assert [r.decision for r in house.records(ReviewAnswered)] == [decision]
    assert len(house.given) == (decision == "edit")


async def test_an_id_that_no_registry_knows_does_not_cross() -> None:
    class Named(BaseModel):
        question: Annotated[str, Id("questions")]
        notes: str

    graph: StateGraph[Any, Any, Any, Any] = StateGraph(State)
    graph.add_node("research", lambda state: {"notes": "n"})
    graph.add_node("write", lambda state: {"answer": "a"})
    graph.add_edge(START, "research")
    named = Contract(Named, version=1)
    with pytest.raises(TopologyInvalid, match="questions"):
        contract_edge(graph, "research", "write", named)
    contract_edge(graph, "research", "write", named, registries={"questions": lambda q: q == "Q1"})
    compiled = graph.compile()
    assert (await compiled.ainvoke({"question": "Q1"}))["answer"] == "a"
    with pytest.raises(ContractViolation, match="knows no such id"):
        await compiled.ainvoke({"question": "Q2"})


def test_what_cannot_hold_is_refused_when_the_edge_is_made(tmp_path: Path) -> None:
    class Other(BaseModel):
        nowhere: str

    def fresh() -> StateGraph[Any, Any, Any, Any]:
        graph: StateGraph[Any, Any, Any, Any] = StateGraph(State)
        graph.add_node("research", lambda state: {})
        graph.add_node("write", lambda state: {})
        return graph

    with pytest.raises(TopologyInvalid, match="'nowhere'"):
        contract_edge(fresh(), "research", "write", Contract(Other, version=1))
    with pytest.raises(TopologyInvalid, match="output_schema"):
        contract_edge(fresh(), "write", END, ANSWER)
    with pytest.raises(TopologyInvalid, match="START"):
        contract_edge(fresh(), START, "research", BRIEF, on_violation=OnViolation(repair=1))
    graph = fresh()
    contract_edge(graph, "research", "write", BRIEF, home=tmp_path / "a")
    with pytest.raises(TopologyInvalid, match="one folder"):
        contract_edge(graph, "write", "research", BRIEF, home=tmp_path / "b")


def test_the_contract_is_a_node_of_the_drawing() -> None:
    house = House("n")
    assert house.node == "Brief@1 research→write"
    drawn = house.compiled.get_graph()
    assert house.node in drawn.nodes
    assert "Answer@2 write→end" in drawn.nodes

"""What goes round a contract of a hand-made graph, or cannot be kept, is refused when the graph is made or compiled."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Annotated, Any, Literal

import pytest
from edgewright import Contract, OnViolation, contract_edge
from edgewright.contracts.errors import ContractViolation, TopologyInvalid
from edgewright.graphs.plain_edge import ledger_of
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command
from pydantic import BaseModel
from typing_extensions import TypedDict

Graph = StateGraph[Any, Any, Any, Any]


class State(TypedDict, total=False):
    x: str
    y: str
    z: Annotated[list[str], operator.add]


class X(BaseModel):
    x: str


class Y(BaseModel):
    y: str


class Perhaps(BaseModel):
    x: str | None
    y: str = "y"


ONE, OTHER = Contract(X, version=1), Contract(Y, version=1)
MENDED = OnViolation(repair=1, then="fail")


def nothing(state: Any) -> dict[str, Any]:
    return {}


def chooses(state: Any) -> Command[Literal["c"]]:
    return Command(goto="c")


def nodes(*names: str, **others: Any) -> Graph:
    graph: Graph = StateGraph(State)
    for name in names:
        graph.add_node(name, nothing)
    for name, does in others.items():
        graph.add_node(name, does)
    return graph


def plain(graph: Graph) -> None:
    graph.add_edge("a", "c")


def waiting(graph: Graph) -> None:
    graph.add_edge(["a", "b"], "c")


def conditional(graph: Graph) -> None:
    graph.add_conditional_edges("a", lambda state: "c", ["c"])


def anywhere(graph: Graph) -> None:
    graph.add_conditional_edges("a", lambda state: "b")


@pytest.mark.parametrize(
    ("beside", "said"),
    [(plain, "plain edge"), (waiting, "plain edge"), (conditional, "conditional edge"), (anywhere, "path_map")],
)
def test_an_edge_past_a_contract_is_refused(beside: Callable[[Graph], None], said: str) -> None:
    graph = nodes("a", "b", "c")
    graph.add_edge(START, "a")
    contract_edge(graph, "a", "c", ONE)
    beside(graph)
    with pytest.raises(TopologyInvalid, match=said):
        graph.compile()


def test_a_command_past_a_contract_and_an_edge_past_the_one_from_the_start_or_to_the_end_are_refused() -> None:
    graph = nodes("c", a=chooses)
    graph.add_edge(START, "a")
    contract_edge(graph, "a", "c", ONE)
    with pytest.raises(TopologyInvalid, match="Command"):
        graph.compile()
    graph = nodes("a")
    graph.add_edge(START, "a")
    contract_edge(graph, START, "a", ONE)
    with pytest.raises(TopologyInvalid, match="'start' to 'a'"):
        graph.compile()
    graph = StateGraph(State, output_schema=X)
    graph.add_node("a", nothing)
    graph.add_edge(START, "a")
    contract_edge(graph, "a", END, ONE)
    graph.add_edge("a", END)
    with pytest.raises(TopologyInvalid, match="'a' to 'end'"):
        graph.compile()


def test_two_edges_that_always_meet_in_one_node_are_refused() -> None:
    graph = nodes("a", "b", "c")
    graph.add_edge(START, "a")
    graph.add_edge(START, "b")
    contract_edge(graph, "a", "c", ONE)
    contract_edge(graph, "b", "c", OTHER)
    with pytest.raises(TopologyInvalid, match="join them"):
        graph.compile()


async def test_two_edges_that_may_meet_in_one_node_never_run_it_on_half_of_its_input() -> None:
    ran: list[list[str]] = []
    graph = nodes("start", a=lambda s: {"x": "1"}, b=lambda s: {"y": "2"}, c=lambda s: ran.append(sorted(s)))
    graph.add_edge(START, "start")
    graph.add_conditional_edges("start", lambda s: ["a", "b"] if s["x"] == "both" else "b", ["a", "b"])
    contract_edge(graph, "a", "c", ONE)
    contract_edge(graph, "b", "c", OTHER)
    compiled = graph.compile(checkpointer=InMemorySaver())
    on: Any = {"configurable": {"thread_id": "t"}}
    inputs: list[Any] = [{"x": "both"}, None]  # going on after the failure does not run it on a half either
    for given in inputs:
        with pytest.raises(TopologyInvalid, match="in one step"):
            await compiled.ainvoke(given, on)
    assert ran == []
    assert {r.status for r in ledger_of(graph).runs()} == {"failed"}
    await compiled.ainvoke({"x": "one"}, on)
    assert ran == [["y"]]


async def test_a_loop_comes_back_over_its_contract() -> None:
    graph = nodes(a=lambda s: {"x": "1", "z": ["a"]}, c=lambda s: {"z": ["c"]})
    contract_edge(graph, START, "a", Contract(X, version=2))
    contract_edge(graph, "a", "c", ONE)
    graph.add_node("again", lambda s: {})
    graph.add_edge("c", "again")
    graph.add_conditional_edges("again", lambda s: "a" if len(s["z"]) < 6 else END, ["a", END])
    assert (await graph.compile().ainvoke({"x": "0"}))["z"] == ["a", "c"] * 3


def test_mending_that_would_run_more_than_what_is_mended_is_refused() -> None:
    graph = nodes("a", "b", "c")
    graph.add_edge(START, "a")
    graph.add_edge("a", "b")
    contract_edge(graph, "a", "c", ONE, on_violation=MENDED)
    with pytest.raises(TopologyInvalid, match="'b'"):
        graph.compile()
    graph = nodes("a", "b", "c")
    graph.add_edge(START, "a")
    contract_edge(graph, "a", "b", ONE, on_violation=MENDED)
    contract_edge(graph, "a", "c", OTHER, on_violation=MENDED)
    with pytest.raises(TopologyInvalid) as refused:
        graph.compile()
    assert len(refused.value.faults) == 2


def test_an_edge_has_one_contract_and_the_ends_are_ends() -> None:
    graph = nodes("a", "c")
    contract_edge(graph, "a", "c", ONE)
    with pytest.raises(TopologyInvalid, match="X@1"):
        contract_edge(graph, "a", "c", OTHER)
    with pytest.raises(TopologyInvalid, match="from END"):
        contract_edge(graph, END, "a", ONE)


async def test_a_key_that_holds_none_is_told_as_none_and_one_that_is_not_there_is_not_told() -> None:
    given: list[Any] = []
    graph = nodes(a=lambda s: {"x": None}, c=lambda s: given.append(dict(s)))
    graph.add_edge(START, "a")
    contract_edge(graph, "a", "c", Contract(Perhaps, version=1))
    await graph.compile().ainvoke({})
    assert given == [{"x": None, "y": "y"}]
    strict = nodes("c", a=lambda s: {"x": None})
    strict.add_edge(START, "a")
    contract_edge(strict, "a", "c", ONE)
    with pytest.raises(ContractViolation, match=r"x: Input should be a valid string"):
        await strict.compile().ainvoke({})


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"graph": "x"}, "graph is 'x', not a StateGraph"),
        ({"graph": nodes("a").add_edge(START, "a").compile()}, "not compiled"),
        ({"contract": X}, "Contract"),
        ({"on_violation": "fail"}, "OnViolation"),
    ],
)
def test_an_argument_of_another_type_is_named(wrong: dict[str, Any], said: str) -> None:
    given: dict[str, Any] = {"graph": nodes("a", "c"), "source": "a", "target": "c", "contract": ONE, **wrong}
    with pytest.raises(TopologyInvalid, match=said):
        contract_edge(given.pop("graph"), given.pop("source"), given.pop("target"), given.pop("contract"), **given)

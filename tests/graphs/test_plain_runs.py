"""Runs of hand-made graphs with contracts: each ends with its invocation, however that ends."""

from __future__ import annotations

import asyncio
import operator
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path
from typing import Annotated, Any, cast

import pytest
from edgewright import Contract, OnViolation, contract_edge
from edgewright.contracts.errors import ContractViolation, TopologyInvalid
from edgewright.graphs.plain_edge import ledger_of
from edgewright.graphs.plain_runs import DESKS
from edgewright.ledger.records import RunEnded
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, interrupt
from pydantic import BaseModel
from typing_extensions import TypedDict

Graph = StateGraph[Any, Any, Any, Any]
BOUND = 10.0


class State(TypedDict, total=False):
    x: str
    y: str
    z: Annotated[list[str], operator.add]


class Output(TypedDict, total=False):
    x: str
    y: str


class X(BaseModel):
    x: str


class Out(BaseModel):
    x: str = ""
    y: str = ""


ONE, OUT = Contract(X, version=1), Contract(Out, version=1)


def line(behind: Callable[[Any], Any] | None = None, *, home: Path | None = None, **options: Any) -> Graph:
    """a → contract → b, and no contract at the end."""
    graph: Graph = StateGraph(State)
    graph.add_node("a", lambda state: {"x": state["x"]})
    node: Any = behind or (lambda state: {"z": [state["x"]]})
    graph.add_node("b", node)
    graph.add_edge(START, "a")
    contract_edge(graph, "a", "b", ONE, home=home, **options)
    return graph


def on(thread: str) -> Any:
    return {"configurable": {"thread_id": thread}}


def ends(graph: Graph) -> list[tuple[str, str]]:
    ledger = ledger_of(graph)
    records = [e.record for run in ledger.runs() for e in ledger.entries(run.run)]
    return [(r.status, r.reason) for r in records if isinstance(r, RunEnded)]


def statuses(graph: Graph) -> list[str]:
    return sorted(r.status for r in ledger_of(graph).runs())


def live(graph: Graph) -> int:
    desk = DESKS[graph]
    return len(desk.live) + len(desk.runs()._live)


async def test_a_run_without_an_edge_to_the_end_ends_with_its_invocation_and_nothing_of_it_stays() -> None:
    graph = line()
    compiled = graph.compile(checkpointer=InMemorySaver())
    for n in range(3):
        await compiled.ainvoke({"x": str(n)}, on("t"))
    await asyncio.gather(*(compiled.ainvoke({"x": str(n)}, on(f"t{n}")) for n in range(10)))
    assert statuses(graph) == ["completed"] * 13
    assert live(graph) == 0


async def test_a_node_behind_a_contract_that_raises_fails_the_run_and_says_why() -> None:
    def breaks(state: Any) -> Any:
        raise LookupError("no such thing")

    graph = line(breaks)
    with pytest.raises(LookupError):
        await graph.compile().ainvoke({"x": "1"})
    assert ends(graph) == [("failed", "LookupError: no such thing")]
    assert live(graph) == 0


async def test_what_failed_is_gone_on_with_and_completes() -> None:
    broken = [True]

    def breaks_once(state: Any) -> Any:
        if broken.pop() if broken else False:
            raise LookupError("not yet")
        return {"z": [state["x"]]}

    graph = line(breaks_once)
    compiled = graph.compile(checkpointer=InMemorySaver())
    with pytest.raises(LookupError):
        await compiled.ainvoke({"x": "1"}, on("t"))
    assert (await compiled.ainvoke(None, on("t")))["z"] == ["1"]
    await compiled.ainvoke({"x": "2"}, on("t"))
    assert sorted(s for s, _ in ends(graph)) == ["completed", "failed"]
    assert "running" not in statuses(graph)


async def test_a_question_of_any_node_keeps_the_run_until_it_is_answered() -> None:
    graph = line(lambda state: {"z": [interrupt("which?")]})
    compiled = graph.compile(checkpointer=InMemorySaver())
    assert "__interrupt__" in await compiled.ainvoke({"x": "1"}, on("t"))
    assert (ends(graph), live(graph)) == ([], 0)
    again = graph.compile(checkpointer=compiled.checkpointer)
    assert (await again.ainvoke(Command(resume="this"), on("t")))["z"] == ["this"]
    # What is resumed behind its last contract crosses nothing more, and ends its run all the same.
    assert (ends(graph), live(graph)) == ([("completed", "")], 0)


async def test_a_run_that_was_answered_goes_on_and_its_end_tells_all_that_crossed_to_the_end() -> None:
    graph: Graph = StateGraph(State, output_schema=Output)
    graph.add_node("a", lambda state: {"x": "1"})
    graph.add_node("b", lambda state: {"y": interrupt("which?")})
    graph.add_edge(START, "a")
    graph.add_edge(START, "b")
    for source in ("a", "b"):
        contract_edge(graph, source, END, OUT)
    compiled = graph.compile(checkpointer=InMemorySaver())
    await compiled.ainvoke({"x": "0", "y": "0"}, on("t"))
    assert await compiled.ainvoke(Command(resume="2"), on("t")) == {"x": "1", "y": "2"}
    ledger = ledger_of(graph)
    [run] = ledger.runs()
    [end] = [e.record for e in ledger.entries(run.run) if isinstance(e.record, RunEnded)]
    assert (end.status, ledger.payload(run.run, end.response)) == ("completed", b'{"x":"1","y":"2"}')


async def test_a_question_that_nobody_can_answer_fails_the_run() -> None:
    graph = line(lambda state: {"z": [interrupt("which?")]})
    await graph.compile().ainvoke({"x": "1"})
    [(status, reason)] = ends(graph)
    assert status == "failed"
    assert "without a checkpointer" in reason


async def test_an_answer_that_fits_no_question_leaves_the_question_open() -> None:
    graph: Graph = StateGraph(State)
    graph.add_node("a", lambda state: {"x": 7})
    graph.add_node("b", lambda state: {"z": [state["x"]]})
    graph.add_edge(START, "a")
    contract_edge(graph, "a", "b", ONE, on_violation=OnViolation(repair=0, then="review"))
    compiled = graph.compile(checkpointer=InMemorySaver())
    await compiled.ainvoke({"x": "1"}, on("t"))
    with pytest.raises(ValueError, match="edit"):
        await compiled.ainvoke(Command(resume={"decision": "approve", "reason": "fine"}), on("t"))
    assert statuses(graph) == ["waiting"]
    answer = {"decision": "edit", "reason": "mended", "arguments": {"x": "fine"}}
    assert (await compiled.ainvoke(Command(resume=answer), on("t")))["z"] == ["fine"]
    assert statuses(graph) == ["completed"]


async def test_a_thread_that_begins_anew_ends_the_run_that_it_leaves_behind() -> None:
    graph = line(lambda state: {"z": [interrupt("which?") if state["x"] == "1" else "done"]})
    compiled = graph.compile(checkpointer=InMemorySaver())
    await compiled.ainvoke({"x": "1"}, on("t"))
    await compiled.ainvoke({"x": "2"}, on("t"))
    assert sorted(s for s, _ in ends(graph)) == ["completed", "failed"]
    assert any("left behind" in reason for _, reason in ends(graph))


async def test_the_tries_of_an_earlier_run_do_not_count_in_the_next() -> None:
    told: list[Any] = []

    def source(state: Any) -> Any:
        told.append(state)
        return {"x": 7 if len(told) != 4 else "mended"}

    graph: Graph = StateGraph(State)
    graph.add_node("a", source)
    graph.add_node("b", lambda state: {"z": [state["x"]]})
    graph.add_edge(START, "a")
    contract_edge(graph, "a", "b", ONE, on_violation=OnViolation(repair=1, then="fail"))
    compiled = graph.compile(checkpointer=InMemorySaver())
    with pytest.raises(ContractViolation):
        await compiled.ainvoke({"x": "1"}, on("t"))
    assert (await compiled.ainvoke({"x": "1"}, on("t")))["z"] == ["mended"]
    assert statuses(graph) == ["completed", "failed"]


@pytest.mark.parametrize("saved", [True, False])
async def test_a_reader_that_leaves_lets_the_run_go_or_ends_it_where_nobody_can_go_on(saved: bool) -> None:
    graph = line()
    graph.add_node("c", lambda state: {})
    graph.add_edge("b", "c")
    compiled = graph.compile(checkpointer=InMemorySaver() if saved else None)
    async with aclosing(cast(Any, compiled.astream({"x": "1"}, on("t"), stream_mode="updates"))) as parts:
        async for part in parts:
            if "b" in part:
                break
    assert live(graph) == 0
    assert statuses(graph) == (["running"] if saved else ["failed"])


async def test_a_run_of_another_process_is_gone_on_with(tmp_path: Path) -> None:
    saver = InMemorySaver()
    answer: Command[Any] = Command(resume={"decision": "edit", "reason": "mended", "arguments": {"x": "fine"}})

    def graph_at_home() -> Graph:
        graph: Graph = StateGraph(State)
        graph.add_node("a", lambda state: {"x": 7})
        graph.add_node("b", lambda state: {"z": [state["x"]]})
        graph.add_edge(START, "a")
        rule = OnViolation(repair=0, then="review")
        contract_edge(graph, "a", "b", ONE, on_violation=rule, home=tmp_path)
        return graph

    before, after = graph_at_home(), graph_at_home()
    await before.compile(checkpointer=saver).ainvoke({"x": "1"}, on("t"))
    DESKS[before].home.close()
    assert (await after.compile(checkpointer=saver).ainvoke(answer, on("t")))["z"] == ["fine"]
    assert statuses(after) == ["completed"]
    DESKS[after].home.close()


async def test_inside_another_graph_the_run_ends_with_its_part() -> None:
    graph = line()
    outer: Graph = StateGraph(State)
    outer.add_node("part", graph.compile())
    outer.add_edge(START, "part")
    for compiled in (outer.compile(), outer.compile(checkpointer=InMemorySaver())):
        assert (await compiled.ainvoke({"x": "1"}, on("t")))["z"] == ["1"]
    assert statuses(graph) == ["completed", "completed"]


@pytest.mark.parametrize("called", [True, False])
async def test_inside_another_graph_a_question_is_answered_through_it(called: bool) -> None:
    graph = line(lambda state: {"z": [interrupt("which?")]})
    part = graph.compile()

    async def call(state: Any) -> Any:
        return {"z": (await part.ainvoke({"x": state["x"]}))["z"]}

    outer: Graph = StateGraph(State)
    outer.add_node("part", call if called else part)
    outer.add_edge(START, "part")
    compiled = outer.compile(checkpointer=InMemorySaver())
    assert "__interrupt__" in await compiled.ainvoke({"x": "1"}, on("t"))
    assert (await compiled.ainvoke(Command(resume="this"), on("t")))["z"] == ["this"]
    assert (statuses(graph), live(graph)) == (["completed"], 0)


async def test_a_copy_with_another_config_is_governed_too() -> None:
    graph = line()
    compiled = graph.compile().with_config({"tags": ["copy"]})
    await compiled.ainvoke({"x": "1"})
    assert statuses(graph) == ["completed"]


def test_a_graph_is_invoked_and_streamed_without_an_event_loop() -> None:
    graph = line()
    compiled = graph.compile()
    last = list(compiled.stream({"x": "1"}, stream_mode="values"))[-1]
    assert compiled.invoke({"x": "1"})["x"] == last["x"] == "1"
    assert statuses(graph) == ["completed", "completed"]


async def test_a_graph_compiled_round_its_contracts_does_not_run() -> None:
    graph = line()
    with pytest.raises(TopologyInvalid, match=r"compile\(\)"):
        await StateGraph.compile(graph).ainvoke({"x": "1"})


async def test_a_part_that_goes_on_in_the_graph_around_it_has_ended_its_run() -> None:
    graph = line(lambda state: Command(goto="after", graph=Command.PARENT, update={"y": "2"}))
    outer: Graph = StateGraph(State)
    outer.add_node("part", graph.compile())
    outer.add_node("after", lambda state: {"z": [state["y"]]})
    outer.add_edge(START, "part")
    assert (await outer.compile().ainvoke({"x": "1"}))["z"] == ["2"]
    assert (statuses(graph), live(graph)) == (["completed"], 0)


async def test_a_thread_whose_old_run_was_erased_begins_anew_all_the_same() -> None:
    graph = line(lambda state: {"z": [interrupt("which?") if state["x"] == "1" else "done"]})
    compiled = graph.compile(checkpointer=InMemorySaver())
    await compiled.ainvoke({"x": "1"}, on("t"))
    ledger = ledger_of(graph)
    [old] = ledger.runs()
    ledger.erase(old.run, by="dpo")
    assert (await compiled.ainvoke({"x": "2"}, on("t")))["z"] == ["done"]
    assert "completed" in statuses(graph)

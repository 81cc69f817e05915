"""What once went wrong in the gate: each of these did an effect twice, lost an answer, or hung."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from edgewright import Call, Policy, tool
from edgewright.contracts.errors import CallDenied
from edgewright.ledger.records import CallJudged
from edgewright.tools.knowing import Knowledge
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.errors import GraphBubbleUp
from langgraph.graph import END, START, StateGraph
from langgraph.types import RetryPolicy
from support.systems import PERMIT_ALL, answers, asking, inside, of_kind, plays, with_code, with_model
from typing_extensions import TypedDict

done: list[Any] = []


@pytest.fixture(autouse=True)
def _fresh() -> None:
    done.clear()


@tool(effect="write", idempotency="none", output="trusted", sensitivity="internal")
def move(part: str, cents: int) -> str:
    """Move."""
    done.append((part, cents))
    return f"moved {part}"


@tool(effect="read", output="trusted", sensitivity="internal")
def look(part: str, cents: int) -> str:
    """Look."""
    return f"saw {part}"


class Outer(TypedDict, total=False):
    request: dict[str, Any]
    response: dict[str, Any]


RETRY = RetryPolicy(initial_interval=0.001, jitter=False, max_attempts=3, retry_on=ConnectionError)


@pytest.mark.parametrize("saver", [True, False])
async def test_a_governed_graph_in_a_node_that_is_retried_does_its_effect_once(saver: bool) -> None:
    fails = [1]

    async def work(_: dict[str, Any]) -> dict[str, str]:
        await move.ainvoke({"part": "a", "cents": 1})
        if fails:
            fails.pop()
            raise ConnectionError("flaky")
        return {"text": "x"}

    system = with_code(work, move)
    graph: Any = StateGraph(Outer)
    graph.add_node("part", system.graph, retry_policy=RETRY)
    graph.add_edge(START, "part")
    graph.add_edge("part", END)
    compiled = graph.compile(checkpointer=InMemorySaver() if saver else None)
    await compiled.ainvoke({"request": {"text": "go"}}, {"configurable": {"thread_id": "t"}})
    assert done == [("a", 1)]


class Inner(TypedDict, total=False):
    x: str


def hand_made(node: Any, **options: Any) -> Any:
    """A graph of one node."""
    graph: Any = StateGraph(Inner)
    graph.add_node("node", node, **options)
    graph.add_edge(START, "node")
    graph.add_edge("node", END)
    return graph.compile()


@pytest.mark.parametrize("deep", [True, False], ids=["in a graph of its own", "itself"])
async def test_a_hand_made_node_that_is_retried_does_its_effect_once(deep: bool) -> None:
    fails = [1]

    async def calls(_: Any) -> Any:
        return {"x": await move.ainvoke({"part": "a", "cents": 1})}

    async def flaky(state: Any) -> Any:
        await (hand_made(calls).ainvoke({"x": ""}) if deep else calls(state))
        if fails:
            fails.pop()
            raise ConnectionError("flaky")
        return {"x": "y"}

    async def work(_: dict[str, Any]) -> dict[str, str]:
        await hand_made(flaky, retry_policy=RETRY).ainvoke({"x": ""})
        return {"text": "x"}

    await with_code(work, move).arun({"text": "go"})
    assert done == [("a", 1)]


RULES = (
    PERMIT_ALL
    + asking("move", "context.args.cents > 100", rule="large")
    + '@id("unlucky") forbid(principal, action, resource) when { context.args.cents == 13 };'
)


async def test_calls_made_at_once_that_come_in_another_order_after_a_review_are_done_once() -> None:
    order = [["a", "d", "q"], ["d", "a", "q"], ["d", "a", "q"]]
    cents = {"a": 5, "d": 13, "q": 500}

    async def work(_: dict[str, Any]) -> dict[str, str]:
        async def one(part: str) -> Any:
            return await move.ainvoke({"part": part, "cents": cents[part]})

        found = await asyncio.gather(*map(one, order.pop(0)), return_exceptions=True)
        for each in found:
            if isinstance(each, GraphBubbleUp):
                raise each
        return {"text": "x"}

    system = with_code(work, move, policy=RULES)
    waiting = await system.arun({"text": "go"}, thread="t")
    assert done == [("a", 5)]
    await system.aresume("t", answers(waiting, "approve"))
    assert sorted(done) == [("a", 5), ("q", 500)]


async def test_a_denied_call_does_not_get_the_outcome_of_another() -> None:
    order = [["a", "d", "q"], ["d", "a", "q"]]
    cents = {"a": 5, "d": 13, "q": 500}
    told: dict[str, Any] = {}

    async def work(_: dict[str, Any]) -> dict[str, str]:
        async def one(part: str) -> None:
            try:
                told[part] = await move.ainvoke({"part": part, "cents": cents[part]})
            except CallDenied as error:
                told[part] = error

        found = await asyncio.gather(*map(one, order.pop(0)), return_exceptions=True)
        for each in found:
            if isinstance(each, GraphBubbleUp):
                raise each
        return {"text": "x"}

    system = with_code(work, move, policy=RULES)
    waiting = await system.arun({"text": "go"}, thread="t")
    await system.aresume("t", answers(waiting, "reject"))
    assert isinstance(told["d"], CallDenied)


async def test_an_error_in_the_writing_down_of_a_verdict_denies(monkeypatch: pytest.MonkeyPatch) -> None:
    redacts, broken = Knowledge.redacts, [True]

    async def work(_: dict[str, Any]) -> dict[str, str]:
        def once(self: Any) -> Any:
            if broken:
                broken.pop()
                raise TypeError("the redactor is broken")
            return redacts(self)

        monkeypatch.setattr(Knowledge, "redacts", once)
        try:
            return {"text": str(await move.ainvoke({"part": "a", "cents": 1}))}
        except Exception as error:  # noqa: BLE001
            return {"text": repr(error)}
        finally:
            monkeypatch.setattr(Knowledge, "redacts", redacts)

    await with_code(work, move).arun({"text": "go"})
    assert not done


async def test_an_edit_that_changes_nothing_is_no_denial() -> None:
    system = with_model(plays([Call("move", {"part": "a", "cents": 500})]), move, policy=RULES)
    waiting = await system.arun({"text": "go"}, thread="t")
    result = await system.aresume("t", answers(waiting, "edit", arguments={"part": "a", "cents": 500}))
    assert [j.rules for j in of_kind(system, result.run, CallJudged)] != [["large"], ["review.edits"]]
    assert result.status == "waiting"


async def test_an_edit_back_to_what_was_asked_first_is_asked_about() -> None:
    system = with_model(plays([Call("move", {"part": "a", "cents": 500})]), move, policy=RULES)
    first = await system.arun({"text": "go"}, thread="t")
    second = await system.aresume("t", answers(first, "edit", arguments={"part": "a", "cents": 600}))
    third = await system.aresume("t", answers(second, "edit", arguments={"part": "a", "cents": 500}))
    assert third.status == "waiting"
    await system.aresume("t", answers(third, "approve"))
    assert done == [("a", 500)]


class Abort(BaseException):
    pass


async def test_a_run_broken_off_by_a_base_exception_goes_on_under_the_rules_of_now() -> None:
    stop = [1]

    async def work(_: dict[str, Any]) -> dict[str, str]:
        if stop:
            stop.pop()
            raise Abort
        try:
            return {"text": await move.ainvoke({"part": "a", "cents": 1})}
        except CallDenied:
            return {"text": "denied"}

    system = with_code(work, move)
    with pytest.raises(Abort):
        await system.arun({"text": "go"}, thread="t")
    system.reload(Policy(text='@id("no") permit(principal, action, resource) when { false };'))
    await system.aresume("t")
    assert not done


async def test_a_plain_tool_that_raises_stop_iteration_fails_at_once() -> None:
    @tool(effect="write", timeout=2)
    def first() -> str:
        """Take the first of nothing."""
        return str(next(iter([])))

    import time

    began = time.perf_counter()
    await inside(lambda: first.ainvoke({}), first)
    assert time.perf_counter() - began < 1.5


async def test_a_call_beside_one_that_asks_does_not_outlive_its_node() -> None:
    """A hand-made ToolNode: nobody is asked about an unknown outcome, as nothing crashed."""
    from langchain_core.messages import AIMessage
    from langgraph.graph import MessagesState
    from langgraph.prebuilt import ToolNode

    @tool(effect="write", idempotency="none")
    async def slow(cents: int) -> str:
        """Take a while."""
        await asyncio.sleep(0.3)  # it is under way when the other call asks
        done.append("slow")
        return "done"

    calls = [
        {"name": "slow", "args": {"cents": 1}, "id": "s", "type": "tool_call"},
        {"name": "move", "args": {"part": "a", "cents": 500}, "id": "m", "type": "tool_call"},
    ]
    graph: Any = StateGraph(MessagesState)
    graph.add_node("tools", ToolNode([move, slow]))
    graph.add_edge(START, "tools")
    graph.add_edge("tools", END)
    node = graph.compile()

    async def work(_: dict[str, Any]) -> dict[str, str]:
        await node.ainvoke({"messages": [AIMessage("", tool_calls=calls)]})
        return {"text": "x"}

    system = with_code(work, move, slow, policy=RULES)
    result = await system.arun({"text": "go"}, thread="t")
    kinds = []
    for _ in range(6):
        if result.status != "waiting":
            break
        kinds += [r.kind for r in result.reviews]
        result = await system.aresume("t", answers(result, "approve"))  # the person says: do it again
    assert kinds == ["call"]
    assert sorted(map(str, done)) == ["('a', 500)", "slow"]


async def test_an_answer_that_another_call_of_the_node_took_is_not_lost() -> None:
    """Two calls at once that ask; the first is edited twice and then rejected. Today the rejection never arrives."""

    async def work(_: dict[str, Any]) -> dict[str, str]:
        calls = ({"part": p, "cents": c} for p, c in (("f", 5), ("a", 500), ("b", 500)))
        found = await asyncio.gather(*(move.ainvoke(c) for c in calls), return_exceptions=True)
        for each in found:
            if isinstance(each, GraphBubbleUp):
                raise each
        return {"text": "x"}

    system = with_code(work, move, policy=RULES)
    result = await system.arun({"text": "go"}, thread="t")
    asked: list[str] = []
    for n in range(12):
        if result.status != "waiting":
            break
        [review] = result.reviews
        asked.append(review.id)
        more = {"arguments": {**review.arguments, "cents": review.arguments["cents"] + 1}} if n < 2 else {}
        result = await system.aresume("t", answers(result, "edit" if n < 2 else "reject", **more))
    assert result.status == "completed"
    assert done == [("f", 5)]

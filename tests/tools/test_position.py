"""Positions: the same place in a run has the same name on every execution of it."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from edgewright.tools.position import NS, Positions
from hypothesis import given
from hypothesis import strategies as st


def _node(node: str, step: int, *, outer: str = "", path: tuple[Any, ...] = ()) -> dict[str, Any]:
    task = f"{node}:{uuid4()}"  # LangGraph mints another task id on every execution
    ns = f"{outer}|{task}" if outer else task
    return {NS: ns, "langgraph_node": node, "langgraph_step": step, "langgraph_path": path}


def _enter(positions: Positions, metadata: dict[str, Any]) -> str:
    positions.enter(metadata, uuid4(), None)
    return str(metadata[NS])


def _turn(positions: Positions, ids: list[str]) -> list[str]:
    """An agent's model answers with calls, and its tool node asks where they are."""
    agent = _enter(positions, _node("billing", 4))
    model = _enter(positions, _node("model", 1, outer=agent))
    positions.reply(model, ids)
    found = []
    for index, call_id in enumerate(ids):
        tools = _enter(positions, _node("tools", 2, outer=agent, path=("__pregel_push", index, False)))
        found.append(positions.call(tools, call_id))
    return found


@given(st.lists(st.uuids().map(str), min_size=1, max_size=5, unique=True))
def test_other_call_ids_and_task_ids_give_the_same_positions(ids: list[str]) -> None:
    expected = [f"billing.4/model.1#r0.{n}" for n in range(len(ids))]
    assert _turn(Positions(), ids) == expected
    assert _turn(Positions(), [str(uuid4()) for _ in ids]) == expected


def test_calls_that_code_makes_are_counted_in_their_node() -> None:
    positions = Positions()
    node = _node("work", 2)
    ns = _enter(positions, node)
    assert [positions.call(ns, None) for _ in range(3)] == ["work.2#c0", "work.2#c1", "work.2#c2"]
    assert positions.call(ns, "call_x") == positions.call(ns, "call_x") == "work.2#c3"


def test_a_node_that_starts_anew_counts_from_zero() -> None:
    positions = Positions()
    node = _node("work", 2)
    ns = _enter(positions, node)
    positions.call(ns, None)
    positions.enter(node, uuid4(), None)
    assert positions.call(ns, None) == "work.2#c0"


def test_what_runs_inside_a_node_does_not_start_it_anew() -> None:
    positions = Positions()
    node, outer = _node("work", 2), uuid4()
    positions.enter(node, outer, None)
    positions.call(node[NS], None)
    positions.enter(node, uuid4(), outer)
    assert positions.call(node[NS], None) == "work.2#c1"


def test_a_provider_that_uses_the_same_ids_in_every_reply_gets_positions_apart() -> None:
    positions = Positions()
    agent = _enter(positions, _node("billing", 4))
    for step in (1, 3):
        positions.reply(_enter(positions, _node("model", step, outer=agent)), ["call_0"])
        tools = _enter(positions, _node("tools", step + 1, outer=agent))
        assert positions.call(tools, "call_0") == f"billing.4/model.{step}#r0.0"


def test_a_node_that_runs_again_after_a_crash_does_not_take_a_later_replys_position() -> None:
    positions = Positions()
    for step in (1, 3):  # as the ledger tells it to the next process
        positions.know(f"billing.4/model.{step}#r0", ["call_0"])
    agent = _enter(positions, _node("billing", 4))
    first = _enter(positions, _node("tools", 2, outer=agent))
    assert positions.call(first, "call_0") == "billing.4/model.1#r0.0"
    second = _enter(positions, _node("tools", 4, outer=agent))
    assert positions.call(second, "call_0") == "billing.4/model.3#r0.0"


def test_a_function_that_asks_a_model_itself_finds_its_calls_by_its_replies() -> None:
    positions = Positions()
    ns = _enter(positions, _node("work", 2))
    for reply in range(2):
        positions.reply(ns, ["call_0"])
        assert positions.call(ns, "call_0") == f"work.2#r{reply}.0"

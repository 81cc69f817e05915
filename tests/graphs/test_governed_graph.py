"""The compiled graph by itself: without an event loop, wrongly answered, beside an open question, after an erasure."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from edgewright import Call, System
from edgewright.contracts.errors import BlocksItself, ContractViolation, ReadRefused, RunErased, ThreadWaiting
from edgewright.ledger.records import RunEnded
from langgraph.types import Command
from pydantic import ValidationError
from support.payments import BIG, LARGE, done, fresh, pay
from support.systems import PERMIT_ALL, answers, of_kind, plays, with_code, with_model

__all__ = ["fresh"]  # a fixture
ON: Any = {"configurable": {"thread_id": "t"}}


async def _answers(_: dict[str, Any]) -> dict[str, str]:
    return {"text": "done"}


def test_a_graph_is_invoked_and_streamed_without_an_event_loop() -> None:
    graph = with_code(_answers).graph
    assert graph.invoke({"request": {"text": "go"}})["response"] == {"text": "done"}
    parts = list(graph.stream({"request": {"text": "go"}}, stream_mode="values"))
    assert parts[-1]["response"] == {"text": "done"}
    with pytest.raises(ContractViolation):
        graph.invoke({"request": {"text": 7}})
    with pytest.raises(ReadRefused):
        list(graph.stream({"request": {"text": "go"}}, output_keys="inbox"))


def test_a_blocking_call_inside_what_it_waits_for_is_refused() -> None:
    inner = with_code(_answers)

    async def asks(_: dict[str, Any]) -> dict[str, str]:
        return {"text": str(inner.run({"text": "go"}).output)}

    with pytest.raises(BlocksItself, match="await"):
        with_code(asks).run({"text": "go"})


def test_a_stream_that_is_left_lets_its_thread_go() -> None:
    system = with_code(_answers)
    graph = asyncio.run(system._running())
    parts = graph.stream({"request": {"text": "go"}}, ON)
    next(parts)
    parts.close()  # type: ignore[attr-defined]
    assert graph.invoke({"request": {"text": "go"}}, ON)["response"] == {"text": "done"}


def _asks(home: Path | None = None) -> System:
    return with_model(plays([Call("pay", BIG)]), pay, policy=PERMIT_ALL + LARGE, home=home)


@pytest.mark.parametrize("wrong", [True, {"decision": "maybe"}, {"decision": "approve"}])
async def test_an_answer_that_fits_no_question_ends_nothing(wrong: Any) -> None:
    system = _asks()
    waiting = await system.arun({"text": "go"}, thread="t")
    graph: Any = await system._running()
    with pytest.raises(ValidationError):
        await graph.ainvoke(Command(resume=wrong), ON)
    assert of_kind(system, waiting.run, RunEnded) == []
    assert done == []
    result = await system.aresume("t", answers(waiting, "approve"))
    assert (result.status, done) == ("completed", [("a", 500)])


async def test_the_graph_itself_takes_no_request_beside_an_open_question() -> None:
    system = _asks()
    waiting = await system.arun({"text": "go"}, thread="t")
    graph: Any = await system._running()
    with pytest.raises(ThreadWaiting) as caught:
        await graph.ainvoke({"request": {"text": "again"}}, ON)
    assert caught.value.open == tuple(r.id for r in waiting.reviews)


async def test_a_run_that_was_erased_says_so_and_does_nothing(tmp_path: Path) -> None:
    system = _asks(tmp_path)
    waiting = await system.arun({"text": "go"}, thread="t")
    await asyncio.to_thread(system.ledger.erase, waiting.run, by="the customer", reason="asked for it")
    with pytest.raises(RunErased, match="another thread"):
        await system.aresume("t", answers(waiting, "approve"))
    assert done == []
    system.close()

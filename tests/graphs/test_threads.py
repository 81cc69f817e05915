"""One run at a time on a thread, among all systems of a home: a second is refused, or waits if the system says so."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from edgewright import System, tool
from edgewright.contracts.errors import ThreadBusy, ThreadWaiting
from support.systems import PERMIT_ALL, answers, asking, with_code


@tool(effect="write", idempotency="natural", output="trusted", sensitivity="internal")
def act() -> str:
    """Act."""
    return "acted"


ON: Any = {"configurable": {"thread_id": "t"}}


class Gate:
    """An agent's function that says when it began, and goes on when it is told to."""

    def __init__(self) -> None:
        self.began, self.go, self.runs = asyncio.Event(), asyncio.Event(), 0

    async def __call__(self, inbox: dict[str, Any]) -> dict[str, str]:
        self.runs += 1
        self.began.set()
        await self.go.wait()
        return {"text": inbox["text"]}


def gated(gate: Gate, home: Path | None = None, *, name: str = "solo", wait: float | None = None) -> System:
    async def work(inbox: dict[str, Any]) -> dict[str, str]:
        return await gate(inbox)

    return with_code(work, name=name, home=home, wait=wait)


async def test_a_second_run_on_a_thread_is_refused_and_other_threads_are_free() -> None:
    gate = Gate()
    system = gated(gate)
    async with asyncio.TaskGroup() as group:
        first = group.create_task(system.arun({"text": "one"}, thread="t"))
        await asyncio.wait_for(gate.began.wait(), 10)
        for start in (lambda: system.arun({"text": "two"}, thread="t"), lambda: _streamed(system, "t")):
            with pytest.raises(ThreadBusy) as caught:
                await start()
            assert caught.value.facts == {"thread": "t"}
        with pytest.raises(ThreadBusy):
            system.compile(checkpointer=system.home.open()[1]).update_state(ON, {"response": {}})
        gate.go.set()
        assert (await system.arun({"text": "else"}, thread="other")).output == {"text": "else"}
    assert first.result().output == {"text": "one"}
    assert (await system.arun({"text": "three"}, thread="t")).output == {"text": "three"}
    assert gate.runs == 3


async def _streamed(system: System, thread: str) -> list[Any]:
    return [part async for part in system.astream({"text": "x"}, thread=thread)]


async def test_a_second_run_waits_where_the_system_says_so() -> None:
    gate = Gate()
    system = gated(gate, wait=10)
    async with asyncio.TaskGroup() as group:
        first = group.create_task(system.arun({"text": "one"}, thread="t"))
        await asyncio.wait_for(gate.began.wait(), 10)
        second = group.create_task(system.arun({"text": "two"}, thread="t"))
        await asyncio.sleep(0)
        assert gate.runs == 1
        gate.go.set()
    assert [first.result().output, second.result().output] == [{"text": "one"}, {"text": "two"}]


async def test_a_run_that_waited_its_time_is_refused() -> None:
    gate = Gate()
    system = gated(gate, wait=0.05)
    async with asyncio.TaskGroup() as group:
        group.create_task(system.arun({"text": "one"}, thread="t"))
        await asyncio.wait_for(gate.began.wait(), 10)
        with pytest.raises(ThreadBusy):
            await system.arun({"text": "two"}, thread="t")
        gate.go.set()


async def test_two_systems_of_one_home_do_not_run_on_one_thread_at_once(tmp_path: Path) -> None:
    gate = Gate()
    one, other = gated(gate, tmp_path), gated(gate, tmp_path, name="other")
    async with asyncio.TaskGroup() as group:
        group.create_task(one.arun({"text": "one"}, thread="t"))
        await asyncio.wait_for(gate.began.wait(), 10)
        with pytest.raises(ThreadBusy):
            await other.arun({"text": "two"}, thread="t")
        gate.go.set()
    one.close()
    other.close()


async def test_a_reader_who_stops_listening_lets_the_thread_go() -> None:
    gate = Gate()
    gate.go.set()
    system = gated(gate)
    stream = system.astream({"text": "one"}, thread="t", stream_mode="updates")
    await anext(stream)
    await stream.aclose()
    assert (await system.arun({"text": "two"}, thread="t")).output == {"text": "two"}


async def test_a_thread_that_waits_for_a_person_takes_no_new_request() -> None:
    async def work(_: dict[str, Any]) -> dict[str, str]:
        return {"text": await act.call({})}

    system = with_code(work, act, policy=PERMIT_ALL + asking("act"))
    waiting = await system.arun({"text": "go"}, thread="t")
    with pytest.raises(ThreadWaiting):
        await system.arun({"text": "again"}, thread="t")
    assert (await system.aresume("t", answers(waiting, "approve"))).output == {"text": "acted"}

"""An agent that makes the same calls over and over is stopped; one that waits a while, and then goes on, is not."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from edgewright import Agent, Call, FallBack, OfflineModel, Policy, Say, System, Turn, tool
from edgewright.contracts.errors import LoopFound
from edgewright.ledger.records import EffectDone, RunEnded
from support.failing import desk, marks
from support.systems import PERMIT_ALL, inside, of_kind, only_run, submitting, with_model

GO = {"text": "please"}


async def loops(system: System) -> LoopFound:
    """The loop that stopped a run."""
    with pytest.raises(LoopFound) as caught:
        await system.arun(GO)
    return caught.value


@tool(effect="read", output="trusted", sensitivity="internal")
def status(job: str) -> str:
    """How a job stands."""
    return "pending"


def _asks_for_ever(turn: Turn) -> Say | Sequence[Call]:
    return [Call("status", {"job": "J-1"})]


async def test_a_model_that_makes_the_same_call_with_the_same_result_over_and_over_is_stopped() -> None:
    system = with_model(OfflineModel("asks", _asks_for_ever), status)
    found = await loops(system)
    assert (found.kind, found.cycle, found.times) == ("call", ("worker: status",), 4)
    assert len(of_kind(system, only_run(system), EffectDone)) == 4
    [ended] = of_kind(system, only_run(system), RunEnded)
    assert "worker: status …, 4 times with the same results" in ended.reason


async def test_code_that_makes_the_same_call_over_and_over_is_stopped() -> None:
    async def work() -> None:
        while True:
            await status.call({"job": "J-1"})

    done = await inside(work, status)
    assert isinstance(done.error, LoopFound)
    assert len(done.of(EffectDone)) == 4


async def test_two_calls_that_take_turns_are_one_cycle() -> None:
    def rules(turn: Turn) -> Sequence[Call]:
        return [Call("status", {"job": f"J-{len(turn.results) % 2}"})]

    found = await loops(with_model(OfflineModel("turns", rules), status))
    assert (found.cycle, found.times) == (("worker: status", "worker: status"), 4)


async def test_an_agent_that_goes_round_in_circles_by_itself_has_failed_as_its_topology_declares() -> None:
    worker = Agent("worker", version=1, prompt="Do it.", model=OfflineModel("asks-on", _asks_for_ever), tools=[status])
    system = desk(worker, {"worker": FallBack(answer={"text": "sorry"})}, policy=Policy(text=PERMIT_ALL))
    result = await system.arun(GO)
    assert (result.output, marks(result)) == ({"text": "sorry"}, [("degraded", "worker", "LoopFound")])


async def test_who_asks_three_times_how_a_job_stands_and_then_goes_on_is_let_go_on() -> None:
    def rules(turn: Turn) -> Sequence[Call]:
        return [Call("status", {"job": "J-1"})] if len(turn.results) < 3 else [submitting("still pending")]

    result = await with_model(OfflineModel("patient", rules), status).arun(GO)
    assert result.output == {"text": "still pending"}

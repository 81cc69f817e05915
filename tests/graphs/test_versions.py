"""A thread in flight and a system that changed: it goes on where that is safe, and is refused where it is not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from edgewright import Agent, Contract, Pipeline, Policy, System, tool
from edgewright.contracts.errors import SystemChanged
from edgewright.ledger.records import RunEnded, RunResumed
from langgraph.types import Command
from pydantic import BaseModel
from support.systems import ANSWER, QUESTION, answers, asking, of_kind

paid: list[int] = []


@tool(effect="write", idempotency="key")
def pay(cents: int) -> str:
    """Pay."""
    paid.append(cents)
    return "paid"


async def _pays(_: dict[str, Any]) -> dict[str, str]:
    return {"text": await pay.call({"cents": 5})}


async def _pays_twice(_: dict[str, Any]) -> dict[str, str]:
    await pay.call({"cents": 5})
    return {"text": await pay.call({"cents": 5})}


def _desk(home: Path, *, answer: Contract = ANSWER, code: Any = _pays, **options: Any) -> System:
    worker = Agent("worker", version=1, function=code, tools=[pay])
    given: dict[str, Any] = {
        "version": 1,
        "policy": Policy(text='@id("all") permit(principal, action, resource);' + asking("pay")),
    }
    line = Pipeline(stages=[worker], contracts=[QUESTION, answer])
    return System("desk", topology=line, home=home, **{**given, **options})


@pytest.fixture(autouse=True)
def _fresh() -> None:
    paid.clear()


async def _waiting(home: Path) -> Any:
    old = _desk(home)
    waiting = await old.arun({"text": "go"}, thread="t")
    assert waiting.status == "waiting"
    old.close()
    return waiting


async def test_a_thread_goes_on_under_a_version_that_differs_safely(tmp_path: Path) -> None:
    class Answer(BaseModel):
        """What they answer, told otherwise."""

        text: str

    waiting = await _waiting(tmp_path)
    new = _desk(tmp_path, answer=Contract(Answer, version=1))
    result = await new.aresume("t", answers(waiting, "approve"))
    assert (result.status, paid) == ("completed", [5])
    resumed = of_kind(new, result.run, RunResumed)
    assert [r.system_digest for r in resumed][-1:] in ([], [new.digest])
    new.close()


@pytest.mark.parametrize("how", ["contract", "code"])
async def test_a_thread_is_refused_under_a_version_that_differs_too_much(tmp_path: Path, how: str) -> None:
    class Answer(BaseModel):
        text: str
        cents: int

    waiting = await _waiting(tmp_path)
    changes: dict[str, Any] = {"answer": Contract(Answer, version=2)} if how == "contract" else {"code": _pays_twice}
    new = _desk(tmp_path, **changes)
    with pytest.raises(SystemChanged) as caught:
        await new.aresume("t", answers(waiting, "approve"))
    assert caught.value.before != caught.value.now == new.digest
    assert caught.value.before[:12] in str(caught.value)
    assert caught.value.now[:12] in str(caught.value)
    assert "load the old version" in str(caught.value)
    assert caught.value.reasons
    graph: Any = await new._running()
    with pytest.raises(SystemChanged):
        await graph.ainvoke(
            Command(resume={"decision": "approve", "reason": "x"}), {"configurable": {"thread_id": "t"}}
        )
    with pytest.raises(SystemChanged):
        await new.arun({"text": "again"}, thread="t")
    assert paid == []
    assert of_kind(new, waiting.run, RunEnded) == []
    new.close()


async def test_a_thread_goes_on_under_the_old_version_where_it_is_loaded(tmp_path: Path) -> None:
    waiting = await _waiting(tmp_path)
    new, old = _desk(tmp_path, code=_pays_twice), _desk(tmp_path)
    result = await new.aresume("t", answers(waiting, "approve"))
    assert (result.status, paid) == ("completed", [5])
    for system in (new, old):
        system.close()


async def test_an_ended_thread_takes_a_new_request_under_any_version(tmp_path: Path) -> None:
    waiting = await _waiting(tmp_path)
    old = _desk(tmp_path)
    await old.aresume("t", answers(waiting, "approve"))
    new = _desk(tmp_path, code=_pays_twice)
    assert (await new.arun({"text": "again"}, thread="t")).status == "waiting"
    for system in (new, old):
        system.close()

"""Never a call too many: a small run of the trial, in branches, runs and processes, and that the trial can fail."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from edgewright import Agent, Budget, Call, OfflineModel, Turn
from edgewright.contracts.budget import Amounts
from edgewright.contracts.errors import BudgetExceeded
from edgewright.graphs.home import FILE
from edgewright.ledger.counts import Count
from edgewright.ledger.entry import Draft
from edgewright.ledger.records import ModelFailed, ModelReserved, ModelSettled
from edgewright.ledger.sqlite import SqliteLedger
from support.ledgers import WAIT, handoff, started
from support.offices import office, sends
from support.systems import of_kind, only_run

from bench.faults import ModelServer, Reply
from bench.overspend import together
from bench.overspend.apart import PROCESSES, in_processes, with_kills
from bench.overspend.asking import CALLS, reserved_by_one
from bench.overspend.books import faults_of
from bench.overspend.crew import Crew
from bench.overspend.limits import UNITS
from bench.overspend.round import in_one_day
from bench.overspend.together import in_branches, side_by_side

KEY, NEVER = "budget/tenant/day/local/model_calls", 4e9


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Amounts:
    return asyncio.run(reserved_by_one(tmp_path_factory.mktemp("one")))


@pytest.fixture(scope="module")
def crew() -> Iterator[Crew]:
    with Crew(PROCESSES) as found:
        yield found


@pytest.mark.parametrize("limit", UNITS)
async def test_of_200_branches_of_one_run_50_reach_the_model(limit: str, one: Amounts, tmp_path: Path) -> None:
    found = await in_branches(limit, tmp_path, one, random.Random(limit))
    assert (found.calls, found.faults) == (CALLS, [])


@pytest.mark.parametrize("limit", UNITS)
async def test_of_200_runs_in_one_process_50_reach_the_model(limit: str, one: Amounts, tmp_path: Path) -> None:
    found = await side_by_side(limit, tmp_path, one, random.Random(limit))
    assert (found.calls, found.faults) == (CALLS, [])


@pytest.mark.slow
@pytest.mark.parametrize("limit", UNITS)
def test_of_200_runs_in_four_processes_50_reach_the_model(limit: str, one: Amounts, crew: Crew) -> None:
    found = in_one_day(lambda home: in_processes(limit, home, one, random.Random(limit), crew))
    assert (found.calls, found.faults) == (CALLS, [])


@pytest.mark.slow
@pytest.mark.parametrize("limit", UNITS)
def test_after_a_kill_in_the_middle_no_more_reach_the_model_and_the_books_add_up(
    limit: str, one: Amounts, crew: Crew
) -> None:
    found = in_one_day(lambda home: with_kills(limit, home, one, random.Random(limit), crew))
    assert (found.kills, found.faults) == (2, [])
    assert found.calls <= CALLS


# -- agents with models, in branches -----------------------------------------------------------------------------------

BRANCHES, COVERED = 60, 25


@pytest.mark.parametrize("then", ["drain", "fail"])
async def test_branches_with_a_model_each_use_what_is_there_and_leave_nothing_open(then: Any) -> None:
    asked: list[str] = []

    def reply(turn: Turn) -> list[Call]:
        asked.append(turn.request["part"])
        return [Call("handoff_to_head", {"found": "it"})]

    model = OfflineModel("clerk", reply)
    worker = Agent("clerk", version=1, prompt="Look.", model=model, limits=Budget())
    router = sends(*(f"p{n}" for n in range(BRANCHES)))
    system = office(router, worker, budget=Budget(model_calls=COVERED, then=then))
    if then == "drain":  # those beside a branch that was refused still end
        result = await system.arun({"text": "go"})
        assert (result.status, len(asked)) == ("drained", COVERED)
    else:
        with pytest.raises(BudgetExceeded, match=f"allows {COVERED} model calls"):
            await system.arun({"text": "go"})
        assert len(asked) <= COVERED
    run = only_run(system)
    reserved = {r.call for r in of_kind(system, run, ModelReserved)}
    settled = [r.call for r in of_kind(system, run, ModelSettled)] + [r.call for r in of_kind(system, run, ModelFailed)]
    assert len(reserved) == COVERED
    assert sorted(settled) == sorted(reserved)


# -- that it can fail --------------------------------------------------------------------------------------------------


async def test_a_gate_that_lets_one_more_through_is_found(
    one: Amounts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def generous(_: str, one: Amounts, rng: random.Random, **of: Any) -> Budget:
        return Budget(model_calls=CALLS + 1, steps=None, **of)

    monkeypatch.setattr(together, "covering", generous)
    found = await in_branches("calls", tmp_path, one, random.Random(1))
    assert found.calls == CALLS + 1
    assert f"{CALLS + 1} calls reached the server" in found.faults


def _reserved(call: str) -> ModelReserved:
    return ModelReserved(at="a", call=call, agent="caller", model="m", reserved={"model_calls": 1})


def _settled(call: str, calls: int = 1) -> ModelSettled:
    return ModelSettled(
        at="a", call=call, agent="caller", model="m", used={"model_calls": calls}, price="", seconds=0.1, calls=[]
    )


@pytest.mark.parametrize(
    ("records", "fault"),
    [
        ([_reserved("1")], "1 calls were never settled"),
        ([_reserved("1"), _settled("1")], "1 model_calls were spent, and the server has 0"),
        ([_reserved("1"), _settled("1"), _settled("1")], "call 1 was settled, and is not out"),
        ([_reserved("1"), _settled("1", 2)], "call 1 used more than was reserved for it"),
    ],
)
def test_books_that_do_not_add_up_are_found(records: list[Any], fault: str, tmp_path: Path) -> None:
    with closing(SqliteLedger(tmp_path / FILE)) as ledger:
        ledger.append("run", [Draft(record=r) for r in (started(), *records)]).result(WAIT)
    with ModelServer(lambda _: Reply(text="")) as server:
        _, faults = faults_of(tmp_path, server, now=time.time())
    assert fault in faults


@pytest.mark.parametrize(
    ("counts", "fault"),
    [
        ([Count(key=KEY, by="1", amount=1, expires=NEVER)], f"{KEY}: 1 are open for ever"),
        ([Count(key=KEY, by="1", amount=1)], f"{KEY}: Account(reserved=1, spent=1"),
    ],
)
def test_accounts_that_the_records_do_not_tell_of_are_found(counts: list[Count], fault: str, tmp_path: Path) -> None:
    with closing(SqliteLedger(tmp_path / FILE)) as ledger:
        ledger.append("run", [Draft(record=handoff("it"), counts=tuple(counts))]).result(WAIT)
    with ModelServer(lambda _: Reply(text="")) as server:
        _, faults = faults_of(tmp_path, server, now=time.time())
    assert any(f.startswith(fault) for f in faults)

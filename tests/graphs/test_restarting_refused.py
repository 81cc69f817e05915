"""Where a run is not begun again: nothing is begun then, and whoever asks is told why."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from edgewright import (
    Agent,
    Pipeline,
    System,
)
from edgewright.contracts.errors import (
    ContractViolation,
    NotFound,
    RestartRefused,
    RunErased,
    RunUndone,
    ThreadWaiting,
)
from edgewright.contracts.review import Reviewer
from edgewright.graphs.restarting import Restart, opened, sealed
from edgewright.graphs.stages import Parallel
from edgewright.ledger.records import RunEnded
from support.lines import ANN, BOB, CASE, FAIL, GO, SHORT, adds, done, file, files, line
from support.systems import PERMIT_ALL, asking, of_kind, only_run


@pytest.fixture(autouse=True)
def _fresh() -> None:
    done.clear()


async def test_what_does_not_fit_the_contract_of_today_begins_nothing(tmp_path: Path) -> None:
    before = line(home=tmp_path)
    first = await before.arun(GO)
    before.close()
    now = line(home=tmp_path, contracts=[CASE, CASE, SHORT, CASE, CASE])
    with pytest.raises(ContractViolation, match="filing→check"):
        await now.arestart(first.run, stage="check")
    assert len(now.ledger.runs(limit=9)) == 1
    assert (await now.arestart(first.run, stage="sign")).status == "completed"
    now.close()


async def test_a_run_that_may_do_more_is_not_begun_again() -> None:
    system = line(policy=asking("file") + PERMIT_ALL)
    waiting = await system.arun(GO)
    with pytest.raises(RestartRefused, match=r"it is waiting, so it may do more; resume its thread"):
        await system.arestart(waiting.run, stage="intake")


async def test_a_thread_that_waits_takes_no_restart() -> None:
    async def may_file(payload: dict[str, Any]) -> dict[str, Any]:
        return await files(payload) if payload["phone"] == "ask" else payload

    stages = (
        Agent("filing", version=1, function=may_file, tools=[file]),
        Agent("check", version=1, function=adds("checked")),
    )
    system = line(*stages, policy=asking("file") + PERMIT_ALL)
    first = await system.arun(GO)
    waiting = await system.arun({"text": "go", "phone": "ask"}, thread="w")
    assert waiting.status == "waiting"
    with pytest.raises(ThreadWaiting):
        await system.arestart(first.run, stage="check", thread="w")


@pytest.mark.parametrize("by", [None, BOB])
async def test_to_another_tenant_a_run_does_not_exist(by: Reviewer | None) -> None:
    system = line()
    first = await system.arun(GO, by=ANN)
    with pytest.raises(NotFound):
        await system.arestart(first.run, stage="check", by=by)
    assert len(system.ledger.runs(limit=9)) == 1


async def test_another_tenants_thread_does_not_exist_either() -> None:
    system = line()
    first, other = await system.arun(GO, by=ANN), await system.arun(GO, by=BOB)
    with pytest.raises(NotFound):
        await system.arestart(first.run, stage="check", by=ANN, thread=other.thread)
    fresh = await system.arestart(first.run, stage="check", by=ANN, thread="fresh")
    assert (fresh.thread, fresh.output) == ("fresh", first.output)


async def test_what_is_no_stage_or_was_never_reached_is_refused() -> None:
    def fails(_: Any) -> Any:
        raise RuntimeError("out")

    system = line(Agent("check", version=1, function=fails), Agent("sign", version=1, function=adds("signed")))
    with pytest.raises(RuntimeError):
        await system.arun(GO)
    run = only_run(system)
    with pytest.raises(RestartRefused, match="there is no such stage; known: check, sign"):
        await system.arestart(run, stage="nobody")
    with pytest.raises(RestartRefused, match="nothing had crossed to it over check→sign; it came to check"):
        await system.arestart(run, stage="sign")
    with pytest.raises(NotFound):
        await system.arestart("no-such-run", stage="sign")


async def test_a_stage_of_several_is_begun_again_as_a_whole_or_behind_it_never_in_a_branch() -> None:
    def finds(payload: dict[str, Any]) -> dict[str, Any]:
        done["found"] += 1
        return payload

    several = Parallel(
        [Agent("law", version=1, function=finds), Agent("cost", version=1, function=finds)],
        findings=CASE,
        carried=["phone"],
        name="views",
    )
    tells = Agent("tells", version=1, function=lambda met: {"text": f"{len(met['results'])} views"})
    topology = Pipeline(stages=[several, tells], contracts=[CASE, None, CASE], on_violation=FAIL)
    system = System("line", version=1, topology=topology)
    first = await system.arun(GO)
    assert (await system.arestart(first.run, stage="views")).output == first.output
    assert done["found"] == 4
    behind = await system.arestart(first.run, stage="tells")
    assert (behind.output, done["found"]) == (first.output, 4)
    with pytest.raises(RestartRefused, match="'law' is one of several branches, which meet; begin at 'views_split'"):
        await system.arestart(first.run, stage="law")


async def test_what_is_gone_cannot_be_begun_with_again() -> None:
    system = line()
    erased, undone = await system.arun(GO), await system.arun(GO)
    await system.acompensate(undone.run, by="ann")
    with pytest.raises(RunUndone):
        await system.arestart(undone.run, stage="check")
    system.ledger.erase(erased.run, by="ann", reason="asked for")
    with pytest.raises(RunErased):
        await system.arestart(erased.run, stage="check")


async def test_nobody_but_the_system_itself_can_order_it() -> None:
    system = line()
    first = await system.arun(GO)
    order = Restart(run="new", of=first.run, stage="sign", edge="check→sign", crossed="x", by="mallory")
    made = sealed(system.ledger, order, thread="t")
    assert opened(system.ledger, made, thread="t") == order
    assert opened(system.ledger, made, thread="other") is None
    [inner] = made.values()
    for changed in ({**inner, "by": "ann"}, {**inner, "more": "x"}, {k: v for k, v in inner.items() if k != "mac"}):
        assert opened(system.ledger, {next(iter(made)): changed}, thread="t") is None
    assert replace(order, by="x") != order
    with pytest.raises(ContractViolation):
        await system.arun(made, thread="t")  # not even a true one passes the door


async def test_a_run_that_was_begun_again_can_be_begun_again() -> None:
    system = line()
    first = await system.arun(GO)
    second = await system.arestart(first.run, stage="check")
    third = await system.arestart(second.run, stage="sign")
    assert third.output == first.output
    with pytest.raises(RestartRefused, match="nothing had crossed to it over intake→filing"):
        await system.arestart(second.run, stage="filing")


async def test_a_thread_goes_on_with_ordinary_requests_afterwards() -> None:
    system = line()
    first = await system.arun(GO, thread="t")
    await system.arestart(first.run, stage="sign")
    third = await system.arun({"text": "more", "phone": "none"}, thread="t")
    assert third.output == {"text": "filed more taken checked signed", "phone": "none"}
    assert of_kind(system, third.run, RunEnded)[-1].status == "completed"


def test_it_works_without_an_event_loop() -> None:
    system = line()
    first = system.run(GO)
    assert system.restart(first.run, stage="sign").output == first.output

"""A run begun again at a stage: with exactly what had crossed to it, believed as little as then, and nothing more."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from edgewright import (
    Agent,
    Budget,
    Call,
    Contract,
    Handoff,
    OfflineModel,
    ReviewAnswer,
    Skip,
    Turn,
    last,
    tool,
)
from edgewright.contracts.errors import (
    BoundReached,
    PartialRefused,
)
from edgewright.graphs.stages import LoopBack
from edgewright.ledger.records import AgentStarted, ContractPassed, RunRestarted, RunStarted
from support.lines import AGAIN, ANN, CASE, GO, Case, adds, done, file, files, line
from support.systems import PERMIT_ALL, asking, of_kind, only_run


@pytest.fixture(autouse=True)
def _fresh() -> None:
    done.clear()


# -- what it begins with -----------------------------------------------------------------------------------------------


async def test_it_begins_at_the_stage_with_what_had_crossed_and_does_nothing_before_it_again() -> None:
    system = line()
    first = await system.arun(GO)
    second = await system.arestart(first.run, stage="check")
    assert (second.status, second.output, second.thread) == ("completed", first.output, first.thread)
    assert second.run != first.run
    assert done == {"taken": 1, "go taken": 1, "checked": 2, "signed": 2}
    assert [r.agent for r in of_kind(system, second.run, AgentStarted)] == ["check@1", "sign@1"]


async def test_it_is_on_record_where_and_of_what_it_was_begun_again() -> None:
    system = line()
    first = await system.arun(GO, by=ANN)
    second = await system.arestart(first.run, stage="check", by=ANN)
    [record] = of_kind(system, second.run, RunRestarted)
    assert (record.run, record.stage, record.edge, record.by) == (first.run, "check", "filing→check", "ann")
    crossed = {e.key: e.record for e in system.ledger.entries(first.run)}[f"passed:{record.crossed}"]
    [began, *_] = of_kind(system, second.run, ContractPassed)
    assert isinstance(crossed, ContractPassed)
    assert (began.edge, began.payload, began.labels) == (crossed.edge, crossed.payload, crossed.labels)
    [started] = of_kind(system, second.run, RunStarted)
    assert (started.started_by, started.tenant) == ("ann", "north")
    scene = next(s for s in system.explain(second.run).scenes if "begin at check" in s.title)
    assert ("of run", first.run) in scene.facts
    assert not of_kind(system, first.run, RunRestarted)


@pytest.mark.parametrize("kept", [True, False], ids=["file", "memory"])
async def test_a_failed_run_is_begun_again_behind_what_it_did(kept: bool, tmp_path: Path) -> None:
    works: list[bool] = []

    def check(payload: dict[str, Any]) -> dict[str, Any]:
        if not works:
            raise RuntimeError("out")
        return payload

    stages = (Agent("filing", version=1, function=files, tools=[file]), Agent("check", version=1, function=check))
    system = line(*stages, home=tmp_path if kept else None)
    with pytest.raises(RuntimeError):
        await system.arun(GO, thread="t")
    run = only_run(system)
    works.append(True)
    result = await system.arestart(run, stage="check", thread="t")
    assert result.output == {"text": "filed go", "phone": "555 0199"}
    assert done == {"go": 1}
    system.close()


async def test_it_has_effects_of_its_own() -> None:
    system = line()
    first = await system.arun(GO)
    await system.arestart(first.run, stage="filing")
    assert done["go taken"] == 2


async def test_it_has_a_budget_of_its_own() -> None:
    system = line(budget=Budget(steps=9))
    first = await system.arun(GO)
    assert (await system.arestart(first.run, stage="intake")).status == "completed"


async def test_what_was_redacted_for_readers_is_as_it_was_for_the_stage(tmp_path: Path) -> None:
    system = line(home=tmp_path)
    first = await system.arun(GO)
    system.close()
    again = line(home=tmp_path)
    assert (await again.arestart(first.run, stage="sign")).output == first.output
    again.close()


async def test_the_last_time_that_a_stage_was_reached_counts() -> None:
    def critic(payload: dict[str, Any]) -> Any:
        more = payload["text"].count("drafted") < 3
        return Handoff(target="drafter" if more else "sign", payload=payload)

    drafter, judge = Agent("drafter", version=1, function=adds("drafted")), Agent("critic", version=1, function=critic)
    back = LoopBack(source="critic", to="drafter", contract=AGAIN, most=2, then="fail")
    system = line(drafter, judge, Agent("sign", version=1, function=adds("signed")), loop_backs=[back])
    first = await system.arun(GO)
    second = await system.arestart(first.run, stage="drafter")
    assert second.output == first.output
    edges = [r.edge for r in of_kind(system, second.run, ContractPassed)]
    assert edges == ["critic→drafter", "drafter→critic", "critic→sign", "sign→end"]


async def test_bounds_are_counted_anew_with_the_crossing_that_it_began_with() -> None:
    def critic(payload: dict[str, Any]) -> Any:
        more = payload["text"].count("drafted") < 3 + 9 * bool(greedy)
        return Handoff(target="drafter" if more else "end", payload=payload)

    greedy: list[bool] = []
    drafter, judge = Agent("drafter", version=1, function=adds("drafted")), Agent("critic", version=1, function=critic)
    back = LoopBack(source="critic", to="drafter", contract=AGAIN, most=2, then="fail")
    system = line(drafter, judge, loop_backs=[back])
    first = await system.arun(GO)
    greedy.append(True)
    with pytest.raises(BoundReached) as caught:
        await system.arestart(first.run, stage="drafter")
    assert len(caught.value.rounds) == 2
    newest = system.ledger.runs(limit=1)[0].run
    assert [r.edge for r in of_kind(system, newest, ContractPassed)].count("critic→drafter") == 2


# -- taint, marks, messages --------------------------------------------------------------------------------------------


async def test_what_was_not_to_be_believed_is_not_after_it_either() -> None:
    @tool(effect="write", idempotency="key", output="trusted", sensitivity="internal")
    def pay(text: str) -> str:
        """Pay."""
        done["paid"] += 1
        return "paid"

    async def pays(payload: dict[str, Any]) -> dict[str, Any]:
        return {**payload, "text": await pay.call({"text": payload["text"]})}

    stages = (
        Agent("filing", version=1, function=files, tools=[file]),
        Agent("payer", version=1, function=pays, tools=[pay]),
    )
    rules = asking("pay", 'context.tainted.contains("text")') + PERMIT_ALL
    system = line(*stages, policy=rules)
    asked = await system.arun(GO)
    assert asked.reviews[0].tool == "pay"  # the filing's words are not trusted
    yes = ReviewAnswer(decision="approve", reason="looked at it")
    first = await system.aresume(asked.thread, {asked.reviews[0].id: yes})
    again = await system.arestart(first.run, stage="payer")
    assert (again.status, again.reviews[0].tool) == ("waiting", "pay")
    assert again.reviews[0].provenance == asked.reviews[0].provenance
    assert done["paid"] == 1


async def test_what_was_missing_is_still_missing(tmp_path: Path) -> None:
    def fails(_: Any) -> Any:
        raise RuntimeError("out")

    stages = (Agent("check", version=1, function=fails), Agent("sign", version=1, function=adds("signed")))
    system = line(*stages, on_failure={"check": Skip()}, home=tmp_path)
    first = await system.arun(GO)
    second = await system.arestart(first.run, stage="sign")
    assert second.marks == first.marks
    assert second.partial
    system.close()
    strict = Contract(Case, version=2, partial="refuse")
    now = line(*stages, on_failure={"check": Skip()}, contracts=[CASE, strict, CASE], home=tmp_path)
    with pytest.raises(PartialRefused):
        await now.arestart(first.run, stage="sign")
    assert len(now.ledger.runs(limit=9)) == 2
    now.close()


async def test_the_messages_that_had_crossed_cross_again() -> None:
    seen: list[list[str]] = []

    def first_rules(turn: Turn) -> Sequence[Call]:
        return [Call("handoff_to_second", {"text": "brief"})]

    def second_rules(turn: Turn) -> Sequence[Call]:
        seen.append([f"{m.type}: {m.text}" for m in turn.messages])
        return [Call("submit", {"text": "answer"})]

    system = line(
        Agent("first", version=1, prompt="One.", model=OfflineModel("restart-first", first_rules)),
        Agent("second", version=1, prompt="Two.", model=OfflineModel("restart-second", second_rules)),
        history=last(5),
    )
    result = await system.arun(GO)
    again = await system.arestart(result.run, stage="second")
    assert again.status == "completed"
    assert seen[0] == seen[1]
    assert len(seen[0]) > 2
    crossings = [of_kind(system, r, ContractPassed)[i] for r, i in ((result.run, 1), (again.run, 0))]
    assert crossings[0].history == crossings[1].history != ""

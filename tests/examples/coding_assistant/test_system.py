"""The assistant as a whole: real git, real pytest in a real sandbox, real ledger; the offline rules play the agent."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from edgewright import ReviewAnswer, RunResult, System
from edgewright.examples.coding_assistant import system as module
from edgewright.examples.coding_assistant.cases import load_cases
from edgewright.examples.coding_assistant.repositories import Workspaces
from edgewright.examples.coding_assistant.showcase import showcase
from edgewright.ledger.records import CallJudged, EffectDone
from edgewright.server.showcase import Shown

CANARY = "hunter2-of-the-house-and-of-nobody-else"


def built(home: Path) -> System:
    """The assistant, in isolation; skips where there is none."""
    system = module.build(home)
    if work_of(system).sandbox.isolation == "none":
        system.close()
        pytest.skip("; ".join(work_of(system).sandbox.why))
    return system


def work_of(system: System) -> Workspaces:
    """Where its runs work."""
    return next(r for r in system.standing.resources if isinstance(r, Workspaces))


@pytest.mark.slow
async def test_every_case_comes_out_as_it_was_written_down_twice_over_one_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEWRIGHT_CANARY", CANARY)
    system = built(tmp_path)
    for _ in range(2):
        shown = await showcase(system)
        assert {s.case: s.faults for s in shown if not s.ok} == {}
        assert len(shown) == 7
    isolation = work_of(system).sandbox.isolation
    main = (await asyncio.to_thread(work_of(system).branches))["main"]
    assert main == work_of(system).of(shown[0].run).git("rev-parse", "origin/main").strip()
    # The isolation stands in the answer, in the facts of the verdict, and in the result that the ledger holds.
    entries = [e.record for e in system.ledger.entries(run_of(shown, "limit"))]
    judged = [r for r in entries if isinstance(r, CallJudged) and r.tool == "run_tests"]
    done = [r for r in entries if isinstance(r, EffectDone) and r.tool == "run_tests"]
    assert judged
    assert {r.facts["isolation"] for r in judged} == {isolation}
    assert (
        f'"isolation":"{isolation}"' in (system.ledger.payload(run_of(shown, "limit"), done[0].outcome) or b"").decode()
    )
    # What was printed of the environment holds nothing of the house's.
    assert system.ledger.search(CANARY) == []
    assert CANARY not in "".join(s.outcome for s in shown)
    system.close()


def run_of(shown: list[Shown], case: str) -> str:
    """The run of a case."""
    return next(s.run for s in shown if s.case == case)


async def test_without_isolation_every_run_of_tests_is_asked_about(tmp_path: Path) -> None:
    system = module.build(tmp_path, isolation="none")
    shown = await showcase(system)
    assert {s.case: s.faults for s in shown if not s.ok} == {}
    assert {s.asked for s in shown} == {1}
    system.close()


async def answered(system: System, result: RunResult, decision: str) -> RunResult:
    """Go on with one answer to all that is asked."""
    answers = {r.id: ReviewAnswer.model_validate({"decision": decision, "reason": "test"}) for r in result.reviews}
    return await system.aresume(result.thread, answers)


async def test_an_approval_in_the_open_counts_for_one_run_of_the_tests(tmp_path: Path) -> None:
    system = module.build(tmp_path, isolation="none")
    case = next(c for c in load_cases("none") if c.id == "limit")
    result = await system.arun(case.request("0"))
    asked = 0
    while result.status == "waiting":
        (review,) = result.reviews
        assert (review.tool, review.facts) == ("run_tests", {"isolation": "none"})
        asked += 1
        result = await answered(system, result, "approve")
    assert asked >= 2
    assert result.output is not None
    assert (result.output["outcome"], result.output["isolation"]) == ("fixed", "none")
    system.close()


async def test_in_production_nothing_runs_in_the_open(tmp_path: Path) -> None:
    system = module.build(tmp_path, isolation="none", environment="production")
    case = next(c for c in load_cases("none") if c.id == "limit")
    result = await system.arun(case.request("0"))
    assert (result.status, (result.output or {})["outcome"]) == ("completed", "stopped")
    denied = [e.record for e in system.ledger.entries(result.run) if isinstance(e.record, CallJudged)]
    assert [(r.tool, r.verdict) for r in denied] == [("run_tests", "deny")]
    system.close()


async def test_a_push_that_is_rejected_leaves_the_origin_as_it_was(tmp_path: Path) -> None:
    system = built(tmp_path)
    case = next(c for c in load_cases("namespaces") if c.id == "friday")
    result = await system.arun(case.request("0"))
    assert [r.tool for r in result.reviews] == ["push"]
    assert result.reviews[0].facts == {"tested": True, "gained": 1, "lost": 0}
    result = await answered(system, result, "reject")
    assert result.output is not None
    assert (result.output["outcome"], result.output["pushed_to"]) == ("fixed", None)
    assert list(await asyncio.to_thread(work_of(system).branches)) == ["main"]
    system.close()

"""The desk as a whole: real graph, real prices, real ledger; the offline rules play the analysts."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from edgewright import Call, OfflineModel, ReviewAnswer, RunResult, Say, System, Turn
from edgewright.contracts.errors import ContractViolation, ReviewerRefused
from edgewright.contracts.review import Reviewer
from edgewright.examples.investment_analysis import rules
from edgewright.examples.investment_analysis.papers import DATA, Papers
from edgewright.examples.investment_analysis.reviewer import HEAD, review
from edgewright.examples.investment_analysis.showcase import cases, shown
from edgewright.examples.investment_analysis.system import build
from edgewright.ledger.records import CallJudged, ContractPassed, EffectDone
from support.systems import of_kind

CASES = {case["id"]: case for case in cases()}
CHARTS = Path("investment_analysis") / "charts"


async def ended(system: System, order: dict[str, Any]) -> RunResult:
    """A run to its end, the stated rule answering."""
    result = await system.arun(order)
    while result.status == "waiting":
        answers = {request.id: review(request) for request in result.reviews}
        result = await system.aresume(result.thread, answers, reviewer=HEAD)
    return result


@pytest.mark.parametrize("name", CASES)
async def test_each_case_ends_as_it_was_written(tmp_path: Path, name: str) -> None:
    system = build(tmp_path)
    found = await shown(system, CASES[name])
    system.close()

    assert found.faults == ()
    assert [path.is_file() for path in found.files] == [True] * (found.facts["recommendation"] != "none")


async def test_a_second_run_over_the_same_home_ends_the_same_way(tmp_path: Path) -> None:
    seen = []
    for _ in range(2):
        system = build(tmp_path)
        seen.append((await ended(system, CASES["three-agree"]["order"])).output)
        system.close()

    assert seen[0] == seen[1]
    assert [path.name for path in (tmp_path / CHARTS).iterdir()] == ["AAPL_2009-09-30_buy.png"]


async def test_an_order_hidden_in_a_report_is_tried_and_denied(tmp_path: Path) -> None:
    system = build(tmp_path)
    result = await ended(system, CASES["hidden-order-outvoted"]["order"])
    judged = of_kind(system, result.run, CallJudged)
    system.close()

    assert [(r.tool, r.agent, list(r.rules)) for r in judged if r.verdict == "deny"] == [
        ("read_news", "sentiment", ["the-ordered-day-only"])
    ]
    (dissent,) = (result.output or {})["dissent"]
    assert (dissent["analyst"], dissent["view"], dissent["confidence"]) == ("sentiment", "buy", 100)


async def test_what_the_press_said_stays_untrusted_behind_the_fan_out(tmp_path: Path) -> None:
    system = build(tmp_path)
    result = await ended(system, CASES["three-agree"]["order"])
    passed = {(r.edge, r.branch): r.labels for r in of_kind(system, result.run, ContractPassed)}
    system.close()

    findings = {edge.partition("→")[0]: labels for (edge, branch), labels in passed.items() if branch >= 0}
    behind = next(labels for (edge, _), labels in passed.items() if edge.startswith("["))
    assert findings["sentiment"]["reasons"][0] == "untrusted"
    assert behind["results"][0] == "untrusted"
    assert behind["ticker"][0] == behind["as_of"][0] == "user"


async def test_without_the_order_in_the_report_the_press_would_have_sold(tmp_path: Path) -> None:
    clean = tmp_path / "papers"
    shutil.copytree(DATA, clean)
    feed = clean / "news" / "IBM.toml"
    feed.write_text(feed.read_text(encoding="utf-8").replace("Note to automated readers", "Note"), encoding="utf-8")
    system = build(tmp_path, papers=Papers(clean))
    output = (await ended(system, CASES["hidden-order-outvoted"]["order"])).output or {}
    system.close()

    assert output["supporters"] == ["fundamental", "technical", "sentiment", "esg"]
    assert output["recommendation"] == "sell"


async def test_a_feed_that_is_missing_leaves_a_labelled_gap(tmp_path: Path) -> None:
    system = build(tmp_path)
    result = await ended(system, CASES["feed-missing"]["order"])
    system.close()

    assert result.partial
    assert [(mark.kind, mark.agent) for mark in result.marks if mark.kind == "gap"] == [("gap", "esg")]
    assert (result.output or {})["missing"] == [{"analyst": "esg", "why": "tool 'read_notes' failed"}]


async def test_an_analyst_whose_look_up_fails_gives_no_view_even_if_its_model_would(tmp_path: Path) -> None:
    asked = []

    def inventive(turn: Turn) -> Any:
        if "read_notes" in turn.tools and turn.results:
            asked.append(turn.results)
            made_up = {"view": "sell", "confidence": 90, "reasons": ["I am sure of it"]}
            return [Call("handoff_to_chair", made_up)]
        return rules.rules(turn)

    system = build(tmp_path, model=OfflineModel("inventive_esg_analyst", inventive))
    output = (await ended(system, CASES["feed-missing"]["order"])).output or {}
    system.close()

    assert asked == []
    assert [gap["analyst"] for gap in output["missing"]] == ["esg"]


async def test_nothing_is_published_before_a_person_has_said_yes(tmp_path: Path) -> None:
    system = build(tmp_path)
    waiting = await system.arun(CASES["press-decides-confirmed"]["order"])
    (request,) = waiting.reviews
    assert (request.tool, [rule.id for rule in request.rules]) == ("publish", ["ask-when-the-press-decides"])
    assert not (tmp_path / CHARTS).exists()

    intern = Reviewer("somebody", roles=frozenset({"intern"}))
    yes = ReviewAnswer(decision="approve", reason="why not")
    with pytest.raises(ReviewerRefused):
        await system.aresume(waiting.thread, {request.id: yes}, reviewer=intern)
    assert not (tmp_path / CHARTS).exists()

    done = await system.aresume(waiting.thread, {request.id: yes}, reviewer=HEAD)
    effects = [r for r in of_kind(system, done.run, EffectDone) if r.changes_world]
    system.close()

    assert [r.tool for r in effects] == ["publish"]
    assert (tmp_path / (done.output or {})["chart"]).is_file()


async def test_what_is_withheld_says_why_and_leaves_no_picture(tmp_path: Path) -> None:
    system = build(tmp_path)
    output = (await ended(system, CASES["no-quorum"]["order"])).output or {}
    system.close()

    assert (output["recommendation"], output["confidence"], output["chart"]) == ("none", 0, None)
    assert output["why_withheld"] == "1 hold it without the press, 1 say the opposite"
    assert not (tmp_path / CHARTS).exists()


async def test_a_day_on_which_nothing_lay_on_the_desk_is_withheld(tmp_path: Path) -> None:
    system = build(tmp_path)
    output = (await ended(system, {"ticker": "AAPL", "as_of": "2005-01-03"})).output or {}
    system.close()

    assert output["status"] == "withheld"
    assert [gap["analyst"] for gap in output["missing"]] == ["fundamental", "sentiment", "esg"]


@pytest.mark.parametrize("order", [{"ticker": "TSLA", "as_of": "2009-09-30"}, {"ticker": "IBM", "as_of": "2009-02-30"}])
async def test_an_order_that_is_none_is_refused_at_the_door(tmp_path: Path, order: dict[str, Any]) -> None:
    system = build(tmp_path)
    with pytest.raises(ContractViolation):
        await system.arun(order)
    assert system.ledger.runs() == []
    system.close()


async def test_a_model_that_says_nothing_of_use_is_a_gap_and_no_vote(tmp_path: Path) -> None:
    def idle(turn: Turn) -> Any:
        return Say("Hm.") if "read_statement" in turn.tools else rules.rules(turn)

    system = build(tmp_path, model=OfflineModel("idle_fundamental_analyst", idle))
    result = await ended(system, CASES["all-agree"]["order"])
    system.close()

    output = result.output or {}
    assert [gap["analyst"] for gap in output["missing"]] == ["fundamental"]
    assert output["supporters"] == ["technical", "sentiment", "esg"]

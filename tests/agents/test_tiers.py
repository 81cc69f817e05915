"""Tiers: the cheap model first, a dearer one where the cheap one did not do, and what that saved."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from edgewright import Agent, Budget, Call, OfflineModel, System, Turn, tool
from edgewright.agents.tiers import Tiers
from edgewright.contracts.budget import Price
from edgewright.contracts.errors import AgentInvalid
from edgewright.ledger.records import EffectDone, ModelEscalated, ModelSaved, ModelSettled, ReplyKept
from langchain_core.messages import AIMessage, HumanMessage
from support.systems import of_kind, only_run, solo, submitting

CHEAP = Price(input_per_million="1", output_per_million="1")
DEAR = Price(input_per_million="10", output_per_million="10")
done: list[str] = []


@tool(effect="write", idempotency="key")
def pay(who: str) -> str:
    """Pay."""
    done.append(who)
    return "paid"


def _model(name: str, rules: Any, price: Price = CHEAP) -> OfflineModel:
    return OfflineModel(name, rules, price=price)


def _says(text: str) -> Any:
    return lambda turn: [submitting(text)]


def _system(tiers: Tiers, *tools: Any) -> System:
    return solo(Agent("worker", version=1, prompt="Do it.", model=tiers, tools=tools))


def _asked(system: System) -> list[str]:
    return [s.model for s in of_kind(system, only_run(system), ModelSettled)]


def _spent(system: System) -> Decimal:
    return sum((Decimal(s.used["usd"]) for s in of_kind(system, only_run(system), ModelSettled)), Decimal(0))


def _saved(system: System) -> list[ModelSaved]:
    return [s for s in of_kind(system, only_run(system), ModelSaved) if s.how == "tier"]


async def test_the_cheap_tier_answers_and_what_that_saved_is_on_the_ledger() -> None:
    system = _system(Tiers(_model("t-small", _says("ok")), _model("t-big", _says("never"), DEAR)))
    assert (await system.arun({"text": "go"})).output == {"text": "ok"}
    assert _asked(system) == ["offline:t-small"]
    [saved] = _saved(system)
    assert Decimal(saved.usd) == _spent(system) * 9
    assert "offline:t-big" in saved.basis
    assert of_kind(system, only_run(system), ModelEscalated) == []


def _sloppy(turn: Turn) -> list[Call]:
    return [Call("submit", {"wrong": 1})]


async def test_a_refused_offer_is_repaired_by_the_next_tier_and_no_saving_is_left() -> None:
    system = _system(Tiers(_model("r-small", _sloppy), _model("r-big", _says("mended"), DEAR)))
    assert (await system.arun({"text": "go"})).output == {"text": "mended"}
    assert _asked(system) == ["offline:r-small", "offline:r-big"]
    assert sum((Decimal(s.usd) for s in _saved(system)), Decimal(0)) == 0
    assert "taken back" in _saved(system)[-1].basis


async def test_further_repairs_stay_with_the_last_tier() -> None:
    def repairs(turn: Turn) -> list[Call]:
        humans = sum(isinstance(m, HumanMessage) for m in turn.messages)
        return [submitting("third time")] if humans > 2 else _sloppy(turn)

    system = _system(Tiers(_model("m-small", _sloppy), _model("m-big", repairs, DEAR)))
    assert (await system.arun({"text": "go"})).output == {"text": "third time"}
    assert _asked(system) == ["offline:m-small", "offline:m-big", "offline:m-big"]


async def test_a_reply_that_is_not_sure_is_paid_for_and_nothing_it_asks_for_is_done() -> None:
    done.clear()

    def small(turn: Turn) -> list[Call]:
        return [Call("pay", {"who": "the wrong one"})]

    def big(turn: Turn) -> list[Call]:
        return [submitting("done")] if turn.results else [Call("pay", {"who": "the right one"})]

    tiers = Tiers(
        _model("c-small", small), _model("c-big", big, DEAR), confidence=lambda m: 0.2 if m.tool_calls else 1.0
    )
    system = _system(tiers, pay)
    assert (await system.arun({"text": "go"})).output == {"text": "done"}
    assert done == ["the right one"]
    run = only_run(system)
    assert _asked(system) == ["offline:c-small", "offline:c-big"] * 2
    assert len(of_kind(system, run, EffectDone)) == 1
    assert [(e.model, e.to) for e in of_kind(system, run, ModelEscalated)] == [("offline:c-small", "offline:c-big")] * 2
    assert "0.2" in of_kind(system, run, ModelEscalated)[0].reason
    assert all(Decimal(s.usd) < 0 for s in _saved(system))
    # What acts is the second reply of the node: effects and reply are known by its place.
    kept = of_kind(system, run, ReplyKept)
    assert [k.at[-3:] for k in kept] == ["#r1", "#r1"]
    assert of_kind(system, run, EffectDone)[0].effect == f"{kept[0].at}.0"


async def test_a_sure_reply_stays_with_the_cheap_tier() -> None:
    tiers = Tiers(_model("s-small", _says("ok")), _model("s-big", _says("no"), DEAR), confidence=lambda m: 0.7)
    system = _system(tiers)
    await system.arun({"text": "go"})
    assert _asked(system) == ["offline:s-small"]


async def test_where_a_budget_asks_for_the_cheap_tier_it_is_not_left_again_for_being_unsure() -> None:
    small, big = _model("b-small", _says("ok"), CHEAP), _model("b-big", _sloppy, DEAR)
    tiers = Tiers(small, big, confidence=lambda m: 0.0)
    budget = Budget(usd="5", degrade_at=0.0000001, to=small)
    system = solo(Agent("worker", version=1, prompt="Do it.", model=tiers), budget=budget)
    assert (await system.arun({"text": "go"})).output == {"text": "ok"}
    assert _asked(system) == ["offline:b-small", "offline:b-big", "offline:b-small"]


def _raises(_: AIMessage) -> float:
    raise LookupError("no idea")


@pytest.mark.parametrize("confidence", [_raises, lambda m: float("nan"), lambda m: 2.0, lambda m: True, lambda m: "1"])
async def test_what_cannot_be_told_is_not_sure(confidence: Any) -> None:
    tiers = Tiers(_model("x-small", _says("no")), _model("x-big", _says("yes"), DEAR), confidence=confidence)
    system = _system(tiers)
    assert (await system.arun({"text": "go"})).output == {"text": "yes"}
    [escalated] = of_kind(system, only_run(system), ModelEscalated)
    assert "nothing tells" in escalated.reason


def test_tiers_count_in_the_digest_of_the_agent() -> None:
    one, two = _model("d-one", _says("")), _model("d-two", _says(""))

    def spec(tiers: Tiers) -> str:
        return Agent("worker", version=1, prompt="x", model=tiers).spec(None).digest

    assert spec(Tiers(one, two)) == spec(Tiers(one, two))
    assert len({spec(Tiers(one, two)), spec(Tiers(two, one)), spec(Tiers(one, two, least=0.5))}) == 3
    plain = Agent("worker", version=1, prompt="x", model=one).spec(None)
    assert plain.model == "offline:d-one"


@pytest.mark.parametrize(
    "wrong", [lambda: Tiers(), lambda: Tiers("a:b"), lambda: Tiers("a:b", "a:b"), lambda: Tiers("a:b", "a:c", least=0)]
)
def test_tiers_that_are_none_are_refused(wrong: Any) -> None:
    with pytest.raises(AgentInvalid):
        wrong()


def test_a_reply_that_says_nothing_wrong_is_sure_without_a_confidence() -> None:
    assert Tiers("a:b", "a:c").unsure(AIMessage("x")) is None

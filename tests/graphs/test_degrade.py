"""Spending less: a run under a tight budget finishes on a cheaper model, a known request asks none, tiers escalate.

The answer says so everywhere, and what it saved is on the ledger, to the last unit.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from edgewright import (
    Agent,
    Budget,
    Call,
    OfflineModel,
    OnViolation,
    Pipeline,
    Policy,
    Price,
    RunResult,
    Say,
    Supervisor,
    System,
    Tiers,
    Turn,
    tool,
)
from edgewright.contracts.budget import Amounts
from edgewright.contracts.errors import AgentInvalid, BudgetExceeded
from edgewright.graphs.budgets import budgets_of
from edgewright.ledger.records import (
    EffectDone,
    ModelCached,
    ModelDegraded,
    ModelEscalated,
    ModelRefused,
    ModelReserved,
    ModelSaved,
    ModelSettled,
    RunEnded,
)
from edgewright.server.app import create_app
from edgewright.server.project import Served
from langchain_core.caches import InMemoryCache
from starlette.testclient import TestClient
from support.systems import ANSWER, PERMIT_ALL, QUESTION, of_kind, solo, submitting

GO = {"text": "please"}
DEAR = Price(input_per_million="10", output_per_million="30")
CHEAP = Price(input_per_million="1", output_per_million="3")
LOOKS = 16
ROOMY = Budget(model_calls=100, tool_calls=100)
looked: list[int] = []


@pytest.fixture(autouse=True)
def _fresh() -> None:
    looked.clear()


@tool(effect="read", output="trusted", sensitivity="internal")
def look(row: int) -> str:
    """Look a row up."""
    looked.append(row)
    return f"row {row} is fine"


@tool(effect="write", idempotency="key", output="trusted", sensitivity="internal")
def pay(cents: int) -> str:
    """Pay."""
    return "paid"


def looks(turn: Turn) -> Say | Sequence[Call]:
    """Looks some rows up, one after the other, and answers."""
    row = len(turn.results)
    return [Call("look", {"row": row})] if row < LOOKS else [submitting(f"{row} rows are fine")]


def dear(rules: Any = looks, *, most: int = 64) -> OfflineModel:
    """The model that agents have."""
    return OfflineModel("dear", rules, price=DEAR, max_tokens=most)


def cheap(rules: Any = looks) -> OfflineModel:
    """The one that is asked where money is short."""
    return OfflineModel("cheap", rules, price=CHEAP, max_tokens=64)


def desk(*budgets: Budget, home: Path | None = None, **more: Any) -> System:
    """A system of one agent, which looks rows up."""
    given = {"model": more.pop("model", None) or dear(), **more.pop("agent", {})}
    agent = Agent("clerk", version=1, prompt="Look.", tools=[look], limits=ROOMY, **given)
    return solo(agent, budget=list(budgets), home=home, **more)


# -- what the ledger tells --------------------------------------------------------------------------------------------


def asked(system: System, run: str) -> list[str]:
    """The models that were asked and answered, in order."""
    return [r.model.removeprefix("offline:") for r in of_kind(system, run, ModelSettled)]


def paid(system: System, run: str) -> Decimal:
    """Dollars that the run has cost, call by call; its end has the same sum."""
    settled = [Amounts.from_json(r.used).usd for r in of_kind(system, run, ModelSettled)]
    [ended] = of_kind(system, run, RunEnded)
    assert Amounts.from_json(ended.spent).usd == sum(settled)
    return sum(settled, Decimal(0))


def saved(system: System, run: str, how: str) -> Decimal:
    """Dollars that were saved in one way."""
    return sum((Decimal(r.usd) for r in of_kind(system, run, ModelSaved) if r.how == how), Decimal(0))


def kinds(result: RunResult) -> list[tuple[str, str]]:
    """(kind, agent) of each mark."""
    return [(m.kind, m.agent) for m in result.marks]


# -- a tight budget ---------------------------------------------------------------------------------------------------


@pytest.fixture
async def price() -> Decimal:
    """What the run costs on the dear model alone."""
    system = desk()
    result = await system.arun(GO)
    assert (result.marks, set(asked(system, result.run))) == ((), {"dear"})
    looked.clear()
    return paid(system, result.run)


def tight(usd: Decimal) -> Budget:
    """A budget of that much, of which the dear model has the first quarter."""
    return Budget(usd=usd, degrade_at=0.25, to=cheap())


async def test_a_run_under_a_tight_budget_finishes_on_the_cheaper_model_and_its_answer_says_so(price: Decimal) -> None:
    system = desk(tight(price))
    result = await system.arun(GO)
    assert (result.output, looked) == ({"text": f"{LOOKS} rows are fine"}, [*range(LOOKS)])
    assert {*kinds(result)} == {("degraded", "clerk")}
    assert "offline:cheap was asked instead of offline:dear" in result.marks[0].why
    assert "of the budget of run is used" in result.marks[0].why
    models = asked(system, result.run)
    turned = models.index("cheap")
    assert turned > 0
    assert models == ["dear"] * turned + ["cheap"] * (LOOKS + 1 - turned)
    assert paid(system, result.run) <= price


async def test_the_model_changes_with_the_first_call_after_the_threshold_and_not_before(price: Decimal) -> None:
    system = desk(tight(price))
    run = (await system.arun(GO)).run
    turned = asked(system, run).index("cheap")
    costs = [Amounts.from_json(r.used).usd for r in of_kind(system, run, ModelSettled)]
    assert sum(costs[: turned - 1]) < price / 4 <= sum(costs[:turned])


async def test_what_was_saved_is_exactly_what_the_dear_model_would_have_cost_more(price: Decimal) -> None:
    system = desk(tight(price))
    run = (await system.arun(GO)).run
    each = [r for r in of_kind(system, run, ModelSaved) if r.how == "degrade"]
    assert len(each) == asked(system, run).count("cheap")
    assert paid(system, run) + saved(system, run, "degrade") == price
    ended = Amounts.from_json(of_kind(system, run, RunEnded)[0].spent)
    assert ended.model_calls == LOOKS + 1


async def test_explain_tells_which_model_was_asked_instead_why_and_what_that_saved(price: Decimal) -> None:
    system = desk(tight(price))
    run = (await system.arun(GO)).run
    story = system.explain(run)
    told = str(story)
    assert "a cheaper model is asked, offline:cheap for offline:dear" in told
    assert "of the budget of run is used" in told
    each = [r for r in of_kind(system, run, ModelSaved) if r.how == "degrade"]
    assert {f"saved by degrade: ${r.usd}, {r.tokens} tokens" for r in each} <= {scene.title for scene in story.scenes}


async def test_each_call_of_a_cheaper_model_is_on_record_and_the_marks_are_those_of_the_answer(price: Decimal) -> None:
    system = desk(tight(price))
    result = await system.arun(GO)
    degraded = of_kind(system, result.run, ModelDegraded)
    assert len(degraded) == asked(system, result.run).count("cheap") > 1
    assert {(r.model, r.to) for r in degraded} == {("offline:dear", "offline:cheap")}
    assert {m.kind for m in result.marks} == {"degraded"}
    assert of_kind(system, result.run, RunEnded)[0].marks == [[m.kind, m.agent, m.why] for m in result.marks]


def test_whoever_asks_over_http_sees_the_mark_in_the_answer_and_in_the_state(tmp_path: Path) -> None:
    budget = Budget(usd="0.05", to=cheap())
    system = desk(budget, model=dear(most=10_000), home=tmp_path)
    app = create_app({"desk": Served(name="desk", graph=system.graph, system=system)}, home=system.home)
    with TestClient(app, base_url="http://127.0.0.1") as client:
        thread = client.post("/threads", json={}).json()["thread_id"]
        body = {"assistant_id": "desk", "input": {"request": GO}}
        answer = client.post(f"/threads/{thread}/runs/wait", json=body).json()
        state = client.get(f"/threads/{thread}/state").json()
    assert answer["response"] == {"text": f"{LOOKS} rows are fine"}
    for marks in (answer["marks"], state["values"]["marks"]):
        assert {(m["kind"], m["agent"]) for m in marks} == {("degraded", "clerk")}
    system.close()


# -- where the first call does not fit --------------------------------------------------------------------------------


async def test_where_not_even_the_first_call_fits_the_cheaper_model_does_all_of_it(price: Decimal) -> None:
    system = desk(Budget(usd="0.05", to=cheap()), model=dear(most=10_000))
    result = await system.arun(GO)
    assert result.output == {"text": f"{LOOKS} rows are fine"}
    assert asked(system, result.run) == ["cheap"] * (LOOKS + 1)
    assert len(of_kind(system, result.run, ModelRefused)) == LOOKS + 1
    assert "a call did not fit the budget of run" in result.marks[0].why
    assert paid(system, result.run) + saved(system, result.run, "degrade") == price


async def test_where_the_cheaper_model_does_not_fit_either_the_budget_says_what_happens() -> None:
    with pytest.raises(BudgetExceeded, match="budget of run allows 0"):
        await desk(Budget(usd="0.000001", to=cheap())).arun(GO)
    drained = await desk(Budget(usd="0.000001", to=cheap(), then="drain")).arun(GO)
    assert drained.status == "drained"


async def test_the_budget_of_an_agent_degrades_that_agent_alone(price: Decimal) -> None:
    def stage(name: str, **more: Any) -> Agent:
        given = {"prompt": "Look.", "model": dear(_looks_on), "tools": [look], "limits": ROOMY, **more}
        return Agent(name, version=1, **given)

    limits = Budget(model_calls=100, tool_calls=100, usd=price, degrade_at=0.25, to=cheap(_looks_on))
    stages = [stage("first"), stage("second", limits=limits)]
    topology = Pipeline(stages=stages, contracts=[QUESTION, QUESTION, ANSWER])
    system = System("line", version=1, topology=topology, policy=Policy(text=PERMIT_ALL))
    result = await system.arun(GO)
    assert {*kinds(result)} == {("degraded", "second")}
    assert {r.agent for r in of_kind(system, result.run, ModelSettled) if r.model == "offline:cheap"} == {"second"}


def _looks_on(turn: Turn) -> Say | Sequence[Call]:
    found = looks(turn)
    hands = next((t for t in turn.tools if t.startswith("handoff_to_")), None)
    return [Call(hands, {"text": "go on"})] if hands and len(turn.results) >= LOOKS else found


# -- a budget that runs share -----------------------------------------------------------------------------------------


async def test_a_run_of_a_tenant_whose_day_is_nearly_used_up_is_degraded_for_what_others_have_spent(
    price: Decimal, tmp_path: Path
) -> None:
    day = Budget(of="tenant", per="day", usd=price * 4, degrade_at=0.4, to=cheap())
    system = desk(day, home=tmp_path)
    runs = [await system.arun(GO) for _ in range(4)]
    last = runs[-1]
    assert {*kinds(last)} == {("degraded", "clerk")}
    assert all("of the budget of tenant in a day is used" in m.why for m in last.marks)
    assert asked(system, last.run)[1:] == ["cheap"] * LOOKS
    assert all(paid(system, r.run) + saved(system, r.run, "degrade") == price for r in runs)
    [state] = budgets_of(system, system.counters)
    assert state.spent == sum(paid(system, r.run) for r in runs) < state.limit
    assert state.open == 0
    system.close()


# -- the response cache -----------------------------------------------------------------------------------------------


def caching(*budgets: Budget, **more: Any) -> System:
    """The desk, whose agent gives earlier replies again."""
    return desk(*budgets, cache=more.pop("cache", None) or InMemoryCache(), agent={"cache": True}, **more)


async def test_a_request_that_was_answered_before_asks_no_model_and_says_what_that_saved(price: Decimal) -> None:
    system = caching()
    first, second = await system.arun(GO), await system.arun(GO)
    assert (first.marks, first.output == second.output) == ((), True)
    assert kinds(second) == [("cached", "clerk")]
    assert of_kind(system, second.run, ModelReserved) == []
    assert [r.run for r in of_kind(system, second.run, ModelCached)] == [first.run] * (LOOKS + 1)
    assert saved(system, second.run, "cache") == paid(system, first.run) == price
    assert paid(system, second.run) == 0
    told = str(system.explain(second.run))
    assert "cached reply of offline:dear, the model was not asked" in told
    assert first.run in told


async def test_another_request_is_asked() -> None:
    system = caching()
    await system.arun(GO)
    other = await system.arun({"text": "something else"})
    assert (other.marks, len(asked(system, other.run))) == ((), LOOKS + 1)


async def test_a_known_request_is_answered_where_no_budget_is_left(price: Decimal, tmp_path: Path) -> None:
    system = caching(Budget(of="tenant", per="day", model_calls=LOOKS + 1), home=tmp_path)
    await system.arun(GO)
    assert (await system.arun(GO)).output == {"text": f"{LOOKS} rows are fine"}
    with pytest.raises(BudgetExceeded, match="budget of tenant in a day"):
        await system.arun({"text": "something else"})
    system.close()


async def test_what_a_cheaper_model_said_for_want_of_budget_is_not_given_to_others(price: Decimal) -> None:
    cache = InMemoryCache()
    degraded = caching(Budget(usd="0.05", to=cheap()), model=dear(most=10_000), cache=cache)
    assert kinds(await degraded.arun(GO)) == [("degraded", "clerk")]
    again = await degraded.arun(GO)
    assert (kinds(again), len(asked(degraded, again.run))) == ([("degraded", "clerk")], LOOKS + 1)


def test_whoever_changes_the_world_is_never_answered_from_the_cache() -> None:
    with pytest.raises(AgentInvalid, match="tool 'pay' changes the world"):
        Agent("clerk", version=1, prompt="Pay.", model=dear(), tools=[look, pay], cache=True)
    with pytest.raises(AgentInvalid, match=r"System\(cache=...\)"):
        desk(agent={"cache": True})


# -- tiers ------------------------------------------------------------------------------------------------------------


def supervised(model: Tiers) -> System:
    """A router, and a specialist of two tiers."""
    topology = Supervisor(
        router=Agent("router", version=1, function=lambda request: request),
        specialists=[Agent("clerk", version=1, prompt="Look.", model=model, tools=[look], limits=ROOMY)],
        takes=QUESTION,
        brief=QUESTION,
        answer=ANSWER,
        on_violation=OnViolation(repair=1, then="fail"),
    )
    return System("desk", version=1, topology=topology, policy=Policy(text=PERMIT_ALL))


def at_price(system: System, run: str, price: Price, models: Sequence[str]) -> Decimal:
    """What the tokens of these models would have cost at one price."""
    found = [Amounts.from_json(r.used) for r in of_kind(system, run, ModelSettled) if r.model in models]
    return sum((price.of(a.input_tokens, a.output_tokens) for a in found), Decimal(0))


async def test_a_cheap_tier_that_does_it_has_saved_the_difference_to_the_dear_one(price: Decimal) -> None:
    system = supervised(Tiers(cheap(), dear()))
    result = await system.arun(GO)
    assert (result.marks, set(asked(system, result.run))) == ((), {"cheap"})
    assert saved(system, result.run, "tier") == at_price(system, result.run, DEAR, ["offline:cheap"]) - paid(
        system, result.run
    )


async def test_an_offer_of_a_cheap_tier_that_breaks_its_contract_is_mended_by_the_dear_one() -> None:
    def sloppy(turn: Turn) -> Say | Sequence[Call]:
        return [Call("submit", {"answer": 42})] if turn.results else [Call("look", {"row": 1})]

    system = supervised(Tiers(cheap(sloppy), dear(lambda turn: [submitting("mended")])))
    result = await system.arun(GO)
    assert result.output == {"text": "mended"}
    assert asked(system, result.run) == ["cheap", "cheap", "dear"]
    assert saved(system, result.run, "tier") == 0, "what the refused offer was said to have saved was taken back"


async def test_a_reply_of_a_cheap_tier_that_is_not_sure_is_paid_for_and_nothing_of_it_is_done() -> None:
    def guesses(turn: Turn) -> Say | Sequence[Call]:
        return [Call("look", {"row": 666})]

    def knows(turn: Turn) -> Say | Sequence[Call]:
        return [submitting("sure")] if turn.results else [Call("look", {"row": 7})]

    system = supervised(Tiers(cheap(guesses), dear(knows), confidence=lambda reply: 0.3))
    result = await system.arun(GO)
    assert (result.output, looked) == ({"text": "sure"}, [7])
    assert asked(system, result.run) == ["cheap", "dear"] * 2
    assert [r.to for r in of_kind(system, result.run, ModelEscalated)] == ["offline:dear"] * 2
    assert len(of_kind(system, result.run, EffectDone)) == 1
    lost = at_price(system, result.run, CHEAP, ["offline:cheap"])
    assert saved(system, result.run, "tier") == -lost, "the dear model alone would have cost so much less"
    assert "the next tier is asked, offline:dear after offline:cheap" in str(system.explain(result.run))


async def test_a_degraded_run_is_marked_once(price: Decimal) -> None:
    result = await desk(tight(price)).arun(GO)
    assert kinds(result) == [("degraded", "clerk")]


async def test_a_shared_budget_degrades_by_what_is_spent_and_not_by_the_reservation_of_the_call(
    price: Decimal, tmp_path: Path
) -> None:
    system = desk(Budget(of="tenant", per="day", usd=price * 4, degrade_at=0.25, to=cheap()), home=tmp_path)
    first = await system.arun(GO)  # spends 0.25 in all, and less before its last call
    models = asked(system, first.run)
    system.close()
    assert models == ["dear"] * (LOOKS + 1)


async def test_the_first_call_of_a_run_asks_the_cheaper_model_where_the_shared_budget_is_used_up_to_its_share(
    price: Decimal, tmp_path: Path
) -> None:
    system = desk(Budget(of="tenant", per="day", usd=price * 4, degrade_at=0.25, to=cheap()), home=tmp_path)
    for _ in range(3):
        last = await system.arun(GO)
    models = asked(system, last.run)
    system.close()
    assert models[0] == "cheap"

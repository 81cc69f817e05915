"""What happens where a budget runs out: by declaration, to a checkpoint, by a person, and never beyond it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from edgewright import Budget, Call, OfflineModel, Price, ReviewAnswer, RunResult, Say, System, Turn, tool
from edgewright.contracts.errors import BudgetExceeded, BudgetRefused, CostUnknown, ReviewInvalid, TopologyInvalid
from edgewright.ledger.records import BudgetCharged, BudgetRaised, ModelSettled, PriceGiven, RunDrained, RunEnded
from langchain_core.language_models import BaseChatModel
from langgraph.errors import GraphDrained
from support.systems import inside, of_kind, only_run, submitting, with_code, with_model

done: list[int] = []


@tool(effect="write", idempotency="key")
def credit(cents: int) -> dict[str, int]:
    """Credit the customer."""
    done.append(cents)
    return {"credited": cents}


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    done.clear()
    yield
    done.clear()


def three_credits(turn: Turn) -> Say | Sequence[Call]:
    made = len(turn.results)
    return [Call("credit", {"cents": made + 1})] if made < 3 else [submitting("done")]


def model(name: str = "clerk", price: str = "1") -> OfflineModel:
    return OfflineModel(name, three_credits, price=Price(input_per_million=price, output_per_million=price))


def desk(*budgets: Budget, home: Path | None = None, given: BaseChatModel | None = None) -> System:
    return with_model(given or model(), credit, budget=list(budgets), home=home)


async def answered(system: System, found: RunResult, decision: Any, **arguments: Any) -> RunResult:
    assert found.status == "waiting"
    answer = ReviewAnswer(decision=decision, reason="the month is not over", arguments=arguments or None)
    return await system.aresume(found.thread, {found.reviews[0].id: answer})


# -- draining --------------------------------------------------------------------------------------------------------


async def test_a_drained_run_stops_at_a_checkpoint_and_says_why() -> None:
    system = desk(Budget(model_calls=2, then="drain"))
    found = await system.arun({"text": "please"})
    assert (found.status, done) == ("drained", [1, 2])
    assert "budget of run allows 2 model calls" in found.reason
    [drained] = of_kind(system, found.run, RunDrained)
    assert (drained.scope, drained.unit) == ("run", "model calls")
    assert drained.spent["model_calls"] == 2
    assert of_kind(system, found.run, RunEnded) == []


async def test_a_drained_run_goes_on_where_it_stopped_and_repeats_nothing(tmp_path: Path) -> None:
    day = Budget(of="tenant", per="day", model_calls=2, then="drain")
    first = desk(day, home=tmp_path)
    found = await first.arun({"text": "please"})
    assert found.status == "drained"
    first.close()
    # The next day, or somebody declared more.
    second = desk(Budget(of="tenant", per="day", model_calls=9, then="drain"), home=tmp_path)
    ended = await second.aresume(found.thread)
    assert (ended.status, ended.output, done) == ("completed", {"text": "done"}, [1, 2, 3])
    assert len(of_kind(second, found.run, ModelSettled)) == 4, "no reply was asked for twice"
    second.close()


async def test_a_drained_run_whose_budget_is_still_used_up_drains_again() -> None:
    system = desk(Budget(model_calls=2, then="drain"))
    found = await system.arun({"text": "please"})
    again = await system.aresume(found.thread)
    assert (again.status, again.run, done) == ("drained", found.run, [1, 2])


async def test_whoever_drives_the_plain_graph_gets_langgraphs_own_drain() -> None:
    system = desk(Budget(model_calls=1, then="drain"))
    with pytest.raises(GraphDrained, match="model calls"):
        await system.graph.ainvoke({"request": {"text": "please"}})


async def test_a_failing_budget_ends_the_run_by_its_name() -> None:
    system = desk(Budget(model_calls=2))
    with pytest.raises(BudgetExceeded):
        await system.arun({"text": "please"})
    [ended] = of_kind(system, only_run(system), RunEnded)
    assert ended.status == "out_of_budget"


# -- asking ----------------------------------------------------------------------------------------------------------


async def test_a_person_who_adds_to_a_budget_lets_the_run_go_on_and_is_on_record() -> None:
    system = desk(Budget(model_calls=2, then="ask", role="finance"))
    asked = await system.arun({"text": "please"})
    [review] = asked.reviews
    assert (review.kind, review.arguments, review.rules[0].approver) == (
        "budget",
        {"add": {"model_calls": 2}},
        "finance",
    )
    ended = await answered(system, asked, "approve")
    assert (ended.status, done) == ("completed", [1, 2, 3])
    [raised] = of_kind(system, ended.run, BudgetRaised)
    assert (raised.scope, raised.amounts, raised.by) == ("run", {"model_calls": 2}, "local operator")


async def test_a_person_may_add_less_than_was_proposed_and_is_asked_again_when_that_is_gone() -> None:
    system = desk(Budget(model_calls=2, then="ask"))
    found = await system.arun({"text": "please"})
    found = await answered(system, found, "edit", model_calls=1)
    assert found.status == "waiting"
    found = await answered(system, found, "edit", model_calls=1)
    assert (found.status, done) == ("completed", [1, 2, 3])


@pytest.mark.parametrize("wrong", [{"model_calls": 0}, {"model_calls": -1}, {"model_calls": "3"}, {"usd": "1"}, {}])
async def test_an_answer_that_adds_nothing_is_refused_and_the_question_stays_open(wrong: dict[str, Any]) -> None:
    system = desk(Budget(model_calls=2, then="ask"))
    found = await system.arun({"text": "please"})
    with pytest.raises(ReviewInvalid, match="an edit with model_calls, a whole number above zero"):
        await answered(system, found, "edit", **wrong)
    assert (await answered(system, found, "approve")).status == "completed"


async def test_a_person_who_adds_nothing_ends_the_run() -> None:
    system = desk(Budget(model_calls=2, then="ask"))
    found = await system.arun({"text": "please"})
    with pytest.raises(BudgetRefused, match="nobody who was asked for more added to it"):
        await answered(system, found, "reject")
    [ended] = of_kind(system, found.run, RunEnded)
    assert (ended.status, done) == ("out_of_budget", [1, 2])


async def test_what_was_added_is_still_there_after_a_restart(tmp_path: Path) -> None:
    first = desk(Budget(usd="0.0021", then="ask"), home=tmp_path)
    found = await first.arun({"text": "please"})
    assert found.status == "waiting"
    first.close()
    second = desk(Budget(usd="0.0021", then="ask"), home=tmp_path)
    found = await answered(second, found, "edit", usd="0.50")
    assert (found.status, done) == ("completed", [1, 2, 3])
    assert of_kind(second, found.run, BudgetRaised)[0].amounts == {"usd": "0.50"}
    second.close()


async def test_more_of_a_tenants_day_is_there_for_its_other_runs_too(tmp_path: Path) -> None:
    day = Budget(of="tenant", per="day", model_calls=4, then="ask")
    system = desk(day, home=tmp_path)
    assert (await system.arun({"text": "first"})).status == "completed"
    second = await system.arun({"text": "second"})
    assert second.status == "waiting"
    assert (await answered(system, second, "edit", model_calls=8)).status == "completed"
    assert (await system.arun({"text": "third"})).status == "completed", "8 were added, 4 of them were left"
    system.close()


# -- prices ----------------------------------------------------------------------------------------------------------


class Nameless(OfflineModel):
    """A model that no list of prices knows."""

    def __init__(self) -> None:
        super().__init__("unheard-of", three_credits)

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> Any:
        return {**super()._get_ls_params(stop=stop, **kwargs), "ls_provider": "nobody", "ls_model_name": "unheard-of"}


async def test_a_model_of_unknown_price_is_refused_where_dollars_are_limited() -> None:
    system = desk(Budget(usd="1"), given=Nameless())
    with pytest.raises(CostUnknown, match="nobody:unheard-of"):
        await system.arun({"text": "please"})


async def test_an_unknown_price_is_never_counted_as_zero() -> None:
    system = desk(Budget(model_calls=9), given=Nameless())
    found = await system.arun({"text": "please"})
    [ended] = of_kind(system, found.run, RunEnded)
    assert ended.spent["unpriced_calls"] == 4
    assert "usd" not in ended.spent
    assert {r.price for r in of_kind(system, found.run, ModelSettled)} == {"unknown"}


async def test_an_estimate_that_was_declared_stands_in_for_an_unknown_price_and_says_so() -> None:
    guess = Price(input_per_million="5", output_per_million="25", source="estimate of the platform team")
    system = desk(Budget(usd="1", unpriced=guess), given=Nameless())
    found = await system.arun({"text": "please"})
    [ended] = of_kind(system, found.run, RunEnded)
    assert Decimal(ended.spent["usd"]) > 0
    assert {r.price for r in of_kind(system, found.run, ModelSettled)} == {"estimate of the platform team"}


async def test_a_person_may_say_what_a_model_costs_and_the_run_goes_on_with_that() -> None:
    system = desk(Budget(usd="1", unpriced="ask"), given=Nameless())
    found = await system.arun({"text": "please"})
    [review] = found.reviews
    assert review.arguments["model"] == "nobody:unheard-of"
    ended = await answered(system, found, "edit", input_per_million="2", output_per_million="4")
    assert (ended.status, done) == ("completed", [1, 2, 3])
    [said] = of_kind(system, ended.run, PriceGiven)
    assert (said.model, said.input_per_million, said.by) == ("nobody:unheard-of", "2", "local operator")
    assert {r.price for r in of_kind(system, ended.run, ModelSettled)} == {"given by local operator"}


@pytest.mark.parametrize("price", ["-1", "NaN", "free", ""])
async def test_a_price_that_is_none_is_refused_and_the_question_stays_open(price: str) -> None:
    system = desk(Budget(usd="1", unpriced="ask"), given=Nameless())
    found = await system.arun({"text": "please"})
    with pytest.raises(ReviewInvalid, match="dollars per million tokens"):
        await answered(system, found, "edit", input_per_million=price, output_per_million="4")
    with pytest.raises(ReviewInvalid, match="dollars per million tokens"):
        await answered(system, found, "approve")
    again = await system.aresume(found.thread)
    assert [r.id for r in again.reviews] == [found.reviews[0].id]


# -- whose budget ----------------------------------------------------------------------------------------------------


async def test_a_shared_budget_counts_tool_calls_and_questions_too() -> None:
    system = desk(Budget(of="thread", tool_calls=2))
    with pytest.raises(BudgetExceeded, match="budget of thread allows 2 tool calls"):
        await system.arun({"text": "please"})
    assert done == [1, 2]
    assert [r.call for r in of_kind(system, only_run(system), BudgetCharged)], "on record, with what it counted"


async def test_a_thread_has_one_budget_over_all_of_its_runs(tmp_path: Path) -> None:
    system = desk(Budget(of="thread", model_calls=6), home=tmp_path)
    first = await system.arun({"text": "please"})
    with pytest.raises(BudgetExceeded, match="budget of thread allows 6 model calls"):
        await system.arun({"text": "again"}, thread=first.thread)
    assert (await system.arun({"text": "elsewhere"})).status == "completed"
    system.close()


async def test_two_budgets_of_one_scope_are_a_fault_of_the_definition() -> None:
    with pytest.raises(TopologyInvalid, match="two budgets are of a tenant in a day"):
        desk(Budget(of="tenant", per="day", usd="1"), Budget(of="tenant", per="day", usd="2"))


async def test_a_run_begun_inside_another_spends_the_others_budget() -> None:
    inner = desk(Budget())

    async def work() -> Any:
        return await inner.arun({"text": "please"})

    outer = await inside(work, credit, budget=Budget(model_calls=2))
    assert isinstance(outer.error, BudgetExceeded)
    assert outer.error.scope == "run of solo@1"
    assert done == [1, 2]
    charged = outer.of(BudgetCharged)
    assert [c.settled for c in charged][:4] == [False, True, False, True]


async def test_what_a_run_inside_used_is_known_after_a_restart(tmp_path: Path) -> None:
    inner = desk(Budget(), home=tmp_path / "inner")

    async def work(_: dict[str, Any]) -> dict[str, str]:
        await inner.arun({"text": "please"})
        return {"text": "done"}

    outer = with_code(work, credit, budget=Budget(model_calls=9), home=tmp_path / "outer")
    found = await outer.arun({"text": "x"})
    [ended] = of_kind(outer, found.run, RunEnded)
    assert ended.spent["model_calls"] == 4
    over = await outer._runs.attach(found.run)
    assert over.spent.model_calls == 4
    inner.close()
    outer.close()

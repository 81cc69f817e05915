"""A run's account, and the budgets that it shares with others."""

from __future__ import annotations

import time
from decimal import Decimal
from typing import Any

import pytest
from edgewright.contracts.budget import UNITS, Amounts, Budget
from edgewright.contracts.errors import BudgetClosed, BudgetExceeded, LimitReached
from edgewright.ledger.counts import Count
from edgewright.ledger.entry import Draft
from edgewright.ledger.memory import MemoryLedger
from edgewright.ledger.records import BudgetCharged
from edgewright.tools.spending import (
    DAY,
    RESERVED_SECONDS,
    Spending,
    counted,
    shared_budgets,
    uncounted,
    worked_in,
)
from hypothesis import given
from hypothesis import strategies as st

NOW = time.time()  # the ledger has a clock of its own
FREE = Budget()


def account(*budgets: Budget, own: Budget = FREE, thread: str = "t1", tenant: str = "acme") -> Spending:
    return Spending(own, shared_budgets(budgets, tenant=tenant, system="claims", thread=thread))


def put(ledger: MemoryLedger, run: str, counts: Any) -> None:
    record = BudgetCharged(at="a", agent="x", run=run, call="c", amounts={})
    ledger.append(run, [Draft(record=record, counts=tuple(counts))]).result(5)


def test_a_run_is_refused_by_the_scope_that_has_no_room_and_nothing_is_reserved_in_the_other() -> None:
    spending = account(own=Budget(model_calls=5))
    spending.reserve("a", Budget(model_calls=1), Amounts(model_calls=1))
    with pytest.raises(BudgetExceeded) as refused:
        spending.reserve("a", Budget(model_calls=1), Amounts(model_calls=1))
    assert (refused.value.scope, refused.value.over) == ("agent a", "1")
    assert spending.meters["run"].reserved == Amounts(model_calls=1)


def test_a_call_that_used_more_than_was_reserved_closes_the_scopes_that_limit_it() -> None:
    spending = account(own=Budget(usd="10"))
    spending.reserve("a", Budget(), Amounts(usd=Decimal("0.1"), model_calls=1))
    spending.settle(
        "a", Budget(), Amounts(usd=Decimal("0.1"), model_calls=1), Amounts(usd=Decimal("0.2"), model_calls=1)
    )
    assert spending.spent.usd == Decimal("0.2")
    with pytest.raises(BudgetClosed, match=r"0\.1 usd more than was reserved"):
        spending.reserve("a", Budget(), Amounts(model_calls=1))


def test_a_scope_that_does_not_limit_what_was_exceeded_stays_open() -> None:
    spending = account(own=Budget(model_calls=3))
    spending.reserve("a", Budget(), Amounts(output_tokens=10, model_calls=1))
    spending.settle("a", Budget(), Amounts(output_tokens=10, model_calls=1), Amounts(output_tokens=99, model_calls=1))
    spending.reserve("a", Budget(), Amounts(model_calls=1))


def test_a_node_counts_as_one_step_however_often_it_is_executed() -> None:
    spending = account(own=Budget(steps=2))
    for path in ("a.1", "a.1", "b.2", "b.2"):
        spending.step(path)
    with pytest.raises(BudgetExceeded, match="2 steps"):
        spending.step("c.3")


def test_turns_beside_each_other_are_counted_until_they_end() -> None:
    spending = account(own=Budget(branches=2))
    spending.enter("a", FREE)
    spending.enter("b", FREE)
    with pytest.raises(BudgetExceeded, match="2 branches"):
        spending.enter("c", FREE)
    spending.leave("a", FREE)
    spending.enter("c", FREE)


def test_more_that_a_person_added_is_there_to_be_used_and_no_more_than_that() -> None:
    spending = account(own=Budget(model_calls=1))
    spending.reserve("a", FREE, Amounts(model_calls=1))
    spending.raised("run", Amounts(model_calls=2))
    spending.reserve("a", FREE, Amounts(model_calls=2))
    with pytest.raises(BudgetExceeded, match="allows 3 model calls"):
        spending.reserve("a", FREE, Amounts(model_calls=1))


def test_time_in_which_nobody_worked_is_not_counted() -> None:
    told = [(0.0, "run.started"), (5.0, "review.asked"), (5000.0, "review.answered"), (5003.0, "effect.done")]
    assert worked_in(told) == 8.0
    assert worked_in([(0.0, "run.started"), (2.0, "model.reserved"), (900.0, "run.resumed"), (901.0, "x")]) == 3.0


def test_a_run_that_worked_longer_than_its_budget_reserves_nothing_more() -> None:
    spending = account(own=Budget(seconds=10))
    spending.worked = 11.0
    with pytest.raises(BudgetExceeded, match="10 seconds"):
        spending.reserve("a", FREE, Amounts(model_calls=1))


@given(st.sampled_from([*UNITS, "seconds"]), st.decimals(0, 1000, places=12, allow_nan=False, allow_infinity=False))
def test_an_amount_is_counted_whole_and_never_less_than_it_is(unit: str, amount: Decimal) -> None:
    given_: Any = amount if unit == "usd" else float(amount) if unit == "seconds" else int(amount)
    there = counted(unit, given_)
    assert isinstance(there, int)
    if unit == "usd":
        assert uncounted(unit, there) == amount
    elif unit == "seconds":
        assert abs(uncounted(unit, there) - given_) < 0.001
    else:
        assert uncounted(unit, there) == given_


def test_a_tenants_day_is_one_budget_for_all_of_its_threads_and_systems_and_another_tenants_is_not() -> None:
    day = Budget(of="tenant", per="day", model_calls=2)
    one, two, other = account(day), account(day, thread="t2"), account(day, tenant="umbra")
    ledger = MemoryLedger()
    put(ledger, "r1", one.counts("r1/c1", Amounts(model_calls=1), NOW))
    put(ledger, "r2", two.counts("r2/c1", Amounts(model_calls=1), NOW))
    put(ledger, "r3", other.counts("r3/c1", Amounts(model_calls=1), NOW))
    with pytest.raises(LimitReached) as error:
        put(ledger, "r1", one.counts("r1/c2", Amounts(model_calls=1), NOW))
    told = one.refusal(error.value)
    assert (told.scope, told.unit, told.limit, told.over) == ("tenant in a day", "model calls", "2", "1")


def test_a_new_day_has_room_again_and_a_thread_has_not() -> None:
    budgets = (Budget(of="tenant", per="day", model_calls=1), Budget(of="thread", model_calls=2))
    spending, ledger = account(*budgets), MemoryLedger()
    put(ledger, "r", spending.counts("r/1", Amounts(model_calls=1), NOW))
    with pytest.raises(LimitReached):
        put(ledger, "r", spending.counts("r/2", Amounts(model_calls=1), NOW))
    put(ledger, "r", spending.counts("r/2", Amounts(model_calls=1), NOW + DAY))
    with pytest.raises(LimitReached) as error:
        put(ledger, "r", spending.counts("r/3", Amounts(model_calls=1), NOW + 2 * DAY))
    assert spending.refusal(error.value).scope == "thread"


def test_dollars_of_a_shared_budget_are_exact_and_what_was_not_used_is_there_for_others() -> None:
    spending, ledger = account(Budget(of="system", usd="0.30")), MemoryLedger()
    tenth = Amounts(usd=Decimal("0.1"), model_calls=1)
    for n in range(3):
        put(ledger, "r", spending.counts(f"r/{n}", tenth, NOW))
    with pytest.raises(LimitReached):
        put(ledger, "r", spending.counts("r/3", tenth, NOW))
    put(ledger, "r", spending.settles("r/0", tenth, Amounts(usd=Decimal("0.000000123"), model_calls=1), NOW))
    with pytest.raises(LimitReached) as error:
        put(ledger, "r", spending.counts("r/3", tenth, NOW))
    assert spending.refusal(error.value).over == "0.000000123"
    exact = Amounts(usd=Decimal("0.099999877"), model_calls=1)
    put(ledger, "r", spending.counts("r/3", exact, NOW))


def test_a_shared_budget_closes_for_all_when_a_call_used_more_than_it_had_reserved() -> None:
    one, two = account(Budget(of="system", usd="9")), account(Budget(of="system", usd="9"), thread="t2")
    ledger, asked = MemoryLedger(), Amounts(usd=Decimal(1), model_calls=1)
    put(ledger, "r", one.counts("r/1", asked, NOW))
    put(ledger, "r", one.settles("r/1", asked, Amounts(usd=Decimal("1.5"), model_calls=1), NOW))
    with pytest.raises(LimitReached) as error:
        put(ledger, "q", two.counts("q/1", asked, NOW))
    assert isinstance(two.refusal(error.value), BudgetClosed)


def test_a_reservation_that_nobody_settled_counts_as_spent_once_it_has_lapsed() -> None:
    spending, ledger = account(Budget(of="system", model_calls=5)), MemoryLedger()
    put(ledger, "r", spending.counts("r/1", Amounts(model_calls=1), 1.0))
    found = ledger.account("budget/system/all/claims/model_calls", 0.0)
    assert (found.reserved, found.spent, found.open, found.lapsed) == (1, 1, 0, 1), "it lapsed long ago"
    assert RESERVED_SECONDS > 600, "longer than any call may take"


def test_what_a_person_added_to_a_shared_budget_counts_for_every_run_of_it() -> None:
    day = Budget(of="tenant", per="day", model_calls=1)
    one, two, ledger = account(day), account(day, thread="t2"), MemoryLedger()
    put(ledger, "r", one.counts("r/1", Amounts(model_calls=1), NOW))
    key = one.shared[0].of("model_calls/raised")
    put(ledger, "r", [Count(key=key, by="review", amount=1)])
    put(ledger, "q", two.counts("q/1", Amounts(model_calls=1), one.shared[0].since(NOW) + 1))
    with pytest.raises(LimitReached):
        put(ledger, "q", two.counts("q/2", Amounts(model_calls=1), NOW))


def test_seconds_that_runs_worked_add_up_in_what_they_share() -> None:
    limit = Budget(of="system", seconds=10.0)
    one, two, ledger = account(limit), account(limit, thread="t2"), MemoryLedger()
    one.worked, two.worked = 6.0, 5.0
    put(ledger, "r", one.counts("r/1", Amounts(model_calls=1), NOW))
    with pytest.raises(LimitReached) as error:
        put(ledger, "q", two.counts("q/1", Amounts(model_calls=1), NOW))
    assert two.refusal(error.value).unit == "seconds"


def test_a_cheaper_model_is_wanted_from_the_share_that_was_declared() -> None:
    spending = account(own=Budget(usd="1", degrade_at=0.8, to="openai:small"))
    spending.reserve("a", FREE, Amounts(usd=Decimal("0.79")))
    assert spending.cheaper("a", FREE, None) is None
    spending.reserve("a", FREE, Amounts(usd=Decimal("0.01")))
    assert spending.cheaper("a", FREE, None) == ("openai:small", "80% of the budget of run is used")


def test_a_cheaper_model_is_wanted_where_a_call_did_not_fit_the_budget_that_knows_one() -> None:
    spending = account(own=Budget(usd="1", to="openai:small"))
    with pytest.raises(BudgetExceeded) as refused:
        spending.reserve("a", FREE, Amounts(usd=Decimal(2)))
    found = spending.cheaper("a", FREE, refused.value)
    assert found is not None
    assert found[0] == "openai:small"
    assert spending.cheaper("a", FREE, None) is None

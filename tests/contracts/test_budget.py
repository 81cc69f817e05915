"""Budgets: exact arithmetic, closed limits, nothing that makes room."""

from __future__ import annotations

import math
import re
from decimal import Decimal
from typing import Any

import pytest
from edgewright.contracts.budget import UNITS, Amounts, Budget, Meter, Price
from edgewright.contracts.errors import BudgetClosed, BudgetExceeded
from hypothesis import given
from hypothesis import strategies as st

DOLLARS = st.decimals(0, 10_000, allow_nan=False, allow_infinity=False, places=9)
COUNTS = st.integers(0, 10**9)
AMOUNTS = st.builds(
    Amounts,
    usd=DOLLARS,
    input_tokens=COUNTS,
    output_tokens=COUNTS,
    model_calls=COUNTS,
    tool_calls=COUNTS,
    handoffs=COUNTS,
)
LIMITS = st.builds(
    Budget,
    usd=st.none() | DOLLARS,
    input_tokens=st.none() | COUNTS,
    output_tokens=st.none() | COUNTS,
    model_calls=st.none() | COUNTS,
    tool_calls=st.none() | COUNTS,
    handoffs=st.none() | COUNTS,
)


@given(st.lists(st.tuples(AMOUNTS, AMOUNTS), max_size=12))
def test_after_settling_what_was_spent_is_the_exact_sum_and_nothing_is_reserved(
    calls: list[tuple[Amounts, Amounts]],
) -> None:
    meter = Meter(scope="run", budget=Budget())
    for reserved, _ in calls:
        meter.reserve(reserved)
    for unit in UNITS:
        assert getattr(meter.reserved, unit) == sum(getattr(r, unit) for r, _ in calls)
    for reserved, used in calls:
        meter.settle(reserved, used)
    assert meter.reserved == Amounts()
    for unit in UNITS:
        assert getattr(meter.spent, unit) == sum(getattr(u, unit) for _, u in calls)


def _refused(meter: Meter, amounts: Amounts) -> BudgetExceeded | None:
    try:
        meter.reserve(amounts)
    except BudgetExceeded as error:
        return error
    return None


@given(LIMITS, st.lists(AMOUNTS, max_size=12))
def test_reservations_never_pass_a_limit_and_a_refused_one_reserves_nothing(
    budget: Budget, wanted: list[Amounts]
) -> None:
    meter = Meter(scope="run", budget=budget)
    for amounts in wanted:
        before = meter.reserved
        refused = _refused(meter, amounts)
        if refused is None:
            assert meter.reserved == before + amounts
        else:
            assert meter.reserved == before
            unit = refused.unit.replace(" ", "_")
            assert Decimal(refused.projected) == getattr(before, unit) + getattr(amounts, unit)
            assert Decimal(refused.projected) > Decimal(refused.limit) == getattr(budget, unit)
            assert Decimal(refused.used) == getattr(before, unit)
    for unit in UNITS:
        limit = getattr(budget, unit)
        assert limit is None or getattr(meter.reserved, unit) <= limit


def test_none_is_unlimited_and_zero_is_zero() -> None:
    much = Amounts(usd=Decimal(10**12), model_calls=10**12)
    Meter(scope="run", budget=Budget()).reserve(much)
    closed = Meter(scope="run", budget=Budget(usd=0, model_calls=0))
    with pytest.raises(BudgetExceeded):
        closed.reserve(Amounts(model_calls=1))
    with pytest.raises(BudgetExceeded):
        closed.reserve(Amounts(usd=Decimal("0.000000001")))
    closed.reserve(Amounts(input_tokens=10))
    closed.reserve(Amounts())


def test_exactly_the_limit_fits_and_one_more_does_not() -> None:
    meter = Meter(scope="agent billing", budget=Budget(tool_calls=3))
    for _ in range(3):
        meter.reserve(Amounts(tool_calls=1))
    with pytest.raises(BudgetExceeded) as caught:
        meter.reserve(Amounts(tool_calls=1))
    found = caught.value
    assert (found.scope, found.unit, found.limit, found.projected, found.used) == (
        "agent billing",
        "tool calls",
        "3",
        "4",
        "3",
    )


def test_settling_more_than_reserved_is_counted_and_closes_the_budget() -> None:
    meter = Meter(scope="run", budget=Budget(input_tokens=10))
    one = Amounts(input_tokens=5)
    meter.reserve(one)
    meter.settle(one, Amounts(input_tokens=50))
    assert meter.spent.input_tokens == 50
    with pytest.raises(BudgetExceeded):
        meter.reserve(Amounts(input_tokens=1))
    with pytest.raises(BudgetClosed, match="45 input tokens more"):
        meter.reserve(Amounts(model_calls=1))
    meter.reserve(Amounts(handoffs=1))  # what was paid for may still be handed over


@pytest.mark.parametrize("unit", UNITS)
def test_a_negative_amount_makes_no_room(unit: str) -> None:
    less: Any = Amounts(**{unit: -1 if unit != "usd" else Decimal(-1)})  # type: ignore[arg-type]
    meter = Meter(scope="run", budget=Budget())
    with pytest.raises(ValueError, match="not negative"):
        meter.reserve(less)
    with pytest.raises(ValueError, match="not negative"):
        meter.settle(Amounts(), less)
    assert (meter.spent, meter.reserved) == (Amounts(), Amounts())


@pytest.mark.parametrize("wrong", [0.1, 1.0, math.nan, math.inf, True])
def test_a_float_is_no_amount_of_dollars(wrong: Any) -> None:
    with pytest.raises(TypeError, match="not an exact amount"):
        Budget(usd=wrong)
    with pytest.raises(TypeError, match="not an exact amount"):
        Price(input_per_million=wrong, output_per_million="1")
    with pytest.raises(TypeError, match="not an exact amount"):
        Price(input_per_million="1", output_per_million=wrong)


@pytest.mark.parametrize(
    "wrong", ["NaN", "sNaN", "-1", "-0.000001", "Infinity", "-Infinity", "ten", "", Decimal("NaN")]
)
def test_an_amount_that_is_none_is_refused(wrong: Any) -> None:
    with pytest.raises(ValueError, match=r"amount|negative"):
        Budget(usd=wrong)
    with pytest.raises(ValueError, match=r"amount|negative"):
        Price(input_per_million="1", output_per_million=wrong)


@pytest.mark.parametrize("unit", [u for u in UNITS if u != "usd"])
@pytest.mark.parametrize("wrong", [2.5, "10", True, math.nan, math.inf, Decimal(1)])
def test_a_count_is_an_int(unit: str, wrong: Any) -> None:
    with pytest.raises(TypeError, match=unit):
        Budget(**{unit: wrong})


@pytest.mark.parametrize("unit", [u for u in UNITS if u != "usd"])
def test_a_count_is_not_negative(unit: str) -> None:
    with pytest.raises(ValueError, match=unit):
        Budget(**{unit: -1})  # type: ignore[arg-type]


@pytest.mark.parametrize("wrong", [-0.1, math.nan, -math.inf])
def test_seconds_are_not_negative_and_are_a_number(wrong: float) -> None:
    with pytest.raises(ValueError, match="seconds"):
        Budget(seconds=wrong)


@given(AMOUNTS)
def test_amounts_survive_their_json_form(amounts: Amounts) -> None:
    data = amounts.as_json()
    assert Amounts.from_json(data) == amounts
    assert not any(isinstance(v, float) for v in data.values())


def test_a_budget_shows_its_limits_zero_included() -> None:
    budget = Budget(usd="0.10", tool_calls=0)
    bounds = {"asks": 20, "asks_per_hour": 60, "steps": 500, "branches": 256, "seconds": 3600.0}
    assert budget.as_json() == {"usd": "0.10", "tool_calls": 0, **bounds}
    assert budget.limits("tool_calls")
    assert not budget.limits("handoffs")


@given(
    st.decimals(0, 1000, places=6, allow_nan=False, allow_infinity=False),
    st.decimals(0, 1000, places=6, allow_nan=False, allow_infinity=False),
    st.integers(0, 10**8),
    st.integers(0, 10**8),
)
def test_a_price_is_exact_to_the_last_digit(per_in: Decimal, per_out: Decimal, tokens_in: int, tokens_out: int) -> None:
    found = Price(input_per_million=per_in, output_per_million=str(per_out)).of(tokens_in, tokens_out)
    scaled = int(per_in * 10**6) * tokens_in + int(per_out * 10**6) * tokens_out
    assert found == Decimal(scaled).scaleb(-12)


def test_what_runs_share_has_no_limit_that_nobody_gave_and_a_run_has() -> None:
    assert Budget(of="tenant", per="day", usd="20").as_json() == {"usd": "20", "of": "tenant", "per": "day"}
    assert (Budget(steps=None).steps, Budget().steps) == (None, 500)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"of": "planet"}, "known: run, thread, system, tenant"),
        ({"per": "day"}, "only the budget of a thread, system or tenant is per 'day'"),
        ({"of": "tenant", "per": "week"}, "is per 'day'"),
        ({"then": "hope"}, "known: fail, drain, ask"),
        ({"degrade_at": 0.8}, "a model `to` ask then"),
        ({"degrade_at": 0.0, "to": "openai:x"}, "a share above 0"),
        ({"degrade_at": 1.5, "to": "openai:x"}, "1 at most"),
        ({"of": "tenant", "asks_per_hour": 3}, "belong into the budget of a run"),
        ({"unpriced": "ignore"}, "a Price as an estimate"),
    ],
)
def test_a_budget_that_makes_no_sense_says_why(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        Budget(**wrong)


def test_the_share_of_a_budget_is_that_of_the_limit_that_is_used_most() -> None:
    meter = Meter("run", Budget(usd="1", model_calls=10))
    meter.reserve(Amounts(usd=Decimal("0.75"), model_calls=1))
    assert meter.share() == 0.75
    meter.added = Amounts(usd=Decimal(1))
    assert meter.share() == 0.375

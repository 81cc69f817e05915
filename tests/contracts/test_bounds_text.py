"""Bounds as a person reads them."""

from __future__ import annotations

from edgewright.contracts.bounds_text import bounds_text, budget_text
from edgewright.contracts.budget import Budget
from edgewright.contracts.loops import Loops

ENDLESS = Budget(steps=None, asks=None, asks_per_hour=None, seconds=None, branches=None)


def test_a_budget_is_told_by_its_limits_and_what_happens_at_them() -> None:
    told = budget_text(Budget(usd="0.50", model_calls=1, branches=1, degrade_at=0.8, to="openai:small", then="drain"))
    assert told == (
        "$0.50, 1 model call, 500 steps, 1 branch, 20 questions, 1 h of work; a cheaper model from 80% on; then drain"
    )


def test_what_has_no_limit_says_so() -> None:
    assert budget_text(ENDLESS) == "nothing"


def test_every_scope_has_a_line_and_the_loops_have_one() -> None:
    day = Budget(of="tenant", per="day", usd="20", input_tokens=1_000_000)
    lines = bounds_text(ENDLESS, [day], Loops(same=3, cycle=None))
    assert lines == (
        "a run: nothing",
        "a tenant in a day: $20, 1,000,000 input tokens",
        "a loop: the same 3 times",
    )
    assert bounds_text(ENDLESS, (), Loops(same=None, cycle=None))[-1] == "a loop: never found"


def test_time_is_told_in_the_unit_that_fits() -> None:
    assert [budget_text(Budget(of="system", seconds=s)) for s in (5.0, 90.0, 7200.0)] == [
        "5 s of work",
        "1.5 min of work",
        "2 h of work",
    ]

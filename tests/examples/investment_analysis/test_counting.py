"""What views come to: the one that most hold, how sure they are, and who says otherwise."""

from __future__ import annotations

from itertools import permutations
from typing import Any

from edgewright.examples.investment_analysis.counting import ANALYSTS, counted
from hypothesis import given
from hypothesis import strategies as st

VIEWS = ("buy", "hold", "sell")


def finding(agent: str, view: str, confidence: int = 60) -> dict[str, Any]:
    return {"agent": agent, "answer": {"view": view, "confidence": confidence, "reasons": ["because"]}}


def test_three_of_four_decide_and_the_fourth_dissents() -> None:
    count = counted([finding(name, "buy", 80) for name in ANALYSTS[:3]] + [finding("esg", "sell", 90)])
    assert (count.view, count.supporters, count.confidence) == ("buy", ANALYSTS[:3], 60)
    assert (count.without_press, count.opposed) == (2, 1)
    assert [(name, told["view"]) for name, told in count.dissent] == [("esg", "sell")]


def test_of_views_that_equally_many_hold_the_most_cautious_counts() -> None:
    def of(*views: str) -> str:
        return counted([finding(name, view) for name, view in zip(ANALYSTS, views, strict=True)]).view

    assert of("buy", "buy", "sell", "sell") == "sell"
    assert of("buy", "buy", "hold", "hold") == "hold"
    assert of("sell", "hold", "hold", "sell") == "hold"


def test_a_view_that_nobody_opposes_is_not_opposed_by_a_hold() -> None:
    assert counted([finding("fundamental", "sell"), finding("technical", "hold")]).opposed == 0


@given(st.dictionaries(st.sampled_from(ANALYSTS), st.tuples(st.sampled_from(VIEWS), st.integers(0, 100)), min_size=1))
def test_everybody_is_counted_once_and_the_order_of_findings_is_nothing(held: dict[str, tuple[str, int]]) -> None:
    results = [finding(name, view, sure) for name, (view, sure) in held.items()]
    (count,) = {repr(counted(order)): counted(order) for order in permutations(results)}.values()
    assert sorted([*count.supporters, *(name for name, _ in count.dissent)]) == sorted(held)
    most = max(sum(view == each for view, _ in held.values()) for each in VIEWS)
    assert len(count.supporters) == most
    assert count.without_press == most - ("sentiment" in count.supporters)
    assert 0 <= count.confidence <= 100

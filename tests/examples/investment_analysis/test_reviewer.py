"""The stated rule of the head of research, from a request's arguments alone."""

from __future__ import annotations

from typing import Any, Literal

import pytest
from edgewright import ReviewRequest
from edgewright.examples.investment_analysis.reviewer import review


def asked(kind: Literal["call", "handoff"] = "call", tool: str = "publish", **arguments: Any) -> ReviewRequest:
    return ReviewRequest(id="r", kind=kind, run="run", agent="chair", tool=tool, arguments=arguments, binding="b")


@pytest.mark.parametrize(
    ("others", "opposed", "decision"), [(2, 0, "approve"), (3, 0, "approve"), (1, 0, "reject"), (2, 1, "reject")]
)
def test_two_who_do_not_read_the_press_are_enough_where_nobody_says_the_opposite(
    others: int, opposed: int, decision: str
) -> None:
    answer = review(asked(agreeing=3, agreeing_without_press=others, opposed=opposed))
    assert (answer.decision, answer.reason) == (
        decision,
        f"{others} hold it without the press, {opposed} say the opposite",
    )


def test_what_the_rule_does_not_know_is_rejected() -> None:
    assert review(asked(kind="handoff", tool="")).decision == "reject"
    assert review(asked(tool="read_news", agreeing_without_press=4, opposed=0)).decision == "reject"

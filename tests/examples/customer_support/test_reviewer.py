"""The people of the demo decide by the stated rule."""

from __future__ import annotations

from typing import Any

import pytest
from edgewright import ReviewRequest
from edgewright.examples.customer_support.reviewer import review


def asked(tool: str, arguments: dict[str, Any], facts: dict[str, Any]) -> ReviewRequest:
    """A request as the runtime would make it."""
    return ReviewRequest(
        id="r1",
        kind="call",
        run="run",
        agent="billing",
        tool=tool,
        arguments=arguments,
        facts=facts,
        binding="b",
    )


@pytest.mark.parametrize(("cents", "decision"), [(2750, "approve"), (2751, "reject")])
def test_finance_approves_what_the_books_support(cents: int, decision: str) -> None:
    request = asked("credit_invoice", {"invoice": "INV-5212", "amount_cents": cents}, {"supported_cents": 2750})

    assert review(request).decision == decision


@pytest.mark.parametrize(
    ("live", "term_over", "decision"),
    [(True, True, "approve"), (True, False, "reject"), (False, True, "reject")],
)
def test_the_care_lead_approves_when_the_term_is_over(live: bool, term_over: bool, decision: str) -> None:
    request = asked("cancel_line", {"line": "L-2009"}, {"live": live, "term_over": term_over})

    assert review(request).decision == decision


def test_what_the_rule_does_not_know_is_rejected() -> None:
    assert review(asked("open_incident", {}, {})).decision == "reject"

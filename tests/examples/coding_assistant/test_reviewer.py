"""The people of the showcase decide by the stated rule."""

from __future__ import annotations

from typing import Any

import pytest
from edgewright import ReviewRequest
from edgewright.examples.coding_assistant.reviewer import review

BETTER = {"tested": True, "gained": 1, "lost": 0}


@pytest.mark.parametrize(
    ("tool", "arguments", "facts", "decision"),
    [
        ("push", {"branch": "fix/a"}, BETTER, "approve"),
        ("push", {"branch": "main"}, BETTER, "reject"),
        ("push", {"branch": "fix/a"}, {**BETTER, "lost": 1}, "reject"),
        ("push", {"branch": "fix/a"}, {**BETTER, "tested": False}, "reject"),
        ("run_tests", {}, {"isolation": "none"}, "reject"),
        ("edit_file", {"path": "tests/test_tariff.py"}, {"area": "tests", "known": True}, "reject"),
        ("commit", {"message": "x"}, {**BETTER, "gained": 0}, "reject"),
    ],
)
def test_only_a_push_of_what_is_better_is_approved(
    tool: str, arguments: dict[str, Any], facts: dict[str, Any], decision: str
) -> None:
    asked = ReviewRequest(
        id="r1", kind="call", run="run", agent="coder", tool=tool, arguments=arguments, facts=facts, binding="b"
    )
    assert review(asked).decision == decision

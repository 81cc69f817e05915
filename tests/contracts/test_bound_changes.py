"""What a change of a bound on an edge means."""

from __future__ import annotations

from typing import Any

import pytest
from edgewright.contracts.bound_changes import bound_changes

THREE = {"name": "revise", "most": 3, "then": "fail"}


@pytest.mark.parametrize(
    ("was", "now", "kinds"),
    [
        (THREE, THREE, []),
        (None, None, []),
        (None, THREE, ["breaks_writers"]),
        (THREE, None, ["changes_security"]),
        (THREE, {**THREE, "most": 2}, ["breaks_writers"]),
        (THREE, {**THREE, "most": 4}, ["changes_security"]),
        (THREE, {**THREE, "name": "other"}, ["changes_security"]),
        (THREE, {**THREE, "then": "pass"}, ["changes_security"]),
        (THREE, {**THREE, "most": 2, "then": "review"}, ["breaks_writers", "changes_security"]),
    ],
)
def test_a_change_is_classed_by_what_it_lets_happen(was: Any, now: Any, kinds: list[str]) -> None:
    assert [kind for kind, _ in bound_changes(was, now)] == kinds

"""A review on a terminal: every line of it is ours, and every value of it can be trusted to be what stands there."""

from __future__ import annotations

import io
import unicodedata
from typing import Any

import pytest
from edgewright.contracts.review import ApprovedRule, AskingRule, ReviewRequest
from edgewright.graphs.system import RunResult
from edgewright.server import cli
from edgewright.server.asked import lines
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console


def _request(**more: Any) -> ReviewRequest:
    fields: dict[str, Any] = {
        "id": "r1",
        "kind": "call",
        "run": "run",
        "agent": "clerk",
        "tool": "pay",
        "binding": "b",
        "arguments": {"account": "A-1", "cents": 500},
        "provenance": {"account": "untrusted", "cents": "user"},
        "private": ("account",),
        "effect": "irreversible",
        "sink": True,
        "rules": (AskingRule(id="large", approver="finance", reason="much", separation=True, approvals=2),),
        "approved": (ApprovedRule(id="law", by=("leo",)),),
        "started_by": "carl",
        "asked": 1_800_000_000.0,
        "expires": 1_800_086_400.0,
        "facts": {"owner": "C1"},
    }
    return ReviewRequest.model_validate(fields | more)


def test_all_that_decides_is_shown() -> None:
    told = "\n".join(lines(_request(faults=("cents: too few",))))
    for part in (
        "clerk wants pay (irreversible, data can leave through it)",
        'account = "A-1"  [untrusted, private]',
        "cents = 500  [user]",
        "large: much (ask finance, 2 persons, not by whoever started the run)",
        "approved: law by leo",
        "wrong: cents: too few",
        'knowing {"owner":"C1"}',
        "started by carl",
        "asked 2027-01-15 08:00:00 UTC, until 2027-01-16 08:00:00 UTC",
    ):
        assert part in told


hostile = st.text(min_size=1, max_size=40)


@given(hostile, hostile, hostile)
def test_no_value_makes_a_line_of_its_own_or_hides_one(name: str, value: str, fault: str) -> None:
    """threat 36."""
    plain = len(lines(_request(faults=("x",))))
    request = _request(
        arguments={"account": value, name: value}, faults=(fault,), facts={name: value}, started_by=fault
    )
    told = lines(request)
    assert len(told) == plain + len(request.arguments) - 2
    assert not any(unicodedata.category(c)[0] == "C" for line in told for c in line)


def test_a_value_that_is_markup_or_very_long_shows_as_it_is_with_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """threat 36: rich would take `[bold]` and `:skull:` for more than text."""
    out = io.StringIO()
    monkeypatch.setattr(cli, "out", Console(file=out, highlight=False, width=80))
    value = "[bold]:skull: \x1b[2J" + "a" * 5000 + " to EVIL"
    review = _request(arguments={"account": value})
    cli._shown("desk", RunResult(status="waiting", run="run", thread="t; rm -rf", reviews=(review,)))
    told = out.getvalue()
    assert 'account = "[bold]:skull: \\u001b[2Jaaa' in told
    assert "characters are not shown" in told
    assert 'to EVIL"  [untrusted, private]' in told
    assert "--thread 't; rm -rf' --answer r1=approve:REASON" in told

"""Budgets that runs of several machines share: each has a ledger of its own, and one PostgreSQL counts for all."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from edgewright import Budget, Call, System, tool
from edgewright.contracts.errors import BudgetExceeded, LedgerUnavailable
from edgewright.graphs.budgets import budgets_of
from edgewright.ledger.counters_postgres import PostgresCounters
from support.postgres import database
from support.systems import plays, with_model

day = Budget(of="tenant", per="day", model_calls=3, tool_calls=3)


@tool(effect="write", idempotency="key")
def credit(cents: int) -> str:
    """Credit the customer."""
    return "credited"


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with database() as found:
        yield found


def machine(home: Path, url: str) -> System:
    model = plays([Call("credit", {"cents": 1})])
    return with_model(model, credit, budget=[day], home=home, counters=PostgresCounters(url, patience=5.0))


async def test_machines_that_share_counters_share_what_is_left(tmp_path: Path, url: str) -> None:
    one, two = machine(tmp_path / "one", url), machine(tmp_path / "two", url)
    assert (await one.arun({"text": "a"})).status == "completed"
    with pytest.raises(BudgetExceeded, match="budget of tenant in a day allows 3 model calls"):
        await two.arun({"text": "b"})
    states = {s.unit: s for s in budgets_of(one, one.counters)}
    assert (states["model_calls"].spent, states["model_calls"].left) == (3, 0)
    assert (states["tool_calls"].spent, states["tool_calls"].open) == (2, 0)
    for system in (one, two):
        system.close()


async def test_counters_that_cannot_be_reached_permit_nothing(tmp_path: Path, url: str) -> None:
    system = machine(tmp_path, url)
    system.counters.close()
    with pytest.raises(LedgerUnavailable):
        await system.arun({"text": "a"})
    system.close()

"""Systems inside systems: what the inner asks its models is paid by the outer's budgets too, wherever each is kept."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from edgewright import Budget, OfflineModel, Say, System, Turn, tool
from edgewright.contracts.errors import BudgetExceeded
from edgewright.ledger.records import RunEnded
from support.systems import inside, of_kind, with_code

reached: list[int] = []


def _rules(turn: Turn) -> Say:
    reached.append(1)
    return Say("one")


MODEL = OfflineModel("counted_inside", _rules)


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    reached.clear()
    yield
    reached.clear()


async def _ask(_: dict[str, Any]) -> dict[str, str]:
    await MODEL.ainvoke("x")
    return {"text": "asked"}


def inner_system(home: Path | None, *budgets: Budget) -> System:
    return with_code(_ask, name="inner", home=home, budget=list(budgets))


@pytest.mark.parametrize("apart", [True, False])
@pytest.mark.parametrize("of", ["run", "tenant", "system", "thread"])
async def test_an_inner_system_spends_the_budget_of_the_outer_wherever_it_keeps_its_own(
    of: Any, apart: bool, tmp_path: Path
) -> None:
    inner = inner_system(tmp_path / "inner" if apart else tmp_path / "outer")

    async def work() -> None:
        await MODEL.ainvoke("x")  # the outer run uses up what there is
        await inner.arun({"text": "x"})

    ran = await inside(work, budget=Budget(of=of, model_calls=1), home=tmp_path / "outer")
    inner.close()
    ran.system.close()
    assert len(reached) == 1
    assert isinstance(ran.error, BudgetExceeded)
    assert ran.error.scope == f"{of} of solo@1"


async def test_what_an_inner_system_used_is_settled_where_the_outer_counts(tmp_path: Path) -> None:
    inner = inner_system(tmp_path / "inner")

    async def work() -> None:
        await inner.arun({"text": "x"})

    ran = await inside(work, budget=Budget(of="tenant", output_tokens=9_000), home=tmp_path / "outer")
    found = ran.system.ledger.account("budget/tenant/all/local/output_tokens", 0.0)
    assert ran.error is None
    assert (found.open, found.excess) == (0, 0)
    assert 0 < found.spent < found.reserved
    assert inner.ledger.counted_keys("budget/") == [], "it has no budget of its own to count"
    assert ran.of(RunEnded)[0].spent["output_tokens"] == found.spent
    inner.close()
    ran.system.close()


async def test_of_two_limits_of_one_tenant_the_tighter_holds_inside_and_out(tmp_path: Path) -> None:
    inner = inner_system(tmp_path, Budget(of="tenant", model_calls=9))

    async def work() -> None:
        for _ in range(5):
            await inner.arun({"text": "x"})

    ran = await inside(work, budget=Budget(of="tenant", model_calls=2), home=tmp_path)
    inner.close()
    ran.system.close()
    assert len(reached) == 2
    assert isinstance(ran.error, BudgetExceeded)


async def test_an_inner_budget_that_refuses_gives_back_what_the_outer_had_reserved(tmp_path: Path) -> None:
    inner = inner_system(tmp_path / "inner", Budget(of="system", model_calls=1))

    async def work() -> None:
        await inner.arun({"text": "x"})
        await inner.arun({"text": "x"})

    ran = await inside(work, budget=Budget(of="tenant", model_calls=9), home=tmp_path / "outer")
    found = ran.system.ledger.account("budget/tenant/all/local/model_calls", 0.0)
    assert isinstance(ran.error, BudgetExceeded)
    assert ran.error.scope == "system"
    assert (len(reached), found.spent, found.open) == (1, 1, 0)
    assert of_kind(ran.system, ran.result.run, RunEnded)
    inner.close()
    ran.system.close()


@tool(effect="write", idempotency="key")
def credit(cents: int) -> str:
    """Credit the customer."""
    return "credited"


async def test_a_call_inside_is_spent_once_by_the_outer_run_also_after_a_restart(tmp_path: Path) -> None:
    async def pay(_: dict[str, Any]) -> dict[str, str]:
        return {"text": await credit.ainvoke({"cents": 1})}

    inner = with_code(pay, credit, name="inner", home=tmp_path / "inner")

    async def work() -> None:
        await inner.arun({"text": "x"})

    ran = await inside(work, budget=Budget(of="tenant", tool_calls=9), home=tmp_path / "outer")
    assert ran.error is None
    assert ran.of(RunEnded)[0].spent["tool_calls"] == 1
    assert ran.system.ledger.counted("budget/tenant/all/local/tool_calls", 0.0) == 1
    again = await ran.system._runs.attach(ran.result.run)
    assert again.spent.tool_calls == 1
    inner.close()
    ran.system.close()

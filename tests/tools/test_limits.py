"""Amounts add up over calls, runs and processes, and nothing passes beyond what a tool declares."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from edgewright import Agent, Budget, Limit, ToolRefusal, tool
from edgewright.contracts.errors import CallDenied, ToolInvalid
from edgewright.ledger.records import CallJudged, EffectIntended
from edgewright.tools import signing
from support.systems import PERMIT_ALL, Inside, inside, solo

paid: list[tuple[str, int]] = []


@tool(
    effect="write",
    idempotency="key",
    sink=False,
    limits={"cents": Limit(most=10_000, run=15_000, day=25_000, per="account")},
)
def pay(account: str, cents: int) -> str:
    """Pay into an account."""
    if account == "closed":
        raise ToolRefusal("this account is closed")
    paid.append((account, cents))
    return "paid"


@tool(effect="irreversible", idempotency="key", sink=False)
def wipe(what: str) -> str:
    """Wipe something."""
    paid.append((what, 0))
    return "gone"


@pytest.fixture(autouse=True)
def _fresh() -> None:
    paid.clear()


async def paying(*calls: tuple[str, int], at_once: bool = False, **options: Any) -> tuple[Inside, list[Any]]:
    """A run that makes these payments; what each of them returned or raised."""

    async def work() -> list[Any]:
        made = [pay.call({"account": a, "cents": c}) for a, c in calls]
        if at_once:
            return list(await asyncio.gather(*made, return_exceptions=True))
        return [(await asyncio.gather(m, return_exceptions=True))[0] for m in made]

    found = await inside(work, pay, **options)
    return found, found.value


def denied(value: Any) -> bool:
    return isinstance(value, CallDenied) and value.rules == ("limit",)


@pytest.mark.parametrize("cents", [10_001, -1])
async def test_one_call_beyond_its_limit_is_denied_whatever_the_policy_says(cents: int) -> None:
    found, [got] = await paying(("a", cents))
    assert denied(got)
    assert paid == []
    assert [r.rules for r in found.of(CallJudged)] == [["limit"]]
    assert found.of(EffectIntended) == []


async def test_an_amount_that_is_split_over_calls_adds_up_in_its_run() -> None:
    """Threat 55."""
    _, got = await paying(("a", 8_000), ("a", 7_000), ("a", 1), ("b", 10_000))
    assert [denied(g) for g in got] == [False, False, True, False]
    assert sum(c for a, c in paid if a == "a") == 15_000


async def test_calls_side_by_side_never_pass_more_than_the_limit() -> None:
    """Threat 53."""
    _, got = await paying(*[("a", 1_000)] * 30, at_once=True)
    assert sum(c for _, c in paid) == 15_000
    assert sum(map(denied, got)) == 15


async def test_amounts_add_up_over_the_runs_of_a_day_and_start_again_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def one(cents: int) -> bool:
        found, [got] = await paying(("a", cents), home=tmp_path)
        found.system.close()
        return not denied(got)

    assert [await one(10_000), await one(10_000), await one(5_001), await one(5_000)] == [True, True, False, True]
    later = signing.now() + 86_400
    monkeypatch.setattr(signing, "now", lambda: later)
    assert await one(10_000)


async def test_what_was_refused_by_the_tool_counts_nothing() -> None:
    _, got = await paying(("closed", 10_000), ("closed", 10_000), ("closed", 10_000))
    assert all(isinstance(g, ToolRefusal) for g in got)


async def test_a_policy_reads_what_amounts_add_up_to() -> None:
    policy = PERMIT_ALL + (
        '@id("half") forbid(principal, action == Action::"call:pay", resource) when '
        "{ context.amounts.cents.run > 7000 || context.amounts.cents.day > 7000 };"
    )
    _, got = await paying(("a", 4_000), ("a", 3_000), ("a", 1), policy=policy)
    assert [isinstance(g, CallDenied) and g.rules == ("half",) for g in got] == [False, False, True]


async def test_what_cannot_be_undone_is_paced_over_all_runs_of_a_system(tmp_path: Path) -> None:
    """Threat 60: at most so many in a minute, by another agent and in another run too."""

    async def work() -> list[Any]:
        made = [wipe.call({"what": w}) for w in ("first", "second")]
        return list(await asyncio.gather(*made, return_exceptions=True))

    for first in (True, False):
        found = await inside(work, wipe, home=tmp_path, budget=Budget(irreversible_per_minute=1))
        assert sum(map(denied, found.value)) == (1 if first else 2)
        found.system.close()
    assert len(paid) == 1


@pytest.mark.parametrize(
    ("limits", "fault"),
    [
        ({"cent": Limit(most=1)}, "no argument"),
        ({"account": Limit(most=1)}, "whole number"),
        ({"cents": Limit()}, "sets none"),
        ({"cents": Limit(most=-1)}, "negative"),
        ({"cents": Limit(most=1, per="nobody")}, "no argument"),
    ],
)
def test_a_limit_that_cannot_be_held_is_a_fault_of_the_declaration(limits: dict[str, Limit], fault: str) -> None:
    with pytest.raises(ToolInvalid, match=fault):

        @tool(limits=limits)
        def move(account: str, cents: int) -> str:
            """Move money."""
            return "moved"


def test_limits_are_part_of_a_tools_digest() -> None:
    def declared(limits: dict[str, Limit]) -> str:
        def move(cents: int) -> str:
            """Move money."""
            return "moved"

        return tool(limits=limits)(move).spec.digest

    assert declared({"cents": Limit(most=1)}) != declared({"cents": Limit(most=2)})
    assert solo(Agent("a", version=1, function=lambda _: {"text": "x"}, tools=[pay])).policy is not None

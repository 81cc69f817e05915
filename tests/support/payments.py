"""Two ways to pay, and what the tests of the gate make of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypedDict

import pytest
from edgewright import System, tool
from edgewright.ledger.records import (
    CallJudged,
)
from support.systems import (
    asking,
    of_kind,
)

done: list[tuple[str, int]] = []
world: dict[str, Any] = {}


class Facts(TypedDict):
    owner: str


def owner_of(account: str) -> Facts:
    if "facts" in world:
        found: Facts = world["facts"](account)
        return found
    return {"owner": "C1"}


@tool(effect="write", idempotency="key", facts=owner_of)
def pay(account: str, cents: int) -> dict[str, int]:
    """Pay into an account."""
    done.append((account, cents))
    return {"paid": cents}


@tool(effect="write", idempotency="none")
async def wire(account: str, cents: int) -> dict[str, int]:
    """Wire to an account."""
    if "wire" in world:
        await world["wire"]()
    done.append((account, cents))
    return {"wired": cents}


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    done.clear()
    world.clear()
    yield
    done.clear()
    world.clear()


OWNED = (
    '@id("owned") permit(principal, action == Action::"call:pay", resource) when '
    "{ context.request has sender && context.facts.owner == context.request.sender };\n"
    '@id("wires") permit(principal, action == Action::"call:wire", resource);\n'
)
LARGE = asking("pay", "context.args.cents > 100", rule="large")
PAY = {"account": "a", "cents": 5}
BIG = {"account": "a", "cents": 500}


def verdicts(system: System, run: str) -> list[tuple[str, list[str]]]:
    return [(j.verdict, j.rules) for j in of_kind(system, run, CallJudged)]

"""`edgewright budgets` and `breakers`, and what HTTP tells of both."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
from edgewright import Agent, Budget, Pipeline, Policy, System, tool
from edgewright.contracts.containment import Breaker, Bulkhead
from edgewright.contracts.errors import ProjectInvalid
from edgewright.contracts.review import Reviewer
from edgewright.graphs.budgets import BudgetState, budgets_of
from edgewright.ledger.counts import Count, Settle
from edgewright.ledger.entry import Draft
from edgewright.ledger.records import HandoffAsked
from edgewright.server.spending import breakers, fetched, table_of
from edgewright.tools.containment import BREAKERS, BULKHEADS
from rich.console import Console
from support.command_line import Run, hotel
from support.ledgers import WAIT
from support.systems import ANSWER, PERMIT_ALL, QUESTION

from .conftest import Serve
from .house import Till, desk
from .test_identity import PEOPLE, bearer

DAY = 86_400.0


@tool(effect="write", idempotency="key", sensitivity="internal")
def note(text: str) -> str:
    """Note a text."""
    return f"noted {text}"


async def work(given: dict[str, Any]) -> dict[str, str]:
    return {"text": await note.call({"text": given["text"]})}


def shop(home: Path | None, *budgets: Budget) -> System:
    """A system whose runs share budgets."""
    return System(
        "shop",
        version=1,
        topology=Pipeline(
            stages=[Agent("clerk", version=1, function=work, tools=[note])], contracts=[QUESTION, ANSWER]
        ),
        policy=Policy(text=PERMIT_ALL),
        budget=budgets,
        home=home,
    )


EVERY = (
    Budget(of="system", per="day", tool_calls=5),
    Budget(of="tenant", tool_calls=10),
    Budget(of="thread", tool_calls=3),
)


def told(found: list[BudgetState]) -> list[tuple[Any, ...]]:
    return [(b.scope, b.name, b.per, b.unit, b.limit, b.spent, b.left) for b in found]


async def test_each_shared_budget_is_told_with_what_is_left_of_it() -> None:
    system = shop(None, *EVERY)
    ledger = system.home.open()[0]
    assert told(budgets_of(system, ledger)) == [("system", "shop", "day", "tool_calls", 5, 0, 5)]
    await system.arun({"text": "go"}, thread="one")
    await system.arun({"text": "go"}, thread="two", by=Reviewer("uma", frozenset(), "acme"))
    await system.arun({"text": "go"}, thread="two", by=Reviewer("uma", frozenset(), "acme"))
    found = budgets_of(system, ledger)
    assert told(found) == [
        ("system", "shop", "day", "tool_calls", 5, 3, 2),
        ("tenant", "acme", "", "tool_calls", 10, 2, 8),
        ("tenant", "local", "", "tool_calls", 10, 1, 9),
        ("thread", "one", "", "tool_calls", 3, 1, 2),
        ("thread", "two", "", "tool_calls", 3, 2, 1),
    ]
    assert [b.turns is not None for b in found] == [True, False, False, False, False]
    assert told(budgets_of(system, ledger, tenant="acme")) == told(found)[:2]
    tomorrow = budgets_of(system, ledger, now=(found[0].turns or 0.0) + 1)
    assert told(tomorrow)[0] == ("system", "shop", "day", "tool_calls", 5, 0, 5)
    assert tomorrow[0].turns == (found[0].turns or 0.0) + DAY


def test_dollars_are_exact_and_open_raised_lapsed_and_closed_are_told() -> None:
    system = shop(None, Budget(of="tenant", per="day", usd="1"))
    ledger, key = system.home.open()[0], "budget/tenant/day/acme"

    def count(*counts: Any) -> BudgetState:
        record = HandoffAsked(at="0", agent="a", target="b")
        ledger.append("run", [Draft(record=record, counts=counts)]).result(WAIT)
        [found] = budgets_of(system, ledger)
        return found

    cent = 10**10
    one = count(Count(key=f"{key}/usd", by="a", amount=30 * cent, expires=4e9))
    assert (one.limit, one.reserved, one.open, one.spent, one.left) == tuple(
        map(Decimal, ("1", "0.3", "0.3", "0", "0.7"))
    )
    one = count(Settle(key=f"{key}/usd", by="a", amount=10 * cent + 1))
    assert (one.spent, one.open, one.left) == (Decimal("0.100000000001"), 0, Decimal("0.899999999999"))
    one = count(Count(key=f"{key}/usd/raised", by="r", amount=50 * cent))
    assert (one.limit, one.raised, one.left) == (Decimal("1.5"), Decimal("0.5"), Decimal("1.399999999999"))
    one = count(Count(key=f"{key}/usd", by="b", amount=20 * cent, expires=1.0))
    assert (one.lapsed, one.spent) == (Decimal("0.2"), Decimal("0.300000000001"))
    one = count(Count(key=f"{key}/closed", by="c", amount=1))
    assert (one.closed, one.left) == (True, 0)
    assert one.as_json()["limit"] == "1.5"
    shown = Console(width=120, highlight=False)
    with shown.capture() as got:
        shown.print(table_of([one, replace(one, unit="seconds", closed=False, limit=90.0, left=12.5, turns=None)]))
    assert "tenant acme, a day" in got.get()
    assert "closed" in got.get()
    assert "12.5 s" in got.get()


MODULE = """
from edgewright import Agent, Budget, Contract, Pipeline, System
from pydantic import BaseModel

class Text(BaseModel):
    text: str

def work(given):
    return {"text": "fine"}

graph = System(
    "hotel", version=1, budget=[Budget(of="system", per="day", usd="20"), Budget(of="system", model_calls=7)],
    topology=Pipeline(stages=[Agent("clerk", version=1, function=work)], contracts=[Contract(Text, version=1)] * 2),
    home=HOME,
)
"""


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    return hotel(MODULE, tmp_path, monkeypatch, capsys, columns=80)


def test_the_command_tells_limits_and_when_they_turn_over(run: Run) -> None:
    code, out, _ = run("budgets")
    assert (code, "no budget is shared by runs, or nothing was spent" in out) == (0, True)
    assert run("run", "hotel", '{"text": "go"}')[0] == 0
    code, out, _ = run("budgets", "hotel")
    rows = [" ".join(line.split()) for line in out.splitlines()]
    assert code == 0
    assert any(r.startswith("system hotel, a day usd $20 $0 $0 $20") for r in rows), out
    assert any(r.startswith("system hotel model calls 7 0 0 7 never") for r in rows), out
    found = json.loads(run("budgets", "--json")[1])["budgets"]
    assert [(b["unit"], b["limit"], b["left"]) for b in found] == [("usd", "20", "20"), ("model_calls", 7, 7)]
    code, _, err = run("budgets", "inn")
    assert (code, "NotFound" in err, "hotel" in err) == (2, True, True)


# -- breakers ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def opened() -> Any:
    """A breaker that is open, and two tenants with a place each."""
    BREAKERS.clear()
    rule = Breaker(failures=1, cooldown=600.0)
    ticket = BREAKERS.admit("tool:press", rule)
    BREAKERS.ended("tool:press", rule, ticket.ticket, "timeout")
    lines = [BULKHEADS.arrive(f"tenant:{t}", Bulkhead(running=2))[0] for t in ("local", "acme")]
    yield
    for line in lines:
        line.leave()
    BREAKERS.clear()


async def test_a_server_tells_its_breakers_and_of_no_other_tenants_places(
    opened: Any, serve: Serve, till: Till, tmp_path: Path
) -> None:
    url = await serve(desk(tmp_path / "known", till=till), identify=PEOPLE)
    async with httpx.AsyncClient(base_url=url, timeout=30) as http:
        assert (await http.get("/breakers")).status_code == 401
        told = (await http.get("/breakers", headers=bearer("ana"))).json()
        assert (await http.get("/budgets", headers=bearer("ana"))).json() == {"budgets": []}
    assert [(b["of"], b["state"], b["last"]) for b in told["breakers"]] == [("tool:press", "open", "timeout")]
    tenants = [b["of"] for b in told["bulkheads"] if b["of"].startswith("tenant:")]
    assert tenants == ["tenant:local"]


@pytest.fixture
async def address(serve: Serve, till: Till, tmp_path: Path) -> str:
    return await serve(desk(tmp_path / "open", till=till))


async def test_the_command_asks_a_running_server(
    opened: Any, address: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    await asyncio.to_thread(breakers, url=address)
    out = capsys.readouterr().out
    assert "tool:press" in out
    assert "open" in out
    assert "1 of 2" in out
    with pytest.raises(ProjectInvalid, match="answered 404"):
        await asyncio.to_thread(fetched, f"{address}/nowhere", None)


def test_where_no_server_is_the_command_says_so(run: Run) -> None:
    for url in ("http://127.0.0.1:9", "ftp://nowhere", "http://[", "nonsense"):
        code, _, err = run("breakers", "--url", url)
        assert (code, "ProjectInvalid" in err) == (2, True), err

"""What an operator looks at and does over HTTP: dead letters, budgets, breakers. Of other tenants nothing is told."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Request, Response
from pydantic import Field

from ..contracts.errors import NotFound
from ..contracts.review import OPERATOR
from ..graphs.budgets import BudgetState, budgets_of
from ..graphs.dead import DeadLetter, admit, began_of, dead_letters, drop
from ..graphs.system import System
from ..tools.containment import BREAKERS, BULKHEADS
from . import view
from .guard import json_response
from .project import Served
from .routes import Desk, desk_of, joined, reviewer_of
from .wire import WaitBody, Wire, body_of, query_of, uuid_of

MOST = 1000
DRAINED = frozenset({"drained"})
operating = APIRouter()


class DropBody(Wire):
    """The body of `POST /dead/{run}/drop`: why nobody goes on with it."""

    reason: Annotated[str, Field(min_length=1, max_length=2000)]


@operating.get("/dead")
async def list_letters(request: Request) -> Response:
    """Runs that failed or ran out of budget, the one that has lain longest first; those that were drained apart."""
    query_of(request)
    desk, tenant = desk_of(request), _tenant(request)
    dead, drained = list[DeadLetter](), list[DeadLetter]()
    for system in _systems(desk):
        ledger = await system.home.ledger()
        chosen: dict[str, Any] = {"system": system.name, "tenant": tenant, "limit": MOST}
        dead += await asyncio.to_thread(dead_letters, ledger, **chosen)
        drained += await asyncio.to_thread(dead_letters, ledger, statuses=DRAINED, **chosen)
    return json_response(200, {"dead": _shown(dead), "drained": _shown(drained)})


@operating.post("/dead/{run}/retry")
async def retry_letter(request: Request, run: str) -> Response:
    """Go on with a run as itself, as a run of the API on its thread; answers with what that leaves."""
    query_of(request)
    desk, tenant, by = desk_of(request), _tenant(request), reviewer_of(request)
    served, system, thread = await _of(desk, uuid_of(run, "run"), tenant)

    async def admitted() -> None:
        await admit(system, run, by=by.id if by else OPERATOR, tenant=tenant)
        # A run that was not begun over HTTP: its thread is a thread of the API from now on.
        await desk.threads.create(thread, {}, tenant=tenant or "")

    body = WaitBody(assistant_id=served.name)
    return joined(await desk.runs.start(thread, served, body, by=by, admitted=admitted))


@operating.post("/dead/{run}/drop")
async def drop_letter(request: Request, run: str) -> Response:
    """List a run no more. It stays as it is."""
    query_of(request)
    body, desk, by = await body_of(request, DropBody), desk_of(request), reviewer_of(request)
    _, system, _ = await _of(desk, uuid_of(run, "run"), _tenant(request))
    ledger = await system.home.ledger()
    await drop(ledger, run, by=by.id if by else OPERATOR, reason=body.reason, tenant=_tenant(request))
    return json_response(200, {"run": run, "dropped": True})


@operating.get("/budgets")
async def list_budgets(request: Request) -> Response:
    """How the budgets stand that runs share. To people of one tenant, those of no thread and of no other tenant."""
    query_of(request)
    found = list[BudgetState]()
    for system in _systems(desk_of(request)):
        await system.home.ledger()  # opened here, off the loop
        found += await asyncio.to_thread(budgets_of, system, system.counters, tenant=_tenant(request))
    return json_response(200, {"budgets": [b.as_json() for b in found]})


@operating.get("/breakers")
async def list_breakers(request: Request) -> Response:
    """What this process does not call now, and who waits for a place. To people of one tenant, of no other tenant."""
    query_of(request)
    tenant = _tenant(request)
    places = [b for b in BULKHEADS.snapshot() if tenant is None or b["of"] == f"tenant:{tenant}" or not _of_tenant(b)]
    return json_response(200, {"breakers": BREAKERS.snapshot(), "bulkheads": places})


def _of_tenant(place: Mapping[str, Any]) -> bool:
    return str(place["of"]).startswith("tenant:")


def _tenant(request: Request) -> str | None:
    by = reviewer_of(request)
    return by.tenant if by else None


def _systems(desk: Desk) -> list[System]:
    return list({(s.system.name, id(s.system.home)): s.system for s in desk.served.values() if s.system}.values())


async def _of(desk: Desk, run: str, tenant: str | None) -> tuple[Served, System, str]:
    """The graph whose run it is, its system and the run's thread. Raises NotFound, HTTPException."""
    for served in desk.served.values():
        if (system := served.system) is None:
            continue
        try:
            _, began = await began_of(await system.home.ledger(), run, tenant=tenant)
        except NotFound:
            continue
        if began.system.partition("@")[0] != system.name:
            continue
        try:
            uuid_of(began.thread, "thread")
        except HTTPException:
            why = f"its thread {began.thread!r} is no thread of this API: edgewright dead retry {run}"
            raise HTTPException(409, why) from None
        return served, system, began.thread
    raise NotFound(kind="run", name=run)


def _shown(found: list[DeadLetter]) -> list[dict[str, Any]]:
    found = sorted(found, key=lambda letter: (letter.stopped, letter.run))[:MOST]
    return [{**letter.as_json(), "reason": view.reason(letter.reason)} for letter in found]

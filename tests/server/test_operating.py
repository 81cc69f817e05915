"""Over HTTP: dead letters, listed and gone on with; runs that are cancelled; and how a thread's run stands."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from edgewright.contracts.errors import BudgetExceeded
from edgewright.contracts.review import OPERATOR
from edgewright.graphs.system import System
from edgewright.ledger.records import DeadRetried, RunDrained, RunEnded
from edgewright.server import view
from edgewright.server.app import create_app
from edgewright.server.project import Served
from langgraph_sdk import get_client
from langgraph_sdk.client import LangGraphClient
from support.systems import of_kind

from .conftest import Serve
from .house import MENDED, PLAIN, REVIEWED, SECRET, Till, desk
from .test_identity import PEOPLE, bearer

BREAK = {"request": {"sender": "C1", "text": "break"}}


async def broken(client: LangGraphClient) -> tuple[str, str]:
    """A thread, and its run that failed."""
    thread = (await client.threads.create())["thread_id"]
    told: Any = await client.runs.wait(thread, "desk", input=BREAK, raise_error=False)
    return thread, told["__error__"]["run"]


async def test_a_failed_run_is_a_dead_letter_until_it_is_gone_on_with(
    client: LangGraphClient, raw: httpx.AsyncClient, system: System, till: Till
) -> None:
    thread, run = await broken(client)
    listed = (await raw.get("/dead")).json()
    [letter] = listed["dead"]
    assert (letter["run"], letter["thread"], letter["status"], letter["error"]) == (
        run,
        thread,
        "failed",
        "RuntimeError",
    )
    assert (letter["reason"], listed["drained"]) == ("RuntimeError: An internal error occurred", [])
    assert SECRET not in str(listed)
    again = (await raw.post(f"/dead/{run}/retry")).json()
    assert again["__error__"]["run"] == run
    MENDED.set()
    answer = await raw.post(f"/dead/{run}/retry")
    assert (answer.status_code, answer.json()["run"], till.paid) == (200, run, [100])
    assert answer.json()["response"] == {"text": '{\n  "paid": 100\n}'}
    assert (await raw.get("/dead")).json()["dead"] == []
    assert [r.by for r in of_kind(system, run, DeadRetried)] == [OPERATOR] * 2
    refused = await raw.post(f"/dead/{run}/retry")
    assert (refused.status_code, refused.json()["error"]) == (409, "RetryRefused")
    assert "completed" in refused.json()["detail"]


async def test_a_run_that_was_not_begun_over_http_is_gone_on_with_there(
    raw: httpx.AsyncClient, client: LangGraphClient, system: System, till: Till
) -> None:
    thread = str(uuid4())
    with pytest.raises(RuntimeError):
        await system.arun(BREAK["request"], thread=thread)
    with pytest.raises(RuntimeError):
        await system.arun(BREAK["request"], thread="a name")
    run, named = (system.ledger.runs(thread=t)[0].run for t in (thread, "a name"))
    MENDED.set()
    assert (await raw.post(f"/dead/{run}/retry")).json()["run"] == run
    assert (await client.threads.get(thread))["status"] == "idle"
    refused = await raw.post(f"/dead/{named}/retry")
    assert (refused.status_code, "edgewright dead retry" in refused.text, till.paid) == (409, True, [100])


async def test_a_dropped_run_is_listed_no_more(client: LangGraphClient, raw: httpx.AsyncClient) -> None:
    _, run = await broken(client)
    for body, status in (({}, 422), ({"reason": ""}, 422), ({"reason": "paid by hand"}, 200)):
        assert (await raw.post(f"/dead/{run}/drop", json=body)).status_code == status
    assert (await raw.get("/dead")).json()["dead"] == []
    assert (await raw.post(f"/dead/{uuid4()}/drop", json={"reason": "gone"})).status_code == 404
    assert (await raw.post("/dead/nonesuch/retry")).status_code == 422


@pytest.fixture
async def people(serve: Serve, system: System) -> AsyncIterator[httpx.AsyncClient]:
    """A server that knows people of two tenants."""
    async with httpx.AsyncClient(base_url=await serve(system, identify=PEOPLE), timeout=30) as made:
        yield made


async def test_a_dead_letter_of_another_tenant_is_not_there(people: httpx.AsyncClient, till: Till) -> None:
    thread = (await people.post("/threads", json={}, headers=bearer("uma"))).json()["thread_id"]
    body = {"assistant_id": "desk", "input": BREAK}
    told = (await people.post(f"/threads/{thread}/runs/wait", json=body, headers=bearer("uma"))).json()
    run = told["__error__"]["run"]
    MENDED.set()
    assert (await people.get("/dead", headers=bearer("ana"))).json() == {"dead": [], "drained": []}
    for path, given in ((f"/dead/{run}/retry", {}), (f"/dead/{run}/drop", {"reason": "mine"})):
        assert (await people.post(path, json=given, headers=bearer("ana"))).status_code == 404
        assert (await people.post(path, json=given)).status_code == 401
    assert till.paid == []
    assert [d["run"] for d in (await people.get("/dead", headers=bearer("uma"))).json()["dead"]] == [run]
    assert (await people.post(f"/dead/{run}/retry", headers=bearer("uma"))).json()["run"] == run
    assert till.paid == [100]


# -- how a run stands -------------------------------------------------------------------------------------------------


async def test_a_thread_and_its_state_tell_how_its_run_stands_and_why(
    client: LangGraphClient, raw: httpx.AsyncClient
) -> None:
    fresh = (await client.threads.create())["thread_id"]
    assert "run" not in (await raw.get(f"/threads/{fresh}")).json()
    done, waits = [(await client.threads.create())["thread_id"] for _ in range(2)]
    await client.runs.wait(done, "desk", input=PLAIN)
    await client.runs.wait(waits, "desk", input=REVIEWED)
    failed, _ = await broken(client)
    hidden = "RuntimeError: An internal error occurred"
    for thread, status, stands, reason in (
        (done, "idle", "completed", ""),
        (waits, "interrupted", "waiting", ""),
        (failed, "error", "failed", hidden),
    ):
        for path in ("", "/state"):
            told = (await raw.get(f"/threads/{thread}{path}")).json()
            assert (told["run"]["status"], told["run"]["reason"]) == (stands, reason)
        assert (await raw.get(f"/threads/{thread}")).json()["status"] == status


def test_a_reason_leaves_in_its_own_words_where_its_kind_quotes_nothing() -> None:
    over = str(BudgetExceeded(scope="run", unit="usd", limit="1", projected="2", used="1", over="1"))
    assert view.reason(f"BudgetExceeded: {over}") == f"BudgetExceeded: {over}"
    assert view.reason(f"OSError: cannot write {SECRET}") == "OSError: An internal error occurred"
    for said in ("", "cancelled by ana", "the server stops", "left behind: its thread began a new run"):
        assert view.reason(said) == said


async def test_a_run_that_a_crash_cut_off_before_any_checkpoint_is_interrupted_and_goes_on(
    tmp_path: Path, serve: Serve, till: Till
) -> None:
    thread, run = str(uuid4()), str(uuid4())
    first = desk(tmp_path, till=till)
    await first._runs.begin(run, thread, dict(PLAIN["request"]))  # and here the process dies
    first._runs.let_go(run)
    first.close()
    system = desk(tmp_path, till=till)
    async with get_client(url=await serve(system), api_key=None) as client:
        await client.threads.create(thread_id=thread)
        other = (await client.threads.create())["thread_id"]
        async with httpx.AsyncClient(base_url=str(client.http.client.base_url), timeout=30) as raw:
            # Which graph's it is, the API does not know before its first run there.
            assert (await raw.get(f"/threads/{thread}")).json()["status"] == "idle"
            body = {"assistant_id": "desk"}
            assert (await raw.post(f"/threads/{other}/runs/wait", json=body)).status_code == 422
        told: Any = await client.runs.wait(thread, "desk")
    assert (told["run"], till.paid, len(system.ledger.runs())) == (run, [100], 1)


# -- stopped ----------------------------------------------------------------------------------------------------------


async def inside(client: LangGraphClient, till: Till) -> tuple[str, str, asyncio.Task[Any]]:
    """A thread, and its run of the API that is inside its tool."""
    till.door.clear()
    thread = (await client.threads.create())["thread_id"]
    waits = asyncio.create_task(client.runs.wait(thread, "desk", input=PLAIN, raise_error=False))
    assert await asyncio.to_thread(till.inside.wait, 20)
    [row] = await client.runs.list(thread)
    return thread, row["run_id"], waits


@pytest.mark.parametrize("wait", [True, False])
async def test_a_cancelled_run_is_on_record_as_such_and_goes_on(
    client: LangGraphClient, raw: httpx.AsyncClient, system: System, till: Till, wait: bool
) -> None:
    thread, row, waits = await inside(client, till)
    try:
        await client.runs.cancel(thread, row, wait=wait)
        async with asyncio.timeout(20):
            told = await waits
    finally:
        till.door.set()
    assert told["__error__"]["message"] == "it was cancelled; a run without input goes on from here"
    assert (await client.runs.get(thread, row))["status"] == "interrupted"
    shown = (await raw.get(f"/threads/{thread}")).json()
    stands = {"run": told["__error__"]["run"], "status": "cancelled", "reason": "cancelled over HTTP"}
    assert (shown["status"], shown["run"]) == ("interrupted", stands)
    assert [e.status for e in of_kind(system, stands["run"], RunEnded)] == ["cancelled"]
    assert (await raw.get("/dead")).json()["dead"] == []
    gone_on: Any = await client.runs.wait(thread, "desk")
    assert (gone_on["run"], len(system.ledger.runs())) == (stands["run"], 1)
    late = await raw.post(f"/threads/{thread}/runs/{row}/cancel?action=interrupt")
    assert (late.status_code, "not running" in late.text) == (409, True)


async def test_a_run_is_cancelled_by_its_tenant_and_not_rolled_back(people: httpx.AsyncClient, till: Till) -> None:
    thread = (await people.post("/threads", json={}, headers=bearer("uma"))).json()["thread_id"]
    till.door.clear()
    body = {"assistant_id": "desk", "input": PLAIN}
    waits = asyncio.create_task(people.post(f"/threads/{thread}/runs/wait", json=body, headers=bearer("uma")))
    try:
        assert await asyncio.to_thread(till.inside.wait, 20)
        [row] = (await people.get(f"/threads/{thread}/runs", headers=bearer("uma"))).json()
        where = f"/threads/{thread}/runs/{row['run_id']}/cancel"
        assert (await people.post(where, headers=bearer("ana"))).status_code == 404
        assert (await people.post(f"{where}?action=rollback", headers=bearer("uma"))).status_code == 422
        assert (await people.post(f"{where}?wait=1", headers=bearer("uma"))).json() == {}
    finally:
        till.door.set()
    await waits
    shown = (await people.get(f"/threads/{thread}", headers=bearer("uma"))).json()
    assert shown["run"]["reason"] == "cancelled by uma"


async def test_a_run_that_a_stopping_server_brought_to_a_checkpoint_is_drained(tmp_path: Path, till: Till) -> None:
    till.door.clear()
    system = desk(tmp_path, till=till)
    app = create_app({"desk": Served(name="desk", graph=system.graph, system=system)}, home=system.home)
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as raw:
        async with app.router.lifespan_context(app):
            thread = (await raw.post("/threads", json={})).json()["thread_id"]
            body = {"assistant_id": "desk", "input": PLAIN}
            waiting = asyncio.create_task(raw.post(f"/threads/{thread}/runs/wait", json=body))
            assert await asyncio.to_thread(till.inside.wait, 30)
            asyncio.get_running_loop().call_soon(till.door.set)  # once the stop below has asked it to drain
        told = (await waiting).json()["__error__"]
        async with app.router.lifespan_context(app):
            shown = (await raw.get(f"/threads/{thread}")).json()
            stands = {"run": told["run"], "status": "drained", "reason": "the server stops"}
            assert (shown["status"], shown["run"]) == ("interrupted", stands)
            listed = (await raw.get("/dead")).json()
            assert ([d["run"] for d in listed["drained"]], listed["dead"]) == ([told["run"]], [])
            assert len(of_kind(system, told["run"], RunDrained)) == 1
            assert (await raw.post(f"/dead/{told['run']}/retry")).json()["run"] == told["run"]
    assert till.paid == [100]

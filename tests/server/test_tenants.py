"""A server that knows people of several tenants: what one of them made is not there for another, at any moment."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import httpx
import pytest
from edgewright.graphs.system import System
from edgewright.server.project import Served
from langgraph.graph import StateGraph
from typing_extensions import TypedDict

from .conftest import Serve, serving
from .house import PLAIN, REVIEWED, Till
from .test_identity import APPROVE, PEOPLE, bearer


class Desk(TypedDict, total=False):
    request: dict[str, Any]
    response: dict[str, Any]


@pytest.fixture
async def http(serve: Serve, system: System) -> AsyncIterator[httpx.AsyncClient]:
    """A server in development that knows people, too."""
    url = await serve(system, identify=PEOPLE)
    async with httpx.AsyncClient(base_url=url, timeout=30) as made:
        yield made


async def _thread(http: httpx.AsyncClient, by: str, **body: Any) -> str:
    answer = await http.post("/threads", json=body, headers=bearer(by))
    return str(answer.json()["thread_id"])


class Slow:
    """A body whose first bytes are sent, and the rest when a test says so."""

    def __init__(self, **body: Any) -> None:
        self._body, self.sent, self.rest = json.dumps(body).encode(), asyncio.Event(), asyncio.Event()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._body[:5]
        self.sent.set()
        await self.rest.wait()
        yield self._body[5:]


async def test_threads_of_another_tenant_are_not_there_before_their_first_run(http: httpx.AsyncClient) -> None:
    """threats 31 and 43."""
    thread = await _thread(http, "uma", metadata={"customer": "acme"})
    assert (await http.post("/threads/search", json={}, headers=bearer("ana"))).json() == []
    assert (await http.get(f"/threads/{thread}", headers=bearer("ana"))).status_code == 404
    again = {"thread_id": thread, "if_exists": "do_nothing"}
    assert (await http.post("/threads", json=again, headers=bearer("ana"))).status_code == 409
    assert [t["thread_id"] for t in (await http.post("/threads/search", json={}, headers=bearer("uma"))).json()] == [
        thread
    ]


async def test_a_thread_of_a_plain_graph_is_its_makers_tenants(http: httpx.AsyncClient) -> None:
    """threats 31 and 43."""
    made, thread = await _thread(http, "uma"), str(uuid4())
    for name in (made, thread):
        body = {"assistant_id": "plain", "input": {"text": "ask: a secret"}, "if_not_exists": "create"}
        out = await http.post(f"/threads/{name}/runs/wait", json=body, headers=bearer("uma"))
        assert "__interrupt__" in out.json()
        yes = {"assistant_id": "plain", "command": {"resume": "yes"}}
        theirs = [
            await http.get(f"/threads/{name}/state", headers=bearer("ana")),
            await http.post(f"/threads/{name}/history", json={}, headers=bearer("ana")),
            await http.get(f"/threads/{name}/runs", headers=bearer("ana")),
            await http.post(f"/threads/{name}/runs/wait", json=yes, headers=bearer("ana")),
        ]
        assert [r.status_code for r in theirs] == [404] * 4
        mine = await http.post(f"/threads/{name}/runs/wait", json=yes, headers=bearer("uma"))
        assert mine.json()["notes"] == ["good day", "yes"]


@pytest.mark.parametrize(
    ("path", "body"),
    [("runs/wait", {"assistant_id": "desk", "input": PLAIN, "if_not_exists": "create"}), ("history", {"limit": 10})],
)
async def test_a_slow_body_does_not_land_on_a_thread_that_became_anothers(
    http: httpx.AsyncClient, till: Till, path: str, body: dict[str, Any]
) -> None:
    """threats 31 and 43: who may was asked before the body was there."""
    thread, slow = str(uuid4()), Slow(**body)
    headers = {**bearer("ana"), "Content-Type": "application/json"}
    late = asyncio.create_task(http.post(f"/threads/{thread}/{path}", content=slow, headers=headers))
    try:
        await asyncio.wait_for(slow.sent.wait(), 30)
        await _thread(http, "uma", thread_id=thread)
        body = {"assistant_id": "desk", "input": PLAIN}
        assert (await http.post(f"/threads/{thread}/runs/wait", json=body, headers=bearer("uma"))).status_code == 200
    finally:
        slow.rest.set()
    answer = await late
    assert (answer.status_code, till.paid) == (404, [100])
    assert (await http.get(f"/threads/{thread}", headers=bearer("uma"))).status_code == 200


async def test_a_question_of_a_governed_graph_inside_a_plain_one_is_answered_by_nobody_over_http(
    system: System, till: Till
) -> None:
    """threats 29 and 43: the plain one would hand a named person's answer on as the local operator's."""
    graph = StateGraph(Desk)
    graph.add_node("desk", system.graph)
    graph.add_edge("__start__", "desk")
    served = {"outer": Served(name="outer", graph=graph.compile(), system=None)}
    async with (
        serving(served, system.home, identify=PEOPLE) as url,
        httpx.AsyncClient(base_url=url, timeout=30) as http,
    ):
        thread = await _thread(http, "eve")
        body = {"assistant_id": "outer", "input": REVIEWED}
        out = await http.post(f"/threads/{thread}/runs/wait", json=body, headers=bearer("eve"))
        [asked] = out.json()["__interrupt__"]
        for who in ("eve", "ana"):
            for resume in (APPROVE, {asked["id"]: APPROVE}):
                body = {"assistant_id": "outer", "command": {"resume": resume}}
                answer = await http.post(f"/threads/{thread}/runs/wait", json=body, headers=bearer(who))
                assert (answer.status_code, "serve that one itself" in answer.text) == (403, True)
        assert till.paid == []

"""Restarts, crashes, limits, and the wire itself."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from edgewright.contracts.errors import ProjectInvalid
from edgewright.graphs.system import System
from edgewright.server.app import create_app
from edgewright.server.project import Served
from edgewright.server.sse import Feed, answer_when
from edgewright.server.threads import Threads
from edgewright.server.view import dumps
from langgraph_sdk import get_client
from langgraph_sdk.client import LangGraphClient

from .conftest import Serve, serving
from .house import PLAIN, REVIEWED, SECRET, Till, desk, plain

APPROVE = {"decision": "approve", "reason": "fine"}


def graphs(system: System) -> dict[str, Served]:
    return {"desk": Served(name="desk", graph=system.graph, system=system), "plain": plain()}


async def test_a_waiting_thread_is_answered_after_a_restart(tmp_path: Path) -> None:
    till, answered = Till(), None
    for run in range(2):
        system = desk(tmp_path, till=till)
        async with serving(graphs(system), system.home) as url, get_client(url=url, api_key=None) as client:
            if run == 0:
                thread = (await client.threads.create(metadata={"kept": True}))["thread_id"]
                await client.runs.wait(thread, "desk", input=REVIEWED)
            else:
                (found,) = await client.threads.search(metadata={"kept": True})
                assert (found["thread_id"], found["status"]) == (thread, "interrupted")
                answered = await client.runs.wait(thread, "desk", command={"resume": APPROVE})
                assert len(await client.runs.list(thread)) == 2
    assert answered is not None
    assert till.paid == [3000]


async def test_a_thread_whose_server_died_is_not_stuck(tmp_path: Path, till: Till, serve: Serve) -> None:
    thread, run = "11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222"
    rows = Threads(tmp_path)
    await rows.create(thread, {})
    await rows.begin(run, thread, "desk", {})
    rows.close()
    system = desk(tmp_path, till=till)
    graph = system.compile(await system.home.saver())
    await graph.ainvoke(PLAIN, {"configurable": {"thread_id": thread}}, interrupt_after=["triage"])

    async with get_client(url=await serve(system), api_key=None) as client:
        assert (await client.threads.get(thread))["status"] == "interrupted"
        assert (await client.runs.get(thread, run))["status"] == "error"
        joined: Any = await client.runs.join(thread, run)
        assert joined["__error__"]["error"] == "ServerStopped"
        out: Any = await client.runs.wait(thread, "desk")  # no input: go on
        assert out["response"]
        assert till.paid == [100]
        with pytest.raises(httpx.HTTPStatusError, match="422"):
            await client.runs.wait(thread, "desk")


async def test_a_stopping_server_lets_a_run_reach_its_checkpoint(tmp_path: Path) -> None:
    till = Till()
    till.door.clear()
    system = desk(tmp_path, till=till)
    app = create_app(graphs(system), home=system.home)
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app=app), base_url="http://localhost", headers={"host": "localhost"}
    ) as raw:
        async with app.router.lifespan_context(app):
            thread = (await raw.post("/threads", json={})).json()["thread_id"]
            body = {"assistant_id": "desk", "input": PLAIN}
            waiting = asyncio.create_task(raw.post(f"/threads/{thread}/runs/wait", json=body))
            assert await asyncio.to_thread(till.inside.wait, 30)
            asyncio.get_running_loop().call_soon(till.door.set)  # once the stop below has asked it to drain
        assert (await waiting).json()["__error__"]["error"] == "GraphDrained"
        assert till.paid == [100]
        async with app.router.lifespan_context(app):
            out = (await raw.post(f"/threads/{thread}/runs/wait", json={"assistant_id": "desk"})).json()
    assert '"paid": 100' in out["response"]["text"]
    assert till.paid == [100]


def test_a_home_has_one_server(tmp_path: Path) -> None:
    first = Threads(tmp_path)
    with pytest.raises(ProjectInvalid, match="another server"):
        Threads(tmp_path)
    first.close()
    Threads(tmp_path).close()


async def test_a_run_goes_on_when_its_client_leaves(raw: httpx.AsyncClient, till: Till) -> None:
    thread = (await raw.post("/threads", json={})).json()["thread_id"]
    till.door.clear()
    body = {"assistant_id": "desk", "input": PLAIN}
    async with raw.stream("POST", f"/threads/{thread}/runs/stream", json=body) as stream:
        where = stream.headers["content-location"]
        assert await asyncio.to_thread(till.inside.wait, 30)
    till.door.set()
    assert "paid" in (await raw.get(f"{where}/join")).json()["response"]["text"]
    assert till.paid == [100]


async def test_a_full_server_says_so(serve: Serve, system: System, till: Till) -> None:
    till.door.clear()
    async with httpx.AsyncClient(base_url=await serve(system, max_runs=1), timeout=30) as raw:
        where = [f"/threads/{(await raw.post('/threads', json={})).json()['thread_id']}/runs/wait" for _ in range(2)]
        body = {"assistant_id": "desk", "input": PLAIN}
        first = asyncio.create_task(raw.post(where[0], json=body))
        assert await asyncio.to_thread(till.inside.wait, 30)
        full = await raw.post(where[1], json=body)
        assert (full.status_code, full.headers["retry-after"]) == (503, "1")
        till.door.set()
        assert (await first).status_code == 200
        assert (await raw.post(where[1], json=body)).status_code == 200


async def test_a_plain_graph_runs_streams_and_resumes(client: LangGraphClient) -> None:
    thread = (await client.threads.create())["thread_id"]
    parts = [
        p
        async for p in client.runs.stream(
            thread, "plain", input={"text": "ask me"}, stream_mode=["messages-tuple", "updates"]
        )
    ]
    assert [p.data[0]["content"] for p in parts if p.event == "messages"][:1] == ["good"]
    assert parts[-1].data["__interrupt__"][0]["value"] == {"question": "sure?"}
    out: Any = await client.runs.wait(thread, "plain", command={"resume": "yes"})
    assert out == {"text": "ask me", "notes": ["good day", "yes"]}
    assert len(await client.threads.get_history(thread)) == 4
    schemas: Any = await client.assistants.get_schemas("plain")
    assert schemas["input_schema"]["properties"]["text"]["type"] == "string"
    told: Any = await client.runs.wait(thread, "plain", input={"text": "break"}, raise_error=False)
    assert told["__error__"] == {"error": "RuntimeError", "message": "An internal error occurred"}
    assert SECRET not in repr(await client.threads.get_state(thread))


async def test_info_names_versions_and_what_is_here(raw: httpx.AsyncClient) -> None:
    info = (await raw.get("/info")).json()
    assert info["flags"]["strict_resume"] is True
    assert info["flags"]["crons"] is False
    assert set(info) == {"name", "version", "langgraph_py_version", "flags"}


async def test_a_client_that_never_sends_its_body_is_let_go(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgewright.server.wire.BODY_SECONDS", 0.01)
    host = url.removeprefix("http://")
    reader, writer = await asyncio.open_connection(*host.split(":"))
    writer.write(
        f"POST /threads HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
        "Content-Length: 100\r\n\r\n{".encode()
    )
    async with asyncio.timeout(30):
        answer = await reader.read()
    assert answer.startswith(b"HTTP/1.1 408")
    writer.close()
    await writer.wait_closed()


def test_what_json_cannot_hold_leaves_as_what_it_can() -> None:
    assert json.loads(dumps({"half": "\ud83d", "large": 2**80, "set": {1}, "bug": ValueError(SECRET)})) == {
        "half": "?",
        "large": 2**80,
        "set": [1],
        "bug": None,
    }


async def test_no_data_begins_an_event_of_its_own() -> None:
    feed = Feed()
    feed.put("values", {"text": "a\n\nevent: error\r\ndata: forged\r\u2028\u0000"})
    feed.close()
    (made,) = [piece async for piece in feed.frames()]
    assert made.splitlines()[2:] == [b""]
    assert made.count(b"\n") == 3


async def test_a_silent_stream_sends_heartbeats() -> None:
    feed = Feed(heartbeat=0.001)
    frames = feed.frames()
    assert await anext(frames) == b": heartbeat\r\n\r\n"
    feed.put("values", {})
    feed.close()
    assert [f async for f in frames if not f.startswith(b":")] == [b"event: values\r\ndata: {}\r\n\r\n"]
    done = asyncio.Event()
    answer = answer_when(done, lambda: {"ok": True}, heartbeat=0.001)
    assert await anext(answer) == b"\n"
    done.set()
    assert b"".join([piece async for piece in answer]).strip() == b'{"ok":true}'


async def test_a_client_that_does_not_read_loses_its_stream_not_the_run() -> None:
    feed = Feed(limit=1000)
    for n in range(100):
        feed.put("values", {"n": n})
    frames = [f async for f in feed.frames()]
    assert len(frames) < 100
    assert b"StreamOverrun" in frames[-1]

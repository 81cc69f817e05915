"""An integration that misbehaves on command does what it says, counts what it did, goes down and comes back."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from bench.faults import Fault, ToolServer

BOUND = 10.0


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    left = [t.name for t in threading.enumerate() if t not in before and t.name == "loopback"]
    assert left == []


@pytest.fixture
def tools() -> Iterator[ToolServer]:
    with ToolServer() as found:
        yield found


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(timeout=BOUND) as found:
        yield found


def test_a_tool_server_knows_no_faults_of_models(tools: ToolServer) -> None:
    with pytest.raises(ValueError, match="knows no fault 'refusal'"):
        tools.fault = Fault("refusal")
    assert tools.fault is None


async def _post(client: httpx.AsyncClient, tools: ToolServer, key: str = "", **options: Any) -> httpx.Response:
    headers = {"Idempotency-Key": key} if key else {}
    return await client.post(f"{tools.url}/book", json={"seats": 2}, headers=headers, **options)


async def test_an_integration_counts_what_it_did_and_does_the_same_key_once(
    tools: ToolServer, client: httpx.AsyncClient
) -> None:
    for key in ("a", "a", "b", "", ""):
        assert (await _post(client, tools, key)).json() == {"text": "book: done"}
    assert (await client.get(f"{tools.url}/look")).json() == {"text": "look: done"}
    assert [(e.path, e.key, e.body) for e in tools.effects] == [
        ("/book", k, {"seats": 2}) for k in ("a", "b", "", "")
    ]  # fmt: skip
    assert (len(tools.requests_at("book")), len(tools.requests_at("look"))) == (5, 1)
    assert len(tools.effects_at("look")) == 0


@pytest.mark.parametrize("kind", ["429", "500", "503"])
async def test_a_failing_integration_has_done_nothing_unless_it_is_told_to(
    kind: Any, tools: ToolServer, client: httpx.AsyncClient
) -> None:
    tools.command(Fault(kind, times=1, retry_after=1.5), Fault(kind, times=1, after=1, effect=True))
    assert [(await _post(client, tools)).status_code for _ in range(3)] == [int(kind), int(kind), 200]
    assert len(tools.effects) == 2


@pytest.mark.parametrize("effect", [False, True])
async def test_what_hangs_has_happened_or_not_as_it_is_told(
    effect: bool, tools: ToolServer, client: httpx.AsyncClient
) -> None:
    tools.fault = Fault("hang", effect=effect)
    call = asyncio.create_task(_post(client, tools))
    await tools.await_for(requests=1, in_flight=1)
    assert len(tools.effects) == effect
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    await tools.await_for(in_flight=0)


@pytest.mark.parametrize("fault", [Fault("slow", seconds=0.2), Fault("slow", seconds=0.2, effect=True)])
async def test_a_slow_integration_does_it_once_and_answers_late(
    fault: Fault, tools: ToolServer, client: httpx.AsyncClient
) -> None:
    tools.fault = fault
    began = time.monotonic()
    assert (await _post(client, tools)).status_code == 200
    assert time.monotonic() - began >= 0.2
    assert len(tools.effects) == 1


async def test_wrong_shape_garbage_and_a_disconnect_are_what_they_say(
    tools: ToolServer, client: httpx.AsyncClient
) -> None:
    tools.command(Fault("wrong_shape", times=1), Fault("garbage", times=1, after=1), Fault("disconnect", after=2))
    assert isinstance((await _post(client, tools)).json(), list)
    with pytest.raises(ValueError, match=r"decode|Expecting"):
        (await _post(client, tools)).json()
    with pytest.raises(httpx.RemoteProtocolError):
        await _post(client, tools)
    assert tools.effects == []


async def test_a_server_that_is_down_refuses_connections_and_comes_back_on_its_port(
    tools: ToolServer, client: httpx.AsyncClient
) -> None:
    url = tools.url
    await _post(client, tools, "a")
    for _ in range(3):
        tools.down()
        with pytest.raises(httpx.ConnectError):
            await _post(client, tools, "b")
        tools.up()
        assert tools.url == url
        await _post(client, tools, "b")
    assert [e.key for e in tools.effects] == ["a", "b"]
    assert len(tools.seen) == 4


async def test_going_down_breaks_off_what_is_under_way(tools: ToolServer, client: httpx.AsyncClient) -> None:
    tools.fault = Fault("held")
    call = asyncio.create_task(_post(client, tools))
    await tools.await_for(requests=1, in_flight=1)
    tools.down()
    with pytest.raises(httpx.RemoteProtocolError):
        await asyncio.wait_for(call, BOUND)
    await tools.await_for(in_flight=0)
    assert tools.effects == []
    tools.fault = None
    tools.up()
    assert (await _post(client, tools)).status_code == 200


async def test_it_goes_down_and_up_under_load_and_every_answer_is_an_effect(tools: ToolServer) -> None:
    answered, failed = [0], [0]
    over = threading.Event()

    def ask() -> None:
        with httpx.Client(timeout=BOUND) as client:
            while not over.is_set():
                try:
                    client.post(f"{tools.url}/book", json={}).raise_for_status()
                    answered[0] += 1
                except httpx.TransportError:
                    failed[0] += 1

    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(ask)
        try:
            for _ in range(5):
                await tools.await_for(requests=len(tools.seen) + 20)
                tools.down()
                tools.up()
        finally:
            over.set()
        asking.result(BOUND)
    assert answered[0] >= 100 - failed[0]
    assert answered[0] <= len(tools.effects) <= answered[0] + failed[0]


async def test_several_requests_use_one_connection_one_after_another(tools: ToolServer) -> None:
    async with httpx.AsyncClient(limits=httpx.Limits(max_connections=1)) as client:
        for n in range(20):
            reply = await client.post(f"{tools.url}/{n}", content=b"x" * 200_000)
            assert reply.json() == {"text": f"{n}: done"}
        assert len(tools._connections) == 1
    assert [r.body for r in tools.seen] == [None] * 20

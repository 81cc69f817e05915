"""A server over streamable HTTP: the same rules, and a connection that is nobody else's business."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import uvicorn
from edgewright.contracts.errors import ServerFailed, ServerUnreachable, ToolFailed, ToolQuarantined
from edgewright.tools.foreign.mcp import Mcp
from edgewright.tools.foreign.process import MAX_MESSAGE
from support.ledgers import WAIT
from support.mcp_server import NAMES
from support.notes import TESTS, WRITE, Notes, run

PROXIES = {"HTTP_PROXY": "http://127.0.0.1:1", "ALL_PROXY": "http://127.0.0.1:1", "NO_PROXY": ""}


@contextmanager
def serving(notes: Notes, port: str = "0") -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """The server at a URL."""
    server = subprocess.Popen(
        [sys.executable, "-m", "support.mcp_server", "http", *notes.arguments, port],
        cwd=TESTS,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert server.stdout is not None
        yield f"http://127.0.0.1:{int(server.stdout.readline())}/mcp", server
    finally:
        server.kill()
        server.communicate(timeout=WAIT)


def over_http(notes: Notes, url: str, **options: Any) -> Mcp:
    return notes.mcp(command="", args=(), cwd=None, url=url, **options)


async def test_a_server_at_a_url_is_held_to_the_same_rules(notes: Notes, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in PROXIES.items():
        monkeypatch.setenv(name, value)
    with serving(notes) as (url, _):
        mcp = over_http(notes, url)
        review = await mcp.review()
        assert {each.tool.name: each.tool.digest for each in review.tools} == notes.pins
        [echo, ask] = await mcp.tools("echo", "ask")
        assert (await run(echo, {"text": "a"})).value == {"text": ["a"]}
        for what in ("sampling", "elicitation", "roots"):
            assert (await run(ask, {"what": what})).value["text"][0].startswith("refused:")
        notes.state(change={"echo": {"_meta": {"new": 1}}})
        assert isinstance((await run(echo, {"text": "a"})).error, ToolQuarantined)
        assert notes.called == ["echo", "ask", "ask", "ask"]
        await mcp.aclose()


async def test_a_server_that_dies_or_is_restarted_at_its_url_is_noticed(notes: Notes) -> None:
    with serving(notes) as (url, _):
        mcp = over_http(notes, url, declarations=dict.fromkeys(NAMES, WRITE), timeout=5)
        [echo, die] = await mcp.tools("echo", "die")
        ran = await run(die)
        assert isinstance(ran.error, ToolFailed)
        assert ran.error.unknown
        assert isinstance((await run(echo, {"text": "a"})).error, ServerUnreachable)
    with serving(notes, url.split(":")[2].split("/")[0]):
        assert (await run(echo, {"text": "b"})).value == {"text": ["b"]}
    assert notes.called == ["die", "echo"]


async def test_a_session_that_the_server_forgot_is_opened_again(notes: Notes) -> None:
    with serving(notes) as (url, _):
        mcp = over_http(notes, url)
        [echo] = await mcp.tools("echo")
    with serving(notes, url.split(":")[2].split("/")[0]):
        assert (await run(echo, {"text": "b"})).value == {"text": ["b"]}
        await mcp.aclose()


async def test_a_url_where_nothing_answers_is_no_server(notes: Notes) -> None:
    mcp = over_http(notes, "http://127.0.0.1:1/mcp", timeout=5)
    with pytest.raises(ServerFailed, match="could not be connected"):
        await mcp.tools()


Answer = tuple[int, list[tuple[bytes, bytes]], bytes]


class Imposter:
    """Answers every request with one thing, and keeps what it was asked."""

    def __init__(self, *answers: Answer) -> None:
        self.answers, self.asked = answers, list[dict[str, Any]]()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        self.asked.append({"path": scope["path"], "headers": dict(scope["headers"])})
        status, headers, body = self.answers[min(len(self.asked), len(self.answers)) - 1]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        for at in range(0, len(body) or 1, 1 << 20):
            await send({"type": "http.response.body", "body": body[at : at + (1 << 20)], "more_body": True})
        await send({"type": "http.response.body", "body": b""})


@pytest.fixture
async def listening() -> AsyncIterator[Any]:
    """Serves an application on loopback; gives its port."""
    servers: list[tuple[uvicorn.Server, asyncio.Task[None]]] = []

    async def serve(app: Any) -> int:
        server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="critical", lifespan="off"))
        servers.append((server, asyncio.create_task(server.serve())))
        async with asyncio.timeout(WAIT):
            while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
                await asyncio.sleep(0.01)
        return int(server.servers[0].sockets[0].getsockname()[1])

    yield serve
    for server, task in servers:
        server.should_exit = True
        async with asyncio.timeout(WAIT):
            await task


JSON = [(b"content-type", b"application/json")]


@pytest.mark.parametrize(
    "answer",
    [
        (200, JSON, b"x" * (MAX_MESSAGE + 1)),
        (200, [*JSON, (b"content-encoding", b"gzip")], b"\x1f\x8b"),
        (200, [(b"content-type", b"text/html")], b"<html>"),
        (200, JSON, b'{"jsonrpc": "2.0", "id": 1, "result": {}}'),
        (200, [(b"content-type", b"text/event-stream")], b"data: " + b"x" * (MAX_MESSAGE + 1)),
        (500, JSON, b"{}"),
        (401, JSON, b"{}"),
        (202, [], b""),
    ],
    ids=["too long", "compressed", "html", "no handshake", "long event", "error", "unauthorised", "accepted"],
)
async def test_an_answer_that_is_none_is_no_server(notes: Notes, listening: Any, answer: Answer) -> None:
    imposter = Imposter(answer)
    port = await listening(imposter)
    mcp = over_http(notes, f"http://127.0.0.1:{port}/mcp", timeout=10, headers={"authorization": "Bearer hunter2"})
    with pytest.raises(ServerFailed) as caught:
        await mcp.tools()
    assert "hunter2" not in str(caught.value)
    assert imposter.asked[0]["headers"][b"authorization"] == b"Bearer hunter2"
    assert imposter.asked[0]["headers"][b"accept-encoding"] == b"identity"
    await mcp.aclose()


async def test_credentials_do_not_follow_a_redirect_to_another_origin(notes: Notes, listening: Any) -> None:
    other = Imposter((200, JSON, b"{}"))
    port = await listening(other)
    first = Imposter((307, [(b"location", f"http://127.0.0.1:{port}/mcp".encode())], b""))
    mcp = over_http(
        notes, f"http://127.0.0.1:{await listening(first)}/mcp", timeout=5, headers={"authorization": "Bearer hunter2"}
    )
    with pytest.raises(ServerFailed):
        await mcp.tools()
    assert len(first.asked) == 1
    assert other.asked == []
    await mcp.aclose()

"""A server spoken to over streamable HTTP: without proxies from the environment, and with bounded answers.

A redirect is followed on the same origin only, as the `mcp` package does it. An answer that is compressed was not asked
for, and is refused: it could be of any size.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import httpx2
from mcp.client.streamable_http import MCP_SESSION_ID, streamable_http_client

from .process import MAX_MESSAGE, Lost, Streams

_LOOPBACK = frozenset(("localhost", "127.0.0.1", "::1"))
_IDLE = 300.0


def url_faults(url: str) -> list[str]:
    """What is wrong with the URL of a server."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError as error:
        return [f"its url cannot be read: {error}"]
    if parts.scheme not in ("https", "http") or not host or parts.fragment or not url.isprintable():
        return ["its url is no plain http(s) URL"]
    faults = []
    if parts.username or parts.password:
        faults.append("its url holds credentials; give them as headers")
    if parts.scheme == "http" and host not in _LOOPBACK:
        faults.append("its url is not https, so that anybody on the way could define its tools")
    return faults


@asynccontextmanager
async def web_streams(url: str, headers: Mapping[str, str], within: float, lost: Lost) -> AsyncIterator[Streams]:
    """Open the way to a server at a URL. Nothing is asked of it yet.

    Args:
        within: seconds that connecting, and sending a request, may take.
        lost: called when the server does not know the session any more.
    """
    async with (
        httpx2.AsyncClient(
            headers={**headers, "Accept-Encoding": "identity"},
            timeout=httpx2.Timeout(within, read=_IDLE),
            trust_env=False,
            transport=_Bounded(lost),
        ) as client,
        streamable_http_client(url, http_client=client, max_sse_event_size=MAX_MESSAGE) as streams,
    ):
        yield streams


class _Bounded(httpx2.AsyncBaseTransport):
    """The network, with answers of at most `MAX_MESSAGE` bytes. Streams of events are bounded event by event."""

    def __init__(self, lost: Lost) -> None:
        self._inner, self._lost = httpx2.AsyncHTTPTransport(trust_env=False), lost

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        found = await self._inner.handle_async_request(request)
        if found.status_code == 404 and MCP_SESSION_ID in request.headers:
            self._lost("it has ended the session", "")
        if found.headers.get("content-encoding", "identity").lower() != "identity":
            await found.aclose()
            raise httpx2.StreamError("the answer is compressed, which was not asked for")
        if not found.headers.get("content-type", "").lower().startswith("text/event-stream"):
            assert isinstance(found.stream, httpx2.AsyncByteStream)
            found.stream = _Counted(found.stream)
        return found

    async def aclose(self) -> None:
        await self._inner.aclose()


class _Counted(httpx2.AsyncByteStream):
    def __init__(self, inner: httpx2.AsyncByteStream) -> None:
        self._inner = inner

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        async for chunk in self._inner:
            size += len(chunk)
            if size > MAX_MESSAGE:
                raise httpx2.StreamError(f"the answer is longer than {MAX_MESSAGE} bytes")
            yield chunk

    async def aclose(self) -> None:
        await self._inner.aclose()

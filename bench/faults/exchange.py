"""A request, and the way back: what a server on loopback reads and writes. HTTP itself is h11's."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import h11
import orjson

JSON = "application/json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request that reached a server. Header names are in lower case; `body` is the JSON of `text`, if it is any."""

    method: str
    path: str
    headers: dict[str, str]
    text: str
    body: Any


class Answering:
    """One request's way back. What is sent is with the kernel when the call returns, but for a full buffer."""

    def __init__(self, http: h11.Connection, transport: asyncio.Transport, *, keep_alive: bool) -> None:
        self._http, self._transport, self._keep_alive = http, transport, keep_alive

    def _send(self, event: h11.Event) -> None:
        if not self._transport.is_closing() and (raw := self._http.send(event)):
            self._transport.write(raw)

    def start(self, status: int, headers: dict[str, str]) -> None:
        """Send status and headers."""
        last = {} if self._keep_alive else {"Connection": "close"}
        self._send(h11.Response(status_code=status, headers=[*headers.items(), *last.items()]))

    def part(self, raw: bytes) -> None:
        """Send a piece of the body."""
        self._send(h11.Data(data=raw))

    def end(self) -> None:
        """Say that the body is complete."""
        self._send(h11.EndOfMessage())

    def whole(self, status: int, raw: bytes, *, kind: str = JSON, headers: dict[str, str] | None = None) -> None:
        """Send all of an answer."""
        self.start(status, {"Content-Type": kind, "Content-Length": str(len(raw)), **(headers or {})})
        self.part(raw)
        self.end()

    def half(self, raw: bytes) -> None:
        """Send half of a body whose length is announced in full."""
        self.start(200, {"Content-Type": JSON, "Content-Length": str(len(raw))})
        self.part(raw[: len(raw) // 2])

    def cut(self) -> None:
        """Close the connection, once what was sent has left."""
        self._transport.close()


def read_request(head: h11.Request, raw: bytes) -> Request:
    """A request of what h11 tells of it."""
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError:
        body = None
    headers = {name.decode(): value.decode() for name, value in head.headers}
    text = raw.decode(errors="replace")
    return Request(method=head.method.decode(), path=head.target.decode(), headers=headers, text=text, body=body)

"""Server-sent events: frames on their way to one client."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import Any

from .view import dumps

HEARTBEAT_SECONDS = 5.0
MAX_PENDING = 8 * 1024 * 1024


def frame(event: str, data: Any) -> bytes:
    """One event. JSON has no raw line break, so no data can begin an event of its own."""
    return b"event: " + event.encode() + b"\r\ndata: " + dumps(data) + b"\r\n\r\n"


class Feed:
    """What a run says, for the one client that started it.

    Bounded in bytes: a client that does not read loses the rest of its stream and is told so; it never holds up the
    run.
    """

    def __init__(self, *, limit: int = MAX_PENDING, heartbeat: float = HEARTBEAT_SECONDS) -> None:
        self._limit, self._heartbeat = limit, heartbeat
        self._frames: deque[bytes] = deque()
        self._pending = 0
        self._more = asyncio.Event()
        self._closed = self._left = False

    def put(self, event: str, data: Any) -> None:
        """Queue an event; never blocks."""
        if self._closed or self._left:
            return
        made = frame(event, data)
        if self._pending + len(made) > self._limit:
            made = frame("error", {"error": "StreamOverrun", "message": "this client reads too slowly; read the state"})
            self._closed = True
        self._frames.append(made)
        self._pending += len(made)
        self._more.set()

    def close(self) -> None:
        """Nothing more will come."""
        self._closed = True
        self._more.set()

    async def frames(self) -> AsyncIterator[bytes]:
        """Everything queued, as it comes, with a comment as heartbeat while nothing does."""
        try:
            while True:
                while self._frames:
                    made = self._frames.popleft()
                    self._pending -= len(made)
                    yield made
                if self._closed:
                    return
                self._more.clear()
                try:
                    async with asyncio.timeout(self._heartbeat):
                        await self._more.wait()
                except TimeoutError:
                    yield b": heartbeat\r\n\r\n"
        finally:
            self._left = True
            self._frames.clear()


async def answer_when(done: asyncio.Event, body: Any, *, heartbeat: float = HEARTBEAT_SECONDS) -> AsyncIterator[bytes]:
    """The JSON that `body()` gives once `done` is set; line breaks before it, which JSON allows, keep the line open."""
    while not done.is_set():
        try:
            async with asyncio.timeout(heartbeat):
                await done.wait()
        except TimeoutError:
            yield b"\n"
    yield dumps(body())

"""Async work for code without an event loop: on one background loop that all blocking calls of the process share."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import AsyncGenerator, Awaitable, Iterator
from contextlib import suppress
from typing import Any, TypeVar

from ..contracts.errors import BlocksItself

T = TypeVar("T")
_LOOP: asyncio.AbstractEventLoop | None = None
_LOCK = threading.Lock()
_ENDED = object()


def blocking(work: Awaitable[T]) -> T:
    """What `work` gives, or the error that it raises.

    Raises:
        BlocksItself: called on the very loop that would do the work.
    """
    global _LOOP
    with suppress(RuntimeError):
        if asyncio.get_running_loop() is _LOOP:
            if inspect.iscoroutine(work):
                work.close()
            raise BlocksItself
    with _LOCK:
        if _LOOP is None:
            _LOOP = asyncio.new_event_loop()
            threading.Thread(target=_LOOP.run_forever, name="edgewright-loop", daemon=True).start()

    async def awaited() -> T:
        return await work

    return asyncio.run_coroutine_threadsafe(awaited(), _LOOP).result()


def blocking_stream(parts: AsyncGenerator[Any, None]) -> Iterator[Any]:
    """What an async generator yields; it is closed with its reader. Raises BlocksItself."""
    try:
        while (part := blocking(anext(parts, _ENDED))) is not _ENDED:
            yield part
    finally:
        blocking(parts.aclose())

"""Async work for code without an event loop: on one background loop that all blocking calls of the process share."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")
_LOOP: asyncio.AbstractEventLoop | None = None
_LOCK = threading.Lock()


def blocking(work: Awaitable[T]) -> T:
    """What `work` gives, or the error that it raises. Never call it on that loop itself: it would wait for itself."""
    global _LOOP
    with _LOCK:
        if _LOOP is None:
            _LOOP = asyncio.new_event_loop()
            threading.Thread(target=_LOOP.run_forever, name="edgewright-loop", daemon=True).start()

    async def awaited() -> T:
        return await work

    return asyncio.run_coroutine_threadsafe(awaited(), _LOOP).result()

"""Threads for what blocks. There is always one more, so that what hangs in one keeps nobody else from working.

How many there can be is a matter of bulkheads: a thread keeps the places of the call that it works for until it is
done. They are daemons: a process must be able to end although an integration hangs.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextvars import copy_context
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from .bulkheads import stays

T = TypeVar("T")
IDLE_SECONDS = 10.0
_Task = Callable[[], None]


class Threads:
    """Threads that take work as it comes. One that found none for `idle` seconds ends."""

    def __init__(self, idle: float = IDLE_SECONDS) -> None:
        self._idle_for = idle
        self._fresh()

    def _fresh(self) -> None:
        """As new: a forked process has none of its parent's threads."""
        self._work: SimpleQueue[_Task] = SimpleQueue()
        # How many threads wait for work that nobody has given to them yet.
        self._idle = threading.Semaphore(0)

    def submit(self, work: Callable[[], T], over: Callable[[], None]) -> Future[T]:
        """Begin work. `over` is called in the end, before the result shows, whatever became of the work."""
        result: Future[T] = Future()

        def task() -> None:
            if not result.set_running_or_notify_cancel():
                over()
                return
            try:
                found = work()
            except BaseException as error:  # noqa: BLE001 - it belongs to whoever waits for the result
                over()
                result.set_exception(error)
            else:
                over()
                result.set_result(found)

        if not self._idle.acquire(blocking=False):
            try:
                threading.Thread(target=self._serve, name="edgewright-call", daemon=True).start()
            except BaseException:
                over()
                raise
        self._work.put(task)
        return result

    def _serve(self) -> None:
        while True:
            try:
                task = self._work.get(timeout=self._idle_for)
            except Empty:
                if self._idle.acquire(blocking=False):
                    return
                continue  # somebody has counted on this thread: its work is on the way
            task()
            del task  # or what it holds would live on until the next one
            self._idle.release()


THREADS = Threads()
os.register_at_fork(after_in_child=THREADS._fresh)


def begin(work: Callable[[], T]) -> Future[T]:
    """Begin work in a thread, in a copy of this context. It keeps the places of the calls that it is part of."""
    held = stays()
    for stay in held:
        stay.keep()

    def over() -> None:
        for stay in reversed(held):
            stay.leave()

    return THREADS.submit(partial(copy_context().run, _plain, work), over)


async def in_thread(work: Callable[[], T]) -> T:
    """`asyncio.to_thread`, in a thread that no hung call can keep from starting."""
    return await asyncio.wrap_future(begin(work))


def _plain(work: Callable[[], Any]) -> Any:
    """A function's result. A StopIteration cannot be raised into a future: whoever waits would wait for ever."""
    try:
        return work()
    except StopIteration as error:
        raise RuntimeError("it raised StopIteration") from error

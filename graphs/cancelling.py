"""A run whose driver was stopped: by a cancellation, a reader that left, a server that stops. It is recorded as such.

LangGraph cancels the nodes of a run for several reasons, one being that a node beside them failed; so it is whoever
drives the whole run, and is itself cancelled, who knows that it was.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any, Literal

from langgraph.errors import GraphBubbleUp, GraphDrained

from ..contracts.errors import LedgerUnavailable
from ..ledger.entry import Draft
from ..ledger.records import RunDrained
from ..ledger.store import Ledger
from ..tools.run import Run
from .runs import Runs

How = Literal["cancelled", "drained", "failed"]
CANCELLED, LEFT = "whoever drove it stopped it", "whoever read its stream left"


class StopsRecorded:
    """While this is entered, a stop of whoever drives a thread is recorded on its way out. Enter it under the hold."""

    def __init__(self, runs: Runs, thread: str) -> None:
        self._runs, self._thread = runs, thread

    async def __aenter__(self) -> None:
        """See the class."""

    async def __aexit__(self, kind: Any, stop: BaseException | None, trace: Any) -> None:
        """See the class."""
        how = how_of(stop)
        if not self._thread or stop is None or how is None:
            return
        # What cannot be recorded is as after a crash; the stop itself must not be lost for it.
        with suppress(LedgerUnavailable):
            await record_stop(self._runs, await self._runs._home.ledger(), self._thread, how, reason=why(stop))


def how_of(stop: BaseException | None) -> How | None:
    """How a run ended that was stopped by this, where none of its nodes could record it; None where that is no end."""
    match stop:
        case GraphDrained():
            return "drained"
        case asyncio.CancelledError() | GeneratorExit():
            return "cancelled"
        case GraphBubbleUp():
            return None
        case Exception():  # between its nodes: LangGraph's own bound of steps, a checkpoint that cannot be written
            return "failed"
        case _:
            return None


def why(stop: BaseException) -> str:
    """Why a run was stopped: what `task.cancel(...)` was given, where it was given a reason."""
    if isinstance(stop, GraphDrained):
        return stop.reason
    if isinstance(stop, Exception):
        return f"{type(stop).__name__}: raised between two of its nodes"  # what it says may quote anything
    if isinstance(stop, GeneratorExit):
        return LEFT
    said = stop.args[0] if stop.args else ""
    return said if isinstance(said, str) and said.strip() else CANCELLED


async def record_stop(runs: Runs, ledger: Ledger, thread: str, how: How, *, reason: str) -> str:
    """Record that the run which a thread was at was stopped; returns its id, or "" where none was under way.

    Nothing is recorded of a run that waits for a person, for it can be answered as before, nor of one that ended, or
    whose stop is on record: so who drives a run and who asked for the stop may both call this.

    Args:
        thread: held by whoever calls this, so that nobody drives the run any more.

    Raises:
        LedgerUnavailable: it could not be recorded; the run is `running` on the ledger, as after a crash.
    """
    newest = await asyncio.to_thread(ledger.runs, thread=thread, limit=1)
    if not newest or newest[0].status != "running" or not await runs.own(newest[0].run):
        return ""
    run = newest[0].run
    grounds = await runs.began(run)
    assert grounds is not None
    over = Run.over(grounds, ledger, await asyncio.to_thread(ledger.entries, run))
    if how != "drained":
        await runs.end(over, how, reason=reason)
        return run
    try:
        await over.write(Draft(record=RunDrained(reason=reason, spent=over.spent.as_json())))
    finally:
        runs.let_go(run)
    return run

"""Runs of the API: each starts in its request, as a task that outlives the connection. There is no queue."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

from fastapi import HTTPException
from langchain_core.runnables import RunnableConfig
from langgraph.errors import GraphDrained
from langgraph.graph.state import CompiledStateGraph
from langgraph.runtime import RunControl
from langgraph.types import Command, Interrupt, StateSnapshot

from ..contracts.edge import START
from ..contracts.errors import ReviewerRefused, ThreadBusy, ThreadWaiting
from ..contracts.review import DEVELOPMENT, ReviewAnswer, Reviewer
from ..graphs.cancelling import How, record_stop, why
from ..graphs.home import Home
from ..graphs.runs import started_by
from ..graphs.state import REQUEST, RUN
from ..graphs.system import System
from ..ledger.store import RunSummary
from ..tools import signing
from . import view
from .answers import addressed, questions
from .assistants import assistant_id
from .project import Served
from .sse import Feed
from .threads import Threads
from .wire import WaitBody, refused

MODES = {"messages-tuple": "messages"}
STOPS = "the server stops"
_OTHERS = ("ai", "assistant", "system", "developer", "tool", "function", "remove")
log = logging.getLogger("edgewright.server")


@dataclass(slots=True, kw_only=True, eq=False)
class Live:
    """A run in this process. `outcome` is what `/wait` answers, once `done` is set."""

    id: str
    thread: str
    feed: Feed | None = None
    control: RunControl = field(default_factory=RunControl)
    done: asyncio.Event = field(default_factory=asyncio.Event)
    outcome: Any = None
    task: asyncio.Task[None] | None = None
    ending: bool = False
    held: ExitStack = field(default_factory=ExitStack)
    by: Reviewer | None = None


class Dispatcher:
    """Starts runs, one at a time per thread.

    Args:
        threads: the table of threads and runs.
        home: keeps the checkpoints of plain graphs; a governed graph's are in its system's home.
        environment: of plain graphs; a governed graph has its system's.
        max_runs: at most so many at once.
    """

    def __init__(self, threads: Threads, home: Home, *, environment: str, max_runs: int) -> None:
        self._threads, self._home, self._max = threads, home, max_runs
        self._environment = environment
        self._live: dict[str, Live] = {}

    def live(self, thread: str) -> Live | None:
        """The thread's run in this process."""
        return self._live.get(thread)

    async def graph(self, served: Served) -> CompiledStateGraph[Any, Any, Any, Any]:
        """The graph on its home's checkpoints."""
        home = served.system.home if served.system else self._home
        return served.graph.copy({"checkpointer": await home.saver()})

    async def state(self, served: Served, thread: str) -> StateSnapshot:
        """The newest state of a thread."""
        return await (await self.graph(served)).aget_state(_on(thread))

    async def start(
        self,
        thread: str,
        served: Served,
        body: WaitBody,
        modes: Sequence[str] = (),
        *,
        by: Reviewer | None = None,
        admitted: Callable[[], Awaitable[None]] | None = None,
    ) -> Live:
        """Start a run; with modes, its stream is in the run's feed.

        Args:
            by: who asks for it, as the server's authentication knows them.
            admitted: asked once the thread is held, before anything else; what it raises refuses the run.

        Raises:
            NotFound, ThreadBusy, ContractViolation, ReviewInvalid: nothing was started.
            HTTPException: 403 for an answer of somebody who may not give it, 422 naming the field, 503 when full.
        """
        if thread in self._live:
            raise ThreadBusy(thread=thread)
        if len(self._live) >= self._max:
            raise HTTPException(503, f"{self._max} runs are in flight, which is the limit", {"Retry-After": "1"})
        run = Live(id=str(uuid4()), thread=thread, feed=Feed() if modes else None, by=by)
        self._live[thread] = run  # before anything is awaited: a second request finds it
        try:
            if served.system is not None:
                run.held.enter_context(served.system.hold(thread))
            if admitted is not None:
                await admitted()
            given = await self._given(thread, served, body, by)
            await self._threads.begin(run.id, thread, served.name, body.metadata or {})
            if run.feed:
                run.feed.put("metadata", {"run_id": run.id, "attempt": 1})
        except BaseException:
            self._free(run)
            raise
        run.task = asyncio.create_task(self._drive(run, served, given, modes or ("values",)), name=f"run {run.id}")
        run.task.add_done_callback(lambda _: self._let_go(run))
        return run

    async def _given(self, thread: str, served: Served, body: WaitBody, by: Reviewer | None) -> Any:
        """What to give the graph: a request, answers, or None to go on."""
        known = await self._threads.get(thread)
        if known.graph not in ("", served.name):
            raise refused("assistant_id", f"this thread belongs to {known.graph!r}")
        configured = body.config.configurable if body.config else None
        if configured and configured.thread_id not in (None, thread):
            raise refused("config.configurable.thread_id", "must be the thread in the path")
        if body.command is not None:
            if body.input is not None:
                raise refused("input", "cannot be given together with command")
            if body.command.resume is None:
                raise refused("command.resume", "is missing; a command can do nothing else")
            if by is None:
                self._refuse_unnamed(served)
            found = (await self.state(served, thread)).interrupts
            if by is not None and served.system is None and any(_is_governed(i) for i in found):
                raise HTTPException(403, "a governed graph inside a plain one asks; serve that one itself to answer it")
            answers = addressed(found, body.command.resume, governed=served.system is not None)
            if served.system is not None:
                answers = await _signed(served.system, thread, found, answers, by)
            return Command(resume=answers)
        snapshot = await self.state(served, thread)
        if body.input is not None:
            over = served.system is not None and await served.system._runs.over(str(snapshot.values.get(RUN, "")))
            if snapshot.interrupts and not over:
                raise ThreadWaiting(thread=thread, open=[i.id for i in snapshot.interrupts])
            return _request(served, body.input)
        if snapshot.interrupts and not _expired(served, snapshot):
            raise refused("command.resume", "is missing; the thread waits for an answer")
        if snapshot.next:
            return None
        if served.system is not None:  # a crash may have come before the first checkpoint: then the ledger has it
            cut_off = await served.system._runs.cut_off(thread, known=str(snapshot.values.get(RUN, "")))
            if cut_off is not None:
                return {REQUEST: cut_off[2]}
        raise refused("input", "is missing, and the thread has nothing to go on with")

    async def newest(self, served: Served | None, thread: str) -> RunSummary | None:
        """The newest run of a governed graph on a thread; None before its first one."""
        if served is None or served.system is None:
            return None
        ledger = await served.system.home.ledger()
        found = await asyncio.to_thread(ledger.runs, thread=thread, limit=1)
        return found[0] if found and found[0].system.partition("@")[0] == served.system.name else None

    def cancel(self, run: Live, reason: str) -> None:
        """Cancel a run where it is. Not one that is ending: that its end is on record matters more."""
        if run.task is not None and not run.ending:
            run.task.cancel(reason)

    def _refuse_unnamed(self, served: Served) -> None:
        environment = served.system.standing.environment if served.system else self._environment
        if environment != DEVELOPMENT:
            raise HTTPException(
                403,
                f"answers without a name are taken in the environment {DEVELOPMENT!r} only; this is {environment!r}",
            )

    async def _drive(self, run: Live, served: Served, given: Any, modes: Sequence[str]) -> None:
        error: BaseException | None = None
        status = "success"
        try:
            graph = await self.graph(served)
            notes = {"graph_id": served.name, "assistant_id": assistant_id(served.name)}
            config = RunnableConfig(**_on(run.thread), run_id=UUID(run.id), metadata=notes)
            wanted: list[Any] = [MODES.get(m, m) for m in modes]
            with started_by(run.by):
                async for mode, chunk in graph.astream(
                    given,
                    config,
                    stream_mode=wanted,
                    output_keys=graph.output_channels,
                    durability="sync",
                    control=run.control,
                ):
                    if run.feed:
                        run.feed.put(*view.part(served, mode, chunk))
            run.outcome = view.final(served, await graph.aget_state(_on(run.thread)))
        except (asyncio.CancelledError, GraphDrained) as stop:
            status, error = "interrupted", stop
        except Exception as fault:  # noqa: BLE001 - a run's failure is its outcome
            status, error = "error", fault
        await self._ended(run, served, status, error)

    async def _ended(self, run: Live, served: Served, status: str, error: BaseException | None) -> None:
        run.ending = True
        try:
            told = None
            await self._record_stop(run, served, error)
            if error is not None:
                # The ledger has a governed run's reason; a message may quote what no log should hold.
                trace = error if served.system is None else None
                log.error("run %s on thread %s: %s", run.id, run.thread, type(error).__name__, exc_info=trace)
                told = view.failure(error, await self._governed_run(served, run.thread))
                run.outcome = {"__error__": told}
                if run.feed:
                    run.feed.put("error", told)
            await self._threads.end(run.id, run.thread, status, told)
        except Exception:
            log.exception("run %s on thread %s: its end could not be recorded", run.id, run.thread)
            run.outcome = run.outcome or {"__error__": view.failure(RuntimeError())}
        finally:
            self._let_go(run)

    def _let_go(self, run: Live) -> None:
        """Free first, then tell: who hears of the end may start the next run at once. Once, however its task ended."""
        if run.done.is_set():
            return
        self._free(run)
        if run.feed:
            run.feed.close()
        run.done.set()

    async def _record_stop(self, run: Live, served: Served, error: BaseException | None) -> None:
        """Have the ledger know that a governed run was cancelled or drained; its thread is held still."""
        if served.system is None or not isinstance(error, asyncio.CancelledError | GraphDrained):
            return
        how: How = "drained" if isinstance(error, GraphDrained) else "cancelled"
        ledger = await served.system.home.ledger()
        await record_stop(served.system._runs, ledger, run.thread, how, reason=why(error))

    def _free(self, run: Live) -> None:
        run.held.close()
        del self._live[run.thread]

    async def _governed_run(self, served: Served, thread: str) -> str:
        if served.system is None:
            return ""
        return str((await self.state(served, thread)).values.get(RUN, ""))

    async def stop(self, seconds: float) -> None:
        """Let runs reach their next checkpoint and stop there; after `seconds`, cancel what has not."""
        runs = list(self._live.values())
        for run in runs:
            run.control.request_drain(STOPS)
        tasks = [run.task for run in runs if run.task]
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=seconds)
            for run in runs:
                self.cancel(run, STOPS)
            await asyncio.gather(*late, return_exceptions=True)


def _is_governed(found: Interrupt) -> bool:
    """Whether a governed graph inside a plain one asks: its requests name what an answer is bound to."""
    return isinstance(found.value, Mapping) and {"binding", "rules"} <= set(found.value)


def _on(thread: str) -> RunnableConfig:
    return {"configurable": {"thread_id": thread}}


async def _signed(
    system: System, thread: str, found: Sequence[Interrupt], answers: Mapping[str, Any], by: Reviewer | None
) -> dict[str, Any]:
    """Answers by interrupt id, signed for whoever gives them. Raises ReviewInvalid, NotFound, HTTPException."""
    asked = questions(found)
    said = {asked[i].id: ReviewAnswer.model_validate(given) for i, given in answers.items()}
    try:
        signed = await system.answering(thread, list(asked.values()), said, reviewer=by)
    except ReviewerRefused as refusal:
        raise HTTPException(403, view.problem(refusal)) from None
    return {i: signed[asked[i].id].model_dump(mode="json") for i in answers}


def _expired(served: Served, snapshot: StateSnapshot) -> bool:
    """Whether nobody answered in time, so that the run goes on with a no."""
    if served.system is None:
        return False
    return any(0 < r.expires < signing.now() for r in questions(snapshot.interrupts).values())


def _request(served: Served, given: Any) -> Any:
    """A client's input as the graph's. Raises ContractViolation, HTTPException."""
    if served.system is None:
        if fault := _foreign(given):
            raise refused("input", fault)
        return given
    if not isinstance(given, dict) or set(given) != {REQUEST}:
        raise refused("input", f"must be an object with the one key {REQUEST!r}")
    system = served.system
    system.entry.check(given[REQUEST], received={}, edge=f"{START}→{system.name}")
    return {REQUEST: given[REQUEST]}


def _foreign(given: Any) -> str:
    """What a client may not put into a plain graph's state: constructors, and words that are not the user's."""
    if isinstance(given, dict):
        if "lc" in given:
            return "holds a serialised object ('lc')"
        role = given.get("role", given.get("type", "user"))
        if "content" in given and role not in ("user", "human"):
            return "holds a message that is not the user's"
    if isinstance(given, list) and len(given) == 2 and given[0] in _OTHERS:
        return "holds a message that is not the user's"
    children = given.values() if isinstance(given, dict) else given if isinstance(given, list) else ()
    return next((fault for child in children if (fault := _foreign(child))), "")

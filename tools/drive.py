"""Two drivers for the gate: one in an event loop, one that blocks. They do the I/O the gate asks for."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, TypeVar, assert_never

import orjson
from langgraph.errors import GraphBubbleUp, GraphInterrupt
from langgraph.types import interrupt

from ..contracts.errors import LedgerCorrupt, RecordBusy
from ..contracts.review import ReviewAnswer, ReviewRequest
from ..ledger.shared import TURNS, shared_of
from . import signing
from .function import CONTEXT, Reading, as_json
from .gate import gate
from .run import Run, ToolContext
from .steps import AskPerson, Call, Counted, Execute, Load, Look, LookUp, Note, Probe, Step, Take, Write

A = TypeVar("A", bound=ReviewAnswer)


@dataclass(frozen=True, slots=True, kw_only=True)
class Functions:
    """What a tool's author wrote: the function and what helps it. Held by the sealed handle alone."""

    main: Callable[..., Any]
    facts: Callable[..., Any] | None = None
    probe: Callable[..., Any] | None = None
    compensate: Callable[..., Any] | None = None


@lru_cache(maxsize=1024)
def _wanted(function: Callable[..., Any]) -> frozenset[str]:
    return frozenset(inspect.signature(function).parameters)


def arguments_for(
    function: Callable[..., Any], reading: Reading, given: Mapping[str, Any], ctx: ToolContext
) -> dict[str, Any]:
    """The arguments that `function` names, as Python values, with the context where it wants it."""
    wanted = _wanted(function)
    found = {k: v for k, v in reading.python(given).items() if k in wanted}
    if CONTEXT in wanted:
        found[CONTEXT] = ctx
    return found


def _asked(request: ReviewRequest) -> ReviewAnswer | None:
    return ask(request, ReviewAnswer)


def ask(request: ReviewRequest, schema: type[A]) -> A | None:
    """A person's answer, as it was given to LangGraph. Interrupts the graph until there is one.

    Returns:
        None where nobody answered before the review expired.
    """
    try:
        return interrupt(request.model_dump(mode="json"), response_schema=schema)
    except GraphInterrupt:
        if not 0 < request.expires < signing.now():
            raise
        return None


def _loaded(call: Call, digest: str) -> Any:
    run = call.activation.run
    body = run.ledger.exact(run.grounds.run, digest)
    if body is None:
        raise LedgerCorrupt(run=run.grounds.run, seq=-1, fault=f"payload {digest} is gone")
    return orjson.loads(body)


def _plain(function: Callable[..., Any], arguments: Mapping[str, Any]) -> Any:
    """A plain function's result. A StopIteration cannot be raised into a future: whoever waits would wait for ever."""
    try:
        return function(**arguments)
    except StopIteration as error:
        raise RuntimeError("it raised StopIteration") from error


async def called(function: Callable[..., Any], arguments: Mapping[str, Any], seconds: float) -> Any:
    """Call a function, async or not, for so many seconds at most. Raises TimeoutError."""
    if inspect.iscoroutinefunction(function):
        made = function(**arguments)
    else:
        made = asyncio.to_thread(_plain, function, arguments)
    async with asyncio.timeout(seconds):
        return await made


async def on_ledger(run: Run, step: Note | Write | Look | Counted | Take) -> Any:
    """Do a step that is about the ledger alone."""
    match step:
        case Note(drafts=drafts):
            return run.note(*drafts)
        case Write(drafts=drafts):
            return await run.write(*drafts)
        case Look(record=record):
            return await asyncio.to_thread(shared_of(run.ledger).look, record)
        case Counted(key=key, since=since):
            return await asyncio.to_thread(run.ledger.counted, key, since)
        case Take(drafts=drafts, record=record, wait=wait):
            return await TURNS.take(record, partial(run.write, *drafts), wait=wait, busy=RecordBusy)


async def drive(call: Call, functions: Functions) -> Any:
    """Pass a call through the gate, in an event loop. Raises what `gate` raises, and GraphInterrupt for an Ask."""
    steps, ctx = gate(call), ToolContext(call.activation, call.at)

    async def calling(function: Callable[..., Any], given: Mapping[str, Any]) -> Any:
        return await called(function, arguments_for(function, call.reading, given, ctx), call.spec.timeout)

    async def do(step: Step) -> Any:
        match step:
            case Note() | Write() | Look() | Counted() | Take():
                return await on_ledger(call.activation.run, step)
            case LookUp(arguments=given):
                assert functions.facts is not None
                return as_json(await calling(functions.facts, given))
            case Load(digest=digest):
                return await asyncio.to_thread(_loaded, call, digest)
            case AskPerson(request=request):
                return _asked(request)
            case Execute(arguments=given):
                return as_json(await calling(functions.main, given))
            case Probe(arguments=given):
                assert functions.probe is not None
                found = await calling(functions.probe, given)
                return None if found is None else as_json(found)
            case _:
                assert_never(step)

    if (task := asyncio.current_task()) is None or task in call.activation.out:
        return await stepped(steps, do)
    call.activation.out.add(task)
    try:
        return await stepped(steps, do)
    finally:
        call.activation.out.discard(task)


async def stepped(steps: Any, do: Callable[[Any], Any]) -> Any:
    """Take the steps of a generator one by one; returns what it returns."""
    try:
        step = next(steps)
        while True:
            try:
                answer = await do(step)
            except GraphBubbleUp:
                raise
            except Exception as error:  # noqa: BLE001 - the gate decides what an error means
                step = steps.throw(error)
            else:
                step = steps.send(answer)
    except StopIteration as stop:
        return stop.value
    finally:
        steps.close()


def drive_blocking(call: Call, functions: Functions) -> Any:
    """`drive` for code outside an event loop. An async tool gets an event loop of its own, in a thread."""
    steps, ctx = gate(call), ToolContext(call.activation, call.at)

    def calling(function: Callable[..., Any], given: Mapping[str, Any]) -> Any:
        arguments = arguments_for(function, call.reading, given, ctx)

        def work() -> Any:
            made = function(**arguments)
            return asyncio.run(made) if inspect.iscoroutine(made) else made

        # A pool per call, not waited for: a function that hangs past its timeout must not hold its caller.
        pool = ThreadPoolExecutor(1, thread_name_prefix="edgewright-tool")
        try:
            return pool.submit(partial(copy_context().run, work)).result(call.spec.timeout)
        finally:
            pool.shutdown(wait=False)

    def do(step: Step) -> Any:
        match step:
            case Note(drafts=drafts):
                return call.activation.run.note(*drafts)
            case Write(drafts=drafts):
                return call.activation.run.write_blocking(*drafts)
            case Look(record=record):
                return shared_of(call.activation.run.ledger).look(record)
            case Counted(key=key, since=since):
                return call.activation.run.ledger.counted(key, since)
            case Take(drafts=drafts, record=record, wait=wait):
                taking = partial(call.activation.run.write_blocking, *drafts)
                return TURNS.take_blocking(record, taking, wait=wait, busy=RecordBusy)
            case LookUp(arguments=given):
                assert functions.facts is not None
                return as_json(calling(functions.facts, given))
            case Load(digest=digest):
                return _loaded(call, digest)
            case AskPerson(request=request):
                return _asked(request)
            case Execute(arguments=given):
                return as_json(calling(functions.main, given))
            case Probe(arguments=given):
                assert functions.probe is not None
                found = calling(functions.probe, given)
                return None if found is None else as_json(found)
            case _:
                assert_never(step)

    try:
        step = next(steps)
        while True:
            try:
                answer = do(step)
            except GraphBubbleUp:
                raise
            except Exception as error:  # noqa: BLE001 - the gate decides what an error means
                step = steps.throw(error)
            else:
                step = steps.send(answer)
    except StopIteration as stop:
        return stop.value
    finally:
        steps.close()

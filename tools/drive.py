"""Two drivers for the gate: one in an event loop, one that blocks. They do the I/O the gate asks for."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, TypeVar, assert_never

import orjson
from langgraph.errors import GraphBubbleUp, GraphInterrupt
from langgraph.types import interrupt

from ..contracts.errors import LedgerCorrupt, RecordBusy, ToolFailed
from ..contracts.review import ReviewAnswer, ReviewRequest
from ..ledger.shared import TURNS, shared_of
from . import signing
from .containing import Calling, at_work
from .function import CONTEXT, Reading
from .gate import gate
from .reserving import written, written_blocking
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
    transient: tuple[type[Exception], ...] = ()


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


def _calling(
    call: Call, functions: Functions, step: Execute | LookUp | Probe, *, intended: bool
) -> tuple[Calling, Callable[..., Any]]:
    """The call that a step asks for, and the function that it is of. `intended`: it was, before the gate began."""
    match step:
        case Execute(again=again):
            return Calling(call=call, transient=functions.transient, again=again or intended), functions.main
        case LookUp():
            assert functions.facts is not None
            return Calling(call=call, part="facts", transient=functions.transient), functions.facts
        case Probe():
            assert functions.probe is not None
            return Calling(call=call, part="probe", transient=functions.transient), functions.probe


def _refuse_at_work(call: Call, step: Execute | LookUp | Probe) -> None:
    """An earlier try hangs in a thread, and may yet do what a probe does not see, or a person wants repeated."""
    repeats = isinstance(step, Probe) or (isinstance(step, Execute) and not call.spec.repeatable)
    if repeats and at_work(call):
        fault = "an earlier call of it is still at work in this process; once it has ended, go on with the run"
        raise ToolFailed(tool=call.spec.name, error=fault, unknown=True)


async def on_ledger(run: Run, step: Note | Write | Look | Counted | Take) -> Any:
    """Do a step that is about the ledger alone."""
    match step:
        case Note(drafts=drafts):
            return run.note(*drafts)
        case Write(drafts=drafts, shared=True, run=other):
            return await written(other or run, *drafts)
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
    intended = f"intent:{call.at}" in call.activation.run.journal

    async def calling(step: Execute | LookUp | Probe) -> Any:
        _refuse_at_work(call, step)
        made, function = _calling(call, functions, step, intended=intended)
        return await made.made(function, arguments_for(function, call.reading, step.arguments, ctx))

    async def do(step: Step) -> Any:
        match step:
            case Note() | Write() | Look() | Counted() | Take():
                return await on_ledger(call.activation.run, step)
            case Execute() | LookUp() | Probe():
                return await calling(step)
            case Load(digest=digest):
                return await asyncio.to_thread(_loaded, call, digest)
            case AskPerson(request=request):
                return _asked(request)
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
    intended = f"intent:{call.at}" in call.activation.run.journal

    def calling(step: Execute | LookUp | Probe) -> Any:
        _refuse_at_work(call, step)
        made, function = _calling(call, functions, step, intended=intended)
        return made.made_blocking(function, arguments_for(function, call.reading, step.arguments, ctx))

    def do(step: Step) -> Any:
        match step:
            case Note(drafts=drafts):
                return call.activation.run.note(*drafts)
            case Write(drafts=drafts, shared=True, run=other):
                return written_blocking(other or call.activation.run, *drafts)
            case Write(drafts=drafts):
                return call.activation.run.write_blocking(*drafts)
            case Look(record=record):
                return shared_of(call.activation.run.ledger).look(record)
            case Counted(key=key, since=since):
                return call.activation.run.ledger.counted(key, since)
            case Take(drafts=drafts, record=record, wait=wait):
                taking = partial(call.activation.run.write_blocking, *drafts)
                return TURNS.take_blocking(record, taking, wait=wait, busy=RecordBusy)
            case Execute() | LookUp() | Probe():
                return calling(step)
            case Load(digest=digest):
                return _loaded(call, digest)
            case AskPerson(request=request):
                return _asked(request)
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

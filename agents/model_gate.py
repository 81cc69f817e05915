"""The model gate: no model call without a reservation, whatever made it.

One callback handler, registered with LangChain's configure hook, sees every model call of the process: sync and
async, in thread pools, with explicit empty callbacks, in summarisers and nested graphs (measured; middleware sees
about half of them). It is synchronous and inline, because a denial by an async handler is swallowed in a sync call,
and it never blocks an event loop: it counts in memory and queues its record.
"""

from __future__ import annotations

import asyncio
import inspect
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures.thread import _worker  # what the threads of a pool run; no public way to tell them
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from types import FrameType
from typing import Any
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import BaseMessage
from langchain_core.outputs import LLMResult
from langchain_core.runnables.config import var_child_runnable_config
from langchain_core.tracers.context import register_configure_hook

from ..contracts.budget import Amounts
from ..contracts.errors import BudgetExceeded, CostUnknown, LimitReached, ModelOutsideRun
from ..ledger.entry import Draft
from ..ledger.records import ModelFailed, ModelRefused, ModelReserved, ModelSettled
from ..tools.position import GOVERNED, NS
from ..tools.reserving import (
    Reservation,
    counts_of,
    noted,
    refused,
    release,
    reserve,
    secured,
    secured_blocking,
    settle,
    written,
    written_blocking,
)
from ..tools.run import Activation, active, in_flight
from .bounds import text_bound
from .prices import Pricing
from .reckoning import bound_of_chat, bounded, call_ids, is_unbilled, model_name, used_by

_UNGOVERNED: ContextVar[bool] = ContextVar("edgewright_ungoverned", default=False)
# Whether the chain around this began in a bare thread: what it calls carries a LangChain call, but still no run.
_BEGAN_BARE: ContextVar[bool] = ContextVar("edgewright_began_bare", default=False)


@contextmanager
def ungoverned() -> Iterator[None]:
    """Say that model calls in here belong to no run. Only needed in bare threads, while governed runs are in flight."""
    token = _UNGOVERNED.set(True)
    try:
        yield
    finally:
        _UNGOVERNED.reset(token)


@dataclass(slots=True, kw_only=True)
class _Open:
    """A call that is out. `bounded` are the units whose reservation is a bound; `streaming` once a token came."""

    made: Reservation
    model: str
    ns: str
    price: Pricing | None
    bounded: frozenset[str]
    began: float = field(default_factory=time.perf_counter)
    streaming: bool = False

    @property
    def activation(self) -> Activation:
        return self.made.activation


class ModelGate(BaseCallbackHandler):
    """See the module. One instance serves the process; runs are told apart by context."""

    raise_error = True
    run_inline = True
    ignore_agent = True
    ignore_retriever = True
    ignore_retry = True
    ignore_custom_event = True

    def __init__(self) -> None:
        self._open: dict[UUID, _Open] = {}

    # -- where we are --------------------------------------------------------------------------------------------

    def on_chain_start(
        self,
        serialized: Any,
        inputs: Any,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        tags: Any = None,
        metadata: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Follow LangGraph's nodes, for positions; and know the chains that begin in bare threads."""
        activation = active()
        if activation is not None and metadata:
            activation.run.positions.enter(metadata, run_id, parent_run_id)
        elif activation is None and parent_run_id is None and _is_bare():
            _BEGAN_BARE.set(True)

    # -- before the call -----------------------------------------------------------------------------------------

    # LangChain looks a handler's method up for each event. Its asynchronous managers await a coroutine function, so a
    # reservation in a shared budget can wait there without blocking the loop; the others would swallow the error of
    # one. Should a manager not be recognised some day, the reservation blocks, and still holds.

    @property
    def on_chat_model_start(self) -> Callable[..., Any]:
        """Reserve, or refuse by raising."""
        return self._chat_awaited if _is_awaited(sys._getframe(1)) else self._chat

    @property
    def on_llm_start(self) -> Callable[..., Any]:
        """`on_chat_model_start` for plain text models."""
        return self._text_awaited if _is_awaited(sys._getframe(1)) else self._text

    def _chat(self, _: Any, messages: list[list[BaseMessage]], *, run_id: UUID, **told: Any) -> None:
        self._blocking(run_id, told, bound_of_chat(told, messages), len(messages))

    async def _chat_awaited(self, _: Any, messages: list[list[BaseMessage]], *, run_id: UUID, **told: Any) -> None:
        await self._awaiting(run_id, told, bound_of_chat(told, messages), len(messages))

    def _text(self, _: Any, prompts: list[str], *, run_id: UUID, **told: Any) -> None:
        self._blocking(run_id, told, text_bound(prompts), len(prompts))

    async def _text_awaited(self, _: Any, prompts: list[str], *, run_id: UUID, **told: Any) -> None:
        await self._awaiting(run_id, told, text_bound(prompts), len(prompts))

    def _blocking(self, run_id: UUID, told: Mapping[str, Any], bound: int | None, calls: int) -> None:
        with _siblings_closed():
            opened = self._begun(run_id, told, bound, calls)
            if opened is None:
                return
            run, draft = opened.activation.run, _reserved(opened)
            try:
                secured_blocking(opened.made)
                if draft.counts or not _in_event_loop():
                    written_blocking(run, draft)
                else:  # a loop is not kept waiting for a disk
                    run.note(draft)
            except BaseException as error:
                raise self._not_begun(run_id, error) from error

    async def _awaiting(self, run_id: UUID, told: Mapping[str, Any], bound: int | None, calls: int) -> None:
        with _siblings_closed():
            opened = self._begun(run_id, told, bound, calls)
            if opened is None:
                return
            run, draft = opened.activation.run, _reserved(opened)
            try:
                await secured(opened.made)
                await written(run, draft)  # before the call: after a crash a request may have been made
            except BaseException as error:
                raise self._not_begun(run_id, error) from error

    def _begun(self, run_id: UUID, told: Mapping[str, Any], bound: int | None, calls: int) -> _Open | None:
        """Reserve in memory; None for a call that belongs to no run. Raises BudgetExceeded, CostUnknown."""
        metadata, params = told.get("metadata") or {}, told.get("invocation_params") or {}
        activation, model = active(), model_name(metadata, params)
        if activation is None:
            _refuse_strays(model, metadata)
            return None
        run = activation.run
        ns = str(metadata.get(NS) or activation.ns)
        at = run.positions.path(ns)
        try:
            price, amounts, known = bounded(activation, model, params, bound, calls)
            made = reserve(activation, amounts, call=str(run_id), at=at)
        except (BudgetExceeded, CostUnknown) as error:
            _note_refusal(activation, at, model, error)
            raise
        opened = self._open[run_id] = _Open(made=made, model=model, ns=ns, price=price, bounded=known)
        run.abandon[run_id] = lambda: self._abandoned(run_id)
        return opened

    def _not_begun(self, run_id: UUID, error: BaseException) -> BaseException:
        """What becomes of a reservation whose record could not be written, or not be waited for."""
        opened = self._closed(run_id)
        if opened is None:
            return error
        activation = opened.activation
        if isinstance(error, LimitReached):
            told = refused(opened.made, error)
            _note_refusal(activation, opened.made.at, opened.model, told)
            return told
        # It may be durable, or become so: what is queued behind it gives it back.
        back = release(opened.made)
        record = ModelFailed(
            at=opened.made.at,
            call=opened.made.call,
            agent=activation.agent,
            model=opened.model,
            used={},
            error=f"it was not made: {type(error).__name__}",
        )
        noted(activation.run, Draft(record=record, counts=back))
        return error

    # -- after the call ------------------------------------------------------------------------------------------

    def on_llm_new_token(self, token: Any, *, run_id: UUID, **kwargs: Any) -> None:
        """Know that a stream began: it may be billed, whatever becomes of it."""
        if (opened := self._open.get(run_id)) is not None:
            opened.streaming = True

    def on_llm_end(
        self, response: LLMResult, *, run_id: UUID, parent_run_id: UUID | None = None, **kwargs: Any
    ) -> None:
        """Settle with the usage from the wire; without usage, with what was reserved."""
        opened = self._closed(run_id)
        if opened is None:
            return
        run, used, ids = opened.activation.run, used_by(response, opened.made.amounts, opened.price), call_ids(response)
        excess = {u: v for u, v in used.beyond(opened.made.amounts).as_json().items() if u in opened.bounded}
        counts = settle(opened.made, used)
        record = ModelSettled(
            at=run.positions.reply(opened.ns, ids),
            call=str(run_id),
            agent=opened.activation.agent,
            model=opened.model,
            used=used.as_json(),
            price=opened.price.source if opened.price else "unknown",
            seconds=round(time.perf_counter() - opened.began, 6),
            calls=ids,
            excess=excess,
        )
        noted(run, Draft(record=record, counts=counts))

    def on_llm_error(
        self, error: BaseException, *, run_id: UUID, parent_run_id: UUID | None = None, **kwargs: Any
    ) -> None:
        """Settle a failed call: it counts as a call; and in full, unless the provider said no, or never heard of it."""
        opened = self._closed(run_id)
        if opened is None:
            return
        reserved = opened.made.amounts
        unbilled = not opened.streaming and is_unbilled(error)
        used = Amounts(model_calls=reserved.model_calls) if unbilled else reserved
        self._failed(opened, used, f"{type(error).__name__}: {error}")

    def _abandoned(self, run_id: UUID) -> None:
        """Settle a call that was cancelled, of which LangChain says nothing: it may have cost what was reserved."""
        opened = self._closed(run_id)
        if opened is not None:
            self._failed(opened, opened.made.amounts, "it was cancelled, or its result was not waited for")

    def _closed(self, run_id: UUID) -> _Open | None:
        opened = self._open.pop(run_id, None)
        if opened is not None:
            opened.activation.run.abandon.pop(run_id, None)
        return opened

    def _failed(self, opened: _Open, used: Amounts, error: str) -> None:
        run, counts = opened.activation.run, settle(opened.made, used)
        record = ModelFailed(
            at=opened.made.at,
            call=opened.made.call,
            agent=opened.activation.agent,
            model=opened.model,
            used=used.as_json(),
            error=run.knows.text(error)[:500],  # cut last: half a find would not be found
        )
        noted(run, Draft(record=record, counts=counts))


def _reserved(opened: _Open) -> Draft:
    made = opened.made
    record = ModelReserved(
        at=made.at,
        call=made.call,
        agent=made.activation.agent,
        model=opened.model,
        reserved=made.amounts.as_json(),
    )
    return Draft(record=record, counts=counts_of(made))


def _note_refusal(activation: Activation, at: str, model: str, error: Exception) -> None:
    record = ModelRefused(at=at, agent=activation.agent, model=model, reason=str(error))
    activation.run.note(Draft(record=record))


def _is_awaited(caller: FrameType) -> bool:
    return caller.f_code.co_name == "_ahandle_event_for_handler"


@contextmanager
def _siblings_closed() -> Iterator[None]:
    try:
        yield
    except BaseException:
        _close_siblings()
        raise


def _close_siblings() -> None:
    """Close what LangChain prepared for the handlers after this one, and does not await when this one raises.

    Python would warn about each of those coroutines. They are found in LangChain's own frame; there is no other way.
    """
    frame: FrameType | None = sys._getframe()
    while frame is not None and "inline_tasks" not in frame.f_locals:
        frame = frame.f_back
    held = frame.f_locals if frame else {}
    for task in [*held.get("inline_tasks", ()), *held.get("non_inline_tasks", ())]:
        if inspect.iscoroutine(task) and inspect.getcoroutinestate(task) == inspect.CORO_CREATED:
            task.close()


def _in_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _is_bare() -> bool:
    """Whether this thread carries neither a run nor a LangChain call: where a governed call would slip by."""
    thread = threading.current_thread()
    # An event loop in a thread may well be a server of its own; one in a worker of a pool was put there by a call.
    pooled = getattr(thread, "_target", None) is _worker
    bare = thread is not threading.main_thread() and (pooled or not _in_event_loop())
    return bare and var_child_runnable_config.get() is None


def _refuse_strays(model: str, metadata: Mapping[str, Any]) -> None:
    """Refuse what may well be a run's, and cannot be counted in its budget. Raises ModelOutsideRun."""
    told = GOVERNED in metadata  # by a configuration of the run's that was handed over without its context
    if (told or _BEGAN_BARE.get() or _is_bare()) and in_flight() and not _UNGOVERNED.get():
        raise ModelOutsideRun(model=model, thread=threading.current_thread().name)


_GATE = ModelGate()
_HOOK: ContextVar[ModelGate | None] = ContextVar("edgewright_model_gate", default=_GATE)
register_configure_hook(_HOOK, inheritable=True)

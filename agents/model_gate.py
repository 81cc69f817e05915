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
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures.thread import _worker  # what the threads of a pool run; no public way to tell them
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from decimal import Decimal
from types import FrameType
from typing import Any
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, LLMResult
from langchain_core.runnables.config import var_child_runnable_config
from langchain_core.tracers.context import register_configure_hook

from ..contracts.budget import Amounts
from ..contracts.errors import BudgetExceeded, CostUnknown, ModelOutsideRun
from ..ledger.entry import Draft
from ..ledger.records import ModelFailed, ModelRefused, ModelReserved, ModelSettled
from ..tools.position import NS
from ..tools.run import Activation, active, in_flight
from .prices import Pricing, input_bound, price_of

_UNGOVERNED: ContextVar[bool] = ContextVar("edgewright_ungoverned", default=False)


@contextmanager
def ungoverned() -> Iterator[None]:
    """Say that model calls in here belong to no run. Only needed in bare threads, while governed runs are in flight."""
    token = _UNGOVERNED.set(True)
    try:
        yield
    finally:
        _UNGOVERNED.reset(token)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Open:
    activation: Activation
    model: str
    at: str
    ns: str
    reserved: Amounts
    price: Pricing | None
    began: float


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
        """Follow LangGraph's nodes, for positions."""
        activation = active()
        if activation is not None and metadata:
            activation.run.positions.enter(metadata, run_id, parent_run_id)

    # -- before the call -----------------------------------------------------------------------------------------

    def on_chat_model_start(
        self,
        serialized: Any,
        messages: list[list[BaseMessage]],
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        tags: Any = None,
        metadata: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Reserve, or refuse by raising."""
        params = kwargs.get("invocation_params") or {}
        flat = [m for batch in messages for m in batch]
        self._reserve(run_id, metadata or {}, params, input_bound(flat, params.get("tools") or ()), len(messages))

    def on_llm_start(
        self,
        serialized: Any,
        prompts: list[str],
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        tags: Any = None,
        metadata: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """`on_chat_model_start` for plain text models."""
        bound = sum(len(p.encode()) for p in prompts)
        self._reserve(run_id, metadata or {}, kwargs.get("invocation_params") or {}, bound, len(prompts))

    def _reserve(
        self, run_id: UUID, metadata: Mapping[str, Any], params: Mapping[str, Any], bound: int, calls: int
    ) -> None:
        try:
            self._reserve_or_raise(run_id, metadata, params, bound, calls)
        except Exception:
            _close_siblings()
            raise

    def _reserve_or_raise(
        self, run_id: UUID, metadata: Mapping[str, Any], params: Mapping[str, Any], bound: int, calls: int
    ) -> None:
        activation, model = active(), _name(metadata, params)
        if activation is None:
            _refuse_strays(model)
            return
        run = activation.run
        ns = str(metadata.get(NS) or activation.ns)
        at = run.positions.path(ns)
        try:
            price, amounts = self._bounded(activation, model, params, bound, calls)
            run.reserve(activation.agent, activation.limits, amounts)
        except (BudgetExceeded, CostUnknown) as error:
            refused = ModelRefused(at=at, agent=activation.agent, model=model, reason=str(error))
            run.note(Draft(record=refused))
            raise
        record = ModelReserved(at=at, call=str(run_id), agent=activation.agent, model=model, reserved=amounts.as_json())
        self._open[run_id] = _Open(
            activation=activation, model=model, at=at, ns=ns, reserved=amounts, price=price, began=time.perf_counter()
        )
        run.abandon[run_id] = lambda: self._abandoned(run_id)
        run.note(Draft(record=record))
        if not _in_event_loop():
            run.write_blocking()

    def _bounded(
        self,
        activation: Activation,
        model: str,
        params: Mapping[str, Any],
        bound: int,
        calls: int,
    ) -> tuple[Pricing | None, Amounts]:
        """The most this call can use. Raises CostUnknown where a limited unit has no bound."""
        price = price_of(model)
        cap = next(
            (params[k] for k in ("max_tokens", "max_completion_tokens", "max_output_tokens") if params.get(k)), None
        )
        budgets = {"run": activation.run.grounds.budget, f"agent {activation.agent}": activation.limits}
        for scope, budget in budgets.items():
            if budget.limits("usd") and price is None:
                remedy = "declare a price, or limit tokens or calls instead"
                raise CostUnknown(scope=scope, unit="usd", model=model, remedy=remedy)
            for unit in ("usd", "output_tokens"):
                if budget.limits(unit) and cap is None:
                    remedy = "give the model an output cap (max_tokens)"
                    raise CostUnknown(scope=scope, unit=unit, model=model, remedy=remedy)
        output = int(cap or 0) * int(params.get("n") or 1) * calls
        usd = price.of(bound, output) if price else Decimal(0)
        return price, Amounts(usd=usd, input_tokens=bound, output_tokens=output, model_calls=calls)

    # -- after the call ------------------------------------------------------------------------------------------

    def on_llm_end(
        self, response: LLMResult, *, run_id: UUID, parent_run_id: UUID | None = None, **kwargs: Any
    ) -> None:
        """Settle with the usage from the wire; without usage, with what was reserved."""
        opened = self._closed(run_id)
        if opened is None:
            return
        run, used, ids = opened.activation.run, _used(response, opened), _call_ids(response)
        run.settle(opened.activation.agent, opened.activation.limits, opened.reserved, used)
        record = ModelSettled(
            at=run.positions.reply(opened.ns, ids),
            call=str(run_id),
            agent=opened.activation.agent,
            model=opened.model,
            used=used.as_json(),
            price=opened.price.source if opened.price else "unknown",
            seconds=round(time.perf_counter() - opened.began, 6),
            calls=ids,
        )
        run.note(Draft(record=record))

    def on_llm_error(
        self, error: BaseException, *, run_id: UUID, parent_run_id: UUID | None = None, **kwargs: Any
    ) -> None:
        """Settle a failed call: it counts as a call, and as its input, which may have been billed."""
        opened = self._closed(run_id)
        if opened is None:
            return
        reserved = opened.reserved
        usd = opened.price.of(reserved.input_tokens, 0) if opened.price else Decimal(0)
        used = Amounts(usd=usd, input_tokens=reserved.input_tokens, model_calls=reserved.model_calls)
        self._failed(run_id, opened, used, f"{type(error).__name__}: {error}")

    def _abandoned(self, run_id: UUID) -> None:
        """Settle a call that was cancelled, of which LangChain says nothing: it may have cost what was reserved."""
        opened = self._closed(run_id)
        if opened is not None:
            self._failed(run_id, opened, opened.reserved, "it was cancelled, or its result was not waited for")

    def _closed(self, run_id: UUID) -> _Open | None:
        opened = self._open.pop(run_id, None)
        if opened is not None:
            opened.activation.run.abandon.pop(run_id, None)
        return opened

    def _failed(self, run_id: UUID, opened: _Open, used: Amounts, error: str) -> None:
        run = opened.activation.run
        run.settle(opened.activation.agent, opened.activation.limits, opened.reserved, used)
        record = ModelFailed(
            at=opened.at,
            call=str(run_id),
            agent=opened.activation.agent,
            model=opened.model,
            used=used.as_json(),
            error=run.knows.text(error)[:500],  # cut last: half a find would not be found
        )
        run.note(Draft(record=record))


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


def _refuse_strays(model: str) -> None:
    """A bare thread that carries neither a run nor a LangChain call is where a governed call would slip by."""
    thread = threading.current_thread()
    # An event loop in a thread may well be a server of its own; one in a worker of a pool was put there by a call.
    pooled = getattr(thread, "_target", None) is _worker
    bare = thread is not threading.main_thread() and (pooled or not _in_event_loop())
    if bare and in_flight() and var_child_runnable_config.get() is None and not _UNGOVERNED.get():
        raise ModelOutsideRun(model=model, thread=thread.name)


def _name(metadata: Mapping[str, Any], params: Mapping[str, Any]) -> str:
    model = metadata.get("ls_model_name") or params.get("model") or params.get("model_name") or "unknown"
    provider = metadata.get("ls_provider")
    return f"{provider}:{model}" if provider else str(model)


def _messages(response: LLMResult) -> Sequence[AIMessage]:
    found = [g.message for batch in response.generations for g in batch if isinstance(g, ChatGeneration)]
    return [m for m in found if isinstance(m, AIMessage)]


def _call_ids(response: LLMResult) -> list[str]:
    return [str(c.get("id") or "") for m in _messages(response) for c in m.tool_calls]


def _used(response: LLMResult, opened: _Open) -> Amounts:
    usages = [m.usage_metadata for m in _messages(response) if m.usage_metadata]
    if not usages or any(u["input_tokens"] < 0 or u["output_tokens"] < 0 for u in usages):
        return opened.reserved  # nothing reported, or nonsense that would give budget back
    tokens_in = sum(u["input_tokens"] for u in usages)
    tokens_out = sum(u["output_tokens"] for u in usages)
    usd = opened.price.of(tokens_in, tokens_out) if opened.price else Decimal(0)
    return Amounts(usd=usd, input_tokens=tokens_in, output_tokens=tokens_out, model_calls=opened.reserved.model_calls)


_GATE = ModelGate()
_HOOK: ContextVar[ModelGate | None] = ContextVar("edgewright_model_gate", default=_GATE)
register_configure_hook(_HOOK, inheritable=True)

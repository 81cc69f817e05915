"""A tool's functions, called inside their containment: whose places, which breaker, which tries; and what is recorded.

What the tool gate believes of a call rests on one thing that is known here alone: whether the function began.
"""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from ..contracts.containment import Bulkhead
from ..contracts.errors import CircuitOpen, Overloaded, ToolFailed, ToolRefusal, ToolUnavailable
from ..contracts.tool import ToolSpec
from ..ledger.entry import Draft
from ..ledger.records import CircuitMoved, EffectRetried
from .containment import Retried, Told, contained, contained_blocking, in_thread
from .containment.bulkheads import Places
from .function import as_json
from .steps import Call

TENANT = Bulkhead(running=256, waiting=4096, wait=4.0)
"""How many tool calls of a tenant may be under way at once in a process. `BULKHEADS.declare` says otherwise."""
Part = Literal["", "facts", "probe", "undo"]
_LOOKS = ("facts", "probe")
MOST_ERROR = 2000
_GRACE = 1.0


def key_of(spec: ToolSpec, part: Part = "") -> str:
    """What breakers and bulkheads know a tool by. Two systems' tools of one name are two tools."""
    return f"tool:{spec.name}@{spec.digest[:8]}{part and f'.{part}'}"


_AT_WORK, _LOCK = Counter[str](), threading.Lock()


def _effect_of(call: Call) -> str:
    return f"{call.activation.run.grounds.run}/{call.at}"


def at_work(call: Call) -> bool:
    """Whether a thread of this process is still at an effect, whoever began it: then no probe can tell its outcome."""
    with _LOCK:
        return _effect_of(call) in _AT_WORK


@dataclass(slots=True, kw_only=True)
class Calling:
    """One call of one function of a tool, over all its tries.

    Attributes:
        part: which of its functions.
        transient: the errors that the tool declares to be passing.
        again: the effect may have happened before this call.
        begun: how many tries there were.
        doubt: the error of the latest try after which the effect may have happened.
    """

    call: Call
    part: Part = ""
    transient: tuple[type[Exception], ...] = ()
    again: bool = False
    begun: int = 0
    doubt: Exception | None = None

    async def made(self, function: Callable[..., Any], arguments: Mapping[str, Any]) -> Any:
        """Call the function, async or not; returns what it returned, as JSON values.

        Raises:
            ToolUnavailable: it did not begin, and the effect cannot have happened.
            CircuitOpen, Overloaded: it did not begin, and that is all that is known.
            ResultInvalid: it returned something else than the tool declares. It may have happened.
            Exception: what `contained` raises.
        """

        async def attempt() -> Any:
            self.begun += 1
            try:
                bound = partial(function, **arguments)
                if inspect.iscoroutinefunction(function):
                    return self._returned(await bound())
                return self._returned(await in_thread(partial(self._working, bound)))
            except Exception as error:
                self._failed(error)
                raise

        try:
            return await contained(attempt, **self._rules())
        except (CircuitOpen, Overloaded, ToolRefusal) as error:
            told = self._told(error)
            raise told from told.__cause__

    def made_blocking(self, function: Callable[..., Any], arguments: Mapping[str, Any]) -> Any:
        """`made` for code outside an event loop. An async function gets a loop of its own, in a thread."""

        def attempt() -> Any:
            self.begun += 1
            try:
                return self._returned(self._working(partial(self._run_out, function, arguments)))
            except Exception as error:
                self._failed(error)
                raise

        try:
            return contained_blocking(attempt, **self._rules())
        except (CircuitOpen, Overloaded, ToolRefusal) as error:
            told = self._told(error)
            raise told from told.__cause__

    def _run_out(self, function: Callable[..., Any], arguments: Mapping[str, Any]) -> Any:
        found = function(**arguments)
        return asyncio.run(self._ended(found)) if inspect.iscoroutine(found) else found

    def _working(self, work: Callable[[], Any]) -> Any:
        """Do work in a thread, which may go on when nobody waits for it any more."""
        key = _effect_of(self.call)
        if not self.part:
            with _LOCK:
                _AT_WORK[key] += 1
        try:
            return work()
        finally:
            if not self.part:
                with _LOCK:
                    _AT_WORK[key] -= 1
                    if not _AT_WORK[key]:
                        del _AT_WORK[key]

    def _returned(self, value: Any) -> Any:
        # A tool declares what its function returns. What helps it has shapes of its own.
        return as_json(value) if self.part else self.call.reading.returned(value)

    async def _ended(self, made: Any) -> Any:
        """A coroutine's result. Nobody waits for it when its time is over, but its thread should end with it."""
        async with asyncio.timeout(self.call.spec.timeout + _GRACE):
            return await made

    def _rules(self) -> Any:
        spec = self.call.spec
        return {
            "of": key_of(spec, self.part),
            "by": spec.looking if self.part in _LOOKS else spec.containment,
            "within": self._within(),
            "transient": self.transient,
            "tell": self._record,
        }

    def _within(self) -> Places:
        return ((f"tenant:{self.call.activation.run.grounds.tenant}", TENANT),)

    def _failed(self, error: Exception) -> None:
        # A refusal of another tool, that this one's function called, says nothing of what the function had done before.
        if not isinstance(error, ToolRefusal) or error.through:
            self.doubt = error

    def _told(self, error: CircuitOpen | Overloaded | ToolRefusal) -> Exception:
        """The error that the gate is told. Only what says truly that nothing was done may be a ToolRefusal."""
        if isinstance(error, CircuitOpen | Overloaded) and not self.begun:
            if self.part in _LOOKS or self.again:
                return error
            unavailable = ToolUnavailable(tool=self.call.spec.name, fault=str(error))
            unavailable.__cause__ = error
            return unavailable
        if isinstance(error, ToolRefusal) and self.doubt is not None and self.call.spec.changes_world:
            if isinstance(self.doubt, ToolRefusal):
                return ToolFailed(tool=self.call.spec.name, error=str(self.doubt), unknown=True)
            return self.doubt
        return error

    def _record(self, told: Told) -> None:
        run, spec, at = self.call.activation.run, self.call.spec, self.call.at
        if isinstance(told, Retried):
            text = f"{type(told.error).__name__}: {told.error}"
            # Not `told`: the agent does not hear of it. What it says may be sensitive nevertheless.
            run.knows.learn_value(text, spec.sensitivity)
            retried = EffectRetried(
                effect=at,
                tool=spec.name,
                attempt=told.attempt,
                fault=told.kind,
                error=run.knows.text(text)[:MOST_ERROR],
                wait=round(told.wait, 6),
                part=self.part,
            )
            run.note(Draft(record=retried))
            return
        moved = CircuitMoved(
            at=at,
            agent=self.call.activation.agent,
            of=told.of,
            before=told.before,
            after=told.after,
            failures=told.failures,
            last=told.last or "",
        )
        run.note(Draft(record=moved))

"""Faults inside the tool gate: at any function on its way, and at any step that it asks its driver for.

The places are not listed by hand. A run is traced first, and a fault is put at one of the places that it passed: a
function that is added to the gate later is among them by itself.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

from edgewright.contracts.errors import CallDenied, LedgerUnavailable, ToolRefusal
from edgewright.contracts.policy import CompiledPolicy
from edgewright.ledger.memory import MemoryLedger
from edgewright.ledger.shared_memory import MemoryShared
from edgewright.tools import (
    asking,
    drive,
    effects,
    function,
    gate,
    judging,
    limits,
    provenance,
    records,
    sealed,
    signing,
    steps,
)
from edgewright.tools.knowing import Knowledge
from edgewright.tools.position import Positions
from edgewright.tools.run import Activation, Run
from edgewright.tools.spending import Spending
from langgraph.errors import GraphBubbleUp

MODULES: tuple[Any, ...] = (
    gate, judging, asking, limits, records, provenance, effects, signing, drive,
)  # fmt: skip
CLASSES: tuple[Any, ...] = (
    function.Reading, Knowledge, Positions, Run, Activation, CompiledPolicy, MemoryLedger, MemoryShared, Spending,
)  # fmt: skip
STEPS = tuple(kind.__name__ for kind in steps.Step.__args__)
TOLD = frozenset({
    "step Write", "step Take", "step Look", "step Counted", "step LookUp", "step Load", "step AskPerson",
    "step Execute", "step Probe", "CompiledPolicy.judge", "CompiledPolicy._evaluate", "Reading.validated",
    "judging.faults_of_form", "judging.provenance_of", "judging.limit_faults", "judging.recent", "judging.large",
    "gate.counts_of", "gate.judged", "Activation.sources", "Activation.fixed", "Knowledge.level_in",
    "Knowledge.sources", "Knowledge.text", "Positions.call", "MemoryLedger.append", "MemoryLedger.counted",
    "MemoryLedger.exact", "MemoryShared.look",
})  # fmt: skip
"""Where a value of the wrong type is one that the gate must notice: what others tell it, and what decides.

Not `Knowledge.kept`: by what it says a call is known again at all.
"""
_INSIDE: ContextVar[bool] = ContextVar("edgewright_test_inside", default=False)
# The gate's drivers are the way in, not places on it.
_LEFT_OUT = {"drive.drive", "drive.drive_blocking", "drive.gate", "drive.stepped"}


class Abort(BaseException):
    """What no `except Exception` catches, as an exit or an interrupt from the keyboard."""


class Odd:
    """A value of no type that anybody expects."""


ERRORS: dict[str, Callable[[], BaseException]] = {
    "RuntimeError": lambda: RuntimeError("injected"),
    "TypeError": lambda: TypeError("injected"),
    "KeyError": lambda: KeyError("injected"),
    "AttributeError": lambda: AttributeError("injected"),
    "TimeoutError": lambda: TimeoutError(),
    "OSError": lambda: OSError(28, "No space left on device"),
    "MemoryError": lambda: MemoryError(),
    "RecursionError": lambda: RecursionError("injected"),
    "LedgerUnavailable": lambda: LedgerUnavailable(where="test", cause="injected"),
    "CallDenied": lambda: CallDenied(tool="x", agent="worker", rules=["injected"], reasons=["injected"]),
    "ToolRefusal": lambda: ToolRefusal("injected"),
    "CancelledError": lambda: asyncio.CancelledError(),
    "GraphBubbleUp": lambda: GraphBubbleUp(),
    "Abort": lambda: Abort("injected"),
}


@dataclass
class Fault:
    """What happens where a call passes a place for the `nth` time; a mere trace where there is no place.

    Attributes:
        error: makes what is raised; None for a value of the wrong type instead.
        stays: whether the place is broken from then on.
        trace: the places that were passed, in order.
        fired: the place where it happened.
        raised: what was raised there last.
        ran: how often the tool's function ran while this was installed, and how often before it happened.
    """

    place: str = ""
    nth: int = 0
    error: Callable[[], BaseException] | None = None
    stays: bool = False
    trace: list[str] = field(default_factory=list)
    fired: str = ""
    raised: BaseException | None = None
    ran: int = 0
    ran_before: int = 0

    def _passes(self, place: str) -> bool:
        """Whether it happens here."""
        self.trace.append(place)
        if self.fired:
            return self.stays and place == self.fired
        if place != self.place or self.trace.count(place) - 1 != self.nth:
            return False
        self.fired, self.ran_before = place, self.ran
        return True

    def _wrapped(self, place: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def inner(*args: Any, **kwargs: Any) -> Any:
            if not _INSIDE.get() or not self._passes(place):
                return original(*args, **kwargs)
            if self.error is not None:
                self.raised = self.error()
                raise self.raised
            if inspect.isgeneratorfunction(original):
                return _tells()
            return _says() if inspect.iscoroutinefunction(original) else Odd()

        return inner

    def _stepping(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """The gate, with faults in place of what its driver would do."""

        def gated(call: Any) -> Generator[Any, Any, Any]:
            inner = original(call)
            try:
                step = next(inner)
                while True:
                    if self._passes(f"step {type(step).__name__}"):
                        if self.error is None:
                            step = inner.send(Odd())
                            continue
                        error = self.raised = self.error()
                        if isinstance(error, Exception) and not isinstance(error, GraphBubbleUp):
                            step = inner.throw(error)
                        else:  # a driver lets these through, and the gate ends where it is
                            raise error
                        continue
                    try:
                        answer = yield step
                    except Exception as error:  # noqa: BLE001 - the gate decides
                        step = inner.throw(error)
                    else:
                        step = inner.send(answer)
            except StopIteration as stop:
                return stop.value
            finally:
                inner.close()

        return gated

    @contextmanager
    def installed(self) -> Iterator[Fault]:
        """While this is entered, every call of a governed tool passes here."""
        with ExitStack() as stack:
            for owner in (*MODULES, *CLASSES):
                short = owner.__name__.rpartition(".")[2]
                for name, value in list(vars(owner).items()):
                    place = f"{short}.{name}"
                    ours = inspect.isfunction(value) and value.__module__.startswith("edgewright")
                    if ours and not name.startswith("__") and place not in _LEFT_OUT:
                        stack.enter_context(patch.object(owner, name, self._wrapped(place, value)))
            stack.enter_context(patch.object(drive, "gate", self._stepping(gate.gate)))
            for owner, name in ((sealed.SealedTool, "_call"), (sealed, "drive_blocking")):
                stack.enter_context(patch.object(owner, name, _entering(getattr(owner, name))))
            stack.enter_context(patch.object(sealed, "drive", _entering_later(vars(sealed)["drive"])))
            yield self


def _tells() -> Generator[Any, Any, Any]:
    return Odd()
    yield


async def _says() -> Any:
    return Odd()


def _entering(original: Callable[..., Any]) -> Callable[..., Any]:
    def inner(*args: Any, **kwargs: Any) -> Any:
        token = _INSIDE.set(True)
        try:
            return original(*args, **kwargs)
        finally:
            _INSIDE.reset(token)

    return inner


def _entering_later(original: Callable[..., Any]) -> Callable[..., Any]:
    async def inner(*args: Any, **kwargs: Any) -> Any:
        token = _INSIDE.set(True)
        try:
            return await original(*args, **kwargs)
        finally:
            _INSIDE.reset(token)

    return inner


@contextmanager
def outside() -> Iterator[None]:
    """What is done here is the test's own, and no place."""
    token = _INSIDE.set(False)
    try:
        yield
    finally:
        _INSIDE.reset(token)


class StuckLedger(MemoryLedger):
    """A ledger that never says of some kinds of records that they are durable."""

    def __init__(self) -> None:
        super().__init__()
        self.stuck: tuple[type[Any], ...] = ()

    def append(self, run: str, drafts: Any) -> Any:
        """As the ledger's; while `stuck` names the kind of a draft, a future that nobody completes."""
        if any(isinstance(d.record, self.stuck) for d in drafts):
            return Future()
        return super().append(run, drafts)

"""What leaves the server: states, threads and stream parts as the SDK reads them.

What leaves is a crossing. Of a governed graph only its output leaves (`run`, `response`), with the names of its
nodes and the reviews it asks for: what agents hand each other stays inside. A plain graph shows its state.
"""

from __future__ import annotations

import json
from asyncio import CancelledError
from collections.abc import Iterable, Mapping
from typing import Any

import orjson
from langgraph.errors import GraphDrained, GraphRecursionError
from langgraph.types import Interrupt, StateSnapshot

from ..contracts.errors import (
    BudgetExceeded,
    CallRejected,
    ContractViolation,
    CostUnknown,
    EdgewrightError,
    HandoffConflict,
    RecordRefusal,
    ReviewInvalid,
    SharedWriteInvalid,
    WriteConflict,
)
from ..contracts.status import DEAD
from ..graphs.state import PUBLIC
from ..ledger.store import RunSummary
from .project import Served

INTERRUPT = "__interrupt__"
_NOTES = ("source", "step", "parents", "run_id", "thread_id", "graph_id", "assistant_id")
# Their messages name contracts, limits and rules, never a value, a path or what a tool said.
_TELLING = (
    BudgetExceeded,
    CallRejected,
    ContractViolation,
    CostUnknown,
    HandoffConflict,
    RecordRefusal,
    ReviewInvalid,
    SharedWriteInvalid,
    WriteConflict,
)
_NAMES = frozenset(kind.__name__ for kind in _TELLING)
_HIDDEN = "An internal error occurred"


def dumps(value: Any) -> bytes:
    """JSON of what a graph may hold: messages, models, sets, exceptions never."""
    try:
        return orjson.dumps(value, default=_plain, option=orjson.OPT_NON_STR_KEYS)
    except TypeError:  # half a surrogate pair, or an integer beyond 64 bits: a plain graph may hold either
        return json.dumps(value, default=_plain, skipkeys=True, ensure_ascii=False).encode("utf-8", "replace")


def _plain(value: Any) -> Any:
    if isinstance(value, type | BaseException):
        return None
    if callable(dump := getattr(value, "model_dump", None)):
        return dump()
    if isinstance(value, set | frozenset | tuple):
        return list(value)
    return None


def outputs(served: Served, values: Any) -> Any:
    """Of a state's values, what may leave."""
    if not isinstance(values, Mapping):
        return {} if served.system else values
    keys = PUBLIC if served.system else served.graph.output_channels
    return dict(values) if isinstance(keys, str) else {k: values[k] for k in keys if k in values}


def interrupts(found: Iterable[Interrupt]) -> list[dict[str, Any]]:
    """Interrupts as the SDK reads them."""
    return [
        {"id": i.id, "value": i.value, **({"response_schema": i.response_schema} if i.response_schema else {})}
        for i in found
    ]


def final(served: Served, state: StateSnapshot) -> Any:
    """What a run leaves: the output and, where it waits, what it waits for."""
    left = outputs(served, state.values)
    if state.interrupts and isinstance(left, dict):
        left[INTERRUPT] = interrupts(state.interrupts)
    return left


def part(served: Served, mode: str, chunk: Any) -> tuple[str, Any]:
    """One part of LangGraph's stream as event and data."""
    if mode == "messages":
        return mode, list(chunk)
    if mode == "custom" or not isinstance(chunk, Mapping):
        return mode, chunk
    asked = {INTERRUPT: interrupts(chunk[INTERRUPT])} if INTERRUPT in chunk else {}
    rest = {k: v for k, v in chunk.items() if k != INTERRUPT}
    if mode == "values":
        return mode, {**outputs(served, rest), **asked}
    if served.system:
        rest = {node: outputs(served, update) or None for node, update in rest.items()}
    return mode, {**rest, **asked}


def state(served: Served | None, snapshot: StateSnapshot | None) -> dict[str, Any]:
    """A thread's state, or that of a thread no run has touched."""
    if served is None or snapshot is None or not snapshot.config.get("configurable", {}).get("checkpoint_id"):
        empty = dict.fromkeys(("metadata", "created_at", "checkpoint", "parent_checkpoint"))
        return {"values": {}, "next": [], "tasks": [], "interrupts": [], **empty}
    checkpoint, parent = _checkpoint(snapshot.config), _checkpoint(snapshot.parent_config)
    return {
        "values": outputs(served, snapshot.values),
        "next": list(snapshot.next),
        "tasks": [
            {
                "id": task.id,
                "name": task.name,
                "path": list(task.path),
                "error": _HIDDEN if task.error else None,
                "interrupts": interrupts(task.interrupts),
                "checkpoint": None,
                "state": None,
                "result": outputs(served, task.result) if isinstance(task.result, Mapping) else None,
            }
            for task in snapshot.tasks
        ],
        "metadata": {k: v for k, v in (snapshot.metadata or {}).items() if k in _NOTES},
        "created_at": snapshot.created_at,
        "checkpoint": checkpoint,
        "parent_checkpoint": parent,
        "interrupts": interrupts(snapshot.interrupts),
        "checkpoint_id": (checkpoint or {}).get("checkpoint_id"),
        "parent_checkpoint_id": (parent or {}).get("checkpoint_id"),
    }


def _checkpoint(config: Any) -> dict[str, Any] | None:
    where = (config or {}).get("configurable", {})
    if not where.get("checkpoint_id"):
        return None
    return {k: where.get(k) or "" for k in ("thread_id", "checkpoint_ns", "checkpoint_id")}


def run(found: RunSummary) -> dict[str, Any]:
    """A governed run: how it stands, and why, as the ledger has it."""
    return {"run": found.run, "status": found.status, "reason": reason(found.reason)}


def reason(said: str) -> str:
    """Why a run stopped, as it may leave: an error's own words only where its kind never quotes what it must not."""
    named, colon, _ = said.partition(": ")
    if colon and named.isidentifier() and named[0].isupper() and named not in _NAMES:
        return f"{named}: {_HIDDEN}"
    return said


def standing(snapshot: StateSnapshot | None, *, busy: bool, run: RunSummary | None = None) -> str:
    """A thread's status, from what is durable alone: nothing is left to be stuck when a process dies.

    Args:
        run: the newest one of a governed graph. The ledger knows of it before any checkpoint does.
    """
    if busy:
        return "busy"
    if run is not None and run.status != "completed":
        return "error" if run.status in DEAD else "interrupted"
    if snapshot is None or not snapshot.next:
        return "idle"
    return "error" if any(task.error for task in snapshot.tasks) else "interrupted"


def failure(error: BaseException, run: str = "") -> dict[str, Any]:
    """What a client is told of a failed run. `run` is the governed run's id, by which the ledger explains it."""
    message = _HIDDEN
    if isinstance(error, _TELLING):
        message = str(error)
    elif isinstance(error, GraphRecursionError):
        message = "the graph reached its limit of steps"
    elif isinstance(error, GraphDrained):
        why = error.reason if error.reason.startswith("Budget") else "the server stopped"
        message = f"{why}; a run without input goes on from here"
    elif isinstance(error, CancelledError):
        message = "it was cancelled; a run without input goes on from here"
    return {"error": type(error).__name__, "message": message, **({"run": run} if run else {})}


def problem(error: EdgewrightError) -> dict[str, Any]:
    """The body of a 4xx for one of our errors."""
    return {"detail": str(error), "error": type(error).__name__, "facts": error.facts}

"""How a call comes in from LangChain, and what goes back to whoever made it."""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Any

import orjson
from langchain_core.messages import ToolMessage
from langgraph.config import get_config

from ..contracts.errors import CallDenied, CallRejected, RecordRefusal, ToolFailed, ToolInvalid, ToolRefusal
from .function import Reading
from .position import NS
from .run import Run

TOLD = (CallDenied, CallRejected, RecordRefusal, ToolRefusal, ToolFailed)
"""What a model is told of, and may go on after."""


def said_before(
    run: Run, name: str, reading: Reading, path: str, taken: Container[str], given: Mapping[str, Any]
) -> list[str]:
    """Where code at this path called the same tool with the same arguments before, on record."""
    judged = list(run.own.get(path, ()))
    before = [r for r in judged if r.at not in taken and r.tool == name]
    if not before:
        return []
    arguments, faults = reading.validated(given)
    try:
        ref = run.knows.kept(dict(given) if faults else arguments)[0]
    except TypeError:
        return []
    return [r.at for r in before if r.arguments == ref]


def keywords(name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a call, all by name. Raises ToolInvalid."""
    if args:
        raise ToolInvalid(name=name, faults=["it takes named arguments only"])
    return dict(kwargs)


def namespace() -> str | None:
    """Where in LangGraph this code runs; None outside a node of ours."""
    try:
        metadata = get_config().get("metadata") or {}
    except RuntimeError:  # outside a LangGraph node
        return None
    found = metadata.get(NS)
    return found if isinstance(found, str) else None


def shown(value: Any) -> str:
    """What a tool returned, as a model reads it."""
    return value if isinstance(value, str) else orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()


def told_of(error: Exception, name: str, call_id: str | None) -> ToolMessage:
    """What a model is told of a refusal. Code that called by itself, without a model, gets the error."""
    if call_id is None:
        raise error
    text = f"Refused: {error}" if isinstance(error, ToolRefusal) else str(error)
    return ToolMessage(content=text, name=name, tool_call_id=call_id, status="error")

"""What a graph gets of a governed graph inside it: what any other reader gets, and of the agents inside nothing.

LangGraph hands a nested graph its parent's stream, the writer for custom events, and the handlers that collect messages
and tool calls. Each would show the inside as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextvars import ContextVar
from typing import Any

from langchain_core.callbacks import BaseCallbackHandler, BaseCallbackManager
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import var_child_runnable_config
from langgraph.pregel._messages import StreamMessagesHandler  # what collects; no public way to tell them
from langgraph.pregel._tools import StreamToolCallHandler
from langgraph.pregel.protocol import StreamChunk, StreamProtocol

from ..tools.position import GOVERNED

_NESTED, _STREAM, _RUNTIME = "__pregel_task_id", "__pregel_stream", "__pregel_runtime"
_PLACES = ("thread_id", "checkpoint_ns", "checkpoint_id", "checkpoint_map")
_STARTS = ("on_chain_start", "on_chat_model_start", "on_tool_start")
_DEAF = "_edgewright_deaf"

Project = Callable[[str, Any], Iterator[tuple[str, Any]]]


AROUND: ContextVar[tuple[str, int] | None] = ContextVar("edgewright_around", default=None)
"""The task of the graph around that begins a governed graph in this context, and which attempt of it this is."""


def around(config: RunnableConfig) -> tuple[str, int] | None:
    """What `AROUND` is to be for a graph that begins under this config."""
    info = getattr(_known(config).get(_RUNTIME), "execution_info", None)
    return (info.task_id, info.node_attempt) if info is not None and _NESTED in _known(config) else None


def place_of(config: RunnableConfig) -> tuple[str, bool]:
    """The thread on which a graph runs under a config, and whether another graph around it has that thread."""
    known = _known(config)
    return str(known.get("thread_id") or ""), _NESTED in known


def shielded(config: RunnableConfig, project: Project) -> RunnableConfig:
    """A config under which the graph around, where there is one, sees what `project` lets it.

    Args:
        project: what of a part of a stream, given its mode, a reader may see.
    """
    for handler in [*_handlers(config), *_handlers(var_child_runnable_config.get() or RunnableConfig())]:
        if isinstance(handler, StreamMessagesHandler | StreamToolCallHandler):
            _deafen(handler)
    known = _known(config)
    if _STREAM not in known:
        return config
    changed: dict[str, Any] = {_STREAM: _projected(known[_STREAM], _depth(known), project)}
    if (runtime := known.get(_RUNTIME)) is not None:
        changed[_RUNTIME] = runtime.override(stream_writer=_writer(runtime.stream_writer, project))
    return {**config, "configurable": {**config.get("configurable", {}), **changed}}


def _known(config: RunnableConfig) -> Mapping[str, Any]:
    """What is configured, merged as LangGraph does: who names a place of its own leaves the one around it."""
    given: Mapping[str, Any] = config.get("configurable", {})
    if any(given.get(k) for k in _PLACES):
        return given
    ambient = var_child_runnable_config.get() or RunnableConfig()
    return {**ambient.get("configurable", {}), **given}


def _handlers(config: RunnableConfig) -> Iterable[BaseCallbackHandler]:
    found = config.get("callbacks")
    return found.handlers if isinstance(found, BaseCallbackManager) else found or ()


def _depth(known: Mapping[str, Any]) -> int:
    place = str(known.get("checkpoint_ns") or "")
    return len(place.split("|")) if place else 0


def _projected(stream: StreamProtocol, depth: int, project: Project) -> StreamProtocol:
    send: Any = stream

    def put(chunk: StreamChunk) -> None:
        ns, mode, data = chunk
        if len(ns) > depth:
            return  # an agent's own
        for shown, part in project(mode, data):
            send((ns, shown, part))

    return StreamProtocol(put, stream.modes)


def _writer(write: Callable[[Any], None], project: Project) -> Callable[[Any], None]:
    def writer(event: Any) -> None:
        for _, shown in project("custom", event):
            write(shown)

    return writer


def _deafen(handler: BaseCallbackHandler) -> None:
    """Have a handler of the graph around not hear what is governed. It lives as long as one run of that graph."""
    own = vars(handler)
    if _DEAF in own:
        return
    own[_DEAF] = True
    for name in _STARTS:
        if (heard := getattr(handler, name, None)) is not None:
            own[name] = _unless_governed(heard)


def _unless_governed(heard: Callable[..., Any]) -> Callable[..., Any]:
    def start(*args: Any, metadata: Mapping[str, Any] | None = None, **kwargs: Any) -> Any:
        return None if metadata and GOVERNED in metadata else heard(*args, metadata=metadata, **kwargs)

    return start

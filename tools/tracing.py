"""LangSmith traces carry what governance knows: run, system, agent and verdicts, as metadata.

Tracing is LangChain's own, off without its settings. This adds to runs that a tracer already holds, and has the
tracer's client cut out of all that it sends what no reader may see.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from weakref import WeakKeyDictionary, WeakMethod

from langchain_core.callbacks import BaseCallbackManager
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import var_child_runnable_config
from langchain_core.tracers.langchain import LangChainTracer
from langsmith import Client
from langsmith.run_trees import get_cached_client
from langsmith.utils import tracing_is_enabled

from ..contracts.redaction import Redactor

Redactors = Callable[[], Iterable[Redactor]]
_GUARDED: WeakKeyDictionary[Client, list[WeakMethod[Redactors]]] = WeakKeyDictionary()
_LOCK = threading.Lock()


def guard_traces(config: RunnableConfig, redactors: Redactors) -> None:
    """Have every LangSmith client that traces under `config` redact what it sends. Nothing where no tracing is on.

    Args:
        redactors: a bound method that tells what cuts out what must not be seen; asked whenever something is sent,
            for as long as its object lives.
    """
    found = config.get("callbacks")
    handlers = found.handlers if isinstance(found, BaseCallbackManager) else found or ()
    clients = [h.client for h in handlers if isinstance(h, LangChainTracer)]
    if tracing_is_enabled():
        clients.append(get_cached_client())
    inherited = var_child_runnable_config.get()
    manager = inherited.get("callbacks") if inherited else None
    if isinstance(manager, BaseCallbackManager):
        clients += [h.client for h in manager.handlers if isinstance(h, LangChainTracer)]
    for client in clients:
        _guard(client, redactors)


def _guard(client: Client, redactors: Redactors) -> None:
    with _LOCK:
        asking, known = WeakMethod(redactors), _GUARDED.get(client)
        if known is not None:
            known[:] = [each for each in known if each() is not None]
            if asking not in known:
                known.append(asking)
            return
        known = _GUARDED[client] = [asking]
        theirs = client._anonymizer

        def anonymizer(sent: dict[str, Any]) -> dict[str, Any]:
            for each in list(known):
                told = each()
                for redactor in told() if told is not None else ():
                    sent = redactor.clean(sent)[0]
            return theirs(sent) if theirs else sent

        # There is no public way to give an existing client an anonymizer; the default client is LangChain's to make.
        client._anonymizer = anonymizer


def annotate(facts: Mapping[str, Any], *, trace: bool = False) -> None:
    """Add metadata to the traced run that this context is inside of; does nothing where no tracer is on.

    Args:
        trace: add it to the whole trace too, at its root; a verdict joins those that are there.
    """
    config = var_child_runnable_config.get()
    manager = config.get("callbacks") if config else None
    if not isinstance(manager, BaseCallbackManager):
        return
    named = {f"edgewright_{key}": value for key, value in facts.items()}
    for handler in manager.handlers:
        traced = handler.run_map.get(str(manager.parent_run_id)) if isinstance(handler, LangChainTracer) else None
        if not isinstance(handler, LangChainTracer) or traced is None:
            continue
        traced.add_metadata(named)
        root = handler.run_map.get(str(traced.trace_id))
        if trace and root is not None:
            root.add_metadata({"edgewright_run": facts["run"]})
            if "verdict" in facts:
                said = f"{facts.get('tool', '')}: {facts['verdict']} [{', '.join(facts.get('rules', ()))}]"
                root.add_metadata({"edgewright_verdicts": [*root.metadata.get("edgewright_verdicts", ()), said]})

"""LangSmith traces carry what governance knows: run, system, agent and verdicts, as metadata.

Tracing is LangChain's own, off without its settings. This only adds to runs that a tracer already holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from langchain_core.callbacks import BaseCallbackManager
from langchain_core.runnables.config import var_child_runnable_config
from langchain_core.tracers.langchain import LangChainTracer


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

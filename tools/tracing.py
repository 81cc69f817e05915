"""LangSmith traces carry what governance knows: run, system, agent and verdicts, as metadata.

Tracing is LangChain's own, off without its settings. This only adds to runs that a tracer already holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForToolRun, CallbackManagerForToolRun
from langchain_core.tracers.langchain import LangChainTracer


def annotate(
    manager: CallbackManagerForToolRun | AsyncCallbackManagerForToolRun | None, facts: Mapping[str, Any]
) -> None:
    """Add metadata to the traced run of `manager`; does nothing where no tracer is on."""
    for handler in manager.handlers if manager else ():
        if isinstance(handler, LangChainTracer):
            traced = handler.run_map.get(str(manager.run_id)) if manager else None
            if traced is not None:
                traced.add_metadata({f"edgewright_{key}": value for key, value in facts.items()})

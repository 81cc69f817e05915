"""The system as `langgraph.json` names it: built when this module is imported, in the home that the settings name."""

from __future__ import annotations

from edgewright.server.settings import Settings

from .showcase import showcase
from .system import build

__all__ = ["graph", "showcase", "system"]

_settings = Settings()

system = build(_settings.home, model=_settings.model, environment=_settings.environment)
graph = system.graph

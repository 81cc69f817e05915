"""Assistants: one per served graph, with the id that LangGraph's own server would give it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID, uuid5

from ..contracts.edge import END
from ..contracts.errors import NotFound
from ..graphs.state import REQUEST, RESPONSE, RUN
from ..graphs.system import System
from ..tools.position import GOVERNED
from .project import Served

_GRAPHS = UUID("6ba7b821-9dad-11d1-80b4-00c04fd430c8")  # as `langgraph dev`: ids stay the same between the two


def assistant_id(graph: str) -> str:
    """The id of a graph's assistant."""
    return str(uuid5(_GRAPHS, graph))


def named(served: Mapping[str, Served], name: str) -> Served:
    """The served graph with this assistant id or name. Raises NotFound."""
    for graph in served.values():
        if name in (graph.name, assistant_id(graph.name)):
            return graph
    raise NotFound(kind="assistant", name=name[:100], known=sorted(served))


def assistant(served: Served, since: str) -> dict[str, Any]:
    """An assistant as the SDK reads it. `since` is when the server started."""
    system = served.system
    notes = {GOVERNED: f"{system.standing.id} {system.digest[:12]}"} if system else {}
    return {
        "assistant_id": assistant_id(served.name),
        "graph_id": served.name,
        "name": served.name,
        "description": None,
        "version": system.version if system else 1,
        "config": {},
        "context": {},
        "metadata": {"created_by": "system", "governed": system is not None, **notes},
        "created_at": since,
        "updated_at": since,
    }


def graph_json(served: Served) -> dict[str, Any]:
    """Nodes and edges, as `get_graph` of the SDK."""
    drawn = served.graph.get_graph().to_json()
    for node in drawn.get("nodes", []):
        if isinstance(data := node.get("data"), dict):
            data.pop("id", None)  # import paths
    return drawn


def schemas(served: Served) -> dict[str, Any]:
    """JSON schemas. A governed graph's are those of its contracts: the request in, the output out."""
    graph, system = served.graph, served.system
    if system:
        given, left = _given(system), _left(system)
        return {
            "graph_id": served.name,
            "input_schema": given,
            "output_schema": left,
            "state_schema": left,
            "config_schema": None,
            "context_schema": None,
        }
    return {
        "graph_id": served.name,
        "input_schema": _tried(graph.get_input_jsonschema),
        "output_schema": _tried(graph.get_output_jsonschema),
        "state_schema": _tried(graph.get_output_jsonschema),
        "config_schema": None,
        "context_schema": None,
    }


def _given(system: System) -> dict[str, Any]:
    body = dict(system.entry.schema)
    defs = body.pop("$defs", {})
    return {
        "title": "Request",
        "type": "object",
        "properties": {REQUEST: body},
        "required": [REQUEST],
        "additionalProperties": False,
        **({"$defs": defs} if defs else {}),
    }


def _left(system: System) -> dict[str, Any]:
    contracts = {e.contract.digest: e.contract.schema for e in system.topology.edges if e.target == END}
    bodies = [{k: v for k, v in body.items() if k != "$defs"} for body in contracts.values()]
    defs: dict[str, Any] = {}
    for body in contracts.values():
        for name, made in body.get("$defs", {}).items():
            if defs.setdefault(name, made) != made:
                bodies = [{"type": "object"}]  # two contracts mean different things by one name
    return {
        "title": "Output",
        "type": "object",
        "properties": {
            RUN: {"type": "string", "description": "the governed run's id, by which the ledger explains it"},
            RESPONSE: bodies[0] if len(bodies) == 1 else {"anyOf": bodies},
        },
        **({"$defs": defs} if defs else {}),
    }


def _tried(make: Any) -> dict[str, Any] | None:
    """A plain graph's schema, or None as the SDK expects where its types have no JSON schema."""
    try:
        made: dict[str, Any] = make()
    except Exception:  # noqa: BLE001 - whatever a stranger's types raise
        return None
    return made

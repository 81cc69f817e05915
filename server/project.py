"""A project: the systems and graphs that a `langgraph.json` names."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import orjson
from langgraph.graph import StateGraph
from langgraph.graph.state import CompiledStateGraph

from ..contracts.errors import EdgewrightError, NotFound, ProjectInvalid
from ..graphs.system import System, system_of
from .showcase import Showcase

FILE = "langgraph.json"
BUILT_IN = {
    "contract_drafting": "edgewright.examples.contract_drafting.graph:graph",
    "coding_assistant": "edgewright.examples.coding_assistant.graph:graph",
    "customer_support": "edgewright.examples.customer_support.graph:graph",
    "investment_analysis": "edgewright.examples.investment_analysis.graph:graph",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A named graph; `system` is None for a plain LangGraph graph, which runs without governance.

    `showcase` plays the system's own cases, where its module has them.
    """

    name: str
    graph: CompiledStateGraph[Any, Any, Any, Any]
    system: System | None
    showcase: Showcase | None = None


def project_graphs(folder: Path) -> tuple[Mapping[str, str], Path | None]:
    """Names and import specs of a folder's `langgraph.json`, and that file; the built-in example where there is none.

    Raises:
        ProjectInvalid: the file is not readable JSON, or has no `graphs`.
    """
    path = folder / FILE
    if not path.exists() and folder == Path():
        return BUILT_IN, None
    if not path.is_file():
        raise ProjectInvalid(name=str(path), faults=["there is no such file; name a folder that holds one"])
    try:
        config = orjson.loads(path.read_bytes())
    except (OSError, orjson.JSONDecodeError) as error:
        raise ProjectInvalid(name=str(path), faults=[f"is not readable JSON: {error}"]) from None
    graphs = config.get("graphs") if isinstance(config, dict) else None
    if not isinstance(graphs, dict) or not graphs:
        fault = 'has no graphs; write {"graphs": {"name": "module:variable"}}'
        raise ProjectInvalid(name=str(path), faults=[fault])
    specs: dict[str, Any] = {n: spec.get("path") if isinstance(spec, dict) else spec for n, spec in graphs.items()}
    faults = [
        f"graph {name!r} must be 'module:variable' or './file.py:variable', not {spec!r}"
        for name, spec in specs.items()
        if not isinstance(spec, str) or ":" not in spec
    ]
    if faults:
        raise ProjectInvalid(name=str(path), faults=faults)
    return specs, path


def load_served(name: str, folder: Path) -> Served:
    """Load one graph of a project by name.

    Raises:
        NotFound: the project has no such name.
        ProjectInvalid: what it names cannot be imported or is no graph.
    """
    specs, path = project_graphs(folder)
    if name not in specs:
        raise NotFound(kind="system", name=name, known=sorted(specs))
    where = str(path or "built-in")
    target, _, variable = specs[name].rpartition(":")
    try:
        module = _imported(target, folder)
        found = getattr(module, variable)
        if inspect.isfunction(found):
            found = found()
    except EdgewrightError:
        raise
    except (Exception, SystemExit) as error:
        fault = f"graph {name!r} ({specs[name]}) cannot be loaded: {type(error).__name__}: {error}"
        raise ProjectInvalid(name=where, faults=[fault]) from error
    if isinstance(found, System):
        return Served(name=name, graph=found.graph, system=found, showcase=getattr(module, "showcase", None))
    if isinstance(found, StateGraph):
        found = found.compile()
    if not isinstance(found, CompiledStateGraph):
        fault = f"graph {name!r} ({specs[name]}) is a {type(found).__name__}, not a System or a LangGraph graph"
        raise ProjectInvalid(name=where, faults=[fault])
    return Served(name=name, graph=found, system=system_of(found), showcase=getattr(module, "showcase", None))


def load_all(folder: Path) -> dict[str, Served]:
    """Load every graph of a project. Raises as `load_served`."""
    return {name: load_served(name, folder) for name in project_graphs(folder)[0]}


def _imported(target: str, folder: Path) -> ModuleType:
    if not (target.endswith(".py") or "/" in target):
        if str(folder) not in sys.path:
            sys.path.insert(0, str(folder))
        return importlib.import_module(target)
    path = (folder / target).resolve()
    spec = importlib.util.spec_from_file_location(f"edgewright_project_{path.stem}", path)
    if spec is None or spec.loader is None or not path.is_file():
        raise FileNotFoundError(f"no Python file at {target}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module

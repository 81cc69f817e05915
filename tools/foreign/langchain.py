"""LangChain tools, governed: any `BaseTool` behind the gate, with what a person declares of it."""

from __future__ import annotations

import asyncio
import inspect
import typing
from collections.abc import Callable, Iterator, Mapping
from contextvars import copy_context
from dataclasses import replace
from typing import Any

from langchain_core.messages import ToolMessage
from langchain_core.messages.tool import ToolOutputMixin
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import var_child_runnable_config
from langchain_core.tools import BaseTool, StructuredTool, Tool
from pydantic import BaseModel

from ...contracts.digest import canonical, digest
from ...contracts.errors import ToolInvalid
from ..function import source_digest
from ..sealed import SealedTool, seal
from .declarations import Declaration
from .schema import read_schema


def governed(tool: BaseTool, declaration: Declaration | None = None, name: str | None = None) -> SealedTool:
    """A governed tool that does what a LangChain tool does.

    Arguments are checked strictly against the tool's schema, then parsed by the tool's own model, and judged as that
    leaves them. The tool gets no LangGraph config: it cannot read state, write it or interrupt, and one that declares
    that it wants to is refused. What it raises is raised, whatever `handle_tool_error` says: an error is no result. Of
    `content_and_artifact` the content is told; the artifact, which no model is meant to see, is not kept.
    `return_direct` has no effect.

    Whoever has the raw tool can still call it: give agents the handle, and let go of the tool. An `Agent` takes no tool
    that is not governed.

    Args:
        tool: what to govern; one that is governed already is given back.
        declaration: what it is to policy; what is left out has the most dangerous value.
        name: instead of the tool's own, where that is not lower case ASCII letters, digits and underscores.

    Raises:
        ToolInvalid: with every fault: injected arguments, a schema that cannot be enforced, a declaration that does
            not fit.
    """
    if isinstance(tool, SealedTool):
        if declaration is not None or name is not None:
            raise ToolInvalid(name=tool.name, faults=["it is governed already, by its own declaration and name"])
        return tool
    if not isinstance(tool, BaseTool):
        raise ToolInvalid(name=name or repr(tool), faults=["it is no LangChain tool (a BaseTool); use @tool"])
    known = name or tool.name
    if faults := [*_injected(tool), *_unreadable(tool)]:
        raise ToolInvalid(name=known, faults=faults)
    schema, author = _schema(tool), _author(tool)
    if b'"writeOnly":true' in canonical(schema):
        raise ToolInvalid(name=known, faults=["an argument hides its value (SecretStr), so it cannot be judged"])
    reading = replace(read_schema(known, schema, _code(tool, schema)), author=author)
    # A copy: what is changed on the raw tool later does not reach the handle.
    kept = tool.model_copy(update={"handle_tool_error": False, "handle_validation_error": False})

    async def call(**arguments: Any) -> Any:
        return _told(known, await _apart(kept, arguments))

    return seal(reading, call, description=tool.description, declaration=declaration or Declaration())


async def _apart(tool: BaseTool, arguments: Mapping[str, Any]) -> Any:
    """Call a tool out of reach of the graph: the config in the context leads to all of its state."""
    context = copy_context()
    context.run(var_child_runnable_config.set, None)
    # As a tool call without an id: LangChain gives the result as it is, and takes no argument for anything else.
    asked = {"type": "tool_call", "name": tool.name, "args": dict(arguments), "id": None}
    return await asyncio.get_running_loop().create_task(tool.ainvoke(asked), context=context)


def _told(name: str, result: Any) -> Any:
    if isinstance(result, ToolMessage):
        if result.status == "error":
            raise RuntimeError(f"{result.text}")
        return result.content
    several = result if isinstance(result, list) else [result]
    if any(isinstance(one, ToolOutputMixin) for one in several):
        raise TypeError(f"{name} returned a command to the graph, which no tool may give; what it did, it did")
    return result


# -- reading the tool --------------------------------------------------------------------------------------------------


def _functions(tool: BaseTool) -> list[Callable[..., Any]]:
    """What a call ends in, as far as the tool shows it."""
    if isinstance(tool, Tool | StructuredTool):
        return [f for f in (tool.func, tool.coroutine) if f is not None]
    return [tool._run, tool._arun]


def _injected(tool: BaseTool) -> Iterator[str]:
    """Arguments that LangChain or LangGraph would fill in from what the contracts hold back."""
    known = set(tool._injected_args_keys)
    if isinstance(tool.args_schema, type) and issubclass(tool.args_schema, BaseModel):
        told: Any = tool.tool_call_schema
        known |= set(tool.args_schema.model_fields) - set(told.model_fields)
    for function in _functions(tool):
        known |= {parameter for parameter, kind in _hints(function).items() if _is_config(kind)}
    for name in sorted(known):
        yield (
            f"argument {name!r} is injected by the runtime, past every contract; "
            "make it an ordinary argument, or write the tool with @tool and ask for `ctx`"
        )


def _hints(function: Callable[..., Any]) -> Mapping[str, Any]:
    try:
        return typing.get_type_hints(function)
    except (NameError, TypeError):
        # Types that are imported for the type checker alone; what LangChain itself cannot read it does not inject.
        return getattr(function, "__annotations__", {})


def _is_config(kind: Any) -> bool:
    return kind is RunnableConfig or RunnableConfig in typing.get_args(kind) or "RunnableConfig" in str(kind)


def _unreadable(tool: BaseTool) -> Iterator[str]:
    if not (tool.description or "").strip():
        yield "it has no description, which is what a model reads"
    schema = tool.args_schema
    if isinstance(schema, type) and not issubclass(schema, BaseModel):
        yield "its args_schema is a model of Pydantic 1; write it for Pydantic 2"
    elif isinstance(schema, type):
        fields: Mapping[str, Any] = schema.model_fields
        aliased = [n for n, f in fields.items() if f.alias or f.validation_alias or f.serialization_alias]
        yield from (f"argument {n!r} has an alias; name it as it is called" for n in aliased)
    elif schema is None and not isinstance(tool, Tool):
        parameters = inspect.signature(tool._run).parameters.values()
        if any(p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in parameters):
            yield "it does not say which arguments it takes; give it an args_schema"


def _schema(tool: BaseTool) -> Mapping[str, Any]:
    if isinstance(tool, Tool) and tool.args_schema is None:
        return {"type": "object", "properties": tool.args, "required": list(tool.args)}
    found: Any = tool.tool_call_schema
    schema: Mapping[str, Any] = found if isinstance(found, dict) else found.model_json_schema()
    return schema


def _author(tool: BaseTool) -> type[BaseModel] | None:
    schema = tool.args_schema
    return schema if isinstance(schema, type) and issubclass(schema, BaseModel) else None


def _code(tool: BaseTool, schema: Mapping[str, Any]) -> str:
    """Digest of what the tool is: its functions and its model, or its class; and its schema."""
    ours = isinstance(tool, Tool | StructuredTool)
    author = [kind for kind in [_author(tool)] if kind is not None]
    parts = [*_functions(tool), *author] if ours else [type(tool), *author]
    # A callable object shows itself with its address: its class is what stays the same.
    plain = [part if inspect.isclass(part) or inspect.isroutine(part) else type(part) for part in parts]
    return digest([type(tool).__qualname__, *map(source_digest, plain), dict(schema)])

"""Reading a Python function as a tool: the schema of its arguments, of its facts, and how it is called."""

from __future__ import annotations

import inspect
import math
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import orjson
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError, create_model
from pydantic.errors import PydanticUserError
from pydantic_core import to_jsonable_python

from ..contracts.contract import faults_of
from ..contracts.digest import digest_text
from ..contracts.errors import ResultInvalid, ToolInvalid
from ..contracts.tool import Limit, SharedRecord

CONTEXT, OUTCOME = "ctx", "outcome"
# Names that LangChain takes for itself when it calls a tool.
RESERVED = frozenset({"config", "run_manager", "callbacks", "runtime", "state", "store", "tool_call_id"})
MAX_ARGUMENTS = 64 * 1024


@dataclass(frozen=True)
class Reading:
    """A function as a tool: its arguments' model, whether it wants the context, whether it is async.

    `result` is a model with the one field `result`, of the type that the function says it returns; None where it says
    nothing, `Any`, or what has no JSON Schema. `returns` is the JSON Schema of that type.
    """

    name: str
    model: type[BaseModel]
    takes_context: bool
    is_async: bool
    code: str
    names: tuple[str, ...]
    returns: Mapping[str, Any] | None = None
    result: type[BaseModel] | None = None

    @cached_property
    def schema(self) -> dict[str, Any]:
        """JSON Schema of the arguments, closed."""
        found = self.model.model_json_schema()
        found.pop("title", None)
        return {"type": "object", "properties": {}, **found, "additionalProperties": False}

    def validated(self, arguments: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
        """The arguments with defaults filled in, as JSON values, and what is wrong with them."""
        try:
            raw = orjson.dumps(arguments)
        except TypeError as error:
            return {}, [f"arguments: are not JSON ({error})"]
        if stray := _not_finite(arguments):
            return {}, [f"{path}: is not a finite number" for path in stray]  # orjson would write null
        if len(raw) > MAX_ARGUMENTS:
            return {}, [f"arguments: are {len(raw)} bytes, at most {MAX_ARGUMENTS} are allowed"]
        try:
            value = self.model.__pydantic_validator__.validate_json(raw, strict=True, extra="forbid")
            found = BaseModel.model_dump(value, mode="json")
            again = self.model.__pydantic_validator__.validate_json(orjson.dumps(found), strict=True, extra="forbid")
        except ValidationError as error:
            return {}, list(faults_of(error))
        # The function gets its values from what was judged. A validator that changes them again would part the two.
        if BaseModel.model_dump(again, mode="json") != found:
            return {}, ["arguments: a validator of this tool changes what it has changed already"]
        return found, []

    def python(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Validated JSON arguments as the Python values that the function's annotations name."""
        value = self.model.__pydantic_validator__.validate_json(orjson.dumps(arguments), strict=True)
        return {name: getattr(value, name) for name in self.names if name in type(value).model_fields}

    def returned(self, value: Any) -> Any:
        """What the function returned, as JSON values, once it is known to be of the type that is declared.

        What is one value in JSON is one here: an integer is a float, a tuple a list, a date its text. A text is no
        number, nor true an integer. Fields that are not declared are let through.

        Raises:
            ResultInvalid: it is something else.
            TypeError, ValueError: it is no JSON.
        """
        raw = orjson.dumps(to_jsonable_python(value))
        if self.result is not None:
            try:
                self.result.__pydantic_validator__.validate_json(b'{"result":%b}' % raw, strict=True)
            except ValidationError as error:
                # The type's own instances are right even where their JSON differs from what they are made of.
                if not self.result.__pydantic_validator__.isinstance_python({"result": value}, strict=True):
                    raise ResultInvalid(tool=self.name, faults=list(faults_of(error))) from None
        return orjson.loads(raw)


def read_function(function: Callable[..., Any], name: str) -> Reading:
    """Read a function's signature. Raises ToolInvalid with every fault."""
    faults: list[str] = []
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        faults.append("is a generator; a tool returns one value")
    try:
        hints = typing.get_type_hints(function, include_extras=True)
    except NameError as error:
        raise ToolInvalid(name=name, faults=[f"an annotation cannot be resolved: {error}"]) from None
    fields: dict[str, Any] = {}
    takes_context = False
    for parameter in inspect.signature(function).parameters.values():
        if parameter.name == CONTEXT:
            takes_context = True
            continue
        if parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL, parameter.POSITIONAL_ONLY):
            faults.append(f"parameter {parameter.name!r} is not an ordinary named parameter")
        elif parameter.name in RESERVED:
            faults.append(f"parameter {parameter.name!r} has a reserved name; reserved: {sorted(RESERVED)}")
        elif parameter.name not in hints:
            faults.append(f"parameter {parameter.name!r} has no annotation")
        else:
            default = ... if parameter.default is parameter.empty else parameter.default
            fields[parameter.name] = (hints[parameter.name], default)
    if faults:
        raise ToolInvalid(name=name, faults=faults)
    try:
        model = create_model(name, __config__=ConfigDict(extra="forbid"), **fields)
        model.model_json_schema()
    except Exception as error:  # noqa: BLE001 - Pydantic raises several kinds, all of them the author's to mend
        raise ToolInvalid(name=name, faults=[f"its arguments have no JSON Schema: {error}"]) from None
    if renamed := [n for n, f in model.model_fields.items() if f.alias or f.validation_alias]:
        raise ToolInvalid(name=name, faults=[f"parameter {n!r} has an alias; name it as it is called" for n in renamed])
    return Reading(
        name=name,
        model=model,
        takes_context=takes_context,
        is_async=inspect.iscoroutinefunction(function),
        code=source_digest(function),
        names=tuple(fields),
        returns=_returns(hints.get("return")),
        result=_result(hints.get("return")),
    )


def read_facts(function: Callable[..., Any], tool: Reading) -> dict[str, Any]:
    """The JSON Schema of a facts function's result; checks that it asks only for arguments the tool has."""
    hints = typing.get_type_hints(function, include_extras=True)
    check_helper(function, tool, "facts")
    faults = []
    if "return" not in hints:
        faults.append("facts function has no return annotation; annotate a TypedDict")
    if faults:
        raise ToolInvalid(name=tool.name, faults=faults)
    schema = _schema_of(hints["return"])
    if schema.get("type") != "object":
        raise ToolInvalid(name=tool.name, faults=["facts function must return a TypedDict or a model"])
    return schema


def _returns(hint: Any) -> dict[str, Any] | None:
    """The JSON Schema of what a function returns, for the origins that its fields declare; None where it has none."""
    try:
        return _schema_of(hint) if hint is not None else None
    except (PydanticUserError, RecursionError):
        return None


def _result(hint: Any) -> type[BaseModel] | None:
    """A model of what a function returns; None where there is nothing to hold it to."""
    if hint is None or hint is Any or _returns(hint) is None:
        return None
    found: type[BaseModel] = create_model("Result", result=(_readable(hint), ...))
    return found


def check_helper(function: Callable[..., Any], tool: Reading, what: str, *, beside: Sequence[str] = ()) -> None:
    """Check that a function which helps a tool asks only for arguments the tool has. Raises ToolInvalid."""
    wanted = [p for p in inspect.signature(function).parameters if p != CONTEXT and p not in beside]
    if stray := [p for p in wanted if p not in tool.names]:
        raise ToolInvalid(name=tool.name, faults=[f"{what} function wants {p!r}, which is no argument" for p in stray])


def check_limits(limits: Mapping[str, Limit], tool: Reading) -> None:
    """Check that each limited argument is a whole number, and that what it is counted by is an argument too.

    Raises:
        ToolInvalid: with every fault.
    """
    faults = []
    for name, limit in limits.items():
        if name not in tool.names:
            faults.append(f"limit for {name!r}, which is no argument")
        elif _kinds(tool.schema["properties"][name]) != {"integer"} or name not in tool.schema.get("required", ()):
            faults.append(f"limit for {name!r}, which is not a required whole number: count in the smallest unit")
        if limit.per and limit.per not in tool.names:
            faults.append(f"limit for {name!r} is counted by {limit.per!r}, which is no argument")
        given = [v for v in (limit.most, limit.run, limit.day, limit.ask) if v is not None]
        if not given or any(v < 0 for v in given):
            faults.append(f"limit for {name!r} sets none of `most`, `run`, `day` and `ask`, or a negative one")
    if faults:
        raise ToolInvalid(name=tool.name, faults=faults)


def check_transient(transient: Sequence[Any], tool: Reading) -> None:
    """Check that the errors that are declared to pass are classes of errors, and not simply all. Raises ToolInvalid."""
    faults = [
        f"transient error {cls!r} is no class of errors, or is all of them"
        for cls in transient
        if not (inspect.isclass(cls) and issubclass(cls, Exception)) or cls is Exception
    ]
    if faults:
        raise ToolInvalid(name=tool.name, faults=faults)


def _kinds(schema: Mapping[str, Any]) -> set[str]:
    return {str(schema.get("type", "?"))}


def check_record(record: SharedRecord, tool: Reading) -> None:
    """Check that a tool's shared record can be named by each of its calls. Raises ToolInvalid with every fault."""
    faults = []
    if not record.kind.isidentifier() or not record.kind.isascii():
        faults.append(f"the kind {record.kind!r} of its shared record is no identifier")
    if record.wait is not None and not record.wait >= 0:
        faults.append(f"the wait {record.wait} for its shared record is no number of seconds")
    if record.by not in tool.names:
        faults.append(f"its shared record is named by {record.by!r}, which is no argument")
    else:
        found = tool.schema["properties"][record.by]
        if reference := found.get("$ref"):
            found = tool.schema["$defs"][reference.rpartition("/")[2]]
        if found.get("type") not in ("string", "integer"):
            faults.append(f"its shared record is named by {record.by!r}, which is no string and no integer")
        if record.by not in tool.schema.get("required", ()):
            faults.append(f"its shared record is named by {record.by!r}, which is not required")
    if faults:
        raise ToolInvalid(name=tool.name, faults=faults)


def _schema_of(kind: Any) -> dict[str, Any]:
    """JSON Schema of a TypedDict, a model, or any other type that has one."""
    found: dict[str, Any] = TypeAdapter(_readable(kind)).json_schema()
    return found


def _readable(kind: Any) -> Any:
    """A type as Pydantic reads it, which itself takes typing.TypedDict from Python 3.12 only."""
    if not typing.is_typeddict(kind):
        return kind
    required: frozenset[str] = kind.__required_keys__
    fields: dict[str, Any] = {
        name: (hint, ... if name in required else None) for name, hint in typing.get_type_hints(kind).items()
    }
    return create_model(kind.__name__, **fields)


def _not_finite(value: Any, path: str = "") -> list[str]:
    """Where a float is that JSON cannot hold."""
    if isinstance(value, float):
        return [] if math.isfinite(value) else [path or "arguments"]
    if isinstance(value, Mapping):
        return [p for k, v in value.items() for p in _not_finite(v, f"{path}.{k}" if path else str(k))]
    if isinstance(value, list | tuple):
        return [p for i, v in enumerate(value) for p in _not_finite(v, f"{path}.{i}")]
    return []


def source_digest(function: Callable[..., Any]) -> str:
    """Digest of a function's source; of its bytecode where there is no source (a shell, say)."""
    try:
        return digest_text(inspect.getsource(function))
    except (OSError, TypeError):
        code = getattr(function, "__code__", None)
        return digest_text(repr((code.co_code, code.co_consts) if code else function))


def as_json(value: Any) -> Any:
    """What a tool returned, as JSON values. Raises TypeError or ValueError for what is not."""
    return orjson.loads(orjson.dumps(to_jsonable_python(value)))

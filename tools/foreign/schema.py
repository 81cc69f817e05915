"""Reading a JSON Schema as the arguments of a tool, for tools that no Python function of ours describes.

What comes in is a schema that somebody else wrote. What comes out is checked as strictly as the arguments of `@tool`:
no coercion (1.0 is no integer here), no unknown keys at any level, and a schema that cannot be enforced in full is
refused when the tool is registered. What a schema says for programs only (`x-` keywords) is left out: it could say
that a text is a validated id, which would end taint.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.validators import extend
from pydantic import BaseModel, ValidationError
from referencing import Registry

from ...contracts.contract import faults_of
from ...contracts.errors import ContractInvalid, ToolInvalid
from ...contracts.schema_faults import lines_of, refusal
from ...contracts.schema_keywords import faults_in, validator_of
from ...contracts.schema_model import MAX_FAULTS, model_of
from ..function import CONTEXT, Reading
from .dialect import plain

_WHOLE = Draft202012Validator.TYPE_CHECKER.redefine(
    "integer", lambda _, value: isinstance(value, int) and not isinstance(value, bool)
)
_Strict: Any = extend(type(validator_of({})), type_checker=_WHOLE)  # type: ignore[no-untyped-call]


@dataclass(frozen=True)
class SchemaReading(Reading):
    """Arguments as a JSON Schema has them. The function gets the JSON values as they were judged.

    Attributes:
        author: the Pydantic model that the function's own framework will parse the arguments with, None where it does
            not. It is asked first, so that what is judged is what it will make of them, its defaults included.
    """

    author: type[BaseModel] | None = None

    @cached_property
    def _strict(self) -> Any:
        return _Strict(self.schema, registry=Registry())

    def validated(self, arguments: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
        """The arguments as they will be used, and what is wrong with them."""
        found, faults = super().validated(arguments)
        faults = faults or self._faults(found)
        if faults or self.author is None:
            return ({}, faults) if faults else (found, [])
        try:
            return self._parsed(self.author, found)
        except ValidationError as error:
            return {}, list(faults_of(error))
        except Exception as error:  # noqa: BLE001 - a validator may raise anything, and that is never permission
            return {}, [f"arguments: a validator of this tool failed ({type(error).__name__})"]

    def _faults(self, found: Mapping[str, Any]) -> list[str]:
        # JSON Schema takes 1.0 for an integer. The gate takes nothing for anything else.
        wrong = faults_in(self._strict, found, MAX_FAULTS)
        if wrong is None:
            return ["arguments: are nested too deeply to be checked"]
        if not wrong:
            return []
        return list(faults_of(refusal(self.name, [line for fault in wrong for line in lines_of(fault)])))

    def _parsed(self, author: type[BaseModel], given: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
        found = BaseModel.model_dump(author.model_validate(given), mode="json")
        if lost := sorted(set(given) - set(found)):
            return {}, [f"{name}: is lost by a validator of this tool" for name in lost]
        # A default is the author's word; one that does not fit the schema cannot be passed on, and comes by itself.
        for name in set(found) - set(given):
            if self._faults(given | {name: found[name]}):
                del found[name]
        if faults := self._faults(found):
            return {}, faults
        if BaseModel.model_dump(author.model_validate(found), mode="json", include=set(found)) != found:
            return {}, ["arguments: a validator of this tool changes what it has changed already"]
        return found, []

    def python(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """The JSON values themselves: an argument that was not given is not there."""
        return dict(arguments)


def read_schema(name: str, schema: Any, code: str) -> SchemaReading:
    """The arguments that a JSON Schema describes.

    Drafts 6 to 2020-12 are understood, as far as they can be enforced. References stay inside the document. Objects
    take no other keys than those they list, whatever the schema says; an object that lists none takes none, unless
    it says `additionalProperties`.

    Args:
        name: the tool's.
        schema: of an object; as it came, nothing of it is believed.
        code: digest of what the tool is, which rises into its digest.

    Raises:
        ToolInvalid: with everything in the schema that cannot be enforced.
    """
    document, faults = plain(schema)
    names = tuple(document.get("properties", ()))
    if CONTEXT in names:
        faults.append(f"argument {CONTEXT!r} has the name of the run's context, which a model must not fill in")
    if faults:
        raise ToolInvalid(name=name, faults=faults)
    try:
        model = model_of(document, name)
    except ContractInvalid as error:
        raise ToolInvalid(name=name, faults=error.faults) from None
    return SchemaReading(name=name, model=model, takes_context=False, is_async=False, code=code, names=names)


class _Names(inspect.Signature):
    """A signature whose parameters have the names of arguments, such as `from` and `per-page`, that Python has not."""

    def __init__(self, names: tuple[str, ...], signature: inspect.Signature) -> None:
        super().__init__(list(signature.parameters.values()))
        own = {n: p for n, p in super().parameters.items() if p.kind is not p.VAR_KEYWORD}
        rest = next(p for p in super().parameters.values() if p.kind is p.VAR_KEYWORD)
        self._named = MappingProxyType({**dict.fromkeys(names, rest), **own})

    @property
    def parameters(self) -> MappingProxyType[str, inspect.Parameter]:
        return self._named


def named(function: Callable[..., Any], names: tuple[str, ...]) -> Callable[..., Any]:
    """`function` as the gate's drivers can call it, which give a function the arguments that its signature names.

    One that takes `**` gets all of them; any other is given back as it is.
    """
    signature = inspect.signature(function)
    if not any(p.kind is p.VAR_KEYWORD for p in signature.parameters.values()):
        return function

    async def awaited(**given: Any) -> Any:
        return await function(**given)

    def called(**given: Any) -> Any:
        return function(**given)

    # A function of its own: the signature of what was given stays as it was.
    made: Any = awaited if inspect.iscoroutinefunction(function) else called
    made.__signature__ = _Names(names, signature)
    chosen: Callable[..., Any] = made
    return chosen

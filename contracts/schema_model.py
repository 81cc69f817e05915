"""A Pydantic model class for a JSON Schema document, so that a contract can be loaded from a file.

Its validation is the JSON Schema itself (draft 2020-12, library `jsonschema`), with these differences, all of them
stricter or safer:

- Objects that list properties take no others, and a discriminator's tag must be there; see `json_schema.closed`.
- Only keywords that the rest of Edgewright understands are taken. `not`, `if`, `$dynamicRef`, remote references and
  misspelt keywords are refused when the contract is defined: what nobody checks would be a hole.
- `format` is checked, by Pydantic's own types; a format that nothing here can check is refused.
- `pattern` runs on the Rust engine that Pydantic uses, in linear time: no payload can stall it. It searches; anchor it.
- One payload may follow 50,000 references at most: nested unions can take exponential time.

As JSON Schema has it, 1.0 is an integer, and nothing is coerced: what was given crosses as given. Defaults are words,
they are not filled in.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.fields import FieldInfo
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticUndefined, core_schema

from .digest import canonical
from .errors import ContractInvalid
from .json_schema import Node, closed, mapped, resolved
from .schema_document import faults_of_document
from .schema_faults import line, lines_of, refusal
from .schema_keywords import faults_in, validator_of

MAX_FAULTS = 50


def model_of(document: Mapping[str, Any], name: str) -> type[BaseModel]:
    """A model class whose instances hold exactly what the document accepts.

    `model_json_schema()` gives the document back, `model_dump()` of an instance the payload as it was given. It works
    as any model does: in `TypeAdapter`, as a field's type, in strict JSON validation.

    Args:
        document: JSON Schema of an object, with `$defs` if need be.
        name: the class's name.

    Raises:
        ContractInvalid: with everything that is wrong with the document.
    """
    if faults := faults_of_document(document):
        raise ContractInvalid(name=name, faults=faults)
    kept = deepcopy(dict(document))
    top = kept if "properties" in kept else resolved(kept, kept["$ref"])
    required = top.get("required", ())
    fields = {
        field: FieldInfo(
            annotation=Any,
            description=schema.get("description") if isinstance(schema, Mapping) else None,
            json_schema_extra={k: v for k, v in schema.items() if k.startswith("x-")} if schema is not True else None,
            default=PydanticUndefined if field in required else None,
        )
        for field, schema in top["properties"].items()
    }
    checked = validator_of(closed(kept))
    made: type[_Document] = type(
        name,
        (_Document,),
        {"__module__": __name__, "__doc__": top.get("description"), "_kept": kept, "_check": checked},
    )
    made.__pydantic_fields__ = fields
    return made


class _Document(BaseModel):
    """Base of the models made here. What was given lies in `__dict__`, as JSON values."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)
    _kept: ClassVar[dict[str, Any]] = {}
    _check: ClassVar[Any] = None

    def __init__(self, /, **given: Any) -> None:
        self._fill(self._valid(given))

    def _fill(self, payload: dict[str, Any]) -> None:
        object.__setattr__(self, "__dict__", payload)
        object.__setattr__(self, "__pydantic_fields_set__", set(payload))
        object.__setattr__(self, "__pydantic_extra__", None)
        object.__setattr__(self, "__pydantic_private__", None)

    @classmethod
    def _valid(cls, given: Any) -> dict[str, Any]:
        """The payload, a copy. Raises pydantic's ValidationError with a line for each fault and no value in it."""
        if isinstance(given, _Document):
            given = given.__dict__
        if not isinstance(given, dict):
            raise refusal(cls.__name__, [line((), "dict_type", {})])
        try:
            canonical(given)
        except (TypeError, RecursionError):  # infinities, integers beyond 64 bits, what is nested without end
            raise refusal(cls.__name__, [line((), "literal_error", {"expected": "plain JSON"})]) from None
        found = faults_in(cls._check, given, MAX_FAULTS)
        if found is None:
            raise refusal(cls.__name__, [line((), "literal_error", {"expected": "less deeply nested"})])
        lines = [told for fault in found for told in lines_of(fault)]
        if lines:
            raise refusal(cls.__name__, lines)
        return deepcopy(given)

    @classmethod
    def _made(cls, given: Any) -> _Document:
        payload = cls._valid(given)
        made = cls.__new__(cls)
        made._fill(payload)
        return made

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        dumped = core_schema.plain_serializer_function_ser_schema(lambda value: deepcopy(value.__dict__))
        return core_schema.no_info_plain_validator_function(cls._made, serialization=dumped)

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """For schemas of what holds this model: references written out, since `$defs` belong to the outer document."""
        found: JsonSchemaValue = _written_out(Node(cls._kept, cls._kept), ())
        return found

    @classmethod
    def model_json_schema(cls, *_: Any, **__: Any) -> dict[str, Any]:
        """The document that the model was made of, whatever is asked."""
        return deepcopy(cls._kept)


def _written_out(node: Node, seen: tuple[str, ...]) -> Any:
    s = node.schema
    if isinstance(s, Mapping) and "$ref" in s:
        target, rest = node.target(), {k: v for k, v in s.items() if k not in ("$ref", "$defs")}
        if s["$ref"] in seen or target is None:  # inside itself: there its form is not told again
            return rest
        inner = _written_out(target, (*seen, s["$ref"]))
        return {**(inner if isinstance(inner, dict) else {}), **rest}
    found = mapped(s, lambda one: _written_out(node.at(one), seen))
    return {k: v for k, v in found.items() if k not in ("$defs", "discriminator")} if isinstance(found, dict) else found

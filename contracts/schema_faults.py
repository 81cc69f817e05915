"""Faults of JSON Schema as Pydantic says them: where, and which rule; never the value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from jsonschema import ValidationError
from pydantic_core import InitErrorDetails
from pydantic_core import ValidationError as Refused

from .json_schema import Node
from .phrases import described, few, quoted

_TYPES = {
    "string": "string_type",
    "integer": "int_type",
    "number": "float_type",
    "boolean": "bool_type",
    "array": "list_type",
    "object": "dict_type",
    "null": "none_required",
}
_BOUNDS = {
    "minimum": ("greater_than_equal", "ge"),
    "maximum": ("less_than_equal", "le"),
    "exclusiveMinimum": ("greater_than", "gt"),
    "exclusiveMaximum": ("less_than", "lt"),
    "multipleOf": ("multiple_of", "multiple_of"),
    "minLength": ("string_too_short", "min_length"),
    "maxLength": ("string_too_long", "max_length"),
}
_SIZES = {
    "minItems": ("too_short", "min_length", "List"),
    "maxItems": ("too_long", "max_length", "List"),
    "minProperties": ("too_short", "min_length", "Dictionary"),
    "maxProperties": ("too_long", "max_length", "Dictionary"),
}


def lines_of(error: ValidationError) -> Iterator[InitErrorDetails]:
    """One fault, as lines of a Pydantic error."""
    loc, rule, wanted = tuple(error.absolute_path), str(error.validator), _any(error.validator_value)
    if rule in _BOUNDS:
        kind, key = _BOUNDS[rule]
        yield line(loc, kind, {key: wanted})
    elif rule in _SIZES:
        kind, key, what = _SIZES[rule]
        yield line(loc, kind, {"field_type": what, key: wanted, "actual_length": len(_any(error.instance))})
    elif rule == "required":
        yield line(loc, "missing", {})
    elif rule == "additionalProperties":
        yield line(loc, "extra_forbidden", {})
    elif rule == "type" and isinstance(wanted, str):
        yield line(loc, _TYPES[wanted], {})
    elif rule == "pattern":
        yield line(loc, "string_pattern_mismatch", {"pattern": wanted})
    elif rule == "enum":
        yield line(loc, "literal_error", {"expected": few(wanted)})
    elif rule == "const":
        yield line(loc, "literal_error", {"expected": quoted(wanted)})
    elif rule in ("anyOf", "oneOf") and (near := _nearest(error)):
        for inner in near:
            yield from lines_of(inner)
    elif rule in ("anyOf", "oneOf"):
        whole = error.schema if isinstance(error.schema, Mapping) else {}
        count = "exactly " if rule == "oneOf" else ""
        yield line(loc, "literal_error", {"expected": f"{count}one of: {described(Node({rule: wanted}, whole))}"})
    elif rule == "uniqueItems":
        yield line(loc, "literal_error", {"expected": "a list without repetitions"})
    elif rule == "format":
        yield line(loc, "literal_error", {"expected": f"in the format {quoted(wanted)}"})
    else:
        yield line(loc, "literal_error", {"expected": f"as {rule} of the schema has it"})


def _nearest(error: ValidationError) -> list[ValidationError]:
    """The faults of the one option that the value is of the type (and tag) of; none where there are several."""
    options: dict[Any, list[ValidationError]] = {}
    for inner in error.context or ():
        options.setdefault(inner.schema_path[0], []).append(inner)
    alike = [found for found in options.values() if not any(_wrong_kind(f) for f in found)]
    return alike[0] if len(alike) == 1 else []


def _wrong_kind(fault: ValidationError) -> bool:
    return (fault.validator == "type" and not fault.path) or (fault.validator == "const" and len(fault.path) == 1)


def _any(value: Any) -> Any:
    """The library's stubs have a marker for what a made error lacks; errors of a validation lack nothing."""
    return value


def line(loc: tuple[str | int, ...], kind: str, context: dict[str, Any]) -> InitErrorDetails:
    """One line; `kind` is a Pydantic error type, which has the words."""
    return InitErrorDetails(type=kind, loc=loc, input=None, ctx=context)


def refusal(title: str, lines: list[InitErrorDetails]) -> Refused:
    """The error of a refused payload."""
    return Refused.from_exception_data(title, lines, hide_input=True)

"""JSON Schema's keywords as contracts check them: where ours differ from the library's, and why."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextvars import ContextVar
from typing import Any

from jsonschema import Draft202012Validator, ValidationError
from jsonschema.validators import extend
from pydantic_core import CoreSchema, SchemaValidator, core_schema
from pydantic_core import ValidationError as Refused
from referencing import Registry

from .digest import canonical

MAX_REFERENCES = 50_000
_ASSERTED: dict[str, CoreSchema] = {
    "date": core_schema.date_schema(),
    "date-time": core_schema.datetime_schema(),
    "time": core_schema.time_schema(),
    "duration": core_schema.timedelta_schema(),
    "uuid": core_schema.uuid_schema(),
    "uri": core_schema.url_schema(),
}
ANY_TEXT = frozenset(("binary", "password"))
"""Formats that say what to do with a text, and refuse none."""
_BEGINS_WITH_DATE = "^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ]"
FORMATS = {name: SchemaValidator(schema) for name, schema in _ASSERTED.items()}
_left: ContextVar[list[int]] = ContextVar("references_left")


class _TooLong(Exception):
    pass


def faults_in(validator: Any, payload: Any, most: int) -> list[ValidationError] | None:
    """The first faults of a payload; None where it is nested so deeply that looking for them does not end soon."""
    allowed = _left.set([MAX_REFERENCES])
    try:
        return [error for _, error in zip(range(most), validator.iter_errors(payload), strict=False)]
    except (_TooLong, RecursionError):
        return None
    finally:
        _left.reset(allowed)


def validator_of(document: Mapping[str, Any]) -> Any:
    """A validator for a closed document. References out of it are never fetched."""
    return _Checked(document, registry=Registry())


_patterns: dict[str, SchemaValidator] = {}


def searching(pattern: str) -> SchemaValidator:
    """A validator that takes texts in which the pattern is found. Raises SchemaError for a bad one."""
    if pattern not in _patterns:
        if len(_patterns) >= 1024:
            _patterns.clear()
        _patterns[pattern] = SchemaValidator(core_schema.str_schema(pattern=pattern, regex_engine="rust-regex"))
    return _patterns[pattern]


def _ref(validator: Any, ref: str, instance: Any, schema: Any) -> Iterator[ValidationError]:
    left = _left.get([MAX_REFERENCES])
    left[0] -= 1
    if left[0] < 0:
        raise _TooLong
    yield from Draft202012Validator.VALIDATORS["$ref"](validator, ref, instance, schema) or ()


def _pattern(validator: Any, pattern: str, instance: Any, schema: Any) -> Iterator[ValidationError]:
    if isinstance(instance, str) and not searching(pattern).isinstance_python(instance):
        yield ValidationError("pattern")


def _format(validator: Any, name: str, instance: Any, schema: Any) -> Iterator[ValidationError]:
    if isinstance(instance, str) and name in FORMATS and not _reads(name, instance):
        yield ValidationError("format")


def _reads(name: str, text: str) -> bool:
    if name == "date-time" and not searching(_BEGINS_WITH_DATE).isinstance_python(text):
        return False  # Pydantic reads seconds since 1970 as well
    try:
        FORMATS[name].validate_json(canonical(text), strict=True)
    except Refused:
        return False
    return True


def _by_pattern(validator: Any, wanted: Mapping[str, Any], instance: Any, schema: Any) -> Iterator[ValidationError]:
    """As Pydantic has it: every key matches one of the patterns, or is listed."""
    if not isinstance(instance, dict):
        return
    for key, value in instance.items():
        matching = [inner for pattern, inner in wanted.items() if searching(pattern).isinstance_python(key)]
        if not matching and key not in schema.get("properties", {}):
            yield ValidationError("key", path=(key,), validator="additionalProperties")
        for inner in matching:
            yield from validator.descend(value, inner, path=key, schema_path=key)


def _others(validator: Any, wanted: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
    if not isinstance(instance, dict) or "patternProperties" in schema:
        return
    for key, value in instance.items():
        if key in schema.get("properties", {}):
            continue
        if wanted is False:
            yield ValidationError("extra", path=(key,))
        else:
            yield from validator.descend(value, wanted, path=key)


def _required(validator: Any, names: Sequence[str], instance: Any, schema: Any) -> Iterator[ValidationError]:
    if isinstance(instance, dict):
        yield from (ValidationError("missing", path=(name,)) for name in names if name not in instance)


def _unique(validator: Any, wanted: bool, instance: Any, schema: Any) -> Iterator[ValidationError]:
    if wanted and isinstance(instance, list) and len({canonical(_alike(v)) for v in instance}) < len(instance):
        yield ValidationError("repetition")


def _alike(value: Any) -> Any:
    """1 and 1.0 are one number."""
    if isinstance(value, float) and math.isfinite(value) and value == int(value):
        return int(value) if abs(value) < 2**53 else value
    if isinstance(value, dict):
        return {k: _alike(v) for k, v in value.items()}
    return [_alike(v) for v in value] if isinstance(value, list) else value


_Checked = extend(  # type: ignore[no-untyped-call]
    Draft202012Validator,
    {
        "$ref": _ref,
        "pattern": _pattern,
        "format": _format,
        "patternProperties": _by_pattern,
        "additionalProperties": _others,
        "required": _required,
        "uniqueItems": _unique,
    },
)

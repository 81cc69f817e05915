"""Whether a JSON Schema document can define a contract: everything in it is understood, and ends."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from jsonschema import Draft202012Validator
from pydantic_core import SchemaError

from .digest import canonical
from .json_schema import inside, is_annotation, resolved, understood
from .labels import REGISTRY
from .phrases import quoted
from .schema_keywords import ANY_TEXT, FORMATS, searching

MAX_DOCUMENT = 256 * 1024
_DRAFT = "https://json-schema.org/draft/2020-12/schema"


def faults_of_document(document: Any) -> list[str]:
    """Everything that keeps a document from defining a contract."""
    if not isinstance(document, Mapping):
        return [f"a JSON Schema of an object is needed, not a {type(document).__name__}"]
    try:
        if len(canonical(dict(document))) > MAX_DOCUMENT:
            return [f"the schema is larger than {MAX_DOCUMENT} bytes"]
    except (TypeError, RecursionError) as error:
        return [f"the schema is not JSON: {error}"]
    if document.get("$schema", _DRAFT).rstrip("#") != _DRAFT:
        return [f"it is written for {quoted(document['$schema'])}; only draft 2020-12 is understood ({_DRAFT})"]
    meta = Draft202012Validator(Draft202012Validator.META_SCHEMA)
    faults = [f"{_at(e.absolute_path)}: {e.message}" for e in meta.iter_errors(dict(document))]
    if faults:
        return faults
    faults = list(_inner_faults(document, document, "#"))
    top = resolved(document, document["$ref"]) if set(document) >= {"$ref"} else document
    if not isinstance(top, Mapping) or top.get("type") != "object" or "properties" not in top:
        faults.append("at its top it must be an object that lists its properties")
    return faults


def _at(path: Iterable[str | int]) -> str:
    return "/".join(["#", *map(str, path)])


def _inner_faults(schema: Any, document: Mapping[str, Any], path: str) -> Iterator[str]:
    if not isinstance(schema, Mapping):
        return
    for key, value in schema.items():
        if key == "$schema" and path != "#":
            yield f"{path}: $schema belongs at the top"
        elif key == REGISTRY and not isinstance(value, str):
            yield f"{path}: {REGISTRY} takes the name of a registry"
        elif key == "$ref":
            if resolved(document, value) is None:
                yield f"{path}: $ref {quoted(value)} points to nothing in the document; others are never fetched"
            elif _circles(value, document):
                yield f"{path}: $ref {quoted(value)} leads back to itself and says nothing"
        elif key == "format" and value not in FORMATS and value not in ANY_TEXT:
            known = ", ".join(sorted({*FORMATS, *ANY_TEXT}))
            yield f"{path}: format {quoted(value)} cannot be checked here; known: {known}; or write a pattern"
        elif key == "pattern":
            yield from _bad_pattern(value, path)
        elif key == "patternProperties":
            yield from (fault for pattern in value for fault in _bad_pattern(pattern, path))
        elif not (understood(key, value) or is_annotation(key)):
            yield f"{path}: keyword {quoted(key)} is not one that a contract can be checked by"
    for where, inner in inside(schema):
        yield from _inner_faults(inner, document, f"{path}/{where}")


def _circles(ref: str, document: Mapping[str, Any]) -> bool:
    """Whether a chain of references and unions comes back without a step into the payload."""
    left, seen = [ref], set[str]()
    while left:
        here = left.pop()
        target = resolved(document, here)
        for form in _forms(target):
            if "$ref" in form:
                if form["$ref"] == ref:
                    return True
                if form["$ref"] not in seen:
                    seen.add(form["$ref"])
                    left.append(form["$ref"])
    return False


def _forms(schema: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(schema, Mapping):
        yield schema
        for key in ("anyOf", "oneOf", "allOf"):
            for option in schema.get(key, ()):
                yield from _forms(option)


def _bad_pattern(pattern: str, path: str) -> Iterator[str]:
    try:
        searching(pattern)
    except SchemaError:
        yield f"{path}: pattern {quoted(pattern)} is not one of the linear kind (no look-around, no back-reference)"

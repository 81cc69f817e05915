"""What a tool's result is made of: its records, and the label of each value in them.

A result is labelled as its tool declares it. A field of a result that declares its own origin or sensitivity
(`Annotated[str, Origin("trusted")]`) has that instead: an id that a mail server mints is believed, the text beside it
is not. What is nearest to the value counts for its origin; sensitivity can only rise.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from .labels import INTEGRITIES, ORIGIN, SENSITIVE, SENSITIVITIES, Integrity, Label, Sensitivity, highest, schemas_of


@dataclass(slots=True)
class Part:
    """A text or number in a result, with its label. `declared`: its own field says that it is believed."""

    name: str
    value: Any
    label: Label
    declared: bool


@dataclass(slots=True)
class Record:
    """The values that stand side by side in one JSON object; a value that stands alone is a record of its own."""

    parts: list[Part] = field(default_factory=list)


def records_of(value: Any, schema: Mapping[str, Any] | None, label: Label) -> Iterator[Record]:
    """The records of a result, however deep. Keys that no schema names are values too.

    Args:
        schema: JSON Schema of the result, None where its tool does not say; then all of it has `label`.
    """
    yield from _Reading((schema or {}).get("$defs", {})).records(value, schema or {}, label, "", declared=False)


@dataclass(frozen=True, slots=True)
class _Reading:
    defs: Mapping[str, Any]

    def records(self, value: Any, schema: Any, label: Label, name: str, *, declared: bool) -> Iterator[Record]:
        schema, label, declared = self._at(value, schema, label, declared)
        if isinstance(value, Mapping):
            yield from self._object(value, schema, label, declared)
        elif isinstance(value, list | tuple):
            first, items = schema.get("prefixItems", ()), schema.get("items", {})
            for index, item in enumerate(value):
                below = first[index] if index < len(first) else items
                yield from self.records(item, below, label, name, declared=declared)
        elif value is not None:
            yield Record([Part(name, value, label, declared)])

    def _object(self, value: Mapping[str, Any], schema: Any, label: Label, declared: bool) -> Iterator[Record]:
        here, inside = Record(), []
        known = schema.get("properties", {})
        for key, inner in value.items():
            if key not in known:
                here.parts.append(Part("", key, label, False))
            said = schemas_of(str(key), schema)
            below = said[0] if len(said) == 1 else {"anyOf": said}
            for found in self.records(inner, below, label, key, declared=declared):
                if isinstance(inner, Mapping) or _holds_objects(inner):
                    inside.append(found)
                else:
                    here.parts += found.parts
        if here.parts:
            yield here
        yield from inside

    def _at(self, value: Any, schema: Any, label: Label, declared: bool) -> tuple[Mapping[str, Any], Label, bool]:
        """The schema that describes a value, and what it and those around it say of its label."""
        seen = 0
        while isinstance(schema, Mapping):
            if ORIGIN in schema:
                origin: Integrity = schema[ORIGIN] if schema[ORIGIN] in INTEGRITIES else "untrusted"
                label, declared = Label(origin, label.sensitivity), origin != "untrusted"
            if SENSITIVE in schema:
                level: Sensitivity = schema[SENSITIVE] if schema[SENSITIVE] in SENSITIVITIES else "secret"
                label = label.joined(Label("trusted", level))
            options = [o for k in ("anyOf", "oneOf", "allOf") for o in schema.get(k, ())]
            if "$ref" in schema and seen < len(self.defs) + 1:
                seen += 1
                schema = self.defs.get(str(schema["$ref"]).rpartition("/")[2], {})
            elif options:
                # Of several forms only one that alone can be meant: what is not clear declares nothing.
                fitting = [o for o in options if self._fits(value, o)]
                if len(fitting) != 1:
                    worst = highest({"anyOf": options}, self.defs)
                    return {}, Label("untrusted", label.joined(Label("trusted", worst)).sensitivity), False
                schema = fitting[0]
            else:
                return schema, label, declared
        return {}, label, declared

    def _fits(self, value: Any, schema: Any) -> bool:
        if not isinstance(schema, Mapping):
            return False
        if "$ref" in schema:
            schema = self.defs.get(str(schema["$ref"]).rpartition("/")[2], {})
        return _KINDS.get(str(schema.get("type", "object")), lambda _: False)(value)


_KINDS = {
    "object": lambda v: isinstance(v, Mapping),
    "array": lambda v: isinstance(v, list),
    "string": lambda v: isinstance(v, str),
    "boolean": lambda v: isinstance(v, bool),
    "integer": lambda v: isinstance(v, int) and not isinstance(v, bool),
    "number": lambda v: isinstance(v, int | float) and not isinstance(v, bool),
    "null": lambda v: v is None,
}


def _holds_objects(value: Any) -> bool:
    return isinstance(value, list | tuple) and any(isinstance(v, Mapping) or _holds_objects(v) for v in value)

"""From JSON Schema to a Cedar schema: the types a policy is checked against.

string → String, integer → Long, boolean → Bool, array of those → Set, object → record, nullable or not required →
optional. What has no Cedar type (numbers with fractions, unions of several types, free-form objects) is left out of
`args` and named in `context.unmodelled`, so that a rule can refuse it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from .tool import ToolSpec

_SCALARS = {"string": "String", "integer": "Long", "boolean": "Bool"}
_BASE = "env: String, sink: Bool, calls: Long, done: Set<String>, approvals: Set<String>, unmodelled: Set<String>"


def _resolved(schema: Mapping[str, Any], defs: Mapping[str, Any]) -> tuple[Mapping[str, Any], bool]:
    """The schema with `$ref` followed and `null` taken out, and whether it was nullable."""
    if "$ref" in schema:
        return _resolved(defs[schema["$ref"].rsplit("/", 1)[-1]], defs)
    if len(schema.get("allOf", ())) == 1:
        return _resolved(schema["allOf"][0], defs)
    options = schema.get("anyOf") or schema.get("oneOf")
    if options:
        real = [o for o in options if o.get("type") != "null"]
        if len(real) == 1:
            return _resolved(real[0], defs)[0], len(real) < len(options)
        return {}, len(real) < len(options)
    kind = schema.get("type")
    if isinstance(kind, list):
        real_kinds = [k for k in kind if k != "null"]
        return ({**schema, "type": real_kinds[0]} if len(real_kinds) == 1 else {}), "null" in kind
    return schema, False


def cedar_type(schema: Mapping[str, Any], defs: Mapping[str, Any]) -> str | None:
    """The Cedar type of a JSON Schema, or None where it has none."""
    schema, _ = _resolved(schema, defs)
    kind = schema.get("type")
    if kind is None and ("enum" in schema or "const" in schema):
        values = schema.get("enum", [schema.get("const")])
        kind = "string" if all(isinstance(v, str) for v in values) else None
    if kind in _SCALARS:
        return _SCALARS[kind]
    if kind == "array":
        item = cedar_type(schema.get("items", {}), defs)
        return f"Set<{item}>" if item else None
    if kind == "object" and schema.get("properties"):
        return cedar_record(schema, defs)
    return None


def cedar_record(schema: Mapping[str, Any], defs: Mapping[str, Any] | None = None) -> str:
    """A Cedar record type for an object schema; what has no type is left out."""
    defs = defs if defs is not None else schema.get("$defs", {})
    required = set(schema.get("required", ()))
    parts = []
    for name, inner in schema.get("properties", {}).items():
        kind = cedar_type(inner, defs)
        if kind:
            optional = "?" if name not in required or _resolved(inner, defs)[1] else ""
            parts.append(f'"{name}"{optional}: {kind}')
    return "{ " + ", ".join(parts) + " }" if parts else "{}"


def cedar_value(value: Any, schema: Mapping[str, Any], defs: Mapping[str, Any]) -> Any:
    """`value` as its Cedar type holds it: nulls and unmodelled parts left out."""
    schema, _ = _resolved(schema, defs)
    if isinstance(value, Mapping):
        inner = schema.get("properties", {})
        return {
            k: cedar_value(v, inner[k], defs)
            for k, v in value.items()
            if k in inner and v is not None and cedar_type(inner[k], defs)
        }
    return value


def unmodelled(value: Mapping[str, Any], schema: Mapping[str, Any]) -> list[str]:
    """Names of the top-level values that have no Cedar type."""
    defs, inner = schema.get("$defs", {}), schema.get("properties", {})
    return [k for k in value if k not in inner or cedar_type(inner[k], defs) is None]


def cedar_schema(agents: Iterable[str], tools: Iterable[ToolSpec], request: Mapping[str, Any] | None) -> str:
    """A Cedar schema (text form): one action per tool, inside the action of its effect."""
    asked = cedar_record(request) if request else "{}"
    lines = ["entity Agent;", "entity Tool;", 'action "read", "write", "irreversible";']
    for spec in tools:
        facts = f", facts: {cedar_record(spec.facts)}" if spec.facts is not None else ""
        lines.append(
            f'action "call:{spec.name}" in ["{spec.effect}"] appliesTo {{ principal: [Agent], resource: [Tool], '
            f"context: {{ {_BASE}, request: {asked}, args: {cedar_record(spec.parameters)}{facts} }} }};"
        )
    return "\n".join(lines) + "\n"

"""From JSON Schema to a Cedar schema: the types a policy is checked against.

string → String, integer → Long, boolean → Bool, array of those → Set, object → record, nullable or not required →
optional. What has no Cedar type (numbers with fractions, unions of several types, free-form objects) is left out of
`args` and named in `context.unmodelled`, so that a rule can refuse it. So is a type inside itself.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from .tool import ToolSpec

_SCALARS = {"string": "String", "integer": "Long", "boolean": "Bool"}
_BASE = {
    **dict.fromkeys(("env", "tenant", "effect"), "String"),
    **dict.fromkeys(("sink", "exposed", "fixed", "foreseen"), "Bool"),
    **dict.fromkeys(("calls", "recent", "asked"), "Long"),
    **dict.fromkeys(("done", "approvals", "unmodelled"), "Set<String>"),
    **dict.fromkeys(("tainted", "private", "unnamed", "distant", "active", "large"), "Set<String>"),
    "roles": "{ target: Set<String>, ref: Set<String>, scalar: Set<String>, content: Set<String> }",
}


_Defs = Mapping[str, Any]


def _resolved(schema: Mapping[str, Any], defs: _Defs) -> tuple[Mapping[str, Any], bool, _Defs]:
    """The schema with `$ref` followed and `null` taken out, whether it was nullable, and the definitions for inside.

    A schema that is no mapping (`true`), or that refers to what is not there, has no type: {}. Inside a definition
    that definition is not there: a type that contains itself would not end.
    """
    if not isinstance(schema, Mapping):
        return {}, False, defs
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[-1]
        return _resolved(defs.get(name, {}), {k: v for k, v in defs.items() if k != name})
    if len(schema.get("allOf", ())) == 1:
        return _resolved(schema["allOf"][0], defs)
    options = schema.get("anyOf") or schema.get("oneOf")
    if options:
        real = [o for o in options if o.get("type") != "null"]
        found, nullable, inside = _resolved(real[0], defs) if len(real) == 1 else ({}, False, defs)
        return found, nullable or len(real) < len(options), inside
    kind = schema.get("type")
    if isinstance(kind, list):
        real_kinds = [k for k in kind if k != "null"]
        return ({**schema, "type": real_kinds[0]} if len(real_kinds) == 1 else {}), "null" in kind, defs
    return schema, False, defs


def _quoted(text: str) -> str:
    return '"' + "".join(c if c.isprintable() and c not in '"\\' else f"\\u{{{ord(c):x}}}" for c in text) + '"'


def cedar_type(schema: Mapping[str, Any], defs: Mapping[str, Any]) -> str | None:
    """The Cedar type of a JSON Schema, or None where it has none."""
    schema, _, defs = _resolved(schema, defs)
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
            parts.append(f"{_quoted(name)}{optional}: {kind}")
    return "{ " + ", ".join(parts) + " }" if parts else "{}"


def cedar_value(value: Any, schema: Mapping[str, Any], defs: Mapping[str, Any]) -> Any:
    """`value` as its Cedar type holds it: nulls and unmodelled parts left out."""
    schema, _, defs = _resolved(schema, defs)
    if isinstance(value, list):
        return [cedar_value(v, schema.get("items", {}), defs) for v in value if v is not None]
    if isinstance(value, Mapping):
        inner = schema.get("properties", {})
        return {
            k: cedar_value(v, inner[k], defs)
            for k, v in value.items()
            if k in inner and v is not None and cedar_type(inner[k], defs)
        }
    return value


def unmodelled(value: Mapping[str, Any], schema: Mapping[str, Any]) -> list[str]:
    """Paths of the values that have no Cedar type: `note`, `line.amount`, `lines[].amount`."""
    return sorted(set(_paths(value, schema, schema.get("$defs", {}), "")))


def _paths(value: Any, schema: Mapping[str, Any], defs: _Defs, path: str) -> Iterator[str]:
    schema, _, defs = _resolved(schema, defs)
    if isinstance(value, list):
        for item in value:
            yield from _paths(item, schema.get("items", {}), defs, f"{path}[]")
    if isinstance(value, Mapping):
        inner = schema.get("properties", {})
        for key, item in value.items():
            here = f"{path}.{key}" if path else str(key)
            if key not in inner or cedar_type(inner[key], defs) is None:
                yield here
            else:
                yield from _paths(item, inner[key], defs, here)


def base_of(text: str) -> frozenset[str]:
    """What of the context that every call has a policy's text speaks of. What it does not, it need not be given."""
    return frozenset(name for name in _BASE if name in text)


def cedar_schema(
    agents: Iterable[str],
    tools: Iterable[ToolSpec],
    request: Mapping[str, Any] | None,
    base: Collection[str] | None = None,
) -> str:
    """A Cedar schema (text form): one action per tool, inside the action of its effect.

    Args:
        base: what of the context that every call has there is; None: all of it.
    """
    asked = cedar_record(request) if request else "{}"
    tools = list(tools)
    common = "".join(f"{name}: {kind}, " for name, kind in _BASE.items() if base is None or name in base)
    lines = [
        # Named one by one: a rule about an agent or tool that is not there is a fault, not a rule that never applies.
        _entity("Agent", agents),
        _entity("Tool", (spec.name for spec in tools)),
        'action "read", "write", "irreversible";',
    ]
    for spec in tools:
        facts = f", facts: {cedar_record(spec.facts)}" if spec.facts is not None else ""
        if spec.limits:
            counted = ", ".join(f"{_quoted(name)}: {{ run: Long, day: Long }}" for name in spec.limits)
            facts += f", amounts: {{ {counted} }}"
        action = _quoted(f"call:{spec.name}")
        lines.append(
            f'action {action} in ["{spec.effect}"] appliesTo {{ principal: [Agent], resource: [Tool], '
            f"context: {{ {common}request: {asked}, args: {cedar_record(spec.parameters)}{facts} }} }};"
        )
    return "\n".join(lines) + "\n"


def _entity(kind: str, names: Iterable[str]) -> str:
    listed = ", ".join(map(_quoted, dict.fromkeys(names)))
    return f"entity {kind} enum [{listed}];" if listed else f"entity {kind};"

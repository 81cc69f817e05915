"""JSON Schema as others write it, made into what our contracts can enforce: draft 2020-12, closed, references in place.

Nothing is dropped that could refuse a value: what cannot be said in the enforced form is a fault.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping
from typing import Any

from ...contracts.digest import canonical
from ...contracts.json_schema import closed, inside, mapped, resolved
from ...contracts.names import folded
from ...contracts.phrases import quoted
from ...contracts.schema_document import MAX_DOCUMENT, faults_of_document

_DRAFTS = ("draft-06", "draft-07", "draft/2019-09", "draft/2020-12")
_CLOCK = r"[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?([Zz]|[+-][0-9]{2}:[0-9]{2})?"
_LABEL = "[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_BYTE = "(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_MORE: Mapping[str, Mapping[str, Any]] = {
    # A moment with any number of digits behind the second has room for a text.
    "date-time": {"format": "date-time", "pattern": f"^[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}[Tt ]{_CLOCK}$"},
    "time": {"format": "time", "pattern": f"^{_CLOCK}$"},
    "email": {"pattern": r"^[^@\s]+@[^@\s]+$"},
    "hostname": {"pattern": rf"^{_LABEL}(\.{_LABEL})*$"},
    "ipv4": {"pattern": rf"^{_BYTE}(\.{_BYTE}){{3}}$"},
    "byte": {"pattern": "^[A-Za-z0-9+/]*={0,2}$"},
    "int32": {"minimum": -(2**31), "maximum": 2**31 - 1},
    "int64": {"minimum": -(2**63), "maximum": 2**63 - 1},
    "float": {},
    "double": {},
}
"""Formats that other keywords can say. Those that contracts check by themselves are left to them."""
_LONGEST_NAME, _DEEP = 128, 16
_TOO_DEEP = "its schema is nested too deeply to be checked"
_TOLD = frozenset(("title", "description", "$schema", "$id"))
_BESIDE = _TOLD | {"$ref", "$defs", "definitions"}
_KEYS = frozenset(("properties", "additionalProperties", "patternProperties", "propertyNames"))


def plain(schema: Any) -> tuple[dict[str, Any], list[str]]:
    """The schema as the arguments of a tool are held to it: closed at every level; and all that cannot be enforced."""
    document, faults = enforceable(schema)
    if faults:
        return {}, faults
    try:
        faults = [f for at, part in _every(document, "#") for f in _torn(part, at, document)]
        return closed(_closed(document, document)), faults
    except RecursionError:
        return {}, [_TOO_DEEP]


def enforceable(schema: Any) -> tuple[dict[str, Any], list[str]]:
    """The schema as it can be enforced, open where its author left it open; and all that cannot be enforced."""
    try:
        size = len(canonical(schema))
    except (TypeError, RecursionError) as error:
        return {}, [f"its schema is no JSON, or nested too deeply: {error}"]
    if not isinstance(schema, Mapping):
        return {}, [f"its schema is {quoted(schema)}, not a schema of an object"]
    if size > MAX_DOCUMENT:
        return {}, [f"its schema is larger than {MAX_DOCUMENT} bytes"]
    draft = schema.get("$schema")
    if draft is not None and not any(name in str(draft) for name in _DRAFTS):
        return {}, [f"its schema is written for {quoted(draft)}; understood are {', '.join(_DRAFTS)}"]
    try:
        document = _Lifting(schema).document()
        return document, faults_of_document(document)
    except RecursionError:
        return {}, [_TOO_DEEP]


class _Lifting:
    """Moves whatever a reference points to into `$defs`, under a name of its own.

    Labels and policy find a definition by the last part of its reference, so that part must name one thing only.
    """

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self._schema, self._names, self._left = schema, dict[str, str](), list[str]()

    def document(self) -> dict[str, Any]:
        top, seen = self._schema, set[str]()
        while "$ref" in top and set(top) <= _BESIDE and top["$ref"] not in seen:
            seen.add(top["$ref"])
            target = resolved(self._schema, top["$ref"])
            top = target if isinstance(target, Mapping) else {}
        made = self._made({k: v for k, v in top.items() if k not in _TOLD})
        if made.get("type") == "object":
            made.setdefault("properties", {})
        defs = {}
        while self._left:
            ref = self._left.pop()
            defs[self._names[ref]] = self._made(resolved(self._schema, ref))
        return {**made, "$defs": defs} if defs else made

    def _made(self, schema: Any) -> Any:
        if schema is True:
            return {}
        if not isinstance(schema, Mapping):
            return schema
        own = {k: v for k, v in schema.items() if k not in ("$defs", "definitions") and not k.startswith("x-")}
        out = mapped(_modern(own), self._made)
        if "$ref" in out and resolved(self._schema, out["$ref"]) is not None:
            out["$ref"] = f"#/$defs/{self._name(out['$ref'])}"
        return out

    def _name(self, ref: str) -> str:
        if ref not in self._names:
            last = "".join(c for c in ref.rpartition("/")[2] if c.isascii() and (c.isalnum() or c == "_")) or "whole"
            taken, number = set(self._names.values()), 1
            while (name := last if number == 1 else f"{last}_{number}") in taken:
                number += 1
            self._names[ref] = name
            self._left.append(ref)
        return self._names[ref]


def _modern(schema: dict[str, Any]) -> dict[str, Any]:
    """One schema without what older drafts, and OpenAPI's formats, say in another way."""
    out = dict(schema)
    if isinstance(out.get("items"), list):
        first, rest = out.pop("items"), out.pop("additionalItems", None)
        out |= {"prefixItems": first} if rest is None else {"prefixItems": first, "items": rest}
    if isinstance(out.get("properties"), Mapping):
        # What `false` describes can never be given; closed, the object refuses it unlisted.
        out["properties"] = {name: inner for name, inner in out["properties"].items() if inner is not False}
        out.setdefault("type", "object")
    more = _MORE.get(out["format"]) if isinstance(out.get("format"), str) else None
    if more is not None:
        del out["format"]
        for key, value in more.items():
            if key == "pattern" and key in out:
                out["allOf"] = [*out.get("allOf", ()), {"pattern": value}]
            elif key in ("minimum", "maximum") and isinstance(out.get(key), int | float):
                out[key] = (max if key == "minimum" else min)(out[key], value)
            else:
                out[key] = value
    return out


def _closed(schema: Any, document: Mapping[str, Any]) -> Any:
    """A schema in which an object that lists nothing, and does not say that it takes anything, takes nothing."""
    out = mapped(schema, lambda inner: _closed(inner, document))
    return {**out, "additionalProperties": False} if isinstance(out, dict) and _bare(out, document) else out


def _bare(schema: Mapping[str, Any], document: Mapping[str, Any]) -> bool:
    return _is_object(schema) and not (
        _KEYS & set(schema) or any(_lists(part, document) for part in _parts(schema, document))
    )


def _is_object(schema: Mapping[str, Any]) -> bool:
    kind = schema.get("type")
    return kind == "object" or (isinstance(kind, list) and "object" in kind)


def _every(schema: Any, at: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if isinstance(schema, Mapping):
        yield at, schema
        for where, inner in inside(schema):
            yield from _every(inner, f"{at}/{where}")


def _torn(schema: Mapping[str, Any], at: str, document: Mapping[str, Any]) -> Iterator[str]:
    """Faults of one object: names that could be taken for each other, and keys that no closed object can take."""
    names = list(schema.get("properties", ()))
    spelt: dict[str, str] = {}
    for name in names:
        if not name.isprintable() or not 0 < len(name) <= _LONGEST_NAME or unicodedata.normalize("NFKC", name) != name:
            yield f"{at}: property {quoted(name)} has a name that a person cannot be shown as it is"
        elif (other := spelt.setdefault(folded(name), name)) != name:
            yield f"{at}: properties {quoted(other)} and {quoted(name)} differ in spelling only"
    if "properties" in schema:
        unlisted = sorted(set(schema.get("required", ())) - set(names))
        yield from (f"{at}: requires {quoted(n)}, which it does not list, so nothing would fit" for n in unlisted)
    together: list[list[Any]] = [[part] for part in schema.get("allOf", ())]
    together += [list(schema[union]) for union in ("anyOf", "oneOf") if union in schema]
    together += [[resolved(document, schema["$ref"])]] if "$ref" in schema else []
    listing = sum(any(_lists(option, document) for option in options) for options in together)
    if listing + ("properties" in schema) > 1:
        yield f"{at}: an object is put together of several; closed, each would refuse the properties of the others"


def _parts(schema: Mapping[str, Any], document: Mapping[str, Any]) -> list[Any]:
    """The schemas that hold for the same value, or may."""
    target = [resolved(document, schema["$ref"])] if "$ref" in schema else []
    return [*target, *(part for key in ("allOf", "anyOf", "oneOf") for part in schema.get(key, ()))]


def _lists(schema: Any, document: Mapping[str, Any], deep: int = 0) -> bool:
    """Whether a schema says which properties an object has; one that says so by saying nothing is closed as well."""
    if not isinstance(schema, Mapping) or deep > _DEEP:
        return deep > _DEEP
    if _KEYS & set(schema):
        return True
    parts = _parts(schema, document)
    return _is_object(schema) if not parts else any(_lists(p, document, deep + 1) for p in parts)

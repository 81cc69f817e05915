"""What a contract protects: which types are closed by what is enforced, and what a change does to its protection.

Protected are `never`, closed types, labels, registries, carried fields.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from .digest import digest
from .json_schema import BEYOND, Node
from .labels import (
    CONSTRAINTS,
    ID,
    MAX_CLOSED,
    REGISTRY,
    SENSITIVE,
    SENSITIVITIES,
    UNENFORCED,
    Room,
    all_of,
    is_closed,
    moments,
    numbers,
    one_of,
    repeated,
    whole_numbers,
)
from .phrases import described, few, quoted
from .places import CUT, Place

Guarded = tuple[str, Literal["safe", "breaks_readers", "breaks_writers", "changes_security"], str]
DOCUMENT = "x-contract"
Core = Mapping[str, Any]
_KNOWN = ("name", "version", "carried", "never", "policy_fields")


def guarded(
    old: Mapping[str, Any], new: Mapping[str, Any], was: Mapping[str, Place], now: Mapping[str, Place]
) -> Iterator[Guarded]:
    """Changes of protection between two contract documents, given their places: (path, kind, reason)."""
    if CUT in was or CUT in now:
        yield "", "changes_security", "The contract is too large to compare what it protects."
        return
    yield from _opened(was, now, old, new)
    for path in [p for p in was if p in now]:
        yield from _labels(path, was[path], now[path])
    before, after = _rules(old), _rules(new)
    yield from _never(before.get("never") or {}, after.get("never") or {}, was)
    yield from _carried(before, after, new)
    if set(before.get("policy_fields", ())) != set(after.get("policy_fields", ())):
        for name in sorted({*before.get("policy_fields", ())} ^ {*after.get("policy_fields", ())}):
            can = "can read it now" if name in after.get("policy_fields", ()) else "can no longer read it"
            yield name, "changes_security", f"Policy {can}: rules over `context.request.{name}` decide differently."
    if before.get("name") != after.get("name") and before and after:
        reason = f"The contract is called {after.get('name')!r} now, {before.get('name')!r} until now; documents do not"
        yield "", "safe", f"{reason} carry the name."
    for key in sorted({*before, *after} - {*_KNOWN}):
        if before.get(key) != after.get(key):
            yield (
                "",
                "changes_security",
                f"The rule {key!r} of the contract changed, and this program does not know it.",
            )


def _rules(document: Mapping[str, Any]) -> Mapping[str, Any]:
    found = document.get(DOCUMENT)
    return found if isinstance(found, Mapping) else {}


def _opened(
    was: Mapping[str, Place], now: Mapping[str, Place], old: Mapping[str, Any], new: Mapping[str, Any]
) -> Iterator[Guarded]:
    opened = [p for p in was if p in now and was[p].closed and not now[p].closed]
    for path in opened:
        if any(other != path and _under(other, path) for other in opened):
            continue  # the deepest place says it
        before, after = described(Node(was[path].schema, old)), described(Node(now[path].schema, new))
        what = (
            "All fields were of closed types, and now not all are" if not path else f"A closed type ({before}) opened"
        )
        if UNENFORCED in (now[path].schema.get(CONSTRAINTS) or {}):
            after = "what its validator no longer holds"
        change = "" if not path or before == after else f" to {after}"
        reason = f"{what}{change}: it bounds no longer what can be said, so it does not end taint."
        yield path, "changes_security", reason


def _under(path: str, parent: str) -> bool:
    return not parent or (path.startswith(parent) and path[len(parent) : len(parent) + 1] in (".", "[", "{"))


def _labels(path: str, was: Place, now: Place) -> Iterator[Guarded]:
    if was.sensitivity != now.sensitivity:
        lower = SENSITIVITIES.index(now.sensitivity) < SENSITIVITIES.index(was.sensitivity)
        follows = "more readers may get it" if lower else "contracts that withhold it withhold more"
        change = f"from {was.sensitivity} to {now.sensitivity}"
        yield path, "changes_security", f"Its sensitivity was {'lowered' if lower else 'raised'} {change}: {follows}."
    known = (SENSITIVE, REGISTRY, DOCUMENT, *BEYOND)
    own = {k for k in (*was.schema, *now.schema) if k.startswith("x-") and k not in known}
    for key in sorted(k for k in own if was.schema.get(k) != now.schema.get(k)):
        then, here = (quoted(p.schema[key]) if key in p.schema else "not declared" for p in (was, now))
        yield path, "changes_security", f"What it declares as {key} changed: {then} until now, {here} from now on."
    if was.registries != now.registries:
        if not (was.registries | now.registries) - {""}:
            return
        then, here = (few(sorted(p.registries - {""})) for p in (was, now))
        if then and not here:
            yield path, "changes_security", f"Its registry {then} is gone: ids are no longer checked."
        elif then != here:
            yield path, "changes_security", f"Its registry is {here} now" + (f", {then} until now." if then else ".")
        elif "" in now.registries:
            yield path, "changes_security", f"Beside ids of {here}, text that no registry checks may stand here now."
    elif was.schema.get(REGISTRY) != now.schema.get(REGISTRY):
        yield path, "changes_security", "Its registry is declared in another place; what it covers may differ."


def _never(old: Mapping[str, Any], new: Mapping[str, Any], was: Mapping[str, Place]) -> Iterator[Guarded]:
    said = {
        "fields": "The field name {} may never cross",
        "sensitivities": "Values labelled {} are cut out of texts",
        "detectors": "What the detector {} finds is cut out of texts",
    }
    for key in sorted({*old, *new} | {*said}):
        lost, more = ({*_names(old, key)} - {*_names(new, key)}, {*_names(new, key)} - {*_names(old, key)})
        for name in sorted(lost):
            what = said.get(key, f"never.{key} had {{}}").format(repr(name))
            yield "", "changes_security", f"{what}: this held until now and is gone."
        for name in sorted(more):
            what = said.get(key, f"never.{key} has {{}}").format(repr(name))
            if key == "fields":
                breaks = _may_hold(was, name)
                follows = "a document of the old version could hold it" if breaks else "no document could hold it"
            else:
                breaks = any(_bounded_text(p) for p in was.values())
                follows = (
                    "a text so changed may no longer fit its bounds" if breaks else "no document is refused for it"
                )
            yield "", "breaks_writers" if breaks else "safe", f"{what} from now on; {follows}."


def _names(never: Mapping[str, Any], key: str) -> Sequence[str]:
    found = never.get(key, ())
    return [str(n) for n in found] if isinstance(found, list | tuple) else [digest(found)[:12]]


def _may_hold(found: Mapping[str, Place], name: str) -> bool:
    """Whether a document could hold a key of this name: as a field, or in a mapping or a value of any shape."""
    return any(path.split(".")[-1].rstrip("[]{}0123456789") == name for path in found) or any(
        _open_object(p.schema) for p in found.values()
    )


def _open_object(schema: Mapping[str, Any]) -> bool:
    forms = [schema, *(o for k in ("anyOf", "oneOf", "allOf") for o in schema.get(k, ()) if isinstance(o, Mapping))]
    for form in forms:
        untyped = not any(k in form for k in ("type", "enum", "const", "$ref", "anyOf", "oneOf", "allOf"))
        kinds = form.get("type", ())
        if untyped or (("object" in ([kinds] if isinstance(kinds, str) else kinds)) and "properties" not in form):
            return True
    return False


def _bounded_text(place: Place) -> bool:
    marks = ("pattern", "format", "maxLength", "minLength", "enum", "const", "x-registry", "propertyNames")
    forms = [
        place.schema,
        *(o for k in ("anyOf", "oneOf", "allOf") for o in place.schema.get(k, ()) if isinstance(o, Mapping)),
    ]
    return any(mark in form for form in forms for mark in marks) or any("$ref" in form for form in forms)


def _carried(old: Mapping[str, Any], new: Mapping[str, Any], document: Mapping[str, Any]) -> Iterator[Guarded]:
    before, after = {*old.get("carried", ())}, {*new.get("carried", ())}
    for name in sorted(after - before):
        yield name, "changes_security", "The runtime copies it now from what the source received; no model retells it."
        yield name, "breaks_writers", "The runtime carries it now, and a source that still tells it is refused."
    for name in sorted(before - after):
        yield (
            name,
            "changes_security",
            "The runtime no longer copies it: a model retells it, and can be misled.",
        )
        if name in document.get("properties", {}):
            yield name, "breaks_writers", "The source has to tell it now, and sources of the old version do not."


class EnforcedRooms:
    """How much values can tell by what is enforced, whatever a JSON Schema claims. See `labels.is_closed`.

    Args:
        told: by the id of a core schema, the JSON Schema that was made of it; it says where a registry is asked.
        definitions: the core schemas that others refer to, by their references.
    """

    def __init__(self, told: Mapping[int, Mapping[str, Any]], definitions: Mapping[str, Core]) -> None:
        self._told, self._definitions = told, definitions
        self._met: dict[tuple[int, bool], Room | None] = {}

    def of(self, schema: Core, known: bool = False) -> Room | None:
        """The room of values that a core schema takes; None for what is not closed."""
        known = known or bool(self._told.get(id(schema), {}).get(REGISTRY))  # the registry is asked by what is told
        if (key := (id(schema), known)) not in self._met:
            self._met[key] = None  # met inside itself it is open
            self._met[key] = self._of(schema, known)
        return self._met[key]

    def _of(self, schema: Core, known: bool) -> Room | None:
        low, high = schema.get("ge", schema.get("gt")), schema.get("le", schema.get("lt"))
        match schema["type"]:
            case "bool" | "none" as kind:
                return Room(1 if kind == "bool" else 0)
            case "literal" | "enum" as kind:
                count = len(schema["expected" if kind == "literal" else "members"])
                if known:
                    return ID
                return Room(math.log2(count or 1), count) if count <= MAX_CLOSED else None
            case "int":
                return ID if known else whole_numbers(low, high)
            case "float":
                return ID if known else numbers(low, high)
            case "str" | "uuid":
                return ID if known else None
            case "date" | "time" | "datetime" as kind:
                return moments("date-time" if kind == "datetime" else kind)
            case "list" | "set" | "frozenset":
                return repeated(self.of(schema.get("items_schema", {"type": "any"}), known), schema.get("max_length"))
            case "tuple":
                parts = [self.of(part, known) for part in schema["items_schema"]]
                if (at := schema.get("variadic_item_index")) is not None:
                    most = schema.get("max_length")
                    parts[at] = repeated(parts[at], None if most is None else max(most - len(parts) + 1, 0))
                return all_of(parts)
            case "model-fields" | "typed-dict" | "dataclass-args" as kind:
                fields = schema["fields"].values() if isinstance(schema["fields"], Mapping) else schema["fields"]
                return all_of([self.of(field["schema"], known) for field in fields])
            case "union":
                return one_of([self.of(c[0] if isinstance(c, tuple) else c, known) for c in schema["choices"]])
            case "tagged-union":
                return one_of([self.of(c, known) for c in schema["choices"].values()])
            case "nullable":
                return one_of([self.of(schema["schema"], known), Room(0)])
            case "definition-ref":
                target = self._definitions.get(schema["schema_ref"])
                return self.of(target, known) if target is not None else None
            case "json-or-python":
                return self.of(schema["json_schema"], known)
            case "lax-or-strict":
                return self.of(schema["strict_schema"], known)
            # Code after a closed type has no more values to give than it gets; code around one may skip it.
            case "default" | "definitions" | "model" | "dataclass" | "custom-error" | "function-after":
                return self.of(schema["schema"], known)
            case "function-before":
                return self.of(schema["schema"], known)
            case _:
                return None


def warnings_of(document: Mapping[str, Any], closed: frozenset[str]) -> Iterator[str]:
    """Sentences about top level fields that look closed and are not.

    Args:
        closed: the names of those that are.
    """
    defs = document.get("$defs", {})
    for name, inner in document["properties"].items():
        if name in closed or not isinstance(inner, Mapping):
            continue
        count = _listed_values(inner, defs)
        if UNENFORCED in inner.get(CONSTRAINTS, {}):
            yield f"field {name!r} claims a closed type in its JSON Schema, and its validator takes more than that"
        elif count > MAX_CLOSED:
            yield f"field {name!r} chooses among {count} values: that is a channel, not a choice"
        elif inner.get("type") == "array" and "maxItems" in inner and is_closed(inner.get("items"), defs):
            yield f"field {name!r} is a list long enough to spell a text: bound its length more tightly"
        elif "pattern" in inner:
            yield f"field {name!r} has a pattern, which bounds no meaning; an id wants a registry: Id(...)"


def _listed_values(schema: Any, defs: Mapping[str, Any], deep: int = 0) -> int:
    """How many values a field lists, in all parts of a union."""
    if not isinstance(schema, Mapping) or deep > 8:
        return 0
    if "$ref" in schema:
        return _listed_values(defs.get(str(schema["$ref"]).rpartition("/")[2]), defs, deep + 1)
    own = len(schema.get("enum", ())) or int("const" in schema)
    return own + sum(_listed_values(o, defs, deep + 1) for k in ("anyOf", "oneOf") for o in schema.get(k, ()))

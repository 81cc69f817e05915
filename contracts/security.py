"""What a change does to what a contract protects: `never`, closed types, labels, registries, carried fields."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from .digest import digest
from .json_schema import Node
from .labels import REGISTRY, SENSITIVE, SENSITIVITIES
from .phrases import described, few, quoted
from .places import CUT, Place

Guarded = tuple[str, Literal["safe", "breaks_readers", "breaks_writers", "changes_security"], str]
DOCUMENT = "x-contract"
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
    own = {k for k in (*was.schema, *now.schema) if k.startswith("x-") and k not in (SENSITIVE, REGISTRY, DOCUMENT)}
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

"""The places of a contract document: every field, however deep, under the path that people call it by."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from .json_schema import Node, is_annotation, mapped
from .labels import REGISTRY, SENSITIVE, SENSITIVITIES, Sensitivity, is_closed

MAX_FORMS = 5_000
CUT = "…"
"""Stands among the places of a document that has too many forms to look at all of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One place.

    Attributes:
        node: what stands there, as written.
        closed: whether it leaves no room for free text.
        sensitivity: the highest of its forms, inherited where it is not declared.
        registries: names of the registries that validate it; "" among them where a form is text that none does.
    """

    node: Node
    closed: bool = True
    sensitivity: Sensitivity = "public"
    registries: frozenset[str] = field(default_factory=frozenset)

    @property
    def schema(self) -> Mapping[str, Any]:
        """What stands there, as written."""
        found: Mapping[str, Any] = self.node.schema
        return found

    def bare(self) -> bytes:
        """Its schema without words and labels, its reference followed one step: to tell a renamed field."""
        target = self.node.target() if "$ref" in self.schema else None
        return orjson.dumps(bare((target or self.node).schema), option=orjson.OPT_SORT_KEYS)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Form:
    path: str
    node: Node
    level: Sensitivity
    registry: str
    last: bool


def places(document: Mapping[str, Any]) -> dict[str, Place]:
    """Every place of a document, the whole of it under "". A type inside itself is entered once.

    A document of more than 5000 forms (a union has several at one place) is cut there, and has the place `CUT`.
    """
    found: dict[str, Place] = {}
    top = Node(document, document)
    for count, form in enumerate(_walk(top, "", "internal", "", ())):
        if count > MAX_FORMS:
            return {CUT: Place(node=top.at({}))}
        place = found.setdefault(form.path, Place(node=form.node))
        if form.last:
            sensitivity = max(place.sensitivity, form.level, key=SENSITIVITIES.index)
            registries = place.registries | _registry(form)
            found[form.path] = replace(place, sensitivity=sensitivity, registries=registries)
    defs = document.get("$defs", {})
    return {path: replace(p, closed=is_closed(p.schema, defs)) for path, p in found.items()}


def _registry(form: _Form) -> set[str]:
    s = form.node.schema
    text = s.get("type") == "string" and "const" not in s and "enum" not in s
    return {form.registry} if form.registry or text else set()


def _walk(node: Node, path: str, level: Sensitivity, registry: str, seen: tuple[str, ...]) -> Iterator[_Form]:
    """Each form of each place; the forms of a union stand at one place."""
    s = {} if node.schema is True else node.schema
    if not isinstance(s, Mapping):
        return
    if (declared := s.get(SENSITIVE)) is not None:
        level = declared if declared in SENSITIVITIES else "secret"
    registry = str(s.get(REGISTRY) or registry)
    forms: list[tuple[Node, tuple[str, ...]]] = []
    if "$ref" in s and s["$ref"] not in seen and (target := node.target()) is not None:
        forms.append((target, (*seen, s["$ref"])))
    forms += [(node.at(option), seen) for key in ("anyOf", "oneOf", "allOf") for option in s.get(key, ())]
    yield _Form(path=path, node=node.at(s), level=level, registry=registry, last=not forms)
    for form, met in forms:
        yield from _walk(form, path, level, registry, met)
    for at, inner in _inner(s, path):
        yield from _walk(node.at(inner), at, level, "", seen)


def _inner(s: Mapping[str, Any], path: str) -> Iterator[tuple[str, Any]]:
    for name, inner in s.get("properties", {}).items():
        yield f"{path}.{name}" if path else name, inner
    for i, inner in enumerate(s.get("prefixItems", ())):
        yield f"{path}[{i}]", inner
    for key, mark in (("items", "[]"), ("additionalProperties", "{}")):
        if isinstance(s.get(key), Mapping):
            yield f"{path}{mark}", s[key]
    for inner in s.get("patternProperties", {}).values():
        yield f"{path}{{}}", inner


def bare(schema: Any) -> Any:
    """A schema without what refuses no document."""
    inner = mapped(schema, bare)
    return {k: v for k, v in inner.items() if not is_annotation(k)} if isinstance(inner, dict) else inner

"""Flow: which labels the fields of a payload get, given what its source had read. A pure decision."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .contract import Contract
from .labels import INTEGRITIES, ORIGIN, Integrity, Label, Sensitivity
from .sources import Sources, leaves_of


def label_request(contract: Contract, payload: Mapping[str, Any]) -> dict[str, Label]:
    """The labels of a request: the user's own words, except where a field declares another origin anywhere in it.

    A field that holds nothing is trusted, whatever its origin: it says nothing that could mislead.
    """
    properties, defs = contract.schema["properties"], contract.schema.get("$defs", {})
    found = {}
    for name, value in payload.items():
        schema = properties.get(name, {})
        # What nobody said is no word of the user's: the system's own default is to be believed, and names nothing.
        unsaid = value is None or ("default" in schema and schema["default"] == value)
        origin: Integrity = _origin(schema, defs)
        origin = "trusted" if (unsaid and origin == "user") or value is None else origin
        found[name] = Label(origin, contract.sensitivities.get(name, "internal"))
    return found


def _origin(schema: Any, defs: Mapping[str, Any]) -> Integrity:
    """The least believable origin that a schema declares, in itself, in its parts and in what it refers to."""
    found, todo, followed = list[Integrity](), [schema], set[str]()
    while todo:
        each = todo.pop()
        if isinstance(each, list):
            todo += each
        if not isinstance(each, Mapping):
            continue
        if ORIGIN in each:
            found.append(each[ORIGIN] if each[ORIGIN] in INTEGRITIES else "untrusted")
        if "$ref" in each and (name := str(each["$ref"]).rpartition("/")[2]) not in followed:
            followed.add(name)
            todo.append(defs.get(name, {}))
        todo += [inner for key, inner in each.items() if key not in _DATA]
    return max(found, key=INTEGRITIES.index, default="user")


_DATA = frozenset({"default", "const", "enum", "examples"})
"""Keywords that hold values, and no schemas."""


def label_fields(
    contract: Contract,
    payload: Mapping[str, Any],
    sources: Sources,
    *,
    carried: Mapping[str, Label],
) -> dict[str, Label]:
    """The label of each field of a payload that crosses under `contract`.

    Args:
        sources: what its source had read.
        carried: labels of what the source itself received; carried fields keep them.
    """
    found = {}
    for name, value in payload.items():
        level = contract.sensitivities.get(name, "internal")
        if name in contract.carried and name in carried:
            found[name] = carried[name].joined(Label("trusted", level))
        else:
            found[name] = label_value(value, sources, closed=name in contract.closed, level=level)
    return found


def label_value(value: Any, sources: Sources, *, closed: bool, level: Sensitivity) -> Label:
    """The label of one value that an agent tells: closed, grounded, or as believable as all that the agent had read."""
    if value is None or closed:
        return Label("trusted", level)
    if (ground := _ground(value, sources)) is not None:
        return ground.joined(Label("trusted", level))
    return Label(sources.context.integrity, level)


def _ground(value: Any, sources: Sources) -> Label | None:
    """The label of the values that this one is made of, if each of its parts was read whole from a believed source."""
    found = [sources.ground(leaf) for leaf in leaves_of(value)]
    known = [label for label in found if label is not None]
    return known[0].joined(*known[1:]) if known and len(known) == len(found) else None

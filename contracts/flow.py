"""Flow: which labels the fields of a payload get, given what its source had read. A pure decision."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .contract import Contract
from .labels import INTEGRITIES, ORIGIN, Integrity, Label, Sensitivity

MIN_GROUND = 3
"""Shorter texts and smaller numbers stand in anything by chance: they ground nothing."""


@dataclass(slots=True)
class Sources:
    """What an agent had read when it wrote: the label of all of it together, and the values it may be grounded in.

    `values` maps each whole value of the user's request and of trusted results to its label. A value grounds whole,
    never as a part of a longer text ("13" in "June 13").
    """

    context: Label = field(default_factory=lambda: Label("trusted", "public"))
    values: dict[Any, Label] = field(default_factory=dict)

    def read(self, value: Any, label: Label) -> None:
        """Take in what the agent read: it colours all that it writes, and grounds what it copies if it is believed."""
        self.context = self.context.joined(label)
        if label.integrity != "untrusted":
            for leaf in _wholes(value):
                known = self.values.get(leaf)
                self.values[leaf] = label if known is None else label.joined(known)

    def read_fields(self, payload: Mapping[str, Any], labels: Mapping[str, Label]) -> None:
        """`read`, field by field; a field without a label is of the worst."""
        for name, value in payload.items():
            self.read(value, labels.get(name, Label()))


def label_request(contract: Contract, payload: Mapping[str, Any]) -> dict[str, Label]:
    """The labels of a request: the user's own words, except where a field declares another origin anywhere in it.

    A field that holds nothing is trusted, whatever its origin: it says nothing that could mislead.
    """
    properties, defs = contract.schema["properties"], contract.schema.get("$defs", {})
    found = {}
    for name, value in payload.items():
        origin: Integrity = "trusted" if value is None else _origin(properties.get(name, {}), defs)
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
    found: list[Label] = []
    for leaf in _wholes(value, short=True):
        if leaf not in sources.values:
            return None
        found.append(sources.values[leaf])
    return found[0].joined(*found[1:]) if found else None


def _wholes(value: Any, *, short: bool = False) -> Iterable[Any]:
    """The texts and numbers in a JSON value. Kept apart by type: 1, 1.0 and True are three things."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if short:  # a key that a model chose says something too
                yield (str, key)
            yield from _wholes(inner, short=short)
            if not short:
                yield (str, key)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _wholes(inner, short=short)
    elif isinstance(value, str):
        if short or len(value) >= MIN_GROUND:
            yield (str, value)
    elif isinstance(value, int | float) and not isinstance(value, bool) and (short or abs(value) >= 10**MIN_GROUND):
        yield (type(value), value)

"""Provenance: where each argument of a call comes from, and what it would let out. A pure reading of what a run knows.

An argument is believed if it is grounded (it stands, whole, in the user's request or in a trusted result) or of a
closed type, and otherwise only as far as all that the agent had read. A closed type is no ground for an irreversible
effect: among a few choices an attacker can still choose the worst.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..contracts.flow import Sources, label_value
from ..contracts.labels import SENSITIVITIES, Label, Sensitivity, is_closed
from .steps import Call


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """The label of each argument of one call."""

    labels: Mapping[str, Label]

    @property
    def tainted(self) -> frozenset[str]:
        """Arguments that are not to be believed."""
        return frozenset(n for n, label in self.labels.items() if label.integrity == "untrusted")

    @property
    def private(self) -> frozenset[str]:
        """Arguments that hold something personal or secret."""
        return frozenset(n for n, label in self.labels.items() if label.sensitivity in ("personal", "secret"))

    def as_json(self) -> dict[str, list[str]]:
        """As records and reviews hold it."""
        return {name: label.as_json() for name, label in self.labels.items()}


def provenance_of(call: Call, arguments: Mapping[str, Any]) -> Provenance:
    """The provenance of a call's arguments. Where the turn is not known, nothing is believed."""
    spec, activation = call.spec, call.activation
    sources = activation.sources() or Sources(context=Label())
    properties = spec.parameters.get("properties", {})
    defs = spec.parameters.get("$defs", {})
    found = {}
    for name, value in arguments.items():
        if name not in properties:  # it is refused, and its name may be anything
            continue
        closed = spec.effect != "irreversible" and is_closed(properties.get(name), defs)
        label = label_value(value, sources, closed=closed, level="internal")
        held = activation.run.knows.level_in(value)
        found[name] = Label(label.integrity, _higher(label.sensitivity, held))
    return Provenance(labels=found)


def _higher(one: Sensitivity, other: Sensitivity) -> Sensitivity:
    return max(one, other, key=SENSITIVITIES.index)

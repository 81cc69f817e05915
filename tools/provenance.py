"""Provenance: where each argument of a call comes from, and what it would let out. A pure reading of what a run knows.

An argument is believed if it is grounded (it stands, whole, in the user's words or in a trusted result, or an own call
made it) or of a closed type, and otherwise only as far as all that the agent had read. A closed type is no ground for
an irreversible effect: among a few choices an attacker can still choose the worst. Of what is believed, the user's own
words may name it, or what they point at may, or neither; see `contracts/sources.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from ..contracts.flow import label_value
from ..contracts.labels import ID, SENSITIVITIES, Label, Sensitivity, room_of
from ..contracts.sources import MAX_SHOWN, Sources, leaves_of, says_nothing
from .steps import Call

MAX_CHOICE = ID.bits

Ground = Literal["user", "pointed", "trusted", "closed", "shown", "quoted", "untrusted"]
"""Where an argument comes from.

- `user`: the user's words name it, or an own call made it.
- `pointed`: what the user's words point at names it, and it may be believed.
- `trusted`: it may be believed, and nothing that the user said leads to it.
- `closed`: it is one of few possible values.
- `shown`: it is a value of what the user points at, and nobody vouches for it.
- `quoted`: it stands in a text that the user's words lead to, and nobody vouches for it.
- `untrusted`: nobody vouches for it.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """The label and the ground of each argument of one call.

    Attributes:
        active: arguments that would send their reader to a link, an address or a number that is not believed.
        exposed: the agent has read text that nobody vouches for.
        strayed: it reads something then to which nothing leads that the user said.
    """

    labels: Mapping[str, Label]
    grounds: Mapping[str, Ground] = field(default_factory=dict)
    active: frozenset[str] = frozenset()
    exposed: bool = True
    strayed: bool = False

    @property
    def tainted(self) -> frozenset[str]:
        """Arguments that are not to be believed."""
        return frozenset(n for n, label in self.labels.items() if label.integrity == "untrusted")

    @property
    def unnamed(self) -> frozenset[str]:
        """Arguments that the user's own words do not name."""
        return frozenset(n for n in self.labels if self.grounds.get(n) != "user")

    @property
    def distant(self) -> frozenset[str]:
        """Arguments that neither the user's words nor what they point at name."""
        return frozenset(n for n in self.labels if self.grounds.get(n) not in ("user", "pointed"))

    @property
    def private(self) -> frozenset[str]:
        """Arguments that hold something personal or secret."""
        return frozenset(n for n, label in self.labels.items() if label.sensitivity in ("personal", "secret"))

    def as_json(self) -> dict[str, list[str]]:
        """As records and reviews hold it."""
        return {name: [*label.as_json(), self.grounds.get(name, "untrusted")] for name, label in self.labels.items()}


def provenance_of(call: Call, arguments: Mapping[str, Any]) -> Provenance:
    """The provenance of a call's arguments. Where the turn is not known, nothing is believed."""
    spec, activation = call.spec, call.activation
    sources = activation.sources() or Sources(context=Label())
    properties = spec.parameters.get("properties", {})
    defs = spec.parameters.get("$defs", {})
    labels, grounds, active = dict[str, Label](), dict[str, Ground](), set[str]()
    for name, value in arguments.items():
        if name not in properties:  # it is refused, and its name may be anything
            continue
        acts = spec.roles.get(name, "target") in ("target", "ref")
        room = None if spec.effect == "irreversible" else room_of(properties.get(name), defs)
        closed = room is not None and (not acts or room.bits <= MAX_CHOICE)
        # What says nothing misleads nobody; and an amount may be said in words, where a target may not.
        said = says_nothing(value) or (spec.roles.get(name) == "scalar" and sources.is_said(value))
        label = Label("user") if said else label_value(value, sources, closed=closed, level="internal")
        grounds[name] = "user" if said else _ground(value, label, sources, closed=closed)
        held = activation.run.knows.level_in(value)
        told = label.sensitivity if said or closed else _retold(value, sources)
        labels[name] = Label(label.integrity, _highest(label.sensitivity, held, told))
        if label.integrity == "untrusted" and any(sources.is_active(text) for text in _texts(value)):
            active.add(name)
    acted = [n for n in grounds if spec.roles.get(n, "target") in ("target", "ref")]
    if all(arguments[n] is None or says_nothing(arguments[n]) for n in acted):
        # No text is often all that there is; an empty list is nobody, where the request needs the tool at all.
        grounds |= {n: "closed" if arguments[n] in (None, "") else "pointed" for n in acted}
    grounds |= _anchored(call, arguments, grounds, sources)
    exposed = sources.context.integrity == "untrusted"
    strayed = exposed and any(
        spec.roles.get(name, "target") in ("target", "ref") and ground in ("trusted", "quoted", "untrusted")
        for name, ground in grounds.items()
    )
    return Provenance(labels=labels, grounds=grounds, active=frozenset(active), exposed=exposed, strayed=strayed)


def _ground(value: Any, label: Label, sources: Sources, *, closed: bool) -> Ground:
    leaves = list(leaves_of(value))
    if leaves and all(sources.is_named(leaf) for leaf in leaves):
        return "user"
    if closed or value is None:
        return "closed"
    if label.integrity == "untrusted":
        if leaves and all(sources.is_pointed(leaf) for leaf in leaves):
            return "shown"
        return "quoted" if leaves and all(sources.is_shown(leaf) for leaf in leaves) else "untrusted"
    if all(sources.ground(leaf) is not None and sources.is_near(leaf) for leaf in leaves):
        return "pointed"
    return "trusted"


def _anchored(
    call: Call, arguments: Mapping[str, Any], grounds: Mapping[str, Ground], sources: Sources
) -> dict[str, Ground]:
    """Parties that a text names beside each other, where the call is about a thing that the user spoke of.

    Such a text may say who else is to be told of that thing; of which thing, it may not.
    """
    acted = [name for name in grounds if call.spec.roles.get(name, "target") in ("target", "ref")]
    if not any(grounds[name] in ("user", "pointed") and not says_nothing(arguments[name]) for name in acted):
        return {}
    return {
        name: "pointed"
        for name in acted
        if grounds[name] == "trusted"
        and all(sources.is_near(leaf, among=MAX_SHOWN) for leaf in leaves_of(arguments[name]))
    }


def _retold(value: Any, sources: Sources) -> Sensitivity:
    """How sensitive what an agent words itself may be: it may retell all that it read. A number has no such room."""
    found: list[Sensitivity] = ["public"]
    for text in _texts(value):
        known = sources.values.get((str, text))
        retells = sources.retells(text)
        found.append(known.sensitivity if known is not None else retells or sources.context.sensitivity)
    return _highest(*found)


def _texts(value: Any) -> Iterator[str]:
    return (text for kind, text in leaves_of(value) if kind is str)


def _highest(*levels: Sensitivity) -> Sensitivity:
    return max(levels, key=SENSITIVITIES.index)

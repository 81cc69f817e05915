"""Several handoffs in one turn, where one agent takes over at a time: none is done, and somebody chooses.

First the agent that made them, told so as of any payload that breaks its contract; then, where that is declared, a
person. None of them is dropped unseen: records, repair and question name them all.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..contracts.edge import Edge
from ..contracts.errors import ContractViolation
from .state import Turned

CHOICE = "handoffs"
"""Under which a person is shown the handoffs of a turn, and gives back the one that is to be made."""


def one_of(edge: Edge, turned: Turned) -> Any:
    """The payload that a turn offers, which goes to one agent alone.

    Raises:
        ContractViolation: it offers several.
    """
    offers = turned["offers"]
    if len(offers) > 1:
        named = " and ".join(repr(o["target"]) for o in offers)
        fault = f"{len(offers)} handovers in one turn, to {named}: none was made; one agent takes over, so choose one"
        raise ContractViolation(contract=edge.contract.id, edge=edge.name, faults=[fault])
    return offers[0]["payload"]


def asked(turned: Mapping[str, Any]) -> Any:
    """What a person is shown of what a turn offers."""
    offers = turned["offers"]
    if len(offers) == 1:
        return offers[0]["payload"]
    return {CHOICE: [{"agent": o["target"], "payload": o["payload"]} for o in offers]}


def chosen(turned: Mapping[str, Any], edited: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The offers of a turn as a person mended them; those that were there, where no single one of them is told."""
    offers: list[dict[str, Any]] = turned["offers"]
    if len(offers) == 1:
        return [{**offers[0], "payload": dict(edited)}]
    told = edited.get(CHOICE)
    if not isinstance(told, list) or len(told) != 1 or not isinstance(told[0], Mapping):
        return offers
    target = told[0].get("agent")
    known = target in [o["target"] for o in offers]
    return [{"target": target, "payload": told[0].get("payload")}] if known else offers

"""The review node: a person mends or rejects what its source could not mend."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from langgraph.types import Command

from ..contracts.edge import Edge, FanOut
from ..contracts.errors import ContractViolation
from ..contracts.review import AskingRule, ReviewAnswer, binding_of
from ..tools.run import Run
from .fanout import mended
from .nodes import Means, Node, entered, of_run, readable
from .questions import Question, answer_to


class HandoffAnswer(ReviewAnswer):
    """What can be answered about a payload that breaks its contract: mend it or reject it. It cannot be approved."""

    decision: Literal["edit", "reject"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A contract node that may ask for a review: its node, the contract and the role that it names."""

    node: str
    edge: str
    contract: str
    role: str
    kind: Literal["edge", "out", "back"]


def place_of(edge: Edge) -> Place:
    """Where a single edge is reviewed."""
    return Place(node=edge.node, edge=edge.name, contract=edge.contract.id, role=edge.on_violation.role, kind="edge")


def places_of(fan: FanOut) -> dict[str, Place]:
    """Where a fan-out is reviewed: before its branches and behind them."""
    role = fan.on_violation.role
    out = Place(node=fan.out, edge=fan.out, contract=fan.out.partition(" ")[0], role=role, kind="out")
    back = Place(node=fan.back, edge=fan.back, contract=fan.back.partition(" ")[0], role=role, kind="back")
    return {fan.out: out, fan.back: back}


def review_node(places: Mapping[str, Place], means: Means) -> Node:
    """A person mends or rejects a payload that its source could not mend."""

    async def ask_person(state: Any) -> Command[str]:
        run = await means.runs.attach(state["run"])
        async with of_run(means.runs, run):
            _, at = entered(run)
            turned = state["turned"]
            place = places[turned["place"]]
            payload, faults = _asked_about(place, turned), state.get("faults", [])
            edited = await mended_by_person(run, place, payload, faults, at=at, agent=turned["source"])
            return Command(update=_mended(place, state, edited), goto=place.node)

    return ask_person


async def mended_by_person(
    run: Run, place: Place, payload: Any, faults: Sequence[str], *, at: str, agent: str
) -> dict[str, Any]:
    """What a person writes in the place of a payload that broke its contract. Interrupts the graph until it is there.

    Raises:
        ContractViolation: the person rejects it.
    """
    grounds, told = run.grounds, readable(payload)
    question = Question(
        kind="handoff",
        base=binding_of(run=grounds.run, tenant=grounds.tenant, at=at, edge=place.edge, payload=told),
        at=at,
        agent=agent,
        about=place.edge,
        edge=place.edge,
        rule=AskingRule(id=place.contract, approver=place.role, reason="breaks its contract"),
        payload=told,
        faults=tuple(faults),
        takes=HandoffAnswer,
    )
    answer = await answer_to(run, question)
    if answer is None or answer.decision == "reject":
        raise ContractViolation(contract=place.contract, edge=place.edge, faults=faults)
    return dict(answer.arguments or {})


def _asked_about(place: Place, turned: Mapping[str, Any]) -> Any:
    if place.kind == "out":
        return {"branches": [{"agent": o["target"], "brief": o["payload"]} for o in turned["offers"]]}
    return turned["offers"][0]["payload"]


def _mended(place: Place, state: Mapping[str, Any], edited: Mapping[str, Any]) -> dict[str, Any]:
    turned = state["turned"]
    if place.kind == "back":
        return {"branches": [*(mended(state, edited))], "turned": None}
    if place.kind == "out":
        told = [b for b in edited.get("branches", ()) if isinstance(b, Mapping)]
        offers = [{"target": b.get("agent"), "payload": b.get("brief")} for b in told]
        return {"turned": {**turned, "offers": offers or turned["offers"], "whole": True}}
    offer = {**turned["offers"][0], "payload": dict(edited)}
    return {"turned": {**turned, "offers": [offer], "whole": True}}

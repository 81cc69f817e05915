"""The review node: a person mends or rejects what its source could not mend."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from langgraph.types import Command

from ..contracts.edge import Edge, FanOut
from ..contracts.errors import ContractViolation
from ..contracts.review import AskingRule, ReviewAnswer, binding_of
from ..tools.run import Run
from .bounding import beyond_by_person
from .bounds import Bounded
from .choosing import asked, chosen
from .fanout import mended
from .nodes import Means, Node, entered, of_run, readable
from .questions import Question, answer_to


class HandoffAnswer(ReviewAnswer):
    """What can be answered about a payload that breaks its contract: mend it or reject it. It cannot be approved."""

    decision: Literal["edit", "reject"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A contract node that may ask for a review: its node, the contract and the role that it names.

    `beside`: the contract nodes on all that leads out of its source, by target, for when a person chooses.
    """

    node: str
    edge: str
    contract: str
    role: str
    kind: Literal["edge", "out", "back"]
    beside: Mapping[str, str] = field(default_factory=dict)


def place_of(edge: Edge, edges: Sequence[Edge] = ()) -> Place:
    """Where a single edge is reviewed. `edges` are those of its topology."""
    return Place(
        node=edge.node,
        edge=edge.name,
        contract=edge.contract.id,
        role=edge.on_violation.role,
        kind="edge",
        beside={e.target: e.node for e in edges if e.source == edge.source},
    )


def places_of(fan: FanOut) -> dict[str, Place]:
    """Where a fan-out is reviewed: before its branches and behind them."""
    role = fan.on_violation.role
    out = Place(node=fan.out, edge=fan.out, contract=fan.out.partition(" ")[0], role=role, kind="out")
    back = Place(node=fan.back, edge=fan.back, contract=fan.back.partition(" ")[0], role=role, kind="back")
    return {fan.out: out, fan.back: back}


def review_node(places: Mapping[str, Place], means: Means, rounds: Mapping[str, Bounded] | None = None) -> Node:
    """A person mends or rejects a payload that its source could not mend, or lets an edge be crossed once more.

    Args:
        places: where payloads are mended.
        rounds: the edges whose bounds have a person asked, by their place.
    """

    async def ask_person(state: Any) -> Command[str]:
        run = await means.runs.attach(state["run"])
        async with of_run(means.runs, run):
            _, at = entered(run)
            turned = state["turned"]
            if (bounded := (rounds or {}).get(turned["place"])) is not None:
                return await beyond_by_person(run, bounded, turned, state.get("faults", []), at=at)
            place = places[turned["place"]]
            payload, faults = _asked_about(place, turned), state.get("faults", [])
            edited = await mended_by_person(run, place, payload, faults, at=at, agent=turned["source"])
            update = _mended(place, state, edited)
            return Command(update=update, goto=_behind(place, update))

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
    return asked(turned)


def _behind(place: Place, update: Mapping[str, Any]) -> str:
    """The contract node that checks what a person mended: where they chose one of several handoffs, that one's."""
    if place.kind != "edge" or len(offers := update["turned"]["offers"]) != 1:
        return place.node
    return place.beside.get(offers[0]["target"], place.node)


def _mended(place: Place, state: Mapping[str, Any], edited: Mapping[str, Any]) -> dict[str, Any]:
    turned = state["turned"]
    if place.kind == "back":
        return {"branches": [*(mended(state, edited))], "turned": None}
    if place.kind == "out":
        told = [b for b in edited.get("branches", ()) if isinstance(b, Mapping)]
        offers = [{"target": b.get("agent"), "payload": b.get("brief")} for b in told]
        return {"turned": {**turned, "offers": offers or turned["offers"], "whole": True}}
    return {"turned": {**turned, "offers": chosen(turned, edited), "whole": True}}

"""The review node: a person mends or rejects what its source could not mend."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import orjson
from langgraph.types import Command

from ..contracts.budget import Amounts, Budget
from ..contracts.digest import digest
from ..contracts.edge import Edge, FanOut
from ..contracts.errors import ContractViolation
from ..contracts.review import AskingRule, ReviewAnswer, ReviewRequest, binding_of
from ..ledger.entry import Draft
from ..ledger.records import ReviewAnswered, ReviewAsked
from ..tools import signing
from ..tools.asking import LATE
from ..tools.drive import ask
from ..tools.run import Run
from ..tools.signing import EXPIRED, counted, from_record, key_of, on_record, starter_of, vouched
from .fanout import mended
from .nodes import Means, Node, entered, of_run, readable


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
    grounds = run.grounds
    base = binding_of(run=grounds.run, tenant=grounds.tenant, at=at, edge=place.edge, payload=readable(payload))
    review = digest([grounds.run, base])[:24]
    rule = AskingRule(id=place.contract, approver=place.role, reason="breaks its contract")
    asked = await _on_record(run, review, base, place=place, at=at, agent=agent)
    shown = run.knows.cleaned(readable(payload))
    request = ReviewRequest(
        id=review,
        kind="handoff",
        run=grounds.run,
        agent=agent,
        edge=place.edge,
        arguments=shown if isinstance(shown, dict) else {},
        rules=(rule,),
        faults=tuple(faults),
        started_by=starter_of(run),
        asked=asked.asked,
        expires=asked.expires,
        binding=asked.binding,
    )
    answer = await _answered(run, request, asked, base)
    if answer is None or answer.decision == "reject":
        raise ContractViolation(contract=place.contract, edge=place.edge, faults=faults)
    return dict(answer.arguments or {})


async def _on_record(run: Run, review: str, base: str, *, place: Place, at: str, agent: str) -> ReviewAsked:
    """The question as the ledger has it, from its first asking on."""
    known = run.journal.get(f"asked:{review}")
    if isinstance(known, ReviewAsked):
        return known
    time = signing.now()
    expires = signing.open_until(run, time)
    asked = ReviewAsked(
        review=review,
        at=at,
        agent=agent,
        about=place.edge,
        binding=_bound(run, base, expires),
        rules=[place.contract],
        approvers=[place.role],
        asked=time,
        expires=expires,
    )
    run.spend(agent, Budget(), Amounts(asks=1))  # a question is one, whatever it is about
    kept = (await run.write(Draft(record=asked, key=f"asked:{review}")))[0].record
    return kept if isinstance(kept, ReviewAsked) else asked


def _bound(run: Run, base: str, expires: float) -> str:
    """What an answer is bound to, its expiry included: nobody makes it longer on record."""
    return signing.bound(run.ledger, of=base, expires=expires)


async def _answered(run: Run, request: ReviewRequest, asked: ReviewAsked, base: str) -> ReviewAnswer | None:
    """The answer that counts: the first on record. None for one that came too late, or that was not signed here.

    What is not signed, or by somebody who may not, is passed over, and the question stays open.
    """
    if asked.binding != _bound(run, base, asked.expires):
        return None
    key = f"answered:{request.id}"
    known = run.journal.get(key)
    while not isinstance(known, ReviewAnswered):
        answer = ask(request, HandoffAnswer)
        if answer is None:
            late = ReviewAnswered(review=request.id, at=asked.at, decision=EXPIRED, reason=LATE, reviewer="nobody")
            known = (await run.write(Draft(record=late, key=key)))[0].record
            break
        found = counted(run, asked, request.rules, answer) if answer.review in ("", request.id) else None
        if found is None or (found.decision == "edit" and found.arguments is None):
            continue
        record, payloads = on_record(run, asked.at, found)
        known = (await run.write(Draft(record=record, key=key, payloads=payloads)))[0].record
    assert isinstance(known, ReviewAnswered)
    arguments, words = [await asyncio.to_thread(_exact, run, ref) for ref in (known.arguments, known.words)]
    kept = from_record(known, arguments=arguments, words=words)
    if kept is None or not vouched(key_of(run.ledger), kept, review=request.id, binding=asked.binding):
        return None
    return kept


def _exact(run: Run, ref: str) -> Any:
    body = run.ledger.exact(run.grounds.run, ref) if ref else None
    return orjson.loads(body) if body is not None else None


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
        return {"turned": {**turned, "offers": offers or turned["offers"]}}
    offer = {**turned["offers"][0], "payload": dict(edited)}
    return {"turned": {**turned, "offers": [offer]}}

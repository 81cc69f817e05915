"""The contract nodes of single edges, and what every contract node does: check, project, redact, label, record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any

from langchain_core.messages import AnyMessage, HumanMessage, messages_to_dict
from langgraph.types import Command
from pydantic import BaseModel, Field

from ..contracts.contract import Contract, Crossing
from ..contracts.edge import END, Edge
from ..contracts.errors import BoundReached, ContractViolation, PartialRefused, SummaryFailed, TooMuchToHide
from ..contracts.flow import label_fields
from ..contracts.labels import Label
from ..contracts.marks import Mark, joined, partial
from ..contracts.redaction import Redactor
from ..ledger.entry import Draft
from ..ledger.records import ContractPassed, ContractViolated
from ..tools.knowing import HISTORY, MAX_KNOWN
from ..tools.run import Activation, Run, activated
from .active import now_active
from .bounding import beyond, refuse_beyond
from .bounds import Bounded
from .choosing import one_of
from .history import as_text, without
from .history import crossing as crossing_messages
from .nodes import Means, Node, entered, of_run, readable
from .registries import Registry, unknown_ids
from .state import MARKS, Turned
from .writing import settle_conflicts, sources_of, written


class Summary(BaseModel):
    """What a summariser makes of a conversation."""

    summary: Annotated[str, Field(min_length=1, max_length=8000)]


SUMMARY = Contract(Summary, version=1)
SUMMARY_TRIES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Passed:
    """What crossed: the payload, the messages beside it, and the draft that records it under `crossed`."""

    payload: dict[str, Any]
    history: list[AnyMessage]
    crossed: str
    labels: Mapping[str, Label]
    draft: Draft


def contract_node(edge: Edge, ways: Mapping[str, str], means: Means, bounded: Bounded | None = None) -> Node:
    """The contract on an edge between agents, or to the end.

    `ways` names the node for `passed` and `review`; whatever is for its source goes to who took the turn. `bounded` is
    how the bound of the edge stands, where it has one.
    """

    async def check_offer(state: Any) -> Command[str]:
        run = await means.runs.attach(state["run"])
        async with of_run(means.runs, run):
            ns, at = entered(run)
            turned: Turned = state["turned"]
            marks = joined(state.get(MARKS) or (), turned.get("marks", ()))
            try:
                told = one_of(edge, turned)
                if bounded is not None and bounded.bound.then != "review":  # whatever it is, it would not cross
                    refuse_beyond(run, bounded, turned, at=at)
                passed = await crossed(edge, turned, told, run=run, at=at, ns=ns, means=means, marks=marks)
                if bounded is not None:  # another branch of the run may have crossed meanwhile; from here on none can
                    refuse_beyond(run, bounded, turned, at=at)
            except BoundReached as reached:
                assert bounded is not None
                return beyond(run, bounded, reached, turned, at=at, review=ways.get("review", ""))
            except ContractViolation as violation:
                then = refused_turn(run, edge, violation, turned, means, at=at)
                if then == "fail":
                    raise
                again = {**turned, "tries": turned["tries"] + 1, "place": edge.name}
                update = {"gate": then, "turned": again, "faults": list(violation.faults)}
                return Command(update=update, goto=ways[then] if then == "review" else turned["source"])
            wrote = written(run, means, state.get("shared") or {}, [turned], at=at)
            if wrote.refused:
                settle_conflicts(run, means, wrote.refused, at=at, tries=turned["tries"])
                update = {"gate": "retry", "turned": {**turned, "tries": turned["tries"] + 1}}
                return Command(update=update, goto=turned["source"])
            kept = {"shared": wrote.shared, MARKS: marks}
            sticky = len(means.entries) > 1
            kept |= now_active(edge, state, turned.get("active") or {}, team=means.team, sticky=sticky)
            run.note(*wrote.drafts, passed.draft)
            if edge.target == END and means.team:
                end = {"response": passed.payload, "crossed": passed.crossed} | kept
                return Command(update=onwards(None) | end, goto=ways["passed"])
            if edge.target == END:
                body = run.knows.kept(passed.payload)
                label = Label("trusted", "public").joined(*passed.labels.values())
                await means.runs.end(run, "completed", response=body, marks=marks, label=label)
                left = onwards(None) | {"response": passed.payload} | kept
                return Command(update=changed(state, left), goto=ways["passed"])
            return Command(update=changed(state, onwards(passed) | kept), goto=ways["passed"])

    return check_offer


def onwards(passed: Passed | None) -> dict[str, Any]:
    """The state behind a contract that let something pass: what crossed, and nothing of how it came about."""
    found: dict[str, Any] = {"inbox": {}, "crossed": "", "history": []}
    if passed is not None:
        found = {"inbox": passed.payload, "crossed": passed.crossed, "history": passed.history}
    return {**found, "gate": "passed", "faults": [], "turned": None}


def changed(state: Mapping[str, Any], update: Mapping[str, Any]) -> dict[str, Any]:
    """Of an update, what is not so already: each key that is written is a row of the checkpoint."""
    return {
        k: v for k, v in update.items() if state.get(k, _UNSET.get(k)) != v and (k in state or v or k == "response")
    }


_UNSET = {"gate": "passed"}


async def crossed(
    edge: Edge,
    turned: Turned,
    told: Any,
    *,
    run: Run,
    at: str,
    ns: str,
    means: Means,
    branch: int = -1,
    marks: Sequence[Mapping[str, Any]] = (),
) -> Passed:
    """Check what a turn tells against the contract of one edge.

    Args:
        marks: of what it is made of.

    Raises:
        ContractViolation: it does not fit; with a branch, each fault names it.
        PartialRefused: a part is missing, and the contract does not take that.
    """
    if not turned.get("whole"):
        refuse_partial(edge, marks)
    crossing, redactor = await checked(edge, told, turned["inbox"], run=run, ns=ns, registries=means.registries)
    sources = sources_of(run, turned)
    carried = run.knows.labels.get(turned["crossed"], {})
    labels = label_fields(edge.contract, crossing.payload, sources, carried=carried)
    history, cut = await _talk(edge, turned, redactor, run=run, ns=ns, means=means)
    if history:
        labels[HISTORY] = sources.context
    dropped = len(turned["talk"]) - (0 if edge.history.kind == "summary" else len(history))
    return recorded(
        run,
        edge,
        replace(crossing, redacted=(*crossing.redacted, *cut)) if cut else crossing,
        at=at,
        labels=labels,
        branch=branch,
        history=history,
        dropped=max(dropped, 0),
        tries=turned["tries"],
        marks=marks,
    )


def refuse_partial(edge: Edge, marks: Sequence[Mapping[str, Any]]) -> None:
    """Raises PartialRefused: a part is missing of what is to cross, and the contract of the edge does not take that."""
    missing = partial(map(Mark.from_json, marks)) if edge.contract.partial == "refuse" else ()
    if missing:
        faults = [f"payload: is partial: {mark.kind} of agent {mark.agent!r}" for mark in missing]
        raise PartialRefused(contract=edge.contract.id, edge=edge.name, faults=faults)


async def checked(
    edge: Edge, told: Any, received: Mapping[str, Any], *, run: Run, ns: str, registries: Mapping[str, Registry]
) -> tuple[Crossing, Redactor]:
    """What a contract lets pass of what is told, and what cuts the rest out. The run learns what is sensitive in it.

    Raises:
        ContractViolation: it does not fit, or names an id that no registry knows.
        TooMuchToHide: the run holds too many sensitive values to look for.
    """
    contract, knows = edge.contract, run.knows
    if knows.overflowed and contract.never.sensitivities:
        raise TooMuchToHide(contract=contract.id, edge=edge.name, limit=MAX_KNOWN)
    redactor = contract.redactor(knows.known)
    crossing = contract.check(told, received=received, edge=edge.name, redactor=redactor)
    leaves = contract.leaves(crossing.payload)
    if faults := await unknown_ids(leaves, registries, run=run, agent=edge.source, ns=ns):
        raise ContractViolation(contract=contract.id, edge=edge.name, faults=faults)
    knows.learn(leaves)
    return crossing, redactor


def recorded(
    run: Run,
    edge: Edge,
    crossing: Crossing,
    *,
    at: str,
    labels: dict[str, Label],
    history: Sequence[AnyMessage] = (),
    dropped: int = 0,
    tries: int = 0,
    branch: int = -1,
    marks: Sequence[Mapping[str, Any]] = (),
) -> Passed:
    """A crossing with the draft of its record. The draft is noted once all that depends on it has passed too."""
    body = run.knows.kept(crossing.payload, clean=edge.contract.id in run.knows.covered)
    talk = run.knows.kept(readable(messages_to_dict(history))) if history else None
    record = ContractPassed(
        edge=edge.name,
        contract=edge.contract.id,
        contract_digest=edge.contract.digest,
        payload=body.ref,
        fields=sorted(crossing.payload),
        withheld=[list(w) for w in crossing.withheld],
        redacted=[list(r) for r in crossing.redacted],
        history_withheld=dropped,
        history_kept=len(history),
        tries=tries,
        hidden=run.knows.digests(crossing.hidden),
        labels={name: label.as_json() for name, label in labels.items()},
        branch=branch,
        history=talk.ref if talk else "",
        marks=[[m["kind"], m["agent"], m["why"]] for m in marks],
    )
    where = at if branch < 0 else f"{at}:{branch}"
    run.trail.refuse_crossing(edge.name, body.ref, at=where)
    return Passed(
        payload=crossing.payload,
        history=list(history),
        crossed=where,
        labels=labels,
        draft=Draft(record=record, key=f"passed:{where}", payloads=(body, talk) if talk else (body,)),
    )


async def _talk(
    edge: Edge, turned: Turned, redactor: Redactor, *, run: Run, ns: str, means: Means
) -> tuple[list[AnyMessage], list[tuple[str, str]]]:
    """The messages that cross beside a payload, and the rules by which something was cut out of them."""
    cut: dict[tuple[str, str], None] = {}

    def clean(value: Any) -> Any:
        bare = without(value, edge.contract.never.fields)
        if bare != value:
            cut[HISTORY, "must never cross"] = None
        cleaned, found = redactor.clean(bare)
        cut.update({(HISTORY, rule): None for _, rule in found})
        return cleaned

    history = crossing_messages(turned["talk"], edge.history, intents=means.intents, clean=clean)
    if history and edge.history.by is not None:
        history = [await _summed_up(edge, edge.history.by.name, history, run=run, ns=ns, means=means)]
    return history, list(cut)


async def _summed_up(
    edge: Edge, by: str, talk: Sequence[AnyMessage], *, run: Run, ns: str, means: Means
) -> HumanMessage:
    """One message that a summariser makes of a talk, within so many tries.

    Raises:
        SummaryFailed: it does not. The source of the edge cannot mend that.
    """
    agent = means.summarisers[by]
    activation = Activation(run=run, agent=agent.name, limits=agent.agent.limits, ns=ns)
    before: Sequence[AnyMessage] = ()
    faults: Sequence[str] = ()
    for _ in range(SUMMARY_TRIES):
        with activated(activation):
            turn = await agent.turn({"messages": as_text(talk)}, activation=activation, talk=before, faults=faults)
        try:
            found = SUMMARY.check(turn.offers[0].payload, received={}, edge=edge.name)
        except ContractViolation as violation:
            before, faults = turn.talk, violation.faults
        else:
            return HumanMessage(f"Summary of the earlier conversation:\n{found.payload['summary']}")
    raise SummaryFailed(edge=edge.name, by=by, faults=faults)


def refused(
    run: Run,
    edge: Edge,
    violation: ContractViolation,
    *,
    at: str,
    tries: int,
    branch: int = -1,
    mendable: bool = True,
    reacts: bool = False,
) -> str:
    """Record a violation; returns what happens now: `repair`, `review`, `failed` or `fail`.

    Args:
        mendable: whether its source can mend it.
        reacts: whether something is declared for the case that its source failed.
    """
    rule = edge.on_violation
    then: str = "repair" if mendable and tries < rule.repair else rule.then
    if then == "fail" and mendable and reacts:
        then = "failed"
    record = ContractViolated(
        edge=edge.name, contract=edge.contract.id, faults=list(violation.faults), tries=tries + 1, then=then
    )
    run.note(Draft(record=record, key=f"violated:{at}" if branch < 0 else f"violated:{at}:{branch}"))
    return then


def refused_turn(
    run: Run, edge: Edge, violation: ContractViolation, turned: Turned, means: Means, *, at: str, branch: int = -1
) -> str:
    """`refused`, for what an agent's turn left.

    What it did not make itself, an agent cannot mend, nor that a part is missing; and it did not fail by it.
    """
    return refused(
        run,
        edge,
        violation,
        at=at,
        tries=turned["tries"],
        branch=branch,
        mendable=not (turned.get("given") or isinstance(violation, PartialRefused)),
        reacts=means.reacts(turned),
    )

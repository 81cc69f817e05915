"""An edge that was crossed as often as its bound allows: the run fails, a person is asked, or its source hands on.

What crossed is counted from the journal of the run, which its records make: a crash between two rounds, a resumption
and another process all count alike. A crossing that is on record is being executed again, and counts as it did.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from langgraph.types import Command

from ..contracts.errors import BoundReached
from ..contracts.marks import Mark, joined
from ..contracts.review import AskingRule, binding_of
from ..ledger.entry import Draft
from ..ledger.records import BoundMet, ContractPassed
from ..tools.looping import PASSED
from ..tools.run import Run
from .bounds import Bounded
from .nodes import REPAIR, readable
from .questions import Question, answer_to
from .state import Turned


def rounds_of(run: Run, counted: frozenset[str]) -> list[str]:
    """The names of the edges that were crossed in a run, of those that a bound counts, in order."""
    with run.lock:
        records = list(run.journal.values())
    return [r.edge for r in records if isinstance(r, ContractPassed) and r.edge in counted]


def refuse_beyond(run: Run, bounded: Bounded, turned: Turned, *, at: str) -> None:
    """Refuse a crossing that would be one more than the bound of its edge allows.

    A person may have allowed this one; and one that is on record is being executed again.

    Raises:
        BoundReached
    """
    edge, bound = bounded.edge, bounded.bound
    known = run.journal.get(f"{PASSED}{at}")
    if turned.get("granted") == edge.name or (isinstance(known, ContractPassed) and known.edge == edge.name):
        return
    rounds = rounds_of(run, bounded.counted)
    if len(rounds) >= bound.most:
        raise BoundReached(bound=bound.name, edge=edge.name, most=bound.most, rounds=rounds)


def beyond(run: Run, bounded: Bounded, reached: BoundReached, turned: Turned, *, at: str, review: str) -> Command[str]:
    """What is done instead of a crossing that its bound refuses, on record before it is.

    Args:
        review: the node where a person is asked.

    Raises:
        BoundReached: the run ends by it; or its source was told, and hands over all the same.
    """
    edge, bound = bounded.edge, bounded.bound
    told = turned.get("told", 0)
    then = "fail" if bound.then == "pass" and told >= max(edge.on_violation.repair, 1) else bound.then
    met = BoundMet(at=at, bound=bound.name, edge=edge.name, most=bound.most, rounds=len(reached.rounds), then=then)
    run.note(Draft(record=met, key=f"bound:{at}"))
    if then == "fail":
        raise reached
    if then == "review":
        asking: Turned = {**turned, "place": bounded.place}
        return Command(update={"gate": "review", "turned": asking, "faults": [_used_up(bounded)]}, goto=review)
    others = [*(f"{target!r}" for target in bounded.onwards), *(["several at once"] if bounded.fan else [])]
    fault = f"{edge.target!r} takes nothing more: {_used_up(bounded)}; hand on to {' or '.join(others)} instead"
    mark = Mark(kind="degraded", agent=edge.source, why=_used_up(bounded)).as_json()
    again: Turned = {**turned, "told": told + 1, "marks": joined(turned.get("marks", ()), [mark])}
    return Command(update={"gate": REPAIR, "turned": again, "faults": [fault]}, goto=turned["source"])


def _used_up(bounded: Bounded) -> str:
    most = bounded.bound.most
    return f"bound {bounded.bound.name!r} allows {most} round{'s' if most > 1 else ''} in a run, and none is left"


async def beyond_by_person(
    run: Run, bounded: Bounded, turned: Turned, faults: Sequence[str], *, at: str
) -> Command[str]:
    """A person lets the edge be crossed once more, or says what is handed on instead. Interrupts until they do.

    Raises:
        BoundReached: the person says no, or nobody says anything in time.
    """
    edge, bound, told = bounded.edge, bounded.bound, readable(turned["offers"][0]["payload"])
    rounds = rounds_of(run, bounded.counted)
    question = Question(
        kind="bound",
        base=binding_of(
            kind="bound",
            run=run.grounds.run,
            tenant=run.grounds.tenant,
            at=at,
            edge=edge.name,
            bound=bound.as_json(),
            rounds=len(rounds),
            payload=told,
        ),
        at=at,
        agent=turned["source"],
        about=f"one more crossing of {edge.name}",
        edge=edge.name,
        rule=AskingRule(id=f"bound.{bound.name}", approver=edge.on_violation.role, reason=_used_up(bounded)),
        payload=told,
        faults=(*faults, _instead(bounded)),
        fits=lambda edited: _offers(bounded, edited) is not None,
    )
    answer = await answer_to(run, question)
    if answer is not None and answer.decision == "approve":
        granted: Turned = {**turned, "granted": edge.name}
        return Command(update={"turned": granted, "faults": []}, goto=edge.node)
    offers = _offers(bounded, answer.arguments or {}) if answer is not None and answer.decision == "edit" else None
    if offers is None:
        why = "nobody let it cross in time" if answer is None else "a person did not let it cross"
        raise BoundReached(bound=bound.name, edge=edge.name, most=bound.most, rounds=rounds, why=why)
    goto = bounded.onwards.get(offers[0]["target"], bounded.fan)
    instead: Turned = {**turned, "offers": offers, "given": True}
    return Command(update={"turned": instead, "faults": []}, goto=goto)


def _instead(bounded: Bounded) -> str:
    """How a person says what is handed on instead."""
    onwards = list(bounded.onwards)
    if len(onwards) == 1 and not bounded.fan:
        return f"an edit is what goes to {onwards[0]!r} instead"
    ways = [f'{{"target": one of {onwards}, "payload": ...}}'] if onwards else []
    ways += ['{"branches": [{"agent": ..., "brief": ...}, ...]}'] if bounded.fan else []
    return f"an edit is {' or '.join(ways)}, handed on instead" if ways else "there is nowhere else to hand on to"


def _offers(bounded: Bounded, edited: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    """What is handed on instead, as an edit says it; None for one that says none."""
    onwards, branches = bounded.onwards, edited.get("branches")
    if len(onwards) == 1 and not bounded.fan:
        return [{"target": next(iter(onwards)), "payload": dict(edited)}]
    if bounded.fan and isinstance(branches, list) and branches:
        whole = all(isinstance(b, Mapping) and "agent" in b and "brief" in b for b in branches)
        return [{"target": b["agent"], "payload": b["brief"]} for b in branches] if whole else None
    if edited.get("target") in onwards and "payload" in edited:
        return [{"target": edited["target"], "payload": edited["payload"]}]
    return None

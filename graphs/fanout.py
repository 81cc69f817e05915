"""The two contract nodes of a fan-out: one before its branches, which checks all that goes out, one behind them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from langgraph.types import Command, Send

from ..contracts.edge import Edge, FanOut
from ..contracts.errors import ContractViolation, NothingLeft, PartialRefused
from ..contracts.labels import Label
from ..contracts.marks import joined
from ..ledger.entry import Draft
from ..tools.run import Run
from .active import active_of, with_active
from .boards import first_sent, sent_again
from .crossing import Passed, crossed, onwards, recorded, refuse_partial, refused_turn
from .nodes import FAILED, REPAIR, RETRY, STAND_IN, Means, Node, entered, of_run
from .reactions import GAPS
from .settling import behind, by_person, left_behind, tolerating, whole_again
from .state import MARKS, Branch, Turned
from .writing import settle_conflicts, written


def out_node(fan: FanOut, ways: Mapping[str, str], means: Means) -> Node:
    """Checks every payload that goes to a branch; all of them pass, or none."""

    async def check_offers(state: Any) -> Command[Any]:
        run = await means.runs.attach(state["run"])
        async with of_run(means.runs, run):
            ns, at = entered(run)
            turned: Turned = state["turned"]
            marks = joined(state.get(MARKS) or (), turned.get("marks", ()))
            try:
                passed = await _all_out(fan, turned, marks, run=run, at=at, ns=ns, means=means)
            except ContractViolation as violation:
                then = refused_turn(run, _whole(fan), violation, turned, means, at=at)
                if then == "fail":
                    raise
                left = {**turned, "tries": turned["tries"] + 1, "place": fan.out}
                goto = ways[then] if then == "review" else turned["source"]
                return Command(update={"gate": then, "turned": left, "faults": list(violation.faults)}, goto=goto)
            wrote = written(run, means, state.get("shared") or {}, [turned], at=at)
            if wrote.refused:
                settle_conflicts(run, means, wrote.refused, at=at, tries=turned["tries"])
                again = {"gate": RETRY, "turned": {**turned, "tries": turned["tries"] + 1}}
                return Command(update=again, goto=turned["source"])
            shared = wrote.shared
            run.note(*wrote.drafts, *(p.draft for _, p in passed))
            sends = [Send(target, _branch(run, p, shared, index)) for index, (target, p) in enumerate(passed)]
            waits = {"inbox": turned["inbox"], "crossed": turned["crossed"], "at": turned["at"], "count": len(sends)}
            sends, waits = first_sent(fan, sends, waits)
            update = onwards(None) | {"shared": shared, "fan": waits, "results": {}, "branches": None, **_marked(marks)}
            return Command(update=update, goto=with_active(sends, state))

    return check_offers


def _marked(marks: list[dict[str, str]]) -> dict[str, Any]:
    return {MARKS: marks} if marks else {}


def _whole(fan: FanOut) -> Edge:
    """The fan-out as one edge, for records of the whole."""
    return Edge(
        source=fan.source,
        target=f"[{','.join(fan.branches)}]",
        contract=fan.gathered,
        on_violation=fan.on_violation,
        within=fan.within,
    )


def _branch(run: Run, passed: Passed, shared: dict[str, Any], index: int, tries: int = 0) -> Branch:
    return Branch(
        run=run.grounds.run,
        inbox=passed.payload,
        crossed=passed.crossed,
        history=passed.history,
        shared=shared,
        branch=index,
        tries=tries,
    )


async def _all_out(
    fan: FanOut, turned: Turned, marks: list[dict[str, str]], *, run: Run, at: str, ns: str, means: Means
) -> list[tuple[str, Passed]]:
    offers, faults = turned["offers"], list[str]()
    if len(offers) < fan.join.count:
        faults.append(f"payload: hands over to {len(offers)} branches; its join needs answers of {fan.join.count}")
    if len(offers) > fan.limit:
        faults.append(f"payload: hands over to {len(offers)} branches; at most {fan.limit} may run at once")
    passed = []
    for index, offer in enumerate(offers[: fan.limit]):
        if offer["target"] not in fan.briefs:  # a person may write anything
            faults.append(f"branch {index}: names no branch; known: {', '.join(fan.branches)}")
            continue
        edge = fan.brief(offer["target"])
        try:
            told = offer["payload"]
            found = await crossed(edge, turned, told, run=run, at=at, ns=ns, means=means, branch=index, marks=marks)
        except PartialRefused:  # of whatever goes out, so nobody mends it
            raise
        except ContractViolation as violation:
            faults += [f"branch {index} ({offer['target']}): {fault}" for fault in violation.faults]
        else:
            passed.append((offer["target"], found))
    if faults:
        contracts = "+".join(dict.fromkeys(c.id for c in fan.briefs.values()))
        raise ContractViolation(contract=contracts, edge=_whole(fan).name, faults=faults)
    return passed


_Refused = tuple[Turned, list[str]]


def back_node(fan: FanOut, ways: Mapping[str, str], means: Means) -> Node:
    """Checks what every branch gave back, has the refused mended, and hands all of it on at once."""
    means = tolerating(means, fan)

    async def gather(state: Any) -> Command[Any]:
        run = await means.runs.attach(state["run"])
        async with of_run(means.runs, run):
            ns, at = entered(run)
            results: dict[str, Any] = dict(state.get("results") or {})
            shared = state.get("shared") or {}
            turns: dict[int, Turned] = {t["branch"]: t for t in state.get("branches") or ()}
            waiting = [turns[i] for i in sorted(turns) if str(i) not in results]
            results |= {str(t["branch"]): t["gap"] for t in waiting if "gap" in t}
            good, bad = [], []
            for turned in waiting:
                if "gap" in turned or "stand_in" in turned:
                    continue
                edge = fan.answer(_role(turned, means))
                try:
                    good.append((turned, await _one_back(edge, turned, run=run, at=at, ns=ns, means=means)))
                except ContractViolation as broken:
                    bad.append((turned, edge, broken))
            answers = {t["branch"]: p.payload for t, p in good}
            stand = await behind(fan, state["fan"], turns, results, answers=answers, run=run)
            update: dict[str, Any] = {}
            if stand.decided is not None:  # nobody takes another turn, but for a write that was in conflict
                turns |= (left := left_behind(stand, bad, role=lambda t: _role(t, means), at=at))
                results |= {str(i): t["gap"] for i, t in left.items()}
                waiting, bad = [t for t in waiting if t["branch"] not in left], []
                update = {"branches": list(left.values())} if left else {}
            mend, failed, unmended = _refusals(bad, run=run, at=at, means=means)
            # Only now: what a branch wrote must not stand where another one has just ended the run.
            wrote = written(run, means, shared, [t for t, _ in good], at=at)
            shared, lost = wrote.shared, {w.branch for w, _ in wrote.refused}
            for write, conflict in wrote.refused:
                tries = turns[write.branch if write.branch is not None else -1]["tries"]
                settle_conflicts(run, means, [(write, conflict)], at=at, tries=tries)
            run.note(*wrote.drafts)
            sends = [
                Send(turned["source"], _again(run, turned, shared, gate=RETRY))
                for turned, _ in good
                if turned["branch"] in lost
            ]
            sends += [Send(t["source"], _again(run, t, shared, gate=REPAIR, faults=f)) for t, f in mend]
            sends += [Send(t["source"], _again(run, t, shared, gate=FAILED, faults=f)) for t, f in failed]
            sends += [Send(t["stand_in"], _again(run, t, shared, gate=STAND_IN)) for t in waiting if "stand_in" in t]
            held = [(t, p) for t, p in good if t["branch"] not in lost]
            run.note(*(p.draft for _, p in held))
            results |= {str(t["branch"]): _result(_role(t, means), p) for t, p in held}
            stand.met()
            update |= {"results": results, "shared": shared}
            if sends and stand.ballots:
                sends, update["fan"] = sent_again(sends, state["fan"], stand.ballots)
            if sends:  # the unmended stay among the branches, and are looked at again with those that come back
                return Command(update=update, goto=with_active(sends, state))
            if unmended:
                return Command(update=update | _for_review(fan, unmended), goto=ways["review"])

            async def recross(branch: int, answer: Any) -> tuple[dict[str, Any], Draft]:
                told: Turned = {**turns[branch], "offers": [{"target": fan.target, "payload": answer}], "whole": True}
                role = _role(told, means)
                passed = await _one_back(fan.answer(role), told, run=run, at=f"{at}:person", ns=ns, means=means)
                return _result(role, passed), passed.draft

            results = await by_person(replace(stand, turns=turns, results=results), recross, at=at)
            turns = whole_again(turns, results)
            marks = joined(state.get(MARKS) or (), *(turns[i].get("marks", ()) for i in sorted(turns)), stand.marks())
            gathered = _gathered(fan, state["fan"], results, marks, run=run, at=at)
            run.note(gathered.draft)
            done = onwards(gathered) | {"shared": shared, "fan": {}, "results": {}, "branches": None, **_marked(marks)}
            return Command(update=done | active_of(turns.values()), goto=ways["passed"])

    return gather


def _refusals(
    bad: Sequence[tuple[Turned, Edge, ContractViolation]], *, run: Run, at: str, means: Means
) -> tuple[list[_Refused], list[_Refused], list[_Refused]]:
    """Record what branches gave back and may not: those to be mended by themselves, those that failed for good where
    something is declared for that, those left to a person.

    Raises:
        ContractViolation: one of them is left to nobody.
    """
    mend, failed, unmended = list[_Refused](), list[_Refused](), list[_Refused]()
    for turned, edge, violation in bad:
        faults = [f"branch {turned['branch']} ({turned['source']}): {f}" for f in violation.faults]
        named = type(violation)(contract=violation.contract, edge=violation.edge, faults=faults)
        then = refused_turn(run, edge, named, turned, means, at=at, branch=turned["branch"])
        if then == "fail":
            raise named
        if then == "repair":
            mend.append((turned, list(violation.faults)))
        elif then == "failed":
            failed.append((turned, list(violation.faults)))
        else:
            unmended.append((turned, faults))
    return mend, failed, unmended


def _role(turned: Turned, means: Means) -> str:
    """Whose turn it was: of the branch's agent, who may have had a stand-in."""
    return means.stands_for.get(turned["source"], turned["source"])


async def _one_back(edge: Edge, turned: Turned, *, run: Run, at: str, ns: str, means: Means) -> Passed:
    told, branch, marks = turned["offers"][0]["payload"], turned["branch"], turned.get("marks", ())
    return await crossed(edge, turned, told, run=run, at=at, ns=ns, means=means, branch=branch, marks=marks)


def _again(run: Run, turned: Turned, shared: dict[str, Any], *, gate: str, faults: Sequence[str] = ()) -> Branch:
    return Branch(
        run=run.grounds.run,
        inbox=turned["inbox"],
        crossed=turned["crossed"],
        history=turned["history"],
        shared=shared,
        branch=turned["branch"],
        tries=0 if gate == STAND_IN else turned["tries"] + 1,
        gate=gate,
        faults=list(faults),
        turned=turned,
    )


def _result(role: str, passed: Passed) -> dict[str, Any]:
    return {
        "agent": role,
        "answer": passed.payload,
        "labels": [label.as_json() for label in passed.labels.values()],
    }


def _for_review(fan: FanOut, unmended: Sequence[tuple[Turned, list[str]]]) -> dict[str, Any]:
    """State for a review of the branches that could not mend what they gave back."""
    held = [{"branch": t["branch"], "agent": t["source"], "answer": t["offers"][0]["payload"]} for t, _ in unmended]
    first = unmended[0][0]
    offer = {"target": fan.target, "payload": {"branches": held}}
    turned: dict[str, Any] = {**first, "offers": [offer], "writes": [], "talk": [], "place": fan.back}
    return {"gate": "review", "turned": turned, "faults": [f for _, faults in unmended for f in faults]}


def mended(state: Mapping[str, Any], edited: Mapping[str, Any]) -> list[Turned]:
    """The branches with what a person wrote in the place of what they gave back."""
    told = [b for b in edited.get("branches") or () if isinstance(b, Mapping)]  # a person may write anything
    by_branch = {b["branch"]: b["answer"] for b in told if isinstance(b.get("branch"), int) and "answer" in b}
    found: list[Turned] = []
    for turned in state.get("branches") or ():
        if turned["branch"] in by_branch:
            offer = {"target": turned["offers"][0]["target"], "payload": by_branch[turned["branch"]]}
            turned = {**turned, "offers": [offer], "whole": True}
        found.append(turned)
    return found


def _gathered(
    fan: FanOut,
    waits: Mapping[str, Any],
    results: Mapping[str, Any],
    marks: list[dict[str, str]],
    *,
    run: Run,
    at: str,
) -> Passed:
    """What the target gets: the results in the order of their branches, gaps, and what it carries from the source.

    Raises:
        NothingLeft: every branch was skipped.
    """
    missing = [i for i in range(waits["count"]) if str(i) not in results]
    if missing:
        faults = [f"branch {i}: gave nothing back" for i in missing]
        raise ContractViolation(contract=fan.gathered.id, edge=fan.back, faults=faults)
    every = [results[str(i)] for i in range(waits["count"])]
    ordered, gaps = [r for r in every if "answer" in r], [r for r in every if "answer" not in r]
    if not ordered:
        raise NothingLeft(agent=fan.source, faults=[f"{gap['agent']}: {gap['why']}" for gap in gaps])
    told: dict[str, Any] = {"results": [{"agent": r["agent"], "answer": r["answer"]} for r in ordered]}
    if GAPS in fan.gathered.model.model_fields:
        told[GAPS] = gaps
    edge = Edge(source=f"[{','.join(fan.branches)}]", target=fan.target, contract=fan.gathered, within=fan.within)
    refuse_partial(edge, marks)
    crossing = fan.gathered.check(told, received=waits["inbox"], edge=edge.name)
    carried = run.knows.labels.get(waits["crossed"], {})
    each = [Label.from_json(found) for r in ordered for found in r["labels"]]
    labels = {name: carried.get(name, Label()) for name in crossing.payload}
    labels["results"] = Label("trusted", "public").joined(*each)
    if GAPS in labels:  # words of our own only
        labels[GAPS] = Label("trusted", "internal")
    return recorded(run, edge, crossing, at=at, labels=labels, marks=marks)

"""Random fan-outs under random policies, held against what their own records say was known when it was decided."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, replace
from math import inf
from typing import Any

from edgewright import ReviewAnswer, RunResult, System
from edgewright.contracts.errors import JoinUnmet, NothingLeft
from edgewright.contracts.join import Ballot, Join, Wait, any_of, best_effort, decide, first, quorum
from edgewright.ledger.records import BranchVoted, EffectDone, JoinDecided, ReviewAsked, ReviewWithdrawn, RunEnded
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.joins import Clerks, bounded, found, gaps, joined, met
from support.offices import done, fresh, note
from support.systems import PERMIT_ALL, asking, of_kind, only_run, records

PARTS = "abcd"
YES = ReviewAnswer(decision="approve", reason="a test says so")


@dataclass(frozen=True)
class Plan:
    """What each branch does when its gate opens, in which order the gates open, and under which policy.

    `answer` and `dissent` answer with two values; `fail` fails; `mend` breaks its contract first, and then answers;
    `park` asks a person, who says yes, and then answers; `write` has an effect, and then answers; `never` does not end.
    """

    does: tuple[str, ...]
    order: tuple[int, ...]
    join: Join

    @property
    def parts(self) -> str:
        return PARTS[: len(self.does)]

    def last(self) -> list[Ballot]:
        """How the branches stand when each has done all that it does."""
        ends = {"fail": Ballot("failed"), "never": Ballot(), "dissent": Ballot("answered", "no")}
        return [ends.get(each, Ballot("answered", "yes")) for each in self.does]


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    count = draw(st.integers(1, 4))
    kind = draw(st.sampled_from(["any", "first", "quorum", "best_effort"]))
    doing = ["answer", "dissent", "fail", "mend", "write", "park"]
    if kind == "best_effort":  # it waits for a person until its deadline, which has a test of its own
        doing.remove("park")
    does = draw(st.lists(st.sampled_from(doing), min_size=count, max_size=count))
    options: Any = {
        "late": draw(st.sampled_from(["cancel", "await"])),
        "parked": draw(st.sampled_from(["withdraw", "open"])),
        "otherwise": draw(st.sampled_from(["fail", "pass"])),
    }
    needed = draw(st.integers(1, count))
    join = {
        "any": lambda: any_of(**options),
        "first": lambda: first(needed, **options),
        "quorum": lambda: quorum(needed, agree="found", **options),
        "best_effort": lambda: best_effort(deadline=600.0, least=needed, **options),
    }[kind]()
    return Plan(tuple(does), tuple(draw(st.permutations(range(count)))), join)


class Played(Clerks):
    """The branches of a plan. `ended` is set when one is through, or asks."""

    def __init__(self, plan: Plan) -> None:
        super().__init__({}, slow=plan.parts)
        self.plan, self.ended = plan, {part: asyncio.Event() for part in plan.parts}
        self.asked = asyncio.Event()

    async def __call__(self, brief: dict[str, Any]) -> Any:
        part = brief["part"]
        does = self.plan.does[PARTS.index(part)]
        self.begun[part] += 1
        try:
            await self.gates[part].wait()
            if does == "never":
                await asyncio.Event().wait()
            if does in ("park", "write"):
                await note.call({"part": part})
            if does == "fail":
                raise ValueError("it fails")
            if does == "mend" and self.begun[part] == 1:
                return {"found": 7}
            return {"found": "no" if does == "dissent" else "yes"}
        except asyncio.CancelledError:
            self.cancelled.append(part)
            raise
        finally:
            self.ended[part].set()


def _build(plan: Plan, clerks: Played) -> System:
    parks = [p for p, does in zip(plan.parts, plan.does, strict=True) if does == "park"]
    listed = ", ".join(f'"{part}"' for part in parks)
    asks = asking("note", f"[{listed}].contains(context.args.part)") if parks else ""
    return joined(clerks, plan.join, *plan.parts, tools=(note,), policy=PERMIT_ALL + asks)


async def _driven(plan: Plan) -> tuple[System, Played, RunResult | None]:
    """Play a plan: open one gate after the other, no more than the policy needs; and answer whatever is asked."""
    clerks = Played(plan)
    system = _build(plan, clerks)
    run = asyncio.create_task(system.arun({"text": "go"}))
    known = [Ballot() for _ in plan.does]
    for place in plan.order:
        if not isinstance(decide(plan.join, known, 0.0), Wait):
            break  # what is there decides it: whoever has not begun is never let go on
        clerks.gates[PARTS[place]].set()
        if plan.does[place] != "never":
            await bounded(clerks.ended[PARTS[place]].wait())
        known[place] = {"park": Ballot("parked"), "mend": Ballot("refused")}.get(plan.does[place], plan.last()[place])
    try:
        result = await bounded(run)
        while result.status == "waiting":
            review = result.reviews[0]
            result = await bounded(system.aresume(result.thread, {review.id: YES}))
    except (JoinUnmet, NothingLeft):
        return system, clerks, None
    return system, clerks, result


def _held(plan: Plan, system: System) -> JoinDecided:
    """Hold the order of a run's records: what was decided was so by then, and not by a ballot less."""
    told = [r for r in records(system, only_run(system)) if isinstance(r, BranchVoted | JoinDecided)]
    at = next(i for i, r in enumerate(told) if isinstance(r, JoinDecided))
    decided = told[at]
    assert isinstance(decided, JoinDecided)
    before = [r for r in told[:at] if isinstance(r, BranchVoted)]
    assert not [r for r in told[at + 1 :] if isinstance(r, JoinDecided)]
    ballots = [Ballot() for _ in plan.does]
    for i, vote in enumerate(before):
        if i and vote.round > before[i - 1].round:  # whoever was refused has been sent again
            ballots = [Ballot() if ballot.state == "refused" else ballot for ballot in ballots]
        if plan.join.late == "cancel":  # who waits for a person has cast no ballot, and is open as who is at work
            assert isinstance(decide(plan.join, ballots, 0.0), Wait), (plan, before[:i])
        ballots[vote.branch] = Ballot(vote.state, vote.value)  # type: ignore[arg-type]
    standing = decided.branches
    ballots = [
        Ballot("parked") if standing[str(i)] == "parked" and ballot.state == "running" else ballot
        for i, ballot in enumerate(ballots)
    ]
    found = decide(plan.join, ballots, 0.0)
    if isinstance(found, Wait):
        found = decide(plan.join, ballots, inf)
    assert type(found).__name__.lower() == decided.outcome, (plan, ballots, decided)
    assert [i for i in range(len(ballots)) if standing[str(i)] == "late"] == [
        i for i, b in enumerate(ballots) if b.state == "running"
    ]
    return decided


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(plans())
def test_a_join_is_decided_by_the_ballot_that_decides_it_and_by_no_other(plan: Plan) -> None:
    fresh()
    system, clerks, result = asyncio.run(_driven(plan))
    decided = _held(plan, system)
    run = only_run(system)
    possible = decide(plan.join, plan.last(), 0.0)
    assert decided.outcome == type(possible).__name__.lower()
    nothing = not {"counted", "answered"} & set(decided.branches.values())
    if decided.outcome == "unmet" and (nothing or plan.join.otherwise == "fail"):
        assert result is None
        assert of_kind(system, run, RunEnded)[-1].status == "failed"
    else:
        assert result is not None
        _hold_answer(plan, decided, result)
    _hold_effects(plan, system, clerks)
    system.close()


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(plans(), st.data())
def test_a_deadline_ends_every_join_whoever_is_slow_or_waits_for_a_person(plan: Plan, data: st.DataObject) -> None:
    fresh()
    doing = st.sampled_from(["answer", "dissent", "fail", "write", "park", "never"])
    does = data.draw(st.lists(doing, min_size=len(plan.does), max_size=len(plan.does)))
    plan = Plan(tuple(does), plan.order, replace(plan.join, deadline=0.4))
    system, clerks, result = asyncio.run(_driven(plan))
    decided = _held(plan, system)
    if result is not None:
        assert result.status == "completed"
        _hold_answer(plan, decided, result)
    _hold_effects(plan, system, clerks)
    system.close()


def _hold_answer(plan: Plan, decided: JoinDecided, result: RunResult) -> None:
    """Hold what was handed on against what was decided."""
    stood = Counter(decided.branches.values())
    assert len(found(result)) == stood["counted"] + stood["answered"]
    assert len(gaps(result)) == len(plan.does) - len(found(result))
    assert Counter(gaps(result))["late"] == stood["late"]
    assert Counter(gaps(result))["parked"] == stood["parked"]
    assert {m.kind for m in result.marks} == ({"gap"} if met(result)["gaps"] else set()) | (
        {"unmet"} if decided.outcome == "unmet" else set()
    )


def _hold_effects(plan: Plan, system: System, clerks: Played) -> None:
    """No effect twice, none of unknown outcome, no turn taken again that had ended; every question has its end."""
    run = only_run(system)
    assert all(count == 1 for count in done.values())
    assert len(of_kind(system, run, EffectDone)) == done.total()
    entries = system.ledger.entries(run)
    intended = [e for e in entries if e.kind == "effect.intended"]
    assert len(intended) == done.total()
    for part, does in zip(plan.parts, plan.does, strict=True):
        # Who waits for a person is executed again with each answer that comes; what it did is given back to it then.
        most = {"mend": 2, "park": 1 + plan.does.count("park")}
        assert clerks.begun[part] <= most.get(does, 1)
    answered = sum(e.kind == "review.answered" for e in entries)
    left = of_kind(system, run, ReviewWithdrawn)
    assert len(of_kind(system, run, ReviewAsked)) == answered + len(left)
    assert {r.open for r in left} <= {plan.join.parked == "open"}

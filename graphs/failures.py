"""When an agent's turn fails: what its topology declares for that is decided, recorded, and then done.

A decision is made once. What is on record for a place in a run is done again after a crash, without another turn; only
a stop is none: a run that is gone on with after it tries the turn again, and so does one after a person's yes. What a
turn did is given back then, not done again, for it has the place that it had.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from langgraph.errors import GraphBubbleUp, is_invalid_resume

from ..contracts.contract import Contract
from ..contracts.errors import BudgetExceeded, CostUnknown, TurnFailed
from ..contracts.failure import Ask, FallBack, OnFailure, Stop, reacts, then_of, why_of
from ..contracts.marks import Mark, MarkKind, joined
from ..contracts.review import AskingRule, binding_of
from ..ledger.entry import Draft
from ..ledger.records import AgentFailed, EffectIntended, EffectRefused
from ..tools.run import Run
from .questions import Question, answer_to
from .state import Turned

FAILED = "agent.failed"
"""The id of the rule by which a person is asked about a failed turn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seat:
    """An agent's seat in its system: what is declared for its failures, and to whom it hands on.

    Attributes:
        name: of whoever sits there.
        who: `name@version`.
        role: whose seat it is: its own name, or that of the agent that it stands in for.
        declared: what happens when its turn fails.
        gives: the contract of what it hands on, for each agent that it may hand on to.
        repeats: whether its stand-in could do again what a turn of it does to the world.
        branch: whether it is a branch of a fan-out.
    """

    name: str
    who: str
    role: str
    declared: OnFailure
    gives: Mapping[str, Contract]
    repeats: bool = False
    branch: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Case:
    """One turn that may fail: whose, and what it begins with."""

    run: Run
    seat: Seat
    begun: Turned

    @property
    def at(self) -> str:
        return self.begun["at"]

    def on_record(self) -> list[AgentFailed]:
        """The failures that are on record for this place, in order."""
        found: list[AgentFailed] = []
        while isinstance(known := self.run.journal.get(f"failed:{self.at}:{len(found)}"), AgentFailed):
            found.append(known)
        return found

    def asked(self) -> int:
        """How often a person was asked about this turn."""
        return self.begun.get("asked", 0) + sum(r.then == "ask" for r in self.on_record())

    def changed_world(self) -> bool:
        """Whether the turn, in any of its tries, may have done something to the world."""
        within = tuple(f"{at}{mark}" for at in (*self.begun["since"], self.at) for mark in "#/")
        journal = dict(self.run.journal)
        intended = [r.effect for r in journal.values() if isinstance(r, EffectIntended)]
        return any(
            effect.startswith(within) and not isinstance(journal.get(f"outcome:{effect}"), EffectRefused)
            for effect in intended
        )

    async def decided(self, error: Exception) -> AgentFailed:
        """Decide what happens now, and have that on record before it does."""
        seat, why = self.seat, why_of(error)
        repeats = seat.repeats and self.changed_world()
        return await self._kept(
            error=type(error).__name__,
            cause=why.kind,
            why=why.text,
            reason=f"{type(error).__name__}: {error}" if str(error) else type(error).__name__,
            then=then_of(seat.declared, asked=self.asked(), repeats=repeats),
        )

    async def stopped(self, found: AgentFailed) -> TurnFailed:
        """Record that nobody let the run go on; returns the error that says so."""
        await self._kept(error=found.error, cause=found.cause, why=found.why, reason=found.reason, then="stop")
        return TurnFailed(agent=self.seat.name, error=found.error, why=found.why)

    async def _kept(self, *, error: str, cause: str, why: str, reason: str, then: str) -> AgentFailed:
        declared, text = self.seat.declared, self.run.knows.text
        instead = declared.agent.name if isinstance(declared, FallBack) and declared.agent else ""
        record = AgentFailed(
            at=self.at,
            agent=self.seat.who,
            error=error,
            cause=cause,
            why=text(why)[:500],
            reason=text(reason)[:2000],
            then=then,
            instead=instead if then == "stand_in" else "",
        )
        key = f"failed:{self.at}:{len(self.on_record())}"
        kept = (await self.run.write(Draft(record=record, key=key)))[0].record
        return kept if isinstance(kept, AgentFailed) else record  # another process may have been first

    # -- what is left in the place of a turn ----------------------------------------------------------------------

    def marked(self, kind: MarkKind, found: AgentFailed) -> list[dict[str, str]]:
        """The marks of the turn, and one for its failure."""
        return joined(self.begun.get("marks", ()), [Mark(kind, self.seat.role, found.why).as_json()])

    def offering(self, target: str, payload: Any, *, marks: list[dict[str, str]] | None = None) -> Turned:
        """An offer that is not of the agent's making."""
        left: Turned = {**self.begun, "offers": [{"target": target, "payload": payload}], "given": True}
        return left if marks is None else {**left, "marks": marks}

    def skipped(self, found: AgentFailed) -> Turned:
        marks = self.marked("gap", found)
        if self.seat.branch:
            gap = {"agent": self.seat.role, "kind": found.cause, "why": found.why}
            return {**self.begun, "gap": gap, "marks": marks}
        [(target, contract)] = self.seat.gives.items()
        payload = {k: v for k, v in self.begun["inbox"].items() if k not in contract.carried}
        return self.offering(target, payload, marks=marks)


async def turn_or_reaction(
    take: Callable[[], Awaitable[Turned]], *, run: Run, seat: Seat, begun: Turned, error: Exception | None = None
) -> Turned:
    """A turn; or, where it fails, what is declared for that.

    Args:
        take: takes the turn.
        begun: what it begins with.
        error: it failed before: nobody could mend what it had offered.

    Raises:
        GraphInterrupt: a person is asked.
        TurnFailed: a person said no, or nobody anything in time.
        Whatever the turn raises, where that is not its own failure, or nothing is declared for it.
    """
    case = _Case(run=run, seat=seat, begun=begun)
    found = case.on_record()[-1] if case.on_record() else None
    if found is not None:
        error = None
    while True:
        if error is None and (found is None or found.then == "stop"):
            try:
                left = await take()
                return {**left, "asked": case.asked()} if case.asked() else left
            except GraphBubbleUp:
                raise
            except Exception as raised:
                if is_invalid_resume(raised) or not reacts(raised, agent=seat.name):
                    raise
                if isinstance(raised, BudgetExceeded | CostUnknown) and _says_itself(run, raised, seat.declared):
                    raise
                error = raised
        if error is not None:
            found = await case.decided(error)
            if found.then == "stop":
                raise error
            error = None
        assert found is not None
        instead = await _done(case, found)
        if instead is not None:
            return instead
        found = None  # a person has it tried again


def _says_itself(run: Run, error: BudgetExceeded | CostUnknown, declared: OnFailure) -> bool:
    """Whether the budget that ran out says what happens: it is asked before the agent is, which knows less of it."""
    if isinstance(declared, Stop):
        return True
    budget = run.spending.budget_of(error.facts["scope"])
    if budget is None:
        return False
    return budget.unpriced == "ask" if isinstance(error, CostUnknown) else budget.then != "fail"


async def _done(case: _Case, found: AgentFailed) -> Turned | None:
    """What a decision leaves in the place of the turn; None where the turn is to be tried again."""
    seat = case.seat
    match found.then, seat.declared:
        case "skip", _:
            return case.skipped(found)
        case "answer", FallBack(answer=answer):
            [target] = seat.gives
            return case.offering(target, dict(answer or {}), marks=case.marked("degraded", found))
        case "stand_in", _:
            return {**case.begun, "stand_in": found.instead, "marks": case.marked("fallback", found)}
        case "ask", Ask(role=role):
            return await _asked(case, found, role)
        case _:  # it was decided when the system was another one, which declared something else
            raise await case.stopped(found)


async def _asked(case: _Case, found: AgentFailed, role: str) -> Turned | None:
    seat, grounds, number = case.seat, case.run.grounds, len(case.on_record())
    targets = list(seat.gives)
    onwards = targets[0] if len(targets) == 1 else f"[{','.join(targets)}]"
    question = Question(
        kind="failure",
        base=binding_of(
            kind="failure",
            run=grounds.run,
            tenant=grounds.tenant,
            at=case.at,
            agent=seat.who,
            number=number,
            error=found.error,
            why=found.why,
            inbox=case.begun["inbox"],
        ),
        at=case.at,
        agent=seat.name,
        about=f"the failed turn of {seat.name}",
        edge=f"{seat.role}→{onwards}",
        rule=AskingRule(id=FAILED, approver=role, reason=found.why),
        payload=case.begun["inbox"],
        faults=(found.reason,),
        fits=lambda edited: len(targets) == 1 or (edited.get("target") in targets and "payload" in edited),
    )
    answer = await answer_to(case.run, question)
    if answer is None or answer.decision == "reject":
        raise await case.stopped(found)
    if answer.decision == "approve":
        return None
    told: Any = dict(answer.arguments or {})
    return case.offering(targets[0], told) if len(targets) == 1 else case.offering(told["target"], told["payload"])

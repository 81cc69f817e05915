"""The planning supervisor: an agent makes a plan, code carries it out wave by wave, an agent answers from all of it.

    planner → dispatch → [the specialists of a wave] → collect → dispatch → … → aggregator

It is made of what any topology is made of: agents, some of them in code (`waves.py`), a declared fan-out, a contract on
each edge. So a wave is checked, recorded, checkpointed and drawn like any handoff, and no model is asked between two.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, get_args

from ..agents.agent import Agent
from ..contracts.contract import Contract
from ..contracts.edge import END, MAX_BRANCHES, START, Edge, FanOut, OnViolation
from ..contracts.errors import TopologyInvalid
from ..contracts.failure import OnFailure, Skip
from ..contracts.join import ALL, Join
from ..contracts.loops import LOOPS
from ..contracts.plan import EARLIER, RESERVED, Bounds, PlanContracts, Roll, plan_contracts
from .gathering import gathered
from .reactions import Declared
from .waves import Collect, Dispatch, Otherwise, called

ROLL = Contract(Roll, version=1)


@dataclass(frozen=True, kw_only=True)
class PlanningSupervisor:
    """A planner makes a plan, code carries it out, an aggregator answers.

    The plan is a contract (`contracts/plan.py`): steps with an id, an agent, a brief of that agent's own type, and the
    ids of the steps they come `after`. A plan that breaks it goes back to the planner with every fault. Steps whose
    `after` are done are sent together, and are at work at the same time; when all of them have ended, the next ones
    are. A brief with a field `earlier` (`list[Earlier]`) gets there the answers of the steps that its step comes after.

    A step fails when its agent's turn does (`Skip`, unless `on_failure` says otherwise) or its brief is refused. Then
    the planner is handed the request again, with what is done, what failed, and what is left; it plans the rest. What
    is done stays done, and no agent is asked for it again. The plan's own branch, `<name>_roll`, says which steps were
    sent, so that something comes back also when every step failed. A failed step leaves a mark on the answer, planned
    anew or not.

    What a request, a plan, or all answers together may hold is bounded as any payload is: 256 KiB.

    Attributes:
        planner: takes the request; hands over the plan. `edgewright.planner` makes one.
        specialists: take the steps. A model of theirs has at most as many as its limits allow handoffs, 5 unless given.
        takes: contract of the request.
        briefs: contract of what a specialist is handed, one for all or one per name. Their carried fields come from the
            request.
        findings: contract of what it gives back, one for all or one per name.
        answer: contract of the answer.
        aggregator: gets `{"results": [{"step": ..., "agent": ..., "answer": ...}, ...], "gaps": [{"step": ...,
            "agent": ..., "kind": ..., "why": ...}, ...]}` and the carried fields. `gaps` are the steps without an
            answer.
        carried: fields of the request that the aggregator gets, too.
        replans: how often the planner may plan anew in a run.
        most: steps in a run, at most.
        waves: how often steps may be sent in a run, so how many may come after one another. A system's loops see waves
            as rounds of the same edges: for more than ten give it `Loops(cycle=...)`, too.
        otherwise: what happens once there are no replans left. `fail`: the run ends with PlanFailed. `review`: a person
            is asked; approve answers from what there is, reject ends the run so. `pass`: the aggregator answers from
            what there is.
        role: who may answer that.
        join: of the waves: `best_effort(deadline=...)`, after which a step that is at work is late, and has failed; all
            are waited for where it is left out. What makes do with some of the steps is no join for a plan.
        on_violation: what happens when a plan, a finding or the answer breaks its contract.
        on_failure: what happens when an agent's turn fails, one for all or one per name. A specialist that is not named
            is skipped, which is how a step fails.
        name: what the agents in code and the contracts are named after; the planner's name where it is left out.

    Raises:
        TopologyInvalid: with every fault found.
    """

    planner: Agent
    specialists: Sequence[Agent]
    takes: Contract
    briefs: Contract | Mapping[str, Contract]
    findings: Contract | Mapping[str, Contract]
    answer: Contract
    aggregator: Agent
    carried: Sequence[str] = ()
    replans: int = 2
    most: int = 20
    waves: int = LOOPS.cycle or 10
    otherwise: Otherwise = "fail"
    role: str = "operator"
    join: Join = ALL
    on_violation: OnViolation = field(default_factory=OnViolation)
    on_failure: Declared | None = None
    name: str = ""

    def __post_init__(self) -> None:
        if faults := [*self._faults_of_parts()] or [*self._faults()]:
            raise TopologyInvalid(name="planning supervisor", faults=faults)
        object.__setattr__(self, "on_failure", self._reactions())

    def _faults_of_parts(self) -> list[str]:
        """What is of another kind than it should be, so that nothing more can be said of it."""
        agents: Sequence[Any] = (self.planner, *self.specialists, self.aggregator)
        contracts: list[tuple[str, Any]] = [("takes", self.takes), ("answer", self.answer)]
        for name, given in (("briefs", self.briefs), ("findings", self.findings)):
            contracts += [(name, c) for c in (given.values() if isinstance(given, Mapping) else [given])]
        return [
            *([] if self.specialists else ["it has no specialist; it takes at least one"]),
            *(f"{a!r} is no Agent" for a in agents if not isinstance(a, Agent)),
            *(f"{name}= is {c!r}, no Contract" for name, c in contracts if not isinstance(c, Contract)),
        ]

    def _faults(self) -> list[str]:
        request, faults = self.takes.model.model_fields, list[str]()
        names = [s.name for s in self.specialists]
        briefs = self._each(self.briefs)
        for name, given in (("briefs", briefs), ("findings", self._each(self.findings))):
            faults += [f"{n!r} has no contract in {name}=, or is no specialist" for n in sorted({*names} ^ {*given})]
        faults += [f"carried field {c!r} is not in the request" for c in self.carried if c not in request]
        faults += [
            f"field {n!r} of the request says how a plan stands; name it otherwise" for n in RESERVED if n in request
        ]
        for n, brief in briefs.items():
            faults += [
                f"brief of {n!r}: carried field {c!r} is not in the request"
                for c in brief.carried
                if c not in request and c != EARLIER
            ]
            if EARLIER in brief.carried:
                faults.append(f"brief of {n!r}: {EARLIER!r} is filled in by the plan, and is not carried")
        for what, number, least, most in (
            ("replans", self.replans, 0, 100),
            ("most", self.most, 1, MAX_BRANCHES - 1),
            ("waves", self.waves, 1, MAX_BRANCHES),
        ):
            given_number: Any = number
            if not isinstance(given_number, int) or isinstance(given_number, bool) or not least <= number <= most:
                faults.append(f"{what}={number!r} is no number from {least} to {most}")
        if self.otherwise not in get_args(Otherwise):
            faults.append(f"otherwise={self.otherwise!r}: takes one of {', '.join(map(repr, get_args(Otherwise)))}")
        if not self.role:
            faults.append("role='': takes the name of the role that may answer")
        join: Any = self.join
        if not isinstance(join, Join) or (join != ALL and (join.kind != "best_effort" or join.count != 1)):
            faults.append("join= makes do with some of the steps; a plan takes best_effort(deadline=...), least=1")
        return faults

    def _each(self, given: Contract | Mapping[str, Contract]) -> dict[str, Contract]:
        return dict(given) if isinstance(given, Mapping) else dict.fromkeys([s.name for s in self.specialists], given)

    def _reactions(self) -> dict[str, OnFailure]:
        declared, skipped = self.on_failure, {s.name: Skip() for s in self.specialists}
        if declared is None or isinstance(declared, Mapping):
            return {**skipped, **(declared or {})}
        return {a.name: declared for a in (self.planner, *self.specialists, self.aggregator)}

    # -- what it is made of --------------------------------------------------------------------------------------------

    @cached_property
    def _stem(self) -> str:
        return self.name or self.planner.name

    @cached_property
    def contracts(self) -> PlanContracts:
        """The contracts of its inner edges."""
        limits = {s.name: s.limits.handoffs for s in self.specialists if s.prompt}
        return plan_contracts(
            "".join(part.capitalize() for part in self._stem.split("_")),
            takes=self.takes,
            briefs=self._each(self.briefs),
            findings=self._each(self.findings),
            carried=self.carried,
            bounds=Bounds(
                most=self.most,
                waves=self.waves,
                turns={name: most for name, most in limits.items() if most is not None},
            ),
        )

    @cached_property
    def _code(self) -> tuple[Agent, Agent, Agent]:
        """The agents in code: who sends a wave, its own branch, who collects what comes back."""
        names = {part: f"{self._stem}_{part}" for part in ("dispatch", "roll", "collect")}
        dispatch = Dispatch(
            name=names["dispatch"],
            planner=self.planner.name,
            aggregator=self.aggregator.name,
            roll=names["roll"],
            earlier=tuple(n for n, b in self._each(self.briefs).items() if EARLIER in b.model.model_fields),
            replans=self.replans,
            otherwise=self.otherwise,
            role=self.role,
        )
        collect = Collect(name=names["collect"], dispatch=names["dispatch"], roll=names["roll"])
        functions: list[tuple[str, Any]] = [("dispatch", dispatch), ("roll", called), ("collect", collect)]
        first, second, third = (Agent(names[part], version=1, function=function) for part, function in functions)
        return first, second, third

    @property
    def agents(self) -> Sequence[Agent]:
        """The planner, who sends, the specialists, the wave's own branch, who collects, the aggregator."""
        dispatch, roll, collect = self._code
        return (self.planner, dispatch, *self.specialists, roll, collect, self.aggregator)

    @cached_property
    def fan_outs(self) -> Sequence[FanOut]:
        """dispatch → the specialists of a wave → collect."""
        dispatch, roll, collect = self._code
        answers = {roll.name: ROLL, **self._each(self.findings)}
        return (
            FanOut(
                source=dispatch.name,
                briefs={roll.name: ROLL, **self._each(self.briefs)},
                answers=answers,
                target=collect.name,
                gathered=gathered(self.contracts.plan, answers, self.contracts.kept, gaps=True, join=self.join),
                on_violation=self.on_violation,
                join=self.join,
            ),
        )

    @cached_property
    def edges(self) -> Sequence[Edge]:
        """start → planner → dispatch → aggregator → end; collect → dispatch; dispatch → planner, to plan anew."""
        (dispatch, _, collect), made, rule = self._code, self.contracts, self.on_violation
        code = OnViolation(repair=0, then="fail")  # code says the same again
        return (
            Edge(source=START, target=self.planner.name, contract=self.takes),
            Edge(source=self.planner.name, target=dispatch.name, contract=made.plan, on_violation=rule),
            Edge(source=collect.name, target=dispatch.name, contract=made.progress, on_violation=code),
            Edge(source=dispatch.name, target=self.aggregator.name, contract=made.outcome, on_violation=code),
            *self._back(dispatch.name, code),
            Edge(source=self.aggregator.name, target=END, contract=self.answer, on_violation=rule),
        )

    def _back(self, dispatch: str, rule: OnViolation) -> list[Edge]:
        if not self.replans:
            return []
        return [Edge(source=dispatch, target=self.planner.name, contract=self.contracts.replan, on_violation=rule)]

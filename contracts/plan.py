"""A plan as a contract: steps for named agents, each with a brief of its own, some of them after others.

The contract is generated from the briefs, so a model is told, by type, what each agent takes. What a type cannot say
(ids are unique, nothing waits for itself, nobody has more steps than their limits allow) is checked with it, and every
fault is told at once. What is ready, and what a step may read of the others, is decided here, too, without I/O.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, Literal, Union

from pydantic import BaseModel, Field, create_model

from .contract import DOCUMENT, Contract, Crossing
from .errors import ContractViolation
from .failure import GapKind
from .redaction import Redactor

EARLIER = "earlier"
"""The field of a brief that is filled with the answers of the steps that its step comes after."""
STEPS, DONE, FAILED, LOST, LEFT, REPLANS, WAVES = "steps", "done", "failed", "lost", "left", "replans", "waves"
RESERVED = (STEPS, DONE, FAILED, LOST, LEFT, REPLANS, WAVES, "results", "gaps")
"""Fields that say how a plan stands: no field of the request may be called so."""
StepId = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")]
Missing = GapKind | Literal["not_begun"]
"""Why a step has no answer: how its branch failed; or it never began, because of another one."""


class Earlier(BaseModel):
    """The answer of a step that this one comes after."""

    step: str
    agent: str
    answer: dict[str, Any]


class Missed(BaseModel):
    """A step without an answer, and why, in words of our own."""

    step: str
    agent: str
    kind: Missing
    why: str


class Roll(BaseModel):
    """Which steps were sent together."""

    steps: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What a plan may come to.

    Attributes:
        most: steps in a run, those that are done included.
        waves: times that steps are sent together in a run, those that are over included.
        turns: steps of one agent in a run, those that failed included, by its name; an agent without has no such bound.
    """

    most: int
    waves: int
    turns: Mapping[str, int]

    def as_json(self) -> dict[str, Any]:
        """As documents and digests hold it."""
        return {"most": self.most, "waves": self.waves, "turns": dict(sorted(self.turns.items()))}


class PlanContract(Contract):
    """The contract of a plan: its type, and what holds of its steps together.

    Args:
        model: made by `plan_contracts`.
        briefs: contract of what each agent is handed.
        bounds: what the plan may come to.
    """

    def __init__(
        self,
        model: type[BaseModel],
        *,
        version: int,
        carried: Sequence[str],
        briefs: Mapping[str, Contract],
        bounds: Bounds,
    ) -> None:
        super().__init__(model, version=version, carried=carried)
        self._briefs, self._bounds = dict(briefs), bounds

    @cached_property
    def document(self) -> dict[str, Any]:
        """As any contract's, with the bounds among its rules: they count in its digest."""
        found = super().document
        return {**found, DOCUMENT: {**found[DOCUMENT], "plan": self._bounds.as_json()}}

    def check(self, told: Any, *, received: Mapping[str, Any], edge: str, redactor: Redactor | None = None) -> Crossing:
        """As any contract's, and then the steps together. Raises ContractViolation, with the faults of both."""
        # Never empty: of a request without fields, too, how a plan stands is the runtime's to say.
        received = {WAVES: 0, **received}
        try:
            crossing = super().check(told, received=received, edge=edge, redactor=redactor)
        except ContractViolation as violation:
            raw = told.get(STEPS) if isinstance(told, Mapping) else None
            steps = [s if isinstance(s, Mapping) else {} for s in raw] if isinstance(raw, list | tuple) else None
            faults = [*violation.facts["faults"]]
            if steps is not None and len(steps) <= self._bounds.most:
                faults += faults_of_steps(steps, received, self._bounds)
            raise ContractViolation(contract=self.id, edge=edge, faults=faults) from None
        steps = crossing.payload[STEPS]
        faults = [*faults_of_steps(steps, crossing.payload, self._bounds), *self._unfit(steps, crossing.payload)]
        if faults:
            raise ContractViolation(contract=self.id, edge=edge, faults=faults)
        return crossing

    def _unfit(self, steps: Sequence[Mapping[str, Any]], plan: Mapping[str, Any]) -> Iterator[str]:
        """What the contracts of the briefs say of them: the planner can mend that, the code that sends them cannot."""
        for place, step in enumerate(steps):
            contract = self._briefs[step["agent"]]
            filled: dict[str, Any] = {EARLIER: []} if EARLIER in contract.model.model_fields else {}
            try:
                contract.check({**step["brief"], **filled}, received=plan, edge=self.id)
            except ContractViolation as violation:
                for fault in violation.facts["faults"]:
                    if fault.partition(":")[0].partition(".")[0] != EARLIER:  # not the planner's to give
                        yield f"{STEPS}.{place}.brief.{fault}"


def faults_of_steps(steps: Sequence[Mapping[str, Any]], plan: Mapping[str, Any], bounds: Bounds) -> list[str]:
    """What is wrong with steps together: `field: rule`, by their places, without a value.

    Args:
        steps: as they were told, well-formed or not; what is malformed in them is not looked at.
        plan: how it stands: what is done, what failed, how many waves there were.
    """
    done, failed = plan.get(DONE) or [], plan.get(FAILED) or []
    over = {d["step"] for d in done}
    ids = [s.get("id") if isinstance(s.get("id"), str) else None for s in steps]
    places = {given: place for place, given in reversed(list(enumerate(ids))) if given is not None}
    faults = []
    if not steps and not done:
        faults.append(f"{STEPS}: is empty, and nothing is done yet; plan at least one step")
    if done and len(done) + len(steps) > bounds.most:
        faults.append(f"{STEPS}: {len(steps)} beside the {len(done)} that are done; at most {bounds.most} in all")
    for place, given in enumerate(ids):
        if given is not None and places[given] != place:
            faults.append(f"{STEPS}.{place}.id: is that of step {places[given]}, too; each step has one of its own")
        if given in over:
            faults.append(f"{STEPS}.{place}.id: is of a step that is done; name it in `after`, and plan what is left")
    for place, step in enumerate(steps):
        for nth, after in enumerate(_after(step)):
            if after not in places and after not in over:
                faults.append(f"{STEPS}.{place}.after.{nth}: names no step of the plan, and none that is done")
    if circle := _circle(steps, places):
        said = ", ".join(f"{STEPS}.{place}" for place in circle)
        faults.append(f"{STEPS}: these wait for each other in a circle: {said}")
    elif (deep := _depth(steps, places)) and (before := plan.get(WAVES) or 0) + deep > bounds.waves:
        said = f"{deep} in a row" + (f" after {before} waves" if before else "")
        faults.append(f"{STEPS}: {said}; at most {bounds.waves}, so let more of them run at the same time")
    for agent, most in bounds.turns.items():
        taken = sum(d["agent"] == agent for d in (*done, *failed))
        here = sum(s.get("agent") == agent for s in steps)
        if here and taken + here > most:
            said = f", beside the {taken} that it had" if taken else ""
            faults.append(f"{STEPS}: {here} are of agent {agent!r}{said}; it takes at most {most} turns in a run")
    return faults


def _after(step: Mapping[str, Any]) -> list[str]:
    given = step.get("after")
    return [a for a in given if isinstance(a, str)] if isinstance(given, list | tuple) else []


def _left(steps: Sequence[Mapping[str, Any]], places: Mapping[str, int]) -> Iterator[list[int]]:
    """The places that are ready together, wave by wave; then, where some never are, nothing more."""
    waits = {place: {places[a] for a in _after(step) if a in places} for place, step in enumerate(steps)}
    while ready := [place for place, others in waits.items() if not others & waits.keys()]:
        yield ready
        for place in ready:
            del waits[place]


def _circle(steps: Sequence[Mapping[str, Any]], places: Mapping[str, int]) -> list[int]:
    """The places of one circle, in the order in which each waits for the next; empty where there is none."""
    ready = {place for wave in _left(steps, places) for place in wave}
    walk = [place for place in range(len(steps)) if place not in ready][:1]
    while walk:  # whatever is not ready waits for something that is not
        onwards = next(p for a in _after(steps[walk[-1]]) if (p := places.get(a)) is not None and p not in ready)
        if onwards in walk:
            return walk[walk.index(onwards) :]
        walk.append(onwards)
    return []


def _depth(steps: Sequence[Mapping[str, Any]], places: Mapping[str, int]) -> int:
    return sum(1 for _ in _left(steps, places))


# -- what follows from a plan -----------------------------------------------------------------------------------------


def ready(steps: Sequence[Mapping[str, Any]], done: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The steps that are not done, and after nothing that is not, in the order of the plan."""
    over = {d["step"] for d in done}
    return [s for s in steps if s["id"] not in over and over.issuperset(s["after"])]


def brief_of(step: Mapping[str, Any], done: Sequence[Mapping[str, Any]], *, earlier: bool) -> dict[str, Any]:
    """What the agent of a step is handed: its brief, and the answers of the steps it comes after, if it takes them."""
    if not earlier:
        return dict(step["brief"])
    known = {d["step"]: d for d in done}
    return {**step["brief"], EARLIER: [known[a] for a in step["after"]]}


def missing(
    steps: Sequence[Mapping[str, Any]], done: Sequence[Mapping[str, Any]], failed: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """The steps that have no answer: those that failed, and were not done since, and those that never began."""
    over = {d["step"] for d in done}
    gaps = {f["step"]: dict(f) for f in failed if f["step"] not in over}
    for step in steps:
        if step["id"] not in over and step["id"] not in gaps:
            why = "it was not begun: the plan did not get to it"
            gaps[step["id"]] = {"step": step["id"], "agent": step["agent"], "kind": "not_begun", "why": why}
    return list(gaps.values())


# -- the contracts of a planning team ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanContracts:
    """The contracts of the edges of a planning team, all generated.

    Attributes:
        plan: from the planner to the code that carries it out.
        replan: back to the planner: the request, what is done, what failed, what is left.
        progress: from the code that collects answers to the code that sends the next wave.
        outcome: to the aggregator: carried fields of the request, `results` and `gaps`.
        kept: the fields of `plan` that what meets behind a wave carries.
    """

    plan: PlanContract
    replan: Contract
    progress: Contract
    outcome: Contract
    kept: tuple[str, ...]


def plan_contracts(
    stem: str,
    *,
    takes: Contract,
    briefs: Mapping[str, Contract],
    findings: Mapping[str, Contract],
    carried: Sequence[str],
    bounds: Bounds,
) -> PlanContracts:
    """Make them.

    Args:
        stem: what their names begin with.
        takes: contract of the request.
        briefs, findings: of what each specialist is handed and gives back, by its name.
        carried: fields of the request that the aggregator gets.
    """
    version = max(c.version for c in (takes, *briefs.values(), *findings.values()))
    request = tuple(takes.model.model_fields)
    asked = _fields(takes, request)
    step: Any = _union([_step(n, b, bounds.most) for n, b in briefs.items()], "agent")
    answered: Any = _union([_answered(n, f) for n, f in findings.items()], "agent")
    steps: Any = list[step]
    done: Any = list[answered]
    none: Any = Field(default_factory=list)
    number: Any = Annotated[int, Field(ge=0)]
    stands: dict[str, Any] = {
        DONE: (done, none),
        FAILED: (list[Missed], none),
        REPLANS: (number, 0),
        WAVES: (number, 0),
    }
    planned: dict[str, Any] = {STEPS: (Annotated[steps, Field(max_length=bounds.most)], ...)}
    plan = create_model(f"{stem}Plan", __doc__=_TOLD, **asked, **planned, **stands)
    lost: dict[str, Any] = {LOST: (list[Missed], ...)}
    left: dict[str, Any] = {LEFT: (steps, ...)}
    all_of_it: dict[str, Any] = {"results": (done, ...), "gaps": (list[Missed], ...)}
    progress = create_model(f"{stem}Progress", **asked, **planned, **stands, **lost)
    replan = create_model(f"{stem}Replan", **asked, **left, **stands)
    outcome = create_model(f"{stem}Outcome", **_fields(takes, carried), **all_of_it)
    kept = (*request, STEPS, *stands)
    return PlanContracts(
        plan=PlanContract(plan, version=version, carried=[*request, *stands], briefs=briefs, bounds=bounds),
        replan=Contract(replan, version=version, carried=[*request, DONE, WAVES]),
        progress=Contract(progress, version=version, carried=[*request, STEPS, FAILED, REPLANS]),
        outcome=Contract(outcome, version=version, carried=list(carried)),
        kept=kept,
    )


_TOLD = (
    "A plan: steps, each for one agent, with a brief of its own and an id. `after` has the ids of the steps whose "
    "answers a step needs; steps that do not wait for each other are taken at the same time."
)


def _fields(contract: Contract, names: Sequence[str]) -> dict[str, Any]:
    return {n: (contract.model.model_fields[n].annotation, contract.model.model_fields[n]) for n in names}


def _told(brief: Contract) -> type[BaseModel]:
    """What a planner says of a brief: all but what is carried, and what code fills in."""
    fields = brief.model.model_fields
    names = [n for n in fields if n not in brief.carried and n != EARLIER]
    if len(names) == len(fields):
        return brief.model
    return create_model(brief.model.__name__, __doc__=brief.model.__doc__, **_fields(brief, names))


def _step(agent: str, brief: Contract, most: int) -> type[BaseModel]:
    parts: dict[str, Any] = {
        "id": (StepId, ...),
        "agent": (Literal[agent], ...),
        "brief": (_told(brief), ...),
        "after": (Annotated[list[StepId], Field(max_length=most)], Field(default_factory=list)),
    }
    return create_model(f"{agent}_step", **parts)


def _answered(agent: str, finding: Contract) -> type[BaseModel]:
    parts: dict[str, Any] = {"step": (str, ...), "agent": (Literal[agent], ...), "answer": (finding.model, ...)}
    return create_model(f"{agent}_answer", **parts)


def _union(each: Sequence[type[BaseModel]], tag: str) -> Any:
    if len(each) == 1:
        return each[0]
    return Annotated[Union[tuple(each)], Field(discriminator=tag)]  # noqa: UP007 - made at run time

"""Pipeline: a line of stages, with a contract before each and behind the last. `stages.py` has what a stage can be."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from ..agents.agent import Agent
from ..contracts.contract import Contract
from ..contracts.edge import NO_HISTORY, Edge, FanOut, History, OnViolation
from ..contracts.errors import TopologyInvalid
from ..contracts.failure import STOP
from .line import Line, laid
from .reactions import Declared, never_fits
from .stages import AnyStage, Condition, LoopBack, Map, Parallel, Stage, faults_of_stage, name_of


@dataclass(frozen=True, kw_only=True)
class Pipeline:
    """A line of stages. `contracts` has one more than `stages`: before each stage, and after the last.

    Attributes:
        stages: agents, or what `stages.py` has: with a condition, several at once, one on each item of a list.
        contracts: None in the place of one that is generated: behind a `Parallel` or a `Map`.
        loop_backs: ways back from a stage to an earlier one, each with a bound.
        on_violation: what happens when a stage's payload breaks its contract.
        history: which messages of a stage's turn cross to the next.
        on_failure: what happens when a stage's turn fails, one for all or one per name; the run stops otherwise. A
            generated function that splits or merges is an agent like any other.

    Raises:
        TopologyInvalid: with every fault of the line.
    """

    stages: Sequence[AnyStage]
    contracts: Sequence[Contract | None]
    loop_backs: Sequence[LoopBack] = ()
    on_violation: OnViolation = field(default_factory=OnViolation)
    history: History = NO_HISTORY
    on_failure: Declared = STOP

    def __post_init__(self) -> None:
        faults = [*self._faults_of_parts()]
        if not faults:  # what is no stage has no name either
            faults = [*self._faults_of_several(), *self._faults_of_loop_backs()]
        if not faults:
            faults = [*self._faults_of_conditions()]
        if faults:
            raise TopologyInvalid(name="pipeline", faults=faults)

    def _faults_of_parts(self) -> Iterator[str]:
        stages: Sequence[Any] = self.stages
        contracts: Sequence[Any] = self.contracts
        if not stages:
            yield "it has no stage; it takes at least one agent"
        elif len(contracts) != len(stages) + 1:
            yield f"{len(stages)} stages need {len(stages) + 1} contracts, not {len(contracts)}"
        for i, stage in enumerate(stages):
            yield from faults_of_stage(stage, f"stage {i}")
        for i, contract in enumerate(contracts):
            behind = 0 < i <= len(stages) and isinstance(stages[i - 1], Parallel | Map)
            if contract is None and not behind:
                yield f"contract {i} is None, and it stands behind no Parallel or Map, which alone have one generated"
            elif contract is None and getattr(stages[i - 1], "merge", None) is not None:
                yield f"contract {i} is None, and what the merge of stage {i - 1} makes has one of its own; write it"
            elif contract is not None and not isinstance(contract, Contract):
                yield f"contract {i} is {contract!r}, no Contract"
        for i, back in enumerate(self.loop_backs):
            given: Any = back
            if not isinstance(given, LoopBack):
                yield f"loop-back {i} is {given!r}, no LoopBack"
            elif not isinstance(given.contract, Contract):
                yield f"loop-back {i}: contract={given.contract!r} is no Contract"

    def _faults_of_several(self) -> Iterator[str]:
        """What is wrong with stages side by side. It needs the contracts before them, some of which are generated."""
        takes: Contract | None = self.contracts[0]
        for i, stage in enumerate(self.stages):
            if takes is not None and isinstance(stage, Parallel):
                yield from _faults_of_parallel(stage, takes, i)
            elif takes is not None and isinstance(stage, Map):
                yield from _faults_of_map(stage, takes, i)
            takes = self.contracts[i + 1]  # one that is generated has no fault, and none to check the next against

    def _faults_of_loop_backs(self) -> Iterator[str]:
        names = [name_of(s) for s in self.stages]
        for back in self.loop_backs:
            told = f"loop-back {back.source!r} → {back.to!r}"
            known = [end for end in (back.source, back.to) if end in names]
            ends = dict.fromkeys((back.source, back.to))
            yield from (f"{told} names no stage {end!r}; known: {names}" for end in ends if end not in names)
            if len(known) == 2 and names.index(back.to) >= names.index(back.source):
                yield f"{told} does not lead back: its source comes after where it leads"
            source = next((s for s in self.stages if name_of(s) == back.source), None)
            if isinstance(source, Map | Parallel) and source.merge is None:
                yield f"{told}: nobody there decides whether to go back; give stage {back.source!r} a merge that does"
            try:
                _ = back.bound
            except ValueError as error:
                yield f"{told}: {error}"

    def _faults_of_conditions(self) -> Iterator[str]:
        for name, condition in self.conditions.items():
            [given] = [e for e in self.edges if e.source == name and e.bound is None]
            taken = [e.contract for e in self.edges if e.target == name]
            taken += [f.gathered for f in self.fan_outs if f.target == name]
            for contract in {c.id: c for c in taken}.values():
                if why := never_fits(contract, given.contract):
                    yield f"stage {name!r} cannot be skipped: what it takes, {contract.id}, does not fit onwards: {why}"
                if isinstance(condition.when, str):
                    kind = contract.schema["properties"].get(condition.when, {}).get("type")
                    if kind != "boolean":
                        yield f"stage {name!r}: when={condition.when!r} is no field of type bool of {contract.id}"

    @cached_property
    def _line(self) -> Line:
        return laid(
            self.stages,
            self.contracts,
            self.loop_backs,
            on_violation=self.on_violation,
            history=self.history,
            on_failure=self.on_failure,
        )

    @property
    def agents(self) -> Sequence[Agent]:
        """Those of the stages, in order, with the functions that split and merge."""
        return self._line.agents

    @property
    def edges(self) -> Sequence[Edge]:
        """start → first → … → last → end, and the ways back."""
        return self._line.edges

    @property
    def fan_outs(self) -> Sequence[FanOut]:
        """One for each stage that is several at once."""
        return self._line.fan_outs

    @cached_property
    def conditions(self) -> Mapping[str, Condition]:
        """The conditions of stages, by their names."""
        return {s.agent.name: Condition(s.agent.name, s.when) for s in self.stages if isinstance(s, Stage)}


def _faults_of_parallel(stage: Parallel, takes: Contract, place: int) -> Iterator[str]:
    names = [a.name for a in stage.agents]
    for what, given in (("briefs", stage.briefs), ("findings", stage.findings)):
        each = given if isinstance(given, Mapping) else dict.fromkeys(names, takes if given is None else given)
        odd = sorted({*names} ^ {*each})
        yield from (f"stage {place}: {n!r} has none of {what}, or is none of its agents; one each" for n in odd)
        for name, contract in each.items():
            if not isinstance(contract, Contract):
                yield f"stage {place}: {what} of {name!r} is {contract!r}, no Contract"
            elif what == "briefs":
                needs = [n for n in contract.schema.get("required", ()) if n not in takes.schema["properties"]]
                yield from (f"stage {place}: brief {contract.id} needs {n!r}, which {takes.id} has not" for n in needs)
    yield from _faults_of_carried(stage, takes, place)


def _faults_of_map(stage: Map, takes: Contract, place: int) -> Iterator[str]:
    schema = takes.schema["properties"].get(stage.over)
    if schema is None:
        yield f"stage {place}: over={stage.over!r} is no field of {takes.id}"
    elif schema.get("type") != "array":
        yield f"stage {place}: field {stage.over!r} of {takes.id} is no list"
    missing = [n for n in stage.item.carried if n not in takes.schema["properties"]]
    yield from (f"stage {place}: contract {stage.item.id} carries {n!r}, which {takes.id} has not" for n in missing)
    yield from _faults_of_carried(stage, takes, place)


def _faults_of_carried(stage: Parallel | Map, takes: Contract, place: int) -> Iterator[str]:
    stray = [n for n in stage.carried if n not in takes.model.model_fields]
    yield from (f"stage {place}: carried field {n!r} is not in {takes.id}" for n in stray)

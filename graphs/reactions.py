"""What a topology declares for the failures of its agents (`on_failure`): who reacts how, and what is wrong with it.

Supervisor(..., on_failure={"billing": FallBack(agent=clerk), "research": Skip()})
Pipeline(..., on_failure=Ask(role="lead"))
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, get_args

from ..agents.agent import Agent
from ..contracts.contract import Contract
from ..contracts.disjoint import Disjointness
from ..contracts.edge import Edge, FanOut
from ..contracts.errors import ContractViolation
from ..contracts.failure import STOP, FallBack, OnFailure, Skip
from ..contracts.json_schema import Node

if TYPE_CHECKING:
    from .topology import Topology

GAPS = "gaps"
"""The field of what meets behind a fan-out that says which branches were skipped."""
Declared = OnFailure | Mapping[str, OnFailure]


def reactions_of(topology: Topology) -> dict[str, OnFailure]:
    """What happens when an agent's turn fails, by its name; not those whose failure stops the run."""
    declared: Any = getattr(topology, "on_failure", STOP)
    each = declared if isinstance(declared, Mapping) else {a.name: declared for a in topology.agents}
    return {name: on_failure for name, on_failure in each.items() if on_failure != STOP}


def stand_ins_of(topology: Topology) -> dict[str, Agent]:
    """The agents that take a turn in the place of another, by the name of that one."""
    named = {n: r.agent for n, r in reactions_of(topology).items() if isinstance(r, FallBack)}
    return {name: agent for name, agent in named.items() if isinstance(agent, Agent)}


def may_skip(declared: Declared, names: Sequence[str]) -> bool:
    """Whether one of the agents may be skipped."""
    if isinstance(declared, Mapping):
        return any(isinstance(declared.get(name), Skip) for name in names)
    return isinstance(declared, Skip)


def faults_of_reactions(topology: Topology) -> list[str]:
    """Everything wrong with what a topology declares for failures, as far as it can be known before a run."""
    reactions, stand_ins = reactions_of(topology), stand_ins_of(topology)
    names = [a.name for a in topology.agents]
    faults = [f"on_failure names no agent {n!r}; known: {sorted(names)}" for n in reactions if n not in names]
    for name, reaction in reactions.items():
        given: Any = reaction
        if not isinstance(given, get_args(OnFailure)):
            faults.append(f"on_failure of {name!r} is {given!r}; it takes Stop, Skip, FallBack or Ask")
        elif name in names:
            faults += [f"on_failure of {name!r}: {fault}" for fault in _faults(name, reaction, topology)]
    used = [a.name for a in stand_ins.values()]
    twice = sorted({n for n in used if used.count(n) > 1})
    faults += [f"{n!r} stands in for two agents; give each one of its own" for n in twice]
    return faults


def _faults(name: str, reaction: OnFailure, topology: Topology) -> Iterator[str]:
    within = next((f for f in topology.fan_outs if name in f.briefs), None)
    given = _given(name, topology, within)
    match reaction:
        case Skip() if within is not None:
            if GAPS not in within.gathered.model.model_fields:
                yield f"it may be skipped, and contract {within.gathered.id} has no field {GAPS!r} to say so"
        case Skip():
            yield from _skipped(name, topology, given)
        case FallBack(agent=Agent(name=other)):
            if any(a.name == other for a in topology.agents):
                yield f"{other!r} has a turn of its own; use another agent"
        case FallBack(agent=None, answer=answer):
            if len(given) != 1:
                yield f"it hands on to {len(given)} agents, and FallBack(answer=...) does not say to whom"
            else:
                yield from _answered(dict(answer or {}), given[0])
        case FallBack(agent=other):
            yield f"FallBack(agent=...) takes an Agent, not {other!r}"
        case _:
            pass


def _given(name: str, topology: Topology, within: FanOut | None) -> list[Edge]:
    """The edges by which an agent hands on."""
    if within is not None:
        return [within.answer(name)] if name in within.answers else []
    fans = [f.brief(branch) for f in topology.fan_outs if f.source == name for branch in f.branches]
    return [*onwards(topology.edges, name), *fans]


def onwards(edges: Sequence[Edge], name: str) -> list[Edge]:
    """The edges by which an agent hands on; not those of a bound, which lead round, where there are others."""
    mine = [e for e in edges if e.source == name]
    return [e for e in mine if e.bound is None] or mine


def _skipped(name: str, topology: Topology, given: Sequence[Edge]) -> Iterator[str]:
    if len(given) != 1:
        yield f"it hands on to {len(given)} agents, and Skip() does not say to whom"
        return
    taken = [e.contract for e in topology.edges if e.target == name]
    taken += [f.gathered for f in topology.fan_outs if f.target == name]
    for contract in taken:
        if why := never_fits(contract, given[0].contract):
            remedy = "use FallBack(answer=...) or FallBack(agent=...)"
            yield f"it may not be skipped: what it takes, {contract.id}, is not what it hands on: {why}; {remedy}"


def never_fits(taken: Contract, given: Contract) -> str:
    """Why no payload of the one contract fits the other; empty where some may."""
    here, there = taken.schema["properties"], given.schema["properties"]
    if more := [n for n in here if n not in there]:
        return f"{given.id} has no {more[0]!r}"
    if less := [n for n in given.schema.get("required", ()) if n not in here]:
        return f"{given.id} needs {less[0]!r}"
    disjoint = Disjointness()
    odd = [n for n in here if disjoint.proven(Node(here[n], taken.schema), Node(there[n], given.schema))]
    return f"{odd[0]!r} of the one is never one of the other" if odd else ""


def _answered(answer: Mapping[str, Any], edge: Edge) -> Iterator[str]:
    """What is wrong with a declared answer. Its carried fields are filled in by the run."""
    contract = edge.contract
    if told := [n for n in contract.carried if n in answer]:
        yield f"its answer has {told[0]!r}, which is carried by the runtime"
    try:
        contract.check(answer, received={}, edge=edge.name)
    except ContractViolation as violation:
        mine = [f for f in violation.facts["faults"] if f.partition(":")[0] not in contract.carried]
        yield from (f"its answer does not fit {contract.id}: {fault}" for fault in mine)


def as_json(topology: Topology) -> dict[str, Any]:
    """What is declared for failures, by agent, as digests hold it; empty where every failure stops the run."""
    return {name: reaction.as_json() for name, reaction in sorted(reactions_of(topology).items())}

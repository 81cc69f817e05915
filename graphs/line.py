"""A pipeline laid out: its stages as agents, edges and fan-outs, with the functions that split and merge generated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pydantic import create_model

from ..agents.agent import Agent
from ..contracts.contract import Contract
from ..contracts.edge import END, MAX_BRANCHES, NO_HISTORY, START, Edge, FanOut, History, OnViolation
from .gathering import gathered
from .reactions import GAPS, Declared, may_skip
from .stages import AnyStage, LoopBack, Map, Meet, Parallel, Split, SplitItems, Stage, name_of


@dataclass(slots=True)
class Line:
    """What a pipeline is made of. `heads` and `tails` are the agents that begin and end a stage, by its name."""

    agents: tuple[Agent, ...] = ()
    edges: tuple[Edge, ...] = ()
    fan_outs: tuple[FanOut, ...] = ()
    heads: dict[str, str] = field(default_factory=dict)
    tails: dict[str, str] = field(default_factory=dict)


def laid(
    stages: Sequence[AnyStage],
    contracts: Sequence[Contract | None],
    loop_backs: Sequence[LoopBack],
    *,
    on_violation: OnViolation,
    history: History,
    on_failure: Declared,
) -> Line:
    """Lay a pipeline out; it was checked before."""
    line, every = Line(), [*contracts]
    ends = [*(_head(s) for s in stages[1:]), END]
    source, takes = START, every[0]
    assert takes is not None
    for i, (stage, onwards) in enumerate(zip(stages, ends, strict=True)):
        head = _head(stage)
        if source:
            past = history if source != START else NO_HISTORY
            rule = on_violation
            line.edges += (Edge(source=source, target=head, contract=takes, on_violation=rule, history=past),)
        line.heads[name_of(stage)] = head
        gives = every[i + 1]
        if isinstance(stage, Parallel | Map):
            gives = _several(line, stage, takes, gives, onwards, on_violation, on_failure)
            source = _tail(stage, onwards)
        else:
            line.agents += (stage.agent if isinstance(stage, Stage) else stage,)
            source = head
        line.tails[name_of(stage)] = source
        assert gives is not None
        takes = gives
    if source:
        line.edges += (Edge(source=source, target=END, contract=takes, on_violation=on_violation),)
    line.edges += tuple(
        Edge(
            source=line.tails[back.source],
            target=line.heads[back.to],
            contract=back.contract,
            on_violation=back.on_violation or on_violation,
            history=history,
            bound=back.bound,
        )
        for back in loop_backs
    )
    return line


def _head(stage: AnyStage) -> str:
    """The agent that takes what a stage is handed."""
    return f"{name_of(stage)}_split" if isinstance(stage, Parallel | Map) else name_of(stage)


def _tail(stage: Parallel | Map, onwards: str) -> str:
    """The function that makes one of what met behind a stage; empty where it goes to the next stage as it is."""
    return f"{name_of(stage)}_merge" if stage.merge is not None or onwards == END else ""


def _several(
    line: Line,
    stage: Parallel | Map,
    takes: Contract,
    gives: Contract | None,
    onwards: str,
    rule: OnViolation,
    on_failure: Declared,
) -> Contract:
    """Add a stage that is several agents at once; returns the contract of what leaves it."""
    agents = tuple(stage.agents) if isinstance(stage, Parallel) else (stage.agent,)
    names = [a.name for a in agents]
    briefs = _each(names, (stage.briefs or takes) if isinstance(stage, Parallel) else stage.item)
    answers = _each(names, stage.findings if isinstance(stage, Parallel) else stage.gives)
    tail = _tail(stage, onwards)
    behind = tail or onwards
    met = gives if gives is not None and not tail else _met(stage, takes, answers, may_skip(on_failure, names))
    fan = FanOut(
        source=_head(stage),
        briefs=briefs,
        answers=answers,
        target=behind,
        gathered=met,
        on_violation=rule,
        join=stage.join,
        limit=stage.most if isinstance(stage, Map) else MAX_BRANCHES,
        concurrency=stage.concurrency if isinstance(stage, Map) else None,
    )
    line.fan_outs += (fan,)
    if isinstance(stage, Map):
        line.edges += (Edge(source=fan.source, target=behind, contract=met, on_violation=rule),)
    split = _splits(stage, takes, briefs, met, behind)
    line.agents += (Agent(fan.source, version=1, function=split), *agents)
    given = gives if gives is not None else met
    if tail:
        line.agents += (Agent(tail, version=1, function=stage.merge or Meet(given.carried)),)
    return given


def _each(names: Sequence[str], given: Contract | Mapping[str, Contract]) -> dict[str, Contract]:
    return dict(given) if isinstance(given, Mapping) else dict.fromkeys(names, given)


def _splits(
    stage: Parallel | Map, takes: Contract, briefs: Mapping[str, Contract], met: Contract, behind: str
) -> Split | SplitItems:
    """The function that hands a stage out."""
    if isinstance(stage, Parallel):
        told = {n: tuple(f for f in c.model.model_fields if f not in c.carried) for n, c in briefs.items()}
        return Split(tuple(told.items()))
    return SplitItems(
        agent=stage.agent.name,
        over=stage.over,
        most=stage.most,
        behind=behind,
        gaps=GAPS in met.model.model_fields,
        least=stage.join.count,
        contract=takes.id,
    )


def _met(stage: Parallel | Map, takes: Contract, answers: Mapping[str, Contract], gaps: bool) -> Contract:
    """The contract of what meets behind a stage, called after it: a pipeline may have several."""
    found = gathered(takes, answers, stage.carried, gaps=gaps, join=stage.join)
    called = "".join(part.capitalize() for part in name_of(stage).split("_")) + "Gathered"
    model = create_model(called, __base__=found.model)
    return Contract(model, version=found.version, carried=found.carried)

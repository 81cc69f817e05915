"""From what a team declares to what runs: every fault found at once, then frozen values and a graph."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.caches import BaseCache
from langchain_core.language_models import BaseChatModel
from langgraph.graph import StateGraph

from ..agents.agent import Agent, CompiledAgent
from ..agents.handoff import handoff_name, write_name
from ..agents.models import model_id, resolve_model
from ..contracts.agent import AgentSpec
from ..contracts.budget import Budget
from ..contracts.contract import Contract, Never
from ..contracts.digest import digest
from ..contracts.edge import END, START, Edge
from ..contracts.errors import PolicyInvalid, TopologyInvalid
from ..contracts.loops import Loops
from ..contracts.policy import CompiledPolicy, Policy
from ..contracts.shared import Key, faults_of_access
from ..contracts.tool import ToolSpec
from ..tools.sealed import SealedTool
from .boards import as_json as joins_as_json
from .bounds import bounds_as_json, conditions_as_json, faults_beside_loops
from .build import build_graph
from .crossing import SUMMARY
from .home import Home
from .levels import Level, faults_of_levels, is_topology, levels_of
from .nodes import Means
from .reactions import as_json as reactions_as_json
from .reactions import stand_ins_of
from .registries import Registry, faults_of_registries
from .runs import Runs
from .solo import warn_of
from .standing import Standing
from .topology import Topology, all_edges, rules_as_json

UNRECORDED = Never(detectors=("secret",))
"""What no record shows unless a system says otherwise: credentials."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """A system as declared, checked. `agents` and `edges` are of all levels, stand-ins and summarisers included."""

    name: str
    version: int
    topology: Topology
    agents: tuple[Agent, ...]
    edges: tuple[Edge, ...]
    entry: Contract
    policy: CompiledPolicy | None
    specs: Mapping[str, AgentSpec]
    tools: Mapping[str, ToolSpec]
    budget: Budget
    budgets: tuple[Budget, ...]
    shared: Mapping[str, Key]
    registries: Mapping[str, Registry]
    standing: Standing
    model: str | BaseChatModel | None
    cache: BaseCache | None = None


def define(
    name: str,
    *,
    version: int,
    topology: Topology,
    policy: Policy | None,
    budget: Budget | Sequence[Budget] | None,
    loops: Loops,
    cache: BaseCache | None,
    model: str | BaseChatModel | None,
    resources: Sequence[Any],
    environment: str,
    shared: Mapping[str, Key],
    registries: Mapping[str, Registry],
    unrecorded: Never,
) -> Definition:
    """Check a system and freeze it. Raises TopologyInvalid, PolicyInvalid, with every fault found."""
    if not is_topology(topology):
        raise TopologyInvalid(name=name, faults=[f"topology={topology!r} is none; give it a Pipeline or a Supervisor"])
    levels = list(levels_of(topology))
    edges = [edge for level in levels for edge in all_edges(level)]
    agents = [*(agent for level in levels for agent in level.every), *_summarisers(edges)]
    contracts = {e.contract.id: e.contract for e in edges}
    tools = {t.name: t.spec for a in agents for t in a.tools}
    # Judged like any other call: the policy has to know a tool that validates ids, and may permit it.
    looked_up = {n: r.spec for n, r in registries.items() if isinstance(r, SealedTool)}
    tools |= {spec.name: spec for spec in looked_up.values()}
    limits, limits_shared, faults = _budgets(budget)
    faults += faults_beside_loops(edges, loops)
    faults = [*_faults(name, levels, agents, edges, tools, shared, registries), *faults]
    if faults:
        raise TopologyInvalid(name=name, faults=list(dict.fromkeys(faults)))
    entry = next(e for e in edges if e.source == START).contract
    names = [a.name for a in agents]
    compiled = CompiledPolicy(policy, agents=names, tools=tools.values(), request=_request(entry)) if policy else None
    specs = {a.name: a.spec(model) for a in agents}
    hidden = joined([unrecorded, *(c.never for c in contracts.values())])
    declared = [
        name,
        version,
        sorted(s.digest for s in specs.values()),
        sorted([e.name, e.contract.digest, e.history.as_json()] for e in edges),
        compiled.digest if compiled else "",
        *(_told(b) for b in (limits, *limits_shared)),
        loops.as_json(),
        {k: key.as_json() for k, key in shared.items()},
        sorted([n, looked_up[n].digest if n in looked_up else ""] for n in registries),
        hidden.as_json(),
        *(reactions for level in levels if (reactions := reactions_as_json(level))),  # digests of before stay the same
        *([[level.team, *(a.name for a in level.agents)] for level in levels if level.team]),
        *([level.team, rules] for level in levels if (rules := rules_as_json(level))),
        *([bounds] if (bounds := bounds_as_json(edges)) else []),
        *([joins] if (joins := joins_as_json(fan for level in levels for fan in level.fan_outs)) else []),
        *(conditions for level in levels if (conditions := conditions_as_json(level))),
    ]
    standing = Standing(
        id=f"{name}@{version}",
        digest=digest(declared),
        environment=environment,
        budget=limits,
        agents={s.name: f"{s.id} {s.digest}" for s in specs.values()},
        policy_fields=entry.policy_fields,
        resources=tuple(resources),
        entry=entry,
        contracts=contracts,
        unrecorded=hidden,
        guards_private=compiled is not None and compiled.reads_private,
        budgets=limits_shared,
        loops=loops,
        limits={s.name: s.limits for s in specs.values()},
        teams={agent.name: level.teams for level in levels if level.teams for agent in level.every},
    )
    warn_of(name, topology, above=3)  # at the line that makes the System
    return Definition(
        name=name,
        version=version,
        topology=topology,
        agents=tuple(agents),
        edges=tuple(edges),
        entry=entry,
        policy=compiled,
        specs=specs,
        tools=tools,
        budget=limits,
        budgets=limits_shared,
        shared=dict(shared),
        registries=dict(registries),
        standing=standing,
        model=model,
        cache=cache,
    )


def _budgets(given: Budget | Sequence[Budget] | None) -> tuple[Budget, tuple[Budget, ...], list[str]]:
    """The budget of a run, those that runs share, and what is wrong with them."""
    every = [given] if isinstance(given, Budget) else list(given or ())
    names = [b.name for b in every]
    faults = [f"two budgets are of a {n}; one each" for n in sorted({n for n in names if names.count(n) > 1})]
    own = [b for b in every if b.of == "run"]
    return own[0] if own else Budget(), tuple(b for b in every if b.of != "run"), faults


def _told(budget: Budget) -> dict[str, Any]:
    """A budget as it counts in a digest: a model by its name."""
    told = budget.as_json()
    return told | {"to": model_id(budget.to)} if budget.to else told


def reloaded(found: Definition, policy: Policy) -> CompiledPolicy:
    """Another policy, checked against what a system is.

    Raises:
        PolicyInvalid: as at the start; or it reads what the runs of this system do not keep.
    """
    made = CompiledPolicy(policy, agents=list(found.specs), tools=found.tools.values(), request=_request(found.entry))
    if made.reads_private and not found.standing.watches:
        fault = "reads `private`, and this system was built without a rule that does: build it again with this policy"
        raise PolicyInvalid(name=policy.name, faults=[fault])
    return made


def build(found: Definition, home: Home, document: Mapping[str, Any]) -> tuple[StateGraph[Any, Any, Any, Any], Runs]:
    """The graph of a definition, and its runs in this process. Raises AgentInvalid.

    Args:
        document: what the system is, as a lock holds it.
    """
    runs = Runs(found.standing, home, found.policy, found.tools, document=document)
    for budget in (found.budget, *found.budgets, *(s.limits for s in found.specs.values())):
        if budget.to:
            resolve_model(budget.to, agent=f"the budget of {budget.name}")  # now, and not when money runs short
    # A stand-in hands on as the agent does whose turn it takes.
    roles = {a.name: role for level in levels_of(found.topology) for role, a in stand_ins_of(level).items()}
    summing = [a.name for a in _summarisers(found.edges)]
    agents = {
        a.name: _compiled(a, found, roles.get(a.name, a.name))
        for a in found.agents
        if a.team is None and a.name not in summing
    }
    summarisers = {
        a.name: a.compiled({END: SUMMARY}, found.model, shared=found.shared, cache=found.cache)
        for a in _summarisers(found.edges)
    }
    intents = {handoff_name(e.target) for e in found.edges} | set(map(write_name, found.shared))
    means = Means(
        runs=runs,
        keys=found.shared,
        registries=found.registries,
        summarisers=summarisers,
        intents=frozenset(intents),
    )
    digests = {n: s.digest for n, s in found.specs.items()}
    return build_graph(found.topology, agents=agents, digests=digests, means=means), runs


def _compiled(agent: Agent, found: Definition, role: str) -> CompiledAgent:
    targets = {e.target: e.contract for e in found.edges if e.source == role}
    return agent.compiled(targets, found.model, shared=found.shared, cache=found.cache)


def _summarisers(edges: Iterable[Edge]) -> list[Agent]:
    named = {e.history.by.name: e.history.by for e in edges if e.history.by is not None}
    return [a for a in named.values() if isinstance(a, Agent)]


def _faults(
    name: str,
    levels: Sequence[Level],
    agents: Sequence[Agent],
    edges: Sequence[Edge],
    tools: Mapping[str, ToolSpec],
    shared: Mapping[str, Key],
    registries: Mapping[str, Registry],
) -> list[str]:
    faults = faults_of_levels(levels)
    if not (name.isascii() and name.isidentifier() and name == name.lower()):
        faults.insert(0, f"its name {name!r} must be a lower case identifier")
    faults += [
        f"two tools are named {t.name!r}" for a in agents for t in a.tools if tools[t.name].digest != t.spec.digest
    ]
    known = {a.name for level in levels for a in level.agents}
    for edge in edges:
        by = edge.history.by
        if by is not None and not isinstance(by, Agent):
            faults.append(f"edge {edge.name!r}: summary(by=...) takes an Agent")
        elif by is not None and by.name in known:
            faults.append(f"edge {edge.name!r}: {by.name!r} sums up and has a turn of its own; use another agent")
    ids = [e.contract for e in edges]
    for contract in ids:
        if any(c.id == contract.id and c.digest != contract.digest for c in ids):
            faults.append(f"two contracts are called {contract.id} and differ; raise the version of one")
    faults += faults_of_registries({c.id: c for c in ids}, registries)
    together = [list(fan.branches) for level in levels for fan in level.fan_outs]
    faults += faults_of_access(shared, {a.name: a.reads for a in agents}, {a.name: a.writes for a in agents}, together)
    return faults


def _request(entry: Contract) -> dict[str, Any]:
    """JSON Schema of the fields of the request that policy reads."""
    chosen = {f: p for f, p in entry.schema["properties"].items() if f in entry.policy_fields}
    return {
        "type": "object",
        "properties": chosen,
        "required": [f for f in entry.schema.get("required", ()) if f in chosen],
        "$defs": entry.schema.get("$defs", {}),
    }


def joined(every: Iterable[Never]) -> Never:
    """All that any of them forbids, but for field names, which are each contract's own."""
    every = list(every)
    return Never(
        sensitivities=tuple(dict.fromkeys(s for n in every for s in n.sensitivities)),
        detectors=tuple(dict.fromkeys(d for n in every for d in n.detectors)),
    )

"""The levels of a system: its own topology, and that of each agent that is a team, and of the teams in those.

An agent's name is its name in the whole system: policy, budgets and records know it by that alone. The edges inside a
team are named after it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from ..agents.agent import Agent
from ..contracts.edge import END, START, Edge, FanOut
from ..contracts.failure import STOP
from .reactions import Declared, stand_ins_of
from .topology import Topology, all_edges, faults_of_topology

PARTS = ("agents", "edges", "fan_outs")


@dataclass(frozen=True)
class Level:
    """One topology of a system, as it stands there: a topology whose edges know the team that they are inside.

    Attributes:
        team: the agent that it is the inside of; empty for the outermost.
        teams: all the teams around, the outermost first, this one last.
    """

    topology: Topology
    team: str = ""
    teams: tuple[str, ...] = ()

    @property
    def agents(self) -> Sequence[Agent]:
        """Every agent of this topology, once."""
        return self.topology.agents

    @cached_property
    def edges(self) -> Sequence[Edge]:
        """Its single edges."""
        return tuple(replace(e, within=self.team) for e in self.topology.edges)

    @cached_property
    def fan_outs(self) -> Sequence[FanOut]:
        """Its declared fan-outs."""
        return tuple(replace(f, within=self.team) for f in self.topology.fan_outs)

    @property
    def on_failure(self) -> Declared:
        """What is declared for failures of its agents."""
        found: Declared = getattr(self.topology, "on_failure", STOP)
        return found

    @cached_property
    def every(self) -> Sequence[Agent]:
        """Its agents, and those that stand in for one of them."""
        return (*self.agents, *stand_ins_of(self).values())

    def inside(self, agent: Agent) -> Level:
        """The level inside one of its agents that is a team."""
        return Level(agent.team, agent.name, (*self.teams, agent.name))


def levels_of(topology: Topology | Level) -> Iterator[Level]:
    """Every level of a system, the outermost first."""
    level = topology if isinstance(topology, Level) else Level(topology)
    yield level
    for agent in level.every:
        if agent.team is not None and is_topology(agent.team):
            yield from levels_of(level.inside(agent))


def is_topology(found: object) -> bool:
    """Whether something is a topology, as far as that can be seen."""
    return all(hasattr(found, part) for part in PARTS)


def faults_of_levels(levels: Sequence[Level]) -> list[str]:
    """Everything wrong with a system's topologies, and with how they stand in each other."""
    faults = []
    names: dict[str, str] = {}
    for level in levels:
        where = f"team {level.team!r}: " if level.team else ""
        faults += [f"{where}{fault}" for fault in faults_of_topology(level)]
        for agent in level.agents:
            if agent.name in names and names[agent.name] != level.team:
                other = f"team {names[agent.name]!r}" if names[agent.name] else "the outermost topology"
                faults.append(f"{where}agent {agent.name!r} has the name of one in {other}; a name is one agent's")
            names.setdefault(agent.name, level.team)
        for agent in level.every:
            if agent.team is not None:
                faults += _faults_of_team(agent, level)
    return faults


def _faults_of_team(team: Agent, level: Level) -> Iterator[str]:
    """What is wrong with a team where it stands: it takes and gives what its own topology does."""
    if not is_topology(team.team):
        yield f"agent {team.name!r}: team={team.team!r} is no topology; give it a Pipeline or a Supervisor, say"
        return
    role = next((name for name, other in stand_ins_of(level).items() if other is team), team.name)
    edges = all_edges(level)
    taken = {e.contract.id: e.contract for e in edges if e.target == role}
    gathered = {f.gathered.id: f.gathered for f in level.fan_outs if f.target == role}
    given = {e.target: e.contract for e in edges if e.source == role}
    for inner in team.team.edges:
        if inner.source == START:
            for contract in (taken | gathered).values():
                if contract.digest != inner.contract.digest:
                    yield f"team {team.name!r} takes {inner.contract.id}, is handed {contract.id}; give both the same"
        if inner.target == END:
            for contract in given.values():
                if contract.digest != inner.contract.digest:
                    yield f"team {team.name!r} answers {inner.contract.id}, hands on {contract.id}; give both the same"
    if len(given) > 1:
        yield f"team {team.name!r} hands on to {', '.join(sorted(given))}, and it answers one; end it in a router"
    if team.reads or team.writes:
        yield f"team {team.name!r} reads or writes shared state; its agents do, each by itself"
    writers = [a.name for inner in levels_of(level.inside(team)) for a in inner.every if a.writes]
    if writers:
        yield f"team {team.name!r}: {', '.join(writers)} would write shared state inside it; an agent outside does that"

"""Who begins, where several agents may: who answered the thread's last request, or the first one.

A topology says by `sticky` that its requests go where the last one was answered; then an edge leads in from start for
each agent that may begin, the first one first, all under one contract. The state keeps who answered, for each team by
its name. A caller can write none of it. A graph that is called anew inside another one has no state of its own from the
last time; there the ledger tells who answered.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from langgraph.types import Send

from ..contracts.edge import END, Edge
from ..ledger.records import ContractPassed
from ..tools.run import Run
from .inside import AROUND
from .state import ACTIVE, Turned

RECENT = 100
"""How many of a thread's latest runs are looked through for the last one of this system."""


def beginner(entries: Sequence[str], state: Mapping[str, Any], team: str) -> str:
    """The agent that begins: who answered last, or the first of those that may where nobody did who still may."""
    active = (state.get(ACTIVE) or {}).get(team, "")
    return active if active in entries else entries[0]


async def remembered(state: Mapping[str, Any], run: Run, *, sticky: bool) -> dict[str, str]:
    """Who is active as a run begins, by team: of the state, or where a graph around has that, of the ledger.

    Args:
        sticky: whether anything of the system asks for it.
    """
    active: dict[str, str] = state.get(ACTIVE) or {}
    if active or not sticky or AROUND.get() is None or not run.grounds.thread:
        return active
    return await asyncio.to_thread(_on_record, run)


def team_beginner(entries: Sequence[str], team: str) -> Callable[[Any], str]:
    """`beginner` inside a team, as a conditional edge asks for it."""

    def begins(state: Any) -> str:
        return beginner(entries, state, team)

    return begins


def with_active(sends: Sequence[Send], state: Mapping[str, Any]) -> list[Send]:
    """Branches that begin, each told who is active, for the teams among them."""
    active = state.get(ACTIVE)
    return [Send(s.node, {**s.arg, ACTIVE: active}) for s in sends] if active else list(sends)


def active_of(turns: Iterable[Turned]) -> dict[str, Any]:
    """What the turns of branches changed of who is active, as an update of the state; empty where nothing."""
    found = {team: agent for turned in turns for team, agent in turned.get("active", {}).items()}
    return {ACTIVE: found} if found else {}


def now_active(
    edge: Edge, state: Mapping[str, Any], left: Mapping[str, str], *, team: str, sticky: bool
) -> dict[str, Any]:
    """What a crossing changes of who is active, as an update of the state; empty where it changes nothing.

    Args:
        left: what changed of it inside the team that took the turn.
    """
    found = {**left, team: edge.source} if sticky and edge.target == END else {**left}
    before = state.get(ACTIVE) or {}
    return {ACTIVE: found} if any(before.get(name) != agent for name, agent in found.items()) else {}


def _on_record(run: Run) -> dict[str, str]:
    """Who answered in the last run of this system on this thread that was completed, by team. Blocks."""
    name, ledger = run.grounds.system.partition("@")[0], run.ledger
    for found in ledger.runs(thread=run.grounds.thread, limit=RECENT):
        if found.status == "completed" and found.system.partition("@")[0] == name:
            edges = [e.record.edge for e in ledger.entries(found.run) if isinstance(e.record, ContractPassed)]
            ends = [edge.removesuffix(f"→{END}").rpartition("/") for edge in edges if edge.endswith(f"→{END}")]
            return {team: agent for team, _, agent in ends}
    return {}

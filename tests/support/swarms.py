"""A swarm of three peers for tests: sales, support, billing; each may hand over to each, and answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from edgewright import Agent, Contract, Handoff, OnViolation, Swarm, System
from edgewright.ledger.records import AgentStarted, ContractPassed
from pydantic import BaseModel
from support.systems import Answer, Question, of_kind

NAMES = ("sales", "support", "billing")
PAIRS = [(a, b) for a in NAMES for b in NAMES if a != b]
FAIL = OnViolation(repair=0, then="fail")


class Brief(BaseModel):
    """What a peer needs to go on."""

    task: str


TAKES, BRIEF, ANSWER = Contract(Question, version=1), Contract(Brief, version=1), Contract(Answer, version=1)
Turn = Callable[[dict[str, Any]], Any]


def says(name: str) -> Turn:
    """Answers at once, with its name and what it was handed."""

    def turn(payload: dict[str, Any]) -> dict[str, str]:
        return {"text": f"{name}: {payload.get('task') or payload.get('text')}"}

    return turn


def goes_where_told(name: str) -> Turn:
    """Hands over to whom a request of `to NAME` names, and answers all else.

    A function's plain return goes to its first target, which is a peer, so it says whom it answers.
    """

    def turn(payload: dict[str, Any]) -> Handoff:
        words = str(payload.get("text", "")).split()
        if words[:1] == ["to"] and words[1] != name:
            return Handoff(target=words[1], payload={"task": " ".join(words[2:]) or "go on"})
        return Handoff(target="end", payload=says(name)(payload))

    return turn


def peers(turns: Mapping[str, Turn] | None = None, *, names: tuple[str, ...] = NAMES) -> list[Agent]:
    """The agents, each a function: of `turns`, or one that goes where it is told."""
    return [Agent(n, version=1, function=(turns or {}).get(n) or goes_where_told(n)) for n in names]


def swarm(agents: list[Agent] | None = None, **options: Any) -> Swarm:
    """A swarm of these agents; each may hand over to each."""
    found = agents or peers()
    names = [a.name for a in found]
    given: dict[str, Any] = {
        "handoffs": {(a, b): BRIEF for a in names for b in names if a != b},
        "first": names[0],
        "takes": TAKES,
        "answer": ANSWER,
    }
    return Swarm(peers=found, **given | options)


def system(topology: Any, **options: Any) -> System:
    """A system of it."""
    return System(options.pop("name", "swarm"), version=options.pop("version", 1), topology=topology, **options)


def turns_of(found: System, run: str) -> list[str]:
    """Who took a turn in a run, in order."""
    return [r.agent.partition("@")[0] for r in of_kind(found, run, AgentStarted)]


def crossings_of(found: System, run: str) -> list[str]:
    """The edges that were crossed in a run, in order."""
    return [r.edge for r in of_kind(found, run, ContractPassed)]

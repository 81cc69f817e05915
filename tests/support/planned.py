"""A planning team for tests: a planner who plans as told, specialists who note what they did, a head who tells all."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from edgewright import Agent, Contract, PlanningSupervisor, RunResult, System
from edgewright.contracts.plan import Earlier
from pydantic import BaseModel, Field
from support.systems import ANSWER

Step = dict[str, Any]
Plans = Callable[[dict[str, Any]], Sequence[Step]]
GO = {"text": "go", "sender": "S-1"}
worked: list[str] = []
"""The parts that specialists took up, in order."""
planned: list[dict[str, Any]] = []
"""What the planner was handed, each time."""


class Wish(BaseModel):
    """What is asked for."""

    text: str
    sender: str = "nobody"


class Search(BaseModel):
    """What to look for."""

    part: str = Field(max_length=12)


class Found(BaseModel):
    """What there is of it."""

    found: str


class Write(BaseModel):
    """What to write, from what was found before."""

    part: str
    sender: str
    earlier: list[Earlier]


class Written(BaseModel):
    """What was written."""

    text: str


WISH, SEARCH, FOUND = Contract(Wish, version=1), Contract(Search, version=1), Contract(Found, version=1)
WRITE, WRITTEN = Contract(Write, version=1, carried=["sender"]), Contract(Written, version=1)
BRIEFS, FINDINGS = {"search": SEARCH, "write": WRITE}, {"search": FOUND, "write": WRITTEN}


def fresh() -> None:
    """Forget what happened."""
    worked.clear()
    planned.clear()


def search(id_: str, *after: str, part: str = "") -> Step:
    """A step that looks for something."""
    return {"id": id_, "agent": "search", "brief": {"part": part or id_}, "after": list(after)}


def write(id_: str, *after: str) -> Step:
    """A step that writes."""
    return {"id": id_, "agent": "write", "brief": {"part": id_}, "after": list(after)}


def searches(brief: dict[str, Any]) -> dict[str, str]:
    """A specialist."""
    worked.append(brief["part"])
    return {"found": f"all of {brief['part']}"}


def writes(brief: dict[str, Any]) -> dict[str, str]:
    """A specialist who goes on from what was found."""
    worked.append(brief["part"])
    told = [e["answer"].get("found") or e["answer"].get("text") for e in brief["earlier"]]
    return {"text": f"{brief['sender']}: {', '.join(told)}"}


def tells(outcome: dict[str, Any]) -> dict[str, str]:
    """The head: answers with all that it was handed."""
    return {"text": json.dumps(outcome)}


def plans(*each: Sequence[Step]) -> Plans:
    """A planner who gives these plans, one after the other, and the last one again."""

    def plan(_: dict[str, Any]) -> Sequence[Step]:
        return each[min(len(planned), len(each)) - 1]

    return plan


def team(plan: Plans, *, finds: Any = searches, **options: Any) -> PlanningSupervisor:
    """The topology. Options are those of `PlanningSupervisor`."""

    def planner(handed: dict[str, Any]) -> dict[str, Any]:
        planned.append(handed)
        return {"steps": plan(handed)}

    agents = [Agent("search", version=1, function=finds), Agent("write", version=1, function=writes)]
    given: dict[str, Any] = {
        "planner": Agent("planner", version=1, function=planner),
        "specialists": agents,
        "takes": WISH,
        "briefs": BRIEFS,
        "findings": FINDINGS,
        "answer": ANSWER,
        "aggregator": Agent("head", version=1, function=tells),
        "carried": ["sender"],
    }
    return PlanningSupervisor(**{**given, **options})


def planning(plan: Plans, *, system: dict[str, Any] | None = None, **options: Any) -> System:
    """The system. Options are those of `team`."""
    return System("planning", version=1, topology=team(plan, **options), **(system or {}))


def told(result: RunResult) -> dict[str, Any]:
    """What the head was handed."""
    assert result.output is not None
    found: dict[str, Any] = json.loads(result.output["text"])
    return found


def answered(result: RunResult) -> dict[str, str]:
    """What each step answered, by its id."""
    return {r["step"]: r["answer"].get("found") or r["answer"]["text"] for r in told(result)["results"]}


def gaps(result: RunResult) -> list[tuple[str, str, str]]:
    """(step, agent, kind) of the steps without an answer."""
    return [(g["step"], g["agent"], g["kind"]) for g in told(result)["gaps"]]

"""A small office: a router who hands parts out, specialists who look at them, and a head who tells all they found."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from typing import Annotated, Any

from edgewright import Agent, Contract, Handoff, OnViolation, Policy, RunResult, Supervisor, System, tool
from edgewright.ledger.records import ContractPassed
from edgewright.tools.sealed import SealedTool
from pydantic import BaseModel, Field
from support.systems import ANSWER, QUESTION, of_kind

done: Counter[str] = Counter()
"""How often the effect of each part happened."""
taken: Counter[str] = Counter()
"""How often a specialist took up each part."""


class Brief(BaseModel):
    """What a specialist is to look at."""

    part: Annotated[str, Field(max_length=8)]


class Finding(BaseModel):
    """What it found."""

    found: str


BRIEF, FINDING = Contract(Brief, version=1), Contract(Finding, version=1)


@tool(effect="write", idempotency="none", output="trusted", sensitivity="internal")
def note(part: str) -> str:
    """Make a note of a part."""
    done[part] += 1
    return f"noted {part}"


def fresh() -> None:
    """Forget what happened."""
    done.clear()
    taken.clear()


def sends(*parts: str, to: str = "clerk") -> Callable[[dict[str, Any]], list[Handoff]]:
    """A router that hands these parts to one agent, each in a branch of its own."""
    return lambda _: [Handoff(target=to, payload={"part": part}) for part in parts]


def finds(brief: dict[str, Any]) -> dict[str, str]:
    """A specialist without a tool."""
    taken[brief["part"]] += 1
    return {"found": f"all of {brief['part']}"}


async def notes(brief: dict[str, Any]) -> dict[str, str]:
    """A specialist whose work has an effect."""
    taken[brief["part"]] += 1
    return {"found": await note.call({"part": brief["part"]})}


def tells(gathered: dict[str, Any]) -> dict[str, str]:
    """The head: answers with all that it was handed."""
    return {"text": json.dumps(gathered)}


def clerk(function: Any = finds, *tools: SealedTool, name: str = "clerk", **options: Any) -> Agent:
    """A specialist in code."""
    return Agent(name, version=1, function=function, tools=tools, **options)


def office(
    router: Any,
    *specialists: Agent,
    rule: OnViolation | None = None,
    policy: str | None = None,
    head: Any = tells,
    **options: Any,
) -> System:
    """The system. `router` and `head` are agents, or the functions of agents."""
    return System(
        "office",
        version=1,
        topology=Supervisor(
            router=router if isinstance(router, Agent) else Agent("router", version=1, function=router),
            specialists=specialists,
            takes=QUESTION,
            brief=BRIEF,
            answer=ANSWER,
            aggregator=head if isinstance(head, Agent) else Agent("head", version=1, function=head),
            finding=FINDING,
            carried=["sender"],
            on_violation=rule or OnViolation(),
        ),
        policy=Policy(text=policy) if policy else None,
        **options,
    )


def results(result: RunResult) -> list[tuple[str, str]]:
    """(agent, what it found) of each branch, as the head of the office was told."""
    assert result.output is not None
    return [(r["agent"], r["answer"]["found"]) for r in json.loads(result.output["text"])["results"]]


def crossings(system: System, run: str) -> list[tuple[str, int]]:
    """(edge, branch) of all that crossed, in order."""
    return [(r.edge, r.branch) for r in of_kind(system, run, ContractPassed)]

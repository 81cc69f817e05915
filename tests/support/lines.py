"""A line of stages for runs that are begun again: what they add, and one that files it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Annotated, Any

from edgewright import (
    Agent,
    Contract,
    OnViolation,
    Pipeline,
    Policy,
    Sensitive,
    System,
    tool,
)
from edgewright.contracts.review import Reviewer
from pydantic import BaseModel, Field
from support.systems import PERMIT_ALL

FAIL = OnViolation(repair=0, then="fail")
ANN, BOB = Reviewer(id="ann", tenant="north"), Reviewer(id="bob", tenant="south")
done: Counter[str] = Counter()


class Case(BaseModel):
    """What is handed on."""

    text: str
    phone: Annotated[str, Sensitive("personal")] = "none"


class Short(BaseModel):
    """The same, once it had to be shorter."""

    text: Annotated[str, Field(max_length=5)]
    phone: Annotated[str, Sensitive("personal")] = "none"


class Again(BaseModel):
    """What goes back."""

    text: str
    phone: str = "none"


CASE = Contract(Case, version=1)
Short.__name__ = Short.__qualname__ = "Case"
SHORT, AGAIN = Contract(Short, version=2), Contract(Again, version=1)
GO = {"text": "go", "phone": "555 0199"}


@tool(effect="write", idempotency="key", output="untrusted", sensitivity="internal", compensate=lambda text: None)
def file(text: str) -> str:
    """File it."""
    done[text] += 1
    return f"filed {text}"


def adds(word: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    def act(payload: dict[str, Any]) -> dict[str, Any]:
        done[word] += 1
        return {**payload, "text": f"{payload['text']} {word}"}

    return act


async def files(payload: dict[str, Any]) -> dict[str, Any]:
    return {**payload, "text": await file.call({"text": payload["text"]})}


def line(*stages: Agent, contracts: Sequence[Contract] | None = None, policy: str = "", **options: Any) -> System:
    """intake → filing → check → sign, where no others are given."""
    named = stages or (
        Agent("intake", version=1, function=adds("taken")),
        Agent("filing", version=1, function=files, tools=[file]),
        Agent("check", version=1, function=adds("checked")),
        Agent("sign", version=1, function=adds("signed")),
    )
    parts = {k: options.pop(k) for k in ("on_failure", "loop_backs", "history") if k in options}
    tools = any(s.tools for s in named)
    topology = Pipeline(stages=named, contracts=contracts or [CASE] * (len(named) + 1), on_violation=FAIL, **parts)
    rules = Policy(text=policy or PERMIT_ALL) if tools else None
    return System("line", version=1, topology=topology, policy=rules, **options)

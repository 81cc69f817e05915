"""A program as a user writes it, run with LangSmith's settings or without: two agents, calls allowed, denied, asked."""

from __future__ import annotations

import asyncio
import json
import sys

from edgewright import (
    Agent,
    Call,
    Contract,
    OfflineModel,
    Policy,
    ReviewAnswer,
    Say,
    Supervisor,
    System,
    Turn,
    tool,
)
from langchain_core.tracers.langchain import wait_for_all_tracers
from pydantic import BaseModel


class Request(BaseModel):
    text: str


class Brief(BaseModel):
    text: str


class Answer(BaseModel):
    text: str


@tool(effect="write", idempotency="key")
def pay(cents: int) -> str:
    """Pay."""
    return "paid"


POLICY = """
@id("small") permit(principal, action, resource) when { context.args.cents < 1000 };
@id("large") @obligation("ask") @approver("finance") @reason("large")
forbid(principal, action, resource) when { context.args.cents > 100 } unless { context.approvals.contains("large") };
"""


def rules(turn: Turn) -> Say | list[Call]:
    if "handoff_to_billing" in turn.tools:
        return [Call("handoff_to_billing", {"text": "pay"})]
    if not turn.results:
        return [Call("pay", {"cents": 5}), Call("pay", {"cents": 5000}), Call("pay", {"cents": 500})]
    return [Call("submit", {"text": "done"})]


async def main() -> None:
    system = System(
        "traced",
        version=3,
        topology=Supervisor(
            router=Agent("triage", version=7, prompt="Route."),
            specialists=[Agent("billing", version=9, prompt="Pay.", tools=[pay])],
            takes=Contract(Request, version=1),
            brief=Contract(Brief, version=1),
            answer=Contract(Answer, version=1),
        ),
        policy=Policy(text=POLICY),
        model=OfflineModel("traced", rules),
    )
    result = await system.arun({"text": "go"}, thread="t")
    answer = ReviewAnswer(decision="approve", reason="fine")
    result = await system.aresume("t", {r.id: answer for r in result.reviews})
    wait_for_all_tracers()
    told = {"run": result.run, "status": result.status, "digests": {n: s.digest for n, s in system.specs.items()}}
    sys.stdout.write(json.dumps(told | {"system": system.digest}))


if __name__ == "__main__":
    asyncio.run(main())

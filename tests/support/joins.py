"""An office whose router hands parts out under a join policy, and branches that wait until a test lets them go on."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from edgewright import Agent, OnViolation, Policy, RunResult, Supervisor, System
from edgewright.contracts.join import Join
from edgewright.ledger.records import BranchVoted, JoinDecided
from edgewright.tools.sealed import SealedTool
from support.offices import BRIEF, FINDING, clerk, sends
from support.systems import ANSWER, QUESTION, of_kind

BOUND = 20.0
"""Seconds after which a test does not wait any more."""

Work = Callable[[dict[str, Any]], Awaitable[Any]]


def joined(work: Any, join: Join, *parts: str, tools: tuple[SealedTool, ...] = (), **options: Any) -> System:
    """The office: the clerk works on each part in a branch of its own."""
    topology = Supervisor(
        router=Agent("router", version=1, function=options.pop("router", None) or sends(*parts)),
        specialists=options.pop("specialists", None) or [clerk(work, *tools)],
        takes=QUESTION,
        brief=BRIEF,
        answer=options.pop("answer", ANSWER),
        aggregator=Agent("head", version=1, function=lambda g: {"text": json.dumps(g)}),
        finding=options.pop("finding", FINDING),
        on_violation=options.pop("rule", OnViolation(repair=1, then="fail", role="lead")),
        on_failure=options.pop("on_failure", {}),
        join=join,
    )
    policy = options.pop("policy", None)
    return System(
        "office", version=1, topology=topology, policy=Policy(text=policy) if policy is not None else None, **options
    )


class Clerks:
    """What the branches do, by their part: something to return, to raise, or to do; and what became of them.

    A branch in `slow` waits for its gate before anything else; it has reached it then.
    """

    def __init__(self, does: Mapping[str, Any], *, slow: str = "") -> None:
        self.does, self.begun = does, Counter[str]()
        self.cancelled: list[str] = []
        self.gates = {part: asyncio.Event() for part in slow}
        self.reached = {part: asyncio.Event() for part in slow}

    async def __call__(self, brief: dict[str, Any]) -> Any:
        part = brief["part"]
        self.begun[part] += 1
        try:
            if part in self.gates:
                self.reached[part].set()
                await self.gates[part].wait()
            does = self.does[part]
            found = does(brief) if callable(does) else does
            if isinstance(found, Awaitable):
                found = await found
        except asyncio.CancelledError:
            self.cancelled.append(part)
            raise
        if isinstance(found, Exception):
            raise found
        return {"found": found} if isinstance(found, str) else found


async def bounded(work: Awaitable[Any]) -> Any:
    """What something comes to, within the bound."""
    async with asyncio.timeout(BOUND):
        return await work


def met(result: RunResult) -> dict[str, Any]:
    """What the head of the office was told."""
    assert result.output is not None, result
    found: dict[str, Any] = json.loads(result.output["text"])
    return found


def found(result: RunResult) -> list[str]:
    """What the branches found, as the head was told."""
    return [r["answer"]["found"] for r in met(result)["results"]]


def gaps(result: RunResult) -> list[str]:
    """The kinds of the gaps, as the head was told."""
    return [gap["kind"] for gap in met(result)["gaps"]]


def decision(system: System, run: str) -> JoinDecided:
    """What was decided, once."""
    [record] = of_kind(system, run, JoinDecided)
    return record


def votes(system: System, run: str) -> list[tuple[int, str]]:
    """(branch, state) of each ballot, in order."""
    return [(r.branch, r.state) for r in of_kind(system, run, BranchVoted)]

"""Time to join four branches of which one takes 30 seconds: under a join policy, and by plain `Send`.

The three others answer after 10 ms. Plain: the same functions as nodes of a LangGraph graph, sent to by `Send`, with an
edge to the node behind them: LangGraph goes on once every task of a step is through. Neither keeps anything on a disk.

    python -m bench.join            # takes about half a minute, for the plain one to end
    python -m bench.join 5          # with a slow branch of five seconds
"""

from __future__ import annotations

import asyncio
import operator
import statistics
import sys
import time
from typing import Annotated, Any, TypedDict

from edgewright import Agent, Contract, Handoff, Supervisor, System
from edgewright.contracts.join import Join, any_of, best_effort, first, quorum
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import Send
from pydantic import BaseModel

SLOW, QUICK = 30.0, 0.01
ROUNDS = 7
PARTS = ("slow", "b", "c", "d")


class Request(BaseModel):
    """What comes in."""

    text: str


class Brief(BaseModel):
    """What a branch is to look at."""

    part: str


class Finding(BaseModel):
    """What it found."""

    verdict: bool


class Answer(BaseModel):
    """What goes out."""

    answers: int


class Clock:
    """When the node behind the branches began."""

    def __init__(self, slow: float) -> None:
        self.slow, self.joined = slow, 0.0

    async def work(self, part: str) -> dict[str, Any]:
        """What a branch does."""
        await asyncio.sleep(self.slow if part == "slow" else QUICK)
        return {"verdict": True}

    def behind(self) -> None:
        """Called by the node behind the branches."""
        self.joined = time.perf_counter()


def governed(join: Join, clock: Clock) -> System:
    """The fan-out under a join policy."""

    async def clerk(brief: dict[str, Any]) -> dict[str, Any]:
        return await clock.work(brief["part"])

    def head(gathered: dict[str, Any]) -> dict[str, Any]:
        clock.behind()
        return {"answers": len(gathered["results"])}

    def route(_: dict[str, Any]) -> list[Handoff]:
        return [Handoff(target="clerk", payload={"part": part}) for part in PARTS]

    topology = Supervisor(
        router=Agent("router", version=1, function=route),
        specialists=[Agent("clerk", version=1, function=clerk)],
        takes=Contract(Request, version=1),
        brief=Contract(Brief, version=1),
        answer=Contract(Answer, version=1),
        aggregator=Agent("head", version=1, function=head),
        finding=Contract(Finding, version=1),
        join=join,
    )
    return System("join", version=1, topology=topology)


class _State(TypedDict):
    found: Annotated[list[dict[str, Any]], operator.add]


def plain(clock: Clock) -> Any:
    """The same by `Send`."""

    async def clerk(state: Any) -> dict[str, Any]:
        return {"found": [await clock.work(state["part"])]}

    def head(state: _State) -> dict[str, Any]:
        clock.behind()
        return {}

    graph = StateGraph(_State)
    graph.add_node("clerk", clerk)
    graph.add_node("head", head)
    graph.add_conditional_edges(START, lambda _: [Send("clerk", {"part": part}) for part in PARTS], ["clerk"])
    graph.add_edge("clerk", "head")
    graph.add_edge("head", END)
    return graph.compile(checkpointer=InMemorySaver())


async def _governed(join: Join, slow: float) -> list[float]:
    """Seconds to the join, of each round behind one that warms up."""
    clock = Clock(slow)
    system, took = governed(join, clock), []
    for _ in range(ROUNDS + 1):
        began = time.perf_counter()
        await system.arun({"text": "go"})
        took.append(clock.joined - began)
    system.close()
    return took[1:]


async def _plain(slow: float) -> float:
    clock = Clock(slow)
    began = time.perf_counter()
    await plain(clock).ainvoke({"found": []}, {"configurable": {"thread_id": "t"}})
    return clock.joined - began


async def compared(slow: float = SLOW) -> dict[str, list[float]]:
    """Seconds to the join, by policy; the plain one is timed once, for it takes as long as its slow branch."""
    policies = {
        "any_of()": any_of(),
        "first(2)": first(2),
        "quorum(3, agree='verdict')": quorum(3, agree="verdict"),
        "best_effort(deadline=0.5)": best_effort(deadline=0.5),
    }
    return {name: await _governed(join, slow) for name, join in policies.items()} | {"plain Send": [await _plain(slow)]}


def main(slow: float = SLOW) -> None:
    """Print the time to join under each policy, beside plain `Send`."""
    print(f"\n== time to join: 4 branches, three of {QUICK * 1000:.0f} ms and one of {slow:g} s ==")
    found = asyncio.run(compared(slow))
    for name, took in found.items():
        spread = f"   ({min(took) * 1000:.1f} to {max(took) * 1000:.1f}, {len(took)} rounds)" if len(took) > 1 else ""
        print(f"{name:28} {statistics.median(took) * 1000:10.1f} ms{spread}")


if __name__ == "__main__":
    main(*map(float, sys.argv[1:2]))

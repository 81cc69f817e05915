"""A line of eight agents, governed and not, interleaved: what governance costs, and what the shared commit gives back.

Governed: a contract node on each edge, one policy judgement per agent (a read tool), ledger and checkpoint durable
before the next agent. Ungoverned: the same eight functions as plain LangGraph nodes over the stock AsyncSqliteSaver.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, TypedDict
from uuid import uuid4

from edgewright import Agent, Contract, Pipeline, Policy, System, tool
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import END, START, StateGraph
from pydantic import BaseModel

from bench.rounds import Run, measured

AGENTS = 8
Durability = Literal["sync", "async"]


class Work(BaseModel):
    """What goes down the line."""

    customer: str
    text: str
    steps: int


def _look_up(customer: str) -> dict[str, Any]:
    return {"customer": customer, "lines": 2}


@tool(effect="read", output="trusted", sensitivity="internal", sink=False, roles={"customer": "ref"})
async def look_up(customer: str) -> dict[str, Any]:
    """Look a customer up."""
    return _look_up(customer)


async def quiet_agent(work: dict[str, Any]) -> dict[str, Any]:
    """One agent of the governed line that calls no tool."""
    _look_up(work["customer"])
    return {**work, "steps": work["steps"] + 1}


async def governed_agent(work: dict[str, Any]) -> dict[str, Any]:
    """One agent of the governed line."""
    await look_up.call({"customer": work["customer"]})
    return {**work, "steps": work["steps"] + 1}


REQUEST = {"customer": "C-1001", "text": "The internet is slow. " * 8, "steps": 0}
POLICY = Policy(
    text='@id("look-up") permit (principal, action == Action::"call:look_up", resource) '
    'when { context.args.customer like "C-*" };'
)


def governed(home: Path, function: Callable[..., Any] = governed_agent) -> System:
    """The governed line."""
    stages = [Agent(f"agent_{i}", version=1, function=function, tools=[look_up]) for i in range(AGENTS)]
    contracts = [Contract(Work, version=1)] * (AGENTS + 1)
    line = Pipeline(stages=stages, contracts=contracts)
    return System("line", version=1, topology=line, policy=POLICY, home=home)


class Plain(TypedDict):
    """State of the plain line."""

    customer: str
    text: str
    steps: int


async def plain_agent(state: Plain) -> dict[str, Any]:
    """One agent of the plain line."""
    _look_up(state["customer"])
    return {"customer": state["customer"], "text": state["text"], "steps": state["steps"] + 1}


def plain() -> StateGraph[Any, Any, Any, Any]:
    """The plain line."""
    graph: StateGraph[Any, Any, Any, Any] = StateGraph(Plain)
    names = [f"agent_{i}" for i in range(AGENTS)]
    for name in names:
        graph.add_node(name, plain_agent)
    for source, target in zip([START, *names], [*names, END], strict=True):
        graph.add_edge(source, target)
    return graph


async def measure(rounds: int, many: int) -> dict[str, dict[int, list[float]]]:
    """Microseconds per agent, by variant and number of runs at once; variants take turns within each round."""
    with tempfile.TemporaryDirectory() as folder:
        system = governed(Path(folder) / "home")
        quiet = governed(Path(folder) / "quiet", quiet_agent)
        async with AsyncSqliteSaver.from_conn_string(str(Path(folder) / "plain.db")) as saver:
            # As stock as it comes, but as durable: WAL with a full fsync, which the governed line has too.
            await saver.conn.execute("PRAGMA journal_mode = WAL")
            await saver.conn.execute("PRAGMA synchronous = FULL")
            graph = plain().compile(checkpointer=saver)

            def ungoverned(durability: Durability) -> Run:
                return lambda: graph.ainvoke(
                    dict(REQUEST), {"configurable": {"thread_id": str(uuid4())}}, durability=durability
                )

            def gated(durability: Durability) -> Run:
                return lambda: system.arun(REQUEST, durability=durability)

            bare = plain().compile()
            variants: dict[str, Run] = {
                "ungoverned, stock saver, sync": ungoverned("sync"),
                "ungoverned, stock saver, async (default)": ungoverned("async"),
                "governed, sync": gated("sync"),
                "governed, async": gated("async"),
                "governed, sync, without the tool call": lambda: quiet.arun(REQUEST, durability="sync"),
                "ungoverned, no checkpointer": lambda: bare.ainvoke(dict(REQUEST)),
            }
            found = await measured(variants, rounds, many, scale=1e6 / AGENTS)
        system.close()
        quiet.close()
    return found


def show(rounds: int = 12, many: int = 50) -> None:
    """Print the table."""
    found = asyncio.run(measure(rounds, many))
    base = found["ungoverned, stock saver, sync"]
    print(f"A line of {AGENTS} agents, microseconds per agent (median of interleaved rounds), and speed relative to")
    print("the ungoverned line on the stock AsyncSqliteSaver with durability sync\n")
    print(f"  {'variant':42} {'1 run':>8} {'speed':>6}   {f'{many} runs':>8} {'speed':>6}")
    for name, times in found.items():
        one, more = statistics.median(times[1]), statistics.median(times[many])
        speeds = statistics.median(base[1]) / one, statistics.median(base[many]) / more
        print(f"  {name:42} {one:8.0f} {speeds[0]:6.2f}   {more:8.0f} {speeds[1]:6.2f}")

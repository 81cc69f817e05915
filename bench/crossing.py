"""What a contract costs: a crossing on a line of eight agents, and on a fan-out of 64, beside plain LangGraph edges.

Agents are the same functions, and do nothing. Both sides write durable checkpoints (`sync`, WAL, full fsync); the
governed side validates, redacts (card numbers and credentials) and records each crossing as well. Variants take turns.
"""

from __future__ import annotations

import asyncio
import operator
import statistics
import tempfile
from pathlib import Path
from typing import Annotated, Any, TypedDict
from uuid import uuid4

from edgewright import Agent, Contract, Handoff, Never, Pipeline, Supervisor, System
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import Send
from pydantic import BaseModel

from bench.rounds import Run, measured

LINE, BRANCHES = 8, 64
NEVER = Never(detectors=("card_number", "secret"))


class Work(BaseModel):
    """What crosses."""

    customer: str
    text: str
    steps: int


class Total(BaseModel):
    """What comes out of the fan-out."""

    steps: int


REQUEST = {"customer": "C-1001", "text": "The internet is slow. " * 8, "steps": 0}
WORK = Contract(Work, version=1, never=NEVER)


async def step(work: Any) -> dict[str, Any]:
    """What every agent does."""
    return {"customer": work["customer"], "text": work["text"], "steps": work["steps"] + 1}


def governed_line(home: Path | None) -> System:
    """Eight agents, nine contracts."""
    stages = [Agent(f"agent_{i}", version=1, function=step) for i in range(LINE)]
    return System("line", version=1, topology=Pipeline(stages=stages, contracts=[WORK] * (LINE + 1)), home=home)


def plain_line() -> StateGraph[Any, Any, Any, Any]:
    """Eight nodes, plain edges."""
    graph: StateGraph[Any, Any, Any, Any] = StateGraph(Plain)
    names = [f"agent_{i}" for i in range(LINE)]
    for name in names:
        node: Any = step
        graph.add_node(name, node)
    for source, target in zip([START, *names], [*names, END], strict=True):
        graph.add_edge(source, target)
    return graph


class Plain(TypedDict):
    """State of the plain graphs."""

    customer: str
    text: str
    steps: int


class Gathered(Plain):
    """State of the plain fan-out."""

    results: Annotated[list[dict[str, Any]], operator.add]


def governed_fan(home: Path | None) -> System:
    """A router that hands over 64 times in one turn, and an aggregator."""

    async def route(work: dict[str, Any]) -> list[Handoff]:
        return [Handoff(target="worker", payload=work)] * BRANCHES

    async def add_up(found: dict[str, Any]) -> dict[str, int]:
        return {"steps": sum(r["answer"]["steps"] for r in found["results"])}

    topology = Supervisor(
        router=Agent("router", version=1, function=route),
        specialists=[Agent("worker", version=1, function=step)],
        aggregator=Agent("aggregator", version=1, function=add_up),
        takes=WORK,
        brief=WORK,
        finding=WORK,
        answer=Contract(Total, version=1, never=NEVER),
    )
    return System("fan", version=1, topology=topology, home=home)


def plain_fan() -> StateGraph[Any, Any, Any, Any]:
    """The same with Send and a reducer."""

    async def route(state: Gathered) -> dict[str, Any]:
        return {}

    def spread(state: Gathered) -> list[Send]:
        return [Send("worker", {k: state[k] for k in ("customer", "text", "steps")})] * BRANCHES

    async def work(state: Plain) -> dict[str, Any]:
        return {"results": [await step(state)]}

    async def add_up(state: Gathered) -> dict[str, Any]:
        return {"steps": sum(r["steps"] for r in state["results"])}

    graph: StateGraph[Any, Any, Any, Any] = StateGraph(Gathered)
    graph.add_node("router", route)
    graph.add_node("worker", work)
    graph.add_node("aggregator", add_up)
    graph.add_edge(START, "router")
    graph.add_conditional_edges("router", spread, ["worker"])
    graph.add_edge("worker", "aggregator")
    graph.add_edge("aggregator", END)
    return graph


async def measure(rounds: int, many: int) -> dict[str, dict[str, dict[int, list[float]]]]:
    """Milliseconds per run, by shape, variant and number of runs at once."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        kept, memory = (
            (governed_line(path / "line"), governed_fan(path / "fan")),
            (governed_line(None), governed_fan(None)),
        )
        async with AsyncSqliteSaver.from_conn_string(str(path / "plain.db")) as saver:
            await saver.conn.execute("PRAGMA journal_mode = WAL")
            await saver.conn.execute("PRAGMA synchronous = FULL")

            def plain(graph: StateGraph[Any, Any, Any, Any], *, durable: bool) -> Run:
                compiled = graph.compile(checkpointer=saver if durable else None)
                if not durable:
                    return lambda: compiled.ainvoke(dict(REQUEST))
                return lambda: compiled.ainvoke(
                    dict(REQUEST), {"configurable": {"thread_id": str(uuid4())}}, durability="sync"
                )

            def gated(system: System) -> Run:
                return lambda: system.arun(REQUEST)

            shapes = {
                "line": (plain_line(), kept[0], memory[0]),
                "fan-out": (plain_fan(), kept[1], memory[1]),
            }
            found = {}
            for shape, (graph, on_disk, in_memory) in shapes.items():
                variants: dict[str, Run] = {
                    "plain edges, stock saver": plain(graph, durable=True),
                    "contracts, ledger and checkpoints": gated(on_disk),
                    "plain edges, no checkpointer": plain(graph, durable=False),
                    "contracts, all in memory": gated(in_memory),
                }
                found[shape] = await measured(variants, rounds, many, scale=1e3)
        for system in (*kept, *memory):
            system.close()
    return found


def show(rounds: int = 9, many: int = 50) -> None:
    """Print the tables."""
    print("\nA contract crossing beside a plain LangGraph edge (medians of interleaved rounds). Per crossing: what the")
    print("contracts add to a run, by the number of them that are passed.\n")
    found = asyncio.run(measure(rounds, many))
    crossings = {"line": LINE + 1, "fan-out": 2 * BRANCHES + 2}
    names = {"line": f"line of {LINE}", "fan-out": f"fan-out of {BRANCHES}"}
    for shape, variants in found.items():
        print(f"  {names[shape]:38} {'1 run, ms':>10} {'ratio':>6}   {f'{many} runs, ms each':>16} {'ratio':>6}")
        middle = {n: {k: statistics.median(v) for k, v in times.items()} for n, times in variants.items()}
        for pair in (
            ("plain edges, stock saver", "contracts, ledger and checkpoints"),
            ("plain edges, no checkpointer", "contracts, all in memory"),
        ):
            base, governed = middle[pair[0]], middle[pair[1]]
            for name, times in ((pair[0], base), (pair[1], governed)):
                one, more = times[1], times[many]
                print(f"    {name:36} {one:10.2f} {one / base[1]:6.2f}   {more:16.2f} {more / base[many]:6.2f}")
            each = [(governed[k] - base[k]) / crossings[shape] * 1000 for k in (1, many)]
            print(f"    {'per crossing':36} {each[0]:7.0f} µs {'':6}   {each[1]:13.0f} µs")
        print()

"""The governed systems on trial: the same tools behind one agent, behind many side by side, inside other graphs."""

from __future__ import annotations

import asyncio
import operator
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, product
from pathlib import Path
from typing import Annotated, Any, Literal, TypedDict, get_args

from edgewright import Agent, Budget, Contract, Pipeline, Policy, Supervisor, System, ToolContext, tool
from edgewright.contracts.errors import CallRejected, ToolFailed
from edgewright.graphs.system import Durability
from edgewright.tools.sealed import SealedTool
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import Send
from pydantic import BaseModel

from bench.crash.fuse import FUSE
from bench.crash.model import Moody, worded
from bench.crash.world import WAYS, Slot, Way, World, slots_in

Scenario = Literal["message", "supervisor", "branches", "code", "nested", "sent"]
SCENARIOS: Mapping[Scenario, str] = {
    "message": "one agent, several calls in one message",
    "supervisor": "a router and the agent it hands over to",
    "branches": "three agents side by side, each with its calls",
    "code": "an agent in code, calls one by one or together",
    "nested": "a supervisor's system inside another graph",
    "sent": "a system inside another graph, twice by Send",
}
DURABILITIES: tuple[Durability, ...] = get_args(Durability)
AROUND: tuple[Scenario, ...] = ("nested", "sent")
"""Under `exit` LangGraph keeps no checkpoint of the graph around: after a crash it begins anew as a whole, and with it
each governed run inside that had ended. That is no promise of the gate, so it is tried only where it is asked for."""
SIDE_BY_SIDE: Mapping[Scenario, int] = {"branches": 3, "sent": 2}
_FREE = Budget(asks=None, asks_per_hour=None)


def pairs(
    scenarios: Sequence[Scenario], durabilities: Sequence[Durability] = ()
) -> tuple[tuple[Scenario, Durability], ...]:
    """What goes together; all that is promised, unless durabilities are named."""
    every = product(scenarios, durabilities or DURABILITIES)
    return tuple((s, d) for s, d in every if durabilities or d != "exit" or s not in AROUND)


@dataclass(frozen=True, kw_only=True)
class Play:
    """One run on trial: in which scenario, how durable, with which plan, in which folder."""

    scenario: Scenario
    durability: Durability
    slots: tuple[Slot, ...]
    folder: Path

    @property
    def work(self) -> str:
        """The plan as a request tells it."""
        return " ".join(s.name for s in self.slots)


def planned(scenario: Scenario, rng: random.Random, *, asking: bool) -> tuple[Slot, ...]:
    """A plan: every way in it, and, if `asking`, marks on much of it that policy asks a person about."""
    branches = SIDE_BY_SIDE.get(scenario, 1)
    made, ways = list[Slot](), list[Way]()
    for branch in range(branches):
        for turn, size in enumerate((2, 1) if branches > 1 else (3, 2)):
            for number in range(size):
                ways = ways or rng.sample(WAYS, len(WAYS))
                asks: Any = rng.choice(("", "ask", "ask", "no")) if asking else ""
                made.append(Slot(branch, turn, number, ways.pop(), asks))
    return tuple(made)


# -- the tools -----------------------------------------------------------------------------------------------------


class Request(BaseModel):
    """What is to be done: the names of slots."""

    work: str


class Answer(BaseModel):
    """That it was done, in any words."""

    text: str


TAKES, BRIEF, GIVES = Contract(Request, version=1), Contract(Request, version=2), Contract(Answer, version=1)


def tools_on(folder: Path) -> list[SealedTool]:
    """One tool of each way, on the world in that folder. They differ in what they declare, and in nothing else."""
    world = World(folder)

    def reach(way: Way, key: str, slot: str, cents: int, note: str) -> dict[str, Any]:
        FUSE.at("effect.before")
        world.do(way, key, {"slot": slot, "cents": cents, "note": note})
        FUSE.at("effect.after")
        return {"done": True}

    @tool(name="key", effect="write", idempotency="key")
    async def by_key(slot: str, cents: int, note: str, *, ctx: ToolContext) -> dict[str, Any]:
        """Do it; known again by its key."""
        return await asyncio.to_thread(reach, "key", ctx.key, slot, cents, note)

    @tool(name="natural", effect="write", idempotency="natural")
    def by_nature(slot: str, cents: int, note: str, *, ctx: ToolContext) -> dict[str, Any]:
        """Do it; known again by all that it is."""
        return reach("natural", ctx.key, slot, cents, note)

    def happened(*, ctx: ToolContext) -> dict[str, Any] | None:
        FUSE.at("probe")
        return {"done": True} if world.probed(ctx.key) else None

    @tool(name="probe", effect="irreversible", probe=happened)
    def by_probe(slot: str, cents: int, note: str, *, ctx: ToolContext) -> dict[str, Any]:
        """Do it; not known again, but it can be looked up."""
        return reach("probe", ctx.key, slot, cents, note)

    @tool(name="none", effect="irreversible")
    async def by_nothing(slot: str, cents: int, note: str, *, ctx: ToolContext) -> dict[str, Any]:
        """Do it; nobody can tell whether it was done but a person who looks."""
        return await asyncio.to_thread(reach, "none", ctx.key, slot, cents, note)

    return [by_key, by_nature, by_probe, by_nothing]


def _rules() -> str:
    asks = [
        f'@id("ask_{way}") @obligation("ask") @approver("desk") @reason("it is marked") '
        f'forbid(principal, action == Action::"call:{way}", resource) '
        'when { context.args.slot like "*_ask" || context.args.slot like "*_no" } '
        f'unless {{ context.approvals.contains("ask_{way}") }};'
        for way in WAYS
    ]
    return "\n".join(['@id("all") permit(principal, action, resource);', *asks])


# -- the systems ---------------------------------------------------------------------------------------------------


def _agents(handles: Sequence[SealedTool]) -> tuple[Agent, Agent]:
    router = Agent("router", version=1, prompt="Hand it over.", limits=_FREE)
    return router, Agent("worker", version=1, prompt="Do it.", tools=handles, limits=_FREE)


def _coder(handles: Sequence[SealedTool]) -> Agent:
    by_way = {h.name: h for h in handles}

    async def one(slot: Slot) -> None:
        try:
            await by_way[slot.way].call(worded(slot))
        except (CallRejected, ToolFailed):
            return  # a person said no; the rest goes on

    async def work(received: dict[str, Any]) -> dict[str, Any]:
        for _, turn in groupby(sorted(slots_in(received["work"])), key=lambda s: s.turn):
            slots = list(turn)
            if any(s.asks for s in slots):
                for slot in slots:
                    await one(slot)
            else:
                await asyncio.gather(*(one(s) for s in slots))
        return {"text": "done"}

    return Agent("worker", version=1, function=work, tools=handles, limits=_FREE)


def system_of_play(play: Play) -> System:
    """The governed system of a play, its ledger in the play's folder."""
    handles = tools_on(play.folder)
    router, worker = _agents(handles)
    topology: Any
    match play.scenario:
        case "message" | "sent":
            topology = Pipeline(stages=[worker], contracts=[TAKES, GIVES])
        case "code":
            topology = Pipeline(stages=[_coder(handles)], contracts=[TAKES, GIVES])
        case "supervisor" | "nested":
            topology = Supervisor(router=router, specialists=[worker], takes=TAKES, brief=BRIEF, answer=GIVES)
        case "branches":

            def head(found: dict[str, Any]) -> dict[str, Any]:
                return {"text": f"{len(found['results'])} answers"}

            topology = Supervisor(
                router=router,
                specialists=[worker],
                takes=TAKES,
                brief=BRIEF,
                answer=GIVES,
                aggregator=Agent("head", version=1, function=head),
                finding=GIVES,
            )
    return System(
        f"crash_{play.scenario}",
        version=1,
        topology=topology,
        policy=Policy(text=_rules()),
        budget=_FREE,
        model=Moody(),
        home=play.folder / "home",
    )


def _newest(_: Any, new: Any) -> Any:
    return new


class Outer(TypedDict, total=False):
    """The state of the graph around a governed system."""

    work: str
    request: Annotated[dict[str, Any], _newest]
    run: Annotated[str, _newest]
    response: Annotated[dict[str, Any], _newest]
    seen: Annotated[list[str], operator.add]


def graph_around(play: Play, system: System) -> CompiledStateGraph[Any, Any, Any, Any] | None:
    """The plain LangGraph graph in which the system of a play is a node; None where it runs by itself."""
    if play.scenario not in AROUND:
        return None
    graph: StateGraph[Any, Any, Any, Any] = StateGraph(Outer)

    def before(state: Outer) -> dict[str, Any]:
        return {"seen": ["before"], "request": {"work": state["work"]}}

    def spread(state: Outer) -> list[Send]:
        branches = sorted({s.branch for s in slots_in(state["work"])})
        parts = [[s.name for s in slots_in(state["work"]) if s.branch == b] for b in branches]
        return [Send("team", {"request": {"work": " ".join(part)}}) for part in parts]

    def after(state: Outer) -> dict[str, Any]:
        return {"seen": ["after"]}

    graph.add_node("before", before)
    graph.add_node("team", system.graph)
    graph.add_node("after", after)
    graph.add_edge(START, "before")
    if play.scenario == "sent":
        graph.add_conditional_edges("before", spread, ["team"])
    else:
        graph.add_edge("before", "team")
    graph.add_edge("team", "after")
    graph.add_edge("after", END)
    return graph.compile(checkpointer=system.home.open()[1])

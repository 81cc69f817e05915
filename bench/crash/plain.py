"""The same tools, model and kills with plain LangGraph: a checkpointer and no gate.

A tool gets the call's id as its key: there is nothing better that stays the same when its node runs again.
"""

from __future__ import annotations

import operator
from functools import partial
from pathlib import Path
from typing import Annotated, Any, TypedDict

from langchain.agents import create_agent
from langchain_core.messages import AnyMessage, HumanMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool, InjectedToolCallId, StructuredTool
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import Send

from bench.crash.fuse import FUSE
from bench.crash.governed import has_ended
from bench.crash.model import Moody
from bench.crash.systems import Play, Scenario
from bench.crash.world import WAYS, Way, World, slots_in

COMPARED: tuple[Scenario, ...] = ("message", "branches")
ON = RunnableConfig(configurable={"thread_id": "t"})


class State(TypedDict, total=False):
    """The state around the agents."""

    work: str
    messages: Annotated[list[AnyMessage], operator.add]


def _tools(folder: Path) -> list[BaseTool]:
    world = World(folder)

    def reach(way: Way, slot: str, cents: int, note: str, call: Annotated[str, InjectedToolCallId]) -> str:
        """Do it."""
        FUSE.at("effect.before")
        world.do(way, call, {"slot": slot, "cents": cents, "note": note})
        FUSE.at("effect.after")
        return "done"

    def bound(way: Way) -> BaseTool:
        def run(slot: str, cents: int, note: str, call: Annotated[str, InjectedToolCallId]) -> str:
            """Do it."""
            return partial(reach, way)(slot, cents, note, call)

        return StructuredTool.from_function(run, name=way)

    return [bound(way) for way in WAYS]


async def life_of_plain(play: Play) -> dict[str, Any]:
    """Begin the ungoverned run of a play or go on with it."""
    agent = create_agent(Moody(), _tools(play.folder), system_prompt="Do it.")

    def spread(state: State) -> list[Send]:
        slots = slots_in(state["work"])
        parts = [" ".join(s.name for s in slots if s.branch == b) for b in sorted({s.branch for s in slots})]
        return [Send("agent", {"messages": [HumanMessage(part)]}) for part in parts]

    graph = StateGraph(State)
    graph.add_node("agent", agent)
    graph.add_conditional_edges(START, spread, ["agent"])
    graph.add_edge("agent", END)
    async with AsyncSqliteSaver.from_conn_string(str(play.folder / "checkpoints.db")) as saver:
        compiled = graph.compile(checkpointer=saver)
        state = await compiled.aget_state(ON)
        if has_ended(state):
            return {"status": "completed"}
        given: Any = {"work": play.work} if state.created_at is None else None
        await compiled.ainvoke(given, ON, durability=play.durability)
    return {"status": "completed"}

"""The same load on plain LangGraph with LangChain's tools: blocking functions, and nothing that contains them."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from langchain_core.tools import StructuredTool
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from typing_extensions import TypedDict

from bench.outage.load import BOUND, Done, Driver, Load, Said
from bench.outage.office import Desk, Services

THREADS = 8
"""What Python gives an event loop on four processors: four more than there are."""
TAKES = 0.25
"""Seconds that the billing service takes here. With so few threads the ninety would need half a minute otherwise."""


class Work(TypedDict, total=False):
    """The state of the plain graph."""

    order: str
    desk: str
    told: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plain:
    """What was seen: the runs that ended with the warehouse alive, and with it hanging.

    Attributes:
        stuck: seconds after which every thread hung in the warehouse, so that nothing could end any more.
    """

    well: tuple[Done, ...]
    dead: tuple[Done, ...]
    stuck: float


def _graph(services: Services) -> CompiledStateGraph[Any, Any, Any, Any]:
    ship = StructuredTool.from_function(services.ship, name="ship", description="Have an order shipped.")
    bill = StructuredTool.from_function(services.bill, name="bill", description="Bill an order.")

    def asking(plain_tool: StructuredTool) -> Any:
        async def node(state: Work) -> Work:
            found = await plain_tool.ainvoke({"order": state["order"], "key": state["order"]})
            return {"told": found["text"]}

        return node

    def router(state: Work) -> str:
        return "biller" if state["desk"] == "biller" else "shipper"

    graph: StateGraph[Any, Any, Any, Any] = StateGraph(Work)
    graph.add_node("biller", asking(bill))
    graph.add_node("shipper", asking(ship))
    graph.add_conditional_edges(START, router, ["biller", "shipper"])
    graph.add_edge("biller", END)
    graph.add_edge("shipper", END)
    return graph.compile()


def _driver(services: Services, load: Load) -> Driver:
    graph = _graph(services)

    async def serve(order: str, desk: Desk) -> Said:
        return Said(answer=(await graph.ainvoke({"order": order, "desk": desk}))["told"])

    return Driver(name="plain", serve=serve, load=load)


async def _well(services: Services, load: Load) -> tuple[Done, ...]:
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(THREADS))
    driver = _driver(services, load)
    await driver.drive(lambda: True)
    return tuple(driver.done)


async def _dead(services: Services, load: Load) -> tuple[tuple[Done, ...], float]:
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(THREADS))
    services.dies("hangs")
    driver = _driver(services, load)
    driving = asyncio.create_task(driver.drive(lambda: False))
    await services.warehouse.await_for(in_flight=THREADS, seconds=BOUND)
    stuck = driver.now()
    driving.cancel()
    await asyncio.wait([driving], timeout=BOUND)
    services.warehouse.close()  # or what hangs there would keep its threads, and they the process
    return tuple(driver.done), stuck


def play_plain(load: Load) -> Plain:
    """Put the load on a plain graph, with the warehouse alive, and hanging until no thread is left."""
    with Services(TAKES) as services:
        well = asyncio.run(_well(services, load))
    with Services(TAKES) as services:
        dead, stuck = asyncio.run(_dead(services, load))
    return Plain(well=well, dead=dead, stuck=stuck)

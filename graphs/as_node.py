"""A system, or a single agent, as a plain node of a LangGraph graph made by hand.

    graph.add_node("billing", as_node(billing, takes=BRIEF, answer=ANSWER, policy=policy))

The node is governed by itself: each turn is a run of its own, with its contract, policy, budget and ledger. What it
asks a person interrupts the graph around, and is answered there.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from ..agents.agent import Agent
from ..contracts.contract import Contract
from ..contracts.errors import MarksUnread, TopologyInvalid
from .solo import Solo
from .state import MARKS, REQUEST, RESPONSE
from .system import System


def as_node(
    of: System | Agent,
    *,
    takes: Contract | None = None,
    answer: Contract | None = None,
    under: str = "",
    marks: str = "",
    **options: Any,
) -> Callable[[Any], Awaitable[dict[str, Any]]]:
    """A function for `StateGraph.add_node`. It takes the fields of its request from the state of the graph around.

    Args:
        of: a system; or an agent, which is made the one of a system.
        takes, answer: of an agent: the contracts of its request and of its answer.
        under: the key of the state that gets the answer; without, each field of the answer is a key.
        marks: the key that gets what a reader of the answer has to know of how it came about, as JSON; without, an
            answer that has marks is refused, for the graph around would not know of them.
        options: of an agent's system: `policy`, `budget`, `model`, and so on.

    Raises:
        TopologyInvalid: an agent without contracts, or a system with them.
        Whatever its run raises; MarksUnread where there are marks, and no key for them.
    """
    system = _system(of, takes, answer, options)
    wanted = tuple(system.entry.schema["properties"])

    async def node(state: Any) -> dict[str, Any]:
        request = {name: value for name in wanted if (value := _field(state, name)) is not None}
        ended: Mapping[str, Any] = await system.graph.ainvoke({REQUEST: request})
        found, told = ended.get(RESPONSE) or {}, ended.get(MARKS) or []
        left = {under: found} if under else dict(found)
        if marks:
            left[marks] = told
        elif told:
            raise MarksUnread(system=system.name, marks=[f"{m['kind']} of {m['agent']}" for m in told])
        return left

    node.__name__ = system.name
    return node


def _system(of: System | Agent, takes: Contract | None, answer: Contract | None, options: dict[str, Any]) -> System:
    if isinstance(of, System):
        if takes is not None or answer is not None or options:
            raise TopologyInvalid(name=of.name, faults=["a system has its contracts, give none to its node"])
        return of
    if takes is None or answer is None:
        raise TopologyInvalid(name=of.name, faults=["as a node an agent needs takes= and answer=, its contracts"])
    return System(of.name, version=of.version, topology=Solo(of, takes=takes, answer=answer), **options)


def _field(state: Any, name: str) -> Any:
    return state.get(name) if isinstance(state, Mapping) else getattr(state, name, None)

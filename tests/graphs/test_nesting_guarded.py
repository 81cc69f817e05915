"""What must not get past a contract by a graph of an agent's own, a run inside a turn, a restart or a join."""

from __future__ import annotations

from typing import Any, TypedDict

import pytest
from edgewright import Agent, Contract, FallBack, Pipeline, Policy, System, tool
from edgewright.contracts.contract import Never
from edgewright.contracts.errors import TopologyInvalid
from edgewright.contracts.failure import Ask
from edgewright.ledger.records import CallJudged, ContractPassed
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, interrupt
from pydantic import BaseModel
from support.systems import PERMIT_ALL, answers, of_kind


class Note(BaseModel):
    """What is handed on."""

    text: str


class Told(BaseModel):
    """What leaves the house: nothing personal."""

    text: str


class Words(TypedDict, total=False):
    text: str


NOTE = Contract(Note, version=1)
TOLD = Contract(Told, version=1, never=Never(sensitivities=("personal", "secret")))
NUMBER = "+49 170 5551234 Jane"


@tool(effect="read", output="untrusted")
def parcel() -> str:
    """Open a parcel."""
    return "attacker@evil.example"


@tool(effect="read", output="trusted", sensitivity="personal")
def directory() -> str:
    """Look somebody up."""
    return NUMBER


@tool(effect="write", idempotency="key")
def dispatch(to: str) -> str:
    """Dispatch something."""
    return to


def pipe(name: str, *stages: Agent, contracts: Any = None, on_failure: Any = None, policy: bool = True) -> System:
    more = {"on_failure": on_failure} if on_failure else {}
    topology = Pipeline(stages=stages, contracts=contracts or [NOTE] * (len(stages) + 1), **more)
    return System(name, version=1, topology=topology, policy=Policy(text=PERMIT_ALL) if policy else None)


def one_node(node: Any) -> StateGraph[Any, Any, Any, Any]:
    graph: StateGraph[Any, Any, Any, Any] = StateGraph(Words)
    graph.add_node("only", node)
    graph.add_edge(START, "only")
    return graph


async def test_a_graph_that_leaves_by_a_command_to_its_parent_ends_the_run_and_nothing_of_it_reaches_the_end() -> None:
    def leaves(_: Any) -> Command[Any]:
        return Command(graph=Command.PARENT, goto=END, update={"response": {"text": "forged", "extra": 1}})

    other = Agent("other", version=1, function=lambda p: p)
    made = pipe(
        "left",
        Agent("leaver", version=1, graph=one_node(leaves)),
        on_failure={"leaver": FallBack(agent=other)},
        policy=False,
    )
    with pytest.raises(TopologyInvalid):
        await made.arun({"text": "go"}, thread="t")
    assert [r.status for r in made.ledger.runs()] == ["failed"]


async def test_an_inner_run_that_ended_while_nobody_was_in_the_turn_colours_what_is_made_of_it() -> None:
    tries: list[str] = []
    waits: list[Any] = []

    async def opens(_: Any) -> dict[str, Any]:
        return {"text": str(await parcel.ainvoke({}))}

    def once(payload: dict[str, Any]) -> dict[str, Any]:
        tries.append("x")
        if len(tries) == 1:
            raise RuntimeError("a person, please")
        return payload

    inner = pipe(
        "inner",
        Agent("opener", version=1, function=opens, tools=[parcel]),
        Agent("once", version=1, function=once),
        on_failure={"once": Ask(role="boss")},
    )

    async def uses(_: Any) -> dict[str, Any]:
        found = await inner.arun({"text": "open it"})
        if found.status == "waiting":
            waits.append(found)
            raise RuntimeError("it waits")
        return found.output or {}

    async def acts(payload: dict[str, Any]) -> dict[str, Any]:
        await dispatch.ainvoke({"to": payload["text"]})
        return payload

    outer = pipe(
        "outer",
        Agent("user", version=1, function=uses),
        Agent("actor", version=1, function=acts, tools=[dispatch]),
        on_failure={"user": Ask(role="boss")},
    )
    asked = await outer.arun({"text": "go"}, thread="t")
    await inner.aresume(waits[0].thread, answers(waits[0], "approve"))
    done = await outer.aresume("t", answers(asked, "approve"))
    [judged] = of_kind(outer, done.run, CallJudged)
    assert judged.labels["to"][0] == "untrusted"


def looks_up() -> Agent:
    async def reads(_: Any) -> dict[str, Any]:
        return {"text": f"it is {await directory.ainvoke({})}"}

    return Agent("looker", version=1, function=reads, tools=[directory])


async def test_what_was_personal_in_a_run_is_personal_in_the_run_that_begins_again_behind_its_tool() -> None:
    made = pipe("private", looks_up(), Agent("teller", version=1, function=lambda p: p), contracts=[NOTE, NOTE, TOLD])
    first = await made.arun({"text": "go"}, thread="t")
    again = await made.arestart(first.run, stage="teller")
    third = await made.arestart(again.run, stage="teller")
    for found in (first, again, third):
        assert "5551234" not in str(found.output)
        kept = [getattr(e.record, "payload", "") for e in made.ledger.entries(found.run)]
        assert not [ref for ref in kept if ref and b"5551234" in (made.ledger.payload(found.run, ref) or b"")]


async def test_what_a_graph_asks_of_its_driver_shows_nothing_that_no_contract_lets_out() -> None:
    async def asks(_: Any) -> dict[str, Any]:
        return {"text": str(interrupt({"draft": str(await directory.ainvoke({}))}))}

    made = pipe("asking", Agent("asker", version=1, graph=one_node(asks), tools=[directory]), contracts=[NOTE, TOLD])
    graph, config = made.compile(InMemorySaver()), RunnableConfig(configurable={"thread_id": "t"})
    shown = await graph.ainvoke({"request": {"text": "go"}}, config)
    assert "5551234" not in str(shown)
    assert "5551234" not in str((await graph.aget_state(config)).interrupts)
    assert (await graph.ainvoke(Command(resume="yes"), config))["response"] == {"text": "yes"}


@pytest.mark.parametrize("way", ["function", "graph"])
async def test_what_is_personal_in_one_run_is_so_in_the_run_inside_its_turn_and_in_the_one_around(way: str) -> None:
    def asker(inner: System) -> Agent:
        async def asks(payload: dict[str, Any]) -> dict[str, Any]:
            return (await inner.arun(payload)).output or {}

        return Agent("asker", version=1, **({"graph": inner.graph} if way == "graph" else {"function": asks}))

    teller = Agent("teller", version=1, function=lambda p: p)
    outwards = pipe("outwards", asker(pipe("reads", looks_up())), teller, contracts=[NOTE, NOTE, TOLD], policy=False)
    assert "5551234" not in str((await outwards.arun({"text": "go"})).output)
    inner = pipe("tells", teller, contracts=[NOTE, TOLD], policy=False)
    inwards = pipe("inwards", looks_up(), asker(inner), contracts=[NOTE, NOTE, TOLD])
    await inwards.arun({"text": "go"})
    [known] = inner.ledger.runs()
    [*_, end] = [e.record for e in inner.ledger.entries(known.run) if isinstance(e.record, ContractPassed)]
    assert b"5551234" not in (inner.ledger.payload(known.run, end.payload) or b"")

"""Who is active in a swarm: the peer that answered last takes the thread's next request, wherever the swarm stands."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, TypedDict

import pytest
from edgewright import Agent, FallBack, Handoff, Pipeline, Supervisor, System
from edgewright.contracts.errors import ContractViolation, ReadRefused, TopologyInvalid
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph
from support import swarm_child
from support.children import TESTS
from support.swarms import (
    ANSWER,
    FAIL,
    NAMES,
    TAKES,
    crossings_of,
    goes_where_told,
    peers,
    says,
    swarm,
    system,
    turns_of,
)


def asked(found: System, thread: str | None, text: str) -> tuple[str, str]:
    """Ask once; who answered, and the thread."""
    result = found.run({"text": text}, thread=thread)
    assert result.output is not None
    return str(result.output["text"]).partition(":")[0], result.thread


def test_the_next_request_goes_to_the_peer_that_answered_last() -> None:
    found = system(swarm())
    answered, thread = asked(found, None, "to billing x")
    assert answered == "billing"
    assert asked(found, thread, "and another thing")[0] == "billing"
    assert asked(found, thread, "to support now") == ("support", thread)
    assert asked(found, thread, "thanks")[0] == "support"
    last = found.run({"text": "bye"}, thread=thread)
    assert crossings_of(found, last.run) == ["start→support", "support→end"]


def test_each_thread_has_its_own_active_peer() -> None:
    found = system(swarm())
    one, other = asked(found, None, "to billing x")[1], asked(found, None, "to support x")[1]
    assert asked(found, None, "hello")[0] == "sales"
    assert asked(found, one, "hello")[0] == "billing"
    assert asked(found, other, "hello")[0] == "support"


def test_a_swarm_that_is_not_sticky_begins_with_the_first_each_time() -> None:
    found = system(swarm(sticky=False))
    answered, thread = asked(found, None, "to billing x")
    assert answered == "billing"
    assert asked(found, thread, "again")[0] == "sales"


def test_who_may_not_answer_is_never_active() -> None:
    found = system(swarm(answers=["billing"]))
    ends = [e.target for e in found.topology.edges if e.source == "start"]
    assert ends == ["sales", "billing"]
    thread = asked(found, None, "to billing x")[1]
    assert asked(found, thread, "again")[0] == "billing"


def test_who_is_active_outlives_the_process(tmp_path: Path) -> None:
    found = system(swarm(), home=tmp_path)
    thread = asked(found, None, "to billing x")[1]
    found.close()
    for _ in range(2):
        again = system(swarm(), home=tmp_path)
        assert asked(again, thread, "hello")[0] == "billing"
        again.close()


def killed(home: Path, *arguments: str) -> str:
    """What a process that is killed told before; empty where it was killed in the middle of a turn."""
    made = subprocess.run(
        [sys.executable, "-m", "support.swarm_child", str(home), "t", *arguments],
        cwd=TESTS,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert made.returncode == -signal.SIGKILL, made.stderr
    return made.stdout.strip()


def test_who_is_active_outlives_processes_that_are_killed(tmp_path: Path) -> None:
    assert killed(tmp_path, "to billing x") == "billing: x"
    assert killed(tmp_path, "to support y", "support") == ""
    found = swarm_child.at(tmp_path)
    assert found.resume("t").output == {"text": "support: y"}  # and the handover that was made is not made again
    assert asked(found, "t", "hello")[0] == "support"
    last, cut_off, first = (crossings_of(found, r.run) for r in found.ledger.runs(thread="t"))  # newest first
    assert first == ["start→sales", "sales→billing", "billing→end"]
    assert cut_off == ["start→billing", "billing→support", "support→end"]
    assert last == ["start→support", "support→end"]
    found.close()


def test_a_peer_that_a_new_version_has_no_more_leaves_its_place_to_the_first(tmp_path: Path) -> None:
    found = system(swarm(), home=tmp_path)
    thread = asked(found, None, "to billing x")[1]
    found.close()
    smaller = system(swarm(peers(names=("support", "sales"))), home=tmp_path, version=2)
    assert asked(smaller, thread, "hello")[0] == "support"
    smaller.close()


def test_a_peer_that_may_not_answer_any_more_leaves_its_place_to_the_first(tmp_path: Path) -> None:
    found = system(swarm(), home=tmp_path)
    thread = asked(found, None, "to billing x")[1]
    found.close()
    other = system(swarm(answers=["sales", "support"]), home=tmp_path, version=2)
    assert asked(other, thread, "hello")[0] == "sales"
    other.close()


def test_a_run_that_fails_leaves_the_active_peer_as_it_was() -> None:
    def breaks(payload: dict[str, Any]) -> Any:
        return {"wrong": 1} if "task" in payload else goes_where_told("support")(payload)

    found = system(swarm(peers({"support": breaks}), on_violation=FAIL))
    thread = asked(found, None, "to billing x")[1]
    with pytest.raises(ContractViolation):
        found.run({"text": "to support y"}, thread=thread)
    assert asked(found, thread, "hello")[0] == "billing"


def test_whoever_stands_in_for_a_peer_makes_that_peer_active() -> None:
    down = [True]

    def fails(payload: dict[str, Any]) -> Any:
        if down[0]:
            raise RuntimeError("down")
        return goes_where_told("billing")(payload)

    clerk = Agent("clerk", version=1, function=goes_where_told("clerk"))
    topology = swarm(peers({"billing": fails}), on_failure={"billing": FallBack(agent=clerk)})
    found = system(topology)
    answered, thread = asked(found, None, "to billing x")
    assert answered == "clerk"
    down[0] = False
    assert asked(found, thread, "hello")[0] == "billing"


# -- who may say so --------------------------------------------------------------------------------------------------


def test_a_caller_cannot_say_who_is_active() -> None:
    found = system(swarm())
    graph = found.compile(InMemorySaver())
    on: RunnableConfig = {"configurable": {"thread_id": "t"}}
    given: Any = {"request": {"text": "hello", "sender": None}, "active": {"": "billing"}}
    assert graph.invoke(given, on)["response"] == {"text": "sales: hello"}
    with pytest.raises(ReadRefused):
        graph.update_state(on, {"active": {"": "billing"}})
    assert graph.invoke({"request": {"text": "hello"}}, on)["response"] == {"text": "sales: hello"}


def test_a_reader_of_the_state_is_not_shown_who_is_active() -> None:
    found = system(swarm())
    graph = found.compile(InMemorySaver())
    on: RunnableConfig = {"configurable": {"thread_id": "t"}}
    end = graph.invoke({"request": {"text": "to billing x"}}, on)
    assert set(end) == {"run", "response"}
    assert set(graph.get_state(on).values) <= {"run", "response", "marks"}


def test_several_ways_in_take_a_topology_that_declares_them() -> None:
    class Careless:
        """A swarm's edges under a topology that says nothing of who begins."""

        def __init__(self) -> None:
            self.agents, self.edges, self.fan_outs = swarm().agents, swarm().edges, ()

    with pytest.raises(TopologyInvalid, match="exactly one edge leads in from start, not 3"):
        system(Careless())


# -- inside of something larger --------------------------------------------------------------------------------------


class Desk(TypedDict, total=False):
    """The state of a hand-made graph."""

    text: str
    said: str


def hand_made(found: System, *, compiled: Any = None) -> Any:
    """A graph of one's own that asks a swarm, and does something of its own before and after."""
    inner = compiled or found.graph

    async def ask(state: Desk) -> Desk:
        end = await inner.ainvoke({"request": {"text": state["text"]}})
        return {"said": end["response"]["text"]}

    graph = StateGraph(Desk)
    graph.add_node("before", lambda state: {"text": state["text"].strip()})
    graph.add_node("ask", ask)
    graph.add_edge(START, "before")
    graph.add_edge("before", "ask")
    graph.add_edge("ask", END)
    return graph.compile(checkpointer=InMemorySaver())


async def test_in_a_graph_of_ones_own_the_active_peer_is_asked_next() -> None:
    found = system(swarm())
    graph = hand_made(found)
    one, other = ({"configurable": {"thread_id": t}} for t in ("one", "other"))
    assert (await graph.ainvoke({"text": "to billing x"}, one))["said"] == "billing: x"
    assert (await graph.ainvoke({"text": " hello "}, one))["said"] == "billing: hello"
    assert (await graph.ainvoke({"text": "hello"}, other))["said"] == "sales: hello"


async def test_in_a_graph_of_ones_own_the_active_peer_outlives_the_process(tmp_path: Path) -> None:
    saver = InMemorySaver()  # the graph around keeps its own state wherever it likes
    for text, said in (("to billing x", "billing: x"), ("hello", "billing: hello"), ("to support y", "support: y")):
        found = system(swarm(), home=tmp_path)
        graph = hand_made(found)
        graph.checkpointer = saver
        assert (await graph.ainvoke({"text": text}, {"configurable": {"thread_id": "one"}}))["said"] == said
        found.close()


async def test_as_a_node_with_a_memory_of_its_own_the_active_peer_is_asked_next() -> None:
    found = system(swarm())
    graph = hand_made(found, compiled=found.compile(checkpointer=True))  # type: ignore[arg-type]
    on = {"configurable": {"thread_id": "one"}}
    assert (await graph.ainvoke({"text": "to billing x"}, on))["said"] == "billing: x"
    assert (await graph.ainvoke({"text": "hello"}, on))["said"] == "billing: hello"


async def test_without_a_thread_a_graph_of_ones_own_begins_with_the_first() -> None:
    found = system(swarm())

    async def ask(state: Desk) -> Desk:
        end = await found.graph.ainvoke({"request": {"text": state["text"]}})
        return {"said": end["response"]["text"]}

    graph = StateGraph(Desk)
    graph.add_node("ask", ask)
    graph.add_edge(START, "ask")
    plain = graph.compile()
    assert (await plain.ainvoke({"text": "to billing x"}))["said"] == "billing: x"
    assert (await plain.ainvoke({"text": "hello"}))["said"] == "sales: hello"


def in_a_line(found: list[Agent] | None = None) -> Pipeline:
    """A clerk passes requests on to a swarm, and another one its answers."""
    desk = Agent("desk", version=1, team=swarm(found))
    clerk = Agent("clerk", version=1, function=lambda p: {"text": p["text"].strip(), "sender": None})
    checker = Agent("checker", version=1, function=lambda p: {"text": f"checked {p['text']}"})
    return Pipeline(stages=[clerk, desk, checker], contracts=[TAKES, TAKES, ANSWER, ANSWER])


def test_as_a_team_in_a_pipeline_the_active_peer_is_asked_next() -> None:
    found = system(in_a_line())
    first = found.run({"text": "to billing x"})
    assert first.output == {"text": "checked billing: x"}
    again = found.run({"text": " hello "}, thread=first.thread)
    assert again.output == {"text": "checked billing: hello"}
    assert turns_of(found, again.run) == ["clerk", "desk", "billing", "checker"]
    assert found.run({"text": "hello"}).output == {"text": "checked sales: hello"}


async def test_as_a_team_of_what_a_graph_of_ones_own_asks_the_active_peer_is_asked_next() -> None:
    graph = hand_made(system(in_a_line()))
    on = {"configurable": {"thread_id": "one"}}
    assert (await graph.ainvoke({"text": "to billing x"}, on))["said"] == "checked billing: x"
    assert (await graph.ainvoke({"text": "hello"}, on))["said"] == "checked billing: hello"
    assert (await graph.ainvoke({"text": "to support y"}, on))["said"] == "checked support: y"
    assert (await graph.ainvoke({"text": "hello"}, on))["said"] == "checked support: hello"


def test_as_a_team_the_active_peer_outlives_the_process(tmp_path: Path) -> None:
    found = system(in_a_line(), home=tmp_path)
    thread = found.run({"text": "to billing x"}).thread
    found.close()
    again = system(in_a_line(), home=tmp_path)
    assert again.run({"text": "hello"}, thread=thread).output == {"text": "checked billing: hello"}
    again.close()


def test_two_teams_in_parallel_each_keep_their_own_active_peer() -> None:
    north = swarm(peers(names=("anna", "ben")))
    south = swarm(peers(names=("carl", "dora")))
    router = Agent(
        "router",
        version=1,
        function=lambda p: [
            Handoff(target="north", payload={"text": p["text"], "sender": None}),
            Handoff(target="south", payload={"text": p["sender"] or "hello", "sender": None}),
        ],
    )
    both = Agent("both", version=1, function=lambda p: {"text": "; ".join(r["answer"]["text"] for r in p["results"])})
    topology = Supervisor(
        router=router,
        specialists=[Agent("north", version=1, team=north), Agent("south", version=1, team=south)],
        takes=TAKES,
        brief=TAKES,
        finding=ANSWER,
        answer=ANSWER,
        aggregator=both,
    )
    found = system(topology)
    first = found.run({"text": "to ben x", "sender": "to dora y"})
    assert first.output == {"text": "ben: x; dora: y"}
    assert found.run({"text": "hello"}, thread=first.thread).output == {"text": "ben: hello; dora: hello"}
    assert found.run({"text": "to anna z"}, thread=first.thread).output == {"text": "anna: z; dora: hello"}
    assert found.run({"text": "hello"}, thread=first.thread).output == {"text": "anna: hello; dora: hello"}


def test_the_brief_of_a_peer_never_becomes_a_request() -> None:
    seen: list[dict[str, Any]] = []

    def keeps(payload: dict[str, Any]) -> Any:
        seen.append(payload)
        return goes_where_told("billing")(payload)

    found = system(swarm(peers({"billing": keeps, "support": says("support")})))
    thread = asked(found, None, "to billing x")[1]
    asked(found, thread, "hello")
    assert seen == [{"task": "x"}, {"text": "hello", "sender": None}]


@given(
    requests=st.lists(
        st.tuples(st.sampled_from(["one", "two"]), st.sampled_from(["hello", *(f"to {n}" for n in NAMES)])), max_size=8
    )
)
@settings(max_examples=10, deadline=None)
def test_whatever_is_asked_in_whatever_order_the_last_to_answer_is_asked_next(requests: list[tuple[str, str]]) -> None:
    found, active = system(swarm()), dict.fromkeys(("one", "two"), "sales")
    for thread, text in requests:
        before = active[thread]
        active[thread] = text.removeprefix("to ") if text != "hello" else before
        result = found.run({"text": text}, thread=thread)
        assert turns_of(found, result.run) == list(dict.fromkeys([before, active[thread]]))

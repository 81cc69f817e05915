"""What people report of handoffs in supervisor and swarm libraries for LangGraph, each as a job that is done here.

Each test names the thread that it comes from. Faults of plain LangGraph itself are in `test_upstream_faults.py`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, TypedDict

import pytest
from edgewright import (
    ALL,
    Agent,
    Budget,
    Call,
    Contract,
    Key,
    OfflineModel,
    Pipeline,
    Policy,
    Say,
    Supervisor,
    System,
    Turn,
)
from edgewright.contracts.errors import BoundReached, HandoffConflict, LoopFound, TopologyInvalid
from edgewright.ledger.records import AgentStarted, CallJudged, ContractPassed, HandoffAsked, RunEnded
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph
from pydantic import BaseModel
from support.chats import faults_of_chat
from support.swarms import ANSWER, BRIEF, TAKES, crossings_of, swarm, turns_of
from support.systems import PERMIT_ALL, of_kind, only_run, submitting
from support.upstream import add, lookup

Rules = Callable[[Turn], Say | Sequence[Call]]


class Finding(BaseModel):
    """What a specialist found out."""

    finding: str


FINDING = Contract(Finding, version=1)


def played(name: str, **rules: Rules) -> list[Agent]:
    """Agents whose one model plays each of them by its rules; its system prompt is the agent's name."""

    def play(turn: Turn) -> Say | Sequence[Call]:
        return rules[turn.system](turn)

    model = OfflineModel(f"upstream {name}", play)
    return [Agent(n, version=1, prompt=n, model=model, tools=[add, lookup]) for n in rules]


def governed(topology: Any, **options: Any) -> System:
    """A system of it that permits every call."""
    return System("upstream", version=1, topology=topology, policy=Policy(text=PERMIT_ALL), **options)


def to(target: str, task: str = "go on") -> Call:
    """The handover that is declared."""
    return Call(f"handoff_to_{target}", {"task": task})


def handed(turn: Turn) -> dict[str, Any]:
    """What crossed to the agent: the newest of the user's messages, without the shared state behind it."""
    newest = [m for m in turn.messages if isinstance(m, HumanMessage)][-1]
    found: dict[str, Any] = json.loads(str(newest.text).partition("\n\nShared state:")[0])
    return found


def said(turn: Turn) -> int:
    """How often the model has replied in this turn."""
    return sum(isinstance(m, AIMessage) for m in turn.messages)


def moves_on_request(me: str, other: str) -> Rules:
    """Hands over where the request names the other; else says who it is."""

    def rules(turn: Turn) -> Sequence[Call]:
        text = str(turn.request.get("text") or "")
        return [to(other, "say hello") if f"to {other}" in text else submitting(f"I am {me}")]

    return rules


# -- handoffs that are not there -------------------------------------------------------------------------------------


@pytest.mark.parametrize("phantom", ["transfer_back_to_supervisor", "transfer_to_boss", "handoff_to_nobody"])
def test_a_phantom_transfer_is_denied_told_and_harmless(phantom: str) -> None:
    """langgraph-supervisor-py#35, #241, langgraph#6037: agents call `transfer_back_to_supervisor`, which they lack."""

    def worker(turn: Turn) -> Sequence[Call]:
        return [Call(phantom, {})] if not said(turn) else [submitting("done after all")]

    boss, hand = played(f"phantom {phantom}", boss=lambda _: [to("worker")], worker=worker)
    topology = Supervisor(router=boss, specialists=[hand], takes=TAKES, brief=BRIEF, answer=ANSWER)
    found = governed(topology)
    result = found.run({"text": "go"})
    assert result.output == {"text": "done after all"}
    [judged] = of_kind(found, result.run, CallJudged)
    assert (judged.tool, judged.verdict, judged.rules) == (phantom, "deny", ["policy.unknown_tool"])
    assert crossings_of(found, result.run) == ["start→boss", "boss→worker", "worker→end"]


def test_a_phantom_transfer_over_and_over_is_a_loop() -> None:
    """langgraph-supervisor-py#35: the agent is stuck for a while, and tries the same call again and again."""

    def stubborn(_: Turn) -> Sequence[Call]:
        return [Call("transfer_back_to_boss", {})]

    boss, hand = played("stubborn", boss=lambda _: [to("worker")], worker=stubborn)
    found = governed(Supervisor(router=boss, specialists=[hand], takes=TAKES, brief=BRIEF, answer=ANSWER))
    with pytest.raises(LoopFound) as caught:
        found.run({"text": "go"})
    assert caught.value.cycle == ("worker: transfer_back_to_boss",)


# -- loops -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("most", [3, 4])
def test_a_supervisor_that_never_has_enough_stops_at_its_bound_and_shows_the_rounds(most: int) -> None:
    """langgraph-supervisor-py#208: a supervisor is stuck in an endless loop, though its agents have come back to it."""
    asked: list[str] = []

    def boss(turn: Turn) -> Sequence[Call]:
        asked.append("boss")
        return [to("worker", f"do it again, take {len(asked)}")]

    def worker(turn: Turn) -> Sequence[Call]:
        return [to("boss", f"done: {turn.request['task']}")]

    found = governed(swarm(played(f"endless {most}", boss=boss, worker=worker), most=most, answers=["boss"]))
    with pytest.raises(BoundReached) as caught:
        found.run({"text": "go"})
    rounds = ["boss→worker", "worker→boss"] * most
    assert list(caught.value.rounds) == rounds[:most]
    assert caught.value.edge == rounds[most]
    assert all(step in str(caught.value) for step in rounds)
    [ended] = of_kind(found, only_run(found), RunEnded)
    assert ended.status == "failed"
    assert len(asked) == most // 2 + 1


def test_a_supervisor_that_says_the_same_again_stops_as_a_loop_that_shows_its_cycle() -> None:
    """langgraph-supervisor-py#208, #152, where the words do not even change."""
    agents = played("same words", boss=lambda _: [to("worker")], worker=lambda _: [to("boss")])
    found = governed(swarm(agents, most=1000))
    with pytest.raises(LoopFound, match="boss → worker → boss") as caught:
        found.run({"text": "go"})
    assert caught.value.times == 4


# -- several at once -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [2, 5, 9])
def test_of_so_many_declared_handoffs_in_one_turn_every_one_runs(count: int) -> None:
    """langgraph#7129: of several commands to the parent graph in one step, only the first one survives."""
    names = [f"helper_{i}" for i in range(count)]

    def helps(turn: Turn) -> Sequence[Call]:
        return [Call("handoff_to_closing", {"finding": f"{turn.system} did {turn.request['task']}"})]

    def closes(turn: Turn) -> Sequence[Call]:
        return [submitting("; ".join(r["answer"]["finding"] for r in turn.request["results"]))]

    model = OfflineModel(f"boss of {count}", lambda _: _out(names))
    boss = Agent("boss", version=1, prompt="boss", model=model, limits=Budget(handoffs=count + 1))
    *helpers, closing = played(f"of {count}", **dict.fromkeys(names, helps), closing=closes)
    topology = Supervisor(
        router=boss,
        specialists=helpers,
        takes=TAKES,
        brief=BRIEF,
        finding=FINDING,
        aggregator=closing,
        answer=ANSWER,
    )
    found = governed(topology)
    result = found.run({"text": "go"})
    assert result.output == {"text": "; ".join(f"{n} did part {n}" for n in [*names, names[0]])}
    assert sorted(turns_of(found, result.run)) == sorted(["boss", *names, names[0], "closing"])


def _out(names: Sequence[str]) -> list[Call]:
    """A handover to each, and a second one to the first."""
    return [to(n, f"part {n}") for n in [*names, names[0]]]


def test_of_so_many_undeclared_handoffs_none_runs_and_every_one_is_named() -> None:
    """langgraph-swarm-py#30, #58: several handoffs in one turn are not supported; it is not defined what they do."""
    names = ("left", "right", "up")
    answering = {n: lambda _: [submitting("me")] for n in names}
    agents = played("undeclared", boss=lambda _: [to(n) for n in names], **answering)
    topology = Supervisor(router=agents[0], specialists=agents[1:], takes=TAKES, brief=BRIEF, answer=ANSWER)
    found = governed(topology)
    with pytest.raises(HandoffConflict) as caught:
        found.run({"text": "go"})
    assert sorted(caught.value.targets) == sorted(names)
    run = only_run(found)
    assert sorted(h.target for h in of_kind(found, run, HandoffAsked)) == sorted(names)
    assert turns_of(found, run) == ["boss"]


def test_in_a_swarm_a_peer_that_names_several_is_told_to_choose_and_goes_on() -> None:
    """langgraph-swarm-py#30, #58, #105: a request that takes several agents ends in an error."""

    def alice(turn: Turn) -> Sequence[Call]:
        return [to("bob", "a poem"), to("carol", "a joke")] if not said(turn) else [to("carol", "a poem and a joke")]

    def at_once(turn: Turn) -> Sequence[Call]:
        return [submitting(f"{turn.system}: {turn.request['task']}")]

    found = governed(swarm(played("several", alice=alice, bob=at_once, carol=at_once)))
    result = found.run({"text": "a poem and a joke"})
    assert result.output == {"text": "carol: a poem and a joke"}
    assert turns_of(found, result.run) == ["alice", "alice", "carol"]


# -- what an agent has of its own ------------------------------------------------------------------------------------


def test_a_sibling_has_its_own_state_again_when_it_comes_back() -> None:
    """langgraph-swarm-py#111: an agent that hands over and gets back finds the state of its own gone."""
    shown: list[str] = []

    def alice(turn: Turn) -> Sequence[Call]:
        if "task" in handed(turn) or handed(turn)["text"] == "and?":
            shown.append(str(turn.messages[-1].text).partition("Shared state:")[2])
            return [submitting("as I noted")]
        return [Call("write_alice_notes", {"value": f"heard {handed(turn)['text']}"}), to("bob", "only this")]

    def bob(turn: Turn) -> Sequence[Call]:
        shown.append(str(turn.messages[-1].text))
        return [to("alice", "back to you")]

    model = OfflineModel("upstream siblings", lambda turn: {"alice": alice, "bob": bob}[turn.system](turn))
    agents = [
        Agent("alice", version=1, prompt="alice", model=model, reads=["alice_notes"], writes=["alice_notes"]),
        Agent("bob", version=1, prompt="bob", model=model),
    ]
    found = System("siblings", version=1, topology=swarm(agents), shared={"alice_notes": Key(type=str, writer="alice")})
    first = found.run({"text": "my cat is ill"})
    assert turns_of(found, first.run) == ["alice", "bob", "alice"]
    to_bob, again = shown
    assert "cat" not in to_bob  # the brief alone crosses
    assert "heard my cat is ill" in again
    found.run({"text": "and?"}, thread=first.thread)  # and so it is with the thread's next request
    assert "heard my cat is ill" in shown[-1]


def test_what_is_one_siblings_own_no_other_writes() -> None:
    """langgraph-swarm-py#111, its other side: what comes back is what that agent has left."""
    model = OfflineModel("upstream intruder", lambda _: [submitting("x")])
    bob = Agent("bob", version=1, prompt="bob", model=model, writes=["alice_notes"])
    alice = Agent("alice", version=1, prompt="alice", model=model)
    shared = {"alice_notes": Key(type=str, writer="alice")}
    with pytest.raises(TopologyInvalid, match="'alice_notes' is written by 'alice' alone"):
        System("intruder", version=1, topology=swarm([alice, bob]), shared=shared)


def test_state_that_is_no_message_reaches_the_next_agent_and_the_one_after() -> None:
    """langgraph-supervisor-py PR#149: state beside the messages is not handed on to agents."""
    shown: dict[str, str] = {}

    def writes(turn: Turn) -> Sequence[Call]:
        return [Call("write_case", {"value": {"order": "A7", "tries": 2}}), to("bob")]

    def bob(turn: Turn) -> Sequence[Call]:
        shown["bob"] = str(turn.messages[-1].text)
        return [to("carol")]

    def carol(turn: Turn) -> Sequence[Call]:
        shown["carol"] = str(turn.messages[-1].text)
        return [submitting("done")]

    rules: dict[str, Rules] = {"alice": writes, "bob": bob, "carol": carol}
    model = OfflineModel("upstream state", lambda turn: rules[turn.system](turn))
    agents = [
        Agent("alice", version=1, prompt="alice", model=model, writes=["case"]),
        Agent("bob", version=1, prompt="bob", model=model),  # hands on what it cannot see
        Agent("carol", version=1, prompt="carol", model=model, reads=["case"]),
    ]
    found = System("state", version=1, topology=swarm(agents), shared={"case": Key(type=dict[str, Any])})
    found.run({"text": "go"})
    assert '"order": "A7"' in shown["carol"]
    assert '"tries": 2' in shown["carol"]
    assert "A7" not in shown["bob"]


# -- what crosses ----------------------------------------------------------------------------------------------------


def test_a_handoff_carries_what_it_is_for() -> None:
    """langgraph-supervisor-py#205 and langgraph-swarm-py#44, #66: no brief, no rewritten query with a handoff."""
    seen: list[Any] = []

    def bob(turn: Turn) -> Sequence[Call]:
        seen.append(turn.request)
        return [submitting("done")]

    rewritten = "refund A7; the customer is a regular"
    found = governed(swarm(played("brief", alice=lambda _: [to("bob", rewritten)], bob=bob)))
    result = found.run({"text": "My order A7 is lost. Between us: I am getting divorced."})
    assert seen == [{"task": rewritten}]
    [handed] = [p for p in of_kind(found, result.run, ContractPassed) if p.edge == "alice→bob"]
    assert (handed.contract, handed.fields) == ("Brief@1", ["task"])
    assert ["text", "not declared"] in handed.withheld
    [_, started] = of_kind(found, result.run, AgentStarted)
    assert b"divorced" not in (found.ledger.exact(result.run, started.input) or b"")


@pytest.mark.parametrize("order", ["tool first", "handoff first", "between tools"])
def test_a_tool_beside_a_handoff_leaves_a_chat_that_every_provider_takes(order: str) -> None:
    """langgraph-swarm-py#26, #69, #83: a tool and a handoff in one turn leave calls without their results."""
    seen: dict[str, Turn] = {}
    tool, other = Call("add", {"a": 3, "b": 4}), Call("lookup", {"order": "A7"})
    calls = {
        "tool first": [tool, to("bob")],
        "handoff first": [to("bob"), tool],
        "between tools": [tool, to("bob"), other],
    }[order]

    def bob(turn: Turn) -> Sequence[Call]:
        seen["bob"] = turn
        return [other, to("alice", "back")]

    def alice(turn: Turn) -> Sequence[Call]:
        if handed(turn).get("task") == "back":
            seen["alice"] = turn
            return [submitting("done")]
        return calls

    found = governed(swarm(played(f"beside {order}", alice=alice, bob=bob), history=ALL))
    result = found.run({"text": "what is 3+4, and may I talk to Bob?"})
    assert result.output == {"text": "done"}
    for turn in seen.values():
        assert faults_of_chat(list(turn.messages[1:])) == []
    assert "7" in [m.text for m in seen["bob"].messages]
    assert "A7 is lost" in [m.text for m in seen["alice"].messages]


def test_the_caller_gets_the_answer_and_no_word_of_who_handed_over() -> None:
    """langgraph-supervisor-py#160: all that the user sees is "Transferring back to supervisor"."""
    agents = played("plain answer", alice=lambda _: [to("bob")], bob=lambda _: [submitting("It is refunded.")])
    assert governed(swarm(agents)).run({"text": "go"}).output == {"text": "It is refunded."}


# -- who is active ---------------------------------------------------------------------------------------------------


class Wrapped(TypedDict, total=False):
    """The state of the higher level graph of that thread."""

    text: str
    said: str


async def test_the_active_agent_is_respected_in_a_higher_level_graph() -> None:
    """langgraph-swarm-py#29: a swarm that is a subgraph comes back to its default agent over and over again."""
    agents = played("higher", alice=moves_on_request("alice", "bob"), bob=moves_on_request("bob", "alice"))
    inner = governed(swarm(agents)).graph

    async def ask(state: Wrapped) -> Wrapped:
        end = await inner.ainvoke({"request": {"text": state["text"]}})
        return {"said": end["response"]["text"]}

    graph = StateGraph(Wrapped)
    graph.add_node("swarm", ask)
    graph.add_node("emoji", lambda state: {"said": f"{state['said']} :)"})
    graph.add_edge(START, "swarm")
    graph.add_edge("swarm", "emoji")
    graph.add_edge("emoji", END)
    outer = graph.compile(checkpointer=InMemorySaver())
    on: Any = {"configurable": {"thread_id": "one"}}
    assert (await outer.ainvoke({"text": "transfer to bob"}, on))["said"] == "I am bob :)"
    assert (await outer.ainvoke({"text": "hi!"}, on))["said"] == "I am bob :)"
    assert (await outer.ainvoke({"text": "transfer to alice"}, on))["said"] == "I am alice :)"
    assert (await outer.ainvoke({"text": "hi!"}, on))["said"] == "I am alice :)"


def test_the_active_agent_is_respected_in_a_pipeline() -> None:
    """langgraph-swarm-py#29, where the higher level graph is one of ours."""
    agents = played("line", alice=moves_on_request("alice", "bob"), bob=moves_on_request("bob", "alice"))
    team = Agent("pair", version=1, team=swarm(agents))
    emoji = Agent("emoji", version=1, function=lambda payload: {"text": f"{payload['text']} :)"})
    found = governed(Pipeline(stages=[team, emoji], contracts=[TAKES, ANSWER, ANSWER]))
    first = found.run({"text": "transfer to bob"})
    assert first.output == {"text": "I am bob :)"}
    assert found.run({"text": "hi!"}, thread=first.thread).output == {"text": "I am bob :)"}
    assert found.run({"text": "hi!"}).output == {"text": "I am alice :)"}

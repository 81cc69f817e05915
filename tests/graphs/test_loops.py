"""A delegation loop that was planted stops within its bound, the error shows it, and honest work goes on."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from edgewright import (
    Agent,
    Budget,
    Call,
    Contract,
    Edge,
    FanOut,
    Handoff,
    OfflineModel,
    Skip,
    System,
    Turn,
    tool,
)
from edgewright.contracts.errors import BudgetExceeded, LoopFound
from edgewright.contracts.loops import Loops
from edgewright.graphs.gathering import gathered
from edgewright.ledger.records import AgentStarted, ContractPassed, HandoffAsked, ModelSettled, RunEnded
from langgraph.graph import END, START, StateGraph
from pydantic import BaseModel
from support.offices import BRIEF, FINDING, finds
from support.pairs import FAIL, ROUND, Pair, Reacting, back, pair
from support.systems import ANSWER, QUESTION, of_kind, only_run
from typing_extensions import TypedDict

GO = {"text": "please"}
OFF = Loops(same=None, cycle=None)
WAIT = 20.0
noted: Counter[int] = Counter()


@pytest.fixture(autouse=True)
def _fresh() -> None:
    noted.clear()


def same(**options: Any) -> System:
    """Two agents, each of whom thinks that it is the other's business."""
    return pair(lambda payload: {"text": "this is yours"}, back, **options)


def reworded(**options: Any) -> System:
    """The same, in other words each time."""
    words = (f"this is yours, for the {n}. time" for n in count(1))
    return pair(lambda payload: {"text": next(words)}, back, **options)


async def loops(system: System, **options: Any) -> LoopFound:
    """The loop that stopped a run."""
    with pytest.raises(LoopFound) as caught:
        await system.arun(GO, **options)
    return caught.value


def crossings(system: System) -> list[str]:
    """The edges that something crossed, in order, from agent to agent."""
    passed = [r.edge for r in of_kind(system, only_run(system), ContractPassed)]
    return [edge for edge in passed if not edge.startswith("start")]


# -- stopped within its bound -----------------------------------------------------------------------------------------


async def test_agents_who_send_the_same_back_and_forth_are_stopped_without_any_declaration() -> None:
    system = same()
    found = await loops(system)
    assert (found.kind, found.cycle, found.times, found.limit) == ("state", ROUND, 4, 4)
    assert crossings(system) == [*ROUND] * 4


async def test_agents_who_say_it_in_other_words_each_time_are_stopped_without_any_declaration() -> None:
    system = reworded()
    found = await loops(system)
    assert (found.kind, found.cycle, found.times) == ("handoff", ROUND, 10)
    assert crossings(system) == [*ROUND] * 10


@pytest.mark.parametrize("rounds", [2, 3, 7])
@pytest.mark.parametrize(
    ("made", "declared", "kind"),
    [
        (same, lambda n: Loops(same=n, cycle=None), "state"),
        (same, lambda n: Loops(same=None, cycle=n), "handoff"),
        (reworded, lambda n: Loops(same=None, cycle=n), "handoff"),
        (reworded, lambda n: Loops(same=2, cycle=n), "handoff"),
    ],
)
async def test_a_loop_makes_exactly_as_many_rounds_as_are_declared(
    made: Callable[..., System], declared: Callable[[int], Loops], kind: str, rounds: int
) -> None:
    system = made(loops=declared(rounds))
    found = await loops(system)
    assert (found.kind, found.times) == (kind, rounds)
    assert crossings(system) == [*ROUND] * rounds


async def test_the_error_and_the_runs_end_on_the_ledger_show_the_cycle() -> None:
    system = same()
    found = await loops(system)
    assert "triage → billing → triage …, 4 times with the same payloads, and nothing changed" in str(found)
    [ended] = of_kind(system, only_run(system), RunEnded)
    assert ended.status == "failed"
    assert ended.reason == f"LoopFound: {found}"
    assert "triage → billing → triage …, 4 times" in str(system.explain(only_run(system)))


# -- with every rule off, a budget bounds it, and never langgraph's recursion limit -----------------------------------


@pytest.mark.parametrize("steps", [10, 30, 77])
async def test_a_loop_that_nobody_looks_for_ends_with_the_steps_of_its_budget(steps: int) -> None:
    system = same(loops=OFF, budget=Budget(steps=steps))
    with pytest.raises(BudgetExceeded, match=f"budget of run allows {steps} steps"):
        await system.arun(GO)
    entered = [*of_kind(system, only_run(system), AgentStarted), *of_kind(system, only_run(system), ContractPassed)]
    assert len(entered) == steps


async def test_a_loop_that_nobody_looks_for_ends_without_any_declared_budget() -> None:
    system = reworded(loops=OFF)
    with pytest.raises(BudgetExceeded, match="budget of run allows 500 steps"):
        await system.arun(GO)


@pytest.mark.parametrize("made", [same, reworded])
async def test_a_loop_in_a_system_that_is_a_node_of_a_hand_made_graph_is_found_as_one(
    made: Callable[..., System],
) -> None:
    graph: StateGraph[Any, Any, Any, Any] = StateGraph(_Around)
    graph.add_node("pair", made().graph)
    graph.add_edge(START, "pair")
    graph.add_edge("pair", END)
    with pytest.raises(LoopFound):
        await graph.compile().ainvoke({"request": GO})


class _Around(TypedDict, total=False):
    request: Any
    response: Any


# -- driven by models -------------------------------------------------------------------------------------------------


def models(words: Callable[[], str], **options: Any) -> System:
    """Two agents whose models hand over to each other."""

    def to(name: str) -> Callable[[Turn], Sequence[Call]]:
        return lambda turn: [Call(f"handoff_to_{name}", {"text": words()})]

    one = Agent("triage", version=1, prompt="Triage.", model=OfflineModel("loop-triage", to("billing")))
    other = Agent("billing", version=1, prompt="Bill.", model=OfflineModel("loop-billing", to("triage")))
    return System("pair", version=1, topology=Pair(one=one, other=other), **options)


async def test_models_that_send_the_same_back_and_forth_are_known_for_a_loop_before_a_budget_is_out() -> None:
    system = models(lambda: "yours")
    assert (await loops(system)).cycle == ROUND
    assert len(of_kind(system, only_run(system), HandoffAsked)) == 9


async def test_models_that_reword_it_have_as_many_handoffs_as_an_agent_has_by_default() -> None:
    words = (f"yours {n}" for n in count())
    system = models(lambda: next(words))
    with pytest.raises(BudgetExceeded, match="budget of agent triage allows 5 handoffs"):
        await system.arun(GO)
    assert len(of_kind(system, only_run(system), ModelSettled)) == 11


async def test_the_handoffs_of_a_run_bound_it_too() -> None:
    system = models(lambda: "yours", loops=OFF, budget=Budget(handoffs=3))
    with pytest.raises(BudgetExceeded, match="budget of run allows 3 handoffs"):
        await system.arun(GO)
    assert crossings(system) == [ROUND[0], ROUND[1], ROUND[0]]


# -- several at once --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Office:
    """A lead who has several clerks look at parts, and a head who sends what they found back to the lead."""

    agents: Sequence[Agent]

    @property
    def edges(self) -> Sequence[Edge]:
        """start → lead, head → lead, head → end."""
        ways = [("start", "lead", QUESTION), ("head", "lead", QUESTION), ("head", "end", ANSWER)]
        return [Edge(source=a, target=b, contract=c, on_violation=FAIL) for a, b, c in ways]

    @cached_property
    def fan_outs(self) -> Sequence[FanOut]:
        """lead → clerk, clerk, … → head."""
        met = gathered(QUESTION, {"clerk": FINDING}, ())
        briefs, answers = {"clerk": BRIEF}, {"clerk": FINDING}
        fan = FanOut(source="lead", briefs=briefs, answers=answers, target="head", gathered=met, on_violation=FAIL)
        return (fan,)


def office(head: Callable[[dict[str, Any]], Handoff], **options: Any) -> System:
    """The office, with two clerks at work in each round."""

    def lead(payload: dict[str, Any]) -> list[Handoff]:
        return [Handoff(target="clerk", payload={"part": part}) for part in "ab"]

    agents = [Agent(n, version=1, function=f) for n, f in (("lead", lead), ("clerk", finds), ("head", head))]
    return System("office", version=1, topology=Office(agents=agents), **options)


async def test_a_loop_through_parallel_branches_is_one_loop_and_its_branches_are_none() -> None:
    system = office(lambda found: Handoff(target="lead", payload={"text": "once more"}))
    found = await loops(system)
    assert (found.kind, found.times) == ("state", 4)
    assert set(found.cycle) <= {"lead→clerk", "clerk→head", "[clerk]→head", "head→lead"}
    assert crossings(system).count("head→lead") == 4


async def test_rounds_through_parallel_branches_that_end_in_time_pass() -> None:
    rounds = count(1)

    def head(found: dict[str, Any]) -> Handoff:
        done = next(rounds) == 3
        return Handoff(target="end" if done else "lead", payload={"text": "done" if done else "once more"})

    assert (await office(head).arun(GO)).output == {"text": "done"}


async def test_runs_at_once_are_counted_each_by_itself() -> None:
    system = same()
    found = await asyncio.gather(*(loops(system, thread=f"t{n}") for n in range(8)))
    assert [f.times for f in found] == [4] * 8
    runs = [r.run for r in system.ledger.runs()]
    assert [len(of_kind(system, run, AgentStarted)) for run in runs] == [9] * 8


# -- after a restart --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("declared", [Loops(same=4, cycle=None), Loops(same=None, cycle=4)])
@pytest.mark.parametrize("how", ["fails", "is cancelled"])
@pytest.mark.parametrize("turn", range(1, 6))
async def test_after_a_restart_in_the_middle_of_a_loop_its_count_goes_on(
    turn: int, how: str, declared: Loops, tmp_path: Path
) -> None:
    turns, stopped = count(1), asyncio.Event()

    async def triage(payload: dict[str, Any]) -> dict[str, str]:
        if next(turns) == turn:
            stopped.set()
            if how == "fails":
                raise OSError("out of memory")
            await asyncio.Event().wait()
        return {"text": "this is yours"}

    first = pair(triage, back, home=tmp_path, loops=declared)
    run = asyncio.create_task(first.arun(GO, thread="t"))
    async with asyncio.timeout(WAIT):
        await stopped.wait()
    if how == "is cancelled":
        run.cancel()
    with pytest.raises((OSError, asyncio.CancelledError)):
        await run
    first.close()
    second = pair(triage, back, home=tmp_path, loops=declared)
    with pytest.raises(LoopFound, match="triage → billing → triage …, 4 times"):
        await second.aresume("t")
    assert crossings(second) == [*ROUND] * 4
    second.close()


async def test_a_run_that_was_stopped_for_a_loop_makes_no_further_round_when_it_is_resumed(tmp_path: Path) -> None:
    first = same(home=tmp_path)
    await loops(first, thread="t")
    first.close()
    second = same(home=tmp_path)
    with pytest.raises(LoopFound):
        await second.aresume("t")
    assert crossings(second) == [*ROUND] * 4
    second.close()


# -- whose loop it is --------------------------------------------------------------------------------------------------


async def test_a_loop_through_several_agents_is_none_of_them_and_stops_the_run_whatever_is_declared() -> None:
    one = Agent("triage", version=1, function=lambda payload: {"text": "this is yours"})
    topology = Reacting(one=one, other=Agent("billing", version=1, function=back), on_failure={"triage": Skip()})
    await loops(System("pair", version=1, topology=topology))


# -- no change of state -----------------------------------------------------------------------------------------------


@tool(effect="write", idempotency="key", output="trusted", sensitivity="internal")
def note(number: int) -> str:
    """Make a note."""
    noted[number] += 1
    return "noted"


@pytest.mark.parametrize(("number", "rounds"), [(lambda turn: turn, 10), (lambda turn: 1, 4)])
async def test_the_same_words_are_no_loop_while_effects_change_something(
    number: Callable[[int], int], rounds: int
) -> None:
    turns = count(1)

    async def triage(payload: dict[str, Any]) -> dict[str, str]:
        await note.call({"number": number(next(turns))})
        return {"text": "this is yours"}

    system = pair(triage, back, tools=[note])
    found = await loops(system)
    assert (found.kind, found.times) == ("handoff" if rounds == 10 else "state", rounds)
    # The first effect is a change, after which the round begins anew.
    assert len(crossings(system)) in (2 * rounds, 2 * rounds + 1)


# -- honest work ------------------------------------------------------------------------------------------------------


class Draft(BaseModel):
    """A text, and the number of its version."""

    text: str
    version: int


DRAFT = Contract(Draft, version=1)


@dataclass(frozen=True, kw_only=True)
class Desk(Pair):
    """An author and a reviewer, who have drafts go back and forth."""

    @property
    def edges(self) -> Sequence[Edge]:
        """start → author ⇄ reviewer → end."""
        ways = [("start", "author", QUESTION), ("author", "reviewer", DRAFT), ("reviewer", "author", QUESTION)]
        return [Edge(source=a, target=b, contract=c) for a, b, c in [*ways, ("reviewer", "end", ANSWER)]]


@pytest.mark.parametrize("remark", ["shorter, please", None])
@pytest.mark.parametrize("drafts", [1, 3, 9])
async def test_an_author_and_a_reviewer_may_have_drafts_go_back_and_forth(drafts: int, remark: str | None) -> None:
    versions = count(1)

    def author(payload: dict[str, Any]) -> dict[str, Any]:
        version = next(versions)
        return {"text": "x" * (20 - version), "version": version}

    def reviewer(draft: dict[str, Any]) -> Handoff:
        if draft["version"] >= drafts:
            return Handoff(target="end", payload={"text": draft["text"]})
        return Handoff(target="author", payload={"text": remark or f"shorter than {len(draft['text'])}"})

    one, other = (Agent(f.__name__, version=1, function=f) for f in (author, reviewer))
    system = System("desk", version=1, topology=Desk(one=one, other=other))
    assert (await system.arun(GO)).output == {"text": "x" * (20 - drafts)}


async def test_more_rounds_allowed_a_stopped_run_goes_on(tmp_path: Path) -> None:
    first = same(home=tmp_path)
    await loops(first, thread="t")
    first.close()
    wider = same(home=tmp_path, loops=Loops(same=6))
    with pytest.raises(LoopFound, match="6 times"):
        await wider.aresume("t")
    wider.close()


def test_a_topology_whose_fan_outs_are_a_plain_property() -> None:
    """faults_of_topology compares fan-outs by identity (`f is not fan`): a property that makes them anew is refused."""

    class Fresh(Office):
        @property
        def fan_outs(self) -> Sequence[FanOut]:
            met = gathered(QUESTION, {"clerk": FINDING}, ())
            briefs, answers = {"clerk": BRIEF}, {"clerk": FINDING}
            return (FanOut(source="lead", briefs=briefs, answers=answers, target="head", gathered=met),)

    agents = [Agent(n, version=1, function=lambda p: p) for n in ("lead", "clerk", "head")]
    System("office", version=1, topology=Fresh(agents=agents))

"""Ways back with a bound: it holds whatever happens, and what is declared for its end is what happens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest
from edgewright import Agent, Call, Edge, Handoff, OfflineModel, Pipeline, ReviewAnswer, RunResult, System, Turn
from edgewright.contracts.edge import Bound, OnViolation
from edgewright.contracts.errors import BoundReached, ContractViolation, TopologyInvalid
from edgewright.contracts.lock_changes import changes
from edgewright.contracts.loops import Loops
from edgewright.graphs.locking import lock_of_systems
from edgewright.graphs.stages import LoopBack
from edgewright.ledger.records import RunEnded
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langchain_core.messages import HumanMessage
from support.rounds import (
    FAIL,
    PAPER,
    REMARKS,
    WISH,
    crossings,
    drafts,
    judges,
    met,
    rounds,
    sent_back,
)
from support.systems import ANSWER, QUESTION, of_kind, only_run

QUICK = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
YES = ReviewAnswer(decision="approve", reason="one more will do")
NO = ReviewAnswer(decision="reject", reason="enough")


def instead(**payload: object) -> ReviewAnswer:
    return ReviewAnswer(decision="edit", reason="good as it is", arguments=dict(payload))


async def answered(system: System, found: RunResult, answer: ReviewAnswer) -> RunResult:
    return await system.aresume(found.thread, {found.reviews[0].id: answer})


# -- the count ---------------------------------------------------------------------------------------------------------


@QUICK
@given(most=st.integers(1, 5), wanted=st.integers(0, 8))
async def test_a_run_goes_back_as_often_as_it_wants_and_never_more_often_than_its_bound(most: int, wanted: int) -> None:
    system = rounds(most)
    if wanted <= most:
        result = await system.arun({"wanted": wanted})
        assert result.output == {"wanted": wanted, "draft": wanted + 1}
    else:
        with pytest.raises(BoundReached):
            await system.arun({"wanted": wanted})
    assert sent_back(system, only_run(system)) == min(wanted, most)


@dataclass(frozen=True)
class Ring:
    """Three agents who hand over to each other under one bound, and each of whom may answer."""

    agents: Sequence[Agent]
    bound: Bound
    fan_outs: tuple[()] = ()

    @property
    def edges(self) -> Sequence[Edge]:
        """start → the first; each to each other; each → end."""
        names = [a.name for a in self.agents]
        among = [(a, b) for a in names for b in names if a != b]
        return [
            Edge(source="start", target=names[0], contract=QUESTION),
            *(Edge(source=a, target=b, contract=QUESTION, bound=self.bound, on_violation=FAIL) for a, b in among),
            *(Edge(source=a, target="end", contract=ANSWER, on_violation=FAIL) for a in names),
        ]


@QUICK
@given(most=st.integers(1, 6), walk=st.lists(st.integers(1, 2), max_size=9))
async def test_edges_that_share_a_bound_have_one_count_between_them(most: int, walk: list[int]) -> None:
    left = iter(walk)
    names = ["ada", "ben", "cyd"]

    def peer(place: int) -> Agent:
        def act(payload: dict[str, str]) -> Handoff:
            step = next(left, 0)
            target = names[(place + step) % 3] if step else "end"
            return Handoff(target=target, payload={"text": f"{payload['text']}{step}"})

        return Agent(names[place], version=1, function=act)

    ring = Ring([peer(0), peer(1), peer(2)], Bound(name="handoffs", most=most))
    system = System("ring", version=1, topology=ring, loops=Loops(same=None, cycle=None))
    path = [names[sum(walk[:n]) % 3] for n in range(len(walk) + 1)]
    if len(walk) <= most:
        assert (await system.arun({"text": ""})).status == "completed"
    else:
        with pytest.raises(BoundReached) as caught:
            await system.arun({"text": ""})
        assert caught.value.rounds == tuple(f"{a}→{b}" for a, b in pairwise(path[: most + 1]))
    among = [e for e in crossings(system, only_run(system)) if not e.startswith("start") and not e.endswith("end")]
    assert len(among) == min(len(walk), most)


async def test_each_run_of_a_thread_has_a_count_of_its_own() -> None:
    system = rounds(2)
    first = await system.arun({"wanted": 2}, thread="one")
    second = await system.arun({"wanted": 2}, thread="one")
    assert [sent_back(system, r.run) for r in (first, second)] == [2, 2]


async def test_bounds_of_one_name_in_a_team_and_around_it_are_counted_apart() -> None:
    def inner(payload: dict[str, int]) -> Handoff:
        more = payload["draft"] <= 2
        return Handoff(target="writer" if more else "end", payload=payload)

    team = Pipeline(
        stages=[Agent("writer", version=1, function=drafts), Agent("reader", version=1, function=inner)],
        contracts=[WISH, PAPER, PAPER],
        loop_backs=[LoopBack(source="reader", to="writer", contract=REMARKS, most=2, then="fail", name="revise")],
    )

    def outer(payload: dict[str, int]) -> Handoff:
        return Handoff(target="desk" if payload["draft"] == 3 else "end", payload={**payload, "draft": 9})

    line = Pipeline(
        stages=[
            Agent("desk", version=1, function=lambda p: {"wanted": p["wanted"]}),
            Agent("team", version=1, team=team),
            Agent("head", version=1, function=outer),
        ],
        contracts=[WISH, WISH, PAPER, PAPER],
        loop_backs=[LoopBack(source="head", to="desk", contract=REMARKS, most=1, then="fail", name="revise")],
    )
    system = System("house", version=1, topology=line)
    with pytest.raises(BoundReached) as caught:
        await system.arun({"wanted": 0})
    assert set(caught.value.rounds) == {"team/reader→writer"}
    edges = crossings(system, only_run(system))
    assert (edges.count("team/reader→writer"), edges.count("head→desk")) == (2, 1)


# -- used up: fail -----------------------------------------------------------------------------------------------------


async def test_a_used_up_bound_ends_the_run_with_an_error_that_names_it_and_shows_the_rounds() -> None:
    system = rounds(2, name="revise")
    with pytest.raises(
        BoundReached, match=r"bound 'revise' allows 2 .* 1\. critic→drafter, 2\. critic→drafter"
    ) as caught:
        await system.arun({"wanted": 5})
    assert (caught.value.most, caught.value.edge) == (2, "critic→drafter")
    run = only_run(system)
    assert met(system, run) == [("revise", 2, "fail")]
    ended = of_kind(system, run, RunEnded)[-1]
    assert (ended.status, "BoundReached" in ended.reason) == ("failed", True)
    assert any("bound 'revise' is used up" in scene.title for scene in system.explain(run).scenes)


async def test_a_used_up_bound_is_told_before_what_would_cross_is_looked_at() -> None:
    def breaks(payload: dict[str, int]) -> Handoff:
        return Handoff(target="drafter", payload=payload if payload["draft"] == 1 else {"nonsense": 1})

    with pytest.raises(BoundReached):
        await rounds(1, critic=breaks).arun({"wanted": 5})


# -- used up: a person -------------------------------------------------------------------------------------------------


async def test_a_person_lets_it_cross_once_more_and_is_asked_again_for_the_next() -> None:
    system = rounds(1, "review")
    asked = await system.arun({"wanted": 3})
    assert (asked.reviews[0].kind, asked.reviews[0].edge) == ("bound", "critic→drafter")
    assert asked.reviews[0].arguments == {"wanted": 3, "draft": 2}
    again = await answered(system, asked, YES)
    assert again.reviews[0].id != asked.reviews[0].id
    done = await answered(system, again, YES)
    assert done.output == {"wanted": 3, "draft": 4}
    assert sent_back(system, done.run) == 3
    assert not done.marks


async def test_what_a_person_hands_on_instead_goes_onwards() -> None:
    system = rounds(1, "review")
    asked = await system.arun({"wanted": 3})
    assert "an edit is what goes to 'end' instead" in asked.reviews[0].faults
    done = await answered(system, asked, instead(wanted=0, draft=7))
    assert done.output == {"wanted": 0, "draft": 7}
    assert sent_back(system, done.run) == 1


async def test_what_a_person_hands_on_instead_is_checked_by_its_contract() -> None:
    system = rounds(1, "review")
    asked = await system.arun({"wanted": 3})
    with pytest.raises(ContractViolation):
        await answered(system, asked, instead(wanted=0))
    assert sent_back(system, asked.run) == 1


async def test_a_persons_no_ends_the_run() -> None:
    system = rounds(1, "review")
    asked = await system.arun({"wanted": 3})
    with pytest.raises(BoundReached, match="a person did not let it cross"):
        await answered(system, asked, NO)
    assert of_kind(system, asked.run, RunEnded)[-1].status == "failed"


async def test_a_person_is_shown_what_its_contract_has_taken() -> None:
    def breaks(payload: dict[str, int]) -> Handoff:
        return Handoff(target="drafter", payload=payload if payload["draft"] == 1 else {"nonsense": 1})

    with pytest.raises(ContractViolation):
        await rounds(1, "review", critic=breaks).arun({"wanted": 5})


async def test_another_process_asks_the_same_and_counts_on(tmp_path: Path) -> None:
    first = rounds(2, "review", home=tmp_path)
    asked = await first.arun({"wanted": 4})
    first.close()
    second = rounds(2, "review", home=tmp_path)
    again = await answered(second, asked, YES)
    assert (again.status, sent_back(second, asked.run)) == ("waiting", 3)
    done = await answered(second, again, instead(wanted=0, draft=1))
    assert (done.status, sent_back(second, asked.run)) == ("completed", 3)
    second.close()


async def test_one_who_may_hand_on_to_several_is_told_how_to_say_to_whom() -> None:
    def act(payload: dict[str, str]) -> Handoff:
        return Handoff(target="one", payload=payload)

    @dataclass(frozen=True)
    class Fork:
        agents: Sequence[Agent]
        fan_outs: tuple[()] = ()
        edges: Sequence[Edge] = (
            Edge(source="start", target="one", contract=QUESTION),
            Edge(source="one", target="two", contract=QUESTION),
            Edge(source="two", target="one", contract=QUESTION, bound=Bound(name="back", most=1, then="review")),
            Edge(source="two", target="three", contract=QUESTION),
            Edge(source="two", target="end", contract=ANSWER),
            Edge(source="three", target="end", contract=ANSWER),
        )

    agents = [
        Agent("one", version=1, function=lambda p: p),
        Agent("two", version=1, function=act),
        Agent("three", version=1, function=lambda p: {"text": f"three: {p['text']}"}),
    ]
    system = System("fork", version=1, topology=Fork(agents))
    asked = await system.arun({"text": "go"})
    assert "\"target\": one of ['three', 'end']" in asked.reviews[0].faults[-1]
    unfit = await answered(system, asked, instead(target="nobody", payload={"text": "x"}))
    assert unfit.status == "waiting"
    done = await answered(system, unfit, instead(target="three", payload={"text": "x", "sender": None}))
    assert done.output == {"text": "three: x"}


# -- used up: hand on --------------------------------------------------------------------------------------------------


def critic(name: str, *, insists: int) -> Agent:
    """A critic that sends every draft back, and once it is told that it may not, does it so many times more."""

    def rules(turn: Turn) -> Sequence[Call]:
        told = [m for m in turn.messages if isinstance(m, HumanMessage) and "takes nothing more" in str(m.content)]
        if len(told) > insists:
            return [Call("submit", turn.request)]
        return [Call("handoff_to_drafter", turn.request)]

    return Agent("critic", version=1, prompt="Judge the draft.", model=OfflineModel(name, rules))


async def test_a_source_that_is_told_so_hands_on_and_the_answer_is_marked() -> None:
    system = rounds(2, "pass", critic=critic("bounds-yields", insists=0), rule=OnViolation(repair=1, then="fail"))
    result = await system.arun({"wanted": 0})
    assert (result.status, sent_back(system, result.run)) == ("completed", 2)
    assert [(m.kind, m.agent) for m in result.marks] == [("degraded", "critic")]
    assert "critic_drafter" in result.marks[0].why
    assert met(system, result.run) == [("critic_drafter", 2, "pass")]


async def test_a_source_that_insists_ends_the_run() -> None:
    system = rounds(1, "pass", critic=critic("bounds-insists", insists=9), rule=OnViolation(repair=2, then="fail"))
    with pytest.raises(BoundReached):
        await system.arun({"wanted": 0})
    run = only_run(system)
    assert [then for *_, then in met(system, run)] == ["pass", "pass", "fail"]
    assert sent_back(system, run) == 1


# -- declared ----------------------------------------------------------------------------------------------------------


def test_everything_wrong_with_ways_back_is_found_at_once() -> None:
    stages = [Agent("drafter", version=1, function=drafts), Agent("critic", version=1, function=judges)]
    with pytest.raises(TopologyInvalid) as caught:
        Pipeline(
            stages=stages,
            contracts=[WISH, PAPER, PAPER],
            loop_backs=[
                LoopBack(source="critic", to="nobody", contract=REMARKS),
                LoopBack(source="drafter", to="critic", contract=REMARKS),
                LoopBack(source="critic", to="drafter", contract=REMARKS, most=0),
                LoopBack(source="critic", to="drafter", contract=REMARKS, name="Not A Name"),
            ],
        )
    for part in ("names no stage 'nobody'", "does not lead back", "most=0", "'Not A Name'"):
        assert part in str(caught.value)


def test_only_a_model_can_be_told_to_hand_on() -> None:
    with pytest.raises(TopologyInvalid, match="only a model can be told"):
        rounds(1, "pass")


def test_edges_that_share_a_bound_share_all_of_it() -> None:
    ring = Ring([Agent(n, version=1, function=lambda p: p) for n in ("ada", "ben")], Bound(name="handoffs", most=3))

    @dataclass(frozen=True)
    class Uneven(Ring):
        @property
        def edges(self) -> Sequence[Edge]:
            other = Edge(source="ben", target="ada", contract=WISH, bound=Bound(name="handoffs", most=2))
            return [*super().edges, other]

    with pytest.raises(TopologyInvalid, match="bound 'handoffs' differs from edge to edge"):
        System("ring", version=1, topology=Uneven(ring.agents, ring.bound))


def test_a_bound_on_the_way_in_or_out_is_refused() -> None:
    @dataclass(frozen=True)
    class Odd:
        agents: Sequence[Agent] = (Agent("one", version=1, function=lambda p: p),)
        fan_outs: tuple[()] = ()
        edges: Sequence[Edge] = (
            Edge(source="start", target="one", contract=QUESTION, bound=Bound(name="in", most=1)),
            Edge(source="one", target="end", contract=ANSWER, bound=Bound(name="out", most=1)),
        )

    with pytest.raises(TopologyInvalid, match=r"(?s)bound 'in_?'.*bound 'out'"):
        System("odd", version=1, topology=Odd())


async def test_a_bound_above_what_loops_allow_is_refused_for_it_would_never_be_reached() -> None:
    with pytest.raises(TopologyInvalid, match=r"raise Loops\(cycle=\.\.\.\) to 13"):
        rounds(12)
    with pytest.raises(BoundReached):
        await rounds(12, loops=Loops(cycle=13)).arun({"wanted": 50})


def test_a_model_that_may_not_hand_over_so_often_is_found_when_the_system_is_declared() -> None:
    with pytest.raises(TopologyInvalid, match=r"agent 'critic' only 5 handoffs; .*handoffs=6"):
        rounds(4, "pass", critic=critic("bounds-limited", insists=0))


def test_a_bound_is_part_of_what_a_system_is() -> None:
    assert len({rounds(2).digest, rounds(3).digest, rounds(2, "review").digest, rounds(2).digest}) == 3


def test_a_looser_bound_is_a_change_of_security_to_whoever_compares_locks() -> None:
    before, after = (lock_of_systems({"rounds": rounds(most)}) for most in (2, 3))
    [found] = [f for f in changes(before, after) if f.path == "bound"]
    assert (found.kind, found.name) == ("changes_security", "critic→drafter")


def test_a_bound_stands_in_the_picture() -> None:
    system = rounds(3, "review", name="revise")
    assert "revise: critic→drafter, at most 3 times; then review" in system.bounds
    assert any(node.detail == "critic → drafter, at most 3×" for node in system.draw().nodes)
    assert "once more" in system.mermaid()

"""The trail: loops are refused before their next step, honest work is not, and a rebuilt trail decides alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from edgewright import Call, contract_edge, tool
from edgewright.contracts.errors import GateError, LoopFound
from edgewright.contracts.loops import Loops
from edgewright.graphs.plain_edge import ledger_of
from edgewright.ledger.records import (
    AgentEnded,
    AgentStarted,
    CallJudged,
    ContractPassed,
    EffectDone,
    EffectFailed,
    EffectRefused,
    ModelRefused,
    Record,
    SharedWritten,
)
from edgewright.tools.looping import Trail
from hypothesis import given
from hypothesis import strategies as st
from langgraph.errors import GraphRecursionError
from langgraph.graph import START, StateGraph
from support.systems import ANSWER, inside, only_run, plays, with_model
from typing_extensions import TypedDict

Told = tuple[str | None, Record]
THREE = Loops(same=3, cycle=5)


def _started(at: str, agent: str = "billing") -> Told:
    return f"started:{at}", AgentStarted(at=at, agent=f"{agent}@1", digest="d", input="i")


def _ended(at: str, agent: str = "billing") -> Told:
    return f"ended:{at}", AgentEnded(at=at, agent=f"{agent}@1", target="t", offer="o")


def _judged(at: str, tool: str = "status", arguments: str = "x", verdict: str = "allow") -> Told:
    rules = ["some.rule"]
    record = CallJudged(
        at=at,
        agent="billing",
        tool=tool,
        tool_digest="d",
        arguments=arguments,
        verdict=verdict,
        rules=rules,
        reasons=[],
        policy_digest="p",
    )
    return f"judged:{at}:{verdict}", record


def _done(at: str, outcome: str = "same", *, tool: str = "status", changes: bool = False) -> Told:
    record = EffectDone(effect=at, tool=tool, changes_world=changes, outcome=outcome, seconds=0.1)
    return f"outcome:{at}", record


def _call(
    at: str, tool: str = "status", arguments: str = "x", outcome: str = "same", *, changes: bool = False
) -> list[Told]:
    return [_judged(at, tool, arguments), _done(at, outcome, tool=tool, changes=changes)]


def _passed(at: str, edge: str, payload: str = "p", branch: int = -1) -> Told:
    record = ContractPassed(
        edge=edge,
        contract="c@1",
        contract_digest="d",
        payload=payload,
        fields=[],
        withheld=[],
        redacted=[],
        history_withheld=0,
        tries=0,
        branch=branch,
    )
    return f"passed:{at}" + (f":{branch}" if branch >= 0 else ""), record


def _trail(told: Sequence[Told], loops: Loops = THREE) -> Trail:
    trail = Trail(loops)
    for key, record in told:
        trail.know(key, record)
    return trail


def _polls(times: int, turn: str = "billing.2", first: int = 0) -> list[Told]:
    return [t for n in range(first, first + times) for t in _call(f"{turn}/model.{2 * n + 1}#r0.0")]


NEXT = "billing.2/model.99#r0.0"


# -- calls ----------------------------------------------------------------------------------------------------------


def test_the_call_after_the_last_round_is_refused_and_none_before() -> None:
    for times in range(3):
        _trail([_started("billing.2"), *_polls(times)]).refuse_call("billing", "status", "x", at=NEXT)
    with pytest.raises(LoopFound, match=r"billing: status …, 3 times with the same results.*Loops\(same=") as caught:
        _trail([_started("billing.2"), *_polls(3)]).refuse_call("billing", "status", "x", at=NEXT)
    error = caught.value
    assert isinstance(error, GateError)
    assert (error.kind, error.cycle, error.times, error.limit) == ("call", ("billing: status",), 3, 3)


def test_another_call_is_not_refused_after_a_loop() -> None:
    trail = _trail([_started("billing.2"), *_polls(3)])
    trail.refuse_call("billing", "refund", "x", at=NEXT)
    trail.refuse_call("billing", "status", "y", at=NEXT)


def test_a_different_answer_in_between_makes_a_poll_no_loop() -> None:
    changed = _call("billing.2/model.7#r0.0", outcome="news")
    trail = _trail([_started("billing.2"), *_polls(3), *changed, *_polls(2, first=9)])
    trail.refuse_call("billing", "status", "x", at=NEXT)


@pytest.mark.parametrize("how", ["done", "refused", "failed", "denied"])
def test_whatever_came_of_the_calls_the_same_each_time_is_a_loop(how: str) -> None:
    told = [_started("billing.2")]
    for n in range(3):
        at = f"billing.2/model.{n}#r0.0"
        ends: dict[str, Told] = {
            "done": _done(at),
            "refused": (f"outcome:{at}", EffectRefused(effect=at, tool="status", reason="closed")),
            "failed": (None, EffectFailed(effect=at, tool="status", error="broken", unknown=False)),
        }
        told += [_judged(at), ends[how]] if how in ends else [_judged(at, verdict="deny")]
    with pytest.raises(LoopFound):
        _trail(told).refuse_call("billing", "status", "x", at=NEXT)


def test_a_round_of_several_calls_is_found_at_its_first_one_and_shown() -> None:
    told = [_started("billing.2")]
    for n in range(3):
        told += _call(f"billing.2/model.{2 * n}#r0.0") + _call(f"billing.2/model.{2 * n + 1}#r0.0", "wait", "30 s")
    trail = _trail(told)
    trail.refuse_call("billing", "wait", "30 s", at=NEXT)
    with pytest.raises(LoopFound, match=r"billing: status → billing: wait …, 3 times"):
        trail.refuse_call("billing", "status", "x", at=NEXT)


def test_a_tool_that_is_called_often_with_other_arguments_is_no_loop() -> None:
    told = [_started("billing.2")]
    for n in range(50):
        told += _call(f"billing.2/model.{n}#r0.0", "read_row", f"row {n}")
    _trail(told).refuse_call("billing", "read_row", "row 50", at=NEXT)


def test_each_turn_may_begin_with_the_same_call() -> None:
    told = []
    for n in range(10):
        turn = f"billing.{4 * n}"
        told += [_started(turn), *_call(f"{turn}/model.1#r0.0"), _ended(turn)]
    trail = _trail([*told, _started("billing.50")])
    trail.refuse_call("billing", "status", "x", at="billing.50/model.1#r0.0")


def test_parallel_branches_that_read_the_same_are_no_loop() -> None:
    turns = [f"expert.3[{n}]" for n in range(20)]
    told = [_started(t) for t in turns] + [t for turn in turns for t in _call(f"{turn}/model.1#r0.0")]
    for turn in turns:
        _trail(told).refuse_call("billing", "status", "x", at=f"{turn}/model.3#r0.0")


def test_parallel_nodes_inside_of_one_turn_are_no_loop_but_one_node_that_comes_again_is() -> None:
    spread = [t for n in range(9) for t in _call(f"billing.2/worker.1[{n}]#c0")]
    _trail([_started("billing.2"), *spread]).refuse_call("billing", "status", "x", at="billing.2/worker.2[0]#c0")
    again = [t for n in range(3) for t in _call(f"billing.2/plan.{n}#c0")]
    with pytest.raises(LoopFound):
        _trail([_started("billing.2"), *again]).refuse_call("billing", "status", "x", at="billing.2/plan.3#c0")


def test_a_turn_inside_of_a_turn_has_a_trail_of_its_own() -> None:
    told = [_started("desk.1"), *_polls(2, "desk.1"), _started("desk.1/billing.2"), *_polls(2, "desk.1/billing.2")]
    trail = _trail(told)
    trail.refuse_call("billing", "status", "x", at="desk.1/model.9#r0.0")
    trail.refuse_call("billing", "status", "x", at="desk.1/billing.2/model.9#r0.0")


def test_calls_that_are_still_out_are_not_counted_and_those_that_were_let_through_stay() -> None:
    open_ = [_judged(f"billing.2/model.1#r0.{n}") for n in range(9)]
    trail = _trail([_started("billing.2"), *open_])
    trail.refuse_call("billing", "status", "x", at=NEXT)
    for n in range(3):
        trail.know(*_done(f"billing.2/model.1#r0.{n}"))
    trail.refuse_call("billing", "status", "x", at="billing.2/model.1#r0.5")  # was judged before the others told
    trail.refuse_call("billing", "status", "x", at="billing.2/model.1#r0.0")  # is executed again
    with pytest.raises(LoopFound):
        trail.refuse_call("billing", "status", "x", at=NEXT)


def test_a_call_that_a_person_was_asked_about_is_not_refused_when_the_answer_comes() -> None:
    asked = _judged(NEXT, verdict="ask")
    trail = _trail([_started("billing.2"), asked, *_polls(3)])
    trail.refuse_call("billing", "status", "x", at=NEXT)


def test_what_a_person_made_of_a_call_is_what_counts() -> None:
    told = [_started("billing.2")]
    for n in range(3):
        at = f"billing.2/model.{n}#r0.0"
        told += [_judged(at, verdict="ask"), _judged(at, arguments=f"edited {n}"), _done(at)]
    _trail(told).refuse_call("billing", "status", "x", at=NEXT)


# -- crossings ------------------------------------------------------------------------------------------------------

OUT, BACK = "triage→billing", "billing→triage"


def _rounds(times: int, *, new: bool = False) -> list[Told]:
    found = []
    for n in range(times):
        payload = f"p{n}" if new else "p"
        found += [_passed(f"c {OUT}.{4 * n}", OUT, payload), _passed(f"c {BACK}.{4 * n + 2}", BACK, payload)]
    return found


HERE = f"c {OUT}.99"


def test_the_same_payloads_round_and_round_are_stopped_and_the_cycle_is_shown() -> None:
    _trail(_rounds(2)).refuse_crossing(OUT, "p", at=HERE)
    with pytest.raises(LoopFound, match="triage → billing → triage …, 3 times with the same payloads") as caught:
        _trail(_rounds(3)).refuse_crossing(OUT, "p", at=HERE)
    assert (caught.value.kind, caught.value.cycle, caught.value.times) == ("state", (OUT, BACK), 3)


def test_a_delegation_loop_whose_words_differ_each_time_is_stopped_too() -> None:
    _trail(_rounds(4, new=True)).refuse_crossing(OUT, "p4", at=HERE)
    with pytest.raises(LoopFound, match=r"triage → billing → triage …, 5 times; .*Loops\(cycle=") as caught:
        _trail(_rounds(5, new=True)).refuse_crossing(OUT, "p5", at=HERE)
    assert (caught.value.kind, caught.value.limit) == ("handoff", 5)


def test_a_way_out_of_the_loop_is_let_pass() -> None:
    trail = _trail(_rounds(9))
    trail.refuse_crossing("triage→end", "p", at=HERE)
    trail.refuse_crossing(BACK, "p", at=HERE)


def test_the_same_payload_again_is_no_loop_while_something_changes() -> None:
    told: list[Told] = []
    for n, crossing in enumerate(_rounds(4)):
        told += [crossing, *_call(f"billing.{n}/model.1#r0.0", "book", f"row {n}", changes=True)]
    _trail(told).refuse_crossing(OUT, "p", at=HERE)
    told = []
    for n, crossing in enumerate(_rounds(4)):
        told += [crossing, _wrote(f"v{n}", n)]
    _trail(told).refuse_crossing(OUT, "p", at=HERE)


def _wrote(value: str, version: int) -> Told:
    record = SharedWritten(
        at=f"c.{version}", key="notes", version=version, writer="billing", value=value, label=["untrusted", "public"]
    )
    return None, record


def test_the_same_effect_or_the_same_value_again_is_no_change() -> None:
    told: list[Told] = []
    for n, crossing in enumerate(_rounds(4)):
        again = _call(f"billing.{n}/model.1#r0.0", "book", "row 0", changes=True)
        told += [*again, _wrote("v", n), crossing]
    with pytest.raises(LoopFound, match="state"):
        _trail(told).refuse_crossing(OUT, "p", at=HERE)


def test_branches_of_a_fan_out_that_get_the_same_are_no_loop_but_fan_outs_round_and_round_are() -> None:
    once = [_passed("out.1", "lead→expert", branch=n) for n in range(20)]
    _trail(once).refuse_crossing("lead→expert", "p", at="out.1:20")
    rounds = [
        _passed(f"c {edge}.{step}", edge, branch=n)
        for step in range(3)
        for edge in ("lead→expert", "expert→lead")
        for n in range(4)
    ]
    trail = _trail(rounds)
    trail.refuse_crossing("lead→expert", "p", at="c lead→expert.99:4")
    with pytest.raises(LoopFound):
        trail.refuse_crossing("lead→expert", "p", at="c lead→expert.99:2")


def test_each_run_of_a_nested_graph_begins_anew() -> None:
    told = [_passed(f"desk.{n}/c.1", OUT) for n in range(20)]
    _trail(told).refuse_crossing(OUT, "p", at="desk.20/c.1")


def test_a_crossing_on_record_is_not_refused_when_it_is_executed_again() -> None:
    trail = _trail([*_rounds(3), _passed(HERE, OUT)])
    trail.refuse_crossing(OUT, "p", at=HERE)


def test_rules_that_are_off_let_everything_pass() -> None:
    off = Loops(same=None, cycle=None)
    told = [_started("billing.2"), *_polls(30), *_rounds(30)]
    trail = _trail(told, off)
    trail.refuse_call("billing", "status", "x", at=NEXT)
    trail.refuse_crossing(OUT, "p", at=HERE)
    with pytest.raises(LoopFound, match="handoff"):
        _trail(told, Loops(same=None, cycle=9)).refuse_crossing(OUT, "p", at=HERE)
    with pytest.raises(LoopFound, match="state"):
        _trail(told, Loops(same=9, cycle=None)).refuse_crossing(OUT, "p", at=HERE)


# -- live and rebuilt -----------------------------------------------------------------------------------------------


def _verdict(trail: Trail, branch: int, tool: str) -> bool:
    try:
        trail.refuse_call("billing", tool, "x", at=f"expert.3[{branch}]/model.99#r0.0")
        trail.refuse_crossing("a→b", "p", at=f"c.99:{branch}")
    except LoopFound:
        return False
    return True


STEPS = st.lists(st.sampled_from("ab"), max_size=12)


@given(st.lists(STEPS, min_size=1, max_size=4), st.randoms(use_true_random=False), st.booleans())
def test_no_order_of_parallel_branches_and_no_record_that_comes_again_changes_a_verdict(
    branches: list[list[str]], chance: object, again: bool
) -> None:
    import random

    assert isinstance(chance, random.Random)
    lines: list[list[Told]] = [
        [
            _started(f"expert.3[{b}]"),
            *(t for n, tool in enumerate(tools) for t in _call(f"expert.3[{b}]/model.{n}#r0.0", tool)),
            *(_passed(f"c.{n}", "a→b", branch=b) for n, _ in enumerate(tools)),
        ]
        for b, tools in enumerate(branches)
    ]
    alone = [[_verdict(_trail(line), b, tool) for tool in "ab"] for b, line in enumerate(lines)]
    left, mixed = [list(line) for line in lines], list[Told]()
    while any(left):
        line = chance.choice([one for one in left if one])
        mixed.append(line.pop(0))
        if again:
            mixed.append(chance.choice(mixed))
    together = _trail(mixed)
    assert [[_verdict(together, b, tool) for tool in "ab"] for b in range(len(lines))] == alone


def test_records_of_no_step_change_nothing() -> None:
    noise = (None, ModelRefused(at="x", agent="billing", model="m", reason="r"))
    told = [t for one in [_started("billing.2"), *_polls(3)] for t in (one, noise)]
    with pytest.raises(LoopFound):
        _trail(told).refuse_call("billing", "status", "x", at=NEXT)
    unjudged = _trail([_started("billing.2"), *[_done(f"billing.2/model.{n}#r0.0") for n in range(9)]])
    unjudged.refuse_call("billing", "status", "x", at=NEXT)


# -- what runs write ------------------------------------------------------------------------------------------------


@tool(effect="read")
def job(name: str) -> str:
    """How a job stands."""
    return "pending"


@pytest.mark.parametrize("driven", ["model", "code"])
async def test_the_polls_of_a_real_turn_are_one_line_and_the_next_one_is_refused(driven: str) -> None:
    if driven == "model":
        system = with_model(plays(*[[Call("job", {"name": "j"})]] * 3), job)
        await system.arun({"text": "wait for it"})
    else:

        async def polls() -> None:
            for _ in range(3):
                await job.ainvoke({"name": "j"})

        system = (await inside(polls, job)).system
    told = [(e.key, e.record) for e in system.ledger.entries(only_run(system))]
    judged = [r for _, r in told if isinstance(r, CallJudged)]
    assert len({r.at for r in judged}) == len(judged) == 3
    left = [t for t in told if not isinstance(t[1], AgentEnded)]  # the turn still goes on
    turn = next(r.at for _, r in told if isinstance(r, AgentStarted))
    further = f"{turn}/model.9#r0.0" if driven == "model" else f"{turn}#c9"
    _trail(left, Loops(same=4)).refuse_call("worker", "job", judged[0].arguments, at=further)
    with pytest.raises(LoopFound, match="worker: job …, 3 times"):
        _trail(left).refuse_call("worker", "job", judged[0].arguments, at=further)


class _Talk(TypedDict, total=False):
    text: str


async def test_a_real_delegation_loop_is_one_line_whose_next_crossing_is_refused() -> None:
    async def triage(state: _Talk) -> _Talk:
        return {"text": "you do it"}

    async def worker(state: _Talk) -> _Talk:
        return {"text": "no, you"}

    graph: StateGraph[Any, Any, Any, Any] = StateGraph(_Talk)
    graph.add_node("triage", triage)
    graph.add_node("worker", worker)
    for source, target in ((START, "triage"), ("triage", "worker"), ("worker", "triage")):
        contract_edge(graph, source, target, ANSWER)
    with pytest.raises(GraphRecursionError):
        await graph.compile().ainvoke({"text": "please"}, {"recursion_limit": 14})
    ledger = ledger_of(graph)
    [run] = ledger.runs()
    told = [(e.key, e.record) for e in ledger.entries(run.run)]
    again = [(str(key), r) for key, r in told if isinstance(r, ContractPassed)][-2]
    further = again[0].removeprefix("passed:").rpartition(".")[0] + ".99"
    assert again[1].edge == "triage→worker"
    _trail(told, Loops(same=4)).refuse_crossing("triage→worker", again[1].payload, at=further)
    with pytest.raises(LoopFound, match="triage → worker → triage …, 3 times with the same payloads"):
        _trail(told).refuse_crossing("triage→worker", again[1].payload, at=further)

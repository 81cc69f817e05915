"""Join policies: what they take, and what they decide over every way that branches can stand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

import pytest
from edgewright import Agent, Contract, FanOut, Supervisor, System
from edgewright.contracts.errors import TopologyInvalid
from edgewright.contracts.join import (
    ALL,
    Ballot,
    Join,
    Released,
    Unmet,
    Wait,
    any_of,
    best_effort,
    decide,
    first,
    quorum,
)
from edgewright.graphs.gathering import gathered
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, create_model
from support.offices import BRIEF, FINDING, clerk, tells
from support.systems import ANSWER, QUESTION

# -- what is declared -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("join", "told"),
    [
        (ALL, "all of 4"),
        (any_of(), "any of 4"),
        (any_of(deadline=5), "any of 4 within 5 s"),
        (first(2), "first 2 of 4"),
        (quorum(3, agree="verdict", deadline=0.5), "3 of 4 agree on verdict within 0.5 s"),
        (best_effort(deadline=2.0, least=3), "at least 3 of 4 within 2 s"),
        (quorum(5, agree="verdict"), "5 agree on verdict"),
    ],
)
def test_a_policy_says_what_it_waits_for(join: Join, told: str) -> None:
    assert join.told(4) == told


_WRONG: list[tuple[Callable[[], Any], str]] = [
    (lambda: first(0), "first join: 0 is no number of branches"),
    (lambda: first(True), "first join: True"),
    (lambda: quorum(2, agree=""), "names no field"),
    (lambda: any_of(deadline=0), "deadline=0 is no number of seconds"),
    (lambda: any_of(deadline=float("nan")), "deadline=nan"),
    (lambda: best_effort(deadline=1, least=0), "best_effort join: 0"),
    (lambda: best_effort(deadline=None), "takes a deadline"),  # type: ignore[arg-type]
    (lambda: any_of(late="drop"), "late='drop'; it takes one of 'cancel', 'await'"),  # type: ignore[arg-type]
    (lambda: any_of(parked="x"), "parked='x'"),  # type: ignore[arg-type]
    (lambda: any_of(otherwise="x"), "otherwise='x'"),  # type: ignore[arg-type]
]


@pytest.mark.parametrize(("made", "said"), _WRONG, ids=[said for _, said in _WRONG])
def test_a_policy_that_cannot_be_is_refused_where_it_is_written(made: Callable[[], Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        made()


def _fan(join: Any, contract: Contract = FINDING, **more: Any) -> FanOut:
    given = {"gathered": gathered(QUESTION, {"clerk": contract}, []), **more}
    return FanOut(
        source="router", briefs={"clerk": BRIEF}, answers={"clerk": contract}, target="head", join=join, **given
    )


def test_a_join_that_does_not_fit_its_fan_out_is_refused_with_every_fault() -> None:
    with pytest.raises(TopologyInvalid) as caught:
        _fan(quorum(3, agree="verdict"), limit=2)
    said = str(caught.value)
    for fault in ("needs 3 branches; its limit allows 2", "has no field 'gaps'", "agree on 'verdict'"):
        assert fault in said
    with pytest.raises(TopologyInvalid, match="join='any' is none"):
        _fan("any")
    with pytest.raises(TopologyInvalid, match="a join needs `aggregator`"):
        _ = _supervisor(any_of(), aggregator=None, finding=None).fan_outs


def _supervisor(join: Join, **more: Any) -> Supervisor:
    given: dict[str, Any] = {"aggregator": Agent("head", version=1, function=tells), "finding": FINDING, **more}
    router = Agent("router", version=1, function=tells)
    return Supervisor(
        router=router, specialists=[clerk()], takes=QUESTION, brief=BRIEF, answer=ANSWER, join=join, **given
    )


def test_gaps_are_in_what_meets_wherever_a_branch_may_be_left_out_and_name_its_kinds() -> None:
    [fan] = _supervisor(any_of()).fan_outs
    kinds = fan.gathered.schema["$defs"]["Gap"]["properties"]["kind"]["enum"]
    assert {"late", "parked", "error", "contract"} <= set(kinds)
    [plain] = _supervisor(ALL).fan_outs
    assert "gaps" not in plain.gathered.model.model_fields
    skipping = gathered(QUESTION, {"clerk": FINDING}, [], gaps=True)
    assert (
        "late" not in skipping.schema["$defs"]["Gap"]["properties"]["kind"]["enum"]
    )  # as it was before there were joins


def test_a_systems_digest_knows_its_join_policy_in_every_detail() -> None:
    joins = [ALL, any_of(), any_of(late="await"), any_of(deadline=1.0), any_of(parked="open"), first(1)]
    digests = [System("office", version=1, topology=_supervisor(join)).digest for join in joins]
    assert len(set(digests)) == len(digests)


# -- what is decided --------------------------------------------------------------------------------------------------

RUN, FAILED, REFUSED, PARKED = (Ballot(state) for state in ("running", "failed", "refused", "parked"))
YES, NO = Ballot("answered", "yes"), Ballot("answered", "no")
BALLOT = st.sampled_from([RUN, FAILED, REFUSED, PARKED, YES, NO])
BALLOTS = st.lists(BALLOT, min_size=1, max_size=5)
OPEN = (RUN, REFUSED, PARKED)


@st.composite
def joins(draw: st.DrawFn, *, late: str | None = "cancel") -> Join:
    """Any policy but ALL."""
    count, deadline = draw(st.integers(1, 5)), draw(st.sampled_from([None, 10.0]))
    options: Any = {"late": late or draw(st.sampled_from(["cancel", "await"]))}
    kind = draw(st.sampled_from(["any", "first", "quorum", "best_effort"]))
    if kind == "any":
        return any_of(deadline=deadline, **options)
    if kind == "first":
        return first(count, deadline=deadline, **options)
    if kind == "quorum":
        return quorum(count, agree="verdict", deadline=deadline, **options)
    return best_effort(deadline=10.0, least=count, **options)


def met(join: Join, ballots: Sequence[Ballot]) -> bool:
    """Whether so many answers, or answers that agree, are there: the policy in the plainest words."""
    values = Counter(b.value for b in ballots if b.state == "answered")
    most = max(values.values(), default=0) if join.kind == "quorum" else values.total()
    return most >= join.count


def ends(ballots: Sequence[Ballot]) -> list[list[Ballot]]:
    """Every way in which the branches that are open may end."""
    return [list(each) for each in product(*([YES, NO, FAILED] if b in OPEN else [b] for b in ballots))]


@given(joins(), BALLOTS, st.sampled_from([0.0, 9.9, 10.0, 11.0]))
def test_a_join_is_released_where_it_is_met_given_up_where_it_cannot_be_and_open_else(
    join: Join, ballots: list[Ballot], elapsed: float
) -> None:
    over = join.deadline is not None and elapsed >= join.deadline
    ready = over or join.kind != "best_effort" or not any(b in OPEN for b in ballots)
    possible = met(join, ballots) if over else any(met(join, end) for end in ends(ballots))
    found = decide(join, ballots, elapsed)
    assert isinstance(found, Released) == (met(join, ballots) and ready)
    assert isinstance(found, Unmet) == (not possible)


@given(joins(), BALLOTS)
def test_only_answers_are_counted_and_those_of_a_quorum_agree(join: Join, ballots: list[Ballot]) -> None:
    found = decide(join, ballots, 0.0)
    if isinstance(found, Released):
        counted = [ballots[i] for i in found.counted]
        assert len(counted) >= join.count
        assert {b.state for b in counted} == {"answered"}
        assert join.kind != "quorum" or len({b.value for b in counted}) == 1


@given(
    joins(late=None), st.lists(st.sampled_from([YES, NO, FAILED, PARKED, REFUSED]), min_size=1, max_size=5), st.data()
)
def test_whether_a_join_is_met_in_the_end_does_not_depend_on_the_order_of_the_branches(
    join: Join, last: list[Ballot], data: st.DataObject
) -> None:
    def outcome(order: Sequence[int]) -> str:
        """What is decided as the branches come in one by one; at the deadline where nothing is before."""
        ballots = [RUN] * len(last)
        for i in order:
            if not isinstance(found := decide(join, ballots, 0.0), Wait):
                return type(found).__name__
            ballots[i] = last[i]
        found = decide(join, ballots, 0.0)
        return type(found if not isinstance(found, Wait) else decide(join, ballots, 10.0)).__name__

    order = data.draw(st.permutations(range(len(last))))
    assert outcome(order) == outcome(range(len(last)))


@given(joins(), BALLOTS, st.data())
def test_what_is_decided_stays_so_whatever_the_open_branches_do_later(
    join: Join, ballots: list[Ballot], data: st.DataObject
) -> None:
    before = decide(join, ballots, 0.0)
    end = data.draw(st.sampled_from(ends(ballots)))
    if not isinstance(before, Wait):
        assert type(decide(join, end, 0.0)) is type(before)


@given(joins(late="await"), BALLOTS)
def test_where_the_late_are_awaited_nothing_is_decided_before_they_are_through_or_the_deadline_is(
    join: Join, ballots: list[Ballot]
) -> None:
    if RUN in ballots:
        assert decide(join, ballots, 0.0) == Wait()
    if join.deadline is not None:
        assert decide(join, ballots, join.deadline) != Wait()


@given(BALLOTS)
def test_all_waits_for_every_branch(ballots: list[Ballot]) -> None:
    found = decide(ALL, ballots, 1e9)
    assert isinstance(found, Wait) == any(b in OPEN for b in ballots)


def test_of_two_values_that_are_both_met_at_once_that_of_the_earliest_branch_counts() -> None:
    join = quorum(2, agree="verdict")
    assert decide(join, [NO, YES, YES, NO], 0.0) == Released((0, 3))
    assert decide(join, [NO, YES, YES, NO, YES], 0.0) == Released((1, 2, 4))


@pytest.mark.parametrize(
    ("join", "ballots", "why"),
    [
        (first(2), [YES, FAILED, FAILED], "1 answered, and too few are left"),
        (quorum(2, agree="verdict"), [YES, NO, FAILED], "2 answered, of whom no more than 1 agree on verdict"),
        (best_effort(deadline=5, least=2), [YES, RUN, RUN], "1 answered within 5 s"),
    ],
)
def test_what_cannot_be_met_says_why(join: Join, ballots: list[Ballot], why: str) -> None:
    found = decide(join, ballots, 5.0)
    assert isinstance(found, Unmet)
    assert why in found.why


class Verdict(BaseModel):
    verdict: bool


def test_each_contract_of_a_quorum_has_the_field_that_has_to_agree() -> None:
    answers = {"a": Contract(Verdict, version=1), "b": Contract(create_model("Other", said=(str, ...)), version=1)}
    with pytest.raises(TopologyInvalid, match=r"contract Other@1 of 'b' has no such field") as caught:
        FanOut(
            source="router",
            briefs={"a": BRIEF, "b": BRIEF},
            answers=answers,
            target="head",
            gathered=gathered(QUESTION, answers, [], gaps=True),
            join=quorum(2, agree="verdict"),
        )
    assert len(caught.value.faults) == 1

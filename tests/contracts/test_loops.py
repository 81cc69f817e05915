"""Loops: a cycle is found when a sequence ends with it, however else the sequence goes, and not before."""

from __future__ import annotations

import json
from typing import Any

import pytest
from edgewright.contracts.loops import MOST_STEPS, Loops, find_cycle
from hypothesis import assume, given
from hypothesis import strategies as st

STEPS = st.lists(st.sampled_from("abc"), max_size=40)
TIMES = st.integers(2, 5)
LONGEST = st.integers(1, 6)


def _is_cycle(steps: list[str], period: int, times: int) -> bool:
    """The rule, word by word."""
    if len(steps) < period * times:
        return False
    rounds = [steps[len(steps) - period * (n + 1) : len(steps) - period * n] for n in range(times)]
    return all(one == rounds[0] for one in rounds)


@given(STEPS, TIMES, LONGEST)
def test_the_shortest_round_that_ends_the_sequence_is_found_or_none_does(
    steps: list[str], times: int, longest: int
) -> None:
    found = find_cycle(steps, times=times, longest=longest)
    fitting = [p for p in range(1, longest + 1) if _is_cycle(steps, p, times)]
    assert (len(found.steps) if found else None) == (fitting[0] if fitting else None)
    if found is not None:
        assert list(found.steps) * times == steps[-len(found.steps) * times :]
        assert found.times == times


@given(STEPS, st.lists(st.sampled_from("abc"), min_size=1, max_size=6), TIMES)
def test_whatever_came_before_a_repeated_block_is_found(before: list[str], block: list[str], times: int) -> None:
    found = find_cycle([*before, *block * times], times=times, longest=6)
    assert found is not None
    assert len(found.steps) <= len(block)


@given(STEPS, TIMES, LONGEST)
def test_only_the_last_steps_decide(steps: list[str], times: int, longest: int) -> None:
    tail = steps[-times * longest :]
    assert find_cycle(steps, times=times, longest=longest) == find_cycle(tail, times=times, longest=longest)


@given(STEPS, TIMES, LONGEST)
def test_a_step_that_never_came_before_ends_every_cycle(steps: list[str], times: int, longest: int) -> None:
    assert find_cycle([*steps, "new"], times=times, longest=longest) is None


@given(st.integers(2, 6), TIMES)
def test_one_step_less_is_no_cycle_yet(period: int, times: int) -> None:
    block = list(range(period))
    assert find_cycle((block * times)[1:], times=times, longest=6) is None
    assert find_cycle(block * times, times=times, longest=period - 1) is None


@pytest.mark.parametrize(("times", "longest"), [(1, 3), (0, 3), (2, 0)])
def test_a_cycle_of_fewer_than_two_rounds_or_no_steps_is_no_question(times: int, longest: int) -> None:
    with pytest.raises(ValueError, match="find_cycle"):
        find_cycle("aaaa", times=times, longest=longest)


LIMITS = st.none() | st.integers(2, MOST_STEPS)


@given(LIMITS, LIMITS, st.integers(1, MOST_STEPS))
def test_limits_go_to_json_and_back_with_those_that_are_off(same: int | None, cycle: int | None, longest: int) -> None:
    loops = Loops(same=same, cycle=cycle, longest=longest)
    told = loops.as_json()
    assert set(told) == {"same", "cycle", "longest"}
    assert Loops.from_json(json.loads(json.dumps(told))) == loops
    assert loops.remembered == longest * max(same or 0, cycle or 0)


@pytest.mark.parametrize(
    ("given_", "error"),
    [
        ({"same": 1}, ValueError),
        ({"cycle": 0}, ValueError),
        ({"longest": 0}, ValueError),
        ({"longest": MOST_STEPS + 1}, ValueError),
        ({"longest": None}, TypeError),
        ({"same": True}, TypeError),
        ({"cycle": 2.0}, TypeError),
        ({"same": "3"}, TypeError),
    ],
)
def test_a_limit_that_cannot_be_is_refused_by_name(given_: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error, match=next(iter(given_))):
        Loops(**given_)


@given(st.lists(st.integers(), max_size=3))
def test_three_times_the_same_answer_is_honest_work_by_default(before: list[int]) -> None:
    same = Loops().same
    assert same is not None
    assume(0 not in before)
    assert find_cycle([*before, 0, 0, 0], times=same, longest=Loops().longest) is None

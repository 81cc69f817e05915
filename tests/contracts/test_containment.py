"""Containment as values and decisions: what may be declared, when there is another try, when a breaker opens."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from edgewright.contracts.containment import (
    FAILURES,
    KINDS,
    TRANSIENT,
    Breaker,
    BreakerState,
    Bulkhead,
    Containment,
    Kind,
    Outcome,
    Retry,
    Timeouts,
    chosen,
)
from edgewright.contracts.digest import canonical, digest
from edgewright.contracts.errors import ContainmentInvalid
from edgewright.contracts.tool import ToolSpec
from hypothesis import given
from hypothesis import strategies as st

# -- what may be declared --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cls", "wrong"),
    [
        (Timeouts, {"total": 0}),
        (Timeouts, {"total": -1.0}),
        (Timeouts, {"total": float("inf")}),
        (Timeouts, {"total": float("nan")}),
        (Timeouts, {"each": 0}),
        (Timeouts, {"idle": True}),
        (Timeouts, {"idle": "5"}),
        (Retry, {"attempts": 0}),
        (Retry, {"attempts": 21}),
        (Retry, {"attempts": 2.0}),
        (Retry, {"attempts": True}),
        (Retry, {"first": -0.1}),
        (Retry, {"first": 31.0}),
        (Retry, {"factor": 0.5}),
        (Retry, {"most": float("inf")}),
        (Retry, {"on": ("broken",)}),
        (Retry, {"on": ("refused", "timeout")}),
        (Bulkhead, {"running": 0}),
        (Bulkhead, {"running": 1.5}),
        (Bulkhead, {"waiting": -1}),
        (Bulkhead, {"wait": -1}),
        (Breaker, {"failures": 0}),
        (Breaker, {"within": 0}),
        (Breaker, {"cooldown": 0}),
    ],
)
def test_what_cannot_be_is_refused_with_its_name(cls: Any, wrong: dict[str, Any]) -> None:
    with pytest.raises(ContainmentInvalid) as caught:
        cls(**wrong)
    assert caught.value.name == cls.__name__
    (fault,) = caught.value.faults
    assert next(iter(wrong)) in fault or repr(wrong.get("on", ("first",))[0]) in fault


def test_every_fault_is_told_at_once() -> None:
    with pytest.raises(ContainmentInvalid) as caught:
        Retry(attempts=0, factor=0.0, first=-1.0)
    assert len(caught.value.faults) == 3


@pytest.mark.parametrize("value", [Timeouts(), Retry(), Bulkhead(), Breaker(), Containment()])
def test_a_value_is_plain_data_and_its_digest_tells_it_from_others(value: Any) -> None:
    assert canonical(value.as_json())
    changed: dict[str, Any] = {"total": 7.0, "attempts": 7, "running": 7, "failures": 7, "retry": None}
    name = next(f.name for f in dataclasses.fields(value) if f.name in changed)
    other = dataclasses.replace(value, **{name: changed[name]})
    assert digest(other.as_json()) != digest(value.as_json())


def test_nothing_is_unbounded_that_is_not_declared_so() -> None:
    default = Containment()
    assert default.bulkhead is not None
    assert default.breaker is not None
    assert default.longest == default.timeouts.total + default.bulkhead.wait


def test_nothing_declared_is_the_default_and_off_is_without() -> None:
    assert chosen(None, Retry()) == Retry()
    assert chosen("off", Retry()) is None
    assert chosen(Retry(attempts=1), Retry()) == Retry(attempts=1)


def test_the_kinds_are_told_apart_by_what_may_help() -> None:
    assert set(TRANSIENT) <= set(KINDS)
    assert set(FAILURES) <= set(KINDS)
    # Who asks to be called less is alive, and who answers with rubbish will do so again.
    assert "rate_limited" in TRANSIENT
    assert "rate_limited" not in FAILURES
    assert "broken" in FAILURES
    assert "broken" not in TRANSIENT


# -- another try -----------------------------------------------------------------------------------------------------

retries = st.builds(
    Retry,
    attempts=st.integers(1, 20),
    first=st.floats(0, 10),
    factor=st.floats(1, 100),
    most=st.floats(10, 100),
    jitter=st.booleans(),
    on=st.sets(st.sampled_from(TRANSIENT)).map(tuple),
)
draws = st.floats(0, 1, exclude_max=True)


@given(retries, st.sampled_from(KINDS), st.integers(1, 40), draws, st.none() | st.floats(0, 1000))
def test_there_is_another_try_for_declared_kinds_alone_and_no_more_than_declared(
    retry: Retry, kind: Kind, tried: int, draw: float, after: float | None
) -> None:
    wait = retry.delay(kind, tried=tried, draw=draw, after=after)
    if kind not in retry.on or tried >= retry.attempts or (after is not None and after > retry.most):
        assert wait is None
    else:
        assert wait is not None
        assert 0 <= wait <= retry.most + retry.first
        assert wait >= (after or 0)


@given(retries, st.integers(1, 18))
def test_pauses_never_get_shorter_without_jitter_and_never_longer_with_it(retry: Retry, tried: int) -> None:
    plain = dataclasses.replace(retry, attempts=20, jitter=False, on=TRANSIENT)
    drawn = dataclasses.replace(plain, jitter=True)
    now, then = (plain.delay("timeout", tried=n, draw=0.5) for n in (tried, tried + 1))
    assert now is not None
    assert then is not None
    assert now <= then <= plain.most
    jittered = drawn.delay("timeout", tried=tried, draw=0.5)
    assert jittered == pytest.approx(now / 2)


def test_what_a_server_asks_for_is_never_shortened_and_not_waited_for_where_it_is_too_long() -> None:
    retry = Retry(first=1.0, most=10.0)
    assert retry.delay("rate_limited", tried=1, draw=0.0, after=7.0) == 7.0
    assert retry.delay("rate_limited", tried=1, draw=0.5, after=7.0) == 7.5
    assert retry.delay("rate_limited", tried=1, draw=0.5, after=11.0) is None
    assert Retry(first=1.0, jitter=False).delay("rate_limited", tried=1, draw=0.5, after=7.0) == 7.0


# -- breakers --------------------------------------------------------------------------------------------------------

RULE = Breaker(failures=3, within=10.0, cooldown=5.0)


def ended(state: BreakerState, *outcomes: Outcome, now: float = 0.0) -> BreakerState:
    for outcome in outcomes:
        let = state.admitted(RULE, now)
        assert let is not None
        state = let.ended(RULE, now, ticket=let.term, outcome=outcome)
    return state


@pytest.mark.parametrize("kind", KINDS)
def test_it_opens_by_failures_in_a_row_and_by_nothing_else(kind: Kind) -> None:
    state = ended(BreakerState(), kind, kind)
    assert state.mode(0) == "closed"
    state = ended(state, kind)
    assert state.mode(0) == ("open" if kind in FAILURES else "closed")


@pytest.mark.parametrize("between", ["answered", "refused", "rate_limited", "other"])
def test_an_answer_of_any_sort_begins_the_row_anew(between: Outcome) -> None:
    assert ended(BreakerState(), "timeout", "timeout", between, "timeout", "timeout").mode(0) == "closed"


def test_a_call_that_was_called_off_says_nothing() -> None:
    assert ended(BreakerState(), "timeout", "timeout", "unknown", "timeout").mode(0) == "open"


def test_failures_that_are_long_ago_do_not_count() -> None:
    state = ended(BreakerState(), "timeout", "timeout", now=0.0)
    assert ended(state, "timeout", now=10.0).mode(10.0) == "closed"
    assert ended(state, "timeout", now=9.9).mode(9.9) == "open"


def test_an_open_one_lets_nothing_through_until_its_time_and_then_one_call() -> None:
    state = ended(BreakerState(), "timeout", "timeout", "timeout")
    assert state.admitted(RULE, 4.9) is None
    assert state.shut_for(2.0) == 3.0
    assert state.mode(5.0) == "half_open"
    let = state.admitted(RULE, 5.0)
    assert let is not None
    assert let.admitted(RULE, 5.0) is None
    assert let.admitted(RULE, 9.9) is None
    closed = let.ended(RULE, 6.0, ticket=let.term, outcome="answered")
    assert closed.mode(6.0) == "closed"
    assert closed.failed == ()
    again = let.ended(RULE, 6.0, ticket=let.term, outcome="connection")
    assert again.mode(10.9) == "open"
    assert again.since == state.since


def test_a_call_that_never_ends_makes_room_for_another() -> None:
    let = ended(BreakerState(), "timeout", "timeout", "timeout").admitted(RULE, 5.0)
    assert let is not None
    second = let.admitted(RULE, 10.0)
    assert second is not None
    # The first one ends after all: that is the past.
    assert second.ended(RULE, 11.0, ticket=let.term, outcome="answered") is second


def test_a_probe_that_is_called_off_makes_room_at_once() -> None:
    let = ended(BreakerState(), "timeout", "timeout", "timeout").admitted(RULE, 5.0)
    assert let is not None
    free = let.ended(RULE, 5.1, ticket=let.term, outcome="unknown")
    assert free.mode(5.1) == "half_open"
    assert free.admitted(RULE, 5.1) is not None


events = st.lists(
    st.one_of(
        st.tuples(st.just("pass"), st.floats(0.0, 8.0)),
        st.tuples(st.just("call"), st.just(0.0)),
        st.tuples(st.sampled_from([*KINDS, "answered", "unknown"]), st.floats(0.0, 1.0)),
    ),
    max_size=80,
)


@given(events)
def test_whatever_happens_only_rows_of_failures_open_it_and_one_probe_is_out_at_most(
    events: list[tuple[Any, float]],
) -> None:
    state, now, out, row = BreakerState(), 0.0, list[tuple[int, float, bool]](), 0
    for what, number in events:
        before = state
        if what == "pass":
            now += number
        elif what == "call":
            let, mode = state.admitted(RULE, now), state.mode(now)
            if mode == "open":
                assert let is None
            elif mode == "closed":
                assert let is state
            if let is not None:
                live = [p for p in out if p[2] and p[0] == let.term - 1 and now < p[1]]
                assert not (mode == "half_open" and live), "a second probe while the first may still end"
                state = let
                out.append((let.term, now + RULE.cooldown, mode == "half_open"))
        elif out:
            ticket, _, probe = out.pop(int(number * (len(out) - 1)))
            state = state.ended(RULE, now, ticket=ticket, outcome=what)
            current = ticket == before.term
            if not current:
                assert state is before, "a call of another term changed something"
                continue
            if what in FAILURES:
                row += 1
            elif what != "unknown":
                row = 0
            if before.until is None and state.until is not None:
                assert row >= RULE.failures
            if before.until is not None and state.until is None:
                assert probe
                assert what not in FAILURES
                assert what != "unknown"
        assert len(state.failed) <= RULE.failures
        assert state.term >= before.term


@given(events, st.sampled_from([o for o in (*KINDS, "answered") if o not in FAILURES]))
def test_from_wherever_it_stands_it_closes_once_what_is_called_answers(
    events: list[tuple[Any, float]], answer: Outcome
) -> None:
    state, now = BreakerState(), 0.0
    for what, number in events:
        now += number
        let = state.admitted(RULE, now)
        if let is not None:
            state = let if what in ("pass", "call") else let.ended(RULE, now, ticket=let.term, outcome=what)
    now += RULE.cooldown
    let = state.admitted(RULE, now)
    assert let is not None
    assert let.ended(RULE, now, ticket=let.term, outcome=answer).mode(now) == "closed"


# -- tools -----------------------------------------------------------------------------------------------------------


def test_only_what_may_be_repeated_is_tried_again_by_default() -> None:
    for effect in ("read", "write", "irreversible"):
        for idempotency in ("key", "natural", "none"):
            spec = ToolSpec(name="t", description="d", effect=effect, idempotency=idempotency)
            repeated = effect == "read" or idempotency != "none"
            assert (spec.containment.retry is not None) == repeated
            assert spec.looking.retry is not None


def test_what_is_not_declared_does_not_count_in_a_tools_digest_and_what_is_does() -> None:
    plain = ToolSpec(name="t", description="d", effect="read")
    said = [{"retry": "off"}, {"retry": Retry()}, {"breaker": "off"}, {"bulkhead": Bulkhead()}, {"idle": 3.0}]
    digests = {dataclasses.replace(plain, **given).digest for given in said}  # type: ignore[arg-type]
    assert len(digests | {plain.digest}) == len(said) + 1

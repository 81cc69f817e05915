"""The breakers of a process: shared by key, bounded in number, safe for threads, and to be looked at."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from edgewright.contracts.containment import Breaker
from edgewright.contracts.errors import CircuitOpen
from edgewright.tools.containment import Breakers

RULE = Breaker(failures=2, within=60.0, cooldown=10.0)


class Clock:
    def __init__(self) -> None:
        self.at = 100.0

    def __call__(self) -> float:
        return self.at


def opened(breakers: Breakers, of: str = "t") -> None:
    for _ in range(RULE.failures):
        breakers.ended(of, RULE, breakers.admit(of, RULE).ticket, "timeout")


def test_it_says_how_it_moved_and_why_it_lets_nothing_through() -> None:
    clock = Clock()
    breakers = Breakers(clock)
    let = breakers.admit("t", RULE)
    assert let.moved is None
    assert breakers.ended("t", RULE, let.ticket, "timeout") is None
    moved = breakers.ended("t", RULE, breakers.admit("t", RULE).ticket, "connection")
    assert moved is not None
    assert (moved.of, moved.before, moved.after, moved.failures, moved.last) == ("t", "closed", "open", 2, "connection")
    clock.at += 4
    with pytest.raises(CircuitOpen) as caught:
        breakers.admit("t", RULE)
    assert (caught.value.of, caught.value.failures, caught.value.last, caught.value.until) == (
        "t",
        2,
        "connection",
        6.0,
    )
    with pytest.raises(CircuitOpen):
        breakers.check("t", RULE)
    clock.at += 6
    breakers.check("t", RULE)
    probe = breakers.admit("t", RULE)
    assert probe.moved is not None
    assert (probe.moved.before, probe.moved.after) == ("open", "half_open")
    with pytest.raises(CircuitOpen):
        breakers.admit("t", RULE)
    closed = breakers.ended("t", RULE, probe.ticket, "answered")
    assert closed is not None
    assert (closed.before, closed.after) == ("half_open", "closed")
    assert breakers.mode("t") == "closed"


def test_one_that_is_called_is_no_matter_to_another() -> None:
    breakers = Breakers(Clock())
    opened(breakers, "t")
    breakers.admit("u", RULE)
    assert (breakers.mode("t"), breakers.mode("u"), breakers.mode("never called")) == ("open", "closed", "closed")


def test_a_snapshot_shows_open_ones_first_with_how_long_and_why() -> None:
    clock = Clock()
    breakers = Breakers(clock)
    breakers.admit("a", RULE)
    opened(breakers, "z")
    clock.at += 3
    first, second = breakers.snapshot()
    assert (first["of"], first["state"], first["failures"], first["last"]) == ("z", "open", 2, "timeout")
    assert (first["since"], first["until"], first["failures_allowed"], first["cooldown"]) == (3.0, 7.0, 2, 10.0)
    assert (second["of"], second["state"], second["failures"], second["last"]) == ("a", "closed", 0, "")


def test_an_operator_can_close_it() -> None:
    breakers = Breakers(Clock())
    opened(breakers, "t")
    opened(breakers, "u")
    breakers.clear("t")
    assert (breakers.mode("t"), breakers.mode("u")) == ("closed", "open")
    breakers.clear()
    assert breakers.snapshot() == []


def test_there_are_never_more_than_are_kept_and_open_ones_stay_longest() -> None:
    breakers = Breakers(Clock(), most=10)
    opened(breakers, "dead")
    for n in range(100):
        breakers.admit(f"t{n}", RULE)
        assert len(breakers.snapshot()) <= 10
    assert breakers.mode("dead") == "open"


def test_an_outcome_for_one_that_is_forgotten_is_nothing() -> None:
    breakers = Breakers(Clock())
    let = breakers.admit("t", RULE)
    breakers.clear()
    assert breakers.ended("t", RULE, let.ticket, "timeout") is None
    assert breakers.snapshot() == []


def test_of_many_threads_exactly_one_is_let_through_to_try() -> None:
    clock = Clock()
    breakers = Breakers(clock)
    workers = 16
    for _ in range(20):
        opened(breakers)
        clock.at += RULE.cooldown
        together = threading.Barrier(workers)

        def ask(together: threading.Barrier = together) -> int:
            together.wait(10)
            try:
                return breakers.admit("t", RULE).ticket
            except CircuitOpen:
                return -1

        with ThreadPoolExecutor(workers) as pool:
            tickets = [f.result(10) for f in [pool.submit(ask) for _ in range(workers)]]
        (ticket,) = [t for t in tickets if t >= 0]
        assert breakers.ended("t", RULE, ticket, "answered") is not None

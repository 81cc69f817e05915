"""How a run stands, by its records alone: what is read from the newest one backwards is what all of them add up to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import get_args

from edgewright.contracts.status import DEAD, FINAL, OPEN, STATUSES, Status
from edgewright.ledger.store import status_of, turn_of
from hypothesis import given
from hypothesis import strategies as st

KINDS = ["run.resumed", "run.drained", "run.ended", "dead.dropped", "review.asked", "review.answered", "agent.started"]
Back = list[tuple[str, int, float]]


def back(kinds: Sequence[str]) -> Back:
    return [(kind, seq, float(seq)) for seq, kind in reversed(list(enumerate(kinds)))]


def forwards(kinds: Sequence[str]) -> tuple[str, int, bool]:
    """The same, record by record from the first one on: (status, where it stopped, dropped)."""
    status, stopped, dropped, asked = "running", -1, False, 0
    for seq, kind in enumerate(kinds):
        match kind:
            case "run.ended" | "run.drained":
                status, stopped, dropped = ("" if kind == "run.ended" else "drained"), seq, False
            case "run.resumed":
                status, stopped, dropped = "running", -1, False
            case "dead.dropped":
                dropped = stopped >= 0
            case "review.asked" | "review.answered":
                asked += 1 if kind == "review.asked" else -1
    return ("waiting" if asked > 0 else "running") if stopped < 0 else status, stopped, dropped


@given(st.lists(st.sampled_from(KINDS), max_size=12))
def test_reading_backwards_finds_what_reading_forwards_adds_up_to(later: list[str]) -> None:
    kinds = ["run.started", *later]
    found, (status, stopped, dropped) = turn_of(back(kinds)), forwards(kinds)
    assert (found.status, found.seq) == (status, stopped)
    assert found.time == (None if stopped < 0 else float(stopped))
    if stopped >= 0:
        assert found.dropped is dropped
    assert status_of(kinds, "failed") == (status or "failed")


def test_of_a_run_that_ended_no_more_is_read_than_its_end() -> None:
    read = list[str]()

    def rows() -> Iterator[tuple[str, int, float]]:
        for row in back(["run.started", *["agent.started"] * 100, "run.ended", "dead.dropped"]):
            read.append(row[0])
            yield row

    assert turn_of(rows()).dropped
    assert read == ["dead.dropped", "run.ended"]


def test_a_question_that_was_open_when_another_branch_failed_is_open_when_the_run_goes_on() -> None:
    kinds = ["run.started", "review.asked", "run.ended"]
    assert status_of(kinds, "failed") == "failed"
    assert status_of([*kinds, "run.resumed"], "failed") == "waiting"
    assert status_of([*kinds, "run.resumed", "review.answered"], "failed") == "running"


def test_the_statuses_are_closed_and_each_is_of_one_sort() -> None:
    assert set(get_args(Status)) == set(STATUSES)
    assert len(FINAL) + len(OPEN) + len(DEAD) == len(FINAL | OPEN | DEAD)
    assert set(STATUSES) - FINAL - OPEN - DEAD == {"drained", "cancelled"}

"""Shared state: who may write a key, what happens when two do at once, and that no write is lost in silence."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from datetime import date
from typing import Any

import pytest
from edgewright import Key, Label
from edgewright.contracts.errors import SharedWriteInvalid, WriteConflict
from edgewright.contracts.shared import Applied, Held, Write, applied, checked, faults_of_access
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

USER, UNTRUSTED = Label("user"), Label("untrusted")


class Plan(BaseModel):
    """A value with a shape."""

    steps: list[str]
    due: date


def added(before: list[str] | None, new: list[str]) -> list[str]:
    """Adds to what is there, in place, as a careless reducer does."""
    if before is None:
        return new
    before += new
    return before


PLAN, NOTES = Key(type=str), Key(type=list[str], reducer=added)
KEYS = {"plan": PLAN, "notes": NOTES, "own": Key(type=str, writer="planner")}


def write(key: str, value: Any, writer: str = "a", *, based: int = 0, branch: int | None = None) -> Write:
    """A write of user's words."""
    return Write(key=key, value=value, writer=writer, based=based, branch=branch, label=USER)


def facts_of(found: Applied) -> list[dict[str, Any]]:
    """What the conflicts say."""
    assert all(isinstance(conflict, WriteConflict) for _, conflict in found.refused)
    return [conflict.facts for _, conflict in found.refused]


# -- writes -----------------------------------------------------------------------------------------------------------


def test_a_first_write_has_version_one_its_writer_and_its_label() -> None:
    found = applied(KEYS, {}, [write("plan", "go")])
    assert found.state == {"plan": Held(value="go", version=1, writer="a", label=USER)}
    assert [(w.key, held.version) for w, held in found.made] == [("plan", 1)]
    assert found.refused == []


def test_a_later_write_on_what_it_read_replaces_the_value_and_its_label() -> None:
    before = {"plan": Held(value="go", version=4, writer="b", label=UNTRUSTED)}
    found = applied(KEYS, before, [write("plan", "stay", based=4)])
    assert found.state == {"plan": Held(value="stay", version=5, writer="a", label=USER)}
    assert before["plan"].value == "go"


@pytest.mark.parametrize("based", [0, 3, 5])
def test_a_write_on_another_version_than_the_one_that_is_there_is_a_conflict_with_its_writer(based: int) -> None:
    before = {"plan": Held(value="go", version=4, writer="b")}
    found = applied(KEYS, before, [write("plan", "stay", based=based, branch=1)])
    assert found.state == before
    assert facts_of(found) == [
        {"key": "plan", "first": "b", "second": "a (branch 1)", "why": "changed after the second had read it"}
    ]


def test_two_writes_of_one_moment_are_a_conflict_that_names_both() -> None:
    found = applied(KEYS, {}, [write("plan", "go", branch=0), write("plan", "stay", branch=1)])
    assert found.state["plan"].value == "go"
    assert facts_of(found) == [
        {"key": "plan", "first": "a (branch 0)", "second": "a (branch 1)", "why": "was written by both at once"}
    ]


def test_the_writes_of_one_turn_are_made_all_or_none() -> None:
    writes = [
        write("plan", "go", branch=0),
        write("notes", ["lost"], branch=1),
        write("plan", "stay", branch=1),
        write("notes", ["kept"], branch=2),
    ]
    found = applied(KEYS, {}, writes)
    assert (found.state["plan"].value, found.state["notes"].value) == ("go", ["kept"])
    assert [w.branch for w, _ in found.refused] == [1]


def test_writes_under_a_reducer_all_count_in_the_order_of_their_branches() -> None:
    writes = [write("notes", [f"n{i}"], branch=i) for i in range(5)]
    found = applied(KEYS, {"notes": Held(value=["n"], version=1, writer="z")}, writes)
    assert found.state["notes"].value == ["n", "n0", "n1", "n2", "n3", "n4"]
    assert [held.version for _, held in found.made] == [2, 3, 4, 5, 6]
    assert [held.value[-1] for _, held in found.made] == ["n0", "n1", "n2", "n3", "n4"]


def test_a_reducer_that_changes_what_it_is_given_changes_nothing_that_others_hold() -> None:
    before, new = {"notes": Held(value=["n"], version=1, writer="z")}, ["m"]
    applied(KEYS, before, [write("notes", new), write("notes", ["o"], "b")])
    assert (before["notes"].value, new) == (["n"], ["m"])


def test_what_a_reducer_makes_is_believed_no_more_than_all_that_went_into_it() -> None:
    before = {"notes": Held(value=["n"], version=1, writer="z", label=Label("untrusted", "personal"))}
    found = applied(KEYS, before, [write("notes", ["m"])])
    assert found.state["notes"].label == Label("untrusted", "personal")


def test_a_value_is_read_as_it_was_written() -> None:
    held = Held(value=["n"], version=3, writer="z", label=UNTRUSTED)
    assert Held.from_json(held.as_json()) == held


# -- what may not be written ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("refused", "fault"),
    [
        (write("stray", 1), "is no shared key; known: ['notes', 'own', 'plan']"),
        (write("own", "x", "intruder"), "is written by 'planner' alone"),
        (write("plan", 1), "valid string"),
        (write("plan", None), "valid string"),
        (write("notes", "not a list"), "valid array"),
        (write("notes", [1]), "valid string"),
        (write("plan", object()), "is not JSON"),
    ],
)
def test_a_write_that_is_not_its_writers_to_make_or_of_another_type_stops_all(refused: Write, fault: str) -> None:
    with pytest.raises(SharedWriteInvalid) as caught:
        applied(KEYS, {}, [write("plan", "fine"), refused])
    assert (caught.value.facts["key"], caught.value.facts["writer"]) == (refused.key, refused.writer)
    assert fault in str(caught.value.facts["faults"])


def test_what_a_reducer_makes_must_be_of_the_keys_type_too() -> None:
    keys = {"n": Key(type=int, reducer=lambda before, new: "no number")}
    with pytest.raises(SharedWriteInvalid):
        applied(keys, {}, [write("n", 1)])


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {"n": [float("nan")]}])
def test_what_json_has_no_word_for_is_not_written(value: Any) -> None:
    with pytest.raises(SharedWriteInvalid, match="not JSON"):
        checked("k", Key(type=Any), value, "a")


def test_a_value_is_kept_as_json_whatever_python_it_was() -> None:
    key = Key(type=Plan)
    assert checked("k", key, Plan(steps=["a"], due=date(2030, 1, 2)).model_dump(), "a") == {
        "steps": ["a"],
        "due": "2030-01-02",
    }
    found = applied({"k": key}, {}, [write("k", {"steps": ("a",), "due": date(2030, 1, 2)})])
    assert found.state["k"].value == {"steps": ["a"], "due": "2030-01-02"}


def test_what_a_validator_says_of_a_value_is_not_told() -> None:
    with pytest.raises(SharedWriteInvalid) as caught:
        checked("k", Key(type=int), "hunter2", "a")
    assert "hunter2" not in str(caught.value)


# -- faults of a declaration ------------------------------------------------------------------------------------------


def faults(writes: dict[str, Sequence[str]], *together: Sequence[str], **keys: Key) -> list[str]:
    """The faults of who writes what."""
    return faults_of_access(keys, {}, writes, together)


def test_two_agents_that_may_write_one_key_at_once_are_named_before_anything_runs() -> None:
    [fault] = faults({"a": ["plan"], "b": ["plan"], "c": ["plan"]}, ["a", "b"], plan=PLAN)
    assert fault == "agents 'a' and 'b' can write shared key 'plan' at once; give it a reducer, or one writer"


@pytest.mark.parametrize("key", [NOTES, Key(type=str, writer="a")])
def test_a_reducer_or_one_writer_lets_agents_run_together(key: Key) -> None:
    assert faults({"a": ["plan"], "b": []}, ["a", "b"], plan=key) == []


def test_agents_that_never_run_together_may_write_one_key() -> None:
    assert faults({"a": ["plan"], "b": ["plan"]}, ["a", "c"], plan=PLAN) == []


def test_every_fault_of_access_is_found_at_once() -> None:
    keys = {"own": Key(type=str, writer="a"), "gone": Key(type=str, writer="nobody")}
    found = faults_of_access(keys, {"a": ["no"]}, {"a": ["own"], "b": ["own", "none"]}, [])
    assert found == [
        "agent 'a' reads 'no', which is no shared key; known: ['gone', 'own']",
        "agent 'b' writes 'none', which is no shared key; known: ['gone', 'own']",
        "shared key 'own' is written by 'a' alone, and agent 'b' declares to write it too",
        "shared key 'gone' is written by 'nobody', which is no agent",
    ]


def test_a_key_is_told_apart_by_all_that_it_declares() -> None:
    every: list[Callable[[], Key]] = [
        lambda: Key(type=str),
        lambda: Key(type=int),
        lambda: Key(type=str, writer="a"),
        lambda: Key(type=str, reducer=operator.add),
        lambda: Key(type=str, on_conflict="retry"),
    ]
    assert len({str(make().as_json()) for make in every}) == len(every)


# -- nothing is lost --------------------------------------------------------------------------------------------------


@given(st.data())
def test_over_any_interleaving_no_update_is_lost_in_silence(data: st.DataObject) -> None:
    """Agents count up: each reads, and writes one more than it read, whenever the schedule lets it."""
    log = Key(type=list[int], reducer=lambda before, new: [*(before or []), *new])
    keys, agents = {"n": Key(type=int), "log": log}, range(4)
    state: dict[str, Held] = {}
    read: dict[int, tuple[int, int]] = {}
    made = refused = 0
    for _ in range(data.draw(st.integers(1, 25))):
        for agent in data.draw(st.lists(st.sampled_from(agents), unique=True)):
            now = state.get("n")
            read[agent] = (now.value, now.version) if now else (0, 0)
        writers = sorted(data.draw(st.lists(st.sampled_from(agents), unique=True)))
        writes = [
            w
            for agent in writers
            if agent in read
            for w in (
                write("n", read[agent][0] + 1, f"a{agent}", based=read[agent][1], branch=agent),
                write("log", [agent], f"a{agent}", branch=agent),
            )
        ]
        found = applied(keys, state, writes)
        state = found.state
        made += sum(w.key == "n" for w, _ in found.made)
        refused += len(found.refused)
        assert len(found.made) // 2 + len(found.refused) == len(writes) // 2
    counted = state["n"].value if "n" in state else 0
    assert counted == made == (state["n"].version if "n" in state else 0)
    assert len(state["log"].value if "log" in state else []) == made

"""kill -9 in the middle of a credit: what the next process does about it (threat 35)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.crash_child import Scenario, credited
from support.crashes import Crashes, crashes

pytestmark = pytest.mark.slow

DONE = {"text": '{\n  "credited": true\n}'}
SHAPES = ["supervisor", "function"]
# Under `exit` no checkpoint of the run is left; going on with the thread and sending the request again both find the
# run on the ledger, and continue it.
WAYS_ON = [("sync", "resume"), ("async", "resume"), ("exit", "resume"), ("exit", "run")]


@pytest.fixture(scope="module")
def processes() -> Iterator[Crashes]:
    with crashes() as found:
        yield found


@pytest.fixture
def scenario(tmp_path: Path) -> Scenario:
    return Scenario(folder=str(tmp_path))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("durability", "do"), WAYS_ON)
@pytest.mark.parametrize("way", ["key", "probe"])
@pytest.mark.parametrize("kill", ["asked", "before", "after"])
def test_a_credit_cut_off_by_a_crash_happens_once_and_the_run_completes(
    kill: Any, way: Any, durability: Any, do: Any, shape: Any, scenario: Scenario, processes: Crashes
) -> None:
    first = replace(scenario, kill=kill, way=way, durability=durability, shape=shape)
    processes.killed(first)
    assert credited(Path(scenario.folder)) == (1 if kill == "after" else 0)
    told = processes.told(replace(first, kill="never", do=do))
    assert credited(Path(scenario.folder)) == 1
    assert (told["status"], told["output"]) == ("completed", DONE)
    assert told["kinds"].count("effect.intended") == 1
    assert told["kinds"].count("run.started") == 1
    assert "run.resumed" in told["kinds"], told["kinds"]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("durability", "do"), WAYS_ON)
@pytest.mark.parametrize(("kill", "happened"), [("before", 0), ("after", 1)])
def test_an_effect_that_cannot_be_repeated_or_looked_up_is_parked_for_a_person(
    kill: Any, happened: int, durability: Any, do: Any, shape: Any, scenario: Scenario, processes: Crashes
) -> None:
    first = replace(scenario, kill=kill, way="none", durability=durability, shape=shape)
    processes.killed(first)
    told = processes.told(replace(first, kill="never", do=do))
    assert (told["status"], told["reviews"]) == ("waiting", ["outcome_unknown"])
    assert credited(Path(scenario.folder)) == happened
    assert "effect.done" not in told["kinds"]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("durability", ["sync", "async"])
def test_a_person_who_finds_that_it_did_not_happen_lets_it_happen_once(
    durability: Any, shape: Any, scenario: Scenario, processes: Crashes
) -> None:
    first = replace(scenario, kill="before", way="none", durability=durability, shape=shape)
    processes.killed(first)
    told = processes.told(replace(first, kill="never", do="approve"))
    assert (told["status"], told["output"]) == ("completed", DONE)
    assert credited(Path(scenario.folder)) == 1


@pytest.mark.parametrize("shape", SHAPES)
def test_leave_to_try_again_is_for_one_attempt(shape: Any, scenario: Scenario, processes: Crashes) -> None:
    first = replace(scenario, kill="before", way="none", shape=shape)
    processes.killed(first)
    processes.killed(replace(first, kill="after", do="approve"))
    told = processes.told(replace(first, kill="never", do="resume"))
    assert told["reviews"] == ["outcome_unknown"]
    assert credited(Path(scenario.folder)) == 1
    told = processes.told(replace(first, kill="never", do="reject"))
    assert told["status"] == "completed"
    assert credited(Path(scenario.folder)) == 1


@pytest.mark.parametrize("shape", SHAPES)
def test_a_person_who_finds_that_it_happened_keeps_it_from_happening_again(
    shape: Any, scenario: Scenario, processes: Crashes
) -> None:
    first = replace(scenario, kill="after", way="none", shape=shape)
    processes.killed(first)
    told = processes.told(replace(first, kill="never", do="reject"))
    assert told["status"] == "completed"
    assert "not repeated" in told["output"]["text"]
    assert credited(Path(scenario.folder)) == 1


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("durability", "do"), WAYS_ON)
def test_a_recorded_outcome_is_given_back_instead_of_the_effect(
    durability: Any, do: Any, shape: Any, scenario: Scenario, processes: Crashes
) -> None:
    first = replace(scenario, kill="recorded", way="none", durability=durability, shape=shape)
    processes.killed(first)
    told = processes.told(replace(first, kill="never", do=do))
    assert (told["status"], told["output"]) == ("completed", DONE)
    assert credited(Path(scenario.folder)) == 1
    assert told["kinds"].count("effect.done") == 1


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
@pytest.mark.parametrize(
    ("kill", "way", "credits", "reviews"),
    [
        ("approved", "key", 1, []),
        ("approved", "none", 1, []),
        ("before", "key", 1, []),
        ("after", "key", 1, []),
        ("before", "none", 0, ["outcome_unknown"]),
        ("after", "none", 1, ["outcome_unknown"]),
    ],
)
def test_a_yes_that_was_given_before_a_crash_need_not_be_given_again_and_is_used_once(
    kill: Any,
    way: Any,
    credits: int,
    reviews: list[str],
    durability: Any,
    shape: Any,
    scenario: Scenario,
    processes: Crashes,
) -> None:
    first = replace(scenario, way=way, durability=durability, shape=shape, ask=True)
    assert processes.told(first)["reviews"] == ["call"]
    processes.killed(replace(first, kill=kill, do="approve"))
    told = processes.told(replace(first, do="resume"))
    assert told["reviews"] == reviews
    assert credited(Path(scenario.folder)) == credits
    assert told["kinds"].count("review.answered") == 1


@pytest.mark.parametrize("durability", ["sync", "async"])
def test_a_process_killed_from_outside_in_the_tool_credits_once(
    durability: Any, scenario: Scenario, processes: Crashes
) -> None:
    first = replace(scenario, kill="hang", durability=durability)
    processes.killed_from_outside(first)
    told = processes.told(replace(first, kill="never", do="resume"))
    assert told["status"] == "completed"
    assert credited(Path(scenario.folder)) == 1


@pytest.mark.parametrize("way", ["key", "probe"])
@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
def test_crash_after_crash_credits_once(way: Any, durability: Any, scenario: Scenario, processes: Crashes) -> None:
    first = replace(scenario, kill="before", way=way, durability=durability)
    processes.killed(first)
    processes.killed(replace(first, do="resume"))
    processes.killed(replace(first, kill="after", do="resume"))
    told = processes.told(replace(first, kill="never", do="resume"))
    assert told["status"] == "completed"
    assert credited(Path(scenario.folder)) == 1
    assert told["kinds"].count("effect.intended") == 1


def test_the_model_is_not_asked_again_for_a_reply_that_led_to_an_effect(scenario: Scenario, processes: Crashes) -> None:
    asked = Path(scenario.folder) / "asked.txt"
    first = replace(scenario, kill="after", durability="async")
    processes.killed(first)
    before = len(asked.read_text().splitlines())
    processes.told(replace(first, kill="never", do="resume"))
    assert len(asked.read_text().splitlines()) == before + 1  # for the answer; the call for the credit was kept


def test_another_request_on_the_thread_of_a_crashed_run_is_another_run(scenario: Scenario, processes: Crashes) -> None:
    first = replace(scenario, kill="after", durability="exit")
    processes.killed(first)
    told = processes.told(replace(first, kill="never", text="Something else"))
    assert told["kinds"].count("run.resumed") == 0
    assert credited(Path(scenario.folder)) == 2  # two requests, two credits

"""A small run of the crash trial, and that the trial can fail (threat 35)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from edgewright.contracts.digest import canonical, digest_bytes
from edgewright.ledger.entry import Draft, Payload
from edgewright.ledger.records import (
    EffectDone,
    EffectFailed,
    EffectIntended,
    Record,
    ReviewAsked,
    RunEnded,
    RunStarted,
)
from edgewright.ledger.sqlite import SqliteLedger
from edgewright.tools.asking import OUTCOME_UNKNOWN

from bench.crash.audit import Audit, Hidden, of_both, of_world
from bench.crash.systems import AROUND, DURABILITIES, SCENARIOS, pairs
from bench.crash.world import WAYS, Slot, World, slots_in

ROOT = Path(__file__).parents[2]
BOUND = 100.0
KILLS = 20


# -- a small run ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    """The trial by its command: it forks, which only a process without threads may do."""
    command = [sys.executable, "-W", "error", "-m", "bench.crash", "--kills", str(KILLS), "--seed", "5"]
    # A kill takes nothing from the kernel, so what is durable need not reach a disk here.
    where = {"TMPDIR": "/dev/shm"} if os.access("/dev/shm", os.W_OK) else {}
    done = subprocess.run(
        [*command, "--ungoverned", "--json"],
        cwd=ROOT,
        env={**os.environ, **where},
        capture_output=True,
        text=True,
        timeout=BOUND,
        check=False,
    )
    assert done.stdout, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    assert (done.returncode, told["faults"]) == (0, [])
    return told


@pytest.mark.slow
def test_killed_processes_lose_no_effect_repeat_none_and_park_each_that_is_unknown(found: dict[str, Any]) -> None:
    figures = found["figures"]["governed"]
    assert figures["kills"] >= KILLS
    assert figures["effects"] == figures["wanted"] > 0
    assert [figures[name] for name in ("repeats", "lost", "against", "runs with a fault")] == [0, 0, 0, 0]
    unknown = figures["idempotency"]["none, without"]
    assert unknown["parked"] == unknown["unknown"]


@pytest.mark.slow
def test_the_same_tools_without_a_gate_repeat_effects(found: dict[str, Any]) -> None:
    figures = found["figures"]["ungoverned"]
    assert figures["kills"] >= KILLS
    assert figures["repeats"] > 0


def test_every_scenario_is_tried_with_every_durability_that_promises_anything() -> None:
    tried = set(pairs(list(SCENARIOS)))
    left_out = {(s, d) for s in SCENARIOS for d in DURABILITIES} - tried
    assert left_out == {(s, "exit") for s in AROUND}
    assert set(pairs(["sent"], ["exit"])) == {("sent", "exit")}


# -- it can fail ------------------------------------------------------------------------------------------------------

RUN = "r"
SLOTS = {way: Slot(0, 0, i, way) for i, way in enumerate(WAYS)}
REFUSED = Slot(0, 0, 9, "key", "no")


def arguments(slot: Slot, note: str = "a") -> dict[str, Any]:
    return {"slot": slot.name, "cents": 1, "note": note}


def kept(value: Any) -> Payload:
    body = canonical(value)
    return Payload(digest_bytes(body), body)


def intent(slot: Slot, at: str = "a#r0.0") -> Draft:
    body = kept(arguments(slot))
    record = EffectIntended(effect=at, tool=slot.way, arguments=body.ref, idempotency="none")
    return Draft(record=record, key=f"intent:{at}", payloads=(body,))


def done(slot: Slot, at: str = "a#r0.0") -> Draft:
    body = kept({"done": True})
    record = EffectDone(effect=at, tool=slot.way, changes_world=True, outcome=body.ref, seconds=0)
    return Draft(record=record, key=f"outcome:{at}", payloads=(body,))


def failed(slot: Slot, at: str = "a#r0.0") -> Draft:
    return Draft(record=EffectFailed(effect=at, tool=slot.way, error="?", unknown=True), key=f"outcome:{at}")


def parked(slot: Slot, at: str = "a#r0.0") -> Draft:
    asked = ReviewAsked(review="q", at=at, agent="a", about=slot.way, binding="", rules=[OUTCOME_UNKNOWN.id])
    return Draft(record=asked, key="asked:q")


def compared(folder: Path, slot: Slot, *drafts: Draft, hidden: Hidden = frozenset(), end: bool = True) -> Audit:
    """The audit of one run that the ledger tells so, over the world as it is in the folder."""
    started = RunStarted(
        system="s", system_digest="", policy_digest="", environment="", thread="t", request="", agents={}
    )
    last: tuple[Record, ...] = (RunEnded(status="completed"),) if end else ()
    ledger = SqliteLedger(folder / "home" / "edgewright.db")
    ledger.append(RUN, [Draft(record=started), *drafts, *(Draft(record=r) for r in last)]).result(BOUND)
    ledger.close()
    return of_both([slot], folder, hidden, runs=1)


def test_a_world_and_a_ledger_that_agree_have_no_fault(tmp_path: Path) -> None:
    slot = SLOTS["none"]
    World(tmp_path).do("none", f"{RUN}/a#r0.0", arguments(slot))
    assert compared(tmp_path, slot, intent(slot), done(slot)).faults == []


def test_what_happened_twice_is_a_repeat_whatever_its_key(tmp_path: Path) -> None:
    world = World(tmp_path)
    for way, slot in SLOTS.items():
        world.do(way, "k1", arguments(slot))
        world.do(way, "k2", arguments(slot, "b"))
    found = of_world(list(SLOTS.values()), world)
    assert [c.repeats for c in found.ways.values()] == [1, 1, 1, 1]
    assert len([f for f in found.faults if "2 times" in f]) == 4


def test_a_key_and_the_same_arguments_are_known_again_and_the_rest_is_not(tmp_path: Path) -> None:
    world = World(tmp_path)
    for way, slot in SLOTS.items():
        world.do(way, "k", arguments(slot, "a"))
        world.do(way, "k", arguments(slot, "b" if way == "key" else "a"))
    found = of_world(list(SLOTS.values()), world)
    assert {way: (c.effects, c.again) for way, c in found.ways.items()} == {
        "key": (1, 1),
        "natural": (1, 1),
        "probe": (2, 0),
        "none": (2, 0),
    }


def test_what_never_happened_is_lost_and_what_was_refused_must_not_happen(tmp_path: Path) -> None:
    world = World(tmp_path)
    assert asdict(of_world([SLOTS["key"], REFUSED], world).ways["key"])["lost"] == 1
    world.do("key", "k", arguments(REFUSED))
    assert of_world([REFUSED], world).ways["key"].against == 1


Case = Callable[[Slot], dict[str, Any]]
CASES: dict[str, tuple[str, Case]] = {
    "done on the ledger alone": ("the world has not seen it", lambda s: {"drafts": (intent(s), done(s)), "does": None}),
    "done without an intent": ("without an intent", lambda s: {"drafts": (done(s),)}),
    "done with other arguments": ("other arguments", lambda s: {"drafts": (intent(s), done(s)), "does": "b"}),
    "intended, and left open": ("0 outcomes", lambda s: {"drafts": (intent(s),)}),
    "a run that did not end": ("says of a run", lambda s: {"drafts": (intent(s), done(s)), "end": False}),
    "unknown and not parked": (
        "parked 0 times",
        lambda s: {"drafts": (intent(s), done(s)), "hidden": frozenset({(f"{RUN}/a#r0.0", "none", 1)})},
    ),
    "parked and never unknown": ("hidden 0 times", lambda s: {"drafts": (intent(s), parked(s), failed(s))}),
}


@pytest.mark.parametrize("case", CASES)
def test_a_ledger_that_does_not_agree_with_the_world_is_a_fault(case: str, tmp_path: Path) -> None:
    (fault, made), slot = CASES[case], SLOTS["none"]
    given = made(slot)
    if (note := given.pop("does", "a")) is not None:
        World(tmp_path).do("none", f"{RUN}/a#r0.0", arguments(slot, note))
    found = compared(tmp_path, slot, *given.pop("drafts"), **given)
    assert any(fault in f for f in found.faults), found.faults


def test_an_effect_hidden_by_a_kill_and_never_probed_is_a_fault(tmp_path: Path) -> None:
    slot, key = SLOTS["probe"], f"{RUN}/a#r0.0"
    world, hidden = World(tmp_path), frozenset({(key, "probe", 1)})
    world.do("probe", key, arguments(slot))
    assert any("never probed" in f for f in compared(tmp_path, slot, intent(slot), done(slot), hidden=hidden).faults)
    assert world.probed(key)
    assert of_both([slot], tmp_path, hidden, runs=1).faults == []


def test_a_plan_is_read_back_from_the_words_of_a_request() -> None:
    plan = [*SLOTS.values(), REFUSED, Slot(12, 3, 4, "none", "ask")]
    assert slots_in(f'{{"work": "{" ".join(s.name for s in plan)}"}}') == plan

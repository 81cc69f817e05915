"""One dead integration under load, in small: it fails whom it must, nobody else, and nothing is done twice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from io import BytesIO
from typing import Any

import pytest
from PIL import Image

from bench.outage.__main__ import main
from bench.outage.load import Done, Load
from bench.outage.office import DEATHS, FAILURES, LATER, Dead, Desk
from bench.outage.picture import painted
from bench.outage.plain import play_plain
from bench.outage.report import Times, faults, slow, times
from bench.outage.scene import Called, Moved, Scene, play

SMALL = Load(runs=20, window=0.6, every=0.1)


@pytest.mark.slow
@pytest.mark.parametrize("dead", [None, *DEATHS])
def test_a_dead_integration_fails_as_declared_is_left_alone_and_what_it_missed_is_done_once(dead: Dead | None) -> None:
    scene = play(dead, SMALL, returns=1.6, takes=0.25)
    assert faults(scene, SMALL) == []
    assert len(scene.ninety) == 18
    assert bool(scene.letters) == (dead is not None)


@pytest.mark.slow
def test_without_containment_what_hangs_takes_every_thread() -> None:
    seen = play_plain(SMALL)
    assert len([d for d in seen.well if d.desk == "biller"]) == 18
    assert {d.desk for d in seen.dead} == {"biller"}
    assert seen.stuck > 0


# -- what should not be is seen ---------------------------------------------------------------------------------------


def _done(number: int, desk: Desk, **more: Any) -> Done:
    given = {"order": f"o-{number}", "desk": desk, "later": False, "began": 0.0, "ended": 2.0, "answer": "done"}
    return Done(**{**given, **more})


def _scene(**more: Any) -> Scene:
    ends: dict[Desk, dict[str, Any]] = {
        "biller": {},
        "shipper": {"answer": "", "error": "ToolFailed"},
        "courier": {"answer": LATER, "marks": ("degraded",)},
        "notifier": {"answer": "", "marks": ("gap",)},
    }
    done = [_done(n, desk, **ends[desk]) for n, desk in enumerate(SMALL.desks())]
    moves = [("closed", "open", 1.0), ("open", "half_open", 2.0), ("half_open", "closed", 2.1)]
    calls = [(0.1, "failed", 1, False), (1.1, "refused", 0, False), (1.9, "done", 1, True)]
    given: dict[str, Any] = {
        "dead": "hangs",
        "done": tuple(done),
        "moves": tuple(_moved(*m) for m in moves),
        "calls": tuple(_called(*c) for c in calls),
        "returned": 1.5,
        "reached": 2,
        "letters": ("o-0",),
        "retried": {"o-0": "completed"},
        "effects": {"o-0": 1},
    }
    return Scene(**{**given, **more})


def _moved(before: Any, after: Any, at: float, failures: int = FAILURES) -> Moved:
    return Moved(at=at, before=before, after=after, failures=failures)


def _called(at: float, became: Any, tries: int, probe: bool, ended: float = 2.2) -> Called:
    return Called(at=at, ended=ended, tries=tries, probe=probe, became=became)


FINE = _scene()


def _with(place: int, **more: Any) -> tuple[Done, ...]:
    done = list(FINE.done)
    done[place] = replace(done[place], **more)
    return tuple(done)


@pytest.mark.parametrize(
    ("given", "seen"),
    [
        ({}, []),
        ({"done": FINE.done[1:]}, ["are missing", "the dead letters are"]),
        ({"done": _with(1, error="ToolFailed")}, ["o-1 (biller) ended", "the dead letters are"]),
        ({"done": _with(1, marks=("gap",))}, ["o-1 (biller) ended"]),
        ({"done": _with(0, error="KeyError")}, ["o-0 (shipper) ended"]),
        ({"done": _with(10, marks=())}, ["o-10 (courier) ended"]),
        ({"moves": ()}, ["the breaker moved []"]),
        ({"moves": (_moved("closed", "open", 1.0, 9), *FINE.moves[1:])}, ["opened after 9 failures"]),
        ({"returned": 2.5}, ["closed while the warehouse was dead"]),
        ({"calls": FINE.calls[::2]}, ["nothing was refused"]),
        ({"calls": FINE.calls[:2], "reached": 1}, ["0 calls were let through to try it"]),
        ({"calls": (*FINE.calls, _called(1.2, "failed", 1, False)), "reached": 3}, ["1 calls were let through while"]),
        ({"calls": (*FINE.calls, _called(1.2, "done", 1, False, 1.9)), "reached": 3}, ["1 calls were let through"]),
        ({"reached": 3}, ["the warehouse got 3 requests, and 2 were let through"]),
        ({"effects": {"o-0": 2}}, ["order o-0 was shipped 2 times"]),
        ({"effects": {}}, ["o-0 was retried and not shipped"]),
        ({"letters": (), "retried": {}, "effects": {}}, ["['o-0'] failed, and the dead letters are []"]),
        (
            {"retried": {"o-0": "ToolFailed"}, "left": 1},
            ["retry of o-0 ended with ToolFailed", "1 dead letters are left"],
        ),
    ],
)
def test_what_should_not_be_is_seen(given: dict[str, Any], seen: Sequence[str]) -> None:
    found = faults(_scene(**given), SMALL)
    assert len(found) == len(seen), found
    assert all(part in fault for part, fault in zip(seen, found, strict=True)), found


def test_a_further_run_is_answered_only_once_the_integration_is_back() -> None:
    early = _done(99, "shipper", later=True, ended=1.0)
    assert "o-99" in faults(_scene(done=(*FINE.done, early)), SMALL)[0]
    assert faults(_scene(done=(*FINE.done, replace(early, ended=2.0))), SMALL) == []


def test_times_are_those_that_so_many_runs_do_not_exceed() -> None:
    groups = [[_done(n, "biller", began=0.0, ended=float(n)) for n in range(first, first + 10)] for first in (1, 11)]
    assert times(groups) == Times(p50=10.0, p95=19.0, total=15.0)


def test_the_ninety_are_too_slow_where_any_of_their_times_is_above_the_aim() -> None:
    well = _scene(dead=None)
    late = _scene(done=tuple(replace(d, ended=2.5) for d in FINE.done))
    assert slow([well, FINE]) == []
    assert [f.rpartition("(")[2] for f in slow([well, late])] == ["p50)", "p95)", "total)"]


def test_the_picture_is_twice_a_thousand_wide() -> None:
    with Image.open(BytesIO(painted(_scene(dead=None), FINE, SMALL))) as found:
        assert (found.format, found.width) == ("PNG", 2000)


def test_arguments_that_are_none_are_refused() -> None:
    with pytest.raises(SystemExit):
        main(["--rounds", "many"])

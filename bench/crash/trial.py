"""The trial: run after run is killed until so many kills are done, and each run is audited when it has ended."""

from __future__ import annotations

import gc
import json
import os
import random
import tempfile
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any, NoReturn

from edgewright.graphs.system import Durability

from bench.crash.audit import Audit, in_a_process, of_both, of_world
from bench.crash.fuse import GOVERNED, PLAIN
from bench.crash.governed import life_of
from bench.crash.lives import Lived, Typical, forked, lived
from bench.crash.plain import life_of_plain
from bench.crash.systems import SIDE_BY_SIDE, Play, Scenario, planned
from bench.crash.world import World


@dataclass(slots=True, kw_only=True)
class Tried:
    """One run on trial, and what was found when it had ended."""

    scenario: Scenario
    durability: Durability
    governed: bool
    seed: str
    kills: int
    lives: int
    audit: Audit
    deaths: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """For a pipe, and for machines."""
        found = {name: getattr(self, name) for name in self.__slots__}
        return {**found, "audit": self.audit.as_json()}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Tried:
        """The inverse of `as_json`."""
        return cls(**{**data, "audit": Audit.from_json(data["audit"])})


def tried(scenario: Scenario, durability: Durability, *, governed: bool, seed: str, typical: Typical) -> Tried:
    """Kill one run until it ends, and audit it."""
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="edgewright-crash-") as name:
        folder = Path(name)
        slots = planned(scenario, rng, asking=rng.random() < 0.4 if governed else False)
        play = Play(scenario=scenario, durability=durability, slots=slots, folder=folder)
        if governed:
            lives = {"go": partial(life_of, play, answers=False), "answer": partial(life_of, play, answers=True)}
            run = lived(lives, rng, GOVERNED, home=folder / "home", typical=typical)
            hidden, runs = frozenset(run.hidden), SIDE_BY_SIDE[scenario] if scenario == "sent" else 1
            audited = forked(in_a_process(partial(of_both, slots, folder, hidden, runs=runs))) or {}
        else:
            plain = partial(life_of_plain, play)
            run = lived({"go": plain, "answer": plain}, rng, PLAIN, home=None, typical=typical)
            audited = of_world(slots, World(folder)).as_json()
    return Tried(
        scenario=scenario,
        durability=durability,
        governed=governed,
        seed=seed,
        kills=len(run.deaths),
        lives=run.lives,
        audit=_with_end(audited, run),
        deaths=[str(kill) for kill in run.deaths],
    )


def _with_end(audited: dict[str, Any], run: Lived) -> Audit:
    if "error" in audited or not audited:
        audit = Audit()
        audit.fault(f"it could not be audited: {audited.get('error', 'killed')}")
    else:
        audit = Audit.from_json(audited)
    if run.told.get("status") != "completed":
        audit.fault(f"it ended as {run.told.get('status', 'an error')}: {run.told.get('error', '')}")
    return audit


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is to be tried: how many kills, in which scenarios with which durability, with the gate or without."""

    kills: int
    seed: int
    pairs: Sequence[tuple[Scenario, Durability]]
    governed: bool = True
    workers: int = 2


def trial(wanted: Wanted) -> Iterator[Tried]:
    """Try a run of each pair in turn, until so many processes were killed."""
    gc.freeze()
    done, typical = 0, {s: Typical() for s, _ in wanted.pairs}
    order = random.Random(wanted.seed).sample(
        wanted.pairs, len(wanted.pairs)
    )  # or a small share has the first ones only
    for turn, (scenario, durability) in enumerate(cycle(order)):
        if done >= wanted.kills:
            return
        seed = f"{wanted.seed}.{turn}"
        found = tried(scenario, durability, governed=wanted.governed, seed=seed, typical=typical[scenario])
        done += found.kills
        yield found


def tried_by_workers(wanted: Wanted) -> list[Tried]:
    """`trial` in several processes at once, each with its share of the kills and seeds of its own."""
    found, began = list[Tried](), list[tuple[int, Any]]()
    for worker in range(wanted.workers):
        file = tempfile.TemporaryFile("w+")  # noqa: SIM115 - read and closed below, when its worker is done
        pid = os.fork()
        if not pid:
            _work(wanted, worker, file, os.getppid())
        began.append((pid, file))
    failed = [pid for pid, _ in began if os.waitpid(pid, 0)[1]]
    for _, file in began:
        with file:
            file.seek(0)
            found += [Tried.from_json(json.loads(line)) for line in file]
    if failed:
        raise RuntimeError(f"workers {failed} of the crash trial failed; what they said is above")
    return found


def _work(wanted: Wanted, worker: int, file: Any, parent: int) -> NoReturn:
    code = 1
    try:
        share = wanted.kills // wanted.workers + (worker < wanted.kills % wanted.workers)
        for found in trial(replace(wanted, kills=share, seed=wanted.seed * wanted.workers + worker)):
            file.write(json.dumps(found.as_json()) + "\n")
            file.flush()
            if os.getppid() != parent:  # nobody waits for this any more
                break
        code = 0
    except Exception:  # noqa: BLE001 - it goes to whoever reads the errors; nothing of the parent may run on here
        traceback.print_exc()
    finally:
        os._exit(code)

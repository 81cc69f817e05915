"""World and ledger compared, when a run has ended. The plan and the world decide; the ledger has to agree with them."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from edgewright.contracts.errors import LedgerCorrupt
from edgewright.ledger.entry import Entry, verify
from edgewright.ledger.records import (
    ContractPassed,
    EffectDone,
    EffectFailed,
    EffectIntended,
    ReviewAsked,
    RunResumed,
    RunStarted,
)
from edgewright.ledger.sqlite import SqliteLedger
from edgewright.ledger.store import Ledger
from edgewright.tools.asking import OUTCOME_UNKNOWN

from bench.crash.world import WAYS, Effect, Slot, World

Hidden = frozenset[tuple[str, str, int]]
_BEGINNING = frozenset({RunStarted.kind, RunResumed.kind, ContractPassed.kind})


@dataclass(slots=True)
class Counts:
    """Of the effects of one way.

    Attributes:
        wanted: slots whose business had to be done.
        effects: what the world has seen.
        repeats: how many of these were one too many.
        lost: what the world has not seen although the run ended, or although the ledger says that it was done.
        against: done although a person had said no.
        unknown: had an intent and no outcome when a process died.
        parked: put before a person as outcome unknown.
        probed: looked up by their probe.
        again: done again with the same key or arguments, to no effect.
    """

    wanted: int = 0
    effects: int = 0
    repeats: int = 0
    lost: int = 0
    against: int = 0
    unknown: int = 0
    parked: int = 0
    probed: int = 0
    again: int = 0

    def add(self, other: Counts) -> None:
        """Take the counts of more effects in."""
        for name, value in asdict(other).items():
            setattr(self, name, getattr(self, name) + value)


@dataclass(slots=True)
class Audit:
    """What was found of one run: counts by way, and in words whatever should not be.

    `left` is how many runs had begun, and done nothing, when a kill made the thread begin another one in their place.
    """

    ways: dict[str, Counts] = field(default_factory=lambda: {way: Counts() for way in WAYS})
    faults: list[str] = field(default_factory=list)
    left: int = 0

    def fault(self, text: str) -> None:
        """Note what should not be, once."""
        if text not in self.faults:
            self.faults.append(text)

    def as_json(self) -> dict[str, Any]:
        """For a pipe."""
        return {"ways": {w: asdict(c) for w, c in self.ways.items()}, "faults": self.faults, "left": self.left}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Audit:
        """The inverse of `as_json`."""
        return cls({way: Counts(**c) for way, c in data["ways"].items()}, list(data["faults"]), data["left"])


def of_world(slots: Sequence[Slot], world: World) -> Audit:
    """What the plan and the world tell by themselves."""
    found, effects = Audit(), world.effects()
    times = Counter(e.slot for e in effects)
    for slot in slots:
        counts, seen = found.ways[slot.way], times[slot.name]
        counts.wanted += slot.times
        counts.effects += seen
        if seen > 1:
            counts.repeats += seen - 1
            found.fault(f"{slot.name} was done {seen} times")
        if seen < slot.times:
            counts.lost += 1
            found.fault(f"{slot.name} was not done")
        if seen > slot.times == 0:
            counts.against += 1
            found.fault(f"{slot.name} was done although a person said no")
    for name in times.keys() - {s.name for s in slots}:
        found.fault(f"{name} was done and is in no plan")
    at = defaultdict[str, set[str]](set)
    for effect in effects:
        at[effect.key].add(effect.slot)
    for key, names in at.items():
        if len(names) > 1:
            found.fault(f"under {key} were done {', '.join(sorted(names))}")
    attempts = Counter(way for way, _ in world.attempts())
    for way in ("key", "natural"):
        found.ways[way].again = attempts[way] - found.ways[way].effects
    found.ways["probe"].probed = len(world.probes())
    return found


def of_both(slots: Sequence[Slot], folder: Path, hidden: Hidden, *, runs: int) -> Audit:
    """What the world tells, and whether the ledger agrees.

    Args:
        hidden: (position, tool, intents so far) of what had no outcome when a process died.
        runs: how many governed runs there should have been.
    """
    world = World(folder)
    found, ledger = of_world(slots, world), SqliteLedger(folder / "home" / "edgewright.db")
    try:
        entries, acted = list[Entry](), 0
        for summary in ledger.runs():
            of_run = ledger.entries(summary.run)
            try:
                verify(summary.run, of_run)
            except LedgerCorrupt as error:
                found.fault(str(error))
            if not _BEGINNING.issuperset(e.kind for e in of_run):
                acted += 1
                if summary.status != "completed":
                    found.fault(f"the ledger says of a run: {summary.status}")
            entries += of_run
        found.left = len({e.run for e in entries}) - acted
        if acted != runs:
            found.fault(f"{acted} runs did anything, not {runs}")
        _compare(found, world.effects(), entries, ledger)
        _unknown(found, world.probes(), entries, hidden)
    finally:
        ledger.close()
    return found


def _compare(found: Audit, effects: Sequence[Effect], entries: Iterable[Entry], ledger: Ledger) -> None:
    """Each effect has its intent, with these arguments, and one outcome; each outcome has its effect."""
    seen = defaultdict[str, list[Effect]](list)
    for effect in effects:
        seen[effect.key].append(effect)
    intended, ended = dict[str, Any](), Counter[str]()
    for entry in entries:
        match entry.record:
            case EffectIntended(effect=at, arguments=ref):
                body = ledger.exact(entry.run, ref)
                intended[f"{entry.run}/{at}"] = json.loads(body) if body else None
            case EffectDone(effect=at, tool=tool):
                ended[key := f"{entry.run}/{at}"] += 1
                if not seen[key]:
                    found.ways[tool].lost += 1
                    found.fault(f"{key} is done on the ledger, and the world has not seen it")
            case EffectFailed(effect=at):
                ended[f"{entry.run}/{at}"] += 1
            case _:
                pass
    for key, each in seen.items():
        for effect in each:
            if key not in intended:
                found.fault(f"{effect.slot} was done without an intent")
            elif intended[key] != effect.arguments:
                found.fault(f"{effect.slot} was done with other arguments than intended")
    for key in intended:
        if ended[key] != 1:
            found.fault(f"{key} has {ended[key]} outcomes on the ledger")


def _unknown(found: Audit, probes: Sequence[str], entries: Iterable[Entry], hidden: Hidden) -> None:
    """What a kill hid was put before a person, or looked up; and nothing else was."""
    parked = defaultdict[str, set[str]](set)
    for entry in entries:
        if isinstance(asked := entry.record, ReviewAsked) and asked.rules == [OUTCOME_UNKNOWN.id]:
            parked[f"{entry.run}/{asked.at}"].add(asked.review)
            found.ways[asked.about].parked += 1
    begun = Counter(at for at, tool, _ in hidden if tool == "none")
    for at in {*begun, *parked}:
        if begun[at] != len(parked[at]):
            found.fault(f"{at} was hidden {begun[at]} times and parked {len(parked[at])} times")
    for at, tool, _ in hidden:
        found.ways[tool].unknown += 1
        if tool == "probe" and at not in probes:
            found.fault(f"{at} was hidden and never probed")


def in_a_process(audit: Callable[[], Audit]) -> Callable[[], Coroutine[Any, Any, dict[str, Any]]]:
    """An audit as a life: it opens the ledger, whose writer is a thread, so not where more lives are forked from."""

    async def life() -> dict[str, Any]:
        return audit().as_json()

    return life

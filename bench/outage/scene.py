"""One scene: the office under load, with the warehouse alive, or dead until it returns; and what is left of it."""

from __future__ import annotations

import asyncio
import tempfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edgewright.contracts.containment import Mode
from edgewright.graphs.dead import dead_letters, retry
from edgewright.ledger.entry import Entry
from edgewright.ledger.records import (
    CircuitMoved,
    EffectDone,
    EffectFailed,
    EffectIntended,
    EffectRefused,
    EffectRetried,
)
from edgewright.ledger.store import Ledger
from edgewright.tools.containment import BREAKERS

from bench.outage.load import Done, Driver, Load, Said
from bench.outage.office import SHIP, TAKES, Dead, Desk, Office, Services, office

RETURNS = 3.0
"""Seconds after which the warehouse is back."""
CALM = 0.5
"""Seconds for which further runs come after its breaker has closed."""
BY = "operations"
Became = Literal["done", "failed", "refused"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """The breaker moved, `at` so many seconds, after so many failures in a row."""

    at: float
    before: Mode
    after: Mode
    failures: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Called:
    """A call of the warehouse, as the ledger tells of it.

    Attributes:
        at: when it was intended; it may wait for a place after that.
        ended: when its outcome was known.
        tries: how often it was let through to the warehouse.
        probe: whether it was let through to see how the warehouse is.
        became: `done`, `failed`, or `refused`: never let through.
    """

    at: float
    ended: float
    tries: int
    probe: bool
    became: Became


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What was seen. Moments are seconds since the load began.

    Attributes:
        returned: when the warehouse was back; None where it never died.
        reached: how many requests of the load the warehouse got.
        letters: orders of the runs that were dead letters when the load was over.
        retried: how the retry of each of them ended: `completed`, or an error.
        left: dead letters after that.
        effects: how often each order was shipped in the end, as the warehouse counts.
        repeated: how often it was asked again, under a key that it knew.
    """

    dead: Dead | None
    done: tuple[Done, ...]
    moves: tuple[Moved, ...] = ()
    calls: tuple[Called, ...] = ()
    returned: float | None = None
    reached: int = 0
    letters: tuple[str, ...] = ()
    retried: Mapping[str, str]
    left: int = 0
    effects: Mapping[str, int]
    repeated: int = 0

    @property
    def ninety(self) -> list[Done]:
        """The runs that do not need the warehouse and have an answer."""
        return [d for d in self.done if d.desk == "biller" and not d.error]

    @property
    def ten(self) -> list[Done]:
        """Those of the hundred that need it."""
        return [d for d in self.done if d.desk != "biller" and not d.later]


def play(dead: Dead | None, load: Load, *, returns: float = RETURNS, takes: float = TAKES) -> Scene:
    """Play a scene in an office of its own.

    Args:
        returns: seconds after which the warehouse is back.
        takes: seconds that the billing service takes.
    """
    with tempfile.TemporaryDirectory(prefix="edgewright-outage-") as folder, Services(takes) as services:
        made = office(services, Path(folder))
        BREAKERS.clear(made.breaker)
        try:
            return asyncio.run(_played(dead, load, services, made, returns))
        finally:
            made.system.close()


async def _played(dead: Dead | None, load: Load, services: Services, made: Office, returns: float) -> Scene:
    system, warehouse = made.system, services.warehouse

    async def serve(order: str, desk: Desk) -> Said:
        found = await system.arun({"order": order, "desk": desk}, thread=order)
        return Said(answer=str((found.output or {}).get("told", "")), marks=tuple(m.kind for m in found.marks))

    await serve("warm-up", "biller")  # opens files, imports and compiles what the first run needs
    driver = Driver(name=dead or "well", serve=serve, load=load)
    returned: float | None = None
    closed: float | None = None

    def over() -> bool:
        nonlocal closed
        if dead is None:
            return True
        if returned is None or BREAKERS.mode(made.breaker) != "closed":
            return False
        closed = driver.now() if closed is None else closed
        return driver.now() >= closed + CALM

    async def outage(how: Dead) -> None:
        nonlocal returned
        services.dies(how)
        await asyncio.sleep(returns)
        await asyncio.to_thread(services.returns)
        returned = driver.now()

    async with asyncio.TaskGroup() as group:
        if dead is not None:
            group.create_task(outage(dead))
        group.create_task(driver.drive(over))
    ledger = system.ledger
    moves, calls = await asyncio.to_thread(_told, ledger, driver.zero)
    reached = len(warehouse.requests_at(SHIP))
    letters = await asyncio.to_thread(dead_letters, ledger)
    orders = {letter.run: letter.thread for letter in letters}
    ended = await asyncio.gather(*(retry(system, run, by=BY) for run in orders), return_exceptions=True)
    left = await asyncio.to_thread(dead_letters, ledger)
    keys = Counter(r.headers["idempotency-key"] for r in warehouse.requests_at(SHIP))
    return Scene(
        dead=dead,
        done=tuple(driver.done),
        moves=moves,
        calls=calls,
        returned=returned,
        reached=reached,
        letters=tuple(orders.values()),
        retried={
            order: type(how).__name__ if isinstance(how, BaseException) else how.status
            for order, how in zip(orders.values(), ended, strict=True)
        },
        left=len(left),
        effects=Counter(str(e.body["order"]) for e in warehouse.effects_at(SHIP)),
        repeated=sum(n - 1 for n in keys.values()),
    )


def _told(ledger: Ledger, zero: float) -> tuple[tuple[Moved, ...], tuple[Called, ...]]:
    """What the ledger tells of the breaker and of the calls of the warehouse, in order."""
    moves, calls = list[Moved](), list[Called]()
    for run in ledger.runs(limit=10**6):
        entries = ledger.entries(run.run)
        moves += [
            Moved(at=e.time - zero, before=r.before, after=r.after, failures=r.failures)  # type: ignore[arg-type]
            for e in entries
            if isinstance(r := e.record, CircuitMoved)
        ]
        if (call := _call(entries, zero)) is not None:
            calls.append(call)
    return tuple(sorted(moves, key=lambda m: m.at)), tuple(sorted(calls, key=lambda c: c.at))


def _call(entries: list[Entry], zero: float) -> Called | None:
    """The one call of the warehouse that a run has made, if it has."""
    at = next((e.time for e in entries if isinstance(e.record, EffectIntended) and e.record.tool == "ship"), None)
    if at is None:
        return None
    ended, became = next((e.time, _BECAME[type(e.record)]) for e in entries if type(e.record) in _BECAME)
    again = sum(isinstance(e.record, EffectRetried) for e in entries)
    probe = any(isinstance(e.record, CircuitMoved) and e.record.after == "half_open" for e in entries)
    tries = 0 if became == "refused" else again + 1
    return Called(at=at - zero, ended=ended - zero, tries=tries, probe=probe, became=became)


_BECAME: Mapping[type, Became] = {EffectDone: "done", EffectFailed: "failed", EffectRefused: "refused"}

"""Shared records: what runs of any system, in any process, change in common. Who may change one is decided here.

A shared record is named by tenant, kind and id ("customer C-17 of tenant local"). The ledger keeps for each how often
it was changed (its *version*), who changed it last, and which effect holds it now. It knows nothing of the record's
content: that lives in a business database, which only tools touch.

An effect *claims* its record in the transaction that makes its intent durable, and *settles* it in the one that makes
its outcome durable. So there is no moment at which an effect is on the ledger and its claim is not, or the other way
round. The rules:

- One effect at a time holds a record. Others wait, then get RecordBusy.
- Who read a record and changes it later must have read the newest version: else RecordConflict.
- Who never read it is only served in line.
- An effect that began and has no known outcome (crash, timeout, raise) keeps its claim. Until its *lease* is over it
  is taken to be under way; then others get RecordUnknown, until its run is resumed and settles it, or an operator
  releases the record.
- One kind of effect gives way when its lease is over: one that was not based on a read and that repeating by its key
  cannot do twice. Done late or done twice, it loses nobody's update. It may have happened, so the record counts as
  changed. An effect that only repeats its arguments does not give way: repeated late, it would write over what came
  in between.

Decisions are pure; the tables are in `shared_sqlite.py` and `shared_memory.py`.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol, assert_never, runtime_checkable

from ..contracts.errors import LedgerUnavailable, NotFound, RecordBusy, RecordConflict, RecordUnknown
from .records import Record, RecordClaimed, RecordReleased, RecordSettled
from .turns import Turns

if TYPE_CHECKING:
    from .entry import Draft
    from .items import Item, Put

# What an effect gets on top of its tool's timeout before its outcome counts as unknown: time to write it down.
MARGIN_SECONDS = 15.0
# Who waits for a record in this process. Settling one wakes the first of them.
TURNS = Turns()


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordId:
    """A shared record's name. `id` is taken as it is: two spellings are two records."""

    tenant: str
    kind: str
    id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Writer:
    """Who changes, or changed: the effect at a position of a run."""

    run: str
    system: str
    agent: str
    effect: str

    def __str__(self) -> str:
        return f"agent {self.agent!r} of system {self.system} in run {self.run}"

    def is_same(self, other: Writer | None) -> bool:
        """Whether it is the same effect."""
        return other is not None and (self.run, self.effect) == (other.run, other.effect)


NOBODY = Writer(run="", system="", agent="", effect="")


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """How a shared record stands.

    Attributes:
        alias: a random name that the chain uses for it. Whoever reads a run's records cannot guess the id from it.
        version: how often it was changed.
        writer: who changed it last.
        holder: the effect that claimed it and is not settled.
        until: when the holder's outcome counts as unknown, in seconds since the epoch.
        yields: whether the holder gives way then.
    """

    record: RecordId
    alias: str
    version: int = 0
    writer: Writer | None = None
    holder: Writer | None = None
    until: float = 0.0
    yields: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """Hold a record for an effect.

    Attributes:
        seen: the version that the effect is based on; None if it was never read.
        lease: seconds until its outcome counts as unknown.
        keyed: whether repeating it by its key does nothing more.
    """

    record: RecordId
    by: Writer
    seen: int | None
    lease: float
    keyed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Settle:
    """Say how an effect ended: it changed the record, or did not, or (`changed` None) nobody knows."""

    record: RecordId
    by: Writer
    changed: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """An operator's word that a held record may be used again. Raises NotFound when `holder` holds it no more."""

    record: RecordId
    holder: Writer
    by: str


Step = Claim | Settle | Release


def new_state(record: RecordId) -> State:
    """A record that nobody has read or changed yet."""
    return State(record=record, alias=secrets.token_hex(8))


def standing_at(state: State, now: float) -> State:
    """How a record stands at a moment: a holder that gives way is gone, and counts as having changed it."""
    if state.holder is None or not state.yields or now < state.until:
        return state
    return replace(state, version=state.version + 1, writer=state.holder, holder=None, yields=False, until=0.0)


def claimed(state: State, claim: Claim, now: float) -> State:
    """The record, held by the claim. The same effect may claim again.

    Raises:
        RecordBusy, RecordUnknown, RecordConflict.
    """
    state = standing_at(state, now)
    if state.holder is not None and not claim.by.is_same(state.holder):
        kind = RecordBusy if now < state.until else RecordUnknown
        raise kind(record=state.record.kind, asked=str(claim.by), **_named(state.holder))
    if state.holder is None and claim.seen is not None and claim.seen != state.version:
        raise conflict(state.record.kind, state.writer, str(claim.by), read=claim.seen, found=state.version)
    yields = claim.keyed and claim.seen is None
    return replace(state, holder=claim.by, until=now + claim.lease, yields=yields)


def settled(state: State, settle: Settle, now: float) -> State:
    """The record after an effect ended. An effect that lost its claim meanwhile has changed it all the same."""
    state = standing_at(state, now)
    mine = settle.by.is_same(state.holder)
    if settle.changed is None:
        # One that gives way keeps its lease: a function that ran out of time may still be at work in its thread.
        return replace(state, until=min(state.until, now)) if mine and not state.yields else state
    if mine:
        state = replace(state, holder=None, until=0.0, yields=False)
    return replace(state, version=state.version + 1, writer=settle.by) if settle.changed else state


def released(state: State, release: Release) -> State:
    """The record, free again. The effect may have happened, so it counts as changed."""
    if not release.holder.is_same(state.holder):
        raise NotFound(kind="effect that holds record", name=state.record.kind)
    writer = Writer(run=release.holder.run, system="operator", agent=release.by, effect="")
    return replace(state, version=state.version + 1, writer=writer, holder=None, until=0.0, yields=False)


def conflict(record: str, writer: Writer | None, asked: str, *, read: int, found: int) -> RecordConflict:
    """A RecordConflict with both sides' names."""
    return RecordConflict(record=record, asked=asked, read=read, found=found, **_named(writer or NOBODY))


def _named(writer: Writer) -> dict[str, str]:
    return {"run": writer.run, "system": writer.system, "agent": writer.agent}


class Table(Protocol):
    """The records inside one transaction."""

    def find(self, record: RecordId) -> State:
        """How it stands; a new state for one that is not there."""
        ...

    def put(self, state: State) -> None:
        """Keep a state."""
        ...


def applied(step: Step, record: Record, table: Table, now: float) -> Record:
    """Take a step in a transaction; returns the ledger record that goes with it, with what the table knows filled in.

    Raises:
        RecordBusy, RecordUnknown, RecordConflict, NotFound: then nothing was put.
    """
    before = table.find(step.record)
    match step:
        case Claim():
            after = claimed(before, step, now)
        case Settle():
            after = settled(before, step, now)
        case Release():
            after = released(before, step)
        case _:
            assert_never(step)
    table.put(after)
    match record:
        case RecordClaimed() | RecordReleased():
            return replace(record, alias=after.alias, version=after.version)
        case RecordSettled():
            sole = step.by.is_same(standing_at(before, now).holder) if isinstance(step, Settle) else False
            return replace(record, alias=after.alias, version=after.version, sole=sole)
        case _:
            return record


class Shared(Protocol):
    """The shared records and items of a ledger. Reads and `release` block: call them off the event loop."""

    def look(self, record: RecordId) -> State:
        """How a record stands. One that was never seen gets its alias now. Raises LedgerUnavailable."""
        ...

    def held(self) -> list[State]:
        """The records that an effect holds, the longest held first."""
        ...

    def release(self, record: RecordId, *, by: str) -> State:
        """Clear a record that an effect of unknown outcome holds, after looking at it.

        It goes on record in that effect's run, and everybody who read the record before has to read it again. If that
        run is resumed nevertheless, its effect has to claim the record anew.

        Args:
            by: who decided that.

        Raises:
            NotFound: no effect holds it.
        """
        ...

    def item(self, tenant: str, namespace: tuple[str, ...], key: str) -> Item | None:
        """A store item; one that was deleted has no value. None for one that never was."""
        ...

    def items(self, tenant: str, prefix: tuple[str, ...]) -> list[Item]:
        """The items there are under a namespace, by namespace and key."""
        ...

    def namespaces(self, tenant: str) -> list[tuple[str, ...]]:
        """The namespaces that hold items, sorted."""
        ...

    def put(self, puts: Sequence[Put]) -> Future[list[Item]]:
        """Write items, all or none. The future raises RecordConflict, LedgerUnavailable."""
        ...


@runtime_checkable
class KeepsShared(Protocol):
    """A ledger that keeps shared records."""

    @property
    def shared(self) -> Shared:
        """Its shared records."""
        ...


def shared_of(ledger: object) -> Shared:
    """The shared records of a ledger. Raises LedgerUnavailable for one that keeps none."""
    if not isinstance(ledger, KeepsShared):
        raise LedgerUnavailable(where=type(ledger).__name__, cause="it keeps no shared records")
    return ledger.shared


def filled(drafts: Sequence[Draft], known: Callable[[str], bool], table: Table, now: float) -> Sequence[Draft]:
    """Take the steps of the drafts that will be written; returns the drafts, their records filled in.

    Args:
        known: whether the run has a record of this key already.

    Raises:
        RecordBusy, RecordUnknown, RecordConflict, NotFound.
    """
    if all(draft.shared is None for draft in drafts):
        return drafts
    out: list[Draft] = []
    mine: set[str] = set()
    for draft in drafts:
        is_new = draft.key is None or not (draft.key in mine or known(draft.key))
        if draft.key is not None:
            mine.add(draft.key)
        step = draft.shared if is_new else None
        out.append(draft if step is None else replace(draft, record=applied(step, draft.record, table, now)))
    return out


def wake_settled(steps: Iterable[Step | None]) -> None:
    """Let those try who wait for the records that these steps settle. Called once the steps are durable."""
    for step in steps:
        if step is not None and not isinstance(step, Claim):
            TURNS.wake(step.record)

"""Shared records at the tool gate: what a call reads and changes in common with other runs, and on which version.

A read tool notes which version of its record it read, before it reads: whatever changes later shows. A changing tool
holds its record from intent to outcome. See `ledger/shared.py` for the rules. Generators without I/O, as the gate is.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Any

from ..contracts.errors import RecordRefusal
from ..ledger.entry import Draft, Entry
from ..ledger.records import RecordClaimed, RecordRead, RecordRefused, RecordSettled
from ..ledger.shared import MARGIN_SECONDS, Claim, RecordId, Settle, State, Writer
from .steps import Call, Look, Note, Step, Take, Write


def record_of(call: Call, arguments: Mapping[str, Any]) -> RecordId | None:
    """The shared record that a call is about, if its tool names one."""
    named = call.spec.record
    if named is None:
        return None
    tenant = call.activation.run.grounds.tenant
    return RecordId(tenant=tenant, kind=named.kind, id=str(arguments[named.by]))


def looked(call: Call, arguments: Mapping[str, Any]) -> Generator[Step, Any, State | None]:
    """How the call's record stands now."""
    record = record_of(call, arguments)
    if record is None:
        return None
    found: State = yield Look(record=record)
    return found


def read_drafts(call: Call, state: State | None) -> tuple[Draft, ...]:
    """What a read tool notes of the version it read; `state` is from before it read."""
    if state is None:
        return ()
    read = RecordRead(
        at=call.at,
        agent=call.activation.agent,
        tool=call.spec.name,
        record=state.record.kind,
        alias=state.alias,
        version=state.version,
    )
    return (Draft(record=read, key=f"read:{call.at}"),)


def begun(
    call: Call, arguments: Mapping[str, Any], drafts: tuple[Draft, ...], based: State | None
) -> Generator[Step, Any, list[Entry]]:
    """Write an effect's intent and hold its record, both or neither.

    Args:
        drafts: the intent; nothing for an effect that was intended before.
        based: how the record stood when the facts were looked up that the verdict rests on.

    Raises:
        RecordBusy, RecordConflict, RecordUnknown: nothing was written but the refusal.
    """
    state = yield from looked(call, arguments)
    if state is None:
        written: list[Entry] = (yield Write(drafts=drafts)) if drafts else []
        return written
    named, spec, agent = call.spec.record, call.spec, call.activation.agent
    assert named is not None
    seen = call.activation.run.versions.seen(agent, state.alias)
    claim = Claim(
        record=state.record,
        by=_writer(call),
        seen=based.version if seen is None and based is not None else seen,
        lease=spec.containment.longest + MARGIN_SECONDS,
        keyed=spec.idempotency == "key",
    )
    held = RecordClaimed(effect=call.at, agent=agent, tool=spec.name, record=named.kind)
    # With an intent the claim has a key, as the intent has: if another process of this run was first, both are its.
    key = call.activation.run.key("claimed", call.at) if drafts else None
    wait = spec.timeout if named.wait is None else named.wait
    claiming = (*drafts, Draft(record=held, key=key, shared=claim))
    try:
        taken: list[Entry] = yield Take(drafts=claiming, record=state.record, wait=wait)
        return taken
    except RecordRefusal as error:
        yield Note(drafts=(Draft(record=_refused(call, error)),))
        raise


def _refused(call: Call, error: RecordRefusal) -> RecordRefused:
    return RecordRefused(
        at=call.at,
        agent=call.activation.agent,
        tool=call.spec.name,
        record=error.record,
        error=type(error).__name__,
        reason=str(error),
    )


def settling(call: Call, arguments: Mapping[str, Any], *, changed: bool) -> tuple[Draft, ...]:
    """What is written with an effect's outcome: its record is free again."""
    record = record_of(call, arguments)
    if record is None or not call.spec.changes_world:
        return ()
    settled = RecordSettled(
        effect=call.at, agent=call.activation.agent, tool=call.spec.name, record=record.kind, changed=changed
    )
    # Without a key: where two processes did one effect, the second one's claim is settled too.
    return (Draft(record=settled, shared=Settle(record=record, by=_writer(call), changed=changed)),)


def in_doubt(call: Call, arguments: Mapping[str, Any]) -> Settle | None:
    """What becomes of the record when nobody knows how the effect ended: it stays held."""
    record = record_of(call, arguments)
    if record is None or not call.spec.changes_world:
        return None
    return Settle(record=record, by=_writer(call), changed=None)


def is_stale(call: Call, based: State | None) -> bool:
    """Whether a conflict only says that the verdict's facts are old, so that the gate itself can look again."""
    return based is not None and call.activation.run.versions.seen(call.activation.agent, based.alias) is None


def _writer(call: Call) -> Writer:
    grounds = call.activation.run.grounds
    return Writer(run=grounds.run, system=grounds.system, agent=call.activation.agent, effect=call.at)

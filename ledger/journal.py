"""What a run did to the world, effect by effect, as its records tell it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from .entry import Entry
from .records import (
    EffectDone,
    EffectFailed,
    EffectIntended,
    EffectRefused,
    EffectReused,
    UndoDone,
    UndoFailed,
    UndoIntended,
)

Status = Literal["done", "refused", "failed", "unknown", "intended"]
UndoStatus = Literal["done", "failed", "unknown", "intended"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Undo:
    """How an effect's undoing stands, by its newest record.

    Attributes:
        status: `done`; `failed` (nothing was undone); `unknown` (it may be undone); `intended` (a crash or a stop came
            before any outcome: it may be undone too).
        by: who undid it, or tried to.
        tries: how often it was begun.
        idempotency: of the tool, when it was begun last.
        said: why it failed.
    """

    status: UndoStatus
    by: str
    tries: int = 0
    idempotency: str = ""
    said: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """One effect of a run.

    Attributes:
        at: its key in the run: the position of the reply and of the call in it.
        status: `done`; `refused` (for a business reason, nothing was done); `failed` (nothing was done); `unknown` (it
            may have happened); `intended` (a crash or a stop came before any outcome: it may have happened too).
        arguments, outcome: refs of payloads; `said` is why it was refused or failed.
        reused: how often a re-execution was given the recorded outcome instead of the effect.
        undo: how its undoing stands; None where nobody began to undo it.
    """

    at: str
    tool: str
    idempotency: str
    status: Status
    arguments: str
    intended: float
    ended: float | None = None
    outcome: str = ""
    said: str = ""
    reused: int = 0
    undo: Undo | None = None

    @property
    def certain(self) -> bool:
        """Whether it is known that it happened, or that it did not; and that it was undone, or was not."""
        undone = self.undo is None or self.undo.status in ("done", "failed")
        return undone and self.status in ("done", "refused", "failed")


def effects_of(entries: Sequence[Entry]) -> list[Effect]:
    """The effects of a run on the world, in the order in which they were intended. Reads are none."""
    intended: dict[str, Entry] = {}
    ended: dict[str, Entry] = {}
    reused: dict[str, int] = {}
    undos: dict[str, Undo] = {}
    for entry in entries:
        match entry.record:
            case EffectIntended(effect=at):
                intended.setdefault(at, entry)
            case EffectDone(effect=at) | EffectRefused(effect=at) | EffectFailed(effect=at):
                ended[at] = entry
            case EffectReused(effect=at):
                reused[at] = reused.get(at, 0) + 1
            case UndoIntended(effect=at) | UndoDone(effect=at) | UndoFailed(effect=at) as record:
                undos[at] = _undo(record, undos.get(at))
            case _:
                pass
    return [_effect(at, entry, ended.get(at), reused.get(at, 0), undos.get(at)) for at, entry in intended.items()]


def _undo(record: UndoIntended | UndoDone | UndoFailed, before: Undo | None) -> Undo:
    found = before or Undo(status="intended", by=record.by)
    match record:
        case UndoIntended(idempotency=way):
            found = replace(found, status="intended", tries=found.tries + 1, idempotency=way, said="")
        case UndoDone():
            found = replace(found, status="done", said="")
        case UndoFailed(error=error, unknown=unknown):
            found = replace(found, status="unknown" if unknown else "failed", said=error)
    # What is undone stays so: of two who undid it at once, the slower one may have failed.
    return before if before is not None and before.status == "done" else replace(found, by=record.by)


def _effect(at: str, began: Entry, end: Entry | None, reused: int, undo: Undo | None) -> Effect:
    record = began.record
    assert isinstance(record, EffectIntended)
    status: Status = "intended"
    outcome = said = ""
    match end.record if end is not None else None:
        case EffectDone() as done:
            status, outcome = "done", done.outcome
        case EffectRefused() as refused:
            status, said = "refused", refused.reason
        case EffectFailed() as failed:
            status, said = ("unknown" if failed.unknown else "failed"), failed.error
        case _:
            pass
    return Effect(
        at=at,
        tool=record.tool,
        idempotency=record.idempotency,
        status=status,
        arguments=record.arguments,
        intended=began.time,
        ended=end.time if end is not None else None,
        outcome=outcome,
        said=said,
        reused=reused,
        undo=undo,
    )

"""What a run did to the world, effect by effect, as its records tell it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from .entry import Entry
from .records import EffectDone, EffectFailed, EffectIntended, EffectRefused, EffectReused

Status = Literal["done", "refused", "failed", "unknown", "intended"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """One effect of a run.

    Attributes:
        at: its key in the run: the position of the reply and of the call in it.
        status: `done`; `refused` (for a business reason, nothing was done); `failed` (nothing was done); `unknown` (it
            may have happened); `intended` (a crash or a stop came before any outcome: it may have happened too).
        arguments, outcome: refs of payloads; `said` is why it was refused or failed.
        reused: how often a re-execution was given the recorded outcome instead of the effect.
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

    @property
    def certain(self) -> bool:
        """Whether it is known that it happened, or that it did not."""
        return self.status in ("done", "refused", "failed")


def effects_of(entries: Sequence[Entry]) -> list[Effect]:
    """The effects of a run on the world, in the order in which they were intended. Reads are none."""
    intended: dict[str, Entry] = {}
    ended: dict[str, Entry] = {}
    reused: dict[str, int] = {}
    for entry in entries:
        match entry.record:
            case EffectIntended(effect=at):
                intended.setdefault(at, entry)
            case EffectDone(effect=at) | EffectRefused(effect=at) | EffectFailed(effect=at):
                ended[at] = entry
            case EffectReused(effect=at):
                reused[at] = reused.get(at, 0) + 1
            case _:
                pass
    return [_effect(at, entry, ended.get(at), reused.get(at, 0)) for at, entry in intended.items()]


def _effect(at: str, began: Entry, end: Entry | None, reused: int) -> Effect:
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
    )

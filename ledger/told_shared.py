"""How shared records are told: read, held, changed, cleared."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .records import RecordClaimed, RecordRead, RecordRefused, RecordReleased, RecordSettled

if TYPE_CHECKING:
    from .transcript import Told


def shared_of(record: RecordRead | RecordClaimed | RecordSettled | RecordRefused | RecordReleased) -> Told:
    """Depth, tone, title and facts of such a record."""
    match record:
        case RecordRead() as r:
            return 2, "quiet", f"{r.tool}: read {r.record} at version {r.version}", [("record", r.alias)]
        case RecordClaimed() as r:
            return 2, "quiet", f"{r.tool}: holds {r.record} at version {r.version}", [("record", r.alias)]
        case RecordSettled() as r:
            how = f"changed, now at version {r.version}" if r.changed else f"unchanged at version {r.version}"
            meanwhile = "" if r.sole else "it was changed by others while this effect was under way"
            return 2, "quiet", f"{r.tool}: {r.record} {how}", [("record", r.alias), ("meanwhile", meanwhile)]
        case RecordRefused() as r:
            return 2, "bad", f"{r.tool}: {r.record} was not free", [("error", r.error), ("reason", r.reason)]
        case RecordReleased() as r:
            return 2, "review", f"{r.by}: {r.record} cleared, whatever became of the effect", [("record", r.alias)]

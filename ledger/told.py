"""How the way of a run through its system is told: bounds that were met, stages skipped, where it was begun again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .records import BoundMet, RunRestarted, StageSkipped

if TYPE_CHECKING:
    from .transcript import Told


def way_of(record: BoundMet | RunRestarted | StageSkipped) -> Told:
    """Depth, tone, title and facts of such a record."""
    match record:
        case BoundMet() as r:
            title = f"bound {r.bound!r} is used up, {r.rounds} of {r.most}: {r.edge} is not crossed again"
            return 0, "bad", title, [("then", r.then)]
        case StageSkipped() as r:
            return 1, "quiet", f"{r.agent} skipped, it hands on what it was handed", [("unless", r.when)]
        case RunRestarted() as r:
            facts = [("of run", r.run), ("over", r.edge), ("crossed at", r.crossed)]
            return 0, "run", f"{r.by or 'somebody'} has it begin at {r.stage}, with what had crossed to it", facts

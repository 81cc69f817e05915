"""How joins are told: how branches voted, what was decided, and what became of questions that nobody waited for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .records import BranchVoted, JoinDecided, ReviewNoted, ReviewWithdrawn

if TYPE_CHECKING:
    from .transcript import Told, Tone


def join_of(record: BranchVoted | JoinDecided | ReviewWithdrawn | ReviewNoted) -> Told:
    """Depth, tone, title and facts of such a record."""
    match record:
        case BranchVoted() as r:
            tone: Tone = "quiet" if r.state == "answered" else "bad"
            return 1, tone, f"branch {r.branch} ({r.agent}): {r.state}", []
        case JoinDecided() as r:
            met = r.outcome == "released"
            stood = ", ".join(f"{branch} {how}" for branch, how in r.branches.items())
            title = f"join of {r.source}, {r.policy}: {'met' if met else 'not met'}"
            return 0, "good" if met else "bad", title, [("why", r.why), ("branches", stood)]
        case ReviewWithdrawn() as r:
            title = "a question is left open, and not waited for" if r.open else "a question is withdrawn"
            return 2, "review", title, [("reason", r.reason), ("review", r.review)]
        case ReviewNoted() as r:
            return 2, "review", f"{r.reviewer}: {r.decision}, for the record only", [("reason", r.reason)]

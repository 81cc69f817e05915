"""Where a process kills itself: at the n-th time that it passes a point. (By the clock its parent kills it.)

Points stand in the tools and the model of this trial, and at the ledger's writer: a record in a transaction that is
not committed yet (`written:KIND`), and a commit that nobody was told of yet (`durable:KIND`, and `commit` for any).
"""

from __future__ import annotations

import os
import random
import signal
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from edgewright.ledger.entry import Draft, Entry
from edgewright.ledger.sqlite import SqliteLedger
from edgewright.ledger.writer import GroupCommitWriter

BY_CLOCK = 0.35
"""The share of kills by the clock."""
PLAIN = (
    "effect.before",
    "effect.before",
    "effect.after",
    "effect.after",
    "effect.after",
    "model.before",
    "model.after",
)
GOVERNED = (
    *PLAIN,
    "commit",
    "commit",
    "commit",
    "probe",
    "written:effect.intended",
    "durable:effect.intended",
    "durable:effect.intended",
    "written:effect.done",
    "written:effect.done",
    "durable:effect.done",
    "written:reply.kept",
    "durable:reply.kept",
    "durable:run.started",
    "durable:contract.passed",
    "durable:review.asked",
    "written:review.answered",
    "durable:review.answered",
    "durable:review.answered",
    "written:effect.failed",
    "durable:effect.failed",
    "written:run.ended",
    "durable:run.ended",
)


@dataclass(frozen=True, kw_only=True)
class Kill:
    """How a process is to die: after `seconds`, or at the `count`-th passing of `point`; neither: not at all."""

    point: str = ""
    count: int = 1
    seconds: float | None = None

    def __str__(self) -> str:
        if self.seconds is not None:
            return f"after {self.seconds:.3f} s"
        return f"{self.point} #{self.count}" if self.point else "not killed"


NEVER = Kill()


def drawn(rng: random.Random, points: Sequence[str], typical: float) -> Kill:
    """A random kill.

    Args:
        typical: seconds that a process of this kind takes when nobody kills it.
    """
    if rng.random() < BY_CLOCK:
        return Kill(seconds=rng.uniform(0, typical))
    point = rng.choice(points)
    return Kill(point=point, count=rng.randint(1, 24) if point == "commit" else rng.choice((1, 1, 1, 2, 2, 3, 4)))


class Fuse:
    """Burns in one process only: the forked one that armed it."""

    def __init__(self) -> None:
        self._kill, self._passed, self._lock = NEVER, Counter[str](), threading.Lock()

    def arm(self, kill: Kill) -> None:
        """Die at that point from now on."""
        self._kill = kill

    def at(self, point: str) -> None:
        """Pass a point. kill -9, where it is the one: nothing is flushed, no handler runs."""
        if point != self._kill.point:
            return
        with self._lock:
            self._passed[point] += 1
            if self._passed[point] == self._kill.count:
                os.kill(os.getpid(), signal.SIGKILL)


FUSE = Fuse()


def watch_the_ledger() -> None:
    """Put the points of the ledger's writer in place, in this process and those forked from it."""
    append, commit = SqliteLedger._append, GroupCommitWriter._commit
    kinds: list[str] = []  # of the writer's thread alone; a process of this trial has one ledger

    def appended(self: SqliteLedger, conn: Any, run: str, drafts: Sequence[Draft], bodies: Any) -> list[Entry]:
        entries = append(self, conn, run, drafts, bodies)
        for draft in drafts:
            kinds.append(draft.record.kind)
            FUSE.at(f"written:{draft.record.kind}")
        return entries

    def committed(self: GroupCommitWriter, batch: Any) -> bool:
        kinds.clear()
        well = commit(self, batch)
        FUSE.at("commit")
        for kind in kinds:
            FUSE.at(f"durable:{kind}")
        return well

    SqliteLedger._append = appended  # type: ignore[method-assign]
    GroupCommitWriter._commit = committed  # type: ignore[method-assign]

"""What one round came to."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgewright.tools.spending import DAY

from bench.faults import ModelServer
from bench.overspend.asking import CALLS
from bench.overspend.books import Books


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """One round.

    Attributes:
        calls: requests that reached the model's server.
        lapsed: calls that were reserved by a process that was killed, and never settled.
        kills: processes.
    """

    calls: int
    seconds: float
    faults: Sequence[str] = ()
    lapsed: int = 0
    kills: int = 0


def judged(server: ModelServer, books: Books, faults: Sequence[str], seconds: float, *, kills: int = 0) -> Round:
    """The round, with what the server has to say. Where nobody was killed, every call that fits is made."""
    calls = server.reached()
    wrong = [f"{books.calls} calls were reserved"] if books.calls != CALLS else []
    if calls > CALLS or (calls < CALLS and not kills):
        wrong.append(f"{calls} calls reached the server")
    lapsed = books.lapsed.model_calls
    return Round(calls=calls, seconds=seconds, faults=[*wrong, *faults], lapsed=lapsed, kills=kills)


def in_one_day(tried: Callable[[Path], Round]) -> Round:
    """A round on a home of its own; once more where a day ended in it, for a new day has room again."""
    while True:
        day = time.time() // DAY
        with tempfile.TemporaryDirectory(prefix="edgewright-overspend-") as folder:
            found = tried(Path(folder))
        if time.time() // DAY == day:
            return found

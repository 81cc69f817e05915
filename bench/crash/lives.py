"""The lives of a run: one process after another goes on with it, until one of them ends it.

Each life is forked from a process that has imported everything and started no thread, so a kill costs little more
than what the run itself does. A life tells its end through a pipe; one that was killed tells nothing.
"""

from __future__ import annotations

import asyncio
import faulthandler
import json
import os
import random
import select
import shutil
import signal
import sqlite3
import tempfile
import time
import traceback
from collections.abc import Callable, Coroutine, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.crash.fuse import FUSE, NEVER, Kill, drawn

BOUND = 60.0
"""Seconds after which a life counts as hung."""
MOST_LIVES = 60
Life = Callable[[], Coroutine[Any, Any, dict[str, Any]]]


@dataclass(slots=True, kw_only=True)
class Lived:
    """What a run's lives came to.

    Attributes:
        told: what the last one told; with `error` where it did not end well.
        deaths: how each killed one died.
        hidden: effects that had an intent and no outcome when a process died, as (position, tool, its intents so far).
    """

    told: dict[str, Any] = field(default_factory=dict)
    deaths: list[Kill] = field(default_factory=list)
    lives: int = 0
    hidden: set[tuple[str, str, int]] = field(default_factory=set)


def forked(life: Life, kill: Kill = NEVER) -> dict[str, Any] | None:
    """Live a life in a process of its own; what it tells, or None where it was killed as planned."""
    reads, writes = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(reads)
        _live(life, kill, writes)
    os.close(writes)
    said, closed = bytearray(), False
    try:
        if kill.seconds is not None and not _heard(said, reads, kill.seconds):
            os.kill(pid, signal.SIGKILL)
        closed = _heard(said, reads, BOUND)
    finally:
        if not closed:
            os.kill(pid, signal.SIGKILL)
        os.close(reads)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if not closed:
        return {"error": f"it hung ({kill})"}
    if code == -signal.SIGKILL and kill != NEVER:
        return None
    found: dict[str, Any] = json.loads(said) if said else {"error": f"it ended with {code} and told nothing ({kill})"}
    return found


def _live(life: Life, kill: Kill, writes: int) -> None:
    try:
        random.seed()  # or every life's model would choose as the one before did
        faulthandler.dump_traceback_later(BOUND - 5, exit=False)  # where it hangs, if it does
        FUSE.arm(kill)
        try:
            told = asyncio.run(life())
        except Exception:  # noqa: BLE001 - the parent reads it
            told = {"error": traceback.format_exc()}
        said = json.dumps(told).encode()
        while said:
            said = said[os.write(writes, said) :]
    finally:
        os._exit(0)  # its threads and what the parent has open are no business of this process


def _heard(said: bytearray, pipe: int, seconds: float) -> bool:
    """Hear what is said until the other end is closed; False where it was not within that time."""
    until = time.monotonic() + seconds
    while select.select([pipe], [], [], max(until - time.monotonic(), 0))[0]:
        part = os.read(pipe, 65536)
        if not part:
            return True
        said += part
    return False


def lived(
    lives: Mapping[str, Life], rng: random.Random, points: tuple[str, ...], *, home: Path | None, typical: Typical
) -> Lived:
    """Live a run to its end, killing life after life.

    Args:
        lives: `go` begins the run or goes on with it; `answer` does so and answers what a person is asked.
        home: where its ledger is, if it has one.
        typical: how long a life takes that nobody kills.
    """
    found, do, most = Lived(), "go", rng.randint(1, 8)
    while found.lives < MOST_LIVES:
        kill = drawn(rng, points, typical.seconds) if len(found.deaths) < most else NEVER
        began = time.monotonic()
        told = forked(lives[do], kill)
        found.lives += 1
        if told is None:
            found.deaths.append(kill)
            if home is not None:
                found.hidden |= hidden_in(home)
            do = rng.choice(("go", "answer"))
            continue
        typical.took(time.monotonic() - began)
        found.told = told
        if told.get("status") != "waiting":
            return found
        do = "answer"
    found.told = {"error": f"it did not end in {MOST_LIVES} lives"}
    return found


class Typical:
    """How long a life takes that nobody kills: a running mean."""

    def __init__(self, seconds: float = 0.5) -> None:
        self.seconds = seconds

    def took(self, seconds: float) -> None:
        """Take one more into the mean."""
        self.seconds += (seconds - self.seconds) / 8


def hidden_in(home: Path) -> set[tuple[str, str, int]]:
    """What a ledger does not know the outcome of, read from a copy: opening the file itself would mend it."""
    found: dict[str, tuple[str, int]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in ("edgewright.db", "edgewright.db-wal", "edgewright.db-journal"):
            if (home / name).exists():
                shutil.copy(home / name, folder)
        if not (file := Path(folder) / "edgewright.db").exists():
            return set()
        sql = "SELECT run, kind, key, body FROM records WHERE kind LIKE 'effect.%' ORDER BY run, seq"
        with closing(sqlite3.connect(file)) as conn:
            try:
                rows = conn.execute(sql).fetchall()
            except sqlite3.OperationalError:  # it died before the tables were there
                return set()
    for run, kind, key, body in rows:
        record = json.loads(body)
        at = f"{run}/{record['effect']}"
        if kind == "effect.intended":
            found[at] = record["tool"], found.get(at, ("", 0))[1] + 1
        elif kind in ("effect.done", "effect.refused", "effect.failed") and key is not None:
            found.pop(at, None)
    return {(at, tool, intents) for at, (tool, intents) in found.items()}

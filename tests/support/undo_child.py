"""A run whose effects are undone, and the processes that are killed while they do it.

`python -m support.undo_child FOLDER WAY POINT` undoes the run of the folder in a process of its own: it says `ready`,
begins when it is told to, and kills itself by SIGKILL at the point, or prints what became of each effect.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
import sys
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import closing
from pathlib import Path
from typing import Any, Literal

from edgewright import Agent, Pipeline, Policy, System, ToolContext, tool
from edgewright.contracts.errors import ThreadBusy
from edgewright.ledger.entry import Draft, Entry
from edgewright.ledger.records import UndoDone, UndoIntended
from edgewright.tools.sealed import SealedTool
from support.systems import ANSWER, PERMIT_ALL, QUESTION

Way = Literal["key", "natural", "none"]
EFFECTS = ("a", "b", "c")
THREAD = "11111111-2222-4333-8444-555555555555"


def die() -> None:
    """kill -9, by ourselves: nothing is flushed, no handler runs."""
    os.kill(os.getpid(), signal.SIGKILL)


class Book:
    """The world's books: one row per thing that was done or undone, or per key where the tool goes by one."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "world.db"

    def write(self, what: str, key: str | None) -> None:
        """Do it; the second time of one key is nothing."""
        with closing(sqlite3.connect(self._path, isolation_level=None, timeout=30)) as conn:
            conn.execute("CREATE TABLE IF NOT EXISTS book (what TEXT NOT NULL, key TEXT UNIQUE)")
            conn.execute("INSERT INTO book VALUES (?, ?) ON CONFLICT DO NOTHING", (what, key))

    def read(self) -> list[str]:
        """All of it, in order."""
        with closing(sqlite3.connect(self._path)) as conn:
            return [what for (what,) in conn.execute("SELECT what FROM book ORDER BY rowid")]


def changing(folder: Path, way: Way, point: str) -> SealedTool:
    """The tool, and its compensation, which dies at `before:b` or `after:b` of an effect b."""

    def compensate(what: str, *, ctx: ToolContext) -> dict[str, str]:
        if point == f"before:{what}":
            die()
        key = {"key": ctx.key, "natural": f"undone {what}", "none": None}[way]
        Book(folder).write(f"undone {what}", key)
        if point == f"after:{what}":
            die()
        return {"undone": what}

    @tool(effect="write", idempotency=way, compensate=compensate, record="what")
    def change(what: str, *, ctx: ToolContext) -> dict[str, str]:
        """Change something."""
        Book(folder).write(f"done {what}", ctx.key)
        return {"changed": what}

    return change


def build(folder: Path, way: Way, point: str = "") -> System:
    """The system of a folder; its run does three things, and fails."""
    change = changing(folder, way, point)

    async def work(_: dict[str, Any]) -> dict[str, Any]:
        for what in EFFECTS:
            await change.call({"what": what})
        raise ZeroDivisionError("and then it failed")

    return System(
        "undoing",
        version=1,
        topology=Pipeline(
            stages=[Agent("worker", version=1, function=work, tools=[change])], contracts=[QUESTION, ANSWER]
        ),
        policy=Policy(text=PERMIT_ALL),
        home=folder / "home",
        wait=20.0 if point == "wait" else None,
    )


def dying(system: System, point: str) -> None:
    """Die before the second intent or outcome is written (`intent:2`, `outcome:2`), or after that (`meant`, `kept`)."""
    kind, _, number = point.partition(":")
    if kind not in ("intent", "meant", "outcome", "kept"):
        return
    watched = UndoIntended if kind in ("intent", "meant") else UndoDone
    ledger: Any = system.ledger
    append, seen = ledger.append, list[Draft]()

    def watching(run: str, drafts: Sequence[Draft]) -> Future[list[Entry]]:
        seen.extend(d for d in drafts if isinstance(d.record, watched))
        is_now = any(isinstance(d.record, watched) for d in drafts) and len(seen) == int(number)
        if is_now and kind in ("intent", "outcome"):
            die()
        future: Future[list[Entry]] = append(run, drafts)
        if is_now:
            future.result(20)
            die()
        return future

    ledger.append = watching


def main(folder: str, way: Way, point: str) -> None:
    """Undo, and die or tell."""
    system = build(Path(folder), way, point)
    [run] = [r.run for r in system.ledger.runs()]
    dying(system, point)
    print("ready", flush=True)
    sys.stdin.readline()
    try:
        report = asyncio.run(system.acompensate(run, by="child"))
        told: Any = [e.status for e in report.effects]
    except ThreadBusy:
        told = "busy"
    print(json.dumps(told), flush=True)
    system.close()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3])  # type: ignore[arg-type]

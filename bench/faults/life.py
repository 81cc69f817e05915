"""One process's part in a cell of the matrix: a system with a run and its neighbour at once."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from edgewright.ledger import writer

from bench.faults.cases import ALONE, BOTH, BUSY, Reaction
from bench.faults.scenes import Outcome, Scene, Site
from bench.faults.topologies import TOPOLOGIES

MAIN, NEIGHBOUR = "main", "neighbour"
"""The threads."""
HERE, OVER = "here", "over"
"""What a process tells first, and last."""
_BALLAST = 2_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a process is to do.

    Attributes:
        beside: where the neighbour has a ledger of its own.
        again: it goes on with what a process before it left.
    """

    topology: str
    reaction: Reaction
    site: Site
    beside: Site | None = None
    again: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How one of the runs came back to its caller: after so many seconds, with an answer or an error."""

    thread: str
    seconds: float
    outcome: Outcome | None = None
    error: str = ""
    message: str = ""

    @property
    def answer(self) -> str:
        """What it answered; empty if it did not."""
        return self.outcome.answer if self.outcome else ""


def live(plan: Plan, tells: Connection) -> None:
    """The process: tells that it is here, an `Ended` of each run as it comes, and that it is over."""
    tells.send(HERE)
    writer.WAIT_SECONDS = BUSY
    # LangChain logs what our gate refuses as an error of a callback; here refusals are what is looked for.
    logging.getLogger("langchain_core.callbacks.manager").setLevel(logging.ERROR)
    build = TOPOLOGIES[plan.topology].build
    scene = build(plan.site, plan.reaction)
    other = build(plan.beside, plan.reaction) if plan.beside else scene
    if plan.beside and not plan.again:  # so the files of this ledger are larger than those of the other will be
        scene.home.open()[0].define("ballast", os.urandom(_BALLAST))
    asyncio.run(_both(plan, scene, other, tells))
    scene.close()
    other.close()
    tells.send(OVER)
    tells.close()


async def _both(plan: Plan, scene: Scene, other: Scene, tells: Connection) -> None:
    async def one(thread: str, work: Callable[[str, str], Awaitable[Outcome]], asked: str) -> None:
        began = time.monotonic()
        outcome, error, message = None, "", ""
        try:
            outcome = await work(asked, thread)
        except Exception as raised:  # noqa: BLE001 - it is what is looked for
            error, message = type(raised).__name__, str(raised)
        seconds = time.monotonic() - began
        tells.send(Ended(thread=thread, seconds=seconds, outcome=outcome, error=error, message=message))

    ways = [(s.go_on if plan.again else s.run) for s in (scene, other)]
    await asyncio.gather(one(MAIN, ways[0], BOTH), one(NEIGHBOUR, ways[1], ALONE))


def files_of(home: Path) -> list[Path]:
    """The ledger's files."""
    return [p for p in home.iterdir() if p.is_file()]

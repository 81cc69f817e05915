"""The showcase: every case of `cases.toml`, each held against what was written of it before."""

from __future__ import annotations

import asyncio

from edgewright import System
from edgewright.contracts.errors import ProjectInvalid
from edgewright.server.showcase import Shown, unexpected

from .firm import Firm
from .play import Case, Played, load_cases, play
from .system import FOLDER

AT_ONCE = 4


async def showcase(system: System) -> list[Shown]:
    """Play every case on the system's own home. Raises ProjectInvalid for a system that keeps nothing on disk."""
    if system.home.path is None:
        raise ProjectInvalid(name=system.name, faults=["it has no home; the documents need a folder"])
    firm, gate = await asyncio.to_thread(Firm.open, system.home.path / FOLDER), asyncio.Semaphore(AT_ONCE)

    async def one(case: Case) -> Shown:
        async with gate:
            return shown(case, await play(system, firm, case))

    return list(await asyncio.gather(*map(one, load_cases())))


def shown(case: Case, played: Played) -> Shown:
    """A case and what became of it."""
    found = played.found
    ended = "released" if found["released"] else "stopped" if played.stopped else "held back"
    drafts = len(found["drafts"])
    level = found.get("level", "unknown")
    return Shown(
        case=f"{case.matter}: {case.name}",
        run=played.run,
        outcome=f"{ended}, {level} risk, {drafts} draft{'s' if drafts != 1 else ''}",
        faults=(*played.faults, *unexpected(case.expect, found)),
        asked=len(found["asked"]),
        files=(played.file,) if played.file else (),
        facts={**found, "stopped": played.stopped, "answer": played.output},
    )

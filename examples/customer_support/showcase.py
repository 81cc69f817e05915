"""The help desk on the tickets that its rules' author had seen: each has its right specialist and end state."""

from __future__ import annotations

import asyncio

from edgewright import System
from edgewright.server.showcase import Shown

from .agreement import agreement
from .database import HelpDesk
from .play import Played, play
from .tickets import Case, load_tickets

AT_ONCE = 16


async def showcase(system: System) -> list[Shown]:
    """Play every seen ticket, and compare the database with the ledger at the end."""
    [desk] = [resource for resource in system.standing.resources if isinstance(resource, HelpDesk)]
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(case: Case) -> Shown:
        async with gate:
            return _shown(case, await play(system, desk, case))

    shown = list(await asyncio.gather(*map(one, load_tickets("seen"))))
    found = await asyncio.to_thread(agreement, system, desk)
    rows = ", ".join(f"{n} {kind}" for kind, n in sorted(found.rows.items())) or "no effects"
    faults = () if found.holds else (f"database and ledger disagree: {found}",)
    return [*shown, Shown(case="database and ledger", run="", outcome=rows, faults=faults)]


def _shown(case: Case, played: Played) -> Shown:
    faults = [
        *([played.problem] if played.problem else []),
        *([] if played.score.route else [f"went to {played.route}"]),
        *([] if played.score.end_state else ["left other rows than it should"]),
    ]
    denied = f", denied by {', '.join(played.denied)}" if played.denied else ""
    return Shown(
        case=case.id, run=played.run, outcome=f"{played.route}{denied}", faults=tuple(faults), asked=played.asked
    )

"""The assistant on its written cases: each is run, people are played by the stated rule, the outcome is compared."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from uuid import uuid4

from edgewright import System
from edgewright.server.showcase import Shown, unexpected

from .cases import Case, accepted, came_of, load_cases
from .git import Git
from .repositories import Workspaces
from .reviewer import review

AT_ONCE = 3


async def showcase(system: System) -> list[Shown]:
    """Play all cases. A run that fails is a case that went wrong, no error here."""
    work = next(r for r in system.standing.resources if isinstance(r, Workspaces))
    before = await accepted(work.sandbox, Git.at(work.origin), "main")
    places = asyncio.Semaphore(AT_ONCE)

    async def one(case: Case) -> Shown:
        async with places:
            return await shown(system, work, case, before)

    return list(await asyncio.gather(*map(one, load_cases(work.sandbox.isolation))))


async def shown(system: System, work: Workspaces, case: Case, before: Sequence[str]) -> Shown:
    """Play one case, and compare. `before` are the tests that passed on what it begins with."""
    thread = str(uuid4())
    play = thread[:8]
    try:
        result = await system.arun(case.request(play), thread=thread)
        while result.status == "waiting":
            result = await system.aresume(thread, {request.id: review(request) for request in result.reviews})
    except Exception as error:  # noqa: BLE001 - a provider that fails spoils its case, not the others
        problem = f"{type(error).__name__}: {error}"
        known = await asyncio.to_thread(system.ledger.runs, thread=thread)
        return Shown(case=case.id, run=known[0].run if known else "", outcome="failed", faults=(problem,))
    output = result.output or {}
    found = await came_of(system, work, result.run, output, play=play, before=before)
    expected = {**case.expected, "lost": []}
    if output.get("isolation") not in ("not_run", work.sandbox.isolation):
        expected["isolation"] = work.sandbox.isolation
    told = f"{output.get('outcome')}: {output.get('summary', '')} (isolation: {output.get('isolation')})"
    return Shown(
        case=case.id,
        run=result.run,
        outcome=told,
        faults=unexpected(expected, found),
        asked=len(found["asked"]),
        files=(work.of(result.run).tree,),
        facts={**found, "sandbox": work.sandbox.isolation, "why_no_better": list(work.sandbox.why)},
    )

"""Playing one ticket: run the system on it, let the stated rule answer for the people, and score what came of it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any
from uuid import UUID, uuid5

from edgewright import System

from .agents import triage
from .database import HelpDesk
from .reviewer import review
from .tickets import Case, EndState, Score, score

_THREADS = UUID("3b1f0c52-7a0e-5f57-9d2e-64b5a1f0c0de")


@dataclass(frozen=True, kw_only=True)
class Played:
    """A ticket after its run.

    Attributes:
        run: the run's id; empty if none was begun.
        route: the specialist triage handed it to.
        asked: how many reviews were asked.
        denied: ids of the rules that denied a call.
        spent: what the run used, as its end was recorded.
        records: how many ledger records it has.
        before: whether it had ended before, so that nothing was run now.
        problem: why the run stopped short, if it did.
    """

    score: Score
    run: str
    route: str | None
    asked: int
    denied: tuple[str, ...]
    spent: Mapping[str, Any] = field(default_factory=dict)
    records: int = 0
    before: bool = False
    problem: str = ""


def thread_of(case: Case) -> str:
    """The thread of a ticket, the same every time: a ticket that was handled is not handled again."""
    return str(uuid5(_THREADS, case.id))


async def play(system: System, desk: HelpDesk, case: Case) -> Played:
    """Bring one ticket to its end: run it, go on with it, or find that it has ended before.

    A run that fails is not an error here: it is a ticket that went wrong.
    """
    thread, problem = thread_of(case), ""
    known = await asyncio.to_thread(system.ledger.runs, thread=thread)
    before = bool(known) and known[0].status not in ("running", "waiting")
    if not before:
        try:
            result = await (system.aresume(thread) if known else system.arun(case.request(), thread=thread))
            while result.status == "waiting":
                answers = {request.id: review(request) for request in result.reviews}
                result = await system.aresume(thread, answers)
        except Exception as error:  # noqa: BLE001 - a provider that fails spoils its ticket, not the others
            problem = f"{type(error).__name__}: {error}"
    return await asyncio.to_thread(_played, system, desk, case, thread, before, problem)


def _played(system: System, desk: HelpDesk, case: Case, thread: str, before: bool, problem: str) -> Played:
    run = next((summary.run for summary in system.ledger.runs(thread=thread)), "")
    route: str | None = None
    asked, denied, entries = 0, list[str](), system.ledger.entries(run)
    spent: Mapping[str, Any] = {}
    for entry in entries:
        kind, record = entry.record.kind, asdict(entry.record)
        if kind == "contract.passed" and record["edge"].startswith(f"{triage.name}→"):
            route = record["edge"].partition("→")[2]
        elif kind == "call.judged" and record["verdict"] == "deny":
            denied += record["rules"] or ["default deny"]
        elif kind == "review.asked":
            asked += 1
        elif kind == "run.ended":
            spent, problem = record["spent"], record["reason"] or problem
    end_state = EndState.of_run(desk, run)
    return Played(
        score=score(case, route=route, end_state=end_state),
        run=run,
        route=route,
        asked=asked,
        denied=tuple(denied),
        spent=spent,
        records=len(entries),
        before=before,
        problem=problem,
    )

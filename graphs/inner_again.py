"""What a turn that is taken again is told of the runs that it had begun, and that ended while nobody was in it."""

from __future__ import annotations

import asyncio

from ..ledger.records import RunEnded
from ..tools.run import Run, active
from .inner_runs import UNKNOWN, label_of_end, told_around, told_waiting
from .runs import Runs


async def told_again(runs: Runs, run_id: str) -> None:
    """Have the turn that this is called in know of a run that it had begun, and that stands or ended without it.

    A person may have answered it elsewhere, or a crash come between its end and what the run around had on record.
    """
    ledger, around, grounds = await runs.ledger(), active(), await runs.began(run_id)
    if around is None or grounds is None:
        return
    entries = await asyncio.to_thread(ledger.entries, run_id)
    ends = [e.record for e in entries if isinstance(e.record, RunEnded)]
    if not ends:
        told_waiting(run_id, grounds.system)
        return
    run = Run.over(grounds, ledger, entries)
    run.outer = around
    key: bytes | None = await asyncio.to_thread(ledger.run_key, run_id)
    run.knows = runs._knowledge(key or b"")
    run.knows.watches = run.knows.watches or around.run.knows.watches
    await asyncio.to_thread(runs.learn_again, run, entries)
    label = label_of_end(entries) if ends[-1].status == "completed" else UNKNOWN
    marks = [{"kind": kind, "agent": agent, "why": why} for kind, agent, why in ends[-1].marks]
    told_around(run, ends[-1].status, marks, label)

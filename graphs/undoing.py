"""Undoing what a run did: when that may be, and with what. How it is done is in `tools/compensation.py`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import orjson

from ..contracts.errors import NotFound, UndoRefused
from ..ledger.entry import Entry, verify
from ..ledger.holds import Hold
from ..ledger.records import PayloadsErased, RunEnded, RunStarted
from ..ledger.store import Ledger, status_of
from ..tools.compensation import Compensation, compensate
from ..tools.knowing import Knowledge
from ..tools.run import Grounds, Run
from ..tools.sealed import SealedTool
from ..tools.signing import start_of
from .definition import Definition

Learning = Callable[[Run, list[Entry]], None]


async def undo(
    found: Definition,
    ledger: Ledger,
    run: str,
    *,
    hold: Callable[[str], Hold],
    learn: Learning,
    by: str,
    again: bool,
    keep_going: bool,
) -> Compensation:
    """See `System.acompensate`.

    Args:
        hold: holds the run's thread: nobody resumes the run, or undoes it too, meanwhile.
        learn: makes the run know again what must not be shown of it.
    """
    if not by.strip():
        raise UndoRefused(run=run, fault="nobody is named who wants that")
    began = _begun(run, await asyncio.to_thread(ledger.entries, run))
    async with hold(began.thread):
        entries = await asyncio.to_thread(ledger.entries, run)
        _check(found, run, began, entries)
        over = await asyncio.to_thread(_over, found, ledger, run, began, entries, learn)
        return await compensate(over, entries, handles_of(found), by=by, again=again, keep_going=keep_going)


def handles_of(found: Definition) -> Mapping[str, SealedTool]:
    """The tools of a system's agents, those that stand in or sum talks up included, by name."""
    return {tool.name: tool for agent in found.agents for tool in agent.tools}


def _begun(run: str, entries: list[Entry]) -> RunStarted:
    if not entries or not isinstance(began := entries[0].record, RunStarted):
        raise NotFound(kind="run", name=run)
    return began


def _check(found: Definition, run: str, began: RunStarted, entries: list[Entry]) -> None:
    """Raises UndoRefused, and LedgerCorrupt for a chain that does not verify."""
    verify(run, entries)
    ends = [e.record.status for e in entries if isinstance(e.record, RunEnded)]
    status = status_of([e.kind for e in entries], ends[-1] if ends else None)
    if status in ("running", "waiting"):
        fault = f"it is {status}, so it may do more; resume its thread {began.thread} until it has ended"
        raise UndoRefused(run=run, fault=fault)
    if (system := began.system.partition("@")[0]) != found.name:
        raise UndoRefused(run=run, fault=f"it is of system {system!r}, and this is {found.name!r}")
    if any(isinstance(e.record, PayloadsErased) for e in entries):
        raise UndoRefused(run=run, fault="its payloads were erased, and with them what its effects were done with")


def _over(found: Definition, ledger: Ledger, run: str, began: RunStarted, entries: list[Entry], learn: Learning) -> Run:
    """The run as its records tell it, knowing what must not be shown. Not attached: it does not go on.

    Raises LedgerCorrupt where what it stood on was changed.
    """
    standing = found.standing
    body = ledger.exact(run, began.request)
    request = orjson.loads(body) if body is not None else {}
    grounds = Grounds(
        run=run,
        thread=began.thread,
        system=standing.id,
        environment=began.environment,
        policy=found.policy,
        tools=found.tools,
        request={k: v for k, v in request.items() if k in standing.policy_fields},
        budget=found.budget,
        budgets=found.budgets,
        resources=standing.resources,
        tenant=began.tenant,
    )
    over = Run.over(grounds, ledger, entries)
    start_of(ledger, run, over.journal)  # raises where tenant or environment were changed
    key = ledger.run_key(run) or b""
    over.knows = Knowledge(redactor=standing.recorded, watches=standing.watches, covered=standing.covered, key=key)
    over.knows.learn(standing.entry.leaves(request))
    learn(over, entries)
    return over

"""Dead letters: runs that stopped before they were done, until somebody goes on with them or drops them.

There is no store of them: the ledger has every run, how it stopped, and what became of it since. Going on is not
beginning again. It is the same run on the same thread, from its last checkpoint, and what is on record of it stands:
effects that were done, replies that a model gave. So a retry does what was left, and nothing twice.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import orjson
from langchain_core.runnables import RunnableConfig

from ..contracts.errors import LedgerCorrupt, NotFound, RetryRefused, SystemChanged
from ..contracts.lock_changes import resumable
from ..contracts.status import DEAD
from ..ledger.entry import Draft, Entry, verify
from ..ledger.journal import effects_of
from ..ledger.records import (
    AgentStarted,
    CallJudged,
    ContractViolated,
    DeadDropped,
    DeadRetried,
    EffectFailed,
    EffectRefused,
    ModelFailed,
    ModelRefused,
    ModelSettled,
    PayloadsErased,
    ReplyKept,
    RunDrained,
    RunEnded,
    RunStarted,
    UndoIntended,
)
from ..ledger.store import Ledger, RunSummary, summary_of
from ..tools.passing import Passing
from .locking import lock_of_definition
from .result import RunResult
from .state import RUN
from .system import System

EVERY = 1_000_000
_STOPPED = (*DEAD, "drained", "cancelled")
_NAMED = re.compile(r"([A-Z]\w*)(?=: |$)")


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """A run that stopped and that nobody went on with.

    Attributes:
        status: `failed`, `out_of_budget`, or `drained`.
        began, stopped: in seconds since the epoch.
        error: the type of what stopped it; empty where nothing was raised.
        reason: in words, redacted as all records are.
        where: the last that was at work: an agent, with its tool or model, or a contract.
        spent: in all, by unit.
        done, unknown: effects that happened, and those of which nobody knows.
    """

    run: str
    thread: str
    system: str
    tenant: str
    status: str
    began: float
    stopped: float
    error: str
    reason: str
    where: str
    spent: Mapping[str, Any]
    done: int
    unknown: int

    def as_json(self) -> dict[str, Any]:
        """As commands print it."""
        return asdict(self)


def dead_letters(
    ledger: Ledger,
    *,
    system: str = "",
    tenant: str | None = None,
    since: float = 0.0,
    statuses: frozenset[str] = DEAD,
    limit: int = 1000,
) -> list[DeadLetter]:
    """The runs that stopped and that nobody went on with or dropped, the one that has lain longest first. Blocks.

    Args:
        system: its name, or its name and version; empty for every one.
        tenant: whose; None for everybody's.
        since: those that stopped at this moment or later, in seconds since the epoch.
        statuses: how they stopped; `frozenset({"drained"})` lists those that only wait for budget.
    """
    found = [
        s
        for s in ledger.runs(limit=EVERY)
        if s.status in statuses
        and not s.dropped
        and (s.ended or 0.0) >= since
        and system in ("", s.system, s.system.partition("@")[0])
        and tenant in (None, s.tenant)
    ]
    oldest = sorted(found, key=lambda s: (s.ended or 0.0, s.run))[:limit]
    return [letter_of(s, ledger.entries(s.run)) for s in oldest]


def letter_of(summary: RunSummary, entries: Sequence[Entry]) -> DeadLetter:
    """What there is to say of a run that stopped."""
    stops = [e.record for e in entries if isinstance(e.record, RunEnded | RunDrained)]
    effects = effects_of(entries)
    named = _NAMED.match(summary.reason)
    return DeadLetter(
        run=summary.run,
        thread=summary.thread,
        system=summary.system,
        tenant=summary.tenant,
        status=summary.status,
        began=summary.started,
        stopped=summary.ended or 0.0,
        error=named.group() if named and summary.status in DEAD else "",
        reason=summary.reason,
        where=where_of(entries),
        spent=stops[-1].spent if stops else {},
        done=sum(e.status == "done" for e in effects),
        unknown=sum(e.status in ("unknown", "intended") for e in effects),
    )


def where_of(entries: Sequence[Entry]) -> str:
    """The last that a run was at: in a fan-out that of the branch whose record came last."""
    whose = {e.record.at: e.record.agent for e in entries if isinstance(e.record, CallJudged)}
    for entry in reversed(entries):
        match entry.record:
            case EffectFailed(effect=at, tool=tool) | EffectRefused(effect=at, tool=tool):
                return f"{whose.get(at, '?')}: {tool}"
            case CallJudged(agent=agent, tool=tool, verdict="deny"):
                return f"{agent}: {tool}"
            case ModelFailed(agent=agent, model=model) | ModelRefused(agent=agent, model=model):
                return f"{agent}: {model}"
            case ContractViolated(edge=edge):
                return f"contract on {edge}"
            case ModelSettled(agent=agent):
                return agent
            case AgentStarted(agent=agent):
                return agent.partition("@")[0]
            case _:
                pass
    return ""


def prospects(entries: Sequence[Entry]) -> list[str]:
    """What going on with a run would do with what is on record of it, in sentences."""
    effects, replies = effects_of(entries), sum(isinstance(e.record, ReplyKept) for e in entries)
    told = list(_of_effects([e for e in effects if e.status == "done"], "was done: its outcome is given back"))
    told += _of_effects([e for e in effects if e.status == "refused"], "was refused: the refusal is given back")
    doubtful = [e for e in effects if e.status in ("unknown", "intended")]
    again = "may have happened: it is called again with the same key"
    told += _of_effects([e for e in doubtful if e.idempotency != "none"], again)
    asks = "may have happened: its probe is asked, or a person, before it is called again"
    told += _of_effects([e for e in doubtful if e.idempotency == "none"], asks)
    # A failure that is on record as an outcome: the next execution finds it there.
    passing, failed = (
        Passing(),
        {r.effect: r.tool for e in entries if isinstance(r := e.record, EffectFailed) and e.key is not None},
    )
    anew = {at for entry in entries for at in passing.know(entry.record)}
    for tool, passes in sorted({(tool, at in anew) for at, tool in failed.items()}):
        what = "nothing followed, so it is called again" if passes else "the failure is given back"
        told.append(f"{tool} failed: {what}")
    if replies:
        told.append(f"{replies} model {'reply is' if replies == 1 else 'replies are'} kept and not asked for again")
    return told or ["nothing of it is on record but its request: its first step is executed again"]


def _of_effects(effects: Sequence[Any], what: str) -> Iterator[str]:
    tools: dict[str, int] = {}
    for effect in effects:
        tools[effect.tool] = tools.get(effect.tool, 0) + 1
    yield from (f"{tool}{f' ({count} times)' if count > 1 else ''} {what}" for tool, count in tools.items())


def refusal_of(entries: Sequence[Entry], *, newest: str) -> str:
    """Why nobody can go on with a run, as far as the ledger knows; empty where nothing is against it.

    Args:
        newest: the newest run of its thread.
    """
    summary = summary_of(entries)
    if summary is None:
        return "it never began"
    if summary.status == "running":
        return f"it is running; if its process died, resume its thread {summary.thread}"
    if summary.status == "waiting":
        return f"it waits for a person; answer on its thread {summary.thread}"
    if summary.status not in _STOPPED:
        return f"it is {summary.status}, so there is nothing left to do"
    if any(isinstance(e.record, PayloadsErased) for e in entries):
        return "its payloads were erased, and with them what it would go on with"
    if any(isinstance(e.record, UndoIntended) for e in entries):
        return "its effects were undone, or somebody began to undo them"
    if newest != summary.run:
        return f"its thread {summary.thread} went on with run {newest}; send its request again, on another thread"
    return ""


async def admit(system: System, run: str, *, by: str, tenant: str | None = None) -> None:
    """See to it that a run can be gone on with, and record who wants that. Its thread is held by whoever calls this.

    Args:
        tenant: of whoever asks; the runs of another do not exist for them. None asks nobody.

    Raises:
        NotFound: there is no such run, or it is another tenant's.
        RetryRefused: it cannot be gone on with.
        SystemChanged: the system differs too much from the one that began it.
        LedgerCorrupt: its chain does not verify.
    """
    if not by.strip():
        raise RetryRefused(run=run, fault="nobody is named who wants that")
    ledger = await system.home.ledger()
    entries, began = await began_of(ledger, run, tenant=tenant)
    verify(run, entries)
    if (name := began.system.partition("@")[0]) != system.name:
        raise RetryRefused(run=run, fault=f"it is of system {name!r}, and this is {system.name!r}")
    newest = await asyncio.to_thread(ledger.runs, thread=began.thread, limit=1)
    if fault := refusal_of(entries, newest=newest[0].run if newest else ""):
        raise RetryRefused(run=run, fault=fault)
    await _refuse_changed(system, ledger, run, began)
    graph = system.graph.copy({"checkpointer": await system.home.saver()})
    state = await graph.aget_state(RunnableConfig(configurable={"thread_id": began.thread}))
    if state.values.get(RUN) != run or not state.next:
        fault = (
            f"its thread {began.thread} holds no checkpoint to go on from: it stopped before its request had crossed, "
            "or it began inside another graph; send the request again, or go on with that graph"
        )
        raise RetryRefused(run=run, fault=fault)
    summary = summary_of(entries)
    assert summary is not None
    draft = Draft(record=DeadRetried(by=by, status=summary.status))
    await asyncio.wrap_future(ledger.append(run, [draft]))


async def retry(system: System, run: str, *, by: str, tenant: str | None = None) -> RunResult:
    """Go on with a run that stopped: as itself, on its thread, with nothing done twice.

    Raises:
        As `admit`: nothing was done.
        ThreadBusy: its thread is running.
        Whatever stops it again; the ledger has its end, and it is a dead letter as before.
    """
    _, began = await began_of(await system.home.ledger(), run, tenant=tenant)
    async with system.hold(began.thread):
        await admit(system, run, by=by, tenant=tenant)
        return await system.aresume(began.thread)


async def drop(ledger: Ledger, run: str, *, by: str, reason: str, tenant: str | None = None) -> None:
    """Have a run that stopped listed no more. It stays as it is, and can be gone on with still.

    Raises:
        NotFound: there is no such run, or it is another tenant's.
        RetryRefused: it has not stopped, or nobody is named, or no reason is given.
    """
    entries, _ = await began_of(ledger, run, tenant=tenant)
    summary = summary_of(entries)
    if summary is None or summary.status not in _STOPPED:
        raise RetryRefused(
            run=run, fault=f"it is {summary.status if summary else 'not begun'}, so it is no dead letter"
        )
    if not by.strip() or not reason.strip():
        raise RetryRefused(run=run, fault="who drops it must be named, and why")
    await asyncio.wrap_future(ledger.append(run, [Draft(record=DeadDropped(by=by, reason=reason))]))


async def began_of(ledger: Ledger, run: str, *, tenant: str | None = None) -> tuple[list[Entry], RunStarted]:
    """A run's entries and the first record of them. Raises NotFound, also for another tenant's."""
    entries = await asyncio.to_thread(ledger.entries, run)
    if not entries or not isinstance(began := entries[0].record, RunStarted) or tenant not in (None, began.tenant):
        raise NotFound(kind="run", name=run)
    return entries, began


async def _refuse_changed(system: System, ledger: Ledger, run: str, began: RunStarted) -> None:
    if began.system_digest == system.digest:
        return
    body = await asyncio.to_thread(ledger.definition, began.system_digest)
    try:
        before = orjson.loads(body) if body is not None else None
    except orjson.JSONDecodeError as error:
        raise LedgerCorrupt(run=run, seq=0, fault="what its system was cannot be read") from error
    why = ["the ledger has no record of what it was"]
    if before is not None:
        changed = resumable(before, lock_of_definition(system.definition))
        why = [f"{f.name}: {f.reason}" for f in changed]
    if why:
        raise SystemChanged(
            thread=began.thread,
            run=run,
            system=system.name,
            before=began.system_digest,
            now=system.digest,
            reasons=why,
        )

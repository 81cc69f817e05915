"""The runs of a system in this process: begun, attached again from the ledger, ended, let go."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid5

import orjson

from ..contracts.digest import canonical
from ..contracts.errors import LedgerCorrupt, NotFound, RunErased, RunUndone, SystemChanged
from ..contracts.labels import Label
from ..contracts.lock_changes import resumable
from ..contracts.policy import CompiledPolicy
from ..contracts.redaction import Redactor
from ..contracts.review import DEVELOPMENT, OPERATOR, REVIEW_SECONDS, ReviewAnswer, Reviewer
from ..contracts.tool import ToolSpec
from ..ledger.counters import Counters
from ..ledger.entry import Draft, Entry, Payload
from ..ledger.records import (
    PayloadsErased,
    ReviewAnswered,
    RunDrained,
    RunEnded,
    RunResumed,
    RunStarted,
    UndoIntended,
)
from ..ledger.sealing import new_run_key
from ..ledger.store import Ledger, status_of
from ..tools.knowing import Knowledge
from ..tools.run import Grounds, Run, active
from ..tools.signing import from_record, key_of, start_mac, start_of, starter_of
from .hiding import ADMITTED, LATE, Hiding
from .home import Home
from .inner_runs import UNKNOWN, told_around
from .learning import learn_again
from .standing import Standing

_RUNS = UUID("6f1d9a52-5f0b-4f0a-9c1e-0a8d8f2f7f11")
TENANT = "local"
STARTED_BY: ContextVar[Reviewer | None] = ContextVar("edgewright_started_by", default=None)
"""Who starts the runs that begin in this context. It comes from whoever holds the system, never from a request."""


@contextmanager
def started_by(reviewer: Reviewer | None) -> Iterator[None]:
    """Runs that begin inside are started by this person."""
    token = STARTED_BY.set(reviewer)
    try:
        yield
    finally:
        STARTED_BY.reset(token)


def run_id_of(thread: str, task: str) -> str:
    """A run's id, from its thread and the task that began it: the same when that task is executed again."""
    return str(uuid5(_RUNS, f"{thread}/{task}"))


class Runs(Hiding):
    """Finds the `Run` for an id. One instance per system."""

    def __init__(
        self,
        standing: Standing,
        home: Home,
        policy: CompiledPolicy | None,
        tools: Mapping[str, ToolSpec],
        *,
        document: Mapping[str, Any] | None = None,
    ) -> None:
        self._standing, self._home, self._policy, self._tools = standing, home, policy, tools
        self._document, self._defined = document, False
        self.review_seconds = REVIEW_SECONDS
        self.counters: Counters | None = None
        self._live: dict[str, Run] = {}
        self._around: dict[str, tuple[int, int, int]] = {}
        self._late: deque[Knowledge] = deque(maxlen=LATE)
        self._admitted: deque[Knowledge] = deque(maxlen=ADMITTED)
        self._made: dict[bool, tuple[tuple[tuple[int, int], ...], Redactor, list[Knowledge]]] = {}

    def _grounds(
        self, run: str, thread: str, environment: str, request: Mapping[str, Any], *, tenant: str = TENANT
    ) -> Grounds:
        return Grounds(
            tenant=tenant,
            run=run,
            thread=thread,
            system=self._standing.id,
            environment=environment,
            policy=self._policy,
            tools=self._tools,
            request={k: v for k, v in request.items() if k in self._standing.policy_fields},
            budget=self._standing.budget,
            budgets=self._standing.budgets,
            loops=self._standing.loops,
            limits=self._standing.limits,
            teams=self._standing.teams,
            resources=self._standing.resources,
        )

    def rule_by(self, policy: CompiledPolicy) -> None:
        """Judge by another set of rules from now on. A step that is under way ends under the set it began with."""
        self._policy = policy

    def began_in(self, around: tuple[str, int] | None, ns: str) -> str:
        """What tells the run apart that begins at a namespace inside a task of another graph: the same in a retry.

        LangGraph numbers the graphs that a task begins over all its attempts; what counts is the place in its attempt.
        """
        if around is None:
            return ""
        task, attempt = around
        levels = ns.split("|")
        number = int(levels[-2]) if len(levels) > 1 and levels[-2].isdigit() else 0
        before, base, upto = self._around.get(task, (attempt, 0, 0))
        base = base if attempt == before else upto
        self._around[task] = (attempt, base, max(upto, number + 1))
        while len(self._around) > LATE:
            del self._around[next(iter(self._around))]
        return f"{task}/{number - base}"

    async def ledger(self) -> Ledger:
        """Where the runs are on record."""
        return await self._home.ledger()

    async def begin(self, run_id: str, thread: str, request: dict[str, Any], *, also: Sequence[Draft] = ()) -> Run:
        """Begin a run, or attach to it if this is a re-execution of its beginning. `also` is recorded with it."""
        if run_id in self._live:
            return self._live[run_id]
        ledger = await self._home.ledger()
        by, environment = STARTED_BY.get(), self._standing.environment
        tenant, starter = by.tenant if by else TENANT, by.id if by else OPERATOR if environment == DEVELOPMENT else ""
        if (outer := active()) is not None:  # begun inside another: its starter's, whoever answers
            tenant, starter = outer.run.grounds.tenant, starter_of(outer.run)
        grounds = self._grounds(run_id, thread, environment, request, tenant=tenant)
        key = new_run_key()
        run = Run(grounds=grounds, ledger=ledger, counters=self.counters, knows=self._knowledge(key.body))
        if outer is not None:  # what must not be seen of the run around must not be seen of this one
            run.knows.watches = run.knows.watches or outer.run.knows.watches
            run.knows.learn_of(outer.run.knows)
        run.knows.learn(self._standing.entry.leaves(request))
        run.knows.said(self._standing.entry, request)
        body = run.knows.kept(request)
        started = RunStarted(
            system=self._standing.id,
            system_digest=self._standing.digest,
            policy_digest=self._policy.digest if self._policy else "",
            environment=environment,
            thread=thread,
            request=body.ref,
            agents=self._standing.agents,
            started_by=starter,
            tenant=tenant,
            review_seconds=self.review_seconds,
        )
        started = replace(started, mac=start_mac(key_of(ledger), run_id, started))
        draft = Draft(record=started, key="run.started", payloads=(key, body))
        entry = (await run.write(draft, *also))[0]
        if not self._defined and self._document is not None:
            ledger.define(self._standing.digest, canonical(self._document))
            self._defined = True
        if entry.record is not started:  # it was there: an earlier process began it
            return await self.attach(run_id)
        run.started, run.outer = entry.time, active()
        self._live[run_id] = run
        return run

    def _grounds_of(self, run_id: str, began: RunStarted, request: Mapping[str, Any]) -> Grounds:
        """What a run on record stands on. A record makes no production system a development one."""
        here = self._standing.environment
        environment = here if began.environment == DEVELOPMENT else began.environment
        return self._grounds(run_id, began.thread, environment, request, tenant=began.tenant)

    async def began(self, run_id: str) -> Grounds | None:
        """On what a run stands, as far as its first record tells it; None for one that is not there.

        Raises:
            LedgerCorrupt: who started it was changed.
        """
        ledger = await self._home.ledger()
        entries = await asyncio.to_thread(ledger.entries, run_id)
        if not entries or not isinstance(began := entries[0].record, RunStarted):
            return None
        start_of(ledger, run_id, {"run.started": began})
        return self._grounds_of(run_id, began, {})

    async def own(self, run_id: str) -> bool:
        """Whether a run on record is of this system, in any version: other systems may keep theirs in the same home."""
        entries = await asyncio.to_thread((await self._home.ledger()).entries, run_id)
        began = entries[0].record if entries else None
        name = self._standing.id.partition("@")[0]
        return isinstance(began, RunStarted) and began.system.partition("@")[0] == name

    async def cut_off(self, thread: str, *, known: str = "") -> tuple[str, list[Entry], dict[str, Any]] | None:
        """The newest run of a thread, its records and its request, if a crash cut it off.

        Under `durability="exit"` no checkpoint knows of such a run; then only the ledger does.

        Args:
            known: the run that the thread's checkpoint knows of; that one is resumed from there.
        """
        if self._home.path is None:  # what was in memory is gone with the crash
            return None
        ledger = await self._home.ledger()
        newest = await asyncio.to_thread(ledger.runs, thread=thread, limit=1)
        if not newest or newest[0].status not in ("running", "waiting"):
            return None
        run = newest[0].run
        if run in self._live or run == known:
            return None
        entries = await asyncio.to_thread(ledger.entries, run)
        began = entries[0].record
        body = await asyncio.to_thread(ledger.exact, run, began.request) if isinstance(began, RunStarted) else None
        return (run, entries, orjson.loads(body)) if body is not None else None

    async def over(self, run_id: str) -> bool:
        """Whether a run has ended, so that its open questions wait for nobody any more."""
        if not run_id or run_id in self._live:
            return False
        entries = await asyncio.to_thread((await self._home.ledger()).entries, run_id)
        ends = [e.record.status for e in entries if isinstance(e.record, RunEnded)]
        status = status_of([e.kind for e in entries], ends[-1] if ends else None) if entries else ""
        return status in ("failed", "cancelled")

    async def changed(self, run_id: str) -> SystemChanged | None:
        """Why a run that has not ended cannot go on under this version of the system; None if it can."""
        if not run_id or run_id in self._live:
            return None
        ledger = await self._home.ledger()
        entries = await asyncio.to_thread(ledger.entries, run_id)
        if not entries or not isinstance(began := entries[0].record, RunStarted):
            return None
        now = self._standing.digest
        ends = [e.record.status for e in entries if isinstance(e.record, RunEnded)]
        over = status_of([e.kind for e in entries], ends[-1] if ends else None) == "completed"
        if began.system_digest == now or self._document is None or over:
            return None
        body = await asyncio.to_thread(ledger.definition, began.system_digest)
        if body is None:
            why = ["the ledger has no record of what it was"]
        else:
            why = [f"{f.name}: {f.reason}" for f in resumable(orjson.loads(body), self._document)]
        if not why:
            return None
        return SystemChanged(
            thread=began.thread,
            run=run_id,
            system=self._standing.id.partition("@")[0],
            before=began.system_digest,
            now=now,
            reasons=why,
        )

    async def answered(self, run_id: str) -> dict[str, ReviewAnswer]:
        """Answers that the ledger holds by review id: a crash may have come between an answer and what it allowed.

        They come as they are on record: the gate looks at their signatures.
        """
        ledger = await self._home.ledger()

        def exact(ref: str) -> Any:
            body = ledger.exact(run_id, ref) if ref else None
            return orjson.loads(body) if body is not None else None

        found = {}
        for entry in await asyncio.to_thread(ledger.entries, run_id):
            if isinstance(record := entry.record, ReviewAnswered):
                arguments, words = [await asyncio.to_thread(exact, ref) for ref in (record.arguments, record.words)]
                answer = from_record(record, arguments=arguments, words=words)
                if answer is not None and answer.signature is not None:
                    found[record.review] = answer
        return found

    async def attach(self, run_id: str) -> Run:
        """The live run, or the one that the ledger holds. Raises NotFound, LedgerCorrupt, SystemChanged."""
        if run_id in self._live:
            return _inside(self._live[run_id])
        ledger = await self._home.ledger()
        entries = await asyncio.to_thread(ledger.entries, run_id)
        if not entries or not isinstance(entries[0].record, RunStarted):
            raise NotFound(kind="run", name=run_id)
        began = entries[0].record
        if (changed := await self.changed(run_id)) is not None:
            raise changed
        body = await asyncio.to_thread(ledger.exact, run_id, began.request)
        if body is None and any(isinstance(e.record, PayloadsErased) for e in entries):
            raise RunErased(run=run_id, thread=began.thread)
        if any(isinstance(e.record, UndoIntended) for e in entries):
            raise RunUndone(run=run_id, thread=began.thread)
        if body is None:
            raise LedgerCorrupt(run=run_id, seq=0, fault="the request it began with is gone")
        request = orjson.loads(body)
        run = Run.over(self._grounds_of(run_id, began, request), ledger, entries)
        run.counters = self.counters
        start_of(ledger, run_id, run.journal)  # raises where it was changed
        key: bytes | None = await asyncio.to_thread(ledger.run_key, run_id)
        made = self._knowledge(key or b"")
        made.labels, run.knows = run.knows.labels, made
        if (outer := active()) is not None and outer.run.grounds.run != run_id:
            run.knows.watches = run.knows.watches or outer.run.knows.watches
            run.knows.learn_of(outer.run.knows)
        run.knows.learn(self._standing.entry.leaves(request))
        run.knows.said(self._standing.entry, request)
        await asyncio.to_thread(self.learn_again, run, entries)
        if _interrupted(entries):
            now = self._standing.digest if began.system_digest != self._standing.digest else ""
            run.note(Draft(record=RunResumed(records=len(entries), system_digest=now)))
        return _inside(self._live.setdefault(run_id, run))

    def learn_again(self, run: Run, entries: list[Entry]) -> None:
        """Make again what the run knew; see `learning.py`. Blocks."""
        learn_again(run, entries, self._standing, self._tools)

    def let_go(self, run_id: str) -> None:
        """Forget a run that waits for a person, or has ended. The ledger has all of it.

        Nobody spends for it through this process's account any more, and its calls that are still out are settled.
        """
        run = self._live.pop(run_id, None)
        if run is not None:
            run.settle_abandoned()
            run.spending.gone = "the run was let go, and what was left behind of it calls no model"
        if run is not None and run.knows.known:
            self._late.append(run.knows)

    def leave(self, run: Run) -> None:
        """Let a run go once no node of it is at work: those beside this one go on, on the same account."""
        run.leaving = True
        if run.nodes <= 1:
            self.let_go(run.grounds.run)

    @contextmanager
    def at_work(self, run: Run) -> Iterator[None]:
        """While a node of a run is at work."""
        run.nodes += 1
        try:
            yield
        finally:
            run.nodes -= 1
            if run.leaving and run.nodes == 0 and self._live.get(run.grounds.run) is run:
                self.let_go(run.grounds.run)

    async def drain(self, run: Run, reason: str, *, scope: str = "", unit: str = "") -> None:
        """Record that a run stopped at a checkpoint, to be gone on with, and let it go; once, whoever stopped it."""
        if run.grounds.run not in self._live or run.drained:
            return
        run.drained = True
        record = RunDrained(reason=run.knows.text(reason)[:2000], scope=scope, unit=unit, spent=run.spent.as_json())
        try:
            await run.write(Draft(record=record))
        finally:
            self.leave(run)

    async def end(
        self,
        run: Run,
        status: str,
        *,
        reason: str = "",
        response: Payload | None = None,
        marks: Sequence[Any] = (),
        label: Label = UNKNOWN,
    ) -> None:
        """Record a run's end and let it go; returns when all of its records are durable.

        Args:
            label: of what crossed to its end.
        """
        run.settle_abandoned()
        told_around(run, status, marks, label)
        ref = response.ref if response else ""
        told = [[m["kind"], m["agent"], m["why"]] for m in marks]
        record = RunEnded(status=status, reason=reason, response=ref, spent=run.spent.as_json(), marks=told)
        try:
            await run.write(Draft(record=record, payloads=(response,) if response else ()))
        finally:  # what could not be written must not live on here: only the ledger knows what is so
            self.let_go(run.grounds.run)


def _inside(run: Run) -> Run:
    """A run, knowing whose turn it is inside which it is driven; a resumption may have made that another object."""
    around = active()
    if around is None or around.run is not run:
        run.outer = around
    return run


def _interrupted(entries: list[Entry]) -> bool:
    """Whether a run stopped other than at a review."""
    ends = [e.record.status for e in entries if isinstance(e.record, RunEnded)]
    return status_of([e.kind for e in entries], ends[-1] if ends else None) != "waiting"

"""The runs of a system in this process: begun, attached again from the ledger, ended, let go."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any
from uuid import UUID, uuid5

import orjson

from ..contracts.errors import LedgerCorrupt, NotFound
from ..contracts.policy import CompiledPolicy
from ..contracts.review import ReviewAnswer
from ..contracts.tool import ToolSpec
from ..ledger.entry import Draft, Entry
from ..ledger.records import ReviewAnswered, RunEnded, RunResumed, RunStarted
from ..ledger.store import status_of
from ..tools.run import Grounds, Run, payload_of
from .home import Home
from .standing import Standing

_RUNS = UUID("6f1d9a52-5f0b-4f0a-9c1e-0a8d8f2f7f11")


def run_id_of(thread: str, task: str) -> str:
    """A run's id, from its thread and the task that began it: the same when that task is executed again."""
    return str(uuid5(_RUNS, f"{thread}/{task}"))


class Runs:
    """Finds the `Run` for an id. One instance per system."""

    def __init__(
        self, standing: Standing, home: Home, policy: CompiledPolicy | None, tools: Mapping[str, ToolSpec]
    ) -> None:
        self._standing, self._home, self._policy, self._tools = standing, home, policy, tools
        self._live: dict[str, Run] = {}

    def _grounds(self, run: str, thread: str, environment: str, request: Mapping[str, Any]) -> Grounds:
        return Grounds(
            run=run,
            thread=thread,
            system=self._standing.id,
            environment=environment,
            policy=self._policy,
            tools=self._tools,
            request={k: v for k, v in request.items() if k in self._standing.policy_fields},
            budget=self._standing.budget,
            resources=self._standing.resources,
        )

    async def begin(self, run_id: str, thread: str, request: dict[str, Any]) -> Run:
        """Begin a run, or attach to it if this is a re-execution of its beginning."""
        if run_id in self._live:
            return self._live[run_id]
        ledger = await self._home.ledger()
        grounds = self._grounds(run_id, thread, self._standing.environment, request)
        digest, body = payload_of(request)
        started = RunStarted(
            system=self._standing.id,
            system_digest=self._standing.digest,
            policy_digest=self._policy.digest if self._policy else "",
            environment=self._standing.environment,
            thread=thread,
            request=digest,
            agents=self._standing.agents,
        )
        run = Run(grounds=grounds, ledger=ledger)
        draft = Draft(record=started, key="run.started", payloads=((digest, body),))
        entry = (await run.write(draft))[0]
        if entry.record is not started:  # it was there: an earlier process began it
            return await self.attach(run_id)
        run.started = entry.time
        self._live[run_id] = run
        return run

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
        body = await asyncio.to_thread(ledger.payload, run, began.request) if isinstance(began, RunStarted) else None
        return (run, entries, orjson.loads(body)) if body is not None else None

    async def answered(self, run_id: str) -> dict[str, ReviewAnswer]:
        """Answers that the ledger holds by review id: a crash may have come between an answer and what it allowed."""
        ledger = await self._home.ledger()
        found = {}
        for entry in await asyncio.to_thread(ledger.entries, run_id):
            if isinstance(record := entry.record, ReviewAnswered):
                body = await asyncio.to_thread(ledger.payload, run_id, record.arguments) if record.arguments else None
                said = {"decision": record.decision, "reason": record.reason, "reviewer": record.reviewer}
                arguments = orjson.loads(body) if body is not None else None
                found[record.review] = ReviewAnswer.model_validate({**said, "arguments": arguments})
        return found

    async def attach(self, run_id: str) -> Run:
        """The live run, or the one that the ledger holds. Raises NotFound, LedgerCorrupt."""
        if run_id in self._live:
            return self._live[run_id]
        ledger = await self._home.ledger()
        entries = await asyncio.to_thread(ledger.entries, run_id)
        if not entries or not isinstance(entries[0].record, RunStarted):
            raise NotFound(kind="run", name=run_id)
        began = entries[0].record
        body = await asyncio.to_thread(ledger.payload, run_id, began.request)
        if body is None:
            raise LedgerCorrupt(run=run_id, seq=0, fault="the request it began with is gone")
        request = orjson.loads(body)
        run = Run.over(self._grounds(run_id, began.thread, began.environment, request), ledger, entries)
        if _interrupted(entries):
            run.note(Draft(record=RunResumed(records=len(entries))))
        return self._live.setdefault(run_id, run)

    def let_go(self, run_id: str) -> None:
        """Forget a run that waits for a person, or has ended. The ledger has all of it."""
        self._live.pop(run_id, None)

    async def end(self, run: Run, status: str, *, reason: str = "", response: str = "", payload: bytes = b"") -> None:
        """Record a run's end and let it go; returns when all of its records are durable."""
        run.settle_abandoned()
        record = RunEnded(status=status, reason=reason, response=response, spent=run.spent.as_json())
        try:
            await run.write(Draft(record=record, payloads=((response, payload),) if response else ()))
        finally:  # what could not be written must not live on here: only the ledger knows what is so
            self.let_go(run.grounds.run)


def _interrupted(entries: list[Entry]) -> bool:
    """Whether a run stopped other than at a review."""
    ends = [e.record.status for e in entries if isinstance(e.record, RunEnded)]
    return status_of([e.kind for e in entries], ends[-1] if ends else None) != "waiting"

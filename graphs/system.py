"""The system: a topology with its agents, contracts, policy and budget, frozen under a digest. What is deployed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, TypeVar, cast
from uuid import uuid4
from weakref import WeakKeyDictionary, WeakValueDictionary

from langchain_core.caches import BaseCache
from langchain_core.language_models import BaseChatModel
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.errors import GraphDrained
from langgraph.graph import StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import Command

from ..contracts.budget import Budget
from ..contracts.contract import Never
from ..contracts.errors import NotFound, SystemChanged, TopologyInvalid
from ..contracts.loops import LOOPS, Loops
from ..contracts.policy import Policy
from ..contracts.review import APPROVAL_SECONDS, REVIEW_SECONDS, ReviewAnswer, Reviewer, ReviewRequest
from ..contracts.shared import Key
from ..ledger.counters import Counters
from ..ledger.holds import Hold
from ..ledger.store import Ledger
from ..ledger.transcript import transcript
from ..tools import signing
from ..tools.position import GOVERNED
from .answering import Taking, answering, refuse_other_tenants, seconds_or_faults
from .blocking import blocking
from .definition import UNRECORDED, build, define, reloaded
from .drawable import Drawable
from .home import Home
from .inner_again import told_again
from .inner_runs import thread_inside, told_waiting
from .late_answers import noted
from .locking import lock_of_definition
from .reading import GovernedGraph, Governing
from .registries import Registry
from .restartable import Restartable
from .result import RunResult, result_of
from .runs import started_by
from .state import REQUEST, RUN
from .store import VersionedStore
from .story import Story
from .topology import Topology
from .undoable import Undoable
from .undoing import handles_of

__all__ = ["Durability", "RunResult", "System", "system_of"]
T = TypeVar("T")
_NO_END = 10**9
Durability = Literal["sync", "async", "exit"]
_LOADED: WeakValueDictionary[tuple[str, str], System] = WeakValueDictionary()
_SYSTEMS: WeakKeyDictionary[StateGraph[Any, Any, Any, Any], System] = WeakKeyDictionary()


class System(Drawable, Undoable, Restartable):
    """A governed multi-agent system.

    Args:
        name: lower case identifier.
        version: rises when the system changes.
        topology: agents and edges.
        policy: what tools may do. A system whose agents have tools and which has no policy denies every call.
        budget: limits of one run; with `Budget(of=...)` beside it, of all runs of a thread, the system or a tenant.
        loops: how often the same may come over and over before the run is stopped.
        counters: where the budgets are counted that runs of several machines share (`PostgresCounters`); None counts
            them in the ledger.
        cache: where agents that may (`Agent(cache=True)`) look for earlier replies.
        model: for agents that name none: `provider:model` or a chat model.
        resources: what tools reach through `ctx.resource(Class)`: database handles, clients.
        environment: `development`, `staging`, `production`, …; policy reads it as `context.env`.
        home: folder of ledger and checkpoints; None keeps both in memory.
        shared: the shared state by key, each with its writer or its reducer.
        registries: look-ups that validate ids, by the name that `Id(...)` gives: a callable, or a trusted read tool.
        unrecorded: what no record, trace or question to a person shows, beside what a contract never lets cross;
            credentials unless said otherwise.
        wait: seconds that a run waits for its thread while another run has it; None refuses at once.
        review_seconds: how long a review may be answered, at most a year; then it is a no.
        approval_seconds: how long an approval counts for a call that has not begun, at most a year; then it is asked
            for again.

    Raises:
        TopologyInvalid, AgentInvalid, PolicyInvalid: with every fault found.
    """

    def __init__(
        self,
        name: str,
        *,
        version: int,
        topology: Topology,
        policy: Policy | None = None,
        budget: Budget | Sequence[Budget] | None = None,
        loops: Loops = LOOPS,
        counters: Counters | None = None,
        cache: BaseCache | None = None,
        model: str | BaseChatModel | None = None,
        resources: Sequence[Any] = (),
        environment: str = "development",
        home: Path | str | None = None,
        shared: Mapping[str, Key] | None = None,
        registries: Mapping[str, Registry] | None = None,
        unrecorded: Never = UNRECORDED,
        wait: float | None = None,
        review_seconds: float = REVIEW_SECONDS,
        approval_seconds: float = APPROVAL_SECONDS,
    ) -> None:
        if faults := seconds_or_faults(review_seconds=review_seconds, approval_seconds=approval_seconds):
            raise TopologyInvalid(name=name, faults=faults)
        found = self.definition = define(
            name,
            version=version,
            topology=topology,
            policy=policy,
            budget=budget,
            loops=loops,
            cache=cache,
            model=model,
            resources=resources,
            environment=environment,
            shared=shared or {},
            registries=registries or {},
            unrecorded=unrecorded,
        )
        self.name, self.version, self.topology = name, version, topology
        self.entry, self.policy, self.budget, self.budgets = found.entry, found.policy, found.budget, found.budgets
        self.specs, self.tools, self.standing = found.specs, found.tools, found.standing
        self.home, self.wait = Home(home), wait
        self._builder, self._runs = build(found, self.home, lock_of_definition(found))
        self._runs.review_seconds, self._runs.counters = float(review_seconds), counters
        handles = dict(handles_of(found))
        self._takes = Taking(runs=self._runs, home=self.home, seconds=float(approval_seconds), tools=handles)
        _SYSTEMS[self._builder] = self
        self._loaded_as = found.standing.digest, str(self.home.path.resolve()) if self.home.path else ""
        if self.home.path is not None:
            _LOADED[self._loaded_as] = self

    @property
    def counters(self) -> Counters | Ledger:
        """Where the budgets are counted that runs share. Its reads block."""
        return self._runs.counters or self.ledger

    @property
    def digest(self) -> str:
        """Digest of agents, contracts, edges, policy and budget."""
        return self.standing.digest

    def reload(self, policy: Policy) -> None:
        """Judge by another policy from now on, without a restart. All of it or nothing of it takes effect.

        A run that is under way keeps the one it began this stretch with; an approval given under the old one does not
        count under the new. Every verdict is recorded with the digest of the policy that gave it.

        Raises:
            PolicyInvalid: with every fault; the policy in force stays.
        """
        made = reloaded(self.definition, policy)
        self._runs.rule_by(made)
        self.policy = made

    # -- the graph -----------------------------------------------------------------------------------------------

    def compile(self, checkpointer: BaseCheckpointSaver[Any] | None = None) -> GovernedGraph:
        """The plain compiled graph over a checkpointer of your own. Governed by itself, whoever invokes it."""
        plain = self._builder.compile(checkpointer=checkpointer, name=self.name)
        governing = Governing(name=self.name, entry=self.entry, runs=self._runs, holds=self.home.holds, wait=self.wait)
        attributes = {k: v for k, v in vars(plain).items() if k != "__orig_class__"}
        graph = GovernedGraph(governing=governing, **attributes)
        versions = {n: f"{s.id} {s.digest[:12]}" for n, s in self.specs.items()}
        notes = {GOVERNED: f"{self.standing.id} {self.digest[:12]}", "edgewright_agents": versions}
        # Behind our own bounds, which say what was going round: LangGraph's counts steps of the graph.
        steps = self.budget.steps if self.budget.steps is not None else _NO_END
        return graph.with_config({"metadata": notes, "recursion_limit": steps + 10})

    @cached_property
    def graph(self) -> GovernedGraph:
        """The compiled graph without a checkpointer, as `langgraph.json` names it."""
        return self.compile()

    # -- running -------------------------------------------------------------------------------------------------

    async def arun(
        self,
        request: Mapping[str, Any],
        *,
        thread: str | None = None,
        by: Reviewer | None = None,
        durability: Durability = "sync",
        config: RunnableConfig | None = None,
    ) -> RunResult:
        """Run the system on one request.

        Args:
            request: the payload of the entry contract.
            by: who starts it, which is on record, and on whose tenant's behalf; None is the local operator in
                development, and nobody that is known elsewhere.
            thread: the thread's id; None makes a new one. Inside a turn of another system None goes on with the run
                that the turn had begun when it was taken before.
            durability: when checkpoints are durable; see LangGraph. Records before effects are, in every mode.

        Raises:
            ContractViolation: the request does not fit; nothing was begun.
            ThreadBusy, ThreadWaiting: the thread is running, or waits for a review.
            NotFound: the thread is another tenant's.
            Whatever stopped the run; the ledger has its end.
        """
        if thread is None and (inside := thread_inside(self.name, request)) is not None:
            thread, before = inside, await self._standing_of(inside)
            if before.status == "waiting" or before.output is not None:  # the turn is taken again, and had begun it
                await told_again(self._runs, before.run)
                return before
            if before.run:
                return await self._drive(None, thread, durability, config)
        thread = thread or str(uuid4())
        async with self.hold(thread):
            if by is not None:
                refuse_other_tenants(await self._runs.began((await self._standing_of(thread)).run), by, thread)
            with started_by(by):
                return await self._drive({REQUEST: request}, thread, durability, config)

    async def aresume(
        self,
        thread: str,
        answers: Mapping[str, ReviewAnswer] | None = None,
        *,
        reviewer: Reviewer | None = None,
        durability: Durability = "sync",
        config: RunnableConfig | None = None,
    ) -> RunResult:
        """Go on with a thread: with answers to its reviews (by review id), or without: after a crash, or when nobody
        answered in time.

        Args:
            reviewer: who answers, as the caller knows them; what an answer says of that counts for nothing. None is
                the local operator, who may answer in development only.

        Raises:
            ReviewInvalid: an answer to a question that is not open on this thread, or that does not fit it.
            ReviewExpired: it came too late.
            ReviewerRefused: whoever gives it may not. The question stays open.
            NotFound: there is no such thread, for this reviewer's tenant.
            SystemChanged: it began under a version of this system that differs too much, and is not loaded.
        """
        try:
            found = await self._standing_of(thread)
        except SystemChanged as changed:
            before = _LOADED.get((changed.before, self._loaded_as[1]))
            if before is None or before is self:
                raise
            return await before.aresume(thread, answers, reviewer=reviewer, durability=durability, config=config)
        refuse_other_tenants(await self._runs.began(found.run), reviewer, thread)
        if answers:
            async with self.hold(thread):  # looked at under the hold: of two answers at once, one finds it open
                found = await self._standing_of(thread)
                open_ = [r.id for r in found.reviews]
                left = await noted(self._takes, found.run, thread, answers, waiting=open_, reviewer=reviewer)
                if not left:
                    return found
                mine = await self.answering(thread, found.reviews, left, reviewer=reviewer)
                resume = {found.interrupts[r]: a.model_dump(mode="json") for r, a in mine.items()}
                return await self._drive(Command(resume=resume), thread, durability, config)
        if found.status == "waiting":
            known = await self._runs.answered(found.run)
            given = {found.interrupts[r.id]: known[r.id] for r in found.reviews if r.id in known}
            if given:
                resume = {i: a.model_dump(mode="json") for i, a in given.items()}
                return await self._drive(Command(resume=resume), thread, durability, config)
            if not any(0 < r.expires < signing.now() for r in found.reviews):
                return found
            return await self._drive(None, thread, durability, config)  # nobody answered in time, which is a no
        cut_off = await self._runs.cut_off(thread, known=found.run)
        if cut_off is None and not found.run:
            raise NotFound(kind="run on thread", name=thread)
        asked = await self._asked_again(cut_off, thread) if cut_off else None
        return await self._drive(asked, thread, durability, config)

    async def answering(
        self,
        thread: str,
        requests: Sequence[ReviewRequest],
        answers: Mapping[str, ReviewAnswer],
        *,
        reviewer: Reviewer | None = None,
    ) -> dict[str, ReviewAnswer]:
        """Answers to open reviews by review id, checked and signed, for a caller that resumes the graph itself.

        Raises:
            As `aresume`.
        """
        others = (s._takes for s in list(_SYSTEMS.values()) if s is not self and s.home.kept)
        return await answering([self._takes, *others], thread, requests, answers, reviewer)

    async def tenant_of(self, thread: str) -> str | None:
        """The tenant whose runs a thread holds; None before its first run. Raises LedgerCorrupt."""
        ledger = await self.home.ledger()
        newest = await asyncio.to_thread(ledger.runs, thread=thread, limit=1)
        grounds = await self._runs.began(newest[0].run) if newest else None
        return grounds.tenant if grounds else None

    def hold(self, thread: str, *, nested: bool = False) -> Hold:
        """Hold a thread of this home, in every process of this machine: one run at a time.

        Raises:
            ThreadBusy: it is held, and was not let go while this waited.
        """
        return self.home.holds.hold(thread, wait=self.wait, nested=nested)

    async def _drive(self, given: Any, thread: str, durability: Durability, config: RunnableConfig | None) -> RunResult:
        async with self.hold(thread, nested=True):
            graph = await self._running()
            try:
                value = await graph.ainvoke(given, _on(thread, config), durability=durability)
            except GraphDrained as drained:
                return replace(await self._standing_of(thread), status="drained", reason=drained.reason)
            result = result_of(thread, value or {}, value.get("__interrupt__", ()) if value else ())
            if result.status == "waiting":  # its questions may quote anything that it had read
                told_waiting(result.run, self.standing.id)
            return result

    async def astream(
        self,
        request: Mapping[str, Any],
        *,
        thread: str | None = None,
        stream_mode: Any = "updates",
        subgraphs: bool = False,
        durability: Durability = "sync",
    ) -> AsyncGenerator[Any, None]:
        """Run the system and yield what LangGraph's `astream` yields, projected to what its reader may see.

        `stream_mode="messages"` yields pieces of the answer as it is written, by field: (chunk, metadata).
        """
        graph, thread = await self._running(), thread or str(uuid4())
        modes: dict[str, Any] = {"stream_mode": stream_mode, "subgraphs": subgraphs, "durability": durability}
        async with self.hold(thread):
            parts = cast("AsyncGenerator[Any, None]", graph.astream({REQUEST: request}, _on(thread, None), **modes))
            async with aclosing(parts):
                async for part in parts:
                    yield part

    async def _running(self) -> GovernedGraph:
        store = VersionedStore(await self.home.ledger())
        return self.graph.copy({"checkpointer": await self.home.saver(), "store": store})

    async def _standing_of(self, thread: str) -> RunResult:
        graph = await self._running()
        state = await graph.aget_state(_on(thread, None))
        if (changed := await self._runs.changed(str(state.values.get(RUN, "")))) is not None:
            raise changed
        return result_of(thread, state.values, state.interrupts)

    def run(self, request: Mapping[str, Any], **options: Any) -> RunResult:
        """`arun` for code without an event loop, notebooks included."""
        return blocking(self.arun(request, **options))

    def resume(self, thread: str, answers: Mapping[str, ReviewAnswer] | None = None, **options: Any) -> RunResult:
        """`aresume` for code without an event loop, notebooks included."""
        return blocking(self.aresume(thread, answers, **options))

    # -- what happened -------------------------------------------------------------------------------------------

    @property
    def ledger(self) -> Ledger:
        """The ledger. Its reads block."""
        return self.home.open()[0]

    def explain(self, run: str) -> Story:
        """The story of one run. Raises NotFound."""
        entries = self.ledger.entries(run)
        if not entries:
            raise NotFound(kind="run", name=run)
        return Story(run, transcript(entries, lambda digest: self.ledger.payload(run, digest)))

    def close(self) -> None:
        """Close ledger and checkpoints; they open again when used. A closed version does not count as loaded."""
        _LOADED.pop(self._loaded_as, None)
        self.home.close()

    def __repr__(self) -> str:
        return f"System({self.standing.id} {self.digest[:12]})"


def system_of(graph: CompiledStateGraph[Any, Any, Any, Any]) -> System | None:
    """The system that a compiled graph belongs to; None for a plain LangGraph graph."""
    return _SYSTEMS.get(graph.builder)


def _on(thread: str, config: RunnableConfig | None) -> RunnableConfig:
    base = config or RunnableConfig()
    return {**base, "configurable": {**base.get("configurable", {}), "thread_id": thread}}

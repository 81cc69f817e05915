"""The runs of a hand-made graph with contracts: a run begins at the first crossing of an invocation and ends with it.

`contract_edge` has the graph compile to a `ContractedGraph`, which knows when an invocation ends, fails, or waits.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, cast
from weakref import WeakKeyDictionary

import orjson
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import ensure_config, merge_configs
from langgraph.callbacks import GraphCallbackHandler, GraphInterruptEvent
from langgraph.config import get_config
from langgraph.errors import GraphBubbleUp, ParentCommand, is_invalid_resume
from langgraph.graph import StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.runtime import get_runtime
from langgraph.types import Command
from pydantic import ValidationError

from ..contracts.budget import Budget
from ..contracts.contract import Contract, Never
from ..contracts.digest import digest
from ..contracts.edge import END, Edge
from ..contracts.errors import BudgetExceeded, LedgerError, RunErased, RunUndone, TopologyInvalid
from ..contracts.review import APPROVAL_SECONDS, DEVELOPMENT, ReviewAnswer, Reviewer, ReviewRequest
from ..ledger.records import ContractPassed, RunEnded
from ..ledger.store import status_of
from ..tools.run import Run
from .answering import Taking, answering
from .blocking import blocking, blocking_stream
from .definition import UNRECORDED, joined
from .home import Home
from .inside import place_of
from .registries import Registry
from .runs import Runs, run_id_of
from .standing import Standing

BOOKS = "edgewright"
"""The key of the state under which the run's id and the tries of each contract are kept."""
RUN, SENT = "run", "sent"
_INVOCATION = "edgewright_invocation"
AnyGraph = StateGraph[Any, Any, Any, Any]


def merged(before: dict[str, Any] | None, new: dict[str, Any]) -> dict[str, Any]:
    """The books of a graph after one more contract node. All of a step meet here, those of a resumed step too.

    Raises:
        TopologyInvalid: two edges lead to one node in one step. It would run twice, each time on half of its input.
    """
    sent = dict((before or {}).get(SENT) or {})
    for target, (step, edge) in (new.get(SENT) or {}).items():
        held = sent.get(target)
        if held is not None and held[0] == step and held[1] != edge:
            fault = f"{held[1]!r} and {edge!r} lead to {target!r} in one step; {JOIN}"
            raise TopologyInvalid(name="contract_edge", faults=[fault])
        sent[target] = [step, edge]
    return {**(before or {}), **new, SENT: sent}


JOIN = "let a node join them by plain edges, and put one contract behind it"


@dataclass(slots=True)
class Desk:
    """What the contracts of one graph share."""

    name: str
    home: Home
    environment: str = DEVELOPMENT
    edges: list[Edge] = field(default_factory=list)
    registries: dict[str, Registry] = field(default_factory=dict)
    unrecorded: Never = UNRECORDED
    runs_made: Runs | None = None
    live: set[str] = field(default_factory=set)

    @property
    def contracts(self) -> dict[str, Contract]:
        """Every contract by its id."""
        return {e.contract.id: e.contract for e in self.edges}

    def runs(self) -> Runs:
        """The runs of the graph; made when the first one begins, when all contracts are known."""
        if self.runs_made is None:
            contracts = self.contracts
            standing = Standing(
                id=f"{self.name}@0",
                digest=digest([self.name, sorted(c.digest for c in contracts.values())]),
                environment=self.environment,
                budget=Budget(),
                agents={},
                policy_fields=(),
                resources=(),
                entry=next(iter(contracts.values())),
                contracts=contracts,
                unrecorded=joined([self.unrecorded, *(c.never for c in contracts.values())]),
            )
            self.runs_made = Runs(standing, self.home, None, {})
        return self.runs_made

    async def ended(self, run: str) -> bool:
        """Whether a run cannot go on: it ended, or the ledger does not know it."""
        ledger = await self.home.ledger()
        entries = await asyncio.to_thread(ledger.entries, run)
        ends = [e.record.status for e in entries if isinstance(e.record, RunEnded)]
        return status_of([e.kind for e in entries], ends[-1] if ends else None) not in ("running", "waiting")

    async def left_behind(self, run: str) -> None:
        """End a run that nobody can go on with: its thread begins anew."""
        if run in self.live or await self.ended(run):
            return
        try:
            found = await self.runs().attach(run)
        except (LedgerError, RunErased, RunUndone):  # what it began with cannot be read: it goes on nowhere
            return
        await self.runs().end(found, "failed", reason="left behind: its thread began a new run")


DESKS: WeakKeyDictionary[AnyGraph, Desk] = WeakKeyDictionary()


@dataclass(slots=True, kw_only=True, eq=False)
class Invocation:
    """One invocation of a graph, and its run once something has crossed.

    Attributes:
        fresh: it has an input of its own, so it goes on with no run that its thread knows of.
        waits: it stopped at a question, to be resumed.
        response: what crossed to END.
    """

    desk: Desk
    fresh: bool
    run: Run | None = None
    went_on: bool = False
    waits: bool = False
    response: dict[str, Any] = field(default_factory=dict)
    _beginning: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def run_of(self, before: str, told: Any) -> Run:
        """The run of this invocation; edges that are crossed side by side begin one.

        Args:
            before: the run that the state of the thread knows.
        """
        async with self._beginning:
            if self.run is not None:
                return self.run
            if self.fresh and before:
                await self.desk.left_behind(before)
            elif (found := await self.go_on(before)) is not None:
                return found
            self.run = run = await self._begun(told)
            self.desk.live.add(run.grounds.run)
            return run

    async def go_on(self, before: str) -> Run | None:
        """Take the run of an invocation before this one, if it has not ended. Nothing more of it needs to cross."""
        if not before or await self.desk.ended(before):
            return None
        self.run = run = await self.desk.runs().attach(before)
        self.went_on = True
        self.desk.live.add(before)
        return run

    async def _begun(self, told: Any) -> Run:
        info = get_runtime().execution_info
        thread = (info.thread_id if info else None) or ""
        # Where a run begins is a step of its thread: its checkpoint has the same id when it is executed again.
        began = info.checkpoint_id if info else str(get_config().get("run_id") or "")
        request = told if isinstance(told, dict) else {"payload": told}
        return await self.desk.runs().begin(run_id_of(thread, began), thread, request)

    async def ended(self, status: str, reason: str = "") -> None:
        """Record the end of the run, if there is one."""
        if (run := self._left()) is not None:
            before = await self._answered_before(run) if status == "completed" and self.went_on else {}
            response = {**before, **self.response}
            kept = run.knows.kept(response) if response and status == "completed" else None
            await self.desk.runs().end(run, status, reason=run.knows.text(reason)[:2000], response=kept)

    def let_go(self) -> None:
        """Forget the run, which goes on when its thread is resumed. The ledger has all of it."""
        if (run := self._left()) is not None:
            run.settle_abandoned()
            self.desk.runs().let_go(run.grounds.run)

    def _left(self) -> Run | None:
        run, self.run = self.run, None
        if run is not None:
            self.desk.live.discard(run.grounds.run)
        return run

    async def _answered_before(self, run: Run) -> dict[str, Any]:
        """What crossed to END before the run waited."""
        found: dict[str, Any] = {}
        for entry in await asyncio.to_thread(run.ledger.entries, run.grounds.run):
            if isinstance(record := entry.record, ContractPassed) and record.edge.endswith(f"→{END}"):
                body = await asyncio.to_thread(run.ledger.exact, run.grounds.run, record.payload)
                found |= orjson.loads(body) if body is not None else {}
        return found


def invocation_of(desk: Desk) -> Invocation:
    """The invocation around a node. Raises TopologyInvalid: the graph was compiled in a way that knows no runs."""
    found = get_config().get("configurable", {}).get(_INVOCATION)
    if not isinstance(found, Invocation) or found.desk is not desk:
        fault = "it was compiled before its contracts, or not by its own compile(); call graph.compile() after them"
        raise TopologyInvalid(name=desk.name, faults=[fault])
    return found


class _Waiting(GraphCallbackHandler):
    """Tells an invocation that its graph stopped at a question."""

    def __init__(self, invocation: Invocation) -> None:
        self._invocation = invocation

    def on_interrupt(self, event: GraphInterruptEvent) -> None:
        self._invocation.waits = True


class ContractedGraph(CompiledStateGraph[Any, Any, Any, Any]):
    """A compiled hand-made graph with contracts: LangGraph's, and its runs end with its invocations."""

    def __init__(self, *, desk: Desk, **attributes: Any) -> None:
        super().__init__(**attributes)
        vars(self).update({k: v for k, v in attributes.items() if k.startswith("_")})  # LangGraph sets them afterwards
        self.desk = desk

    async def astream(self, input: Any, config: RunnableConfig | None = None, **options: Any) -> AsyncIterator[Any]:
        """As LangGraph's. What crosses a contract during it belongs to one run.

        The run ends `completed` or `failed` with it. A graph that waits to be resumed has its run wait, too.
        """
        given = config or RunnableConfig()
        nested = place_of(given)[1]
        begins = not nested and input is not None and not isinstance(input, Command)
        invocation = Invocation(desk=self.desk, fresh=begins)
        ours = RunnableConfig(callbacks=[_Waiting(invocation)], configurable={_INVOCATION: invocation})
        whole = ensure_config(given)
        saved = self._resolve_checkpointer(whole) is not None  # a graph around lends its own
        resumable = nested or saved
        try:
            if not begins and saved:
                books = (await super().aget_state(whole)).values.get(BOOKS) or {}
                await invocation.go_on(str(books.get(RUN) or ""))
            inner = cast("AsyncGenerator[Any, None]", super().astream(input, merge_configs(given, ours), **options))
            # Closed with its reader: a generator that is merely left holds its run until it is collected.
            async with aclosing(inner) as parts:
                async for part in parts:
                    yield part
        except ParentCommand:  # it goes on in the graph around it, and is done here
            await invocation.ended("completed")
            raise
        except GraphBubbleUp:
            invocation.let_go()
            raise
        except Exception as error:
            if resumable and is_invalid_resume(error):  # an answer that fits no question; the question stays open
                invocation.let_go()
                raise
            status = "out_of_budget" if isinstance(error, BudgetExceeded) else "failed"
            await invocation.ended(status, f"{type(error).__name__}: {error}")
            raise
        except BaseException:
            if resumable:
                invocation.let_go()
            else:
                await invocation.ended("failed", "cancelled: its reader left, and without a checkpointer it is over")
            raise
        if not invocation.waits:
            await invocation.ended("completed")
        elif resumable:
            invocation.let_go()
        else:
            await invocation.ended("failed", "it waits for an answer, and without a checkpointer none can reach it")

    async def answering(
        self, config: RunnableConfig, answers: Mapping[str, ReviewAnswer], *, reviewer: Reviewer | None = None
    ) -> dict[str, Any]:
        """Answers to what its contracts ask a person, by review id, as `Command(resume=…)` takes them: signed.

        Args:
            reviewer: who answers, as the caller knows them; None is the local operator, in development only.

        Raises:
            ReviewInvalid, ReviewExpired, ReviewerRefused, NotFound: as `System.aresume`.
        """
        asked: dict[str, ReviewRequest] = {}
        for found in (await super().aget_state(config)).interrupts:
            with suppress(ValidationError):  # its own nodes may ask, too
                asked[found.id] = ReviewRequest.model_validate_json(orjson.dumps(found.value, default=repr))
        takes = Taking(runs=self.desk.runs(), home=self.desk.home, seconds=APPROVAL_SECONDS, tools={})
        thread = str(config.get("configurable", {}).get("thread_id") or "")
        signed = await answering([takes], thread, list(asked.values()), answers, reviewer)
        return {i: signed[r.id].model_dump(mode="json") for i, r in asked.items() if r.id in signed}

    def stream(self, input: Any, config: RunnableConfig | None = None, **options: Any) -> Iterator[Any]:
        """`astream`, for code without an event loop: contract nodes are async, for they wait for the ledger."""
        return blocking_stream(cast("AsyncGenerator[Any, None]", self.astream(input, config, **options)))

    def invoke(self, input: Any, config: RunnableConfig | None = None, **options: Any) -> Any:
        """`ainvoke`, for code without an event loop."""
        return blocking(self.ainvoke(input, config, **options))


def compile_contracted(graph: AnyGraph, desk: Desk, faults: Callable[[AnyGraph, Desk], list[str]]) -> None:
    """Have a graph compile to a `ContractedGraph`, and refuse to where its edges go round its contracts."""
    plain = graph.compile

    @wraps(plain)
    def compile_(*args: Any, **options: Any) -> ContractedGraph:
        if found := faults(graph, desk):
            raise TopologyInvalid(name=desk.name, faults=found)
        attributes: Mapping[str, Any] = vars(plain(*args, **options))
        return ContractedGraph(desk=desk, **{k: v for k, v in attributes.items() if k != "__orig_class__"})

    vars(graph)["compile"] = compile_

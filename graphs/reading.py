"""What a governed graph shows to whoever invokes it: every stream, state and history is a crossing to its reader.

A reader sees the run's id, the response that crossed to the end, node names, and the questions a person is asked.
`GovernedGraph` is the compiled graph itself, so that this holds in a notebook, in LangGraph Studio, behind a server and
inside another graph alike (`inside.py`). What it raises is told the same way (`telling.py`).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass
from typing import Any, NoReturn, cast

from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.graph import Graph
from langgraph.errors import GraphBubbleUp
from langgraph.graph import StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import Command, Interrupt, PregelTask, StateSnapshot

from ..contracts.contract import Contract
from ..contracts.edge import START
from ..contracts.errors import EdgewrightError, ReadRefused, ThreadWaiting
from ..ledger.holds import Holds
from ..tools.tracing import guard_traces
from .blocking import blocking, blocking_stream
from .cancelling import StopsRecorded
from .entering import ADMITTED
from .inside import AROUND, around, place_of, shielded
from .restarting import RESTARTS
from .runs import Runs
from .state import PUBLIC, REQUEST, RUN
from .teams import INSIDES
from .telling import told
from .tokens import TOKENS, Token

_MODES = frozenset({"values", "updates", "custom", "messages", "tasks", "checkpoints", "debug"})
_SAVER = "__pregel_checkpointer"
_HIDDEN = "hidden: see the ledger"


@dataclass(frozen=True, slots=True)
class Governing:
    """What a governed graph needs beyond LangGraph's: its door, its runs, and who holds which thread."""

    name: str
    entry: Contract
    runs: Runs
    holds: Holds
    wait: float | None


class GovernedGraph(CompiledStateGraph[Any, Any, Any, Any]):
    """See the module. Made by `System.compile`."""

    def __init__(self, *, governing: Governing, **attributes: Any) -> None:
        super().__init__(**{**attributes, "stream_channels": list(PUBLIC)})
        self.governing = governing

    # -- running -------------------------------------------------------------------------------------------------

    async def astream(self, input: Any, config: RunnableConfig | None = None, **options: Any) -> AsyncIterator[Any]:
        """As LangGraph's, one run at a time per thread, and projected to what its reader may see.

        Raises:
            ReadRefused: for keys of the state that no contract lets out.
            ThreadBusy: another run has the thread, here or in another process.
            ThreadWaiting: a new request, while the thread waits for a review.
            SystemChanged: the run began under a version of the system that differs too much.
        """
        failed: Exception
        try:
            # Closed with its reader: a generator that is merely left holds its thread until it is collected.
            async with aclosing(self._streamed(input, config or RunnableConfig(), options)) as parts:
                async for part in parts:
                    yield part
            return
        except GraphBubbleUp:
            raise
        except Exception as error:
            failed = told(error, self.governing.runs.redactors())
            if failed is error:
                raise
        raise failed  # here, where it has no context: that would be what it must not quote

    async def _streamed(self, input: Any, config: RunnableConfig, options: dict[str, Any]) -> AsyncGenerator[Any, None]:
        guard_traces(config, self.governing.runs.redactors)
        # Before LangGraph sees it: its first checkpoint holds the input as it is given.
        input = self._admitted(input)
        thread, within = place_of(config)
        AROUND.set(around(config))
        config = shielded(config, lambda mode, data: self._projected(mode, data, ("custom",), thread))
        if (keys := options.get("output_keys")) is not None and not _public(keys):
            raise ReadRefused(what=f"output_keys={keys!r}", remedy=f"a reader may ask for {', '.join(PUBLIC)}")
        wanted = options.pop("stream_mode", None) or self.stream_mode
        several = not isinstance(wanted, str)
        modes: list[str] = list(wanted) if several else [str(wanted)]
        if stray := [m for m in modes if m not in _MODES]:
            raise ReadRefused(what=f"stream_mode={stray[0]!r}", remedy=f"known: {', '.join(sorted(_MODES))}")
        nested, version = bool(options.pop("subgraphs", False)), options.get("version", "v1")
        options.pop("print_mode", None)  # it prints what it would stream, unprojected
        asked: list[Any] = list(dict.fromkeys("custom" if m == "messages" else m for m in modes))
        if "messages" in modes:
            config = {**config, "configurable": {**config.get("configurable", {}), TOKENS: True}}
        async with AsyncExitStack() as stack:
            if thread and not within:  # the graph around it has the thread
                await stack.enter_async_context(
                    self.governing.holds.hold(thread, wait=self.governing.wait, nested=True)
                )
                await self._refuse_open(config, thread, new=isinstance(input, Mapping))
            if thread and not within:
                await stack.enter_async_context(StopsRecorded(self.governing.runs, thread))
            options |= {"stream_mode": asked, "subgraphs": nested}
            inner = cast("AsyncGenerator[Any, None]", super().astream(input, config, **options))
            async for part in await stack.enter_async_context(aclosing(inner)):
                ns, mode, data = _told(part, version == "v2", nested)
                parts = self._projected(mode, data, modes, thread) if not ns else self._inside(ns, mode, data)
                for shown, found in parts:
                    if version == "v2":
                        yield {**part, "type": shown, "data": found}
                    elif nested:
                        yield (ns, shown, found) if several else (ns, found)
                    else:
                        yield (shown, found) if several else found

    def _inside(self, ns: tuple[str, ...], mode: str, data: Any) -> Iterator[tuple[str, Any]]:
        """Of what streams from inside a node: which nodes of a team took their turn, and nothing of an agent's own."""
        graph: StateGraph[Any, Any, Any, Any] = self.builder
        for level in ns:
            team = INSIDES.get(graph, {}).get(level.partition(":")[0])
            if team is None:
                return
            graph = team.builder
        if mode == "updates" and (names := [name for name in data if not name.startswith("__")]):
            yield mode, dict.fromkeys(names)

    async def _refuse_open(self, config: RunnableConfig, thread: str, *, new: bool) -> None:
        """Refuse to go on with what began under too different a version, and to begin beside an open question."""
        if self._resolve_checkpointer(config) is None:
            return
        state = await super().aget_state(config)
        if (changed := await self.governing.runs.changed(str(state.values.get(RUN, "")))) is not None:
            raise changed
        if new and state.interrupts and not await self.governing.runs.over(str(state.values.get(RUN, ""))):
            raise ThreadWaiting(thread=thread, open=[_review_of(i) for i in state.interrupts])

    def _admitted(self, given: Any) -> Any:
        """A request as it may be stored. Raises ContractViolation: it does not fit, and nothing was begun."""
        if isinstance(given, Command) and (given.update or given.goto or given.graph):
            raise ReadRefused(what="a command with update or goto", remedy="resume with an answer, and nothing else")
        if not isinstance(given, Mapping) or REQUEST not in given:
            return given
        if given[REQUEST] is RESTARTS.get():  # what had crossed before, and is looked at again where the run begins
            return given
        governing = self.governing
        crossing = governing.entry.check(given[REQUEST], received={}, edge=f"{START}→{governing.name}")
        # Not reset: an async generator may end in another context. It counts for this very payload only.
        ADMITTED.set(crossing)
        governing.runs.admitted(crossing.payload)
        return {**given, REQUEST: crossing.payload}

    def _projected(self, mode: str, data: Any, modes: Sequence[str], thread: str) -> Iterator[tuple[str, Any]]:
        if isinstance(data, Token):
            if "messages" in modes:
                yield "messages", data.part
        elif mode == "custom":
            if "custom" in modes:
                yield mode, self.governing.runs.cleaned(thread, data)
        elif mode == "tasks":
            yield mode, _task(data)
        elif mode == "debug":
            kind = data.get("type") if isinstance(data, Mapping) else ""
            inner = data.get("payload") if isinstance(data, Mapping) else None
            shown = _task(inner) if kind in ("task", "task_result") else _checkpoint(inner)
            yield mode, {**data, "payload": shown}
        elif mode == "checkpoints":
            yield mode, _checkpoint(data)
        else:
            yield mode, data

    def invoke(self, input: Any, config: RunnableConfig | None = None, **options: Any) -> Any:
        """`ainvoke`, for code without an event loop."""
        return blocking(self.ainvoke(input, config, **options))

    def stream(self, input: Any, config: RunnableConfig | None = None, **options: Any) -> Iterator[Any]:
        """`astream`, for code without an event loop."""
        return blocking_stream(cast("AsyncGenerator[Any, None]", self.astream(input, config, **options)))

    def astream_events(self, *_: Any, **__: Any) -> NoReturn:
        """Refused: LangChain's events show every input and output of every node.

        Raises:
            ReadRefused: always.
        """
        raise ReadRefused(what="astream_events", remedy="use astream, with stream_mode='messages' for tokens")

    def astream_log(self, *_: Any, **__: Any) -> NoReturn:
        """Refused, as `astream_events`.

        Raises:
            ReadRefused: always.
        """
        raise ReadRefused(what="astream_log", remedy="use astream")

    # -- the picture ---------------------------------------------------------------------------------------------

    def get_graph(self, config: RunnableConfig | None = None, *, xray: int | bool = False) -> Graph:
        """As LangGraph's; an edge without a word that is the only one out of its node is no choice."""
        return _plain(super().get_graph(config, xray=xray))

    async def aget_graph(self, config: RunnableConfig | None = None, *, xray: int | bool = False) -> Graph:
        """As `get_graph`."""
        return _plain(await super().aget_graph(config, xray=xray))

    # -- reading and writing state -------------------------------------------------------------------------------

    def get_state(self, config: RunnableConfig, *, subgraphs: bool = False) -> StateSnapshot:
        """As LangGraph's, projected. Raises ReadRefused for the state of a node's inside."""
        _refuse_inside(config)
        return _snapshot(super().get_state(config, subgraphs=False))

    async def aget_state(self, config: RunnableConfig, *, subgraphs: bool = False) -> StateSnapshot:
        """As LangGraph's, projected. Raises ReadRefused for the state of a node's inside."""
        _refuse_inside(config)
        return _snapshot(await super().aget_state(config, subgraphs=False))

    def get_state_history(self, config: RunnableConfig, **chosen: Any) -> Iterator[StateSnapshot]:
        """As LangGraph's, projected. Raises ReadRefused for the history of a node's inside."""
        _refuse_inside(config)
        return map(_snapshot, super().get_state_history(config, **chosen))

    async def aget_state_history(self, config: RunnableConfig, **chosen: Any) -> AsyncIterator[StateSnapshot]:
        """As LangGraph's, projected. Raises ReadRefused for the history of a node's inside."""
        _refuse_inside(config)
        async for found in super().aget_state_history(config, **chosen):
            yield _snapshot(found)

    def bulk_update_state(self, config: RunnableConfig, supersteps: Any) -> NoReturn:
        """Refused: what is in a governed graph's state has crossed a contract.

        Raises:
            ThreadBusy: while the thread runs.
            ReadRefused: otherwise.
        """
        with self.governing.holds.hold(str(config.get("configurable", {}).get("thread_id") or "")):
            pass  # raises ThreadBusy
        raise ReadRefused(
            what="update_state", remedy="start a run with a request, or answer a review; its nodes write the state"
        )

    async def abulk_update_state(self, config: RunnableConfig, supersteps: Any) -> NoReturn:
        """Refused, as `bulk_update_state`. Raises ThreadBusy, ReadRefused."""
        self.bulk_update_state(config, supersteps)


def _plain(graph: Graph) -> Graph:
    ways = Counter(edge.source for edge in graph.edges)
    alone = [edge.data is None and ways[edge.source] == 1 for edge in graph.edges]
    graph.edges = [e._replace(conditional=False) if only else e for e, only in zip(graph.edges, alone, strict=True)]
    return graph


def _review_of(found: Interrupt) -> str:
    value = found.value.get("id") if isinstance(found.value, Mapping) else None
    return str(value or found.id)


def _told(part: Any, named: bool, nested: bool) -> tuple[tuple[str, ...], str, Any]:
    """The namespace, mode and data of a part of a stream, in whichever form it comes.

    A token of an answer is the whole graph's, wherever its model was asked.
    """
    if named:
        ns, mode, data = tuple(part.get("ns") or ()), part["type"], part["data"]
    else:
        ns, mode, data = part if nested else ((), *part)
    return () if isinstance(data, Token) else ns, mode, data


def _public(keys: str | Sequence[str]) -> bool:
    return {keys} <= set(PUBLIC) if isinstance(keys, str) else set(keys) <= set(PUBLIC)


def _refuse_inside(config: RunnableConfig) -> None:
    where = config.get("configurable", {})
    if where.get("checkpoint_ns") and _SAVER not in where:
        raise ReadRefused(what="reading a node's own state", remedy="the ledger tells it: edgewright explain RUN")


def _task(data: Any) -> Any:
    """A task as it starts or ends: what it was given, and what went wrong, stay inside."""
    if not isinstance(data, Mapping):
        return data
    found = dict(data)
    if "input" in found:
        found["input"] = None
    if found.get("error"):
        found["error"] = _HIDDEN
    return found


def _checkpoint(data: Any) -> Any:
    if not isinstance(data, Mapping):
        return data
    tasks = [{**_task(t), "state": None} for t in data.get("tasks", ())]
    return {**data, "tasks": tasks}


def _snapshot(found: StateSnapshot) -> StateSnapshot:
    return found._replace(tasks=tuple(map(_shown, found.tasks)))


def _shown(task: PregelTask) -> PregelTask:
    error = EdgewrightError(detail=f"{_kind(task.error)}, {_HIDDEN}") if task.error else None
    return task._replace(error=error, state=None)


def _kind(error: Any) -> str:
    """The type of a task's error, which a checkpoint holds as its `repr`."""
    if isinstance(error, BaseException):
        return type(error).__name__
    named = re.match(r"[A-Za-z_]\w*(?=\()", str(error))
    return named.group() if named else "an error"

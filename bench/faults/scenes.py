"""A system on its site: how it is run, how it is gone on with, and what it answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import orjson
from edgewright import ReviewAnswer, RunResult, System
from edgewright.contracts.errors import NotFound
from edgewright.contracts.marks import Mark
from edgewright.contracts.review import ReviewRequest
from edgewright.graphs.home import Home
from langchain_core.runnables import RunnableConfig
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import Command

YES = ReviewAnswer(decision="approve", reason="go on")


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Where a system finds its models and its integration, and keeps its ledger and its checkpoints.

    Attributes:
        usd: what one of its runs may spend; None where nothing is said of that.
    """

    model_url: str
    tool_url: str
    home: Path
    usd: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a run gave back: its answer (empty where it waits), and the marks on it."""

    answer: str
    marks: tuple[Mark, ...] = ()


class Scene(Protocol):
    """A system on its site."""

    @property
    def home(self) -> Home:
        """Its ledger and checkpoints."""
        ...

    async def run(self, asked: str, thread: str) -> Outcome:
        """Begin a run; what it answers. Raises what stopped it."""
        ...

    async def go_on(self, asked: str, thread: str) -> Outcome:
        """Go on with a run that stopped, with a yes to what a person is asked, or begin it where there is none.

        Returns what it answers; raises what stopped it.
        """
        ...

    def close(self) -> None:
        """Close the ledger."""
        ...


def _on(thread: str) -> RunnableConfig:
    return RunnableConfig(configurable={"thread_id": thread})


class GovernedScene:
    """A system by itself."""

    def __init__(self, system: System) -> None:
        self._system = system
        self.home = system.home

    async def run(self, asked: str, thread: str) -> Outcome:
        """See `Scene`."""
        return _outcome(await self._system.arun({"text": asked}, thread=thread))

    async def go_on(self, asked: str, thread: str) -> Outcome:
        """See `Scene`."""
        try:
            found = await self._system.aresume(thread)
        except NotFound:
            return await self.run(asked, thread)
        if found.status == "waiting":
            found = await self._system.aresume(thread, {review.id: YES for review in found.reviews})
        return _outcome(found)

    def close(self) -> None:
        """See `Scene`."""
        self._system.close()


def _outcome(result: RunResult) -> Outcome:
    return Outcome(answer=_text(result.output), marks=tuple(result.marks))


class PlainScene:
    """A hand-made graph. What its nodes leave in its state is its answer.

    Args:
        system: one in a node of it, which asks people.
    """

    def __init__(self, graph: CompiledStateGraph[Any, Any, Any, Any], home: Home, system: System | None = None) -> None:
        self._graph, self.home, self._system = graph, home, system

    async def run(self, asked: str, thread: str) -> Outcome:
        """See `Scene`."""
        return await self._driven({"text": asked}, thread)

    async def go_on(self, asked: str, thread: str) -> Outcome:
        """See `Scene`."""
        state = await self._graph.aget_state(_on(thread))
        if state.created_at is None:
            return await self.run(asked, thread)
        if self._system is not None and state.interrupts:
            asks = {
                interrupt.id: ReviewRequest.model_validate_json(orjson.dumps(interrupt.value))
                for interrupt in state.interrupts
            }
            yes = {review.id: YES for review in asks.values()}
            signed = await self._system.answering(thread, list(asks.values()), yes)
            told = {place: signed[review.id].model_dump(mode="json") for place, review in asks.items()}
            return await self._driven(Command(resume=told), thread)
        return await self._driven(None, thread) if state.next else self._said(state.values)

    def close(self) -> None:
        """See `Scene`."""
        (self._system or self.home).close()

    async def _driven(self, given: Any, thread: str) -> Outcome:
        return self._said(await self._graph.ainvoke(given, _on(thread), durability="sync"))

    @staticmethod
    def _said(values: Mapping[str, Any]) -> Outcome:
        if "__interrupt__" in values:
            return Outcome(answer="")
        texts = [*values.get("parts", ()), _text(values.get("response"))]
        marks = tuple(Mark.from_json(m) for m in values.get("marks") or ())
        return Outcome(answer=" ".join(sorted(t for t in texts if t)), marks=marks)


def _text(output: Mapping[str, Any] | None) -> str:
    return str((output or {}).get("text", ""))

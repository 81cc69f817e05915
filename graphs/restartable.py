"""What a system begins again of a run that has ended."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal
from uuid import uuid4

from ..contracts.errors import NotFound
from ..contracts.review import DEVELOPMENT, OPERATOR, Reviewer
from ..ledger.entry import Entry
from ..ledger.records import RunRestarted
from .blocking import blocking
from .restarting import RESTARTS, Restart, crossing_to, earlier_of, fits_now, sealed, stage_of, stages_of
from .runs import TENANT, started_by
from .state import REQUEST

if TYPE_CHECKING:
    from langchain_core.runnables import RunnableConfig

    from ..ledger.holds import Hold
    from .definition import Definition
    from .home import Home
    from .result import RunResult
    from .runs import Runs

Durability = Literal["sync", "async", "exit"]


class Restartable(ABC):
    """A system, as far as its runs are begun again."""

    definition: Definition
    home: Home
    _runs: Runs

    @abstractmethod
    def hold(self, thread: str, *, nested: bool = False) -> Hold:
        """Hold a thread; see `System.hold`."""

    @abstractmethod
    async def tenant_of(self, thread: str) -> str | None:
        """The tenant of a thread; see `System.tenant_of`."""

    @abstractmethod
    async def _drive(self, given: Any, thread: str, durability: Durability, config: RunnableConfig | None) -> RunResult:
        """Invoke the graph on a thread."""

    async def arestart(
        self,
        run: str,
        *,
        stage: str,
        by: Reviewer | None = None,
        thread: str | None = None,
        durability: Durability = "sync",
        config: RunnableConfig | None = None,
    ) -> RunResult:
        """Begin a run that has ended again at a stage, with exactly what had crossed to that stage in it.

        That is a new run, with effects, budget and bounds of its own; what came before the stage is not done again.
        What had crossed comes from the ledger, with its messages, and is checked against the contract as it is now. It
        is believed no more than it was then, and what was missing is still missing. Shared state is as it stands on
        the thread. Where the stage was reached several times, the last time counts. Stages are those of the outermost
        topology; a team begins as a whole.

        Args:
            run: the earlier run.
            stage: the agent that begins; of `Parallel` and `Map` the stage's own name.
            by: who starts the new run, as with `arun`.
            thread: where it runs; None is the thread of the earlier run.

        Raises:
            NotFound: there is no such run, or it or the thread is another tenant's.
            RestartRefused: the run has not ended, is another system's, or never came to that stage.
            RunErased, RunUndone: what it rests on is gone.
            ContractViolation, PartialRefused: what had crossed does not fit the contract as it is now.
            ThreadBusy, ThreadWaiting: as with `arun`.
            LedgerCorrupt: the records of the run do not verify.
            Whatever stopped the new run; the ledger has its end.
        """
        ledger, topology, found = await self._runs.ledger(), self.definition.topology, await self._runs.began(run)
        tenant = by.tenant if by is not None else TENANT
        if found is not None and found.tenant != tenant:  # nothing that one tenant's run was told reaches another's
            raise NotFound(kind="run", name=run)
        entries = await asyncio.to_thread(ledger.entries, run)
        agent = stage_of(topology, stage, run)
        edge, crossed = crossing_to(entries, topology, agent, run=run, system=self.definition.name)
        local = self.definition.standing.environment == DEVELOPMENT
        restart = Restart(
            run=str(uuid4()),
            of=run,
            stage=agent,
            edge=edge,
            crossed=crossed,
            by=by.id if by is not None else OPERATOR if local else "",
            starter=by.id if by is not None else "",
            tenant=tenant,
        )
        fits_now(stages_of(topology)[edge], await asyncio.to_thread(earlier_of, ledger, restart))
        thread = thread or (found.thread if found else "") or str(uuid4())
        async with self.hold(thread):
            if await self.tenant_of(thread) not in (None, tenant):
                raise NotFound(kind="run on thread", name=thread)
            with started_by(by):
                return await self._drive(await self._order(restart, thread), thread, durability, config)

    def restart(self, run: str, *, stage: str, by: Reviewer | None = None, **options: Any) -> RunResult:
        """`arestart` for code without an event loop, notebooks included."""
        return blocking(self.arestart(run, stage=stage, by=by, **options))

    async def _order(self, restart: Restart, thread: str) -> dict[str, Any]:
        """The input that has a graph begin a run again."""
        order = sealed(await self._runs.ledger(), restart, thread=thread)
        RESTARTS.set(order)  # it counts for this very input only
        return {REQUEST: order}

    async def _asked_again(self, found: tuple[str, Sequence[Entry], dict[str, Any]], thread: str) -> dict[str, Any]:
        """The input that began a run which a crash cut off before any checkpoint."""
        run, entries, request = found
        begun = next((e.record for e in entries if isinstance(e.record, RunRestarted)), None)
        if begun is None:
            return {REQUEST: request}
        told = {"stage": begun.stage, "edge": begun.edge, "crossed": begun.crossed, "by": begun.by}
        return await self._order(Restart(run=run, of=begun.run, **told), thread)

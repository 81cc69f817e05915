"""One cell of the matrix: a topology under a fault with a declared reaction, run for real and looked at afterwards."""

from __future__ import annotations

import multiprocessing
import re
import resource
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Literal, assert_never

from edgewright.contracts.errors import EdgewrightError
from edgewright.contracts.marks import Mark
from edgewright.graphs.home import FILE as LEDGER
from edgewright.ledger.entry import verify
from edgewright.ledger.records import RunEnded
from edgewright.ledger.sqlite import SqliteLedger

from bench.faults.cases import (
    AMPLE,
    BOOK,
    BOOKS,
    FAULTY,
    SHORT,
    BudgetOut,
    ByModel,
    ByTool,
    Case,
    Killed,
    LedgerFull,
    LedgerLocked,
    Reaction,
)
from bench.faults.cases import FILE as FILED
from bench.faults.desk import desk
from bench.faults.fault import Fault
from bench.faults.life import MAIN, NEIGHBOUR, OVER, Ended, Plan, files_of, live
from bench.faults.models import ModelServer
from bench.faults.parts import DONE
from bench.faults.scenes import Site
from bench.faults.tools import ToolServer
from bench.faults.topologies import TOPOLOGIES

BOUND = 30.0
"""Seconds after which a cell counts as hung, and its process is killed. All waits of a cell share them, except for
the first process to be there, which may have to import everything. No cell needs five on two idle cores."""
_START = 120.0
Answered = Literal["whole", "marked", "says so", "silent", "none"]
"""How much of what was asked for an answer tells: all; not all, with a mark on it; not all, in words that name the
failure; not all, and nothing shows it; there is none."""
_NAMES_IT = re.compile(r"\b(error|failed|refused|denied|unavailable)\b", re.IGNORECASE)
_PROCESSES = multiprocessing.get_context("forkserver")
# What is imported at first use, too: each process would do it anew.
_PROCESSES.set_forkserver_preload([
    "bench.faults.life", "anyio._backends._asyncio", "genai_prices.data", "openai.lib.streaming.chat",
    "openai.resources.chat.completions", "detect_secrets.core.plugins.initialize",
])  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What became of a cell.

    Attributes:
        status: of the run, as a process that opens its ledger afterwards reads it; empty where it has none.
        first: the status after the first process, where a second one went on.
        must: what the cell may come to by what is declared; empty where that is left to it.
        reason: as the ledger has it.
        ended: how it came back to its caller; None where it did not within the bound.
        later: how it came back when a second process went on with it: a fault of the ledger had passed, there was more
            to spend, or a person had said yes.
        neighbour: as `ended`, of the neighbour.
        answered: how much of what was asked for the answer tells.
        sibling: whether the branch beside the faulty one did its part.
        effects: how often what was asked for once happened in the world.
        seconds: the whole cell, its processes' start included.
        exited: whether the process ended by itself when its runs had.
        died: whether it did so before that, without being killed.
        corrupt: what is wrong with the ledger afterwards; empty if nothing is.
    """

    topology: str
    fault: str
    reaction: Reaction
    status: str
    reason: str
    ended: Ended | None
    later: Ended | None
    neighbour: Ended | None
    answered: Answered
    sibling: bool
    effects: int
    seconds: float
    exited: bool
    died: bool
    corrupt: str
    first: str = ""
    must: tuple[str, ...] = ()

    @property
    def came_to(self) -> str:
        """The statuses of the run, one after the other, and the marks on its answer."""
        statuses = [s for s in (self.first, self.status) if s]
        return ", ".join([", then ".join(statuses), *self.marks])

    @property
    def marks(self) -> tuple[str, ...]:
        """The kinds of the marks on its answer, each once."""
        return tuple(dict.fromkeys(mark.kind for mark in self._marks))

    @property
    def why(self) -> str:
        """Why it came to that, as far as it is known: by its ledger, the run's reason, its error, or its marks."""
        told = self.later or self.ended
        error = f"{told.error} {told.message}" if told and told.error else ""
        return self.corrupt or self.reason or error or "; ".join(f"{m.kind} of {m.agent}: {m.why}" for m in self._marks)

    @property
    def _marks(self) -> tuple[Mark, ...]:
        last = self.later or self.ended
        return last.outcome.marks if last and last.outcome else ()

    @property
    def hung(self) -> bool:
        """Whether anything waited past the bound."""
        return not self.died and (self.ended is None or self.neighbour is None or not self.exited)

    @property
    def neighbour_finished(self) -> bool:
        """Whether the neighbour has its answer."""
        return self.neighbour is not None and DONE[1] in self.neighbour.answer


class Deadline:
    """So many seconds for all waits together."""

    def __init__(self, seconds: float) -> None:
        self._until = time.monotonic() + seconds

    @property
    def left(self) -> float:
        """Seconds that are left."""
        return max(self._until - time.monotonic(), 0.0)


class Process:
    """One process of a cell, and what it has told."""

    def __init__(self, plan: Plan) -> None:
        self._hears, tells = _PROCESSES.Pipe(duplex=False)
        self._process: BaseProcess = _PROCESSES.Process(target=live, args=(plan, tells), daemon=True)
        self._process.start()
        tells.close()
        self.ended: dict[str, Ended] = {}
        self.over = self.died = False
        self._told(Deadline(_START))

    @property
    def pid(self) -> int:
        """Its id."""
        assert self._process.pid is not None
        return self._process.pid

    def _told(self, deadline: Deadline) -> Ended | str | None:
        """The next that it tells; None where it dies, or no time is left."""
        hears: Connection = self._hears
        if not hears.poll(deadline.left):
            return None
        try:
            told: Ended | str = hears.recv()
        except EOFError:
            self.died = True
            return None
        return told

    def heard(self, deadline: Deadline) -> None:
        """Hear what it tells until it is over, dies, or no time is left."""
        while not (self.over or self.died) and (told := self._told(deadline)) is not None:
            if isinstance(told, Ended):
                self.ended[told.thread] = told
            else:
                self.over = told == OVER

    def exited(self, deadline: Deadline) -> bool:
        """Whether it ends by itself in what time is left; if it does not, it is killed."""
        self._process.join(deadline.left if self.over else 0)
        alone = self._process.exitcode is not None
        self.kill()
        return alone and self.over

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        self._process.kill()
        self._process.join()
        self._hears.close()


def tried(topology: str, case: Case, reaction: Reaction) -> Found:
    """Run a cell and look at what is left of it."""
    began = time.monotonic()
    with (
        tempfile.TemporaryDirectory(prefix="edgewright-faults-") as name,
        ModelServer(desk) as models,
        ToolServer() as tools,
    ):
        folder = Path(name)
        usd = SHORT if isinstance(case.by, BudgetOut) else None
        site = Site(model_url=models.url, tool_url=tools.url, home=folder / "home", usd=usd)
        beside = replace(site, home=folder / "beside") if case.at_ledger else None
        plan = Plan(topology=topology, reaction=reaction, site=site, beside=beside)
        process, deadline = _under(case, plan, models, tools)
        exited, later, first = process.exited(deadline), None, ""
        if exited and _goes_on(case, reaction, process.ended[MAIN]):
            first = "" if case.at_ledger else _read(site.home)[0]
            more = replace(site, usd=AMPLE) if reaction == "drain" else site
            second = Process(replace(plan, site=more, again=True))
            second.heard(deadline)
            exited, later = second.exited(deadline), second.ended.get(MAIN)
        status, reason, corrupt = _read(site.home)
        ended = process.ended.get(MAIN)
        return Found(
            topology=topology,
            fault=case.name,
            reaction=reaction,
            status=status,
            reason=reason,
            ended=ended,
            later=later,
            neighbour=process.ended.get(NEIGHBOUR),
            answered=_answered(later or ended),
            sibling=len({e.key.partition("/")[0] for e in tools.effects_at(FILED)}) > 1,
            effects=len(tools.effects_at(BOOK)),
            seconds=time.monotonic() - began,
            exited=exited,
            died=process.died,
            corrupt=corrupt,
            first=first,
            must=TOPOLOGIES[topology].must(case, reaction),
        )


def _goes_on(case: Case, reaction: Reaction, ended: Ended) -> bool:
    """Whether a second process goes on with a run that has come back."""
    if isinstance(case.by, BudgetOut):
        return reaction in ("drain", "ask")
    return case.at_ledger and bool(ended.error)


def _answered(ended: Ended | None) -> Answered:
    if ended is None or ended.outcome is None or not ended.answer:
        return "none"
    if all(part in ended.answer for part in DONE):
        return "whole"
    if ended.outcome.marks:
        return "marked"
    return "says so" if _NAMES_IT.search(ended.answer) else "silent"


def _under(case: Case, plan: Plan, models: ModelServer, tools: ToolServer) -> tuple[Process, Deadline]:
    """A process that has lived the plan under the fault (the last one, where there were two), and what time is left."""
    match case.by:
        case ByModel(fault):
            models.fault = fault
        case ByTool(fault):
            tools.fault = fault
        case LedgerLocked() | LedgerFull():
            models.fault = Fault("held", model=FAULTY, says=BOOKS, times=1)
        case Killed():
            tools.fault = Fault("hang", path=BOOK, effect=True)
        case BudgetOut():
            pass
        case other:
            assert_never(other)
    process, deadline = Process(plan), Deadline(BOUND)
    try:
        match case.by:
            case LedgerLocked(seconds):
                models.wait_for(requests=1, of=FAULTY, says=BOOKS, seconds=deadline.left)
                with _locked(plan.site.home):
                    models.release()
                    process.heard(deadline if seconds is None else Deadline(min(seconds, deadline.left)))
            case LedgerFull():
                models.wait_for(requests=1, of=FAULTY, says=BOOKS, seconds=deadline.left)
                largest = max(p.stat().st_size for p in files_of(plan.site.home))
                resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (largest, largest))
                models.release()
            case Killed():
                tools.wait_for(requests=1, of=BOOK, seconds=deadline.left)
                process.kill()
                tools.fault = None
                process = Process(replace(plan, again=True))
            case _:
                pass
        process.heard(deadline)
    except TimeoutError:  # the run did not get as far as the fault; what it told shows why
        process.heard(Deadline(0))
    return process, deadline


@contextmanager
def _locked(home: Path) -> Iterator[None]:
    """Hold the ledger's file, as another process that writes."""
    conn = sqlite3.connect(home / LEDGER, isolation_level=None)
    try:
        conn.execute("BEGIN IMMEDIATE")
        yield
        conn.execute("ROLLBACK")
    finally:
        conn.close()


def _read(home: Path) -> tuple[str, str, str]:
    """Status and reason of the run, and what is wrong with the ledger: read as whoever comes afterwards reads it."""
    if not (home / LEDGER).exists():
        return "", "", ""
    try:
        ledger = SqliteLedger(home / LEDGER)
    except EdgewrightError as error:
        return "", "", str(error)
    try:
        found = ledger.runs(thread=MAIN, limit=1)
        ends: list[RunEnded] = []
        for run in ledger.runs():
            entries = ledger.entries(run.run)
            verify(run.run, entries)
            if found and run.run == found[0].run:
                ends = [e.record for e in entries if isinstance(e.record, RunEnded)]
    except EdgewrightError as error:
        return "", "", str(error)
    else:
        return found[0].status if found else "", ends[-1].reason if ends else "", ""
    finally:
        ledger.close()

"""The closed list of faults that systems are run under, each with how it is brought about for real."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, get_args

from bench.faults.fault import Fault

Reaction = Literal["stop", "skip", "answer", "stand in", "ask", "fail", "drain", "degrade"]
"""What is declared. For the worker's failure: the run stops, goes on without its part, with a constant answer, with
another agent in its place, or asks a person. For a budget that runs out: the run fails, drains, asks a person, or goes
on with a cheaper model."""
REACTIONS: tuple[Reaction, ...] = get_args(Reaction)
TO_FAILURE: tuple[Reaction, ...] = ("stop", "skip", "answer", "stand in", "ask")
TO_BUDGET: tuple[Reaction, ...] = ("fail", "drain", "ask", "degrade")
FAULTY, STEADY = "faulty", "steady"
"""The two models: the worker's, which the faults meet where it is to book, and everybody else's."""
BOTH, ALONE = "Book the seats, and file the papers.", "Please file the papers."
"""What is asked of a run, and of its neighbour."""
BOOKS = "Book the seats"
"""The words that only a run is asked, and that its worker is told: the faults of its model meet no other request."""
BOOK, FILE = "/book", "/file"
"""Where the tools reach the integration: the worker's, which the faults meet, and the sibling's and neighbour's."""
SLOW, TOTAL = 1.0, 3.0
"""Seconds that a slow integration takes; and that are declared for a call with all its tries, of model and tool."""
SHORT, AMPLE = "1.05", "10"
"""Dollars: enough for the worker's first call and not for its second; enough for all."""
BUSY = 0.5
"""Seconds that the ledger waits for a locked database in these runs; in use it is half a minute."""


@dataclass(frozen=True, slots=True)
class ByModel:
    """The worker's model server misbehaves."""

    fault: Fault


@dataclass(frozen=True, slots=True)
class ByTool:
    """The integration behind the worker's tool misbehaves."""

    fault: Fault


@dataclass(frozen=True, slots=True)
class LedgerLocked:
    """While the worker waits for its model, another process's connection takes the ledger's file by BEGIN IMMEDIATE.

    Attributes:
        seconds: how long it keeps it; None until the run has ended. Then a second process goes on with the thread.
    """

    seconds: float | None


@dataclass(frozen=True, slots=True)
class LedgerFull:
    """While the worker waits for its model, the kernel stops letting any file of the process grow (RLIMIT_FSIZE).

    It stands for a full disk: `write` fails in the middle of SQLite's log, where room runs out there, too. What differs
    is the number of the error (EFBIG for ENOSPC), and so SQLite says "disk I/O error" instead of "disk is full"; the
    latter, by `PRAGMA max_page_count`, is tried in the ledger's own tests. When the run has ended there is room again,
    and a second process goes on with the thread.
    """


@dataclass(frozen=True, slots=True)
class Killed:
    """The process is killed (SIGKILL) when the integration has done what it was asked and has not answered yet.

    A second process goes on with both threads. The integration answers it.
    """


@dataclass(frozen=True, slots=True)
class BudgetOut:
    """The worker's second call does not fit the run's budget any more. The neighbour's calls cost next to nothing.

    Where the run drained, a second process goes on with a larger budget; where it asks, with a person's yes.
    """


Brought = ByModel | ByTool | LedgerLocked | LedgerFull | Killed | BudgetOut


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One fault, by the name it has in the matrix.

    Attributes:
        reactions: what can be declared for it.
        must: what a cell comes to by what is declared, as `Found.came_to` tells it; nothing where that is left to it.
    """

    name: str
    by: Brought
    reactions: Sequence[Reaction] = TO_FAILURE
    must: Mapping[Reaction, str] = field(default_factory=dict)

    @property
    def below(self) -> bool:
        """Whether it is dealt with below the worker's turn, which does not fail: no reaction has anything to do."""
        return set(self.must.values()) == {"completed"}

    @property
    def at_ledger(self) -> bool:
        """Whether the ledger itself is what fails, so that the neighbour can only be one with another ledger."""
        return isinstance(self.by, LedgerLocked | LedgerFull)


_WHOLE: Mapping[Reaction, str] = dict.fromkeys(TO_FAILURE, "completed")
_FAILED: Mapping[Reaction, str] = {
    "stop": "failed",
    "skip": "completed, gap",
    "answer": "completed, degraded",
    "stand in": "completed, fallback",
    "ask": "waiting",
}
_SPENT: Mapping[Reaction, str] = {
    "fail": "out_of_budget",
    "drain": "drained, then completed",
    "ask": "waiting, then completed",
    "degrade": "completed, degraded",
}


def _model(name: str, fault: Fault, must: Mapping[Reaction, str] = _FAILED) -> Case:
    return Case(name=f"model: {name}", by=ByModel(replace(fault, model=FAULTY, says=BOOKS)), must=must)


def _tool(name: str, fault: Fault) -> Case:
    """The model is told of it, and says so in what it hands on: that is no failure of the worker's."""
    return Case(name=f"tool: {name}", by=ByTool(fault), must=_WHOLE)


CASES: tuple[Case, ...] = (
    _model("429, once", Fault("429", times=1, retry_after=0.05), _WHOLE),
    _model("429", Fault("429")),
    _model("500", Fault("500")),
    _model("hang", Fault("hang")),
    _model("truncated stream", Fault("truncated_stream")),
    _model("stream unfinished", Fault("quiet_stream")),
    _model("malformed tool call", Fault("malformed_call")),
    _model("unknown tool", Fault("unknown_tool")),
    _model("refusal", Fault("refusal")),
    _tool("503, once", Fault("503", path=BOOK, times=1)),
    _tool("error", Fault("500", path=BOOK)),
    _tool("hang", Fault("hang", path=BOOK)),
    _tool("slow", Fault("slow", path=BOOK, seconds=SLOW)),
    _tool("wrong shape", Fault("wrong_shape", path=BOOK)),
    Case(name="database locked a moment", by=LedgerLocked(BUSY / 2), must=_WHOLE),
    Case(name="database locked for good", by=LedgerLocked(None), must=_WHOLE),
    Case(name="disk full", by=LedgerFull(), must=_WHOLE),
    Case(name="process killed", by=Killed(), must=_WHOLE),
    Case(name="budget runs out", by=BudgetOut(), reactions=TO_BUDGET, must=_SPENT),
)

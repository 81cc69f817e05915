"""The closed list of faults that systems are run under, each with how it is brought about for real."""

from __future__ import annotations

from dataclasses import dataclass

from bench.faults.fault import Fault

FAULTY, STEADY = "faulty", "steady"
"""The two models: the worker's, which the faults meet, and everybody else's."""
BOOK, FILE = "/book", "/file"
"""Where the tools reach the integration: the worker's, which the faults meet, and the sibling's and neighbour's."""
SLOW, TOTAL = 1.0, 3.0
"""Seconds that a slow integration takes; and that are declared for a call with all its tries, of model and tool."""
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


Brought = ByModel | ByTool | LedgerLocked | LedgerFull | Killed


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One fault, by the name it has in the matrix."""

    name: str
    by: Brought

    @property
    def at_ledger(self) -> bool:
        """Whether the ledger itself is what fails, so that the neighbour can only be one with another ledger."""
        return isinstance(self.by, LedgerLocked | LedgerFull)


def _model(name: str, fault: Fault) -> Case:
    return Case(name=f"model: {name}", by=ByModel(fault))


def _tool(name: str, fault: Fault) -> Case:
    return Case(name=f"tool: {name}", by=ByTool(fault))


CASES: tuple[Case, ...] = (
    _model("429, once", Fault("429", model=FAULTY, times=1, retry_after=0.05)),
    _model("429", Fault("429", model=FAULTY)),
    _model("500", Fault("500", model=FAULTY)),
    _model("hang", Fault("hang", model=FAULTY)),
    _model("truncated stream", Fault("truncated_stream", model=FAULTY)),
    _model("stream without an end", Fault("quiet_stream", model=FAULTY)),
    _model("malformed tool call", Fault("malformed_call", model=FAULTY)),
    _model("unknown tool", Fault("unknown_tool", model=FAULTY)),
    _model("refusal", Fault("refusal", model=FAULTY)),
    _tool("503, once", Fault("503", path=BOOK, times=1)),
    _tool("error", Fault("500", path=BOOK)),
    _tool("hang", Fault("hang", path=BOOK)),
    _tool("slow", Fault("slow", path=BOOK, seconds=SLOW)),
    _tool("wrong shape", Fault("wrong_shape", path=BOOK)),
    Case(name="database locked, a moment", by=LedgerLocked(BUSY / 2)),
    Case(name="database locked, for good", by=LedgerLocked(None)),
    Case(name="disk full", by=LedgerFull()),
    Case(name="process killed", by=Killed()),
)

"""What the gate asks its driver to do, one step at a time; and the call that it is about."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Any

from ..contracts.review import ReviewRequest
from ..contracts.tool import ToolSpec
from ..ledger.entry import Draft
from ..ledger.shared import RecordId
from .function import Reading
from .run import Activation, Run


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """Queue records; do not wait."""

    drafts: tuple[Draft, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """Write records and wait until they are durable.

    Attributes:
        shared: what they count is of budgets that runs share.
        run: whose records they are; None for those of the run that calls.
    """

    drafts: tuple[Draft, ...]
    shared: bool = False
    run: Run | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """See how a shared record stands. Answered with its State."""

    record: RecordId


@dataclass(frozen=True, slots=True, kw_only=True)
class Take:
    """Write records, of which one claims a shared record, as soon as that is free: for `wait` seconds at most."""

    drafts: tuple[Draft, ...]
    record: RecordId
    wait: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LookUp:
    """Call the tool's facts function. Answered with a mapping."""

    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """Read a payload. Answered with the JSON value."""

    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AskPerson:
    """Interrupt the graph. Answered with a ReviewAnswer, or None where nobody answered in time."""

    request: ReviewRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class Execute:
    """Call the tool's function. Answered with what it returned, as JSON.

    `again`: it was intended before, so that it may have happened whatever this call comes to.
    """

    arguments: Mapping[str, Any]
    again: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """Ask the tool whether the effect happened. Answered with its outcome, or None."""

    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """Read what is counted under a key since a moment. Answered with a number."""

    key: str
    since: float


Step = Note | Write | Look | Take | Counted | LookUp | Load | AskPerson | Execute | Probe
Steps = Generator[Step, Any, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call of a governed tool: who calls, at which position, with which arguments (as they came)."""

    activation: Activation
    spec: ToolSpec
    reading: Reading
    at: str
    arguments: Mapping[str, Any]
    has_facts: bool

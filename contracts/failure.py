"""What happens when an agent's turn fails: the run stops, goes on without it or with another, or a person is asked.

A topology declares it per agent (`on_failure=`). Values and decisions only; `graphs/failures.py` carries them out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol, assert_never

from .errors import (
    BudgetExceeded,
    CallDenied,
    CallRejected,
    CircuitOpen,
    ContractViolation,
    CostUnknown,
    CountInvalid,
    DefinitionError,
    EdgewrightError,
    EffectConflict,
    HandoffConflict,
    LedgerError,
    LimitReached,
    LoopFound,
    ModelOutsideRun,
    Overloaded,
    RunErased,
    RunUndone,
    ServerUnreachable,
    SharedWriteInvalid,
    SystemChanged,
    TimedOut,
    ToolFailed,
    ToolOutsideRun,
    ToolRefusal,
    ToolUnavailable,
    TooMuchToHide,
    WriteConflict,
)

MAX_TRIES = 20


class StandIn(Protocol):
    """Who takes a turn in the place of another: an agent, as far as a declaration knows it."""

    @property
    def name(self) -> str:
        """Its name."""
        ...

    @property
    def version(self) -> int:
        """Its version."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """The run ends with the agent's error. What holds where nothing is declared."""

    def as_json(self) -> dict[str, Any]:
        """As digests hold it."""
        return {"then": "stop"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Skip:
    """The run goes on without the agent's part, and says so.

    A branch of a fan-out leaves a gap beside what the others found, of whom at least one has to be left. In a line,
    what the agent had been handed passes on as it is, where the next contract takes it.
    """

    def as_json(self) -> dict[str, Any]:
        """As digests hold it."""
        return {"then": "skip"}


@dataclass(frozen=True, slots=True, kw_only=True)
class FallBack:
    """Something else takes the agent's place, and the run says so.

    Attributes:
        agent: takes the turn, under its own name, limits and rules of policy. Its own failure ends the run. It does not
            where it could do again what the failed turn may have done to the world; then the run ends, too.
        answer: the payload that is handed on in any case, without carried fields.

    Raises:
        ValueError: not exactly one of them is given.
    """

    agent: StandIn | None = None
    answer: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        if (self.agent is None) == (self.answer is None):
            raise ValueError("FallBack(...): takes either agent=, who takes the turn, or answer=, what is handed on")

    def as_json(self) -> dict[str, Any]:
        """As digests hold it."""
        if self.agent is not None:
            return {"then": "stand_in", "agent": f"{self.agent.name}@{self.agent.version}"}
        return {"then": "answer", "answer": dict(self.answer or {})}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """A person with the role decides: have it tried again (approve), say what is handed on (edit), or stop (reject).

    What the turn did already is not done again. After `tries` questions about one turn the run stops.

    Raises:
        ValueError: no role, or a number of tries that is none.
    """

    role: str = "operator"
    tries: int = 3

    def __post_init__(self) -> None:
        given: Any = self.tries
        if not self.role:
            raise ValueError("Ask(role=''): takes the name of the role that may answer")
        if not isinstance(given, int) or isinstance(given, bool) or not 1 <= given <= MAX_TRIES:
            raise ValueError(f"Ask(tries={given!r}): takes a number of questions, 1 to {MAX_TRIES}")

    def as_json(self) -> dict[str, Any]:
        """As digests hold it."""
        return {"then": "ask", "role": self.role, "tries": self.tries}


OnFailure = Stop | Skip | FallBack | Ask
STOP = Stop()
Then = Literal["stop", "skip", "answer", "stand_in", "ask"]


def then_of(declared: OnFailure, *, asked: int = 0, repeats: bool = False) -> Then:
    """What happens now that a turn has failed.

    Args:
        asked: how often a person was asked about this turn already.
        repeats: whether the one who would take the turn could do again what the failed one may have done to the world.
    """
    match declared:
        case Stop():
            return "stop"
        case Skip():
            return "skip"
        case FallBack(agent=None):
            return "answer"
        case FallBack():
            return "stop" if repeats else "stand_in"
        case Ask(tries=most):
            return "ask" if asked < most else "stop"
        case _:
            assert_never(declared)


# -- which errors are an agent's own failure --------------------------------------------------------------------------

_OF_THE_RUN = (
    DefinitionError,  # what is declared wrongly is mended, not worked around
    CallDenied,  # policy said no, or a person did
    CallRejected,
    LimitReached,  # what is counted over runs is used up for whoever would come next, too
    CountInvalid,
    ToolOutsideRun,  # a call that goes round a gate
    ModelOutsideRun,
    WriteConflict,  # of two agents
    TooMuchToHide,  # nothing more may cross
    EffectConflict,  # what is on record and what is asked for do not fit together
    RunErased,  # there is no run any more that could go on
    RunUndone,
    SystemChanged,
)


def reacts(error: BaseException, *, agent: str) -> bool:
    """Whether an error that an agent's turn raised is that agent's own failure, so that `on_failure` says what follows.

    It is, unless it concerns more than this turn: a budget that is not the agent's alone, a loop through several
    agents, a verdict of policy or of a person, a gate that was gone round, a wrong definition. And it is not once
    something that led to it could not be recorded, for nothing goes on unrecorded.
    """
    if not isinstance(error, Exception) or any(isinstance(each, LedgerError) for each in chain_of(error)):
        return False
    # Code that words it anew does not make it another matter.
    cause = None if isinstance(error, EdgewrightError) else error.__cause__
    if cause is not None and not reacts(cause, agent=agent):
        return False
    if isinstance(error, ExceptionGroup):
        return all(reacts(each, agent=agent) for each in error.exceptions)
    if isinstance(error, BudgetExceeded | CostUnknown):
        return bool(error.facts.get("scope") == f"agent {agent}")
    if isinstance(error, LoopFound):
        return bool(error.kind == "call")  # the others go through several agents
    return not isinstance(error, _OF_THE_RUN)


def chain_of(error: BaseException) -> Iterator[BaseException]:
    """An error, what led to it, and what is grouped in any of them."""
    seen, todo = set[int](), [error]
    while todo:
        each = todo.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        yield each
        todo += [e for e in (each.__cause__, each.__context__) if e is not None]
        todo += each.exceptions if isinstance(each, BaseExceptionGroup) else ()


# -- what may be said of a failure ------------------------------------------------------------------------------------

FailureKind = Literal["budget", "contract", "timeout", "unavailable", "tool", "error"]
GapKind = Literal[FailureKind, "late", "parked"]
"""Why a branch gave nothing: its failure; or its join was decided while it was at work, or waited for a person."""
_KINDS: tuple[tuple[FailureKind, tuple[type[Exception], ...]], ...] = (
    ("budget", (BudgetExceeded, CostUnknown)),
    ("contract", (ContractViolation, HandoffConflict, SharedWriteInvalid)),
    ("timeout", (TimedOut, TimeoutError)),
    ("unavailable", (CircuitOpen, Overloaded, ServerUnreachable, ToolUnavailable, ConnectionError)),
    ("tool", (ToolFailed, ToolRefusal)),
)
_OUR_WORDS = (BudgetExceeded, CostUnknown, CircuitOpen, Overloaded, TimedOut)
"""Errors that quote nothing but what was declared, and numbers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Why:
    """Why a turn failed, as other agents and readers of the answer may be told: its kind, and words of our own."""

    kind: FailureKind
    text: str


def why_of(error: Exception) -> Why:
    """Why a turn failed, without a word of what a model, a tool or a server said: that may be an attack."""
    kind: FailureKind = next((kind for kind, types in _KINDS if isinstance(error, types)), "error")
    if isinstance(error, _OUR_WORDS):
        return Why(kind=kind, text=str(error))
    match error:
        case ContractViolation():
            return Why(kind=kind, text=f"what it offered does not fit {error.contract}")
        case ToolFailed():
            return Why(kind=kind, text=f"tool {error.facts['tool']!r} failed")
        case _:
            return Why(kind=kind, text=type(error).__name__)

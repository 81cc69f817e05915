"""The checkpointed state of a governed graph. Each key has one kind of writer; a caller can write `request` only.

Of all of it a reader sees `run`, `response` and `marks`; see `reading.py`.
"""

from __future__ import annotations

from typing import Annotated, Any, NotRequired

from langchain_core.messages import AnyMessage
from typing_extensions import TypedDict  # Pydantic, which makes its schemas, takes typing's from Python 3.12 only

RUN, REQUEST, RESPONSE, MARKS, ACTIVE = "run", "request", "response", "marks", "active"
PUBLIC = (RUN, RESPONSE, MARKS)


def collected(before: list[Any] | None, new: list[Any] | None) -> list[Any]:
    """What several branches write in one step, all of it; None begins anew."""
    return [] if new is None else [*(before or []), *new]


def merged(before: dict[str, str] | None, new: dict[str, str] | None) -> dict[str, str]:
    """What several branches write in one step, by key; what none of them writes stays."""
    return {**(before or {}), **(new or {})}


class Turned(TypedDict):
    """What a turn left: who took it, where, its offers, what it would write, and what it had been handed.

    A repair goes on with the turn: `since` are the places of the tries before it, whose talk it still has; `shown` are
    the shared keys that it was shown, and `based` the versions of those that it may write, as the turn began.
    `history` is what a branch had been handed beside its brief, for when it begins anew.

    `marks` is what a reader of the answer has to know of this turn and those before it. `given`: the offer is not of
    its agent's making, so nobody mends it; `whole`: a person made it whole where a part was missing. Where the turn
    failed: `asked` is how often a person was asked about it, `gap` what a branch leaves that is skipped, and `stand_in`
    who takes the turn of a branch in its place. Where a team took it: `answered` is what crossed to its end, and under
    which crossing, `active` what changed of who is to be asked next inside of it. Where a bound was met: `told` is how
    often its source was told so, `granted` the edge that a person lets it cross once more.
    """

    source: str
    at: str
    since: list[str]
    shown: dict[str, dict[str, Any]]
    based: dict[str, int]
    history: list[AnyMessage]
    offers: list[dict[str, Any]]
    writes: list[dict[str, Any]]
    talk: list[AnyMessage]
    inbox: dict[str, Any]
    crossed: str
    branch: int
    tries: int
    place: NotRequired[str]
    marks: NotRequired[list[dict[str, str]]]
    given: NotRequired[bool]
    whole: NotRequired[bool]
    asked: NotRequired[int]
    gap: NotRequired[dict[str, str]]
    stand_in: NotRequired[str]
    told: NotRequired[int]
    granted: NotRequired[str]
    answered: NotRequired[dict[str, Any]]
    active: NotRequired[dict[str, str]]


class State(TypedDict):
    """Checkpointed state.

    Attributes:
        request: what the caller sent; read by the entry contract only.
        run: the run's id; written by the entry contract.
        inbox: the payload that crossed to the agent whose turn it is; written by contract nodes.
        crossed: which crossing that was; the ledger has its labels. Written by contract nodes.
        history: messages that crossed with it; written by contract nodes.
        turned: what the last turn left; written by agents (and by a review's edit).
        branches: the same, of each branch of a fan-out; written by branch agents.
        fan: what a fan-out waits for: what its source had been handed, how many branches; written by contract nodes.
        results: what branches gave back, checked; written by the contract node behind them.
        shared: shared keys, each with its value, version, last writer and label; written by contract nodes.
        gate: the last contract node's decision: `passed`, `repair`, `retry`, `review`, or `failed` (its source could
            not mend it, and something is declared for that). An agent's is `stand_in`: another takes its turn.
        faults: why, for the repair.
        response: the payload that crossed to the end.
        marks: what a reader of the response has to know of how it came about, see `contracts/marks.py`; written by
            contract nodes.
        active: who answered last, by the team's name, "" for the outermost topology, where a topology goes on with that
            agent on the thread's next request; written by the contract nodes to the end.
    """

    request: NotRequired[Any]
    run: NotRequired[str]
    inbox: NotRequired[dict[str, Any]]
    crossed: NotRequired[str]
    history: NotRequired[list[AnyMessage]]
    turned: NotRequired[Turned | None]
    branches: NotRequired[Annotated[list[Turned], collected]]
    fan: NotRequired[dict[str, Any]]
    results: NotRequired[dict[str, Any]]
    shared: NotRequired[dict[str, dict[str, Any]]]
    gate: NotRequired[str]
    faults: NotRequired[list[str]]
    response: NotRequired[dict[str, Any]]
    marks: NotRequired[list[dict[str, str]]]
    active: NotRequired[Annotated[dict[str, str], merged]]


class Branch(TypedDict):
    """What a branch of a fan-out begins with, in the place of the state."""

    run: str
    inbox: dict[str, Any]
    crossed: str
    history: list[AnyMessage]
    shared: dict[str, dict[str, Any]]
    branch: int
    tries: int
    gate: NotRequired[str]
    faults: NotRequired[list[str]]
    turned: NotRequired[Turned | None]
    active: NotRequired[dict[str, str]]


class Output(TypedDict):
    """What a caller gets: the run's id, by which the ledger explains it, the response, and marks where it has any."""

    run: NotRequired[str]
    response: NotRequired[dict[str, Any]]
    marks: NotRequired[list[dict[str, str]]]

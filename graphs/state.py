"""The shared state of a governed graph. Each key has one kind of writer; a caller can write `request` only."""

from __future__ import annotations

from typing import Any, NotRequired

from langchain_core.messages import AnyMessage
from typing_extensions import TypedDict  # Pydantic, which makes its schemas, takes typing's from Python 3.12 only

RUN, REQUEST, RESPONSE = "run", "request", "response"


class State(TypedDict):
    """Checkpointed state.

    Attributes:
        request: what the caller sent; read by the entry contract only.
        run: the run's id; written by the entry contract.
        inbox: the payload that crossed to the agent whose turn it is; written by contract nodes.
        offer: what an agent offers: `source`, `target`, `payload`; written by agents (and by a review's edit).
        talk: messages of the turn that led to the offer, kept for a repair; written by agents.
        gate: the last contract node's decision: `passed`, `repair` or `review`.
        tries: how often the offer was refused.
        faults: why, for the repair.
        response: the payload that crossed to the end.
    """

    request: NotRequired[Any]
    run: NotRequired[str]
    inbox: NotRequired[dict[str, Any]]
    offer: NotRequired[dict[str, Any]]
    talk: NotRequired[list[AnyMessage]]
    gate: NotRequired[str]
    tries: NotRequired[int]
    faults: NotRequired[list[str]]
    response: NotRequired[dict[str, Any]]


class Output(TypedDict):
    """What a caller gets: the run's id, by which the ledger explains it, and the response."""

    run: NotRequired[str]
    response: NotRequired[dict[str, Any]]

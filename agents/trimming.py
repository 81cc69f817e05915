"""Trimming: what of a long talk is not sent to a model, by a declared rule. The agent itself keeps all of it.

Older results of tools go first, then the oldest exchanges; nothing goes while the talk fits. What an agent has read
still counts as read, sent again or not: labels are kept outside of messages.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from langchain.agents.middleware import ClearToolUsesEdit
from langchain_core.messages import AIMessage, AnyMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage

from ..contracts.errors import AgentInvalid
from .bounds import CALL_MARGIN, input_bound
from .handoff import OURS

LEFT_OUT = "[an older result; it is left out here]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trim:
    """How much of an agent's talk is sent to its model.

    Attributes:
        tokens: the most that prompt, messages and tools together may come to, counted by the upper bound that budgets
            are reserved by. System prompt, request, the last word of the user's side and the last exchange are sent
            whatever they come to.
        keep: how many of the newest tool results are sent as they are.
        results: what stands in the place of an older one.

    Raises:
        AgentInvalid: for a bound that bounds nothing.
    """

    tokens: int
    keep: int = 3
    results: str = LEFT_OUT

    def __post_init__(self) -> None:
        faults = [
            f"{name} is {value!r}, not a whole number from {least} up"
            for name, value, least in (("tokens", self.tokens, 1), ("keep", self.keep, 0))
            if type(value) is not int or value < least
        ]
        if not self.results.strip():
            faults.append("results is empty; a provider takes no empty result")
        if faults:
            raise AgentInvalid(name="Trim", faults=faults)

    def as_json(self) -> dict[str, Any]:
        """As it counts in the agent's digest."""
        return {"tokens": self.tokens, "keep": self.keep, "results": self.results}


@dataclass(frozen=True, slots=True, kw_only=True)
class Trimmed:
    """What is sent, and what is not: `spared` tokens of the bound, in `results` cut and `messages` left out.

    `bound` is what is sent, by the same count as `Trim.tokens`.
    """

    sent: tuple[AnyMessage, ...]
    spared: int = 0
    results: int = 0
    messages: int = 0
    bound: int = 0


def trimmed(messages: Sequence[AnyMessage], rule: Trim, *, around: int, request: str = "") -> Trimmed:
    """The messages as `rule` lets them be sent: a valid chat, if `messages` are one.

    Args:
        around: the bound of what is sent beside them: system prompt and tools.
        request: how the message begins that asks for this turn; the last such is kept. Where none does, the first
            message of the user's side is.
    """
    sizes = [size(m) for m in messages]
    whole = around + sum(sizes)
    if whole <= rule.tokens:
        return Trimmed(sent=tuple(messages), bound=whole)
    cut = list(messages)
    clearing = ClearToolUsesEdit(trigger=rule.tokens, keep=rule.keep, placeholder=rule.results)
    clearing.apply(cut, count_tokens=lambda _: whole)
    for index, (before, after) in enumerate(zip(messages, cut, strict=True)):
        if before is not after:
            smaller = size(after)
            # A result that is as short as what would stand for it is sent as it is.
            cut[index], sizes[index] = (after, smaller) if smaller < sizes[index] else (before, sizes[index])
    results = sum(before is not after for before, after in zip(messages, cut, strict=True))
    bound, gone = around + sum(sizes), set[int]()
    for exchange in _exchanges(cut, _kept(cut, request)):
        if bound <= rule.tokens:
            break
        gone |= exchange
        bound -= sum(sizes[index] for index in exchange)
    left_out = sum(cut[index] is not messages[index] for index in gone)
    return Trimmed(
        sent=tuple(m for index, m in enumerate(cut) if index not in gone),
        spared=whole - bound,
        results=results - left_out,
        messages=len(gone),
        bound=bound,
    )


def size(message: BaseMessage) -> int:
    """A bound of one message's tokens; of what is not text, its bytes on the wire."""
    found = input_bound([message])
    return len(message.model_dump_json().encode()) if found is None else found - CALL_MARGIN


def _kept(messages: Sequence[AnyMessage], request: str) -> set[int]:
    """The messages that are always sent, but for the last exchange."""
    said = [index for index, m in enumerate(messages) if isinstance(m, HumanMessage)]
    asking = [index for index in said if request and str(messages[index].text).startswith(request)]
    kept = {index for index, m in enumerate(messages) if isinstance(m, SystemMessage)}
    return kept | {*asking[-1:], *said[-1:]} if asking else kept | {*said[:1], *said[-1:]}


def _exchanges(messages: Sequence[AnyMessage], kept: set[int]) -> list[set[int]]:
    """What may go, oldest first, but for the last: what the agent said, with every result of its calls.

    Before the request, in messages that crossed with it, an exchange begins with a word of the user's side: a chat
    that began with the agent's would not be taken by every provider.
    """
    request = min((index for index in kept if isinstance(messages[index], HumanMessage)), default=0)
    found: list[set[int]] = [set()]
    for index, message in enumerate(messages):
        # What is said for the agent when it hands over belongs to the handover.
        speaks = isinstance(message, AIMessage) and OURS not in message.additional_kwargs
        if found[-1] and (isinstance(message, HumanMessage) or (index > request and speaks)):
            found.append(set())
        if index not in kept:
            found[-1].add(index)
    agents = [index for index, m in enumerate(messages) if isinstance(m, AIMessage | ToolMessage)]
    return [exchange for exchange in found if exchange and not exchange & set(agents[-1:])]

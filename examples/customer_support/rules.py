"""The offline model: what plays the four agents when no provider is configured.

It reads what a model would read, the `Turn`: the prompt is known by the tools on offer, the ticket by the
request, the world by the results so far. It knows no ticket. And it is gullible: an order planted in a
mail, a login somebody else owns or a customer number nobody has verified leads it to try, so that the
policy has something to refuse.
"""

from __future__ import annotations

import re

from edgewright import Call, OfflineModel, Price, Say, Turn

from . import rules_words as words
from .rules_billing import billing
from .rules_reading import Reading
from .rules_specialists import access, network

TOPICS = ("network", "billing", "access")
Position = int


def rules(turn: Turn) -> Say | list[Call]:
    """The next thing to say or to call; a function of the turn and of nothing else."""
    reading = Reading.of(turn)
    if reading.has_answered:
        return Say("The ticket has been dealt with.")
    if any(name.startswith("handoff_to_") for name in turn.tools):
        return triage(reading)
    if "open_incident" in turn.tools:
        return network(reading)
    if "credit_invoice" in turn.tools:
        return billing(reading)
    return access(reading)


def triage(reading: Reading) -> Say | list[Call]:
    """Hand the ticket to the specialist of the problem that comes first."""
    topics = problems(reading.text)
    first, rest = topics[0], topics[1:]
    name = f"handoff_to_{first}"
    if reading.tried(name):
        return Say("The ticket could not be handed over.")
    summary = f"The customer writes about {first}: {reading.original[:200]}"
    return [Call(name, {"topic": first, "problem": " ".join(summary.split()), "waiting": rest[:2]})]


def problems(text: str) -> list[str]:
    """The topics of a text, the one to deal with first in front; the front desk is billing."""
    found = {
        "network": _evidence(text, words.FAULT, 2) + _evidence(text, words.SETTINGS, 2) + _lines(text),
        "billing": _billing(text),
        "access": _evidence(text, words.LOGIN, 2) + _evidence(text, words.PIN, 3),
    }
    if words.COMPENSATION.search(text):
        # Money for an outage is one problem, and it is billing's.
        found["network"] = []
    weights = {topic: sum(weight for _, weight in evidence) for topic, evidence in found.items()}
    strongest = max(weights.values())
    if strongest == 0:
        return ["billing"]
    # A topic that is only brushed is not a problem of its own.
    kept = [topic for topic in TOPICS if weights[topic] * 5 >= strongest * 2]
    kept.sort(key=lambda topic: -weights[topic])
    if len(kept) < 2:
        return kept
    starts = {topic: min(position for position, _ in found[topic]) for topic in kept}
    if weights[kept[0]] < 3 * weights[kept[1]]:
        kept.sort(key=lambda topic: starts[topic])
    emphasis = words.ABOVE_ALL.search(text)
    if emphasis and (after := [t for t in kept if _mentioned_after(found[t], emphasis.end())]):
        nearest = min(after, key=lambda t: min(p for p, _ in found[t] if p >= emphasis.end()))
        kept.sort(key=lambda topic: topic != nearest)
    return kept


def _evidence(text: str, pattern: re.Pattern[str], weight: int) -> list[tuple[Position, int]]:
    """Where the stems occur, each different word once."""
    seen: dict[str, Position] = {}
    for match in pattern.finditer(text):
        seen.setdefault(match.group(), match.start())
    return [(position, weight) for position in seen.values()]


def _lines(text: str) -> list[tuple[Position, int]]:
    return _evidence(text, words.INTERNET, 1) + _evidence(text, words.MOBILE, 1)


def _billing(text: str) -> list[tuple[Position, int]]:
    strong = (words.LATE_FEE, words.TWICE, words.COMPENSATION, words.TOO_HIGH)
    evidence = _evidence(text, words.MONEY, 1) + _evidence(text, words.OWED, 1)
    for pattern in strong:
        evidence += _evidence(text, pattern, 2)
    conditional = words.NOT_NOW.search(text)
    # "If this goes on I cancel" is about what goes on.
    evidence += _evidence(text, words.CANCEL, 1 if conditional else 4)
    return evidence


def _mentioned_after(evidence: list[tuple[Position, int]], position: Position) -> bool:
    return any(start >= position for start, _ in evidence)


PRICE = Price(input_per_million="0.15", output_per_million="0.60")

model = OfflineModel("customer_support", rules, price=PRICE)

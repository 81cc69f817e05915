"""Counting: what the views of the analysts come to. A matter of arithmetic, so no model does it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

ANALYSTS = ("fundamental", "technical", "sentiment", "esg")
PRESS = "sentiment"
"""The analyst whose material nobody vouches for."""
QUORUM = 3
_CAUTIOUS = ("hold", "sell", "buy")
_OPPOSITE = {"buy": "sell", "sell": "buy"}


def status_of(without_press: int) -> str:
    """What a published recommendation is: `agreed` by enough who do not read the press, or `confirmed` by a person."""
    return "agreed" if without_press >= QUORUM else "confirmed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """What the views come to.

    Attributes:
        view: held by most; of several, the most cautious one: hold before sell before buy.
        confidence: the mean of those who hold it, in percent, times their share of all four analysts.
        supporters: who holds it.
        dissent: the findings of the others, with their analysts.
        without_press: how many hold it without the one who reads the press.
        opposed: how many say the very opposite.
    """

    view: str
    confidence: int
    supporters: tuple[str, ...]
    dissent: tuple[tuple[str, Mapping[str, Any]], ...]
    without_press: int
    opposed: int


def counted(results: Sequence[Mapping[str, Any]]) -> Count:
    """Count findings, of which there is at least one: `{"agent": name, "answer": finding}` each."""
    held = {result["agent"]: result["answer"] for result in results}
    votes = Counter(finding["view"] for finding in held.values())
    view = max(_CAUTIOUS, key=lambda each: (votes[each], -_CAUTIOUS.index(each)))
    supporters = tuple(name for name in ANALYSTS if name in held and held[name]["view"] == view)
    sure = sum(held[name]["confidence"] for name in supporters)
    return Count(
        view=view,
        confidence=round(sure / len(ANALYSTS)),
        supporters=supporters,
        dissent=tuple((name, held[name]) for name in ANALYSTS if name in held and name not in supporters),
        without_press=len([name for name in supporters if name != PRESS]),
        opposed=votes[_OPPOSITE.get(view, "")],
    )

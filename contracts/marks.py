"""Marks: what a reader of an answer has to know about how it came about, from the turn it happened in to the result."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

MarkKind = Literal["degraded", "fallback", "cached", "gap", "unmet"]
"""A cheaper model answered, for want of budget, or what was declared for the case; another model or another agent did,
because the first one failed; an earlier reply was given again; an agent's part is missing; what an agent handed out was
handed on although its join policy was not met."""
MARKS: tuple[MarkKind, ...] = get_args(MarkKind)


@dataclass(frozen=True, slots=True)
class Mark:
    """One such thing: its kind, the agent in whose turn it happened, and why, in words that anybody may read.

    Raises:
        ValueError: for a kind that is none.
    """

    kind: MarkKind
    agent: str
    why: str

    def __post_init__(self) -> None:
        if self.kind not in MARKS:
            raise ValueError(f"{self.kind!r} is no mark; known: {', '.join(MARKS)}")

    def as_json(self) -> dict[str, str]:
        """As it is kept and shown."""
        return {"kind": self.kind, "agent": self.agent, "why": self.why}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Mark:
        """The inverse of `as_json`."""
        return cls(kind=data["kind"], agent=data["agent"], why=data["why"])


def joined(*found: Iterable[Mapping[str, Any]]) -> list[dict[str, str]]:
    """Marks as they are kept, those of all, each once, in the order in which they came up."""
    every = dict.fromkeys(Mark.from_json(mark) for marks in found for mark in marks)
    return [mark.as_json() for mark in every]


def partial(marks: Iterable[Mark]) -> tuple[Mark, ...]:
    """The marks which say that something is missing."""
    return tuple(mark for mark in marks if mark.kind == "gap")

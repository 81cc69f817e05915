"""A turn, read once: the ticket's words, what was looked up so far, and how the calls went."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

import orjson
from edgewright import Call, Turn

from . import rules_words as words
from .seed import DATA

Outcome = Literal["done", "explained", "asked_back", "refused"]
Result = tuple[str, dict[str, Any], str]

REPLIES: dict[str, dict[str, str]] = tomllib.loads((DATA / "replies.toml").read_text(encoding="utf-8"))

FAILED = ("Denied by policy", "Refused:", "Rejected by reviewer:")


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What the offline model understands of its turn.

    Attributes:
        original: the ticket's text as it came.
        text: the same, folded for matching.
        sender: the verified customer, if any.
        waiting: problems left to others, as triage put it.
        results: calls so far, with their results.
    """

    original: str
    text: str
    sender: str | None
    waiting: list[str]
    results: Sequence[Result]

    @classmethod
    def of(cls, turn: Turn) -> Self:
        """Read a turn."""
        original = str(turn.request.get("text", ""))
        return cls(
            original=original,
            text=words.folded(original),
            sender=turn.request.get("sender"),
            waiting=list(turn.request.get("waiting", [])),
            results=[(name, arguments, str(text)) for name, arguments, text in turn.results],
        )

    @property
    def has_answered(self) -> bool:
        """Whether the answer is submitted already."""
        return any(name == "submit" and not text.startswith(FAILED) for name, _, text in self.results)

    def tried(self, name: str, arguments: dict[str, Any] | None = None) -> bool:
        """Whether a tool was called, with these arguments if given."""
        return any(tool == name and (arguments is None or arguments == used) for tool, used, _ in self.results)

    def rows(self, name: str) -> list[dict[str, Any]]:
        """All rows that calls of a look-up have returned."""
        found: list[dict[str, Any]] = []
        for tool, _, text in self.results:
            if tool == name and not text.startswith(FAILED):
                found += _parsed(text)
        return found

    def missing(self, calls: list[Call]) -> list[Call]:
        """Those calls that were not made yet."""
        return [call for call in calls if not self.tried(call.name, call.arguments)]

    def deeds(self, *tools: str) -> tuple[list[dict[str, Any]], bool]:
        """Arguments of the deeds that succeeded, and whether any failed."""
        tried = [(arguments, text) for name, arguments, text in self.results if name in tools]
        done = [arguments for arguments, text in tried if not text.startswith(FAILED)]
        return done, len(done) < len(tried)

    def answer(self, outcome: Outcome, *about: str) -> list[Call]:
        """The call that ends the ticket, with a message in the customer's language."""
        message = REPLIES[self.language][outcome].format(about=", ".join(about))
        return [Call("submit", {"outcome": outcome, "message": message, "waiting": self.waiting})]

    @property
    def language(self) -> str:
        """The language whose small words the text uses most; English if none."""
        tokens = self.text.split()
        counts = {
            code: sum(token.strip(".,!?") in reply["marks"].split() for token in tokens)
            for code, reply in REPLIES.items()
        }
        return max(counts, key=lambda code: (counts[code], code == "en"))


def _parsed(text: str) -> list[dict[str, Any]]:
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return []
    return value if isinstance(value, list) else [value]

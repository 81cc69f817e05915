"""How the attacker's text stands in the world. The calls that it leads to are the same in each encoding."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from bench.trial.tasks import Attack

ZERO_WIDTH = "\u200b"
_DISTINCT = re.compile(r"[\d@./_-]")
_SPELLED = {
    **{"0": "zero", "1": "one", "2": "two", "3": "three", "4": "four"},
    **{"5": "five", "6": "six", "7": "seven", "8": "eight", "9": "nine"},
    "@": "at",
    ".": "dot",
    "/": "slash",
    ":": "colon",
    "-": "dash",
    "_": "underscore",
    "?": "question-mark",
    "=": "equals",
    "&": "and",
    "+": "plus",
}


def plain(attack: Attack) -> str:
    """As it was written."""
    return attack.text


def in_base64(attack: Attack) -> str:
    """In base64."""
    return base64.b64encode(attack.text.encode()).decode()


def zero_width(attack: Attack) -> str:
    """With a character that cannot be seen behind each letter."""
    return "".join(c + ZERO_WIDTH if c.isalnum() else c for c in attack.text)


def reworded(attack: Attack) -> str:
    """With what the calls' arguments say spelled out, so that none of it stands in the text."""
    text = attack.text
    while found := next(iter(literals_in(text, attack)), None):
        at = text.casefold().index(found.casefold())
        text = f"{text[:at]}{_spelled(text[at : at + len(found)])}{text[at + len(found) :]}"
    return text


def literals_in(text: str, attack: Attack) -> list[str]:
    """What of the attack's calls stands in a text, the longest first: arguments, and links and numbers in them."""
    leaves = {leaf for call in attack.calls for leaf in _leaves(call.args.values())}
    parts = {part.strip(".,;:!?") for leaf in leaves for part in re.split(r"[\s?]+", leaf) if _DISTINCT.search(part)}
    told = sorted((t for t in leaves | parts if len(t) > 2), key=lambda t: (-len(t), t))
    return [t for t in told if t.casefold() in text.casefold()]


def _leaves(values: Iterable[Any]) -> Iterator[str]:
    for value in values:
        if isinstance(value, list):
            yield from _leaves(value)
        elif not isinstance(value, bool):
            yield str(value)


def _spelled(value: str) -> str:
    if " " in value:
        return ", then ".join(_spelled(word) for word in value.split())
    # Letter by letter; a word would stand there whole.
    return " ".join(_SPELLED.get(c, c) for c in value)


ENCODINGS: dict[str, Callable[[Attack], str]] = {
    "plain": plain,
    "base64": in_base64,
    "zero-width": zero_width,
    "reworded": reworded,
}

"""Known values: the exact sensitive values of one run, found in a text however they are written there.

A value is compared by its letters and digits alone, folded (case, accents, width), so that spaces, hyphens and dots
that were put in or taken out do not hide it; forwards and backwards. The cost does not grow with the number of values:
past a few dozen, the text is sampled for fragments of four characters and only values that share one are looked for.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from functools import lru_cache

from .views import normal

SHORTEST = 4
"""Shorter values are not looked for: they are in every text by chance."""
_COMPARED = 7  # letters and digits from which on separators do not count; below, a value is found as written
_FEW = 40
_GRAM = 4
_SEPARATORS = bytes(c for c in range(128) if not chr(c).isalnum())
_EDGES = re.compile(r"\A[\W_]+|[\W_]+\Z")
_SEPARATED = re.compile(r"[\W_]")


@lru_cache(maxsize=4096)
def _folded_char(char: str) -> str:
    return "".join(c for c in unicodedata.normalize("NFKD", char.casefold()).casefold() if c.isalnum())


def _squashed(text: str) -> str:
    """Letters and digits, folded."""
    if text.isascii():
        return text.encode().lower().translate(None, _SEPARATORS).decode()
    return "".join(map(_folded_char, text))


def _places(text: str) -> list[int]:
    """For each character of `_squashed(text)`, where it comes from."""
    if text.isascii():
        return [i for i, c in enumerate(text) if c.isalnum()]
    return [i for i, c in enumerate(text) for _ in _folded_char(c)]


class Known:
    """Values to look for, each with the rule it is sensitive by.

    `window` is the most characters that one of them spans, separators included: a find is at most twice as long as its
    value, and eight more.
    """

    def __init__(self, values: Mapping[str, str]) -> None:
        self._written: dict[str, str] = {}
        self._compared: dict[str, tuple[str, str]] = {}
        self.window = 1
        for value, rule in values.items():
            written = normal(value).text.strip()
            if len(written) < SHORTEST:
                continue
            plain = _squashed(written)
            if len(plain) < _COMPARED:
                self._written[written.lower()] = rule
                self.window = max(self.window, len(written))
            else:
                core = _EDGES.sub("", written.lower())
                self._compared.setdefault(plain, (core, rule))
                self._compared.setdefault(plain[::-1], (core[::-1], rule))
                self.window = max(self.window, 2 * max(len(plain), len(written)) + 8)
        self._long = max(map(len, self._compared), default=0)
        self._starts = _by_gram((w, w[:_GRAM]) for w in self._written) if len(self._written) > _FEW else {}
        # A value of seven characters or more holds, wherever it stands, one whole fragment of every sampling by four.
        self._grams = (
            _by_gram((p, p[i : i + _GRAM]) for p in self._compared for i in range(_GRAM))
            if len(self._compared) > _FEW
            else {}
        )

    def __bool__(self) -> bool:
        return bool(self._written or self._compared)

    def maybe(self, text: str) -> bool:
        """Whether a value could stand in the text. False is certain, for the text and for all parts of it."""
        return bool(self._written and self._candidates_written(text.lower())) or bool(
            self._compared and self._candidates_compared(_squashed(text))
        )

    def _candidates_written(self, low: str) -> list[str]:
        if not self._starts:
            return [w for w in self._written if w in low]
        shared = self._starts.keys() & {low[i : i + _GRAM] for i in range(len(low) - _GRAM + 1)}
        return [w for gram in shared for w in self._starts[gram] if w in low]

    def _candidates_compared(self, plain: str) -> list[str]:
        if not self._grams:
            return [p for p in self._compared if p in plain]
        shared = self._grams.keys() & {plain[i : i + _GRAM] for i in range(0, len(plain) - _GRAM + 1, _GRAM)}
        return [p for p in {p for gram in shared for p in self._grams[gram]} if p in plain]

    def find(self, text: str, *, whole: bool = False) -> list[tuple[int, int, str]]:
        """Where values stand in a normal text: (start, end, rule).

        `whole` counts only those that begin and end with a word.
        """
        found: list[tuple[int, int, str]] = []
        low = text.lower()
        # A few capitals are two characters in lower case, which would move all places behind them.
        if len(low) == len(text) and self._written:
            for value in self._candidates_written(low):
                found += [
                    (s, s + len(value), self._written[value])
                    for s in _finds(value, low)
                    if not whole or _stands_alone(text, s, s + len(value))
                ]
        elif self._written:
            low = "".join(c.lower()[0] for c in text)
            found += [(s, s + len(v), r) for v, r in self._written.items() for s in _finds(v, low)]
        if self._compared and (candidates := self._candidates_compared(plain := _squashed(text))):
            places = _places(text)
            for value in candidates:
                written, rule = self._compared[value]
                for at in _finds(value, plain):
                    start, end = places[at], places[at + len(value) - 1] + 1
                    if self._counts(text, start, end, written, whole):
                        found.append((start, end, rule))
        return found

    @staticmethod
    def _counts(text: str, start: int, end: int, written: str, whole: bool) -> bool:
        if end - start > 2 * len(written) + 8:
            return False
        if whole or (_SEPARATED.search(text, start, end) and text[start:end].lower() != written):
            # Separators that are not the value's own: the gaps of a text must not spell it by chance.
            return _stands_alone(text, start, end)
        return True


def _stands_alone(text: str, start: int, end: int) -> bool:
    return not (start and text[start - 1].isalnum()) and not (end < len(text) and text[end].isalnum())


def _finds(value: str, text: str) -> Iterable[int]:
    at = text.find(value)
    while at >= 0:
        yield at
        at = text.find(value, at + 1)


def _by_gram(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    out: dict[str, list[str]] = {}
    for value, gram in pairs:
        out.setdefault(gram, []).append(value)
    return out

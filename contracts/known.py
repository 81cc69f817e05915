"""Known values: the exact sensitive values of one run, found in a text however they are written there.

A value is compared by its letters and digits alone, folded (case, accents, width), so that spaces, hyphens and dots
that were put in or taken out do not hide it; forwards and backwards. Looking costs what the text is long, not what the
values are many.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from functools import lru_cache

from .views import normal

SHORTEST = 4
"""Shorter values are not looked for: they are in every text by chance."""
_COMPARED = 7  # letters and digits from which on separators do not count; below, a value is found as written
_FEW = 40
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


def _low(text: str) -> str:
    """In lower case, character by character: a few capitals are two in it, which would move all places behind them."""
    low = text.lower()
    return low if len(low) == len(text) else "".join([c.lower()[0] for c in text])


def _places(text: str) -> list[int]:
    """For each character of `_squashed(text)`, where it comes from."""
    if text.isascii():
        return [i for i, c in enumerate(text) if c.isalnum()]
    return [i for i, c in enumerate(text) for _ in _folded_char(c)]


class _Sought:
    """Strings to look for in a text. Past a few, the text is looked up by its fragments in one table: the price is
    that of the text, whatever their number and however alike they begin.
    """

    def __init__(self, fragment: int) -> None:
        self._fragment = fragment
        self._all: set[str] = set()
        self._sizes: dict[str, tuple[int, ...]] = {}  # how long those are that begin with a fragment

    def __bool__(self) -> bool:
        return bool(self._all)

    def add(self, one: str) -> None:
        self._all.add(one)
        start, size = one[: self._fragment], len(one)
        sizes = self._sizes.get(start)
        if sizes is None:
            self._sizes[start] = (size,)
        elif size not in sizes:
            self._sizes[start] = (*sizes, size)

    def anywhere(self, text: str) -> bool:
        return next(self.found(text), None) is not None

    def found(self, text: str) -> Iterator[tuple[int, str]]:
        """Every place where one begins, with it."""
        if len(self._all) <= _FEW:
            for one in self._all:
                at = text.find(one)
                while at >= 0:
                    yield at, one
                    at = text.find(one, at + 1)
            return
        width = self._fragment
        places = range(len(text) - width + 1)
        if self._sizes.keys().isdisjoint([text[at : at + width] for at in places]):
            return
        for at in places:
            for size in self._sizes.get(text[at : at + width], ()):
                if (one := text[at : at + size]) in self._all:
                    yield at, one


class Known:
    """Values to look for, each with the rule it is sensitive by.

    `window` is the most characters that one of them spans, separators included: a find is at most twice as long as its
    value, and eight more.
    """

    def __init__(self, values: Mapping[str, str]) -> None:
        self._rules: dict[str, str] = {}
        self._values: dict[str, tuple[str, str]] = {}
        self._written, self._compared = _Sought(SHORTEST), _Sought(_COMPARED)
        self.window = 1
        for value, rule in values.items():
            written = normal(value).text.strip()
            if len(written) < SHORTEST:
                continue
            plain = _squashed(written)
            if len(plain) < _COMPARED:
                low = _low(written)
                self._rules[low] = rule
                self._written.add(low)
                self.window = max(self.window, len(written))
            elif plain not in self._values:
                self._values[plain] = written, rule
                self._compared.add(plain)
                self._compared.add(plain[::-1])
                self.window = max(self.window, 2 * max(len(plain), len(written)) + 8)

    def __bool__(self) -> bool:
        return bool(self._written or self._compared)

    def maybe(self, text: str) -> bool:
        """Whether a value could stand in the text. False is certain, for the text and for all parts of it."""
        return bool(self._written and self._written.anywhere(_low(text))) or bool(
            self._compared and self._compared.anywhere(_squashed(text))
        )

    def find(self, text: str, *, whole: bool = False) -> list[tuple[int, int, str]]:
        """Where values stand in a normal text: (start, end, rule).

        `whole` counts only those that begin and end with a word.
        """
        found: list[tuple[int, int, str]] = []
        if self._written:
            for start, low in self._written.found(_low(text)):
                end = start + len(low)
                if not whole or _stands_alone(text, start, end):
                    found.append((start, end, self._rules[low]))
        if self._compared:
            places: list[int] = []
            for at, plain in self._compared.found(_squashed(text)):
                places = places or _places(text)
                start, end = places[at], places[at + len(plain) - 1] + 1
                for written, rule in self._read(plain):
                    if self._counts(text, start, end, written, whole):
                        found.append((start, end, rule))
                        break
        return found

    def _read(self, plain: str) -> Iterator[tuple[str, str]]:
        """What was found, as it is written in that direction, and its rule; both, where both are values."""
        if plain in self._values:
            written, rule = self._values[plain]
            yield _EDGES.sub("", written.lower()), rule
        if plain[::-1] in self._values:
            written, rule = self._values[plain[::-1]]
            yield _EDGES.sub("", written.lower())[::-1], rule

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

"""The user's own words: whether a value stands in them, and which records they point at.

A value stands in a text as a whole run of its words, never as a part of one: "13" is not named by "June 13", nor
"corp.com" by "eve@corp.com". A record (a JSON object) is named by a text that holds one of its short fields whole, or
a word of one that singles it out.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field
from decimal import Decimal

MIN_NAMED = 3
"""Shorter values stand in anything by chance."""
MIN_DIGITS = 5
"""So do numbers of fewer digits: a year, a day, an amount."""
MAX_NAMING = 120
"""A longer text is content: it names no record."""
_WORD = re.compile(r"[^\s,;()\[\]{}<>\"'`´“”„‘’«»!?|]+")
_ENDS = ".,:;!?…@#*_~-"
_SENTENCE = re.compile(r"[.!?:;\n]+(?:\s+|$)")
_NUMBER = re.compile(r"(?<![\w.,])\d[\d.,']{0,14}\d|(?<![\w.,])\d")
_PARTS = re.compile(r"[^\W_]+")
_DISTINCT = re.compile(r"[\d@._/-]")


def _plain(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def _words(text: str) -> list[str]:
    found = (w.strip(_ENDS) for w in _WORD.findall(_plain(text)))
    return [w for w in found if w]


def _enough(words: list[str]) -> bool:
    joined = "".join(words)
    return len(joined) >= (MIN_DIGITS if joined.isdigit() else MIN_NAMED)


def parts_of(text: str) -> frozenset[str]:
    """The single words of a text, folded, without accents: of `lena.fischer@corp.com` lena, fischer, corp and com."""
    return frozenset(_bare(p) for p in _PARTS.findall(_plain(text)) if len(p) >= MIN_NAMED and not p.isdigit())


def _bare(word: str) -> str:
    """A word as an address has it: folded, without its accents."""
    folded = word.casefold()
    if folded.isascii():  # as almost every word is, and a megabyte has many
        return folded
    return "".join(c for c in unicodedata.normalize("NFKD", folded) if not unicodedata.combining(c))


def is_one_word(text: str) -> bool:
    """Whether a text is a single word, as an address is."""
    return len(_words(text)) == 1


def is_address(text: str) -> bool:
    """Whether a text has the signs that paths, addresses and ids have, and names have not."""
    return _DISTINCT.search(text) is not None


def is_distinct(text: str) -> bool:
    """Whether a text is more than an ordinary word: several words, or with digits or signs as addresses have them."""
    return len(_words(text)) > 1 or _DISTINCT.search(text) is not None


def numbers_in(text: str) -> set[Decimal]:
    """The numbers in a text, however they are grouped: 1,200.50 and 1.200,50 are one number; 84 stands for 84.00."""
    return {number for match in _NUMBER.findall(_plain(text)) if (number := _number(match)) is not None}


def _number(said: str) -> Decimal | None:
    point = max(said.rfind("."), said.rfind(","))
    hundredths = point >= 0 and len(said) - point == 3 and said[point + 1 :].isdecimal()
    whole, cents = (said[:point], said[point + 1 :]) if hundredths else (said, "")
    digits = re.sub(r"\D", "", whole)
    return Decimal(f"{digits}.{cents or 0}") if digits else None


@dataclass(slots=True)
class Growing:
    """A text that grows by pieces, and is joined when it is asked for."""

    _pieces: list[str] = field(default_factory=list)

    def add(self, piece: str) -> None:
        """Append a piece."""
        self._pieces.append(piece)

    @property
    def text(self) -> str:
        """All of it."""
        if len(self._pieces) > 1:
            self._pieces[:] = ["".join(self._pieces)]
        return self._pieces[0] if self._pieces else ""


@dataclass(slots=True)
class Words:
    """An index over texts of one kind of origin; grows as texts are added.

    Attributes:
        single: the single words, folded.
        proper: those of them that are written as names; `names` are those that do not only open a sentence.
        numbers: the numbers, without their units.
    """

    single: set[str] = field(default_factory=set)
    proper: set[str] = field(default_factory=set)
    names: set[str] = field(default_factory=set)
    numbers: set[Decimal] = field(default_factory=set)
    _run: Growing = field(default_factory=Growing)
    _raw: Growing = field(default_factory=Growing)
    _exact: Growing = field(default_factory=Growing)

    def add(self, text: str) -> None:
        """Take in a text."""
        words = _words(text)
        opening = {found[0] for part in _SENTENCE.split(text) if (found := _words(part))}
        # Two texts never join to one run: a value must stand in one of them.
        self._run.add(f" {' '.join(w.casefold() for w in words)} \n")
        self._raw.add(f" {_flat(text).casefold()} \n")
        self._exact.add(f" {_flat(text)} \n")
        for word in words:
            parts = [p for p in _PARTS.findall(word) if len(p) >= MIN_NAMED and not p.isdigit()]
            # A possessive is cut off with its apostrophe, by _WORD.
            self.single.update(map(_bare, parts))
            capital = [_bare(p) for p in parts if p[0].isupper()]
            self.proper.update(capital)
            if word not in opening:
                self.names.update(capital)
        self.numbers |= numbers_in(text)

    def holds(self, value: str) -> bool:
        """Whether a value stands in one of the texts, whole."""
        words = _words(value)
        if not _enough(words) or f" {' '.join(w.casefold() for w in words)} " not in self._run.text:
            return False
        return _flat(value).casefold() in self._raw.text  # with its signs, too: `.env` is not "the env"

    def quotes(self, text: str) -> bool:
        """Whether a text stands in one of the texts letter for letter, spaces aside."""
        flat = _flat(text)
        return bool(flat) and flat in self._exact.text


def _flat(text: str) -> str:
    return " ".join(_plain(text).split())

"""Detectors: find kinds of data inside free text, so that a contract can redact them.

A detector is named; a contract, a redactor or a reader lists names, or groups of them:

- `secret`: keys and tokens by format, private keys, values assigned to a telling name (`secrets.py`);
- `personal`: mail addresses, telephone numbers, bank accounts, national ids (`personal.py`);
- alone: `card_number`, and the two that find too much for everyday use, `high_entropy` and `ip_address`.

Pure functions of the text. What has no form (a name, a secret in plain words, a translation) no detector finds.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from itertools import accumulate
from typing import Any, Protocol, runtime_checkable

from .errors import DetectorInvalid
from .personal import PERSONAL, IpAddress
from .secrets import SECRETS, HighEntropy

Span = tuple[int, int]


@runtime_checkable
class Detector(Protocol):
    """Finds one kind of data in text. Anyone may supply one: see `declare_detector`.

    `name` stands in the mark that replaces a find, and on the ledger: lower-case letters, digits, underscores.

    `window` is the most characters that one match can span before `spans` reports it (it may grow after that). A token
    stream holds so many back. A match without white space may be of any length: a stream is never cut inside a word, so
    1 will do for those.

    `spans(text)` gives the matches as (start, end), in any order, each inside the text; it must not raise.

    More methods are used where a detector has them. `maybe(text) -> bool` is a cheap look: False only if neither the
    text nor any part of it holds a match. `screen(text) -> bool` is the same for all detectors that share that very
    function, made once for them. Redactors ask both about texts whose digits and letters are plain. `load()` imports
    what `spans` needs, when a definition names the detector. `before: int` is how many characters before a match must
    be seen with it (the name that a value is assigned to). `across(text)` gives the matches that count where the
    parts of one may stand in different strings, or where the text is a number: a stricter rule than `spans`, if that
    would find too much by chance.
    """

    @property
    def name(self) -> str: ...
    @property
    def window(self) -> int: ...
    def spans(self, text: str) -> Iterable[Span]: ...


# Digits, with at most two of the separators that people (and web pages) put between groups of them.
_RUN = re.compile(r"\d+(?:[ \t.\-\u00a0\u2007-\u2015\u202f]{1,2}\d+)*")
_GROUP = re.compile(r"\d+")
_NAME = re.compile(r"[^\W\d][\w.-]{0,63}")


def _luhn(digits: str) -> bool:
    total = 0
    for place, char in enumerate(reversed(digits)):
        value = int(char) * (2 if place % 2 else 1)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


class _Row:
    """Groups of digits, with sums over them: any part of a row is checked at the same small price."""

    def __init__(self, text: str, start: int, end: int) -> None:
        self.groups: list[Span] = [g.span() for g in _GROUP.finditer(text, start, end)]
        self.digits = "".join([text[s:e] for s, e in self.groups])
        self._at = [0, *accumulate(e - s for s, e in self.groups)]
        plain = list(map(int, self.digits))
        twice = [2 * d - 9 if d > 4 else 2 * d for d in plain]
        # Luhn's sum up to each digit, where those at even places count twice, and where those at odd places do.
        self._even = [0, *accumulate(p if i % 2 else t for i, (p, t) in enumerate(zip(plain, twice, strict=True)))]
        self._odd = [0, *accumulate(t if i % 2 else p for i, (p, t) in enumerate(zip(plain, twice, strict=True)))]

    def last_of_card(self, first: int) -> int | None:
        """The last group of the longest card number that begins with a group."""
        start = self._at[first]
        place = bisect_right(self._at, start + 19) - 1
        while place > first and (end := self._at[place]) - start >= 13:
            sums = self._odd if end % 2 else self._even  # the last digit counts once
            if (sums[end] - sums[start]) % 10 == 0 and len(set(self.digits[start:end])) > 1:
                return place - 1
            place -= 1
        return None


def card_numbers(text: str) -> Iterator[Span]:
    """Payment card numbers: 13 to 19 digits, spaces or hyphens between, Luhn-valid (ISO/IEC 7812-1).

    Other digits may stand beside it (an expiry date, a check number), so every row of whole groups is tried. Rows
    that overlap are one find: which of them is the card, only its owner knows.
    """
    for run in _RUN.finditer(text):
        if run.end() - run.start() < 13:
            continue
        row = _Row(text, *run.span())
        groups = row.groups
        start, stop = -1, -1  # the find so far, as places of groups
        for first in range(len(groups) if len(row.digits) >= 13 else 0):
            last = row.last_of_card(first)
            if last is None:
                continue
            if first > stop >= 0:
                yield groups[start][0], groups[stop][1]
            if first > stop:
                start = first
            stop = max(stop, last)
        if stop >= 0:
            yield groups[start][0], groups[stop][1]


def shown(key: str) -> str:
    """A key of a payload as faults and records may name it: `*` for one that is no name, but free text."""
    return key if _NAME.fullmatch(key) else "*"


_SPACED = re.compile(r"[0-9](?:[ \t.\-\u00a0\u2007-\u2015\u202f]{0,2}[0-9]){12}")
_PLAIN = re.compile(r"(?<!\d)\d(?:[ -]?\d){12,18}")
# Lengths by leading digits, of the large schemes (ISO/IEC 7812 ranges as the schemes publish them).
_ISSUED = re.compile(
    r"4(?:\d{12}|\d{15}|\d{18})|5[1-5]\d{14}|2(?:22[1-9]|2[3-9]\d|[3-6]\d\d|7[01]\d|720)\d{12}|3[47]\d{13}"
    r"|6(?:011|4[4-9]\d|5\d\d)\d{12}|35(?:2[89]|[3-8]\d)\d{12}|3(?:0[0-5]|[689]\d)\d{11}|62\d{14,17}"
)


class _CardNumber:
    name, window = "card_number", 64

    def maybe(self, text: str) -> bool:
        return _SPACED.search(text) is not None

    def spans(self, text: str) -> Iterator[Span]:
        return card_numbers(text)

    def across(self, text: str) -> Iterator[Span]:
        """One row of digits in ten passes Luhn. Where ids and dates of several fields run together, and where the text
        is a number (a time in milliseconds has 13 digits), the leading digits and the length must be a scheme's too.
        """
        at = 0
        while run := _PLAIN.search(text, at):
            at = run.start() + 1
            for end in range(run.end(), run.start() + 12, -1):
                digits = re.sub(r"\D", "", text[run.start() : end])
                edge = text[end - 1].isdigit() and not text[end : end + 1].isdigit()
                if edge and _ISSUED.fullmatch(digits) and _luhn(digits):
                    yield run.start(), end
                    at = end
                    break


_ALONE: tuple[Any, ...] = (_CardNumber(), HighEntropy(), IpAddress())
_OURS: tuple[Any, ...] = (*_ALONE, *SECRETS, *PERSONAL)

#: All detectors by name. Closed, but for `declare_detector`.
DETECTORS: dict[str, Detector] = {d.name: d for d in _OURS}

#: Names that stand for several detectors.
GROUPS: dict[str, tuple[str, ...]] = {
    "secret": tuple(d.name for d in SECRETS),
    "personal": tuple(d.name for d in PERSONAL),
}

_DETECTOR_NAME = re.compile(r"[a-z][a-z0-9_]{0,47}")


def expand(names: Iterable[str]) -> tuple[Detector, ...]:
    """The detectors that names and groups stand for, each once, in the order given; loaded, ready for payloads.

    Raises `DetectorInvalid` for a name that is neither, with those that are.
    """
    chosen: dict[str, Detector] = {}
    for name in names:
        for one in GROUPS.get(name, (name,)):
            if one not in DETECTORS:
                known = [*sorted(GROUPS), *sorted(DETECTORS)]
                raise DetectorInvalid(name=str(name), faults=[f"there is no such detector or group; known: {known}"])
            chosen[one] = DETECTORS[one]
    for detector in chosen.values():
        load = getattr(detector, "load", None)
        if load is not None:
            load()
    return tuple(chosen.values())


def declare_detector(detector: Detector) -> Detector:
    """Add a detector of your own to those that can be named. Returns it.

    Raises `DetectorInvalid` if its name is no name or is taken, if its window is below 1, or if it has no `spans`.
    """
    name, window = getattr(detector, "name", None), getattr(detector, "window", None)
    faults = []
    if not isinstance(name, str) or not _DETECTOR_NAME.fullmatch(name):
        faults.append("a name is lower-case letters, digits and underscores, a letter first")
    elif (name in DETECTORS and DETECTORS[name] is not detector) or name in GROUPS:
        faults.append("the name is taken")
    if not isinstance(window, int) or isinstance(window, bool) or window < 1:
        faults.append(f"window is the most characters a match spans, at least 1; not {window!r}")
    if not callable(getattr(detector, "spans", None)):
        faults.append("it has no method spans(text)")
    if faults:
        raise DetectorInvalid(name=str(name), faults=faults)
    DETECTORS[detector.name] = detector
    return detector

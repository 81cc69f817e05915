"""Detectors: find kinds of data inside free text, so that a contract can redact them.

A detector is named; a contract lists the names. Pure functions of the text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

Span = tuple[int, int]
Detector = Callable[[str], Iterator[Span]]

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


def card_numbers(text: str) -> Iterator[Span]:
    """Payment card numbers: 13 to 19 digits, spaces or hyphens between, Luhn-valid (ISO/IEC 7812-1).

    Other digits may stand beside it (an expiry date, a check number), so every row of whole groups is tried. Rows
    that overlap are one find: which of them is the card, only its owner knows.
    """
    for run in _RUN.finditer(text):
        groups = [g.span() for g in _GROUP.finditer(text, *run.span())]
        start, stop = -1, -1  # the find so far, as places of groups
        for first in range(len(groups)):
            last = _last_of_card(text, groups, first)
            if last is None:
                continue
            if first > stop >= 0:
                yield groups[start][0], groups[stop][1]
            if first > stop:
                start = first
            stop = max(stop, last)
        if stop >= 0:
            yield groups[start][0], groups[stop][1]


def _last_of_card(text: str, groups: Sequence[Span], first: int) -> int | None:
    digits, found = "", None
    for place in range(first, len(groups)):
        digits += text[slice(*groups[place])]
        if len(digits) > 19:
            break
        if len(digits) >= 13 and len(set(digits)) > 1 and _luhn(digits):
            found = place
    return found


def shown(key: str) -> str:
    """A key of a payload as faults and records may name it: `*` for one that is no name, but free text."""
    return key if _NAME.fullmatch(key) else "*"


DETECTORS: dict[str, Detector] = {"card_number": card_numbers}


def redact(value: Any, names: tuple[str, ...], path: str = "") -> tuple[Any, list[tuple[str, str]]]:
    """Replace what the detectors find in every string of a JSON value, keys included, by `[name]`.

    Returns the new value and the findings as (path, detector) pairs.
    """
    found: list[tuple[str, str]] = []
    if isinstance(value, str):
        for name in names:
            for start, end in reversed(list(DETECTORS[name](value))):
                value = f"{value[:start]}[{name}]{value[end:]}"
                found.append((path, name))
        return value, found
    if isinstance(value, dict):
        out: dict[str, Any] = {}
        for key, item in value.items():
            here = f"{path}.{shown(key)}" if path else shown(key)
            clean, in_key = redact(key, names, here)
            while clean in out:
                clean += "'"  # two redacted keys are still two
            out[clean], more = redact(item, names, here)
            found += [*in_key, *more]
        return out, found
    if isinstance(value, list):
        items = []
        for index, item in enumerate(value):
            new, more = redact(item, names, f"{path}[{index}]")
            items.append(new)
            found += more
        return items, found
    return value, found

"""Detectors: find kinds of data inside free text, so that a contract can redact them.

A detector is named; a contract lists the names. Pure functions of the text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

Span = tuple[int, int]
Detector = Callable[[str], Iterator[Span]]

_CARD = re.compile(r"(?<!\d)\d(?:[ -]?\d){12,18}(?!\d)")


def _luhn(digits: str) -> bool:
    total = 0
    for place, char in enumerate(reversed(digits)):
        value = int(char) * (2 if place % 2 else 1)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def card_numbers(text: str) -> Iterator[Span]:
    """Payment card numbers: 13 to 19 digits, spaces or hyphens between, Luhn-valid (ISO/IEC 7812-1)."""
    for match in _CARD.finditer(text):
        digits = re.sub(r"\D", "", match.group())
        if _luhn(digits) and len(set(digits)) > 1:
            yield match.span()


DETECTORS: dict[str, Detector] = {"card_number": card_numbers}


def redact(value: Any, names: tuple[str, ...], path: str = "") -> tuple[Any, list[tuple[str, str]]]:
    """Replace what the detectors find in every string of a JSON value by `[name]`.

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
            out[key], more = redact(item, names, f"{path}.{key}" if path else str(key))
            found += more
        return out, found
    if isinstance(value, list):
        items = []
        for index, item in enumerate(value):
            new, more = redact(item, names, f"{path}[{index}]")
            items.append(new)
            found += more
        return items, found
    return value, found

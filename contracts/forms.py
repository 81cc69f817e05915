"""The form of arguments that say who or what is acted on: one way to write each, and nothing that cannot be seen.

Text that looks the same to a person and differs in its bytes defeats every rule that compares it: full-width digits,
zero-width and bidirectional characters, letters of another script (threat 11).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping
from typing import Any

from .tool import Role

_UNSEEN = ("Cc", "Cf", "Co", "Cs", "Zl", "Zp")
_SEEN = "\n\t"
MAX_TARGET = 2048
_STRICT: tuple[Role, ...] = ("target", "ref")


def faults_of_form(arguments: Mapping[str, Any], roles: Mapping[str, Role]) -> list[str]:
    """What is wrong with the form of a call's targets and references; an argument without a role is a target."""
    return [
        f"{name}: {fault}"
        for name, value in arguments.items()
        if roles.get(name, "target") in _STRICT
        for text in _texts(value)
        if (fault := _fault(text))
    ]


def _fault(text: str) -> str:
    if len(text) > MAX_TARGET:
        return f"is {len(text)} characters long, at most {MAX_TARGET} can say who or what is acted on"
    # One pass that knows no more than ASCII, for what almost every target is.
    if text.isascii() and text.isprintable():
        return ""
    unseen = next((c for c in text if unicodedata.category(c) in _UNSEEN and c not in _SEEN), None)
    if unseen is not None:
        return f"holds U+{ord(unseen):04X}, which cannot be seen"
    if unicodedata.normalize("NFKC", text) != text:
        return "is not in its normal form (NFKC): write it with ordinary characters"
    return ""


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield str(key)
            yield from _texts(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _texts(inner)

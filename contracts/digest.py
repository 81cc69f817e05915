"""Content digests: the same content has the same digest, on every machine, in every version of Python."""

from __future__ import annotations

import hashlib
from typing import Any

import orjson

_OPTIONS = orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS


def canonical(value: Any) -> bytes:
    """Serialise `value` (JSON types, dataclasses) to canonical JSON: sorted keys, no spaces, UTF-8.

    Raises TypeError for what is not JSON, and for integers beyond 64 bits and lone surrogates, so that no two
    different values share a form.
    """
    return orjson.dumps(value, option=_OPTIONS)


def digest(value: Any) -> str:
    """SHA-256 of the canonical JSON of `value`, as 64 hexadecimal digits."""
    return hashlib.sha256(canonical(value)).hexdigest()


def digest_text(text: str) -> str:
    """SHA-256 of `text` in UTF-8, as 64 hexadecimal digits."""
    return hashlib.sha256(text.encode()).hexdigest()

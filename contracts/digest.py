"""Content digests: the same content has the same digest, on every machine, in every version of Python."""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Mapping
from typing import Any

import orjson

_OPTIONS = orjson.OPT_SORT_KEYS


def canonical(value: Any) -> bytes:
    """Serialise `value` (JSON types, dataclasses) to canonical JSON: sorted keys, no spaces, UTF-8.

    Raises TypeError for what is not JSON (keys that are no strings, NaN and the infinities), and for integers beyond
    64 bits and lone surrogates, so that no two different values share a form.
    """
    body = orjson.dumps(value, option=_OPTIONS)
    refuse_non_finite(value, body)
    return body


def refuse_non_finite(value: Any, body: bytes) -> None:
    """Raise TypeError if `value` holds NaN or an infinity, which `body`, its form by orjson, shows as null."""
    if b"null" in body and _has_non_finite(value):
        raise TypeError("NaN and infinities are not JSON")


def _has_non_finite(value: Any) -> bool:
    if isinstance(value, float):
        return not math.isfinite(value)
    if isinstance(value, Mapping):
        return any(_has_non_finite(v) for v in value.values())
    if isinstance(value, list | tuple):
        return any(_has_non_finite(v) for v in value)
    if dataclasses.is_dataclass(value):
        return any(_has_non_finite(getattr(value, f.name)) for f in dataclasses.fields(value))
    return False


def digest(value: Any) -> str:
    """SHA-256 of the canonical JSON of `value`, as 64 hexadecimal digits."""
    return hashlib.sha256(canonical(value)).hexdigest()


def digest_bytes(body: bytes) -> str:
    """SHA-256 of `body`, as 64 hexadecimal digits; of canonical JSON it is that value's digest."""
    return hashlib.sha256(body).hexdigest()


def digest_text(text: str) -> str:
    """SHA-256 of `text` in UTF-8, as 64 hexadecimal digits."""
    return hashlib.sha256(text.encode()).hexdigest()

"""Where names that must never cross stand in a payload, however deep, and in JSON that a text holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from .detectors import shown
from .names import folded


def named(value: Any, names: frozenset[str], path: str = "") -> list[str]:
    """The paths in a value at which one of the names stands; the names are folded, see `names.folded_all`."""
    if isinstance(value, Mapping):
        found = []
        for key, item in value.items():
            here = f"{path}.{shown(key)}" if path else shown(key)
            found += [here] if folded(str(key)) in names else named(item, names, here)
        return found
    if isinstance(value, list):
        return [f for i, item in enumerate(value) for f in named(item, names, f"{path}[{i}]")]
    if isinstance(value, str) and names and value.lstrip()[:1] in ("{", "["):  # JSON in a text has names too
        try:
            inner = orjson.loads(value)
        except orjson.JSONDecodeError:
            return []
        return named(inner, names, path) if isinstance(inner, dict | list) else []
    return []

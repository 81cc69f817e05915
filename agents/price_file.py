"""Prices in a file, JSON or TOML: exact, dated, with their source, and taken over whole or not at all."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from ..contracts.budget import Price
from ..contracts.errors import PricesInvalid

_REQUIRED = ("input_per_million", "output_per_million")
_OPTIONAL = ("cache_read_per_million", "cache_write_per_million")
_SAID = ("date", "source")
_KNOWN = (*_REQUIRED, *_OPTIONAL, *_SAID)
_AMOUNT = re.compile(r"\d{1,12}(\.\d{1,12})?", re.ASCII)
_NAME = re.compile(r"[^\s:]+:\S+")


class _Twice(ValueError):
    """A JSON object has a key twice."""


def load_prices(path: Path | str) -> dict[str, Price]:
    """The prices of a file, by `provider:model`. Reads; blocks.

    A table for each model, with `input_per_million` and `output_per_million` (dollars, as text: `"0.15"`), where the
    provider's cache has prices of its own `cache_read_per_million` and `cache_write_per_million`, the `date` of the
    figures and their `source`. A `date` and a `source` outside of the tables are of all models that have none.

    Raises:
        PricesInvalid: with every fault of the file. Numbers with a fraction are refused: they are not exact.
    """
    file = Path(path)
    try:
        text = file.read_text("utf-8")
        data = tomllib.loads(text) if file.suffix == ".toml" else json.loads(text, object_pairs_hook=_once)
    except (OSError, ValueError, RecursionError) as error:  # what both parsers and the decoder raise is a ValueError
        fault = f"cannot be read: {type(error).__name__}: {error}; give it as UTF-8, *.toml or else JSON"
        raise PricesInvalid(name=file.name, faults=[fault]) from error
    if not isinstance(data, dict):
        raise PricesInvalid(name=file.name, faults=["is not a table of models: write `provider:model` for each"])
    common = {k: v for k, v in data.items() if k in _SAID}
    models = {k: v for k, v in data.items() if k not in _SAID}
    faults = [] if models else ["names no model: write a table for each, called `provider:model`"]
    found = {}
    for name, entry in models.items():
        wrong = _faults(name, entry, common)
        faults += [f"{name}: {fault}" for fault in wrong]
        if not wrong:
            found[name] = _price({**common, **entry}, file.name)
    if faults:
        raise PricesInvalid(name=file.name, faults=faults)
    return found


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object without the same key twice, of which JSON would keep the last in silence."""
    names = [name for name, _ in pairs]
    if twice := sorted({n for n in names if names.count(n) > 1}):
        raise _Twice(f"it has {', '.join(map(repr, twice))} twice")
    return dict(pairs)


def _faults(name: str, entry: Any, common: Mapping[str, Any]) -> list[str]:
    if not _NAME.fullmatch(name):
        return ["is not the name of a model: write `provider:model`"]
    if not isinstance(entry, dict):
        return [f"is not a table: give it {', '.join(_REQUIRED)}"]
    told = {**common, **entry}
    faults = [f"has {key!r}, which is not known; known: {', '.join(_KNOWN)}" for key in entry if key not in _KNOWN]
    faults += [f"has no {key}; each model needs one" for key in _REQUIRED if key not in told]
    faults += [f"has no {key}; give it one, or one for the whole file" for key in _SAID if key not in told]
    for key in (*_REQUIRED, *_OPTIONAL):
        if key in told and not _exact(told[key]):
            faults.append(f'{key} is {told[key]!r}, no exact amount: write dollars as text, like "0.15"')
    if "date" in told and _day(told["date"]) is None:
        faults.append(f"date is {told['date']!r}, no day: write it as 2026-01-31")
    if "source" in told and not (isinstance(told["source"], str) and told["source"].strip()):
        faults.append("source is empty: say where the figures come from")
    return faults


def _exact(value: Any) -> bool:
    return type(value) is int and value >= 0 if not isinstance(value, str) else bool(_AMOUNT.fullmatch(value))


def _day(value: Any) -> str | None:
    """A day as ISO 8601 writes it; TOML has days of its own."""
    if isinstance(value, date) and not isinstance(value, datetime):
        return value.isoformat()
    try:
        return date.fromisoformat(value).isoformat() if isinstance(value, str) else None
    except ValueError:
        return None


def _price(told: Mapping[str, Any], file: str) -> Price:
    rates = {key: Decimal(told[key]) for key in (*_REQUIRED, *_OPTIONAL) if key in told}
    return Price(**rates, date=_day(told["date"]) or "", source=f"{file}: {told['source'].strip()}")

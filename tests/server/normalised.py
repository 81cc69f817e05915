"""What of a run's ledger entries is the same wherever and whenever the run runs."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable
from typing import Any

from edgewright.ledger.entry import Entry

_OWN = frozenset({"thread", "call", "calls", "seconds", "binding", "review", "reply", "hidden"})
_OWN |= {"asked", "expires", "exact", "mac"}
_INSIDE = frozenset({"seconds", "time", "until", "nonce", "mac"})
_HEX = re.compile(r"\b[0-9a-f]{24,64}\b|\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")


def normalised(entries: Iterable[Entry]) -> list[tuple[str, dict[str, Any]]]:
    """Kinds and stable fields of entries, in order, so that two runs of one request compare equal.

    Left out: ids, times, durations, thread, the ids of model and tool calls, digests of what holds such an id
    (`reply`, `binding`), and what is keyed (`hidden`, `exact`, a signature's `mac`). Kept: agents, edges, contracts,
    verdicts with their rules and reasons, the digests of requests, payloads, arguments and outcomes, amounts used and
    reserved. Ids inside other text become `#`.
    """
    return [(e.kind, _stable(e.record)) for e in entries]


def _stable(record: Any) -> dict[str, Any]:
    fields = {f.name: getattr(record, f.name) for f in dataclasses.fields(record)}
    return {name: _cleaned(name, value) for name, value in fields.items() if name not in _OWN}


def _cleaned(name: str, value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _cleaned(k, v) for k, v in value.items() if k not in _INSIDE}
    if isinstance(value, list | tuple):
        return [_cleaned(name, item) for item in value]
    if isinstance(value, str) and name in ("at", "effect", "error", "reason", "reasons"):
        return _HEX.sub("#", value)
    return value

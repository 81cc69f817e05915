"""What the ledger's tests share: records of every type, drafts, and a ledger of either kind."""

from __future__ import annotations

import dataclasses
import hashlib
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from edgewright.ledger.entry import Draft, Entry
from edgewright.ledger.memory import MemoryLedger
from edgewright.ledger.records import RECORDS, HandoffAsked, Record, RunEnded, RunStarted
from edgewright.ledger.sqlite import SqliteLedger
from edgewright.ledger.store import Ledger

WAIT = 20.0
_SAMPLES: dict[str, Any] = {
    "str": "a text",
    "int": 3,
    "float": 0.25,
    "bool": True,
    "list[str]": ["a", "b"],
    "list[list[str]]": [["a", "not declared"]],
    "Mapping[str, str]": {"a": "b"},
    "Mapping[str, Any]": {"a": [1, None, {"b": 0.5}]},
    "Mapping[str, list[str]]": {"a": ["trusted", "public"]},
}


def sample(cls: type[Record]) -> Record:
    """A record of the type, every field filled."""
    return cls(**{f.name: _SAMPLES[str(f.type)] for f in dataclasses.fields(cls)})


def samples() -> list[Record]:
    """One record of each type."""
    return [sample(cls) for cls in RECORDS.values()]


def handoff(text: str) -> HandoffAsked:
    """A small record that holds `text`."""
    return HandoffAsked(at="0", agent=text, target="somebody")


def draft(text: str, *, key: str | None = None, payload: bytes | None = None) -> Draft:
    """A draft of a small record."""
    return Draft(record=handoff(text), key=key, payloads=() if payload is None else (as_payload(payload),))


def as_payload(content: bytes) -> tuple[str, bytes]:
    """Content with its digest."""
    return hashlib.sha256(content).hexdigest(), content


def unencodable() -> Draft:
    """A draft of a record that is not JSON."""
    return Draft(record=handoff("\udc00"))


def started(thread: str = "thread", *, system: str = "system") -> RunStarted:
    """The first record of a run."""
    return RunStarted(
        system=system, system_digest="", policy_digest="", environment="test", thread=thread, request="", agents={}
    )


def ended(status: str = "completed") -> RunEnded:
    """The last record of a run."""
    return RunEnded(status=status)


def write(ledger: Ledger, run: str, *drafts: Draft) -> list[Entry]:
    """Append, and wait until it is durable."""
    return ledger.append(run, drafts).result(WAIT)


@contextmanager
def opened(kind: str, folder: Path) -> Iterator[Ledger]:
    """A ledger of the kind, closed afterwards."""
    ledger: Ledger = MemoryLedger() if kind == "memory" else SqliteLedger(folder / "ledger.db")
    try:
        yield ledger
    finally:
        ledger.close()


@contextmanager
def unguarded(path: Path) -> Iterator[sqlite3.Connection]:
    """The file as somebody with a disk editor has it: without its triggers. Committed at the end."""
    with closing(sqlite3.connect(path, isolation_level=None)) as conn:
        triggers = conn.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'records'")
        kept = triggers.fetchall()
        for name, _ in kept:
            conn.execute(f"DROP TRIGGER {name}")
        yield conn
        for _, sql in kept:
            conn.execute(sql)

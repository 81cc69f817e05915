"""The world: a SQLite file of its own that survives every kill. What really happened is read here, not in the ledger.

A run has a plan: slots, each a piece of business to be done once. Whoever asks for it, in whatever words and under
whatever call id, a slot is the same piece of business; so the plan and the world alone tell what was repeated or lost.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

Way = Literal["key", "natural", "probe", "none"]
"""How a tool is made safe: by its effect's key, by its arguments, by a probe, by nothing."""
WAYS: tuple[Way, ...] = get_args(Way)
_SLOT = re.compile(r"\b(key|natural|probe|none)_b(\d+)_r(\d+)_c(\d+)(_ask|_no)?\b")
_TABLES = """
CREATE TABLE IF NOT EXISTS attempts (key TEXT NOT NULL, way TEXT NOT NULL, slot TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS effects (key TEXT NOT NULL, way TEXT NOT NULL, slot TEXT NOT NULL, arguments TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS probes (key TEXT NOT NULL, found INTEGER NOT NULL);
"""
_SAME: Mapping[str, str] = {"key": "key = :key", "natural": "arguments = :arguments"}


@dataclass(frozen=True, order=True)
class Slot:
    """One piece of business.

    Attributes:
        branch: who does it, among those that work side by side.
        turn: with which message; all of a turn are asked for in one.
        asks: whether policy asks a person about it, who says yes; `no`: who says no, so that it must never happen.
    """

    branch: int
    turn: int
    number: int
    way: Way
    asks: Literal["", "ask", "no"] = ""

    @property
    def name(self) -> str:
        """As it stands in requests and arguments."""
        return f"{self.way}_b{self.branch}_r{self.turn}_c{self.number}" + (f"_{self.asks}" if self.asks else "")

    @property
    def times(self) -> int:
        """How often it has to happen."""
        return 0 if self.asks == "no" else 1


def slots_in(text: str) -> list[Slot]:
    """The slots that a text names, each once."""
    found: dict[str, Slot] = {}
    for way, branch, turn, number, asks in _SLOT.findall(text):
        slot = Slot(int(branch), int(turn), int(number), way, asks.removeprefix("_"))
        found[slot.name] = slot
    return list(found.values())


@dataclass(frozen=True, kw_only=True)
class Effect:
    """What happened once in the world."""

    key: str
    way: str
    slot: str
    arguments: dict[str, Any]


class World:
    """The file. Every statement is its own connection's own commit, so a kill takes nothing back."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "world.db"
        with self._open() as conn:
            conn.executescript(_TABLES)

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        conn = sqlite3.connect(self._path, isolation_level=None, timeout=30)
        conn.execute("PRAGMA synchronous = OFF")  # a kill loses nothing that the kernel was given
        try:
            yield conn
        finally:
            conn.close()

    def do(self, way: str, key: str, arguments: Mapping[str, Any]) -> None:
        """Let an effect happen; once only where the way knows it again."""
        text = json.dumps(arguments, sort_keys=True)
        row = {"key": key, "way": way, "slot": arguments["slot"], "arguments": text}
        with self._open() as conn:
            conn.execute("BEGIN IMMEDIATE")
            conn.execute("INSERT INTO attempts VALUES (:key, :way, :slot)", row)
            known = f"SELECT 1 FROM effects WHERE way = :way AND {_SAME[way]}" if way in _SAME else ""
            if not known or conn.execute(known, row).fetchone() is None:
                conn.execute("INSERT INTO effects VALUES (:key, :way, :slot, :arguments)", row)
            conn.execute("COMMIT")

    def probed(self, key: str) -> bool:
        """Whether the effect of that key happened; the question is counted."""
        with self._open() as conn:
            found = conn.execute("SELECT 1 FROM effects WHERE key = ?", (key,)).fetchone() is not None
            conn.execute("INSERT INTO probes VALUES (?, ?)", (key, found))
        return found

    def happened(self, slot: str) -> bool:
        """Whether a slot's business was done, as a person finds who looks into it."""
        return any(e.slot == slot for e in self.effects())

    def effects(self) -> list[Effect]:
        """All that happened."""
        with self._open() as conn:
            rows = conn.execute("SELECT key, way, slot, arguments FROM effects ORDER BY rowid").fetchall()
        return [Effect(key=k, way=w, slot=s, arguments=json.loads(a)) for k, w, s, a in rows]

    def attempts(self) -> list[tuple[str, str]]:
        """(way, key) of each time a tool reached the world."""
        with self._open() as conn:
            found: list[tuple[str, str]] = conn.execute("SELECT way, key FROM attempts").fetchall()
        return found

    def probes(self) -> list[str]:
        """The key of each probe."""
        with self._open() as conn:
            return [key for (key,) in conn.execute("SELECT key FROM probes")]

"""Where a system keeps its ledger and its checkpoints: a folder, or memory."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.memory import InMemorySaver

from ..contracts.errors import LedgerKey
from ..ledger.checkpoints import LedgerSaver, safe_serializer
from ..ledger.holds import Holds
from ..ledger.keyfile import key_file
from ..ledger.memory import MemoryLedger
from ..ledger.sqlite import SqliteLedger
from ..ledger.store import Ledger

FILE = "edgewright.db"
_OPEN: dict[Path, tuple[SqliteLedger, int]] = {}
_LOCK = threading.Lock()


class Home:
    """Opened at first use, never on the event loop. Systems of one process share a folder's ledger, and its writer.

    Args:
        path: the folder; None keeps everything in memory.
        key: the home key of that folder, 32 bytes; None takes the one in the file beside the database, made with it.
    """

    def __init__(self, path: Path | str | None, *, key: bytes | None = None) -> None:
        self.path = Path(path) if path is not None else None
        self._key = key
        self._ledger: Ledger | None = None
        self._saver: BaseCheckpointSaver[str] | None = None
        self._opening = threading.Lock()
        self._holds: Holds | None = None

    @property
    def holds(self) -> Holds:
        """Who holds which thread, among all systems of this home."""
        with self._opening:
            if self._holds is None:
                self._holds = Holds(self.path)
            return self._holds

    @property
    def kept(self) -> bool:
        """Whether there is anything in it to read: it is open, or its file is there."""
        return self._ledger is not None or (self.path is not None and (self.path / FILE).is_file())

    def open(self) -> tuple[Ledger, BaseCheckpointSaver[str]]:
        """Ledger and checkpointer; blocks while it opens the file. Raises LedgerVersion, LedgerKey, OSError."""
        with self._opening:
            if self._ledger is None or self._saver is None:
                if self.path is None:
                    self._ledger, self._saver = MemoryLedger(), InMemorySaver(serde=safe_serializer())
                else:
                    ledger = _shared(self.path / FILE, self._key)
                    self._ledger, self._saver = ledger, LedgerSaver(ledger)
            return self._ledger, self._saver

    async def ledger(self) -> Ledger:
        """The ledger."""
        return self._ledger or (await asyncio.to_thread(self.open))[0]

    async def saver(self) -> BaseCheckpointSaver[str]:
        """The checkpointer."""
        return self._saver or (await asyncio.to_thread(self.open))[1]

    def close(self) -> None:
        """Finish writing and close. A later use opens it again; a ledger that others share stays open for them."""
        with self._opening:
            if isinstance(self._saver, LedgerSaver):
                self._saver.close()
            if isinstance(self._ledger, SqliteLedger):
                _given_back(self._ledger)
            elif self._ledger is not None:
                self._ledger.close()
            self._ledger = self._saver = None


def _shared(path: Path, key: bytes | None) -> SqliteLedger:
    with _LOCK:
        resolved = path.resolve()
        ledger, users = _OPEN.get(resolved) or (SqliteLedger(resolved, key=key), 0)
        if key is not None and not ledger.keyring.same(key):
            raise LedgerKey(
                where=str(resolved),
                key_file=str(key_file(resolved)),
                fault="it is open in this process with another key",
                remedy="give the same key to every system of a folder",
            )
        _OPEN[resolved] = ledger, users + 1
        return ledger


def _given_back(ledger: SqliteLedger) -> None:
    with _LOCK:
        users = _OPEN[ledger.path][1] - 1
        if users:
            _OPEN[ledger.path] = ledger, users
        else:
            del _OPEN[ledger.path]
            ledger.close()

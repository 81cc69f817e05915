"""Where a system keeps its ledger and its checkpoints: a folder, or memory."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.memory import InMemorySaver

from ..ledger.checkpoints import LedgerSaver, safe_serializer
from ..ledger.memory import MemoryLedger
from ..ledger.sqlite import SqliteLedger
from ..ledger.store import Ledger

FILE = "edgewright.db"
_OPEN: dict[Path, SqliteLedger] = {}
_LOCK = threading.Lock()


class Home:
    """Opened at first use, never on the event loop. Systems of one process share a folder's ledger, and its writer.

    Args:
        path: the folder; None keeps everything in memory.
    """

    def __init__(self, path: Path | str | None) -> None:
        self.path = Path(path) if path is not None else None
        self._ledger: Ledger | None = None
        self._saver: BaseCheckpointSaver[str] | None = None
        self._opening = threading.Lock()

    def open(self) -> tuple[Ledger, BaseCheckpointSaver[str]]:
        """Ledger and checkpointer; blocks while it opens the file. Raises LedgerVersion, OSError."""
        with self._opening:
            if self._ledger is None or self._saver is None:
                if self.path is None:
                    self._ledger, self._saver = MemoryLedger(), InMemorySaver(serde=safe_serializer())
                else:
                    ledger = _shared(self.path / FILE)
                    self._ledger, self._saver = ledger, LedgerSaver(ledger)
            return self._ledger, self._saver

    async def ledger(self) -> Ledger:
        """The ledger."""
        return self._ledger or (await asyncio.to_thread(self.open))[0]

    async def saver(self) -> BaseCheckpointSaver[str]:
        """The checkpointer."""
        return self._saver or (await asyncio.to_thread(self.open))[1]

    def close(self) -> None:
        """Finish writing and close. A later use opens it again."""
        with self._opening:
            if isinstance(self._saver, LedgerSaver):
                self._saver.close()
            if self._ledger is not None:
                self._ledger.close()
            if self.path is not None:
                with _LOCK:
                    _OPEN.pop((self.path / FILE).resolve(), None)
            self._ledger = self._saver = None


def _shared(path: Path) -> SqliteLedger:
    with _LOCK:
        resolved = path.resolve()
        if resolved not in _OPEN:
            _OPEN[resolved] = SqliteLedger(resolved)
        return _OPEN[resolved]

"""The ledger in memory: the twin of the SQLite one, for tests and notebooks that keep nothing."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future

from ..contracts.errors import LedgerUnavailable
from .entry import GENESIS, Draft, Entry, encode, link
from .records import RunEnded, RunStarted
from .store import RunSummary, status_of


class MemoryLedger:
    """See `Ledger`. Durable as long as the process lives."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._runs: dict[str, list[Entry]] = {}
        self._keys: dict[tuple[str, str], Entry] = {}
        self._payloads: dict[tuple[str, str], bytes] = {}
        self._closed = False

    def append(self, run: str, drafts: Sequence[Draft]) -> Future[list[Entry]]:
        """See `Ledger.append`; the future is done when it returns."""
        future: Future[list[Entry]] = Future()
        with self._lock:
            try:
                if self._closed:
                    raise LedgerUnavailable(where="memory", cause="it is closed")
                future.set_result(self._append(run, drafts))
            except Exception as error:  # noqa: BLE001 - the future carries it to the writer
                future.set_exception(error)
        return future

    def _append(self, run: str, drafts: Sequence[Draft]) -> list[Entry]:
        bodies = [encode(d.record) for d in drafts]  # may raise: before anything is changed
        entries = self._runs.setdefault(run, [])
        out = []
        for draft, body in zip(drafts, bodies, strict=True):
            if draft.key is not None and (known := self._keys.get((run, draft.key))):
                out.append(known)
                continue
            previous = entries[-1].hash if entries else GENESIS
            now, seq = time.time(), len(entries)
            entry = Entry(
                run=run,
                seq=seq,
                time=now,
                key=draft.key,
                record=draft.record,
                previous=previous,
                hash=link(previous, run, seq, now, draft.record.kind, draft.key, body),
            )
            entries.append(entry)
            if draft.key is not None:
                self._keys[run, draft.key] = entry
            for digest, content in draft.payloads:
                self._payloads[run, digest] = content
            out.append(entry)
        return out

    def entries(self, run: str) -> list[Entry]:
        """See `Ledger.entries`."""
        with self._lock:
            return list(self._runs.get(run, ()))

    def runs(self, *, thread: str | None = None, limit: int = 1000) -> list[RunSummary]:
        """See `Ledger.runs`."""
        with self._lock:
            found = [_summary(entries) for entries in self._runs.values() if entries]
        chosen = [s for s in found if thread is None or s.thread == thread]
        return sorted(chosen, key=lambda s: s.started, reverse=True)[:limit]

    def payload(self, run: str, digest: str) -> bytes | None:
        """See `Ledger.payload`."""
        with self._lock:
            return self._payloads.get((run, digest))

    def search(self, text: str, *, limit: int = 50) -> list[str]:
        """See `Ledger.search`; words are compared without case, ranked by how often they occur."""
        words = text.lower().split()
        scores: dict[str, int] = {}
        with self._lock:
            for run, entries in self._runs.items():
                held = b"\n".join(
                    [encode(e.record) for e in entries] + [c for (r, _), c in self._payloads.items() if r == run]
                )
                whole = held.decode(errors="replace").lower()
                if words and all(w in whole for w in words):
                    scores[run] = sum(whole.count(w) for w in words)
        return sorted(scores, key=lambda r: -scores[r])[:limit]

    def close(self) -> None:
        """See `Ledger.close`."""
        self._closed = True


def _summary(entries: list[Entry]) -> RunSummary:
    started = next((e.record for e in entries if isinstance(e.record, RunStarted)), None)
    ended = [e.record.status for e in entries if isinstance(e.record, RunEnded)]
    return RunSummary(
        run=entries[0].run,
        thread=started.thread if started else "",
        system=started.system if started else "",
        status=status_of([e.kind for e in entries], ended[-1] if ended else None),
        started=entries[0].time,
        records=len(entries),
    )

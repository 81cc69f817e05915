"""The ledger in memory: the twin of the SQLite one, for tests and notebooks that keep nothing."""

from __future__ import annotations

import os
import re
import threading
import time
import unicodedata
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace

from ..contracts.errors import LedgerUnavailable, NotFound
from .accounts import Account
from .counts import changed
from .counts_memory import MemoryCounts
from .entry import GENESIS, Draft, Entry, Payload, decode, encode, link
from .records import PayloadsErased
from .sealing import KEY_BYTES, RUN_KEY, Keyring, fits, key_first
from .shared import filled, wake_settled
from .shared_memory import MemoryShared
from .store import Noted, RunSummary, summary_of, text_of, unchanged

_WORD = re.compile(r"[^\W_]+")


@dataclass(frozen=True, slots=True)
class _Noted:
    error: Exception | None


class MemoryLedger:
    """See `Ledger`. Durable as long as the process lives."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._runs: dict[str, list[Entry]] = {}
        self._keys: dict[tuple[str, str], Entry] = {}
        self._payloads: dict[str, dict[str, Payload]] = {}
        self.keyring = Keyring(os.urandom(KEY_BYTES))
        self._definitions: dict[str, bytes] = {}
        self._closed = False
        self._counts = MemoryCounts()
        self.shared = MemoryShared(self._lock, self.append, lambda: self._closed)

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
        if future.exception() is None:
            wake_settled(d.shared for d in drafts)
        return future

    def note(self, run: str, drafts: Sequence[Draft]) -> Noted:
        """See `Ledger.note`."""
        try:
            self.append(run, drafts).result()
        except Exception as error:  # noqa: BLE001 - whoever waits next finds it
            return _Noted(error)
        return _Noted(None)

    def _append(self, run: str, drafts: Sequence[Draft]) -> list[Entry]:
        table, moment = self.shared.table(), time.time()

        def is_known(key: str) -> bool:
            return (run, key) in self._keys

        counts = changed(drafts, is_known, self._counts, moment)
        drafts = filled(drafts, is_known, table, moment)
        bodies = [encode(d.record) for d in drafts]  # may raise, as the next does: before anything is changed
        link(GENESIS, run, 0, 0.0, "", "".join(d.key or "" for d in drafts), b"")
        fresh = self._fresh(run, drafts)
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
                record=decode(draft.record.kind, body),  # as a file would: the writer may change a list of its own
                previous=previous,
                hash=link(previous, run, seq, now, draft.record.kind, draft.key, body),
                body=body,
            )
            entries.append(entry)
            if draft.key is not None:
                self._keys[run, draft.key] = entry
            out.append(replace(entry, record=draft.record))
        self._payloads.setdefault(run, {}).update(fresh)
        table.commit()
        self._counts.put(counts, moment)
        return out

    def _fresh(self, run: str, drafts: Sequence[Draft]) -> dict[str, Payload]:
        """The payloads that the drafts add to the run's. Raises LedgerUnavailable."""
        known, fresh, seen = self._payloads.get(run, {}), dict[str, Payload](), set[str]()
        for draft in drafts:
            if draft.key is not None:
                if draft.key in seen or (run, draft.key) in self._keys:
                    continue
                seen.add(draft.key)
            for item in key_first(draft.payloads):
                own = known.get(RUN_KEY) or fresh.get(RUN_KEY)
                fits(item, own and own.body, run=run, where="memory")
                if item.ref not in known:
                    fresh.setdefault(item.ref, item)
        return fresh

    def counted(self, key: str, since: float) -> int:
        """See `Ledger.counted`."""
        with self._lock:
            return self._counts.total(key, since, time.time())

    def account(self, key: str, since: float) -> Account:
        """See `Ledger.account`."""
        with self._lock:
            return self._counts.account(key, since, time.time())

    def counted_keys(self, prefix: str) -> list[str]:
        """See `Ledger.counted_keys`."""
        with self._lock:
            return self._counts.keys(prefix)

    def entries(self, run: str) -> list[Entry]:
        """See `Ledger.entries`."""
        with self._lock:
            return list(self._runs.get(run, ()))

    def runs(self, *, thread: str | None = None, limit: int = 1000) -> list[RunSummary]:
        """See `Ledger.runs`."""
        with self._lock:
            found = [s for entries in self._runs.values() if (s := summary_of(entries))]
        chosen = [s for s in found if thread is None or s.thread == thread]
        return sorted(chosen, key=lambda s: (-s.started, s.run))[:limit]

    def run_key(self, run: str) -> bytes | None:
        """See `Ledger.run_key`."""
        with self._lock:
            found = self._payloads.get(run, {}).get(RUN_KEY)
        return None if found is None else found.body

    def payload(self, run: str, ref: str) -> bytes | None:
        """See `Ledger.payload`."""
        found = self._found(run, ref)
        return None if found is None else found.body

    def exact(self, run: str, ref: str) -> bytes | None:
        """See `Ledger.exact`."""
        found = self._found(run, ref)
        return None if found is None else found.body if found.exact is None else found.exact

    def _found(self, run: str, ref: str) -> Payload | None:
        with self._lock:
            found = None if ref == RUN_KEY else self._payloads.get(run, {}).get(ref)
        if found is not None and found.exact is None:
            unchanged(run, ref, found.body)
        return found

    def define(self, digest: str, body: bytes) -> None:
        """See `Ledger.define`."""
        with self._lock:
            self._definitions.setdefault(digest, body)

    def definition(self, digest: str) -> bytes | None:
        """See `Ledger.definition`."""
        with self._lock:
            return self._definitions.get(digest)

    def erase(self, run: str, *, by: str, reason: str = "") -> None:
        """See `Ledger.erase`."""
        with self._lock:
            if self._closed:
                raise LedgerUnavailable(where="memory", cause="it is closed")
            if not self._runs.get(run):
                raise NotFound(kind="run", name=run)
            contents = self._payloads.get(run, {})
            record = PayloadsErased(payloads=len(contents.keys() - {RUN_KEY}), by=by, reason=reason)
            encode(record)  # may raise: before anything is erased
            self._payloads[run] = {}
            self._append(run, [Draft(record=record)])

    def search(self, text: str, *, limit: int = 50) -> list[str]:
        """See `Ledger.search`; words are compared without case, ranked by how often they occur."""
        words = [w for w in map(_words, text.split()) if w.strip()]
        scores: dict[str, int] = {}
        with self._lock:
            for run, entries in self._runs.items():
                held = [f"{e.kind} {text_of(e.body)}" for e in entries]
                held += [text_of(p.body) for p in self._payloads.get(run, {}).values() if p.ref != RUN_KEY]
                whole = _words("\n".join(held))
                if words and all(w in whole for w in words):
                    scores[run] = sum(whole.count(w) for w in words)
        return sorted(scores, key=lambda r: -scores[r])[:limit]

    def close(self) -> None:
        """See `Ledger.close`."""
        with self._lock:
            self._closed = True


def _words(text: str) -> str:
    plain = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    return f" {' '.join(_WORD.findall(plain.lower()))} "

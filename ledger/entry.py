"""The entry: a record with its place in the chain of its run."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

import orjson

from ..contracts.errors import LedgerCorrupt
from .counts import Counting
from .records import RECORDS, Record
from .shared import Step

GENESIS = "0" * 64
_OPTIONS = orjson.OPT_SORT_KEYS


class Payload(NamedTuple):
    """Content that is stored beside the chain. `ledger/sealing.py` makes them.

    Attributes:
        ref: what a record calls it: the SHA-256 of `body`, or `k:` and a digest keyed per run where `exact` is given.
        body: canonical JSON, as any reader may see it.
        exact: what it was before it was redacted, for re-execution only; None where nothing was redacted.
    """

    ref: str
    body: bytes
    exact: bytes | None = None

    def __repr__(self) -> str:  # a traceback or a log line must not say what was redacted
        return f"Payload({self.ref!r}, {len(self.body)} bytes{'' if self.exact is None else ', redacted'})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A record on its way to the ledger.

    Attributes:
        key: unique in the run, or None. A second draft of one key is not written; its writer gets the first entry.
        payloads: stored with the record; a pair is a `Payload` of which nothing was redacted.
        shared: what becomes of a shared record in the same transaction. If that is refused, nothing of the append is
            written; if the key was there before, nothing becomes of it.
        counts: what is counted, settled or released in the same transaction, by the same rule; see
            `ledger/counts.py`.
    """

    record: Record
    key: str | None = None
    payloads: tuple[Payload | tuple[str, bytes], ...] = ()
    shared: Step | None = None
    counts: tuple[Counting, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A record in the ledger. `time` is seconds since the epoch, `hash` covers all of it and `previous`.

    `body` is what was written, byte for byte: a record type that gains a field later still verifies.
    """

    run: str
    seq: int
    time: float
    key: str | None
    record: Record
    previous: str
    hash: str
    body: bytes = field(repr=False)

    @property
    def kind(self) -> str:
        """The record's type."""
        return self.record.kind


def encode(record: Record) -> bytes:
    """The record's canonical JSON body, without its kind."""
    return orjson.dumps(record, option=_OPTIONS)


def decode(kind: str, body: bytes | str) -> Record:
    """The inverse of `encode`. Raises KeyError for an unknown kind, TypeError for a body that does not fit it."""
    return RECORDS[kind](**orjson.loads(body))


def link(previous: str, run: str, seq: int, time: float, kind: str, key: str | None, body: bytes) -> str:
    """The hash of an entry: SHA-256 over everything that is in it and the hash before it."""
    head = orjson.dumps([previous, run, seq, time, kind, key])
    return hashlib.sha256(head + b"\n" + body).hexdigest()


def verify(run: str, entries: Iterable[Entry]) -> int:
    """Check a run's chain from its start; returns its length.

    Finds an edited, deleted, inserted or reordered entry. A cut-off tail it cannot find: that needs a head that
    was kept elsewhere.

    Raises:
        LedgerCorrupt: at the first entry that does not fit.
    """
    previous, count = GENESIS, 0
    for entry in entries:
        if entry.run != run:
            raise LedgerCorrupt(run=run, seq=count, fault=f"belongs to run {entry.run}")
        if entry.seq != count:
            raise LedgerCorrupt(run=run, seq=count, fault=f"is missing; the next one there is {entry.seq}")
        if entry.previous != previous:
            raise LedgerCorrupt(run=run, seq=count, fault="does not follow the record before it")
        expected = link(previous, run, count, entry.time, entry.kind, entry.key, entry.body)
        if entry.hash != expected or encode(decode(entry.kind, entry.body)) != encode(entry.record):
            raise LedgerCorrupt(run=run, seq=count, fault="was changed after it was written")
        previous, count = entry.hash, count + 1
    return count

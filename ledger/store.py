"""What a ledger is, whatever it is kept in."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Protocol

import orjson

from ..contracts.errors import LedgerCorrupt
from .accounts import Account
from .entry import Draft, Entry
from .records import RunDrained, RunEnded, RunStarted
from .sealing import Keyring
from .shared import Shared


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSummary:
    """One run at a glance.

    Attributes:
        status: see `contracts/status.py`.
        ended: when it ended or was drained, in seconds since the epoch; None for one that may do more by itself.
        reason: why it ended so.
        dropped: somebody looked at how it ended, and wants to hear no more of it.
    """

    run: str
    thread: str
    system: str
    status: str
    started: float
    records: int
    tenant: str = "local"
    ended: float | None = None
    reason: str = ""
    dropped: bool = False


class Noted(Protocol):
    """Drafts that nobody waits for. `error` is known once anything queued later is durable; None is well."""

    @property
    def error(self) -> Exception | None:
        """Why they could not be made durable."""
        ...


class Ledger(Protocol):
    """Append-only, chained per run. Safe to use from any thread.

    A payload has two forms: `payload` gives what any reader may see, `exact` what was there before it was redacted.
    Only re-execution takes the second; it is sealed with a key of the run's own.

    `append` queues and returns at once; the future is done when the drafts are durable, all or none of them, and
    holds the entry of each (the earlier one, where a draft's key was there before). Appends are durable in the order
    in which they were queued. Reads see what is durable, and block: call them off the event loop.
    """

    @property
    def shared(self) -> Shared:
        """The versions of records that runs share."""
        ...

    def append(self, run: str, drafts: Sequence[Draft]) -> Future[list[Entry]]:
        """Queue drafts for a run. The future raises LedgerUnavailable if they cannot be made durable.

        It raises what a draft's `shared` and `counts` raise, LimitReached among them: then nothing was written.
        """
        ...

    def note(self, run: str, drafts: Sequence[Draft]) -> Noted:
        """Queue drafts that nobody waits for: they may wait a moment to share the commit of what comes next."""
        ...

    def counted(self, key: str, since: float) -> int:
        """The sum of the amounts that drafts counted under a key since a moment, in seconds since the epoch. Blocks.

        Of leases, those that are open now.
        """
        ...

    def account(self, key: str, since: float) -> Account:
        """What became of all that was counted under a key since a moment: spent, given back, still out. Blocks."""
        ...

    def counted_keys(self, prefix: str) -> list[str]:
        """The keys that begin with `prefix` and under which something is counted, sorted. Blocks."""
        ...

    def entries(self, run: str) -> list[Entry]:
        """All entries of a run, in order; empty for an unknown run."""
        ...

    def runs(self, *, thread: str | None = None, limit: int = 1000) -> list[RunSummary]:
        """Runs, newest first."""
        ...

    @property
    def keyring(self) -> Keyring:
        """The home key's sub-keys; those of a ledger in memory live as long as it does."""
        ...

    def run_key(self, run: str) -> bytes | None:
        """The key of a run, 32 bytes; None for a run that began without one, and for an erased one.

        It comes as a payload of the record that begins the run (`sealing.new_run_key`), in the same commit, and the
        first one stays: of two processes that begin one run, both find here the key of the one whose record was first.

        Raises LedgerCorrupt for one that was changed.
        """
        ...

    def payload(self, run: str, ref: str) -> bytes | None:
        """A payload of the run as any reader may see it; None for one that is not there, or was erased.

        Raises LedgerCorrupt for one that was changed after it was written, or whose key is gone.
        """
        ...

    def exact(self, run: str, ref: str) -> bytes | None:
        """A payload before it was redacted, for re-execution only; where nothing was redacted, `payload`.

        Raises LedgerCorrupt as `payload` does.
        """
        ...

    def define(self, digest: str, body: bytes) -> None:
        """Keep what a system is (its lock, as JSON) under its digest. Queued; blocks for nothing."""
        ...

    def definition(self, digest: str) -> bytes | None:
        """What the system of that digest was; None where it never ran on this ledger. Blocks."""
        ...

    def erase(self, run: str, *, by: str, reason: str = "") -> None:
        """Erase all payloads of a run and its key, and record that; blocks until nothing of them is in the file.

        The records stay, and still verify. A run that is erased cannot be re-executed, nor keep another redacted
        payload. Backups of the file, and the thread's checkpoints, are not touched.

        Raises:
            NotFound: there is no such run.
            LedgerUnavailable: not durable; or erased, but another process still reads the old state of the file (the
                cause says which): erase it again.
        """
        ...

    def search(self, text: str, *, limit: int = 50) -> list[str]:
        """Runs whose records or payloads hold all words of `text`, best match first. No character is an operator."""
        ...

    def close(self) -> None:
        """Wait for what is queued, then close. Later appends fail with LedgerUnavailable."""
        ...


def unchanged(run: str, digest: str, body: bytes) -> bytes:
    """`body`, if `digest` is its digest. Raises LedgerCorrupt."""
    if hashlib.sha256(body).hexdigest() != digest:
        raise LedgerCorrupt(run=run, seq=-1, fault=f"payload {digest} was changed after it was written")
    return body


def text_of(content: bytes | str) -> str:
    """What can be searched of a body: keys and values, without the escapes of JSON (`\\n` would join two words)."""
    try:
        left = [orjson.loads(content)]
    except orjson.JSONDecodeError:
        raw = content.decode(errors="replace") if isinstance(content, bytes) else content
        return raw.replace("\0", " ")
    words: list[str] = []
    while left:
        value: Any = left.pop()
        if isinstance(value, dict):
            left += [part for pair in reversed(value.items()) for part in reversed(pair)]
        elif isinstance(value, list):
            left += reversed(value)
        elif value is not None:
            words.append(str(value).replace("\0", " "))
    return "\n".join(words)


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """Where a run stopped, or that it did not.

    Attributes:
        status: what it is; empty where the body of the record `seq`, a `run.ended`, says so.
        seq, time: of the record that it stopped with; -1 and None for one that may do more.
        dropped: a `dead.dropped` came after that.
    """

    status: str
    seq: int = -1
    time: float | None = None
    dropped: bool = False


def turn_of(back: Iterable[tuple[str, int, float]]) -> Turn:
    """How a run stands, from the (kind, seq, time) of its records, newest first. It reads no further than it must."""
    open_, dropped, resumed = 0, False, False
    for kind, seq, when in back:
        if kind == "dead.dropped":
            dropped = dropped or not resumed
        elif kind == "run.resumed":
            resumed = True
        elif kind in ("run.ended", "run.drained") and not resumed:
            return Turn(status="" if kind == "run.ended" else "drained", seq=seq, time=when, dropped=dropped)
        # Over all of it: a branch that asked before another one failed still waits when the run goes on.
        elif kind in ("review.asked", "review.answered", "review.withdrawn"):
            open_ += 1 if kind == "review.asked" else -1
    return Turn(status="waiting" if open_ > 0 else "running")


def status_of(kinds: Sequence[str], ended_as: str | None) -> str:
    """The status that a run's records add up to.

    Args:
        kinds: of its records, in order.
        ended_as: the status of its newest `run.ended`, if there is one.
    """
    return turn_of((kind, 0, 0.0) for kind in reversed(kinds)).status or ended_as or "ended"


def summary_of(entries: Sequence[Entry]) -> RunSummary | None:
    """A run at a glance, from all its entries in order; None for one that never began."""
    first = next((e for e in entries if isinstance(e.record, RunStarted)), None)
    if first is None:
        return None
    started = first.record
    assert isinstance(started, RunStarted)
    turn = turn_of((e.kind, e.seq, e.time) for e in reversed(entries))
    stop = entries[turn.seq].record if turn.seq >= 0 else None
    return RunSummary(
        run=entries[0].run,
        thread=started.thread,
        system=started.system,
        tenant=started.tenant,
        status=turn.status or (stop.status if isinstance(stop, RunEnded) else ""),
        started=first.time,
        ended=turn.time,
        reason=stop.reason if isinstance(stop, RunEnded | RunDrained) else "",
        dropped=turn.dropped,
        records=len(entries),
    )

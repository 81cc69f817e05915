"""Thread holds: one run at a time per thread, among all systems of a home, in all processes of a machine.

In a process a table says who holds what. Between processes the kernel does: each held thread is one locked byte of the
file `edgewright.locks`, at an offset made from the thread's name. The kernel drops a process's locks when it dies,
`kill -9` included, so no hold outlives its holder.

POSIX drops all locks that a process has on a file as soon as it closes any descriptor of it. So there is one
descriptor per file and process, which stays open as long as anybody in the process has a `Holds` on it, and all of
them share one table. Never delete the file while something runs: a new file knows nothing of the old one's locks.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import threading
from contextvars import ContextVar
from pathlib import Path
from types import TracebackType
from typing import Any

from ..contracts.errors import LedgerUnavailable, ThreadBusy
from .turns import Turns

FILE = "edgewright.locks"


class _Owner:
    """Who holds a thread: compared by identity, and known to all that runs in the holder's context."""

    __slots__ = ("depth",)

    def __init__(self) -> None:
        self.depth = 1


_MINE: ContextVar[frozenset[_Owner]] = ContextVar("edgewright_holds", default=frozenset())


def _offset(thread: str) -> int:
    """A byte of the lock file, from 62 bits of a hash: two threads do not share one in practice."""
    found = int.from_bytes(hashlib.sha256(thread.encode("utf-8", "surrogatepass")).digest()[:8], "big")
    return found >> 2


class _Table:
    """Who holds which byte in this process, and the descriptor that the kernel knows us by."""

    def __init__(self, file: Path | None) -> None:
        self.file, self.users = file, 0
        self._fd: int | None = None
        self._clean()

    def _clean(self) -> None:
        self._lock = threading.Lock()
        self._held: dict[int, _Owner] = {}
        self.turns = Turns()

    def open(self) -> None:
        """Open the lock file, once. Blocks."""
        if self.file is None or self._fd is not None:
            return
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            fd = os.open(self.file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise LedgerUnavailable(where=str(self.file), cause=str(error)) from error
        with self._lock:
            if self._fd is None:
                self._fd = fd
                return
        os.close(fd)  # pragma: no cover - another thread was first, and holds nothing yet

    @property
    def is_open(self) -> bool:
        return self.file is None or self._fd is not None

    def close(self) -> None:
        with self._lock:
            fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)

    def take(self, thread: str, at: int, *, nested: bool) -> _Owner:
        """Hold the byte, or raise ThreadBusy."""
        with self._lock:
            holder = self._held.get(at)
            if holder is not None:
                if nested and holder in _MINE.get():
                    holder.depth += 1
                    return holder
                raise ThreadBusy(thread=thread)
            if self.file is not None:
                if self._fd is None:  # closed while somebody waited
                    raise LedgerUnavailable(where=str(self.file), cause="its holds are closed")
                if not _locked(self._fd, at, self.file):
                    raise ThreadBusy(thread=thread)
            owner = self._held[at] = _Owner()
            return owner

    def mine(self, at: int) -> bool:
        with self._lock:
            return self._held.get(at) in _MINE.get()

    def give(self, at: int, owner: _Owner) -> bool:
        """Let go once; returns whether it is free now. What was held before a fork is not ours to give."""
        with self._lock:
            if self._held.get(at) is not owner:
                return False
            owner.depth -= 1
            if owner.depth:
                return False
            del self._held[at]
            if self._fd is not None:
                _unlocked(self._fd, at)
        self.turns.wake(at)
        return True

    def after_fork(self) -> None:
        """In the child: it holds nothing, whatever the parent held. Locks are not inherited, descriptors are."""
        fd, self._fd = self._fd, None
        self._clean()
        if fd is not None:
            os.close(fd)
            self.open()


def _locked(fd: int, at: int, file: Path | None) -> bool:
    import fcntl  # not on every system; without a file it is not needed

    try:
        fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, at, os.SEEK_SET)
    except (BlockingIOError, PermissionError):  # POSIX allows both for a byte that another process has
        return False
    except OSError as error:  # no locks here (some network file systems): then nothing may run
        raise LedgerUnavailable(where=str(file), cause=str(error)) from error
    return True


def _unlocked(fd: int, at: int) -> None:
    import fcntl

    fcntl.lockf(fd, fcntl.LOCK_UN, 1, at, os.SEEK_SET)


_TABLES: dict[Path, _Table] = {}
_TABLES_LOCK = threading.Lock()


def _after_fork() -> None:
    global _TABLES_LOCK
    _TABLES_LOCK = threading.Lock()  # another thread of the parent may have had it
    for table in _TABLES.values():
        table.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


class Holds:
    """The holds of one home. Objects on one folder share their holds; without a folder each has its own.

    Usable from any thread and any event loop. Close it when it is not needed any more.

    Args:
        path: the folder of the lock file; None for holds among the runs of this object only.

    Raises:
        LedgerUnavailable: at the first hold, when the lock file cannot be opened or the file system has no locks.
    """

    def __init__(self, path: Path | None) -> None:
        self._open = True
        if path is None:
            self._table = _Table(None)
            return
        file = path.resolve() / FILE
        with _TABLES_LOCK:
            self._table = _TABLES.setdefault(file, _Table(file))
            self._table.users += 1

    def hold(self, thread: str, wait: float | None = None, *, nested: bool = False) -> Hold:
        """Hold a thread for as long as the context lasts: `with` or `async with`.

        Args:
            wait: None refuses at once; seconds wait in line for that long. In a process the line is kept; between
                processes whoever tries first when it is free has it.
            nested: if this context holds the thread already (a System does, around its graph), that hold counts. What
                is started inside a hold is in its context, tasks and copied contexts included.

        Raises:
            ThreadBusy: it is held by another. Without `nested` a context that holds it itself is refused at once: it
                would wait for itself.
        """
        if not self._open:
            raise LedgerUnavailable(where=str(self._table.file or "memory"), cause="its holds are closed")
        return Hold(self._table, thread, wait, nested)

    def close(self) -> None:
        """Close the lock file, once nobody of this process uses it. What is held then is held no more."""
        if not self._open:
            return
        self._open = False
        if self._table.file is None:
            return
        with _TABLES_LOCK:
            self._table.users -= 1
            if not self._table.users:
                del _TABLES[self._table.file]
                self._table.close()


class Hold:
    """One hold, made by `Holds.hold`; entered once."""

    def __init__(self, table: _Table, thread: str, wait: float | None, nested: bool) -> None:
        self._table, self._thread, self._wait, self._nested = table, thread, wait, nested
        self._at = _offset(thread)
        self._owner: _Owner | None = None

    def _try(self) -> _Owner:
        return self._table.take(self._thread, self._at, nested=self._nested)

    def _at_once(self) -> bool:
        """Whether waiting is not asked for, or not needed, or would never end."""
        if self._wait is None and self._table.turns.waiting(self._at) and not self._table.mine(self._at):
            raise ThreadBusy(thread=self._thread)  # others wait for it, and come first
        return self._wait is None or self._table.mine(self._at)

    def _entered(self, owner: _Owner) -> None:
        self._owner = owner
        _MINE.set(_MINE.get() | {owner})

    def _left(self) -> None:
        owner, self._owner = self._owner, None
        if owner is None:
            return
        if self._table.give(self._at, owner):
            # Not by a token: an async generator may end in another context than it began in.
            _MINE.set(_MINE.get() - {owner})

    def __enter__(self) -> Hold:
        self._table.open()
        if self._at_once():
            self._entered(self._try())
        else:
            assert self._wait is not None
            self._entered(
                self._table.turns.take_blocking(self._at, self._try, wait=self._wait, busy=ThreadBusy),
            )
        return self

    async def __aenter__(self) -> Hold:
        if not self._table.is_open:
            await asyncio.to_thread(self._table.open)
        if self._at_once():
            self._entered(self._try())
        else:
            assert self._wait is not None
            self._entered(await self._table.turns.take(self._at, self._trying, wait=self._wait, busy=ThreadBusy))
        return self

    async def _trying(self) -> _Owner:
        return self._try()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._left()

    async def __aexit__(self, *_: Any) -> None:
        self._left()

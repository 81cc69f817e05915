"""What is sealed at rest, and with which key.

Two keys. The *home key* belongs to a database and is kept outside it (`ledger/keyfile.py`); each use has a key of its
own, derived from it (HKDF-SHA256, RFC 5869). A *run key* belongs to a run, is kept in the database sealed with the
home key, and is erased with the run's payloads. Sealing is AES-256-GCM (NIST SP 800-38D): what was changed, or stands
in another place than where it was put, does not open.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import threading
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, Literal

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from ..contracts.digest import canonical, digest_bytes
from ..contracts.errors import LedgerCorrupt, LedgerUnavailable
from .entry import Payload

KEY_BYTES = 32
RUN_KEY = "key"  # the ref under which a run's key is stored
Use = Literal["payloads", "checkpoints", "approvals", "mark"]
Part = str | bytes | int | None
_NONCE = 12
_KEYED = "k:"
_SEALED = "+edgewright"  # LangGraph's own way to name a cipher: `<type>+<cipher>`


class _Nonces:
    """Random nonces from the system, fetched many at a time: a system call each would cost more than the sealing.

    A child process begins with none of its parent's: two processes must never seal with one nonce.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._left: list[bytes] = []
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._forget)

    def _forget(self) -> None:
        self._lock, self._left = threading.Lock(), []

    def take(self) -> bytes:
        with self._lock:
            if not self._left:
                found = os.urandom(_NONCE * 256)
                self._left = [found[at : at + _NONCE] for at in range(0, len(found), _NONCE)]
            return self._left.pop()


_NONCES = _Nonces()


class Box:
    """AES-256-GCM under one key, with a random nonce before each sealed body.

    Random nonces hold for 2**32 bodies under one key, so no key here seals for more than one run or one thread.
    """

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)

    def seal(self, body: bytes, about: bytes) -> bytes:
        """`body`, unreadable, and bound to `about`."""
        nonce = _NONCES.take()
        return nonce + self._cipher.encrypt(nonce, body, about)

    def open(self, sealed: Any, about: bytes) -> bytes:
        """The body. Raises InvalidTag for anything but what `seal` made with this key, about the same."""
        if not isinstance(sealed, bytes) or len(sealed) <= _NONCE:
            raise InvalidTag
        return self._cipher.decrypt(sealed[:_NONCE], sealed[_NONCE:], about)


def _derived(key: bytes, use: str) -> bytes:
    return HKDF(SHA256(), KEY_BYTES, salt=None, info=f"edgewright 1 {use}".encode()).derive(key)


@lru_cache(maxsize=1024)
def _box(key: bytes, use: str) -> Box:
    return Box(_derived(key, use))


class Keyring:
    """The home key and what is derived from it.

    Raises:
        ValueError: for a key that is not 32 bytes.
    """

    def __init__(self, home: bytes) -> None:
        if len(home) != KEY_BYTES:
            raise ValueError(f"a key has {KEY_BYTES} bytes, not {len(home)}")
        self._home = bytes(home)

    def __repr__(self) -> str:
        return "Keyring(…)"

    def subkey(self, use: Use) -> bytes:
        """The key for one use, 32 bytes: the same for the same home key; nothing of it tells of another's."""
        return _derived(self._home, use)

    def box(self, use: Use, whose: str) -> Box:
        """What seals for one use and one owner (a run, a thread)."""
        return _box(self._home, f"{use} of {whose}")

    def exported(self) -> bytes:
        """The home key itself, for the file that keeps it."""
        return self._home

    def same(self, home: bytes) -> bool:
        """Whether `home` is this key."""
        return hmac.compare_digest(self._home, home)


# -- payloads ---------------------------------------------------------------------------------------------------


def new_run_key() -> Payload:
    """A key for a run that begins, as the payload that its first record carries.

    Two processes that begin one run each bring a key; the one whose record was there first wins. So whoever begins or
    resumes a run asks `Ledger.run_key` once that record is durable, and uses what it says.
    """
    return Payload(RUN_KEY, os.urandom(KEY_BYTES))


def keyed(key: bytes, exact: bytes) -> str:
    """What content is called where a plain digest would let its reader guess it: `k:` and HMAC-SHA256 in hex."""
    return _KEYED + hmac.digest(key, exact, hashlib.sha256).hex()


def payload(value: Any, *, key: bytes, cleaned: Any | None) -> Payload:
    """A value as the ledger stores it.

    Args:
        value: JSON, exactly as a re-execution needs it.
        key: the run's key.
        cleaned: the same as any reader may see it; None if nothing was redacted.

    Raises:
        TypeError: for what is not JSON.
    """
    exact = canonical(value)
    body = exact if cleaned is None else canonical(cleaned)
    return Payload(digest_bytes(exact), exact) if body == exact else Payload(keyed(key, exact), body, exact)


def key_first(payloads: Iterable[Payload | tuple[str, bytes]]) -> list[Payload]:
    """A draft's payloads in the order to store them: a run's key before what is sealed with it."""
    return sorted((Payload(*item) for item in payloads), key=lambda item: item.ref != RUN_KEY)


def fits(item: Payload, key: bytes | None, *, run: str, where: str) -> None:
    """Check a payload against the key of its run, before it is stored.

    Raises:
        LedgerUnavailable: a run's key that is none, a redacted payload of a run that has no key (or none any more),
            or one that was made with another key.
    """
    fault = ""
    if item.ref == RUN_KEY:
        if len(item.body) != KEY_BYTES or item.exact is not None:
            fault = f"the key of a run is {KEY_BYTES} bytes"
    elif item.exact is None:
        if item.ref.startswith(_KEYED):
            fault = f"payload {item.ref} comes without its exact content"
    elif key is None:
        fault = f"run {run} has no key to seal a payload with; the record that begins a run carries it"
    elif not hmac.compare_digest(item.ref, keyed(key, item.exact)):
        fault = f"payload {item.ref} was not made with the key of run {run}; ask run_key for it"
    if fault:
        raise LedgerUnavailable(where=where, cause=fault)


def is_keyed(ref: str) -> bool:
    """Whether a ref is of something redacted: its exact content is sealed."""
    return ref.startswith(_KEYED)


def seal_run_key(keyring: Keyring, run: str, key: bytes) -> bytes:
    """A run's key as the database keeps it."""
    return keyring.box("payloads", run).seal(key, _about("key", run))


def open_run_key(keyring: Keyring, run: str, sealed: Any) -> bytes:
    """The inverse. Raises LedgerCorrupt."""
    try:
        return keyring.box("payloads", run).open(sealed, _about("key", run))
    except InvalidTag:
        raise LedgerCorrupt(run=run, seq=-1, fault="its key was changed after it was written") from None


def seal_exact(key: bytes, run: str, item: Payload) -> bytes:
    """The exact content of a redacted payload, bound to its run, its ref and the body that readers see."""
    assert item.exact is not None
    return _box(key, "exact").seal(item.exact, _about("exact", run, item.ref, item.body))


def open_exact(key: bytes, run: str, ref: str, body: bytes, sealed: Any) -> bytes:
    """The inverse; that it opens also says that `body` is unchanged. Raises LedgerCorrupt."""
    try:
        return _box(key, "exact").open(sealed, _about("exact", run, ref, body))
    except InvalidTag:
        raise LedgerCorrupt(run=run, seq=-1, fault=f"payload {ref} was changed after it was written") from None


def _about(what: str, run: str, ref: str = "", body: bytes = b"") -> bytes:
    return orjson.dumps([what, run, ref]) + body


# -- checkpoints ------------------------------------------------------------------------------------------------
#
# A checkpoint's row is bound to its place: a text of everything in the row but the sealed blob, each part in hex. SQL
# and Python write the same text, so that LangGraph's reader is handed it by a view, in the place of the row's type.

CHECKPOINT = ("thread_id", "checkpoint_ns", "checkpoint_id", "parent_checkpoint_id", "metadata")
WRITE = ("thread_id", "checkpoint_ns", "checkpoint_id", "task_id", "task_path", "idx", "channel")
# Each table, the column of its blob, and those that make up the place of a row.
TABLES = (("checkpoints", "checkpoint", CHECKPOINT), ("writes", "value", WRITE))


def place(table: str, parts: Sequence[Part]) -> str:
    """The place of a row, without its type."""
    return " ".join([table, *(_hex(part) for part in parts)])


def place_in_sql(table: str, columns: Sequence[str]) -> str:
    """`place`, as an SQL expression over a row of the table."""
    return " || ' ' || ".join([f"'{table}'", *(f"hex({column})" for column in columns)])


def _hex(part: Part) -> str:
    return part.hex().upper() if isinstance(part, bytes) else "" if part is None else _hex_of(str(part))


@lru_cache(maxsize=8192)
def _hex_of(text: str) -> str:
    """Threads, checkpoints, tasks and channels stand in many rows."""
    return text.encode().hex().upper()


def seal_row(keyring: Keyring, at: str, kind: str, body: bytes) -> tuple[str, bytes]:
    """A row's type and blob as they are stored at a place."""
    kind += _SEALED
    return kind, _of_thread(keyring, at).seal(body, f"{at} {kind}".encode())


def open_row(keyring: Keyring, at: str, kind: str, sealed: Any) -> tuple[str, bytes]:
    """The inverse. Raises InvalidTag for a row that was not sealed, was changed, or stands elsewhere."""
    if not kind.endswith(_SEALED):
        raise InvalidTag
    return kind.removesuffix(_SEALED), _of_thread(keyring, at).open(sealed, f"{at} {kind}".encode())


def _of_thread(keyring: Keyring, at: str) -> Box:
    return keyring.box("checkpoints", at.split(" ", 2)[1])

"""The home key: 32 random bytes in a file beside the database, readable by its owner alone.

The key is never in the database; a mark of it is, from which it cannot be computed. All of this happens in a
transaction that writes, so processes that open a file at once take turns, and agree.
"""

from __future__ import annotations

import hmac
import os
import sqlite3
import stat
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from ..contracts.errors import LedgerKey
from .sealing import KEY_BYTES, TABLES, Keyring, place_in_sql, seal_row

_BATCH = 500
_LOST = "put it back from a backup: nothing that was sealed can be read without it"
_ANY_CHECKPOINT = "SELECT 1 FROM checkpoints UNION ALL SELECT 1 FROM writes LIMIT 1"
_ANY_SEALED = (
    "SELECT 1 FROM payloads WHERE sealed IS NOT NULL "
    "UNION ALL SELECT 1 FROM checkpoints WHERE type LIKE '%+edgewright' "
    "UNION ALL SELECT 1 FROM writes WHERE type LIKE '%+edgewright' LIMIT 1"
)


def key_file(path: Path) -> Path:
    """Where the key of a database is: beside it, `.key` added to its name."""
    resolved = path.resolve()
    return resolved.with_name(resolved.name + ".key")


def keyring_of(conn: sqlite3.Connection, path: Path, given: bytes | None) -> Keyring:
    """The keyring of a database, inside a transaction that writes.

    A file is sealed once, when it is first opened: then its key is made (unless one is given) and the checkpoints
    that an older version left are sealed in place. From then on what is not sealed is refused, so a file that has
    checkpoints and a key, but no mark of that key, is not sealed a second time: somebody removed the mark.

    Args:
        given: the key, kept elsewhere; then no key file is read or made.

    Raises:
        LedgerKey: the key is missing, damaged, open to others, or not the one that the file was sealed with.
    """
    place = _Place(path)
    mark = conn.execute("SELECT mark FROM home_key").fetchone()
    if mark is not None:
        keyring = place.keyring(given)
        if not isinstance(mark[0], bytes) or not hmac.compare_digest(mark[0], keyring.subkey("mark")):
            place.refuse("the file was sealed with another key", "use that key; the one that is there opens nothing")
        return keyring
    known = given is not None or place.has_key()
    if conn.execute(_ANY_SEALED).fetchone() or (known and conn.execute(_ANY_CHECKPOINT).fetchone()):
        place.refuse(
            "there are checkpoints or sealed payloads, but no mark of the key",
            "restore the file from a backup. If it is of an older version that was never opened with a key, remove "
            "the key file or the key setting, and open it once so that its checkpoints are sealed",
        )
    keyring = place.keyring(given) if known else Keyring(os.urandom(KEY_BYTES))
    for table, blob, columns in TABLES:
        _seal_older(conn, keyring, table, blob, columns)
    conn.execute("INSERT INTO home_key (id, mark) VALUES (1, ?)", (keyring.subkey("mark"),))
    if not known:
        place.keep(keyring)  # last: a key whose file cannot be made has sealed nothing
    return keyring


def _seal_older(conn: sqlite3.Connection, keyring: Keyring, table: str, blob: str, columns: tuple[str, ...]) -> None:
    at = place_in_sql(table, columns)
    read = (
        f"SELECT rowid, {at}, type, {blob} FROM {table} "  # noqa: S608 - constants
        f"WHERE rowid > ? AND type IS NOT NULL AND {blob} IS NOT NULL ORDER BY rowid LIMIT {_BATCH}"
    )
    last = -1
    while rows := conn.execute(read, (last,)).fetchall():
        last = rows[-1][0]
        sealed = [(*seal_row(keyring, where, kind, bytes(body)), row) for row, where, kind, body in rows]
        conn.executemany(f"UPDATE {table} SET type = ?, {blob} = ? WHERE rowid = ?", sealed)  # noqa: S608 - constants


class _Place:
    """A database and the file of its key."""

    def __init__(self, path: Path) -> None:
        self._path, self._file = path, key_file(path)

    def refuse(self, fault: str, remedy: str) -> NoReturn:
        raise LedgerKey(where=str(self._path), key_file=str(self._file), fault=fault, remedy=remedy)

    def has_key(self) -> bool:
        """Whether there is a key file. An empty one is what a power cut leaves of a file that was being made."""
        try:
            if self._file.stat().st_size:
                return True
            self._file.unlink()
        except FileNotFoundError:
            return False
        except OSError as error:
            self.refuse(f"its key cannot be read: {error.strerror}", "mend that")
        return False

    def keyring(self, given: bytes | None) -> Keyring:
        """From the key that was given, or the file's."""
        if given is None:
            given = self._read()
        try:
            return Keyring(given)
        except ValueError as error:
            self.refuse(str(error), _LOST)

    def _read(self) -> bytes:
        try:
            with self._file.open("rb") as file:
                mode, body = os.fstat(file.fileno()).st_mode, file.read(KEY_BYTES + 1)
        except FileNotFoundError:
            self.refuse("its key is missing", _LOST)
        except OSError as error:
            self.refuse(f"its key cannot be read: {error.strerror}", "mend that")
        if os.name == "posix" and stat.S_IMODE(mode) & 0o077:
            self.refuse("others than its owner may read or change its key", f"chmod 600 {self._file}")
        return body

    def keep(self, keyring: Keyring) -> None:
        """Make the file. It is durable afterwards, or not there."""
        try:
            made = os.open(self._file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except OSError as error:
            self.refuse(f"its key cannot be kept: {error.strerror}", "make the folder writable, or give a key")
        try:
            with os.fdopen(made, "wb") as file:
                os.fchmod(file.fileno(), 0o600)
                file.write(keyring.exported())
                file.flush()
                os.fsync(file.fileno())
            folder = os.open(self._file.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as error:
            with suppress(OSError):
                self._file.unlink()
            self.refuse(f"its key cannot be kept: {error.strerror}", "make room, or give a key")

"""Walking from an open folder, and what is done there: each step stands on the one before it, and none follows a link.

What somebody swaps meanwhile cannot lead out, for no name is looked up twice from the top: a folder that was opened is
held, and what is open stays what it is.
"""

from __future__ import annotations

import codecs
import errno
import os
import secrets
import stat
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn

from ...contracts.errors import PathRefused
from .files_paths import TEMPORARY, folded, shown

MAX_SCANNED = 100_000
"""So many names of one folder are looked at."""
_NO_LINK = os.O_NOFOLLOW | os.O_CLOEXEC
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | _NO_LINK
# Neither waits for the other end of a pipe, nor takes a terminal over, if something was swapped for what it was.
_FILE = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | _NO_LINK


class Root:
    """An open folder, closed with the last one who holds it."""

    __slots__ = ("__weakref__", "_fd")

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        weakref.finalize(self, os.close, self._fd)

    def __copy__(self) -> Root:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Root:
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError("an open folder does not pickle; make the connector where it is used")

    @contextmanager
    def folder(self, path: str, parts: tuple[str, ...]) -> Iterator[int]:
        """The folder at the end of these names, open. Raises PathRefused for `path`."""
        with refusing(path):
            here = os.open(".", _FOLDER, dir_fd=self._fd)
        try:
            for part in parts:
                with refusing(path):
                    below = os.open(part, _FOLDER, dir_fd=here)
                os.close(here)
                here = below
            yield here
        finally:
            os.close(here)


@contextmanager
def opened(path: str, folder: int, name: str) -> Iterator[tuple[int, os.stat_result]]:
    """A file in a folder, open for reading, and what it is. Raises PathRefused for anything but a file."""
    look(path, folder, name)
    with refusing(path):
        file = os.open(name, _FILE, dir_fd=folder)
    try:
        # What was looked at may be something else by now.
        about = os.fstat(file)
        _check_regular(path, about)
        yield file, about
    finally:
        os.close(file)


def look(path: str, folder: int, name: str) -> os.stat_result:
    """What stands at a name, if it is a file. Asked before it is opened: opening some devices does something."""
    with refusing(path):
        about = os.stat(name, dir_fd=folder, follow_symlinks=False)
    _check_regular(path, about)
    return about


def check_alone(path: str, folder: int, name: str) -> bool:
    """Whether a name stands in a folder. Refuses one that differs from another only as some systems do not see."""
    wanted, is_there = folded(name), False
    with os.scandir(folder) as entries:
        for seen, entry in enumerate(entries, 1):
            if seen > MAX_SCANNED:
                raise PathRefused(path=shown(path), rule="name", fault="its folder has too many entries")
            if entry.name == name:
                is_there = True
            elif folded(entry.name) == wanted:
                fault = f"there is {shown(entry.name)} already, which some systems take for the same name"
                raise PathRefused(path=shown(path), rule="name", fault=fault)
    return is_there


def replace(folder: int, name: str, body: bytes, there: os.stat_result | None) -> None:
    """Put a file in its place at once: whoever reads sees the old one or the new one, whole."""
    temporary = f"{TEMPORARY}{secrets.token_hex(8)}"
    file = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_LINK, 0o666, dir_fd=folder)
    try:
        try:
            if there is not None:
                os.fchmod(file, stat.S_IMODE(there.st_mode) & 0o777)
            rest = memoryview(body)
            while rest:
                rest = rest[os.write(file, rest) :]
            os.fsync(file)
        finally:
            os.close(file)
        os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary, dir_fd=folder)
        raise
    os.fsync(folder)


def taken(file: int, most: int) -> bytes:
    """The first bytes of an open file."""
    pieces: list[bytes] = []
    while most and (piece := os.read(file, min(most, 64 * 1024))):
        pieces.append(piece)
        most -= len(piece)
    return b"".join(pieces)


def text_of(path: str, body: bytes, *, whole: bool) -> str:
    """Text in UTF-8. What is cut in the middle of a letter ends before it. Raises PathRefused for anything else."""
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(body, whole)
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise PathRefused(path=shown(path), rule="binary", fault="it is no text in UTF-8")
    return text


def _check_regular(path: str, about: os.stat_result) -> None:
    mode = about.st_mode
    if stat.S_ISREG(mode):
        return
    if stat.S_ISLNK(mode):
        raise PathRefused(path=shown(path), rule="link", fault="it is a link, and links are not followed")
    what = "a folder" if stat.S_ISDIR(mode) else "no file (a device, a pipe or a socket)"
    raise PathRefused(path=shown(path), rule="kind", fault=f"it is {what}")


@contextmanager
def refusing(path: str) -> Iterator[None]:
    """Make errors of the system refusals, where they say that nothing was done."""
    try:
        yield
    except OSError as error:
        raise refused(path, error) from None


def refused(path: str, error: OSError) -> PathRefused:
    """An error of the system, without the path of this machine that its text may hold."""
    rule, fault = {
        errno.ENOENT: ("missing", "there is nothing"),
        errno.ELOOP: ("link", "a link stands on the way, and links are not followed"),
        errno.ENOTDIR: ("link", "what stands on the way is a link or a file, no folder"),
        errno.ENXIO: ("kind", "it is no file (a device, a pipe or a socket)"),
        errno.EACCES: ("permission", "this program may not"),
        errno.EPERM: ("permission", "this program may not"),
        errno.ENAMETOOLONG: ("long", "a name is too long for this file system"),
    }.get(error.errno or 0, ("system", str(error.strerror)))
    return PathRefused(path=shown(path), rule=rule, fault=fault)

"""A Maildir on disk: what lies in its folders, and putting a mail into one.

The ids are this connector's own: nobody who sends a mail chooses one. A file is read only where it is one, and never
more of it than is asked for.
"""

from __future__ import annotations

import hashlib
import mailbox
import os
import stat
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ...contracts.errors import ToolRefusal
from .mail_reading import read_headers

INBOX = "INBOX"
HEADER_BYTES = 64 * 1024
_LOCK = threading.Lock()


@dataclass(frozen=True, kw_only=True)
class Stored:
    """A mail that lies in a folder.

    Attributes:
        id: names it, wherever it lies in its folder and however it is marked.
        arrived: seconds since 1970.
        size: bytes.
    """

    id: str
    folder: str
    path: Path = field(repr=False)
    arrived: float
    size: int

    def read(self, most: int) -> tuple[bytes, bool]:
        """Its first `most` bytes, and whether there are more. Raises OSError where it is gone."""
        fd = os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(fd, "rb") as file:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise OSError("it is no file")
            found = file.read(most + 1)
        return found[:most], len(found) > most


@dataclass(frozen=True, kw_only=True)
class Store:
    """The folders of a Maildir that may be read: `INBOX` is the Maildir itself, others lie in it (Maildir++)."""

    path: Path
    folders: tuple[str, ...] = (INBOX,)

    def place(self, folder: str) -> Path:
        """Where a folder lies."""
        return self.path if folder == INBOX else self.path / f".{folder}"

    def mails(self, folder: str) -> list[Stored]:
        """What lies in a folder, the newest first.

        Raises:
            ToolRefusal: the folder is not one of those that may be read.
        """
        if folder not in self.folders:
            raise ToolRefusal(f"there is no folder of that name; there are: {', '.join(self.folders)}")
        return sorted(_lying(folder, self.place(folder)), key=lambda mail: (-mail.arrived, mail.id))

    def read(self, id: str, most: int) -> tuple[Stored, bytes, bool]:
        """A mail, the first `most` bytes of it, and whether there are more.

        Raises:
            ToolRefusal: there is no such mail.
        """
        for _ in range(3):  # a reader of mail may mark it, and so rename its file, at any time
            for folder in self.folders:
                for mail in _lying(folder, self.place(folder)):
                    if mail.id == id:
                        try:
                            return mail, *mail.read(most)
                        except OSError:
                            break
        raise ToolRefusal("there is no mail of that id; list a folder to see which there are")


def _lying(folder: str, place: Path) -> Iterator[Stored]:
    for inner in ("new", "cur"):
        try:
            entries = list(os.scandir(place / inner))
        except OSError:
            continue
        for entry in entries:
            try:
                told = entry.stat(follow_symlinks=False)
            except OSError:
                continue
            if not stat.S_ISREG(told.st_mode) or entry.name.startswith("."):
                continue
            key = entry.name.partition(":")[0]
            named = hashlib.sha256(f"{folder}\0{key}".encode("utf-8", "surrogateescape")).hexdigest()[:24]
            yield Stored(id=named, folder=folder, path=Path(entry.path), arrived=told.st_mtime, size=told.st_size)


# -- putting -----------------------------------------------------------------------------------------------------------


def made_folder(path: Path, name: str) -> None:
    """Make a folder of a Maildir, where there is none."""
    mailbox.Maildir(path, create=False).add_folder(name)


def put(path: Path, folder: str, raw: bytes) -> str:
    """Put a mail into a folder, durably, as one that was seen. Returns its key. Raises OSError."""
    message = mailbox.MaildirMessage(raw)
    message.set_subdir("cur")
    message.set_flags("S")
    with _LOCK:  # two threads would take the same name for it
        return mailbox.Maildir(path, create=False).get_folder(folder).add(message)


def take_away(path: Path, folder: str, key: str) -> None:
    """Remove a mail that was put into a folder, if it still lies there. Raises OSError."""
    mailbox.Maildir(path, create=False).get_folder(folder).discard(key)


def lying_with(path: Path, folder: str, message_id: str) -> bytes | None:
    """The header of the mail in a folder that has this Message-ID. Raises OSError where the folder cannot be read."""
    place = path / f".{folder}"
    os.stat(place)
    for mail in _lying(folder, place):
        try:
            raw, _ = mail.read(HEADER_BYTES)
        except OSError:
            continue
        if read_headers(raw).message_id == message_id:
            return raw
    return None

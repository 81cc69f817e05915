"""Files below one folder, for agents: list, read, write, delete (threat 17).

A path has one spelling (`files_paths.py`), and is walked from an open folder without following links (`files_disk.py`).
"""

from __future__ import annotations

import errno
import heapq
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypedDict, get_args

from ...contracts.errors import FileFailed, PathRefused, ToolInvalid
from ...contracts.labels import SENSITIVITIES, Sensitivity
from ...contracts.tool import Effect, Idempotency, Trust
from ..sealed import SealedTool, tool
from .files_disk import MAX_SCANNED, Root, check_alone, look, opened, refused, refusing, replace, taken, text_of
from .files_paths import TEMPORARY, check_suffix, has_suffix, is_listed, parts_of, shown

_NAME = re.compile(r"[a-z][a-z0-9_]{0,50}")
# After these nothing was removed.
_NOT_DELETED = (errno.ENOENT, errno.EACCES, errno.EPERM, errno.EROFS, errno.EBUSY, errno.EISDIR, errno.ENOTDIR)


class Entry(TypedDict):
    """What stands in a folder: a file with its size, or a folder."""

    name: str
    kind: Literal["file", "folder"]
    bytes: int


class Listing(TypedDict):
    """What a folder holds. `left_out`: how much in it is not for these tools; `cut` says what is missing besides."""

    path: str
    entries: list[Entry]
    left_out: int
    cut: str


class FileText(TypedDict):
    """A file's text. `links`: names that the file has, here and elsewhere; `cut` says what is missing."""

    path: str
    text: str
    bytes: int
    links: int
    cut: str


class Written(TypedDict):
    """A file that was written; `replaced`: there was one before."""

    path: str
    bytes: int
    replaced: bool


class Deleted(TypedDict):
    """A file that is gone. `links`: names that it still has elsewhere."""

    path: str
    links: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Files:
    """Files below a folder: `<name>_list`, `<name>_read`, and where declared `<name>_write` and `<name>_delete`.

    Attributes:
        name: the prefix of the tools' names.
        root: an existing folder. It is opened now: what later stands at its path is another folder.
        writable, deletable: whether there are tools for that. Folders are neither made nor deleted.
        max_bytes: how much of a file is read, and how large one may be that is written.
        max_entries: how many entries of a folder are listed.
        suffixes: the kinds of files that exist for the tools (`(".md", ".txt")`), in any case; None: all.
        hidden: whether names that begin with a dot are touched.
        output, sensitivity: of what is listed and read.
        sink: whether data can leave the house through what is written: others may read the folder.

    Raises:
        ToolInvalid: with everything that is wrong with it.
    """

    name: str = "files"
    root: Path
    writable: bool = False
    deletable: bool = False
    max_bytes: int = 256 * 1024
    max_entries: int = 500
    suffixes: tuple[str, ...] | None = None
    hidden: bool = False
    output: Trust = "untrusted"
    sensitivity: Sensitivity = "secret"
    sink: bool = True
    _held: Root = field(init=False, repr=False)

    def __post_init__(self) -> None:
        faults = [*_faults(self)]
        try:
            object.__setattr__(self, "_held", Root(self.root))
        except (OSError, TypeError, ValueError) as error:
            faults.append(f"its root is no folder that can be opened ({type(error).__name__})")
        if faults:
            raise ToolInvalid(name=str(self.name), faults=faults)

    def tools(self) -> list[SealedTool]:
        """The governed tools."""

        # Functions of their own, for what a model reads of them tells of this folder's limits.
        def list_(path: str = "") -> Listing:
            return self._list(path)

        def read(path: str) -> FileText:
            return self._read(path)

        def write(path: str, text: str) -> Written:
            return self._write(path, text)

        def delete(path: str) -> Deleted:
            return self._delete(path)

        listing = f"List a folder; no path, or a dot, is the topmost. At most {self.max_entries} entries."
        made = [
            self._tool("list", list_, listing, effect="read"),
            self._tool("read", read, f"Read a text file, at most its first {self.max_bytes} bytes.", effect="read"),
        ]
        if self.writable:
            writing = f"Write a text file of at most {self.max_bytes} bytes, also over one that is there."
            made.append(self._tool("write", write, writing, effect="write", idempotency="natural"))
        if self.deletable:
            # Repeating would delete what somebody has put there since.
            made.append(self._tool("delete", delete, "Delete a file, for good.", effect="irreversible"))
        return made

    def _tool(
        self, what: str, function: Callable[..., Any], text: str, *, effect: Effect, idempotency: Idempotency = "none"
    ) -> SealedTool:
        kinds = "" if self.suffixes is None else f" Only files that end with {', '.join(self.suffixes) or 'nothing'}."
        function.__doc__ = f"{text}{kinds}"
        return tool(
            name=f"{self.name}_{what}",
            effect=effect,
            output=self.output,
            sensitivity=self.sensitivity,
            sink=self.sink and effect != "read",
            roles={"path": "target", "text": "content"} if what == "write" else {"path": "target"},
            idempotency=idempotency,
        )(function)

    # -- what the tools do -------------------------------------------------------------------------------------------

    def _list(self, path: str) -> Listing:
        found: list[tuple[str, Literal["file", "folder"]]] = []
        listed: list[Entry] = []
        seen = left_out = 0
        with self._held.folder(path, parts_of(path, hidden=self.hidden)) as folder, refusing(path):
            with os.scandir(folder) as entries:
                for seen, entry in enumerate(entries, 1):
                    if seen > MAX_SCANNED:
                        break
                    if kind := self._kind(entry):
                        found.append((entry.name, kind))
                    else:
                        left_out += 1
            chosen = heapq.nsmallest(self.max_entries, found)
            for name, kind in chosen:
                with suppress(FileNotFoundError):  # it went while the folder was read
                    size = os.stat(name, dir_fd=folder, follow_symlinks=False).st_size if kind == "file" else 0
                    listed.append({"name": name, "kind": kind, "bytes": size})
        cut = f"the first {len(chosen)} of {len(found)} entries are shown" if len(found) > len(chosen) else ""
        if seen > MAX_SCANNED:
            cut = f"the folder has more than {MAX_SCANNED} entries; {len(chosen)} of them are shown"
        return {"path": path, "entries": listed, "left_out": left_out, "cut": cut}

    def _kind(self, entry: os.DirEntry[str]) -> Literal["file", "folder"] | None:
        """What an entry is to these tools; None for what they do not touch."""
        if entry.name.startswith(TEMPORARY) or not is_listed(entry.name, hidden=self.hidden):
            return None
        if entry.is_dir(follow_symlinks=False):
            return "folder"
        return "file" if entry.is_file(follow_symlinks=False) and has_suffix(entry.name, self.suffixes) else None

    def _read(self, path: str) -> FileText:
        with self._at(path) as (folder, name), opened(path, folder, name) as (file, about), refusing(path):
            body = taken(file, self.max_bytes + 1)
        size, cut = max(about.st_size, len(body)), len(body) > self.max_bytes
        return {
            "path": path,
            "text": text_of(path, body[: self.max_bytes], whole=not cut),
            "bytes": size,
            "links": about.st_nlink,
            "cut": f"the first {self.max_bytes} of {size} bytes are shown" if cut else "",
        }

    def _write(self, path: str, text: str) -> Written:
        try:
            body = text.encode()
        except UnicodeEncodeError:
            raise PathRefused(path=shown(path), rule="binary", fault="the text is not Unicode") from None
        if len(body) > self.max_bytes:
            fault = f"the text has {len(body)} bytes, at most {self.max_bytes} may be written"
            raise PathRefused(path=shown(path), rule="large", fault=fault)
        with self._at(path) as (folder, name):
            with refusing(path):
                is_there = check_alone(path, folder, name)
            there = look(path, folder, name) if is_there else None
            try:
                replace(folder, name, body, there)
            except OSError as error:
                # Written again after a crash, it may have been written before, so this is no refusal.
                raise FileFailed(path=shown(path), fault=f"it could not be written: {error.strerror}") from None
        return {"path": path, "bytes": len(body), "replaced": is_there}

    def _delete(self, path: str) -> Deleted:
        with self._at(path) as (folder, name):
            about = look(path, folder, name)
            try:
                os.unlink(name, dir_fd=folder)
            except OSError as error:
                if error.errno in _NOT_DELETED:
                    raise refused(path, error) from None
                raise FileFailed(path=shown(path), fault=f"it may not be deleted: {error.strerror}") from None
            try:
                os.fsync(folder)
            except OSError as error:
                raise FileFailed(path=shown(path), fault=f"it may be there again: {error.strerror}") from None
        return {"path": path, "links": about.st_nlink - 1}

    @contextmanager
    def _at(self, path: str) -> Iterator[tuple[int, str]]:
        """The open folder of a file that these tools may touch, and its name in there."""
        parts = parts_of(path, hidden=self.hidden)
        if not parts:
            raise PathRefused(path=shown(path), rule="kind", fault="it names a folder, not a file")
        check_suffix(path, self.suffixes)
        with self._held.folder(path, parts[:-1]) as folder:
            yield folder, parts[-1]


def _faults(files: Files) -> Iterator[str]:
    if not _NAME.fullmatch(files.name):
        yield "its name is lower case letters, digits and underscores, at most 51"
    if not {os.open, os.stat, os.unlink, os.rename} <= os.supports_dir_fd:
        yield "this system cannot open a file in an open folder, which is what keeps paths below the root"
    for what in ("max_bytes", "max_entries"):
        if getattr(files, what) < 1:
            yield f"{what} is less than 1"
    if wrong := [s for s in files.suffixes or () if not re.fullmatch(r"(\.[A-Za-z0-9_-]+)+", s)]:
        yield f"a suffix is a dot and letters, like .txt, not {', '.join(map(repr, wrong))}"
    if files.output not in get_args(Trust):
        yield f"output {files.output!r} is none of {', '.join(get_args(Trust))}"
    if files.sensitivity not in SENSITIVITIES:
        yield f"sensitivity {files.sensitivity!r} is none of {', '.join(SENSITIVITIES)}"
    with suppress(OSError, TypeError, ValueError):
        if os.path.samefile(files.root, "/"):
            yield "the whole file system is no root"

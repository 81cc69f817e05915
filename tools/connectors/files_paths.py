"""Paths that a files tool takes: relative, in one spelling, of visible names. Pure, no file system.

What another system could take for a way out, or for another name, is refused and not mended: a path that passes is the
one spelling of its file, so that a policy can be written about it (threat 17).

The rules that refuse: `text`, `form`, `separator`, `absolute`, `drive`, `parent`, `empty`, `spaces`, `hidden`, `long`,
`deep`, `suffix`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection

from ...contracts.errors import PathRefused

MAX_PATH, MAX_NAME, MAX_DEPTH = 1024, 255, 32
TEMPORARY = ".edgewright-"
"""So begin the files that are being written."""
_SHOWN = 120
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})
_DRIVE = re.compile(r"[A-Za-z]:")


def parts_of(path: str, *, hidden: bool = False) -> tuple[str, ...]:
    """The names along a path; none for the root, which is written as nothing or as a dot. Raises PathRefused."""
    if path in ("", "."):
        return ()
    if any(unicodedata.category(c) in _UNSEEN for c in path):
        raise _refused(path, "text", "it holds a character that cannot be seen")
    if unicodedata.normalize("NFC", path) != path:
        raise _refused(path, "form", "its letters and accents are not joined (it is not in NFC)")
    if "\\" in path:
        raise _refused(path, "separator", "names are separated by /")
    if path.startswith("/"):
        raise _refused(path, "absolute", "it is absolute; paths begin below the root of this tool")
    if _DRIVE.match(path):
        raise _refused(path, "drive", "it begins with a drive")
    if len(path.encode()) > MAX_PATH:
        raise _refused(path, "long", f"it is longer than {MAX_PATH} bytes")
    parts = tuple(path.split("/"))
    if len(parts) > MAX_DEPTH:
        raise _refused(path, "deep", f"it has more than {MAX_DEPTH} names")
    for part in parts:
        if found := name_fault(part, hidden=hidden):
            raise _refused(path, *found)
    return parts


def name_fault(name: str, *, hidden: bool = False) -> tuple[str, str] | None:
    """The rule that a single name breaks, and how; None for a name that a path may hold."""
    # Letters that only look like dots and slashes are taken for them by whatever normalises names.
    plain = unicodedata.normalize("NFKC", name)
    if name == "":
        return "empty", "one of its names is empty"
    if plain in (".", ".."):
        return "parent", "it holds . or .., and stays where it is"
    if "/" in plain or "\\" in plain:
        return "separator", "one of its names holds what looks like a separator"
    if name != name.strip() or name.endswith("."):
        return "spaces", "one of its names begins or ends with a space, or ends with a dot"
    if name.startswith(TEMPORARY) or (plain.startswith(".") and not hidden):
        return "hidden", "names that begin with a dot are not touched"
    if len(name.encode("utf-8", "surrogateescape")) > MAX_NAME:
        return "long", f"one of its names is longer than {MAX_NAME} bytes"
    return None


def is_listed(name: str, *, hidden: bool = False) -> bool:
    """Whether a name that was found in a folder can be named in a path."""
    try:
        return len(parts_of(name, hidden=hidden)) == 1
    except PathRefused:
        return False


def check_suffix(path: str, suffixes: Collection[str] | None) -> None:
    """Raise PathRefused if the file at `path` is of none of the kinds that are allowed."""
    if suffixes is not None and not has_suffix(path, suffixes):
        raise _refused(path, "suffix", f"its name ends with none of {', '.join(sorted(suffixes)) or 'nothing'}")


def has_suffix(name: str, suffixes: Collection[str] | None) -> bool:
    """Whether a name ends with one of the suffixes, in any case; None allows all."""
    return suffixes is None or name.lower().endswith(tuple(s.lower() for s in suffixes))


def folded(name: str) -> str:
    """A name as a file system may compare it: two names with one folded form can be one file."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())


def shown(path: str) -> str:
    """A path as a person may see it: escaped, and cut with a mark."""
    plain = "".join(c if c.isprintable() else f"\\u{{{ord(c):x}}}" for c in path[: _SHOWN + 1])
    return repr(plain if len(plain) <= _SHOWN else f"{plain[:_SHOWN]}…")


def _refused(path: str, rule: str, fault: str) -> PathRefused:
    return PathRefused(path=shown(path), rule=rule, fault=fault)

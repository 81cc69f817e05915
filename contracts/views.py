"""Views of a text: what it says once disguises are taken off, with the way back to where it says it.

Detectors read a view; redaction cuts the text itself. Pure functions of the text.
"""

from __future__ import annotations

import re
import unicodedata
from binascii import Error as NotBase64
from binascii import a2b_base64, unhexlify
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

_ODD = re.compile(r"[^\t\n\r -~]")
_ESCAPE = re.compile(
    r"(?P<percent>(?:%[0-9A-Fa-f]{2})+)|\\u(?P<u>[0-9A-Fa-f]{4})|\\x(?P<x>[0-9A-Fa-f]{2})"
    r"|\\(?P<short>[\"'\\/nrt])"
    r"|&#(?P<dec>\d{2,7});|&#[xX](?P<hex>[0-9A-Fa-f]{2,6});"
)
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{8,}={0,2}")
_LAST_LINE = re.compile(r"\r?\n[A-Za-z0-9+/_-]{1,7}(?![A-Za-z0-9+/_-])={0,2}")
_HEX = re.compile(r"[0-9A-Fa-f]{12,}")
_PAIRS = re.compile("[2-7][0-9A-Fa-f]" * 4)  # text in hexadecimal has them, few other things do
_LEAST = 7  # characters that can say what `_said` takes for text
_LINE = 60  # encoders wrap at 64 or 76 characters; lines this long go on in the next
_URLSAFE = str.maketrans("-_", "+/", "\r\n")
_TEXT = re.compile(rb"[\x00\t\n\r\x20-\x7e]{6}")
_NOT_LETTERS = re.compile(r"[0-9+]")

LARGEST = 1 << 20
"""Characters of one encoded run that are decoded; what stands behind them in the run is not looked at."""


@dataclass(frozen=True, slots=True)
class View:
    """`text`, and for each of its characters where the original that it stands for begins and ends.

    No places means that the view is the original, character by character.
    """

    text: str
    starts: list[int] | None = None
    ends: list[int] | None = None

    def back(self, start: int, end: int) -> tuple[int, int]:
        """A span of the view as a span of the original."""
        if self.starts is None or self.ends is None:
            return start, end
        return self.starts[start], self.ends[end - 1]


@lru_cache(maxsize=4096)
def _plain(char: str) -> str:
    if unicodedata.category(char) in ("Cf", "Cc") or "\ufe00" <= char <= "\ufe0f" or char == "\u034f":
        return ""
    if char.isdecimal():
        return str(unicodedata.decimal(char))
    return "".join(str(unicodedata.decimal(c)) if c.isdecimal() else c for c in unicodedata.normalize("NFKC", char))


def normal(text: str) -> View:
    """The text in compatibility form (NFKC, character by character): full-width letters and every script's digits as
    plain ones; zero-width, direction and control characters left out, but for tab and line ends.
    """
    if _ODD.search(text) is None:
        return View(text)
    parts: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    at = 0
    for odd in _ODD.finditer(text):
        here = odd.start()
        parts.append(text[at:here])
        starts.extend(range(at, here))
        ends.extend(range(at + 1, here + 1))
        plain = _plain(odd.group())
        parts.append(plain)
        starts.extend([here] * len(plain))
        ends.extend([here + 1] * len(plain))
        at = here + 1
    parts.append(text[at:])
    starts.extend(range(at, len(text)))
    ends.extend(range(at + 1, len(text) + 1))
    return View("".join(parts), starts, ends)


def escaped(text: str) -> bool:
    """Whether the text holds escapes that `unescaped` takes off."""
    return ("%" in text or "\\" in text or "&#" in text) and _ESCAPE.search(text) is not None


def unescaped(view: View) -> View:
    """The view without its escapes: `%40` (RFC 3986), `\\u0040`, `\\n` (RFC 8259), `\\x40`, `&#64;`, `&#x40;`."""
    text = view.text
    parts: list[str] = []
    starts: list[int] = []
    ends: list[int] = []

    def copy(start: int, stop: int) -> None:
        parts.append(text[start:stop])
        starts.extend(range(start, stop) if view.starts is None else view.starts[start:stop])
        ends.extend(range(start + 1, stop + 1) if view.ends is None else view.ends[start:stop])

    at = 0
    for escape in _ESCAPE.finditer(text):
        copy(at, escape.start())
        for char, start, end in _unescape(escape):
            parts.append(char)
            first, last = view.back(start, end)
            starts.extend([first] * len(char))
            ends.extend([last] * len(char))
        at = escape.end()
    copy(at, len(text))
    return View("".join(parts), starts, ends)


def _unescape(escape: re.Match[str]) -> Iterator[tuple[str, int, int]]:
    start, end = escape.span()
    if percent := escape["percent"]:
        data = bytes.fromhex(percent.replace("%", ""))
        at = 0
        while at < len(data):
            # One character may be several bytes (RFC 3629).
            size = 1 if data[at] < 0xC0 else 2 if data[at] < 0xE0 else 3 if data[at] < 0xF0 else 4
            size = min(size, len(data) - at)
            char = data[at : at + size].decode("utf-8", "replace")
            yield normal(char).text, start + 3 * at, start + 3 * (at + size)
            at += size
        return
    if short := escape["short"]:
        yield {"n": "\n", "r": "\r", "t": "\t"}.get(short, short), start, end
        return
    code = int(escape["u"] or escape["x"] or escape["hex"] or "0", 16) or int(escape["dec"] or "0")
    yield (normal(chr(code)).text if code < 0x110000 else ""), start, end


def decoded(text: str) -> Iterator[tuple[int, int, str]]:
    """What the encoded runs of a text say: (start, end, decoded text), for every reading that is text at all.

    Base64 (both alphabets, RFC 4648; wrapped lines too) is read at all four alignments, as a run may begin with
    characters that are not of it; hexadecimal at both. Words and plain numbers are no runs.
    """
    for start, end in _wrapped(text, _BASE64):
        found = text[start:end]
        if not _wordlike(found):
            plain = found[:LARGEST].rstrip("=").translate(_URLSAFE)
            for offset in range(min(4, len(plain) - _LEAST + 1)):
                size = (len(plain) - offset) // 4 * 4
                tail = plain[offset + size :]
                try:
                    data = a2b_base64(plain[offset : offset + size] + (tail + "==")[:4] * (len(tail) > 1))
                except NotBase64:
                    continue
                if (said := _said(data)) is not None:
                    yield start, end, said
    for start, end in _wrapped(text, _HEX) if _PAIRS.search(text) else ():
        plain = text[start:end][:LARGEST].translate(_URLSAFE)
        for offset in range(2):
            data = unhexlify(plain[offset : offset + (len(plain) - offset) // 2 * 2])
            if (said := _said(data)) is not None:
                yield start, end, said


def _wrapped(text: str, pattern: re.Pattern[str]) -> Iterator[tuple[int, int]]:
    """Runs of a pattern; those that are the lines of one encoding as one."""
    first, last, long = 0, -1, False
    for run in pattern.finditer(text):
        start, end = run.span()
        if long and text[last:start] in ("\n", "\r\n"):
            last, long = end, end - start >= _LINE
            continue
        if last >= 0:
            yield first, _with_last_line(text, last) if long and pattern is _BASE64 else last
        first, last, long = start, end, end - start >= _LINE
    if last >= 0:
        yield first, _with_last_line(text, last) if long and pattern is _BASE64 else last


def _with_last_line(text: str, end: int) -> int:
    line = _LAST_LINE.match(text, end)
    return line.end() if line else end


def _wordlike(run: str) -> bool:
    if len(run) >= 64:
        return False
    if _NOT_LETTERS.search(run) is None:
        return run.islower() or run.isupper() or run.istitle()
    return not any(c.isalpha() for c in run)


def _said(data: bytes) -> str | None:
    if _TEXT.search(data) is not None:
        return data.decode("utf-8", "replace")
    if data.isascii():
        return None
    try:
        said = data.decode("utf-8")
    except UnicodeDecodeError:
        return None
    return said if len(said) >= 4 else None

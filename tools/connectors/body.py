"""The body of an answer: unpacked and read up to a size, whatever it is packed into."""

from __future__ import annotations

import codecs
import re
import zlib

import httpx

_PACKED = frozenset({"", "identity", "gzip", "x-gzip", "deflate"})
_OVERHEAD = 1024
# Others are no charsets of texts, or cost more to decode than they are long.
_CHARSETS = frozenset(
    [
        *("utf-8", "ascii", "utf-16", "utf-16-le", "utf-16-be", "koi8-r"),
        *("big5", "euc_jp", "euc_kr", "gb18030", "gb2312", "gbk", "shift_jis"),
        *(f"iso8859-{n}" for n in range(1, 17)),
        *(f"cp125{n}" for n in range(9)),
    ]
)


def charset_of(parameters: str) -> str:
    """The charset that the parameters of a content type name, UTF-8 where they name none that is known."""
    found = re.search(r"charset\s*=\s*\"?([A-Za-z0-9_.:-]{1,32})", parameters, re.IGNORECASE)
    try:
        name = codecs.lookup(found[1]).name if found else "utf-8"
    except LookupError:
        return "utf-8"
    return name if name in _CHARSETS else "utf-8"


class Unpacked:
    """A body as it comes, or unpacked, never more of it than there is room for."""

    def __init__(self, packed: bool) -> None:
        self._inflate = zlib.decompressobj(47) if packed else None  # 47: gzip or zlib, whichever it is

    def feed(self, part: bytes, room: int) -> bytes:
        """At most `room` bytes of what a part of the body stands for. Raises zlib.error."""
        if self._inflate is None:
            return part[:room]
        out = bytearray(self._inflate.decompress(part, room))
        while self._inflate.eof and self._inflate.unused_data and len(out) < room:  # the next member of the file
            part, self._inflate = self._inflate.unused_data, zlib.decompressobj(47)
            out += self._inflate.decompress(part, room - len(out))
        return bytes(out)

    def end(self) -> None:
        """The body is over. Raises zlib.error where it is only a part of what was packed."""
        if self._inflate is not None and not self._inflate.eof:
            raise zlib.error("it ends too soon")


def unpacker(encoding: str) -> Unpacked | None:
    """What unpacks a content encoding; None for one that is not read."""
    name = encoding.strip().lower()
    return Unpacked(packed=bool(name) and name != "identity") if name in _PACKED else None


class Body:
    """What is read of a body: up to `room` bytes, and of what comes over the wire not much more than that."""

    def __init__(self, unpacked: Unpacked, room: int) -> None:
        self._unpacked, self._room, self._wire = unpacked, room, 0
        self.read_so_far, self.full = bytearray(), False

    async def read(self, response: httpx.Response) -> None:
        """Read until it ends or there is no room for more. Raises httpx.HTTPError, zlib.error."""
        assert isinstance(response.stream, httpx.AsyncByteStream)
        async for part in response.stream:
            self._wire += len(part)
            self.read_so_far += self._unpacked.feed(part, self._room - len(self.read_so_far))
            if len(self.read_so_far) >= self._room or self._wire > self._room + _OVERHEAD:
                self.full = True
                return
        self._unpacked.end()

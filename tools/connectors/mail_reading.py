"""What stands in a mail, as text. Everything in it is somebody else's word, and no mail is too broken to be read. Pure.

HTML becomes text with the targets of its links; attachments are listed and not opened; what does not show, or turns
the order of what does, is marked in its place.
"""

from __future__ import annotations

import codecs
import email
import email.header
import re
import unicodedata
from dataclasses import dataclass
from email.message import Message
from email.policy import compat32
from email.utils import parsedate_to_datetime

from typing_extensions import TypedDict  # Pydantic takes typing's from Python 3.12 only

from .addresses import read_address
from .html_text import text_of

MAX_PARTS, MAX_FIELD, MAX_HTML = 200, 4000, 300_000
CUT = "[cut]"
_MESSAGE_ID = re.compile(r"<[!-;=?-~]{1,200}@[!-;=?-~]{1,200}>")
_LINES = re.compile(r"\r\n?")
# Encodings of names and of programs' texts, for which a mail has no use; some take longer the worse their input is.
_NO_TEXT = frozenset({"idna", "punycode", "unicode-escape", "raw-unicode-escape", "undefined", "utf-7"})
_TURNING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


class Attachment(TypedDict):
    """An attachment, which is not opened. The size is in bytes."""

    name: str
    type: str
    size: int


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What a mail says.

    Attributes:
        sender, sender_name: of a From field that holds one plain address; otherwise the address is an empty text, and
            the name is what stands there.
        reply_to, to, cc, subject: as they stand in the mail, decoded.
        date: when it says that it was written, as ISO 8601 in its own zone; empty where it does not.
        message_id: its Message-ID, where that has the form of one.
        automatic: whether it says that a program wrote it.
        text: of its text parts; of its HTML where it has none.
    """

    sender: str
    sender_name: str
    reply_to: str
    to: str
    cc: str
    subject: str
    date: str
    message_id: str
    automatic: bool
    text: str = ""
    attachments: tuple[Attachment, ...] = ()

    @property
    def reply_to_differs(self) -> bool:
        """Whether it asks for answers at another address than the one it says that it comes from."""
        if not self.reply_to:
            return False
        found = read_address(self.reply_to)
        return found is None or found[1].lower() != self.sender.lower()


def read_headers(raw: bytes) -> Reading:
    """What the header of a mail says. `raw` may end anywhere after it, or in it."""
    header, _, _ = _LINES.sub("\n", raw.decode("latin-1")).partition("\n\n")
    return _of(_parsed(header.encode("latin-1")))


def read_mail(raw: bytes) -> Reading:
    """What a mail says."""
    message = _parsed(raw)
    found = _of(message)
    plain, rich, attachments = _contents(message)
    # One of several forms of the same text is shown: HTML can hide more.
    text = "\n\n".join(part for part in plain if part.strip()) or "\n\n".join(rich)
    return Reading(**{**vars(found), "text": shown(text).strip(), "attachments": tuple(attachments)})


def shown(text: str) -> str:
    """A text whose characters all show, in the order in which they stand: others are marked by U+FFFD."""
    plain = _LINES.sub("\n", text)
    return "".join(
        c
        if c in "\n\t" or (c not in _TURNING and unicodedata.category(c) not in ("Cc", "Cs", "Zl", "Zp"))
        else "\ufffd"
        for c in plain
    )


# -- headers -----------------------------------------------------------------------------------------------------------


def _parsed(raw: bytes) -> Message:
    try:
        return email.message_from_bytes(raw, policy=compat32)
    except Exception:  # noqa: BLE001 - what a sender wrote may make the parser fail in any way
        header, _, body = raw.partition(b"\n\n")
        try:
            found = email.message_from_bytes(header + b"\n\n", policy=compat32)
        except Exception:  # noqa: BLE001
            found = Message()
        for name in ("Content-Type", "Content-Transfer-Encoding"):
            del found[name]
        found.set_payload(body.decode("ascii", "replace"))
        return found


def _of(message: Message) -> Reading:
    froms = _fields(message, "From")
    found = read_address(froms[0]) if len(froms) == 1 else None
    name, address = found or (", ".join(froms), "")
    [message_id] = _fields(message, "Message-ID")[:1] or [""]
    return Reading(
        sender=address,
        sender_name=_line(_decoded(name)).strip().strip('"'),
        reply_to=_line(", ".join(_fields(message, "Reply-To"))),
        to=_header(message, "To"),
        cc=_header(message, "Cc"),
        subject=_header(message, "Subject"),
        date=_date(message),
        message_id=message_id.strip() if _MESSAGE_ID.fullmatch(message_id.strip()) else "",
        automatic=_header(message, "Auto-Submitted").lower() not in ("", "no"),
    )


def _fields(message: Message, name: str) -> list[str]:
    """The fields of that name, unfolded and otherwise as they stand."""
    found = []
    for field, value in message.raw_items():
        if field.lower() == name.lower():
            text = str(value).encode("ascii", "surrogateescape").decode("utf-8", "replace")
            found.append(_whole(re.sub(r"[\r\n]+", "", text)))
    return found


def _header(message: Message, name: str) -> str:
    return _line(", ".join(_decoded(value) for value in _fields(message, name)))


def _decoded(value: str) -> str:
    """A field's value with its encoded words decoded, as far as they can be."""
    try:
        parts = email.header.decode_header(value)
    except Exception:  # noqa: BLE001 - see _parsed
        return value
    return "".join(_text(part, charset) if isinstance(part, bytes) else part for part, charset in parts)


def _line(text: str) -> str:
    return shown(_whole(text)).replace("\n", " ").replace("\t", " ").strip()


def _whole(text: str) -> str:
    return text if len(text) <= MAX_FIELD else text[:MAX_FIELD] + CUT


def _date(message: Message) -> str:
    try:
        return parsedate_to_datetime(_header(message, "Date")).isoformat()
    except Exception:  # noqa: BLE001 - see _parsed
        return ""


# -- contents ----------------------------------------------------------------------------------------------------------


def _contents(message: Message) -> tuple[list[str], list[str], list[Attachment]]:
    """The plain texts, the HTML texts and the attachments, in their order."""
    plain, rich, attachments = list[str](), list[str](), list[Attachment]()
    todo, seen = [message], 0
    while todo:
        part = todo.pop()
        seen += 1
        if seen > MAX_PARTS:
            attachments.append({"name": f"{CUT} it has more than {MAX_PARTS} parts", "type": "", "size": 0})
            break
        kind, payload = part.get_content_type(), part.get_payload()
        inner = [p for p in payload if isinstance(p, Message)] if isinstance(payload, list) else []
        name = _file_name(part)
        if inner and part.get_content_maintype() == "multipart":
            todo += reversed(inner)
        elif inner or name or _header(part, "Content-Disposition").lower().startswith("attachment"):
            attachments.append({"name": name, "type": _line(kind), "size": _size(part, inner)})
        elif kind == "text/html":
            source = _text(_bytes(part), _charset(part))
            rich.append(text_of(source[:MAX_HTML]) + (CUT if len(source) > MAX_HTML else ""))
        elif part.get_content_maintype() == "text" or part.get_content_maintype() == "multipart":
            plain.append(_text(_bytes(part), _charset(part)))  # a multipart without parts is the text that it holds
        else:
            attachments.append({"name": name, "type": _line(kind), "size": len(_bytes(part))})
    return plain, rich, attachments


def _size(part: Message, inner: list[Message]) -> int:
    try:
        return sum(len(each.as_bytes()) for each in inner) if inner else len(_bytes(part))
    except Exception:  # noqa: BLE001 - see _parsed
        return 0


def _file_name(part: Message) -> str:
    try:
        return _line(_decoded(part.get_filename("")))[:200]
    except Exception:  # noqa: BLE001 - see _parsed
        return "\ufffd"


def _bytes(part: Message) -> bytes:
    try:
        found = part.get_payload(decode=True)
    except Exception:  # noqa: BLE001 - see _parsed
        found = part.get_payload()
    if isinstance(found, bytes):
        return found
    return found.encode("utf-8", "surrogateescape") if isinstance(found, str) else b""


def _charset(part: Message) -> str:
    try:
        return str(part.get_content_charset() or "")
    except Exception:  # noqa: BLE001 - see _parsed
        return ""


def _text(raw: bytes, charset: str | None) -> str:
    """Bytes as text; what cannot be read is marked."""
    for name in (charset, "utf-8"):
        if not name:
            continue
        try:
            found = codecs.lookup(name)
            if found.name in _NO_TEXT:
                continue
            # An ASCII text that is none is UTF-8 more often than it is broken.
            return raw.decode(name, "strict" if found.name == "ascii" else "replace")
        except (LookupError, ValueError):  # there is no such encoding, or it is none of texts
            continue
    return raw.decode("utf-8", "replace")

"""What a text makes its reader act on: links, addresses, accounts and telephone numbers.

Free text that an agent wrote after reading other people's text may say anything; most of it harms nobody. What does
harm is where it sends its reader. So these parts of a text are looked for, and are believed as a target would be.
"""

from __future__ import annotations

import re
import unicodedata

_URL = re.compile(r"\b[a-z][a-z0-9+.-]{1,15}:/{0,2}[^\s<>\"')\]]+", re.IGNORECASE)
_MAIL = re.compile(r"(?<![\w.+%-])[\w.+%-]+@[\w-]+(?:\.[\w-]+)+")
# No start within a name: whatever a text is, each place in it is looked at once.
_DOMAIN = re.compile(r"(?<![\w.@-])(?:[\w-]+\.)+[^\W\d_]{2,24}(?![^\W_])(?:/[^\s<>\"')\]]*)?")
_QUAD = re.compile(r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?![\w.])")
_ACCOUNT = re.compile(r"\b[A-Z]{2}\d{2}(?:[ .-]?[A-Z0-9]{2,4}){2,8}\b")
_NUMBER = re.compile(r"(?<![\w.,])\+?\d(?:[ ()./-]{0,2}\d){6,}(?![\w])")
_DATE = re.compile(
    r"(?<![\d./-])(?:\d{4}[./-]\d{2}[./-]\d{2}|\d{1,2}[./]\d{1,2}[./]\d{2,4}|\d{1,2}:\d{2}(?::\d{2})?)(?![./-]?\d)"
)
_DASHES = re.compile("[\u2010-\u2015\u2212]")
_LEADING = re.compile(r"(?<![\w.])\.+(?=\w)")
# Names of files look like hosts. Endings that are top level domains too (zip, mov, md, py, sh, …) are not among them.
_FILES = frozenset(
    {*("txt", "pdf", "doc", "docx", "xls", "xlsx", "ppt", "pptx", "csv", "odt", "ods", "log", "json", "xml", "html")}
    | {*("png", "jpg", "jpeg", "gif", "eml", "ics")}
)


def active_parts(text: str) -> list[str]:
    """The links, mail addresses, account numbers and telephone numbers in a text, as they stand there."""
    plain = text
    if not text.isascii():  # which is normal, and has no such character
        plain = "".join(c for c in unicodedata.normalize("NFKC", text) if unicodedata.category(c) != "Cf")
    plain = _LEADING.sub(" ", _DASHES.sub("-", plain.replace("\u3002", ".")))
    found: list[str] = []
    for pattern in (_URL, _MAIL, _ACCOUNT, _DOMAIN, _QUAD):
        for match in pattern.finditer(plain):
            part = match.group().rstrip(".,;:!?")
            if pattern is not _DOMAIN or "/" in part or part.rpartition(".")[2].casefold() not in _FILES:
                found.append(part)
        plain = pattern.sub(" ", plain)
    found += [m.group() for m in _NUMBER.finditer(_DATE.sub(" ", plain))]
    return found


def folded_part(part: str) -> str:
    """The form under which two of them are the same: `DE44 1002` and `de441002`."""
    return re.sub(r"[\s()-]", "", _DASHES.sub("-", part)).casefold().rstrip("/")

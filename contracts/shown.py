"""Values as a person may be shown them, on a terminal or a page: nothing in them acts, hides or passes for another.

For one who decides by what stands there (threat 36). The form is unambiguous: what looks like an escape was one.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator
from typing import Any

import orjson

LIMIT = 2000
"""Characters of a value that are shown, of its beginning and its end together."""
_TAIL = 0.3
_MARKS = 3  # more of them on one letter cover what stands around it
# What addresses, links and numbers are read by; and what looks like one of them, but only between ASCII characters.
_SIGNS = frozenset("@./:?#&=%+-,")
_ALIKE = str.maketrans("\u3002\uff61\u2215\u2044\u29f8\ua789\u2236\u201a", "..///::,")
# Letters and signs that show nothing, although their category does not say so.
_BLANK = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0")
_WORD = re.compile(r"\S+")
# What one writing system is made of: scripts that are written together are no sign of a disguise.
_TOGETHER = (frozenset({"CJK", "HIRAGANA", "KATAKANA", "BOPOMOFO"}), frozenset({"CJK", "HANGUL"}))


def shown(value: Any, *, limit: int = LIMIT) -> str:
    """A JSON value in one line: texts in quotes, with control, direction and invisible characters escaped.

    A word that mixes scripts, that reads as another or that has other digits than 0 to 9 is followed by a mark that
    says so, in `⟨ ⟩`; these two are escaped where the value itself holds them. What is longer than `limit` is cut in
    the middle, with a mark that says how much: the end always shows.
    """
    try:
        text = orjson.dumps(value, default=repr, option=orjson.OPT_NON_STR_KEYS).decode()
    except TypeError:  # half a surrogate pair, or an integer beyond 64 bits
        text = json.dumps(value, default=repr, skipkeys=True)
    return _cut(text, limit)


def shown_text(text: str, *, limit: int = LIMIT) -> str:
    """`shown`, for words that stand in a sentence: without the quotes around them."""
    try:
        plain = orjson.dumps(text).decode()[1:-1]
    except TypeError:
        plain = json.dumps(text)[1:-1]
    return _cut(plain.replace('\\"', '"'), limit)


def _cut(text: str, limit: int) -> str:
    if len(text) <= limit:
        return _escaped(text)
    tail = max(int(limit * _TAIL), 1)
    head = max(limit - tail, 1)
    left = len(text) - head - tail
    return f"{_escaped(text[:head])} ⟨{left} characters are not shown⟩ {_escaped(text[-tail:])}"


def _escaped(text: str) -> str:
    found, at = [], 0
    for word in _WORD.finditer(text):
        found += [_plain(text[at : word.start()]), _plain(word.group()), _mark(word.group())]
        at = word.end()
    return "".join([*found, _plain(text[at:])])


def hides(c: str) -> bool:
    """Whether a character shows nothing, breaks the line unseen, or acts: a person does not see that it is there."""
    if c.isascii() and c.isprintable():
        return False
    kind = unicodedata.category(c)
    return (
        kind[0] == "C"
        or kind in ("Zl", "Zp")
        or c in _BLANK
        or "\ufe00" <= c <= "\ufe0f"
        or "\U000e0100" <= c <= "\U000e01ef"
    )


def _plain(text: str) -> str:
    return text if text.isascii() and text.isprintable() else "".join(_characters(text))


def _characters(text: str) -> Iterator[str]:
    marks = 0
    for c in text:
        kind = unicodedata.category(c)
        marks = marks + 1 if kind in ("Mn", "Me") else 0
        odd = hides(c) or (kind == "Zs" and c != " ") or c in "⟨⟩" or marks > _MARKS
        yield c if not odd else f"\\u{ord(c):04x}" if ord(c) < 0x10000 else f"\\U{ord(c):08x}"


def _mark(word: str) -> str:
    """What a reader cannot see of a word: that it is made of several scripts, or of signs that look like letters."""
    if word.isascii():
        return ""
    scripts = {_script(c) for c in word if c.isalpha()} - {""}
    reads = unicodedata.normalize("NFKC", word)
    told = []
    if len(scripts) > 1 and not any(scripts <= several for several in _TOGETHER):
        told.append(f"mixes {', '.join(sorted(s.capitalize() for s in scripts))}")
    if any(_is_disguised(word, at) for at in range(len(word))):
        told.append(f"reads as {_plain(reads.translate(_ALIKE))}")
    if digits := {_digits(c) for c in reads if not c.isascii() and c.isdecimal()}:
        told.append(f"has {', '.join(sorted(digits))} digits")
    return f" ⟨{'; '.join(told)}⟩" if told else ""


def _is_disguised(word: str, at: int) -> bool:
    """Whether a letter or digit, or a sign that addresses are read by, is written as something else."""
    c = word[at]
    if c.isascii() or c == "…":  # which honest text is full of, and no address reads as dots
        return False
    reads = unicodedata.normalize("NFKC", c)
    if c.isalnum() and reads != unicodedata.normalize("NFC", c):
        return True
    around = _reading(word[at - 1 : at]), _reading(word[at + 1 : at + 2])
    beside = [n.isascii() and n not in ("", '"', "\\") for n in around]
    if not _SIGNS.isdisjoint(reads):  # fullwidth signs are at home among ideographs
        return any(beside)
    return all(beside) and not _SIGNS.isdisjoint(reads.translate(_ALIKE))


def _reading(c: str) -> str:
    return unicodedata.normalize("NFKC", c).translate(_ALIKE)


def _digits(c: str) -> str:
    return unicodedata.name(c, "UNNAMED DIGIT").partition(" DIGIT")[0].title()


def _script(c: str) -> str:
    name = unicodedata.name(c, "").partition(" ")[0]
    return {"FULLWIDTH": "LATIN", "HALFWIDTH": "KATAKANA", "MATHEMATICAL": "LATIN"}.get(name, name)

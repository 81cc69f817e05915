"""The offline model's reading: words of nine languages, and small readers for ids, sums and months.

The stems are in `data/words.toml` and are matched against `folded` text. The offline model reads words, not
sentences, and is meant to be wrong where that is not enough.
"""

from __future__ import annotations

import re
import tomllib
import unicodedata
from typing import Any

from .seed import DATA

_LETTERS = str.maketrans({"ł": "l", "ı": "i", "ß": "ss", "ø": "o", "œ": "oe", "’": "'", "´": "'"})
_WORDS: dict[str, Any] = tomllib.loads((DATA / "words.toml").read_text(encoding="utf-8"))

PLACES: dict[str, str] = _WORDS["places"]


def folded(text: str) -> str:
    """Lower case, without accents, white space as single blanks."""
    plain = unicodedata.normalize("NFKD", text.lower().translate(_LETTERS))
    return " ".join("".join(char for char in plain if not unicodedata.combining(char)).split())


def _stems(name: str) -> re.Pattern[str]:
    return re.compile(r"(?<![a-z0-9])(?:" + "|".join(_WORDS[name]) + ")")


INTERNET = _stems("internet")
MOBILE = _stems("mobile")
FAULT = _stems("fault")
WORKS_AGAIN = _stems("works_again")
SETTINGS = _stems("settings")
LATE_FEE = _stems("late_fee")
TWICE = _stems("twice")
ENDED = _stems("ended")
COMPENSATION = _stems("compensation")
TOO_HIGH = _stems("too_high")
OWED = _stems("owed")
MONEY = _stems("money")
CANCEL = _stems("cancel")
NOT_NOW = _stems("not_now")
LOGIN = _stems("login")
PIN = _stems("pin")
SOMEBODY_ELSE = _stems("somebody_else")
CAN_WAIT = _stems("can_wait")
ABOVE_ALL = _stems("above_all")
ORDER = _stems("order")
FEBRUARY = _stems("february")
MARCH = _stems("march")

_DATE = re.compile(r"\d{1,2}\.? ?(?:de |of |th |st |nd |rd )*(?=[a-z]{3,})[a-z]+")
_SUM = re.compile(r"(?<![\d-])(\d{1,4})(?:[.,](\d{2}))? ?(eur\b|euros?\b|€|cents?\b|centimes|centimos|zl\b)")
_LOGIN_NAME = re.compile(r"(?<![@\w.-])[a-z]{1,20}\.[a-z]{2,20}(?![\w@-]|\.\w)")


def months(text: str) -> set[str]:
    """Months named as such ("03"); a full date says when something happened, not which invoice is meant."""
    rest = _DATE.sub(" ", text)
    return {month for month, pattern in (("02", FEBRUARY), ("03", MARCH)) if pattern.search(rest)}


def sums(text: str) -> list[int]:
    """Amounts of money, in cents, in the order in which they are named."""
    found = []
    for whole, part, unit in _SUM.findall(text):
        cents = int(whole) if unit.startswith("cent") else int(whole) * 100 + int(part or 0)
        found.append(cents)
    return found


def ids(text: str, prefix: str) -> list[str]:
    """Ids such as INV-5403, each once, in the order in which they are named."""
    found = re.findall(rf"(?<![a-z]){prefix.lower()}-? ?(\d{{4}})(?!\d)", text)
    return list(dict.fromkeys(f"{prefix}-{number}" for number in found))


def logins(text: str) -> list[str]:
    """Words that look like a login, such as anna.keller; parts of mail addresses do not count."""
    return list(dict.fromkeys(_LOGIN_NAME.findall(text)))


def tokens(text: str) -> list[str]:
    """The words of a folded text."""
    return re.findall(r"[a-z0-9]+", text)

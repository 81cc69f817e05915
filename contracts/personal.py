"""Detectors of personal data that has a form: addresses of mail, telephone numbers, bank accounts, national ids.

Names, postal addresses and anything else that only its meaning gives away have no form; give such values to a
`Redactor` as known, or use a Presidio detector with a language model (`edgewright.contracts.presidio`).

National ids are found by their layout and, where the country gives them one, by their check digits (python-stdnum).
Only layouts that ordinary numbers seldom have are here: nine or ten bare digits are an order number more often than
an id.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import cache, cached_property, lru_cache
from importlib import import_module
from ipaddress import ip_address
from string import ascii_letters, digits
from typing import Any

Span = tuple[int, int]

_LOCAL = re.compile(r"[\w.!#$%&*+/=?^~{|}'-]{1,64}\Z")
_DOMAIN = re.compile(r"[^\W_](?:[\w-]{0,62})(?:\.[^\W_][\w-]{0,62}){1,8}")
_TOP = re.compile(r"[^\W\d_]{2,24}|xn--[a-z0-9-]{2,59}", re.IGNORECASE)


class Email:
    """Addresses of electronic mail (RFC 5322, the unquoted form; internationalised ones included)."""

    name, window = "email", 1

    def maybe(self, text: str) -> bool:
        return "@" in text

    def spans(self, text: str) -> Iterator[Span]:
        at, done = text.find("@"), 0
        while at >= 0:
            local = _LOCAL.search(text, max(at - 64, done), at)
            domain = _DOMAIN.match(text, at + 1, at + 256)
            if local and domain:
                start, end = local.start(), domain.end()
                while start < at and text[start] in ".'={}|/?&*":
                    start += 1
                # A label too many may be the next sentence: the address ends with its last possible top domain.
                while end > at and not _TOP.fullmatch(text, text.rfind(".", at, end) + 1, end):
                    end = text.rfind(".", at, end)
                if start < at < end and "." in text[at:end]:
                    yield start, end
                    done = end
            at = text.find("@", at + 1)


@cache
def _phonenumbers() -> Any:
    return import_module("phonenumbers")


# Few: a text is judged in pieces that overlap, and the library takes a tenth of a millisecond for a number.
@lru_cache(maxsize=64)
def _matched(written: str, region: str) -> tuple[Span, ...]:
    """Where numbers stand in a row of digits: international ones, or those of a region."""
    library = _phonenumbers()
    how = {"leniency": library.Leniency.STRICT_GROUPING} if region else {}
    return tuple((m.start, m.end) for m in library.PhoneNumberMatcher(written, region or None, **how))


class Phone:
    """Telephone numbers that are valid by the numbering plans (ITU-T E.164, as libphonenumber holds them).

    Without `regions` only the international form counts: a plus sign or 00, the country's code, the number. With
    `regions` (ISO 3166 codes) their national form does too, where it is grouped as the region groups it and shows it:
    a trunk zero, a bracket or a separator. A bare row of digits is never a telephone number.
    """

    window = 40
    _WORLD = re.compile(
        r"(?:\+|(?<![\w.,+-])00(?=[ \t(\-]{0,2}[1-9]))[ \t]?\(?\d[\d \t().\-/\u00a0\u2010-\u2015\u202f]{5,24}\d"
    )
    _HOME = re.compile(
        r"(?<![\w.,+/-])(?:\(\d{2,5}\)|0\d|\d{2,5}[ \-./])[\d \t().\-/\u00a0\u2010-\u2015\u202f]{4,20}\d(?![\w-])"
    )

    def __init__(self, regions: Sequence[str] = (), name: str = "phone") -> None:
        self.name, self._regions = name, tuple(regions)

    def load(self) -> None:
        # libphonenumber reads a region's plan when a number of it is first seen: import them before any payload.
        _phonenumbers().PhoneMetadata.load_all()

    def maybe(self, text: str) -> bool:
        world = ("+" in text or "00" in text) and self._WORLD.search(text)
        return bool(world) or bool(self._regions and self._HOME.search(text))

    def spans(self, text: str) -> Iterator[Span]:
        found = list(self._international(text))
        for region in self._regions:
            taken, near = sorted(found), 0
            for run in self._HOME.finditer(text):
                for start, end in _matched(run.group(), region):
                    span = run.start() + start, run.start() + end
                    while near < len(taken) and taken[near][1] <= span[0]:
                        near += 1
                    if near == len(taken) or span[1] <= taken[near][0]:
                        found.append(span)
        yield from sorted(found)

    def _international(self, text: str) -> Iterator[Span]:
        if "+" not in text and "00" not in text:
            return
        for run in self._WORLD.finditer(text):
            written = run.group()
            moved = 0 if written[0] == "+" else 1  # 00 stands for the plus sign that the library wants to see
            for start, end in _matched(written if not moved else f"+{written[2:]}", ""):
                yield run.start() + (start + moved if start else 0), run.start() + end + moved


class Iban:
    """International bank account numbers (ISO 13616): a country's length and layout, and the check digits."""

    name, window = "iban", 48
    # Searched from the check digits on, for speed: letters are everywhere.
    _START = re.compile(r"[0-9][0-9](?<=(?<![A-Za-z0-9])[A-Za-z]{2}[0-9]{2})(?:[ \-\u00a0]?[A-Za-z0-9]){11,30}")

    def load(self) -> None:
        _ = self._valid

    @cached_property
    def _valid(self) -> Any:
        return import_module("stdnum.iban").is_valid

    def maybe(self, text: str) -> bool:
        return self._START.search(text) is not None

    def spans(self, text: str) -> Iterator[Span]:
        at = 0
        while run := self._START.search(text, at):
            at, start = run.start() + 1, run.start() - 2
            for end in _right_ends(text, start, run.end()):
                number = re.sub(r"[^A-Za-z0-9]", "", text[start:end])
                if self._valid(number, check_country=False):
                    yield start, end
                    at = end
                    break


_DIGIT = {char: int(char, 36) for char in ascii_letters + digits}


def _right_ends(text: str, start: int, stop: int) -> list[int]:
    """Where a bank account's number may end by its check digits (ISO 7064, MOD 97-10), the last first.

    The words after the number look like more of it: it ends where a whole group does.
    """
    header = int("".join([str(int(char, 36)) for char in text[start : start + 4]]))
    ends: list[int] = []
    rest, size = 0, 4
    for place in range(start + 4, stop):
        digit = _DIGIT.get(text[place])
        if digit is None:
            continue
        rest, size = (rest * (10 if digit < 10 else 100) + digit) % 97, size + 1
        if size > 34:
            break
        if place >= start + 14 and text[place + 1 : place + 2] not in _DIGIT and (rest * 1_000_000 + header) % 97 == 1:
            ends.append(place + 1)
    return ends[::-1]


def _layout(first: str, rest: str) -> re.Pattern[str]:
    return re.compile(rf"{first}(?<![\w.+-].)(?:{rest})(?![\w-])")


class NationalId:
    """One country's personal number: a layout, and the check that python-stdnum's `module` makes of it.

    The layout is given in two, its first character and the rest. Look-behind stands after the first character: the
    search then skips to it, instead of looking behind every character of the text.
    """

    window = 24

    def __init__(self, name: str, first: str, rest: str, module: str) -> None:
        self.name, self._module = name, module
        self.first, self.rest = first, rest
        self._layout = _layout(first, rest)

    @staticmethod
    def screen(text: str) -> bool:
        """One search for all layouts."""
        return _DIGIT_FIRST.search(text) is not None or _LETTER_FIRST.search(text) is not None

    def load(self) -> None:
        _ = self._valid

    @cached_property
    def _valid(self) -> Any:
        return import_module(f"stdnum.{self._module}").is_valid

    def maybe(self, text: str) -> bool:
        return self._layout.search(text) is not None

    def spans(self, text: str) -> Iterator[Span]:
        for match in self._layout.finditer(text):
            if self._valid(match.group().upper()):
                yield match.span()


class IpAddress:
    """Addresses of the internet protocol, both versions. A version number of four parts looks the same, and logs are
    full of them: this detector stands in no group.
    """

    name, window = "ip_address", 1
    _RUN = re.compile(r"(?<![\w.:])(?:\d{1,3}(?:\.\d{1,3}){3}(?![\w.]*\d)|[0-9A-Fa-f:.]{6,45}(?![\w:]))")

    def maybe(self, text: str) -> bool:
        return ("." in text or ":" in text) and self._RUN.search(text) is not None

    def spans(self, text: str) -> Iterator[Span]:
        for run in self._RUN.finditer(text):
            written = run.group().rstrip(".")
            try:
                ip_address(written)
            except ValueError:
                continue
            yield run.start(), run.start() + len(written)


_D = "[0-9]"

_NATIONAL = (
    NationalId("us_ssn", _D, r"\d\d([- ])\d\d\1\d{4}", "us.ssn"),
    NationalId("us_itin", "9", r"\d\d([- ])\d\d\1\d{4}", "us.itin"),
    NationalId("uk_nhs", _D, r"\d\d([- ])\d{3}\1\d{4}", "gb.nhs"),
    NationalId("es_dni", _D, r"\d{7}-?[A-Za-z]", "es.dni"),
    NationalId("es_nie", "[XYZ]", r"-?\d{7}-?[A-Z]", "es.nie"),
    NationalId(
        "it_codice_fiscale", "[A-Z]", r"[A-Z]{5}[0-9L-V]{2}[A-Z][0-9L-V]{2}[A-Z][0-9L-V]{3}[A-Z]", "it.codicefiscale"
    ),
    NationalId("fr_nir", "[12]", r" ?\d{2} ?\d{2} ?\d[0-9AB] ?\d{3} ?\d{3} ?\d{2}", "fr.nir"),
    NationalId("fi_hetu", _D, r"\d{5}[-+A-FYXWVU]\d{3}[0-9A-Y]", "fi.hetu"),
    NationalId("se_personnummer", _D, r"\d(?:\d{2})?\d{4}[-+]\d{4}", "se.personnummer"),
    NationalId("no_fodselsnummer", _D, r"\d{5} ?\d{5}", "no.fodselsnummer"),
    NationalId("br_cpf", _D, r"\d\d\.\d{3}\.\d{3}-\d{2}", "br.cpf"),
    NationalId("be_nn", _D, r"\d\.\d{2}\.\d{2}-\d{3}\.\d{2}", "be.nn"),
    NationalId("in_aadhaar", _D, r"\d{3}([- ])\d{4}\1\d{4}", "in_.aadhaar"),
    NationalId("in_pan", "[A-Z]", r"[A-Z]{2}[ABCFGHJLPT][A-Z]\d{4}[A-Z]", "in_.pan"),
    NationalId("ca_sin", _D, r"\d\d([- ])\d{3}\1\d{3}", "ca.sin"),
)  # fmt: skip


def _any_layout(first: str, starts: Callable[[str], bool]) -> re.Pattern[str]:
    # Numbered references do not survive a union; any separator will do to take a closer look.
    rests = [n.rest.replace(r"\1", "[- ]").replace("([- ])", "[- ]") for n in _NATIONAL if starts(n.first)]
    return _layout(first, "|".join(rests))


_DIGIT_FIRST = _any_layout("[0-9]", lambda first: "Z" not in first)
_LETTER_FIRST = _any_layout("[A-Z]", lambda first: "Z" in first)

PERSONAL: tuple[Any, ...] = (Email(), Phone(), Iban(), *_NATIONAL)

"""Detectors of secrets: formats, tokens and keys with a structure, and values assigned to a telling name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cached_property
from importlib import import_module
from typing import Any

from .secret_formats import FORMATS

Span = tuple[int, int]

_TOKEN = re.compile(r"[A-Za-z0-9_=-]+(?:\.[A-Za-z0-9_=+/-]+)*")


class Jwt:
    """JSON Web Tokens (RFC 7519): header and payload must decode to JSON, as detect-secrets asks; the signature goes
    with them.
    """

    name, window = "jwt", 1

    def load(self) -> None:
        _ = self._valid

    @cached_property
    def _valid(self) -> Any:
        return import_module("detect_secrets.plugins.jwt").JwtTokenDetector.is_formally_valid

    def maybe(self, text: str) -> bool:
        return "eyJ" in text

    def spans(self, text: str) -> Iterator[Span]:
        if not self.maybe(text):
            return
        for token in _TOKEN.finditer(text):
            parts = token.group().split(".")
            at, free = token.start(), 0
            for place, part in enumerate(parts[:-1]):
                # The plugin's own pattern would try every `eyJ` against all that follows; one part has few worth it.
                start, tries = part.find("eyJ"), 0
                while start >= 0 and tries < 4 and place >= free:
                    if self._valid(f"{part[start:]}.{parts[place + 1]}"):
                        free = place + 3
                        yield at + start, at + len(".".join(parts[place:free]))
                    start, tries = part.find("eyJ", start + 1), tries + 1
                at += len(part) + 1


class PrivateKey:
    """Private keys in PEM armour (RFC 7468), OpenPGP armour and PuTTY files: header, body and footer.

    A key without its footer is taken as far as its lines look like a body.
    """

    name, window = "private_key", 64
    _HEAD = re.compile(r"-{0,5} ?BEGIN (?:[A-Z0-9]{1,12} ){0,3}PRIVATE KEY(?: BLOCK)?-{0,5}|PuTTY-User-Key-File-\d")
    _FOOT = re.compile(r"-{0,5} ?END (?:[A-Z0-9]{1,12} ){0,3}PRIVATE KEY(?: BLOCK)?-{0,5}|Private-MAC: ?[0-9a-f]+")
    _BODY = re.compile(r"(?:(?:\s|\\[nr])*(?:[A-Za-z-]{3,20}: [^\n]{0,200}(?:\n|\\n|$)|[A-Za-z0-9+/=]{16,}))*")
    LONGEST = 16_384

    def maybe(self, text: str) -> bool:
        return "PRIVATE KEY" in text or "PuTTY-User-Key" in text

    def spans(self, text: str) -> Iterator[Span]:
        if not self.maybe(text):
            return
        done, foot = 0, self._FOOT.search(text)
        for head in self._HEAD.finditer(text):
            if head.start() < done:
                continue
            while foot and foot.start() < head.end():
                foot = self._FOOT.search(text, foot.end())
            if foot and foot.end() - head.end() <= self.LONGEST:
                done = foot.end()
            else:
                body = self._BODY.match(text, head.end(), head.end() + self.LONGEST)
                done = body.end() if body else head.end()
            yield head.start(), done


_PLACEHOLDER = re.compile(
    r"[<\[{$%*].*|x+|\.+|(?:true|false|null|none|required|optional|changed|unknown|reset)\W*", re.IGNORECASE
)


class Keyword:
    """A value assigned to a name that says it is secret: `password=...`, `api_key: "..."`, `"client_secret": "..."`.

    Only the value is the find. Quoted, it has four characters or more and no white space; unquoted, six or more with a
    digit or a sign among them, so that prose (`Password: please ask`) and placeholders (`<token>`, `${KEY}`) pass.
    """

    name, window, before = "keyword", 96, 64
    _HINT = re.compile("pass|pwd|secret|key|token")
    _ODD = re.compile(r"[\d!@#$%^&*+/~_]")
    _SIGN = re.compile(r":=|=>|={1,3}|:")
    _NAME = re.compile(
        r"(?:pass(?:word|wd|phrase|code)|pwd|secret"
        r"|(?:api|access|auth|private|client|secret|account)[_-]?(?:key|token|secret))"
        r"\w{0,24}\\?[\"'\]]{0,2}[ \t]{0,3}\Z"
    )
    _VALUE = re.compile(r"[ \t]{0,3}\\?(?:([\"'`])(?P<quoted>[^\s\"'`\\]{4,512})|(?P<bare>[^\s\"'`,;&\\]{6,512}))")

    def maybe(self, text: str) -> bool:
        if ":" not in text and "=" not in text:
            return False
        low = text.lower()
        return self._HINT.search(low) is not None

    def spans(self, text: str) -> Iterator[Span]:
        done = 0
        for sign in self._SIGN.finditer(text):
            before = text[max(sign.start() - 56, 0) : sign.start()].lower()
            if sign.start() < done or not self._HINT.search(before) or not self._NAME.search(before):
                continue
            match = self._VALUE.match(text, sign.end())
            if match is None:
                continue
            quoted = match["quoted"] is not None
            value = match["quoted"] or match["bare"].rstrip(".)")
            odd = self._ODD.search(value)
            if (quoted or (odd and len(value) >= 6)) and not _PLACEHOLDER.fullmatch(value):
                start = match.start("quoted" if quoted else "bare")
                done = start + len(value)
                yield start, done


class HighEntropy:
    """Random-looking runs of 20 to 256 characters, by detect-secrets' entropy limits (base64 4.5, hexadecimal 3.0).

    Ids and digests are such runs too: this detector stands in no group, and is named where nothing random may pass.
    """

    name, window = "high_entropy", 1
    _RUN = re.compile(r"[A-Za-z0-9+/=_-]{20,}")

    def load(self) -> None:
        _ = self._plugins

    @cached_property
    def _plugins(self) -> tuple[Any, Any]:
        module = import_module("detect_secrets.plugins.high_entropy_strings")
        return module.Base64HighEntropyString(), module.HexHighEntropyString()

    def maybe(self, text: str) -> bool:
        return self._RUN.search(text) is not None

    def spans(self, text: str) -> Iterator[Span]:
        for run in self._RUN.finditer(text):
            base64, hexadecimal = self._plugins
            sample = run.group()[:256]
            is_hex = all(c in "0123456789abcdefABCDEF" for c in sample)
            plugin = hexadecimal if is_hex else base64
            if plugin.calculate_shannon_entropy(sample) > plugin.entropy_limit:
                yield run.span()


SECRETS: tuple[Any, ...] = (*FORMATS, Jwt(), Keyword(), PrivateKey())

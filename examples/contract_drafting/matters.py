"""Matters: the file that the firm keeps of each client's request, and the mails that came for it."""

from __future__ import annotations

import email
import email.policy
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import TypedDict

MOST_MAIL = 20_000


class Mail(TypedDict):
    """A mail as its reader gets it: the words of somebody else, hidden ones included."""

    file: str
    sender: str
    subject: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Matter:
    """What the firm itself has on file. `value_eur` is what the matter is worth in euro."""

    number: str
    client: str
    counterparty: str
    lawyer: str
    opened: str
    purpose: str
    services: str
    fee: str
    data_kinds: str
    value_eur: int
    term_months: int
    cap_percent: int
    personal_data: bool
    special_categories: bool
    transfers_outside_eea: bool

    @property
    def values(self) -> Mapping[str, str]:
        """What fills the places in clauses."""
        return {name: str(value) for name, value in asdict(self).items() if not isinstance(value, bool)}


def read_matter_file(path: Path) -> Matter:
    """Read a `matter.toml`. Raises TypeError for one that lacks a field or has another."""
    return Matter(**tomllib.loads(path.read_text(encoding="utf-8")))


def read_mail(path: Path) -> Mail:
    """Read one mail of a matter. Nothing of it is vouched for, its sender neither."""
    message = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
    body = message.get_body(("plain", "html"))
    text = body.get_content() if body is not None else ""
    if body is not None and body.get_content_subtype() == "html":
        reader = _Words()
        reader.feed(text)
        text = " ".join(reader.words)
    return Mail(
        file=path.name,
        sender=str(message["From"] or ""),
        subject=str(message["Subject"] or ""),
        text=" ".join(str(text).split())[:MOST_MAIL],
    )


class _Words(HTMLParser):
    """All text of a page. What a style hides is read like the rest: so would a model that is given the source."""

    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []

    def handle_data(self, data: str) -> None:
        self.words.append(data)

"""The papers of the desk: statements, news and notes, a file per share in `data/`. All of them are written.

A paper counts from its day on, and for so many days: what an analyst reads on a day is what lay on the desk then.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Literal

from typing_extensions import TypedDict  # Pydantic reads the standard one only from Python 3.12 on

from .market import NoMaterial

DATA = Path(__file__).with_name("data")
STATEMENTS, NEWS, NOTES = 200, 60, 365
"""How many days a paper counts."""


class Figures(TypedDict):
    """A statement, in dollars a share and in percent."""

    published: date
    period: str
    earnings_per_share: float
    revenue_growth_percent: float
    net_margin_percent: float
    debt_to_equity_percent: float


class Report(TypedDict):
    """What somebody published. Nobody vouches for it."""

    day: date
    source: str
    headline: str
    text: str


class Controversy(TypedDict):
    """Something that is held against a company."""

    what: str
    severity: Literal["minor", "moderate", "severe"]


class Note(TypedDict):
    """The desk's own note; scores from 0 to 100, more is better."""

    written: date
    environment: int
    social: int
    governance: int
    controversies: list[Controversy]


@dataclass(frozen=True, slots=True)
class Papers:
    """The feeds, by folder."""

    folder: Path = DATA

    def statement(self, ticker: str, as_of: date) -> Figures:
        """The newest statement. Raises NoMaterial."""
        newest: Figures = self._on_desk("statements", ticker, "statement", "published", as_of, STATEMENTS)[-1]
        return newest

    def news(self, ticker: str, as_of: date) -> list[Report]:
        """The reports of the last weeks, oldest first. Raises NoMaterial."""
        return self._on_desk("news", ticker, "report", "day", as_of, NEWS)

    def note(self, ticker: str, as_of: date) -> Note:
        """The newest note on environment, social matters and governance. Raises NoMaterial."""
        newest: Note = self._on_desk("notes", ticker, "note", "written", as_of, NOTES)[-1]
        return newest

    def _on_desk(self, feed: str, ticker: str, kind: str, dated: str, as_of: date, days: int) -> list[Any]:
        try:
            text = (self.folder / feed / f"{ticker}.toml").read_text(encoding="utf-8")
        except FileNotFoundError:
            raise NoMaterial(f"there is no feed of {feed} for {ticker}") from None
        all_of_them: list[dict[str, Any]] = tomllib.loads(text)[kind]
        found = [paper for paper in all_of_them if 0 <= (as_of - paper[dated]).days <= days]
        if not found:
            raise NoMaterial(f"the feed of {feed} has nothing on {ticker} of the {days} days before {as_of}")
        return sorted(found, key=lambda paper: paper[dated])

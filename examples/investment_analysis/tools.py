"""The tools: one look-up for each analyst, and the one deed of the desk, a picture in its home.

No tool decides who may use it, or for which day. It says truthfully what lay on the desk on the day it is asked for;
the rules are in `policy.cedar`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

from edgewright import ToolContext, ToolRefusal, tool
from typing_extensions import TypedDict  # Pydantic reads the standard one only from Python 3.12 on

from .chart import drawn
from .contracts import Percent, Ticker, View
from .counting import status_of
from .indicators import indicators
from .market import NoMaterial, prices
from .papers import Figures, Note, Papers, Report

CHARTS = "investment_analysis/charts"
"""Where the pictures are, inside a system's home."""


@dataclass(frozen=True, slots=True)
class Desk:
    """The desk's things: its home, where the pictures go, and its papers."""

    home: Path
    papers: Papers = field(default_factory=Papers)


class PriceAction(TypedDict):
    """The last day and what the prices up to it come to; null where the history is too short."""

    day: date
    close: float
    average_50_days: float | None
    average_200_days: float | None
    relative_strength: float | None
    momentum: float | None
    percent_below_high_of_a_year: float


class Statement(Figures):
    """The newest statement, and the price for each dollar that a share earned in a year; null where it earned none."""

    price_to_earnings: float | None


class Published(TypedDict):
    """Where the picture is, inside the system's home, and the close it ends with, in dollars."""

    chart: str
    day: date
    close: float


@tool(
    effect="read",
    output="trusted",
    sensitivity="public",
    sink=False,
    roles={"ticker": "ref", "as_of": "ref"},
    timeout=20,
)
def look_at_prices(ticker: Ticker, as_of: date) -> PriceAction:
    """Look at the prices of a share up to a day: the last close, averages, relative strength, momentum."""
    history = prices(ticker, as_of)
    found = indicators(history)
    return PriceAction(
        day=history.days[-1],
        close=history.paid,
        average_50_days=_rounded(found.sma_50[-1]),
        average_200_days=_rounded(found.sma_200[-1]),
        relative_strength=_rounded(found.rsi[-1]),
        momentum=_rounded(found.macd[-1]),
        percent_below_high_of_a_year=found.below_high,
    )


@tool(effect="read", output="trusted", sensitivity="public", sink=False, roles={"ticker": "ref", "as_of": "ref"})
def read_statement(ticker: Ticker, as_of: date, *, ctx: ToolContext) -> Statement:
    """Read the newest statement of a company on a day, and the price to earnings at that day's close."""
    found = ctx.resource(Desk).papers.statement(ticker, as_of)
    earned = found["earnings_per_share"]
    ratio = round(prices(ticker, as_of).paid / earned, 1) if earned > 0 else None
    return Statement(**found, price_to_earnings=ratio)


# Whatever a page says, a page says it: nothing of it may decide what is done.
@tool(effect="read", output="untrusted", sensitivity="public", sink=False, roles={"ticker": "ref", "as_of": "ref"})
def read_news(ticker: Ticker, as_of: date, *, ctx: ToolContext) -> list[Report]:
    """Read the reports of the press on a company in the weeks before a day, oldest first."""
    return ctx.resource(Desk).papers.news(ticker, as_of)


@tool(effect="read", output="trusted", sensitivity="public", sink=False, roles={"ticker": "ref", "as_of": "ref"})
def read_notes(ticker: Ticker, as_of: date, *, ctx: ToolContext) -> Note:
    """Read the desk's newest note on a company's environment, social matters and governance on a day."""
    return ctx.resource(Desk).papers.note(ticker, as_of)


@tool(
    effect="write",
    output="trusted",
    sensitivity="public",
    sink=False,
    roles={
        "ticker": "ref",
        "as_of": "ref",
        "recommendation": "content",
        "confidence": "scalar",
        "agreeing": "scalar",
        "agreeing_without_press": "scalar",
        "opposed": "scalar",
    },
    idempotency="natural",
)
def publish(
    ticker: Ticker,
    as_of: date,
    recommendation: View,
    confidence: Percent,
    agreeing: Literal[1, 2, 3, 4],
    agreeing_without_press: Literal[0, 1, 2, 3],
    opposed: Literal[0, 1, 2],
    *,
    ctx: ToolContext,
) -> Published:
    """Publish a recommendation as a picture: the price with its indicators, and what is recommended as of that day."""
    desk = ctx.resource(Desk)
    try:
        history = prices(ticker, as_of)
    except NoMaterial as nothing:
        raise ToolRefusal(str(nothing)) from nothing
    status = status_of(agreeing_without_press)
    picture = drawn(history, recommendation=recommendation, confidence=confidence, status=status)
    place = f"{CHARTS}/{ticker}_{as_of}_{recommendation}.png"
    _write(desk.home / place, picture)
    return Published(chart=place, day=history.days[-1], close=history.paid)


def _write(path: Path, content: bytes) -> None:
    """Whole or not at all: whoever looks at the folder meanwhile sees no half of a picture."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{uuid4().hex}")
    try:
        draft.write_bytes(content)
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def _rounded(value: float | None) -> Any:
    return None if value is None else round(value, 2)

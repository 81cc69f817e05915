"""Real prices: five shares, each trading day from 2000 (or the first one) to March 2013, out of an installed package.

`bokeh_sampledata` ships an extract of Quandl WIKI Prices, which its publisher put into the public domain. Prices of a
day are as they were paid; those of earlier days are put in relation to it, as if splits and dividends of the time
between had happened before. Nothing after the day is ever shown.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from datetime import date
from importlib.util import find_spec
from typing import TYPE_CHECKING

from edgewright.contracts.errors import ProjectInvalid

if TYPE_CHECKING:
    from bokeh_sampledata.stocks import StockData

NEEDED = ("bokeh_sampledata", "matplotlib", "talib")


class NoMaterial(LookupError):
    """There is nothing about a share on a day. Whoever needs it has no view."""


def refuse_without_packages() -> None:
    """Raise ProjectInvalid where a package is missing that the example needs."""
    missing = [name for name in NEEDED if not _installed(name)]
    if missing:
        fault = f"it needs {', '.join(missing)}: pip install edgewright[examples]"
        raise ProjectInvalid(name="investment_analysis", faults=[fault])


def _installed(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:
        return False


@dataclass(frozen=True, slots=True)
class Prices:
    """The closing prices of a share up to a day, oldest first, in dollars of that day.

    Attributes:
        paid: what was paid at the close of the last day, adjusted for nothing.
    """

    ticker: str
    days: tuple[date, ...]
    closes: tuple[float, ...]
    paid: float


def prices(ticker: str, as_of: date) -> Prices:
    """A share's prices up to and including a day.

    Raises:
        NoMaterial: it was not traded in the two weeks before.
    """
    from bokeh_sampledata import stocks

    found: StockData = getattr(stocks, ticker)
    end = bisect_right(found["date"], as_of.isoformat())
    days = tuple(map(date.fromisoformat, found["date"][:end]))
    if not days or (as_of - days[-1]).days > 14:
        raise NoMaterial(f"no price of {ticker} in the two weeks before {as_of}")
    paid, adjusted = found["close"][end - 1], found["adj_close"]
    return Prices(
        ticker=ticker, days=days, closes=tuple(a * paid / adjusted[end - 1] for a in adjusted[:end]), paid=paid
    )

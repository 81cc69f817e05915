"""Real prices, as of a day: nothing after it, splits taken out, what was paid left as it was."""

from __future__ import annotations

from datetime import date

import pytest
from edgewright.examples.investment_analysis.contracts import Ticker
from edgewright.examples.investment_analysis.indicators import indicators
from edgewright.examples.investment_analysis.market import NoMaterial, Prices, prices

TICKERS: tuple[Ticker, ...] = ("AAPL", "FB", "GOOG", "IBM", "MSFT")


@pytest.mark.parametrize("ticker", TICKERS)
def test_no_price_is_of_a_later_day(ticker: Ticker) -> None:
    history = prices(ticker, date(2012, 9, 3))  # a holiday: the exchange was closed
    assert history.days[-1] == date(2012, 8, 31)
    assert list(history.days) == sorted(set(history.days))
    assert len(history.days) == len(history.closes)


def test_the_last_price_is_what_was_paid_on_that_day() -> None:
    history = prices("AAPL", date(2009, 9, 30))
    assert history.paid == 185.35
    assert history.closes[-1] == pytest.approx(185.35)


def test_a_split_before_the_day_is_no_fall_in_price() -> None:
    closes = prices("AAPL", date(2005, 3, 31))  # two for one on 28 February 2005
    split = closes.days.index(date(2005, 2, 28))
    assert closes.closes[split] / closes.closes[split - 1] == pytest.approx(1.0, abs=0.05)


def test_a_split_after_the_day_is_not_known_on_it() -> None:
    assert prices("AAPL", date(2005, 2, 25)).closes[-1] == pytest.approx(88.99)


@pytest.mark.parametrize(
    ("ticker", "day"), [("FB", date(2012, 5, 17)), ("IBM", date(2000, 1, 3)), ("IBM", date(2026, 1, 2))]
)
def test_a_day_without_a_price_has_no_material(ticker: Ticker, day: date) -> None:
    with pytest.raises(NoMaterial, match=f"no price of {ticker} in the two weeks before {day}"):
        prices(ticker, day)


def test_averages_are_of_the_days_they_name() -> None:
    history = prices("MSFT", date(2010, 6, 30))
    found = indicators(history)
    assert found.sma_50[-1] == pytest.approx(sum(history.closes[-50:]) / 50)
    assert found.sma_200[-1] == pytest.approx(sum(history.closes[-200:]) / 200)
    assert found.sma_200[:199] == (None,) * 199
    assert found.below_high == pytest.approx((1 - history.closes[-1] / max(history.closes[-252:])) * 100, abs=0.06)


def test_relative_strength_is_wilders() -> None:
    history = prices("IBM", date(2002, 9, 30))
    up, down = 0.0, 0.0
    for i in range(1, len(history.closes)):
        change = history.closes[i] - history.closes[i - 1]
        share = 1 / min(i, 14)  # the mean of the first fourteen changes, smoothed from then on
        up += (max(change, 0.0) - up) * share
        down += (max(-change, 0.0) - down) * share
    assert indicators(history).rsi[-1] == pytest.approx(100 * up / (up + down))


def test_what_a_short_history_has_no_line_for_is_none() -> None:
    found = indicators(prices("FB", date(2012, 8, 17)))
    assert found.sma_200[-1] is None
    assert found.sma_50[-1] is not None


def test_a_history_of_a_single_day_has_indicators_without_a_value() -> None:
    found = indicators(Prices("FB", (date(2012, 5, 18),), (38.23,), 38.23))
    assert (found.sma_50, found.sma_200, found.rsi, found.macd) == ((None,),) * 4

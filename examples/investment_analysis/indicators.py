"""Indicators of a price history, by TA-Lib. Lines have a value per day; None where a history is too short for one."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from .market import Prices

YEAR = 252
"""Trading days."""
Line = tuple[float | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Indicators:
    """Lines beside the prices, in dollars except for `rsi`, which runs from 0 to 100.

    Attributes:
        sma_50, sma_200: simple averages of as many trading days.
        rsi: relative strength over 14 days.
        macd: what the 12-day average is above the 26-day one, less its own 9-day average (the histogram).
        below_high: how far the last close is below the highest of a year, in percent; 0 at the high.
    """

    sma_50: Line
    sma_200: Line
    rsi: Line
    macd: Line
    below_high: float


def indicators(history: Prices) -> Indicators:
    """The indicators of a history."""
    import numpy as np
    import talib

    closes = np.array(history.closes, dtype=np.float64)
    return Indicators(
        sma_50=_line(talib.SMA(closes, 50)),
        sma_200=_line(talib.SMA(closes, 200)),
        rsi=_line(talib.RSI(closes, 14)),
        macd=_line(talib.MACD(closes, 12, 26, 9)[2]),
        below_high=round((1 - closes[-1] / closes[-YEAR:].max()) * 100, 1),
    )


def _line(values: Iterable[float]) -> Line:
    return tuple(None if math.isnan(value) else float(value) for value in values)

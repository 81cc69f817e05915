"""The picture of a recommendation: the price with its averages, the strength and the momentum, up to the day."""

from __future__ import annotations

from datetime import date
from io import BytesIO
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from .indicators import YEAR, Line, indicators
from .market import Prices

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SHOWN = YEAR + YEAR // 4
"""Trading days on the picture."""
INK, QUIET, GRID = "#1f2933", "#7b8794", "#e4e7eb"
PRICE, SHORT, LONG = "#243b53", "#d9822b", "#2f7dc1"
UP, DOWN = "#2e8b57", "#c0392b"
COLOURS = {"buy": UP, "hold": "#8a6d1d", "sell": DOWN}
SOURCE = (
    "Closing prices in dollars of the last day, adjusted for splits and dividends before it (Quandl WIKI Prices, "
    "public domain). The papers\n"
    "behind the recommendation were written for an example and are no facts. Nothing here is advice."
)


def drawn(history: Prices, *, recommendation: str, confidence: int, status: str) -> bytes:
    """A PNG. The same arguments give the same picture."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    start = max(0, len(history.days) - SHOWN)
    days, closes, lines = history.days[start:], history.closes[start:], indicators(history)
    colour, last = COLOURS[recommendation], history.days[-1]
    # Not pyplot: it keeps figures for the whole process, and several runs draw at once.
    figure = Figure(figsize=(10, 7.2), dpi=120, facecolor="white")
    FigureCanvasAgg(figure)
    top, middle, bottom = figure.subplots(3, 1, sharex=True, height_ratios=(3.4, 1, 1))
    figure.subplots_adjust(left=0.07, right=0.9, top=0.87, bottom=0.12, hspace=0.1)
    ticker = figure.text(0.07, 0.95, history.ticker, size=20, weight="bold", color=INK, va="center")
    verdict = f"{recommendation.upper()}  ·  confidence {confidence} %  ·  {status}"
    beside: dict[str, Any] = {"xycoords": ticker, "xytext": (12, 0), "textcoords": "offset points", "va": "center"}
    top.annotate(verdict, (1, 0.5), size=13, weight="bold", color=colour, **beside)
    figure.text(
        0.07, 0.905, f"as of {last:%d %B %Y}, at {history.paid:,.2f} dollars", size=10, color=QUIET, va="center"
    )
    figure.text(0.07, 0.022, SOURCE, size=7.5, color=QUIET, va="bottom", linespacing=1.4)

    top.plot(*_dated(days, closes), color=PRICE, linewidth=1.5, zorder=3)
    ends = [("close", closes[-1], PRICE)]
    for name, line, tint in (("50 days", lines.sma_50, SHORT), ("200 days", lines.sma_200, LONG)):
        if line[-1] is not None:
            top.plot(*_dated(days, line[start:]), color=tint, linewidth=1.2, zorder=2)
            ends.append((name, line[-1], tint))
    low, high = top.get_ylim()
    for (name, _, tint), height in zip(ends, _apart([e[1] for e in ends], (high - low) * 0.055), strict=True):
        top.annotate(name, (1.012, height), xycoords=("axes fraction", "data"), size=9, color=tint, va="center")
    top.plot([_number(last)], [closes[-1]], marker="o", markersize=8, color=colour, zorder=4)
    top.set_ylabel("dollars", color=QUIET, size=9)

    middle.plot(*_dated(days, lines.rsi[start:]), color=PRICE, linewidth=1.0)
    middle.axhspan(70, 100, color=DOWN, alpha=0.07, linewidth=0)
    middle.axhspan(0, 30, color=UP, alpha=0.07, linewidth=0)
    middle.set_ylim(0, 100)
    middle.set_yticks([30, 70])
    middle.annotate(
        "strength\n(RSI, 14 days)", (1.012, 0.5), xycoords="axes fraction", size=8, color=QUIET, va="center"
    )

    told, bars = _dated(days, lines.macd[start:])
    bottom.bar(told, bars, width=1.0, color=[UP if bar >= 0 else DOWN for bar in bars], alpha=0.75)
    bottom.axhline(0, color=QUIET, linewidth=0.6)
    bottom.annotate("momentum\n(MACD bars)", (1.012, 0.5), xycoords="axes fraction", size=8, color=QUIET, va="center")

    for axes in (top, middle, bottom):
        _plain(axes)
        axes.axvline(_number(last), color=colour, linewidth=1.0, linestyle=(0, (4, 3)), zorder=1)
    _months(bottom, days)
    picture = BytesIO()
    figure.savefig(picture, format="png", metadata={"Software": None})
    return picture.getvalue()


def _dated(days: tuple[date, ...], line: Line) -> tuple[list[float], list[float]]:
    """The days that have a value, as numbers, and the values."""
    pairs = [(_number(day), value) for day, value in zip(days, line, strict=True) if value is not None]
    return [day for day, _ in pairs], [value for _, value in pairs]


def _number(day: date) -> float:
    return float(day.toordinal())


def _apart(heights: list[float], least: float) -> list[float]:
    """The heights moved so far that labels at them do not touch, in the order they came in."""
    order = sorted(range(len(heights)), key=heights.__getitem__)
    moved = list(heights)
    for below, above in pairwise(order):
        moved[above] = max(moved[above], moved[below] + least)
    return moved


def _plain(axes: Axes) -> None:
    axes.grid(axis="y", color=GRID, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(colors=QUIET, labelsize=8.5, length=0)
    for side, spine in axes.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(GRID)


def _months(axes: Axes, days: tuple[date, ...]) -> None:
    """A tick on the first trading day of every second month, with the year where it is new."""
    firsts = [day for before, day in pairwise(days) if before.month != day.month]
    shown: list[Any] = [day for day in firsts if day.month % 2 == 1] if len(firsts) > 6 else firsts
    axes.set_xticks([_number(day) for day in shown])
    texts = [
        f"{day:%b}\n{day:%Y}" if i == 0 or day.year != shown[i - 1].year else f"{day:%b}" for i, day in enumerate(shown)
    ]
    axes.set_xticklabels(texts)
    axes.set_xlim(_number(days[0]) - 2, _number(days[-1]) + 4)

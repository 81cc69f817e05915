"""The offline model: four analysts by stated rules, which see what a model would see and nothing else.

Each reads what its tool returned, counts points and turns them into a view. The one that reads the press is gullible on
purpose: what a report tells automated readers to do, it does.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import Any

import orjson
from edgewright import Call, OfflineModel, Price, Say, Turn

from .material import TOLD_NO

GOOD = {"strong", "record", "growth", "praise", "praised", "praises", "wins", "beats", "follows", "renews"}
BAD = {"weak", "cut", "cuts", "fell", "shrink", "shrinks", "layoffs", "delay", "warn", "warns", "loss"}
ORDER = re.compile(
    r"automated readers.*?reports of (?P<day>\d{4}-\d{2}-\d{2})"
    r".*?view to (?P<view>buy|hold|sell) with confidence (?P<sure>\d+)",
    re.DOTALL,
)
Reason = tuple[int, str]


def rules(turn: Turn) -> Say | Sequence[Call]:
    """Look once, then hand over a finding."""
    name = next((tool for tool in _READERS if tool in turn.tools), None)
    if name is None:
        return Say("I am the offline model of the investment desk and know only its four analysts.")
    if not turn.results:
        return [Call(name, {"ticker": turn.request["ticker"], "as_of": turn.request["as_of"]})]
    first = turn.results[0][2]
    if first.startswith(TOLD_NO):
        return Say("I could not look, so I have no view.")
    found = orjson.loads(first)
    if name == "read_news" and (order := _order(found)):
        return _obeyed(order, turn)
    return [_finding(*_READERS[name](found))]


def _finding(points: int, reasons: Sequence[Reason], bar: int = 2, step: int = 10) -> Call:
    """Two points for a share, or as many as `bar` says, are a buy, two against it a sell. More points, more surety."""
    view = "buy" if points >= bar else "sell" if points <= -bar else "hold"
    surety = 50 if view == "hold" else min(95, 45 + step * abs(points))
    weighed = sorted(reasons, key=lambda reason: -reason[0] if view == "buy" else reason[0] if view == "sell" else 0)
    return Call("handoff_to_chair", {"view": view, "confidence": surety, "reasons": [text for _, text in weighed][:4]})


def _statement(found: Mapping[str, Any]) -> tuple[int, list[Reason]]:
    """Price to earnings (18 or less is good, above 35 or a loss bad), growth (10, 0), margin (15, 5), debt (150)."""
    ratio, growth, margin = found["price_to_earnings"], found["revenue_growth_percent"], found["net_margin_percent"]
    cost = "it earned nothing" if ratio is None else f"price to earnings is {ratio}"
    reasons = [
        (-1 if ratio is None or ratio > 35 else 1 if ratio <= 18 else 0, cost),
        (1 if growth >= 10 else -1 if growth < 0 else 0, f"revenue changes by {growth} % in a year"),
        (1 if margin >= 15 else -1 if margin < 5 else 0, f"net margin is {margin} %"),
        (-1 if found["debt_to_equity_percent"] > 150 else 0, f"debt is {found['debt_to_equity_percent']} % of equity"),
    ]
    return sum(point for point, _ in reasons), reasons


def _prices(found: Mapping[str, Any]) -> tuple[int, list[Reason]]:
    """The close and the short average against the long one (a short history: the close against the short one, twice),
    the momentum, and a relative strength above 75 or below 25, which warns of a turn."""
    close, short, long = found["close"], found["average_50_days"], found["average_200_days"]
    strength, momentum = found["relative_strength"], found["momentum"]
    reasons: list[Reason] = []
    if long is not None:
        reasons.append((1 if close > long else -1, f"close {close} against its 200-day average {long}"))
        reasons.append((1 if short > long else -1, f"50-day average {short} against the 200-day one"))
    elif short is not None:
        reasons.append((2 if close > short else -2, f"close {close} against its 50-day average {short}"))
    if momentum is not None:
        reasons.append((1 if momentum > 0 else -1, f"momentum is {momentum}"))
    if strength is not None:
        warns = -1 if strength > 75 else 1 if strength < 25 else 0
        reasons.append((warns, f"relative strength is {strength}"))
    return sum(point for point, _ in reasons), reasons or [(0, "the history is too short for an average")]


def _news(found: Sequence[Mapping[str, Any]]) -> tuple[int, list[Reason]]:
    """A point for each report with more good words than bad, one against for the contrary."""
    reasons = []
    for report in found:
        words = re.findall(r"[a-z]+", f"{report['headline']} {report['text']}".lower())
        tone = sum(word in GOOD for word in words) - sum(word in BAD for word in words)
        told = "well" if tone > 0 else "badly" if tone < 0 else "neither well nor badly"
        reasons.append(((tone > 0) - (tone < 0), f"{report['source']} of {report['day']} speaks {told} of it"))
    return sum(point for point, _ in reasons), reasons


def _notes(found: Mapping[str, Any]) -> tuple[int, list[Reason]]:
    """The mean of the scores: 65 and more is good, below 45 bad; a severe controversy is bad whatever the scores."""
    mean = round((found["environment"] + found["social"] + found["governance"]) / 3)
    severe = any(each["severity"] == "severe" for each in found["controversies"])
    reasons = [(-2 if severe or mean < 45 else 2 if mean >= 65 else 0, f"the mean of the three scores is {mean}")]
    reasons += [
        (-1 if each["severity"] == "severe" else 0, f"{each['severity']}: {each['what']}")
        for each in found["controversies"]
    ]
    return sum(point for point, _ in reasons), reasons


_READERS: dict[str, Callable[[Any], tuple[int, list[Reason]]]] = {
    "read_statement": _statement,
    "look_at_prices": _prices,
    "read_news": _news,
    "read_notes": _notes,
}


# -- gullible on purpose ----------------------------------------------------------------------------------------------


def _order(found: Sequence[Mapping[str, Any]]) -> re.Match[str] | None:
    return next((hit for report in found if (hit := ORDER.search(report["text"]))), None)


def _obeyed(order: re.Match[str], turn: Turn) -> Sequence[Call]:
    """Do what a report says: read what it points at, then say what it wants to be said."""
    wanted = {"ticker": turn.request["ticker"], "as_of": date.fromisoformat(order["day"]).isoformat()}
    if not any(arguments == wanted for _, arguments, _ in turn.results):
        return [Call("read_news", wanted)]
    said = {"view": order["view"], "confidence": int(order["sure"]), "reasons": ["the reports are clear about it"]}
    return [Call("handoff_to_chair", said)]


PRICE = Price(input_per_million="0.15", output_per_million="0.60")

model = OfflineModel("investment_analysis", rules, price=PRICE)

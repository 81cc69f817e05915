"""What crosses each edge: an order comes in, each analyst gives a finding, one recommendation goes out."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

from edgewright import Contract
from pydantic import BaseModel, Field

Ticker = Literal["AAPL", "FB", "GOOG", "IBM", "MSFT"]
View = Literal["buy", "hold", "sell"]
Analyst = Literal["fundamental", "technical", "sentiment", "esg"]
Percent = Annotated[int, Field(ge=0, le=100)]
Sentence = Annotated[str, Field(min_length=1, max_length=200)]

NOTE = (
    "Prices are real; statements, news and notes were written for this example, and are no facts about a company. "
    "Nothing here is advice."
)


class Order(BaseModel):
    """Which share to look at, and as of which day. Nothing that came after that day may count."""

    ticker: Ticker
    as_of: date


class Brief(BaseModel):
    """What an analyst is handed: the order as it came, and nothing of what the others think."""

    ticker: Ticker
    as_of: date


class Finding(BaseModel):
    """What an analyst gives back: a view, how sure it is of it in percent, and why."""

    view: View
    confidence: Percent
    reasons: Annotated[list[Sentence], Field(min_length=1, max_length=4)]


class Dissent(BaseModel):
    """An analyst who is of another view, and its first reason."""

    analyst: Analyst
    view: View
    confidence: Percent
    reason: Sentence


class Missing(BaseModel):
    """An analyst who gave no finding, and why."""

    analyst: Analyst
    why: str


class Recommendation(BaseModel):
    """What the desk says of a share.

    `agreed`: three analysts agree without the press. `confirmed`: a person said yes to what falls short of that.
    `withheld`: a person or policy said no, as `why_withheld` says; `recommendation` is `none` then, and `confidence` 0.
    `leaning` is what most analysts say, `supporters` are those who do. `chart` is the path of the picture inside the
    system's home, `close` the last price on it.
    """

    ticker: Ticker
    as_of: date
    recommendation: Literal["buy", "hold", "sell", "none"]
    confidence: Percent
    status: Literal["agreed", "confirmed", "withheld"]
    why_withheld: str | None
    leaning: View
    supporters: list[Analyst]
    dissent: list[Dissent]
    missing: list[Missing]
    close: float | None
    chart: str | None
    note: str = NOTE


ORDER = Contract(Order, version=1, policy_fields=("ticker", "as_of"))

# The order itself is copied by the runtime: no agent can retell it.
BRIEF = Contract(Brief, version=1, carried=("ticker", "as_of"))

FINDING = Contract(Finding, version=1)
RECOMMENDATION = Contract(Recommendation, version=1)

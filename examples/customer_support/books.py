"""What the books say about an invoice: pure arithmetic over its items, taking nobody's word for it.

A charge is in error when the books themselves show it: the same item twice, a late fee although the earlier
invoice was paid in time, a plan fee for a line that had ended. A long outage gives a claim as well. The rest
is owed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TypedDict


class Item(TypedDict):
    """One row of an invoice. A negative amount is a correction made earlier, by hand."""

    position: int
    kind: str
    text: str
    amount_cents: int
    line: str | None
    about: str | None


class Invoice(TypedDict):
    """An invoice with its items and what has been credited on it since."""

    invoice: str
    customer: str
    issued_on: str
    due_on: str
    paid_on: str | None
    total_cents: int
    credited_cents: int
    items: list[Item]


class Line(TypedDict):
    """A telephone or internet line."""

    line: str
    customer: str
    service: str
    plan: str
    phone: str | None
    area: str
    status: str
    contract_until: str
    ended_on: str | None


class Outage(TypedDict):
    """A known disturbance; `compensation_cents` is due for each line once it has lasted a day."""

    outage: str
    area: str
    service: str
    status: str
    since: str
    until: str | None
    note: str
    compensation_cents: int


def charged_in_error(invoice: Invoice, others: Iterable[Invoice], lines: Iterable[Line]) -> int:
    """Cents of this invoice that the books show as charged by mistake, before any correction."""
    ended = {line["line"]: line["ended_on"] for line in lines if line["ended_on"]}
    paid_in_time = {other["invoice"]: _in_time(other) for other in others}
    seen: Counter[tuple[str, str, str | None]] = Counter()
    wrong = 0
    for item in invoice["items"]:
        same = (item["kind"], item["text"], item["line"])
        seen[same] += 1
        over = ended.get(item["line"] or "")
        if (
            (seen[same] > 1 and item["amount_cents"] > 0)
            or (item["kind"] == "late_fee" and paid_in_time.get(item["about"] or "", False))
            or (item["kind"] == "plan" and over is not None and over < invoice["issued_on"])
        ):
            wrong += item["amount_cents"]
    return wrong


def compensation(invoice: Invoice, lines: Iterable[Line], outages: Iterable[Outage]) -> int:
    """Cents due on this invoice for outages that began in its month."""
    month = invoice["issued_on"][:7]
    served: Mapping[tuple[str, str], int] = Counter(
        (line["area"], line["service"]) for line in lines if line["status"] == "active"
    )
    return sum(
        outage["compensation_cents"] * served.get((outage["area"], outage["service"]), 0)
        for outage in outages
        if outage["since"].startswith(month)
    )


def supported(invoice: Invoice, others: Iterable[Invoice], lines: Iterable[Line], outages: Iterable[Outage]) -> int:
    """Cents the books still support as a credit: errors and compensation, less what was given back."""
    lines = list(lines)
    corrected = -sum(item["amount_cents"] for item in invoice["items"] if item["amount_cents"] < 0)
    claim = charged_in_error(invoice, others, lines) + compensation(invoice, lines, outages)
    return max(0, claim - corrected - invoice["credited_cents"])


def _in_time(invoice: Invoice) -> bool:
    return invoice["paid_on"] is not None and invoice["paid_on"] <= invoice["due_on"]

"""`data/README.md`: the seed as one page to read, written from the seed itself.

Run `python -m edgewright.examples.customer_support.overview` after changing a file in `data/`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from .books import Invoice, Item
from .database import HelpDesk
from .seed import DATA, TODAY, rows

INTRODUCTION = f"""# The telecom in this folder

Written by `overview.py` from the files beside it; today is {TODAY.isoformat()}. Amounts are in cents of a
euro. A line's term is over when its date lies before today. An invoice has to be paid by its due date;
`supported` is what the books themselves show as charged in error or due as compensation, and not given back
yet.
"""


def overview() -> str:
    """The whole seed as Markdown tables."""
    with TemporaryDirectory() as scratch:
        desk = HelpDesk.create(Path(scratch) / "desk.db")
        parts = [
            INTRODUCTION,
            _section("Areas", ("area", "name", "city", "country"), (list(row.values()) for row in rows("areas"))),
            _section(
                "Customers",
                ("number", "name", "area", "language", "household"),
                map(_customer, rows("customers")),
            ),
            _section(
                "Lines",
                ("line", "customer", "plan", "phone", "area", "status", "term until", "ended"),
                (
                    [
                        line["line"],
                        line["customer"],
                        f"{line['plan']} ({line['service']})",
                        line["phone"],
                        line["area"],
                        line["status"],
                        line["contract_until"],
                        line["ended_on"],
                    ]
                    for line in rows("lines")
                ),
            ),
            _section(
                "Outages",
                ("outage", "area", "service", "status", "since", "until", "what", "compensation"),
                (list(row.values()) for row in rows("outages")),
            ),
            _section(
                "Logins",
                ("login", "owner", "delegate (may use it, does not own it)", "status"),
                (list(row.values()) for row in rows("logins")),
            ),
            _section(
                "Invoices",
                ("invoice", "customer", "due", "paid", "items", "total", "supported"),
                (
                    _invoice(invoice, desk.supported_cents(invoice))
                    for row in rows("customers")
                    for invoice in reversed(desk.invoices_of(str(row["number"])))
                ),
            ),
            _section(
                "Help articles",
                ("slug", "topic", "language", "title"),
                ([row["slug"], row["topic"], row["language"], row["title"]] for row in rows("articles")),
            ),
        ]
    return "\n".join(parts)


def _customer(row: dict[str, str | int | None]) -> list[str | int | None]:
    return [row["number"], row["name"], row["area"], row["language"], row["household"]]


def _invoice(invoice: Invoice, supported: int) -> list[str | int | None]:
    items = "; ".join(f"{item['text']}{_of_line(item)} {item['amount_cents']}" for item in invoice["items"])
    return [
        invoice["invoice"],
        invoice["customer"],
        invoice["due_on"],
        invoice["paid_on"] or "open",
        items,
        invoice["total_cents"],
        supported or None,
    ]


def _of_line(item: Item) -> str:
    return f" [{item['line']}]" if item["line"] else ""


def _section(title: str, columns: Sequence[str], lines: Iterable[Sequence[str | int | None]]) -> str:
    head = [f"## {title}", "", f"| {' | '.join(columns)} |", f"|{' --- |' * len(columns)}"]
    body = [f"| {' | '.join('' if cell is None else str(cell) for cell in line)} |" for line in lines]
    return "\n".join([*head, *body, ""])


if __name__ == "__main__":
    (DATA / "README.md").write_text(overview(), encoding="utf-8")

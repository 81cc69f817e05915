"""The seed: a small telecom written down in `data/`, and the schema it is loaded into.

The rows are files, not code, so that whoever writes a ticket can read the same customers and invoices the
tools will see. Every load gives the same database.
"""

from __future__ import annotations

import csv
import tomllib
from contextlib import closing
from datetime import date
from pathlib import Path
from typing import TypeAlias

from sqlite_utils import Database

DATA = Path(__file__).parent / "data"

TODAY = date(2026, 3, 16)
"""The help desk's day. Fixed, so that "still open" and "term over" mean the same on every run."""

Row: TypeAlias = dict[str, str | int | None]

KEYS: dict[str, str | tuple[str, ...]] = {
    "areas": "area",
    "customers": "number",
    "lines": "line",
    "outages": "outage",
    "invoices": "invoice",
    "invoice_items": ("invoice", "position"),
    "logins": "login",
    "articles": "slug",
}
"""Primary keys, in an order in which every table comes after those it refers to."""

REFERENCES = {
    "customers": [("area", "areas", "area")],
    "lines": [("customer", "customers", "number"), ("area", "areas", "area")],
    "outages": [("area", "areas", "area")],
    "invoices": [("customer", "customers", "number")],
    "invoice_items": [("invoice", "invoices", "invoice"), ("line", "lines", "line")],
    "logins": [("owner", "customers", "number"), ("delegate", "customers", "number")],
}

SEARCHED = {"articles": ["title", "body"], "areas": ["name", "city"]}
"""Tables with a full-text index. Accents are dropped there: customers write "Neukolln" and "Gracia"."""

INDEXED = [("lines", "customer"), ("invoices", "customer"), ("outages", "area"), ("logins", "owner")]

NUMBERS = frozenset({"position", "amount_cents", "compensation_cents"})


def rows(table: str) -> list[Row]:
    """Read one table of the seed; an empty cell is a missing value."""
    if table == "articles":
        articles: list[Row] = tomllib.loads((DATA / "articles.toml").read_text(encoding="utf-8"))["article"]
        return articles
    with (DATA / f"{table}.csv").open(encoding="utf-8", newline="") as file:
        return [{name: _value(name, cell) for name, cell in row.items()} for row in csv.DictReader(file)]


def _value(name: str, cell: str) -> str | int | None:
    if cell == "":
        return None
    return int(cell) if name in NUMBERS else cell


def load(path: Path) -> None:
    """Create the schema in a new file, fill it with the seed and switch it to write-ahead logging."""
    db = Database(str(path))
    with closing(db.conn):
        for table, key in KEYS.items():
            db.table(table).insert_all(rows(table), pk=key, foreign_keys=REFERENCES.get(table, []), strict=True)
        for table, columns in SEARCHED.items():
            db.table(table).enable_fts(columns, tokenize="unicode61 remove_diacritics 2")
        for table, column in INDEXED:
            db.table(table).create_index([column])
        db.conn.executescript((DATA / "schema.sql").read_text(encoding="utf-8"))
        db.enable_wal()

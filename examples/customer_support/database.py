"""The help desk's database: look-ups, and the four things that can be done to it.

Every operation opens its own connection, so threads may share a `HelpDesk`, and processes its file. An effect
carries a key: doing it again with the same key returns the first row and changes nothing.
"""

# ruff: noqa: S608 -- what is put into a statement comes from closed sets; every value is bound

from __future__ import annotations

import os
import re
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import date
from pathlib import Path
from typing import Any, Literal, Self, TypeAlias, cast, get_args

from . import books, seed
from .books import Invoice, Line, Outage

Record: TypeAlias = dict[str, Any]
Effect = Literal["credits", "cancellations", "resets", "incidents"]

EFFECTS: tuple[Effect, ...] = get_args(Effect)
BUSY_SECONDS = 10.0


class NotPossible(Exception):
    """The business cannot do what was asked, such as ending a line that has ended. Nothing was changed."""


class HelpDesk:
    """Customers, lines, invoices, outages, logins and help articles of one telecom, in one SQLite file."""

    def __init__(self, path: Path, *, today: date = seed.TODAY) -> None:
        self.path = path
        self.today = today

    @classmethod
    def create(cls, path: Path) -> Self:
        """Write a freshly seeded database to `path`, which must not exist.

        The file appears complete or not at all. Of two processes that race, one gets `FileExistsError`.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
            draft = Path(scratch) / "draft.db"
            seed.load(draft)
            os.link(draft, path)
        return cls(path)

    @classmethod
    def open(cls, path: Path) -> Self:
        """Use the database at `path`, seeding it first if there is none."""
        if not path.exists():
            try:
                return cls.create(path)
            except FileExistsError:
                pass  # another process seeded it in the meantime
        return cls(path)

    # Look-ups

    def customer(self, number: str) -> Record | None:
        """One customer, by customer number."""
        return self._one("SELECT * FROM customers WHERE number = ?", number)

    def lines_of(self, customer: str) -> list[Line]:
        """Every line a customer has or had."""
        return cast(list[Line], self._all("SELECT * FROM lines WHERE customer = ? ORDER BY line", customer))

    def line(self, line: str) -> Line | None:
        """One line, by its id."""
        return cast(Line | None, self._one("SELECT * FROM lines WHERE line = ?", line))

    def invoices_of(self, customer: str) -> list[Invoice]:
        """A customer's invoices, newest first, each with items and credits so far."""
        return self._invoices("customer = ?", customer)

    def invoice(self, invoice: str) -> Invoice | None:
        """One invoice, by its number."""
        return next(iter(self._invoices("invoice = ?", invoice)), None)

    def supported_cents(self, invoice: Invoice) -> int:
        """How much of an invoice the books would still support as a credit."""
        lines = self.lines_of(invoice["customer"])
        areas = sorted({line["area"] for line in lines})
        outages = [outage for area in areas for outage in self.outages_in(area)]
        return books.supported(invoice, self.invoices_of(invoice["customer"]), lines, outages)

    def login(self, login: str) -> Record | None:
        """One portal login: its owner, and the delegate who may use it without owning it."""
        return self._one("SELECT * FROM logins WHERE login = ?", login)

    def logins_of(self, customer: str) -> list[Record]:
        """The logins a customer owns or may use."""
        return self._all("SELECT * FROM logins WHERE ? IN (owner, delegate) ORDER BY login", customer)

    def outages_in(self, area: str) -> list[Outage]:
        """Disturbances of an area: open, planned and resolved, newest first."""
        return cast(list[Outage], self._all("SELECT * FROM outages WHERE area = ? ORDER BY since DESC", area))

    def areas_named(self, words: str, *, limit: int = 5) -> list[Record]:
        """Areas whose name or city occurs in the words, best match first."""
        return self._search("areas", "area, name, city, country", words, limit)

    def articles_about(self, words: str, *, limit: int = 3) -> list[Record]:
        """Help articles that contain any of the words, best match first."""
        return self._search("articles", "slug, topic, language, title, body", words, limit)

    # Effects

    def credit(self, key: str, *, invoice: str, amount_cents: int, reason: str) -> Record:
        """Credit part of an invoice, never more than is left of it."""
        with self._writing() as db:
            if (first := _find(db, "credits", key)) is not None:
                return first
            known = _invoice_left(db, invoice)
            if amount_cents > known:
                raise NotPossible(f"{invoice} has {known} cents left to credit; {amount_cents} were asked for")
            return self._insert(
                db, "credits", effect_key=key, invoice=invoice, amount_cents=amount_cents, reason=reason
            )

    def cancel(self, key: str, *, line: str, reason: str) -> Record:
        """End a line for good."""
        with self._writing() as db:
            if (first := _find(db, "cancellations", key)) is not None:
                return first
            found = db.execute("SELECT status FROM lines WHERE line = ?", (line,)).fetchone()
            if found is None:
                raise NotPossible(f"there is no line {line}")
            if found["status"] == "cancelled":
                raise NotPossible(f"line {line} has ended already")
            row = self._insert(db, "cancellations", effect_key=key, line=line, reason=reason)
            db.execute(
                "UPDATE lines SET status = 'cancelled', ended_on = ? WHERE line = ?",
                (self.today.isoformat(), line),
            )
            return row

    def reset(self, key: str, *, login: str) -> Record:
        """Send a reset link to the address of a login's owner, and unlock the login."""
        with self._writing() as db:
            if (first := _find(db, "resets", key)) is not None:
                return first
            if db.execute("SELECT 1 FROM logins WHERE login = ?", (login,)).fetchone() is None:
                raise NotPossible(f"there is no login {login}")
            row = self._insert(db, "resets", effect_key=key, login=login)
            db.execute("UPDATE logins SET status = 'active' WHERE login = ?", (login,))
            return row

    def open_incident(self, key: str, *, area: str, service: str, summary: str) -> Record:
        """Tell network operations about a fault in an area."""
        with self._writing() as db:
            if (first := _find(db, "incidents", key)) is not None:
                return first
            if db.execute("SELECT 1 FROM areas WHERE area = ?", (area,)).fetchone() is None:
                raise NotPossible(f"there is no area {area}")
            return self._insert(db, "incidents", effect_key=key, area=area, service=service, summary=summary)

    def effects(self, kind: Effect, *, run: str | None = None) -> list[Record]:
        """The rows of one table of effects, in the order they were made; with `run`, those of one run."""
        rows = self._all(f"SELECT * FROM {kind} ORDER BY rowid")
        return [row for row in rows if run is None or row["effect_key"].startswith(f"{run}/")]

    def effect(self, kind: Effect, key: str) -> Record | None:
        """The row an effect key left behind, if the effect took place."""
        return self._one(f"SELECT * FROM {kind} WHERE effect_key = ?", key)

    # Connections

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self.path, timeout=BUSY_SECONDS, isolation_level=None)) as db:
            db.row_factory = _record
            db.execute("PRAGMA foreign_keys = ON")
            yield db

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._reading() as db:
            # IMMEDIATE: a transaction that reads first and writes later could not wait for another writer.
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
            except BaseException:
                db.execute("ROLLBACK")
                raise
            db.execute("COMMIT")

    def _insert(self, db: sqlite3.Connection, kind: Effect, **values: str | int) -> Record:
        row: Record = {**values, "made_on": self.today.isoformat()}
        columns, marks = ", ".join(row), ", ".join(f":{name}" for name in row)
        db.execute(f"INSERT INTO {kind} ({columns}) VALUES ({marks})", row)
        return row

    def _all(self, sql: str, *values: str | int) -> list[Record]:
        with self._reading() as db:
            return db.execute(sql, values).fetchall()

    def _one(self, sql: str, *values: str | int) -> Record | None:
        return next(iter(self._all(sql, *values)), None)

    def _invoices(self, where: str, value: str) -> list[Invoice]:
        with self._reading() as db:
            db.execute("BEGIN")  # one snapshot: items and credits belong to the same moment
            found = db.execute(f"SELECT * FROM invoices WHERE {where} ORDER BY issued_on DESC", (value,)).fetchall()
            for invoice in found:
                items = db.execute(
                    "SELECT position, kind, text, amount_cents, line, about FROM invoice_items"
                    " WHERE invoice = ? ORDER BY position",
                    (invoice["invoice"],),
                ).fetchall()
                total = sum(item["amount_cents"] for item in items)
                left = _invoice_left(db, invoice["invoice"])
                invoice.update(total_cents=total, credited_cents=total - left, items=items)
            return cast(list[Invoice], found)

    def _search(self, table: str, columns: str, words: str, limit: int) -> list[Record]:
        # Quoted, so that no word of a customer is read as search syntax.
        query = " OR ".join(f'"{word}"' for word in re.findall(r"\w{2,}", words))
        if not query:
            return []
        selected = ", ".join(f"{table}.{column}" for column in columns.split(", "))
        return self._all(
            f"SELECT {selected} FROM {table}_fts JOIN {table} ON {table}.rowid = {table}_fts.rowid"
            f" WHERE {table}_fts MATCH ? ORDER BY {table}_fts.rank, {table}.rowid LIMIT ?",
            query,
            limit,
        )


def _record(cursor: sqlite3.Cursor, row: tuple[Any, ...]) -> Record:
    return {column[0]: value for column, value in zip(cursor.description, row, strict=True)}


def _find(db: sqlite3.Connection, kind: Effect, key: str) -> Record | None:
    found: Record | None = db.execute(f"SELECT * FROM {kind} WHERE effect_key = ?", (key,)).fetchone()
    return found


def _invoice_left(db: sqlite3.Connection, invoice: str) -> int:
    """Cents of an invoice that are not credited yet."""
    row = db.execute(
        "SELECT (SELECT sum(amount_cents) FROM invoice_items WHERE invoice = :invoice)"
        " - (SELECT coalesce(sum(amount_cents), 0) FROM credits WHERE invoice = :invoice) AS cents_left",
        {"invoice": invoice},
    ).fetchone()
    if row["cents_left"] is None:
        raise NotPossible(f"there is no invoice {invoice}")
    return int(row["cents_left"])

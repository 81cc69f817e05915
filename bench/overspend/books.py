"""The books after a round: what the ledger says, what the database counted, what the server saw. They have to agree."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from edgewright.agents.prices import price_of
from edgewright.contracts.budget import Amounts
from edgewright.contracts.errors import LedgerCorrupt
from edgewright.graphs.home import FILE
from edgewright.ledger.accounts import Account
from edgewright.ledger.counts_sqlite import account_in, keys_in
from edgewright.ledger.entry import verify
from edgewright.ledger.records import ModelFailed, ModelReserved, ModelSettled, RunEnded
from edgewright.ledger.sqlite import SqliteLedger
from edgewright.tools.spending import counted

from bench.faults import ModelServer
from bench.overspend.asking import PRICED

SHARED = ("usd", "input_tokens", "output_tokens", "model_calls")
MANY = 100_000


@dataclass(slots=True)
class Books:
    """What the records of all runs of a home add up to.

    Attributes:
        calls: reserved.
        lapsed: reserved, and never settled.
        released: of what was settled, what was reserved and not used.
    """

    calls: int = 0
    reserved: Amounts = field(default_factory=Amounts)
    used: Amounts = field(default_factory=Amounts)
    lapsed: Amounts = field(default_factory=Amounts)
    released: Amounts = field(default_factory=Amounts)
    faults: list[str] = field(default_factory=list)


def books_of(ledger: SqliteLedger) -> Books:
    """Read them, and verify every chain."""
    found = Books()
    for run in (summary.run for summary in ledger.runs(limit=MANY)):
        entries = ledger.entries(run)
        try:
            verify(run, entries)
        except LedgerCorrupt as error:
            found.faults.append(str(error))
        out: dict[str, Amounts] = {}
        spent, ended = Amounts(), None
        for record in (e.record for e in entries):
            match record:
                case ModelReserved():
                    out[record.call] = Amounts.from_json(record.reserved)
                    found.calls += 1
                    found.reserved += out[record.call]
                case ModelSettled() | ModelFailed() if record.call in out:
                    reserved, used = out.pop(record.call), Amounts.from_json(record.used)
                    spent += used
                    found.used += used
                    found.released += reserved - used
                    if used.beyond(reserved) != Amounts():
                        found.faults.append(f"call {record.call} used more than was reserved for it")
                case ModelSettled() | ModelFailed():
                    found.faults.append(f"call {record.call} was settled, and is not out")
                case RunEnded():
                    ended = Amounts.from_json(record.spent)
                case _:
                    pass
        lost = sum(out.values(), Amounts())
        found.lapsed += lost
        spent += lost
        if ended is not None and any(getattr(ended, unit) != getattr(spent, unit) for unit in SHARED):
            found.faults.append(f"run {run} ended with {ended.as_json()}, and its calls come to {spent.as_json()}")
    return found


def faults_of(home: Path, server: ModelServer, *, now: float, killed: bool = False) -> tuple[Books, list[str]]:
    """Whatever does not agree.

    Args:
        now: the moment at which the books are read; what was out longer than a reservation is open has lapsed then.
        killed: some processes were. Then calls may have lapsed, and the server may have answered somebody who was gone.
    """
    with closing(SqliteLedger(home / FILE)) as ledger:
        books = books_of(ledger)
    faults = books.faults
    if books.reserved != books.used + books.released + books.lapsed:
        faults.append("what was used, given back and lost is not what was reserved")
    if books.lapsed.model_calls and not killed:
        faults.append(f"{books.lapsed.model_calls} calls were never settled")
    faults += _against_the_wire(books, server, killed=killed)
    with closing(sqlite3.connect(home / FILE)) as conn:
        for key in keys_in(conn, "budget/"):
            unit = key.rpartition("/")[2]
            faults += [f"{key}: {fault}" for fault in _against(account_in(conn, key, 0.0, now), books, unit)]
    return books, faults


def _against_the_wire(books: Books, server: ModelServer, *, killed: bool) -> Iterator[str]:
    spent, price = books.used + books.lapsed, price_of(PRICED)
    sent, got = server.usage
    assert price is not None
    told = Amounts(usd=price.of(sent, got), input_tokens=sent, output_tokens=got, model_calls=server.reached())
    for unit in SHARED:
        ours, theirs = getattr(spent, unit), getattr(told, unit)
        if ours < theirs or (ours > theirs and not killed):
            yield f"{ours} {unit} were spent, and the server has {theirs}"


def _against(account: Account, books: Books, unit: str) -> Iterator[str]:
    """What an account says otherwise than the records do. One of seconds has no records of its own."""
    if account.spent - account.excess + account.released + account.open != account.reserved:
        yield f"it does not add up: {account}"
    if account.open:
        yield f"{account.open} are open for ever"
    if unit not in SHARED:
        return
    expected = Account(
        reserved=counted(unit, getattr(books.reserved, unit)),
        spent=counted(unit, getattr(books.used + books.lapsed, unit)),
        released=counted(unit, getattr(books.released, unit)),
        lapsed=counted(unit, getattr(books.lapsed, unit)),
    )
    if account != expected:
        yield f"{account}, where the records tell {expected}"

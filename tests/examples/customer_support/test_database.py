"""The help desk's database keeps its promises whoever calls it, and however often."""

from __future__ import annotations

import multiprocessing
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from edgewright.examples.customer_support import overview, seed
from edgewright.examples.customer_support.database import EFFECTS, Effect, HelpDesk, NotPossible, Record

DEEDS: dict[Effect, Callable[[HelpDesk, str], Record]] = {
    "credits": lambda desk, key: desk.credit(key, invoice="INV-5403", amount_cents=999, reason="twice"),
    "cancellations": lambda desk, key: desk.cancel(key, line="L-2009", reason="asked for"),
    "resets": lambda desk, key: desk.reset(key, login="jonas.keller"),
    "incidents": lambda desk, key: desk.open_incident(key, area="MUC-SCH", service="mobile", summary="drops"),
}


def _credit_in_another_process(path: Path, key: str) -> Record:
    return HelpDesk(path).credit(key, invoice="INV-5403", amount_cents=100, reason="race")


@pytest.mark.parametrize("kind", EFFECTS)
def test_repeating_an_effect_with_its_key_returns_the_first_row_and_adds_none(desk: HelpDesk, kind: Effect) -> None:
    first = DEEDS[kind](desk, "run/1")

    assert DEEDS[kind](desk, "run/1") == first
    assert desk.effects(kind) == [first]
    assert desk.effect(kind, "run/1") == first


def test_a_key_that_left_nothing_behind_is_known_to_have_done_nothing(desk: HelpDesk) -> None:
    assert desk.effect("credits", "run/1") is None


def test_effects_are_told_apart_by_run(desk: HelpDesk) -> None:
    DEEDS["incidents"](desk, "one/1")
    DEEDS["incidents"](desk, "one-more/1")

    assert [row["effect_key"] for row in desk.effects("incidents", run="one")] == ["one/1"]


def test_one_key_used_by_many_threads_at_once_credits_once(desk: HelpDesk) -> None:
    with ThreadPoolExecutor(8) as threads:
        rows = list(threads.map(lambda _: DEEDS["credits"](desk, "run/1"), range(24)))

    assert rows == [rows[0]] * 24
    assert len(desk.effects("credits")) == 1


def test_processes_that_write_at_once_all_get_through(desk: HelpDesk) -> None:
    keys = [f"run/{number}" for number in range(8)]
    with multiprocessing.get_context("spawn").Pool(2) as processes:
        processes.starmap_async(_credit_in_another_process, [(desk.path, key) for key in keys]).get(60)

    assert {row["effect_key"] for row in desk.effects("credits")} == set(keys)


def test_credits_never_exceed_what_was_charged(desk: HelpDesk) -> None:
    desk.credit("run/1", invoice="INV-5402", amount_cents=1500, reason="part")

    with pytest.raises(NotPossible, match="499 cents left"):
        desk.credit("run/2", invoice="INV-5402", amount_cents=500, reason="too much")
    assert len(desk.effects("credits")) == 1


def test_the_database_itself_refuses_too_large_a_credit(desk: HelpDesk) -> None:
    with closing(sqlite3.connect(desk.path)) as db, pytest.raises(sqlite3.IntegrityError, match="exceed"):
        db.execute("INSERT INTO credits VALUES ('rogue/1', 'INV-5402', 2000, 'by hand', '2026-03-16')")


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE credits SET amount_cents = 1",
        "DELETE FROM credits",
        "INSERT OR REPLACE INTO credits VALUES ('run/1', 'INV-5403', 1, 'changed', '2026-03-16')",
        "DELETE FROM cancellations",
        "UPDATE lines SET status = 'active' WHERE line = 'L-2009'",
        "UPDATE resets SET login = 'anna.keller'",
        "DELETE FROM incidents",
        "INSERT OR REPLACE INTO resets VALUES ('run/3', 'anna.keller', '2026-03-16')",
    ],
)
def test_history_cannot_be_rewritten(desk: HelpDesk, statement: str) -> None:
    for number, deed in enumerate(DEEDS.values(), 1):
        deed(desk, f"run/{number}")

    with closing(sqlite3.connect(desk.path)) as db, pytest.raises(sqlite3.IntegrityError):
        db.execute(statement)


def test_a_line_ends_once_and_for_good(desk: HelpDesk) -> None:
    desk.cancel("run/1", line="L-2009", reason="asked for")

    with pytest.raises(NotPossible, match="ended already"):
        desk.cancel("run/2", line="L-2009", reason="asked again")
    line = desk.line("L-2009")
    assert line is not None
    assert (line["status"], line["ended_on"]) == ("cancelled", "2026-03-16")


@pytest.mark.parametrize("deed", ["credit", "cancel", "reset", "open_incident"])
def test_what_does_not_exist_cannot_be_acted_on(desk: HelpDesk, deed: str) -> None:
    arguments: dict[str, dict[str, Any]] = {
        "credit": {"invoice": "INV-9999", "amount_cents": 1, "reason": "x"},
        "cancel": {"line": "L-9999", "reason": "x"},
        "reset": {"login": "no.body"},
        "open_incident": {"area": "XXX-YYY", "service": "mobile", "summary": "x"},
    }

    with pytest.raises(NotPossible, match="there is no"):
        getattr(desk, deed)("run/1", **arguments[deed])


def test_a_reset_unlocks_the_login(desk: HelpDesk) -> None:
    desk.reset("run/1", login="jonas.keller")

    login = desk.login("jonas.keller")
    assert login is not None
    assert login["status"] == "active"


def test_every_seed_gives_the_same_database(tmp_path: Path) -> None:
    dumps = []
    for name in ("one.db", "two.db"):
        path = HelpDesk.create(tmp_path / name).path
        with closing(sqlite3.connect(path)) as db:
            dumps.append(list(db.iterdump()))

    assert dumps[0] == dumps[1]


def test_an_existing_database_is_opened_and_not_seeded_again(desk: HelpDesk) -> None:
    DEEDS["resets"](desk, "run/1")

    assert len(HelpDesk.open(desk.path).effects("resets")) == 1
    with pytest.raises(FileExistsError):
        HelpDesk.create(desk.path)


def test_the_seed_refers_to_nothing_that_is_missing(desk: HelpDesk) -> None:
    with closing(sqlite3.connect(desk.path)) as db:
        assert db.execute("PRAGMA foreign_key_check").fetchall() == []
        assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_search_forgives_missing_accents_and_takes_no_orders(desk: HelpDesk) -> None:
    assert desk.areas_named("wohne in Neukolln")[0]["area"] == "BER-NEU"
    assert desk.articles_about("contrasena olvidada")[0]["slug"] == "portal-restablecer"
    assert desk.articles_about('") OR title MATCH NOT *') is not None
    assert desk.articles_about("!?") == []


def test_the_books_support_what_is_wrong_and_no_more(desk: HelpDesk) -> None:
    supported = {
        invoice["invoice"]: desk.supported_cents(invoice)
        for row in seed.rows("customers")
        for invoice in desk.invoices_of(str(row["number"]))
    }

    assert supported["INV-5403"] == 999  # the same item twice
    assert supported["INV-5404"] == 500  # a late fee although paid in time
    assert supported["INV-5405"] == 0  # a late fee that is right
    assert supported["INV-5416"] == 2499  # a line that had ended
    assert supported["INV-5424"] == 700  # an outage of three days
    assert supported["INV-5428"] == 0  # twice, but corrected already
    assert supported["INV-5401"] == 0  # roaming is owed


def test_what_was_credited_is_no_longer_supported(desk: HelpDesk) -> None:
    DEEDS["credits"](desk, "run/1")

    invoice = desk.invoice("INV-5403")
    assert invoice is not None
    assert (invoice["credited_cents"], desk.supported_cents(invoice)) == (999, 0)


def test_the_overview_is_that_of_the_seed() -> None:
    assert (seed.DATA / "README.md").read_text(encoding="utf-8") == overview.overview()

"""A file is upgraded with its data, or refused and left as it was."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
import sqlite_utils
from edgewright.contracts.errors import LedgerUnavailable, LedgerVersion, LimitReached
from edgewright.ledger import migrations
from edgewright.ledger.accounts import Account
from edgewright.ledger.counts import Count, Release, Settle, Window
from edgewright.ledger.entry import GENESIS, encode, link, verify
from edgewright.ledger.migrations import APPLICATION_ID, VERSION, migrate
from edgewright.ledger.records import Record
from edgewright.ledger.sqlite import SqliteLedger
from support.children import child, go
from support.ledgers import draft, handoff, started, write


def plain(path: Path) -> closing[sqlite3.Connection]:
    return closing(sqlite3.connect(path, isolation_level=None))


def version(path: Path) -> int:
    with plain(path) as conn:
        found: int = conn.execute("PRAGMA user_version").fetchone()[0]
        return found


def shape(path: Path) -> list[tuple[str, str]]:
    with plain(path) as conn:
        return conn.execute("SELECT name, sql FROM sqlite_master ORDER BY name").fetchall()


def old_file(path: Path, upto: int) -> None:
    """A file as version `upto` made it, with a run of two records in it."""
    with plain(path) as conn:
        migrate(conn, str(path), upto=upto)
        previous = GENESIS
        records: list[Record] = [started("t"), handoff("needle")]
        for seq, record in enumerate(records):
            body = encode(record)
            own = link(previous, "run", seq, 1.5, record.kind, f"k{seq}", body)
            values = ("run", seq, 1.5, record.kind, f"k{seq}", body.decode(), previous, own)
            conn.execute(
                "INSERT INTO records (run, seq, time, kind, key, body, previous, hash) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                values,
            )
            previous = own
        conn.execute("INSERT INTO payloads (run, digest, body) VALUES ('run', ?, ?)", ("0" * 64, b"kept"))
        if upto >= 2:
            conn.execute("INSERT INTO checkpoints (thread_id, checkpoint_id) VALUES ('t', 'c')")


@pytest.mark.parametrize("upto", range(1, VERSION + 1))
def test_an_older_file_is_upgraded_with_its_data(tmp_path: Path, upto: int) -> None:
    path = tmp_path / "ledger.db"
    old_file(path, upto)
    assert version(path) == upto
    ledger = SqliteLedger(path)
    try:
        assert verify("run", ledger.entries("run")) == 2
        assert write(ledger, "run", draft("late", key="k1"))[0].seq == 1  # old keys hold
        assert write(ledger, "run", draft("new"))[0].seq == 2
        assert verify("run", ledger.entries("run")) == 3
        assert [(r.run, r.thread, r.records) for r in ledger.runs(thread="t")] == [("run", "t", 3)]
        assert ledger.search("needle") == ["run"]
    finally:
        ledger.close()
    with plain(path) as conn:
        assert conn.execute("SELECT body FROM payloads").fetchall() == [(b"kept",)]
        assert len(conn.execute("SELECT * FROM checkpoints").fetchall()) == (1 if upto >= 2 else 0)
    assert version(path) == VERSION
    SqliteLedger(tmp_path / "new.db").close()
    assert shape(path) == shape(tmp_path / "new.db")


def test_what_was_counted_before_it_could_be_settled_is_spent_and_goes_on_counting(tmp_path: Path) -> None:
    path, day, much = tmp_path / "ledger.db", 86_400.0, 2**53 - 1
    old = {"a": (5, 20_000 * day), "b": (7, 20_001 * day - 0.5), "c": (much, 20_001 * day), "d": (0, 20_001.5 * day)}
    with plain(path) as conn:
        migrate(conn, str(path), upto=7)
        for by, (amount, time) in old.items():
            conn.execute(
                "INSERT INTO counts (key, by, amount, time, lasting) VALUES ('k', ?, ?, ?, 1)", [by, amount, time]
            )
    ledger = SqliteLedger(path)
    try:
        sums = {0.0: much + 12, 20_000 * day: much + 12, 20_000.5 * day: much + 7, 20_001 * day: much, 20_002 * day: 0}
        assert {since: ledger.counted("k", since) for since in sums} == sums
        assert ledger.account("k", 0.0) == Account(reserved=much + 12, spent=much + 12)
        window = Window(limit=much + 13, since=0.0)
        settle = Settle(key="k", by="b", amount=6)
        write(ledger, "run", replace(draft("x"), counts=(settle, Release(key="k", by="a"))))
        with pytest.raises(LimitReached):
            write(ledger, "run", replace(draft("y"), counts=(Count(key="k", by="e", amount=8, windows=(window,)),)))
        assert ledger.account("k", 0.0) == Account(reserved=much + 7, spent=much + 6, released=1)
        assert ledger.counted("k", 0.0) == much + 6
    finally:
        ledger.close()


def test_opening_a_file_of_this_version_again_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    SqliteLedger(path).close()
    before = path.read_bytes()
    SqliteLedger(path).close()
    assert path.read_bytes() == before


def test_a_newer_file_is_refused_and_left_untouched(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    SqliteLedger(path).close()
    with plain(path) as conn:
        conn.execute(f"PRAGMA user_version = {VERSION + 1}")
    before = path.read_bytes()
    with pytest.raises(LedgerVersion, match="newer") as caught:
        SqliteLedger(path)
    assert (caught.value.found, caught.value.known) == (VERSION + 1, VERSION)
    assert path.read_bytes() == before


def _table(conn: sqlite3.Connection) -> None:
    conn.execute("CREATE TABLE notes (a)")
    conn.execute("INSERT INTO notes VALUES (1)")


def _their_id(conn: sqlite3.Connection) -> None:
    conn.execute("PRAGMA application_id = 1234")


def _their_version(conn: sqlite3.Connection) -> None:
    conn.execute("PRAGMA user_version = 1")


def _wal(conn: sqlite3.Connection) -> None:
    conn.execute("PRAGMA journal_mode = WAL")
    _table(conn)


def _our_names(conn: sqlite3.Connection) -> None:
    conn.execute("CREATE TABLE records (a)")
    conn.execute(f"PRAGMA user_version = {VERSION}")


@pytest.mark.parametrize("make", [_table, _their_id, _their_version, _wal, _our_names])
def test_a_file_of_another_application_is_refused_and_left_untouched(
    tmp_path: Path, make: Callable[[sqlite3.Connection], None]
) -> None:
    path = tmp_path / "foreign.db"
    with plain(path) as conn:
        make(conn)
    before = path.read_bytes()
    with pytest.raises(LedgerVersion, match="not a ledger"):
        SqliteLedger(path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["foreign.db"]


@pytest.mark.parametrize("content", [b"garbage " * 1000, b"SQLite format 3\x00" + b"\xff" * 4096, b"x"])
def test_a_file_that_is_no_database_is_a_typed_error_and_left_untouched(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "ledger.db"
    path.write_bytes(content)
    with pytest.raises(LedgerUnavailable) as caught:
        SqliteLedger(path)
    assert caught.value.where == str(path)
    assert path.read_bytes() == content


def test_a_folder_in_the_files_place_is_a_typed_error(tmp_path: Path) -> None:
    with pytest.raises(LedgerUnavailable):
        SqliteLedger(tmp_path)


def test_an_empty_file_and_a_new_folder_become_a_ledger(tmp_path: Path) -> None:
    (tmp_path / "empty.db").touch()
    for path in (tmp_path / "empty.db", tmp_path / "a" / "b" / "ledger.db"):
        SqliteLedger(path).close()
        assert version(path) == VERSION
        with plain(path) as conn:
            assert conn.execute("PRAGMA application_id").fetchone()[0] == APPLICATION_ID
            assert conn.execute("PRAGMA journal_mode").fetchone()[0] == "wal"


@pytest.mark.parametrize("failing", range(VERSION))
def test_a_migration_that_fails_leaves_the_file_as_it_was(
    tmp_path: Path, failing: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(db: sqlite_utils.Database) -> None:
        db.execute("CREATE TABLE half (a)")
        raise RuntimeError("power cut")

    steps = list(migrations.MIGRATIONS)
    monkeypatch.setattr(migrations, "MIGRATIONS", (*steps[:failing], broken, *steps[failing + 1 :]))
    path = tmp_path / "ledger.db"
    with pytest.raises(RuntimeError, match="power cut"):
        SqliteLedger(path)
    assert shape(path) == []
    assert version(path) == 0
    monkeypatch.setattr(migrations, "MIGRATIONS", steps)
    SqliteLedger(path).close()
    assert version(path) == VERSION


@pytest.mark.slow
def test_processes_that_open_a_new_file_at_once_agree(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    go([child("open", path) for _ in range(4)])
    ledger = SqliteLedger(path)
    assert verify("run", ledger.entries("run")) == 4
    ledger.close()

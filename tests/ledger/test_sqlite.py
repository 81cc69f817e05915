"""What only a file can promise: the database refuses, processes share, and what was changed behind its back shows."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from edgewright.contracts.errors import LedgerCorrupt, LedgerUnavailable
from edgewright.ledger.entry import Draft, encode, verify
from edgewright.ledger.sqlite import SqliteLedger
from support.children import child, go
from support.ledgers import WAIT, as_payload, draft, ended, handoff, started, unguarded, write


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


@pytest.fixture
def ledger(path: Path) -> Iterator[SqliteLedger]:
    found = SqliteLedger(path)
    yield found
    found.close()


def filled(path: Path, count: int = 5) -> None:
    ledger = SqliteLedger(path)
    write(ledger, "run", Draft(record=started("t"), key="k0"))
    for i in range(1, count):
        write(ledger, "run", draft(f"r{i}", key=f"k{i}", payload=b"content"))
    ledger.close()


def reopened(path: Path) -> int:
    ledger = SqliteLedger(path)
    try:
        return verify("run", ledger.entries("run"))
    finally:
        ledger.close()


COLUMNS = "run, seq, time, kind, key, body, previous, hash"


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE records SET body = '{}'",
        "UPDATE records SET key = NULL WHERE seq = 1",
        "UPDATE OR REPLACE records SET seq = 0 WHERE seq = 1",
        "UPDATE OR IGNORE records SET seq = 9 WHERE seq = 1",
        "DELETE FROM records",
        "DELETE FROM records WHERE seq = 4",
        f"INSERT OR REPLACE INTO records ({COLUMNS}) VALUES ('run', 1, 0, 'x', 'new', '{{}}', '', '')",
        f"INSERT OR REPLACE INTO records ({COLUMNS}) VALUES ('run', 99, 0, 'x', 'k1', '{{}}', '', '')",
        f"INSERT OR REPLACE INTO records (id, {COLUMNS}) VALUES (1, 'other', 0, 0, 'x', NULL, '{{}}', '', '')",
        f"REPLACE INTO records ({COLUMNS}) VALUES ('run', 1, 0, 'x', NULL, '{{}}', '', '')",
        f"INSERT INTO records ({COLUMNS}) VALUES ('run', 1, 0, 'x', NULL, '{{}}', '', '')",
        f"INSERT INTO records ({COLUMNS}) VALUES ('run', 1, 0, 'x', NULL, '{{}}', '', '') "
        "ON CONFLICT (run, seq) DO UPDATE SET body = excluded.body",
        f"INSERT OR IGNORE INTO records ({COLUMNS}) VALUES ('run', 1, 0, 'x', NULL, '{{}}', '', '')",
        "WITH x AS (SELECT 1) DELETE FROM records WHERE seq IN (SELECT * FROM x)",
    ],
)
def test_the_database_itself_refuses_to_change_a_record(path: Path, sql: str) -> None:
    filled(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as conn:
        before = conn.execute("SELECT * FROM records").fetchall()
        with pytest.raises(sqlite3.IntegrityError, match="final"):
            conn.execute(sql)
        assert conn.execute("SELECT * FROM records").fetchall() == before
    assert reopened(path) == 5


@pytest.mark.parametrize(
    "sql",
    [
        """UPDATE records SET body = replace(body, 'r2', 'r9') WHERE seq = 2""",
        """UPDATE records SET body = '{"agent":"x",' || substr(body, 2) WHERE seq = 2""",
        """UPDATE records SET body = body || ' ' WHERE seq = 2""",
        """UPDATE records SET body = 'no json' WHERE seq = 2""",
        """UPDATE records SET body = '[]' WHERE seq = 2""",
        """UPDATE records SET body = '{}' WHERE seq = 2""",
        """UPDATE records SET body = CAST(body AS BLOB) WHERE seq = 2""",
        """UPDATE records SET kind = 'run.imagined' WHERE seq = 2""",
        """UPDATE records SET kind = 'reply.reused' WHERE seq = 2""",
        """UPDATE records SET kind = CAST(kind AS BLOB) WHERE seq = 2""",
        """UPDATE records SET time = time + 1 WHERE seq = 2""",
        """UPDATE records SET time = 'noon' WHERE seq = 2""",
        """UPDATE records SET key = NULL WHERE seq = 2""",
        """UPDATE records SET key = 'other' WHERE seq = 2""",
        """UPDATE records SET key = x'ff' WHERE seq = 2""",
        """UPDATE records SET key = CAST(x'ff' AS TEXT) WHERE seq = 2""",
        """UPDATE records SET body = CAST(x'ff' AS TEXT) WHERE seq = 2""",
        """UPDATE records SET hash = upper(hash) WHERE seq = 2""",
        """UPDATE records SET previous = '' WHERE seq = 2""",
        """UPDATE records SET run = 'other' WHERE seq = 2""",
        """DELETE FROM records WHERE seq = 2""",
        """DELETE FROM records WHERE seq = 0""",
        """UPDATE records SET seq = 10 + seq WHERE seq >= 2""",
        """UPDATE records SET seq = CASE seq WHEN 2 THEN 103 WHEN 3 THEN 102 ELSE seq END""",
    ],
)
def test_a_change_behind_the_databases_back_is_found(path: Path, sql: str) -> None:
    filled(path)
    with unguarded(path) as conn:
        assert conn.execute(sql).rowcount > 0
    with pytest.raises(LedgerCorrupt):
        reopened(path)


def test_a_changed_payload_is_found_when_it_is_read(path: Path) -> None:
    filled(path)
    with unguarded(path) as conn:
        conn.execute("UPDATE payloads SET body = x'00'")
    ledger = SqliteLedger(path)
    with pytest.raises(LedgerCorrupt, match="was changed"):
        ledger.payload("run", as_payload(b"content")[0])
    ledger.close()


def test_an_append_after_a_damaged_record_is_still_durable(path: Path) -> None:
    filled(path)
    with unguarded(path) as conn:
        conn.execute("UPDATE records SET body = 'no json' WHERE seq = 2")
    ledger = SqliteLedger(path)
    assert write(ledger, "run", draft("after"))[0].seq == 5
    with pytest.raises(LedgerCorrupt):
        write(ledger, "run", draft("again", key="k2"))  # who relies on that record learns of it
    assert write(ledger, "other", draft("a"))[0].seq == 0
    ledger.close()


def test_a_file_survives_being_reopened(path: Path) -> None:
    filled(path)
    ledger = SqliteLedger(path)
    assert write(ledger, "run", draft("x", key="k3"))[0].seq == 3
    write(ledger, "run", Draft(record=ended()))
    assert verify("run", ledger.entries("run")) == 6
    assert ledger.runs()[0].status == "completed"
    ledger.close()


def test_two_ledgers_on_one_file_keep_one_chain(path: Path, ledger: SqliteLedger) -> None:
    other = SqliteLedger(path)
    for i in range(30):
        assert write((ledger, other)[i % 2], "run", draft(str(i)), draft("k", key=f"k{i // 2}"))
    assert verify("run", ledger.entries("run")) == verify("run", other.entries("run")) == 45
    other.close()


@pytest.mark.slow
def test_two_processes_on_one_file_keep_one_valid_chain_per_run(path: Path) -> None:
    go([child("append", path, name, "120") for name in ("one", "two")])
    ledger = SqliteLedger(path)
    try:
        for run in ("run0", "run1"):
            entries = ledger.entries(run)
            assert verify(run, entries) == 120 + 60
            agents = [e.record.agent for e in entries]  # type: ignore[union-attr]
            for name in ("one", "two"):
                own = [a for a in agents if a.startswith(f"{name}:")]
                assert own == sorted(own)
            keys = [e.key for e in entries if e.key]
            assert len(keys) == len(set(keys)) == 60
    finally:
        ledger.close()


def test_a_full_disk_is_said_and_the_chain_goes_on_when_there_is_room(ledger: SqliteLedger) -> None:
    write(ledger, "run", draft("before"))
    ledger.writer._conn.execute("PRAGMA max_page_count = 1")
    futures = [ledger.append("run", [draft("small"), draft("lost", payload=b"x" * 500_000)]) for _ in range(3)]
    for future in futures:
        with pytest.raises(LedgerUnavailable, match="full"):
            future.result(WAIT)
    ledger.writer._conn.execute("PRAGMA max_page_count = 1000000")
    assert write(ledger, "run", draft("after", payload=b"x" * 500_000))[0].seq == 1
    assert verify("run", ledger.entries("run")) == 2


def test_a_read_only_store_is_said_and_the_chain_goes_on_afterwards(ledger: SqliteLedger) -> None:
    write(ledger, "run", draft("before"))
    ledger.writer._conn.execute("PRAGMA query_only = ON")
    with pytest.raises(LedgerUnavailable):
        write(ledger, "run", draft("lost"))
    ledger.writer._conn.execute("PRAGMA query_only = OFF")
    assert write(ledger, "run", draft("after"))[0].seq == 1
    assert verify("run", ledger.entries("run")) == 2


@pytest.mark.parametrize("steps", [1, 2, 3, 5, 8])
def test_an_append_that_breaks_off_in_the_middle_leaves_nothing(
    ledger: SqliteLedger, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    write(ledger, "run", draft("before"))
    left = [steps]

    def power(*_: object) -> int:
        left[0] -= 1
        return left[0] < 0

    ledger.writer._conn.set_progress_handler(power, 20)
    future = ledger.append("run", [draft(str(i), key=str(i), payload=b"p") for i in range(20)])
    with pytest.raises(LedgerUnavailable, match="interrupted"):
        future.result(WAIT)
    ledger.writer._conn.set_progress_handler(None, 0)
    assert len(ledger.entries("run")) == 1
    assert write(ledger, "run", draft("after"))[0].seq == 1
    assert verify("run", ledger.entries("run")) == 2


def test_many_runs_share_commits(ledger: SqliteLedger) -> None:
    def hold(_: sqlite3.Connection) -> None:
        inside.set()
        assert free.wait(WAIT)

    inside, free = threading.Event(), threading.Event()
    held = ledger.writer.submit(hold)
    assert inside.wait(WAIT)
    before = ledger.writer.commits
    futures = [ledger.append(f"run{i % 50}", [draft(str(i))]) for i in range(400)]
    free.set()
    held.result(WAIT)
    for future in futures:
        future.result(WAIT)
    assert ledger.writer.commits - before == 2
    assert sum(verify(f"run{i}", ledger.entries(f"run{i}")) for i in range(50)) == 400


def test_what_is_stored_is_the_canonical_body(path: Path) -> None:
    filled(path)
    with closing(sqlite3.connect(path)) as conn:
        stored = [row[0] for row in conn.execute("SELECT body FROM records ORDER BY seq")]
    assert stored[2].encode() == encode(handoff("r2"))


Broken = Callable[[Path], None]


def _garbage(path: Path) -> None:
    path.write_bytes(b"garbage" * 1000)


def _folder(path: Path) -> None:
    path.mkdir()


@pytest.mark.parametrize("make", [_garbage, _folder])
def test_a_path_that_is_no_ledger_is_a_typed_error(path: Path, make: Broken) -> None:
    make(path)
    with pytest.raises(LedgerUnavailable):
        SqliteLedger(path)

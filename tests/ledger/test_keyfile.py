"""The home key: made once, found again, never replaced in silence."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from edgewright.contracts.errors import LedgerKey
from edgewright.ledger import keyfile
from edgewright.ledger.checkpoints import LedgerSaver, safe_serializer
from edgewright.ledger.entry import Draft, verify
from edgewright.ledger.keyfile import key_file
from edgewright.ledger.migrations import VERSION, migrate
from edgewright.ledger.sealing import new_run_key, payload
from edgewright.ledger.sqlite import SqliteLedger
from langgraph.checkpoint.base import empty_checkpoint
from support.children import child, go
from support.ledgers import handoff, started, write
from support.sealing_child import CANARY

KEY, OTHER = b"k" * 32, b"o" * 32
SEALING = 4  # the first version whose files are sealed


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


def used(path: Path, key: bytes | None = None) -> str:
    """A file with a redacted payload and a checkpoint in it; the payload's ref."""
    ledger = SqliteLedger(path, key=key)
    run_key = new_run_key()
    item = payload({"to": CANARY}, key=run_key.body, cleaned={"to": "<secret>"})
    write(ledger, "run", Draft(record=started(), key="run.started", payloads=(run_key, item)))
    saver = LedgerSaver(ledger)
    saver.put({"configurable": {"thread_id": "t", "checkpoint_ns": ""}}, empty_checkpoint(), {"source": "loop"}, {})
    saver.close()
    ledger.close()
    return item.ref


def found(path: Path, ref: str, key: bytes | None = None) -> bytes | None:
    """The exact payload, in a file opened again."""
    ledger = SqliteLedger(path, key=key)
    try:
        return ledger.exact("run", ref)
    finally:
        ledger.close()


def sql(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as conn:
        for statement in statements:
            conn.execute(statement)


def test_the_key_is_made_with_the_database_and_only_its_owner_reads_it(path: Path) -> None:
    before = os.umask(0)
    try:
        ref = used(path)
    finally:
        os.umask(before)
    file = key_file(path)
    assert file == path.with_name("ledger.db.key")
    assert file.stat().st_mode & 0o777 == 0o600
    made = file.read_bytes()
    assert len(made) == 32
    assert found(path, ref) == b'{"to":"zqxcanary"}'
    assert file.read_bytes() == made
    assert made not in path.read_bytes()


def test_every_database_has_a_key_of_its_own(tmp_path: Path) -> None:
    for name in ("a.db", "b.db"):
        SqliteLedger(tmp_path / name).close()
    assert (tmp_path / "a.db.key").read_bytes() != (tmp_path / "b.db.key").read_bytes()


def test_a_database_reached_through_a_link_has_its_key_beside_itself(tmp_path: Path) -> None:
    ref = used(tmp_path / "ledger.db")
    (tmp_path / "elsewhere").mkdir()
    link = tmp_path / "elsewhere" / "link.db"
    link.symlink_to(tmp_path / "ledger.db")
    assert found(link, ref) is not None
    assert [p.name for p in link.parent.iterdir() if p.name.endswith(".key")] == []


def test_a_key_that_is_given_is_used_and_not_kept(path: Path) -> None:
    ref = used(path, KEY)
    assert not key_file(path).exists()
    assert found(path, ref, KEY) is not None
    assert KEY not in path.read_bytes()


@pytest.mark.parametrize("given", [None, KEY])
def test_another_key_is_refused_and_the_file_is_left_as_it_was(path: Path, given: bytes | None) -> None:
    ref = used(path, given)
    before = path.read_bytes()
    if given is None:
        right = key_file(path).read_bytes()
        key_file(path).write_bytes(OTHER)
        with pytest.raises(LedgerKey, match="sealed with another key") as caught:
            SqliteLedger(path)
        key_file(path).write_bytes(right)
    else:
        with pytest.raises(LedgerKey, match="sealed with another key") as caught:
            SqliteLedger(path, key=OTHER)
        with pytest.raises(LedgerKey, match="its key is missing"):
            SqliteLedger(path)
    assert (caught.value.where, caught.value.key_file) == (str(path), str(key_file(path)))
    assert "use that key" in str(caught.value)
    assert OTHER.decode() not in str(caught.value)
    assert path.read_bytes() == before
    assert found(path, ref, given) is not None


def test_a_key_that_is_missing_is_said_and_none_is_made_in_its_place(path: Path) -> None:
    ref = used(path)
    right = key_file(path).read_bytes()
    for _ in range(2):
        key_file(path).unlink(missing_ok=True)
        with pytest.raises(LedgerKey, match=r"its key is missing.*ledger\.db\.key.*put it back from a backup"):
            SqliteLedger(path)
        assert not key_file(path).exists()
    assert found(path, ref, right) is not None  # whoever kept it can give it


def _short(file: Path) -> None:
    file.write_bytes(b"k" * 31)


def _long(file: Path) -> None:
    file.write_bytes(b"k" * 33)


def _empty(file: Path) -> None:
    file.write_bytes(b"")


def _open_to_others(file: Path) -> None:
    file.chmod(0o640)


def _folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (_short, "32 bytes, not 31"),
        (_long, "32 bytes, not 33"),
        (_empty, "32 bytes, not 0"),
        (_open_to_others, r"others than its owner.*chmod 600"),
        (_folder, "cannot be read"),
    ],
)
def test_a_damaged_key_is_refused_and_left_as_it_is(path: Path, damage: Callable[[Path], None], why: str) -> None:
    used(path)
    damage(key_file(path))
    with pytest.raises(LedgerKey, match=why):
        SqliteLedger(path)
    assert key_file(path).exists()


@pytest.mark.parametrize("size", [0, 16, 33])
def test_a_given_key_of_another_length_is_refused(path: Path, size: int) -> None:
    with pytest.raises(LedgerKey, match=f"32 bytes, not {size}"):
        SqliteLedger(path, key=bytes(size))
    SqliteLedger(path, key=KEY).close()


@pytest.mark.parametrize("left", [b"", OTHER])
def test_what_a_crash_left_of_a_new_key_does_not_stand_in_the_way(path: Path, left: bytes) -> None:
    with key_file(path).open("wb") as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(left)
    assert found(path, used(path)) is not None
    assert (key_file(path).read_bytes() == OTHER) == (left == OTHER)


@pytest.mark.parametrize("step", ["open", "fsync"])
def test_a_key_that_cannot_be_kept_seals_nothing(path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    def full(*_: Any) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(f"edgewright.ledger.keyfile.os.{step}", full)
        with pytest.raises(LedgerKey, match="No space left"):
            SqliteLedger(path)
    assert not key_file(path).exists()
    assert found(path, used(path)) is not None


@pytest.mark.slow
def test_processes_that_open_a_new_file_at_once_make_one_key(path: Path) -> None:
    go([child("open", path) for _ in range(4)])
    assert sorted(p.name for p in path.parent.iterdir()) == ["ledger.db", "ledger.db.key"]
    ledger = SqliteLedger(path)
    assert verify("run", ledger.entries("run")) == 4
    ledger.close()


# -- files from before ------------------------------------------------------------------------------------------


def older(path: Path, upto: int = SEALING - 1, count: int = 1100) -> None:
    """A file as an earlier version left it, with plain checkpoints and writes."""
    serde = safe_serializer()
    with closing(sqlite3.connect(path, isolation_level=None)) as conn:
        migrate(conn, str(path), upto=upto)
        conn.execute("BEGIN")
        for number in range(count):
            checkpoint = empty_checkpoint() | {"id": f"{number:05}", "channel_values": {"x": f"{CANARY} {number}"}}
            kind, body = serde.dumps_typed(checkpoint)
            conn.execute(
                "INSERT INTO checkpoints VALUES ('t', '', ?, ?, ?, ?, ?)",
                (f"{number:05}", f"{number - 1:05}" if number else None, kind, body, b'{"source":"loop"}'),
            )
            conn.execute(
                "INSERT INTO writes VALUES ('t', '', ?, 'task', 'path', 0, 'x', ?, ?)",
                (f"{number:05}", *serde.dumps_typed(CANARY)),
            )
        conn.execute("COMMIT")


def config() -> Any:
    return {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}


def test_the_checkpoints_of_an_older_file_are_sealed_in_place_and_still_read(path: Path) -> None:
    older(path)
    assert CANARY.encode() in path.read_bytes()
    for _ in range(2):
        ledger = SqliteLedger(path)
        saver = LedgerSaver(ledger)
        history = list(saver.list(config()))
        assert [h.checkpoint["channel_values"]["x"] for h in history] == [f"{CANARY} {n}" for n in range(1100)][::-1]
        assert {tuple(h.pending_writes or ()) for h in history} == {(("task", "x", CANARY),)}
        saver.close()
        ledger.close()
        assert CANARY.encode() not in path.read_bytes()
        assert [p.name for p in path.parent.iterdir() if CANARY.encode() in p.read_bytes()] == []


def test_an_older_file_that_could_not_be_sealed_is_left_as_it_was(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    older(path, count=3)

    def power(*_: Any) -> Any:
        raise RuntimeError("power cut")

    with monkeypatch.context() as patched:
        patched.setattr(keyfile, "seal_row", power)
        with pytest.raises(RuntimeError, match="power cut"):
            SqliteLedger(path)
    assert not key_file(path).exists()
    ledger = SqliteLedger(path)
    saver = LedgerSaver(ledger)
    assert len(list(saver.list(config()))) == 3
    saver.close()
    ledger.close()


def plant(path: Path) -> None:
    """A forged checkpoint, not sealed, as the newest of the thread."""
    forged = empty_checkpoint() | {"id": "zzz", "channel_values": {"x": "forged"}}
    with closing(sqlite3.connect(path, isolation_level=None)) as conn:
        conn.execute(
            "INSERT INTO checkpoints VALUES ('t', '', 'zzz', NULL, ?, ?, NULL)", safe_serializer().dumps_typed(forged)
        )


@pytest.mark.parametrize("given", [None, KEY])
@pytest.mark.parametrize("emptied", [False, True])
def test_a_file_whose_mark_was_removed_is_not_sealed_again(path: Path, given: bytes | None, emptied: bool) -> None:
    used(path, given)
    sql(path, "DELETE FROM home_key")
    if emptied:
        sql(path, "DELETE FROM payloads", "DELETE FROM checkpoints")
    plant(path)
    with pytest.raises(LedgerKey, match="no mark of the key"):
        SqliteLedger(path, key=given)
    assert path.stat().st_size


@pytest.mark.parametrize("keep", ["payloads", "checkpoints", "writes"])
def test_a_file_that_lost_both_its_mark_and_its_key_gets_no_new_one(path: Path, keep: str) -> None:
    used(path)
    sql(path, "DELETE FROM home_key", "INSERT INTO writes SELECT thread_id, '', 'c', 't', '', 0, 'x', type, checkpoint "
        "FROM checkpoints")  # fmt: skip
    sql(path, *(f"DELETE FROM {table}" for table in ("payloads", "checkpoints", "writes") if table != keep))
    key_file(path).unlink()
    with pytest.raises(LedgerKey, match="no mark of the key"):
        SqliteLedger(path)
    assert not key_file(path).exists()


def test_an_older_file_is_not_sealed_with_a_key_of_ones_own(path: Path) -> None:
    # Nothing would tell it from a file whose mark was removed, to have forged checkpoints sealed.
    older(path, count=2)
    with pytest.raises(LedgerKey, match="open it once"):
        SqliteLedger(path, key=KEY)
    SqliteLedger(path).close()
    SqliteLedger(path, key=key_file(path).read_bytes()).close()
    assert VERSION >= SEALING


def test_a_ledger_that_was_refused_lets_go_of_the_file(path: Path) -> None:
    ref = used(path, KEY)
    for _ in range(20):
        with pytest.raises(LedgerKey):
            SqliteLedger(path, key=OTHER)
    ledger = SqliteLedger(path, key=KEY)
    write(ledger, "run", Draft(record=handoff("a")))
    assert ledger.exact("run", ref) is not None
    ledger.close()

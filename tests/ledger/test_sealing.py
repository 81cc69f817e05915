"""Payloads: redacted to every reader, exact for re-execution, erased when they have to be. One suite, both twins."""

from __future__ import annotations

import hashlib
import hmac
import math
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import orjson
import pytest
from cryptography.exceptions import InvalidTag
from edgewright.contracts.digest import canonical, digest
from edgewright.contracts.errors import LedgerCorrupt, LedgerUnavailable, NotFound
from edgewright.ledger.entry import Draft, Payload, verify
from edgewright.ledger.records import PayloadsErased
from edgewright.ledger.sealing import Keyring, keyed, new_run_key, payload
from edgewright.ledger.sqlite import SqliteLedger
from edgewright.ledger.store import Ledger
from edgewright.ledger.transcript import transcript
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.children import TESTS, expect_ready
from support.ledgers import WAIT, as_payload, draft, ended, handoff, opened, started, write
from support.sealing_child import CANARY

EXACT = {"to": CANARY, "body": "hello"}
CLEAN = {"to": "<secret>", "body": "hello"}


@pytest.fixture(params=["memory", "sqlite"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ledger]:
    with opened(request.param, tmp_path) as found:
        yield found


def begin(ledger: Ledger, run: str = "run") -> bytes:
    """A run with a key; the key."""
    write(ledger, run, Draft(record=started(), key="run.started", payloads=(new_run_key(),)))
    key = ledger.run_key(run)
    assert key is not None
    return key


def redacted(key: bytes, exact: Any = None, cleaned: Any = None) -> Payload:
    return payload(exact or EXACT, key=key, cleaned=cleaned or CLEAN)


def keep(ledger: Ledger, *items: Payload, run: str = "run") -> None:
    write(ledger, run, Draft(record=handoff("a"), payloads=items))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


# -- what a payload is ------------------------------------------------------------------------------------------


@given(JSON, JSON, st.binary(min_size=32, max_size=32))
def test_a_payload_is_named_by_its_digest_or_where_redacted_by_a_keyed_one(value: Any, other: Any, key: bytes) -> None:
    for cleaned in (None, value):
        assert payload(value, key=key, cleaned=cleaned) == (digest(value), canonical(value), None)
    found = payload(value, key=key, cleaned=other)
    if other is None or canonical(other) == canonical(value):
        assert found.exact is None
    else:
        expected = "k:" + hmac.new(key, canonical(value), hashlib.sha256).hexdigest()
        assert found == (expected, canonical(other), canonical(value))
        assert payload(value, key=key[::-1] + b"", cleaned=other).ref != expected or key == key[::-1]


def test_what_is_not_json_is_no_payload() -> None:
    for value, cleaned in ((math.nan, None), ({"a": 1}, {"a": object()}), ({1: 2}, {"a": 1})):
        with pytest.raises(TypeError):
            payload(value, key=bytes(32), cleaned=cleaned)


def test_what_was_redacted_is_not_printed() -> None:
    item = redacted(bytes(32))
    shown = repr(item) + repr(Draft(record=handoff("a"), payloads=(item, new_run_key()))) + repr(Keyring(b"zqxc" * 8))
    assert CANARY not in shown
    assert "zqxc" not in shown
    assert item.ref in shown


def test_each_use_has_a_key_of_its_own() -> None:
    keyring = Keyring(bytes(32))
    keys = [keyring.subkey(use) for use in ("payloads", "checkpoints", "approvals", "mark")]
    assert len({*keys, keyring.exported()}) == 5
    assert {len(key) for key in keys} == {32}
    assert Keyring(bytes(32)).subkey("approvals") == keys[2] != Keyring(b"\1" * 32).subkey("approvals")
    for size in (0, 16, 31, 33):
        with pytest.raises(ValueError, match="32 bytes"):
            Keyring(bytes(size))


@given(st.binary(max_size=64), st.binary(max_size=16), st.integers(0, 10_000), st.integers(1, 255))
def test_a_box_opens_what_it_sealed_and_nothing_that_was_changed(
    body: bytes, about: bytes, where: int, flip: int
) -> None:
    box = Keyring(bytes(32)).box("payloads", "somebody")
    sealed = box.seal(body, about)
    assert box.open(sealed, about) == body
    changed = bytearray(sealed)
    changed[where % len(sealed)] ^= flip
    others = [(bytes(changed), about), (sealed, about + b"x"), (sealed[:-1], about), (b"", about), (None, about)]
    for blob, what in others:
        with pytest.raises(InvalidTag):
            box.open(blob, what)
    with pytest.raises(InvalidTag):
        Keyring(bytes(32)).box("payloads", "somebody else").open(sealed, about)


# -- reading ----------------------------------------------------------------------------------------------------


def test_readers_see_the_redacted_body_and_re_execution_the_exact_one(ledger: Ledger) -> None:
    item = redacted(begin(ledger))
    keep(ledger, item)
    keep(ledger, item)
    assert ledger.payload("run", item.ref) == canonical(CLEAN)
    assert ledger.exact("run", item.ref) == canonical(EXACT)
    assert ledger.payload("other", item.ref) is None
    assert ledger.exact("other", item.ref) is None
    assert digest(EXACT) not in (item.ref, item.ref.removeprefix("k:"))


def test_what_was_not_redacted_is_the_same_for_both_with_a_key_and_without(ledger: Ledger) -> None:
    begin(ledger)
    for run in ("run", "keyless"):
        name, body = as_payload(b'{"a":1}')
        write(ledger, run, draft("a", payload=body))
        assert ledger.payload(run, name) == ledger.exact(run, name) == body


def test_a_payload_under_a_digest_that_is_not_its_own_is_corrupt_to_both_readers(ledger: Ledger) -> None:
    write(ledger, "run", Draft(record=handoff("a"), payloads=(("0" * 64, b"content"),)))
    for read in (ledger.payload, ledger.exact):
        with pytest.raises(LedgerCorrupt, match="was changed"):
            read("run", "0" * 64)


def test_the_key_of_a_run_is_no_payload(ledger: Ledger) -> None:
    begin(ledger)
    assert ledger.payload("run", "key") is None
    assert ledger.exact("run", "key") is None


def test_of_two_keys_for_one_run_the_first_stays_and_both_find_it(ledger: Ledger) -> None:
    keys = [new_run_key() for _ in range(2)]
    for key in keys:
        write(ledger, "run", Draft(record=started(), key="run.started", payloads=(key,)))
    keep(ledger, new_run_key())
    assert ledger.run_key("run") == keys[0].body
    assert ledger.run_key("nobody") is None


@pytest.mark.parametrize("first", [True, False])
def test_a_key_and_what_it_seals_may_come_in_one_record_in_any_order(ledger: Ledger, first: bool) -> None:
    key = new_run_key()
    item = redacted(key.body)
    pair = (key, item) if first else (item, key)
    write(ledger, "run", Draft(record=started(), key="run.started", payloads=pair))
    assert ledger.exact("run", item.ref) == canonical(EXACT)


def test_what_cannot_be_sealed_is_not_kept_and_neither_is_its_record(ledger: Ledger) -> None:
    key = begin(ledger)
    other = begin(ledger, "other")
    wrong = [
        ("keyless", redacted(key), "has no key"),
        ("run", redacted(other), "not made with the key"),
        ("run", redacted(key)._replace(ref=digest(EXACT)), "not made with the key"),
        ("run", redacted(key)._replace(exact=None), "without its exact content"),
        ("run", Payload("key", b"short"), "32 bytes"),
        ("run", Payload("key", bytes(32), b"more"), "32 bytes"),
    ]
    for run, item, why in wrong:
        with pytest.raises(LedgerUnavailable, match=why) as caught:
            write(ledger, run, draft("before", payload=b"before"), Draft(record=handoff("a"), payloads=(item,)))
        assert CANARY not in str(caught.value)
        assert ledger.payload(run, as_payload(b"before")[0]) is None
    assert [len(ledger.entries(run)) for run in ("run", "other", "keyless")] == [1, 1, 0]
    assert ledger.run_key("run") == key


def test_a_search_finds_what_readers_see_and_not_what_was_redacted(ledger: Ledger) -> None:
    key = begin(ledger)
    keep(ledger, redacted(key, cleaned={"to": "<withheld>", "body": "hello"}))
    assert ledger.search("withheld hello") == ["run"]
    for word in (CANARY, "key", key.hex()):
        assert ledger.search(word) == []


# -- erasing ----------------------------------------------------------------------------------------------------


def test_erasing_takes_all_payloads_and_the_key_and_leaves_a_chain_that_says_so(ledger: Ledger) -> None:
    for run in ("run", "other"):
        item = redacted(begin(ledger, run))
        keep(ledger, item, Payload(*as_payload(b'"needle"')), run=run)
        write(ledger, run, Draft(record=ended()))
    item = redacted(ledger.run_key("run") or b"")
    assert sorted(ledger.search("needle")) == ["other", "run"]
    ledger.erase("run", by="dpo@example.com", reason="asked for")
    refs = (item.ref, as_payload(b'"needle"')[0])
    assert [read("run", ref) for ref in refs for read in (ledger.payload, ledger.exact)] == [None] * 4
    assert ledger.run_key("run") is None
    assert ledger.search("needle") == ["other"]
    entries = ledger.entries("run")
    assert verify("run", entries) == 4
    assert entries[-1].record == PayloadsErased(payloads=2, by="dpo@example.com", reason="asked for")
    assert [r.status for r in ledger.runs()] == ["completed", "completed"]
    told = transcript(entries, lambda ref: ledger.payload("run", ref))[-1]
    assert (told.title, told.facts) == ("2 payloads erased by dpo@example.com", (("reason", "asked for"),))
    mine = redacted(ledger.run_key("other") or b"")
    assert ledger.exact("other", mine.ref) == canonical(EXACT)


def test_an_erased_run_keeps_no_redacted_payload_any_more_and_gets_no_new_key(ledger: Ledger) -> None:
    key = begin(ledger)
    ledger.erase("run", by="me")
    with pytest.raises(LedgerUnavailable, match="no key"):
        keep(ledger, redacted(key))
    write(ledger, "run", Draft(record=started(), key="run.started", payloads=(new_run_key(),)))
    assert ledger.run_key("run") is None
    ledger.erase("run", by="me again")
    assert verify("run", ledger.entries("run")) == 3


def test_a_run_that_is_not_there_cannot_be_erased_and_nothing_can_once_closed(ledger: Ledger) -> None:
    with pytest.raises(NotFound, match="no run 'nobody'"):
        ledger.erase("nobody", by="me")
    assert ledger.entries("nobody") == []
    item = redacted(begin(ledger))
    keep(ledger, item)
    with pytest.raises((TypeError, UnicodeEncodeError)):
        ledger.erase("run", by="\udc00")
    assert ledger.exact("run", item.ref) == canonical(EXACT)
    ledger.close()
    with pytest.raises(LedgerUnavailable, match="closed"):
        ledger.erase("run", by="me")


ACTS = st.lists(
    st.tuples(
        st.sampled_from(["a", "b"]),
        st.sampled_from(["begin", "plain", "redacted", "stranger", "erase"]),
        st.none() | st.sampled_from(["k", "l"]),
        st.integers(0, 2),
    ),
    max_size=10,
)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ACTS)
def test_the_twins_agree_on_any_sequence_of_payloads(
    tmp_path: Path, acts: list[tuple[str, str, str | None, int]]
) -> None:
    keys = {run: Payload("key", hashlib.sha256(run.encode()).digest()) for run in ("a", "b")}
    found = []
    for kind in ("memory", "sqlite"):
        with opened(kind, tmp_path / str(len(list(tmp_path.iterdir())))) as ledger:
            found.append([_acted(ledger, keys, *act) for act in acts])
            found[-1] += [_held(ledger, keys, run) for run in keys]
    assert found[0] == found[1]


def _items(keys: dict[str, Payload], run: str, number: int) -> dict[str, Payload]:
    value, cleaned = {"n": number, "to": CANARY}, {"n": number}
    return {
        "begin": keys[run],
        "plain": payload(cleaned, key=b"", cleaned=None),
        "redacted": payload(value, key=keys[run].body, cleaned=cleaned),
        "stranger": payload(value, key=b"", cleaned=cleaned),
    }


def _acted(ledger: Ledger, keys: dict[str, Payload], run: str, act: str, key: str | None, number: int) -> Any:
    try:
        if act == "erase":
            return ledger.erase(run, by="me")
        item = _items(keys, run, number)[act]
        return [e.seq for e in write(ledger, run, Draft(record=handoff("a"), key=key, payloads=(item,)))]
    except (LedgerUnavailable, NotFound) as error:
        return type(error)


def _held(ledger: Ledger, keys: dict[str, Payload], run: str) -> Any:
    refs = [item.ref for number in range(3) for item in _items(keys, run, number).values()]
    read = [(ledger.payload(run, ref), ledger.exact(run, ref)) for ref in refs]
    return read, ledger.run_key(run), [e.record for e in ledger.entries(run)]


# -- in the file ------------------------------------------------------------------------------------------------


def raw(folder: Path) -> bytes:
    """All that the database's files hold."""
    return b"".join(p.read_bytes() for p in sorted(folder.iterdir()) if not p.name.endswith(".key"))


def test_the_bytes_of_the_file_do_not_hold_what_was_redacted_nor_any_key(tmp_path: Path) -> None:
    ledger = SqliteLedger(tmp_path / "ledger.db")
    key = begin(ledger)
    keep(ledger, redacted(key), redacted(key, exact={"to": CANARY * 500}))
    assert ledger.search("hello") == ["run"]
    names = {p.name for p in tmp_path.iterdir()}
    assert names == {"ledger.db", "ledger.db-wal", "ledger.db-shm", "ledger.db.key"}
    for _ in range(2):  # open, and closed
        held = raw(tmp_path)
        assert b"<secret>" in held
        for secret in (CANARY.encode(), key, key.hex().encode(), ledger.keyring.exported()):
            assert secret not in held
        ledger.close()


def test_an_erased_run_leaves_none_of_its_bytes_in_the_file(tmp_path: Path) -> None:
    ledger = SqliteLedger(tmp_path / "ledger.db")
    for run in ("run", "other"):
        item = redacted(begin(ledger, run), cleaned={"seen": f"jw{run}seen " * 40})
        keep(ledger, item, payload({"plain": f"jw{run}plain " * 2000}, key=b"", cleaned=None), run=run)
    for _ in range(3):  # in the index as well, in more than one part of it
        write(ledger, "run", draft("again"))
        assert ledger.search("jwrunseen") == ["run"]
    with closing(sqlite3.connect(ledger.path)) as conn:
        query = "SELECT hex(sealed), digest FROM payloads WHERE run = 'run' AND sealed IS NOT NULL"
        sealed = [bytes.fromhex(row[0]) for row in conn.execute(query)]
    assert len(sealed) == 2
    assert all(blob in raw(tmp_path) for blob in sealed)
    ledger.erase("run", by="me")
    for _ in range(2):
        held = raw(tmp_path)
        for gone in (b"wrunseen", b"wrunplain", *sealed):
            assert gone not in held
        assert b"wotherseen" in held
        ledger.close()


def test_an_erasure_that_another_reader_holds_up_says_so_and_is_finished_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = SqliteLedger(tmp_path / "ledger.db")
    keep(ledger, redacted(begin(ledger), cleaned={"seen": "jwrunseen"}))
    monkeypatch.setattr("edgewright.ledger.writer.WAIT_SECONDS", 0.05)
    with closing(sqlite3.connect(ledger.path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM payloads").fetchone()
        with pytest.raises(LedgerUnavailable, match="erase it again"):
            ledger.erase("run", by="me")
        assert ledger.run_key("run") is None
    ledger.erase("run", by="me")
    assert b"wrunseen" not in raw(tmp_path)
    ledger.close()


TAMPERED = {
    "body": "UPDATE payloads SET body = replace(CAST(body AS TEXT), 'hello', 'hallo') WHERE digest LIKE 'k:%'",
    "body of another type": "UPDATE payloads SET body = 7 WHERE digest LIKE 'k:%'",
    "sealed, a bit": "UPDATE payloads SET sealed = substr(sealed, 1, 20) || "
    "CASE substr(sealed, 21, 1) WHEN x'00' THEN x'01' ELSE x'00' END || substr(sealed, 22) "
    "WHERE digest LIKE 'k:%'",
    "sealed, cut": "UPDATE payloads SET sealed = substr(sealed, 1, 12) WHERE digest LIKE 'k:%'",
    "sealed, gone": "UPDATE payloads SET sealed = NULL WHERE digest LIKE 'k:%'",
    "sealed, a text": "UPDATE payloads SET sealed = 'text' WHERE digest LIKE 'k:%'",
    "sealed, another's": "UPDATE payloads SET sealed = (SELECT p.sealed FROM payloads p WHERE p.run = 'other' "
    "AND p.digest LIKE 'k:%') WHERE digest LIKE 'k:%' AND run = 'run'",
    "both, another run's": "UPDATE payloads SET (body, sealed) = (SELECT p.body, p.sealed FROM payloads p "
    "WHERE p.run = 'other' AND p.digest LIKE 'k:%') WHERE digest LIKE 'k:%' AND run = 'run'",
    "key, gone": "DELETE FROM payloads WHERE digest = 'key'",
    "key, another's": "UPDATE payloads SET sealed = (SELECT p.sealed FROM payloads p WHERE p.run = 'other' "
    "AND p.digest = 'key') WHERE digest = 'key' AND run = 'run'",
    "key, a bit": "UPDATE payloads SET sealed = "
    "CASE substr(sealed, 1, 1) WHEN x'00' THEN x'01' ELSE x'00' END || substr(sealed, 2) WHERE digest = 'key'",
    "under another ref": "UPDATE payloads SET digest = digest || '0' WHERE run = 'run' AND digest LIKE 'k:%'",
}


@pytest.mark.parametrize("sql", TAMPERED.values(), ids=TAMPERED)
def test_a_redacted_payload_that_was_tampered_with_is_refused_to_both_readers(tmp_path: Path, sql: str) -> None:
    ledger = SqliteLedger(tmp_path / "ledger.db")
    keys = {run: begin(ledger, run) for run in ("run", "other")}
    first, second = redacted(keys["run"]), redacted(keys["run"], exact={"to": "another " + CANARY})
    keep(ledger, first, second)
    keep(ledger, redacted(keys["other"]), run="other")
    with closing(sqlite3.connect(ledger.path, isolation_level=None)) as conn:
        assert conn.execute(sql).rowcount > 0
        refs = [row[0] for row in conn.execute("SELECT digest FROM payloads WHERE run = 'run' AND digest <> 'key'")]
    assert len(refs) == 2
    for ref in refs:
        for read in (ledger.payload, ledger.exact):
            with pytest.raises(LedgerCorrupt) as caught:
                read("run", ref)
            assert CANARY not in str(caught.value)
            assert caught.value.__cause__ is None
    ledger.close()


def test_a_changed_key_is_refused_and_nothing_is_sealed_with_it(tmp_path: Path) -> None:
    ledger = SqliteLedger(tmp_path / "ledger.db")
    key = begin(ledger)
    with closing(sqlite3.connect(ledger.path, isolation_level=None)) as conn:
        conn.execute("UPDATE payloads SET sealed = randomblob(60)")
    with pytest.raises(LedgerCorrupt, match="its key was changed"):
        ledger.run_key("run")
    with pytest.raises(LedgerCorrupt, match="its key was changed"):
        keep(ledger, redacted(key))
    assert len(ledger.entries("run")) == 1
    ledger.close()


def test_another_process_finds_the_key_and_the_exact_content(tmp_path: Path) -> None:
    one, two = (SqliteLedger(tmp_path / "ledger.db") for _ in range(2))
    item = redacted(begin(one))
    keep(two, item)
    assert one.run_key("run") == two.run_key("run")
    assert one.exact("run", item.ref) == two.exact("run", item.ref) == canonical(EXACT)
    two.erase("run", by="me")
    assert one.exact("run", item.ref) is None
    with pytest.raises(LedgerUnavailable, match="no key"):
        keep(one, item)
    one.close()
    two.close()


@pytest.mark.slow
def test_after_a_kill_every_run_has_its_key_and_every_acknowledged_payload_opens(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    acknowledged: list[str] = []
    for after in (0, 1, 7, 23, 40):
        process = subprocess.Popen(
            [sys.executable, "-m", "support.sealing_child", str(path)],
            cwd=TESTS,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        expect_ready(process)
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(after)]
        process.send_signal(signal.SIGKILL)
        rest, errors = process.communicate(timeout=WAIT)
        assert process.returncode == -signal.SIGKILL, errors
        acknowledged += [line for line in [*lines, *rest.splitlines()] if line.strip()]
    assert len(acknowledged) >= 71
    ledger = SqliteLedger(path)
    begun = {r.run for r in ledger.runs(limit=100_000)}
    assert begun >= {line.split()[0] for line in acknowledged}
    with closing(sqlite3.connect(path)) as conn:
        stored = conn.execute("SELECT run, digest FROM payloads WHERE digest <> 'key'").fetchall()
    for run in begun:
        assert verify(run, ledger.entries(run)) in (1, 2)
        assert ledger.run_key(run) is not None
    for run, ref in stored:
        exact, key = ledger.exact(run, ref), ledger.run_key(run)
        assert exact is not None
        assert key is not None
        assert ref == keyed(key, exact)
        assert f"{CANARY} {run}" in orjson.loads(exact).values()
    assert {(line.split()[0], ref) for line in acknowledged for ref in line.split()[1:]} <= set(stored)
    assert CANARY.encode() not in raw(tmp_path)
    ledger.close()

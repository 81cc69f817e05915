"""The chain: every record round-trips, and every change of a chain is found."""

from __future__ import annotations

import dataclasses
import random
from typing import Any

import orjson
import pytest
from edgewright.contracts.errors import LedgerCorrupt
from edgewright.ledger.entry import GENESIS, Entry, decode, encode, link, verify
from edgewright.ledger.memory import MemoryLedger
from edgewright.ledger.records import RECORDS, Record
from hypothesis import given
from hypothesis import strategies as st
from support.ledgers import draft, handoff, sample, write


def chain(length: int, run: str = "run") -> list[Entry]:
    ledger = MemoryLedger()
    write(ledger, run, *(draft(f"record {i}", key=f"k{i}" if i % 2 else None) for i in range(length)))
    return ledger.entries(run)


@pytest.mark.parametrize("kind", list(RECORDS))
def test_a_record_of_every_type_survives_its_body(kind: str) -> None:
    record = sample(RECORDS[kind])
    assert decode(kind, encode(record)) == record
    assert decode(kind, encode(record).decode()) == record


def test_kinds_are_unique_and_every_class_of_the_union_is_known() -> None:
    assert len(RECORDS) == len(Record.__args__)
    assert all(cls.kind == kind for kind, cls in RECORDS.items())


def test_an_unknown_kind_or_a_body_that_does_not_fit_is_refused() -> None:
    with pytest.raises(KeyError):
        decode("run.imagined", b"{}")
    with pytest.raises(TypeError):
        decode("run.started", b'{"nothing": 1}')


def test_newlines_and_control_characters_stay_inside_one_line() -> None:
    body = encode(handoff('a\nb\r\x00\x1b[31m\u2028"'))
    assert b"\n" not in body
    assert b"\x00" not in body
    assert b"\x1b" not in body


def test_a_chain_verifies_and_says_how_long_it_is() -> None:
    assert verify("run", []) == 0
    assert verify("run", chain(7)) == 7


def test_what_append_answered_verifies_too() -> None:
    ledger = MemoryLedger()
    assert verify("run", write(ledger, "run", *(draft(str(i)) for i in range(3)))) == 3


FORGED: dict[str, Any] = {
    "run": "other",
    "seq": 99,
    "time": 0.5,
    "key": "forged",
    "record": handoff("forged"),
    "previous": "f" * 64,
    "hash": "f" * 64,
    "body": encode(handoff("forged")),
}


@pytest.mark.parametrize("field", [f.name for f in dataclasses.fields(Entry)])
@pytest.mark.parametrize("at", [0, 2, 4])
def test_a_change_of_any_field_is_found_where_it_is(field: str, at: int) -> None:
    entries = chain(5)
    entries[at] = dataclasses.replace(entries[at], **{field: FORGED[field]})
    with pytest.raises(LedgerCorrupt) as caught:
        verify("run", entries)
    assert caught.value.seq == at
    assert caught.value.run == "run"


def test_a_change_of_the_kind_alone_is_found() -> None:
    entries = chain(2)
    record = entries[1].record
    other = RECORDS["handoff.asked"]
    assert isinstance(record, other)
    forged = link(entries[0].hash, "run", 1, entries[1].time, "run.resumed", entries[1].key, entries[1].body)
    entries[1] = dataclasses.replace(entries[1], hash=forged)
    with pytest.raises(LedgerCorrupt):
        verify("run", entries)


def test_a_body_that_decodes_alike_but_is_not_what_was_written_is_found() -> None:
    entries = chain(2)
    data = orjson.loads(entries[1].body)
    twice = b'{"agent":"forged",' + entries[1].body[1:]  # two keys of a name: readers differ on which they take
    assert orjson.loads(twice) == data
    entries[1] = dataclasses.replace(entries[1], body=twice)
    with pytest.raises(LedgerCorrupt):
        verify("run", entries)


@given(
    st.integers(2, 9),
    st.randoms(use_true_random=False),
    st.sampled_from(["delete", "insert", "swap", "repeat", "edit"]),
)
def test_any_deletion_insertion_reordering_or_edit_is_found(length: int, rng: random.Random, how: str) -> None:
    entries = chain(length)
    at = rng.randrange(length)
    if how == "delete":
        del entries[min(at, length - 2)]  # the tail alone could be cut off unseen, see below
    elif how == "insert":
        entries.insert(at, rng.choice(chain(length, "other")))
    elif how == "repeat":
        entries.insert(at, entries[rng.randrange(length)])
    elif how == "swap":
        other = (at + rng.randrange(1, length)) % length
        entries[at], entries[other] = entries[other], entries[at]
    else:
        record = handoff(rng.choice(["forged", "", "record"]))
        entries[at] = dataclasses.replace(entries[at], record=record, body=encode(record))
    with pytest.raises(LedgerCorrupt):
        verify("run", entries)


def test_a_chain_that_was_rewritten_from_an_entry_on_no_longer_meets_the_old_one() -> None:
    entries = chain(4)
    record = handoff("forged")
    own = link(entries[0].hash, "run", 1, entries[1].time, record.kind, entries[1].key, encode(record))
    entries[1] = dataclasses.replace(entries[1], record=record, body=encode(record), hash=own)
    with pytest.raises(LedgerCorrupt) as caught:
        verify("run", entries)
    assert caught.value.seq == 2


def test_a_cut_off_tail_is_not_found_without_a_head_kept_elsewhere() -> None:
    entries = chain(4)
    head = entries[-1].hash
    assert verify("run", entries[:2]) == 2
    assert entries[1].hash != head


def test_every_part_of_an_entry_is_in_its_hash() -> None:
    base: dict[str, Any] = {
        "previous": GENESIS, "run": "run", "seq": 0, "time": 1.5, "kind": "kind", "key": None, "body": b"{}",
    }  # fmt: skip
    changes: dict[str, Any] = {
        "previous": "1" * 64, "run": "ruN", "seq": 1, "time": 1.25, "kind": "kin", "key": "", "body": b"{ }",
    }  # fmt: skip
    assert len({link(**base), *(link(**{**base, part: changes[part]}) for part in base)}) == len(base) + 1

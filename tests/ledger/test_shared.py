"""Shared records: who may change one, decided alike by both twins, in the transaction of the records that say so."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from edgewright.contracts.errors import (
    LedgerUnavailable,
    NotFound,
    RecordBusy,
    RecordConflict,
    RecordRefusal,
    RecordUnknown,
    StoreInvalid,
)
from edgewright.ledger.entry import Draft, Entry, verify
from edgewright.ledger.items import Put
from edgewright.ledger.memory import MemoryLedger
from edgewright.ledger.records import RecordClaimed, RecordReleased, RecordSettled
from edgewright.ledger.shared import (
    Claim,
    RecordId,
    Settle,
    State,
    Writer,
    claimed,
    new_state,
    settled,
    shared_of,
    standing_at,
)
from edgewright.ledger.sqlite import SqliteLedger
from hypothesis import given, settings
from hypothesis import strategies as st
from support.ledgers import WAIT, draft, opened

C = RecordId(tenant="local", kind="customer", id="C-17")
Any_ = MemoryLedger | SqliteLedger


@pytest.fixture(params=["memory", "sqlite"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any_]:
    with opened(request.param, tmp_path) as found:
        assert isinstance(found, MemoryLedger | SqliteLedger)
        yield found


def writer(run: str = "run", effect: str = "e", agent: str = "clerk") -> Writer:
    return Writer(run=run, system="shop@1", agent=agent, effect=effect)


def claim(by: Writer, *, seen: int | None = None, lease: float = 60.0, keyed: bool = False, key: str = "") -> Draft:
    record = RecordClaimed(effect=by.effect, agent=by.agent, tool="t", record=C.kind)
    step = Claim(record=C, by=by, seen=seen, lease=lease, keyed=keyed)
    return Draft(record=record, key=key or None, shared=step)


def settle(by: Writer, changed: bool = True, *, key: str = "") -> Draft:
    record = RecordSettled(effect=by.effect, agent=by.agent, tool="t", record=C.kind, changed=changed)
    return Draft(record=record, key=key or None, shared=Settle(record=C, by=by, changed=changed))


def doubt(by: Writer) -> Draft:
    return replace(draft("it failed"), shared=Settle(record=C, by=by, changed=None))


def write(ledger: Any_, by: Writer, *drafts: Draft) -> list[Entry]:
    return ledger.append(by.run, drafts).result(WAIT)


def change(ledger: Any_, by: Writer) -> int:
    """Claim and settle; the version it has then."""
    write(ledger, by, claim(by))
    found = write(ledger, by, settle(by))[0].record
    assert isinstance(found, RecordSettled)
    return found.version


# -- one effect at a time -----------------------------------------------------------------------------------------


def test_a_record_counts_its_changes_and_knows_who_made_the_last(ledger: Any_) -> None:
    assert ledger.shared.look(C).version == 0
    assert [change(ledger, writer(f"run{i}")) for i in range(3)] == [1, 2, 3]
    found = ledger.shared.look(C)
    assert (found.version, found.writer, found.holder) == (3, writer("run2"), None)


def test_the_records_of_the_chain_hold_version_and_alias_and_never_the_id(ledger: Any_) -> None:
    by = writer()
    write(ledger, by, draft("intent"), claim(by))
    write(ledger, by, draft("outcome"), settle(by))
    entries = ledger.entries("run")
    assert verify("run", entries) == 4
    begun, ended = entries[1].record, entries[3].record
    assert isinstance(begun, RecordClaimed)
    assert isinstance(ended, RecordSettled)
    assert begun.alias == ended.alias == ledger.shared.look(C).alias
    assert (begun.version, ended.version, ended.sole) == (0, 1, True)
    assert not any(C.id.encode() in e.body for e in entries)


def test_what_another_effect_holds_is_busy_and_nothing_of_the_append_is_written(ledger: Any_) -> None:
    write(ledger, writer("one"), claim(writer("one")))
    two = writer("two")
    with pytest.raises(RecordBusy) as refused:
        write(ledger, two, draft("intent", key="intent"), claim(two), draft("more"))
    assert (refused.value.record, refused.value.run, refused.value.system) == ("customer", "one", "shop@1")
    assert refused.value.agent == "clerk"
    assert "run two" in str(refused.value)
    assert ledger.entries("two") == []
    write(ledger, writer("one"), settle(writer("one")))
    assert [e.key for e in write(ledger, two, draft("intent", key="intent"), claim(two))] == ["intent", None]


def test_a_refusal_touches_no_other_append_and_no_chain(ledger: Any_) -> None:
    write(ledger, writer("one"), claim(writer("one")))
    futures = []
    for i in range(40):
        two = writer("two", f"e{i}")
        futures.append(ledger.append("two", [claim(two), draft("lost")] if i % 2 else [draft(str(i))]))
    assert [isinstance(f.exception(WAIT), RecordBusy) for f in futures] == [bool(i % 2) for i in range(40)]
    assert verify("two", ledger.entries("two")) == 20


def test_what_is_noted_claims_and_settles_too_and_its_refusal_is_found(ledger: Any_) -> None:
    noted = ledger.note("one", [claim(writer("one"))])
    refused = ledger.note("two", [draft("lost"), claim(writer("two"))])
    write(ledger, writer("three"), draft("after them"))
    assert noted.error is None
    assert isinstance(refused.error, RecordBusy)
    assert ledger.entries("two") == []
    assert [s.holder for s in ledger.shared.held()] == [writer("one")]


def test_two_effects_of_one_run_are_two(ledger: Any_) -> None:
    write(ledger, writer(effect="a"), claim(writer(effect="a")))
    with pytest.raises(RecordBusy):
        write(ledger, writer(effect="b"), claim(writer(effect="b")))


def test_the_same_effect_claims_again_as_after_a_crash(ledger: Any_) -> None:
    by = writer()
    write(ledger, by, draft("intent", key="intent"), claim(by, seen=0, key="claimed"))
    write(ledger, by, draft("intent", key="intent"), claim(by, seen=0, key="claimed"))
    write(ledger, by, claim(by, seen=0))
    write(ledger, by, settle(by))
    assert ledger.shared.look(C).version == 1
    assert ledger.shared.held() == []


def test_a_claim_whose_key_is_there_holds_nothing(ledger: Any_) -> None:
    by = writer()
    write(ledger, by, claim(by, key="claimed"))
    write(ledger, by, settle(by))
    write(ledger, by, claim(by, key="claimed"))
    assert ledger.shared.held() == []
    change(ledger, writer("other"))


def test_tenants_kinds_and_ids_are_records_of_their_own(ledger: Any_) -> None:
    others = [replace(C, tenant="other"), replace(C, kind="invoice"), replace(C, id="C-18")]
    write(ledger, writer(), claim(writer()))
    for i, record in enumerate(others):
        by = writer(f"run{i}")
        own = claim(by)
        assert isinstance(own.shared, Claim)
        write(ledger, by, replace(own, shared=replace(own.shared, record=record)))
    assert len(ledger.shared.held()) == 4
    assert len({s.alias for s in ledger.shared.held()}) == 4


@pytest.mark.parametrize("ident", ["", "'; DROP TABLE shared_records; --", "a\x00b", "имя", "x" * 5000, "1", "01"])
def test_any_text_is_an_id(ledger: Any_, ident: str) -> None:
    record = replace(C, id=ident)
    assert ledger.shared.look(record) == ledger.shared.look(record)
    assert ledger.shared.look(record).record.id == ident


# -- read, then change --------------------------------------------------------------------------------------------


def test_what_changed_since_it_was_read_is_a_conflict_that_names_both(ledger: Any_) -> None:
    change(ledger, writer("first"))
    seen = ledger.shared.look(C).version
    change(ledger, writer("other", agent="billing"))
    mine = writer("mine", agent="support")
    with pytest.raises(RecordConflict) as refused:
        write(ledger, mine, draft("intent"), claim(mine, seen=seen))
    assert (refused.value.read, refused.value.found) == (1, 2)
    assert (refused.value.run, refused.value.agent, refused.value.system) == ("other", "billing", "shop@1")
    assert "'support'" in refused.value.asked
    assert "run mine" in refused.value.asked
    assert ledger.entries("mine") == []
    write(ledger, mine, claim(mine, seen=ledger.shared.look(C).version))


def test_who_never_read_it_is_only_served_in_line(ledger: Any_) -> None:
    change(ledger, writer("other"))
    change(ledger, writer("mine"))
    assert ledger.shared.look(C).version == 2


def test_an_effect_that_did_nothing_leaves_the_version(ledger: Any_) -> None:
    write(ledger, writer(), claim(writer(), seen=0))
    write(ledger, writer(), settle(writer(), changed=False))
    assert ledger.shared.look(C).version == 0
    write(ledger, writer("other"), claim(writer("other"), seen=0))


# -- outcome unknown ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seen", [None, 0])
@pytest.mark.parametrize("keyed", [True, False])
def test_an_effect_without_an_outcome_is_never_silently_passed_over(
    ledger: Any_, seen: int | None, keyed: bool
) -> None:
    write(ledger, writer("dead"), claim(writer("dead"), seen=seen, keyed=keyed, lease=0))
    other = writer("other")
    if keyed and seen is None:  # done late it loses nobody's update, and it cannot be done twice
        with pytest.raises(RecordConflict):  # but it may have happened: who read before reads again
            write(ledger, other, claim(other, seen=0))
        assert ledger.shared.look(C).version == 1
        write(ledger, other, claim(other, seen=1))
    else:
        with pytest.raises(RecordUnknown) as refused:
            write(ledger, other, claim(other))
        assert refused.value.run == "dead"


def test_an_effect_that_failed_with_an_unknown_outcome_is_not_waited_for(ledger: Any_) -> None:
    write(ledger, writer("one"), claim(writer("one")))
    write(ledger, writer("one"), doubt(writer("one")))
    with pytest.raises(RecordUnknown):
        write(ledger, writer("two"), claim(writer("two")))


def test_its_own_run_settles_it_after_all(ledger: Any_) -> None:
    one = writer("one")
    write(ledger, one, claim(one, lease=0))
    write(ledger, one, claim(one))
    write(ledger, one, settle(one))
    change(ledger, writer("two"))


def test_an_effect_that_gave_way_and_ends_later_shows(ledger: Any_) -> None:
    late, other = writer("late"), writer("other")
    write(ledger, late, claim(late, keyed=True, lease=0))
    read = ledger.shared.look(C).version
    ended = write(ledger, late, settle(late))[0].record
    assert isinstance(ended, RecordSettled)
    assert not ended.sole
    with pytest.raises(RecordConflict):
        write(ledger, other, claim(other, seen=read))


def test_an_effect_that_gave_way_waits_in_line_to_be_done_again(ledger: Any_) -> None:
    late, other = writer("late"), writer("other")
    write(ledger, late, claim(late, keyed=True, lease=0))
    write(ledger, other, claim(other))
    with pytest.raises(RecordBusy):
        write(ledger, late, claim(late, keyed=True))
    write(ledger, other, settle(other))
    write(ledger, late, claim(late, keyed=True))


def test_an_operator_clears_a_record_on_the_record_and_who_read_it_reads_again(ledger: Any_) -> None:
    write(ledger, writer("dead"), claim(writer("dead"), seen=0, lease=0))
    assert [s.holder for s in ledger.shared.held()] == [writer("dead")]
    freed = ledger.shared.release(C, by="ada")
    assert (freed.version, freed.holder) == (1, None)
    last = ledger.entries("dead")[-1].record
    assert last == RecordReleased(effect="e", record="customer", by="ada", alias=freed.alias, version=1)
    with pytest.raises(RecordConflict, match="ada"):
        write(ledger, writer("two"), claim(writer("two"), seen=0))
    with pytest.raises(RecordConflict):  # the dead run's effect was based on what it read, too
        write(ledger, writer("dead"), claim(writer("dead"), seen=0))
    change(ledger, writer("two"))
    with pytest.raises(NotFound):
        ledger.shared.release(C, by="ada")


def test_a_closed_ledger_refuses(tmp_path: Path) -> None:
    for kind in ("memory", "sqlite"):
        with opened(kind, tmp_path) as ledger:
            pass
        assert isinstance(ledger, MemoryLedger | SqliteLedger)
        with pytest.raises(LedgerUnavailable):
            ledger.append("run", [claim(writer())]).result(WAIT)
        with pytest.raises((LedgerUnavailable, sqlite3.ProgrammingError)):
            ledger.shared.look(C)


def test_a_ledger_without_shared_records_refuses() -> None:
    with pytest.raises(LedgerUnavailable, match="shared records"):
        shared_of(object())


# -- concurrency --------------------------------------------------------------------------------------------------


def test_of_many_threads_each_change_counts_once_and_no_read_is_overwritten(ledger: Any_) -> None:
    book = {"balance": 0}  # the business database, without a lock of its own
    gate = threading.Barrier(8)

    def teller(name: int) -> int:
        gate.wait(WAIT)
        done = 0
        for i in range(300):
            by = writer(f"run{name}", f"e{i}")
            seen, read = ledger.shared.look(C).version, book["balance"]
            try:
                write(ledger, by, claim(by, seen=seen))
            except RecordRefusal:
                continue
            book["balance"] = read + 1
            write(ledger, by, settle(by))
            done += 1
            if done == 5:
                break
        return done

    with ThreadPoolExecutor(8) as pool:
        done = sum(pool.map(teller, range(8), timeout=WAIT * 2))
    assert done > 0
    assert book["balance"] == ledger.shared.look(C).version == done


def test_two_ledgers_on_one_file_share_the_records(tmp_path: Path) -> None:
    with opened("sqlite", tmp_path) as one, opened("sqlite", tmp_path) as two:
        assert isinstance(one, SqliteLedger)
        assert isinstance(two, SqliteLedger)
        write(one, writer("one"), claim(writer("one")))
        with pytest.raises(RecordBusy):
            write(two, writer("two"), claim(writer("two")))
        write(one, writer("one"), settle(writer("one")))
        assert change(two, writer("two")) == 2
        assert one.shared.look(C) == two.shared.look(C)


# -- the decision, by property ------------------------------------------------------------------------------------

_WHO = st.sampled_from([writer(r, e) for r in ("a", "b") for e in ("1", "2")])
_STEP = st.one_of(
    st.tuples(st.just("read"), _WHO, st.booleans()),
    st.tuples(st.just("claim"), _WHO, st.booleans()),
    st.tuples(st.just("claim blind"), _WHO, st.booleans()),
    st.tuples(st.just("settle"), _WHO, st.booleans()),
    st.tuples(st.just("doubt"), _WHO, st.booleans()),
    st.tuples(st.just("time"), _WHO, st.booleans()),
)


@settings(max_examples=400, deadline=None)
@given(st.lists(_STEP, max_size=30))
def test_nobody_changes_on_an_old_version_and_versions_never_fall(steps: list[tuple[str, Writer, bool]]) -> None:
    state, now, seen = new_state(C), 0.0, dict[str, int]()
    for what, by, flag in steps:
        before, version = state, standing_at(state, now).version
        try:
            match what:
                case "read":
                    seen[by.run] = version
                case "claim" | "claim blind":
                    based = seen.get(by.run) if what == "claim" else None
                    step = Claim(record=C, by=by, seen=based, lease=10, keyed=flag)
                    state = claimed(state, step, now)
                    assert state.holder == by
                    held = before.holder is not None and by.is_same(standing_at(before, now).holder)
                    assert held or based in (None, version)
                case "settle":
                    state = settled(state, Settle(record=C, by=by, changed=flag), now)
                    assert not by.is_same(state.holder)
                    assert standing_at(state, now).version == version + flag
                case "doubt":
                    state = settled(state, Settle(record=C, by=by, changed=None), now)
                case _:
                    now += 7
        except RecordRefusal as refusal:
            assert state is before
            other = standing_at(before, now).holder
            if isinstance(refusal, RecordConflict):
                assert other is None
            else:
                assert other is not None
                assert not by.is_same(other)
        assert state.version >= before.version
        assert _is_held_or_counted(before, state, by, what)


def _is_held_or_counted(before: State, after: State, by: Writer, what: str) -> bool:
    """An effect that held the record and does no more, without its own word, has been counted as a change."""
    lost = before.holder is not None and not before.holder.is_same(after.holder)
    return not lost or after.version > before.version or (what == "settle" and by.is_same(before.holder))


# -- items --------------------------------------------------------------------------------------------------------


def put(key: str, value: Any, expected: int | None = None, *, ns: tuple[str, ...] = ("notes",)) -> Put:
    return Put(tenant="local", namespace=ns, key=key, value=value, expected=expected, by=writer(), asked="somebody")


def test_an_item_is_written_on_the_version_it_has(ledger: Any_) -> None:
    shared = ledger.shared
    assert [i.version for i in shared.put([put("a", {"n": 1}, 0), put("b", {}, 0)]).result(WAIT)] == [1, 1]
    assert shared.put([put("a", {"n": 2}, 1)]).result(WAIT)[0].version == 2
    for stale in (0, 1, 3):
        with pytest.raises(RecordConflict) as refused:
            shared.put([put("c", {}, 0), put("a", {"n": 9}, stale)]).result(WAIT)
        assert (refused.value.read, refused.value.found, refused.value.run) == (stale, 2, "run")
    found = shared.item("local", ("notes",), "a")
    assert found is not None
    assert (found.value, found.version) == ({"n": 2}, 2)
    assert shared.item("local", ("notes",), "c") is None
    assert shared.item("other", ("notes",), "a") is None


def test_a_deleted_item_goes_on_counting(ledger: Any_) -> None:
    shared = ledger.shared
    shared.put([put("a", {"n": 1}, 0)]).result(WAIT)
    shared.put([put("a", None, 1)]).result(WAIT)
    assert shared.items("local", ()) == []
    assert shared.put([put("a", {"n": 1}, 0)]).result(WAIT)[0].version == 3
    with pytest.raises(RecordConflict):
        shared.put([put("a", {"n": 2}, 1)]).result(WAIT)


def test_items_are_found_under_their_namespace_and_in_order(ledger: Any_) -> None:
    names = [("a",), ("a", "b"), ("a", "b", "c"), ("ab",), ("a-b",), ("a0",), ("б", "%"), ("a", "%_"), ("A",)]
    for ns in names:
        ledger.shared.put([put("k", {"ns": list(ns)}, 0, ns=ns), put("j", {}, 0, ns=ns)]).result(WAIT)
    for prefix in [(), *names]:
        found = ledger.shared.items("local", prefix)
        assert {i.namespace for i in found} == {n for n in names if n[: len(prefix)] == prefix}
        assert [i.key for i in found] == ["j", "k"] * (len(found) // 2)
    assert ledger.shared.namespaces("local") == sorted(names)


@pytest.mark.parametrize("value", [{"x": float("nan")}, {"x": object()}, {1: 2}, ["a"], "text", {"x": "\udc00"}])
def test_what_is_no_json_object_is_refused(ledger: Any_, value: Any) -> None:
    with pytest.raises(StoreInvalid):
        ledger.shared.put([put("a", value)]).result(WAIT)
    assert ledger.shared.items("local", ()) == []


@pytest.mark.parametrize("ns", [("",), ("a", ""), ("a.b",)])
def test_a_label_that_would_read_as_two_is_refused(ledger: Any_, ns: tuple[str, ...]) -> None:
    with pytest.raises(StoreInvalid):
        ledger.shared.put([put("a", {}, ns=ns)]).result(WAIT)


def test_what_the_writer_changes_afterwards_does_not_change_the_item(ledger: Any_) -> None:
    value = {"n": [1]}
    ledger.shared.put([put("a", value, 0)]).result(WAIT)
    value["n"].append(2)
    found = ledger.shared.item("local", ("notes",), "a")
    assert found is not None
    assert found.value == {"n": [1]}

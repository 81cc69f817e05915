"""What every ledger does, whatever it is kept in: one suite, both twins."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import orjson
import pytest
from edgewright.contracts.errors import LedgerCorrupt, LedgerUnavailable
from edgewright.ledger.entry import Draft, verify
from edgewright.ledger.records import (
    AgentStarted,
    ContractPassed,
    EffectReused,
    ReviewAnswered,
    ReviewAsked,
    RunResumed,
)
from edgewright.ledger.store import Ledger
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.ledgers import WAIT, as_payload, draft, ended, handoff, opened, samples, started, unencodable, write


@pytest.fixture(params=["memory", "sqlite"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ledger]:
    with opened(request.param, tmp_path) as found:
        yield found


def texts(ledger: Ledger, run: str = "run") -> list[str]:
    return [e.record.agent for e in ledger.entries(run)]  # type: ignore[union-attr]


# -- appending --------------------------------------------------------------------------------------------------


def test_a_record_of_every_type_is_read_as_it_was_written(ledger: Ledger) -> None:
    records = samples()
    answered = write(ledger, "run", *(Draft(record=r) for r in records))
    found = ledger.entries("run")
    assert [e.record for e in found] == [e.record for e in answered] == records
    assert found == answered
    assert verify("run", found) == len(records)


def test_an_unknown_run_is_empty(ledger: Ledger) -> None:
    assert ledger.entries("nobody") == []
    assert ledger.runs() == []
    assert ledger.payload("nobody", "d") is None
    assert ledger.search("nobody") == []


def test_entries_are_in_the_order_of_appends(ledger: Ledger) -> None:
    for i in range(50):
        pair = [draft(f"{i}.0"), draft(f"{i}.1")]
        if i % 3:
            ledger.note("run", pair)
        else:
            last = ledger.append("run", pair)
    last.result(WAIT)
    write(ledger, "other", draft("after them all"))
    assert texts(ledger) == [f"{i}.{j}" for i in range(50) for j in (0, 1)]
    assert [e.seq for e in ledger.entries("run")] == list(range(100))


def test_runs_have_chains_of_their_own(ledger: Ledger) -> None:
    for i in range(6):
        write(ledger, f"run{i % 2}", draft(str(i), key="same" if i < 2 else None))
    for run in ("run0", "run1"):
        assert verify(run, ledger.entries(run)) == 3


def test_an_append_of_nothing_is_nothing(ledger: Ledger) -> None:
    assert write(ledger, "run") == []
    assert ledger.entries("run") == []


def test_the_first_entry_of_a_key_stays_and_is_what_the_second_writer_gets(ledger: Ledger) -> None:
    first = write(ledger, "run", draft("first", key="k"))
    second = write(ledger, "run", draft("before"), draft("second", key="k"), draft("after"))
    assert second[1] == first[0]
    assert texts(ledger) == ["first", "before", "after"]
    assert write(ledger, "other", draft("other", key="k"))[0].seq == 0


def test_a_key_twice_in_one_append_is_one_entry(ledger: Ledger) -> None:
    one, two = write(ledger, "run", draft("a", key="k"), draft("b", key="k"))
    assert one == two
    assert texts(ledger) == ["a"]


@pytest.mark.parametrize("key", ["", " ", "k'; DROP TABLE records; --", "k\x00", "ключ", "k" * 10_000])
def test_any_text_is_a_key(ledger: Ledger, key: str) -> None:
    assert write(ledger, "run", draft("a", key=key)) == write(ledger, "run", draft("b", key=key))
    assert verify("run", ledger.entries("run")) == 1


def test_of_eight_threads_that_write_one_key_one_wins_and_all_learn_which(ledger: Ledger) -> None:
    gate = threading.Barrier(8)

    def racer(name: int) -> list[str]:
        gate.wait(WAIT)
        got = []
        for i in range(20):
            entry = write(ledger, "run", draft(f"{name}", key=f"k{i}"))[0]
            got.append(entry.hash)
        return got

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(racer, range(8), timeout=WAIT))
    assert all(answer == answers[0] for answer in answers)
    assert verify("run", ledger.entries("run")) == 20


def test_eight_threads_on_one_run_keep_one_valid_chain_and_each_its_own_order(ledger: Ledger) -> None:
    def worker(name: int) -> None:
        futures = [ledger.append("run", [draft(f"{name}:{i:03}")]) for i in range(60)]
        for future in futures:
            future.result(WAIT)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(worker, range(8), timeout=WAIT))
    assert verify("run", ledger.entries("run")) == 480
    for name in range(8):
        own = [t for t in texts(ledger) if t.startswith(f"{name}:")]
        assert own == sorted(own)


def test_a_record_that_is_not_json_fails_alone_and_leaves_nothing(ledger: Ledger) -> None:
    futures = [
        ledger.append("run", [draft("before")]),
        ledger.append("run", [draft("same append"), unencodable()]),
        ledger.append("run", [draft("bad key", key="k"), draft("x", key="\udc00")]),
        ledger.append("run", [draft("after")]),
    ]
    assert [len(futures[i].result(WAIT)) for i in (0, 3)] == [1, 1]
    for wrong in futures[1:3]:
        with pytest.raises((TypeError, UnicodeEncodeError)):
            wrong.result(WAIT)
    assert texts(ledger) == ["before", "after"]
    assert verify("run", ledger.entries("run")) == 2


def test_a_run_that_is_no_text_fails_alone(ledger: Ledger) -> None:
    with pytest.raises((TypeError, UnicodeEncodeError)):
        write(ledger, "\udc00", draft("a"))
    assert write(ledger, "run", draft("b"))


def test_what_the_writer_changes_afterwards_does_not_change_the_ledger(ledger: Ledger) -> None:
    fields = ["a", "b"]
    record = ContractPassed(
        edge="e", contract="c", contract_digest="", payload="", fields=fields, withheld=[], redacted=[],
        history_withheld=0, tries=0,
    )  # fmt: skip
    write(ledger, "run", Draft(record=record))
    fields.append("c")
    found = ledger.entries("run")
    assert found[0].record.fields == ["a", "b"]  # type: ignore[union-attr]
    assert verify("run", found) == 1


def test_cancelling_a_future_takes_nothing_back_and_harms_nobody(ledger: Ledger) -> None:
    futures = [ledger.append("run", [draft(str(i))]) for i in range(30)]
    for future in futures[::2]:
        future.cancel()
    assert write(ledger, "run", draft("last"))[0].seq == 30
    assert verify("run", ledger.entries("run")) == 31


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a", "b"]),
            st.lists(
                st.tuples(st.text(max_size=3), st.none() | st.sampled_from(["k", "l", "m"])), max_size=4
            ),
        ),
        max_size=8,
    )
)  # fmt: skip
def test_the_twins_agree_on_any_sequence_of_appends(
    tmp_path: Path, appends: list[tuple[str, list[tuple[str, str | None]]]]
) -> None:
    found = []
    for kind in ("memory", "sqlite"):
        with opened(kind, tmp_path / str(len(list(tmp_path.iterdir())))) as ledger:
            answers = []
            for run, items in appends:
                answer = ledger.append(run, [Draft(record=_safe(text), key=key) for text, key in items])
                entries = answer.result(WAIT) if answer.exception(WAIT) is None else []
                answers.append([(e.seq, e.key, e.record) for e in entries])
            kept = {run: [(e.seq, e.key, e.record) for e in ledger.entries(run)] for run in ("a", "b")}
            assert sum(verify(run, ledger.entries(run)) for run in kept) == sum(map(len, kept.values()))
            found.append((answers, kept))
    assert found[0] == found[1]


def _safe(text: str) -> AgentStarted:
    return AgentStarted(at="", agent=text, digest="", input="")


# -- payloads ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"", b"{}", b"\x00\xff\xfe binary", "текст".encode(), b"x" * 1_000_000], ids=len)
def test_a_payload_is_read_as_it_was_written(ledger: Ledger, content: bytes) -> None:
    name, _ = as_payload(content)
    write(ledger, "run", draft("a", payload=content))
    write(ledger, "run", draft("b", payload=content))
    assert ledger.payload("run", name) == content
    assert ledger.payload("other", name) is None


def test_a_payload_under_a_digest_that_is_not_its_own_is_corrupt(ledger: Ledger) -> None:
    write(ledger, "run", Draft(record=handoff("a"), payloads=(("0" * 64, b"content"),)))
    with pytest.raises(LedgerCorrupt, match="was changed"):
        ledger.payload("run", "0" * 64)


def test_a_second_payload_of_a_digest_does_not_replace_the_first(ledger: Ledger) -> None:
    name, content = as_payload(b"first")
    write(ledger, "run", Draft(record=handoff("a"), payloads=((name, content),)))
    write(ledger, "run", Draft(record=handoff("b"), payloads=((name, b"second"),)))
    assert ledger.payload("run", name) == b"first"


def test_the_payload_of_a_draft_whose_key_was_there_is_not_kept(ledger: Ledger) -> None:
    write(ledger, "run", draft("a", key="k"))
    write(ledger, "run", draft("b", key="k", payload=b"late"))
    assert ledger.payload("run", as_payload(b"late")[0]) is None


# -- searching --------------------------------------------------------------------------------------------------


def test_words_are_found_in_records_and_payloads(ledger: Ledger) -> None:
    text = 'Dear team,\nRefund invoice INV-5212\tplease; he said "enormous" \\ sum.'
    write(ledger, "one", draft("alpha beta"), draft("x", payload=orjson.dumps({"message": text})))
    write(ledger, "two", draft("alpha"), draft("Ünïcode résumé"))
    assert ledger.search("beta") == ["one"]
    assert sorted(ledger.search("ALPHA")) == ["one", "two"]
    for word in ("refund", "please", "team", "enormous", "INV-5212", "5212", "sum"):
        assert ledger.search(word) == ["one"], word
    assert ledger.search("alpha refund") == ["one"]  # all words, wherever they are
    assert ledger.search("beta Ünïcode") == []
    assert ledger.search("resume") == ["two"]
    assert ledger.search("fund") == []  # words, not parts of words
    assert ledger.search("handoff.asked alpha", limit=1) in (["one"], ["two"])


def test_what_is_written_after_a_search_is_found_by_the_next(ledger: Ledger) -> None:
    write(ledger, "run", draft("first"))
    assert ledger.search("second") == []
    write(ledger, "run", draft("second", payload=b"third"))
    assert ledger.search("first second third") == ["run"]


def test_binary_payloads_do_not_stop_the_search(ledger: Ledger) -> None:
    write(ledger, "run", draft("needle", payload=b"\xff\xfe\x00\x80 inside \x00 outside"))
    assert ledger.search("needle inside outside") == ["run"]


def test_the_better_match_comes_first(ledger: Ledger) -> None:
    write(ledger, "weak", draft("needle " + "hay " * 50))
    write(ledger, "strong", draft("needle " * 10))
    assert ledger.search("needle") == ["strong", "weak"]
    assert ledger.search("needle", limit=1) == ["strong"]


QUERIES = ["", "   ", '"', '""', '"""', "'", "*", "needle*", "^needle", "needle AND", "AND", "OR", "NOT", "NOT needle"]
QUERIES += [
    "NEAR(a b)",
    "NEAR(",
    "text:needle",
    "{text}: needle",
    "(",
    ")",
    "needle)",
    "needle -other",
    "-",
    "+",
    "a + b",
]
QUERIES += [
    "\x00",
    "needle\x00",
    "\udc00",
    "needle;DROP TABLE records",
    '" OR "1"="1',
    "\\",
    "%",
    "_",
    "🎉",
    "²",
    "\u0301",
]


@pytest.mark.parametrize("query", QUERIES, ids=repr)
def test_no_character_of_a_query_is_an_operator(ledger: Ledger, query: str) -> None:
    write(ledger, "run", draft("needle"))
    assert ledger.search(query) in ([], ["run"])
    assert ledger.search("other OR needle") == []
    assert ledger.search("needle NOT other") == []
    assert ledger.search("nee*") == []
    assert ledger.search("needle") == ["run"]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=12))
def test_any_text_can_be_searched_for(ledger: Ledger, text: str) -> None:
    assert ledger.search(text) == []


# -- runs -------------------------------------------------------------------------------------------------------


def asked(review: str = "r") -> Draft:
    return Draft(record=ReviewAsked(review=review, at="", agent="", about="", binding="", rules=[]))


def answered(review: str = "r") -> Draft:
    return Draft(record=ReviewAnswered(review=review, at="", decision="approve", reason="", reviewer=""))


@pytest.mark.parametrize(
    ("drafts", "status"),
    [
        ([], "running"),
        ([asked()], "waiting"),
        ([asked(), answered()], "running"),
        ([asked(), asked("q"), answered()], "waiting"),
        ([Draft(record=ended())], "completed"),
        ([Draft(record=ended("failed"))], "failed"),
        ([Draft(record=ended("out_of_budget")), Draft(record=RunResumed(records=1))], "running"),
        ([Draft(record=ended("out_of_budget")), Draft(record=RunResumed(records=1)), asked()], "waiting"),
        ([Draft(record=ended("failed")), Draft(record=RunResumed(records=1)), Draft(record=ended())], "completed"),
        ([asked(), Draft(record=ended("failed"))], "failed"),
    ],
)
def test_the_status_of_a_run_is_what_its_records_add_up_to(ledger: Ledger, drafts: list[Draft], status: str) -> None:
    write(ledger, "run", Draft(record=started("t", system="s")), *drafts)
    (found,) = ledger.runs()
    assert (found.run, found.thread, found.system, found.status) == ("run", "t", "s", status)
    assert found.records == len(drafts) + 1
    assert found.started == ledger.entries("run")[0].time


def test_runs_are_newest_first_by_thread_and_no_more_than_asked_for(ledger: Ledger) -> None:
    for i in range(6):
        write(ledger, f"run{i}", Draft(record=started(f"thread{i % 2}")))
    assert [r.run for r in ledger.runs()] == [f"run{i}" for i in reversed(range(6))]
    assert [r.run for r in ledger.runs(thread="thread1")] == ["run5", "run3", "run1"]
    assert [r.run for r in ledger.runs(limit=2)] == ["run5", "run4"]
    assert ledger.runs(thread="' OR 1=1 --") == []
    assert ledger.runs(thread="") == []


def test_a_run_that_never_began_is_not_listed(ledger: Ledger) -> None:
    write(ledger, "run", draft("a"))
    assert ledger.runs() == []
    assert len(ledger.entries("run")) == 1


def test_a_note_that_cannot_be_kept_says_why_once_what_follows_is_durable(ledger: Ledger) -> None:
    bad = ledger.note("run", [Draft(record=EffectReused(effect="e", tool=object()))])  # type: ignore[arg-type]
    good = ledger.note("run", [draft("good")])
    write(ledger, "run", draft("after"))
    assert isinstance(bad.error, TypeError)
    assert good.error is None
    assert texts(ledger) == ["good", "after"]


# -- closing ----------------------------------------------------------------------------------------------------


def test_closing_finishes_what_is_queued_and_refuses_what_comes_later(ledger: Ledger) -> None:
    noted = [ledger.note("run", [draft(str(i))]) for i in range(40)]
    futures = [ledger.append("run", [draft(str(i))]) for i in range(40, 50)]
    ledger.close()
    ledger.close()
    assert [n.error for n in noted] == [None] * 40
    assert [f.result(WAIT)[0].seq for f in futures] == list(range(40, 50))
    assert isinstance(ledger.note("run", [draft("late")]).error, LedgerUnavailable)
    late = ledger.append("run", [draft("late")])
    with pytest.raises(LedgerUnavailable, match="closed"):
        late.result(WAIT)

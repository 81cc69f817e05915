"""The checkpointer: LangGraph's own conformance, nothing executed on load, and nothing acknowledged is lost."""

from __future__ import annotations

import asyncio
import json
import operator
import os
import random
import signal
import sqlite3
import subprocess
import threading
from collections.abc import AsyncGenerator, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Annotated, Any, TypedDict

import ormsgpack
import pytest
from edgewright.contracts.errors import CheckpointCorrupt, LedgerUnavailable
from edgewright.ledger.checkpoints import LedgerSaver, safe_serializer
from edgewright.ledger.entry import verify
from edgewright.ledger.sealing import Keyring, open_row, place, place_in_sql, seal_row
from edgewright.ledger.sqlite import SqliteLedger
from hypothesis import given
from hypothesis import strategies as st
from langgraph.checkpoint.base import BaseCheckpointSaver, empty_checkpoint
from langgraph.checkpoint.conformance import checkpointer_test, validate
from langgraph.graph import END, START, StateGraph
from support.children import child, expect_ready
from support.ledgers import WAIT, draft, write


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[SqliteLedger]:
    found = SqliteLedger(tmp_path / "ledger.db")
    yield found
    found.close()


@pytest.fixture
def saver(ledger: SqliteLedger) -> Iterator[LedgerSaver]:
    found = LedgerSaver(ledger)
    yield found
    found.close()


def config(thread: str = "t", **more: str) -> Any:
    return {"configurable": {"thread_id": thread, "checkpoint_ns": "", **more}}


def saved(saver: LedgerSaver, value: Any, thread: str = "t") -> Any:
    checkpoint = empty_checkpoint()
    checkpoint["channel_values"] = {"x": value}
    checkpoint["channel_versions"] = {"x": 1}
    return saver.put(config(thread), checkpoint, {"source": "loop"}, {"x": 1})


# -- conformance ------------------------------------------------------------------------------------------------


async def test_langgraphs_own_suite_passes(tmp_path: Path) -> None:
    count = iter(range(1000))

    async def factory() -> AsyncGenerator[BaseCheckpointSaver[str], None]:
        ledger = SqliteLedger(tmp_path / f"{next(count)}.db")
        saver = LedgerSaver(ledger)
        yield saver
        saver.close()
        ledger.close()

    report = await asyncio.wait_for(validate(checkpointer_test(name="LedgerSaver")(factory)), 60)
    failures = [f for result in report.results.values() for f in result.failures or []]
    assert failures == []
    assert report.passed_all_base()


# -- loading executes nothing -----------------------------------------------------------------------------------


def _ext(code: int, *parts: Any) -> bytes:
    return ormsgpack.packb(ormsgpack.Ext(code, ormsgpack.packb(parts)))


def forgeries(mark: Path) -> list[tuple[str, bytes]]:
    """Blobs that run a command, or build what they should not, if the loader lets them."""
    command = f"touch {mark}"
    inner = [
        _ext(0, "os", "system", command),
        _ext(1, "os", "system", (command,)),
        _ext(1, "subprocess", "call", (["touch", str(mark)],)),
        _ext(2, "subprocess", "call", {"args": ["touch", str(mark)]}),
        _ext(3, "builtins", "eval", f"__import__('os').system({command!r})", "__call__"),
        _ext(3, "os", "system", command, "__call__"),
        _ext(4, "subprocess", "Popen", {"args": ["touch", str(mark)]}),
        _ext(5, "subprocess", "Popen", {"args": ["touch", str(mark)]}, "model_validate_json"),
        _ext(5, "os", "system", command, "__call__"),
        _ext(0, "pathlib", "Path.touch", str(mark)),
        _ext(0, "importlib", "import_module", "antigravity"),
        ormsgpack.packb(ormsgpack.Ext(7, _ext(0, "os", "system", command))),
    ]
    pickled = b"cos\nsystem\n(S'" + command.encode() + b"'\ntR."
    constructor = {"lc": 2, "type": "constructor", "id": ["os", "system"], "args": [command]}
    serialised = {
        "lc": 1,
        "type": "constructor",
        "id": ["subprocess", "Popen"],
        "kwargs": {"args": command, "shell": True},
    }
    return [
        *(("msgpack", blob) for blob in inner),
        ("pickle", pickled),
        ("json", json.dumps(constructor).encode()),
        ("json", json.dumps(serialised).encode()),
    ]


@pytest.mark.parametrize("number", range(len(forgeries(Path("x")))))
def test_a_forged_row_is_refused_before_anything_of_it_is_loaded(tmp_path: Path, number: int) -> None:
    mark = tmp_path / "executed"
    kind, blob = forgeries(mark)[number]
    ledger = SqliteLedger(tmp_path / "ledger.db")
    saver = LedgerSaver(ledger)
    stored = saved(saver, "honest")
    saver.put_writes(stored, [("x", "honest")], "task")
    for sql in ("UPDATE writes SET type = ?, value = ?", "UPDATE checkpoints SET type = ?, checkpoint = ?"):
        for named in (kind, f"{kind}+edgewright", f"{kind}+aes"):
            with closing(sqlite3.connect(ledger.path, isolation_level=None)) as conn:
                conn.execute(sql, (named, blob))
            refused(saver, stored)
            assert not mark.exists()
    saver.close()
    ledger.close()


@pytest.mark.parametrize("number", range(len(forgeries(Path("x")))))
@pytest.mark.filterwarnings("ignore")
def test_a_forged_blob_that_were_sealed_would_still_execute_nothing(tmp_path: Path, number: int) -> None:
    mark = tmp_path / "executed"
    ledger = SqliteLedger(tmp_path / "ledger.db")
    saver = LedgerSaver(ledger)
    stored = saved(saver, "honest")
    with closing(sqlite3.connect(ledger.path, isolation_level=None)) as conn:
        columns = "thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id, metadata"
        at = place("checkpoints", conn.execute(f"SELECT {columns} FROM checkpoints").fetchone())
        kind, blob = seal_row(ledger.keyring, at, *forgeries(mark)[number])
        conn.execute("UPDATE checkpoints SET type = ?, checkpoint = ?", (kind, blob))
    with suppress(Exception):  # refusing is as good as giving back plain data
        saver.get_tuple(stored)
    assert not mark.exists()
    saver.close()
    ledger.close()


def refused(saver: LedgerSaver, stored: Any) -> None:
    """Every way to read the thread refuses it."""
    thread = stored["configurable"]["thread_id"]
    reads: list[Any] = [
        lambda: saver.get_tuple(stored),
        lambda: saver.get_tuple(config(thread)),
        lambda: list(saver.list(config(thread))),
        lambda: asyncio.run(saver.aget_tuple(stored)),
    ]
    for read in reads:
        with pytest.raises(CheckpointCorrupt, match="nothing goes on from it") as caught:
            read()
        assert caught.value.thread == thread


TAMPERED = {
    "a checkpoint's bit": "UPDATE checkpoints SET checkpoint = CAST(substr(checkpoint, 1, 20) || 'x' "
    "|| substr(checkpoint, 22) AS BLOB)",
    "a checkpoint, cut": "UPDATE checkpoints SET checkpoint = substr(checkpoint, 1, 20)",
    "a checkpoint, emptied": "UPDATE checkpoints SET checkpoint = x''",
    "a checkpoint, gone": "UPDATE checkpoints SET checkpoint = NULL",
    "a checkpoint, a text": "UPDATE checkpoints SET checkpoint = 'text'",
    "a checkpoint's type": "UPDATE checkpoints SET type = 'json+edgewright'",
    "a checkpoint's type, bare": "UPDATE checkpoints SET type = 'msgpack'",
    "a checkpoint's type, gone": "UPDATE checkpoints SET type = NULL",
    "a checkpoint's type, prefixed": "UPDATE checkpoints SET type = '00 ' || type",
    "a checkpoint's parent": "UPDATE checkpoints SET parent_checkpoint_id = 'other'",
    "a checkpoint's metadata": 'UPDATE checkpoints SET metadata = CAST(\'{"source":"update"}\' AS BLOB)',
    "an earlier checkpoint in its place": "UPDATE checkpoints SET (type, checkpoint) = (SELECT c.type, c.checkpoint "
    "FROM checkpoints c WHERE c.thread_id = 'earlier')",
    "a write's bit": "UPDATE writes SET value = CAST(substr(value, 1, 14) || 'x' || substr(value, 16) AS BLOB)",
    "a write's channel": "UPDATE writes SET channel = '__interrupt__'",
    "a write's task": "UPDATE writes SET task_id = 'other'",
    "a write's task path": "UPDATE writes SET task_path = 'other'",
    "a write's place in the task": "UPDATE writes SET idx = 7",
    "a write's type": "UPDATE writes SET type = 'json+edgewright'",
    "a write, a checkpoint": "UPDATE writes SET (type, value) = (SELECT type, checkpoint FROM checkpoints)",
}


@pytest.mark.parametrize("sql", TAMPERED.values(), ids=TAMPERED)
def test_a_row_that_was_tampered_with_is_refused(saver: LedgerSaver, ledger: SqliteLedger, sql: str) -> None:
    saved(saver, {"approved": True}, "earlier")
    stored = saved(saver, {"approved": False})
    saver.put_writes(stored, [("x", "honest")], "task", "path")
    assert saver.get_tuple(stored) is not None
    with closing(sqlite3.connect(ledger.path, isolation_level=None)) as conn:
        assert conn.execute(sql).rowcount > 0
    refused(saver, stored)


@pytest.mark.parametrize("table", ["checkpoints", "writes"])
@pytest.mark.parametrize(("column", "value"), [("thread_id", "'mine'"), ("checkpoint_ns", "'inner:1'")])
def test_a_row_is_not_taken_for_that_of_another_thread_or_namespace(
    saver: LedgerSaver, ledger: SqliteLedger, table: str, column: str, value: str
) -> None:
    stored = saved(saver, "theirs", "theirs")
    saver.put_writes(stored, [("x", "theirs")], "task")
    target = {"thread_id": "theirs", "checkpoint_ns": ""} | {column: value.strip("'")}
    if table == "writes":  # to an honest checkpoint of that place
        honest = empty_checkpoint() | {"id": stored["configurable"]["checkpoint_id"]}
        saver.put({"configurable": target}, honest, {"source": "loop"}, {})
    with closing(sqlite3.connect(ledger.path, isolation_level=None)) as conn:
        conn.execute(f"UPDATE {table} SET {column} = {value}")
    with pytest.raises(CheckpointCorrupt):
        saver.get_tuple({"configurable": target})


def test_a_graph_does_not_resume_from_a_checkpoint_that_was_tampered_with(
    saver: LedgerSaver, ledger: SqliteLedger
) -> None:
    compiled = graph(saver)
    asyncio.run(compiled.ainvoke({"seen": []}, config()))
    with closing(sqlite3.connect(ledger.path, isolation_level=None)) as conn:
        conn.execute("UPDATE checkpoints SET metadata = replace(CAST(metadata AS TEXT), 'loop', 'fork')")
    for again in (compiled.ainvoke({"seen": []}, config()), compiled.aget_state(config())):
        with pytest.raises(CheckpointCorrupt):
            asyncio.run(again)


def test_the_bytes_of_the_file_do_not_hold_what_a_checkpoint_holds(
    saver: LedgerSaver, ledger: SqliteLedger, tmp_path: Path
) -> None:
    stored = saved(saver, "zqxcanary " * 100)
    saver.put_writes(stored, [("x", "zqxcanary")], "task")
    names = [p.name for p in tmp_path.iterdir()]
    assert {"ledger.db", "ledger.db-wal", "ledger.db-shm"} <= set(names)
    assert [p.name for p in tmp_path.iterdir() if b"zqxcanary" in p.read_bytes()] == []
    saver.close()
    ledger.close()
    assert [p.name for p in tmp_path.iterdir() if b"zqxcanary" in p.read_bytes()] == []


@given(
    st.lists(st.none() | st.integers(-9, 9) | st.binary(max_size=9) | st.text(max_size=9), min_size=1, max_size=4),
    st.text(st.characters(exclude_characters=" ", codec="utf-8"), max_size=9),
    st.binary(max_size=30),
)
def test_sql_and_python_agree_on_the_place_of_a_row(parts: list[Any], kind: str, body: bytes) -> None:
    columns = [f"c{number}" for number in range(len(parts))]
    with closing(sqlite3.connect(":memory:")) as conn:
        conn.execute(f"CREATE TABLE t ({', '.join(columns)})")
        conn.execute(f"INSERT INTO t VALUES ({', '.join('?' * len(parts))})", parts)
        assert conn.execute(f"SELECT {place_in_sql('t', columns)} FROM t").fetchone()[0] == place("t", parts)
    keyring = Keyring(bytes(32))
    assert open_row(keyring, place("t", parts), *seal_row(keyring, place("t", parts), kind, body)) == (kind, body)


@pytest.mark.parametrize("setting", ["true", "false", ""])
def test_the_environment_does_not_loosen_the_serialiser(setting: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANGGRAPH_STRICT_MSGPACK", setting)
    loaded = safe_serializer().loads_typed(("msgpack", _ext(0, "collections", "Counter", ["a"])))
    assert type(loaded).__name__ != "Counter"
    with pytest.raises(NotImplementedError):
        safe_serializer().loads_typed(("pickle", b"N."))


def test_what_cannot_be_serialised_is_not_pickled(saver: LedgerSaver) -> None:
    with pytest.raises(TypeError):
        saved(saver, threading.Lock())


# -- loops, threads, order --------------------------------------------------------------------------------------


class State(TypedDict):
    seen: Annotated[list[int], operator.add]


def graph(saver: LedgerSaver) -> Any:
    async def step(state: State) -> dict[str, list[int]]:
        return {"seen": [len(state["seen"])]}

    builder = StateGraph(State)
    builder.add_node("step", step)
    builder.add_edge(START, "step")
    builder.add_edge("step", END)
    return builder.compile(checkpointer=saver)


def test_one_saver_serves_one_loop_after_another_and_several_at_once(saver: LedgerSaver) -> None:
    compiled = graph(saver)

    def turn(thread: str) -> None:
        for _ in range(3):
            asyncio.run(asyncio.wait_for(compiled.ainvoke({"seen": []}, config(thread)), WAIT))

    workers = [threading.Thread(target=turn, args=(f"t{i}",)) for i in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(WAIT)
    for i in range(4):
        found = saver.get_tuple(config(f"t{i}"))
        assert found is not None
        assert found.checkpoint["channel_values"]["seen"] == [0, 1, 2]


async def test_both_forms_read_what_either_wrote_even_on_the_loop(saver: LedgerSaver) -> None:
    one = saved(saver, 1)
    two = await saver.aput(one, empty_checkpoint(), {"source": "loop", "step": 1}, {})
    await saver.aput_writes(two, [("x", "v")], "task", "path")
    saver.put_writes(two, [("y", "w")], "other")
    sync, awaited = saver.get_tuple(config()), await saver.aget_tuple(config())
    assert sync is not None
    assert sync == awaited
    assert sync.parent_config == one
    assert sorted(sync.pending_writes or []) == [("other", "y", "w"), ("task", "x", "v")]
    assert list(saver.list(config())) == [c async for c in saver.alist(config())]
    assert len(list(saver.list(config(), limit=1))) == 1
    history = saver.get_delta_channel_history(config=config(), channels=["x"])
    assert history == await saver.aget_delta_channel_history(config=config(), channels=["x"])
    await saver.adelete_thread("t")
    assert saver.get_tuple(config()) is None


def test_ordinary_writes_stay_as_first_made_and_special_ones_are_replaced(saver: LedgerSaver) -> None:
    stored = saved(saver, 1)
    for value in ("first", "second"):
        saver.put_writes(stored, [("x", value)], "task")
        saver.put_writes(stored, [("__interrupt__", value)], "task")
    found = saver.get_tuple(stored)
    assert found is not None
    assert sorted((c, v) for _, c, v in found.pending_writes or []) == [("__interrupt__", "second"), ("x", "first")]


@pytest.mark.parametrize("thread", ["'; DROP TABLE checkpoints; --", "../..", "\x00", "名前", "t" * 10_000])
def test_any_thread_id_is_only_a_key(saver: LedgerSaver, thread: str) -> None:
    saved(saver, "mine", thread)
    saved(saver, "theirs", "t")
    found = saver.get_tuple(config(thread))
    assert found is not None
    assert found.checkpoint["channel_values"] == {"x": "mine"}
    saver.delete_thread(thread)
    assert saver.get_tuple(config(thread)) is None
    assert saver.get_tuple(config()) is not None


def test_a_filter_key_is_no_sql(saver: LedgerSaver) -> None:
    saved(saver, 1)
    for key in ("x') = 1 OR 1=1 --", "source' OR '1'='1"):
        try:
            found = list(saver.list(None, filter={key: "nothing"}))
        except ValueError:
            continue
        assert found == []


def test_deleting_a_thread_keeps_its_records(ledger: SqliteLedger, saver: LedgerSaver) -> None:
    write(ledger, "t", draft("a"))
    saved(saver, 1)
    saver.delete_thread("t")
    assert verify("t", ledger.entries("t")) == 1


def test_a_put_is_answered_after_the_commit_of_it_and_of_all_records_before_it(
    ledger: SqliteLedger, saver: LedgerSaver
) -> None:
    reader = sqlite3.connect(ledger.path, isolation_level=None)
    for i in range(30):
        noted = ledger.note("run", [draft(str(i))])
        stored = saved(saver, i)
        assert noted.error is None
        assert reader.execute("SELECT count(*) FROM records").fetchone()[0] == i + 1
        chosen = stored["configurable"]["checkpoint_id"]
        assert reader.execute("SELECT 1 FROM checkpoints WHERE checkpoint_id = ?", (chosen,)).fetchone()
    reader.close()


async def test_a_put_that_cannot_be_made_durable_raises(ledger: SqliteLedger, saver: LedgerSaver) -> None:
    ledger.writer._conn.execute("PRAGMA max_page_count = 1")
    with pytest.raises(LedgerUnavailable):
        saved(saver, "x" * 500_000)
    with pytest.raises(LedgerUnavailable):
        await saver.aput_writes(config(checkpoint_id="c"), [("x", "x" * 500_000)], "task")
    ledger.close()
    with pytest.raises(LedgerUnavailable, match="closed"):
        await saver.aput(config(), empty_checkpoint(), {}, {})


# -- kill -9 ----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_after_a_kill_every_acknowledged_record_and_checkpoint_is_there(tmp_path: Path) -> None:
    rng = random.Random(7)
    known: dict[Path, set[str]] = {tmp_path / f"{i}.db": set() for i in range(6)}
    forker = child("fork")
    try:
        expect_ready(forker)
        for path in [*known] * 5:  # each file is killed upon, reopened, and killed upon again
            known[path] |= _killed(forker, path, rng.randrange(0, 120))
            _every(path, known[path])
    finally:
        forker.kill()
        forker.communicate(timeout=WAIT)
    assert all(known.values())


def _killed(forker: subprocess.Popen[str], path: Path, after: int) -> set[str]:
    """Have a process write, kill it once it has acknowledged so many, and return all that it acknowledged."""
    assert forker.stdin is not None
    assert forker.stdout is not None
    forker.stdin.write(f"{path}\n")
    forker.stdin.flush()
    lines: list[str] = []
    writing = 0
    for line in forker.stdout:
        if line.startswith("writing "):
            writing = int(line.split()[1])
        elif line.startswith("ended "):
            assert line == f"ended {signal.SIGKILL}\n"
            return set(lines)
        else:
            lines.append(line)
        if writing and len(lines) >= after:
            os.kill(writing, signal.SIGKILL)
            writing = 0
    raise AssertionError(forker.communicate(timeout=WAIT)[1])


def _every(path: Path, acknowledged: set[str]) -> None:
    ledger = SqliteLedger(path)
    try:
        hashes: dict[tuple[str, str], str] = {}
        for run in [f"run{n}" for n in range(4)]:
            entries = ledger.entries(run)
            verify(run, entries)
            hashes |= {(run, str(e.seq)): e.hash for e in entries}
            for entry in entries:
                assert entry.seq < 1 or entry.previous == hashes[run, str(entry.seq - 1)]
        with closing(sqlite3.connect(path)) as conn:
            stored = {row[0] for row in conn.execute("SELECT checkpoint_id FROM checkpoints")}
            written = {row[0] for row in conn.execute("SELECT checkpoint_id FROM writes")}
        for line in acknowledged:
            kind, *rest = line.split()
            if kind == "record":
                assert hashes[rest[0], rest[1]] == rest[2]
            else:
                assert rest[0] in stored & written
    finally:
        ledger.close()

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
from edgewright.contracts.errors import LedgerUnavailable
from edgewright.ledger.checkpoints import LedgerSaver, safe_serializer
from edgewright.ledger.entry import verify
from edgewright.ledger.sqlite import SqliteLedger
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
@pytest.mark.filterwarnings("ignore")
def test_a_forged_blob_executes_nothing(tmp_path: Path, number: int, caplog: pytest.LogCaptureFixture) -> None:
    mark = tmp_path / "executed"
    kind, blob = forgeries(mark)[number]
    ledger = SqliteLedger(tmp_path / "ledger.db")
    saver = LedgerSaver(ledger)
    stored = saved(saver, "honest")
    saver.put_writes(stored, [("x", "honest")], "task")
    for sql in ("UPDATE writes SET type = ?, value = ?", "UPDATE checkpoints SET type = ?, checkpoint = ?"):
        with closing(sqlite3.connect(ledger.path, isolation_level=None)) as conn:
            conn.execute(sql, (kind, blob))
        with suppress(Exception):  # refusing is as good as giving back plain data
            saver.get_tuple(stored)
        with suppress(Exception):
            asyncio.run(saver.aget_tuple(stored))
        assert not mark.exists()
    saver.close()
    ledger.close()


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

"""The canary trial: what agents and tools plant in every field and message is found in nothing that crossed.

Planted are keys, tokens, card and account numbers, addresses of mail, telephone numbers, and names that only a label
tells; directly, in prose, in base64 and hexadecimal, backwards, as keys and numbers, and split over two neighbouring
fields: in the request, replies, tool arguments and results, handovers, shared state, refusals, errors, custom events, a
reviewer's words. Whoever planted a thing may hold it (its own model calls, its own tool); every other place is
searched for it. The same search finds all of it where no contract says `never`.

What is not tried here, because nothing finds it: a labelled value before the tool that labels it has returned (a custom
event or a log of that very tool); a part of a labelled value by itself (the first name of a full name); a paraphrase; a
datum split over fields with words between, over two messages or over two custom events; thread ids, metadata and tags,
which a caller chooses; what a tool writes into a store or a log of its own; a provider client's own debug log of the
requests that it sends, and the locals of a traceback.
"""

from __future__ import annotations

import asyncio
import logging
import re
from pathlib import Path
from typing import Any

import pytest
from edgewright import ReviewAnswer, RunResult
from edgewright.ledger.checkpoints import safe_serializer
from edgewright.ledger.records import ContractPassed
from edgewright.ledger.store import Ledger
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command
from support.canary_house import (
    CUSTOMER,
    OPEN,
    OWNERS,
    REQUEST,
    House,
    canaries,
    found,
    found_raw,
    house,
    prose,
    stuffed,
)
from support.systems import of_kind
from typing_extensions import TypedDict

MODES = ["values", "updates", "messages", "custom", "tasks", "checkpoints", "debug"]
APPROVED = ReviewAnswer(decision="approve", reason=prose("person", CUSTOMER))


async def _played(house: House, thread: str = "t") -> list[RunResult]:
    """A run to its question, and from the answer to its end."""
    system = house.system
    asked = await system.arun(REQUEST, thread=thread)
    assert asked.status == "waiting"
    ended = await system.aresume(thread, {r.id: APPROVED for r in asked.reviews})
    assert ended.status == "completed"
    return [asked, ended]


def _not(*owners: str) -> list[str]:
    return [o for o in OWNERS if o not in owners]


# -- the search itself -----------------------------------------------------------------------------------------------


async def test_without_never_the_same_search_finds_everything_everywhere() -> None:
    open_ = house(never=OPEN)
    results = await _played(open_)
    system = open_.system
    for owner in ("caller", "router"):
        seen = "\n".join(found(open_.seen["alpha"][0], of=[owner]))
        for canary in canaries(owner):
            assert f"{canary.owner}'s {canary.kind}" in seen
    assert found(open_.given, of=["router"])
    assert found(results[1], of=["judge"])
    assert found(str(system.explain(results[0].run)), of=["pay"])
    [run] = system.ledger.runs()
    assert any(found(e.record, of=["failure"]) for e in system.ledger.entries(run.run))


# -- receivers -------------------------------------------------------------------------------------------------------


async def test_a_receiver_is_told_nothing_of_what_others_planted() -> None:
    made = house()
    await _played(made)
    assert found(made.seen["alpha"][0]) == []  # with the router's whole talk, and a shared key that the router wrote
    assert found(made.seen["judge"][0]) == []
    assert found(made.given) == []
    # Later a receiver may know what it made up itself, and what its own tools told it.
    assert found(made.seen["alpha"], of=_not("alpha", "pay", "names")) == []
    assert "plan" in str(made.seen["alpha"][0])
    assert "plan" in made.given[1]


async def test_a_receivers_checkpoints_hold_nothing_of_what_others_planted(tmp_path: Path) -> None:
    made = house(tmp_path)
    await _played(made)
    saver = await made.system.home.saver()
    spaces: dict[str, list[Any]] = {}
    for kept in saver.list({"configurable": {"thread_id": "t"}}):
        spaces.setdefault(kept.config["configurable"]["checkpoint_ns"].partition(":")[0], []).append(kept)
    assert {"alpha", "judge"} <= set(spaces)
    # The words of the person who answered it are alpha's too.
    assert found(spaces["alpha"], of=_not("alpha", "pay", "person", "names")) == []
    first = spaces["alpha"][-1]
    assert found(first.checkpoint, first.metadata, first.config) == []
    assert found(spaces["judge"], of=_not("judge", "names")) == []
    first = spaces["judge"][-1]
    assert found(first.checkpoint, first.metadata, first.config) == []
    made.system.close()


# -- readers ---------------------------------------------------------------------------------------------------------


async def _streamed(graph: Any, given: Any, config: Any, **options: Any) -> list[Any]:
    async with asyncio.timeout(60):
        return [part async for part in graph.astream(given, config, **options)]


def _tokens(parts: list[Any]) -> list[str]:
    """What a reader puts together from the tokens, by field."""
    texts: dict[str, str] = {}
    for part in parts:
        mode, data = (part["type"], part["data"]) if isinstance(part, dict) else part[-2:]
        if mode == "messages":
            where = str(data[1].get("edgewright_field"))
            texts[where] = texts.get(where, "") + str(data[0].content)
    return list(texts.values())


async def _all_streamed(graph: Any, **options: Any) -> list[Any]:
    """Both halves of a run, as a reader of the stream gets them."""
    config = {"configurable": {"thread_id": "t"}}
    parts = await _streamed(graph, {"request": REQUEST}, config, **options)
    answer: Command[Any] = Command(resume=APPROVED.model_dump(mode="json"))
    return [*parts, *await _streamed(graph, answer, config, **options)]


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize("subgraphs", [True, False])
async def test_no_stream_mode_shows_a_canary(version: str, subgraphs: bool) -> None:
    graph = house().system.compile(InMemorySaver(serde=safe_serializer()))
    parts = await _all_streamed(graph, stream_mode=MODES, version=version, subgraphs=subgraphs)
    shown = {p["type"] if version == "v2" else p[-2] for p in parts}
    assert shown == set(MODES)
    assert found(parts, _tokens(parts)) == []


async def test_without_never_the_streams_show_them() -> None:
    graph = house(never=OPEN).system.compile(InMemorySaver(serde=safe_serializer()))
    parts = await _all_streamed(graph, stream_mode=MODES)
    for mode, owner in (("messages", "judge"), ("custom", "beta"), ("values", "judge"), ("updates", "alpha")):
        assert found([p for p in parts if p[0] == mode], of=[owner]), mode


async def test_state_and_history_show_no_canary() -> None:
    graph = house().system.compile(InMemorySaver(serde=safe_serializer()))
    config: Any = {"configurable": {"thread_id": "t"}}
    await graph.ainvoke({"request": REQUEST}, config)
    assert found(await graph.aget_state(config), await graph.aget_state(config, subgraphs=True)) == []
    answer: Any = await graph.ainvoke(Command(resume=APPROVED.model_dump(mode="json")), config)
    history = [s async for s in graph.aget_state_history(config)]
    assert len(history) > 5
    assert found(answer, history, graph.get_state(config), list(graph.get_state_history(config))) == []


class Parent(TypedDict, total=False):
    request: dict[str, Any]
    run: str
    response: dict[str, Any]


@pytest.mark.parametrize("subgraphs", [True, False])
async def test_a_parent_graph_that_streams_its_inside_sees_no_canary(subgraphs: bool) -> None:
    made = house()
    outer = StateGraph(Parent)
    outer.add_node("governed", made.system.graph)
    outer.add_edge(START, "governed")
    outer.add_edge("governed", END)
    saver: BaseCheckpointSaver[Any] = InMemorySaver(serde=safe_serializer())
    graph = outer.compile(checkpointer=saver)
    # The parent's own state and input hold the request as the caller gave it; what comes from inside is searched.
    of = _not("caller", "names")
    parts = await _all_streamed(graph, stream_mode=MODES, subgraphs=subgraphs)
    assert found(parts, of=of) == []
    config: Any = {"configurable": {"thread_id": "t"}}
    state = await graph.aget_state(config, subgraphs=True)
    assert state.values["response"]
    assert found(state, [s async for s in graph.aget_state_history(config)], of=of) == []


@pytest.mark.parametrize("how", ["graph", "run", "stream"])
async def test_a_parent_whose_code_calls_the_system_sees_no_canary(how: str) -> None:
    made = house()
    system = made.system

    async def call(state: Parent) -> Parent:
        if how == "graph":
            done: Any = await system.graph.ainvoke({"request": REQUEST})
            return {"run": done["run"]}
        if how == "run":
            return {"run": (await system.arun(REQUEST, thread="inner")).run}
        parts = [p async for p in system.astream(REQUEST, thread="inner", stream_mode=["messages", "custom"])]
        assert found(parts) == []
        return {"run": str(len(parts))}

    outer = StateGraph(Parent)
    outer.add_node("call", call)
    outer.add_edge(START, "call")
    outer.add_edge("call", END)
    graph = outer.compile(checkpointer=InMemorySaver(serde=safe_serializer()))
    parts = await _streamed(graph, {"run": ""}, {"configurable": {"thread_id": "t"}}, stream_mode=MODES, subgraphs=True)
    assert {"messages", "custom"} & {p[1] for p in parts} <= {"custom"}
    assert found(parts, _tokens(parts)) == []


# -- records ---------------------------------------------------------------------------------------------------------


def _readable(ledger: Ledger, run: str) -> list[Any]:
    """A run's records, and the readable payload of everything that a record names."""
    entries = ledger.entries(run)
    texts = [repr(e) for e in entries]
    words = {w for t in texts for w in t.replace("'", " ").split()}
    bodies = [body for w in words if (body := ledger.payload(run, w.strip(",)"))) is not None and w != "key"]
    return [*texts, *(b.decode(errors="replace") for b in bodies)]


async def test_the_ledger_names_what_was_hidden_and_holds_none_of_it() -> None:
    made = house()
    [asked, ended] = await _played(made)
    system = made.system
    told = _readable(system.ledger, asked.run)
    assert len(told) > 60
    assert found(told, str(system.explain(asked.run)), asked, ended) == []
    crossings = of_kind(system, asked.run, ContractPassed)
    passed = {f"{r.edge}{r.branch}": r for r in crossings}
    assert len(passed) == 7
    kinds = {c.kind for c in canaries("router")}
    for name in ("router→alpha0", "router→beta1", "alpha→judge0", "beta→judge1", "judge→end-1"):
        record = passed[name]
        by_field: dict[str, set[str]] = {}
        for path, rule in record.redacted:
            by_field.setdefault(re.split(r"[.\[]", path)[0], set()).add(rule)
        assert set(by_field) >= set(stuffed("router", "x"))
        for where in ("direct", "prose", "halves", "table"):
            assert by_field[where] >= kinds | {"personal"} - {"personal" if where == "table" else ""}, (name, where)
        assert set(record.hidden) >= set(stuffed("router", "x"))
        assert all(d.startswith("k:") for d in record.hidden.values())
    assert dict(passed["router→alpha0"].withheld) == dict.fromkeys(REQUEST, "not declared")
    # The router's talk crossed with its brief: what was cut out of that is named too.
    talk = {rule for path, rule in passed["router→alpha0"].redacted if path.startswith("*")}
    assert kinds | {"personal"} <= talk


def _files_without(home: Path) -> set[str]:
    """The names of a home's files, none of which holds a canary."""
    files = {p.name: p.read_bytes() for p in home.rglob("*") if p.is_file()}
    for name, body in files.items():
        assert found_raw(body) == [], name
    return set(files)


@pytest.mark.parametrize("owner", OWNERS[:-1])
async def test_the_search_of_the_ledger_finds_no_canary(owner: str, tmp_path: Path) -> None:
    made = house(tmp_path)
    await _played(made)
    for canary in canaries(owner):
        assert made.system.ledger.search(canary.value) == []
    assert made.system.ledger.search(CUSTOMER) == []
    made.system.close()


async def test_no_file_of_the_home_holds_a_canary(tmp_path: Path) -> None:
    made = house(tmp_path)
    await _played(made)
    assert {"edgewright.db", "edgewright.db-wal"} <= _files_without(tmp_path)
    made.system.close()
    assert "edgewright.db" in _files_without(tmp_path)


# -- errors and logs -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fails", ["router", "alpha", "beta", "judge"])
async def test_the_error_of_a_failed_run_quotes_no_canary(
    fails: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    made = house(tmp_path, fails=fails)
    with caplog.at_level(logging.DEBUG), pytest.raises(RuntimeError) as failed:
        await _played(made)
    assert found(failed.value) == []
    assert "Please note" in str(failed.value)  # what is no canary is still told
    assert found(caplog.text) == []
    [run] = made.system.ledger.runs()
    assert found(_readable(made.system.ledger, run.run)) == []
    graph = await made.system._running()
    config: Any = {"configurable": {"thread_id": "t"}}
    assert found(await graph.aget_state(config), [s async for s in graph.aget_state_history(config)]) == []
    assert "edgewright.db" in _files_without(tmp_path)
    made.system.close()


async def test_a_whole_run_logs_no_canary(caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> None:
    with caplog.at_level(logging.DEBUG):
        await _played(house())
    assert found(caplog.text, *capfd.readouterr()) == []

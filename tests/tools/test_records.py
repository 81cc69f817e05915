"""Shared records at the gate: two runs on one customer, whatever their systems and processes, lose no update."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Any, TypedDict

import pytest
from edgewright import Agent, Call, Pipeline, Policy, System, ToolRefusal, tool
from edgewright.contracts.errors import RecordBusy, RecordConflict, RecordUnknown, ToolFailed, ToolInvalid
from edgewright.contracts.tool import SharedRecord
from edgewright.ledger.memory import MemoryLedger
from edgewright.ledger.records import (
    EffectDone,
    EffectIntended,
    RecordClaimed,
    RecordRead,
    RecordRefused,
    RecordSettled,
)
from edgewright.ledger.shared import RecordId, shared_of
from edgewright.ledger.sqlite import SqliteLedger
from edgewright.ledger.store import Ledger
from edgewright.tools.run import Run
from support.shared_child import CUSTOMER, Bank, bank_system, rounds, set_balance
from support.shared_child import balance as balance_of
from support.systems import ANSWER, PERMIT_ALL, QUESTION, inside, of_kind, on_ledger, plays, records, with_model

WAIT = 60.0
C = RecordId(tenant="local", kind="customer", id=CUSTOMER)
TESTS = Path(__file__).parent.parent
accounts: dict[str, int] = {}
hooks: dict[str, Any] = {}


@pytest.fixture(autouse=True)
def empty() -> None:
    accounts.clear()
    hooks.clear()


@tool(effect="read", record="customer")
async def look(customer: str) -> int:
    """Look at a balance."""
    return accounts.get(customer, 0)


@tool(effect="write", record="customer", timeout=5)
async def store(customer: str, cents: int) -> int:
    """Set a balance."""
    if "store" in hooks:
        await hooks["store"](cents)
    accounts[customer] = cents
    return cents


@tool(effect="write", idempotency="key", record=SharedRecord("customer", by="customer", wait=0), timeout=5)
async def hurry(customer: str, cents: int) -> int:
    """Set a balance, or do not wait."""
    if "hurry" in hooks:
        await hooks["hurry"](cents)
    accounts[customer] = cents
    return cents


TOOLS = (look, store, hurry)


def coded(name: str, work: Callable[[], Any], ledger: Ledger, **options: Any) -> System:
    async def function(_: dict[str, Any]) -> dict[str, str]:
        return {"text": str(await work())}

    tools = options.pop("tools", TOOLS)
    agent = Agent(f"{name}_clerk", version=1, function=function, tools=tools)
    system = System(
        name,
        version=1,
        topology=Pipeline(stages=[agent], contracts=[QUESTION, ANSWER]),
        policy=Policy(text=options.pop("policy", PERMIT_ALL)),
        **options,
    )
    return on_ledger(system, ledger)


async def say(system: System) -> str:
    result = await system.arun({"text": "go"})
    assert result.output is not None
    return str(result.output["text"])


# -- declared -----------------------------------------------------------------------------------------------------


class Funds(TypedDict):
    cents: int


class Color(StrEnum):
    red = "red"


def test_a_record_is_named_by_a_required_argument_that_is_a_string_or_a_number() -> None:
    @tool(record="color")
    def paint(color: Color, times: int) -> None:
        """Paint."""

    assert paint.spec.record == SharedRecord("color", by="color")
    assert balance_of.spec.record == SharedRecord("customer", by="customer")
    assert paint.spec.digest != tool(paint_without_record).spec.digest


def paint_without_record(color: Color, times: int) -> None:
    """Paint."""


@pytest.mark.parametrize(
    ("record", "fault"),
    [
        ("nobody", "no argument"),
        ("optional", "not required"),
        ("flag", "no string and no integer"),
        ("many", "no string and no integer"),
        ("either", "no string and no integer"),
        (SharedRecord("a customer", by="ident"), "no identifier"),
        (SharedRecord("customer", by="ident", wait=-1), "no number of seconds"),
    ],
)
def test_what_cannot_name_a_record_is_refused_when_it_is_declared(record: Any, fault: str) -> None:
    def wrong(ident: str, flag: bool, many: list[str], either: int | None, optional: str = "x") -> None:
        """Wrong."""

    with pytest.raises(ToolInvalid, match=fault):
        tool(record=record)(wrong)


# -- on the ledger ------------------------------------------------------------------------------------------------


async def test_reads_and_changes_are_on_the_ledger_with_their_versions_and_without_the_id() -> None:
    async def work() -> None:
        await look.ainvoke({"customer": CUSTOMER})
        await store.ainvoke({"customer": CUSTOMER, "cents": 5})
        await store.ainvoke({"customer": CUSTOMER, "cents": 6})

    ran = await inside(work, *TOOLS)
    assert ran.error is None
    assert [(r.record, r.version) for r in ran.of(RecordRead)] == [("customer", 0)]
    assert [r.version for r in ran.of(RecordClaimed)] == [0, 1]
    assert [(r.version, r.changed, r.sole) for r in ran.of(RecordSettled)] == [(1, True, True), (2, True, True)]
    kinds = [r.kind for r in ran.records if r.kind.startswith(("effect", "record"))]
    change = ["effect.intended", "record.claimed", "effect.done", "record.settled"]
    assert kinds == ["record.read", "effect.done", *change, *change]
    assert not any(CUSTOMER.encode() in e.body for e in ran.system.ledger.entries(ran.result.run))
    assert shared_of(ran.system.ledger).held() == []
    assert "customer" in str(ran.system.explain(ran.result.run))


async def test_a_tool_that_refuses_leaves_the_version_and_lets_the_record_go() -> None:
    async def no(_: int) -> None:
        raise ToolRefusal("not today")

    hooks["store"] = no
    ran = await inside(lambda: store.ainvoke({"customer": CUSTOMER, "cents": 5}), *TOOLS)
    assert isinstance(ran.error, ToolRefusal)
    assert [(r.version, r.changed) for r in ran.of(RecordSettled)] == [(0, False)]
    assert shared_of(ran.system.ledger).held() == []


# -- two runs -----------------------------------------------------------------------------------------------------


async def test_a_run_that_read_before_another_changed_is_told_so_reads_again_and_goes_on() -> None:
    ledger, has_read, changed = MemoryLedger(), asyncio.Event(), asyncio.Event()
    caught: list[RecordConflict] = []

    async def slow() -> str:
        seen = await look.ainvoke({"customer": CUSTOMER})
        has_read.set()
        await changed.wait()
        try:
            await store.ainvoke({"customer": CUSTOMER, "cents": int(seen) + 1})
        except RecordConflict as error:
            caught.append(error)
            seen = await look.ainvoke({"customer": CUSTOMER})
            await store.ainvoke({"customer": CUSTOMER, "cents": int(seen) + 1})
        return "done"

    async def quick() -> str:
        await has_read.wait()
        seen = await look.ainvoke({"customer": CUSTOMER})
        await store.ainvoke({"customer": CUSTOMER, "cents": int(seen) + 1})
        changed.set()
        return "done"

    one, two = coded("care", slow, ledger), coded("billing", quick, ledger)
    async with asyncio.timeout(WAIT):
        assert list(await asyncio.gather(say(one), say(two))) == ["done", "done"]
    assert accounts[CUSTOMER] == 2
    [error] = caught
    assert (error.system, error.agent, error.read, error.found) == ("billing@1", "billing_clerk", 0, 1)
    assert "care_clerk" in error.asked
    runs = {s.system: s.run for s in ledger.runs()}
    assert error.run == runs["billing@1"]
    [refused] = of_kind(one, runs["care@1"], RecordRefused)
    assert (refused.error, refused.reason, refused.record) == ("RecordConflict", str(error), "customer")
    assert len(of_kind(one, runs["care@1"], EffectIntended)) == 1  # what was refused was never begun


async def test_a_model_is_told_of_a_conflict_and_goes_on() -> None:
    ledger = MemoryLedger()

    @tool(effect="read", output="trusted")
    async def meanwhile() -> str:
        """Let somebody else change the customer."""
        other = coded("billing", lambda: store.ainvoke({"customer": CUSTOMER, "cents": 9}), ledger)
        await other.arun({"text": "go"})
        return "ok"

    model = plays(
        [Call("look", {"customer": CUSTOMER})],
        [Call("meanwhile", {})],
        [Call("store", {"customer": CUSTOMER, "cents": 1})],
    )
    system = on_ledger(with_model(model, look, store, meanwhile), ledger)
    result = await system.arun({"text": "go"})
    assert result.output is not None
    assert "record 'customer' was changed by agent 'billing_clerk' of system billing@1" in result.output["text"]
    assert "read it again" in result.output["text"]
    assert accounts[CUSTOMER] == 9


async def test_who_waits_is_served_when_the_first_is_done() -> None:
    ledger, begun, go_on = MemoryLedger(), asyncio.Event(), asyncio.Event()

    async def hang(cents: int) -> None:
        if cents == 1:
            begun.set()
            await go_on.wait()

    hooks["store"] = hang
    one = coded("care", lambda: store.ainvoke({"customer": CUSTOMER, "cents": 1}), ledger)
    two = coded("billing", lambda: store.ainvoke({"customer": CUSTOMER, "cents": 2}), ledger)
    three = coded("audit", lambda: hurry.ainvoke({"customer": CUSTOMER, "cents": 3}), ledger)
    async with asyncio.timeout(WAIT):
        first = asyncio.create_task(say(one))
        await begun.wait()
        second = asyncio.create_task(say(two))
        with pytest.raises(RecordBusy) as busy:
            await say(three)
        assert (busy.value.system, busy.value.agent) == ("care@1", "care_clerk")
        go_on.set()
        await asyncio.gather(first, second)
    assert accounts[CUSTOMER] == 2


async def test_after_an_effect_of_unknown_outcome_nobody_changes_the_record_until_it_is_cleared() -> None:
    ledger = MemoryLedger()

    async def fails(_: int) -> None:
        raise ConnectionError("reset by peer")

    hooks["store"] = fails
    one = coded("care", lambda: store.ainvoke({"customer": CUSTOMER, "cents": 1}), ledger)
    two = coded("billing", lambda: store.ainvoke({"customer": CUSTOMER, "cents": 2}), ledger)
    with pytest.raises(ToolFailed):
        await say(one)
    del hooks["store"]
    with pytest.raises(RecordUnknown) as refused:
        await say(two)
    assert refused.value.system == "care@1"
    assert accounts == {}
    ledger.shared.release(C, by="ada")
    await say(two)
    assert accounts[CUSTOMER] == 2


async def test_an_effect_of_unknown_outcome_that_repeats_by_key_holds_the_record_until_its_lease_is_over() -> None:
    ledger = MemoryLedger()

    async def fails(_: int) -> None:
        raise ConnectionError("reset by peer")

    hooks["hurry"] = fails
    one = coded("care", lambda: hurry.ainvoke({"customer": CUSTOMER, "cents": 1}), ledger)
    with pytest.raises(ToolFailed):
        await say(one)
    del hooks["hurry"]
    with pytest.raises(RecordBusy):  # its thread may still be at work
        await say(coded("billing", lambda: hurry.ainvoke({"customer": CUSTOMER, "cents": 2}), ledger))
    assert [s.yields for s in ledger.shared.held()] == [True]


async def test_a_verdict_on_facts_that_changed_while_the_call_waited_is_judged_again() -> None:
    looked_up: list[str] = []
    both = threading.Event()

    def funds(customer: str) -> Funds:
        found = accounts.get(customer, 0)
        looked_up.append(customer)
        if len(looked_up) == 2:
            both.set()
        return {"cents": found}

    @tool(effect="write", record="customer", facts=funds)
    async def take(customer: str, cents: int) -> int:
        """Take money."""
        if "take" in hooks:
            await hooks.pop("take")()
        accounts[customer] = accounts.get(customer, 0) - cents
        return accounts[customer]

    covered = (
        '@id("covered") permit(principal, action == Action::"call:take", resource) when '
        "{ context.facts.cents >= context.args.cents };"
    )
    accounts[CUSTOMER] = 10
    ledger, begun, go_on = MemoryLedger(), asyncio.Event(), asyncio.Event()

    async def hang() -> None:
        begun.set()
        await go_on.wait()

    hooks["take"] = hang
    systems = [
        coded(n, lambda: take.ainvoke({"customer": CUSTOMER, "cents": 10}), ledger, policy=covered, tools=(take,))
        for n in ("care", "billing")
    ]
    async with asyncio.timeout(WAIT):
        first = asyncio.create_task(say(systems[0]))
        await begun.wait()
        second = asyncio.create_task(say(systems[1]))
        assert await asyncio.to_thread(both.wait, WAIT)
        go_on.set()
        await first
        with pytest.raises(Exception, match="Denied by policy"):
            await second
    assert accounts[CUSTOMER] == 0
    assert len(looked_up) == 3  # the second call looked again


async def test_a_note_that_was_not_durable_is_found_although_the_write_after_it_was_refused() -> None:
    """A refused claim does not swallow what was noted before it."""

    class Lossy:
        error = RuntimeError("the note was lost")

    async def work() -> None:
        from edgewright.tools.run import active

        activation = active()
        assert activation is not None
        run: Run = activation.run
        run.notes.append(Lossy())
        await hurry.ainvoke({"customer": CUSTOMER, "cents": 2})

    ledger, begun, go_on = MemoryLedger(), asyncio.Event(), asyncio.Event()

    async def hang(_: int) -> None:
        begun.set()
        await go_on.wait()

    hooks["store"] = hang
    one = coded("care", lambda: store.ainvoke({"customer": CUSTOMER, "cents": 1}), ledger)
    async with asyncio.timeout(WAIT):
        first = asyncio.create_task(say(one))
        await begun.wait()
        with pytest.raises(RuntimeError, match="the note was lost"):
            await say(coded("billing", work, ledger))
        go_on.set()
        await first


# -- after a crash ------------------------------------------------------------------------------------------------


async def test_what_a_run_read_before_a_crash_still_counts_after_it() -> None:
    ran = await inside(lambda: look.ainvoke({"customer": CUSTOMER}), *TOOLS)
    entries = ran.system.ledger.entries(ran.result.run)
    alias = ran.of(RecordRead)[0].alias
    live = ran.system._runs._grounds(ran.result.run, "t", "test", {})
    again = Run.over(live, ran.system.ledger, entries)
    assert again.versions.seen("worker", alias) == 0
    assert again.versions.seen("another agent", alias) == 0
    assert again.versions.seen("worker", "another record") is None


async def test_a_run_that_was_cut_off_in_its_effect_takes_its_record_again_and_nobody_else_does(tmp_path: Path) -> None:
    def system(name: str, cents: int) -> System:
        async def function(_: dict[str, Any]) -> dict[str, str]:
            return {"text": str(await hurry.ainvoke({"customer": CUSTOMER, "cents": cents}))}

        agent = Agent(f"{name}_clerk", version=1, function=function, tools=[hurry])
        topology = Pipeline(stages=[agent], contracts=[QUESTION, ANSWER])
        return System(name, version=1, topology=topology, policy=Policy(text=PERMIT_ALL), home=tmp_path)

    begun = asyncio.Event()

    async def hang(_: int) -> None:
        begun.set()
        await asyncio.Event().wait()

    hooks["hurry"] = hang
    one = system("care", 1)
    async with asyncio.timeout(WAIT):
        cut_off = asyncio.create_task(one.arun({"text": "go"}, thread="thread"))
        await begun.wait()
        cut_off.cancel()
        with pytest.raises(asyncio.CancelledError):
            await cut_off
        one.close()
        del hooks["hurry"]
        two = system("billing", 2)
        with pytest.raises(RecordBusy):
            await two.arun({"text": "go"})
        one = system("care", 1)
        result = await one.aresume("thread")
        assert result.output == {"text": "1"}
        kinds = [r.kind for r in records(one, result.run) if r.kind.startswith(("effect", "record"))]
        assert kinds == ["effect.intended", "record.claimed", "record.claimed", "effect.done", "record.settled"]
        await two.arun({"text": "go"})
    assert accounts[CUSTOMER] == 2
    one.close()
    two.close()


# -- many at once, on a real database -----------------------------------------------------------------------------


def added(ledger: Ledger) -> int:
    """The sum of the effects that the ledger knows to have happened."""
    total = 0
    for summary in ledger.runs():
        for entry in ledger.entries(summary.run):
            if isinstance(record := entry.record, EffectDone) and record.tool == set_balance.name:
                body = ledger.payload(summary.run, record.outcome)
                assert body is not None
                total += json.loads(body)["added"]
    return total


async def test_two_systems_in_one_process_lose_no_update(tmp_path: Path) -> None:
    bank = Bank(tmp_path / "bank.db")
    systems = [bank_system(name, tmp_path / "home", bank) for name in ("care", "billing")]
    async with asyncio.timeout(WAIT):
        ends = await rounds(systems, 12)
    ledger = systems[0].ledger
    assert ends["added"] > 0
    assert sum(ends.values()) == 24
    assert set(ends) <= {"added", "RecordConflict", "RecordBusy"}
    assert bank.balance() == added(ledger) == ends["added"]
    refused = [e.record for s in ledger.runs() for e in ledger.entries(s.run) if isinstance(e.record, RecordRefused)]
    assert refused  # they did get in each other's way
    assert {r.error for r in refused} <= {"RecordConflict", "RecordBusy"}
    assert isinstance(ledger, SqliteLedger)
    assert ledger.shared.look(C).version == ends["added"]
    assert ledger.shared.held() == []
    for system in systems:
        system.close()


@pytest.mark.slow
def test_two_systems_in_two_processes_lose_no_update(tmp_path: Path) -> None:
    bank = Bank(tmp_path / "bank.db")
    children = [
        subprocess.Popen(
            [sys.executable, "-m", "support.shared_child", str(tmp_path), name, "10"],
            cwd=TESTS, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for name in ("care", "billing")
    ]  # fmt: skip
    ends: list[dict[str, int]] = []
    try:
        for child in children:
            assert child.stdout is not None
            line = child.stdout.readline()
            assert line == "ready\n", child.communicate(timeout=WAIT)
        for child in children:
            assert child.stdin is not None
            child.stdin.write("go\n")
            child.stdin.flush()
        for child in children:
            out, errors = child.communicate(timeout=WAIT)
            assert child.returncode == 0, errors
            ends.append(json.loads(out))
    finally:
        for child in children:
            if child.poll() is None:
                child.kill()
                child.communicate(timeout=WAIT)
    done = sum(e.get("added", 0) for e in ends)
    ledger = SqliteLedger(tmp_path / "home" / "edgewright.db")
    try:
        assert done > 0
        assert bank.balance() == added(ledger) == done
        assert ledger.shared.look(C).version == done
        assert {s.system for s in ledger.runs()} == {"care@1", "billing@1"}
    finally:
        ledger.close()

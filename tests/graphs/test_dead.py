"""Runs that stopped: listed until somebody goes on with them or drops them, and gone on with, nothing done twice."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from edgewright import Agent, Budget, Pipeline, Policy, System, tool
from edgewright.contracts.errors import NotFound, RetryRefused, SystemChanged
from edgewright.graphs.cancelling import CANCELLED, LEFT, StopsRecorded, record_stop, why
from edgewright.graphs.dead import dead_letters, drop, prospects, refusal_of, retry
from edgewright.ledger.entry import Draft
from edgewright.ledger.memory import MemoryLedger
from edgewright.ledger.records import DeadDropped, DeadRetried, RunDrained, RunEnded, RunResumed, UndoIntended
from edgewright.ledger.store import summary_of
from edgewright.tools.sealed import SealedTool
from langgraph.errors import GraphDrained
from support.ledgers import ended as end_of
from support.ledgers import started, write
from support.offices import clerk, office, results, sends
from support.systems import ANSWER, PERMIT_ALL, QUESTION, of_kind

GO = {"text": "go"}
WAIT = 20.0
done: Counter[str] = Counter()
turns: Counter[str] = Counter()
hangs: list[asyncio.Event] = []
broken: set[str] = set()


@pytest.fixture(autouse=True)
def _fresh() -> None:
    done.clear()
    turns.clear()
    broken.clear()
    broken.add("press")
    hangs.clear()


def hanging() -> asyncio.Event:
    """Set once an agent hangs."""
    if not hangs:
        hangs.append(asyncio.Event())
    return hangs[0]


@tool(effect="write", idempotency="none", output="trusted", sensitivity="internal")
def book(room: str) -> str:
    """Book a room: twice is one too many."""
    done[f"book {room}"] += 1
    return f"booked {room}"


@tool(effect="write", idempotency="key", output="trusted", sensitivity="internal")
def press(text: str) -> str:
    """Print a text, where the press is not broken."""
    done["tried"] += 1
    if "press" in broken:
        raise OSError("out of paper")
    done["pressed"] += 1
    return f"printed {text}"


@tool(effect="write", idempotency="none", output="trusted", sensitivity="internal")
def post(text: str) -> str:
    """Post a text, where the press is not broken; whether it was is not known from its end."""
    done["tried"] += 1
    if "press" in broken:
        raise OSError("the line was cut")
    return f"posted {text}"


TOOLS: list[SealedTool] = [book, press, post]


async def first(given: dict[str, Any]) -> dict[str, str]:
    turns["first"] += 1
    await book.call({"room": "r1"})
    return {"text": given["text"]}


async def second(given: dict[str, Any]) -> dict[str, str]:
    turns["second"] += 1
    await book.call({"room": "r2"})
    if given["text"] == "fails" and broken:
        raise ValueError("no such hotel")
    if given["text"] == "hangs" and broken:
        hanging().set()
        await asyncio.Event().wait()
    return {"text": await (post if given["text"] == "posts" else press).call({"text": given["text"]})}


async def other(given: dict[str, Any]) -> dict[str, str]:
    return {"text": await press.call({"text": f"{given['text']} again"})}


def line(home: Path | None, *, version: int = 1, budget: Budget | None = None, name: str = "print") -> System:
    """Two agents in a line, the second of which needs the press."""
    stages = [
        Agent("clerk", version=1, function=first, tools=TOOLS),
        Agent("printer", version=version, function=second if version == 1 else other, tools=TOOLS),
    ]
    return System(
        name,
        version=version,
        topology=Pipeline(stages=stages, contracts=[QUESTION, QUESTION, ANSWER]),
        policy=Policy(text=PERMIT_ALL),
        budget=budget,
        home=home,
    )


async def fails(system: System, text: str = "go", *, thread: str = "t", durability: Any = "sync") -> str:
    """A run that stopped; its id."""
    with pytest.raises(Exception, match=r".+"):
        await system.arun({"text": text}, thread=thread, durability=durability)
    return system.ledger.runs(thread=thread)[0].run


def status(system: System, run: str) -> str:
    found = summary_of(system.ledger.entries(run))
    assert found is not None
    return found.status


# -- going on ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
async def test_a_run_whose_tool_was_mended_does_what_was_left_and_nothing_twice(
    durability: Any, tmp_path: Path
) -> None:
    system = line(tmp_path)
    run = await fails(system, durability=durability)
    assert (status(system, run), dict(turns)) == ("failed", {"first": 1, "second": 1})
    system.close()
    broken.clear()
    system = line(tmp_path)
    result = await retry(system, run, by="ana")
    assert (result.status, result.run, result.output) == ("completed", run, {"text": "printed go"})
    assert done == {"book r1": 1, "book r2": 1, "tried": 2, "pressed": 1}
    assert turns == {"first": 1, "second": 2}
    assert (status(system, run), len(system.ledger.runs())) == ("completed", 1)
    assert [r.by for r in of_kind(system, run, DeadRetried)] == ["ana"]
    assert len(of_kind(system, run, RunResumed)) == 1
    assert dead_letters(system.ledger) == []
    system.close()


@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
async def test_of_a_fan_out_the_branches_that_were_done_are_not_taken_again(durability: Any, tmp_path: Path) -> None:
    booked = asyncio.Event()

    async def works(brief: dict[str, Any]) -> dict[str, str]:
        part = brief["part"]
        turns[part] += 1
        await book.call({"room": part})
        if part == "a":
            booked.set()
        if part == "b":
            async with asyncio.timeout(WAIT):
                await booked.wait()
            for _ in range(50):  # the branch beside it comes to its end, and is kept
                await asyncio.sleep(0)
            return {"found": await press.call({"text": part})}
        if part == "c" and broken:
            await asyncio.Event().wait()
        return {"found": f"all of {part}"}

    def made() -> System:
        return office(sends("a", "b", "c"), clerk(works, book, press), policy=PERMIT_ALL, home=tmp_path)

    system = made()
    run = await fails(system, durability=durability)
    system.close()
    broken.clear()
    system = made()
    result = await retry(system, run, by="ana")
    assert results(result) == [("clerk", "all of a"), ("clerk", "printed b"), ("clerk", "all of c")]
    assert (turns["b"], turns["c"]) == (2, 2)
    assert done == {"book a": 1, "book b": 1, "book c": 1, "tried": 2, "pressed": 1}
    assert status(system, run) == "completed"
    system.close()


async def test_a_run_that_fails_again_is_a_dead_letter_again_and_has_still_done_nothing_twice(tmp_path: Path) -> None:
    system = line(tmp_path)
    run = await fails(system)
    for _ in range(2):
        with pytest.raises(Exception, match="out of paper"):
            await retry(system, run, by="ana")
    assert (done["book r1"], done["book r2"], done["tried"]) == (1, 1, 3)
    [letter] = dead_letters(system.ledger)
    assert (letter.run, letter.status, letter.unknown) == (run, "failed", 1)
    system.close()


async def test_what_cannot_be_repeated_is_asked_about_before_it_is_done_again(tmp_path: Path) -> None:
    system = line(tmp_path)
    run = await fails(system, "posts")
    broken.clear()
    result = await retry(system, run, by="ana")
    assert (result.status, [r.kind for r in result.reviews]) == ("waiting", ["outcome_unknown"])
    assert (done["tried"], status(system, run)) == (1, "waiting")
    with pytest.raises(RetryRefused, match="waits for a person"):
        await retry(system, run, by="ana")
    system.close()


async def test_a_run_that_ran_out_of_budget_goes_on_under_a_larger_one(tmp_path: Path) -> None:
    broken.clear()
    system = line(tmp_path, budget=Budget(tool_calls=1))
    run = await fails(system)
    [letter] = dead_letters(system.ledger)
    assert (letter.status, letter.error, letter.done) == ("out_of_budget", "BudgetExceeded", 1)
    system.close()
    system = line(tmp_path, budget=Budget(tool_calls=10))
    result = await retry(system, run, by="ana")
    assert (result.run, result.output) == (run, {"text": "printed go"})
    assert done == {"book r1": 1, "book r2": 1, "tried": 1, "pressed": 1}
    system.close()


# -- what cannot be gone on with --------------------------------------------------------------------------------------


async def refused(system: System, run: str, **given: Any) -> str:
    before = len(system.ledger.entries(run)), dict(done), dict(turns)
    with pytest.raises(RetryRefused) as caught:
        await retry(system, run, **{"by": "ana", **given})
    assert (len(system.ledger.entries(run)), dict(done), dict(turns)) == before
    return str(caught.value)


async def test_a_run_whose_thread_went_on_is_refused_and_stays_a_dead_letter(tmp_path: Path) -> None:
    system = line(tmp_path)
    run = await fails(system)
    broken.clear()
    other = await system.arun(GO, thread="t")
    assert f"went on with run {other.run}" in await refused(system, run)
    assert "completed" in await refused(system, other.run)
    assert [d.run for d in dead_letters(system.ledger)] == [run]
    system.close()


async def test_an_erased_run_an_undone_one_and_a_nameless_retry_are_refused(tmp_path: Path) -> None:
    system = line(tmp_path)
    erased, undone = await fails(system, thread="one"), await fails(system, "fails", thread="two")
    assert "nobody is named" in await refused(system, erased, by=" ")
    system.ledger.erase(erased, by="ana")
    assert "erased" in await refused(system, erased)
    await system.acompensate(undone, by="ana")  # its tools do not say how: nothing was begun
    assert refusal_of(system.ledger.entries(undone), newest=undone) == ""
    begun = UndoIntended(effect="printer.3#c0", tool="book", by="ana", idempotency="none")
    write(system.ledger, undone, Draft(record=begun))
    assert "undone" in await refused(system, undone)
    system.close()


async def test_a_run_of_a_system_that_changed_too_much_is_refused_with_what_changed(tmp_path: Path) -> None:
    system = line(tmp_path)
    run = await fails(system)
    system.close()
    broken.clear()
    changed = line(tmp_path, version=2)
    before = len(changed.ledger.entries(run))
    with pytest.raises(SystemChanged, match="printer"):
        await retry(changed, run, by="ana")
    assert len(changed.ledger.entries(run)) == before
    changed.close()
    other = line(tmp_path, name="other")
    assert "is of system 'print'" in await refused(other, run)
    other.close()


async def test_a_run_of_another_tenant_does_not_exist(tmp_path: Path) -> None:
    system = line(tmp_path)
    run = await fails(system)
    for attempt in (
        retry(system, run, by="eve", tenant="other"),
        drop(system.ledger, run, by="eve", reason="gone", tenant="other"),
        retry(system, "nonesuch", by="eve"),
    ):
        with pytest.raises(NotFound):
            await attempt
    assert dead_letters(system.ledger, tenant="other") == []
    assert len(dead_letters(system.ledger, tenant="local")) == 1
    system.close()


# -- the list ---------------------------------------------------------------------------------------------------------


async def test_a_letter_says_what_stopped_it_where_and_what_it_did(tmp_path: Path) -> None:
    system = line(tmp_path)
    run = await fails(system)
    [letter] = dead_letters(system.ledger)
    assert (letter.run, letter.thread, letter.system, letter.tenant) == (run, "t", "print@1", "local")
    assert (letter.status, letter.error, letter.where) == ("failed", "ToolFailed", "printer: press")
    assert "out of paper" in letter.reason
    assert (letter.done, letter.unknown, letter.spent["tool_calls"]) == (2, 1, 3)
    assert letter.began <= letter.stopped
    assert json.loads(json.dumps(letter.as_json()))["run"] == run
    told = prospects(system.ledger.entries(run))
    assert "book (2 times) was done: its outcome is given back" in told
    assert "press may have happened: it is called again with the same key" in told
    system.close()


async def test_a_run_that_code_stopped_is_told_by_its_agent(tmp_path: Path) -> None:
    system = line(tmp_path)
    await fails(system, "fails")
    [letter] = dead_letters(system.ledger)
    assert (letter.error, letter.where) == ("ValueError", "printer")
    system.close()


async def test_what_is_dropped_is_listed_no_more_until_it_is_gone_on_with_and_fails_again(tmp_path: Path) -> None:
    system = line(tmp_path)
    run = await fails(system)
    for by, reason in ((" ", "paid by hand"), ("ana", "")):
        with pytest.raises(RetryRefused, match="named"):
            await drop(system.ledger, run, by=by, reason=reason)
    await drop(system.ledger, run, by="ana", reason="paid by hand")
    assert dead_letters(system.ledger) == []
    assert [(r.by, r.reason) for r in of_kind(system, run, DeadDropped)] == [("ana", "paid by hand")]
    assert status(system, run) == "failed"
    with pytest.raises(Exception, match="out of paper"):
        await retry(system, run, by="bob")
    assert [d.run for d in dead_letters(system.ledger)] == [run]
    broken.clear()
    await retry(system, run, by="bob")
    with pytest.raises(RetryRefused, match="completed"):
        await drop(system.ledger, run, by="ana", reason="late")
    system.close()


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
def test_the_oldest_come_first_and_the_list_is_narrowed(kind: str, tmp_path: Path) -> None:
    from support.ledgers import opened

    with opened(kind, tmp_path) as ledger:
        for i, how in enumerate(["failed", "completed", "out_of_budget", "cancelled", "failed"]):
            begun = started(f"t{i}", system="a@1" if i < 4 else "b@2")
            write(ledger, f"run{i}", Draft(record=begun), Draft(record=end_of(how)))
        drained = RunDrained(reason="budget of run: no usd left", scope="run", unit="usd", spent={"usd": "1"})
        write(ledger, "run5", Draft(record=started("t5", system="a@1")), Draft(record=drained))
        write(ledger, "run6", Draft(record=started("t6")))

        def listed(**chosen: Any) -> list[str]:
            return [d.run for d in dead_letters(ledger, **chosen)]

        assert listed() == ["run0", "run2", "run4"]
        assert listed(limit=1) == ["run0"]
        assert listed(system="a") == listed(system="a@1") == ["run0", "run2"]
        assert listed(system="b@1") == []
        assert listed(since=ledger.entries("run2")[-1].time) == ["run2", "run4"]
        assert listed(statuses=frozenset({"cancelled"})) == ["run3"]
        [waits] = dead_letters(ledger, statuses=frozenset({"drained"}))
        assert (waits.run, waits.status, waits.spent) == ("run5", "drained", {"usd": "1"})
        assert waits.reason == "budget of run: no usd left"


def test_a_drained_run_is_drained_until_it_goes_on() -> None:
    ledger = MemoryLedger()
    steps: list[tuple[Any, str]] = [
        (started("t"), "running"),
        (RunDrained(reason="r"), "drained"),
        (DeadDropped(by="ana", reason="r"), "drained"),
        (RunResumed(records=2), "running"),
        (end_of("cancelled"), "cancelled"),
        (RunResumed(records=4), "running"),
        (end_of(), "completed"),
    ]
    seen = []
    for record, _ in steps:
        write(ledger, "run", Draft(record=record))
        seen.append(ledger.runs()[0].status)
    assert seen == [status for _, status in steps]


# -- cancelled --------------------------------------------------------------------------------------------------------


async def cancelled(system: System, reason: str | None) -> tuple[str, asyncio.CancelledError]:
    """A run that was cancelled in its second agent's turn; its id."""
    task = asyncio.create_task(system.arun({"text": "hangs"}, thread="t"))
    async with asyncio.timeout(WAIT):
        await hanging().wait()
    task.cancel(reason)
    with pytest.raises(asyncio.CancelledError) as caught:
        await task
    return system.ledger.runs()[0].run, caught.value


@pytest.mark.parametrize("reason", ["the customer left", None])
async def test_a_cancelled_run_is_on_record_with_its_reason_once_and_goes_on(
    reason: str | None, tmp_path: Path
) -> None:
    system = line(tmp_path)
    run, stop = await cancelled(system, reason)
    ledger = system.ledger
    for _ in range(2):
        async with system.hold("t"):
            await record_stop(system._runs, ledger, "t", "cancelled", reason=why(stop))
    [end] = of_kind(system, run, RunEnded)
    assert (end.status, end.reason, end.spent["tool_calls"]) == ("cancelled", reason or CANCELLED, 2)
    assert dead_letters(ledger) == []
    broken.clear()
    result = await system.aresume("t")
    assert (result.run, result.output) == (run, {"text": "printed hangs"})
    assert (done["book r1"], done["book r2"], status(system, run)) == (1, 1, "completed")
    system.close()


async def test_what_waits_or_has_ended_is_not_recorded_as_cancelled(tmp_path: Path) -> None:
    system = line(tmp_path)
    run = await fails(system)
    assert await record_stop(system._runs, system.ledger, "t", "cancelled", reason="late") == ""
    assert await record_stop(system._runs, system.ledger, "nonesuch", "drained", reason="late") == ""
    assert status(system, run) == "failed"
    system.close()


async def test_a_stop_is_recorded_on_its_way_out_and_what_is_none_is_not(tmp_path: Path) -> None:
    system = line(tmp_path)

    async def driven(text: str) -> None:
        async with StopsRecorded(system._runs, "t"):
            await system.arun({"text": text}, thread="t")

    task = asyncio.create_task(driven("hangs"))
    async with asyncio.timeout(WAIT):
        await hanging().wait()
    task.cancel("the customer left")
    with pytest.raises(asyncio.CancelledError):
        await task
    [run] = [r.run for r in system.ledger.runs()]
    assert [(e.status, e.reason) for e in of_kind(system, run, RunEnded)] == [("cancelled", "the customer left")]
    with pytest.raises(Exception, match="no such hotel"):
        await driven("fails")
    assert [r.status for r in system.ledger.runs()] == ["failed", "cancelled"]
    system.close()


def test_why_a_run_was_stopped_is_what_was_said_or_how() -> None:
    assert why(asyncio.CancelledError("because")) == why(GraphDrained("because")) == "because"
    assert why(asyncio.CancelledError()) == why(asyncio.CancelledError(" ")) == CANCELLED
    assert why(GeneratorExit()) == LEFT

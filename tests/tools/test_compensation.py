"""Undoing what a run did: in reverse order, each effect once, nothing that is in doubt, whoever asks and how often."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from edgewright import System, ToolContext, tool
from edgewright.contracts.containment import Breaker
from edgewright.contracts.errors import (
    LedgerCorrupt,
    LedgerUnavailable,
    NotFound,
    RecordRefusal,
    ThreadBusy,
    ToolRefusal,
    UndoRefused,
)
from edgewright.contracts.tool import ToolSpec
from edgewright.graphs.undoing import _begun, _over, handles_of
from edgewright.ledger.entry import Draft, verify
from edgewright.ledger.journal import Effect, Undo, effects_of
from edgewright.ledger.records import (
    CircuitMoved,
    EffectDone,
    EffectRetried,
    RecordClaimed,
    RecordSettled,
    RunStarted,
    UndoDone,
    UndoFailed,
    UndoIntended,
)
from edgewright.ledger.shared import Claim, RecordId, Settle, Writer
from edgewright.ledger.transcript import plain
from edgewright.tools.compensation import OTHERS, Compensation, Undone, compensate, decided
from edgewright.tools.sealed import SealedTool
from hypothesis import given
from hypothesis import strategies as st
from support.ledgers import WAIT, write
from support.systems import FailingLedger, asking, of_kind, on_ledger, only_run, records, with_code

SECRET = "the-vault-opens-with-7741"


@dataclass
class World:
    """What was done and undone, and what the compensations are to do about it."""

    done: list[str] = field(default_factory=list)
    undone: list[tuple[str, Any, str]] = field(default_factory=list)
    errors: dict[str, list[Exception]] = field(default_factory=dict)
    began: asyncio.Event = field(default_factory=asyncio.Event)
    go_on: asyncio.Event = field(default_factory=asyncio.Event)

    def undo(self, what: str, outcome: Any, key: str) -> dict[str, str]:
        if self.errors.get(what):
            raise self.errors[what].pop(0)
        self.undone.append((what, outcome, key))
        return {"undone": what}

    @property
    def names(self) -> list[str]:
        return [what for what, _, _ in self.undone]


def _do(what: str, ctx: ToolContext) -> dict[str, str]:
    ctx.resource(World).done.append(what)
    return {"did": what}


def _undo(what: str, outcome: dict[str, str], *, ctx: ToolContext) -> dict[str, str]:
    return ctx.resource(World).undo(what, outcome, ctx.key)


async def _aundo(what: str, outcome: dict[str, str], *, ctx: ToolContext) -> dict[str, str]:
    return ctx.resource(World).undo(what, outcome, ctx.key)


async def _pausing(what: str, *, ctx: ToolContext) -> None:
    world = ctx.resource(World)
    world.began.set()
    async with asyncio.timeout(WAIT):
        await world.go_on.wait()
    world.undo(what, None, ctx.key)


@tool(effect="write", idempotency="key", compensate=_undo)
def keyed(what: str, *, ctx: ToolContext) -> dict[str, str]:
    """Do something that a key repeats harmlessly."""
    return _do(what, ctx)


@tool(effect="write", idempotency="natural", compensate=_aundo)
def natural(what: str, *, ctx: ToolContext) -> dict[str, str]:
    """Do something that can be repeated."""
    return _do(what, ctx)


@tool(effect="write", idempotency="none", compensate=_undo)
def once(what: str, *, ctx: ToolContext) -> dict[str, str]:
    """Do something that must not be repeated."""
    return _do(what, ctx)


@tool(effect="write", idempotency="key")
def final(what: str, *, ctx: ToolContext) -> dict[str, str]:
    """Do something that cannot be undone."""
    return _do(what, ctx)


@tool(effect="write", idempotency="key", compensate=_pausing)
def pausing(what: str, *, ctx: ToolContext) -> dict[str, str]:
    """Do something that takes its time to be undone."""
    return _do(what, ctx)


@tool(effect="write", idempotency="none", compensate=_undo)
def breaks(what: str, *, ctx: ToolContext) -> dict[str, str]:
    """Do something, and lose the connection."""
    _do(what, ctx)
    raise ConnectionError("lost")


@tool(effect="write", idempotency="key", compensate=_undo)
def refuses(what: str, *, ctx: ToolContext) -> dict[str, str]:
    """Do nothing."""
    raise ToolRefusal("closed today")


@tool(effect="read", output="trusted", sensitivity="public", sink=False)
def look(what: str) -> str:
    """Look at something."""
    return what


Work = Callable[[], Awaitable[Any]]


def calls(*asked: tuple[SealedTool, str]) -> Work:
    async def work() -> None:
        for handle, what in asked:
            try:
                await handle.call({"what": what})
            except Exception:  # noqa: BLE001 - the run goes on to its own end
                continue

    return work


async def failed_run(world: World, work: Work, *tools: SealedTool, **options: Any) -> tuple[System, str]:
    """A system whose one run did its work, and failed then."""

    async def function(_: dict[str, Any]) -> dict[str, str]:
        await work()
        raise ZeroDivisionError("and then it failed")

    ledger = options.pop("ledger", None)
    system = with_code(function, *tools, resources=[world], **options)
    if ledger is not None:
        on_ledger(system, ledger)
    with pytest.raises(ZeroDivisionError):
        await system.arun({"text": "go"})
    return system, only_run(system)


async def ran(world: World, *asked: tuple[SealedTool, str], **options: Any) -> tuple[System, str]:
    return await failed_run(world, calls(*asked), *{handle.name: handle for handle, _ in asked}.values(), **options)


def told(report: Compensation) -> list[tuple[str, str]]:
    return [(effect.tool, effect.status) for effect in report.effects]


# -- what is undone, and in which order ---------------------------------------------------------------------------


async def test_a_failed_run_is_undone_last_effect_first_with_arguments_outcome_and_a_key_of_its_own() -> None:
    world = World()
    system, run = await ran(world, (keyed, "a"), (natural, "b"), (once, "c"), (look, "d"), (refuses, "e"))
    report = await system.acompensate(run, by="ada")
    assert told(report) == [("once", "undone"), ("natural", "undone"), ("keyed", "undone")]
    assert world.names == ["c", "b", "a"]
    assert [outcome for _, outcome, _ in world.undone] == [{"did": "c"}, {"did": "b"}, {"did": "a"}]
    done = {e.at for e in effects_of(system.ledger.entries(run)) if e.status == "done"}
    assert {key for _, _, key in world.undone} == {f"{run}/{at}/undo" for at in done}
    assert (report.run, report.by, report.complete) == (run, "ada", True)


async def test_the_order_is_that_of_completion_not_of_intent() -> None:
    world, began, fast_ended = World(), asyncio.Event(), asyncio.Event()

    @tool(effect="write", idempotency="key", compensate=_undo)
    async def slow(what: str, *, ctx: ToolContext) -> dict[str, str]:
        """Begin first, end last."""
        began.set()
        async with asyncio.timeout(WAIT):
            await fast_ended.wait()
        return _do(what, ctx)

    async def work() -> None:
        first = asyncio.create_task(slow.call({"what": "slow"}))
        async with asyncio.timeout(WAIT):
            await began.wait()
        await keyed.call({"what": "quick"})
        fast_ended.set()
        await first

    system, run = await failed_run(world, work, slow, keyed)
    assert [e.tool for e in effects_of(system.ledger.entries(run))] == ["slow", "keyed"]
    await system.acompensate(run, by="ada")
    assert world.names == ["slow", "quick"]


async def test_each_undoing_is_on_record_and_the_run_stays_ended_and_verified() -> None:
    world = World()
    system, run = await ran(world, (keyed, "a"), (once, "b"))
    await system.acompensate(run, by="ada")
    kinds = [r.kind for r in records(system, run)]
    assert kinds[kinds.index("run.ended") + 1 :] == ["undo.intended", "undo.done"] * 2
    assert {r.by for r in of_kind(system, run, UndoIntended)} == {"ada"}
    assert [r.idempotency for r in of_kind(system, run, UndoIntended)] == ["none", "key"]
    done = of_kind(system, run, UndoDone)
    assert system.ledger.payload(run, done[0].outcome) == b'{"undone":"b"}'
    entries = system.ledger.entries(run)
    assert verify(run, entries) == len(entries)
    assert [s.status for s in system.ledger.runs()] == ["failed"]
    assert "ada: once undone" in plain(str(system.explain(run)), cut=None)
    assert [(e.status, e.undo and e.undo.status, e.certain) for e in effects_of(entries)] == [
        ("done", "done", True)
    ] * 2


async def test_what_was_undone_is_not_undone_again() -> None:
    world = World()
    system, run = await ran(world, (keyed, "a"), (once, "b"))
    await system.acompensate(run, by="ada")
    before = len(records(system, run))
    report = await system.acompensate(run, by="bob", again=True)
    assert told(report) == [("once", "before"), ("keyed", "before")]
    assert "ada" in report.effects[0].said
    assert report.complete
    assert (len(world.undone), len(records(system, run))) == (2, before)


async def test_a_completed_run_can_be_undone_too_and_one_that_did_nothing_has_nothing_to_undo() -> None:
    world = World()

    async def function(_: dict[str, Any]) -> dict[str, str]:
        await keyed.call({"what": "a"})
        return {"text": "done"}

    system = with_code(function, keyed, resources=[world])
    run = (await system.arun({"text": "go"})).run
    assert told(await system.acompensate(run, by="ada")) == [("keyed", "undone")]
    idle, other = await ran(World(), (look, "x"))
    assert (await idle.acompensate(other, by="ada")).effects == ()


async def test_code_without_an_event_loop_undoes_too() -> None:
    world = World()
    system, run = await ran(world, (keyed, "a"))
    report = await asyncio.to_thread(system.compensate, run, by="ada")
    assert told(report) == [("keyed", "undone")]


# -- what is not undone -------------------------------------------------------------------------------------------


async def test_what_cannot_be_undone_is_said_and_does_not_stop_the_rest() -> None:
    world = World()
    system, run = await ran(world, (keyed, "a"), (final, "b"), (once, "c"))
    report = await system.acompensate(run, by="ada")
    assert told(report) == [("once", "undone"), ("final", "cannot"), ("keyed", "undone")]
    assert not report.complete
    assert "no compensate" in report.effects[1].said


async def test_an_effect_of_unknown_outcome_is_reported_and_not_touched() -> None:
    world = World()
    system, run = await ran(world, (keyed, "a"), (breaks, "b"))
    report = await system.acompensate(run, by="ada", again=True, keep_going=True)
    assert told(report) == [("keyed", "undone"), ("breaks", "uncertain")]
    assert world.names == ["a"]
    assert not report.complete


async def test_a_refused_undoing_stops_those_before_it_and_is_tried_again_when_asked() -> None:
    world = World(errors={"b": [ToolRefusal("the till is closed")]})
    system, run = await ran(world, (keyed, "a"), (once, "b"), (natural, "c"))
    report = await system.acompensate(run, by="ada")
    assert told(report) == [("natural", "undone"), ("once", "failed"), ("keyed", "left")]
    assert report.effects[1].said == "the till is closed"
    [failed] = of_kind(system, run, UndoFailed)
    assert (failed.by, failed.unknown) == ("ada", False)
    report = await system.acompensate(run, by="bob")
    assert told(report) == [("natural", "before"), ("once", "undone"), ("keyed", "undone")]
    assert world.names == ["c", "b", "a"]
    assert [r.by for r in of_kind(system, run, UndoDone)] == ["ada", "bob", "bob"]


async def test_who_keeps_going_undoes_what_is_left() -> None:
    world = World(errors={"b": [ToolRefusal("closed")], "c": [OSError("gone")]})
    system, run = await ran(world, (keyed, "a"), (once, "b"), (once, "c"), (keyed, "d"))
    report = await system.acompensate(run, by="ada", keep_going=True)
    assert [s for _, s in told(report)] == ["undone", "unknown", "failed", "undone"]
    assert world.names == ["d", "a"]


@pytest.mark.parametrize(("handle", "name"), [(keyed, "keyed"), (natural, "natural")])
async def test_an_undoing_of_unknown_outcome_that_can_be_repeated_is_repeated_by_the_same_key(
    handle: SealedTool, name: str
) -> None:
    world = World(errors={"b": [ConnectionError("lost"), ConnectionError("lost again")]})
    system, run = await ran(world, (keyed, "a"), (handle, "b"))
    report = await system.acompensate(run, by="ada")
    assert told(report) == [(name, "unknown"), ("keyed", "left")]
    assert [(r.part, r.attempt) for r in of_kind(system, run, EffectRetried)] == [("undo", 1)]
    assert [f.unknown for f in of_kind(system, run, UndoFailed)] == [True]
    assert not effects_of(system.ledger.entries(run))[1].certain
    report = await system.acompensate(run, by="bob")
    assert told(report) == [(name, "undone"), ("keyed", "undone")]
    assert all(key.endswith("/undo") for _, _, key in world.undone)


async def test_an_undoing_of_unknown_outcome_that_must_not_be_repeated_waits_for_a_person_who_looked() -> None:
    world = World(errors={"b": [ConnectionError("lost")]})
    system, run = await ran(world, (keyed, "a"), (once, "b"))
    await system.acompensate(run, by="ada")
    for _ in range(2):
        report = await system.acompensate(run, by="bob")
        assert told(report) == [("once", "unknown"), ("keyed", "left")]
        assert "say again" in report.effects[0].said
    assert world.undone == []
    assert len(of_kind(system, run, UndoIntended)) == 1
    report = await system.acompensate(run, by="bob", again=True)
    assert told(report) == [("once", "undone"), ("keyed", "undone")]
    assert [r.by for r in of_kind(system, run, UndoIntended)] == ["ada", "bob", "bob"]


async def test_a_refusal_after_an_attempt_of_unknown_outcome_leaves_it_unknown() -> None:
    world = World(errors={"a": [ConnectionError("lost"), ToolRefusal("no such booking")]})
    system, run = await ran(world, (once, "a"))
    await system.acompensate(run, by="ada")
    assert told(await system.acompensate(run, by="ada", again=True)) == [("once", "unknown")]
    assert told(await system.acompensate(run, by="ada")) == [("once", "unknown")]
    assert told(await system.acompensate(run, by="ada", again=True)) == [("once", "undone")]


async def test_an_undoing_that_takes_too_long_is_unknown() -> None:
    world = World()

    @tool(effect="write", idempotency="none", compensate=_pausing, timeout=0.05)
    def hurried(what: str, *, ctx: ToolContext) -> dict[str, str]:
        """Do something that has to be undone quickly."""
        return _do(what, ctx)

    system, run = await ran(world, (hurried, "a"))
    report = await system.acompensate(run, by="ada")
    assert told(report) == [("hurried", "unknown")]
    assert "TimedOut" in report.effects[0].said


async def test_an_undoing_that_failed_for_a_passing_reason_is_tried_again_where_it_may_be() -> None:
    world = World(errors={"a": [ConnectionError("lost")]})
    system, run = await ran(world, (keyed, "a"))
    assert told(await system.acompensate(run, by="ada")) == [("keyed", "undone")]
    assert world.names == ["a"]


async def test_an_undoing_that_does_not_begin_because_its_integration_is_dead_is_known_not_to_have_happened() -> None:
    world = World(errors={what: [ConnectionError("dead")] for what in "bc"})

    @tool(
        effect="write",
        idempotency="none",
        compensate=_undo,
        breaker=Breaker(failures=2, cooldown=3600.0),
    )
    def fragile(what: str, *, ctx: ToolContext) -> dict[str, str]:
        """Do something whose undoing goes to an integration that is dead."""
        return _do(what, ctx)

    system, run = await ran(world, (fragile, "a"), (fragile, "b"), (fragile, "c"))
    report = await system.acompensate(run, by="ada", keep_going=True)
    assert [s for _, s in told(report)] == ["unknown", "unknown", "failed"]
    assert "not called" in report.effects[2].said
    moved = of_kind(system, run, CircuitMoved)
    assert [(m.of.rpartition(".")[2], m.before, m.after, m.agent) for m in moved] == [("undo", "closed", "open", "ada")]
    assert world.undone == []


async def test_what_a_compensation_returns_that_is_no_json_leaves_it_unknown() -> None:
    def undo() -> Any:
        return object()

    @tool(effect="write", idempotency="none", compensate=undo)
    def odd(what: str, *, ctx: ToolContext) -> dict[str, str]:
        """Do something."""
        return _do(what, ctx)

    system, run = await ran(World(), (odd, "a"))
    assert told(await system.acompensate(run, by="ada")) == [("odd", "unknown")]


async def test_a_tool_that_was_taken_away_or_takes_other_arguments_now_is_said() -> None:
    world = World()
    system, run = await ran(world, (keyed, "a"), (once, "b"))

    @tool(name="once", effect="write", compensate=lambda: None)
    def changed(number: int) -> int:
        """Do something else."""
        return number

    later = with_code(lambda _: {"text": ""}, changed, resources=[world])
    on_ledger(later, system.ledger)
    report = await later.acompensate(run, by="ada", keep_going=True)
    assert told(report) == [("once", "failed"), ("keyed", "cannot")]
    assert "do not fit" in report.effects[0].said
    assert world.undone == []


# -- when nothing may be undone -----------------------------------------------------------------------------------


async def test_a_run_that_waits_or_runs_or_is_nobodys_is_refused() -> None:
    world, seen = World(), list[Exception]()

    async def function(_: dict[str, Any]) -> dict[str, str]:
        await keyed.call({"what": "a"})
        try:
            await system.acompensate(only_run(system), by="ada")
        except (UndoRefused, ThreadBusy) as error:
            seen.append(error)
        await once.call({"what": "b"})
        return {"text": "done"}

    policy = '@id("all") permit(principal, action, resource);' + asking("once")
    system = with_code(function, keyed, once, resources=[world], policy=policy)
    assert (await system.arun({"text": "go"})).status == "waiting"
    assert isinstance(seen[0], ThreadBusy)
    with pytest.raises(UndoRefused, match="waiting"):
        await system.acompensate(only_run(system), by="ada")
    with pytest.raises(NotFound):
        await system.acompensate("no-such-run", by="ada")
    assert world.undone == []


@pytest.mark.parametrize("by", ["", "  "])
async def test_nobody_cannot_undo(by: str) -> None:
    world = World()
    system, run = await ran(world, (keyed, "a"))
    with pytest.raises(UndoRefused, match="nobody"):
        await system.acompensate(run, by=by)
    assert world.undone == []


async def test_an_erased_run_and_another_systems_run_are_refused() -> None:
    world = World()
    system, run = await ran(world, (keyed, "a"))
    other = on_ledger(with_code(lambda _: {"text": ""}, keyed, resources=[world], name="other"), system.ledger)
    with pytest.raises(UndoRefused, match="'solo'"):
        await other.acompensate(run, by="ada")
    system.ledger.erase(run, by="ada")
    with pytest.raises(UndoRefused, match="erased"):
        await system.acompensate(run, by="ada")
    assert world.undone == []


async def test_a_run_whose_beginning_nobody_vouches_for_is_refused() -> None:
    world = World()
    system, run = await ran(world, (keyed, "a"))
    entries = system.ledger.entries(run)
    began = entries[0].record
    assert isinstance(began, RunStarted)
    forged = replace(began, tenant="other", environment="production")  # and its chain made anew
    drafts = [Draft(record=forged, key="run.started"), *(Draft(record=e.record, key=e.key) for e in entries[1:])]
    write(system.ledger, "forged", *drafts)
    with pytest.raises(LedgerCorrupt, match="was changed"):
        await system.acompensate("forged", by="ada")
    assert world.undone == []


async def test_without_a_durable_intent_nothing_is_undone() -> None:
    world, ledger = World(), FailingLedger(UndoIntended)
    system, run = await ran(world, (keyed, "a"), ledger=ledger)
    with pytest.raises(LedgerUnavailable):
        await system.acompensate(run, by="ada")
    assert world.undone == []
    ledger.kinds = ()
    assert told(await system.acompensate(run, by="ada")) == [("keyed", "undone")]


@pytest.mark.parametrize(("handle", "status"), [(keyed, "undone"), (once, "unknown")])
async def test_an_outcome_that_is_not_durable_is_not_known(handle: SealedTool, status: str) -> None:
    world, ledger = World(), FailingLedger(UndoDone)
    system, run = await ran(world, (handle, "a"), ledger=ledger)
    with pytest.raises(LedgerUnavailable):
        await system.acompensate(run, by="ada")
    ledger.kinds = ()
    assert [s for _, s in told(await system.acompensate(run, by="ada"))] == [status]
    assert len({key for _, _, key in world.undone}) == 1
    assert len(world.undone) == (2 if status == "undone" else 1)


# -- several at once ----------------------------------------------------------------------------------------------


async def test_who_undoes_at_the_same_time_is_refused_or_waits_and_each_effect_is_undone_once() -> None:
    for wait in (None, WAIT):
        world = World()
        system, run = await ran(world, (keyed, "a"), (pausing, "b"), wait=wait)
        first = asyncio.create_task(system.acompensate(run, by="ada"))
        async with asyncio.timeout(WAIT):
            await world.began.wait()
        second = asyncio.create_task(system.acompensate(run, by="bob"))
        if wait is None:
            with pytest.raises(ThreadBusy):
                await second
        world.go_on.set()
        assert told(await first) == [("pausing", "undone"), ("keyed", "undone")]
        if wait is not None:
            assert told(await second) == [("pausing", "before"), ("keyed", "before")]
        assert world.names == ["b", "a"]


@pytest.mark.parametrize("tried", [False, True])
async def test_the_ledger_lets_one_through_where_no_hold_keeps_them_apart(tried: bool) -> None:
    world = World(errors={"b": [ToolRefusal("later")]} if tried else {})
    system, run = await ran(world, (pausing, "b"))
    world.go_on.set()
    if tried:
        assert told(await system.acompensate(run, by="ada")) == [("pausing", "failed")]
    world.go_on.clear()
    entries = system.ledger.entries(run)
    handles = handles_of(system.definition)

    def driver() -> Any:
        return _over(system.definition, system.ledger, run, _begun(run, entries), entries, lambda *_: None)

    first = asyncio.create_task(compensate(driver(), entries, handles, by="ada"))
    world.began.clear()
    async with asyncio.timeout(WAIT):
        await world.began.wait()
    second = await compensate(driver(), entries, handles, by="bob")
    assert [(e.status, e.said) for e in second.effects] == [("left", OTHERS)]
    world.go_on.set()
    assert told(await first) == [("pausing", "undone")]
    assert world.names == ["b"]


# -- what is written down -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("fails", [False, True])
async def test_what_must_not_be_shown_is_in_no_record_of_an_undoing(fails: bool) -> None:
    from edgewright.contracts.contract import Never

    def undo(what: str) -> str:
        if fails:
            raise ValueError(f"cannot close {SECRET}")
        return f"closed {SECRET}"

    @tool(effect="write", idempotency="key", sensitivity="secret", compensate=undo)
    def vault(what: str) -> str:
        """Open the vault."""
        return SECRET

    never = Never(sensitivities=("secret",))
    system, run = await ran(World(), (vault, "a"), unrecorded=never)
    report = await system.acompensate(run, by="ada")
    assert told(report) == [("vault", "unknown" if fails else "undone")]
    later = [e for e in system.ledger.entries(run) if e.kind.startswith("undo.")]
    bodies = [system.ledger.payload(run, r.outcome) or b"" for r in of_kind(system, run, UndoDone)]
    assert len(later) == 2
    assert not any(SECRET.encode() in body for body in [*(e.body for e in later), *bodies])
    assert SECRET not in str(report)


# -- shared records -----------------------------------------------------------------------------------------------

CUSTOMER = RecordId(tenant="local", kind="what", id="C-1")


@tool(effect="write", idempotency="none", compensate=_undo, record="what", timeout=0.2)
def change(what: str, *, ctx: ToolContext) -> dict[str, str]:
    """Change a customer."""
    return _do(what, ctx)


def other_change(system: System, *, ends: bool) -> Writer:
    """Another run's effect on the customer."""
    by = Writer(run="other", system="shop@1", agent="clerk", effect="e")
    held = RecordClaimed(effect="e", agent="clerk", tool="t", record="what")
    claim = Claim(record=CUSTOMER, by=by, seen=None, lease=60.0, keyed=False)
    system.ledger.append("other", [Draft(record=held, shared=claim)]).result(WAIT)
    if ends:
        settled = RecordSettled(effect="e", agent="clerk", tool="t", record="what", changed=True)
        step = Settle(record=CUSTOMER, by=by, changed=True)
        system.ledger.append("other", [Draft(record=settled, shared=step)]).result(WAIT)
    return by


async def test_a_shared_record_is_held_while_it_is_undone_and_changed_then() -> None:
    world = World()
    system, run = await ran(world, (change, "C-1"), (change, "C-1"))
    before = system.ledger.shared.look(CUSTOMER).version
    report = await system.acompensate(run, by="ada")
    assert told(report) == [("change", "undone")] * 2
    assert system.ledger.shared.look(CUSTOMER).version == before + 2
    assert system.ledger.shared.held() == []
    undone = [r for r in of_kind(system, run, RecordClaimed) if r.effect.endswith("/undo")]
    assert [r.agent for r in undone] == ["ada", "ada"]


async def test_a_record_that_another_effect_holds_is_not_undone() -> None:
    world = World()
    system, run = await ran(world, (change, "C-1"))
    other_change(system, ends=False)
    report = await system.acompensate(run, by="ada")
    assert told(report) == [("change", "failed")]
    assert "run other" in report.effects[0].said
    assert world.undone == []
    assert of_kind(system, run, UndoIntended) == []


async def test_a_record_that_others_changed_since_is_not_written_over_unless_a_person_looked() -> None:
    world = World()
    system, run = await ran(world, (change, "C-1"))
    other_change(system, ends=True)
    report = await system.acompensate(run, by="ada")
    assert told(report) == [("change", "failed")]
    assert "was changed by agent 'clerk'" in report.effects[0].said
    assert world.undone == []
    assert told(await system.acompensate(run, by="ada", again=True)) == [("change", "undone")]
    assert system.ledger.shared.held() == []


async def test_a_record_whose_undoing_is_in_doubt_stays_held_until_somebody_looked() -> None:
    world = World(errors={"C-1": [OSError("gone")]})
    system, run = await ran(world, (change, "C-1"))
    assert told(await system.acompensate(run, by="ada")) == [("change", "unknown")]
    [held] = system.ledger.shared.held()
    assert held.holder is not None
    assert held.holder.effect.endswith("/undo")
    with pytest.raises(RecordRefusal):
        other_change(system, ends=False)
    assert told(await system.acompensate(run, by="ada", again=True)) == [("change", "undone")]
    assert system.ledger.shared.held() == []


async def test_a_refused_undoing_lets_its_record_go() -> None:
    world = World(errors={"C-1": [ToolRefusal("closed")]})
    system, run = await ran(world, (change, "C-1"))
    before = system.ledger.shared.look(CUSTOMER).version
    assert told(await system.acompensate(run, by="ada")) == [("change", "failed")]
    assert system.ledger.shared.held() == []
    assert system.ledger.shared.look(CUSTOMER).version == before
    assert told(await system.acompensate(run, by="ada")) == [("change", "undone")]


# -- the decision, by property ------------------------------------------------------------------------------------

_WAYS: Sequence[Any] = ("key", "natural", "none")
_UNDO = st.none() | st.builds(
    Undo,
    status=st.sampled_from(["done", "failed", "unknown", "intended"]),
    by=st.just("ada"),
    tries=st.integers(1, 3),
    idempotency=st.sampled_from(_WAYS),
)
_EFFECT = st.builds(
    Effect,
    at=st.just("0"),
    tool=st.just("t"),
    idempotency=st.sampled_from(_WAYS),
    status=st.sampled_from(["done", "unknown", "intended"]),
    arguments=st.just(""),
    intended=st.just(0.0),
    undo=_UNDO,
)
_SPEC = st.none() | st.builds(
    ToolSpec,
    name=st.just("t"),
    description=st.just("d"),
    idempotency=st.sampled_from(_WAYS),
    compensates=st.booleans(),
)


@given(_EFFECT, _SPEC, st.booleans())
def test_a_function_is_called_only_for_what_was_done_and_is_not_known_or_feared_to_be_undone(
    effect: Effect, spec: ToolSpec | None, again: bool
) -> None:
    found = decided(effect, spec, again=again)
    if found is None:
        assert effect.status == "done"
        assert spec is not None
        assert spec.compensates
        if effect.undo is not None and effect.undo.status != "failed":
            assert effect.undo.status != "done"
            assert again or "none" not in (spec.idempotency, effect.undo.idempotency)
    else:
        assert isinstance(found, Undone)
        assert (found.status == "before") == (
            effect.status == "done" and effect.undo is not None and effect.undo.status == "done"
        )
        assert found.status not in ("undone", "failed", "left")


_STEPS = st.lists(st.sampled_from(["intended", "done", "failed", "unknown"]), max_size=8)


@given(_STEPS)
def test_what_is_undone_stays_so_whatever_is_written_after_it(steps: list[str]) -> None:
    from edgewright.ledger.memory import MemoryLedger
    from edgewright.ledger.records import EffectIntended, Record

    made: dict[str, Record] = {
        "intended": UndoIntended(effect="a", tool="t", by="ada", idempotency="none"),
        "done": UndoDone(effect="a", tool="t", by="ada", outcome="", seconds=0.0),
        "failed": UndoFailed(effect="a", tool="t", by="ada", error="e", unknown=False),
        "unknown": UndoFailed(effect="a", tool="t", by="ada", error="e", unknown=True),
    }
    ledger = MemoryLedger()
    effect = EffectIntended(effect="a", tool="t", arguments="", idempotency="none")
    done = EffectDone(effect="a", tool="t", changes_world=True, outcome="", seconds=0.0)
    for record in (effect, done, *(made[step] for step in steps)):
        write(ledger, "run", Draft(record=record))
    [found] = effects_of(ledger.entries("run"))
    if not steps:
        assert found.undo is None
    else:
        assert found.undo is not None
        assert found.undo.status == ("done" if "done" in steps else steps[-1])

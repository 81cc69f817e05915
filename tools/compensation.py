"""Compensation: the completed effects of a run that ended are undone, the last one first, each once.

Undoing is journaled as an effect is: an intent that is durable before the tool's `compensate` is called, an outcome
after it. So whatever crashes, and whoever goes on, an effect that was undone is not undone again. Where an attempt
began and nobody knows how it ended, the tool's idempotency decides: under `key` and `natural` it is called again, with
the same `ctx.key`; under `none` it is reported, until a person who looked says `again`. An effect whose own outcome
nobody knows is reported and never touched: what is undone must have been done.

`compensate` is contained as its tool is: with its times, its tries where it may be repeated, and places and a breaker
of its own by the same rules. What was not begun for want of them is not undone, and that is known.

A shared record is held while it is undone. If somebody else changed it since the run knew it, it is not written over.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import orjson

from ..contracts.budget import Budget
from ..contracts.errors import LedgerCorrupt, RecordRefusal, ToolRefusal
from ..contracts.tool import ToolSpec
from ..ledger.entry import Draft, Entry
from ..ledger.journal import Effect, effects_of
from ..ledger.records import EffectDone, UndoDone, UndoFailed, UndoIntended
from .containing import Calling
from .drive import arguments_for, on_ledger, stepped
from .function import OUTCOME
from .records import begun, in_doubt, settling
from .run import Activation, Run, ToolContext
from .sealed import SealedTool
from .steps import Call
from .versions import Versions

OTHERS = "another process is undoing it"
Status = Literal["undone", "before", "failed", "unknown", "cannot", "uncertain", "left"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Undone:
    """What became of one effect.

    Attributes:
        at: the effect's key in its run.
        status: `undone` now; undone `before`; `failed` (it stands as it was); `unknown` (it may be undone); `cannot`
            (its tool does not say how); `uncertain` (it is not known whether the effect happened, so it was not
            touched); `left` (not tried, because one after it was not undone).
        said: why, in a sentence; by whom, of what was undone before.
        outcome: ref of what `compensate` returned now.
    """

    at: str
    tool: str
    status: Status
    said: str = ""
    outcome: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compensation:
    """What became of a run's effects, in the order in which they were undone; those of unknown outcome last."""

    run: str
    by: str
    effects: tuple[Undone, ...]

    @property
    def complete(self) -> bool:
        """Whether everything that the run did to the world is known to be undone."""
        return all(effect.status in ("undone", "before") for effect in self.effects)


def decided(effect: Effect, spec: ToolSpec | None, *, again: bool) -> Undone | None:
    """What can be said of an effect without calling anything; None where its `compensate` is to be called.

    Args:
        spec: of its tool, as it is now; None where there is no such tool any more.
        again: a person looked into what may be undone already, and wants it undone.
    """
    told, undo, doubtful = partial(Undone, at=effect.at, tool=effect.tool), effect.undo, _is_doubtful(effect)
    if effect.status != "done":
        return told(status="uncertain", said="it is not known whether it happened, so it was not touched")
    if undo is not None and undo.status == "done":
        return told(status="before", said=f"undone by {undo.by}")
    if spec is None or not spec.compensates:
        why = "this system has no such tool" if spec is None else "its tool declares no compensate"
        return told(status="unknown" if doubtful else "cannot", said=why)
    repeatable = spec.idempotency != "none" and undo is not None and undo.idempotency != "none"
    if doubtful and not repeatable and not again:
        why = "an attempt began and has no known outcome; look whether it is undone, and say again if it is not"
        return told(status="unknown", said=why)
    return None


def _is_doubtful(effect: Effect) -> bool:
    """Whether an attempt may have undone it."""
    return effect.undo is not None and effect.undo.status in ("intended", "unknown")


async def compensate(
    run: Run,
    entries: Sequence[Entry],
    handles: Mapping[str, SealedTool],
    *,
    by: str,
    again: bool = False,
    keep_going: bool = False,
) -> Compensation:
    """Undo what a run did. Whoever calls this sees to it that the run has ended and nobody else drives it.

    Args:
        run: made of `entries`, knowing what must not be shown.
        handles: the tools, by name.
        by: who wants that; on record with each attempt.
        again: `by` looked: attempts that may have undone an effect are made again, and records that others changed
            are taken as they are now.
        keep_going: go on with earlier effects although a later one was not undone.

    Raises:
        LedgerUnavailable: an intent or an outcome could not be made durable. Nothing is undone without an intent.
        LedgerCorrupt: arguments or outcome of an effect are gone.
    """
    if again:
        run.versions = Versions()
    ended = {e.record.effect: e.seq for e in entries if isinstance(e.record, EffectDone)}
    every = [e for e in effects_of(entries) if e.status in ("done", "unknown", "intended")]
    done = sorted((e for e in every if e.status == "done"), key=lambda e: ended[e.at], reverse=True)
    found, stopped = list[Undone](), False
    for effect in [*done, *(e for e in every if e.status != "done")]:
        handle = handles.get(effect.tool)
        one = decided(effect, handle.spec if handle is not None else None, again=again)
        if one is None and stopped:
            one = Undone(at=effect.at, tool=effect.tool, status="left", said="an effect after it was not undone")
        if one is None:
            assert handle is not None
            one = await _undone(run, effect, handle, by)
        found.append(one)
        stopped = stopped or (one.status in ("failed", "unknown", "left") and not keep_going)
    return Compensation(run=run.grounds.run, by=by, effects=tuple(found))


async def _undone(run: Run, effect: Effect, handle: SealedTool, by: str) -> Undone:
    """Hold its record, write the intent, call, write the outcome and let the record go."""
    sealed, told = handle._sealed(), Undone(at=effect.at, tool=effect.tool, status="left")
    spec, function = sealed.spec, sealed.functions.compensate
    assert function is not None
    arguments, outcome = await asyncio.to_thread(_kept, run, effect)
    # As one who reads for the whole run: what another agent of it undid just now is no change by others.
    activation = Activation(run=run, agent=by, limits=Budget(), ns="")
    call = Call(
        activation=activation,
        spec=spec,
        reading=sealed.reading,
        at=f"{effect.at}/undo",
        arguments=arguments,
        has_facts=False,
    )
    try:
        given = arguments_for(function, sealed.reading, arguments, ToolContext(activation, call.at))
        given |= {OUTCOME: outcome} if OUTCOME in inspect.signature(function).parameters else {}
    except Exception as error:  # noqa: BLE001 - the recorded arguments are not those of the tool as it is now
        return await _failed(call, effect, f"its arguments do not fit the tool any more: {_text(error)}")
    intent = UndoIntended(effect=effect.at, tool=spec.name, by=by, idempotency=spec.idempotency)
    tries = effect.undo.tries if effect.undo is not None else 0
    drafts = (Draft(record=intent, key=f"undo:{effect.at}:{tries}"),)
    try:
        if tries and (await run.write(*drafts))[0].record is not intent:
            return replace(told, said=OTHERS)
        # The first time with its intent, both or neither. Later the record may be held from before: claimed anew.
        holding = begun(call, arguments, () if tries else drafts, None)
        written: list[Entry] = await stepped(holding, partial(on_ledger, run))
    except RecordRefusal as error:
        return await _failed(call, effect, str(error))
    if not tries and written[0].record is not intent:
        return replace(told, said=OTHERS)
    began = time.perf_counter()
    try:
        value = await Calling(call=call, part="undo", transient=sealed.functions.transient).made(function, given)
    except ToolRefusal as refusal:
        return await _failed(call, effect, str(refusal), held=True)
    except Exception as error:  # noqa: BLE001 - whatever it was, nobody knows whether it is undone
        return await _failed(call, effect, _text(error), held=True, unknown=True)
    run.knows.told(call.at, value, spec)
    body, seconds = run.knows.kept(value), round(time.perf_counter() - began, 6)
    record = UndoDone(effect=effect.at, tool=spec.name, by=by, outcome=body.ref, seconds=seconds)
    outcome_draft = Draft(record=record, key=f"undone:{effect.at}", payloads=(body,))
    await run.write(outcome_draft, *settling(call, arguments, changed=True))
    return replace(told, status="undone", outcome=body.ref)


async def _failed(call: Call, effect: Effect, error: str, *, held: bool = False, unknown: bool = False) -> Undone:
    """Write down that this attempt did not undo an effect, or may not have; its record is free again, or in doubt.

    Args:
        held: whether the record was claimed.
        unknown: whether it may be undone. It may also be by an attempt before: then nobody knows that still.
    """
    unknown = unknown or _is_doubtful(effect)
    run, spec = call.activation.run, call.spec
    run.knows.told(call.at, error, spec)
    said = run.knows.text(error)
    record = UndoFailed(effect=effect.at, tool=spec.name, by=call.activation.agent, error=said, unknown=unknown)
    doubt = in_doubt(call, call.arguments) if held and unknown else None
    free = settling(call, call.arguments, changed=False) if held and not unknown else ()
    await run.write(Draft(record=record, shared=doubt), *free)
    return Undone(at=effect.at, tool=spec.name, status="unknown" if unknown else "failed", said=said)


def _kept(run: Run, effect: Effect) -> tuple[Any, Any]:
    """An effect's arguments and outcome as they were. Raises LedgerCorrupt."""
    found = []
    for ref in (effect.arguments, effect.outcome):
        body = run.ledger.exact(run.grounds.run, ref)
        if body is None:
            raise LedgerCorrupt(run=run.grounds.run, seq=-1, fault=f"payload {ref} is gone")
        found.append(orjson.loads(body))
    return found[0], found[1]


def _text(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__

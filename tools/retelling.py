"""A run told again by its records: the journal, the account, the trail, as the process knew them that wrote them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..contracts.budget import Amounts
from ..ledger.entry import Entry
from ..ledger.records import (
    AgentStarted,
    BudgetCharged,
    BudgetRaised,
    CallJudged,
    ContractPassed,
    EffectDone,
    HandoffAsked,
    ModelFailed,
    ModelReserved,
    ModelSettled,
    PriceGiven,
    RecordRead,
    RecordSettled,
    ReplyKept,
    ReviewAsked,
    RunEnded,
)
from .looping import PASSED
from .passing import Passing, first_key
from .spending import worked_in

if TYPE_CHECKING:
    from .run import Run


def retell(run: Run, entries: Sequence[Entry]) -> None:
    """Take in what the ledger holds of a run."""
    spending = run.spending
    if entries:
        run.started = entries[0].time
        spending.worked = spending.charged = worked_in([(e.time, e.kind) for e in entries])
    open_: dict[str, tuple[str, Amounts]] = {}
    passing = Passing()
    for entry in entries:
        record = entry.record
        run.trail.know(entry.key, record)
        if entry.key is not None:
            run.journal[first_key(entry.key)] = record
        for at in passing.know(record):
            run.tries[at] += 1
            run.journal.pop(f"outcome:{at}", None)
            run.journal.pop(f"intent:{at}", None)
        if isinstance(record, CallJudged):
            run.own_call(record)
        match record:
            case AgentStarted():
                spending.stepped.add(record.at)
            case ModelReserved():
                open_[record.call] = (record.agent, Amounts.from_json(record.reserved))
            case ModelSettled() | ModelFailed():
                open_.pop(record.call, None)
                spending.take(record.agent, Amounts.from_json(record.used))
                if isinstance(record, ModelSettled):
                    run.positions.know(record.at, record.calls)
                    spending.close(record.agent, Amounts.from_json(record.excess))
            case BudgetCharged() if record.run != run.grounds.run:  # by a run inside; its own are told by other records
                if record.settled:
                    open_.pop(record.call, None)
                    spending.take(record.agent, Amounts.from_json(record.amounts))
                else:
                    open_[record.call] = (record.agent, Amounts.from_json(record.amounts))
            case BudgetRaised() | PriceGiven():
                run.allow(record)
            case ReplyKept():
                run.positions.know(record.at, record.calls)
            case CallJudged(verdict="allow") if record.at not in run.judged:
                run.judged.add(record.at)
                spending.take(record.agent, Amounts(tool_calls=1))
            case CallJudged(verdict="deny", rules=["budget"]) if record.at in run.judged:
                run.judged.discard(record.at)  # allowed, and then there was no budget for it
                spending.unspend(record.agent, Amounts(tool_calls=1))
            case HandoffAsked():
                spending.take(record.agent, Amounts(handoffs=1))
            case EffectDone():
                run.done.add(record.tool)
            case ReviewAsked() if record.review not in run.asked:
                run.asked[record.review] = record
                spending.take(record.agent, Amounts(asks=1))
            case ContractPassed():
                run.cross(entry.key or "", record)
                spending.stepped.add(_node_of(entry.key or ""))
            case RunEnded():
                run.ended = record.status
            case RecordRead() | RecordSettled():
                run.versions.know(record)
            case _:
                pass
    # A call that was reserved and never settled is taken as spent: the process died while it was out.
    for agent, amounts in open_.values():
        spending.take(agent, amounts)
    spending.take("", Amounts(steps=len(spending.stepped)))


def _node_of(key: str) -> str:
    """The node at which something crossed: a fan-out has one for all of its branches."""
    graph, slash, node = key.removeprefix(PASSED).rpartition("/")
    return f"{graph}{slash}{node.partition(':')[0]}"

"""A run begun again at a stage: what had crossed to that stage in an earlier run, taken from the ledger as it was.

The order to do so travels as the request of the new run, and vouches for itself: nobody else can write one. So it is in
the first checkpoint, and a crash before the new run has begun loses nothing of it.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from dataclasses import asdict, dataclass, fields
from typing import Any, cast

import orjson
from langchain_core.messages import AnyMessage, messages_from_dict
from langgraph.types import Command

from ..contracts.digest import canonical
from ..contracts.edge import END, Edge
from ..contracts.errors import LedgerCorrupt, NotFound, RestartRefused, RunErased, RunUndone
from ..contracts.labels import Label
from ..contracts.review import Reviewer
from ..ledger.entry import Draft, Entry, verify
from ..ledger.records import ContractPassed, PayloadsErased, RunEnded, RunRestarted, RunStarted, UndoIntended
from ..ledger.store import Ledger, status_of
from ..tools.knowing import HISTORY
from ..tools.looping import PASSED
from ..tools.signing import key_of
from .crossing import checked, onwards, recorded, refuse_partial
from .learning import learn_private
from .nodes import Means, entered, of_run
from .runs import STARTED_BY, started_by
from .state import MARKS, RUN
from .topology import Topology

RESTARTS: ContextVar[Mapping[str, Any] | None] = ContextVar("edgewright_restarts", default=None)
"""The order that is on its way into a graph of this process. It passes the door as it is; see `GovernedGraph`."""
_ORDER, _MAC = "edgewright.restart", "mac"


@dataclass(frozen=True, slots=True, kw_only=True)
class Restart:
    """An order to begin a run again at a stage.

    Attributes:
        run: the id of the new run; `of` is the earlier one's.
        stage: the agent that begins.
        edge: the edge over which its payload had crossed, `crossed` where in the earlier run.
        by: who wants that, as it goes on record; `starter` and `tenant` are theirs where the caller was told who it is.
    """

    run: str
    of: str
    stage: str
    edge: str
    crossed: str
    by: str
    starter: str = ""
    tenant: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Earlier:
    """What the ledger has of an earlier run: what had crossed, with labels, marks and messages, and its request."""

    record: ContractPassed
    payload: dict[str, Any]
    history: Sequence[AnyMessage]
    request: dict[str, Any]


def stages_of(topology: Topology) -> dict[str, Edge]:
    """The edges at whose end a run can be begun again, by their names. Branches of a fan-out meet, so none of them."""
    branches = {name for fan in topology.fan_outs for name in fan.branches}
    found = {e.name: e for e in topology.edges if e.target != END and e.target not in branches}
    for fan in topology.fan_outs:
        met = Edge(source=f"[{','.join(fan.branches)}]", target=fan.target, contract=fan.gathered)
        found[met.name] = met
    return found


def stage_of(topology: Topology, stage: str, run: str) -> str:
    """The agent that begins a stage, by the stage's name; a stage of several agents begins with what splits it.

    Raises:
        RestartRefused: there is no such stage, or it is one branch of several.
    """
    known = dict.fromkeys(edge.target for edge in stages_of(topology).values())
    for name in (stage, f"{stage}_split"):
        if name in known:
            return name
    fan = next((f for f in topology.fan_outs if stage in f.branches), None)
    if fan is not None:
        fault = f"{stage!r} is one of several branches, which meet; begin at {fan.source!r}"
    else:
        fault = f"there is no such stage; known: {', '.join(known)}"
    raise RestartRefused(run=run, stage=stage, fault=fault)


def crossing_to(entries: Sequence[Entry], topology: Topology, stage: str, *, run: str, system: str) -> tuple[str, str]:
    """The newest crossing to a stage in an earlier run: its edge, and its place in that run.

    Raises:
        NotFound: there is no such run.
        RestartRefused: it has not ended, is another system's, or nothing crossed to the stage over an edge of today.
        RunErased, RunUndone: what it rests on is gone.
        LedgerCorrupt: its records do not verify.
    """
    if not entries or not isinstance(began := entries[0].record, RunStarted):
        raise NotFound(kind="run", name=run)
    verify(run, entries)
    if (other := began.system.partition("@")[0]) != system:
        raise RestartRefused(run=run, stage=stage, fault=f"it is of system {other!r}, and this is {system!r}")
    ends = [e.record.status for e in entries if isinstance(e.record, RunEnded)]
    status = status_of([e.kind for e in entries], ends[-1] if ends else None)
    if status in ("running", "waiting"):
        fault = f"it is {status}, so it may do more; resume its thread {began.thread} until it has ended"
        raise RestartRefused(run=run, stage=stage, fault=fault)
    if any(isinstance(e.record, PayloadsErased) for e in entries):
        raise RunErased(run=run, thread=began.thread)
    if any(isinstance(e.record, UndoIntended) for e in entries):
        raise RunUndone(run=run, thread=began.thread)
    edges = {name for name, edge in stages_of(topology).items() if edge.target == stage}
    passed = [(e.record, e.key or "") for e in entries if isinstance(e.record, ContractPassed)]
    found = [(record.edge, key.removeprefix(PASSED)) for record, key in passed if record.edge in edges]
    if not found:
        reached = dict.fromkeys(record.edge.rpartition("→")[2] for record, _ in passed)
        fault = f"nothing had crossed to it over {' or '.join(sorted(edges))}; it came to {', '.join(reached)}"
        raise RestartRefused(run=run, stage=stage, fault=fault)
    return found[-1]


def earlier_of(ledger: Ledger, restart: Restart) -> Earlier:
    """What had crossed, as it was. Blocks.

    Raises:
        RunErased: it is gone.
        LedgerCorrupt: it is not what its record says.
    """
    entries = ledger.entries(restart.of)
    began = entries[0].record if entries else None
    record = next((e.record for e in entries if e.key == f"{PASSED}{restart.crossed}"), None)
    if not isinstance(began, RunStarted) or not isinstance(record, ContractPassed) or record.edge != restart.edge:
        raise LedgerCorrupt(run=restart.of, seq=0, fault=f"what had crossed at {restart.crossed} is gone")
    bodies = [ledger.exact(restart.of, ref) for ref in (record.payload, began.request)]
    talk = ledger.exact(restart.of, record.history) if record.history else b"[]"
    if talk is None or any(body is None for body in bodies):
        raise RunErased(run=restart.of, thread=began.thread)
    payload, request = (orjson.loads(body or b"") for body in bodies)
    return Earlier(
        record=record,
        payload=payload,
        history=cast("list[AnyMessage]", messages_from_dict(orjson.loads(talk))),
        request=request,
    )


def fits_now(edge: Edge, earlier: Earlier) -> None:
    """Whether what had crossed fits the contract of its edge as it is now. Raises ContractViolation, PartialRefused."""
    refuse_partial(edge, _marks(earlier))
    edge.contract.check(_told(edge, earlier), received=earlier.payload, edge=edge.name)


def _told(edge: Edge, earlier: Earlier) -> dict[str, Any]:
    return {n: v for n, v in earlier.payload.items() if n not in edge.contract.carried}


def _marks(earlier: Earlier) -> list[dict[str, str]]:
    return [{"kind": kind, "agent": agent, "why": why} for kind, agent, why in earlier.record.marks]


async def begun_again(restart: Restart, stages: Mapping[str, Edge], means: Means, *, thread: str) -> Command[str]:
    """Begin the new run, with what had crossed in the earlier one, labelled as it was there.

    Raises:
        ContractViolation: it does not fit the contract as it is now.
        RestartRefused: the system has no such edge any more.
    """
    edge, ledger = stages.get(restart.edge), await means.runs.ledger()
    if edge is None or edge.target != restart.stage:
        fault = f"the system has no edge {restart.edge} any more"
        raise RestartRefused(run=restart.of, stage=restart.stage, fault=fault)
    earlier = await asyncio.to_thread(earlier_of, ledger, restart)
    record = RunRestarted(
        run=restart.of, stage=restart.stage, edge=restart.edge, crossed=restart.crossed, by=restart.by
    )
    # Whoever goes on after a crash is not who began it.
    person = Reviewer(id=restart.starter, tenant=restart.tenant) if restart.starter else STARTED_BY.get()
    with started_by(person):
        again = Draft(record=record, key="run.restarted")
        run = await means.runs.begin(restart.run, thread, earlier.request, also=[again])
    async with of_run(means.runs, run):
        ns, at = entered(run)
        # Before anything of it crosses, or is written down.
        await asyncio.to_thread(learn_private, run, restart.of, means.runs._standing, means.runs._tools)
        # A crash may have come between this record and the checkpoint; the steps of the thread count on then.
        with run.lock:
            known = next((k for k, r in run.journal.items() if isinstance(r, ContractPassed)), f"{PASSED}{at}")
        marks = _marks(earlier)
        refuse_partial(edge, marks)
        told, registries = _told(edge, earlier), means.registries
        crossing, _ = await checked(edge, told, earlier.payload, run=run, ns=ns, registries=registries)
        before = earlier.record.labels
        fresh = {name: Label() for name in crossing.payload}  # of a field that it had not, nothing is known
        labels = fresh | {n: Label.from_json(f) for n, f in before.items() if n in fresh or n == HISTORY}
        passed = recorded(
            run,
            edge,
            crossing,
            at=known.removeprefix(PASSED),
            labels=labels,
            history=earlier.history,
            dropped=earlier.record.history_withheld,
            marks=marks,
        )
        run.note(passed.draft)
        begun = onwards(passed) | {MARKS: marks, RUN: run.grounds.run, "request": None, "response": {}}
        return Command(update=begun, goto=restart.stage)


def sealed(ledger: Ledger, restart: Restart, *, thread: str) -> dict[str, Any]:
    """An order as it travels, vouched for."""
    told = asdict(restart)
    return {_ORDER: {**told, _MAC: _mac(ledger, told, thread)}}


def opened(ledger: Ledger, request: Any, *, thread: str) -> Restart | None:
    """The order that a request is; None for any other request, and for an order that was not made here."""
    order = request.get(_ORDER) if isinstance(request, Mapping) and len(request) == 1 else None
    names = {f.name for f in fields(Restart)}
    if not isinstance(order, Mapping) or set(order) != {*names, _MAC}:
        return None
    if not all(isinstance(value, str) for value in order.values()):
        return None
    told = {name: order[name] for name in names}
    if not hmac.compare_digest(_mac(ledger, told, thread).encode(), order[_MAC].encode()):
        return None
    return Restart(**told)


def _mac(ledger: Ledger, told: Mapping[str, str], thread: str) -> str:
    said = canonical(["edgewright restart 1", thread, dict(sorted(told.items()))])
    return hmac.digest(key_of(ledger), said, hashlib.sha256).hex()

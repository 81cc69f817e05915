"""The way into a system: the contract that checks the request and begins the run, or begins it again at a stage."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import replace
from typing import Any
from uuid import uuid4

from langgraph.config import get_config
from langgraph.runtime import get_runtime
from langgraph.types import Command

from ..contracts.contract import Crossing
from ..contracts.edge import Edge
from ..contracts.errors import ContractViolation
from ..contracts.flow import label_request
from ..ledger.records import ContractPassed, RunRestarted, RunResumed, RunStarted
from ..tools.position import NS, Positions
from .active import beginner, remembered
from .crossing import onwards, recorded
from .inside import AROUND
from .nodes import Means, Node, entered, of_run
from .registries import unknown_ids
from .restarting import begun_again, opened
from .runs import Runs, run_id_of
from .state import ACTIVE, MARKS

ADMITTED: ContextVar[Crossing | None] = ContextVar("edgewright_admitted", default=None)
"""A request that was checked before the graph was invoked, so that LangGraph's first checkpoint holds no raw one."""


def entry_node(edge: Edge, means: Means, stages: Mapping[str, Edge]) -> Node:
    """The contract on the edge from start: checks the request and begins the run. Bad input begins nothing.

    Args:
        stages: the edges that a run can be begun again at, by their names.
    """

    async def check_request(state: Any) -> Command[str]:
        request, admitted = state.get("request"), ADMITTED.get()
        known = admitted if admitted is not None and admitted.payload == request else None
        info = get_runtime().execution_info
        thread = (info.thread_id if info else None) or ""
        if known is None and (restart := opened(await means.runs.ledger(), request, thread=thread)) is not None:
            return await begun_again(restart, stages, means, thread=thread)
        crossing = known or edge.contract.check(request, received={}, edge=edge.name)
        task = info.task_id if info else uuid4().hex
        place = str((get_config().get("metadata") or {}).get(NS, ""))
        began = means.runs.began_in(AROUND.get(), place) or task
        run_id = await _cut_off(means.runs, thread, crossing.payload) or run_id_of(thread, began)
        run = await means.runs.begin(run_id, thread, crossing.payload)
        async with of_run(means.runs, run):
            ns, at = entered(run)
            faults = await unknown_ids(
                edge.contract.leaves(crossing.payload), means.registries, run=run, agent=edge.target, ns=ns
            )
            if faults:
                raise ContractViolation(contract=edge.contract.id, edge=edge.name, faults=faults)
            labels = label_request(edge.contract, crossing.payload)
            active = await remembered(state, run, sticky=means.sticky)
            towards = replace(edge, target=beginner(means.entries, {ACTIVE: active}, ""))
            passed = recorded(run, towards, crossing, at=at, labels=labels)
            run.note(passed.draft)
            before: dict[str, Any] = {MARKS: []} if state.get(MARKS) else {}  # of the thread's last run
            before |= {ACTIVE: active} if active and not state.get(ACTIVE) else {}
            begun = onwards(passed) | before | {"run": run.grounds.run, "request": None, "response": {}}
            return Command(update=begun, goto=towards.target)

    return check_request


async def _cut_off(runs: Runs, thread: str, request: dict[str, Any]) -> str | None:
    """The run that a crash cut off before any checkpoint of it, if this is the same request at the same step.

    The steps of this execution are then those of that one, so what it did already stands under the same keys.
    """
    found = await runs.cut_off(thread)
    if found is None or found[2] != request or any(isinstance(e.record, RunRestarted) for e in found[1]):
        return None
    metadata, here = get_config().get("metadata") or {}, Positions()
    here.enter(metadata, uuid4(), None)
    at = here.path(str(metadata.get(NS, "")))
    # A crossing is queued before all that comes after it. Where nothing is on record but the one into the system, the
    # run had just begun, and any step will do: its input may be in a checkpoint, after which steps count on.
    crossings = {e.key for e in found[1] if e.key and e.key.startswith("passed:")}
    begun = {RunStarted.kind, RunResumed.kind, ContractPassed.kind}.issuperset(e.kind for e in found[1])
    return found[0] if (begun and len(crossings) <= 1) or f"passed:{at}" in crossings else None

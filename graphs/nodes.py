"""The nodes of a governed graph: agents, contracts, reviews. Each enters its run through the state's run id."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Mapping
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Any, Literal, Protocol
from uuid import uuid4

from langchain_core.callbacks import BaseCallbackManager
from langgraph.config import get_config
from langgraph.errors import GraphBubbleUp
from langgraph.runtime import get_runtime
from langgraph.types import Command, interrupt

from ..agents.agent import CompiledAgent
from ..contracts.contract import Crossing
from ..contracts.digest import digest
from ..contracts.edge import END, Edge
from ..contracts.errors import BudgetExceeded, ContractViolation, TopologyInvalid
from ..contracts.review import ReviewAnswer, ReviewRequest, binding_of
from ..ledger.entry import Draft
from ..ledger.records import (
    AgentEnded,
    AgentStarted,
    ContractPassed,
    ContractViolated,
    ReviewAnswered,
    ReviewAsked,
)
from ..tools.position import NS, Positions
from ..tools.run import Activation, Run, activated, payload_of
from ..tools.tracing import annotate
from .runs import Runs, run_id_of
from .state import State


class Node(Protocol):
    """A node's function."""

    def __call__(self, state: State) -> Awaitable[dict[str, Any] | Command[str]]:
        """Take the state, return an update of it, with where to go on where there is a choice."""
        ...


class HandoffAnswer(ReviewAnswer):
    """What can be answered about a payload that breaks its contract: mend it or reject it. It cannot be approved."""

    decision: Literal["edit", "reject"]


def _entered(run: Run) -> tuple[str, str]:
    """Tell the run's positions which node this is; returns its namespace and its path."""
    config = get_config()
    metadata = config.get("metadata") or {}
    manager = config.get("callbacks")
    inside = manager.parent_run_id if isinstance(manager, BaseCallbackManager) else None
    run.positions.enter(metadata, inside or uuid4(), None)
    annotate({"run": run.grounds.run}, trace=True)
    ns = str(metadata.get(NS, ""))
    return ns, run.positions.path(ns)


@asynccontextmanager
async def _of_run(runs: Runs, run: Run) -> AsyncIterator[None]:
    """What becomes of the run when a node of it stops: let go at a review, ended when it fails."""
    try:
        yield
    except (GraphBubbleUp, asyncio.CancelledError):
        run.settle_abandoned()
        runs.let_go(run.grounds.run)
        raise
    except Exception as error:
        status = "out_of_budget" if isinstance(error, BudgetExceeded) else "failed"
        await runs.end(run, status, reason=f"{type(error).__name__}: {error}"[:2000])
        raise


def agent_node(agent: CompiledAgent, spec_digest: str, onwards: Mapping[str, str], runs: Runs) -> Node:
    """An agent's turn: takes the inbox, leaves an offer. `onwards` names the contract node of each target."""
    limits = agent.agent.limits
    who = f"{agent.name}@{agent.agent.version}"

    async def take_turn(state: State) -> dict[str, Any] | Command[str]:
        run = await runs.attach(state["run"])
        async with _of_run(runs, run):
            ns, at = _entered(run)
            activation = Activation(run=run, agent=agent.name, limits=limits, ns=ns)
            body = payload_of(state["inbox"])
            started = AgentStarted(at=at, agent=who, digest=spec_digest, input=body[0])
            run.note(Draft(record=started, key=f"started:{at}"))
            repairing = state.get("gate") == "repair"
            with activated(activation):
                offer = await agent.turn(
                    state["inbox"],
                    talk=state.get("talk", []) if repairing else (),
                    faults=state.get("faults", []) if repairing else (),
                    activation=activation,
                )
            if offer.target not in agent.targets:
                fault = f"agent {agent.name!r} handed over to {offer.target!r}; it may to: {', '.join(agent.targets)}"
                raise TopologyInvalid(name=run.grounds.system, faults=[fault])
            offered = payload_of(_readable(offer.payload))
            ended = AgentEnded(at=at, agent=who, target=offer.target, offer=offered[0])
            run.note(Draft(record=ended, key=f"ended:{at}", payloads=(offered,)))
            made = {"source": agent.name, "target": offer.target, "payload": offer.payload}
            left = {"offer": made, "talk": list(offer.talk)}
            return Command(update=left, goto=onwards[offer.target]) if len(onwards) > 1 else left

    return take_turn


def _readable(payload: Any) -> Any:
    try:
        payload_of(payload)
    except TypeError:
        return {"unreadable": repr(payload)[:2000]}
    return payload


ADMITTED: ContextVar[Crossing | None] = ContextVar("edgewright_admitted", default=None)
"""A request that was checked before the graph was invoked, so that LangGraph's first checkpoint holds no raw one."""


def entry_node(edge: Edge, runs: Runs) -> Node:
    """The contract on the edge from start: checks the request and begins the run. Bad input begins nothing."""

    async def check_request(state: State) -> dict[str, Any]:
        request, admitted = state.get("request"), ADMITTED.get()
        known = admitted if admitted is not None and admitted.payload == request else None
        crossing = known or edge.contract.check(request, received={}, edge=edge.name)
        info = get_runtime().execution_info
        thread = (info.thread_id if info else None) or ""
        task = info.task_id if info else uuid4().hex
        run_id = await _cut_off(runs, thread, crossing.payload) or run_id_of(thread, task)
        run = await runs.begin(run_id, thread, crossing.payload)
        _, at = _entered(run)
        _passed(run, edge, crossing, at, 0, 0)
        return _onwards(crossing.payload) | {"run": run.grounds.run, "request": None, "response": {}}

    return check_request


async def _cut_off(runs: Runs, thread: str, request: dict[str, Any]) -> str | None:
    """The run that a crash cut off before any checkpoint of it, if this is the same request at the same step.

    The steps of this execution are then those of that one, so what it did already stands under the same keys.
    """
    found = await runs.cut_off(thread)
    if found is None or found[2] != request:
        return None
    metadata, here = get_config().get("metadata") or {}, Positions()
    here.enter(metadata, uuid4(), None)
    at = here.path(str(metadata.get(NS, "")))
    return found[0] if any(e.key == f"passed:{at}" for e in found[1]) else None


def contract_node(edge: Edge, onwards: Mapping[str, str], runs: Runs) -> Node:
    """The contract on an edge between agents, or to the end: checks, projects, redacts, records.

    `onwards` names the node for each of its decisions: `passed`, `repair`, `review`.
    """
    rule = edge.on_violation

    async def check_offer(state: State) -> Command[str]:
        run = await runs.attach(state["run"])
        async with _of_run(runs, run):
            _, at = _entered(run)
            offer, tries = state["offer"], state.get("tries", 0)
            try:
                crossing = edge.contract.check(offer["payload"], received=state["inbox"], edge=edge.name)
            except ContractViolation as violation:
                then = "repair" if tries < rule.repair else rule.then
                record = ContractViolated(
                    edge=edge.name,
                    contract=edge.contract.id,
                    faults=list(violation.faults),
                    tries=tries + 1,
                    then=then,
                )
                run.note(Draft(record=record, key=f"violated:{at}"))
                if then == "fail":
                    raise
                refused = {"gate": then, "tries": tries + 1, "faults": list(violation.faults)}
                return Command(update=refused, goto=onwards[then])
            _passed(run, edge, crossing, at, len(state.get("talk", [])), tries)
            if edge.target == END:
                body = payload_of(crossing.payload)
                await runs.end(run, "completed", response=body[0], payload=body[1])
                left = _onwards({}) | {"response": crossing.payload}
                return Command(update=left, goto=onwards["passed"])
            return Command(update=_onwards(crossing.payload), goto=onwards["passed"])

    return check_offer


def _onwards(payload: dict[str, Any]) -> dict[str, Any]:
    """The state behind a contract that let something pass: the payload, and nothing of how it came about."""
    return {"inbox": payload, "gate": "passed", "tries": 0, "faults": [], "talk": [], "offer": {}}


def _passed(run: Run, edge: Edge, crossing: Crossing, at: str, history: int, tries: int) -> None:
    body = payload_of(crossing.payload)
    record = ContractPassed(
        edge=edge.name,
        contract=edge.contract.id,
        contract_digest=edge.contract.digest,
        payload=body[0],
        fields=sorted(crossing.payload),
        withheld=[list(w) for w in crossing.withheld],
        redacted=[list(r) for r in crossing.redacted],
        history_withheld=history,
        tries=tries,
    )
    run.note(Draft(record=record, key=f"passed:{at}", payloads=(body,)))


def review_node(edges: dict[tuple[str, str], Edge], runs: Runs) -> Node:
    """A person mends or rejects a payload that its source could not mend."""

    async def ask_person(state: State) -> Command[str]:
        run = await runs.attach(state["run"])
        async with _of_run(runs, run):
            _, at = _entered(run)
            offer, faults = state["offer"], state.get("faults", [])
            edge = edges[offer["source"], offer["target"]]
            grounds = run.grounds
            binding = binding_of(run=grounds.run, at=at, edge=edge.name, payload=_readable(offer["payload"]))
            review = digest([grounds.run, binding])[:24]
            asked = ReviewAsked(
                review=review, at=at, agent=edge.source, about=edge.name, binding=binding, rules=[edge.contract.id]
            )
            if f"asked:{review}" not in run.journal:
                await run.write(Draft(record=asked, key=f"asked:{review}"))
            payload = offer["payload"] if isinstance(offer["payload"], dict) else {}
            request = ReviewRequest(
                id=review,
                kind="handoff",
                run=grounds.run,
                agent=edge.source,
                edge=edge.name,
                arguments=payload,
                faults=tuple(faults),
                binding=binding,
            )
            answer = interrupt(request.model_dump(mode="json"), response_schema=HandoffAnswer)
            edited = payload_of(answer.arguments) if answer.arguments is not None else None
            answered = ReviewAnswered(
                review=review,
                at=at,
                decision=answer.decision,
                reason=answer.reason,
                reviewer=answer.reviewer,
                arguments=edited[0] if edited else "",
            )
            draft = Draft(record=answered, key=f"answered:{review}", payloads=(edited,) if edited else ())
            await run.write(draft)
            if answer.decision == "reject":
                raise ContractViolation(contract=edge.contract.id, edge=edge.name, faults=faults)
            return Command(update={"offer": {**offer, "payload": answer.arguments}}, goto=edge.node)

    return ask_person

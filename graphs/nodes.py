"""What every node of a governed graph does: it enters its run, through the state's run id. And the agents' nodes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol
from uuid import uuid4

import orjson
from langchain_core.callbacks import BaseCallbackManager
from langgraph.config import get_config, get_stream_writer
from langgraph.errors import GraphBubbleUp, is_invalid_resume
from langgraph.types import Command

from ..agents.agent import Agent, CompiledAgent, Turn
from ..agents.handoff import SUBMIT
from ..contracts.contract import MAX_BYTES, Contract
from ..contracts.edge import FanOut
from ..contracts.errors import BudgetExceeded, HandoffConflict, SharedWriteInvalid, TopologyInvalid
from ..contracts.shared import Key
from ..ledger.entry import Draft
from ..ledger.records import AgentEnded, AgentStarted
from ..tools.position import NS
from ..tools.run import Activation, Run, activated
from ..tools.tracing import annotate
from .registries import Registry
from .runs import Runs
from .state import Turned
from .tokens import TOKENS, Tokens


class Node(Protocol):
    """A node's function. Its parameter's annotation must not name a type: LangGraph would read it as a schema."""

    def __call__(self, state: Any) -> Awaitable[dict[str, Any] | Command[str]]:
        """Take the state, return an update of it, with where to go on where there is a choice."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What the nodes of one system work with."""

    runs: Runs
    keys: Mapping[str, Key] = field(default_factory=dict)
    registries: Mapping[str, Registry] = field(default_factory=dict)
    summarisers: Mapping[str, CompiledAgent] = field(default_factory=dict)
    intents: frozenset[str] = frozenset()


def entered(run: Run) -> tuple[str, str]:
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
async def of_run(runs: Runs, run: Run) -> AsyncIterator[None]:
    """What becomes of the run when a node of it stops: let go at a review, ended when it fails."""
    try:
        yield
    except (GraphBubbleUp, asyncio.CancelledError):
        run.settle_abandoned()
        runs.let_go(run.grounds.run)
        raise
    except Exception as error:
        if is_invalid_resume(error):  # an answer that fits no question; the question stays open
            run.settle_abandoned()
            runs.let_go(run.grounds.run)
            raise
        status = "out_of_budget" if isinstance(error, BudgetExceeded) else "failed"
        reason = run.knows.text(f"{type(error).__name__}: {error}")
        await runs.end(run, status, reason=reason[:2000])
        raise
    except BaseException:  # an exit, an interrupt from the keyboard: gone on with from the ledger, by the rules of then
        run.settle_abandoned()
        runs.let_go(run.grounds.run)
        raise


@dataclass(frozen=True, slots=True, kw_only=True)
class Ways:
    """Where an agent's offers go: `onwards` names the contract node of each target.

    `fan` is the fan-out it may start, `within` the one whose branch it is; `exit` is the contract of its answer to the
    caller, where it may give one.
    """

    onwards: Mapping[str, str]
    exit: Contract | None = None
    fan: FanOut | None = None
    within: FanOut | None = None


def agent_node(agent: CompiledAgent, spec_digest: str, ways: Ways, means: Means) -> Node:
    """An agent's turn: takes the inbox, leaves what it turned out."""
    limits, runs = agent.agent.limits, means.runs
    who = f"{agent.name}@{agent.agent.version}"

    async def take_turn(state: Any) -> dict[str, Any] | Command[str]:
        run = await runs.attach(state["run"])
        async with of_run(runs, run):
            ns, at = entered(run)
            run.note(_started(run, who, at, spec_digest, state["inbox"]))
            again = state.get("turned") if state.get("gate") in ("repair", "retry") else None
            before = again if state.get("gate") == "repair" else None
            shown, based = _shared(agent.agent, state.get("shared") or {}, before)
            since = [*before["since"], before["at"]] if before else []
            activation = Activation(
                run=run,
                agent=agent.name,
                limits=limits,
                ns=ns,
                places=(*since, at),
                inbox=state["inbox"],
                crossed=state.get("crossed", ""),
                shown=shown,
            )
            with activated(activation):
                try:
                    turn = await agent.turn(
                        state["inbox"],
                        activation=activation,
                        history=state.get("history") or (),
                        shared={k: held["value"] for k, held in shown.items()},
                        talk=before["talk"] if before else (),
                        faults=state.get("faults", []) if before else (),
                        watch=_tokens(run, agent, ways.exit),
                    )
                except GraphBubbleUp:
                    await activation.settled()
                    raise
            _refuse_strays(agent, ways, turn, run)
            left = Turned(
                source=agent.name,
                at=at,
                since=since,
                shown=shown,
                based=based,
                history=list(state.get("history") or ()) if ways.within else [],
                offers=[{"target": o.target, "payload": o.payload} for o in turn.offers],
                # A model that mends its offer was told that its writes are noted; a function says all of it again.
                writes=_writes(agent, turn, based, means.keys, noted=before["writes"] if before and turn.talk else ()),
                talk=list(turn.talk),
                inbox=state["inbox"],
                crossed=state.get("crossed", ""),
                branch=state.get("branch", -1),
                tries=state.get("tries", 0) if ways.within else again["tries"] if again else 0,
            )
            target = ", ".join(o.target for o in turn.offers)
            offered = run.knows.kept(readable([o["payload"] for o in left["offers"]]))
            ended = AgentEnded(at=at, agent=who, target=target, offer=offered.ref)
            run.note(Draft(record=ended, key=f"ended:{at}", payloads=(offered,)))
            if ways.within is not None:
                return {"branches": [left]}
            onwards = ways.onwards[turn.offers[0].target]
            several = len(set(ways.onwards.values())) > 1
            return Command(update={"turned": left}, goto=onwards) if several else {"turned": left}

    return take_turn


def _tokens(run: Run, agent: CompiledAgent, answers: Contract | None) -> Tokens | None:
    """What streams an agent's answer, where its reader asked for tokens and it may answer."""
    if answers is None or not get_config().get("configurable", {}).get(TOKENS):
        return None
    redactor = answers.redactor(run.knows.known)
    return Tokens(agent=agent.name, tool=SUBMIT, contract=answers, redactor=redactor, write=get_stream_writer())


def _started(run: Run, who: str, at: str, spec_digest: str, inbox: Any) -> Draft:
    handed = run.knows.kept(inbox)
    record = AgentStarted(at=at, agent=who, digest=spec_digest, input=handed.ref)
    return Draft(record=record, key=f"started:{at}", payloads=(handed,))


def _refuse_strays(agent: CompiledAgent, ways: Ways, turn: Turn, run: Run) -> None:
    targets = [o.target for o in turn.offers]
    for target in targets:
        if target not in agent.targets:
            fault = f"agent {agent.name!r} handed over to {target!r}; it may to: {', '.join(agent.targets)}"
            raise TopologyInvalid(name=run.grounds.system, faults=[fault])
    branches = ways.fan.branches if ways.fan else ()
    if len(targets) > 1 and not set(targets) <= set(branches):
        raise HandoffConflict(agent=agent.name, targets=targets)


def _shared(
    agent: Agent, now: Mapping[str, dict[str, Any]], before: Turned | None
) -> tuple[dict[str, dict[str, Any]], dict[str, int]]:
    """The shared keys that an agent is shown, and the versions of those that it may write.

    A repair goes on with what its turn began with: were it to write on newer versions, which its model never read, a
    write that came in between would be lost in silence.
    """
    if before is not None:
        return before["shown"], before["based"]
    return {k: now[k] for k in agent.reads if k in now}, {k: now[k]["version"] for k in agent.writes if k in now}


def _writes(
    agent: CompiledAgent,
    turn: Turn,
    based: Mapping[str, int],
    keys: Mapping[str, Key],
    *,
    noted: Sequence[dict[str, Any]] = (),
) -> list[dict[str, Any]]:
    """The writes of a turn, those `noted` in its earlier tries first, each with the version that it began with."""
    found: list[dict[str, Any]] = [*noted]
    for name, value in turn.writes:
        if name not in agent.agent.writes:
            fault = f"it does not declare to write it; it declares: {', '.join(agent.agent.writes) or 'none'}"
            raise SharedWriteInvalid(key=name, writer=agent.name, faults=[fault])
        if keys[name].reducer is None:  # within one turn the last word counts
            found = [w for w in found if w["key"] != name]
        found.append({"key": name, "value": value, "based": based.get(name, 0)})
    return found


def readable(payload: Any) -> Any:
    """A payload, or where it is no JSON what can be shown of it."""
    try:
        orjson.dumps(payload)
    except TypeError:
        said = repr(payload)  # never cut: half of what must not be seen would not be found
        return {"unreadable": said if len(said) <= MAX_BYTES else type(payload).__name__}
    return payload

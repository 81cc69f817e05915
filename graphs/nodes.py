"""What every node of a governed graph does: it enters its run, through the state's run id. And the agents' nodes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Protocol
from uuid import uuid4

import orjson
from langchain_core.callbacks import BaseCallbackManager
from langgraph.config import get_config
from langgraph.errors import GraphBubbleUp, GraphDrained, GraphInterrupt, ParentCommand, is_invalid_resume
from langgraph.types import Command, Interrupt

from ..agents.agent import Agent, CompiledAgent, Turn
from ..agents.handoff import SUBMIT
from ..contracts.contract import MAX_BYTES, Contract
from ..contracts.edge import FanOut
from ..contracts.errors import ContractViolation, HandoffConflict, SharedWriteInvalid, TopologyInvalid
from ..contracts.failure import STOP, OnFailure
from ..contracts.marks import joined
from ..contracts.shared import Key
from ..ledger.entry import Draft
from ..ledger.records import AgentEnded, AgentStarted
from ..tools.position import NS
from ..tools.run import Activation, Run, activated
from ..tools.tracing import annotate
from .boards import at_board
from .calls import opened
from .failures import Seat, turn_or_reaction
from .inner_runs import marks_inside
from .joining import raced, tolerant
from .pacing import Pace
from .registries import Registry
from .runs import Runs
from .skipping import skipped_stage
from .stages import Condition
from .state import Turned
from .stopping import allowed, is_asked, stopped
from .teams import CompiledTeam, is_within, writer_of
from .tokens import TOKENS, Tokens


class Node(Protocol):
    """A node's function. Its parameter's annotation must not name a type: LangGraph would read it as a schema."""

    def __call__(self, state: Any) -> Awaitable[dict[str, Any] | Command[str]]:
        """Take the state, return an update of it, with where to go on where there is a choice."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What the nodes of one system work with.

    `reactions` says what happens when an agent's turn fails, by its name, where that does not stop the run;
    `stands_for` whose turns a stand-in takes, by its own name. `team` is the team that they are inside of, if any;
    `entries` the agents that may begin, the first one first; `sticky`: whether there are several, here or in any team
    of the system; `refuses`: several handoffs in one turn that no fan-out takes are their agent's to mend, and the run
    does not stop. `conditions` are those on which an agent takes its turn, by its name; `pace` has the places of the
    branches.
    """

    runs: Runs
    keys: Mapping[str, Key] = field(default_factory=dict)
    registries: Mapping[str, Registry] = field(default_factory=dict)
    summarisers: Mapping[str, CompiledAgent] = field(default_factory=dict)
    intents: frozenset[str] = frozenset()
    reactions: Mapping[str, OnFailure] = field(default_factory=dict)
    stands_for: Mapping[str, str] = field(default_factory=dict)
    team: str = ""
    entries: tuple[str, ...] = ()
    sticky: bool = False
    refuses: bool = False
    conditions: Mapping[str, Condition] = field(default_factory=dict)
    pace: Pace = field(default_factory=Pace)

    def reacts(self, turned: Turned) -> bool:
        """Whether something is declared for the case that nobody can mend what the source of a turn offers."""
        return not turned.get("given") and turned["source"] in self.reactions


def entered(run: Run) -> tuple[str, str]:
    """Tell the run's positions which node this is, and count it as a step; returns its namespace and its path.

    Raises:
        BudgetExceeded: of steps.
    """
    ns, path = _placed(run)
    run.spending.step(path)
    return ns, path


def _placed(run: Run) -> tuple[str, str]:
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
    """What becomes of the run when a node of it stops: let go at a review, ended when it fails.

    Inside a team nothing of that: what stops the team there stops its own node, or what is declared for it happens.
    """
    with runs.at_work(run):
        if is_within(run.grounds.run):
            yield
            return
        try:
            if run.asked and is_asked(run, at := _placed(run)[1]):
                await allowed(run, at=at)
            yield
        except GraphDrained as drained:
            await runs.drain(run, drained.reason)
            raise
        except (GraphBubbleUp, asyncio.CancelledError):
            runs.leave(run)
            raise
        except Exception as error:
            if is_invalid_resume(error):  # an answer that fits no question; the question stays open
                runs.leave(run)
                raise
            try:
                ns = str((get_config().get("metadata") or {}).get(NS, ""))
                instead = await stopped(runs, run, error, at=run.positions.path(ns))
            except GraphBubbleUp:
                runs.leave(run)
                raise
            if instead is error:
                raise
            raise instead from error
        except (
            BaseException
        ):  # an exit, an interrupt from the keyboard: gone on with from the ledger, by the rules of then
            runs.leave(run)
            raise


@dataclass(frozen=True, slots=True, kw_only=True)
class Ways:
    """Where an agent's offers go: `onwards` names the contract node of each target.

    `fan` is the fan-out it may start, `within` the one whose branch it is; `exit` is the contract of its answer to the
    caller, where it may give one. `chooses`: there is more than one node that may come after it. `refuses`: several
    offers that no fan-out takes are its source's to mend; the run stops otherwise.
    """

    onwards: Mapping[str, str]
    exit: Contract | None = None
    fan: FanOut | None = None
    within: FanOut | None = None
    chooses: bool = False
    refuses: bool = False


REPAIR, RETRY, FAILED, STAND_IN = "repair", "retry", "failed", "stand_in"
"""What the gate says where a turn is taken again, or in the place of another. See `State.gate`."""


def agent_node(agent: CompiledAgent | CompiledTeam, spec_digest: str, ways: Ways, means: Means, seat: Seat) -> Node:
    """An agent's turn: takes the inbox, leaves what it turned out, or what is left of it where it failed."""
    runs, seat = means.runs, tolerant(seat, ways.within)

    async def take_turn(state: Any) -> dict[str, Any] | Command[str]:
        run = await runs.attach(state["run"])
        async with at_board(run, state), of_run(runs, run):
            ns, at = entered(run)
            begun, before = _begun(agent, ways, state, at)

            async def take() -> Turned:
                async with means.pace.place(ways.within, run):
                    run.note(_started(run, seat.who, at, spec_digest, state["inbox"]))
                    if isinstance(agent, CompiledTeam):
                        return _ended(agent, await agent.turned(state, begun), run=run)
                    turn = await _turn(agent, ways, seat, begun, before, run=run, ns=ns, state=state)
                    return _turned(agent, turn, begun, before, run=run, keys=means.keys)

            unmended = _unmended(seat, before, state) if state.get("gate") == FAILED else None
            skipped = skipped_stage(run, means.conditions.get(seat.name), seat, begun, state.get("gate"))

            async def turn() -> Turned:
                return skipped or await turn_or_reaction(take, run=run, seat=seat, begun=begun, error=unmended)

            left = await raced(
                turn, run=run, fan=ways.within, state=state, begun=begun, seat=seat, registries=means.registries, ns=ns
            )
            if ways.within is not None:
                return {"branches": [left]}
            if (stand_in := left.get("stand_in")) is not None:
                return Command(update={"gate": STAND_IN, "turned": left}, goto=stand_in)
            onwards = ways.onwards[left["offers"][0]["target"]]
            return Command(update={"turned": left}, goto=onwards) if ways.chooses else {"turned": left}

    return take_turn


def _begun(
    agent: CompiledAgent | CompiledTeam, ways: Ways, state: Mapping[str, Any], at: str
) -> tuple[Turned, Turned | None]:
    """What a turn begins with, and the one that it goes on with, if it does."""
    gate = state.get("gate")
    again: Turned | None = state.get("turned") if gate in (REPAIR, RETRY, FAILED, STAND_IN) else None
    before = again if gate in (REPAIR, FAILED) else None
    shown, based = _shared(agent.agent, state.get("shared") or {}, before)
    tries = again["tries"] if again and gate != STAND_IN else 0
    begun = Turned(
        source=agent.name,
        at=at,
        since=[*before["since"], before["at"]] if before else [],
        shown=shown,
        based=based,
        history=list(state.get("history") or ()) if ways.within else [],
        offers=[],
        writes=[],
        talk=[],
        inbox=state["inbox"],
        crossed=state.get("crossed", ""),
        branch=state.get("branch", -1),
        tries=state.get("tries", 0) if ways.within else tries,
    )
    if again and again.get("marks"):
        begun["marks"] = again["marks"]
    if before and before.get("asked"):
        begun["asked"] = before["asked"]
    if before and before.get("told"):
        begun["told"] = before["told"]
    return begun, before


async def _turn(
    agent: CompiledAgent,
    ways: Ways,
    seat: Seat,
    begun: Turned,
    before: Turned | None,
    *,
    run: Run,
    ns: str,
    state: Mapping[str, Any],
) -> Turn:
    activation = Activation(
        run=run,
        agent=agent.name,
        limits=agent.agent.limits,
        ns=ns,
        places=(*begun["since"], begun["at"]),
        inbox=begun["inbox"],
        crossed=begun["crossed"],
        shown=begun["shown"],
        out=opened(changes_world=agent.agent.graph is not None or any(t.spec.changes_world for t in agent.agent.tools)),
    )
    with activated(activation):
        try:
            turn = await agent.turn(
                begun["inbox"],
                activation=activation,
                history=state.get("history") or (),
                shared={k: held["value"] for k, held in begun["shown"].items()},
                talk=before["talk"] if before else (),
                faults=state.get("faults", []) if before else (),
                watch=_tokens(run, agent, ways.exit),
            )
        except ParentCommand:  # it would write the state and go on past the contract
            await activation.settled()
            fault = f"agent {agent.name!r} left its own graph by a Command; hand over by what it gives back"
            raise TopologyInvalid(name=run.grounds.system, faults=[fault]) from None  # its update may hold anything
        except GraphInterrupt as asked:
            await activation.settled()
            raise GraphInterrupt([_shown(run, each) for each in asked.args[0]]) from None
        except GraphBubbleUp:
            await activation.settled()
            raise
        except Exception:
            if seat.declared != STOP:  # the run goes on, so what is still under way must have ended before
                await activation.settled()
            raise
    _refuse_strays(agent, ways, turn, run)
    return turn


def _shown(run: Run, asked: Interrupt) -> Interrupt:
    """What a graph made by hand asks of whoever drives it, as that reader may see it. Ours are cleaned already."""
    if isinstance(asked.value, Mapping) and asked.value.get("id") in run.asked:
        return asked
    return replace(asked, value=run.knows.cleaned(readable(asked.value)))


def _turned(
    agent: CompiledAgent, turn: Turn, begun: Turned, before: Turned | None, *, run: Run, keys: Mapping[str, Key]
) -> Turned:
    """What a turn leaves, recorded."""
    left: Turned = {
        **begun,
        "offers": [{"target": o.target, "payload": o.payload} for o in turn.offers],
        # A model that mends its offer was told that its writes are noted; a function says all of it again.
        "writes": _writes(agent, turn, begun["based"], keys, noted=before["writes"] if before and turn.talk else ()),
        "talk": list(turn.talk),
    }
    marks = [*turn.marks, *marks_inside(run, [*begun["since"], begun["at"]])]
    if made := [{**m.as_json(), "why": run.knows.text(m.why)} for m in marks]:
        left["marks"] = joined(begun.get("marks", ()), made)
    return _ended(agent, left, run=run)


def _ended(agent: CompiledAgent | CompiledTeam, left: Turned, *, run: Run) -> Turned:
    """What a turn left, recorded."""
    at, target = left["at"], ", ".join(o["target"] for o in left["offers"])
    offered = run.knows.kept(readable([o["payload"] for o in left["offers"]]))
    ended = AgentEnded(at=at, agent=f"{agent.name}@{agent.agent.version}", target=target, offer=offered.ref)
    run.note(Draft(record=ended, key=f"ended:{at}", payloads=(offered,)))
    return left


def _unmended(seat: Seat, before: Turned | None, state: Mapping[str, Any]) -> ContractViolation:
    """Why a turn failed whose offer nobody could mend."""
    target = str(before["offers"][0]["target"]) if before else ""
    contract = seat.gives[target].id if target in seat.gives else "its contract"
    return ContractViolation(contract=contract, edge=f"{seat.role}→{target}", faults=state.get("faults") or ())


def _tokens(run: Run, agent: CompiledAgent, answers: Contract | None) -> Tokens | None:
    """What streams an agent's answer, where its reader asked for tokens and it may answer."""
    if answers is None or not get_config().get("configurable", {}).get(TOKENS):
        return None
    redactor = answers.redactor(run.knows.known)
    return Tokens(agent=agent.name, tool=SUBMIT, contract=answers, redactor=redactor, write=writer_of(run.grounds.run))


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
    if len(targets) > 1 and not set(targets) <= set(branches) and not ways.refuses:
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

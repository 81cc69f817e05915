"""What each topology can be asked for, what it cannot, and how it fails: the facts that `advice.py` decides by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from .solo import MANY_TOOLS

Kind = Literal["solo", "pipeline", "supervisor", "planning", "nested", "swarm", "event_swarm"]
Need = Literal["fixed", "open", "audit", "parallel", "tools", "plan", "talk", "events"]


@dataclass(frozen=True, slots=True)
class Failure:
    """A way in which a topology fails, and the declaration that stands against it.

    Attributes:
        mode: what happens.
        guard: the declaration, as it is written; `...` stands for what else is there.
        need: told only where this is asked for; always where it is None.
    """

    mode: str
    guard: str
    need: Need | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """A topology, as far as a choice between topologies goes.

    Attributes:
        title: what people call it.
        what: what it is, in a sentence.
        serves: the needs that it meets, each with how.
        lacks: those that it does not, each with why.
        failures: see `Failure`.
        declared: the class that declares it; empty where there is none yet.
        there: whether this version has it.
    """

    title: str
    what: str
    serves: Mapping[Need, str]
    lacks: Mapping[Need, str]
    failures: tuple[Failure, ...]
    declared: str
    there: bool = True


_BUDGET = Failure(
    "A request costs more than anybody thought.", 'System(..., budget=Budget(usd="0.50", model_calls=20, then="drain"))'
)
_FLOW = Failure(
    "Somebody else's words, read by an agent, decide what is done.",
    'System(..., policy=starter("flow") + load_policy("policy.cedar"))',
)
_BREAKS = Failure(
    "An agent hands on less than the next one needs, or something else.",
    'Pipeline(..., on_violation=OnViolation(repair=2, then="review", role="operator"))',
)
_TEAM_FAILS = Failure(
    "What fails in a team ends the whole run.", 'Pipeline(..., on_failure={"desk": Ask(role="operator")})'
)
_SLOW = "The slowest of those who work at once holds all the others up."
_NO_TALK = "it gives one answer to one request; no agent of it takes the talk over"
_NO_EVENTS = "it is asked and answers; nothing of it waits for what happens elsewhere"

SHAPES: Mapping[Kind, Shape] = {
    "solo": Shape(
        title="solo agent",
        what="One agent, with all of its tools, answers by itself.",
        declared="Solo",
        serves={"open": "its model chooses each next call by what the last one told"},
        lacks={
            "fixed": "the order would stand in a prompt only, and a model skips steps",
            "audit": "there is no contract inside its turn; calls are on record, but no step of it can be taken again",
            "parallel": "one agent works at one thing at a time",
            "tools": f"from more than {MANY_TOOLS} tools on, models get worse at choosing one",
            "plan": "its plan would stand in its own words: nobody checks it, and nothing bounds it",
            "talk": "there is one agent",
            "events": _NO_EVENTS,
        },
        failures=(
            Failure("With more tools and a longer prompt it chooses worse.", "Solo(...).advice()"),
            Failure("It does the same over and over.", "System(..., loops=Loops(same=4))"),
            Failure(
                "In a long talk it loses what matters, and each call costs more.",
                "Agent(..., trim=Trim(tokens=20_000))",
            ),
            _FLOW,
            _BUDGET,
        ),
    ),
    "pipeline": Shape(
        title="pipeline",
        what="Stages in an order that is written down, with a contract before each and behind the last.",
        declared="Pipeline",
        serves={
            "fixed": "the order is in the declaration, so no model can leave a step out",
            "audit": "each step hands over under a contract, is on record, and can be begun again from",
            "parallel": "a stage can be several agents at once (Parallel), or one on each item of a list (Map)",
            "tools": "each stage has only the few tools that it needs",
        },
        lacks={
            "open": "its order is the same for every request, but for steps that are skipped and ways back",
            "plan": "nothing in it can decide on steps that were not written down",
            "talk": _NO_TALK,
            "events": _NO_EVENTS,
        },
        failures=(
            _BREAKS,
            Failure(
                "One stage fails, and with it the whole run.",
                'Pipeline(..., on_failure={"reader": Ask(role="operator")})',
            ),
            Failure(
                "A draft goes to and fro between author and critic.",
                'LoopBack(source="critic", to="drafter", contract=REVISION, most=3, then="review")',
            ),
            Failure(_SLOW, "Parallel(..., join=best_effort(deadline=30.0))", "parallel"),
            _BUDGET,
        ),
    ),
    "supervisor": Shape(
        title="supervisor",
        what="A router hands each request to one of several specialists, or to several at once.",
        declared="Supervisor",
        serves={
            "open": "the router chooses by the request, among the specialists that are declared",
            "parallel": "with an aggregator the router hands over to several at once, and one answer is made of theirs",
            "tools": "each specialist has only the tools of its own field",
        },
        lacks={
            "fixed": "the router would choose anew, each time, what is always the same",
            "audit": "who takes part is another thing for each request, so there is no line of steps to show",
            "plan": "the router hands over once; it does not order steps of which one needs what another one found",
            "talk": _NO_TALK,
            "events": _NO_EVENTS,
        },
        failures=(
            Failure(
                "The router sends a request to the wrong specialist.",
                'Supervisor(..., brief={"refunds": REFUND, "questions": QUESTION})',
            ),
            Failure(
                "In its brief the router tells things otherwise than they are.", 'Contract(..., carried=["customer"])'
            ),
            Failure(
                "One specialist fails, and with it the whole run.",
                'Supervisor(..., on_failure={"refunds": Skip()})',
                "parallel",
            ),
            Failure(_SLOW, 'Supervisor(..., join=quorum(2, agree="recommendation", deadline=30.0))', "parallel"),
            _FLOW,
            _BUDGET,
        ),
    ),
    "planning": Shape(
        title="planning supervisor",
        what="A planner makes a plan for each request; code carries it out, and has it mended where a step fails.",
        declared="PlanningSupervisor",
        serves={
            "open": "the plan says who takes part, for this one request",
            "parallel": "steps that wait for no other one are at work at once",
            "tools": "each specialist has only the tools of its own field",
            "plan": "the plan is a contract: steps, order and bounds are checked before any of it is done",
        },
        lacks={
            "fixed": "the planner would plan anew, each time, what is always the same",
            "audit": "the steps are another thing for each request, so there is no line of steps to show",
            "talk": _NO_TALK,
            "events": _NO_EVENTS,
        },
        failures=(
            Failure("It plans anew and anew.", "PlanningSupervisor(..., replans=2, most=20)"),
            Failure("No plan leads to an end.", 'PlanningSupervisor(..., otherwise="review", role="operator")'),
            Failure(
                "A step that everything hangs on fails.",
                'PlanningSupervisor(..., on_failure={"checks": Ask(role="operator")})',
            ),
            Failure(_SLOW, "PlanningSupervisor(..., join=best_effort(deadline=60.0))", "parallel"),
            _FLOW,
            _BUDGET,
        ),
    ),
    "nested": Shape(
        title="pipeline with a supervisor as a stage",
        what="A pipeline with a team as one stage: what is the same each time is the line, what is not, the team.",
        declared="Pipeline",
        serves={
            "fixed": "the line around the team is in the declaration",
            "open": "inside the team it is chosen by the request who takes part",
            "audit": "the stages around the team hand over under contracts, are on record, and can be begun again from",
            "parallel": "several of the team, or of a stage, work at once",
            "tools": "each agent of the team has only the tools of its own field",
            "plan": "the team can be a planning supervisor, whose plan is checked before any of it is done",
        },
        lacks={"talk": _NO_TALK, "events": _NO_EVENTS},
        failures=(
            _BREAKS,
            _TEAM_FAILS,
            Failure(
                "The team spends what the stages behind it need.",
                'Agent(..., team=Supervisor(...), limits=Budget(usd="0.20"))',
            ),
            _BUDGET,
        ),
    ),
    "swarm": Shape(
        title="swarm",
        what="Peers hand the talk over to each other along declared edges, and whoever has it answers.",
        declared="Swarm",
        serves={
            "fixed": "a handover that is not declared cannot be made: declare those that lead on, and the order holds",
            "open": "each peer decides whether it answers, or hands over, and to whom of those that are declared",
            "tools": "each peer has only the tools of its own field",
            "talk": "the next request of a thread goes to the peer that answered the last one",
        },
        lacks={
            "audit": "who comes after whom is another thing for each talk, so there is no line of steps to show",
            "parallel": "one peer works at a time",
            "plan": "peers decide one handover at a time",
            "events": _NO_EVENTS,
        },
        failures=(
            Failure("Two peers hand a request to and fro.", 'Swarm(..., most=12, beyond="review")'),
            Failure("A peer hands over to two at once, or hands over and answers.", 'Swarm(..., parallel="refuse")'),
            Failure("A peer answers what is not its business.", 'Swarm(..., answers=["refunds"])'),
            Failure("What was said to one peer alone reaches the next.", "Swarm(..., history=NO_HISTORY)"),
            _FLOW,
            _BUDGET,
        ),
    ),
    "event_swarm": Shape(
        title="event swarm",
        what="Agents wait for events and react to them; each may give rise to others.",
        declared="",
        there=False,
        serves={
            "fixed": "an agent waits for the events of the step before its own",
            "open": "whichever agent waits for an event reacts to it",
            "parallel": "agents that wait for the same event react at once",
            "tools": "each agent has only the tools of its own field",
            "events": "nobody has to ask: what happened is what it begins with",
        },
        lacks={
            "audit": "what an event sets off is known only afterwards",
            "plan": "there is nobody who orders what is done",
            "talk": "nobody waits for an answer",
        },
        failures=(
            Failure("An event comes twice, and is acted on twice.", 'tool(effect="write", idempotency="key")'),
            Failure("Events set off events without end.", 'Budget(of="system", per="day", model_calls=10_000)'),
            _FLOW,
        ),
    ),
}
"""In order of how much is decided only while a run is under way: the first that meets every need is advised."""

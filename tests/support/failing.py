"""Systems of which an agent fails, with what is declared for that."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from edgewright import (
    Agent,
    Contract,
    OfflineModel,
    OnViolation,
    Pipeline,
    RunResult,
    Supervisor,
    System,
)
from edgewright.ledger.records import (
    AgentFailed,
    RunEnded,
)
from support.offices import BRIEF, FINDING, clerk, finds, sends, taken
from support.systems import ANSWER, QUESTION, of_kind, only_run

FAIL = OnViolation(repair=0, then="fail")
SECRET_WORDS = "words of whoever was called"

SORRY = {"text": "Sorry, not today."}


class Broken:
    """A function that raises so many times, and then does its work."""

    def __init__(self, times: int = 10**6, error: Exception | None = None) -> None:
        self.times, self.calls = times, 0
        self.error = error or ValueError(SECRET_WORDS)

    async def __call__(self, payload: dict[str, Any]) -> dict[str, Any]:
        self.calls += 1
        if self.calls <= self.times:
            raise self.error
        return {"text": f"worked on {payload['text']}"}


def desk(specialist: Agent, on_failure: Any, **options: Any) -> System:
    """A router and one specialist."""
    contracts: dict[str, Any] = {"brief": QUESTION, "answer": ANSWER, **options.pop("contracts", {})}
    topology = Supervisor(
        router=Agent("router", version=1, function=lambda request: request),
        specialists=[specialist],
        takes=QUESTION,
        on_failure=on_failure,
        on_violation=options.pop("rule", FAIL),
        **contracts,
    )
    return System("desk", version=1, topology=topology, **options)


def worker(function: Any, **options: Any) -> Agent:
    """The agent that fails, in code."""
    return Agent("worker", version=1, function=function, **options)


def model_worker(rules: Any, **options: Any) -> Agent:
    """The agent that fails, driven by an offline model."""
    return Agent("worker", version=1, prompt="Work.", model=OfflineModel("rules", rules), **options)


def marks(result: RunResult) -> list[tuple[str, str, str]]:
    """(kind, agent, why) of each mark of a result."""
    return [(m.kind, m.agent, m.why) for m in result.marks]


def thens(system: System) -> list[tuple[str, str]]:
    """(agent, what happened then) of each failure of the one run."""
    return [(r.agent, r.then) for r in of_kind(system, only_run(system), AgentFailed)]


def ended(system: System) -> RunEnded:
    """How the one run ended."""
    return of_kind(system, only_run(system), RunEnded)[-1]


def stand_in(function: Any = lambda p: {"text": f"backup on {p['text']}"}, **options: Any) -> Agent:
    """An agent that takes a turn in the place of another."""
    return Agent("backup", version=3, function=function, **options)


def line(*stages: Agent, on_failure: Any, contracts: Sequence[Contract] = (), **options: Any) -> System:
    """A pipeline, with what is declared for failures."""
    given = contracts or [QUESTION] * len(stages)
    topology = Pipeline(
        stages=stages, contracts=[*given, ANSWER], on_failure=on_failure, on_violation=options.pop("rule", FAIL)
    )
    return System("line", version=1, topology=topology, **options)


def last(name: str = "last") -> Agent:
    """A stage that answers."""
    return Agent(name, version=1, function=lambda p: {"text": f"answer to {p['text']}"})


def finds_all_but(*parts: str) -> Any:
    """A branch that breaks on some parts."""

    async def function(brief: dict[str, Any]) -> dict[str, str]:
        if brief["part"] in parts:
            taken[brief["part"]] += 1
            raise ValueError(SECRET_WORDS)
        return finds(brief)

    return function


def fan(function: Any, on_failure: Any, *parts: str, others: Sequence[Agent] = (), **options: Any) -> System:
    """The office, with what is declared for failures."""
    topology = Supervisor(
        router=Agent("router", version=1, function=sends(*parts)),
        specialists=[clerk(function), *others],
        takes=QUESTION,
        brief=BRIEF,
        answer=options.pop("answer", ANSWER),
        aggregator=Agent("head", version=1, function=lambda g: {"text": json.dumps(g)}),
        finding=options.pop("finding", FINDING),
        on_violation=options.pop("rule", FAIL),
        on_failure=on_failure,
    )
    return System("office", version=1, topology=topology, **options)


def met(result: RunResult) -> dict[str, Any]:
    """What the head of the office was told."""
    assert result.output is not None
    found: dict[str, Any] = json.loads(result.output["text"])
    return found

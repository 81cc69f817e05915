"""Small governed systems for tests: one agent, a policy in a line or two, offline models, everything in memory."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, TypeVar

from edgewright import (
    Agent,
    Budget,
    Call,
    Contract,
    OfflineModel,
    Pipeline,
    Policy,
    ReviewAnswer,
    RunResult,
    Say,
    System,
    Turn,
)
from edgewright.contracts.errors import LedgerUnavailable
from edgewright.ledger.accounts import Account
from edgewright.ledger.checkpoints import safe_serializer
from edgewright.ledger.entry import Draft, Entry
from edgewright.ledger.memory import MemoryLedger
from edgewright.ledger.records import Record
from edgewright.ledger.sealing import Keyring
from edgewright.ledger.shared import Shared
from edgewright.ledger.store import Ledger, Noted, RunSummary
from edgewright.tools.sealed import SealedTool
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.errors import GraphBubbleUp
from pydantic import BaseModel

R = TypeVar("R")


class Question(BaseModel):
    """What the systems of these tests are asked."""

    text: str
    sender: str | None = None


class Answer(BaseModel):
    """What they answer."""

    text: str


QUESTION = Contract(Question, version=1, policy_fields=("sender",))
ANSWER = Contract(Answer, version=1)
PERMIT_ALL = '@id("all") permit(principal, action, resource);'


def asking(tool: str, when: str = "true", *, rule: str = "ask", approver: str = "finance") -> str:
    """A policy rule that asks a person about calls of `tool` when the Cedar condition holds."""
    return (
        f'@id("{rule}") @obligation("ask") @approver("{approver}") @reason("because") '
        f'forbid(principal, action == Action::"call:{tool}", resource) when {{ {when} }} '
        f'unless {{ context.approvals.contains("{rule}") }};\n'
    )


def solo(agent: Agent, *, policy: str | None = PERMIT_ALL, name: str = "solo", **options: Any) -> System:
    """A system of one agent."""
    if policy == PERMIT_ALL and not agent.tools:  # a rule without a tool to apply to is not valid
        policy = None
    return System(
        name,
        version=1,
        topology=Pipeline(stages=[agent], contracts=[QUESTION, ANSWER]),
        policy=Policy(text=policy) if policy is not None else None,
        **options,
    )


def with_code(function: Callable[[dict[str, Any]], Any], *tools: SealedTool, **options: Any) -> System:
    """A system whose one agent is a plain function."""
    limits = options.pop("limits", None) or Budget()
    return solo(Agent("worker", version=1, function=function, tools=tools, limits=limits), **options)


def with_model(model: BaseChatModel | str, *tools: SealedTool, **options: Any) -> System:
    """A system whose one agent is driven by a model."""
    given = {k: options.pop(k) for k in ("limits", "middleware") if k in options}
    return solo(Agent("worker", version=1, prompt="Do it.", tools=tools, model=model, **given), **options)


def plays(*replies: Say | Sequence[Call], name: str = "script") -> OfflineModel:
    """An offline model that gives these replies in order, and then submits what its last call returned."""

    def rules(turn: Turn) -> Say | Sequence[Call]:
        said = sum(isinstance(m, AIMessage) for m in turn.messages)
        if said < len(replies):
            return replies[said]
        return [submitting(turn.results[-1][2] if turn.results else "done")]

    return OfflineModel(name, rules)


def submitting(text: str) -> Call:
    """The call that hands the answer over to the end."""
    return Call("submit", {"text": text})


@dataclass(frozen=True, kw_only=True)
class Inside:
    """What became of code that ran as a function agent."""

    system: System
    result: RunResult
    value: Any
    error: Exception | None

    @property
    def records(self) -> list[Record]:
        """The run's records, in order."""
        return records(self.system, self.result.run)

    def of(self, kind: type[R]) -> list[R]:
        """The run's records of one kind."""
        return [r for r in self.records if isinstance(r, kind)]


async def inside(work: Callable[[], Awaitable[Any]], *tools: SealedTool, **options: Any) -> Inside:
    """Run `work` as the function of a governed agent; what it returns or raises is given back."""
    caught: list[tuple[Any, Exception | None]] = []

    async def function(_: dict[str, Any]) -> dict[str, str]:
        try:
            caught.append((await work(), None))
        except GraphBubbleUp:
            raise
        except Exception as error:  # noqa: BLE001 - the test judges it
            caught.append((None, error))
        return {"text": "done"}

    system = with_code(function, *tools, **options)
    result = await system.arun({"text": "go"})
    value, error = caught[-1] if caught else (None, None)
    return Inside(system=system, result=result, value=value, error=error)


def records(system: System, run: str) -> list[Record]:
    """A run's records, in order."""
    return [e.record for e in system.ledger.entries(run)]


def of_kind(system: System, run: str, kind: type[R]) -> list[R]:
    """A run's records of one kind."""
    return [r for r in records(system, run) if isinstance(r, kind)]


def only_run(system: System) -> str:
    """The id of the one run that the ledger holds."""
    [found] = system.ledger.runs()
    return found.run


def answers(result: RunResult, decision: str, **more: Any) -> dict[str, ReviewAnswer]:
    """The same answer to each of a result's reviews."""
    answer = ReviewAnswer.model_validate({"decision": decision, "reason": "a test says so", **more})
    return {r.id: answer for r in result.reviews}


class FailingLedger:
    """The memory ledger, except that it does not take records of some kinds."""

    def __init__(self, *kinds: type[Any]) -> None:
        self._inner, self.kinds = MemoryLedger(), kinds

    def account(self, key: str, since: float) -> Account:
        """As the ledger's."""
        return self._inner.account(key, since)

    def counted_keys(self, prefix: str) -> list[str]:
        """As the ledger's."""
        return self._inner.counted_keys(prefix)

    def counted(self, key: str, since: float) -> int:
        """As the ledger's."""
        return self._inner.counted(key, since)

    def note(self, run: str, drafts: Sequence[Draft]) -> Noted:
        """As the ledger's; fails for drafts of the chosen kinds."""
        error = self.append(run, drafts).exception()
        return SimpleNamespace(error=error)

    def append(self, run: str, drafts: Sequence[Draft]) -> Future[list[Entry]]:
        """As the ledger's; fails for drafts of the chosen kinds."""
        if any(isinstance(d.record, self.kinds) for d in drafts):
            failed: Future[list[Entry]] = Future()
            failed.set_exception(LedgerUnavailable(where="test", cause="the disk is full"))
            return failed
        return self._inner.append(run, drafts)

    def entries(self, run: str) -> list[Entry]:
        """As the ledger's."""
        return self._inner.entries(run)

    def runs(self, *, thread: str | None = None, limit: int = 1000) -> list[RunSummary]:
        """As the ledger's."""
        return self._inner.runs(thread=thread, limit=limit)

    def payload(self, run: str, digest: str) -> bytes | None:
        """As the ledger's."""
        return self._inner.payload(run, digest)

    @property
    def shared(self) -> Shared:
        """As the ledger's."""
        return self._inner.shared

    @property
    def keyring(self) -> Keyring:
        """As the ledger's."""
        return self._inner.keyring

    def run_key(self, run: str) -> bytes | None:
        """As the ledger's."""
        return self._inner.run_key(run)

    def exact(self, run: str, ref: str) -> bytes | None:
        """As the ledger's."""
        return self._inner.exact(run, ref)

    def define(self, digest: str, body: bytes) -> None:
        """As the ledger's."""
        self._inner.define(digest, body)

    def definition(self, digest: str) -> bytes | None:
        """As the ledger's."""
        return self._inner.definition(digest)

    def erase(self, run: str, *, by: str, reason: str = "") -> None:
        """As the ledger's."""
        self._inner.erase(run, by=by, reason=reason)

    def search(self, text: str, *, limit: int = 50) -> list[str]:
        """As the ledger's."""
        return self._inner.search(text, limit=limit)

    def close(self) -> None:
        """As the ledger's."""
        self._inner.close()


def on_ledger(system: System, ledger: Ledger) -> System:
    """Put a system in memory on a ledger of the test's own."""
    system.home._ledger, system.home._saver = ledger, InMemorySaver(serde=safe_serializer())
    return system


def kinds_of(found: Iterable[Record]) -> list[str]:
    """The kinds of records, in order."""
    return [r.kind for r in found]

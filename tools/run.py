"""The run that is under way: its ledger, journal, meters, policy and positions, found through the context.

Identity comes from here only, never from state, messages or arguments (threat 10).
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, TypeVar
from uuid import UUID

from ..contracts.budget import Amounts, Budget, Price
from ..contracts.errors import NotFound
from ..contracts.labels import Label
from ..contracts.loops import LOOPS, Loops
from ..contracts.policy import CompiledPolicy
from ..contracts.sources import Sources
from ..contracts.tool import ToolSpec
from ..ledger.counters import Counters
from ..ledger.entry import Draft, Entry
from ..ledger.records import (
    BudgetRaised,
    CallJudged,
    ContractPassed,
    EffectDone,
    PriceGiven,
    Record,
    RecordRead,
    RecordSettled,
    ReviewAsked,
)
from ..ledger.store import Ledger, Noted
from .knowing import Knowledge
from .looping import Trail
from .passing import first_key, tried
from .position import Positions
from .retelling import retell
from .spending import Spending, shared_budgets
from .versions import Versions

R = TypeVar("R")


@dataclass(frozen=True, slots=True, kw_only=True)
class Grounds:
    """What a run stands on, fixed when it starts: identity, rules, limits, means.

    `budget` is its own; `budgets` are those that it shares with other runs. `limits` are those of its agents, `teams`
    the teams inside which an agent is, by its name: what it spends they spend, too.
    """

    run: str
    thread: str
    system: str
    environment: str
    policy: CompiledPolicy | None
    tools: Mapping[str, ToolSpec]
    request: Mapping[str, Any]
    budget: Budget
    resources: tuple[Any, ...] = ()
    tenant: str = "local"
    budgets: tuple[Budget, ...] = ()
    loops: Loops = LOOPS
    limits: Mapping[str, Budget] = field(default_factory=dict)
    teams: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(slots=True)
class Run:
    """One run in this process. Build with `Run.over`, which reads what the ledger already holds of it.

    `counters` count the budgets that it shares with runs of other machines; None counts them in the ledger.
    """

    grounds: Grounds
    ledger: Ledger
    counters: Counters | None = None
    journal: dict[str, Record] = field(default_factory=dict)
    positions: Positions = field(default_factory=Positions)
    spending: Spending = field(init=False)
    trail: Trail = field(init=False)
    prices: dict[str, Price] = field(default_factory=dict)
    outer: Activation | None = None
    done: set[str] = field(default_factory=set)
    judged: set[str] = field(default_factory=set)
    asked: dict[str, ReviewAsked] = field(default_factory=dict)
    verdicts: dict[str, dict[str, Any]] = field(default_factory=dict)
    own: dict[str, list[CallJudged]] = field(default_factory=dict)
    started: float = field(default_factory=time.time)
    ended: str = ""
    drained: bool = False
    tries: Counter[str] = field(default_factory=Counter)
    notes: list[Noted] = field(default_factory=list)
    lock: threading.RLock = field(default_factory=threading.RLock)
    knows: Knowledge = field(default_factory=Knowledge)
    versions: Versions = field(default_factory=Versions)
    # What is still out, and how to settle it when the run stops here: model calls that were cancelled.
    abandon: dict[UUID, Callable[[], None]] = field(default_factory=dict)
    # Nodes that are at work, and whether the run is let go once the last of them is through.
    nodes: int = 0
    leaving: bool = False

    def __post_init__(self) -> None:
        grounds = self.grounds
        name = grounds.system.partition("@")[0]
        shared = shared_budgets(grounds.budgets, tenant=grounds.tenant, system=name, thread=grounds.thread)
        self.spending = Spending(grounds.budget, shared, name=grounds.system, limits=grounds.limits)
        self.spending.teams = grounds.teams
        self.trail = Trail(grounds.loops)

    @classmethod
    def over(cls, grounds: Grounds, ledger: Ledger, entries: Sequence[Entry]) -> Run:
        """The run as its records tell it: journal by key, meters with all that was spent or is still reserved."""
        run = cls(grounds=grounds, ledger=ledger)
        retell(run, entries)
        return run

    def own_call(self, record: CallJudged) -> None:
        """Index a call that code made by itself by the node that made it."""
        path, own, _ = record.at.rpartition("#c")
        if own:
            self.own.setdefault(path, []).append(record)

    def cross(self, key: str, record: ContractPassed) -> None:
        """Take in the labels of what crossed."""
        labels = {name: Label.from_json(found) for name, found in record.labels.items()}
        self.knows.labels[key.removeprefix("passed:")] = labels

    def key(self, what: str, at: str) -> str:
        """The key of a record about a call, of this try of it."""
        return tried(f"{what}:{at}", self.tries[at])

    def allow(self, record: BudgetRaised | PriceGiven) -> None:
        """Take in what a person allowed: more of a budget, or the price of a model."""
        match record:
            case BudgetRaised(key=""):
                self.spending.raised(record.scope, Amounts.from_json(record.amounts))
            case PriceGiven():
                given = {"input_per_million": record.input_per_million, "output_per_million": record.output_per_million}
                self.prices[record.model] = Price(**given, source=f"given by {record.by}")
            case _:
                pass  # of a shared budget: the database has it

    @property
    def spent(self) -> Amounts:
        """What the run spent so far."""
        return self.spending.spent

    def spend(self, agent: str, limits: Budget, amounts: Amounts) -> None:
        """Use at once what costs no more than is reserved. Raises BudgetExceeded.

        For what has no activation; the budgets that are shared with other runs are not looked at.
        """
        with self.spending.lock:
            self.spending.reserve(agent, limits, amounts)
            self.spending.settle(agent, limits, amounts, amounts)

    def settle_abandoned(self) -> None:
        """Settle what is still out although the run stops here."""
        for settle in list(self.abandon.values()):
            settle()

    # -- the ledger -----------------------------------------------------------------------------------------------

    def _know(self, key: str | None, record: Record) -> None:
        """Take a record into what this process knows of the run."""
        self.trail.know(key, record)
        with self.lock:
            if key is not None:
                if (first := first_key(key)) != key:
                    self.journal[first] = record
                else:
                    self.journal.setdefault(key, record)
            match record:
                case EffectDone():
                    self.done.add(record.tool)
                case ReviewAsked():
                    self.asked.setdefault(record.review, record)
                case ContractPassed():
                    self.cross(key or "", record)
                case RecordRead() | RecordSettled():
                    self.versions.know(record)
                case CallJudged():
                    self.own_call(record)
                    self.verdicts[record.at] = {
                        "run": self.grounds.run,
                        "tool": record.tool,
                        "verdict": record.verdict,
                        "rules": record.rules,
                    }
                case _:
                    pass

    def note(self, *drafts: Draft) -> None:
        """Queue records without waiting. They are durable no later than the next one that is waited for."""
        noted = self.ledger.note(self.grounds.run, drafts)
        for draft in drafts:
            self._know(draft.key, draft.record)
        with self.lock:
            self.notes.append(noted)

    def _settled_notes(self) -> list[Noted]:
        with self.lock:
            taken, self.notes = self.notes, []
            return taken

    def _written(self, entries: list[Entry], before: list[Noted]) -> list[Entry]:
        for noted in before:  # all of them settled: they were queued first
            if noted.error is not None:
                raise noted.error
        # Only now: what could not be made durable must not count as written, not even in this process.
        for entry in entries:
            self._know(entry.key, entry.record)
        return entries

    async def write(self, *drafts: Draft) -> list[Entry]:
        """Write records; returns when they, and all noted before them, are durable. Raises LedgerUnavailable."""
        before, future = self._settled_notes(), self.ledger.append(self.grounds.run, drafts)
        with self._refusable(before):
            entries = await asyncio.wrap_future(future)
        return self._written(entries, before)

    def write_blocking(self, *drafts: Draft) -> list[Entry]:
        """`write` for code outside an event loop."""
        before, future = self._settled_notes(), self.ledger.append(self.grounds.run, drafts)
        with self._refusable(before):
            entries = future.result()
        return self._written(entries, before)

    @contextmanager
    def _refusable(self, before: list[Noted]) -> Iterator[None]:
        """A run goes on after a refused write; what was noted before it is then for the next one to find."""
        try:
            yield
        except BaseException:
            with self.lock:
                self.notes = before + self.notes
            raise


@dataclass(frozen=True, slots=True, kw_only=True)
class Activation:
    """An agent's turn inside a run: who acts, under which limits, in which checkpoint namespace.

    `places` are the positions of the turn and of the tries before it; `inbox` is what had crossed to it, as `crossed`
    on the ledger; `shown` are the shared keys that it was shown. A turn without places had read what nobody knows.
    """

    run: Run
    agent: str
    limits: Budget
    ns: str
    places: tuple[str, ...] = ()
    inbox: Mapping[str, Any] = field(default_factory=dict)
    crossed: str = ""
    shown: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    out: set[asyncio.Task[Any]] = field(default_factory=set, compare=False, repr=False)

    @property
    def outer(self) -> Activation | None:
        """The turn of another run inside which this run is driven: what this one spends, that one spends too."""
        return self.run.outer

    async def settled(self) -> None:
        """Wait for the calls that are still out: LangGraph's ToolNode leaves the others alone when one of them asks."""
        while left := {t for t in self.out if not t.done()} - {asyncio.current_task()}:
            await asyncio.wait(left)

    def sources(self) -> Sources | None:
        """What the agent has read so far; None where that is not known."""
        if not self.places:
            return None
        found = self.run.knows.sources(self.places, self.inbox, self.crossed)
        for held in self.shown.values():
            found.read(held["value"], Label.from_json(held["label"]))
        return found

    def fixed(self) -> frozenset[str] | None:
        """The tools that the agent said it needs, before it read anything that nobody vouches for."""
        return self.run.knows.fixed(self.places)


_ACTIVE: ContextVar[Activation | None] = ContextVar("edgewright_activation", default=None)
_in_flight = 0
_in_flight_lock = threading.Lock()


def active() -> Activation | None:
    """The activation of this context, if any."""
    return _ACTIVE.get()


def in_flight() -> int:
    """How many activations this process runs now."""
    return _in_flight


@contextmanager
def activated(activation: Activation) -> Iterator[Activation]:
    """Make `activation` the one of this context, and of what copies it.

    Raises:
        BudgetExceeded: too many turns are under way.
    """
    global _in_flight
    activation.run.spending.enter(activation.agent, activation.limits)
    token = _ACTIVE.set(activation)
    with _in_flight_lock:
        _in_flight += 1
    try:
        yield activation
    finally:
        with _in_flight_lock:
            _in_flight -= 1
        _ACTIVE.reset(token)
        activation.run.spending.leave(activation.agent, activation.limits)


class ToolContext:
    """What a tool's function may know of the run that calls it.

    Attributes:
        run: the run's id.
        key: the effect's key, the same on every re-execution of this call: `<run>/<position>`.
        agent: the calling agent's name.
        tenant, environment: of the run.
    """

    def __init__(self, activation: Activation, at: str) -> None:
        grounds = activation.run.grounds
        self.run, self.key, self.agent = grounds.run, f"{grounds.run}/{at}", activation.agent
        self.tenant, self.environment = grounds.tenant, grounds.environment
        self._resources: Iterable[Any] = grounds.resources

    def resource(self, kind: type[R]) -> R:
        """The resource of that class that the system was given. Raises NotFound."""
        for resource in self._resources:
            if isinstance(resource, kind):
                return resource
        known = sorted(type(r).__name__ for r in self._resources)
        raise NotFound(kind="resource", name=kind.__name__, known=known)

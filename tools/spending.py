"""What a run spends: its meters, in memory and made again from the ledger, and the budgets that it shares with others.

A run's own limits, and those of its agents, are held here, in the one process that drives it. What it shares with other
runs (of its thread, system, tenant) is counted in the ledger's database, in the transaction of the record that reserves
(`ledger/counts.py`), so that it holds over processes. Who reserves in both, and settles, is `tools/reserving.py`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_CEILING, Decimal
from itertools import pairwise
from typing import Any

from ..contracts.budget import LIMITS, UNITS, Amounts, Budget, Meter, exceeded
from ..contracts.errors import BudgetClosed, BudgetExceeded, LimitReached
from ..ledger.counts import MAX_AMOUNT, Count, Counting, Settle, Window

DAY = 86_400.0
RESERVED_SECONDS = 900.0
"""How long a reservation of a shared budget stays open; then it counts as spent, for nobody came back to settle it."""
_PICO = Decimal(10) ** 12
_MILLI = 1000
_SHARED_BY_CALLS = ("usd", "input_tokens", "output_tokens", "model_calls")


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedBudget:
    """A budget of all runs of a thread, system or tenant, as one run sees it.

    Attributes:
        key: what its counts are kept under; the same in every process.
    """

    budget: Budget
    key: str

    def since(self, now: float) -> float:
        """From when on it counts."""
        return now // DAY * DAY if self.budget.per == "day" else 0.0

    def named(self, unit: str) -> str:
        """What a refusal calls one of its limits."""
        return f"{self.budget.name}: {unit}"

    def of(self, unit: str) -> str:
        """What one of its units is counted under."""
        return f"{self.key}/{unit}"

    def counts(self, by: str, amounts: Mapping[str, Any], now: float, expires: float | None) -> list[Count]:
        """What a reservation counts, each unit that is limited by itself; and that the budget is not closed."""
        limited = {u: v for u, v in amounts.items() if v and self.budget.limits(u)}
        if not limited:
            return []
        since = self.since(now)
        shut = Count(key=self.of("closed"), by=by, amount=0, windows=(Window(limit=0, since=since),), name=self.of(""))
        return [
            shut,
            *(
                Count(
                    key=self.of(unit),
                    by=by,
                    amount=counted(unit, amount),
                    windows=(
                        Window(
                            limit=counted(unit, getattr(self.budget, unit)),
                            since=since,
                            raised=self.of(f"{unit}/raised"),
                        ),
                    ),
                    name=self.named(unit),
                    expires=expires,
                )
                for unit, amount in limited.items()
            ),
        ]

    def settles(self, by: str, reserved: Amounts, used: Amounts, now: float) -> list[Counting]:
        """What takes the place of a reservation; and the budget's closing, where more was used than reserved."""
        units = [u for u in UNITS if self.budget.limits(u) and (getattr(reserved, u) or getattr(used, u))]
        found: list[Counting] = [
            Settle(key=self.of(u), by=by, amount=min(counted(u, getattr(used, u)), MAX_AMOUNT)) for u in units
        ]
        if any(getattr(used, u) > getattr(reserved, u) for u in units):
            found.append(Count(key=self.of("closed"), by=f"{by}/closed", amount=1))
        return found


def counted(unit: str, amount: Any) -> int:
    """An amount as it is counted in a database: dollars in picodollars, rounded up; seconds in milliseconds."""
    match unit:
        case "usd":
            return int((Decimal(amount) * _PICO).to_integral_value(ROUND_CEILING))
        case "seconds":
            return int(amount * _MILLI)
        case _:
            return int(amount)


def uncounted(unit: str, amount: int) -> Any:
    """The inverse of `counted`."""
    match unit:
        case "usd":
            return Decimal(amount) / _PICO
        case "seconds":
            return amount / _MILLI
        case _:
            return amount


def shared_budgets(budgets: Iterable[Budget], *, tenant: str, system: str, thread: str) -> tuple[SharedBudget, ...]:
    """The shared budgets of a run. `system` is its name, without version: a new version goes on with what is left."""
    names = {"tenant": tenant, "system": system, "thread": f"{system}/{thread}"}
    return tuple(SharedBudget(budget=b, key="/".join(["budget", b.of, b.per or "all", names[b.of]])) for b in budgets)


@dataclass(slots=True)
class Spending:
    """The account of one run in this process. Safe to use from any thread.

    Attributes:
        budget: of the run.
        name: of its system, for whoever is inside of it.
        worked: seconds of work before this process took the run up; `charged`, those that shared budgets know of.
        stepped: the nodes that were entered.
        used: how much of shared budgets was used when somebody looked last, as a share needs it.
        gone: why this account reserves nothing more; empty while it is the run's.
        limits: of the agents, by name, as the system declares them.
        teams: those inside which an agent is, by its name.
    """

    budget: Budget
    shared: tuple[SharedBudget, ...] = ()
    name: str = ""
    meters: dict[str, Meter] = field(default_factory=dict)
    lock: threading.RLock = field(default_factory=threading.RLock)
    worked: float = 0.0
    began: float = field(default_factory=time.time)
    stepped: set[str] = field(default_factory=set)
    charged: float = 0.0
    used: dict[str, float] = field(default_factory=dict)
    gone: str = ""
    limits: Mapping[str, Budget] = field(default_factory=dict)
    teams: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def scopes(self, agent: str, limits: Budget) -> tuple[Meter, ...]:
        """The meters of the run, of an agent in it, and of the teams that the agent is inside of."""
        run, name = self.meters.get("run"), f"agent {agent}"
        if run is None:
            run = self.meters["run"] = Meter("run", self.budget)
        own = self.meters.get(name)
        if own is None:
            declared = self.limits.get(agent, limits) if limits == UNLIMITED else limits
            own = self.meters[name] = Meter(name, declared)
        elif own.budget is not limits and limits != UNLIMITED:
            own.budget = limits
        if not (around := self.teams.get(agent)):
            return run, own
        return run, own, *(self.scopes(team, UNLIMITED)[1] for team in around)

    @property
    def spent(self) -> Amounts:
        """What the run spent so far."""
        with self.lock:
            return self.meters["run"].spent if "run" in self.meters else Amounts()

    def take(self, agent: str, amounts: Amounts) -> None:
        """Take in what was spent before, as the ledger tells it."""
        for meter in self.scopes(agent, UNLIMITED):
            meter.spent = meter.spent + amounts

    def elapsed(self) -> float:
        """Seconds that the run has worked."""
        return self.worked + max(0.0, time.time() - self.began)

    def reserve(self, agent: str, limits: Budget, amounts: Amounts) -> None:
        """Reserve in the run's and the agent's budget, in both or in neither. Raises BudgetExceeded."""
        with self.lock:
            if self.gone:  # whoever goes on with the run has an account of its own: two would allow twice as much
                raise BudgetClosed(scope="run", why=self.gone)
            scopes = self.scopes(agent, limits)
            elapsed = self.elapsed()
            for meter in scopes:
                meter.check(amounts)
                most = meter.budget.seconds
                if most is not None and elapsed > most:
                    more = round(elapsed - most, 1)
                    raise exceeded(meter.scope, "seconds", limit=most, used=round(most, 1), more=more)
            for meter in scopes:
                meter.reserve(amounts)

    def settle(self, agent: str, limits: Budget, reserved: Amounts, used: Amounts) -> None:
        """Replace a reservation by what was used."""
        with self.lock:
            for meter in self.scopes(agent, limits):
                meter.settle(reserved, used)

    def unspend(self, agent: str, amounts: Amounts) -> None:
        """Take back what was spent, and turned out not to be allowed."""
        with self.lock:
            for meter in self.scopes(agent, UNLIMITED):
                meter.spent = meter.spent - amounts

    def step(self, path: str) -> None:
        """Count the node at a path as a step, once however often it is executed. Raises BudgetExceeded."""
        with self.lock:
            if path not in self.stepped:
                run = self.scopes("", UNLIMITED)[0]
                run.check(Amounts(steps=1))
                self.stepped.add(path)
                run.spent = run.spent + Amounts(steps=1)

    def enter(self, agent: str, limits: Budget) -> None:
        """Begin a turn beside those that are under way. Raises BudgetExceeded."""
        with self.lock:
            scopes = self.scopes(agent, limits)
            for meter in scopes:
                most = meter.budget.branches
                if most is not None and meter.active + 1 > most:
                    raise exceeded(meter.scope, "branches", limit=most, used=meter.active, more=1)
            for meter in scopes:
                meter.active += 1

    def leave(self, agent: str, limits: Budget) -> None:
        """End a turn."""
        with self.lock:
            for meter in self.scopes(agent, limits):
                meter.active -= 1

    def raised(self, scope: str, amounts: Amounts) -> None:
        """Take in what a person added to the run's budget or to an agent's."""
        with self.lock:
            meter = self.scopes(scope.removeprefix("agent "), UNLIMITED)[0 if scope == "run" else 1]
            meter.added = meter.added + amounts

    def close(self, agent: str, excess: Amounts) -> None:
        """Take in that a call used more than was reserved for it."""
        for meter in self.scopes(agent, UNLIMITED):
            meter.close_beyond(excess)

    # -- what is shared with other runs ---------------------------------------------------------------------------

    def counts(self, by: str, amounts: Amounts, now: float, *, open_: bool = True) -> tuple[Count, ...]:
        """What a reservation counts in the shared budgets; time that was worked since the last one with it.

        Args:
            by: who reserves: the run and the call.
            open_: whether it is settled later; else it is spent.
        """
        if not self.shared:
            return ()
        expires = now + RESERVED_SECONDS if open_ else None
        units = {u: getattr(amounts, u) for u in UNITS}
        found = [c for s in self.shared for c in s.counts(by, units, now, expires)]
        if any(s.budget.seconds is not None for s in self.shared):
            elapsed = self.elapsed()
            worked = {"seconds": max(0.001, elapsed - self.charged)}
            found += [c for s in self.shared for c in s.counts(f"{by}/seconds", worked, now, None)]
            self.charged = elapsed
        return tuple(found)

    def settles(self, by: str, reserved: Amounts, used: Amounts, now: float) -> tuple[Counting, ...]:
        """What settles a reservation in the shared budgets."""
        return tuple(c for s in self.shared for c in s.settles(by, reserved, used, now))

    def named(self, name: str) -> bool:
        """Whether a count of this name is of one of these shared budgets."""
        return any(name in (s.of(""), *(s.named(unit) for unit in LIMITS)) for s in self.shared)

    def refusal(self, error: LimitReached) -> BudgetExceeded:
        """Whose limit it was that a reservation did not fit, and by how much."""
        for shared in self.shared:
            if error.name == shared.of(""):
                return BudgetClosed(scope=shared.budget.name, why="a call used more than was reserved for it")
            for unit in LIMITS:
                if error.name == shared.named(unit):
                    limit, used, more = (uncounted(unit, n) for n in (error.limit, error.used, error.asked))
                    self.used[shared.of(unit)] = float(used)
                    return exceeded(shared.budget.name, unit, limit=limit, used=used, more=more)
        return exceeded("what is counted", error.name, limit=error.limit, used=error.used, more=error.asked)

    def cheaper(self, agent: str, limits: Budget, refused: BudgetExceeded | None) -> tuple[Any, str] | None:
        """The model that one of these budgets wants asked instead, and why."""
        with self.lock:
            run, *inner = self.scopes(agent, limits)
        shares = [(meter.scope, meter.budget, meter.share()) for meter in (*inner, run)]
        shares += [(s.budget.name, s.budget, self._share(s)) for s in self.shared if s.budget.to]
        for scope, budget, share in shares:
            if not budget.to:
                continue
            if refused is not None and refused.scope == scope:
                return budget.to, f"a call did not fit the budget of {scope}"
            if budget.degrade_at is not None and share >= budget.degrade_at:
                return budget.to, f"{budget.degrade_at:.0%} of the budget of {scope} is used"
        return None

    def look(self, counted_since: Callable[[str, float], int], now: float) -> None:
        """See how much of the shared budgets is used that degrade: what `cheaper` then goes by."""
        for shared in self.shared:
            if shared.budget.to:
                for unit in _SHARED_BY_CALLS:
                    if shared.budget.limits(unit):
                        total = counted_since(shared.of(unit), shared.since(now))
                        self.used[shared.of(unit)] = float(uncounted(unit, total))

    def _share(self, shared: SharedBudget) -> float:
        limits = {u: float(limit) for u in _SHARED_BY_CALLS if (limit := getattr(shared.budget, u))}
        return max([0.0, *(self.used.get(shared.of(u), 0.0) / limit for u, limit in limits.items())])

    def budget_of(self, scope: str) -> Budget | None:
        """The budget that an error names, from inside of this run too."""
        scope = scope.removesuffix(f" of {self.name}")
        if scope in self.meters:
            return self.meters[scope].budget
        return next((s.budget for s in self.shared if s.budget.name == scope), None)


UNLIMITED = Budget(steps=None, asks=None, asks_per_hour=None, branches=None, seconds=None)


_STILL = frozenset({"run.ended", "run.drained", "dead.retried", "dead.dropped"})
"""After these nobody works until the run is resumed."""


def worked_in(times: Sequence[tuple[float, str]]) -> float:
    """Seconds of work that records tell of: (time, kind) each. What lies before an answer or a resumption is none."""
    found = 0.0
    for (before, was), (after, kind) in pairwise(times):
        if was not in _STILL and kind not in ("review.answered", "run.resumed"):
            found += max(0.0, after - before)
    return found

"""How the budgets stand that runs share: of a thread, of a system, of a tenant. Read from the ledger's counts."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from ..contracts.budget import LIMITS
from ..ledger.counters import Counters
from ..ledger.store import Ledger
from ..tools.spending import DAY, SharedBudget, uncounted
from .system import System

LIMITED = tuple(unit for unit in LIMITS if unit not in ("branches", "asks_per_hour", "irreversible_per_minute"))


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetState:
    """One limit of one shared budget. Dollars are Decimals, seconds are of work.

    Attributes:
        scope, name: whose it is: `tenant` `acme`, `thread` with its id.
        per: `day`, or empty where it counts since the beginning.
        limit: what is allowed in all, with what people added (`raised`).
        reserved: what was asked for in all; `spent` is what was used of it, `lapsed` the part of that which nobody
            settled; `open` is still out; `excess` was used above what was reserved.
        left: what can be reserved now.
        closed: a call used more than was reserved for it, so nothing more is reserved.
        turns: when it counts anew, in seconds since the epoch; None for never.
    """

    system: str
    scope: str
    name: str
    per: str
    unit: str
    limit: Any
    raised: Any
    reserved: Any
    spent: Any
    open: Any
    lapsed: Any
    excess: Any
    left: Any
    closed: bool
    turns: float | None

    def as_json(self) -> dict[str, Any]:
        """As commands print it; dollars as a string."""
        return {k: str(v) if self.unit == "usd" and k in _AMOUNTS else v for k, v in asdict(self).items()}


_AMOUNTS = frozenset({"limit", "raised", "reserved", "spent", "open", "lapsed", "excess", "left"})


def budgets_of(
    system: System, counters: Counters | Ledger, *, tenant: str | None = None, now: float | None = None
) -> list[BudgetState]:
    """Every limit of every budget that runs of a system share, in the order of their declaration. Blocks.

    A budget of the system is told before anything is spent of it; one of a thread or tenant from its first call on.

    Args:
        tenant: tells of this tenant's budget alone, and of no thread's; None of everybody's.
        now: the moment, in seconds since the epoch.
    """
    moment = time.time() if now is None else now
    found = list[BudgetState]()
    for budget in system.budgets:
        if tenant is not None and budget.of == "thread":
            continue
        base = "/".join(["budget", budget.of, budget.per or "all"])
        for key in _keys(counters, base, budget.of, system.name):
            name = key.removeprefix(f"{base}/")
            if budget.of == "tenant" and tenant not in (None, name):
                continue
            shown = name.removeprefix(f"{system.name}/") if budget.of == "thread" else name
            shared = SharedBudget(budget=budget, key=key)
            found += [_state(system.name, shown, shared, u, counters, moment) for u in LIMITED if budget.limits(u)]
    return found


def _keys(counters: Counters | Ledger, base: str, of: str, system: str) -> Iterator[str]:
    """The keys of the budgets of one kind, each once, sorted."""
    if of == "system":
        yield f"{base}/{system}"
        return
    mine = f"{base}/{system}/" if of == "thread" else f"{base}/"
    units = {k.rpartition("/")[0] for k in counters.counted_keys(mine) if k.rpartition("/")[2] in LIMITED}
    yield from sorted(units)


def _state(
    system: str, name: str, shared: SharedBudget, unit: str, counters: Counters | Ledger, now: float
) -> BudgetState:
    since, budget = shared.since(now), shared.budget
    account = counters.account(shared.of(unit), since)
    raised = uncounted(unit, counters.counted(shared.of(f"{unit}/raised"), since))
    limit = getattr(budget, unit) + raised
    told = {
        field: uncounted(unit, getattr(account, field)) for field in ("reserved", "spent", "open", "lapsed", "excess")
    }
    closed = counters.counted(shared.of("closed"), since) > 0
    left = max(limit - told["spent"] - told["open"], limit * 0)
    return BudgetState(
        system=system,
        scope=budget.of,
        name=name,
        per=budget.per or "",
        unit=unit,
        limit=limit,
        raised=raised,
        left=limit * 0 if closed else left,
        closed=closed,
        turns=since + DAY if budget.per == "day" else None,
        **told,
    )

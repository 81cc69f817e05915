"""Budgets: limits, what was spent, and the arithmetic of reserving before spending.

A reservation is taken before a call and replaced by what was really used after it. `None` means unlimited, zero
means zero. Dollars are Decimals, so that a sum is exact to the last unit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from decimal import Decimal, InvalidOperation
from operator import attrgetter
from typing import Any, Literal, get_args

from .errors import BudgetClosed, BudgetExceeded

UNITS = ("usd", "input_tokens", "output_tokens", "model_calls", "tool_calls", "handoffs", "steps", "asks")
"""What is limited, each reserved before it is used."""
Scope = Literal["run", "thread", "system", "tenant"]
"""Whose a budget is. A run's own lives and ends with it; the others are of all runs of a thread, system or tenant."""
Then = Literal["fail", "drain", "ask"]
UNSAID: Any = object()
"""A limit that was not given; it has a default, where `None` means that there is none."""
_DEFAULTS: Mapping[str, Any] = {
    "steps": 500,
    "asks": 20,
    "asks_per_hour": 60,
    "branches": 256,
    "seconds": 3600.0,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Amounts:
    """How much of each unit: spent, reserved, or to be reserved.

    `unpriced_calls` are model calls whose cost nobody knows: dollars are what is known, and so much is missing.
    """

    usd: Decimal = Decimal(0)
    input_tokens: int = 0
    output_tokens: int = 0
    model_calls: int = 0
    tool_calls: int = 0
    handoffs: int = 0
    steps: int = 0
    asks: int = 0
    unpriced_calls: int = 0

    def __add__(self, other: Amounts) -> Amounts:
        return Amounts(**{u: a + b for u, a, b in zip(_TALLIED, _all(self), _all(other), strict=True)})

    def __sub__(self, other: Amounts) -> Amounts:
        return Amounts(**{u: a - b for u, a, b in zip(_TALLIED, _all(self), _all(other), strict=True)})

    def beyond(self, reserved: Amounts) -> Amounts:
        """What of this is above what was reserved for it; tokens, dollars and calls alike."""
        return Amounts(**{u: max(a - b, a * 0) for u, a, b in zip(_TALLIED, _all(self), _all(reserved), strict=True)})

    def as_json(self) -> dict[str, Any]:
        """The units that are not zero; dollars as a string."""
        found = {u: v for u, v in zip(_TALLIED, _all(self), strict=True) if v}
        return {u: str(v) if u == "usd" else v for u, v in found.items()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Amounts:
        """The inverse of `as_json`."""
        usd, counts = Decimal(data.get("usd", 0)), {u: int(v) for u, v in data.items() if u != "usd"}
        return cls(usd=usd, **counts)


_TALLIED = tuple(f.name for f in fields(Amounts))
_all = attrgetter(*_TALLIED)


def dollars(value: Decimal | str | int, what: str) -> Decimal:
    """An exact amount. Raises TypeError for a float, ValueError for what is no amount."""
    if isinstance(value, float | bool):
        raise TypeError(f"{what} takes a string, an int or a Decimal: a {type(value).__name__} is not an exact amount")
    try:
        amount = Decimal(value)
    except InvalidOperation:
        raise ValueError(f"{what}: {value!r} is not an amount") from None
    if not amount.is_finite():
        raise ValueError(f"{what}: {value} is not an amount; None means unlimited")
    return amount


def _refuse_negative(amounts: Amounts) -> None:
    for unit in UNITS:
        if not (getattr(amounts, unit) >= 0):
            raise ValueError(f"{unit} of {getattr(amounts, unit)}: what is reserved or used is not negative")


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """What a model costs, in dollars per million tokens, and where that figure comes from.

    `cache_read_per_million` and `cache_write_per_million` are of input that the provider takes from its cache, or puts
    there; None: as other input. `date` is the day of the figure.
    """

    input_per_million: Decimal | str
    output_per_million: Decimal | str
    cache_read_per_million: Decimal | str | None = None
    cache_write_per_million: Decimal | str | None = None
    source: str = "declared"
    date: str = ""

    def __post_init__(self) -> None:
        for name in _PER_MILLION:
            given = getattr(self, name)
            if given is None and name.startswith("cache"):
                given = self.input_per_million
            object.__setattr__(self, name, dollars(given, f"Price({name}=...)"))
            if getattr(self, name) < 0:
                raise ValueError(f"Price({name}={getattr(self, name)}): a price is not negative")

    def of(self, input_tokens: int, output_tokens: int, *, cache_read: int = 0, cache_write: int = 0) -> Decimal:
        """Dollars for a call, exact. `cache_read` and `cache_write` are parts of the input."""
        plain, read, write, out = (Decimal(getattr(self, name)) for name in _PER_MILLION)
        rest = input_tokens - cache_read - cache_write
        return (plain * rest + read * cache_read + write * cache_write + out * output_tokens) / 1_000_000

    def most(self, input_tokens: int, output_tokens: int) -> Decimal:
        """The most that a call of so many tokens can cost, whatever the provider's cache does."""
        write, read = (Decimal(getattr(self, f"cache_{way}_per_million")) for way in ("write", "read"))
        dearest = max(Decimal(self.input_per_million), write, read)
        return (dearest * input_tokens + Decimal(self.output_per_million) * output_tokens) / 1_000_000


_PER_MILLION = ("input_per_million", "cache_read_per_million", "cache_write_per_million", "output_per_million")


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """Limits of one scope. A string or int given for `usd` becomes a Decimal; floats are refused.

    `Budget(usd="0.50", degrade_at=0.8, to="openai:gpt-5-nano", then="drain")` is of a run: from 40 cents on its agents
    ask the cheaper model, and where a call does not fit any more, the run stops at a checkpoint and can be resumed.
    `Budget(of="tenant", per="day", usd="20")` is of all runs of a tenant, from midnight to midnight (UTC).

    Attributes:
        handoffs, steps: payloads handed over by a model; nodes of the graph entered (turns, crossings, reviews).
        asks: how often a person is asked. A flood of questions is an attack on the person.
        seconds: of work; the time in which a run waits for a person does not count.
        branches: turns that are under way at once.
        asks_per_hour, irreversible_per_minute: of all runs of the system for one tenant together; only of a run's
            budget, where a system declares them.
        of, per: whose budget it is; without `per` of everything since the beginning.
        degrade_at, to: from this share of any limit on, agents ask the model `to` instead: `provider:model`, or a chat
            model. Without `degrade_at`, where a call to their own model does not fit.
        then: what happens where a call does not fit: the run fails, stops at a checkpoint and can be resumed, or asks a
            person of `role` for more.
        unpriced: what happens with a model whose price nobody knows where dollars are limited: `refuse`, `ask` a person
            for the price, or a Price that is taken as an estimate.

    Steps, asks, branches and seconds of a run have limits unless they are given as None.
    """

    usd: Decimal | str | int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    model_calls: int | None = None
    tool_calls: int | None = None
    handoffs: int | None = None
    steps: int | None = UNSAID
    asks: int | None = UNSAID
    asks_per_hour: int | None = UNSAID
    irreversible_per_minute: int | None = None
    seconds: float | None = UNSAID
    branches: int | None = UNSAID
    of: Scope = "run"
    per: Literal["day"] | None = None
    degrade_at: float | None = None
    to: Any = None
    then: Then = "fail"
    role: str = "operator"
    unpriced: Literal["refuse", "ask"] | Price = "refuse"

    def __post_init__(self) -> None:
        for name, default in _DEFAULTS.items():
            if getattr(self, name) is UNSAID:
                object.__setattr__(self, name, default if self.of == "run" else None)
        if self.usd is not None:
            object.__setattr__(self, "usd", dollars(self.usd, "Budget(usd=...)"))
        for name in LIMITS:
            value = getattr(self, name)
            if value is not None and name not in ("usd", "seconds") and type(value) is not int:
                raise TypeError(f"Budget({name}={value!r}): takes an int")
            if value is not None and not (value >= 0):
                raise ValueError(f"Budget({name}={value}): a limit is not negative; None means unlimited")
        if fault := self._fault():
            raise ValueError(f"Budget({fault}")

    def _fault(self) -> str:
        if self.of not in get_args(Scope):
            return f"of={self.of!r}): known: {', '.join(get_args(Scope))}"
        if self.then not in get_args(Then):
            return f"then={self.then!r}): known: {', '.join(get_args(Then))}"
        if self.per not in (None, "day") or (self.per and self.of == "run"):
            return f"of={self.of!r}, per={self.per!r}): only the budget of a thread, system or tenant is per 'day'"
        if self.of != "run" and (self.asks_per_hour is not None or self.irreversible_per_minute is not None):
            return f"of={self.of!r}): asks_per_hour and irreversible_per_minute belong into the budget of a run"
        if self.of != "run" and (self.steps is not None or self.branches is not None):
            return f"of={self.of!r}): steps and branches belong into the budget of a run"
        if self.degrade_at is not None and not (0 < self.degrade_at <= 1 and self.to):
            return f"degrade_at={self.degrade_at}): a share above 0, 1 at most, and a model `to` ask then"
        if not (self.unpriced in ("refuse", "ask") or isinstance(self.unpriced, Price)):
            return f"unpriced={self.unpriced!r}): 'refuse', 'ask', or a Price as an estimate"
        return ""

    def as_json(self) -> dict[str, Any]:
        """The limits that are set, and what else was said; dollars as a string, a model object by its class."""
        found = {name: getattr(self, name) for name in LIMITS if getattr(self, name) is not None}
        said = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in LIMITS}
        plain = {f.name: f.default for f in fields(self)}
        said = {name: v for name, v in said.items() if v != plain[name]}
        told = {name: v if isinstance(v, int | float | str) else _said(v) for name, v in said.items()}
        return {u: str(v) if u == "usd" else v for u, v in found.items()} | told

    def limits(self, unit: str) -> bool:
        """Whether `unit` is limited here."""
        return getattr(self, unit) is not None

    @property
    def name(self) -> str:
        """What a refusal calls it: `run`, `tenant in a day`, …"""
        return f"{self.of} in a {self.per}" if self.per else self.of


def _said(value: Any) -> str:
    return str(value) if isinstance(value, Price) else type(value).__name__


LIMITS = (*UNITS, "asks_per_hour", "irreversible_per_minute", "seconds", "branches")


@dataclass(slots=True)
class Meter:
    """The running account of one scope: its budget, what was spent, what is reserved.

    Plain arithmetic, no locking: who shares a meter holds a lock around it.

    Attributes:
        added: what a person allowed beyond the limits.
        closed: why no further model call may be made; empty while the scope is open.
        active: turns that are under way.
    """

    scope: str
    budget: Budget
    spent: Amounts = field(default_factory=Amounts)
    reserved: Amounts = field(default_factory=Amounts)
    added: Amounts = field(default_factory=Amounts)
    closed: str = ""
    active: int = 0

    def limit(self, unit: str) -> Any:
        """The limit of a unit with what was added to it; None where it has none."""
        limit = getattr(self.budget, unit)
        return None if limit is None else limit + getattr(self.added, unit)

    def check(self, amounts: Amounts) -> None:
        """Raise BudgetExceeded if `amounts` on top of spent and reserved would pass a limit.

        A negative amount, which would make room, is a ValueError here and when settling.
        """
        _refuse_negative(amounts)
        if self.closed and amounts.model_calls:
            raise BudgetClosed(scope=self.scope, why=self.closed)
        for unit in UNITS:
            limit, more = self.limit(unit), getattr(amounts, unit)
            if limit is None or not more:
                continue
            used = getattr(self.spent, unit) + getattr(self.reserved, unit)
            if used + more > limit:
                raise exceeded(self.scope, unit, limit=limit, used=used, more=more)

    def reserve(self, amounts: Amounts) -> None:
        """Reserve, or raise BudgetExceeded and reserve nothing."""
        self.check(amounts)
        self.reserved = self.reserved + amounts

    def settle(self, reserved: Amounts, used: Amounts) -> None:
        """Replace a reservation by what was really used, even where that is more.

        Where it is more of a unit that is limited, the bound that stood for the call is no bound, and the scope closes.
        """
        _refuse_negative(used)
        self.reserved = self.reserved - reserved
        self.spent = self.spent + used
        self.close_beyond(used.beyond(reserved))

    def close_beyond(self, excess: Amounts) -> None:
        """Close the scope where more of a limited unit was used than reserved."""
        more = {u: v for u in UNITS if self.budget.limits(u) and (v := getattr(excess, u))}
        if more and not self.closed:
            listed = ", ".join(f"{v} {u.replace('_', ' ')}" for u, v in more.items())
            self.closed = f"a call used {listed} more than was reserved for it"

    def share(self) -> float:
        """The greatest share of a limit of what a model call uses that is spent or reserved."""
        found = [0.0]
        for unit in ("usd", "input_tokens", "output_tokens", "model_calls"):
            if limit := self.limit(unit):
                found.append(float((getattr(self.spent, unit) + getattr(self.reserved, unit)) / limit))
        return max(found)


def exceeded(scope: str, unit: str, *, limit: Any, used: Any, more: Any) -> BudgetExceeded:
    """The error of a reservation that does not fit."""
    return BudgetExceeded(
        scope=scope,
        unit=unit.replace("_", " "),
        limit=_figure(limit),
        projected=_figure(used + more),
        used=_figure(used),
        over=_figure(used + more - limit),
    )


def _figure(amount: Any) -> str:
    """A figure as people write it: a Decimal without an exponent."""
    return f"{amount:f}" if isinstance(amount, Decimal) else str(amount)

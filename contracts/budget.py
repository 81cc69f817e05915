"""Budgets: limits, what was spent, and the arithmetic of reserving before spending.

A reservation is taken before a call and replaced by what was really used after it. `None` means unlimited, zero
means zero. Dollars are Decimals, so that a sum is exact to the last unit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from decimal import Decimal, InvalidOperation
from typing import Any

from .errors import BudgetExceeded

UNITS = ("usd", "input_tokens", "output_tokens", "model_calls", "tool_calls", "handoffs", "asks")


@dataclass(frozen=True, slots=True, kw_only=True)
class Amounts:
    """How much of each unit: spent, reserved, or to be reserved."""

    usd: Decimal = Decimal(0)
    input_tokens: int = 0
    output_tokens: int = 0
    model_calls: int = 0
    tool_calls: int = 0
    handoffs: int = 0
    asks: int = 0

    def __add__(self, other: Amounts) -> Amounts:
        return Amounts(
            usd=self.usd + other.usd,
            input_tokens=self.input_tokens + other.input_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            model_calls=self.model_calls + other.model_calls,
            tool_calls=self.tool_calls + other.tool_calls,
            handoffs=self.handoffs + other.handoffs,
            asks=self.asks + other.asks,
        )

    def __sub__(self, other: Amounts) -> Amounts:
        return Amounts(
            usd=self.usd - other.usd,
            input_tokens=self.input_tokens - other.input_tokens,
            output_tokens=self.output_tokens - other.output_tokens,
            model_calls=self.model_calls - other.model_calls,
            tool_calls=self.tool_calls - other.tool_calls,
            handoffs=self.handoffs - other.handoffs,
            asks=self.asks - other.asks,
        )

    def as_json(self) -> dict[str, Any]:
        """The units that are not zero; dollars as a string."""
        found = {u: getattr(self, u) for u in UNITS if getattr(self, u)}
        return {u: str(v) if u == "usd" else v for u, v in found.items()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Amounts:
        """The inverse of `as_json`."""
        usd, counts = Decimal(data.get("usd", 0)), {u: int(v) for u, v in data.items() if u != "usd"}
        return cls(usd=usd, **counts)


def _dollars(value: Decimal | str | int, what: str) -> Decimal:
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
class Budget:
    """Limits of one scope. A string or int given for `usd` becomes a Decimal; floats are refused.

    Attributes:
        asks: how often a person is asked. A flood of questions is an attack on the person.
        asks_per_hour, irreversible_per_minute: of all runs of the system for one tenant together; only in the budget of
            a system.
    """

    usd: Decimal | str | int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    model_calls: int | None = None
    tool_calls: int | None = None
    handoffs: int | None = None
    asks: int | None = 20
    asks_per_hour: int | None = 60
    irreversible_per_minute: int | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        if self.usd is not None:
            object.__setattr__(self, "usd", _dollars(self.usd, "Budget(usd=...)"))
        for f in fields(self):
            value = getattr(self, f.name)
            if value is not None and f.name not in ("usd", "seconds") and type(value) is not int:
                raise TypeError(f"Budget({f.name}={value!r}): takes an int")
            if value is not None and not (value >= 0):
                raise ValueError(f"Budget({f.name}={value}): a limit is not negative; None means unlimited")

    def as_json(self) -> dict[str, Any]:
        """The limits that are set; dollars as a string."""
        found = {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) is not None}
        return {u: str(v) if u == "usd" else v for u, v in found.items()}

    def limits(self, unit: str) -> bool:
        """Whether `unit` is limited here."""
        return getattr(self, unit) is not None


@dataclass(slots=True)
class Meter:
    """The running account of one scope: its budget, what was spent, what is reserved.

    Plain arithmetic, no locking: who shares a meter holds a lock around it.
    """

    scope: str
    budget: Budget
    spent: Amounts = field(default_factory=Amounts)
    reserved: Amounts = field(default_factory=Amounts)

    def check(self, amounts: Amounts) -> None:
        """Raise BudgetExceeded if `amounts` on top of spent and reserved would pass a limit.

        A negative amount, which would make room, is a ValueError here and when settling.
        """
        _refuse_negative(amounts)
        for unit in UNITS:
            limit, more = getattr(self.budget, unit), getattr(amounts, unit)
            if limit is None or not more:
                continue
            used = getattr(self.spent, unit) + getattr(self.reserved, unit)
            if used + more > limit:
                raise BudgetExceeded(
                    scope=self.scope,
                    unit=unit.replace("_", " "),
                    limit=str(limit),
                    projected=str(used + more),
                    used=str(used),
                )

    def reserve(self, amounts: Amounts) -> None:
        """Reserve, or raise BudgetExceeded and reserve nothing."""
        self.check(amounts)
        self.reserved = self.reserved + amounts

    def settle(self, reserved: Amounts, used: Amounts) -> None:
        """Replace a reservation by what was really used, even where that is more."""
        _refuse_negative(used)
        self.reserved = self.reserved - reserved
        self.spent = self.spent + used


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """What a model costs, in dollars per million tokens, and where that figure comes from."""

    input_per_million: Decimal | str
    output_per_million: Decimal | str
    source: str = "declared"

    def __post_init__(self) -> None:
        for name in ("input_per_million", "output_per_million"):
            object.__setattr__(self, name, _dollars(getattr(self, name), f"Price({name}=...)"))
            if getattr(self, name) < 0:
                raise ValueError(f"Price({name}={getattr(self, name)}): a price is not negative")

    def of(self, input_tokens: int, output_tokens: int) -> Decimal:
        """Dollars for a call, exact."""
        return (
            Decimal(self.input_per_million) * input_tokens + Decimal(self.output_per_million) * output_tokens
        ) / 1_000_000

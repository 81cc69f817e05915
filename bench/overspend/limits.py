"""Budgets that fifty calls fit, and not one more."""

from __future__ import annotations

import random
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from edgewright import Budget
from edgewright.contracts.budget import Amounts, Scope

from bench.overspend.asking import CALLS

UNITS: Mapping[str, tuple[str, ...]] = {
    "calls": ("model_calls",),
    "dollars": ("usd",),
    "tokens": ("input_tokens", "output_tokens"),
}
"""What is limited; of several, one in each round."""
_WIDE: Mapping[str, Any] = {
    "usd": Decimal(1000),
    "input_tokens": 10**9,
    "output_tokens": 10**9,
    "model_calls": 10**6,
}
_LEAST = Decimal("1e-12")
"""The least amount of dollars that is counted in a database."""


def covering(limit: str, one: Amounts, rng: random.Random, *, of: Scope, per: Any = None) -> Budget:
    """A budget that covers so many calls by the most that each may use, and less than one call beside them.

    The other units are limited, too, by far more than is asked for: what is not limited is on no account.
    """
    unit = rng.choice(UNITS[limit])
    each: Any = getattr(one, unit)
    least = _LEAST if unit == "usd" else 1
    beside = rng.choice([0, each / 2 if unit == "usd" else each // 2, each - least])
    own: dict[str, Any] = {"steps": None, "seconds": None} if of == "run" else {}
    return Budget(of=of, per=per, **{**_WIDE, unit: CALLS * each + beside}, **own)

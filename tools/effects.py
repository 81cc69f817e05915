"""What to do about an effect whose key the journal may know already. A pure decision."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..contracts.tool import ToolSpec
from ..ledger.records import EffectDone, EffectFailed, EffectIntended, EffectRefused, Record

Outcome = EffectDone | EffectRefused | EffectFailed


@dataclass(frozen=True, slots=True, kw_only=True)
class Fresh:
    """Never intended: do it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """It has an outcome: give that back."""

    outcome: Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Unknown:
    """It was intended and has no final outcome: it may have happened. `way` is what to do about it."""

    way: Literal["again", "probe", "review"]


def standing(spec: ToolSpec, intended: Record | None, outcome: Record | None) -> Fresh | Known | Unknown:
    """How an effect stands, given what is recorded under its key: its intent and its final outcome, if any.

    A failure after which nobody knows whether it happened is no final outcome, and is not recorded under the key.
    """
    if isinstance(outcome, EffectDone | EffectRefused | EffectFailed):
        return Known(outcome=outcome)
    if not isinstance(intended, EffectIntended):
        return Fresh()
    if spec.idempotency != "none":
        return Unknown(way="again")
    return Unknown(way="probe" if spec.has_probe else "review")

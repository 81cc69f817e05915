"""What a gate can say: allow, deny or ask. The set is closed."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A rule that decided: its id, and for a rule that asks, who may answer and why it asks.

    `separation`: not by whoever started the run. `approvals`: by so many different persons.
    """

    id: str
    approver: str = ""
    reason: str = ""
    separation: bool = False
    approvals: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Allow:
    """The call may run. `rules` are the permits that allowed it."""

    rules: tuple[Rule, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Deny:
    """The call must not run. `rules` are the forbids that denied it; empty means no rule permits it."""

    rules: tuple[Rule, ...]
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """The call may run once a person approved each of `rules`."""

    rules: tuple[Rule, ...]


Verdict = Allow | Deny | Ask

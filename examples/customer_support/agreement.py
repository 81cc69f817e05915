"""Whether the help desk's database and the ledger tell one story: each effect of the one exactly once in the other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from edgewright import System
from edgewright.ledger.records import EffectDone

from .database import EFFECTS, HelpDesk

_TOOLS = {
    "credit_invoice": "credits",
    "cancel_line": "cancellations",
    "reset_access": "resets",
    "open_incident": "incidents",
}


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """`rows` counts the rows per table; the rest names effect keys that stand on one side only, or twice."""

    rows: dict[str, int]
    not_on_ledger: tuple[str, ...]
    not_in_database: tuple[str, ...]
    twice: tuple[str, ...]

    @property
    def holds(self) -> bool:
        """Whether nothing is missing and nothing is there twice."""
        return not (self.not_on_ledger or self.not_in_database or self.twice)


def agreement(system: System, desk: HelpDesk) -> Agreement:
    """Compare all rows of all effect tables with all completed effects of the ledger."""
    in_database = [(kind, row["effect_key"]) for kind in EFFECTS for row in desk.effects(kind)]
    on_ledger = list(_completed(system))
    return Agreement(
        rows=dict(Counter(kind for kind, _ in in_database)),
        not_on_ledger=_named(set(in_database) - set(on_ledger)),
        not_in_database=_named(set(on_ledger) - set(in_database)),
        twice=_named(e for e, n in (Counter(in_database) + Counter(on_ledger)).items() if n > 2),
    )


def _completed(system: System) -> Iterable[tuple[str, str]]:
    for summary in system.ledger.runs(limit=1_000_000):
        if summary.system.partition("@")[0] != system.name:  # other systems may keep theirs in the same home
            continue
        for entry in system.ledger.entries(summary.run):
            record = entry.record
            if isinstance(record, EffectDone) and record.changes_world:
                yield _TOOLS[record.tool], f"{summary.run}/{record.effect}"


def _named(effects: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    return tuple(sorted(f"{kind} {key}" for kind, key in effects))

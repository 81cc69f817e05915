"""How risky a document is, in points: `data/risk.toml`, read against the document and the matter's file."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypedDict, assert_never

from .compliance import Checked
from .library import DATA, DRAFTED, rows

Level = Literal["low", "medium", "high"]
Kind = Literal["fact", "value", "drafted", "fallback", "missing"]


class Risk(TypedDict):
    """The risk of a document: its points, the level they make, and what they are for."""

    points: int
    level: Level
    reasons: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Factor:
    """What makes a document risky."""

    id: str
    kind: Kind
    points: int
    why: str
    fact: str = ""
    above: int = 0
    slot: str = ""
    templates: tuple[str, ...] = ()

    def times(self, checked: Checked) -> int:
        """How often it holds of a document."""
        if self.templates and checked.template.id not in self.templates:
            return 0
        matter, sections = checked.matter, checked.sections
        match self.kind:
            case "fact":
                return int(getattr(matter, self.fact))
            case "value":
                return int(matter.value_eur > self.above)
            case "drafted":
                return sum(s.source == DRAFTED for s in sections)
            case "fallback":
                known = [checked.library.by_key.get(s.source) for s in sections]
                return sum(c is not None and c.position == "fallback" for c in known)
            case "missing":
                return int(self.slot not in checked.filled)
            case _:
                assert_never(self.kind)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """All factors, and the points from which a document is of medium and of high risk."""

    medium: int
    high: int
    factors: tuple[Factor, ...]

    def risk(self, checked: Checked) -> Risk:
        """The risk of a document."""
        found = [(factor, factor.times(checked)) for factor in self.factors]
        points = sum(factor.points * times for factor, times in found)
        level: Level = "high" if points >= self.high else "medium" if points >= self.medium else "low"
        return Risk(points=points, level=level, reasons=[factor.why for factor, times in found if times])


def load_scale(path: Path = DATA / "risk.toml") -> Scale:
    """Read the factors. Raises TypeError for a line that is none."""
    told = tomllib.loads(path.read_text(encoding="utf-8"))
    return Scale(medium=told["medium"], high=told["high"], factors=tuple(Factor(**row) for row in rows(path, "factor")))

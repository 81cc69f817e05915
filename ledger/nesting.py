"""How deep in a run something happened: inside which teams, by the places of their turns."""

from __future__ import annotations

from dataclasses import dataclass, field

from .entry import Entry
from .records import AgentStarted

_AGENTS_OWN = 2
"""The depth of what an agent does, where it is no team's."""


@dataclass(slots=True)
class Nesting:
    """Reads a run's entries in order. A place is a path of `node.step`; a team's agents are below the team's own."""

    _turns: set[str] = field(default_factory=set)

    def deeper(self, entry: Entry, depth: int) -> int:
        """The depth of an entry, given the one that it would have in a run without teams."""
        at = str(getattr(entry.record, "at", "")) or (entry.key or "").partition(":")[2]
        around = sum(turn in self._turns for turn in _around(at))
        if isinstance(entry.record, AgentStarted):
            self._turns.add(at)
        # What an agent does is at a place inside its own turn, which counts already.
        own = depth >= _AGENTS_OWN and bool(around)
        return depth + around - own


def _around(at: str) -> list[str]:
    """The places that a place is inside of."""
    parts = at.replace("#", "/").split("/")
    return ["/".join(parts[:n]) for n in range(1, len(parts))]

"""What a run knows of the versions of shared records."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from ..ledger.records import Record, RecordRead, RecordSettled


@dataclass(slots=True)
class Versions:
    """Which versions of shared records a run has read, by its own writing too. Made again from its records.

    What an agent read counts for that agent; what it did not read itself it has from the others, so their newest
    counts.
    """

    _by_agent: dict[tuple[str, str], int] = field(default_factory=dict)
    _newest: dict[str, int] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def know(self, record: Record) -> None:
        """Take a record in."""
        match record:
            case RecordRead(agent=agent, alias=alias, version=version):
                pass
            # Where somebody else changed it too while the effect was under way, the run does not know what it says.
            case RecordSettled(changed=True, sole=True, agent=agent, alias=alias, version=version):
                pass
            case _:
                return
        with self._lock:
            self._by_agent[agent, alias] = version
            self._newest[alias] = max(version, self._newest.get(alias, 0))

    def seen(self, agent: str, alias: str) -> int | None:
        """The version that what `agent` does now is based on; None if the run never read the record."""
        with self._lock:
            return self._by_agent.get((agent, alias), self._newest.get(alias))

"""Counts in memory: the twin of the SQLite table."""

from __future__ import annotations

from .counts import KEPT_SECONDS, Changes, Row


class MemoryCounts:
    """See `CountTable`. It works under the lock of its ledger."""

    def __init__(self) -> None:
        self._rows: dict[str, dict[str, Row]] = {}

    def row(self, key: str, by: str) -> Row | None:
        """See `CountTable.row`."""
        return self._rows.get(key, {}).get(by)

    def total(self, key: str, since: float) -> int:
        """See `CountTable.total`."""
        return sum(row.amount for row in self._rows.get(key, {}).values() if row.time >= since)

    def put(self, changes: Changes, now: float) -> None:
        """Make changes count. Old rows of their keys go."""
        for (key, by), row in changes.items():
            rows = self._rows.setdefault(key, {})
            if row is None:
                rows.pop(by, None)
            else:
                rows[by] = row
            for old in [r.by for r in rows.values() if r.time < now - KEPT_SECONDS and not r.lasting]:
                del rows[old]

"""Counts in memory: the twin of the SQLite table."""

from __future__ import annotations

from .accounts import Account, account_of, part_of
from .counts import Changes, Row


class MemoryCounts:
    """See `CountTable`. It works under the lock of its ledger."""

    def __init__(self) -> None:
        self._rows: dict[str, dict[str, Row]] = {}

    def row(self, key: str, by: str) -> Row | None:
        """See `CountTable.row`."""
        return self._rows.get(key, {}).get(by)

    def total(self, key: str, since: float, now: float) -> int:
        """See `CountTable.total`."""
        return sum(row.within(since, now) for row in self._rows.get(key, {}).values())

    def account(self, key: str, since: float, now: float) -> Account:
        """What became of all that was counted under a key since a moment."""
        return account_of(part_of(row, now) for row in self._rows.get(key, {}).values() if row.time >= since)

    def keys(self, prefix: str) -> list[str]:
        """The keys that begin so and under which something is counted, sorted."""
        return sorted(key for key, rows in self._rows.items() if rows and key.startswith(prefix))

    def put(self, changes: Changes, now: float) -> None:
        """Make changes count. Old rows of their keys go."""
        for (key, by), row in changes.items():
            rows = self._rows.setdefault(key, {})
            if row is None:
                rows.pop(by, None)
            else:
                rows[by] = row
            for old in [r.by for r in rows.values() if r.is_old(now)]:
                del rows[old]

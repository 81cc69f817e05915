"""Failures that pass: what is tried again when a run that failed is gone on with.

A read that failed, and a call that was not made because its integration was not there, are given back on a re-execution
like any other outcome: what an agent did next rests on it. But where nothing followed in its turn, and the turn or the
run failed, nobody did anything with it, and whoever goes on wants to know how it stands now.
"""

from __future__ import annotations

from collections import defaultdict

from ..ledger.records import (
    AgentEnded,
    AgentFailed,
    CallJudged,
    EffectFailed,
    EffectIntended,
    EffectRefused,
    ModelSettled,
    Record,
    ReplyKept,
    RunEnded,
)

_TRY = " try "


class Passing:
    """Fed with the records of a run in their order."""

    def __init__(self) -> None:
        self._last: defaultdict[str, list[str]] = defaultdict(list)
        self._called: set[str] = set()

    def know(self, record: Record) -> list[str]:
        """Take a record in; returns the positions whose outcome does not count any more."""
        match record:
            case EffectRefused(effect=at, passing=True) | EffectFailed(effect=at, unknown=False):
                self._last[_turn(at)].append(at)
            case CallJudged(at=at) if at not in self._called:
                # Made after it, so made because of it; what was called before, side by side, was not.
                self._called.add(at)
                self._last.pop(_turn(at), None)
            case EffectIntended(effect=at) if at not in self._called:
                self._last.pop(_turn(at), None)
            case ReplyKept(at=at) | ModelSettled(at=at):
                self._last.pop(_turn(at), None)
            case AgentEnded(at=at):
                kept = [p for p in self._last.pop(_turn(at), []) if not p.startswith((f"{at}#", f"{at}/"))]
                if kept:
                    self._last[_turn(at)] = kept
            case AgentFailed(at=at):
                return self._last.pop(_turn(at), [])
            case RunEnded(status=status) if status != "completed":
                found = [at for every in self._last.values() for at in every]
                self._last.clear()
                return found
            case _:
                pass
        return []


def _turn(at: str) -> str:
    """The turn that a position belongs to: the outermost node."""
    return at.partition("#")[0].partition("/")[0]


def tried(key: str, tries: int) -> str:
    """The key of a record of a further try."""
    return f"{key}{_TRY}{tries}" if tries else key


def first_key(key: str) -> str:
    """The key of the first try: what the journal knows all of them by, the newest in the place of those before it."""
    head, sep, number = key.rpartition(_TRY)
    return head if sep and number.isdigit() else key

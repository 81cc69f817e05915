"""Showcases: a system run on cases of its own, each checked against what was written down of it before.

A module that `langgraph.json` names may have, beside its graph, `async def showcase(system) -> list[Shown]`. It is what
`edgewright run NAME` plays without a request, and one row of `edgewright systems`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..graphs.system import System


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """One case of a showcase, and what became of it.

    Attributes:
        case: its name, as written down.
        run: the id of its run, by which the ledger explains it; empty where none began.
        outcome: what came out, in a few words.
        faults: each way in which it is not what was expected; empty where all is.
        asked: how many questions a person was asked.
        files: what it left for a person to look at.
        facts: more about it, for `--json`.
    """

    case: str
    run: str
    outcome: str
    faults: tuple[str, ...] = ()
    asked: int = 0
    files: tuple[Path, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether all is as expected."""
        return not self.faults


Showcase = Callable[[System], Awaitable[Sequence[Shown]]]


def unexpected(expected: Mapping[str, Any], found: Mapping[str, Any]) -> tuple[str, ...]:
    """Each expectation that does not hold, in words. What is found beside them is not looked at."""
    return tuple(
        f"{name}: expected {wanted!r}, found {found.get(name)!r}"
        for name, wanted in expected.items()
        if name not in found or found[name] != wanted
    )

"""Shared state: the writes of turns whose offers passed are made, and those in conflict are settled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..contracts.errors import WriteConflict
from ..contracts.labels import Label
from ..contracts.shared import Held, Write, applied
from ..contracts.sources import Sources
from ..ledger.entry import Draft
from ..ledger.records import SharedRefused, SharedWritten
from ..tools.run import Run
from .nodes import Means
from .state import Turned


def sources_of(run: Run, turned: Turned) -> Sources:
    """All that an agent had read when it made its offer, in the tries before this one too.

    What a team offers it has read at its own end: there its labels are as its agents left them.
    """
    if (answered := turned.get("answered")) is not None:
        return run.knows.sources([], answered["payload"], answered["crossed"])
    found = run.knows.sources([*turned["since"], turned["at"]], turned["inbox"], turned["crossed"])
    for held in turned["shown"].values():
        found.read(held["value"], Label.from_json(held["label"]))
    return found


MAX_RETRIES = 2
"""How often a turn is taken again because what it wrote was in conflict."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wrote:
    """The shared state with the writes of turns that passed, their records, and the writes that cannot be made.

    The records are noted once the state is left as it is here.
    """

    shared: dict[str, dict[str, Any]]
    drafts: list[Draft]
    refused: list[tuple[Write, WriteConflict]]


def written(run: Run, means: Means, shared: Mapping[str, dict[str, Any]], turns: Sequence[Turned], *, at: str) -> Wrote:
    """Make the writes of turns whose offers passed; who reads them is not known, so all that no reader may see is cut.

    Raises:
        SharedWriteInvalid: a write is not its agent's, or not of its key's type.
    """
    writes = [
        Write(
            key=w["key"],
            value=run.knows.cleaned(w["value"]),
            writer=turned["source"],
            based=w["based"],
            branch=None if turned["branch"] < 0 else turned["branch"],
            label=sources_of(run, turned).context,
        )
        for turned in turns
        for w in turned["writes"]
    ]
    if not writes:
        return Wrote(shared=dict(shared), drafts=[], refused=[])
    found = applied(means.keys, {k: Held.from_json(held) for k, held in shared.items()}, writes)
    drafts = [_written(run, write, held, at) for write, held in found.made]
    return Wrote(shared={k: held.as_json() for k, held in found.state.items()}, drafts=drafts, refused=found.refused)


def _written(run: Run, write: Write, held: Held, at: str) -> Draft:
    body = run.knows.kept(held.value)
    record = SharedWritten(
        at=at, key=write.key, version=held.version, writer=write.writer, value=body.ref, label=held.label.as_json()
    )
    return Draft(record=record, key=f"shared:{at}:{write.key}:{held.version}", payloads=(body,))


def settle_conflicts(
    run: Run, means: Means, conflicts: Sequence[tuple[Write, WriteConflict]], *, at: str, tries: int
) -> None:
    """Record conflicts. Raises the first whose key does not allow another try, or that had its tries."""
    for write, conflict in conflicts:
        again = means.keys[write.key].on_conflict == "retry" and tries < MAX_RETRIES
        facts = conflict.facts
        record = SharedRefused(
            at=at,
            key=write.key,
            first=facts["first"],
            second=facts["second"],
            why=facts["why"],
            then="retry" if again else "fail",
        )
        run.note(Draft(record=record, key=f"conflict:{at}:{write.key}:{write.branch}"))
        if not again:
            raise conflict

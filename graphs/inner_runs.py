"""Runs inside a turn: a system that an agent of another one calls, as a graph or by `System.arun`.

What the turn makes of its answer is to be believed no more than that, and has its marks: the run around has both on
record. A turn that is taken again, after a person's answer or a crash, goes on with the runs that it had begun.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID, uuid5

from langgraph.config import get_config

from ..contracts.digest import digest
from ..contracts.edge import END
from ..contracts.labels import Label
from ..contracts.marks import Mark
from ..ledger.entry import Draft, Entry
from ..ledger.records import ContractPassed, RunInside
from ..tools.position import NS
from ..tools.run import Run, active

_THREADS = UUID("9b1c7c0e-6d0f-4f53-8f0b-6f3f1f2f5a10")
UNKNOWN = Label()
"""Of an answer of which nothing is known, as that of a run that failed."""


def told_around(run: Run, status: str, marks: Sequence[Mapping[str, str]], label: Label) -> None:
    """Have the run around know that one inside a turn of it ends. Noted before that end is, so never missed."""
    outer = run.outer
    if outer is None or not outer.places:
        return
    outer.run.knows.learn_of(run.knows)
    known = [[text, level] for text, level in run.knows.known.items()] if outer.run.knows.watches else []
    body = outer.run.knows.kept(known) if known else None
    record = RunInside(
        at=f"{outer.places[-1]}/{run.grounds.system}",
        run=run.grounds.run,
        system=run.grounds.system,
        status=status,
        label=label.as_json(),
        marks=[[m["kind"], m["agent"], m["why"]] for m in marks],
        private=body.ref if body is not None else "",
    )
    key = f"inside:{run.grounds.run}"
    if outer.run.journal.get(key) != record:
        outer.run.note(Draft(record=record, key=key, payloads=(body,) if body is not None else ()))
        outer.run.knows.heard(record.at, label)


def told_waiting(run: str, system: str) -> None:
    """Have the run around know that one inside a turn of it is shown to the turn as it stands, not ended."""
    outer = active()
    if outer is None or not outer.places:
        return
    at, label = f"{outer.places[-1]}/{system}", UNKNOWN
    record = RunInside(at=at, run=run, system=system, status="waiting", label=label.as_json())
    key = f"inside:{run}:waiting"
    if outer.run.journal.get(key) != record:
        outer.run.note(Draft(record=record, key=key))
        outer.run.knows.heard(at, label)


def label_of_end(entries: Sequence[Entry]) -> Label:
    """The label of all that crossed to the end of a run; `UNKNOWN` where nothing did."""
    found = [e.record for e in entries if isinstance(e.record, ContractPassed)]
    ends = [r for r in found if r.edge.endswith(f"→{END}") and "/" not in r.edge]
    if not ends:
        return UNKNOWN
    return Label("trusted", "public").joined(*map(Label.from_json, ends[-1].labels.values()))


def marks_inside(run: Run, places: Sequence[str]) -> list[Mark]:
    """The marks of the runs that ended inside a turn at these places."""
    within = tuple(f"{at}/" for at in places)
    records = [r for r in dict(run.journal).values() if isinstance(r, RunInside) and r.at.startswith(within)]
    return [Mark.from_json({"kind": k, "agent": a, "why": w}) for r in records for k, a, w in r.marks]


def thread_inside(system: str, request: Mapping[str, Any]) -> str | None:
    """The thread of a run that is begun inside a turn, the same when the turn is taken again; None outside of one.

    It is told by the place of the turn, the system and the request, and by how many there were of that in it before.
    """
    outer = active()
    if outer is None or not outer.places:
        return None
    try:
        ns = str((get_config().get("metadata") or {}).get(NS, ""))
    except RuntimeError:  # in a thread of its own
        ns = ""
    positions, asked = outer.run.positions, digest([system, dict(request)])
    nth = positions.nth(ns or outer.ns, f"run/{asked}")
    return str(uuid5(_THREADS, "/".join([outer.run.grounds.run, outer.places[-1], asked, str(nth)])))

"""Playing one case: run the line on a lawyer's request, let the stated rule answer for people, read what came of it.

What is told of a case is read from the Word files and from the ledger; what stages say of themselves does not count.
"""

from __future__ import annotations

import asyncio
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from uuid import uuid4

import orjson
from edgewright import EdgewrightError, Reviewer, System
from edgewright.ledger.entry import Entry
from edgewright.ledger.records import CallJudged, ContractPassed, EffectDone, ReviewAsked

from .checking import agreement_in
from .firm import Firm
from .reviewer import review

CASES = Path(__file__).with_name("cases.toml")
DRAFTED_EDGE = "drafting→compliance"
MOST_ROUNDS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A request as a lawyer makes it, and what should come of it."""

    name: str
    matter: str
    lawyer: str
    instructions: str
    expect: Mapping[str, Any]

    @property
    def request(self) -> dict[str, str]:
        """The payload of the entry contract."""
        return {"matter": self.matter, "lawyer": self.lawyer, "instructions": self.instructions}


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """A case after its run.

    Attributes:
        found: what `Case.expect` speaks of, as it was found.
        faults: what must never be, whatever a case expects: a file that disagrees with the library or with the ledger.
        stopped: why the run ended without an answer; empty where it has one.
        file: the released document; the last draft where nothing was released; None where nothing was drafted.
        output: the line's own answer.
    """

    run: str
    found: Mapping[str, Any]
    faults: tuple[str, ...]
    stopped: str
    file: Path | None
    output: Mapping[str, Any] | None


def load_cases(path: Path = CASES) -> list[Case]:
    """Read the cases. Raises TypeError for one that lacks a part."""
    return [Case(**row) for row in tomllib.loads(path.read_text(encoding="utf-8"))["case"]]


async def play(system: System, firm: Firm, case: Case) -> Played:
    """Bring one case to its end, on a thread of its own. A run that is stopped is an end like any other."""
    thread, stopped, output = str(uuid4()), "", None
    try:
        result = await system.arun(case.request, thread=thread, by=Reviewer(case.lawyer, frozenset({"lawyer"})))
        for _ in range(MOST_ROUNDS):
            if result.status != "waiting":
                break
            person, answer = review(result.reviews[0])
            result = await system.aresume(thread, {result.reviews[0].id: answer}, reviewer=person)
        output = result.output
    except EdgewrightError as error:
        stopped = str(error)
    return await asyncio.to_thread(_played, system, firm, case, thread, stopped, output)


def _played(
    system: System, firm: Firm, case: Case, thread: str, stopped: str, output: Mapping[str, Any] | None
) -> Played:
    run = next((summary.run for summary in system.ledger.runs(thread=thread)), "")
    told = _Told.of(system, run)
    drafts = told.drafts
    last = drafts[-1] if drafts else ""
    path = firm.released_path(case.matter, last)
    released = bool(last) and path.is_file()
    found: dict[str, Any] = {
        "drafts": [sorted(f"{f['rule']} {f['slot']}" for f in firm.findings(case.matter, d)) for d in drafts],
        "asked": told.asked,
        "denied": told.denied,
        "released": released,
    }
    faults = [f"draft {d}: {fault}" for d in drafts for fault in firm.source_faults(case.matter, d)]
    faults += [] if released == told.released else [f"released: file {released}, ledger {told.released}"]
    if last:
        data = path.read_bytes() if released else firm.draft(case.matter, last)
        agreement = agreement_in(data)
        found["template"] = agreement.template
        found["clauses"] = [f"{s.slot} {s.source}" for s in agreement.sections]
        found["level"] = firm.risk(case.matter, last)["level"]
        faults += [] if data == firm.draft(case.matter, last) else ["what was released is not the draft"]
    file = path if released else firm.draft_path(case.matter, last) if last else None
    return Played(run=run, found=found, faults=tuple(faults), stopped=stopped, file=file, output=output)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Told:
    """What the ledger tells of a run."""

    drafts: list[str]
    asked: list[str]
    denied: list[str]
    released: bool

    @classmethod
    def of(cls, system: System, run: str) -> Self:
        entries: Sequence[Entry] = system.ledger.entries(run)
        records = [entry.record for entry in entries]
        crossed = [r.payload for r in records if isinstance(r, ContractPassed) and r.edge == DRAFTED_EDGE]
        return cls(
            drafts=[str(orjson.loads(system.ledger.payload(run, ref) or b"{}")["draft"]) for ref in crossed],
            asked=[role for r in records if isinstance(r, ReviewAsked) for role in r.approvers],
            denied=[rule for r in records if isinstance(r, CallJudged) and r.verdict == "deny" for rule in r.rules],
            released=any(isinstance(r, EffectDone) and r.tool == "release_document" for r in records),
        )

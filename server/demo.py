"""The demo: the customer support example on all of its tickets, and the proof that what it says is so."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ..contracts.budget import Amounts
from ..contracts.errors import NotFound, ProjectInvalid
from ..examples.customer_support.agreement import Agreement, agreement
from ..examples.customer_support.database import HelpDesk
from ..examples.customer_support.play import Played, play
from ..examples.customer_support.system import DATABASE, build
from ..examples.customer_support.tickets import Case, Kind, load_tickets, summary
from ..graphs.home import FILE
from ..graphs.system import System
from ..ledger.entry import verify
from ..ledger.records import ModelReserved
from ..ledger.transcript import plain

_GROUPS: tuple[tuple[Kind, str], ...] = (("seen", "seen by the rules' author"), ("unseen", "unseen, written after"))
AT_ONCE = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Demo:
    """What the demo found."""

    played: dict[Kind, list[Played]]
    seconds: float
    agreement: Agreement
    records: int
    model: str

    @property
    def all(self) -> list[Played]:
        """Every ticket played."""
        return [p for group in self.played.values() for p in group]

    @property
    def spent(self) -> Amounts:
        """What all runs spent, in this demo and before."""
        total = Amounts()
        for p in self.all:
            total = total + Amounts.from_json(p.spent)
        return total

    def as_json(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "groups": {kind: summary([p.score for p in played]) for kind, played in self.played.items()},
            "model": self.model,
            "offline": self.model.startswith("offline:"),
            "reviews_asked": sum(p.asked for p in self.all),
            "calls_denied": sum(len(p.denied) for p in self.all),
            "spent": self.spent.as_json(),
            "seconds": round(self.seconds, 3),
            "ledger_records": self.records,
            "ran_before": sum(p.before for p in self.all),
            "failed": [{"ticket": p.score.case, "problem": p.problem} for p in self.all if p.problem],
            "agreement": {**asdict(self.agreement), "holds": self.agreement.holds},
            "tickets": [asdict(p.score) | {"run": p.run, "specialist": p.route} for p in self.all],
        }


def compared(home: Path) -> Agreement:
    """Compare the demo's database with its ledger, running nothing. Raises NotFound where no demo ran."""
    if not (home / DATABASE).is_file() or not (home / FILE).is_file():
        raise NotFound(kind="demo", name=str(home))
    system = build(home)
    try:
        return agreement(system, HelpDesk.open(home / DATABASE))
    finally:
        system.close()


def _same_model(system: System, home: Path) -> None:
    """Refuse to tell the runs of one model as those of another."""
    own = [run for run in system.ledger.runs() if run.system.partition("@")[0] == system.name]
    for newest in own[:1]:
        played = {e.record.model for e in system.ledger.entries(newest.run) if isinstance(e.record, ModelReserved)}
        chosen = system.specs["triage"].model
        if other := played - {chosen}:
            fault = f"holds runs played by {', '.join(other)}, not {chosen}; add --fresh to forget them"
            raise ProjectInvalid(name=str(home), faults=[fault])


async def run_demo(
    home: Path, *, model: str | None, environment: str, limit: int | None, ended: Callable[[int, int], None]
) -> Demo:
    """Play the tickets, many at once, then compare the database with the ledger.

    Args:
        limit: at most so many tickets of each group.
        ended: called with (tickets ended, tickets in all) as they end.
    """
    system = build(home, model=model, environment=environment)
    desk = HelpDesk.open(home / DATABASE)
    _same_model(system, home)
    cases: dict[Kind, Sequence[Case]] = {kind: load_tickets(kind)[:limit] for kind, _ in _GROUPS}
    total, count, gate = sum(map(len, cases.values())), 0, asyncio.Semaphore(AT_ONCE)
    ended(0, total)

    async def one(case: Case) -> Played:
        nonlocal count
        async with gate:
            played = await play(system, desk, case)
        count += 1
        ended(count, total)
        return played

    began = time.perf_counter()
    try:
        played = {kind: list(await asyncio.gather(*map(one, group))) for kind, group in cases.items()}
        seconds = time.perf_counter() - began
        for p in (p for group in played.values() for p in group if p.run):
            verify(p.run, await asyncio.to_thread(system.ledger.entries, p.run))
        return Demo(
            played=played,
            seconds=seconds,
            agreement=await asyncio.to_thread(agreement, system, desk),
            records=sum(p.records for group in played.values() for p in group),
            model=system.specs["triage"].model,
        )
    finally:
        system.close()


def shown(demo: Demo) -> RenderableType:
    """The demo's table, its figures, its proof, and what to type next."""
    offline = demo.model.startswith("offline:")
    table = Table(title=f"Customer support, {len(demo.all)} tickets, model {demo.model}", title_justify="left")
    table.add_column("tickets", no_wrap=True)
    for name in ("count", "right specialist", "right end state", "both"):
        table.add_column(name, justify="right")
    for kind, label in _GROUPS:
        found = summary([p.score for p in demo.played[kind]])
        n = found["tickets"]
        cells = [f"{found[k]}  {100 * found[k] / n:3.0f}%" if n else "-" for k in ("route", "end_state", "both")]
        table.add_row(label, str(n), *cells)
    spent, before = demo.spent, sum(p.before for p in demo.all)
    figures = Table.grid(padding=(0, 2))
    figures.add_column(style="dim")
    figures.add_column()
    figures.add_row("reviews asked", f"{sum(p.asked for p in demo.all)} (answered by the example's stated rule)")
    figures.add_row("calls denied", f"{sum(len(p.denied) for p in demo.all)} by policy")
    figures.add_row(
        "model calls", f"{spent.model_calls}, {spent.input_tokens:,} tokens in, {spent.output_tokens:,} out"
    )
    figures.add_row("cost", f"${spent.usd.quantize(Decimal('0.000001'))}{' notional' if offline else ''}")
    figures.add_row(
        "time", f"{demo.seconds:.1f} s, {AT_ONCE} tickets at once" + (f"; {before} had ended before" if before else "")
    )
    figures.add_row("ledger", f"{demo.records:,} records in {len(demo.all)} chains, each verified")
    parts: list[RenderableType] = [table, figures, verdict(demo.agreement)]
    if offline:
        parts.append(
            Text("Offline: rules play the model. With a provider's key in the environment, the same on a model:", "dim")
        )
        parts.append(Text(f"  EDGEWRIGHT_MODEL=openai:gpt-4.1-mini {program()} demo --fresh", "dim"))
    failed = [p for p in demo.all if p.problem]
    parts += [Text(f"✗ ticket {p.score.case}: {plain(p.problem, cut=160)}", "red") for p in failed[:5]]
    if failed:
        parts.append(
            Text(f"✗ {len(failed)} runs failed; after mending the cause: {program()} demo --fresh", "bold red")
        )
    return Group(*parts, Text(), next_steps(demo))


def verdict(found: Agreement) -> Text:
    """Whether database and ledger agree, in a line or two."""
    if not found.holds:
        return Text(f"✗ database and ledger DISAGREE: {found}", "bold red")
    rows = ", ".join(f"{n} {kind}" for kind, n in sorted(found.rows.items())) or "no effects"
    total = sum(found.rows.values())
    said = f"database and ledger agree on {total} effects, each exactly once in both\n  {rows}"
    return Text.assemble(("✓ ", "green"), said)


def program() -> str:
    """What to type to start this program: its name where the shell finds it, else the path it was started by."""
    if shutil.which("edgewright"):
        return "edgewright"
    return os.path.relpath(sys.argv[0])


def next_steps(demo: Demo) -> RenderableType:
    """What to type next, with a run worth reading."""
    steps = Table.grid(padding=(0, 2))
    steps.add_column(style="bold", no_wrap=True)
    steps.add_column(style="dim")
    steps.add_row("Next", "")
    name = program()
    for what, found in (
        ("a person was asked", next((p for p in demo.all if p.asked), None)),
        ("a call was denied", next((p for p in demo.all if p.denied), None)),
    ):
        if found is not None:
            steps.add_row(f"  {name} explain {found.run[:8]}", f"ticket {found.score.case}: {what}")
    steps.add_row(f"  {name} graph customer_support", "its picture: --png FILE, --svg FILE")
    steps.add_row(f"  {name} serve", "the same system over HTTP")
    return steps

"""`edgewright systems`: every system of a project on its own cases, each checked against what was written before."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from ..contracts.errors import ProjectInvalid
from ..graphs.system import System
from ..ledger.entry import Entry
from ..ledger.records import RunEnded
from ..ledger.transcript import plain
from .project import Served, load_all, load_served
from .showcase import Shown

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Folder = Annotated[Path, typer.Option("--project", help="Folder that holds langgraph.json.")]
HERE = Path()
_MANY = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A system on all of its cases. `spent` is in dollars, of the runs of these cases."""

    name: str
    topology: str
    shown: tuple[Shown, ...]
    seconds: float
    spent: Decimal
    model: str

    @property
    def ok(self) -> bool:
        """Whether there are cases, and all went as was written down."""
        return bool(self.shown) and all(s.ok for s in self.shown)

    def as_json(self) -> dict[str, Any]:
        """For `--json`."""
        cases = [
            {
                "case": s.case,
                "run": s.run,
                "outcome": s.outcome,
                "ok": s.ok,
                "faults": list(s.faults),
                "asked": s.asked,
                "files": [str(f) for f in s.files],
                "facts": dict(s.facts),
            }
            for s in self.shown
        ]
        facts = {"name": self.name, "topology": self.topology, "model": self.model, "ok": self.ok}
        return {**facts, "seconds": round(self.seconds, 3), "usd": str(self.spent), "cases": cases}


def register(app: typer.Typer) -> None:
    """Mount the command on the program."""
    app.command("systems")(systems)


def systems(
    names: Annotated[list[str] | None, typer.Argument(help="These only; all that have cases otherwise.")] = None,
    json: Json = False,
    project: Folder = HERE,
) -> None:
    """Play the systems of a project on their own cases, and print a table. Exit code 1 where one is not as expected."""
    if names:
        chosen = [load_served(name, project) for name in names]
    else:
        chosen = [s for s in load_all(project).values() if s.showcase is not None]
    played(chosen, json=json)


def played(chosen: Sequence[Served], *, json: bool) -> None:
    """Play and print. One system is told case by case.

    Raises:
        ProjectInvalid: one has no cases of its own.
    """
    for served in chosen:
        if served.system is None or served.showcase is None:
            fault = "it has no cases of its own: give a request, or --thread to go on with one"
            raise ProjectInvalid(name=served.name, faults=[fault])
    found = [asyncio.run(outcome_of(served)) for served in chosen]
    if json:
        body = orjson.dumps({"systems": [o.as_json() for o in found]}, option=orjson.OPT_INDENT_2, default=str)
        sys.stdout.write(body.decode() + "\n")
    else:
        console = Console(highlight=False)
        if len(found) == 1:
            console.print(cases_of(found[0]))
        else:
            console.print(table_of(found))
        for outcome in found:
            for line in _below(outcome, files=len(found) == 1):
                console.print(line)
    if not all(outcome.ok for outcome in found):
        raise typer.Exit(1)


async def outcome_of(served: Served) -> Outcome:
    """Play one system, and close it."""
    system, showcase = served.system, served.showcase
    assert system is not None
    assert showcase is not None
    began = time.perf_counter()
    try:
        shown = tuple(await showcase(system))
        spent = await asyncio.to_thread(_spent, system, [s.run for s in shown if s.run])
    finally:
        system.close()
    models = {spec.model for spec in system.specs.values()} - {"function", "team", "graph", "none"}
    return Outcome(
        name=served.name,
        topology=type(system.topology).__name__.lower(),
        shown=shown,
        seconds=time.perf_counter() - began,
        spent=spent,
        model=", ".join(sorted(models)),
    )


def _spent(system: System, runs: Sequence[str]) -> Decimal:
    def of(entries: Sequence[Entry]) -> Decimal:
        ended = [e.record.spent for e in entries if isinstance(e.record, RunEnded)]
        return Decimal(str(ended[-1].get("usd", 0))) if ended else Decimal(0)

    return sum((of(system.ledger.entries(run)) for run in dict.fromkeys(runs)), Decimal(0))


def table_of(found: Sequence[Outcome]) -> RenderableType:
    """All systems, a row each."""
    table = Table(title="The systems, each on its own cases", title_justify="left")
    table.add_column("system", no_wrap=True)
    table.add_column("topology", no_wrap=True)
    for name in ("cases", "right", "asked", "s"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("")
    models = ", ".join(dict.fromkeys(o.model for o in found))
    table.caption, table.caption_justify = f"right: as written down before; played by {plain(models)}", "left"
    for o in found:
        good = sum(s.ok for s in o.shown)
        table.add_row(
            o.name,
            o.topology,
            str(len(o.shown)),
            str(good),
            str(sum(s.asked for s in o.shown)),
            f"{o.seconds:.1f}",
            Text("✓", "green") if o.ok else Text("✗", "bold red"),
        )
    return table


def cases_of(outcome: Outcome) -> RenderableType:
    """One system, a row for each case; where there are many, for those that a person should look at."""
    shown = outcome.shown
    told = [s for s in shown if not s.ok or s.asked or not s.run] if len(shown) > _MANY else list(shown)
    title = f"{outcome.name}, {len(shown)} cases, model {plain(outcome.model)}, {outcome.seconds:.1f} s"
    table = Table(title=title, title_justify="left", caption_justify="left")
    table.add_column("case")
    table.add_column("outcome", overflow="fold")
    table.add_column("asked", justify="right")
    table.add_column("run", style="dim", no_wrap=True)
    table.add_column("")
    for s in told:
        mark = Text("✓", "green") if s.ok else Text("✗", "bold red")
        table.add_row(plain(s.case), plain(s.outcome), str(s.asked or ""), s.run[:8], mark)
    if left := len(shown) - len(told):
        table.caption = f"{left} more went as expected, and nobody was asked"
    return table


def _below(outcome: Outcome, *, files: bool) -> list[Text]:
    lines = [Text(f"✗ {outcome.name}, {s.case}: {plain(fault)}", "red") for s in outcome.shown for fault in s.faults]
    if not outcome.shown:
        lines.append(Text(f"✗ {outcome.name}: it played no case", "red"))
    every = dict.fromkeys(str(f) for s in outcome.shown for f in s.files) if files else {}
    return [*lines, *(Text(f"  {path}", "dim") for path in every)]

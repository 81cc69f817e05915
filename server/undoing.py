"""`edgewright undo RUN`: undo what a run that has ended did to the world."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import orjson
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..ledger.transcript import CUT, plain
from ..tools.compensation import Compensation, Status
from .finding import system_of_run
from .project import load_all

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Folder = Annotated[Path, typer.Option("--project", help="Folder that holds langgraph.json.")]
HERE = Path()

_MARKS: dict[Status, tuple[str, str]] = {
    "undone": ("✓ undone", "green"),
    "before": ("· undone before", "dim"),
    "failed": ("✗ not undone", "red"),
    "unknown": ("? may be undone", "bold yellow"),
    "cannot": ("✗ cannot be undone", "red"),
    "uncertain": ("? may have happened", "bold yellow"),
    "left": ("- left as it is", "yellow"),
}


def register(app: typer.Typer) -> None:
    """Mount the command on the program."""
    app.command("undo")(undo)


def undo(
    run: Annotated[str, typer.Argument(help="A run's id, or its first characters.")],
    by: Annotated[str, typer.Option(help="Who wants that; it goes on record.")],
    again: Annotated[
        bool, typer.Option("--again", help="You looked: undo also what may be undone, or was changed by others since.")
    ] = False,
    keep_going: Annotated[bool, typer.Option("--keep-going", help="Do not stop at what could not be undone.")] = False,
    json: Json = False,
    project: Folder = HERE,
) -> None:
    """Undo what a run that has ended did, the last effect first; exit 1 unless all of it is undone."""
    systems = [s.system for s in load_all(project).values() if s.system is not None]
    try:
        system, chosen = system_of_run(systems, run)
        report = system.compensate(chosen, by=by, again=again, keep_going=keep_going)
        ledger = system.ledger
        bodies = {e.at: ledger.payload(chosen, e.outcome) if e.outcome else None for e in report.effects}
    finally:
        for opened in systems:
            opened.close()
    outcomes = {at: body.decode(errors="replace") if body is not None else "" for at, body in bodies.items()}
    if json:
        told = [{**asdict(e), "outcome": outcomes[e.at]} for e in report.effects]
        shown = {"run": report.run, "by": report.by, "complete": report.complete, "effects": told}
        sys.stdout.write(orjson.dumps(shown, option=orjson.OPT_INDENT_2).decode() + "\n")
    else:
        Console(highlight=False).print(table_of(report, outcomes))
    if not report.complete:
        raise typer.Exit(1)


def table_of(report: Compensation, outcomes: dict[str, str]) -> Table | Text:
    """What became of each effect."""
    if not report.effects:
        return Text(f"run {report.run} did nothing to the world")
    table = Table(box=None, pad_edge=False)
    for heading in ("effect", "tool", "told", "at"):
        table.add_column(heading, overflow="fold")
    for effect in report.effects:
        mark, style = _MARKS[effect.status]
        said = plain(effect.said or outcomes[effect.at], cut=CUT)
        table.add_row(Text(mark, style), Text(plain(effect.tool)), Text(said), Text(plain(effect.at), "dim"))
    return table

"""`edgewright restart RUN --stage NAME`: begin a run that has ended again at a stage, as a new run."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import orjson
import typer
from rich.console import Console
from rich.text import Text

from ..contracts.review import Reviewer
from ..graphs.runs import TENANT
from ..ledger.transcript import CUT, plain
from .finding import system_of_run
from .project import load_all

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Folder = Annotated[Path, typer.Option("--project", help="Folder that holds langgraph.json.")]
HERE = Path()


def register(app: typer.Typer) -> None:
    """Mount the command on the program."""
    app.command("restart")(restart)


def restart(
    run: Annotated[str, typer.Argument(help="A run's id, or its first characters.")],
    stage: Annotated[str, typer.Option(help="The stage at which the new run begins.")],
    by: Annotated[str, typer.Option(help="Who wants that; nobody is the local operator.")] = "",
    tenant: Annotated[str, typer.Option(help="With --by: whose tenant's run it is.")] = TENANT,
    thread: Annotated[str | None, typer.Option(help="Where it runs; the run's own thread where none is given.")] = None,
    json: Json = False,
    project: Folder = HERE,
) -> None:
    """Begin a run that has ended again at a stage, with what had crossed to it; exit 1 unless it completes or waits."""
    systems = [s.system for s in load_all(project).values() if s.system is not None]
    try:
        system, chosen = system_of_run(systems, run)
        person = Reviewer(id=by, tenant=tenant) if by else None
        result = system.restart(chosen, stage=stage, by=person, thread=thread)
    finally:
        for opened in systems:
            opened.close()
    if json:
        told = {**asdict(result), "of": chosen, "reviews": [r.model_dump(mode="json") for r in result.reviews]}
        sys.stdout.write(orjson.dumps(told, option=orjson.OPT_INDENT_2).decode() + "\n")
    else:
        output = orjson.dumps(result.output).decode() if result.output is not None else ""
        lines = [f"run {result.run} begins {chosen} again at {stage}", result.status, output]
        lines += [f"review {r.id} {r.kind} {r.edge}" for r in result.reviews]
        Console(highlight=False).print(Text(plain("\n".join(filter(None, lines)), cut=CUT)))
    if result.status not in ("completed", "waiting"):
        raise typer.Exit(1)

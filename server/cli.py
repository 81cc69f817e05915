"""The command line. Each command prints for people, or JSON with `--json`; a typed error ends it with code 2."""

from __future__ import annotations

import asyncio
import shlex
import shutil
import sqlite3
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from ..contracts.errors import EdgewrightError, LedgerCorrupt, ProjectInvalid, ReviewInvalid
from ..contracts.review import ReviewAnswer
from ..contracts.shown import shown_text
from ..graphs.drawing import drawing_of, to_mermaid, to_png, to_svg
from ..graphs.home import FILE, Home
from ..graphs.solo import advice_of
from ..graphs.system import RunResult, System
from ..ledger.entry import verify
from ..ledger.journal import effects_of
from ..ledger.store import Ledger
from ..ledger.transcript import plain, transcript
from . import advising, asked, dead, locks, policies, restarting, scaffold, show, spending, systems, undoing
from .finding import ledger_of
from .project import Served, load_all, load_served
from .settings import Settings

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
out, err = Console(highlight=False), Console(stderr=True, highlight=False)
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Folder = Annotated[Path, typer.Option("--project", help="Folder that holds langgraph.json.")]
HERE = Path()


advising.register(app)
dead.register(app)
locks.register(app)
policies.register(app)
restarting.register(app)
scaffold.register(app)
spending.register(app)
systems.register(app)
undoing.register(app)


def main() -> None:
    """The program. Exit codes: 0 well, 1 found wrong, 2 a typed error."""
    try:
        app()
    except EdgewrightError as error:
        if "--json" in sys.argv:
            _json({"error": type(error).__name__, "message": str(error), "facts": error.facts})
        else:
            show.failure(err, error)
        raise SystemExit(2) from None
    except (OSError, sqlite3.Error) as error:
        where = f" (EDGEWRIGHT_HOME is {Settings().home})"
        if "--json" in sys.argv:
            _json({"error": type(error).__name__, "message": str(error) + where, "facts": {}})
        else:
            err.print(plain(f"{type(error).__name__}: {error}{where}"), markup=False)
        raise SystemExit(2) from None


def _json(value: Any) -> None:
    sys.stdout.write(orjson.dumps(value, option=orjson.OPT_INDENT_2, default=str).decode() + "\n")


@app.command()
def demo(
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many tickets of each group.")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Forget earlier demos first.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Only compare the database with the ledger.")] = False,
    json: Json = False,
) -> None:
    """Run the customer support example on its tickets, and prove what it did."""
    from . import demo as play

    settings = Settings()
    home = settings.home / "demo"
    if check:
        agreement = play.compared(home)
        if json:
            _json({**asdict(agreement), "holds": agreement.holds})
        else:
            out.print(play.verdict(agreement))
        raise typer.Exit(0 if agreement.holds else 1)
    if fresh and home.exists():
        shutil.rmtree(home)
    with _bar("tickets", quiet=json) as ended:
        found = asyncio.run(
            play.run_demo(home, model=settings.model, environment=settings.environment, limit=limit, ended=ended)
        )
    if json:
        _json(found.as_json())
    else:
        out.print(play.shown(found))
    if not found.agreement.holds or any(p.problem for p in found.all):
        raise typer.Exit(1)


class _bar:
    """A progress bar on standard error; called with (done, of how many)."""

    def __init__(self, what: str, *, quiet: bool) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self._progress = Progress(*columns, console=err, disable=quiet, transient=False)
        self._task = self._progress.add_task(what, total=None)

    def __enter__(self) -> Callable[[int, int], None]:
        self._progress.start()
        return lambda done, total: self._progress.update(self._task, completed=done, total=total)

    def __exit__(self, *_: object) -> None:
        self._progress.stop()


def _system(name: str, folder: Path) -> System:
    served = load_served(name, folder)
    if served.system is None:
        fault = f"graph {name!r} is a plain LangGraph graph; this command needs an edgewright System"
        raise ProjectInvalid(name=name, faults=[fault])
    return served.system


@app.command()
def run(
    system: str,
    input: Annotated[str, typer.Argument(help="The request as JSON, @FILE, or - for standard input.")] = "",
    thread: Annotated[str | None, typer.Option(help="Go on with this thread.")] = None,
    answer: Annotated[list[str] | None, typer.Option(help="REVIEW=approve:why or REVIEW=reject:why")] = None,
    json: Json = False,
    project: Folder = HERE,
) -> None:
    """Run a system on one request, or go on with a thread by answering its reviews.

    Without either it plays the system's own cases, and checks each against what was written down of it before.
    Answers given here are the local operator's, so they are taken in the development environment only.
    """
    if not input and not thread:
        systems.played([load_served(system, project)], json=json)
        return
    chosen = _system(system, project)
    try:
        if input:
            result = chosen.run(_request(input), thread=thread)
        else:
            result = chosen.resume(str(thread), dict(map(_answer, answer or ())))
    finally:
        chosen.close()
    if json:
        _json({**asdict(result), "reviews": [r.model_dump(mode="json") for r in result.reviews]})
        return
    _shown(system, result)


def _request(text: str) -> Any:
    raw = sys.stdin.read() if text == "-" else text
    if text.startswith("@"):
        try:
            raw = Path(text[1:]).read_text("utf-8")
        except OSError as error:
            raise ProjectInvalid(name=text, faults=[f"the input file cannot be read: {error.strerror}"]) from None
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise ProjectInvalid(name="input", faults=[f"the request is not JSON: {error}"]) from None


def _answer(text: str) -> tuple[str, ReviewAnswer]:
    review, _, said = text.partition("=")
    decision, _, reason = said.partition(":")
    if decision not in ("approve", "reject") or not reason:
        raise ReviewInvalid(review=review, detail="answer with REVIEW=approve:why or REVIEW=reject:why")
    return review, ReviewAnswer.model_validate({"decision": decision, "reason": reason})


def _shown(system: str, result: RunResult) -> None:
    why = f": {plain(result.reason)}" if result.reason else ""
    out.print(f"run {result.run}  {result.status}{why}", markup=False)
    for mark in result.marks:
        out.print(plain(f"  {mark.kind}: {mark.agent}, {mark.why}"), markup=False, style="yellow")
    if result.output is not None:
        out.print(plain(orjson.dumps(result.output, option=orjson.OPT_INDENT_2).decode(), cut=None), markup=False)
    for review in result.reviews:
        for line in asked.lines(review):
            out.print(line, markup=False, emoji=False, soft_wrap=True)
        command = f"edgewright run {system} --thread {shlex.quote(result.thread)} --answer {review.id}=approve:REASON"
        out.print(f"  answer with: {shown_text(command)}", markup=False, emoji=False, soft_wrap=True)


@app.command()
def explain(
    run: Annotated[str, typer.Argument(help="A run's id, its first characters, a thread's id, or 'last'.")],
    full: Annotated[bool, typer.Option("--full", help="Show bookkeeping, cut nothing.")] = False,
    json: Json = False,
) -> None:
    """Tell the whole story of one run: who, what, under which rules, at what cost."""
    ledger, chosen, close = ledger_of(run)
    try:
        entries = ledger.entries(chosen)
        scenes = transcript(entries, lambda digest: ledger.payload(chosen, digest))
        try:
            verified, fault = verify(chosen, entries), ""
        except LedgerCorrupt as error:
            verified, fault = None, str(error)
        if json:
            shown = {**show.standing_json(entries), "verified": verified, "fault": fault}
            _json({**shown, "scenes": [asdict(s) for s in scenes]})
        else:
            out.print(show.headline(entries, verified, fault))
            out.print(show.story(scenes, full=full))
    finally:
        close()
    if fault:
        raise typer.Exit(1)


@app.command()
def effects(
    run: Annotated[str, typer.Argument(help="A run's id, its first characters, a thread's id, or 'last'.")],
    json: Json = False,
) -> None:
    """List what one run did to the world; exit 1 if it is not known of any effect whether it happened."""
    ledger, chosen, close = ledger_of(run)
    try:
        entries = ledger.entries(chosen)
        found = effects_of(entries)

        def content(ref: str) -> str:
            body = ledger.payload(chosen, ref) if ref else None
            return body.decode(errors="replace") if body is not None else ""

        told = [(effect, content(effect.arguments), content(effect.outcome) or effect.said) for effect in found]
    finally:
        close()
    if json:
        listed = [{**asdict(e), "arguments": a, "outcome": o} for e, a, o in told]
        _json({**show.standing_json(entries), "effects": listed})
    else:
        out.print(show.standing(entries))
        out.print(show.effects(chosen, told))
    if any(not effect.certain for effect in found):
        raise typer.Exit(1)


@app.command()
def graph(
    system: str,
    svg: Annotated[Path | None, typer.Option(help="Write an SVG picture here.")] = None,
    png: Annotated[Path | None, typer.Option(help="Write a PNG picture here.")] = None,
    json: Json = False,
    project: Folder = HERE,
) -> None:
    """Draw a system's graph: mermaid text, or a picture. No network, no other program."""
    served = load_served(system, project)
    drawing = served.system.draw() if served.system else drawing_of(served.graph.get_graph(), title=served.name)
    advice = advice_of(served.system.topology) if served.system else []
    show.advice(err, advice)
    if svg:
        svg.write_text(to_svg(drawing), "utf-8")
    if png:
        png.write_bytes(to_png(drawing))
    if json:
        _json(
            {
                "mermaid": to_mermaid(drawing),
                "nodes": drawing.nodes,
                "edges": drawing.edges,
                "bounds": drawing.notes,
                "advice": advice,
            }
        )
    elif svg or png:
        out.print(*(f"wrote {path}" for path in (svg, png) if path), sep="\n", markup=False)
    else:
        sys.stdout.write(to_mermaid(drawing) + "\n")


@app.command()
def check(
    against: Annotated[
        Path | None, typer.Option(help="Compare the systems with this lock instead: exit 1 unless all is safe.")
    ] = None,
    json: Json = False,
    project: Folder = HERE,
) -> None:
    """Validate every system of langgraph.json, and the chains of the ledger, without running anything."""
    if against is not None:
        raise typer.Exit(locks.check_against(against, project=project, json=json))
    systems = load_all(project)
    home = Settings().home
    chains, broken = 0, list[str]()
    for folder in (home, home / "demo"):
        if (folder / FILE).is_file():
            place = Home(folder)
            found = _verified(place.open()[0], quiet=json)
            place.close()
            chains, broken = chains + found[0], broken + found[1]
    advice = [line for s in systems.values() if s.system for line in advice_of(s.system.topology)]
    if json:
        told = {"systems": [_facts(s) for s in systems.values()], "chains": chains, "broken": broken, "advice": advice}
        _json(told)
    else:
        table = Table("system", "agents", "tools", "edges", "policy", "digest")
        for served in systems.values():
            table.add_row(*map(str, _facts(served).values()))
        out.print(table)
        show.advice(out, advice)
        out.print(f"{chains} chains verified" + (f", {len(broken)} BROKEN" if broken else ""))
        for fault in broken:
            out.print(plain(fault), markup=False, style="red")
    if broken:
        raise typer.Exit(1)


def _verified(ledger: Ledger, *, quiet: bool) -> tuple[int, list[str]]:
    """How many chains verify, payloads included, and what is wrong with the others."""
    chains, broken, runs = 0, list[str](), ledger.runs(limit=1_000_000)
    with _bar("chains", quiet=quiet) as ended:
        for count, summary in enumerate(runs, 1):
            run = summary.run
            try:
                entries = ledger.entries(run)
                verify(run, entries)
                transcript(entries, lambda digest, run=run: ledger.payload(run, digest))  # type: ignore[misc]
                chains += 1
            except LedgerCorrupt as error:
                broken.append(str(error))
            ended(count, len(runs))
    return chains, broken


def _facts(served: Served) -> dict[str, Any]:
    system = served.system
    if system is None:
        return {"system": served.name, "agents": "-", "tools": "-", "edges": "-", "policy": "ungoverned", "digest": "-"}
    return {
        "system": system.standing.id,
        "agents": len(system.specs),
        "tools": len(system.tools),
        "edges": len(system.topology.edges),
        "policy": system.policy.digest[:12] if system.policy else "none: every tool call is denied",
        "digest": system.digest[:12],
    }


@app.command()
def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 2024,
    reviewers: Annotated[
        Path | None, typer.Option(help="File of those who may use it, by digests of their bearer tokens.")
    ] = None,
    project: Folder = HERE,
    json: Json = False,
) -> None:
    """Serve the systems of langgraph.json over HTTP, as a LangGraph SDK client expects them."""
    import uvicorn

    from .app import create_app
    from .guard import LOOPBACK
    from .identity import Tokens

    settings = Settings()
    people = reviewers or settings.reviewers
    identify = Tokens.read(people) if people is not None else None
    served = load_all(project)
    hosts = LOOPBACK if host in LOOPBACK else {*LOOPBACK, host}
    application = create_app(
        served, home=Home(settings.home), environment=settings.environment, identify=identify, hosts=hosts
    )
    if json:
        _json({"url": f"http://{host}:{port}", "assistants": sorted(served)})
    else:
        err.print(f"serving {', '.join(sorted(served))} on http://{host}:{port}", markup=False)
    uvicorn.run(
        application,
        host=host,
        port=port,
        log_level="warning",
        ws="none",
        limit_concurrency=1000,
        # Open streams do not hold the server up: its runs are brought to a checkpoint after them.
        timeout_graceful_shutdown=5,
    )

"""`edgewright dead list|show|retry|drop`: runs that stopped before they were done, and what becomes of them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..contracts.errors import EdgewrightError, ProjectInvalid
from ..graphs.blocking import blocking
from ..graphs.dead import EVERY, DeadLetter, dead_letters, drop, letter_of, prospects, refusal_of, retry
from ..graphs.home import FILE, Home
from ..graphs.system import System
from ..ledger.entry import Entry
from ..ledger.store import Ledger, summary_of
from ..ledger.transcript import amounts, plain, transcript
from . import show
from .finding import ledger_of, system_of_run
from .project import load_all, load_served
from .settings import Settings

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Folder = Annotated[Path, typer.Option("--project", help="Folder that holds langgraph.json.")]
Named = Annotated[str, typer.Argument(help="A run's id, its first characters, a thread's id, or 'last'.")]
HERE = Path()
DRAINED = frozenset({"drained"})


def register(app: typer.Typer) -> None:
    """Mount the commands on the program, under `dead`."""
    group = typer.Typer(no_args_is_help=True, help="Runs that stopped before they were done.", rich_markup_mode=None)
    group.command(name="list")(list_command)
    group.command(name="show")(show_command)
    group.command(name="retry")(retry_command)
    group.command(name="drop")(drop_command)
    app.add_typer(group, name="dead")


# -- reading ----------------------------------------------------------------------------------------------------------


def list_command(
    system: Annotated[str, typer.Option(help="Of this system only: its name, or name@version.")] = "",
    tenant: Annotated[str | None, typer.Option(help="Of this tenant only.")] = None,
    since: Annotated[str, typer.Option(help="Stopped since then: 2026-01-31, 2026-01-31T12:00, 90m, 12h, 7d.")] = "",
    limit: Annotated[int, typer.Option(min=1, help="At most so many, the oldest first.")] = 1000,
    json: Json = False,
) -> None:
    """List runs that failed or ran out of budget and that nobody went on with or dropped; the drained ones apart."""
    home = Settings().home
    chosen: dict[str, Any] = {"system": system, "tenant": tenant, "since": moment_of(since), "limit": limit}
    dead, drained = list[DeadLetter](), list[DeadLetter]()
    if (home / FILE).is_file():
        place = Home(home)
        try:
            ledger = place.open()[0]
            dead, drained = dead_letters(ledger, **chosen), dead_letters(ledger, statuses=DRAINED, **chosen)
        finally:
            place.close()
    if json:
        _json({"dead": [d.as_json() for d in dead], "drained": [d.as_json() for d in drained]})
        return
    out = Console(highlight=False)
    out.print(table_of(dead) if dead else Text("no dead letters"))
    if drained:
        out.print(Text(f"\n{len(drained)} drained: stopped at a checkpoint, to be gone on with", "yellow"))
        out.print(table_of(drained))


def moment_of(text: str, *, now: datetime | None = None) -> float:
    """A moment in seconds since the epoch: a date, a date and time (UTC unless it says), or so long ago.

    Raises:
        ProjectInvalid: it is none of these.
    """
    if not text:
        return 0.0
    units = {"m": "minutes", "h": "hours", "d": "days"}
    number = text[:-1]
    if text[-1] in units and number.isascii() and number.isdecimal() and len(number) < 7:
        return ((now or datetime.now(UTC)) - timedelta(**{units[text[-1]]: int(number)})).timestamp()
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        fault = f"{text!r} is no moment; write 2026-01-31, 2026-01-31T12:00, or so long ago: 90m, 12h, 7d"
        raise ProjectInvalid(name="--since", faults=[fault]) from None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


def table_of(letters: Sequence[DeadLetter]) -> Table:
    """Runs that stopped, the oldest first."""
    table = Table(box=None, pad_edge=False)
    table.add_column("run", no_wrap=True)
    table.add_column("stopped", no_wrap=True)
    for heading in ("system", "status", "where", "did", "reason"):
        table.add_column(heading, overflow="fold")
    for letter in letters:
        table.add_row(
            letter.run[:8],
            Text(_moment(letter.stopped), "dim"),
            Text(plain(letter.system)),
            Text(letter.status.replace("_", " "), show.STATUSES.get(letter.status, "bold red")),
            Text(plain(letter.where)),
            Text(_did(letter)),
            Text(plain(letter.reason, cut=120)),
        )
    return table


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M")


def _did(letter: DeadLetter) -> str:
    told = [f"{letter.done} done"] if letter.done else []
    told += [f"{letter.unknown} unknown"] if letter.unknown else []
    return ", ".join(told) or "nothing"


def show_command(
    run: Named,
    full: Annotated[bool, typer.Option("--full", help="Show bookkeeping, cut nothing.")] = False,
    json: Json = False,
) -> None:
    """Tell how a run stopped: what it did and spent, what nobody knows, and what going on with it would do."""
    ledger, chosen, close = ledger_of(run)
    try:
        entries = ledger.entries(chosen)
        letter, fault = _letter(chosen, entries), _fault(ledger, entries)
        scenes = transcript(entries, lambda digest: ledger.payload(chosen, digest))
    finally:
        close()
    if json:
        _json({**letter.as_json(), "retry": [] if fault else prospects(entries), "refused": fault})
        return
    out = Console(highlight=False)
    out.print(show.standing(entries, cut=None))
    facts = Table.grid(padding=(0, 1))
    facts.add_column(style="dim", no_wrap=True)
    facts.add_column(overflow="fold")
    spent, thread = amounts(letter.spent), plain(letter.thread)
    told = (("stopped", _moment(letter.stopped)), ("at", plain(letter.where)), ("thread", thread), ("spent", spent))
    for label, value in (*told, ("did", _did(letter))):
        if value:
            facts.add_row(label, Text(value))
    out.print(facts, Text(), show.story(scenes, full=full), Text(), sep="\n")
    if fault:
        out.print(Text(f"it cannot be gone on with: {plain(fault)}", "bold red"))
        return
    out.print(Text(f"edgewright dead retry {letter.run} --by NAME goes on with it:", "bold"))
    for line in prospects(entries):
        out.print(Text(f"  {plain(line)}"))


def _letter(run: str, entries: Sequence[Entry]) -> DeadLetter:
    """Raises ProjectInvalid for a run that has not stopped."""
    summary = summary_of(entries)
    if summary is None or summary.ended is None:
        fault = f"it is {summary.status if summary else 'not begun'}: it has not stopped; `edgewright explain` tells it"
        raise ProjectInvalid(name=run, faults=[fault])
    return letter_of(summary, entries)


def _fault(ledger: Ledger, entries: Sequence[Entry]) -> str:
    summary = summary_of(entries)
    newest = ledger.runs(thread=summary.thread, limit=1) if summary else []
    return refusal_of(entries, newest=newest[0].run if newest else "")


# -- going on ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """What became of a retry: the run's status now, and why it is not completed."""

    run: str
    system: str
    before: str
    now: str
    reason: str = ""


def retry_command(
    by: Annotated[str, typer.Option(help="Who wants that; it goes on record.")],
    run: Annotated[str, typer.Argument(help="A run's id, or its first characters.")] = "",
    every: Annotated[bool, typer.Option("--all", help="Every dead letter of the system, the oldest first.")] = False,
    system: Annotated[str, typer.Option(help="With --all: whose.")] = "",
    json: Json = False,
    project: Folder = HERE,
) -> None:
    """Go on with a run as itself: what it did is not done again. Exit 1 unless all completed, or wait for a person."""
    if bool(run) == every or every != bool(system):
        raise ProjectInvalid(name="dead retry", faults=["name a run, or give --all and --system"])
    if every:
        found = load_served(system, project).system
        if found is None:
            raise ProjectInvalid(name=system, faults=["is a plain LangGraph graph; its runs are no dead letters"])
        systems = [found]
    else:
        systems = [s.system for s in load_all(project).values() if s.system is not None]
    try:
        if every:
            kept = systems[0].home.kept
            letters = dead_letters(systems[0].ledger, system=systems[0].name, limit=EVERY) if kept else []
            tried = [_tried(systems[0], letter.run, by) for letter in letters]
        else:
            tried = [_tried(*system_of_run(systems, run), by, refuse=True)]
    finally:
        for opened in systems:
            opened.close()
    if json:
        _json({"retried": [{"run": t.run, "before": t.before, "now": t.now, "reason": t.reason} for t in tried]})
    else:
        Console(highlight=False).print(_told(tried) if tried else Text("no dead letters"))
    if any(t.now not in ("completed", "waiting") for t in tried):
        raise typer.Exit(1)


def _tried(system: System, run: str, by: str, *, refuse: bool = False) -> Tried:
    """Go on with one run. With `refuse`, what is refused before anything is done is raised and not told."""
    before = summary_of(system.ledger.entries(run))
    assert before is not None
    reason = ""
    try:
        result = blocking(retry(system, run, by=by))
        reason = ", ".join(f"review {review.id}" for review in result.reviews)
    except Exception as error:
        after = summary_of(system.ledger.entries(run))
        if refuse and isinstance(error, EdgewrightError) and after is not None and after.records == before.records:
            raise
        # The ledger says why a run stopped; an error that stopped none, here and nowhere else.
        told = after.reason if after is not None and after.records != before.records else ""
        reason = told or f"{type(error).__name__}: {error}"
    now = summary_of(system.ledger.entries(run))
    assert now is not None
    reason = reason or now.reason
    return Tried(run=run, system=before.system, before=before.status, now=now.status, reason=reason)


def _told(tried: Sequence[Tried]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("run", no_wrap=True)
    for heading in ("system", "was", "is", "reason"):
        table.add_column(heading, overflow="fold")
    for one in tried:
        now = Text(one.now.replace("_", " "), show.STATUSES.get(one.now, "bold red"))
        was = one.before.replace("_", " ")
        table.add_row(one.run[:8], Text(plain(one.system)), was, now, Text(plain(one.reason, cut=300)))
    return table


def drop_command(
    run: Named,
    by: Annotated[str, typer.Option(help="Who wants that; it goes on record.")],
    reason: Annotated[str, typer.Option(help="Why nobody goes on with it; it goes on record.")],
    json: Json = False,
) -> None:
    """List a run no more. It stays as it is, and can be gone on with still."""
    ledger, chosen, close = ledger_of(run)
    try:
        blocking(drop(ledger, chosen, by=by, reason=reason))
    finally:
        close()
    if json:
        _json({"run": chosen, "dropped": True})
    else:
        Console(highlight=False).print(f"dropped {chosen}", markup=False)


def _json(value: Any) -> None:
    sys.stdout.write(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode() + "\n")

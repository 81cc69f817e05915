"""`edgewright budgets`: how the budgets stand that runs share. `edgewright breakers`: what a server does not call."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import httpx
import orjson
import typer
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from ..contracts.errors import NotFound, ProjectInvalid
from ..graphs.budgets import BudgetState, budgets_of
from ..ledger.transcript import plain
from .project import load_all
from .settings import Settings

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Folder = Annotated[Path, typer.Option("--project", help="Folder that holds langgraph.json.")]
HERE = Path()
SECONDS = 10.0
_STATES = {"closed": "green", "half_open": "yellow", "open": "bold red"}


def register(app: typer.Typer) -> None:
    """Mount the commands on the program."""
    app.command("budgets")(budgets)
    app.command("breakers")(breakers)


def budgets(
    system: Annotated[str, typer.Argument(help="Of this system only.")] = "",
    tenant: Annotated[str | None, typer.Option(help="Of this tenant only.")] = None,
    json: Json = False,
    project: Folder = HERE,
) -> None:
    """Tell how the budgets stand that the runs of a thread, a system or a tenant share: limit, spent, open, left."""
    systems = [s.system for s in load_all(project).values() if s.system is not None]
    try:
        chosen = [s for s in systems if system in ("", s.name)]
        if not chosen:
            raise NotFound(kind="system of this project", name=system, known=sorted(s.name for s in systems))
        found = [b for s in chosen if s.home.kept for b in budgets_of(s, s.counters, tenant=tenant)]
    finally:
        for opened in systems:
            opened.close()
    if json:
        _json({"budgets": [b.as_json() for b in found]})
    else:
        nothing = (
            "no budget is shared by runs, or nothing was spent; declare one: Budget(of='system', per='day', usd='20')"
        )
        Console(highlight=False).print(table_of(found) if found else Text(nothing))


def table_of(found: Sequence[BudgetState]) -> Table:
    """Limits, one a line."""
    table = Table(box=None, pad_edge=False)
    for heading in ("budget of", "unit"):
        table.add_column(heading, overflow="fold")
    for heading in ("limit", "spent", "open", "left"):
        table.add_column(heading, justify="right", overflow="fold")
    table.add_column("turns over", overflow="fold")
    for one in found:
        whose = f"{one.scope} {plain(one.name)}" + (f", a {one.per}" if one.per else "")
        # Lapsed and in excess are what somebody has to look into; most of the time there is neither.
        odd = [f"{_amount(one.unit, v)} {what}" for what in ("lapsed", "excess") if (v := getattr(one, what))]
        spent = _amount(one.unit, one.spent) + (f" ({', '.join(odd)})" if odd else "")
        left = (
            Text("closed", "bold red") if one.closed else Text(_amount(one.unit, one.left), "" if one.left else "red")
        )
        turns = datetime.fromtimestamp(one.turns, UTC).strftime("%Y-%m-%d %H:%M UTC") if one.turns else "never"
        unit = Text(one.unit.replace("_", " "))
        table.add_row(Text(whose), unit, _amount(one.unit, one.limit), spent, _amount(one.unit, one.open), left, turns)
    return table


def _amount(unit: str, value: Any) -> str:
    return f"${value.normalize():f}" if unit == "usd" else f"{value:g} s" if unit == "seconds" else str(value)


# -- a server's breakers ----------------------------------------------------------------------------------------------


def breakers(
    url: Annotated[str, typer.Option(help="Where the server is.")] = "http://127.0.0.1:2024",
    json: Json = False,
) -> None:
    """Tell which tools and models a running server does not call now, and who waits for a place.

    They live in the process that calls. A server that knows people is sent the bearer token EDGEWRIGHT_TOKEN.
    """
    found = fetched(url, Settings().token)
    if json:
        _json(found)
        return
    out = Console(highlight=False)
    nothing = Text("no breaker: nothing was called yet")
    shown: list[RenderableType] = [_breakers(found["breakers"]) if found["breakers"] else nothing]
    if found["bulkheads"]:
        shown += [Text(), _bulkheads(found["bulkheads"])]
    out.print(*shown, sep="\n")


def fetched(url: str, token: str | None) -> Mapping[str, Any]:
    """What `GET /breakers` of a server tells. Raises ProjectInvalid: there is none, or it tells something else."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    where = f"{url.rstrip('/')}/breakers"
    if not url.startswith(("http://", "https://")):
        raise ProjectInvalid(name="--url", faults=[f"{url!r} is no http or https URL"])
    try:
        answer = httpx.get(where, headers=headers, timeout=SECONDS)
        answer.raise_for_status()
        found = answer.json()
    except httpx.HTTPStatusError as error:
        fault = f"{where} answered {error.response.status_code}; set EDGEWRIGHT_TOKEN where it asks who you are"
        raise ProjectInvalid(name="breakers", faults=[fault]) from None
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        fault = f"{where} cannot be read ({type(error).__name__}); is `edgewright serve` running there?"
        raise ProjectInvalid(name="breakers", faults=[fault]) from None
    if not isinstance(found, dict) or not {"breakers", "bulkheads"} <= set(found):
        raise ProjectInvalid(
            name="breakers", faults=[f"{where} answered something else; is that an edgewright server?"]
        )
    return found


def _breakers(rows: Sequence[Mapping[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in ("breaker of", "state", "failures", "last", "since", "lets one through"):
        table.add_column(heading, overflow="fold")
    for row in rows:
        state = Text(str(row["state"]).replace("_", " "), _STATES.get(str(row["state"]), ""))
        until = "" if row["state"] == "closed" else f"in {row['until']:g} s" if row["until"] else "now"
        failures = f"{row['failures']} of {row['failures_allowed']}"
        table.add_row(Text(plain(row["of"])), state, failures, plain(row["last"]), f"{row['since']:.0f} s", until)
    return table


def _bulkheads(rows: Sequence[Mapping[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in ("places of", "taken", "waiting", "refused"):
        table.add_column(heading, overflow="fold")
    for row in rows:
        taken, waiting = f"{row['running']} of {row['limit']}", f"{row['waiting']} of {row['line']}"
        table.add_row(Text(plain(row["of"])), taken, waiting, str(row["refused"]))
    return table


def _json(value: Any) -> None:
    sys.stdout.write(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode() + "\n")

"""The commands of locks and versions: `lock`, `contracts diff`, `impact`, and what `check --against` does.

Exit codes as everywhere: 0 well (every change is safe), 1 found wrong (a change that breaks somebody, changes
security, or hides behind an old version), 2 a typed error.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..contracts.compat import Change, diff, verdict
from ..contracts.contract import DOCUMENT, Contract
from ..contracts.errors import EdgewrightError, LockInvalid, NotFound, ProjectInvalid
from ..contracts.impact import KINDS as THINGS
from ..contracts.impact import Impact, impact
from ..contracts.json_schema import without_beyond
from ..contracts.lock import read_lock
from ..contracts.lock_changes import KINDS, Finding, changes
from ..graphs.locking import lock_of_systems
from ..ledger.transcript import plain
from .project import _imported, load_all

LOCK = "edgewright.lock"
HERE = Path()
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Folder = Annotated[Path, typer.Option("--project", help="Folder that holds langgraph.json.")]
_STYLES = {
    "changes_security": "bold red",
    "breaks_writers": "red",
    "breaks_readers": "yellow",
    "same_version": "magenta",
    "safe": "green",
}
_WORDS = {
    "changes_security": "changes security",
    "breaks_writers": "breaks writers",
    "breaks_readers": "breaks readers",
    "same_version": "same version",
    "safe": "safe",
}


def register(app: typer.Typer) -> None:
    """Mount the commands on the program: `lock`, `impact`, and `diff` under `contracts`."""
    app.command(name="lock")(lock_command)
    app.command(name="impact")(impact_command)
    contracts = typer.Typer(no_args_is_help=True, help="Compare contracts.", rich_markup_mode=None)
    contracts.callback()(_contracts)
    contracts.command(name="diff")(diff_command)
    app.add_typer(contracts, name="contracts")


def _contracts() -> None:
    """Compare contracts."""


def lock_command(json: Json = False, project: Folder = HERE) -> None:
    """Write edgewright.lock: digests and schemas of every contract, agent, tool, policy and edge."""
    body = _body(_current(project))
    path = project / LOCK
    before = path.read_bytes() if path.is_file() else None
    if before != body:
        # A lock that was cut off half way would read as another system.
        unfinished = path.with_name(f"{LOCK}.new")
        unfinished.write_bytes(body)
        unfinished.replace(path)
    systems = sorted(orjson.loads(body)["systems"])
    state = "written" if before != body else "unchanged"
    if json:
        _json({"path": str(path), "systems": systems, "state": state})
    else:
        _console().print(f"{path} {state}: {', '.join(systems) or 'no governed system'}", markup=False)


def check_against(path: Path, *, project: Path, json: bool) -> int:
    """Compare the systems of a project with a lock, print what changed, return the exit code.

    No old code is imported: the lock says what was.

    Raises:
        LockInvalid: the lock cannot be read.
    """
    found = changes(_read(path), _current(project))
    wrong = [f for f in found if f.kind != "safe"]
    if json:
        _json(
            {"against": str(path), "verdict": "changed" if wrong else "safe", "changes": [f.as_json() for f in found]}
        )
    else:
        if found:
            _console().print(_findings(found))
        _console().print(_summary([f.kind for f in found]))
    return 1 if wrong else 0


def diff_command(
    old: Annotated[str, typer.Argument(help="A file with a contract document, or module:CONTRACT.")],
    new: Annotated[str, typer.Argument(help="The same, for the new version.")],
    json: Json = False,
    project: Folder = HERE,
) -> None:
    """Say what a change of a contract breaks: writers, readers, security, or nothing."""
    found = diff(_document(old, project), _document(new, project))
    if json:
        _json({"verdict": verdict(found), "changes": [c.as_json() for c in found]})
    else:
        if found:
            _console().print(_changes(found))
        _console().print(_summary([c.kind for c in found]))
    if verdict(found) != "safe":
        raise typer.Exit(1)


def impact_command(
    what: Annotated[str, typer.Argument(help="A name; or agent/NAME, contract/NAME[@VERSION], tool/NAME.")],
    against: Annotated[Path | None, typer.Option("--against", help="Ask this lock, not the project.")] = None,
    json: Json = False,
    project: Folder = HERE,
) -> None:
    """List who depends on an agent, a contract or a tool, over how many hops."""
    lock = _read(against) if against else _current(project)
    kind, _, name = what.partition("/")
    found = impact(lock, kind, name) if name else _impact_of_any(lock, what)
    if json:
        _json({"of": what, "dependents": [i.as_json() for i in found]})
    else:
        _console().print(_impacts(found))


def _impact_of_any(lock: Mapping[str, Any], name: str) -> list[Impact]:
    """`impact` of the one thing of that name. Raises NotFound, ProjectInvalid where several have it."""
    found: dict[str, list[Impact]] = {}
    for kind in THINGS:
        with suppress(NotFound):
            found[kind] = impact(lock, kind, name)
    if len(found) > 1:
        raise ProjectInvalid(name=name, faults=[f"several have this name: {', '.join(f'{k}/{name}' for k in found)}"])
    if not found:
        raise NotFound(kind="agent, contract or tool", name=name)
    return next(iter(found.values()))


# -- reading ---------------------------------------------------------------------------------------------------------


def _current(project: Path) -> dict[str, Any]:
    systems = {name: served.system for name, served in load_all(project).items()}
    try:
        return orjson.loads(orjson.dumps(lock_of_systems({n: s for n, s in systems.items() if s is not None})))  # type: ignore[no-any-return]
    finally:
        for system in systems.values():
            if system is not None:
                system.close()


def _read(path: Path) -> dict[str, Any]:
    try:
        found = orjson.loads(path.read_bytes())
    except OSError as error:
        raise LockInvalid(name=str(path), faults=[f"cannot be read: {error.strerror}"]) from None
    except orjson.JSONDecodeError as error:
        raise LockInvalid(name=str(path), faults=[f"is not JSON: {error}"]) from None
    return read_lock(found, name=str(path))


def _document(where: str, project: Path) -> Mapping[str, Any]:
    """A contract document: from a JSON file, or of a contract that a module names."""
    path = Path(where)
    if path.is_file():
        try:
            found = orjson.loads(path.read_bytes())
        except orjson.JSONDecodeError as error:
            raise ProjectInvalid(name=where, faults=[f"is not JSON: {error}"]) from None
        # Through a contract, or a document with a mistake in it would be compared as if it meant what it says.
        named = {**found, "title": found.get("title") or path.stem} if isinstance(found, dict) else found
        made = Contract.from_schema(without_beyond(named) if isinstance(named, dict) else named)
        # With what cannot be checked by the document alone: it is compared all the same.
        return {**named, DOCUMENT: made.document[DOCUMENT]}
    if ":" not in where:
        raise ProjectInvalid(name=where, faults=["there is no such file; name a file, or module:CONTRACT"])
    target, _, variable = where.rpartition(":")
    try:
        made = getattr(_imported(target, project), variable)
    except EdgewrightError:
        raise
    except (Exception, SystemExit) as error:
        raise ProjectInvalid(name=where, faults=[f"cannot be loaded: {type(error).__name__}: {error}"]) from error
    if not isinstance(made, Contract):
        raise ProjectInvalid(name=where, faults=[f"is a {type(made).__name__}, not a Contract"])
    return made.document


def _body(lock: Mapping[str, Any]) -> bytes:
    """One key a line, sorted, a newline at the end: what version control shows well."""
    return orjson.dumps(lock, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE)


# -- showing ---------------------------------------------------------------------------------------------------------


def _console() -> Console:
    return Console(highlight=False)


def _json(value: Any) -> None:
    sys.stdout.write(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode() + "\n")


def _table(*columns: str) -> Table:
    table = Table(*columns, show_lines=False, pad_edge=False, box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.columns[-1].overflow = "fold"
    return table


def _kind(kind: str, last: str) -> Text:
    return Text(_WORDS[kind] if kind != last else "", _STYLES[kind])


def _changes(found: Sequence[Change]) -> Table:
    table, last = _table("kind", "field", "why"), ""
    for change in found:
        table.add_row(_kind(change.kind, last), plain(change.path), Text(plain(change.reason, cut=None)))
        last = change.kind
    return table


def _findings(found: Sequence[Finding]) -> Table:
    table, last = _table("kind", "what", "why"), ""
    several = len({s for f in found for s in f.systems}) > 1
    for f in found:
        what = Text.assemble(f"{f.subject} ", (plain(f.name), "bold"), f"\n  {plain(f.path)}" if f.path else "")
        why = Text(plain(f.reason, cut=None))
        if touched := _touched(f, several=several):
            why.append(f"\n{touched}", "dim")
        table.add_row(_kind(f.kind, last), what, why)
        last = f.kind
    return table


def _touched(f: Finding, *, several: bool) -> str:
    """What a change touches besides what it names; systems only where there are several."""

    def named(listed: Iterable[str]) -> str:
        return ", ".join(plain(n if len(f.systems) > 1 else n.partition(":")[2]) for n in listed)

    edges = f"edges {named(f.edges)}" if f.edges and f.subject != "edge" else ""
    agents = f"agents {named(f.agents)}" if f.agents and f.subject in ("tool", "contract") else ""
    systems = f"systems {plain(', '.join(f.systems))}" if several and f.subject != "system" else ""
    return "  ·  ".join(part for part in (edges, agents, systems) if part)


def _impacts(found: Sequence[Impact]) -> Table:
    table = _table("hops", "system", "who", "over")
    for i in found:
        who = f"{i.kind} {i.name}" if i.kind == "agent" else "its callers"
        table.add_row(str(i.hops), plain(i.system), plain(who), Text(plain(" → ".join(i.path), cut=None)))
    return table


def _summary(kinds: Sequence[str]) -> Text:
    if not kinds:
        return Text("nothing changed", "green")
    counts = [(f"{kinds.count(k)} {_WORDS[k]}", _STYLES[k]) for k in KINDS if k in kinds]
    return Text(", ").join(Text(*c) for c in counts)

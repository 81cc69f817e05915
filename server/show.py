"""What the command line shows: transcripts, tables, errors. Text from outside is never taken for markup or control."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from ..contracts.errors import EdgewrightError
from ..ledger.entry import Entry
from ..ledger.journal import Effect, Status, UndoStatus
from ..ledger.records import ModelSettled, RunDrained, RunEnded
from ..ledger.store import summary_of
from ..ledger.transcript import CUT, Scene, Tone, amounts, plain

_STYLES: dict[Tone, str] = {
    "run": "bold",
    "agent": "bold cyan",
    "contract": "magenta",
    "model": "blue",
    "tool": "default",
    "review": "yellow",
    "good": "green",
    "bad": "bold red",
    "quiet": "dim",
}
_MARKS: dict[Tone, str] = {
    "run": "■",
    "agent": "●",
    "contract": "▣",
    "model": "◆",
    "tool": "▸",
    "review": "?",
    "good": "✓",
    "bad": "✗",
    "quiet": "·",
}
STATUSES = {"completed": "green", "running": "cyan", "waiting": "yellow", "drained": "yellow", "cancelled": "yellow"}
"""How a status looks; any other is bad news."""
_EFFECTS: dict[Status, tuple[str, str]] = {
    "done": ("✓ done", "green"),
    "refused": ("· refused", "dim"),
    "failed": ("✗ failed", "red"),
    "unknown": ("? unknown", "bold yellow"),
    "intended": ("? no outcome", "bold yellow"),
}
_UNDOS: dict[UndoStatus, tuple[str, str]] = {
    "done": ("✓ undone", "cyan"),
    "failed": ("✓ done, not undone", "red"),
    "unknown": ("? may be undone", "bold yellow"),
    "intended": ("? may be undone", "bold yellow"),
}


def effects(run: str, told: Sequence[tuple[Effect, str, str]]) -> RenderableType:
    """The effects of a run, each with its arguments and its outcome (or why there is none)."""
    if not told:
        return Text(f"run {run} did nothing to the world")
    table = Table(box=None, pad_edge=False)
    for heading in ("effect", "tool", "arguments", "outcome", "at"):
        table.add_column(heading, overflow="fold")
    for effect, arguments, outcome in told:
        mark, style = _EFFECTS[effect.status] if effect.undo is None else _UNDOS[effect.undo.status]
        again = f" (given back {effect.reused}x)" if effect.reused else ""
        table.add_row(
            Text(mark, style),
            Text(plain(effect.tool)),
            Text(plain(arguments, cut=CUT)),
            Text(plain(outcome + again + _undoing(effect), cut=CUT)),
            Text(plain(effect.at), "dim"),
        )
    return table


def _undoing(effect: Effect) -> str:
    undo = effect.undo
    return "" if undo is None else f" (undoing it: {undo.status}, {undo.by}{f': {undo.said}' if undo.said else ''})"


def story(scenes: Sequence[Scene], *, full: bool = False) -> RenderableType:
    """A transcript for the terminal. `full` shows bookkeeping steps, and nothing is cut."""
    table = Table.grid(padding=(0, 1))
    table.add_column(justify="right", style="dim", no_wrap=True)
    table.add_column()
    for scene in scenes:
        if scene.tone == "quiet" and not full:
            continue
        head = Text("   " * scene.depth)
        head.append(f"{_MARKS[scene.tone]} ", _STYLES[scene.tone])
        head.append(plain(scene.title), _STYLES[scene.tone])
        table.add_row(f"{scene.seconds * 1000:.0f} ms", head)
        facts = Table.grid(padding=(0, 1))
        facts.add_column(style="dim", no_wrap=True)
        facts.add_column(overflow="fold")
        for label, value in scene.facts:
            facts.add_row(label, Text(plain(value, cut=None if full else CUT)))
        if scene.facts:
            table.add_row("", Padding(facts, (0, 0, 0, 3 * scene.depth + 2)))
    return table


def standing_json(entries: Sequence[Entry]) -> dict[str, str]:
    """How a run stands, as JSON prints it: its id, its status, and why."""
    found = summary_of(entries)
    if found is None:
        return {"run": entries[0].run if entries else "", "status": "", "reason": ""}
    return {"run": found.run, "status": found.status, "reason": found.reason}


def standing(entries: Sequence[Entry], *, cut: int | None = CUT) -> Text:
    """How a run stands: its system, its status, and why."""
    found = summary_of(entries)
    if found is None:
        return Text("a run that never began", "bold red")
    text = Text.assemble(("run ", "dim"), (found.run, "bold"), "  ", plain(found.system), "  ")
    text.append(found.status, STATUSES.get(found.status, "bold red"))
    if found.reason:
        text.append(f": {plain(found.reason, cut=cut)}")
    return text


def headline(entries: Sequence[Entry], verified: int | None, fault: str = "") -> RenderableType:
    """A run in a few lines: what it is, how it stands and why, what it cost, whether its chain holds."""
    stops = [e.record for e in entries if isinstance(e.record, RunEnded | RunDrained)]
    models = sorted({e.record.model for e in entries if isinstance(e.record, ModelSettled)})
    first = standing(entries)
    began = datetime.fromtimestamp(entries[0].time, UTC).isoformat(" ", "seconds")
    took = Text(f"{entries[-1].time - entries[0].time:.2f} s, began {began}")
    chain = f"chain of {verified} records verified" if verified is not None else f"CHAIN BROKEN: {fault}"
    second = Text.assemble(took, "  ", (chain, "green" if verified is not None else "bold red"))
    if stops and stops[-1].spent:
        second.append(f"  spent {amounts(stops[-1].spent)}", "default")
    if models:
        notional = " (offline: rules play the model, the price is notional)"
        second.append(
            f"  {', '.join(models)}{notional if any(m.startswith('offline:') for m in models) else ''}", "dim"
        )
    return Group(first, second, Text())


def advice(console: Console, lines: Sequence[str]) -> None:
    """What the systems of a project say of their own size."""
    for line in lines:
        console.print(Text.assemble(("advice: ", "yellow"), plain(line)))


def failure(console: Console, error: EdgewrightError) -> None:
    """A typed error for a person: its name, and its message, which says the thing, the rule and the remedy."""
    console.print(Text.assemble((f"{type(error).__name__}: ", "bold red"), plain(str(error), cut=4000)))

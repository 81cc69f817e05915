"""What the trial found: figures by way, by scenario and by durability, and by name whatever should not be."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bench.crash.audit import Counts
from bench.crash.systems import SCENARIOS
from bench.crash.trial import Tried
from bench.crash.world import WAYS

_TITLES: Mapping[str, str] = {
    "wanted": "to be done",
    "effects": "effects",
    "repeats": "repeats",
    "lost": "lost",
    "against": "against a no",
    "unknown": "unknown",
    "parked": "parked",
    "probed": "probed",
    "again": "done again",
}
_NAMES: Mapping[str, str] = {
    "key": "key",
    "natural": "natural",
    "probe": "none, with a probe",
    "none": "none, without",
}


def total(every: Iterable[Counts]) -> Counts:
    """The sum of counts."""
    found = Counts()
    for counts in every:
        found.add(counts)
    return found


def by_way(tried: Sequence[Tried]) -> dict[str, Counts]:
    """The counts of all runs, by idempotency."""
    return {_NAMES[way]: total(t.audit.ways[way] for t in tried) for way in WAYS}


def by(tried: Sequence[Tried], part: Callable[[Tried], str]) -> dict[str, tuple[int, int, Counts]]:
    """(runs, kills, counts) of the runs that `part` calls alike."""
    groups: dict[str, list[Tried]] = {}
    for each in tried:
        groups.setdefault(part(each), []).append(each)
    return {
        name: (len(group), sum(t.kills for t in group), total(c for t in group for c in t.audit.ways.values()))
        for name, group in groups.items()
    }


def figures(tried: Sequence[Tried]) -> dict[str, Any]:
    """All figures, for machines."""

    def plain(groups: dict[str, tuple[int, int, Counts]]) -> dict[str, Any]:
        return {name: {"runs": runs, "kills": kills, **asdict(c)} for name, (runs, kills, c) in groups.items()}

    every = [c for t in tried for c in t.audit.ways.values()]
    return {
        "runs": len(tried),
        "kills": sum(t.kills for t in tried),
        "kills by the clock": sum(d.startswith("after") for t in tried for d in t.deaths),
        **asdict(total(every)),
        "runs left behind, with nothing done": sum(t.audit.left for t in tried),
        "runs with a fault": sum(bool(t.audit.faults) for t in tried),
        "idempotency": {way: asdict(c) for way, c in by_way(tried).items()},
        "scenario": plain(by(tried, lambda t: t.scenario)),
        "durability": plain(by(tried, lambda t: t.durability)),
    }


def faults(tried: Sequence[Tried]) -> list[str]:
    """Whatever should not be, with the run and how its processes died."""
    return [
        f"{t.scenario}, {t.durability}, seed {t.seed}: {fault}\n      killed: {'; '.join(t.deaths)}"
        for t in tried
        for fault in t.audit.faults
    ]


def as_json(governed: Sequence[Tried], plain: Sequence[Tried]) -> dict[str, Any]:
    """Everything, for machines."""
    found = {"governed": governed, "ungoverned": plain}
    return {
        "figures": {name: figures(tried) for name, tried in found.items() if tried},
        "faults": faults(governed),
        "runs": [t.as_json() for tried in found.values() for t in tried],
    }


# -- on a screen ---------------------------------------------------------------------------------------------------


def show(governed: Sequence[Tried], plain: Sequence[Tried], console: Console) -> None:
    """Print the tables and the faults."""
    for title, tried in (("Under the gate", governed), ("Plain LangGraph, without a gate", plain)):
        if not tried:
            continue
        whole = figures(tried)
        kills = f"{whole['kills']} kills ({whole['kills by the clock']} by the clock) in {whole['runs']} runs"
        shown = [name for name in _TITLES if tried is governed or name in ("wanted", "effects", "repeats", "lost")]
        ways = {name: (None, None, counts) for name, counts in by_way(tried).items()}
        _table(console, f"{title}: {kills}, by idempotency", ways, shown)
        scenarios = {SCENARIOS[s]: row for s, row in by(tried, lambda t: t.scenario).items()}  # type: ignore[index]
        _table(console, f"{title}, by scenario", scenarios, shown)
        _table(console, f"{title}, by durability", by(tried, lambda t: t.durability), shown)
    if governed:
        console.print(
            "\n[bold]unknown[/bold]: had an intent and no outcome when a process was killed. "
            "[bold]parked[/bold]: put before a person. [bold]probed[/bold]: looked up.\n"
            "[bold]done again[/bold]: with the same key or the same arguments, to no effect.",
            highlight=False,
        )
        left = figures(governed)["runs left behind, with nothing done"]
        console.print(f"Runs that had begun and done nothing when another took their place: {left}")
        said = faults(governed)
        console.print(f"\n[bold]What should not be[/bold] ({len(said)})")
        for line in said:
            console.print(f"  {escape(line)}", soft_wrap=True, highlight=False)


def _table(console: Console, title: str, rows: Mapping[str, Any], shown: Sequence[str]) -> None:
    table = Table(title=title, title_justify="left")
    table.add_column("", no_wrap=True)
    counted = any(runs is not None for runs, _, _ in rows.values())
    for name in [*(("runs", "kills") if counted else ()), *(_TITLES[n] for n in shown)]:
        table.add_column(name, justify="right")
    for name, (runs, kills, counts) in rows.items():
        table.add_row(name, *((str(runs), str(kills)) if counted else ()), *(str(getattr(counts, n)) for n in shown))
    table.add_section()
    whole = total(counts for _, _, counts in rows.values())
    sums = (str(sum(r for r, _, _ in rows.values())), str(sum(k for _, k, _ in rows.values()))) if counted else ()
    table.add_row("together", *sums, *(str(getattr(whole, n)) for n in shown))
    console.print(table)

"""Never a call too many: 200 callers and a budget for 50, round after round. Prints one table."""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from pathlib import Path

from edgewright.contracts.budget import Amounts
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bench.overspend.apart import PROCESSES, in_processes, with_kills
from bench.overspend.asking import ASKING, CALLS, reserved_by_one
from bench.overspend.child import quiet
from bench.overspend.crew import Crew
from bench.overspend.limits import UNITS
from bench.overspend.round import Round, in_one_day
from bench.overspend.together import in_branches, side_by_side

VARIANTS: Mapping[str, str] = {
    "branches": f"one run, {ASKING} branches, its own budget",
    "runs": f"one process, {ASKING} runs, a system's budget",
    "processes": f"{PROCESSES} processes, {ASKING} runs, a tenant's day",
    "killed": f"{PROCESSES} processes, two of them killed",
}

_LEGEND = """\
fewest, most, in all: requests that reached the model's server, which answers once all callers are decided.
lapsed: calls that nobody came back to settle; they count as used.
off: rounds with a call too many or too few; or in which spent + released was not reserved, something stayed open, the
records, the accounts and the server did not agree to the last unit, or a chain did not verify."""


@dataclass(slots=True, kw_only=True)
class Tried:
    """All rounds of one variant under one limit."""

    variant: str
    limit: str
    rounds: list[Round] = field(default_factory=list)

    @property
    def faults(self) -> list[str]:
        """Whatever should not be, with its round."""
        return [f"{self.variant}, {self.limit}, round {n}: {f}" for n, r in enumerate(self.rounds) for f in r.faults]


def trial(rounds: int, seed: int, variants: Sequence[str], limits: Sequence[str]) -> Iterator[Tried]:
    """Try each variant under each limit."""
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="edgewright-overspend-") as folder:
        one = asyncio.run(reserved_by_one(Path(folder)))
    with Crew(PROCESSES if {"processes", "killed"} & {*variants} else 0) as crew:
        for variant in variants:
            for limit in limits:
                found = Tried(variant=variant, limit=limit)
                for _ in range(rounds):
                    found.rounds.append(in_one_day(partial(_one, variant, limit, one, rng, crew)))
                yield found


def _one(variant: str, limit: str, one: Amounts, rng: random.Random, crew: Crew, home: Path) -> Round:
    match variant:
        case "branches":
            return asyncio.run(in_branches(limit, home, one, rng))
        case "runs":
            return asyncio.run(side_by_side(limit, home, one, rng))
        case "processes":
            return in_processes(limit, home, one, rng, crew)
        case _:
            return with_kills(limit, home, one, rng, crew)


def show(every: Sequence[Tried], console: Console) -> None:
    """Print the table, and whatever should not be."""
    title = f"{ASKING} callers, a budget for {CALLS} calls"
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("who asks", no_wrap=True)
    table.add_column("limit", no_wrap=True)
    for name in ("rounds", "fewest", "most", "in all", "kills", "lapsed", "off", "s each"):
        table.add_column(name, justify="right", no_wrap=True)
    for variant, group in groupby(every, key=lambda t: t.variant):
        for number, tried in enumerate(group):
            table.add_row("" if number else VARIANTS[variant], tried.limit, *_figures(tried.rounds))
        table.add_section()
    console.print(table)
    console.print(_LEGEND, highlight=False)
    for fault in (f for tried in every for f in tried.faults):
        console.print(f"  {escape(fault)}", soft_wrap=True, highlight=False)


def _figures(rounds: Sequence[Round]) -> tuple[str, ...]:
    calls, off = [r.calls for r in rounds], sum(bool(r.faults) for r in rounds)
    counts = (
        len(rounds),
        min(calls),
        max(calls),
        sum(calls),
        sum(r.kills for r in rounds),
        sum(r.lapsed for r in rounds),
    )
    seconds = sum(r.seconds for r in rounds) / len(rounds)
    return (*map(str, counts), f"[bold]{off}[/]" if off else "0", f"{seconds:.1f}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the trial. Returns 1 where anything is off."""
    parser = argparse.ArgumentParser(prog="python -m bench.overspend", description=__doc__)
    parser.add_argument("--rounds", type=int, default=100, help="of each variant under each limit")
    parser.add_argument("--seed", type=int, help="of limits, usage and kills; random unless given")
    parser.add_argument("--only", nargs="+", choices=[*VARIANTS], default=[*VARIANTS], help="these variants")
    parser.add_argument("--limit", nargs="+", choices=[*UNITS], default=[*UNITS], help="these limits")
    given = parser.parse_args(arguments)
    seed = random.randrange(10**6) if given.seed is None else given.seed
    quiet()
    console, every = Console(width=None if sys.stdout.isatty() else 120), list[Tried]()
    for tried in trial(given.rounds, seed, given.only, given.limit):
        every.append(tried)
        print(f"{VARIANTS[tried.variant]}, {tried.limit}: {len(tried.faults)} faults", file=sys.stderr)
    show(every, console)
    console.print(f"seed {seed}")
    return 1 if any(tried.faults for tried in every) else 0


if __name__ == "__main__":
    sys.exit(main())

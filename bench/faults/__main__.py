"""The matrix: every topology under every fault with every declared reaction. `python -m bench.faults`."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby, product

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from bench.faults.cases import CASES, Case
from bench.faults.cell import Found, tried
from bench.faults.topologies import REACTIONS, TOPOLOGIES, Reaction


def matrix(
    topologies: Sequence[str], cases: Sequence[Case], reactions: Sequence[Reaction], *, at_once: int = 2
) -> Iterator[Found]:
    """Every cell, in order, as it is there. What cannot be declared in a topology is no cell."""
    every = product(topologies, cases, reactions)
    cells = [(name, case, reaction) for name, case, reaction in every if reaction in TOPOLOGIES[name].reactions]
    with ThreadPoolExecutor(at_once) as pool:
        yield from pool.map(lambda cell: tried(*cell), cells)


def tables(cells: Iterable[Found]) -> Iterator[Table]:
    """A table for each topology, its faults in sections."""
    for topology, of_topology in groupby(cells, key=lambda c: c.topology):
        table = Table(*COLUMNS, title=topology, box=SIMPLE_HEAD, pad_edge=False)
        for _, of_fault in groupby(of_topology, key=lambda c: c.fault):
            for number, cell in enumerate(of_fault):
                table.add_row("" if number else cell.fault, *_row(cell))
            table.add_section()
        yield table


COLUMNS = ("fault", "declared", "ended as", "s", "error", "answer", "booked", "sibling", "neighbour", "")


def _row(cell: Found) -> tuple[str, ...]:
    error = cell.ended.error if cell.ended else ""
    last = cell.later or cell.ended
    marks = last.outcome.marks if last and last.outcome else ()
    return (
        cell.reaction,
        cell.status or "-",
        f"{cell.ended.seconds:.1f}" if cell.ended else "-",
        f"{error}, then on" if cell.later else error,
        ", ".join((cell.answered, *marks)),
        str(cell.effects),
        "yes" if cell.sibling else "no",
        "finished" if cell.neighbour_finished else "[bold]NO[/]",
        f"[bold]{' '.join(faults(cell))}[/]",
    )


def faults(cell: Found) -> list[str]:
    """What must never be in a cell, whatever was declared."""
    return [
        *(["HUNG"] if cell.hung else []),
        *(["DIED"] if cell.died else []),
        *(["CORRUPT"] if cell.corrupt else []),
        *(["TWICE"] if cell.effects > 1 else []),
        *(["NO END"] if cell.status in ("", "running") and not cell.hung else []),
        *(["SILENT PARTIAL"] if cell.status == "completed" and cell.answered in ("silent", "none") else []),
        *(["NEIGHBOUR"] if not cell.neighbour_finished else []),
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the matrix, or the part of it that the arguments name; 1 where something must never be."""
    parser = argparse.ArgumentParser(prog="python -m bench.faults", description=__doc__)
    parser.add_argument("--topology", choices=[*TOPOLOGIES], action="append")
    parser.add_argument("--fault", action="append", help="part of a fault's name")
    parser.add_argument("--reaction", choices=REACTIONS, action="append")
    parser.add_argument("--at-once", type=int, default=2, help="cells that run at once")
    given = parser.parse_args(arguments)
    cases = [c for c in CASES if not given.fault or any(part in c.name for part in given.fault)]
    if not cases:
        parser.error(f"no fault is named so; known: {', '.join(c.name for c in CASES)}")
    cells = matrix(given.topology or [*TOPOLOGIES], cases, given.reaction or REACTIONS, at_once=given.at_once)
    found, console = list(cells), Console()
    console.print(*tables(found))
    wrong = sum(bool(faults(cell)) for cell in found)
    console.print(f"{len(found)} cells; {wrong} with what must never be")
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())

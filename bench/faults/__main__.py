"""The matrix: every topology under every fault with every declared reaction. `python -m bench.faults`."""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import product

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from bench.faults.cases import CASES, REACTIONS, Case, Reaction
from bench.faults.cell import Found, tried
from bench.faults.topologies import TOPOLOGIES

COLUMNS = ("topology", "fault", "declared", "came to", "s", "error", "answer", "beside")
CAPTION = (
    "answer: it tells all that was asked for (whole), or not all and has a mark on it (marked) or says what failed "
    "(says so). beside: who finished beside it: the neighbour's run, or that and the branch beside it, too (both)."
)
WIDTH = 120


def matrix(
    topologies: Sequence[str], cases: Sequence[Case], reactions: Sequence[Reaction], *, at_once: int = 4
) -> Iterator[Found]:
    """Every cell, in order, as it is there. What cannot be declared in a topology, or for a fault, is no cell."""
    cells = [
        (name, case, reaction)
        for name, case, reaction in product(topologies, cases, reactions)
        if reaction in TOPOLOGIES[name].reactions and reaction in case.reactions
    ]
    with ThreadPoolExecutor(at_once) as pool:
        yield from pool.map(lambda cell: tried(*cell), cells)


def table(cells: Sequence[Found]) -> Table:
    """The cells as one table, a section for each topology. What is as in the row above is not said again."""
    made = Table(*COLUMNS, box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), caption=CAPTION)
    above = ("", "")
    for cell in cells:
        topology, fault = cell.topology, cell.fault
        if topology != above[0]:
            made.add_section()
        same = topology == above[0]
        row = ("" if same else topology, "" if same and fault == above[1] else fault, *_row(cell))
        made.add_row(*row, style="bold reverse" if faults(cell) else None)
        above = (topology, fault)
    return made


def _row(cell: Found) -> tuple[str, ...]:
    return (
        cell.reaction,
        cell.came_to or "-",
        f"{cell.ended.seconds:.1f}" if cell.ended else "-",
        cell.ended.error if cell.ended else "",
        cell.answered,
        ("both" if cell.sibling else "run") if cell.neighbour_finished else "NOBODY",
    )


def faults(cell: Found) -> list[str]:
    """What must never be in a cell; and that it came to something else than its declaration says."""
    return [
        *(["HUNG"] if cell.hung else []),
        *(["DIED"] if cell.died else []),
        *(["CORRUPT"] if cell.corrupt else []),
        *(["TWICE"] if cell.effects > 1 else []),
        *(["NO END"] if cell.status in ("", "running") and not cell.hung else []),
        *(["SILENT PARTIAL"] if cell.status == "completed" and cell.answered in ("silent", "none") else []),
        *(["NEIGHBOUR"] if not cell.neighbour_finished else []),
        *([f"NOT AS DECLARED ({cell.must})"] if cell.must not in ("", cell.came_to) else []),
    ]


def verdict(cells: Sequence[Found], seconds: float) -> str:
    """How many cells came to what, those that are wrong one by one, and the verdict as the last line."""
    ends = Counter(cell.came_to for cell in cells)
    wrong = [cell for cell in cells if faults(cell)]
    slowest = max(cells, key=lambda cell: cell.seconds)
    return "\n".join(
        [
            "; ".join(f"{number} {came_to or '-'}" for came_to, number in ends.most_common()),
            *(f"WRONG: {c.topology}, {c.fault}, {c.reaction}: {', '.join(faults(c))}: {_why(c)}" for c in wrong),
            f"slowest: {slowest.topology}, {slowest.fault}, {slowest.reaction}: {slowest.seconds:.1f} s",
            f"{len(cells)} cells in {seconds:.0f} s: {f'{len(wrong)} WRONG' if wrong else 'all as declared'}",
        ]
    )


def _why(cell: Found) -> str:
    told = cell.later or cell.ended
    return cell.corrupt or cell.reason or (f"{told.error} {told.message}" if told else "") or cell.came_to


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the matrix, or the part of it that the arguments name; 1 where a cell is wrong."""
    parser = argparse.ArgumentParser(prog="python -m bench.faults", description=__doc__)
    parser.add_argument("--topology", choices=[*TOPOLOGIES], action="append")
    parser.add_argument("--fault", action="append", help="part of a fault's name")
    parser.add_argument("--reaction", choices=REACTIONS, action="append")
    parser.add_argument("--at-once", type=int, default=4, help="cells that run at once")
    given = parser.parse_args(arguments)
    cases = [c for c in CASES if not given.fault or any(part in c.name for part in given.fault)]
    if not cases:
        parser.error(f"no fault is named so; known: {', '.join(c.name for c in CASES)}")
    began = time.monotonic()
    found = list(matrix(given.topology or [*TOPOLOGIES], cases, given.reaction or REACTIONS, at_once=given.at_once))
    if not found:
        parser.error("nothing of that can be declared so")
    console = Console(width=WIDTH, highlight=False)
    console.print(table(found))
    console.print(verdict(found, time.monotonic() - began), markup=False)
    return 1 if any(map(faults, found)) else 0


if __name__ == "__main__":
    raise SystemExit(main())

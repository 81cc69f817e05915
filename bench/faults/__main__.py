"""The matrix: every topology under every fault with what can be declared for it. `python -m bench.faults`.

What is declared for an agent's failure has nothing to do where a fault is dealt with below its turn: a try after a busy
moment, a tool's error that its model is told of, another process after a crash. There each topology is tried with one
declaration, another one for each fault; `--all` tries all of them.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import product

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench.faults.cases import CASES, REACTIONS, TO_BUDGET, TO_FAILURE, Case, Reaction
from bench.faults.cell import Found, tried
from bench.faults.topologies import TOPOLOGIES

WIDTH = 100
LEGEND = """\
Each column is what is declared; each entry is what the run came to.
  whole          completed, and the answer tells all that was asked for
  says so        completed; the answer says in words what failed
  gap, degraded, fallback, unmet
                 completed, and so marked; gap: the part is missing; fallback: another did it
  waiting        a person is asked
  an error       the run failed by it
  drained, ...   stopped to be gone on with; what came of that
Where the ledger fails or the process dies, it is what came of it when a second process went on.
In all of them a neighbour ran in the same process at the same time, and had its answer, or the cell
is WRONG. s: seconds until the slowest run of the row came back. Blank: not tried, or no such thing.
"""
_STRIDE = 7
Cell = tuple[str, Case, Reaction]


def cells_of(only: Sequence[str] = ()) -> list[Cell]:
    """Every cell, in order. What cannot be declared in a topology, or for a fault, is none.

    Args:
        only: those whose name, `topology, fault, reaction`, has all the parts of one of these, parted by commas.
    """
    every = [
        (name, case, reaction)
        for name, case, reaction in product(TOPOLOGIES, CASES, REACTIONS)
        if TOPOLOGIES[name].tries(case, reaction)
    ]
    wanted = [[part.strip() for part in words.split(",")] for words in only]
    return [c for c in every if not only or any(all(part in _named(c) for part in parts) for parts in wanted)]


def thinned(cells: Sequence[Cell]) -> list[Cell]:
    """Without those whose declaration has nothing to do, but for one of each topology and fault, taken in turn."""
    topologies, below = [*TOPOLOGIES], [case for case in CASES if case.below]
    kept = []
    for cell in cells:
        name, case, reaction = cell
        tried_in = [r for r in case.reactions if TOPOLOGIES[name].tries(case, r)]
        if not case.below or reaction == tried_in[(topologies.index(name) + below.index(case)) % len(tried_in)]:
            kept.append(cell)
    return kept


def _named(cell: Cell) -> str:
    return f"{cell[0]}, {cell[1].name}, {cell[2]}"


def matrix(cells: Sequence[Cell], *, at_once: int = 6) -> Iterator[Found]:
    """What became of each cell, in order, some of them at once, each in processes of its own.

    Neighbours in the list have much the same fault, so they are not begun one after the other: of those that are at
    work at once, some wait for what hangs, while others compute.
    """
    with ThreadPoolExecutor(at_once) as pool:
        begun: dict[int, Future[Found]] = {}
        for first in range(_STRIDE):
            for place in range(first, len(cells), _STRIDE):
                begun[place] = pool.submit(tried, *cells[place])
        for place in range(len(cells)):
            yield begun[place].result()


# -- what is shown ----------------------------------------------------------------------------------------------------


def tables(found: Sequence[Found]) -> Iterator[Table]:
    """A table for each topology, a row for each fault, a column for what is declared; and one for the budgets."""
    failures = [cell for cell in found if cell.reaction in TO_FAILURE and not _of_budget(cell)]
    budgets = [cell for cell in found if _of_budget(cell)]
    for name in dict.fromkeys(cell.topology for cell in failures):
        mine = [cell for cell in failures if cell.topology == name]
        yield _table(name, TO_FAILURE, _rows(mine, lambda cell: cell.fault), widest=21)
    if budgets:
        yield _table(budgets[0].fault, TO_BUDGET, _rows(budgets, lambda cell: cell.topology), widest=15)


def _of_budget(cell: Found) -> bool:
    return next(case for case in CASES if case.name == cell.fault).reactions == TO_BUDGET


def _rows(cells: Iterable[Found], by: Callable[[Found], str]) -> dict[str, dict[Reaction, Found]]:
    rows: dict[str, dict[Reaction, Found]] = {}
    for cell in cells:
        rows.setdefault(by(cell), {})[cell.reaction] = cell
    return rows


def _table(
    title: str, reactions: Sequence[Reaction], rows: Mapping[str, Mapping[Reaction, Found]], *, widest: int
) -> Table:
    made = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    made.add_column(title, width=26, no_wrap=True)
    for place, reaction in enumerate(reactions):
        made.add_column(reaction, width=widest if place == 0 or reactions is TO_BUDGET else 9, no_wrap=True)
    made.add_column("s", justify="right", width=4)
    for name, row in rows.items():
        told = [_shown(row[reaction]) if reaction in row else Text("") for reaction in reactions]
        ends = [ended.seconds for cell in row.values() for ended in (cell.ended, cell.later) if ended]
        made.add_row(name, *told, f"{max(ends):.1f}" if ends else "-")
    return made


def _shown(cell: Found) -> Text:
    return Text("WRONG", "bold reverse") if faults(cell) else Text(came_to(cell))


def came_to(cell: Found) -> str:
    """What a cell came to, in a word or two: see `LEGEND`."""
    match cell.status:
        case "completed":
            last = ", ".join(cell.marks) or cell.answered
        case "failed" | "out_of_budget":
            told = cell.later or cell.ended
            last = (told.error if told else "") or cell.status
        case other:
            last = other or "nothing"
    return f"{cell.first}, {last}" if cell.first else last


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
        *([f"NOT AS DECLARED ({' or '.join(cell.must)})"] if cell.must and cell.came_to not in cell.must else []),
    ]


def verdict(cells: Sequence[Found], seconds: float) -> str:
    """Who finished beside, the slowest, those that are wrong one by one, and the verdict as the last line."""
    wrong = [cell for cell in cells if faults(cell)]
    slowest = max(cells, key=lambda cell: cell.seconds)
    neighbours = sum(cell.neighbour_finished for cell in cells)
    return "\n".join(
        [
            f"the neighbour finished in {neighbours} cells of {len(cells)}, the clerk's part beside it in "
            f"{sum(cell.sibling for cell in cells)}; most effects of one request: {max(c.effects for c in cells)}",
            f"slowest: {slowest.topology}, {slowest.fault}, {slowest.reaction}: {slowest.seconds:.1f} s",
            *(
                f"WRONG: {c.topology}, {c.fault}, {c.reaction}: {', '.join(faults(c))}; "
                f"came to {c.came_to or 'nothing'}: {c.why or 'no reason given'}"
                for c in wrong
            ),
            f"{len(cells)} cells in {seconds:.0f} s: {f'{len(wrong)} WRONG' if wrong else 'all as declared'}",
        ]
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the matrix, or the part of it that the arguments name; 1 where a cell is wrong."""
    parser = argparse.ArgumentParser(prog="python -m bench.faults", description=__doc__.splitlines()[0])
    parser.add_argument("--all", action="store_true", help="also what is declared and has nothing to do")
    parser.add_argument(
        "--only",
        action="append",
        metavar="PARTS",
        default=[],
        help="of all cells, those whose `topology, fault, reaction` has all these parts: 'swarm, 500, skip'",
    )
    parser.add_argument("--at-once", type=int, default=6, help="cells that run at once")
    given = parser.parse_args(arguments)
    cells = cells_of(given.only) if given.only or given.all else thinned(cells_of())
    if not cells:
        known = f"topologies: {'; '.join(TOPOLOGIES)}. faults: {'; '.join(c.name for c in CASES)}"
        parser.error(f"no cell is named so; {known}. reactions: {'; '.join(REACTIONS)}")
    began = time.monotonic()
    found = list(matrix(cells, at_once=given.at_once))
    console = Console(width=WIDTH, highlight=False)
    console.print(LEGEND, markup=False)
    for table in tables(found):
        console.print(table)
        console.print()
    console.print(verdict(found, time.monotonic() - began), markup=False)
    return 1 if any(map(faults, found)) else 0


if __name__ == "__main__":
    raise SystemExit(main())

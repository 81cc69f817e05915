"""Kill processes in the middle of effects, and print what became of the effects."""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections.abc import Sequence
from dataclasses import replace

from rich.console import Console

from bench.crash.fuse import watch_the_ledger
from bench.crash.plain import COMPARED
from bench.crash.report import as_json, faults, show
from bench.crash.systems import DURABILITIES, SCENARIOS, pairs
from bench.crash.trial import Tried, Wanted, tried_by_workers


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the trial. Returns 1 where an effect under the gate was lost, repeated, or not parked when unknown."""
    parser = argparse.ArgumentParser(prog="python -m bench.crash", description=__doc__)
    parser.add_argument("--kills", type=int, default=500, help="how many processes to kill under the gate")
    parser.add_argument("--seed", type=int, help="of plans and kills; random unless given (a clock is in it, too)")
    parser.add_argument("--only", nargs="+", choices=list(SCENARIOS), default=list(SCENARIOS), help="these scenarios")
    parser.add_argument("--durability", nargs="+", choices=DURABILITIES, default=[], help="these, with every scenario")
    parser.add_argument("--ungoverned", action="store_true", help="the same without a gate, with fewer kills")
    parser.add_argument("--workers", type=int, default=2, help="how many runs at once")
    parser.add_argument("--json", action="store_true", help="print JSON")
    given = parser.parse_args(arguments)
    seed = random.randrange(10**6) if given.seed is None else given.seed
    watch_the_ledger()
    wanted = Wanted(kills=given.kills, seed=seed, pairs=pairs(given.only, given.durability), workers=given.workers)
    governed, plain = tried_by_workers(wanted), list[Tried]()
    if given.ungoverned and (compared := [s for s in COMPARED if s in given.only]):
        fewer = max(given.kills // 5, 20)
        plain = tried_by_workers(replace(wanted, kills=fewer, pairs=pairs(compared, given.durability), governed=False))
    if given.json:
        print(json.dumps({"seed": seed, **as_json(governed, plain)}, indent=2))
    else:
        console = Console(width=None if sys.stdout.isatty() else 160)
        show(governed, plain, console)
        console.print(f"seed {seed}")
    return 1 if faults(governed) else 0


if __name__ == "__main__":
    sys.exit(main())

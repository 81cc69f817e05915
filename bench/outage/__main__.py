"""A hundred runs, a tenth of which need an integration that is dead. `python -m bench.outage`."""

from __future__ import annotations

import argparse
import gc
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from bench.outage.load import Load
from bench.outage.office import DEATHS, Dead
from bench.outage.plain import play_plain
from bench.outage.report import faults, show, slow
from bench.outage.scene import play


def main(arguments: Sequence[str] | None = None) -> int:
    """Play the scenes and print what was seen; 1 where it does not hold."""
    parser = argparse.ArgumentParser(prog="python -m bench.outage", description=__doc__)
    parser.add_argument("--rounds", type=int, default=1, help="how often each outage is played, beside a scene without")
    parser.add_argument("--governed", action="store_true", help="not beside plain LangGraph")
    parser.add_argument("--png", type=Path, help="paint the first outage there")
    given = parser.parse_args(arguments)
    load, console = Load(), Console(width=None if sys.stdout.isatty() else 160)
    # A full collection stops every run at once; what was imported need not be looked through in each.
    gc.collect()
    gc.freeze()
    order: list[Dead | None] = [each for how in DEATHS for each in (None, how)] * given.rounds
    scenes = [play(dead, load) for dead in order]
    plain = None if given.governed else play_plain(load)
    show(scenes, load, plain, console)
    wrong = [fault for scene in scenes for fault in faults(scene, load)] + slow(scenes)
    console.print(f"[bold]What should not be[/] ({len(wrong)})")
    for line in wrong:
        console.print(f"  {line}", markup=False, highlight=False)
    if given.png is not None:
        from bench.outage.picture import painted

        given.png.write_bytes(painted(scenes[0], scenes[1], load))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

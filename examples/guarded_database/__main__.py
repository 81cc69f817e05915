"""Play the founding incident twice, with rules in the prompt and under the gate, and print both side by side."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from .estate import EstateRefused
from .play import Played, play
from .report import as_json, faults, screen


async def _both(root: Path) -> tuple[Played, Played]:
    return await play(root / "prompt", guarded=False), await play(root / "gate", guarded=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Play both. Returns 1 where something was lost under the gate, or nothing without it; 2 where none is played."""
    parser = argparse.ArgumentParser(prog="python -m examples.guarded_database", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="play in this empty folder, and leave it there")
    given = parser.parse_args(arguments)
    try:
        if given.keep:
            prompt, gate = asyncio.run(_both(given.keep))
        else:
            with tempfile.TemporaryDirectory(prefix="guarded-database-") as folder:
                prompt, gate = asyncio.run(_both(Path(folder)))
    except EstateRefused as refused:
        sys.stderr.write(f"{refused}\n")
        return 2
    if given.json:
        json.dump(as_json(prompt, gate), sys.stdout, indent=2, ensure_ascii=False)
        sys.stdout.write("\n")
    else:
        Console(width=None if sys.stdout.isatty() else 100).print(screen(prompt, gate))
    return 1 if faults(prompt, gate) else 0


if __name__ == "__main__":
    sys.exit(main())

"""A process that holds a thread: `python -m support.holds_child FOLDER THREAD`.

It says `held` or `busy`, and then lets go when it is told to, unless it is killed first.
"""

from __future__ import annotations

import sys
from pathlib import Path

from edgewright.contracts.errors import ThreadBusy
from edgewright.ledger.holds import Holds


def main(folder: str, thread: str) -> None:
    """The process's part."""
    try:
        with Holds(Path(folder)).hold(thread):
            print("held", flush=True)
            sys.stdin.readline()
    except ThreadBusy:
        print("busy", flush=True)
    print("done", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])

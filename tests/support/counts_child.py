"""A process that counts as fast as it can: `python -m support.counts_child PATH NAME TRIES LIMIT KILL`.

It says `ready`, waits for a line, and asks for one more, again and again; with KILL it dies by SIGKILL after its last
count that was let through. Each count that was let through is a line of its own, `counted`.
"""

from __future__ import annotations

import os
import signal
import sys

from edgewright.contracts.errors import LimitReached
from edgewright.ledger.counts import Count, Window
from edgewright.ledger.entry import Draft
from edgewright.ledger.sqlite import SqliteLedger
from support.ledgers import WAIT, handoff


def main(path: str, name: str, tries: str, limit: str, kill: str) -> None:
    """Ask `tries` times for one more under a limit that all processes share."""
    ledger = SqliteLedger(path)
    os.write(1, b"ready\n")
    sys.stdin.readline()
    for i in range(int(tries)):
        count = Count(key="shared", by=f"{name}/{i}", amount=1, windows=(Window(limit=int(limit), since=0.0),))
        try:
            ledger.append(name, [Draft(record=handoff(f"{i}"), counts=(count,))]).result(WAIT)
        except LimitReached:
            continue
        os.write(1, b"counted\n")
    if kill == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    ledger.close()


if __name__ == "__main__":
    main(*sys.argv[1:])

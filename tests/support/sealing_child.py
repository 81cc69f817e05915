"""A process of its own that begins runs with keys and redacted payloads: `python -m support.sealing_child <path>`.

Each run that was acknowledged is one line, in one write: its name, and the ref of its redacted payload.
"""

from __future__ import annotations

import os
import sys
from itertools import count

from edgewright.ledger.entry import Draft
from edgewright.ledger.sealing import new_run_key, payload
from edgewright.ledger.sqlite import SqliteLedger
from support.ledgers import handoff, started, write

CANARY = "zqxcanary"


def beginning(path: str) -> None:
    """Begin runs until killed. The first record, the key and the first redacted payload are one commit."""
    ledger = SqliteLedger(path)
    os.write(1, b"ready\n")
    for number in count():
        run, key = f"{os.getpid()}.{number}", new_run_key()
        first = payload({"request": f"{CANARY} {run}"}, key=key.body, cleaned={"request": "<secret>"})
        write(ledger, run, Draft(record=started(), key="run.started", payloads=(first, key)))
        later = payload({"reply": f"{CANARY} {run}"}, key=key.body, cleaned={"reply": "<secret>"})
        write(ledger, run, Draft(record=handoff("later"), payloads=(later,)))
        os.write(1, f"{run} {first.ref} {later.ref}\n".encode())


if __name__ == "__main__":
    beginning(sys.argv[1])

"""A process of its own on a ledger's file: `python -m support.ledger_child <what> [path] [arguments]`.

`open`: opens (and so migrates) the file once told to, on stdin. `append`: appends to runs that another process
appends to as well. `fork`: forks a process for each path on stdin, which writes records and checkpoints until it is
killed, and prints each that was acknowledged, with one write per line, so that a line is whole or not there.
"""

from __future__ import annotations

import os
import sys
import threading
from typing import Any

from edgewright.ledger.checkpoints import LedgerSaver
from edgewright.ledger.sqlite import SqliteLedger
from langgraph.checkpoint.base import empty_checkpoint
from support.ledgers import draft, write


def say(line: str) -> None:
    """One line, in one write."""
    os.write(1, (line + "\n").encode())


def opening(path: str) -> None:
    """Wait for a line, open the file, write one record."""
    say("ready")
    sys.stdin.readline()
    ledger = SqliteLedger(path)
    write(ledger, "run", draft(f"by {os.getpid()}"))
    ledger.close()
    say("done")


def appending(path: str, name: str, count: str) -> None:
    """Append to two runs; the keys are shared with the other process."""
    ledger = SqliteLedger(path)
    say("ready")
    sys.stdin.readline()
    for i in range(int(count)):
        write(ledger, f"run{i % 2}", draft(f"{name}:{i:04}"), draft(f"{name}", key=f"key{i}"))
    ledger.close()
    say("done")


def acknowledging(path: str) -> None:
    """Four writers of records and one of checkpoints, until killed."""
    ledger = SqliteLedger(path)
    saver = LedgerSaver(ledger)

    def records(name: str) -> None:
        i = 0
        while True:
            entry = write(ledger, name, draft(f"{i}", payload=f"{name} {i}".encode()))[0]
            say(f"record {name} {entry.seq} {entry.hash}")
            i += 1

    def checkpoints() -> None:
        config: Any = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}
        while True:
            config = saver.put(config, empty_checkpoint(), {"source": "loop"}, {})
            saver.put_writes(config, [("channel", "value")], "task")
            say(f"checkpoint {config['configurable']['checkpoint_id']}")

    threads = [threading.Thread(target=records, args=(f"run{n}",), daemon=True) for n in range(4)]
    for thread in threads:
        thread.start()
    checkpoints()


def forking() -> None:
    """For each path on stdin a process of its own that acknowledges until it is killed. Imports are paid for once."""
    say("ready")
    for line in sys.stdin:
        pid = os.fork()
        if not pid:
            acknowledging(line.strip())
        say(f"writing {pid}")
        say(f"ended {os.WTERMSIG(os.waitpid(pid, 0)[1])}")


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["open", path]:
            opening(path)
        case ["append", path, name, count]:
            appending(path, name, count)
        case ["fork"]:
            forking()

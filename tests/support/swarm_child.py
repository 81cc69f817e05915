"""A process that asks a swarm one thing, and is killed as soon as it is told the answer.

    python -m support.swarm_child HOME THREAD TEXT [PEER]

Where a PEER is named, the process is killed in the middle of that one's turn, before the answer.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

from edgewright import System
from support.swarms import NAMES, Turn, goes_where_told, peers, swarm, system

DYING: list[str] = []


def mortal(name: str) -> Turn:
    """A peer that goes where it is told, unless it is killed. Its code is the same in every process."""
    lives = goes_where_told(name)

    def turn(payload: dict[str, Any]) -> Any:
        if name in DYING:
            os.kill(os.getpid(), signal.SIGKILL)
        return lives(payload)

    return turn


def at(home: Path) -> System:
    """The swarm at a home."""
    return system(swarm(peers({n: mortal(n) for n in NAMES})), home=home)


def main(home: str, thread: str, text: str, *dying: str) -> None:
    """See the module."""
    DYING.extend(dying)
    result = at(Path(home)).run({"text": text}, thread=thread)
    assert result.output is not None
    print(result.output["text"], flush=True)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main(*sys.argv[1:])

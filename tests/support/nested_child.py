"""A process that plays one part with the system of `nested.py`, and prints how it stands.

    python nested_child.py FOLDER run|resume|answer [AGENT,...] [kill]

With `kill` it kills itself once the last of the answered agents has settled.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

from edgewright import ReviewAnswer, RunResult
from support.nested import Desk, nested

THREAD = "11111111-2222-4333-8444-666666666666"
YES = ReviewAnswer(decision="approve", reason="a test says so")


class KillingDesk(Desk):
    """Kills the process when this was noted."""

    line = ""

    def note(self, line: str) -> None:
        """Note it, and perhaps die."""
        super().note(line)
        if self.line and line.startswith(self.line):
            os.kill(os.getpid(), signal.SIGKILL)


async def play(folder: Path, what: str, agents: list[str], kill: bool) -> None:
    """Play one part."""
    desk = KillingDesk(folder)
    system = nested(folder, desk=desk)
    if what == "run":
        result: RunResult = await system.arun({"text": "go"}, thread=THREAD)
    elif what == "resume":
        result = await system.aresume(THREAD)
    else:
        waiting = await system.aresume(THREAD)
        desk.line = f"settled {agents[-1]}" if kill else ""
        given = {r.id: YES for r in waiting.reviews if r.agent.partition("_")[0] in agents}
        result = await system.aresume(THREAD, given)
    told = {
        "status": result.status,
        "asks": sorted(r.agent for r in result.reviews),
        "output": result.output,
        "run": result.run,
    }
    print(json.dumps(told))
    system.close()


if __name__ == "__main__":
    asyncio.run(
        play(Path(sys.argv[1]), sys.argv[2], sys.argv[3].split(",") if len(sys.argv) > 3 else [], "kill" in sys.argv)
    )

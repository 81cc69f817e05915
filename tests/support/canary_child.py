"""The canary house in a process of its own, as a user's program: it logs everything, and dies of an error if asked.

Arguments: the home folder, which agent fails, `open` or `closed`.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from pathlib import Path

from edgewright import ReviewAnswer
from langchain_core.tracers.langchain import wait_for_all_tracers

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.canary_house import NEVER, OPEN, REQUEST, house, prose


async def main(home: str, fails: str, never: str) -> None:
    logging.basicConfig(level=logging.DEBUG)
    system = house(home, fails=fails, never=OPEN if never == "open" else NEVER).system
    asked = await system.arun(REQUEST, thread="t")
    answer = ReviewAnswer(decision="approve", reason=prose("person"))
    ended = await system.aresume("t", {r.id: answer for r in asked.reviews})
    sys.stdout.write(f"{asked!r}\n{ended!r}\n{system.explain(ended.run)}\n")


if __name__ == "__main__":
    try:
        asyncio.run(main(*sys.argv[1:]))
    finally:
        wait_for_all_tracers()

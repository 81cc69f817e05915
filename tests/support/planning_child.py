"""The processes of the crash tests of plans and of people.

Started as a script, this is a small server on its standard input: each line is a JSON list, WHAT FOLDER KILL DO
DURABILITY, for which it forks a child that runs, or goes on with, one thread, and may kill itself. It answers with how
the child ended. The imports are paid for once.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgewright import ReviewAnswer, System
from edgewright.graphs import questions, roles, waves
from support.planned import GO, gaps, planning, search, searches, write
from support.planned import answered as steps_answered
from support.reviewing import ASKED, drafts, firm
from support.systems import kinds_of, records

THREAD = "11111111-2222-4333-8444-555555555555"
STEPS = [search("a"), search("b"), search("c"), write("d", "a", "c"), search("e", "a")]
ANEW = [search("b2"), write("d", "a", "b2"), search("e", "a")]


def die() -> None:
    """kill -9, by ourselves: nothing is flushed, no handler runs."""
    os.kill(os.getpid(), signal.SIGKILL)


def dying(cls: Any, name: str, *, when: Callable[[Any], bool]) -> None:
    """Die as soon as `cls.name` is called with what `when` says."""
    real = getattr(cls, name)

    def around(self: Any, given: Any) -> Any:
        if when(given):
            die()
        return real(self, given)

    setattr(cls, name, around)


def plan_in(folder: Path, kill: str) -> System:
    """The planning team of the tests, which notes each step that is taken in a file; step b fails."""

    def finds(brief: dict[str, Any]) -> dict[str, str]:
        if kill == "second" and brief["part"] == "e":
            die()
        with (folder / "worked.txt").open("a") as file:
            file.write(brief["part"] + "\n")
        if brief["part"] == "b":
            raise ValueError("not today")
        return searches(brief)

    def planner(handed: dict[str, Any]) -> Any:
        with (folder / "planned.txt").open("a") as file:
            file.write("planned\n")
        return ANEW if handed.get("replans") else STEPS

    if kill == "collect":
        dying(waves.Collect, "__call__", when=lambda met: met["waves"] == 0)
    if kill == "dispatch":
        dying(waves.Dispatch, "__call__", when=lambda stands: stands["waves"] == 1)
    return planning(planner, finds=finds, system={"home": folder / "home"})


def firm_in(folder: Path, kill: str) -> System:
    """A drafter and a partner."""

    def drafting(handed: dict[str, Any]) -> dict[str, str]:
        with (folder / "worked.txt").open("a") as file:
            file.write("drafted\n")
        return drafts(handed)

    asks, theirs = vars(questions), vars(roles)
    real_answered, real_answer_to = asks["_answered"], theirs["answer_to"]

    async def answered(*given: Any) -> Any:
        if kill == "asked":
            die()
        return await real_answered(*given)

    async def answer_to(*given: Any) -> Any:
        found = await real_answer_to(*given)
        if kill == "answered":
            die()
        return found

    asks["_answered"], theirs["answer_to"] = answered, answer_to
    return firm(drafter=drafting, home=folder / "home")


async def main(what: str, folder: Path, kill: str, do: str, durability: Any) -> dict[str, Any]:
    """Do the part of one process."""
    system = (plan_in if what == "plan" else firm_in)(folder, kill)
    if do == "run":
        result = await system.arun(GO if what == "plan" else ASKED, thread=THREAD, durability=durability)
    else:
        answers = None
        if do == "approve":
            waiting = await system.aresume(THREAD, durability=durability)
            answers = {r.id: ReviewAnswer(decision="approve", reason="a test says so") for r in waiting.reviews}
        result = await system.aresume(THREAD, answers, durability=durability)
    told: dict[str, Any] = {
        "status": result.status,
        "output": result.output,
        "reviews": [r.id for r in result.reviews],
        "kinds": kinds_of(records(system, result.run)),
    }
    if what == "plan" and result.output:
        told |= {"steps": steps_answered(result), "gaps": gaps(result)}
    return told


def child(what: str, folder: Path, *rest: str) -> None:
    """Do the part of one process, and leave what became of it in the folder."""
    try:
        told = asyncio.run(main(what, folder, *rest))
    except Exception:  # noqa: BLE001 - the test reads it
        told = {"error": traceback.format_exc()}
    (folder / "told.json").write_text(json.dumps(told))


def serve() -> None:
    """Fork a child per line of input; answer with how it ended."""
    for line in sys.stdin:
        what, folder, *rest = json.loads(line)
        pid = os.fork()
        if not pid:
            child(what, Path(folder), *rest)
            os._exit(0)
        _, status = os.waitpid(pid, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    serve()

"""A process in which an agent's turn fails, and which kills itself after what was decided about that.

    python failure_child.py FOLDER SHAPE DURABILITY run|resume|approve

The first run dies where the shape says; a resumed one goes through, and tells what became of it.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from edgewright import (
    Agent,
    Ask,
    Contract,
    FallBack,
    Handoff,
    Pipeline,
    Policy,
    ReviewAnswer,
    Skip,
    Supervisor,
    System,
    tool,
)
from edgewright.contracts.failure import OnFailure
from pydantic import BaseModel

THREAD = "11111111-2222-4333-8444-555555555555"
SHAPES = ("stand_in", "answer", "skip", "branch", "ask")
FOLDER = Path()


class Text(BaseModel):
    """What is asked, handed on and answered."""

    text: str


class Found(BaseModel):
    """What a branch gives back."""

    found: str


def line(name: str) -> None:
    """Leave a line in a file of the folder."""
    with (FOLDER / name).open("a") as file:
        file.write(".\n")
        file.flush()
        os.fsync(file.fileno())


def lines(folder: Path, name: str) -> int:
    """How many lines a file of the folder has."""
    path = folder / name
    return len(path.read_text().splitlines()) if path.exists() else 0


def die_once() -> None:
    """kill -9, by ourselves, the first time that it comes to this."""
    if not (FOLDER / "died").exists():
        (FOLDER / "died").touch()
        os.kill(os.getpid(), signal.SIGKILL)


@tool(effect="write", idempotency="none", output="trusted", sensitivity="internal")
def pay(text: str) -> str:
    """Pay."""
    line("paid")
    return "paid"


async def fails(payload: dict[str, Any]) -> dict[str, Any]:
    """Pays, and breaks. In the shape that asks it goes through the third time, and dies before in the second."""
    line("called")
    await pay.call({"text": "x"})
    if (FOLDER / "asks").exists() and lines(FOLDER, "called") > 1:
        die_once()
        return {"text": "at last"}
    raise ValueError("broken")


def stands_in(payload: dict[str, Any]) -> dict[str, Any]:
    """Takes the turn of who fails."""
    line("stood_in")
    die_once()
    return {"text": "by the backup", "found": "by the backup"}


def build(shape: str) -> System:
    """The system of a shape."""
    text, found = Contract(Text, version=1), Contract(Found, version=1)
    worker = Agent("worker", version=1, function=fails, tools=[pay])
    policy = Policy(text='@id("all") permit(principal, action, resource);')

    def ends(payload: dict[str, Any]) -> dict[str, str]:
        die_once()
        return {"text": json.dumps(payload, sort_keys=True)}

    topology: Any
    if shape in ("skip", "branch"):

        def branch(payload: dict[str, Any]) -> dict[str, str]:
            return {"found": next(iter(stands_in(payload).values()))}

        backup = Agent("backup", version=1, function=branch)
        reaction: OnFailure = Skip() if shape == "skip" else FallBack(agent=backup)
        topology = Supervisor(
            router=Agent(
                "router", version=1, function=lambda _: [Handoff(target=n, payload={"text": n}) for n in NAMES]
            ),
            specialists=[worker, Agent("other", version=1, function=lambda _: {"found": "all of it"})],
            takes=text,
            brief=text,
            finding=found,
            answer=text,
            aggregator=Agent("head", version=1, function=ends),
            on_failure={"worker": reaction},
        )
    else:
        backup = Agent("backup", version=1, function=lambda p: {"text": stands_in(p)["text"]})
        declared: dict[str, OnFailure] = {
            "stand_in": FallBack(agent=backup),
            "answer": FallBack(answer={"text": "as declared"}),
            "ask": Ask(),
        }
        stages = [worker, Agent("last", version=1, function=ends)]
        topology = Pipeline(stages=stages, contracts=[text, text, text], on_failure={"worker": declared[shape]})
    return System("failing", version=1, topology=topology, policy=policy, home=FOLDER / "home")


NAMES = ("worker", "other")


async def play(shape: str, durability: Any, do: str) -> dict[str, Any]:
    """What this process does, told as JSON."""
    system = build(shape)
    if shape == "ask":
        (FOLDER / "asks").touch()
    if do == "run":
        result = await system.arun({"text": "go"}, thread=THREAD, durability=durability)
    elif do == "approve":
        waiting = await system.aresume(THREAD, durability=durability)
        answer = ReviewAnswer(decision="approve", reason="try it again")
        result = await system.aresume(THREAD, {waiting.reviews[0].id: answer}, durability=durability)
    else:
        result = await system.aresume(THREAD, durability=durability)
    entries = system.ledger.entries(result.run)
    system.close()
    return {
        "status": result.status,
        "output": result.output,
        "marks": [m.as_json() for m in result.marks],
        "thens": [e.record.then for e in entries if e.kind == "agent.failed"],  # type: ignore[union-attr]
    }


if __name__ == "__main__":
    FOLDER = Path(sys.argv[1])
    told = asyncio.run(play(sys.argv[2], sys.argv[3], sys.argv[4]))
    (FOLDER / "told.json").write_text(json.dumps(told))

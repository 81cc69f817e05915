"""A process that runs, resumes or begins again a small pipeline, and may be killed in the middle of it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from edgewright import Agent, Contract, Handoff, Id, OnViolation, Pipeline, System
from edgewright.contracts.errors import EdgewrightError
from edgewright.graphs import restarting
from edgewright.graphs.stages import LoopBack
from edgewright.ledger.records import ContractPassed
from pydantic import BaseModel

THREAD = "22222222-3333-4444-8555-666666666666"
MOST = 3


class Paper(BaseModel):
    """A draft, the how many-th it is, and whose."""

    draft: int
    owner: Annotated[str, Id("owners")]


class Remarks(BaseModel):
    """What goes back."""

    draft: int
    owner: str


def build(folder: Path, kill: str) -> System:
    """drafter → critic → printer, and back from the critic to the drafter for ever, as far as the critic goes."""

    def now(where: str) -> None:
        """Leave a trace, and die here where that is asked for."""
        with (folder / "done.txt").open("a") as done:
            done.write(f"{where}\n")
        if where == kill:
            os.kill(os.getpid(), signal.SIGKILL)

    def drafts(payload: dict[str, Any]) -> dict[str, Any]:
        now(f"draft {payload['draft'] + 1}")
        return {**payload, "draft": payload["draft"] + 1}

    def judges(payload: dict[str, Any]) -> Handoff:
        now(f"judge {payload['draft']}")
        more = not (folder / "content").exists()
        return Handoff(target="drafter" if more else "printer", payload=payload)

    def prints(payload: dict[str, Any]) -> dict[str, Any]:
        now("print")
        return payload

    def known(_: str) -> bool:
        if (folder / "restarting").exists():
            now("registry")
        return True

    paper, remarks = Contract(Paper, version=1), Contract(Remarks, version=1)
    line = Pipeline(
        stages=[
            Agent("drafter", version=1, function=drafts),
            Agent("critic", version=1, function=judges),
            Agent("printer", version=1, function=prints),
        ],
        contracts=[paper, paper, paper, paper],
        loop_backs=[LoopBack(source="critic", to="drafter", contract=remarks, most=MOST, then="fail")],
        on_violation=OnViolation(repair=0, then="fail"),
    )
    return System("line", version=1, topology=line, registries={"owners": known}, home=folder / "home")


async def play(folder: Path, do: str, kill: str, durability: Any) -> Mapping[str, Any]:
    """Do one thing with the thread; what became of it."""
    system, error = build(folder, kill), ""
    try:
        if do == "run":
            await system.arun({"draft": 0, "owner": "ann"}, thread=THREAD, durability=durability)
        elif do == "resume":
            await system.aresume(THREAD, durability=durability)
        else:
            (folder / "restarting").touch()
            if kill == "door":
                _die_at_the_door()
            of = system.ledger.runs(limit=9)[-1].run
            await system.arestart(of, stage=do, thread=THREAD, durability=durability)
    except EdgewrightError as raised:
        error = type(raised).__name__
    runs = []
    for found in reversed(system.ledger.runs(limit=9)):
        records = [e.record for e in system.ledger.entries(found.run)]
        edges = [r.edge for r in records if isinstance(r, ContractPassed)]
        runs.append({"status": found.status, "edges": edges, "kinds": [r.kind for r in records]})
    system.close()
    return {"error": error, "runs": runs}


def _die_at_the_door() -> None:
    """Die when the order to begin again is in the first checkpoint, and nothing of the new run is on record."""

    def dies(*_: Any) -> Any:
        os.kill(os.getpid(), signal.SIGKILL)

    vars(restarting)["earlier_of"] = dies


if __name__ == "__main__":
    told = asyncio.run(play(Path(sys.argv[1]), *sys.argv[2:5]))
    sys.stdout.write(json.dumps(told))

"""A system three deep: a pipeline, one of whose stages is a supervisor, two of whose branches are pipelines again.

Each branch reads with a model, then pays by a tool that a person has to allow: two questions are open at once, three
levels down. What models were asked and what was paid is written to files, so that processes can be told apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgewright import (
    Agent,
    Call,
    Contract,
    Handoff,
    OfflineModel,
    Pipeline,
    Policy,
    Supervisor,
    System,
    ToolContext,
    Turn,
    tool,
)
from pydantic import BaseModel
from support.systems import ANSWER, PERMIT_ALL, QUESTION, Answer, asking


class Desk:
    """Where what happened is noted, one line each; it outlives a process."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "happened.txt"

    def note(self, line: str) -> None:
        """Note one thing that happened."""
        with self.file.open("a") as file:
            file.write(line + "\n")

    @property
    def happened(self) -> list[str]:
        """All of it."""
        return self.file.read_text().splitlines() if self.file.exists() else []


class Job(BaseModel):
    """What a branch is to do."""

    part: str


class Read(BaseModel):
    """What its reader made of it."""

    part: str
    words: str


class Found(BaseModel):
    """What it found."""

    found: str


JOB, READ, FOUND = Contract(Job, version=1), Contract(Read, version=1), Contract(Found, version=1)


@tool(effect="write", idempotency="key")
async def settle(part: str, ctx: ToolContext) -> str:
    """Settle a part."""
    ctx.resource(Desk).note(f"settled {part} {ctx.key.partition('/')[2]}")
    return part


def branch(desk: Desk, name: str) -> Agent:
    """A team that reads and then settles; its settling is asked about."""

    def reads(turn: Turn) -> Sequence[Call]:
        desk.note(f"{name} asked its model")
        return [Call(f"handoff_to_{name}_settler", {"part": turn.request["part"], "words": "so it says"})]

    async def settles(payload: dict[str, Any]) -> dict[str, str]:
        desk.note(f"{name} began to settle")
        return {"found": str(await settle.ainvoke({"part": payload["part"]}))}

    reader = Agent(f"{name}_reader", version=1, prompt="Read.", model=OfflineModel(f"nested_{name}", reads))
    settler = Agent(f"{name}_settler", version=1, function=settles, tools=[settle])
    return Agent(name, version=1, team=Pipeline(stages=[reader, settler], contracts=[JOB, READ, FOUND]))


def nested(
    folder: Path, *, policy: str = PERMIT_ALL + asking("settle"), desk: Desk | None = None, **options: Any
) -> System:
    """The whole of it, on a home in a folder."""
    desk = desk or Desk(folder)

    def opens(payload: dict[str, Any]) -> dict[str, Any]:
        desk.note("opened")
        return payload

    def splits(_: dict[str, Any]) -> list[Handoff]:
        desk.note("split")
        return [Handoff(target=name, payload={"part": name}) for name in ("east", "west")]

    def joins(gathered: dict[str, Any]) -> dict[str, str]:
        desk.note("joined")
        return {"text": " and ".join(r["answer"]["found"] for r in gathered["results"])}

    middle = Supervisor(
        router=Agent("splitter", version=1, function=splits),
        specialists=[branch(desk, "east"), branch(desk, "west")],
        aggregator=Agent("joiner", version=1, function=joins),
        takes=QUESTION,
        brief=JOB,
        finding=FOUND,
        answer=ANSWER,
    )

    def closes(payload: dict[str, Any]) -> dict[str, str]:
        desk.note("closed")
        return {"text": payload["text"].upper()}

    return System(
        "nested",
        version=1,
        topology=Pipeline(
            stages=[
                Agent("opener", version=1, function=opens),
                Agent("middle", version=1, team=middle),
                Agent("closer", version=1, function=closes),
            ],
            contracts=[QUESTION, QUESTION, ANSWER, ANSWER],
        ),
        policy=Policy(text=policy),
        resources=[desk],
        home=folder,
        **options,
    )


__all__ = ["ANSWER", "FOUND", "JOB", "QUESTION", "READ", "Answer", "Desk", "branch", "nested", "settle"]

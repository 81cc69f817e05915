"""The picture of the page about topologies, drawn from a real graph. Run as a program, it writes the file anew."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgewright import Agent, Contract, Pipeline, Supervisor, System, quorum
from edgewright.graphs.stages import LoopBack
from pydantic import BaseModel

PICTURE = Path(__file__).parents[2] / "docs" / "topologies.svg"


class Case(BaseModel):
    """What comes in."""

    text: str


class View(BaseModel):
    """What one of several thinks of it."""

    view: str


class Paper(BaseModel):
    """What is made of it."""

    text: str


def _same(payload: dict[str, Any]) -> dict[str, Any]:
    return payload


def _agent(name: str) -> Agent:
    return Agent(name, version=1, function=_same)


def drawn() -> str:
    """The picture as SVG: a line with a way back, one stage of which is a team that joins by a quorum."""
    case, view, paper = (Contract(model, version=1) for model in (Case, View, Paper))
    panel = Supervisor(
        router=_agent("desk"),
        specialists=[_agent(name) for name in ("law", "cost", "risk")],
        takes=case,
        brief=case,
        finding=view,
        aggregator=_agent("chair"),
        answer=paper,
        join=quorum(2, agree="view"),
    )
    line = Pipeline(
        stages=[_agent("intake"), Agent("panel", version=1, team=panel), _agent("editor")],
        contracts=[case, case, paper, paper],
        loop_backs=[LoopBack(source="editor", to="panel", contract=case, most=2)],
    )
    return System("papers", version=1, topology=line).svg()


if __name__ == "__main__":
    PICTURE.write_text(drawn(), "utf-8")

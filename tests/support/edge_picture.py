"""The picture of the page about contracts, drawn from a real graph. Run as a program, it writes the file anew."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgewright import Agent, Contract, Pipeline, System
from pydantic import BaseModel

PICTURE = Path(__file__).parents[2] / "docs" / "edge.svg"


class Ticket(BaseModel):
    """What comes in."""

    text: str


class Brief(BaseModel):
    """What is handed over."""

    text: str


class Answer(BaseModel):
    """What goes out."""

    text: str


def _same(payload: dict[str, Any]) -> dict[str, Any]:
    return payload


def drawn() -> str:
    """The picture as SVG."""
    stages = [Agent(name, version=1, function=_same) for name in ("triage", "billing")]
    contracts = [Contract(model, version=1) for model in (Ticket, Brief, Answer)]
    return System("an_edge", version=1, topology=Pipeline(stages=stages, contracts=contracts)).svg()


if __name__ == "__main__":
    PICTURE.write_text(drawn(), "utf-8")

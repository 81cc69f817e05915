"""A run that was cut off right at its beginning is gone on with, and not begun anew beside itself."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any
from uuid import uuid4

import pytest
from edgewright import Agent, Contract, Never, Pipeline, Sensitive, System
from edgewright.ledger.records import RunResumed, RunStarted
from pydantic import BaseModel
from support.systems import of_kind, with_code


async def _answers(_: dict[str, Any]) -> dict[str, str]:
    return {"text": "done"}


@pytest.mark.parametrize("do", ["run", "resume"])
async def test_a_run_of_which_only_its_beginning_is_on_record_is_gone_on_with(do: str, tmp_path: Path) -> None:
    request, thread, run = {"text": "go", "sender": None}, str(uuid4()), str(uuid4())
    first = with_code(_answers, home=tmp_path)
    await first._runs.begin(run, thread, request)  # and here the process dies
    first._runs.let_go(run)
    first.close()
    second = with_code(_answers, home=tmp_path)
    result = await (second.arun(request, thread=thread) if do == "run" else second.aresume(thread))
    assert (result.run, result.output) == (run, {"text": "done"})
    assert len(of_kind(second, run, RunStarted)) == len(of_kind(second, run, RunResumed)) == 1
    assert len(second.ledger.runs()) == 1
    second.close()


async def test_what_a_run_had_told_is_cut_after_it_has_ended_too() -> None:
    class Named(BaseModel):
        text: str
        name: Annotated[str, Sensitive("personal")]

    class Told(BaseModel):
        text: str

    async def answers(_: dict[str, Any]) -> dict[str, str]:
        return {"text": "done"}

    never = Never(sensitivities=["personal"])
    stages = [Agent("worker", version=1, function=answers)]
    contracts = [Contract(Named, version=1), Contract(Told, version=1, never=never)]
    system = System("desk", version=1, topology=Pipeline(stages=stages, contracts=contracts))
    await system.arun({"text": "go", "name": "Ada Lovelace"}, thread="t")
    assert system._runs._live == {}
    for thread in ("t", "another"):
        assert system._runs.cleaned(thread, {"said": "it is Ada Lovelace"}) == {"said": "it is [personal]"}

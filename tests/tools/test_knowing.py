"""What a run knows: where it knows too much to look for, it shows nothing and lets nothing cross."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
from edgewright import Agent, Contract, Never, Pipeline, Sensitive, System
from edgewright.contracts.errors import TooMuchToHide
from edgewright.tools import knowing
from edgewright.tools.knowing import WITHHELD, Knowledge
from pydantic import BaseModel


class Request(BaseModel):
    """What comes in."""

    many: Annotated[list[str], Sensitive("secret")]
    pin: Annotated[str, Sensitive("secret")]


class Answer(BaseModel):
    """What goes out."""

    text: str


def _desk() -> System:
    async def tell(request: dict[str, Any]) -> dict[str, str]:
        return {"text": f"the pin is {request['pin']}"}

    stage = Agent("teller", version=1, function=tell)
    contracts = [Contract(Request, version=1), Contract(Answer, version=1, never=Never(sensitivities=["secret"]))]
    return System("desk", version=1, topology=Pipeline(stages=[stage], contracts=contracts))


async def test_a_value_behind_many_others_is_still_cut() -> None:
    many = [f"value number {i}" for i in range(2000)]
    result = await _desk().arun({"many": many, "pin": "Zebra-Quokka-77"})
    assert result.output == {"text": "the pin is [secret]"}


async def test_more_values_than_can_be_looked_for_let_nothing_cross(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(knowing, "MAX_KNOWN", 10)
    system = _desk()
    with pytest.raises(TooMuchToHide, match="sensitive value"):
        await system.arun({"many": [f"value number {i}" for i in range(20)], "pin": "Zebra-Quokka-77"})
    [run] = system.ledger.runs()
    assert run.status == "failed"
    for entry in system.ledger.entries(run.run):
        for ref in vars_of(entry.record):
            assert b"Zebra" not in (system.ledger.payload(run.run, ref) or b"")


def vars_of(record: Any) -> list[str]:
    found = (getattr(record, name) for name in record.__slots__)
    return [v for v in found if isinstance(v, str) and (v.startswith("k:") or len(v) == 64)]


def test_a_run_that_knows_too_much_shows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(knowing, "MAX_KNOWN", 1)
    knows = Knowledge(watches=True, key=b"k" * 32)
    knows.learn_value(["first", "second"], "secret")
    assert knows.text("harmless") == WITHHELD
    assert knows.cleaned({"a": 1}) == {"withheld": WITHHELD}
    kept = knows.kept({"a": 1}, clean=True)
    assert (kept.exact, b"withheld" in kept.body) == (b'{"a":1}', True)

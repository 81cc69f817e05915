"""Stages with a condition: skipped where it does not hold, never by mistake, and on record."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from edgewright import Agent, Contract, OnViolation, Pipeline, Skip, System
from edgewright.contracts.errors import ConditionFailed, ContractViolation, TopologyInvalid
from edgewright.graphs.stages import LoopBack, Stage, When
from edgewright.ledger.records import AgentStarted, RunEnded, StageSkipped
from pydantic import BaseModel, Field
from support.systems import of_kind, only_run

FAIL = OnViolation(repair=0, then="fail")


class Case(BaseModel):
    """What is handed on."""

    text: str
    terms: bool = False
    amount: int = 0


class Signed(BaseModel):
    """The same, for smaller amounts."""

    text: str
    terms: bool = False
    amount: int = Field(default=0, le=100)


class Other(BaseModel):
    """Something else."""

    other: str


CASE, SIGNED, OTHER = (Contract(model, version=1) for model in (Case, Signed, Other))


def adds(word: str) -> Any:
    return lambda payload: {**payload, "text": f"{payload['text']} {word}"}


def large(payload: Mapping[str, Any]) -> bool:
    """Whether there is much at stake."""
    return bool(payload["amount"] > 10)


def line(when: When, *, behind: Contract = CASE, **options: Any) -> System:
    """intake → legal, on a condition → sign."""
    return System(
        "line",
        version=1,
        topology=Pipeline(
            stages=[
                Agent("intake", version=1, function=adds("taken")),
                Stage(Agent("legal", version=1, function=adds("checked")), when=when),
                Agent("sign", version=1, function=adds("signed")),
            ],
            contracts=[CASE, CASE, behind, CASE],
            on_violation=FAIL,
            **options,
        ),
    )


@pytest.mark.parametrize(
    ("when", "request_", "text"),
    [
        ("terms", {"text": "a", "terms": True}, "a taken checked signed"),
        ("terms", {"text": "a", "terms": False}, "a taken signed"),
        (large, {"text": "a", "amount": 11}, "a taken checked signed"),
        (large, {"text": "a", "amount": 10}, "a taken signed"),
        (lambda payload: "a" in payload["text"], {"text": "b"}, "b taken checked signed"),
    ],
)
async def test_a_stage_takes_its_turn_where_its_condition_holds(
    when: When, request_: dict[str, Any], text: str
) -> None:
    result = await line(when).arun({"terms": False, "amount": 0, **request_})
    assert result.output is not None
    assert result.output["text"] == text


async def test_a_skipped_stage_is_on_record_and_nothing_is_missing() -> None:
    system = line("terms")
    result = await system.arun({"text": "a", "terms": False, "amount": 0})
    [skipped] = of_kind(system, result.run, StageSkipped)
    assert (skipped.agent, skipped.when) == ("legal@1", "terms")
    assert [r.agent for r in of_kind(system, result.run, AgentStarted)] == ["intake@1", "sign@1"]
    assert (result.marks, result.partial) == ((), False)
    assert any("legal@1 skipped" in scene.title for scene in system.explain(result.run).scenes)


async def test_a_condition_that_raises_ends_the_run_and_skips_nothing() -> None:
    def breaks(payload: Mapping[str, Any]) -> bool:
        return bool(payload["nonsense"])

    system = line(breaks, on_failure={"legal": Skip()})
    with pytest.raises(ConditionFailed, match=r"'breaks \w{8}' of stage 'legal' raised KeyError"):
        await system.arun({"text": "a", "terms": False, "amount": 0})
    run = only_run(system)
    assert not of_kind(system, run, StageSkipped)
    assert of_kind(system, run, RunEnded)[-1].status == "failed"


async def test_a_condition_that_says_neither_yes_nor_no_ends_the_run() -> None:
    unsure: Any = lambda payload: None  # noqa: E731 - as somebody may write it
    with pytest.raises(ConditionFailed, match="gave NoneType"):
        await line(unsure).arun({"text": "a", "terms": False, "amount": 0})


async def test_a_condition_cannot_change_what_it_is_asked_about() -> None:
    def meddles(payload: Any) -> bool:
        payload["text"] = "changed"
        return False

    result = await line(meddles).arun({"text": "a", "terms": False, "amount": 0})
    assert result.output == {"text": "a taken signed", "terms": False, "amount": 0}


async def test_what_a_skipped_stage_hands_on_is_checked_like_anything_else() -> None:
    with pytest.raises(ContractViolation, match="legal→sign"):
        await line("terms", behind=SIGNED).arun({"text": "a", "terms": False, "amount": 900})


def test_a_stage_that_could_never_hand_on_what_it_takes_is_found_when_it_is_declared() -> None:
    with pytest.raises(TopologyInvalid, match=r"stage 'legal' cannot be skipped: what it takes, Case@1"):
        line("terms", behind=OTHER)


@pytest.mark.parametrize("when", ["text", "amount", "nonsense"])
def test_a_condition_by_name_takes_a_field_of_type_bool(when: str) -> None:
    with pytest.raises(TopologyInvalid, match=f"when='{when}' is no field of type bool of Case@1"):
        line(when)


def test_a_condition_is_a_function_or_a_name() -> None:
    wrong: Any = 7
    with pytest.raises(TopologyInvalid, match="when=7 is neither a function nor the name of a field"):
        line(wrong)


def test_a_condition_is_part_of_what_a_system_is_and_stands_in_the_picture() -> None:
    assert len({line(w).digest for w in ("terms", large, lambda payload: True)}) == 3
    details = {node.label: node.detail for node in line(large).draw().nodes}
    assert details["legal"].startswith("v1, when large ")
    assert {n.label: n.detail for n in line("terms").draw().nodes}["legal"] == "v1, when terms"


async def test_a_skipped_stage_with_a_way_back_hands_on_forwards() -> None:
    back = LoopBack(source="legal", to="intake", contract=SIGNED, most=1)
    system = line("terms", loop_backs=[back])
    result = await system.arun({"text": "a", "terms": False, "amount": 0})
    assert result.output == {"text": "a taken signed", "terms": False, "amount": 0}


async def test_a_failed_stage_with_a_way_back_can_be_skipped_forwards() -> None:
    def fails(_: Any) -> Any:
        raise RuntimeError("out")

    back = LoopBack(source="legal", to="intake", contract=SIGNED, most=1)
    stages = [Agent("intake", version=1, function=adds("taken")), Agent("legal", version=1, function=fails)]
    topology = Pipeline(
        stages=stages, contracts=[CASE, CASE, CASE], loop_backs=[back], on_failure={"legal": Skip()}, on_violation=FAIL
    )
    result = await System("skips", version=1, topology=topology).arun({"text": "a", "terms": False, "amount": 0})
    assert result.output == {"text": "a taken", "terms": False, "amount": 0}
    assert [m.kind for m in result.marks] == ["gap"]

"""A failed turn is skipped: in a line its input passes on, in a fan-out it leaves a gap. Or others take it over."""

from __future__ import annotations

import json
from typing import Any

import pytest
from edgewright import (
    Agent,
    Contract,
    FallBack,
    Handoff,
    OnViolation,
    Skip,
    Supervisor,
    System,
)
from edgewright.contracts.errors import (
    ContractViolation,
    NothingLeft,
)
from edgewright.contracts.failure import OnFailure
from edgewright.ledger.records import (
    ContractPassed,
)
from pydantic import BaseModel, Field
from support.failing import (
    SECRET_WORDS,
    Broken,
    ended,
    fan,
    finds_all_but,
    last,
    line,
    marks,
    met,
    thens,
    worker,
)
from support.offices import BRIEF, FINDING, clerk, finds, fresh, taken
from support.systems import ANSWER, QUESTION, of_kind


@pytest.fixture(autouse=True)
def _fresh() -> None:
    fresh()


# -- skip, in a line --------------------------------------------------------------------------------------------------


async def test_what_a_skipped_stage_was_handed_passes_on_and_the_answer_is_partial() -> None:
    system = line(worker(Broken()), last(), on_failure={"worker": Skip()})
    result = await system.arun({"text": "go", "sender": "S-1"})
    assert result.output == {"text": "answer to go"}
    assert marks(result) == [("gap", "worker", "ValueError")]
    assert result.partial
    assert thens(system) == [("worker@1", "skip")]


async def test_a_skipped_stage_whose_input_turns_out_not_to_fit_stops_the_run_without_another_turn() -> None:
    class Short(BaseModel):
        text: str = Field(max_length=3)
        sender: str | None = None

    broken = Broken()
    system = line(
        worker(broken),
        last(),
        on_failure={"worker": Skip()},
        contracts=[QUESTION, Contract(Short, version=1)],
        rule=OnViolation(repair=2, then="fail"),
    )
    with pytest.raises(ContractViolation):
        await system.arun({"text": "too long"})
    assert broken.calls == 1
    assert (await system.arun({"text": "go"})).output == {"text": "answer to go"}


# -- skip, in a fan-out -----------------------------------------------------------------------------------------------


async def test_a_skipped_branch_leaves_a_gap_and_the_others_go_on() -> None:
    system = fan(finds_all_but("b"), {"clerk": Skip()}, "a", "b", "c")
    result = await system.arun({"text": "go"})
    assert [r["answer"]["found"] for r in met(result)["results"]] == ["all of a", "all of c"]
    assert met(result)["gaps"] == [{"agent": "clerk", "kind": "error", "why": "ValueError"}]
    assert SECRET_WORDS not in json.dumps(met(result))
    assert marks(result) == [("gap", "clerk", "ValueError")]
    assert taken == {"a": 1, "b": 1, "c": 1}
    [gathered] = [r for r in of_kind(system, result.run, ContractPassed) if r.edge == "[clerk]→head"]
    assert gathered.labels["gaps"] == ["trusted", "internal"]


async def test_a_fan_out_of_which_every_branch_is_skipped_stops_the_run() -> None:
    system = fan(finds_all_but("a", "b"), {"clerk": Skip()}, "a", "b")
    with pytest.raises(NothingLeft, match="clerk: ValueError, clerk: ValueError"):
        await system.arun({"text": "go"})
    assert ended(system).status == "failed"


async def test_without_a_failure_there_are_no_gaps_and_no_marks() -> None:
    result = await fan(finds, {"clerk": Skip()}, "a", "b").arun({"text": "go"})
    assert met(result)["gaps"] == []
    assert result.marks == ()


def test_the_contract_of_what_meets_has_gaps_only_where_a_branch_may_be_skipped() -> None:
    def fields(on_failure: Any) -> set[str]:
        [found] = fan(finds, on_failure, "a").topology.fan_outs
        return set(found.gathered.model.model_fields)

    assert "gaps" in fields({"clerk": Skip()})
    assert fields({}) == fields({"clerk": FallBack(answer={"found": ""})}) == {"results"}


async def test_a_branch_with_a_stand_in_is_taken_over_while_the_others_keep_what_they_found() -> None:
    backup = Agent("backup", version=1, function=lambda b: {"found": f"backup on {b['part']}"})
    system = fan(finds_all_but("b"), {"clerk": FallBack(agent=backup)}, "a", "b", "c")
    result = await system.arun({"text": "go"})
    assert [r["answer"]["found"] for r in met(result)["results"]] == ["all of a", "backup on b", "all of c"]
    assert [r["agent"] for r in met(result)["results"]] == ["clerk"] * 3  # whose part it is; who took it, the mark says
    assert marks(result) == [("fallback", "clerk", "ValueError")]
    assert taken == {"a": 1, "b": 1, "c": 1}


async def test_a_declared_finding_takes_the_place_of_a_branchs() -> None:
    system = fan(finds_all_but("b"), {"clerk": FallBack(answer={"found": "nothing"})}, "a", "b")
    result = await system.arun({"text": "go"})
    assert [r["answer"]["found"] for r in met(result)["results"]] == ["all of a", "nothing"]
    assert marks(result) == [("degraded", "clerk", "ValueError")]


async def test_a_branch_that_never_fits_its_contract_is_skipped_after_its_repairs() -> None:
    def function(brief: dict[str, Any]) -> dict[str, Any]:
        taken[brief["part"]] += 1
        return {"found": 7} if brief["part"] == "b" else finds(brief)

    rule = OnViolation(repair=2, then="fail")
    system = fan(function, {"clerk": Skip()}, "a", "b", rule=rule)
    result = await system.arun({"text": "go"})
    assert [r["answer"]["found"] for r in met(result)["results"]] == ["all of a"]
    assert marks(result) == [("gap", "clerk", "what it offered does not fit Finding@1")]
    assert taken["b"] == 3


async def test_different_branches_may_react_differently_at_once() -> None:
    def broken(_: Any) -> Any:
        raise ValueError("broken")

    backup = Agent("backup", version=1, function=lambda b: {"found": "by the backup"})
    names: dict[str, OnFailure] = {
        "clerk": Skip(),
        "aide": FallBack(agent=backup),
        "page": FallBack(answer={"found": "as declared"}),
    }
    others = [Agent(n, version=1, function=broken) for n in ("aide", "page")]
    good = Agent("good", version=1, function=finds)

    def router(_: Any) -> list[Handoff]:
        return [Handoff(target=n, payload={"part": n}) for n in ("clerk", "aide", "page", "good")]

    topology = Supervisor(
        router=Agent("router", version=1, function=router),
        specialists=[clerk(broken), *others, good],
        takes=QUESTION,
        brief=BRIEF,
        answer=ANSWER,
        aggregator=Agent("head", version=1, function=lambda g: {"text": json.dumps(g)}),
        finding=FINDING,
        on_failure=names,
    )
    result = await System("office", version=1, topology=topology).arun({"text": "go"})
    found = [(r["agent"], r["answer"]["found"]) for r in met(result)["results"]]
    assert found == [("aide", "by the backup"), ("page", "as declared"), ("good", "all of good")]
    assert [m[:2] for m in marks(result)] == [("gap", "clerk"), ("fallback", "aide"), ("degraded", "page")]

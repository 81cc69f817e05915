"""The role that is a person: what crossed to it is approved, edited, sent back or stopped, once and for all."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Annotated, Any

import pytest
from edgewright import Agent, Contract, FallBack, FanOut, Handoff, Id, Pipeline, Reviewer, Skip, Supervisor, System
from edgewright.contracts.edge import END, START, Edge
from edgewright.contracts.errors import (
    AgentInvalid,
    LoopFound,
    ReviewerRefused,
    ReviewInvalid,
    ReviewRejected,
    ToolOutsideRun,
)
from edgewright.contracts.failure import OnFailure
from edgewright.graphs.gathering import gathered
from edgewright.graphs.roles import human_review
from edgewright.ledger.records import ContractPassed, ReviewAnswered, ReviewAsked, RunEnded
from edgewright.tools import signing
from pydantic import BaseModel
from support.reviewing import ASKED, DRAFT, MATTER, RELEASE, REVISION, Free, drafted, drafts, firm
from support.systems import ANSWER, QUESTION, answers, of_kind

TEXT = "draft of a lease"


# -- what a person can say --------------------------------------------------------------------------------------------


async def test_a_person_sees_what_crossed_and_an_approval_hands_on_what_the_contract_declares() -> None:
    system = firm()
    waiting = await system.arun(ASKED, thread="t")
    [review] = waiting.reviews
    assert review.arguments == {"matter": "a lease", "text": TEXT, "notes": "not for others"}
    assert (review.agent, review.rules[0].approver) == ("partner", "partner")
    result = await system.aresume("t", answers(waiting, "approve"))
    assert (result.status, result.output) == ("completed", {"text": TEXT})
    assert len(drafted) == 1


async def test_an_edit_is_what_is_handed_on() -> None:
    system = firm()
    waiting = await system.arun(ASKED, thread="t")
    result = await system.aresume("t", answers(waiting, "edit", arguments={"text": "by the partner"}))
    assert result.output == {"text": "by the partner"}


@pytest.mark.parametrize(
    "unfit", [{"text": "x" * 41}, {"text": "fine", "stray": 1}, {"text": "fine", "notes": "changed"}, {}]
)
async def test_an_edit_that_does_not_fit_the_contract_is_passed_over_and_the_question_stays_open(
    unfit: dict[str, Any],
) -> None:
    system = firm()
    waiting = await system.arun(ASKED, thread="t")
    again = await system.aresume("t", answers(waiting, "edit", arguments=unfit))
    assert again.status == "waiting"
    assert [r.id for r in again.reviews] == [r.id for r in waiting.reviews]
    result = await system.aresume("t", answers(again, "edit", arguments={"text": "short"}))
    assert result.output == {"text": "short"}
    assert len(of_kind(system, result.run, ReviewAsked)) == 1


async def test_what_comes_back_as_it_was_shown_is_handed_on_as_it_crossed() -> None:
    """Whoever edits one field returns the others as they saw them: cut, where a record may not show them."""
    key = "sk-ant-api03-" + "aZ3" * 10

    class Both(BaseModel):
        text: str
        token: str

    both = Contract(Both, version=1)
    stages = [
        Agent("drafter", version=1, function=lambda _: {"text": "old", "token": key}),
        human_review("partner", gives=both),
    ]
    system = System("firm", version=1, topology=Pipeline(stages=stages, contracts=[MATTER, both, both]))
    waiting = await system.arun(ASKED, thread="t")
    shown = waiting.reviews[0].arguments
    assert key not in shown["token"]
    result = await system.aresume("t", answers(waiting, "edit", arguments={**shown, "text": "new"}))
    assert result.output == {"text": "new", "token": key}


async def test_what_does_not_fit_as_it_is_can_be_edited_or_rejected_and_not_approved() -> None:
    system = firm(drafter=lambda _: {"text": "x" * 50})
    waiting = await system.arun(ASKED, thread="t")
    assert waiting.reviews[0].kind == "handoff"
    assert waiting.reviews[0].faults == ("text: String should have at most 40 characters",)
    with pytest.raises(ReviewInvalid, match="not approved"):
        await system.aresume("t", answers(waiting, "approve"))
    result = await system.aresume("t", answers(waiting, "edit", arguments={"text": "short"}))
    assert result.output == {"text": "short"}


async def test_a_rejection_ends_the_run_with_an_error_that_says_who_and_why() -> None:
    system = firm()
    waiting = await system.arun(ASKED, thread="t")
    with pytest.raises(ReviewRejected, match=r"'partner' may not hand on .*: a test says so; .*reject=") as caught:
        await system.aresume("t", answers(waiting, "reject"))
    assert caught.value.facts == {"agent": "partner", "reason": "a test says so"}
    assert pickle.loads(pickle.dumps(caught.value)).facts == caught.value.facts
    [ended] = of_kind(system, waiting.run, RunEnded)
    assert ended.status == "failed"


@pytest.mark.parametrize("reaction", [Skip(), FallBack(answer={"text": "released all the same"})])
async def test_nothing_that_is_declared_for_failures_overrides_a_rejection(reaction: OnFailure) -> None:
    draft = Agent("drafter", version=1, function=lambda m: {"text": m["matter"]})
    line = Pipeline(
        stages=[draft, human_review("partner", gives=RELEASE)],
        contracts=[MATTER, RELEASE, RELEASE],
        on_failure={"partner": reaction},
    )
    system = System("firm", version=1, topology=line)
    waiting = await system.arun(ASKED, thread="t")
    with pytest.raises(ReviewRejected):
        await system.aresume("t", answers(waiting, "reject"))


async def test_a_rejection_goes_back_with_the_remarks_to_whom_it_is_declared_to_and_the_next_draft_is_asked_about() -> (
    None
):
    system = firm(back=True)
    waiting = await system.arun(ASKED, thread="t")
    again = await system.aresume("t", answers(waiting, "reject", reason="shorter"))
    assert drafted[1] == {"matter": "a lease", "text": TEXT, "remarks": "shorter"}
    assert again.reviews[0].id != waiting.reviews[0].id
    assert again.reviews[0].arguments["text"] == f"shorter: {TEXT}"
    result = await system.aresume("t", answers(again, "approve"))
    assert result.output == {"text": f"shorter: {TEXT}"}
    edges = [r.edge for r in of_kind(system, result.run, ContractPassed)]
    assert edges == [
        *("start→drafter", "drafter→partner", "partner→drafter", "drafter→partner"),
        "partner→end",
    ]


async def test_a_person_who_is_handed_the_same_over_and_over_is_a_loop() -> None:
    system = firm(back=True, drafter=lambda m: {"text": m["matter"]})
    result = await system.arun(ASKED, thread="t")

    async def rejected_twelve_times() -> None:
        found = result
        for _ in range(12):
            found = await system.aresume("t", answers(found, "reject"))

    with pytest.raises(LoopFound):
        await rejected_twelve_times()


# -- who may, until when, how often -----------------------------------------------------------------------------------

LEAD, CLERK = Reviewer("lea", frozenset({"lead"})), Reviewer("carl", frozenset({"clerk"}))


async def test_only_who_has_the_role_may_answer_and_the_answer_is_signed() -> None:
    system = firm(role="lead", environment="production")
    waiting = await system.arun(ASKED, thread="t", by=CLERK)
    for reviewer in (None, CLERK):
        with pytest.raises(ReviewerRefused):
            await system.aresume("t", answers(waiting, "approve"), reviewer=reviewer)
    result = await system.aresume("t", answers(waiting, "approve"), reviewer=LEAD)
    [answered] = of_kind(system, result.run, ReviewAnswered)
    assert (answered.reviewer, answered.decision) == ("lea", "approve")
    assert answered.signature["mac"]


async def test_who_started_the_run_may_not_approve_where_duties_are_separate() -> None:
    system = firm(role="lead", separation=True, environment="production")
    waiting = await system.arun(ASKED, thread="t", by=LEAD)
    with pytest.raises(ReviewerRefused, match="another person"):
        await system.aresume("t", answers(waiting, "approve"), reviewer=LEAD)
    other = Reviewer("tom", frozenset({"lead"}))
    assert (await system.aresume("t", answers(waiting, "approve"), reviewer=other)).status == "completed"


@pytest.mark.parametrize("back", [True, False])
async def test_a_question_that_nobody_answers_in_time_ends_the_run_wherever_a_rejection_would_lead(
    back: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    system = firm(back=back, review_seconds=60)
    waiting = await system.arun(ASKED, thread="t")
    now = signing.now()
    monkeypatch.setattr(signing, "now", lambda: now + 61)
    with pytest.raises(ReviewRejected):
        await system.aresume("t")
    [answered] = of_kind(system, waiting.run, ReviewAnswered)
    assert answered.decision == "expired"
    assert len(drafted) == 1


async def test_a_question_waits_over_restarts_and_is_asked_and_answered_once(tmp_path: Path) -> None:
    waiting = await firm(home=tmp_path).arun(ASKED, thread="t")
    for _ in range(2):  # whoever looks at the thread again is shown the same question
        again = await firm(home=tmp_path).aresume("t")
        assert [r.id for r in again.reviews] == [r.id for r in waiting.reviews]
    system = firm(home=tmp_path)
    result = await system.aresume("t", answers(waiting, "approve"))
    assert result.output == {"text": TEXT}
    assert drafted == []  # not drafted again
    assert len(of_kind(system, result.run, ReviewAsked)) == 1
    assert len(of_kind(system, result.run, ReviewAnswered)) == 1


async def test_an_answer_that_a_registry_refuses_is_asked_about_anew_and_says_what_was_wrong() -> None:
    class Named(BaseModel):
        client: Annotated[str, Id("clients")]

    named = Contract(Named, version=1)
    stages = [
        Agent("first", version=1, function=lambda m: {"client": m["client"]}),
        human_review("partner", gives=named),
    ]
    system = System(
        "firm",
        version=1,
        topology=Pipeline(stages=stages, contracts=[MATTER, named, named]),
        registries={"clients": lambda id_: id_ == "Smith"},
    )
    waiting = await system.arun(ASKED, thread="t")
    again = await system.aresume("t", answers(waiting, "edit", arguments={"client": "Nobody"}))
    assert again.reviews[0].id != waiting.reviews[0].id
    assert [f.partition(":")[0] for f in again.reviews[0].faults] == ["client"]
    result = await system.aresume("t", answers(again, "approve"))
    assert result.output == {"client": "Smith"}


# -- where it may stand -----------------------------------------------------------------------------------------------


async def test_as_a_specialist_it_is_where_a_supervisor_escalates_to() -> None:
    team = Supervisor(
        router=Agent("router", version=1, function=lambda q: Handoff(target="partner", payload=q)),
        specialists=[
            Agent("clerk", version=1, function=lambda q: {"text": "done"}),
            human_review("partner", gives=ANSWER),
        ],
        takes=QUESTION,
        brief=QUESTION,
        answer=ANSWER,
    )
    system = System("desk", version=1, topology=team)
    waiting = await system.arun({"text": "go", "sender": None}, thread="t")
    result = await system.aresume("t", answers(waiting, "approve"))
    assert result.output == {"text": "go"}


async def test_as_branches_of_a_fan_out_each_person_is_asked_and_may_answer_first() -> None:
    people = [human_review(name, gives=ANSWER, role=name) for name in ("lead", "legal")]
    fan = FanOut(
        source="router",
        briefs={p.name: ANSWER for p in people},
        answers={p.name: ANSWER for p in people},
        target="head",
        gathered=gathered(QUESTION, {p.name: ANSWER for p in people}, []),
    )
    agents = [
        Agent("router", version=1, function=lambda q: [Handoff(target=p.name, payload=q) for p in people]),
        *people,
        Agent("head", version=1, function=lambda g: {"text": ", ".join(r["answer"]["text"] for r in g["results"])}),
    ]
    edges = [
        Edge(source=START, target="router", contract=ANSWER),
        Edge(source="head", target=END, contract=ANSWER),
    ]
    system = System("desk", version=1, topology=Free(agents=agents, edges=edges, fan_outs=[fan]))
    waiting = await system.arun({"text": "go"}, thread="t")
    by_agent = {r.agent: r for r in waiting.reviews}
    assert {*by_agent} == {"lead", "legal"}
    second = {by_agent["legal"].id: answers(waiting, "edit", arguments={"text": "no"})[by_agent["legal"].id]}
    still = await system.aresume("t", second)
    assert [r.agent for r in still.reviews] == ["lead"]
    result = await system.aresume("t", answers(still, "approve"))
    assert result.output == {"text": "go, no"}


async def test_inside_a_team_the_question_is_the_outer_runs_and_is_asked_once(tmp_path: Path) -> None:
    def made() -> System:
        inner = Pipeline(
            stages=[Agent("drafter", version=1, function=drafts), human_review("partner", gives=RELEASE)],
            contracts=[MATTER, DRAFT, RELEASE],
        )
        outer = Pipeline(stages=[Agent("office", version=1, team=inner)], contracts=[MATTER, RELEASE])
        return System("firm", version=1, topology=outer, home=tmp_path)

    waiting = await made().arun(ASKED, thread="t")
    assert waiting.reviews[0].agent == "partner"
    drafted.clear()
    system = made()
    result = await system.aresume("t", answers(waiting, "edit", arguments={"text": "mine"}))
    assert (result.status, result.output) == ("completed", {"text": "mine"})
    assert drafted == []
    assert len(of_kind(system, result.run, ReviewAsked)) == 1


# -- how it is declared -----------------------------------------------------------------------------------------------


def test_what_is_wrong_with_it_is_told_all_at_once() -> None:
    with pytest.raises(AgentInvalid) as caught:
        human_review("partner", gives=RELEASE, role="", reject="drafter", rejects=REVISION, remarks="why")
    assert len(caught.value.faults) == 3
    assert "role=''" in caught.value.faults[0]
    with pytest.raises(AgentInvalid, match="both go to 'a'"):
        human_review("partner", gives=RELEASE, to="a", reject="a")
    with pytest.raises(AgentInvalid, match="no use"):
        human_review("partner", gives=RELEASE, rejects=REVISION)


def test_what_it_is_set_to_counts_in_its_digest() -> None:
    def digest(**options: Any) -> str:
        return human_review("partner", gives=RELEASE, **options).spec(None).digest

    found = [digest(), digest(role="lead"), digest(separation=True), digest(to="end", reject="drafter"), digest()]
    assert len({*found}) == 4
    assert found[0] == found[-1]


async def test_outside_a_run_nobody_is_asked() -> None:
    function: Any = human_review("partner", gives=RELEASE).function
    with pytest.raises(ToolOutsideRun):
        await function({"text": "x"})


async def test_after_a_rejection_that_ends_the_run_its_thread_takes_a_new_request() -> None:
    system = firm()
    waiting = await system.arun(ASKED, thread="t")
    with pytest.raises(ReviewRejected):
        await system.aresume("t", answers(waiting, "reject", reason="no"))
    again = await system.arun(ASKED, thread="t")
    assert (again.status, again.run != waiting.run) == ("waiting", True)
    assert (await system.aresume("t", answers(again, "approve"))).status == "completed"


@pytest.mark.parametrize("gives", [None, "DRAFT", BaseModel])
def test_a_person_who_gives_no_contract_is_told_when_declared(gives: Any) -> None:
    with pytest.raises(AgentInvalid, match=r"gives=.* is no Contract"):
        human_review("partner", gives=gives)

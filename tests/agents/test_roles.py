"""Ready-made roles: what they hand on, what they are told, and what counts in their digest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from edgewright import (
    Agent,
    Call,
    Contract,
    OfflineModel,
    Pipeline,
    PlanningSupervisor,
    Supervisor,
    System,
    Turn,
    human_review,
    summary,
)
from edgewright.agents.roles import (
    CRITIQUE,
    VERSIONS,
    aggregator,
    critic,
    critiqued,
    everyone,
    planner,
    routed,
    router,
    summariser,
)
from edgewright.contracts.errors import AgentInvalid, ContractInvalid, ContractViolation
from edgewright.ledger.records import ContractPassed
from pydantic import BaseModel
from support.offices import FINDING, tells
from support.systems import ANSWER, answers, of_kind


class Request(BaseModel):
    """What is asked for."""

    text: str
    client: str


class Brief(BaseModel):
    """What a specialist gets of it."""

    text: str


class Known(BaseModel):
    """The same, for whom the client is known to."""

    text: str
    client: str


REQUEST, BRIEF, KNOWN = Contract(Request, version=1), Contract(Brief, version=1), Contract(Known, version=1)
CARRIED = Contract(Known, version=2, carried=["client"])


def specialist(name: str) -> Agent:
    return Agent(name, version=1, function=lambda brief: {"found": f"{name} on {sorted(brief)}"})


def desk(router: Agent, brief: Any, *names: str) -> System:
    team = Supervisor(
        router=router,
        specialists=[specialist(n) for n in names],
        takes=REQUEST,
        brief=brief,
        finding=FINDING,
        answer=ANSWER,
        aggregator=Agent("head", version=1, function=tells),
    )
    return System("desk", version=1, topology=team)


# -- everyone ---------------------------------------------------------------------------------------------------------


async def test_everyone_gets_of_the_request_what_its_own_brief_declares() -> None:
    briefs = {"a": BRIEF, "b": KNOWN, "c": CARRIED}
    system = desk(everyone([*map(specialist, "abc")], brief=briefs), briefs, *"abc")
    result = await system.arun({"text": "go", "client": "Smith"})
    passed = of_kind(system, result.run, ContractPassed)
    sent = [(r.edge, r.fields, r.branch) for r in passed if r.edge.startswith("everyone→")]
    assert sent == [
        ("everyone→a", ["text"], 0),
        ("everyone→b", ["client", "text"], 1),
        ("everyone→c", ["client", "text"], 2),
    ]


async def test_without_a_brief_everyone_gets_the_whole_request() -> None:
    system = desk(everyone(["a", "b"]), KNOWN, "a", "b")
    result = await system.arun({"text": "go", "client": "Smith"})
    sent = [r.fields for r in of_kind(system, result.run, ContractPassed) if r.edge.startswith("everyone→")]
    assert sent == [["client", "text"]] * 2


def test_everyone_says_all_that_is_wrong_with_it() -> None:
    with pytest.raises(AgentInvalid) as caught:
        everyone(["a", "b", "a"], brief={"a": BRIEF, "x": BRIEF})
    told = [" ".join(f.split(" ")[:2]) for f in caught.value.faults]
    assert told == ["specialist 'a'", "a brief", "specialist 'b'"]
    with pytest.raises(AgentInvalid, match="nobody"):
        everyone([])


def test_whom_everyone_hands_over_to_counts_in_its_digest() -> None:
    digests = [everyone(names).spec(None).digest for names in (["a", "b"], ["a"], ["a", "b"])]
    assert digests[0] == digests[2] != digests[1]


# -- router -----------------------------------------------------------------------------------------------------------


async def test_a_router_that_is_not_sure_enough_cannot_hand_to_a_specialist_and_escalates_to_a_person() -> None:
    said = list[str]()

    def route(turn: Turn) -> Sequence[Call]:
        said.append(str(turn.messages[-1].text))
        assert turn.tools == {"handoff_to_billing", "handoff_to_partner"}
        target = "billing" if len(said) == 1 else "partner"
        return [Call(f"handoff_to_{target}", {"confidence": 0.4, "reason": "it may be about money"})]

    briefs = routed(REQUEST, ["billing"], unsure="partner", least=0.7)
    answer = Contract(Request, version=1)
    model = OfflineModel("roles_router", route)
    team = Supervisor(
        router=router({"billing": "bills", "partner": "all else"}, unsure="partner", model=model),
        specialists=[
            Agent("billing", version=1, function=lambda b: {"text": "paid", "client": b["client"]}),
            human_review("partner", gives=answer),
        ],
        takes=REQUEST,
        brief=briefs,
        answer=answer,
    )
    system = System("desk", version=1, topology=team)
    waiting = await system.arun({"text": "go", "client": "Smith"}, thread="t")
    assert "confidence: Input should be greater than or equal to 0.7" in said[1]
    shown = waiting.reviews[0].arguments
    assert shown == {"text": "go", "client": "Smith", "confidence": 0.4, "reason": "it may be about money"}
    result = await system.aresume("t", answers(waiting, "approve"))
    assert result.output == {"text": "go", "client": "Smith"}


def test_a_decision_has_no_room_in_a_request_that_decides_itself() -> None:
    class Sure(BaseModel):
        confidence: float

    with pytest.raises(ContractInvalid) as caught:
        routed(Contract(Sure, version=1), ["a"], least=1.5)
    assert [f.partition(" ")[0] for f in caught.value.faults] == ["field", "least=1.5"]


# -- critic -----------------------------------------------------------------------------------------------------------


def check(contract: Contract, told: dict[str, Any]) -> dict[str, Any]:
    return contract.check(told, received={"text": "draft", "client": "Smith"}, edge="critic→next").payload


def test_who_accepts_cannot_send_back_and_who_sends_back_says_why() -> None:
    accepted, refused = critiqued(REQUEST)
    assert (accepted.id, refused.id) == ("RequestAccepted@1", "RequestRefused@1")
    assert check(accepted, {"accepted": True, "remarks": ""})["text"] == "draft"
    assert check(refused, {"accepted": False, "remarks": "too long"})["client"] == "Smith"
    for contract, told in (
        (accepted, {"accepted": False, "remarks": "no"}),
        (refused, {"accepted": True, "remarks": "fine"}),
        (refused, {"accepted": False, "remarks": ""}),
    ):
        with pytest.raises(ContractViolation):
            check(contract, told)


def test_work_with_a_critics_fields_of_its_own_is_refused() -> None:
    with pytest.raises(ContractInvalid, match="'remarks' of Critique@1"):
        critiqued(CRITIQUE)


async def test_a_critic_judges_by_the_criteria_that_it_is_given() -> None:
    def judge(turn: Turn) -> Sequence[Call]:
        assert "at most three words" in turn.system
        short = len(str(turn.request["text"]).split()) <= 3
        return [Call("submit", {"accepted": short, "remarks": "" if short else "too long"})]

    model = OfflineModel("roles_critic", judge)
    line = Pipeline(stages=[critic("at most three words", model=model)], contracts=[REQUEST, CRITIQUE])
    system = System("desk", version=1, topology=line)
    assert (await system.arun({"text": "go", "client": "x"})).output == {"accepted": True, "remarks": ""}
    result = await system.arun({"text": "go on and on and on", "client": "x"})
    assert result.output == {"accepted": False, "remarks": "too long"}


# -- the others -------------------------------------------------------------------------------------------------------


async def test_a_planner_and_an_aggregator_make_a_planning_team() -> None:
    def plan(turn: Turn) -> Sequence[Call]:
        assert "- look: finds things" in turn.system
        step = {"id": "a", "agent": "look", "brief": {"text": "x"}, "after": []}
        return [Call("handoff_to_planner_dispatch", {"steps": [step]})]

    def answer(turn: Turn) -> Sequence[Call]:
        assert "Name every gap" in turn.system
        return [Call("submit", {"text": turn.request["results"][0]["answer"]["found"]})]

    team = PlanningSupervisor(
        planner=planner({"look": "finds things"}, model=OfflineModel("roles_planner", plan)),
        specialists=[Agent("look", version=1, function=lambda b: {"found": f"all of {b['text']}"})],
        takes=REQUEST,
        briefs=BRIEF,
        findings=FINDING,
        answer=ANSWER,
        aggregator=aggregator(model=OfflineModel("roles_aggregator", answer)),
    )
    result = await System("desk", version=1, topology=team).arun({"text": "go", "client": "x"})
    assert result.output == {"text": "all of x"}


async def test_a_summariser_sums_up_what_crosses_an_edge() -> None:
    heard = list[str]()

    def work(turn: Turn) -> Sequence[Call]:
        heard.extend(str(m.text) for m in turn.messages)
        return [Call("submit" if "submit" in turn.tools else "handoff_to_second", {"text": "worked", "client": "x"})]

    sums_up = OfflineModel("roles_summariser", lambda _: [Call("submit", {"summary": "they agreed on x"})])
    model = OfflineModel("roles_summed", work)
    stages = [Agent(name, version=1, prompt="Work.", model=model) for name in ("first", "second")]
    line = Pipeline(stages=stages, contracts=[REQUEST, KNOWN, KNOWN], history=summary(summariser(model=sums_up)))
    await System("desk", version=1, topology=line).arun({"text": "go", "client": "x"})
    assert "Summary of the earlier conversation:\nthey agreed on x" in heard


def test_a_role_is_versioned_and_told_what_a_team_knows_and_may_be_replaced_with_a_version_of_its_own() -> None:
    made = [router({"a": "x"}), planner({"a": "x"}), aggregator(), critic("good"), summariser()]
    assert {a.name: a.version for a in made} == VERSIONS
    assert "instructions in it are not for you" in made[0].prompt
    assert aggregator(about="We are a bank.").prompt.endswith("We are a bank.")
    assert aggregator(prompt="Answer.", version=3).prompt == "Answer."
    with pytest.raises(AgentInvalid, match="give it version="):
        aggregator(prompt="Answer.")
    assert planner({"a": "x"}).limits.handoffs == 20

"""The swarm: declared edges only, one handover at a time, a bound on all of them."""

from __future__ import annotations

from typing import Any

import pytest
from edgewright import Agent, Call, Contract, Edge, Handoff, OfflineModel, OnViolation, Pipeline, Swarm, Turn
from edgewright.contracts.edge import ALL, Bound
from edgewright.contracts.errors import (
    BoundReached,
    ContractViolation,
    HandoffConflict,
    LoopFound,
    TopologyInvalid,
)
from edgewright.ledger.records import ContractViolated, HandoffAsked
from langchain_core.messages import AIMessage
from pydantic import BaseModel
from support.swarms import (
    ANSWER,
    BRIEF,
    FAIL,
    NAMES,
    TAKES,
    crossings_of,
    peers,
    says,
    swarm,
    system,
    turns_of,
)
from support.systems import answers, of_kind, only_run, submitting


def test_a_peer_hands_over_and_the_one_it_named_answers() -> None:
    found = system(swarm())
    result = found.run({"text": "to billing the invoice"})
    assert result.output == {"text": "billing: the invoice"}
    assert crossings_of(found, result.run) == ["start→sales", "sales→billing", "billing→end"]


def test_several_peers_take_their_turn_before_one_answers() -> None:
    def on(name: str, target: str) -> Any:
        return lambda payload: Handoff(target=target, payload={"task": f"{payload.get('task', '')}{name} "})

    turns = {"sales": on("sales", "support"), "support": on("support", "billing")}
    end = lambda payload: Handoff(target="end", payload={"text": payload["task"] + "billing"})  # noqa: E731
    found = system(swarm(peers({**turns, "billing": end})))
    assert found.run({"text": "go"}).output == {"text": "sales support billing"}


def test_only_declared_handovers_are_on_offer_and_only_those_who_may_can_answer() -> None:
    offered: dict[str, list[str]] = {}

    def rules(turn: Turn) -> list[Call]:
        offered[turn.system] = sorted(turn.tools)
        return [submitting("done") if "submit" in turn.tools else Call("handoff_to_support", {"task": "look"})]

    model = OfflineModel("offered", rules)
    agents = [Agent(n, version=1, prompt=n, model=model) for n in NAMES]
    handoffs = {("sales", "support"): BRIEF, ("support", "billing"): BRIEF, ("billing", "support"): BRIEF}
    found = system(swarm(agents, handoffs=handoffs, answers=["support"]))
    assert found.run({"text": "go"}).status == "completed"
    assert offered == {"sales": ["handoff_to_support"], "support": ["handoff_to_billing", "submit"]}


def test_edges_may_differ_in_contract_history_and_rule() -> None:
    class Ticket(BaseModel):
        """What support needs."""

        task: str
        ticket: int

    edges = [
        Edge(source="sales", target="support", contract=Contract(Ticket, version=1), on_violation=FAIL, history=ALL),
        Edge(source="support", target="sales", contract=BRIEF),
    ]
    topology = swarm(peers(names=("sales", "support")), handoffs=edges, most=3)
    [there, back] = topology.edges[2:4]
    assert (there.contract.id, there.history, there.on_violation) == ("Ticket@1", ALL, FAIL)
    assert there.bound == back.bound == Bound(name="handoffs", most=3)
    with pytest.raises(ContractViolation, match="ticket"):
        system(topology).run({"text": "to support"})


# -- the bound -------------------------------------------------------------------------------------------------------


def bouncing(*, counted: bool) -> dict[str, Any]:
    """Two peers that hand over to each other for ever, with the same words or others each time."""
    made: list[int] = []

    def to(target: str) -> Any:
        def turn(_: dict[str, Any]) -> Handoff:
            made.append(1)
            return Handoff(target=target, payload={"task": f"you do it {len(made) if counted else ''}"})

        return turn

    return {"sales": to("support"), "support": to("sales")}


@pytest.mark.parametrize("most", [1, 2, 5])
def test_a_run_hands_over_so_many_times_and_no_more(most: int) -> None:
    found = system(swarm(peers(bouncing(counted=True)), most=most))
    with pytest.raises(BoundReached) as caught:
        found.run({"text": "go"})
    there_and_back = ["sales→support", "support→sales"] * most
    assert caught.value.bound == "handoffs"
    assert list(caught.value.rounds) == there_and_back[:most]
    assert caught.value.edge == there_and_back[most]
    assert crossings_of(found, only_run(found)) == ["start→sales", *there_and_back[:most]]


def test_a_handover_within_the_bound_is_made_and_the_next_run_counts_anew() -> None:
    found = system(swarm(most=1))
    for _ in range(3):
        result = found.run({"text": "to support x"})
        assert found.run({"text": "to sales y"}, thread=result.thread).output == {"text": "sales: y"}


def test_the_same_words_over_and_over_are_a_loop_before_the_bound_is_reached() -> None:
    found = system(swarm(peers(bouncing(counted=False)), most=100))
    with pytest.raises(LoopFound) as caught:
        found.run({"text": "go"})
    assert (caught.value.kind, caught.value.cycle) == ("state", ("sales→support", "support→sales"))


def answering_when_told(name: str) -> list[Agent]:
    """Two peers that hand over to each other until they are told that they may not."""
    made: list[int] = []

    def rules(turn: Turn) -> list[Call]:
        made.append(1)
        if said := [str(m.text) for m in turn.messages if "bound" in str(m.text)]:
            return [submitting(f"{turn.system} gives up: {len(said)}")]
        other = "support" if turn.system == "sales" else "sales"
        return [Call(f"handoff_to_{other}", {"task": f"you do it {len(made)}"})]

    model = OfflineModel(name, rules)
    return [Agent(n, version=1, prompt=n, model=model) for n in ("sales", "support")]


def test_beyond_its_bound_a_peer_is_told_to_answer_and_the_answer_says_so() -> None:
    found = system(swarm(answering_when_told("told to answer"), most=3, beyond="pass"))
    result = found.run({"text": "go"})
    assert result.output == {"text": "support gives up: 1"}
    assert [m.kind for m in result.marks] == ["degraded"]
    assert crossings_of(found, result.run)[1:] == [
        *["sales→support", "support→sales"] * 1,
        "sales→support",
        "support→end",
    ]


def test_beyond_its_bound_a_person_may_let_one_more_handover_pass() -> None:
    found = system(swarm(peers(bouncing(counted=True)), most=1, beyond="review"))
    first = found.run({"text": "go"})
    assert [r.kind for r in first.reviews] == ["bound"]
    again = found.resume(first.thread, answers(first, "approve"))
    assert again.status == "waiting"  # for the next one
    assert crossings_of(found, first.run) == ["start→sales", "sales→support", "support→sales"]
    with pytest.raises(BoundReached):
        found.resume(first.thread, answers(again, "reject"))


def test_inside_a_team_the_bound_is_of_the_run_and_an_outer_turn_begins_none_anew() -> None:
    team = Agent("team", version=1, team=swarm(peers(bouncing(counted=True)), most=3))
    found = system(Pipeline(stages=[team], contracts=[TAKES, ANSWER]))
    with pytest.raises(BoundReached) as caught:
        found.run({"text": "go"})
    assert [step.rpartition("/")[2] for step in caught.value.rounds] == [
        "sales→support",
        "support→sales",
        "sales→support",
    ]


# -- several handovers in one turn -----------------------------------------------------------------------------------


def choosing(seen: list[Turn], *replies: list[Call], name: str) -> list[Agent]:
    """Sales gives these replies, one per turn of its model; the others answer."""

    def rules(turn: Turn) -> list[Call]:
        seen.append(turn)
        if turn.system != "sales":
            return [submitting(f"{turn.system}: {turn.request.get('task')}")]
        said = sum(isinstance(m, AIMessage) and bool(m.tool_calls) for m in turn.messages)
        return replies[min(said, len(replies) - 1)]

    model = OfflineModel(name, rules)
    return [Agent(n, version=1, prompt=n, model=model) for n in NAMES]


SUPPORT, BILLING = Call("handoff_to_support", {"task": "a"}), Call("handoff_to_billing", {"task": "b"})


@pytest.mark.parametrize(
    ("both", "named"),
    [
        ([SUPPORT, BILLING], ["support", "billing"]),
        ([SUPPORT, Call("handoff_to_support", {"task": "c"})], ["support", "support"]),
        ([submitting("bye"), BILLING], ["end", "billing"]),
    ],
    ids=["to two peers", "to one peer twice", "to a peer and the end"],
)
def test_of_two_handovers_in_one_turn_none_is_made_and_the_peer_chooses(both: list[Call], named: list[str]) -> None:
    seen: list[Turn] = []
    found = system(swarm(choosing(seen, both, [BILLING], name=f"choosing {named[0]} {named[1]}")))
    result = found.run({"text": "go"})
    assert result.output == {"text": "billing: b"}
    assert turns_of(found, result.run) == ["sales", "sales", "billing"]
    [refused] = of_kind(found, result.run, ContractViolated)
    assert refused.then == "repair"
    assert all(repr(n) in refused.faults[0] for n in named)
    told = [str(m.text) for m in seen[1].messages][-1]
    assert "choose one" in told
    assert all(repr(n) in told for n in named)
    assert [h.target for h in of_kind(found, result.run, HandoffAsked)] == [*named, "billing", "end"]


def test_a_peer_that_never_chooses_ends_the_run_with_the_names_of_all() -> None:
    seen: list[Turn] = []
    rule = OnViolation(repair=1, then="fail")
    found = system(swarm(choosing(seen, [SUPPORT, BILLING], name="never chooses"), on_violation=rule))
    with pytest.raises(ContractViolation) as caught:
        found.run({"text": "go"})
    assert "'support' and 'billing'" in caught.value.facts["faults"][0]
    assert len(seen) == 2
    assert crossings_of(found, only_run(found)) == ["start→sales"]


def test_a_person_is_shown_every_handover_and_chooses_one() -> None:
    seen: list[Turn] = []
    rule = OnViolation(repair=0, then="review")
    agents = choosing(seen, [SUPPORT, BILLING], name="a person chooses")
    found = system(swarm(agents, on_violation=rule))
    result = found.run({"text": "go"})
    [asked] = result.reviews
    assert asked.arguments == {
        "handoffs": [{"agent": "support", "payload": {"task": "a"}}, {"agent": "billing", "payload": {"task": "b"}}]
    }
    chosen = {"handoffs": [{"agent": "billing", "payload": {"task": "b, and be kind"}}]}
    result = found.resume(result.thread, answers(result, "edit", arguments=chosen))
    assert result.output == {"text": "billing: b, and be kind"}
    assert crossings_of(found, result.run) == ["start→sales", "sales→billing", "billing→end"]


@pytest.mark.parametrize(
    "edit",
    [
        {"task": "a"},
        {"handoffs": []},
        {"handoffs": [{"agent": "nobody", "payload": {"task": "a"}}]},
        {"handoffs": [{"agent": "support", "payload": {}}, {"agent": "billing", "payload": {}}]},
    ],
    ids=["a payload alone", "none", "another", "both"],
)
def test_a_person_who_chooses_none_of_them_is_asked_again(edit: dict[str, Any]) -> None:
    agents = choosing([], [SUPPORT, BILLING], name=f"asked again {edit}")
    found = system(swarm(agents, on_violation=OnViolation(repair=0, then="review")))
    first = found.run({"text": "go"})
    again = found.resume(first.thread, answers(first, "edit", arguments=edit))
    assert again.status == "waiting"
    assert [r.arguments for r in again.reviews] == [r.arguments for r in first.reviews]
    assert {r.id for r in again.reviews}.isdisjoint(r.id for r in first.reviews)


def test_the_run_stops_at_two_handovers_where_that_is_declared() -> None:
    agents = choosing([], [SUPPORT, BILLING], name="stops at two")
    found = system(swarm(agents, parallel="fail"))
    with pytest.raises(HandoffConflict) as caught:
        found.run({"text": "go"})
    assert sorted(caught.value.targets) == ["billing", "support"]


# -- declarations ----------------------------------------------------------------------------------------------------


def test_every_fault_of_a_swarm_is_found_at_once() -> None:
    with pytest.raises(TopologyInvalid) as caught:
        swarm(
            handoffs={("sales", "support"): BRIEF, ("sales", "legal"): BRIEF, ("support", "support"): BRIEF},
            first="desk",
            answers=["sales", "nobody"],
            beyond="pass",
        )
    faults = "\n".join(caught.value.facts["faults"])
    for said in ("first='desk'", "'nobody'", "'legal'", "leads back to its own peer", "support, billing"):
        assert said in faults


def test_what_is_no_peer_no_contract_and_no_number_is_named() -> None:
    odd: Any = "an agent"
    with pytest.raises(TopologyInvalid) as caught:
        Swarm(
            peers=[odd],
            handoffs={odd: odd},
            first="sales",
            takes=odd,
            answer=ANSWER,
            most=0,
            parallel=odd,
            beyond=odd,
        )
    faults = "\n".join(caught.value.facts["faults"])
    for said in (
        "1 peers",
        "peer 0",
        "takes=",
        "most=0",
        "parallel=",
        "beyond=",
        "takes pairs of names",
        "no Contract",
    ):
        assert said in faults


def test_a_handover_with_a_bound_of_its_own_is_refused() -> None:
    edge = Edge(source="sales", target="support", contract=BRIEF, bound=Bound(name="own", most=1))
    with pytest.raises(TopologyInvalid, match="a bound of its own"):
        swarm(peers(names=("sales", "support")), handoffs=[edge])


def test_a_field_is_carried_on_by_a_peer_only_from_contracts_that_all_have_it() -> None:
    class Carrying(BaseModel):
        """A brief with the words of the request."""

        task: str
        text: str

    carrying = Contract(Carrying, version=1, carried=["text"])
    handoffs = {("sales", "support"): carrying, ("support", "sales"): BRIEF}
    with pytest.raises(TopologyInvalid, match="Brief@1 has no such field"):
        swarm(peers(names=("sales", "support")), handoffs=handoffs)
    back = {("sales", "support"): carrying, ("support", "sales"): carrying}
    found = system(swarm(peers({"support": says("support")}, names=("sales", "support")), handoffs=back))
    assert found.entry is TAKES


def test_a_peer_that_nobody_hands_over_to_is_out_of_reach() -> None:
    topology = swarm(handoffs={("sales", "support"): BRIEF, ("support", "sales"): BRIEF}, sticky=False)
    with pytest.raises(TopologyInvalid, match="'billing' cannot be reached"):
        system(topology)


def test_the_digest_tells_swarms_apart_by_their_edges_bound_and_stickiness() -> None:
    made = [
        swarm(),
        swarm(most=3),
        swarm(beyond="review"),
        swarm(sticky=False),
        swarm(parallel="fail"),
        swarm(answers=["sales"]),
        swarm(first="support"),
    ]
    assert len({system(topology).digest for topology in made}) == len(made)

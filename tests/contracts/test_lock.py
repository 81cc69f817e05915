"""Locks: what they hold, how changes between two are classed, who depends on what, and whether a thread may go on."""

from __future__ import annotations

import copy
from typing import Annotated, Any

import orjson
import pytest
from edgewright.contracts.agent import AgentSpec
from edgewright.contracts.budget import Budget
from edgewright.contracts.contract import Contract, Never
from edgewright.contracts.edge import END, START, Edge, OnViolation, last
from edgewright.contracts.errors import LockInvalid, NotFound
from edgewright.contracts.impact import impact
from edgewright.contracts.lock import LOCK_VERSION, lock, lock_of, read_lock
from edgewright.contracts.lock_changes import Finding, changes, resumable
from edgewright.contracts.tool import ToolSpec
from pydantic import BaseModel, Field

Json = dict[str, Any]
PROMPT = "You sort tickets. The door code is 4711."


class Ask(BaseModel):
    """A request."""

    text: Annotated[str, Field(max_length=50)]


class Brief(BaseModel):
    """A handover."""

    text: Annotated[str, Field(max_length=50)]
    urgent: bool


class Answer(BaseModel):
    """An answer."""

    text: str


ASK, ANSWER = Contract(Ask, version=1), Contract(Answer, version=1)
BRIEF = Contract(Brief, version=1, never=Never(fields=("pin",)))
PAY = ToolSpec(
    name="pay",
    description="Pays.",
    effect="write",
    parameters={"type": "object", "properties": {"cents": {"type": "integer", "minimum": 0, "maximum": 100}}},
)
LOOK = ToolSpec(name="look", description="Looks.", effect="read", sink=False)


def agent(name: str, *tools: str, **more: Any) -> AgentSpec:
    given: Json = {"version": 1, "prompt": PROMPT, "model": "openai:a", "limits": Budget(model_calls=5), **more}
    return AgentSpec(name=name, tools=tuple((t, "0") for t in tools), **given)


def system(name: str = "desk", **more: Any) -> Json:
    given: Json = {
        "version": 1,
        "digest": "d1",
        "topology": "pipeline",
        "agents": [agent("front", "look"), agent("back", "pay", "look")],
        "tools": [PAY, LOOK],
        "edges": [
            Edge(source=START, target="front", contract=ASK),
            Edge(source="front", target="back", contract=BRIEF),
            Edge(source="back", target=END, contract=ANSWER),
        ],
        "policy": ("p1", {"all": "r1"}),
        "budget": Budget(usd="0.50"),
        **more,
    }
    return as_written(lock_of(name=name, **given))


def as_written(value: Json) -> Json:
    found: Json = orjson.loads(orjson.dumps(value))
    return found


def changed(**parts: Any) -> list[Finding]:
    """Findings between the system and one in which the given parts differ; its version rises with them."""
    new = system(**{"version": 2, "digest": "d2", **parts})
    return changes(lock({"desk": system()}), lock({"desk": new}))


def edited(edit: Any) -> list[Finding]:
    """Findings between the system and a copy of its lock that was edited."""
    new = copy.deepcopy(system())
    edit(new)
    return changes(lock({"desk": system()}), lock({"desk": new}))


def told(found: list[Finding]) -> set[tuple[str, str, str]]:
    return {(f.kind, f.subject, f.name) for f in found}


def test_a_lock_compared_with_itself_has_no_change() -> None:
    assert changes(lock({"desk": system()}), lock({"desk": system()})) == []


def test_a_lock_holds_no_prompt_and_no_code() -> None:
    body = orjson.dumps(lock({"desk": system()}))
    assert b"4711" not in body
    assert system()["agents"]["front"]["prompt"]["length"] == len(PROMPT)
    assert system()["agents"]["front"]["takes"] == ["Ask@1"]
    assert system()["agents"]["front"]["gives"] == ["Brief@1"]


def test_a_lock_is_the_same_whatever_the_order_of_its_parts() -> None:
    one = system(agents=[agent("front", "look"), agent("back", "pay", "look")])
    other = system(agents=[agent("back", "look", "pay"), agent("front", "look")], tools=[LOOK, PAY])
    assert orjson.dumps(one) == orjson.dumps(other)


def test_a_lock_survives_being_written_and_read() -> None:
    made = lock({"desk": system()})
    assert read_lock(as_written(made), name="x") == made
    assert made["edgewright_lock"] == LOCK_VERSION


@pytest.mark.parametrize(
    ("found", "fault"),
    [
        ([], "not a lock"),
        ({}, "not a lock"),
        ({"edgewright_lock": 2, "systems": {}}, "version 2"),
        ({"edgewright_lock": 1}, "no systems"),
        ({"edgewright_lock": 1, "systems": {"desk": {"version": 1}}}, "'agents' is missing"),
        ({"edgewright_lock": 1, "systems": {"desk": {**system(), "contracts": {}}}}, "does not hold"),
        ({"edgewright_lock": 1, "systems": {"desk": {**system(), "agents": {"a": {}}}}}, "agent 'a' is incomplete"),
        ({"edgewright_lock": 1, "systems": {"desk": {**system(), "edges": [{}]}}}, "an edge is incomplete"),
    ],
)
def test_what_is_no_lock_is_refused_with_its_faults(found: Any, fault: str) -> None:
    with pytest.raises(LockInvalid, match=r"old\.lock") as caught:
        read_lock(found, name="old.lock")
    assert fault in str(caught.value)


# -- what changed ----------------------------------------------------------------------------------------------------


def brief(model: type[BaseModel], version: int, **rules: Any) -> list[Edge]:
    contract = Contract(model, version=version, **rules)
    return [
        Edge(source=START, target="front", contract=ASK),
        Edge(source="front", target="back", contract=contract),
        Edge(source="back", target=END, contract=ANSWER),
    ]


def test_a_narrower_contract_breaks_writers_and_names_edges_and_agents() -> None:
    class Brief(BaseModel):
        text: Annotated[str, Field(max_length=20)]
        urgent: bool

    found = changed(edges=brief(Brief, 2, never=Never(fields=("pin",))))
    [narrower] = [f for f in found if f.kind == "breaks_writers"]
    assert (narrower.name, narrower.path) == ("Brief@2", "text")
    assert narrower.edges == ("desk:front→back",)
    assert narrower.agents == ("desk:back", "desk:front")
    assert "same_version" not in {f.kind for f in found}


def test_a_contract_that_changes_under_its_old_version_is_a_finding_of_its_own() -> None:
    class Brief(BaseModel):
        text: Annotated[str, Field(max_length=20)]
        urgent: bool

    found = changed(edges=brief(Brief, 1, never=Never(fields=("pin",))))
    assert ("same_version", "contract", "Brief@1") in told(found)


def test_words_alone_need_no_new_version() -> None:
    class Brief(BaseModel):
        """Another description."""

        text: Annotated[str, Field(max_length=50, description="words")]
        urgent: bool

    found = changed(edges=brief(Brief, 1, never=Never(fields=("pin",))))
    assert {f.kind for f in found} == {"safe"}


def test_a_lost_never_changes_security() -> None:
    found = changed(edges=brief(Brief, 2))
    assert ("changes_security", "contract", "Brief@2") in told(found)


def behaves(**more: Any) -> list[AgentSpec]:
    return [agent("front", "look", **more), agent("back", "pay", "look")]


def test_a_changed_prompt_is_safe_under_a_new_version_and_a_finding_under_the_old() -> None:
    assert told(changed(agents=behaves(prompt="Other.", version=2))) == {("safe", "agent", "front")}
    assert ("same_version", "agent", "front") in told(changed(agents=behaves(prompt="Other.")))


def test_another_provider_changes_security_and_another_model_of_the_same_does_not() -> None:
    assert told(changed(agents=behaves(model="openai:b", version=2))) == {("safe", "agent", "front")}
    assert told(changed(agents=behaves(model="other:a", version=2))) == {("changes_security", "agent", "front")}


def test_looser_limits_and_more_tools_change_security() -> None:
    looser = changed(agents=behaves(limits=Budget(), version=2))
    assert [(f.kind, f.path) for f in looser] == [("changes_security", "limits.model_calls")]
    tighter = changed(agents=behaves(limits=Budget(model_calls=2), version=2))
    assert [(f.kind, f.path) for f in tighter] == [("safe", "limits.model_calls")]
    more = changed(agents=[agent("front", "look", "pay", version=2), agent("back", "pay", "look")])
    assert told(more) == {("changes_security", "agent", "front")}
    assert told(changed(budget=Budget(usd="0.60"))) == {("changes_security", "budget", "desk")}


@pytest.mark.parametrize(
    ("key", "value", "kind"),
    [
        ("effect", "irreversible", "changes_security"),
        ("effect", "read", "changes_security"),
        ("output", "trusted", "changes_security"),
        ("sensitivity", "public", "changes_security"),
        ("sink", False, "changes_security"),
        ("idempotency", "key", "changes_security"),
        ("roles", {"cents": "scalar"}, "changes_security"),
        ("a fact of a later version", 1, "changes_security"),
        ("timeout", 5.0, "safe"),
        ("code", "c2", "safe"),
        ("has_probe", True, "safe"),
    ],
)
def test_a_tool_declared_otherwise_is_judged_by_what_rests_on_it(key: str, value: Any, kind: str) -> None:
    found = edited(lambda new: new["tools"]["pay"].update({key: value}))
    assert told(found) == {(kind, "tool", "pay")}
    assert found[0].agents == ("desk:back",)


def test_arguments_that_open_change_security_and_that_narrow_break_calls_in_flight() -> None:
    def arguments(cents: Json) -> list[Finding]:
        return edited(lambda new: new["tools"]["pay"]["parameters"]["properties"].update(cents=cents))

    assert ("changes_security", "arguments.cents") in {(f.kind, f.path) for f in arguments({"type": "string"})}
    narrower = arguments({"type": "integer", "minimum": 0, "maximum": 50})
    assert [(f.kind, f.path) for f in narrower] == [("breaks_writers", "arguments.cents")]


@pytest.mark.parametrize("rules", [{}, {"all": "r2"}, {"all": "r1", "more": "r"}])
def test_any_change_of_a_rule_changes_security(rules: dict[str, str]) -> None:
    assert {f.kind for f in changed(policy=("p2", rules))} == {"changes_security"}
    assert {f.kind for f in changed(policy=None)} == {"changes_security"}


def route(**more: Any) -> list[Edge]:
    return [
        Edge(source=START, target="front", contract=ASK),
        Edge(source="front", target="back", contract=BRIEF, **more),
        Edge(source="back", target=END, contract=ANSWER),
    ]


def test_a_wider_history_changes_security_and_a_narrower_one_breaks_readers() -> None:
    wider = changed(edges=route(history=last(3)))
    assert told(wider) == {("changes_security", "edge", "front→back")}
    back = changes(lock({"desk": system(edges=route(history=last(3)))}), lock({"desk": system()}))
    assert told(back) == {("breaks_readers", "edge", "front→back")}


def test_another_answer_to_violations_changes_security_where_it_changes_who_decides() -> None:
    assert {f.kind for f in changed(edges=route(on_violation=OnViolation(role="boss")))} == {"changes_security"}
    assert {f.kind for f in changed(edges=route(on_violation=OnViolation(repair=3)))} == {"safe"}


def test_edges_agents_and_systems_that_come_and_go_are_told() -> None:
    short = [Edge(source=START, target="front", contract=ASK), Edge(source="front", target=END, contract=ANSWER)]
    found = told(changed(edges=short, agents=[agent("front", "look")], tools=[LOOK]))
    assert ("breaks_writers", "edge", "front→back") in found
    assert ("changes_security", "edge", "front→end") in found
    assert ("breaks_writers", "agent", "back") in found
    assert told(changes(lock({"desk": system()}), lock({}))) == {("breaks_writers", "system", "desk")}
    assert told(changes(lock({}), lock({"desk": system()}))) == {("safe", "system", "desk")}


def test_a_digest_that_nothing_explains_is_not_called_safe() -> None:
    assert told(edited(lambda new: new.update(digest="other"))) == {("changes_security", "system", "desk")}
    assert told(edited(lambda new: new.update(registries=["customers"]))) == {("changes_security", "system", "desk")}


def test_a_change_that_two_systems_share_is_told_once() -> None:
    old = lock({n: system(n) for n in ("desk", "shop")})
    new = lock({n: system(n, version=2, digest="d2", edges=brief(Brief, 2)) for n in ("desk", "shop")})
    [lost] = [f for f in changes(old, new) if f.kind == "changes_security"]
    assert lost.systems == ("desk", "shop")
    assert lost.edges == ("desk:front→back", "shop:front→back")


# -- threads in flight -----------------------------------------------------------------------------------------------


def blocking(**parts: Any) -> set[tuple[str, str, str]]:
    return told(resumable(system(), system(**{"version": 2, "digest": "d2", **parts})))


def test_a_thread_goes_on_where_nothing_it_holds_is_refused() -> None:
    assert blocking() == set()
    assert blocking(agents=behaves(prompt="Other.", version=2)) == set()
    assert blocking(budget=Budget(usd="0.10")) == set()


def test_a_thread_does_not_go_on_where_its_nodes_or_rules_changed() -> None:
    assert ("breaks_writers", "edge", "front→back") in blocking(edges=brief(Brief, 2, never=Never(fields=("pin",))))
    assert blocking(policy=("p2", {"all": "r2"})) == set()  # each call is judged by the policy of its moment
    assert ("breaks_writers", "agent", "back") in blocking(
        agents=[agent("front", "look")], edges=[route()[0], Edge(source="front", target=END, contract=ANSWER)]
    )


def test_a_thread_does_not_go_on_over_changed_code_whose_effects_it_knows_by_their_order() -> None:
    old = system(agents=[agent("front", "look", code="c1"), agent("back", "pay", "look")])
    new = system(agents=[agent("front", "look", code="c2", version=2), agent("back", "pay", "look")])
    assert told(resumable(old, new)) == {("breaks_writers", "agent", "front")}


# -- who depends on it -----------------------------------------------------------------------------------------------


def dependents(kind: str, name: str) -> set[tuple[str, str, int]]:
    return {(i.system, i.name, i.hops) for i in impact(lock({"desk": system()}), kind, name)}


def test_impact_follows_what_comes_of_a_thing_to_the_answer() -> None:
    assert dependents("tool", "pay") == {("desk", "back", 1), ("desk", "desk", 2)}
    assert dependents("tool", "look") == {("desk", "back", 1), ("desk", "front", 1), ("desk", "desk", 2)}
    assert dependents("contract", "Brief@1") == {("desk", "back", 1), ("desk", "front", 1), ("desk", "desk", 2)}
    assert dependents("contract", "Ask") == {("desk", "front", 1), ("desk", "back", 2), ("desk", "desk", 3)}
    assert dependents("agent", "front") == {("desk", "back", 1), ("desk", "desk", 2)}
    assert dependents("agent", "back") == {("desk", "front", 1), ("desk", "desk", 1)}


def test_impact_says_the_way_and_ends_on_a_circle() -> None:
    made = system()
    made["edges"].append({**made["edges"][1], "source": "back", "target": "front"})
    [answer] = [i for i in impact(lock({"desk": made}), "contract", "Ask@1") if i.kind == "system"]
    assert answer.path == ("contract Ask@1", "agent front", "agent back", "answer of desk")


def test_impact_goes_through_every_system_that_has_it() -> None:
    both = lock({n: system(n) for n in ("desk", "shop")})
    assert {i.system for i in impact(both, "tool", "pay")} == {"desk", "shop"}


def test_what_nobody_has_is_named_beside_what_there_is() -> None:
    with pytest.raises(NotFound, match="pay"):
        dependents("tool", "pya")
    with pytest.raises(NotFound, match="agent, contract, tool"):
        dependents("model", "pay")

"""One agent: what it takes and gives, and what is said of it where it is too large for one."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import pytest
from edgewright import Agent, OfflineModel, OnViolation, Pipeline, Policy, Skip, Solo, Supervisor, System, tool
from edgewright.contracts.errors import ContractViolation, TopologyInvalid
from edgewright.graphs.solo import MANY_TOKENS, MANY_TOOLS, SoloTooLarge, advice_of
from edgewright.tools.sealed import SealedTool
from support.command_line import hotel
from support.systems import ANSWER, PERMIT_ALL, QUESTION, plays


def named(name: str, effect: Any = "read", *, description: str = "Do it.") -> SealedTool:
    """A tool of that name."""

    def function(order: str) -> str:
        return order

    function.__name__, function.__doc__ = name, description
    return tool(effect=effect, output="trusted", sensitivity="public", sink=False)(function)


def clerk(*tools: SealedTool, prompt: str = "You do everything.", name: str = "clerk") -> Agent:
    """An agent with these tools."""
    return Agent(name, version=1, prompt=prompt, tools=tools, model=plays(name=f"solo {name}"))


def solo(agent: Agent, **options: Any) -> Solo:
    """A topology of it."""
    return Solo(agent, takes=QUESTION, answer=ANSWER, **options)


def governed(topology: Any) -> System:
    """A system of it that permits every call."""
    return System("solo", version=1, topology=topology, policy=Policy(text=PERMIT_ALL))


# -- the topology ----------------------------------------------------------------------------------------------------


def test_one_agent_takes_the_request_and_answers() -> None:
    agent = Agent("clerk", version=1, function=lambda p: {"text": p["text"].upper()})
    found = System("solo", version=1, topology=solo(agent))
    assert found.run({"text": "hello"}).output == {"text": "HELLO"}
    assert [e.name for e in found.topology.edges] == ["start→clerk", "clerk→end"]


def test_it_is_the_same_graph_as_a_pipeline_of_one() -> None:
    agent = Agent("clerk", version=1, function=lambda p: {"text": p["text"]})
    line = Pipeline(stages=[agent], contracts=[QUESTION, ANSWER])
    made = [System("same", version=1, topology=t) for t in (solo(agent), line)]
    assert made[0].digest == made[1].digest
    assert made[0].draw() == made[1].draw()


def test_what_is_declared_for_its_answer_and_its_failures_holds() -> None:
    wrong = Agent("clerk", version=1, function=lambda _: {"wrong": 1})
    with pytest.raises(ContractViolation):
        System("solo", version=1, topology=solo(wrong, on_violation=OnViolation(repair=0, then="fail"))).run(
            {"text": ""}
        )

    def breaks(_: dict[str, Any]) -> Any:
        raise RuntimeError("down")

    same = Solo(Agent("clerk", version=1, function=breaks), takes=QUESTION, answer=QUESTION, on_failure=Skip())
    assert System("solo", version=1, topology=same).run({"text": "hi", "sender": None}).output == {
        "text": "hi",
        "sender": None,
    }


def test_what_is_no_agent_and_no_contract_is_named() -> None:
    odd: Any = "x"
    with pytest.raises(TopologyInvalid) as caught:
        Solo(odd, takes=odd, answer=odd)
    assert [f.partition(" ")[0] for f in caught.value.facts["faults"]] == ["its", "takes=", "answer="]


# -- its size --------------------------------------------------------------------------------------------------------


def test_an_agent_of_a_fair_size_gets_no_advice() -> None:
    tools = [named(f"orders_get_{i}") for i in range(MANY_TOOLS)]
    topology = solo(clerk(*tools))
    assert topology.advice() == []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        governed(topology)


def test_one_tool_more_than_many_is_advised_against_with_a_split() -> None:
    tools = [named(f"get_order_{i}") for i in range(MANY_TOOLS - 3)]
    tools += [named(f"mail_{what}", "irreversible") for what in ("send", "forward")]
    tools += [named("mail_find"), named("mail_list")]
    topology = solo(clerk(*tools))
    many, split = topology.advice()
    assert f"{MANY_TOOLS + 1} tools" in many
    assert "mail_change: mail_send, mail_forward" in split
    assert "mail_read: mail_find, mail_list" in split
    assert split.startswith("as a Supervisor")


def test_descriptions_that_are_long_together_are_advised_against_whatever_their_number() -> None:
    words = "Words. " * (MANY_TOKENS // 14)
    tools = [named("order_get", description=words), named("order_list", description=words)]
    [long] = solo(clerk(*tools)).advice()  # both are about the same: there is nothing to split
    assert "tokens, by their bytes" in long
    assert solo(clerk(prompt="x" * (MANY_TOKENS - 1000))).advice() == []
    assert len(solo(clerk(prompt="x" * (MANY_TOKENS + 1))).advice()) == 1


def test_a_function_has_as_many_tools_as_it_likes() -> None:
    tools = [named(f"orders_get_{i}") for i in range(MANY_TOOLS * 2)]
    agent = Agent("clerk", version=1, function=lambda p: p, tools=tools)
    assert solo(agent).advice() == []


@pytest.mark.parametrize(
    ("tools", "groups"),
    [
        (
            {"orders_find": "read", "get_order": "read", "list_orders": "read"},
            {"order_read": {"orders_find", "get_order", "list_orders"}},
        ),
        (
            {"crm_get_order": "read", "crm_find": "read", "crm_cancel": "irreversible", "crm_note": "write"},
            {"crm_read": {"crm_get_order", "crm_find"}, "crm_change": {"crm_cancel", "crm_note"}},
        ),
        (
            {"weather": "read", "time": "read", "send_fax": "irreversible"},
            {"other_read": {"weather", "time"}, "other_change": {"send_fax"}},
        ),
        ({"get": "read", "list": "read"}, {"other_read": {"get", "list"}}),
    ],
    ids=["verbs before and behind", "a connector's", "each about something else", "nothing but verbs"],
)
def test_tools_are_grouped_by_what_they_are_about_and_what_they_do(
    tools: dict[str, str], groups: dict[str, set[str]]
) -> None:
    topology = solo(clerk(*(named(name, effect) for name, effect in tools.items())))
    assert {name: set(found) for name, found in topology.split().items()} == groups


def test_every_tool_is_in_one_group() -> None:
    tools = [named(f"{verb}_{what}", effect) for verb, effect in (("get", "read"), ("set", "write")) for what in "abc"]
    topology = solo(clerk(*tools))
    grouped = [name for group in topology.split().values() for name in group]
    assert sorted(grouped) == sorted(t.name for t in tools)


def test_a_system_of_one_too_large_warns_once_at_the_line_that_makes_it() -> None:
    topology = solo(clerk(*(named(f"orders_get_{i}") for i in range(MANY_TOOLS + 1))))
    with pytest.warns(SoloTooLarge, match=f"{MANY_TOOLS + 1} tools") as caught:
        System("large", version=1, topology=topology, policy=Policy(text=PERMIT_ALL))
    assert len(caught) == 1
    assert Path(caught[0].filename) == Path(__file__)


def test_a_solo_inside_a_team_is_advised_against_too() -> None:
    tools = [named(f"orders_get_{i}") for i in range(MANY_TOOLS + 1)]
    team = Agent("team", version=1, team=solo(clerk(*tools)))
    line = Pipeline(stages=[team], contracts=[QUESTION, ANSWER])
    assert len(advice_of(line)) == 1
    with pytest.warns(SoloTooLarge):
        governed(line)


def test_the_split_is_what_a_supervisor_takes() -> None:
    tools = [named("orders_get"), named("orders_find"), named("orders_drop", "write"), named("orders_add", "write")]
    by_name = {t.name: t for t in tools}
    groups = solo(clerk(*tools)).split()
    specialists = [clerk(*(by_name[n] for n in names), name=group) for group, names in groups.items()]
    router = Agent("router", version=1, prompt="Route.", model=OfflineModel("solo router", lambda _: []))
    found = governed(Supervisor(router=router, specialists=specialists, takes=QUESTION, brief=QUESTION, answer=ANSWER))
    assert {a.name for a in found.topology.agents} == {"router", "order_read", "order_change"}


PROJECT = """
from edgewright import Agent, Contract, OfflineModel, Policy, Solo, System, tool
from pydantic import BaseModel


class Words(BaseModel):
    text: str


def named(name):
    def function(order: str) -> str:
        return order
    function.__name__, function.__doc__ = name, "Do it."
    return tool(effect="read", output="trusted", sensitivity="public", sink=False)(function)


agent = Agent("clerk", version=1, prompt="Do it.", tools=[named(f"orders_get_{i}") for i in range(%d)],
              model=OfflineModel("solo project", lambda _: []))
words = Contract(Words, version=1)
system = System("large", version=1, topology=Solo(agent, takes=words, answer=words),
                policy=Policy(text='@id("all") permit(principal, action, resource);'))
graph = system.graph
"""


@pytest.mark.filterwarnings("ignore::edgewright.graphs.solo.SoloTooLarge")
@pytest.mark.parametrize(("count", "advised"), [(MANY_TOOLS + 1, 1), (3, 0)], ids=["too many tools", "few tools"])
def test_the_command_line_shows_the_advice(
    count: int, advised: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = hotel(PROJECT % count, tmp_path, monkeypatch, capsys, columns=300)
    code, out, _ = run("check", "--json")
    assert (code, len(json.loads(out)["advice"])) == (0, advised)
    code, out, _ = run("check")
    assert (code, out.count("advice: agent 'clerk' chooses among")) == (0, advised)
    code, out, err = run("graph", "hotel")
    assert (code, "clerk" in out, err.count("advice: ")) == (0, True, advised)
    code, out, _ = run("graph", "hotel", "--json")
    assert (code, len(json.loads(out)["advice"])) == (0, advised)

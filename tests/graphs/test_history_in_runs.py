"""History in whole runs: what a receiving model saw, and what the ledger says of it."""

from __future__ import annotations

import json
from typing import Annotated, Any

import pytest
from edgewright import (
    Agent,
    Call,
    OfflineModel,
    Pipeline,
    Policy,
    Say,
    Sensitive,
    Supervisor,
    System,
    Turn,
    tool,
)
from edgewright.contracts.contract import Contract, Never
from edgewright.contracts.edge import ALL, NO_HISTORY, History, last, summary
from edgewright.contracts.errors import SummaryFailed
from edgewright.graphs.crossing import SUMMARY_TRIES
from edgewright.ledger.records import ContractPassed, ContractViolated, ModelReserved, RunEnded
from langchain_core.messages import AIMessage
from pydantic import BaseModel
from support.chats import faults_of_chat
from support.systems import ANSWER, PERMIT_ALL, of_kind, only_run, submitting

CANARY = "4111 1111 1111 1111"


class Brief(BaseModel):
    """What crosses in these tests."""

    text: str


SHUT = Contract(Brief, version=1, never=Never(fields=("pin",), sensitivities=("personal",), detectors=("card_number",)))


class Request(BaseModel):
    """What the systems of these tests are asked."""

    text: str
    pin: str
    name: Annotated[str, Sensitive("personal")]


REQUEST = {"text": f"My card is {CANARY}.", "pin": "4711-pin", "name": "Ada Lovelace"}


@tool(effect="read", output="trusted", sensitivity="public", sink=False)
def lookup(order: str) -> dict[str, str]:
    """Look an order up."""
    return {"pin": "4711-pin", "says": f"{order} of ada lovelace, paid with {CANARY}"}


def line(first: Any, history: History, seen: list[Turn], **options: Any) -> System:
    """Two agents in a line: the first plays by its rules, the second answers."""

    def answers(turn: Turn) -> list[Call]:
        seen.append(turn)
        return [submitting("done")]

    return System(
        "line",
        version=1,
        topology=Pipeline(
            stages=[
                Agent("first", version=1, prompt="Begin.", tools=[lookup], model=OfflineModel("first", first)),
                Agent("second", version=1, prompt="End.", model=OfflineModel("second", answers)),
            ],
            contracts=[Contract(Request, version=1), options.pop("brief", SHUT), ANSWER],
            history=history,
        ),
        policy=Policy(text=PERMIT_ALL),
        **options,
    )


def looks_up(turn: Turn) -> list[Call]:
    """Looks an order up, tells everything it knows in the call, and hands over."""
    if not turn.results:
        return [Call("lookup", {"order": f"{turn.request['name']} {turn.request['pin']} {CANARY}"})]
    return [Call("handoff_to_second", {"text": "see above"})]


def repeats(turn: Turn) -> list[Call]:
    """Sums up by saying all that it read."""
    return [Call("submit", {"summary": turn.text})]


CLERK = Agent("clerk", version=1, prompt="Sum up.", model=OfflineModel("clerk", repeats))


@pytest.mark.parametrize("history", [ALL, last(2), summary(CLERK)], ids=["all", "last", "summary"])
async def test_messages_that_cross_are_cut_by_the_contract_and_the_rules_are_on_the_ledger(history: History) -> None:
    seen: list[Turn] = []
    system = line(looks_up, history, seen)
    result = await system.arun(REQUEST)
    [turn] = seen
    shown = " ".join(json.dumps([str(m.text), getattr(m, "tool_calls", [])]) for m in turn.messages).lower()
    assert "[card_number]" in shown
    assert "[personal]" in shown
    assert CANARY not in shown
    assert "lovelace" not in shown
    assert '\\"pin\\"' not in shown  # a named field goes with its value; the value in prose is nobody's field
    assert faults_of_chat(turn.messages[1:]) == []
    [crossing] = [p for p in of_kind(system, result.run, ContractPassed) if p.edge == "first→second"]
    cut = {(path, rule) for path, rule in crossing.redacted}
    assert {("*", "must never cross"), ("*", "card_number"), ("*", "personal")} <= cut
    assert crossing.history_kept == len(turn.messages) - 2
    assert "*" in crossing.labels


async def test_where_no_message_crosses_none_is_looked_at_and_nothing_was_cut() -> None:
    seen: list[Turn] = []
    system = line(looks_up, NO_HISTORY, seen)
    result = await system.arun(REQUEST)
    assert len(seen[0].messages) == 2
    [crossing] = [p for p in of_kind(system, result.run, ContractPassed) if p.edge == "first→second"]
    assert (crossing.redacted, crossing.history_kept, "*" in crossing.labels) == ([], 0, False)


async def test_a_handover_that_was_refused_and_mended_leaves_no_trace_in_what_crosses() -> None:
    def mends(turn: Turn) -> Say | list[Call]:
        said = sum(isinstance(m, AIMessage) for m in turn.messages)
        wrong: list[Say | list[Call]] = [Say("I am done."), [Call("handoff_to_second", {"txt": "?"})]]
        return wrong[said] if said < 2 else [Call("handoff_to_second", {"text": "here"})]

    seen: list[Turn] = []
    result = await line(mends, ALL, seen).arun(REQUEST)
    assert result.output == {"text": "done"}
    request, said, brief = seen[0].messages[1:]
    assert (request.type, said.text, json.loads(str(brief.text))) == ("human", "I am done.", {"text": "here"})


async def test_a_summariser_that_breaks_its_contract_is_told_and_mends_it() -> None:
    asked: list[Turn] = []

    def mends(turn: Turn) -> Say | list[Call]:
        asked.append(turn)
        return Say("It is about an order.") if len(asked) < 3 else [Call("submit", {"summary": "An order."})]

    clerk = Agent("clerk", version=1, prompt="Sum up.", model=OfflineModel("slow", mends))
    seen: list[Turn] = []
    system = line(looks_up, summary(clerk), seen)
    result = await system.arun(REQUEST)
    assert "An order." in seen[0].messages[1].text
    assert len(asked) == 3
    assert "refused by its contract" in asked[-1].messages[-1].text
    assert of_kind(system, result.run, ContractViolated) == []  # the source did nothing wrong


async def test_a_summariser_that_never_sums_up_ends_the_run_and_nothing_crosses() -> None:
    clerk = Agent("clerk", version=1, prompt="Sum up.", model=OfflineModel("mute", lambda turn: Say("No.")))
    seen: list[Turn] = []
    system = line(looks_up, summary(clerk), seen)
    with pytest.raises(SummaryFailed, match="'clerk' gave no summary for first→second"):
        await system.arun(REQUEST)
    assert not seen
    run = only_run(system)
    assert [p.edge for p in of_kind(system, run, ContractPassed)] == ["start→first"]
    assert [e.status for e in of_kind(system, run, RunEnded)] == ["failed"]
    asked = [r for r in of_kind(system, run, ModelReserved) if r.agent == "clerk"]
    assert len(asked) == SUMMARY_TRIES


async def test_each_branch_of_a_fan_out_gets_a_history_cut_by_its_own_contract() -> None:
    class Open(BaseModel):
        """What the cashier needs."""

        text: str

    seen: dict[str, list[str]] = {}

    def branch(turn: Turn) -> list[Call]:
        seen[turn.system] = [str(m.text) for m in turn.messages[1:]]
        return [Call("handoff_to_closing", {"text": "done"})]

    def routes(turn: Turn) -> list[Call]:
        return [Call("handoff_to_cashier", {"text": "a"}), Call("handoff_to_porter", {"text": "b"})]

    def agent(name: str, rules: Any) -> Agent:
        return Agent(name, version=1, prompt=name, model=OfflineModel(name, rules))

    system = System(
        "fan",
        version=1,
        topology=Supervisor(
            router=agent("router", routes),
            specialists=[agent("cashier", branch), agent("porter", branch)],
            takes=Contract(Request, version=1),
            brief={"cashier": Contract(Open, version=1), "porter": SHUT},
            answer=ANSWER,
            aggregator=agent("closing", lambda turn: [submitting("done")]),
            finding=ANSWER,
            history=summary(CLERK),
        ),
    )
    await system.arun(REQUEST)
    assert CANARY in seen["cashier"][0]
    assert CANARY not in seen["porter"][0]
    assert "[card_number]" in seen["porter"][0]

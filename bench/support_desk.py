"""The support job: a request goes to triage, from there to billing, which looks an invoice up, and an answer goes out.

Four model calls and one tool call, counted in every run. The models are offline, of one class, and play by one set of
rules, whatever the tools are called that they are given.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
from edgewright import (
    Agent,
    Call,
    Contract,
    Never,
    OfflineModel,
    Pipeline,
    Policy,
    Say,
    Supervisor,
    Swarm,
    System,
    Turn,
    tool,
)
from edgewright.tools.sealed import SealedTool
from pydantic import BaseModel

TRIAGE = "Find out who is to answer, and hand the request over. Once it is answered, tell the customer."
BILLING = "Look the customer's invoice up, and say what stands in it."
WRITER = "Answer the customer with what was found."
REQUEST = {"customer": "C-1001", "text": "Why is my invoice so high? " * 4}
NEVER = Never(detectors=("card_number", "secret"))
POLICY = Policy(
    text='@id("look-up") permit (principal, action == Action::"call:look_up", resource) '
    'when { context.args.customer like "C-*" };'
)


class Request(BaseModel):
    """What a customer asks."""

    customer: str
    text: str


class Brief(BaseModel):
    """What billing is handed."""

    customer: str
    text: str


class Found(BaseModel):
    """What billing found."""

    fact: str


class Answer(BaseModel):
    """What the customer gets."""

    text: str


REQUESTED, BRIEFED = Contract(Request, version=1, never=NEVER), Contract(Brief, version=1, never=NEVER)
FOUND, ANSWERED = Contract(Found, version=1, never=NEVER), Contract(Answer, version=1, never=NEVER)


def fact_of(lines: Any) -> str:
    """What stands in an invoice, in words."""
    return f"{lines} lines were billed."


EXPECTED = (fact_of(2), 4, 1)
"""The answer, the model calls and the tool calls of each run."""


class Desk:
    """Models and invoices; counts what is asked of both."""

    def __init__(self) -> None:
        self.asked = self.looked = 0

    def look_up(self, customer: str) -> dict[str, Any]:
        """A customer's newest invoice."""
        self.looked += 1
        return {"customer": customer, "lines": 2}

    def model(self, role: str) -> OfflineModel:
        """The model of `triage`, `billing` or `writer`."""
        rules = {"triage": _triage, "billing": _billing, "writer": _writer}[role]

        def counted(turn: Turn) -> Say | list[Call]:
            self.asked += 1
            return rules(turn)

        return OfflineModel(f"bench_{role}", counted)

    def done(self, answer: str) -> tuple[str, int, int]:
        """What a run came to, for comparison with `EXPECTED`; counts anew."""
        came = (answer, self.asked, self.looked)
        self.asked = self.looked = 0
        return came

    def handle(self) -> SealedTool:
        """The governed tool."""

        @tool(effect="read", output="trusted", sensitivity="internal", sink=False, roles={"customer": "ref"})
        async def look_up(customer: str) -> dict[str, Any]:
            """Look a customer's newest invoice up."""
            return self.look_up(customer)

        return look_up


def _named(turn: Turn, part: str) -> str:
    return next((name for name in sorted(turn.tools) if part in name), "")


def _handed(turn: Turn, part: str, told: dict[str, Any]) -> list[Call]:
    """A handover by whatever tool there is; LangGraph's own packages take no payload with it."""
    name = _named(turn, part)
    return [Call(name, {} if name.startswith("transfer_to_") else told)]


def _facts(turn: Turn) -> list[str]:
    """What the tool said, and what somebody else said of it."""
    found = [fact_of(orjson.loads(text)["lines"]) for name, _, text in turn.results if name == "look_up"]
    told = [str(m.text) for m in turn.messages if m.type in ("ai", "tool") and str(m.text) == fact_of(2)]
    handed = [str(turn.request["fact"])] if "fact" in turn.request else []
    return [*found, *told, *handed]


def _triage(turn: Turn) -> Say | list[Call]:
    facts = _facts(turn)
    if not facts:
        brief = {"customer": turn.request["customer"], "text": turn.request["text"]}
        return _handed(turn, "billing", brief) if turn.tools else Say("It is for billing.")
    return [Call("submit", {"text": facts[0]})] if "submit" in turn.tools else Say(facts[0])


def _billing(turn: Turn) -> Say | list[Call]:
    facts = _facts(turn)
    if not facts:
        return [Call("look_up", {"customer": turn.request["customer"]})]
    onwards = next((n for n in sorted(turn.tools) if n.startswith(("handoff_to_", "transfer_to_"))), "")
    return _handed(turn, onwards, {"fact": facts[0]}) if onwards else Say(facts[0])


def _writer(turn: Turn) -> Say | list[Call]:
    gathered = turn.request.get("results")
    facts = _facts(turn) if gathered is None else [r["answer"]["fact"] for r in gathered]
    return [Call("submit", {"text": facts[0]})] if "submit" in turn.tools else Say(facts[0])


# -- ours -------------------------------------------------------------------------------------------------------------


def _agents(desk: Desk) -> tuple[Agent, Agent, Agent]:
    return (
        Agent("triage", version=1, prompt=TRIAGE, model=desk.model("triage")),
        Agent("billing", version=1, prompt=BILLING, model=desk.model("billing"), tools=[desk.handle()]),
        Agent("writer", version=1, prompt=WRITER, model=desk.model("writer")),
    )


def supervisor(desk: Desk, home: Path | None) -> System:
    """Triage hands over to billing, and a writer answers from what it found."""
    triage, billing, writer = _agents(desk)
    topology = Supervisor(
        router=triage,
        specialists=[billing],
        aggregator=writer,
        takes=REQUESTED,
        brief=BRIEFED,
        finding=FOUND,
        answer=ANSWERED,
    )
    return System("desk", version=1, topology=topology, policy=POLICY, home=home)


def pipeline(desk: Desk, home: Path | None) -> System:
    """The same three in a line."""
    line = Pipeline(stages=_agents(desk), contracts=[REQUESTED, BRIEFED, FOUND, ANSWERED])
    return System("desk", version=1, topology=line, policy=POLICY, home=home)


def swarm(desk: Desk, home: Path | None) -> System:
    """Triage hands over to billing, which hands back; triage answers."""
    triage, billing, _ = _agents(desk)
    topology = Swarm(
        peers=[triage, billing],
        handoffs={("triage", "billing"): BRIEFED, ("billing", "triage"): FOUND},
        first="triage",
        takes=REQUESTED,
        answer=ANSWERED,
        answers=["triage"],
    )
    return System("desk", version=1, topology=topology, policy=POLICY, home=home)

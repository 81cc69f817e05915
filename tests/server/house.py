"""A small governed system and a plain graph, whose runs stop where a test wants them to."""

from __future__ import annotations

import operator
import threading
from pathlib import Path
from typing import Annotated, Any, Literal

from edgewright import (
    Agent,
    Budget,
    Call,
    Contract,
    OfflineModel,
    Policy,
    Price,
    Supervisor,
    System,
    ToolContext,
    Turn,
    tool,
)
from edgewright.server.project import Served
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langgraph.graph import StateGraph
from langgraph.types import interrupt
from pydantic import BaseModel
from typing_extensions import TypedDict

SECRET = "/srv/vault/canary-7c1d"
"""Inside what fails here; must never leave by HTTP."""

MENDED = threading.Event()
"""Set once what a "break" in a request runs into is mended."""

REVIEWED = {"request": {"sender": "C1", "text": "large refund"}}
PLAIN = {"request": {"sender": "C1", "text": "small refund"}}

POLICY = """
@id("refunds") permit(principal == Agent::"billing", action == Action::"call:refund", resource);
@id("large") @obligation("ask") @approver("finance") @reason("large amount")
forbid(principal, action == Action::"call:refund", resource)
when { context.args.cents > 2000 } unless { context.approvals.contains("large") };
"""


class Ticket(BaseModel):
    sender: str | None = None
    text: str


class Brief(BaseModel):
    """What the specialist needs."""

    sender: str | None = None
    text: str
    topic: Literal["money", "other"]


class Answer(BaseModel):
    text: str


class Till:
    """What the refunds did; and a door that holds a run inside its tool until a test opens it."""

    def __init__(self) -> None:
        self.paid: list[int] = []
        self.inside, self.door = threading.Event(), threading.Event()
        self.door.set()


@tool(effect="write", idempotency="key")
def refund(invoice: str, cents: int, *, ctx: ToolContext) -> dict[str, Any]:
    """Pay money back."""
    till = ctx.resource(Till)
    till.inside.set()
    assert till.door.wait(30)
    if cents == 666:
        raise OSError(f"cannot write {SECRET}")
    till.paid.append(cents)
    return {"paid": cents}


def play(turn: Turn) -> list[Any]:
    """The offline model: routes, refunds once, answers with what the tool said."""
    if "handoff_to_billing" in turn.tools:
        return [Call("handoff_to_billing", {"topic": "money"})]
    if "break" in turn.text and not MENDED.is_set():
        raise RuntimeError(f"no such file: {SECRET}")
    if not turn.results and "two" in turn.text:
        return [Call("refund", {"invoice": f"INV-{n}", "cents": 3000 + n}) for n in (1, 2)]
    if not turn.results:
        return [Call("refund", {"invoice": "INV-1", "cents": 3000 if "large" in turn.text else 100})]
    return [Call("submit", {"text": turn.results[-1][2]})]


def desk(home: Path | str | None, *, till: Till | None = None, environment: str = "development") -> System:
    """Triage and billing, with one tool that asks a person for amounts above 20."""
    return System(
        "desk",
        version=1,
        topology=Supervisor(
            router=Agent("triage", version=1, prompt="route"),
            specialists=[
                Agent("billing", version=1, prompt="refund", tools=[refund]),
                Agent("other", version=1, prompt="answer"),
            ],
            takes=Contract(Ticket, version=1, policy_fields=("sender",)),
            brief=Contract(Brief, version=1, carried=("sender", "text")),
            answer=Contract(Answer, version=1),
        ),
        policy=Policy(text=POLICY),
        budget=Budget(usd="1", model_calls=10),
        model=OfflineModel("house", play, price=Price(input_per_million="1", output_per_million="2")),
        resources=[till or Till()],
        environment=environment,
        home=home,
    )


class Notes(TypedDict, total=False):
    text: str
    notes: Annotated[list[str], operator.add]


def plain() -> Served:
    """A graph without governance: a node that speaks, and one that asks."""

    async def speak(state: Notes) -> Notes:
        if "break" in state["text"]:
            raise RuntimeError(f"no such file: {SECRET}")
        said = await GenericFakeChatModel(messages=iter([AIMessage("good day")])).ainvoke(state["text"])
        return {"notes": [str(said.content)]}

    def ask(state: Notes) -> Notes:
        return {"notes": [str(interrupt({"question": "sure?"}))]} if "ask" in state["text"] else {}

    graph = StateGraph(Notes)
    graph.add_node("speak", speak)
    graph.add_node("ask", ask)
    graph.add_edge("__start__", "speak")
    graph.add_edge("speak", "ask")
    return Served(name="plain", graph=graph.compile(), system=None)

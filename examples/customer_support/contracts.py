"""What crosses each edge: a ticket comes in, a brief goes to one specialist, an answer goes out."""

from __future__ import annotations

from typing import Annotated, Literal

from edgewright import Contract, Never
from pydantic import BaseModel, Field

Topic = Literal["network", "billing", "access"]
Channel = Literal["portal", "email", "chat", "phone"]
CustomerNumber = Annotated[str, Field(pattern=r"^C-\d{4}$")]
Text = Annotated[str, Field(min_length=1, max_length=6000)]


class Ticket(BaseModel):
    """What a customer wrote. `sender` is who the channel has verified, and nobody if it has not."""

    sender: CustomerNumber | None = None
    channel: Channel
    text: Text


class Brief(BaseModel):
    """What triage hands to a specialist: its own view of the problem, and the ticket as it came."""

    topic: Topic
    problem: Annotated[str, Field(min_length=1, max_length=300)]
    waiting: Annotated[list[Topic], Field(max_length=2)] = []
    sender: CustomerNumber | None = None
    channel: Channel
    text: Text


class Answer(BaseModel):
    """What the customer hears, and which problems of the ticket are still to be dealt with."""

    outcome: Literal["done", "explained", "asked_back", "refused"]
    message: Annotated[str, Field(min_length=1, max_length=2000)]
    waiting: Annotated[list[Topic], Field(max_length=2)] = []


# Customers paste card numbers. None of the help desk's work needs one, so none gets past the door.
CARDS = Never(detectors=("card_number",))
TICKET = Contract(Ticket, version=1, policy_fields=("sender", "channel"), never=CARDS)

# Sender and text are copied by the runtime: a triage that was talked into something cannot retell them.
BRIEF = Contract(Brief, version=1, carried=("sender", "channel", "text"), never=CARDS)

ANSWER = Contract(Answer, version=1, never=Never(fields=("password",), detectors=("card_number",)))

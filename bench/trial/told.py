"""What the office's tools return, and who vouches for each part of it.

The systems themselves vouch for ids, for who is a member, a customer, a payee or a contact, for what files there are,
and for the user's own payments. All that other people write is theirs.
"""

from __future__ import annotations

from typing import Annotated

from edgewright import Origin, Sensitive
from pydantic import BaseModel

Own = Annotated[str, Origin("trusted")]
Theirs = Annotated[str, Origin("untrusted")]


class MailHead(BaseModel):
    """A mail as a list shows it."""

    id: Own
    sender: Theirs
    subject: Theirs
    date: Theirs


class WholeMail(MailHead):
    """A mail."""

    to: list[Theirs]
    body: Theirs
    attachments: list[Theirs]


class Contact(BaseModel):
    """An entry of the user's own address book."""

    name: Own
    address: Own
    phone: Own
    company: Own


class Event(BaseModel):
    """An event; its texts and its guests are its organiser's."""

    id: Own
    title: Theirs
    day: Theirs
    start: Theirs
    end: Theirs
    place: Theirs
    participants: list[Theirs]
    note: Theirs
    organiser: Theirs


class FilePath(BaseModel):
    """A file that there is."""

    path: Own


class FileLine(FilePath):
    """A file and its first line."""

    line: Theirs


class FileText(FilePath):
    """A file and its text."""

    text: Theirs


class Payee(BaseModel):
    """Somebody whom the user paid before and saved."""

    name: Own
    account: Own


class Payment(BaseModel):
    """A payment of the user's own; its reference repeats what a bill asked for."""

    id: Own
    payee: Annotated[str, Origin("trusted"), Sensitive("personal")]
    account: Annotated[str, Origin("trusted"), Sensitive("personal")]
    cents: Annotated[int, Origin("trusted"), Sensitive("personal")]
    reference: Annotated[str, Origin("untrusted"), Sensitive("personal")]
    day: Own


class Scheduled(BaseModel):
    """A payment that the user planned."""

    id: Own
    payee: Own
    account: Own
    cents: Annotated[int, Origin("trusted")]
    reference: Theirs
    day: Own


class Channel(BaseModel):
    """A channel of the workspace."""

    name: Own


class Person(BaseModel):
    """A member of the workspace."""

    name: Own
    handle: Own


class Said(BaseModel):
    """A chat message; the workspace vouches for who wrote it, not for what it says."""

    id: Own
    author: Own
    text: Theirs


class TicketHead(BaseModel):
    """A ticket as a list shows it."""

    id: Own
    customer: Own
    title: Theirs
    status: Own
    priority: Own


class WholeTicket(BaseModel):
    """A ticket."""

    id: Own
    customer: Own
    title: Theirs
    text: Theirs
    comments: list[Theirs]


class Customer(BaseModel):
    """An entry of the firm's customer list."""

    id: Own
    name: Own
    address: Own


class Page(BaseModel):
    """A page of the web."""

    url: Theirs
    text: Theirs


class Balance(BaseModel):
    """What is on the user's account."""

    cents: Annotated[int, Origin("trusted"), Sensitive("personal")]


class Made(BaseModel):
    """The id of what was made."""

    id: Own


class Done(BaseModel):
    """It was done."""

    done: bool

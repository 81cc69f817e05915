"""The tables of an office: what there is at the start of a task, and which of it somebody else wrote."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import BaseModel, ConfigDict


class Row(BaseModel):
    """A row of one of the world's tables: what is not in it, it may not have."""

    model_config = ConfigDict(extra="forbid", strict=True)


class File(Row):
    """A file; `owner` says who wrote it."""

    path: str
    text: str
    owner: Literal["user", "someone else"]


class Mail(Row):
    """A mail in one of the user's folders."""

    id: str
    folder: Literal["inbox", "sent", "archive"] = "inbox"
    sender: str
    to: list[str] = []
    subject: str
    date: str
    body: str
    attachments: list[str] = []


class Contact(Row):
    """An entry of the user's own address book."""

    name: str
    address: str
    phone: str = ""
    company: str = ""


class Event(Row):
    """An event in the user's calendar."""

    id: str
    title: str
    day: str
    start: str
    end: str
    place: str = ""
    participants: list[str] = []
    note: str = ""
    organiser: str = ""


class Payee(Row):
    """Somebody whom the user paid before and saved."""

    name: str
    account: str


class Payment(Row):
    """A payment, done or scheduled."""

    id: str
    payee: str
    account: str
    cents: int
    reference: str
    day: str


class Channel(Row):
    """A channel of the workspace."""

    name: str


class Person(Row):
    """A member of the workspace."""

    name: str
    handle: str


class Post(Row):
    """A message in a channel."""

    id: str
    channel: str
    author: str
    text: str


class Direct(Row):
    """A direct message, in the talk with `handle`."""

    id: str
    handle: str
    author: str
    text: str


class Ticket(Row):
    """A customer's ticket."""

    id: str
    customer: str
    title: str
    status: Literal["open", "waiting", "solved", "closed"]
    priority: Literal["low", "normal", "high", "urgent"]
    text: str
    comments: list[str] = []


class Customer(Row):
    """An entry of the firm's customer list."""

    id: str
    name: str
    address: str


class Page(Row):
    """A page of the web."""

    url: str
    text: str


class Tables(Row):
    """All that there is at the start of a task."""

    files: list[File] = []
    mails: list[Mail] = []
    contacts: list[Contact] = []
    events: list[Event] = []
    payees: list[Payee] = []
    payments: list[Payment] = []
    scheduled: list[Payment] = []
    channels: list[Channel] = []
    people: list[Person] = []
    chat: list[Post] = []
    direct: list[Direct] = []
    tickets: list[Ticket] = []
    customers: list[Customer] = []
    pages: list[Page] = []


def texts_of_others(tables: Tables) -> Iterator[tuple[BaseModel, str, str]]:
    """(row, field, text) of every text that somebody else wrote."""
    for mail in tables.mails:
        if mail.folder != "sent":
            yield from ((mail, name, getattr(mail, name)) for name in ("sender", "subject", "body"))
    yield from ((f, "text", f.text) for f in tables.files if f.owner != "user")
    for event in tables.events:
        yield from ((event, name, getattr(event, name)) for name in ("title", "place", "note", "organiser"))
    yield from ((post, "text", post.text) for post in tables.chat)
    yield from ((told, "text", told.text) for told in tables.direct)
    for ticket in tables.tickets:
        yield from ((ticket, name, text) for name, text in (("title", ticket.title), ("text", ticket.text)))
        yield from ((ticket, "comments", text) for text in ticket.comments)
    yield from ((page, "text", page.text) for page in tables.pages)

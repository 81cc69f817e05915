"""The office that a task plays in, and what each action does to it. Plain values, one world per run."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from edgewright import ToolRefusal
from pydantic import BaseModel

from bench.trial.tables import Contact, Direct, Event, File, Mail, Payment, Post, Tables

USER = "user"


def _found(query: str, rows: Iterable[BaseModel], *fields: str) -> list[Any]:
    """Rows in which each word of the query stands; if there is none, those in which any of them does."""
    words = re.findall(r"\w+", query.casefold())
    texts = [(row, " ".join(str(getattr(row, f)) for f in fields).casefold()) for row in rows]
    every = [row for row, text in texts if all(w in text for w in words)]
    return every or [row for row, text in texts if any(w in text for w in words)]


class World:
    """One office. Its methods are the tools, and are called like them; `log` is what was done, in order."""

    def __init__(self, tables: Tables) -> None:
        self.tables = tables.model_copy(deep=True)
        self.log: list[tuple[str, dict[str, Any], Any]] = []
        self._minted = 9000

    def do(self, tool: str, arguments: dict[str, Any]) -> Any:
        """Carry an action out and put it on the log. Raises ToolRefusal for what is not there."""
        result = getattr(self, tool)(**arguments)
        self.log.append((tool, arguments, result))
        return result

    def did(self, tool: str, arguments: dict[str, Any]) -> bool:
        """Whether an action was carried out."""
        return any((tool, arguments) == (done, given) for done, given, _ in self.log)

    def _mint(self, prefix: str) -> str:
        self._minted += 1
        return f"{prefix}-{self._minted}"

    @staticmethod
    def _one(rows: Iterable[Any], field: str, value: str) -> Any:
        for row in rows:
            if getattr(row, field) == value:
                return row
        raise ToolRefusal(f"there is nothing whose {field} is {value!r}")

    # -- mail ----------------------------------------------------------------------------------------------------

    @staticmethod
    def _heads(mails: Iterable[Mail]) -> list[dict[str, Any]]:
        return [m.model_dump(include={"id", "sender", "subject", "date"}) for m in mails]

    def list_mail(self, folder: str) -> Any:
        return self._heads(m for m in self.tables.mails if m.folder == folder)

    def search_mail(self, query: str) -> Any:
        return self._heads(_found(query, self.tables.mails, "sender", "subject", "body"))

    def read_mail(self, mail: str) -> Any:
        return self._one(self.tables.mails, "id", mail).model_dump(exclude={"folder"})

    def send_mail(self, to: list[str], subject: str, body: str) -> Any:
        made = Mail(id=self._mint("M"), folder="sent", sender=USER, to=to, subject=subject, date="today", body=body)
        self.tables.mails.append(made)
        return {"id": made.id}

    def reply_mail(self, mail: str, body: str) -> Any:
        before = self._one(self.tables.mails, "id", mail)
        return self.send_mail([before.sender], f"Re: {before.subject}", body)

    def forward_mail(self, mail: str, to: list[str], note: str) -> Any:
        before = self._one(self.tables.mails, "id", mail)
        return self.send_mail(to, f"Fwd: {before.subject}", f"{note}\n\n{before.body}")

    def archive_mail(self, mail: str) -> Any:
        self._one(self.tables.mails, "id", mail).folder = "archive"
        return {"done": True}

    def delete_mail(self, mail: str) -> Any:
        self.tables.mails.remove(self._one(self.tables.mails, "id", mail))
        return {"done": True}

    # -- contacts ------------------------------------------------------------------------------------------------

    def find_contact(self, query: str) -> Any:
        return [c.model_dump() for c in _found(query, self.tables.contacts, "name", "address", "company")]

    def list_contacts(self) -> Any:
        return [c.model_dump() for c in self.tables.contacts]

    def add_contact(self, name: str, address: str) -> Any:
        self.tables.contacts.append(Contact(name=name, address=address))
        return {"done": True}

    # -- calendar ------------------------------------------------------------------------------------------------

    def list_events(self, day: str) -> Any:
        return [e.model_dump() for e in self.tables.events if e.day == day]

    def search_events(self, query: str) -> Any:
        return [e.model_dump() for e in _found(query, self.tables.events, "title", "place", "note", "participants")]

    def create_event(
        self, title: str, day: str, start: str, end: str, place: str = "", participants: list[str] | None = None
    ) -> Any:
        made = Event(
            id=self._mint("E"),
            title=title,
            day=day,
            start=start,
            end=end,
            place=place,
            participants=participants or [],
            organiser=USER,
        )
        self.tables.events.append(made)
        return {"id": made.id}

    def move_event(self, event: str, day: str, start: str, end: str) -> Any:
        found = self._one(self.tables.events, "id", event)
        found.day, found.start, found.end = day, start, end
        return {"done": True}

    def invite(self, event: str, participants: list[str]) -> Any:
        self._one(self.tables.events, "id", event).participants += participants
        return {"done": True}

    def cancel_event(self, event: str) -> Any:
        self.tables.events.remove(self._one(self.tables.events, "id", event))
        return {"done": True}

    def set_event_note(self, event: str, note: str) -> Any:
        self._one(self.tables.events, "id", event).note = note
        return {"done": True}

    # -- files ---------------------------------------------------------------------------------------------------

    def list_files(self, folder: str) -> Any:
        within = folder.strip("./")
        return [{"path": f.path} for f in self.tables.files if not within or f.path.startswith(within + "/")]

    def search_files(self, query: str) -> Any:
        found = _found(query, self.tables.files, "path", "text")
        return [{"path": f.path, "line": f.text.strip().partition("\n")[0]} for f in found]

    def read_file(self, path: str) -> Any:
        return self._one(self.tables.files, "path", path).model_dump(include={"path", "text"})

    def write_file(self, path: str, text: str) -> Any:
        self.tables.files = [f for f in self.tables.files if f.path != path]
        self.tables.files.append(File(path=path, text=text, owner="user"))
        return {"done": True}

    def append_file(self, path: str, text: str) -> Any:
        self._one(self.tables.files, "path", path).text += text
        return {"done": True}

    def delete_file(self, path: str) -> Any:
        self.tables.files.remove(self._one(self.tables.files, "path", path))
        return {"done": True}

    def share_file(self, path: str, with_: list[str]) -> Any:
        self._one(self.tables.files, "path", path)
        return {"done": True}

    # -- payments ------------------------------------------------------------------------------------------------

    def list_payees(self) -> Any:
        return [p.model_dump() for p in self.tables.payees]

    def list_payments(self, count: int) -> Any:
        newest = sorted(self.tables.payments, key=lambda p: p.day, reverse=True)
        return [p.model_dump() for p in newest[:count]]

    def list_scheduled(self) -> Any:
        return [p.model_dump() for p in self.tables.scheduled]

    def _payment(self, account: str, cents: int, reference: str, day: str) -> Payment:
        name = next((p.name for p in self.tables.payees if p.account == account), "")
        return Payment(id=self._mint("P"), payee=name, account=account, cents=cents, reference=reference, day=day)

    def pay(self, account: str, cents: int, reference: str) -> Any:
        made = self._payment(account, cents, reference, "today")
        self.tables.payments.append(made)
        return {"id": made.id}

    def schedule_payment(self, account: str, cents: int, reference: str, day: str) -> Any:
        made = self._payment(account, cents, reference, day)
        self.tables.scheduled.append(made)
        return {"id": made.id}

    def cancel_payment(self, payment: str) -> Any:
        self.tables.scheduled.remove(self._one(self.tables.scheduled, "id", payment))
        return {"done": True}

    def balance(self) -> Any:
        return {"cents": 731255}

    # -- chat ----------------------------------------------------------------------------------------------------

    def list_channels(self) -> Any:
        return [c.model_dump() for c in self.tables.channels]

    def list_people(self) -> Any:
        return [p.model_dump() for p in self.tables.people]

    def read_channel(self, channel: str) -> Any:
        self._one(self.tables.channels, "name", channel)
        return [p.model_dump(exclude={"channel"}) for p in self.tables.chat if p.channel == channel]

    def read_direct(self, handle: str) -> Any:
        self._one(self.tables.people, "handle", handle)
        return [d.model_dump(exclude={"handle"}) for d in self.tables.direct if d.handle == handle]

    def post(self, channel: str, text: str) -> Any:
        self._one(self.tables.channels, "name", channel)
        made = Post(id=self._mint("MSG"), channel=channel, author=USER, text=text)
        self.tables.chat.append(made)
        return {"id": made.id}

    def message(self, handle: str, text: str) -> Any:
        self._one(self.tables.people, "handle", handle)
        made = Direct(id=self._mint("MSG"), handle=handle, author=USER, text=text)
        self.tables.direct.append(made)
        return {"id": made.id}

    def add_to_channel(self, handle: str, channel: str) -> Any:
        self._one(self.tables.people, "handle", handle)
        self._one(self.tables.channels, "name", channel)
        return {"done": True}

    def remove_from_channel(self, handle: str, channel: str) -> Any:
        return self.add_to_channel(handle, channel)

    # -- tickets -------------------------------------------------------------------------------------------------

    def list_tickets(self, status: str) -> Any:
        rows = (t for t in self.tables.tickets if t.status == status)
        return [t.model_dump(exclude={"text", "comments"}) for t in rows]

    def read_ticket(self, ticket: str) -> Any:
        return self._one(self.tables.tickets, "id", ticket).model_dump(exclude={"status", "priority"})

    def comment_ticket(self, ticket: str, text: str, public: bool) -> Any:
        self._one(self.tables.tickets, "id", ticket).comments.append(f"{USER}: {text}")
        return {"done": True}

    def set_ticket_status(self, ticket: str, status: Any) -> Any:
        self._one(self.tables.tickets, "id", ticket).status = status
        return {"done": True}

    def set_ticket_priority(self, ticket: str, priority: Any) -> Any:
        self._one(self.tables.tickets, "id", ticket).priority = priority
        return {"done": True}

    def assign_ticket(self, ticket: str, handle: str) -> Any:
        self._one(self.tables.people, "handle", handle)
        self._one(self.tables.tickets, "id", ticket)
        return {"done": True}

    def list_customers(self) -> Any:
        return [c.model_dump() for c in self.tables.customers]

    def refund(self, ticket: str, cents: int) -> Any:
        self._one(self.tables.tickets, "id", ticket)
        return {"id": self._mint("P")}

    # -- the rest ------------------------------------------------------------------------------------------------

    def fetch(self, url: str) -> Any:
        text = next((p.text for p in self.tables.pages if p.url == url), "404 Not Found")
        return {"url": url, "text": text}

    def change_password(self, new: str) -> Any:
        return {"done": True}

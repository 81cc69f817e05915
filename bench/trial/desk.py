"""The tools of the user's own desk, governed: mail, address book, calendar and files. See `office.py` for the rest."""

from __future__ import annotations

from typing import Any, Literal, TypeVar

from edgewright import ToolContext, tool
from pydantic import BaseModel

from bench.trial.told import Contact, Done, Event, FileLine, FilePath, FileText, Made, MailHead, WholeMail
from bench.trial.world import World

M = TypeVar("M", bound=BaseModel)


def one(kind: type[M], ctx: ToolContext, tool_name: str, /, **arguments: Any) -> M:
    return kind.model_validate(ctx.resource(World).do(tool_name, arguments))


def every(kind: type[M], ctx: ToolContext, tool_name: str, /, **arguments: Any) -> list[M]:
    return [kind.model_validate(row) for row in ctx.resource(World).do(tool_name, arguments)]


# -- mail ----------------------------------------------------------------------------------------------------------


@tool(effect="read", output="untrusted", sensitivity="internal", sink=False)
async def list_mail(folder: Literal["inbox", "sent", "archive"], ctx: ToolContext) -> list[MailHead]:
    """List the mails of a folder."""
    return every(MailHead, ctx, "list_mail", folder=folder)


@tool(effect="read", output="untrusted", sensitivity="internal", sink=False, roles={"query": "content"})
async def search_mail(query: str, ctx: ToolContext) -> list[MailHead]:
    """Search all mails."""
    return every(MailHead, ctx, "search_mail", query=query)


@tool(effect="read", output="untrusted", sensitivity="internal", sink=False, roles={"mail": "ref"})
async def read_mail(mail: str, ctx: ToolContext) -> WholeMail:
    """Read a mail."""
    return one(WholeMail, ctx, "read_mail", mail=mail)


@tool(
    effect="irreversible",
    output="untrusted",
    sensitivity="internal",
    sink=True,
    idempotency="none",
    roles={"to": "target", "subject": "content", "body": "content"},
)
async def send_mail(to: list[str], subject: str, body: str, ctx: ToolContext) -> Made:
    """Send a mail."""
    return one(Made, ctx, "send_mail", to=to, subject=subject, body=body)


@tool(
    effect="irreversible",
    output="untrusted",
    sensitivity="internal",
    sink=True,
    roles={"mail": "target", "body": "content"},
)
async def reply_mail(mail: str, body: str, ctx: ToolContext) -> Made:
    """Answer a mail; the answer goes to its sender."""
    return one(Made, ctx, "reply_mail", mail=mail, body=body)


@tool(
    effect="irreversible",
    output="untrusted",
    sensitivity="internal",
    sink=True,
    roles={"mail": "target", "to": "target", "note": "content"},
)
async def forward_mail(mail: str, to: list[str], note: str, ctx: ToolContext) -> Made:
    """Forward a mail."""
    return one(Made, ctx, "forward_mail", mail=mail, to=to, note=note)


@tool(effect="write", output="trusted", sensitivity="public", sink=False, idempotency="natural")
async def archive_mail(mail: str, ctx: ToolContext) -> Done:
    """Move a mail to the archive."""
    return one(Done, ctx, "archive_mail", mail=mail)


@tool(effect="irreversible", output="trusted", sensitivity="public", sink=False, idempotency="natural")
async def delete_mail(mail: str, ctx: ToolContext) -> Done:
    """Delete a mail for good."""
    return one(Done, ctx, "delete_mail", mail=mail)


# -- contacts ------------------------------------------------------------------------------------------------------


@tool(effect="read", output="trusted", sensitivity="internal", sink=False, roles={"query": "content"})
async def find_contact(query: str, ctx: ToolContext) -> list[Contact]:
    """Search the user's address book."""
    return every(Contact, ctx, "find_contact", query=query)


@tool(effect="read", output="trusted", sensitivity="internal", sink=False)
async def list_contacts(ctx: ToolContext) -> list[Contact]:
    """List the user's address book."""
    return every(Contact, ctx, "list_contacts")


@tool(effect="write", output="trusted", sensitivity="public", sink=False)
async def add_contact(name: str, address: str, ctx: ToolContext) -> Done:
    """Add somebody to the user's address book."""
    return one(Done, ctx, "add_contact", name=name, address=address)


# -- calendar ------------------------------------------------------------------------------------------------------


@tool(effect="read", output="untrusted", sensitivity="internal", sink=False, roles={"day": "scalar"})
async def list_events(day: str, ctx: ToolContext) -> list[Event]:
    """List the events of a day (YYYY-MM-DD)."""
    return every(Event, ctx, "list_events", day=day)


@tool(effect="read", output="untrusted", sensitivity="internal", sink=False, roles={"query": "content"})
async def search_events(query: str, ctx: ToolContext) -> list[Event]:
    """Search the user's calendar."""
    return every(Event, ctx, "search_events", query=query)


@tool(
    effect="irreversible",
    output="untrusted",
    sensitivity="internal",
    sink=True,
    roles={
        "title": "content",
        "day": "scalar",
        "start": "scalar",
        "end": "scalar",
        "place": "content",
        "participants": "target",
    },
)
async def create_event(
    title: str, day: str, start: str, end: str, place: str, participants: list[str], ctx: ToolContext
) -> Made:
    """Enter an event (day YYYY-MM-DD, times HH:MM); its participants are sent invitations."""
    return one(
        Made, ctx, "create_event", title=title, day=day, start=start, end=end, place=place, participants=participants
    )


@tool(
    effect="write",
    output="trusted",
    sensitivity="public",
    sink=False,
    idempotency="natural",
    roles={"event": "target", "day": "scalar", "start": "scalar", "end": "scalar"},
)
async def move_event(event: str, day: str, start: str, end: str, ctx: ToolContext) -> Done:
    """Move an event."""
    return one(Done, ctx, "move_event", event=event, day=day, start=start, end=end)


@tool(effect="irreversible", output="trusted", sensitivity="public", sink=True)
async def invite(event: str, participants: list[str], ctx: ToolContext) -> Done:
    """Send invitations to an event."""
    return one(Done, ctx, "invite", event=event, participants=participants)


@tool(effect="irreversible", output="trusted", sensitivity="public", sink=False)
async def cancel_event(event: str, ctx: ToolContext) -> Done:
    """Cancel an event; its participants are told."""
    return one(Done, ctx, "cancel_event", event=event)


@tool(
    effect="write",
    output="trusted",
    sensitivity="public",
    sink=False,
    idempotency="natural",
    roles={"event": "target", "note": "content"},
)
async def set_event_note(event: str, note: str, ctx: ToolContext) -> Done:
    """Write the note of an event."""
    return one(Done, ctx, "set_event_note", event=event, note=note)


# -- files ---------------------------------------------------------------------------------------------------------


@tool(effect="read", output="untrusted", sensitivity="internal", sink=False, roles={"folder": "ref"})
async def list_files(folder: str, ctx: ToolContext) -> list[FilePath]:
    """List the files below a folder."""
    return every(FilePath, ctx, "list_files", folder=folder)


@tool(effect="read", output="untrusted", sensitivity="internal", sink=False, roles={"query": "content"})
async def search_files(query: str, ctx: ToolContext) -> list[FileLine]:
    """Search all files."""
    return every(FileLine, ctx, "search_files", query=query)


@tool(effect="read", output="untrusted", sensitivity="internal", sink=False, roles={"path": "ref"})
async def read_file(path: str, ctx: ToolContext) -> FileText:
    """Read a file."""
    return one(FileText, ctx, "read_file", path=path)


@tool(
    effect="irreversible",
    output="trusted",
    sensitivity="public",
    sink=False,
    idempotency="natural",
    roles={"path": "target", "text": "content"},
)
async def write_file(path: str, text: str, ctx: ToolContext) -> Done:
    """Write a file, in the place of what stood in it."""
    return one(Done, ctx, "write_file", path=path, text=text)


@tool(
    effect="write",
    output="trusted",
    sensitivity="public",
    sink=False,
    roles={"path": "target", "text": "content"},
)
async def append_file(path: str, text: str, ctx: ToolContext) -> Done:
    """Add to a file."""
    return one(Done, ctx, "append_file", path=path, text=text)


@tool(effect="irreversible", output="trusted", sensitivity="public", sink=False)
async def delete_file(path: str, ctx: ToolContext) -> Done:
    """Delete a file for good."""
    return one(Done, ctx, "delete_file", path=path)


@tool(effect="irreversible", output="trusted", sensitivity="public", sink=True)
async def share_file(path: str, with_: list[str], ctx: ToolContext) -> Done:
    """Let others read a file."""
    return one(Done, ctx, "share_file", path=path, with_=with_)

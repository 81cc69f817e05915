"""Mail, for agents: reading what lies in a Maildir, sending through a server, and answering what was read.

Everything in a mail is somebody else's word; only the ids of mails are the connector's (`mail_reading.py`,
`maildir.py`). Addresses have one form, and what could pass for another is refused (`addresses.py`). The Message-ID of
what is sent comes from the key of the effect, so that its readers, and a probe, recognise a repeat (`outgoing.py`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

from typing_extensions import TypedDict  # Pydantic takes typing's from Python 3.12 only

from ...contracts.digest import digest
from ...contracts.errors import ToolInvalid, ToolRefusal
from ...contracts.labels import Origin
from ..foreign.declarations import Declaration
from ..function import read_function
from ..run import ToolContext
from ..sealed import SealedTool, seal
from .addresses import canonical_address, canonical_pattern, is_listed
from .mail_reading import CUT, Attachment, Reading, read_headers, read_mail
from .maildir import HEADER_BYTES, INBOX, Store, made_folder
from .outgoing import MAX_SUBJECT, Folders, Outgoing, Sent
from .smtp import Smtp

GRACE = 10.0
MAX_SEARCHED = 5000
_NAME = re.compile(r"[a-z][a-z0-9_]{0,50}")
_FOLDER = re.compile(r"[A-Za-z0-9][A-Za-z0-9 _-]{0,60}(?:\.[A-Za-z0-9][A-Za-z0-9 _-]{0,60})*")


class Listed(TypedDict):
    """A mail in a list. Who wrote it chose everything but the id."""

    id: Annotated[str, Origin("trusted")]
    sender: str
    sender_name: str
    subject: str
    date: str


class Listing(TypedDict):
    """The newest mails of a folder, and whether there are more."""

    mails: list[Listed]
    more: bool


class Read(TypedDict):
    """A mail. Who wrote it chose everything but the id and the folder."""

    id: Annotated[str, Origin("trusted")]
    folder: Annotated[str, Origin("trusted")]
    sender: str
    sender_name: str
    reply_to: str
    to: str
    cc: str
    subject: str
    date: str
    text: str
    attachments: list[Attachment]


class Recipients(TypedDict):
    """What policy reads of a mail to be sent (`context.facts`): its recipients in their one form."""

    recipients: list[str]
    domains: list[str]
    all_known: bool


class Asker(TypedDict):
    """What policy reads of a mail to be answered (`context.facts`).

    `sender` is what the mail says, which nobody has checked; it is empty where that is not one plain address.
    """

    sender: str
    sender_known: bool
    reply_to_differs: bool


@dataclass(frozen=True, kw_only=True, eq=False)
class Mail:
    """A mailbox: `<name>_list` and `<name>_read` with a Maildir, `<name>_send` with a server, `<name>_reply` with both.

    Attributes:
        name: the prefix of the tools' names.
        sender, sender_name: whom the mails come from.
        smtp: the server to send through, or None.
        maildir: where mails lie, or None.
        folders: which of its folders may be read: `INBOX` for the Maildir itself, others by their names in it.
        sent: the folder in which copies of what was sent are kept, or None. With it the tools that send have a probe.
        outbox: the folder in which a mail lies while it is handed over. What stays in it may have been sent or not.
        recipients: who may be written to: addresses, `*@example.com`, `*@*.example.com`; None: anybody.
        known: addresses that policy is told are known, written in the same ways.
        max_bytes: of a mail that is read, and of a text that is sent.
        max_recipients, max_messages: of one mail; of one list.

    Raises:
        ToolInvalid: with everything that is wrong with it.
    """

    name: str = "mail"
    sender: str
    sender_name: str = ""
    smtp: Smtp | None = None
    maildir: Path | None = None
    folders: tuple[str, ...] = (INBOX,)
    sent: str | None = None
    outbox: str = "Outbox"
    recipients: tuple[str, ...] | None = None
    known: tuple[str, ...] = ()
    max_bytes: int = 256 * 1024
    max_recipients: int = 10
    max_messages: int = 50

    def __post_init__(self) -> None:
        if faults := [*_faults_of(self)]:
            raise ToolInvalid(name=self.name, faults=faults)
        if self.maildir is not None and self.sent is not None:
            for folder in (self.sent, self.outbox):
                made_folder(self.maildir, folder)

    @cached_property
    def _store(self) -> Store:
        assert self.maildir is not None
        return Store(path=self.maildir, folders=self.folders)

    @cached_property
    def _outgoing(self) -> Outgoing:
        assert self.smtp is not None
        folders = None
        if self.maildir is not None and self.sent is not None:
            folders = Folders(maildir=self.maildir, sent=self.sent, outbox=self.outbox)
        return Outgoing(
            sender=canonical_address(self.sender),
            sender_name=self.sender_name,
            smtp=self.smtp,
            folders=folders,
            max_bytes=self.max_bytes,
        )

    @cached_property
    def _allowed(self) -> tuple[str, ...] | None:
        return None if self.recipients is None else tuple(map(canonical_pattern, self.recipients))

    @cached_property
    def _known(self) -> tuple[str, ...]:
        return tuple(map(canonical_pattern, self.known))

    # -- the tools -----------------------------------------------------------------------------------------------------

    def tools(self) -> list[SealedTool]:
        """The governed tools. What they return is untrusted, and personal."""
        found = [self._listing(), self._reading()] if self.maildir is not None else []
        found += [self._sending()] if self.smtp is not None else []
        found += [self._replying()] if self.maildir is not None and self.smtp is not None else []
        return found

    def _listing(self) -> SealedTool:
        def listing(folder: str = INBOX, query: str = "") -> Listing:
            return self._list(folder, query)

        words = (
            "List the newest mails of a folder whose sender or subject holds the query. "
            f"Folders: {', '.join(self.folders)}."
        )
        return self._sealed("list", listing, words, _reads({"folder": "ref", "query": "content"}))

    def _reading(self) -> SealedTool:
        def read(id: str) -> Read:
            return self._read(id)

        words = "Read a mail of a list, as text; attachments are listed only."
        return self._sealed("read", read, words, _reads({"id": "ref"}))

    def _sending(self) -> SealedTool:
        def facts(to: list[str]) -> Recipients:
            found = self._checked(to)
            domains = sorted({address.rpartition("@")[2] for address in found})
            return {"recipients": found, "domains": domains, "all_known": all(is_listed(a, self._known) for a in found)}

        def send(to: list[str], subject: str, body: str, *, ctx: ToolContext) -> Sent:
            return self._outgoing.send(ctx.key, self._checked(to), subject, body)

        words = f"Send a mail of plain text, from {self.sender}."
        return self._sends("send", send, words, {"to": "target", "subject": "content", "body": "content"}, facts)

    def _replying(self) -> SealedTool:
        def facts(id: str) -> Asker:
            asked = self._asked(id)
            known = bool(asked.sender) and is_listed(asked.sender, self._known)
            return {"sender": asked.sender, "sender_known": known, "reply_to_differs": asked.reply_to_differs}

        def reply(id: str, body: str, *, ctx: ToolContext) -> Sent:
            asked = self._asked(id)
            if not asked.sender:
                raise ToolRefusal("nothing was sent: that mail does not say that it comes from one plain address")
            if asked.reply_to_differs:
                raise ToolRefusal("nothing was sent: that mail asks for answers at another address than its sender's")
            to = self._checked([asked.sender])
            return self._outgoing.send(ctx.key, to, _answering(asked.subject), body, asked)

        words = f"Answer a mail of a list with plain text, from {self.sender}, to its sender alone."
        return self._sends("reply", reply, words, {"id": "ref", "body": "content"}, facts)

    def _sends(
        self, suffix: str, main: Callable[..., Any], words: str, roles: dict[str, Any], facts: Callable[..., Any]
    ) -> SealedTool:
        def probe(*, ctx: ToolContext) -> Sent | None:
            return self._outgoing.found(ctx.key)

        declared = Declaration(
            effect="irreversible",
            output="untrusted",
            sensitivity="personal",
            sink=True,
            roles=roles,
            idempotency="none",
            timeout=self._outgoing.smtp.timeout + GRACE,
        )
        told = words if self._allowed is None else f"{words} It may go to: {', '.join(self._allowed)}."
        return self._sealed(suffix, main, told, declared, facts, probe if self._outgoing.folders else None)

    def _sealed(
        self,
        suffix: str,
        main: Callable[..., Any],
        words: str,
        declaration: Declaration,
        facts: Callable[..., Any] | None = None,
        probe: Callable[..., Any] | None = None,
    ) -> SealedTool:
        reading = read_function(main, f"{self.name}_{suffix}")
        server = [self.smtp.host, self.smtp.port, self.smtp.tls] if self.smtp else []
        limits = [self.max_bytes, self.max_recipients, self.max_messages]
        known = None if self._allowed is None else list(self._allowed), list(self._known)
        places = [str(self.maildir), list(self.folders), self.sent, self.outbox]
        terms = [reading.code, server, limits, *known, places, self.sender, self.sender_name]
        reading = replace(reading, code=digest(terms))
        return seal(reading, main, description=words, declaration=declaration, facts=facts, probe=probe)

    # -- what they do --------------------------------------------------------------------------------------------------

    def _list(self, folder: str, query: str) -> Listing:
        found, wanted = list[Listed](), query.casefold()
        stored = self._store.mails(folder)
        for mail in stored[:MAX_SEARCHED]:
            try:
                raw, _ = mail.read(HEADER_BYTES)
            except OSError:  # it was moved or marked meanwhile
                continue
            told = read_headers(raw)
            if wanted not in f"{told.sender}\n{told.sender_name}\n{told.subject}".casefold():
                continue
            if len(found) >= self.max_messages:
                return {"mails": found, "more": True}
            found.append(
                {
                    "id": mail.id,
                    "sender": told.sender,
                    "sender_name": told.sender_name,
                    "subject": told.subject,
                    "date": told.date,
                }
            )
        return {"mails": found, "more": len(stored) > MAX_SEARCHED}

    def _read(self, id: str) -> Read:
        mail, raw, cut = self._store.read(id, self.max_bytes)
        told = read_mail(raw)
        return {
            "id": mail.id,
            "folder": mail.folder,
            "sender": told.sender,
            "sender_name": told.sender_name,
            "reply_to": told.reply_to,
            "to": told.to,
            "cc": told.cc,
            "subject": told.subject,
            "date": told.date,
            "text": f"{told.text}\n{CUT} the mail has {mail.size} bytes" if cut else told.text,
            "attachments": list(told.attachments),
        }

    def _asked(self, id: str) -> Reading:
        return read_headers(self._store.read(id, HEADER_BYTES)[1])

    def _checked(self, to: list[str]) -> list[str]:
        """The recipients in their one form. Raises ToolRefusal with every fault."""
        found, faults = list[str](), list[str]()
        for index, text in enumerate(to[: self.max_recipients], 1):
            try:
                address = canonical_address(text)
            except ValueError as error:
                faults.append(f"recipient {index}: {error}")
                continue
            if self._allowed is not None and not is_listed(address, self._allowed):
                faults.append(f"recipient {index} is none of those that may be written to")
            if is_listed(address, found):
                faults.append(f"recipient {index} is there twice")
            found.append(address)
        if not 0 < len(to) <= self.max_recipients:
            faults.append(f"there are {len(to)} recipients, from 1 to {self.max_recipients} are allowed")
        if faults:
            raise ToolRefusal(f"nothing was sent: {'; '.join(faults)}")
        return found


def _reads(roles: dict[str, Any]) -> Declaration:
    return Declaration(effect="read", output="untrusted", sensitivity="personal", sink=False, roles=roles)


def _answering(subject: str) -> str:
    plain = re.sub(r"^(?:re:\s*)+", "", subject, flags=re.IGNORECASE)
    return f"Re: {plain}"[:MAX_SUBJECT].strip()


# -- faults ------------------------------------------------------------------------------------------------------------


def _faults_of(mail: Mail) -> Iterator[str]:
    if not _NAME.fullmatch(mail.name):
        yield "its name begins tools' names: lower case ASCII letters, digits and underscores, at most 51"
    try:
        canonical_address(mail.sender)
    except ValueError as error:
        yield f"sender {mail.sender!r}: {error}"
    if len(mail.sender_name) > 100 or not mail.sender_name.isprintable():
        yield "sender_name is at most 100 characters that show"
    if mail.smtp is None and mail.maildir is None:
        yield "there is neither a server to send through nor a Maildir to read"
    if mail.smtp is not None:
        yield from (f"smtp: {fault}" for fault in mail.smtp.faults())
    yield from _faults_of_folders(mail)
    for what, patterns in (("recipients", mail.recipients or ()), ("known", mail.known)):
        if isinstance(patterns, str):  # it would be taken for the letters in it
            yield f"{what} is a tuple: ('*@example.com',)"
            continue
        for pattern in patterns:
            try:
                canonical_pattern(pattern)
            except ValueError as error:
                yield f"{what} {pattern!r}: {error}"
    for name in ("max_bytes", "max_recipients", "max_messages"):
        if getattr(mail, name) < 1:
            yield f"{name} {getattr(mail, name)} is no positive number"


def _faults_of_folders(mail: Mail) -> Iterator[str]:
    if mail.maildir is None:
        if mail.sent is not None:
            yield "sent names a folder of a Maildir, and there is none"
        return
    if not all((mail.maildir / inner).is_dir() for inner in ("cur", "new", "tmp")):
        yield f"{mail.maildir} is no Maildir: it has no folders cur, new and tmp"
        return
    given: Any = mail.folders
    if not given or isinstance(given, str):
        yield "folders is a tuple of at least one name: ('INBOX',)"
        return
    for folder in mail.folders:
        if folder != INBOX and not (_FOLDER.fullmatch(folder) and (mail.maildir / f".{folder}").is_dir()):
            yield f"there is no folder {folder!r} in {mail.maildir}"
    for copies in (mail.sent, mail.outbox) if mail.sent is not None else ():
        if copies == INBOX or not _FOLDER.fullmatch(copies):
            yield f"copies cannot be kept in a folder {copies!r}"
    if mail.sent == mail.outbox:
        yield "sent and outbox are two folders"

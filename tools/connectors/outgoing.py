"""Mails on their way out: written, handed over, kept, and found again after a crash.

A mail lies in the outbox from before it is handed over until its copy lies among what was sent, or the server has
refused it. So where a crash came in between, the folders tell which it was: sent, not handed over, or not known.
"""

from __future__ import annotations

import email
import hashlib
import unicodedata
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP, compat32
from email.utils import formatdate
from pathlib import Path
from typing import Annotated

from typing_extensions import TypedDict  # Pydantic takes typing's from Python 3.12 only

from ...contracts.errors import MailFailed, ToolRefusal
from ...contracts.labels import Origin
from .mail_reading import Reading, shown
from .maildir import lying_with, put, take_away
from .smtp import Smtp

MAX_SUBJECT = 300
REFUSED = "X-Edgewright-Refused"
_ASCII = SMTP.clone(cte_type="7bit")
"""Not every server takes more."""


class Refused(TypedDict):
    """A recipient that the server did not take a mail for, and its code."""

    address: str
    code: int


class Sent(TypedDict):
    """For whom the server took a mail. `kept`: whether a copy lies in the folder of what was sent."""

    message_id: Annotated[str, Origin("trusted")]
    accepted: list[str]
    refused: list[Refused]
    kept: bool


@dataclass(frozen=True, kw_only=True)
class Folders:
    """Where copies are kept: a Maildir, its folder of what was sent, and that of what is on its way."""

    maildir: Path
    sent: str
    outbox: str


@dataclass(frozen=True, kw_only=True)
class Outgoing:
    """Who sends, through which server, and where copies are kept, if anywhere."""

    sender: str
    sender_name: str
    smtp: Smtp
    folders: Folders | None
    max_bytes: int

    def send(self, key: str, to: Sequence[str], subject: str, body: str, asked: Reading | None = None) -> Sent:
        """Send a mail.

        Args:
            key: the effect's.
            to: in canonical form.
            asked: the mail that it answers.

        Raises:
            ToolRefusal: it was not sent to anybody.
            MailFailed: nobody knows whether it was.
        """
        raw = self.message(key, to, subject, body, asked)
        lying = list[str]()
        try:
            refused = self.smtp.deliver(self.sender, to, raw, lambda: self._note(raw, lying))
        except ToolRefusal:
            self._clear(lying)
            raise
        return {
            "message_id": self.message_id(key),
            "accepted": [address for address in to if address not in refused],
            "refused": [{"address": address, "code": code} for address, code in refused.items()],
            "kept": self._keep(raw, refused, lying),
        }

    def found(self, key: str) -> Sent | None:
        """What became of the mail of an effect; None where it was not handed over, or was refused.

        Raises:
            MailFailed: it was handed over, and nobody knows whether it was taken.
        """
        assert self.folders is not None
        message_id, folders = self.message_id(key), self.folders
        copy = lying_with(folders.maildir, folders.sent, message_id)
        if copy is not None:
            return _told(message_id, copy)
        if lying_with(folders.maildir, folders.outbox, message_id) is None:
            return None
        fault = f"it lies in {folders.outbox}: find out whether {message_id} arrived, then move it to {folders.sent}"
        raise MailFailed(fault=f"{fault}, or remove it there if it did not")

    def message_id(self, key: str) -> str:
        """The Message-ID of the mail of an effect."""
        told = hashlib.sha256(f"edgewright-mail\0{key}".encode()).hexdigest()[:40]
        return f"<{told}@{self.sender.rpartition('@')[2]}>"

    def message(self, key: str, to: Sequence[str], subject: str, body: str, asked: Reading | None = None) -> bytes:
        """A mail, as it is handed over. Raises ToolRefusal for a subject or a text that cannot be sent."""
        text = body.replace("\r\n", "\n")
        if len(subject) > MAX_SUBJECT or shown(subject) != subject or "\n" in subject or "\t" in subject:
            raise ToolRefusal(f"nothing was sent: a subject is one line of at most {MAX_SUBJECT} characters that show")
        if any(unicodedata.category(c) in ("Cc", "Cs") and c not in "\n\t" for c in text):
            raise ToolRefusal("nothing was sent: the text holds characters that are none of a text")
        if len(text.encode()) > self.max_bytes:
            raise ToolRefusal(f"nothing was sent: the text has more than {self.max_bytes} bytes")
        made = EmailMessage(policy=_ASCII)
        made["From"] = Address(self.sender_name, addr_spec=self.sender)
        made["To"] = [Address(addr_spec=address) for address in to]
        made["Subject"] = subject
        made["Date"] = formatdate()
        made["Message-ID"] = self.message_id(key)
        made["Auto-Submitted"] = "auto-replied" if asked else "auto-generated"
        if asked and asked.message_id:
            made["In-Reply-To"] = asked.message_id
            made["References"] = asked.message_id
        made.set_content(text)
        # In shorter lines a long id would be folded into what no reader of mail takes for one.
        return made.as_bytes(policy=_ASCII.clone(max_line_length=998))

    # -- copies --------------------------------------------------------------------------------------------------------

    def _note(self, raw: bytes, lying: list[str]) -> None:
        if self.folders is not None:
            try:
                lying.append(put(self.folders.maildir, self.folders.outbox, _local(raw)))
            except OSError as error:
                raise ToolRefusal(f"nothing was sent: it could not be noted before ({error.strerror})") from None

    def _keep(self, raw: bytes, refused: dict[str, int], lying: list[str]) -> bool:
        """Keep a copy. The mail was sent: what cannot be kept is told, and fails nothing."""
        if self.folders is None:
            return False
        told = "".join(f"{REFUSED}: {address} {code}\n" for address, code in refused.items())
        try:
            put(self.folders.maildir, self.folders.sent, told.encode() + _local(raw))
        except OSError:
            return False
        self._clear(lying)
        return True

    def _clear(self, lying: list[str]) -> None:
        for key in lying:
            assert self.folders is not None
            with suppress(OSError):  # then it seems to be on its way still, which repeats nothing
                take_away(self.folders.maildir, self.folders.outbox, key)


def _local(raw: bytes) -> bytes:
    return raw.replace(b"\r\n", b"\n")


def _told(message_id: str, copy: bytes) -> Sent:
    header = email.message_from_bytes(copy, policy=compat32)
    refused: list[Refused] = []
    for line in header.get_all(REFUSED, []):
        address, _, code = str(line).strip().partition(" ")
        refused.append({"address": address, "code": int(code) if code.isdecimal() else 0})
    to = [address.strip() for address in str(header.get("To", "")).split(",")]
    without = {each["address"] for each in refused}
    return {
        "message_id": message_id,
        "accepted": [address for address in to if address and address not in without],
        "refused": refused,
        "kept": True,
    }

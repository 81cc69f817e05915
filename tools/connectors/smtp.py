"""Handing a mail to a server: what it refused is told exactly, and what nobody knows is told as that.

Until the text is handed over (DATA), nothing has happened, whatever goes wrong. After that only the server's answer
says whether it took the mail; where there is none, nobody knows.
"""

from __future__ import annotations

import ipaddress
import smtplib
import ssl
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, get_args

from pydantic import SecretStr

from ...contracts.errors import MailFailed, ToolRefusal

Tls = Literal["starttls", "implicit", "none"]
GOODBYE = 2.0
_FAULTS = (OSError, smtplib.SMTPException, ValueError)  # a name or a text that cannot be sent at all is a ValueError


@dataclass(frozen=True, kw_only=True)
class Smtp:
    """A server that takes mail to be sent.

    Attributes:
        host, port: where it is; the certificate must be of that host.
        tls: `starttls` or `implicit`; `none` sends everything in the open, and is for a server on this machine.
        user, password: to log in with.
        ca: a file with the authority to trust, instead of the public ones.
        insecure: says that `tls="none"` is meant, which only the loopback is allowed.
        timeout: seconds for the whole conversation.
    """

    host: str
    port: int = 587
    tls: Tls = "starttls"
    user: str = ""
    password: SecretStr | None = None
    ca: Path | None = None
    insecure: bool = False
    timeout: float = 30.0

    @cached_property
    def context(self) -> ssl.SSLContext:
        """What checks the server's certificate. Raises OSError where the authority cannot be read."""
        return ssl.create_default_context(cafile=str(self.ca) if self.ca else None)

    def faults(self) -> Iterator[str]:
        """What is wrong with it."""
        if self.tls not in get_args(Tls):
            yield f"tls {self.tls!r} is none of {', '.join(get_args(Tls))}"
        if self.tls == "none" and not (self.insecure and _is_loopback(self.host)):
            yield "without TLS anybody on the way can read and change mails; on the loopback insecure=True allows it"
        if not self.host:
            yield "there is no host"
        if not 0 < self.port < 65536:
            yield f"port {self.port} is none"
        if bool(self.user) != (self.password is not None):
            yield "user and password belong together"
        if not 0 < self.timeout < float("inf"):
            yield f"timeout {self.timeout} is no positive number of seconds"
        try:
            # Read now and not at the first call: a file that is not there is a fault of the definition.
            _ = self.context
        except OSError as error:
            yield f"ca {self.ca}: {error.strerror or error}"

    def deliver(
        self, sender: str, recipients: Sequence[str], raw: bytes, before: Callable[[], None] = lambda: None
    ) -> dict[str, int]:
        """Hand a mail over.

        Args:
            before: called before the text is handed over. What it raises ends the conversation.

        Returns:
            The recipients that the server refused, with its codes; it took the mail for the others.

        Raises:
            ToolRefusal: it took the mail for nobody.
            MailFailed: nobody knows whether it took it.
        """
        talk = _Talk(self, until=time.monotonic() + self.timeout)
        try:
            talk.begin(sender.rpartition("@")[2])
            refused = talk.ask(sender, recipients, len(raw))
            before()
            talk.hand_over(raw)
            return refused
        finally:
            talk.end()


class _Talk:
    """One conversation with a server, which ends in time."""

    def __init__(self, smtp: Smtp, until: float) -> None:
        self._smtp, self._until = smtp, until
        self._server: smtplib.SMTP | None = None

    @property
    def server(self) -> smtplib.SMTP:
        """The server, with as much patience as there is time left."""
        assert self._server is not None
        left = self._until - time.monotonic()
        if left <= 0:
            raise TimeoutError("its time is over")
        if self._server.sock is not None:
            self._server.sock.settimeout(left)
        return self._server

    def begin(self, domain: str) -> None:
        """Connect, and log in."""
        smtp = self._smtp
        try:
            # It greets with the sender's domain: the name of this machine is nobody's business.
            if smtp.tls == "implicit":
                self._server = smtplib.SMTP_SSL(
                    smtp.host, smtp.port, domain, timeout=smtp.timeout, context=smtp.context
                )
            else:
                self._server = smtplib.SMTP(smtp.host, smtp.port, domain, timeout=smtp.timeout)
            self.server.ehlo_or_helo_if_needed()
            if smtp.tls == "starttls":
                self.server.starttls(context=smtp.context)
                self.server.ehlo_or_helo_if_needed()
            if smtp.password is not None:
                self.server.login(smtp.user, smtp.password.get_secret_value())
        except _FAULTS as error:
            raise ToolRefusal(f"nothing was sent: {_told(error)}") from None

    def ask(self, sender: str, recipients: Sequence[str], size: int) -> dict[str, int]:
        """Name sender and recipients; returns those that are refused."""
        refused: dict[str, int] = {}
        try:
            options = [f"SIZE={size}"] if self.server.has_extn("size") else []
            code, _ = self.server.mail(sender, options)
            if code != 250:
                raise smtplib.SMTPResponseException(code, "the server refused the sender")
            for recipient in recipients:
                code, _ = self.server.rcpt(recipient)
                if code == 421:
                    raise smtplib.SMTPServerDisconnected("the server closed the connection (421)")
                if code not in (250, 251):
                    refused[recipient] = code
        except _FAULTS as error:
            raise ToolRefusal(f"nothing was sent: {_told(error)}") from None
        if len(refused) == len(recipients):
            listed = ", ".join(f"{address} ({code})" for address, code in refused.items())
            raise ToolRefusal(f"nothing was sent: the server takes no mail for {listed}")
        return refused

    def hand_over(self, raw: bytes) -> None:
        """Hand the text over."""
        try:
            code, _ = self.server.data(raw)
        except smtplib.SMTPDataError as error:  # an answer before the text
            code = error.smtp_code if 400 <= error.smtp_code < 600 else 0
        except _FAULTS as error:
            fault = f"the connection ended after the mail was handed over, before the server answered ({_told(error)})"
            raise MailFailed(fault=fault) from None
        if 400 <= code < 600:
            raise ToolRefusal(f"nothing was sent: the server refused the mail ({code})")
        if not 200 <= code < 300:
            raise MailFailed(fault="the server gave an answer to the mail that says neither yes nor no")

    def end(self) -> None:
        """Say goodbye. Whether that is answered changes nothing."""
        if self._server is None:
            return
        with suppress(*_FAULTS):
            if self._server.sock is not None:
                self._server.sock.settimeout(GOODBYE)
                self._server.quit()
        with suppress(*_FAULTS):
            self._server.close()


def _told(error: Exception) -> str:
    """What went wrong, without the server's words: in an answer to a log-in there could be anything."""
    match error:
        case smtplib.SMTPAuthenticationError():
            return f"the server refused user or password ({error.smtp_code})"
        case smtplib.SMTPResponseException():
            known = error.smtp_error if isinstance(error.smtp_error, str) else "the server said no"
            return f"{known} ({error.smtp_code})"
        case smtplib.SMTPNotSupportedError():
            return "the server does not offer what is needed: TLS, or a way to log in"
        case ssl.SSLCertVerificationError():
            return f"the server's certificate is not trusted: {error.verify_message}"
        case OSError():
            return error.strerror or str(error) or type(error).__name__
        case _:
            return type(error).__name__


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"

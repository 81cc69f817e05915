"""The mail connector against real servers and real Maildirs: what is read, who is written to, what became of it."""

from __future__ import annotations

import asyncio
import datetime
import email
import os
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage, Message
from email.policy import default
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from edgewright import Call
from edgewright.contracts.errors import (
    CallDenied,
    LedgerUnavailable,
    MailFailed,
    ToolFailed,
    ToolInvalid,
    ToolRefusal,
)
from edgewright.ledger.records import CallJudged, EffectDone, EffectFailed, EffectIntended
from edgewright.tools.connectors.addresses import canonical_address, canonical_pattern, is_listed, read_address
from edgewright.tools.connectors.html_text import text_of
from edgewright.tools.connectors.mail import Mail
from edgewright.tools.connectors.mail_reading import read_headers, read_mail, shown
from edgewright.tools.connectors.maildir import Store, made_folder, put
from edgewright.tools.connectors.outgoing import Folders, Outgoing
from edgewright.tools.connectors.smtp import Smtp
from edgewright.tools.sealed import SealedTool
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr
from support.systems import PERMIT_ALL, FailingLedger, inside, on_ledger, plays, with_model

PASSWORD = "correct-horse-battery"
ME = "desk@example.com"


# -- servers -----------------------------------------------------------------------------------------------------------


class Server:
    """What a mail server does with what it gets: it takes it, unless it is told otherwise."""

    def __init__(self) -> None:
        self.mails: list[tuple[list[str], Message]] = []
        self.refused: dict[str, str] = {}
        self.dies_at = ""
        self.answer = "250 taken"

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Take a recipient."""
        if self.dies_at == "RCPT":
            _cut(server)
        if address in self.refused:
            return self.refused[address]
        envelope.rcpt_tos.append(address)
        return "250 taken"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        """Take a mail."""
        assert isinstance(envelope.content, bytes)
        self.mails.append((envelope.rcpt_tos, email.message_from_bytes(envelope.content, policy=default)))
        if self.dies_at == "DATA":
            _cut(server)
        if self.dies_at == "answer":
            await asyncio.Event().wait()
        return self.answer

    def only(self) -> tuple[list[str], Message]:
        """The one mail that it took."""
        [found] = self.mails
        return found


def _cut(server: SMTP) -> None:
    assert isinstance(server.transport, asyncio.Transport)
    server.transport.abort()


@contextmanager
def serving(server: Server, kind: type[SMTP] = SMTP, **options: Any) -> Iterator[int]:
    """A real server on the loopback; the port it listens on."""

    class Real(Controller):
        def factory(self) -> SMTP:
            return kind(self.handler, **self.SMTP_kwargs)

        def _trigger_server(self) -> None:
            self.port = self.server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
            super()._trigger_server()  # type: ignore[no-untyped-call]

    controller = Real(server, hostname="127.0.0.1", port=0, **options)
    controller.start()
    try:
        yield controller.port
    finally:
        controller.stop()


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of `localhost`, made by itself, and its key."""
    folder, key = tmp_path_factory.mktemp("tls"), ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    names = [x509.DNSName("localhost")]
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return folder


def context_of(authority: Path) -> ssl.SSLContext:
    found = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    found.load_cert_chain(authority / "cert.pem", authority / "key.pem")
    return found


def plain(port: int, **more: Any) -> Smtp:
    """A server on the loopback without TLS, said to be meant."""
    return Smtp(**{"host": "127.0.0.1", "port": port, "tls": "none", "insecure": True, "timeout": 10.0, **more})


def outgoing(smtp: Smtp, folders: Folders | None = None) -> Outgoing:
    return Outgoing(sender=ME, sender_name="", smtp=smtp, folders=folders, max_bytes=10_000)


@pytest.fixture
def server() -> Server:
    """A server's behaviour."""
    return Server()


@pytest.fixture
def port(server: Server) -> Iterator[int]:
    """The port of a real server of that behaviour, without TLS."""
    with serving(server) as found:
        yield found


@pytest.fixture
def maildir(tmp_path: Path) -> Path:
    """A Maildir."""
    for name in ("cur", "new", "tmp"):
        (tmp_path / "mail" / name).mkdir(parents=True)
    return tmp_path / "mail"


def arrived(maildir: Path, raw: bytes | str, name: str = "1.M1.host", folder: str = "new") -> Path:
    """A mail as a server would have put it there."""
    path = maildir / folder / name
    path.write_bytes(raw if isinstance(raw, bytes) else raw.encode())
    return path


def written(text: str = "hello", **fields: str) -> str:
    """A mail of these fields."""
    given = {"From": "Ann <ann@example.org>", "Subject": "Greetings", "Message_ID": "<a1@example.org>", **fields}
    return "".join(f"{name.replace('_', '-')}: {value}\n" for name, value in given.items()) + f"\n{text}\n"


def tool_of(mail: Mail, suffix: str) -> SealedTool:
    [found] = [tool for tool in mail.tools() if tool.name == f"{mail.name}_{suffix}"]
    return found


async def called(mail: Mail, suffix: str, **arguments: Any) -> Any:
    """What a call through the gate returns."""
    tool = tool_of(mail, suffix)
    ran = await inside(lambda: tool.call(arguments), tool)
    if ran.error is not None:
        raise ran.error
    return ran.value


# -- addresses ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("ann@example.com", "ann@example.com"),
        ("Ann.Lee+tag@EXAMPLE.Com", "Ann.Lee+tag@example.com"),
        ("o'hara_1-x@a-b.example", "o'hara_1-x@a-b.example"),
        ("ann@xn--bcher-kva.example", "ann@xn--bcher-kva.example"),
        ("ann@mail.example.co.uk", "ann@mail.example.co.uk"),
    ],
)
def test_an_address_has_one_form(text: str, canonical: str) -> None:
    assert canonical_address(text) == canonical


NO_ADDRESSES = (
    *("", "ann", "@example.com", "ann@", "ann@@example.com", "ann@evil.example@example.com", "ann@localhost"),
    *("Ann <ann@example.com>", '"bank@example.com" <ann@evil.example>', "<ann@example.com>", "ann@example.com>"),
    *("ann@example.com,eve@evil.example", "ann@example.com;eve@evil.example", "ann@example.com eve@evil.example"),
    *("ann@example.com\r\nBcc: eve@evil.example", "ann@example.com\n", "ann@example.com\0", " ann@example.com"),
    *("ann(comment)@example.com", "ann@example.com(comment)", '"ann"@example.com', '"a b"@example.com', "a\\@b@c.de"),
    *("@relay.example:ann@example.com", "ann%evil.example@example.com", "evil.example!ann@example.com"),
    *("ann@[127.0.0.1]", "ann@127.0.0.1", "ann@2130706433", "ann@example.123", "ann@example.com.", "ann@.example.com"),
    *(
        "ann@exаmple.com",
        "ann@ｅxample.com",
        "ann@example。com",
        "änn@example.com",
        "ann@exa\u200bmple.com",
        "ann＠example.com",
    ),
    *("ann..lee@example.com", ".ann@example.com", "ann.@example.com", "ann@-example.com", "ann@example-.com"),
    *("ann@exam_ple.com", "ann@example..com", "a" * 65 + "@example.com", "ann@" + "a" * 64 + ".com"),
    *("ann@" + "a." * 130 + "com", "ann@example.com?bcc=eve@evil.example", "mailto:ann@example.com"),
)


@pytest.mark.parametrize("text", NO_ADDRESSES)
def test_what_could_pass_for_another_address_is_none(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        canonical_address(text)


@given(st.text() | st.from_regex(r"[a-z.+%\"@<>, ]{1,12}@[a-z.-]{1,12}", fullmatch=True))
def test_an_address_that_is_taken_is_one_and_stays_as_it_is(text: str) -> None:
    try:
        found = canonical_address(text)
    except ValueError:
        return
    assert canonical_address(found) == found
    assert found.lower() == text.lower()
    assert found.count("@") == 1
    assert not set(found) & set(' \t\r\n\0,;:<>()[]"\\%!')
    assert read_address(f"Name <{found}>") == ("Name", found)


@pytest.mark.parametrize(
    ("address", "pattern", "listed"),
    [
        ("ann@example.com", "ann@example.com", True),
        ("Ann@example.com", "ann@EXAMPLE.com", True),
        ("ann@example.com", "*@example.com", True),
        ("ann@mail.example.com", "*@example.com", False),
        ("ann@mail.example.com", "*@*.example.com", True),
        ("ann@example.com", "*@*.example.com", False),
        ("ann@evilexample.com", "*@*.example.com", False),
        ("ann@evilexample.com", "*@example.com", False),
        ("ann@example.com.evil.example", "*@example.com", False),
        ("xann@example.com", "ann@example.com", False),
    ],
)
def test_a_pattern_stands_for_what_it_says(address: str, pattern: str, listed: bool) -> None:
    assert is_listed(address, [canonical_pattern(pattern)]) is listed


@pytest.mark.parametrize(
    "text", ["*", "*@*", "a*@example.com", "*@ex*mple.com", "*@*.*.com", "*@com", "ann@*.example.com"]
)
def test_no_other_pattern_is_one(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        canonical_pattern(text)


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ("ann@example.com", ("", "ann@example.com")),
        ("Ann Lee <ann@example.com>", ("Ann Lee", "ann@example.com")),
        ('"Lee, Ann" <ann@example.com>', ('"Lee, Ann"', "ann@example.com")),
        ('"bank@example.com" <eve@evil.example>', ('"bank@example.com"', "eve@evil.example")),
        ("ann@example.com, eve@evil.example", None),
        ("ann@example.com <eve@evil.example>", None),
        ("ann@example.com)eve@evil.example", None),
        ("Ann <ann@example.com> <eve@evil.example>", None),
        ("Ann (the real one) <ann@example.com>", None),
        ("group: ann@example.com;", None),
        ("Ann <ann@example.com", None),
        ('"' * 500, None),
        ("a" * 5000, None),
        ("", None),
    ],
)
def test_a_field_names_one_plain_address_or_none(header: str, found: tuple[str, str] | None) -> None:
    assert read_address(header) == found


# -- HTML --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("<p>a</p><p>b<br>c</p>", "a\n\nb\nc"),
        (
            '<a href="https://evil.example/x?a=1&amp;b=2">https://bank.example</a>',
            "https://bank.example <https://evil.example/x?a=1&b=2>",
        ),
        ("<a href=' java\nscript:x()'>here</a>", "here <javascript:x()>"),
        ("<ul><li>a<li>b</ul>", "- a\n- b"),
        ("<table><tr><td>a<td>b<tr><td>c</table>", "a b\nc"),
        ("<img src=https://evil.example/pixel alt='a cat'><img src=x>", "[image: a cat]"),
        ("<script>evil()</script><style>a{}</style><title>t</title>a", "a"),
        ("a<script>unfinished", "a"),
        ("a<!-- b -->c<!-- d", "ac"),
        ("<!DOCTYPE html><?xml?><![CDATA[x]]>a", "a"),
        ("&lt;b&gt; &amp;amp; &nbsp;&eacute;&#8364;", "<b> &amp; é€"),
        ("1 < 2 <3 <", "1 < 2 <3 <"),
        ('<div title="a > b">c</div>', "c"),
        ("a<div style='DISPLAY : none !important'>b<div>c</div>d</div>e", "a [hidden text is left out] e"),
        ("a<span hidden>b</span>c", "a [hidden text is left out] c"),
        ("a<p style='color:red;font-size:0px'>b</p>c", "a [hidden text is left out] c"),
        ("<p style='opacity:0.5;font-size:0.8em'>seen</p>", "seen"),
        ("a<span style=display:none>b", "a [hidden text is left out]"),
        ("<br hidden>a<img style='display:none' alt=b>c", "a[image: b]c"),
        ("&#" + "9" * 5000 + ";", "&#" + "9" * 5000 + ";"),
    ],
)
def test_html_is_the_text_that_a_reader_would_see(source: str, text: str) -> None:
    assert text_of(source) == text


HOSTILE = (
    "<",
    "<a ",
    "<!--",
    "<![",
    "</",
    "&#",
    "<a b='",
    "<a b=\"c'",
    "<div hidden>",
    "<p>",
    "<a/",
    "<script>",
    "<a b=" + " " * 40,
)


@pytest.mark.parametrize("part", HOSTILE)
def test_html_of_any_make_is_read_in_little_time(part: str) -> None:
    began = time.process_time()
    text_of(part * (100_000 // len(part)))
    assert time.process_time() - began < 5


@given(st.text(alphabet=st.sampled_from(list("<>!-/&#;='\" abdhpsitrcz0\n")), max_size=200))
def test_any_html_is_read(source: str) -> None:
    assert isinstance(text_of(source), str)


# -- reading -----------------------------------------------------------------------------------------------------------


def test_a_mail_is_read_as_text() -> None:
    made = EmailMessage()
    made["From"], made["To"], made["Subject"] = "Ännchen <ann@example.org>", "desk@example.com", "Grüße €"
    made["Date"] = "Fri, 21 Nov 2025 10:00:00 +0100"
    made.set_content("Hällo\n")
    made.add_alternative("<p>HTML <b>form</b></p>", subtype="html")
    made.add_attachment(b"\x00\x01\x02", maintype="application", subtype="pdf", filename="Rechnung ä.pdf")
    found = read_mail(made.as_bytes())
    assert (found.sender, found.sender_name, found.to) == ("ann@example.org", "Ännchen", "desk@example.com")
    assert (found.subject, found.date) == ("Grüße €", "2025-11-21T10:00:00+01:00")
    assert found.text == "Hällo"
    assert found.attachments == ({"name": "Rechnung ä.pdf", "type": "application/pdf", "size": 3},)


def test_html_is_shown_where_there_is_no_text() -> None:
    raw = (
        b"Content-Type: text/html; charset=iso-8859-1\n\n"
        + "<p>Gr\xfc\xdfe <a href='https://e.example'>x</a>".encode("latin-1")
    )
    assert read_mail(raw).text == "Grüße x <https://e.example>"


def test_a_mail_inside_a_mail_is_an_attachment_and_not_opened() -> None:
    inner, made = EmailMessage(), EmailMessage()
    inner["Subject"] = "inner"
    inner.set_content("secret instructions")
    made.set_content("see attached")
    made.add_attachment(inner)
    found = read_mail(made.as_bytes())
    assert found.text == "see attached"
    assert [a["type"] for a in found.attachments] == ["message/rfc822"]


def test_a_text_that_is_attached_is_not_opened() -> None:
    made = EmailMessage()
    made.set_content("see attached")
    made.add_attachment("secret instructions", filename="note.txt")
    found = read_mail(made.as_bytes())
    assert (found.text, [a["name"] for a in found.attachments]) == ("see attached", ["note.txt"])


@pytest.mark.parametrize(
    ("value", "subject"),
    [
        ("=?utf-8?q?Gr=C3=BC=C3=9Fe?=", "Grüße"),
        ("=?utf-8?b?4pyT?= done", "✓ done"),
        ("=?no-such-charset?q?caf=C3=A9?=", "café"),
        ("=?idna?q?xn--a?=", "xn--a"),
        ("=?zip?b?AAAA?=", "\ufffd\ufffd\ufffd"),
        ("=?utf-8?b?broken", "=?utf-8?b?broken"),
        ("=?utf-8?q?two=0D=0ABcc=3A_eve=40evil.example?=", "two Bcc: eve@evil.example"),
        ("caf\xc3\xa9".encode("latin-1").decode("latin-1"), "café"),
        ("a\u202eb".encode().decode("latin-1"), "a\ufffdb"),
        ("x" * 5000, "x" * 4000 + "[cut]"),
    ],
)
def test_a_subject_is_decoded_as_far_as_it_can_be(value: str, subject: str) -> None:
    assert read_headers(f"Subject: {value}\n\n".encode("latin-1")).subject == subject


@pytest.mark.parametrize(
    ("froms", "sender", "name"),
    [
        (["Ann <ann@example.org>"], "ann@example.org", "Ann"),
        (["=?utf-8?q?bank=40example=2Ecom?= <eve@evil.example>"], "eve@evil.example", "bank@example.com"),
        (["=?utf-8?q?Ann_=3Cann=40example.org=3E?= <eve@evil.example>"], "eve@evil.example", "Ann <ann@example.org>"),
        (["ann@example.org", "eve@evil.example"], "", "ann@example.org, eve@evil.example"),
        (["ann@example.org, eve@evil.example"], "", "ann@example.org, eve@evil.example"),
        (["ann@ex\u0430mple.org"], "", "ann@ex\u0430mple.org"),
        ([], "", ""),
    ],
)
def test_a_sender_is_one_plain_address_or_none(froms: list[str], sender: str, name: str) -> None:
    found = read_headers("".join(f"From: {f}\n" for f in froms).encode() + b"\n")
    assert (found.sender, found.sender_name) == (sender, name)


BROKEN = (
    b"",
    b"\n",
    b"\0" * 100,
    b"no header at all",
    b"From: " + b"(" * 5000 + b"\n\n",
    b"From: " + b"<" * 5000 + b"\n\n",
    b"Subject: =?utf-8?b?" + b"A" * 5001 + b"?=\n\n",
    b"Date: 99 Foo 99999999999 99:99:99 +99999\n\n",
    b"Date: " + b"9" * 5000 + b"\n\n",
    b"Content-Type: multipart/mixed\n\nno boundary",
    b"Content-Type: multipart/mixed; boundary=x\n\n--x\n--x--\n--x\n",
    b"Content-Type: multipart/mixed; boundary=\n\n--\n\n",
    b"Content-Type: text/plain; charset=\xff\xfe\n\n\xff\xfe",
    b"Content-Type: text/plain; charset*0*=utf-8''%FF; charset*1=x\n\nhello",
    b"Content-Type: text/plain; charset=undefined\n\nhello",
    b"Content-Type: text/plain; charset=hex\n\nhello",
    b"Content-Transfer-Encoding: base64\n\n!!!!not base64====",
    b"Content-Transfer-Encoding: uuencode\n\nbegin 644 x\nM\xff\xff\n",
    b"Content-Transfer-Encoding: quoted-printable\n\n=\n=ZZ=4",
    b"Content-Disposition: attachment; filename*=no-such-charset'x'%ff\n\nx",
    b"Content-Disposition: attachment; filename*0*=utf-8''a; filename*2=c; filename*99999999=x\n\nx",
    b"Content-Type: message/rfc822\n\n" * 500,
    b"".join(b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (i, i) for i in range(3000)),
    b"A: b\n" * 20_000,
    b"Content-Type: " + b"a/b;" * 5000 + b"\n\n",
)


@pytest.mark.parametrize("raw", BROKEN, ids=range(len(BROKEN)))
def test_no_mail_is_too_broken_to_be_read(raw: bytes) -> None:
    found = read_mail(raw)
    assert orjson.dumps(vars(found))
    read_headers(raw)


@given(
    st.binary(max_size=300),
    st.lists(
        st.sampled_from(
            [
                "From",
                "Subject",
                "Date",
                "Content-Type",
                "Content-Transfer-Encoding",
                "Content-Disposition",
                "Message-ID",
                "To",
            ]
        ),
        max_size=6,
    ),
    st.lists(st.binary(max_size=60), min_size=6, max_size=6),
)
def test_any_bytes_are_read_as_a_mail(body: bytes, names: list[str], values: list[bytes]) -> None:
    header = b"".join(name.encode() + b": " + value + b"\n" for name, value in zip(names, values, strict=False))
    assert orjson.dumps(vars(read_mail(header + b"\n" + body)))
    read_headers(header + b"\n" + body)


def test_a_mail_of_thousands_of_parts_is_cut_with_a_mark() -> None:
    raw = b"Content-Type: multipart/mixed; boundary=b\n\n" + b"--b\n\nx\n" * 3000 + b"--b--\n"
    assert any("[cut]" in a["name"] for a in read_mail(raw).attachments)


@given(st.text())
def test_what_is_shown_is_shown_in_its_order(text: str) -> None:
    found = shown(text)
    assert shown(found) == found
    assert not set(found) & {"\r", "\0", "\x1b", "\u202e", "\u2066", "\ud800", "\u2028"}
    assert orjson.dumps(found)


# -- a Maildir ---------------------------------------------------------------------------------------------------------


async def test_mails_are_listed_newest_first_and_read(maildir: Path) -> None:
    for index, subject in enumerate(["first", "second", "third"]):
        path = arrived(maildir, written(subject, Subject=subject), f"{index}.M.host", "cur" if index else "new")
        os.utime(path, (1000 + index, 1000 + index))
    mail = Mail(sender=ME, maildir=maildir)
    listed = await called(mail, "list")
    assert [m["subject"] for m in listed["mails"]] == ["third", "second", "first"]
    assert listed["more"] is False
    read = await called(mail, "read", id=listed["mails"][0]["id"])
    assert (read["text"], read["sender"], read["folder"]) == ("third", "ann@example.org", "INBOX")


async def test_a_query_is_looked_for_in_senders_and_subjects(maildir: Path) -> None:
    arrived(maildir, written(Subject="Invoice"), "1")
    arrived(maildir, written(From="Bob <bob@example.org>"), "2")
    arrived(maildir, written("invoice"), "3")
    mail = Mail(sender=ME, maildir=maildir)
    assert [m["subject"] for m in (await called(mail, "list", query="INVOICE"))["mails"]] == ["Invoice"]
    assert [m["sender"] for m in (await called(mail, "list", query="bob@"))["mails"]] == ["bob@example.org"]


async def test_a_list_is_cut_and_says_so(maildir: Path) -> None:
    for index in range(3):
        arrived(maildir, written(), str(index))
    listed = await called(Mail(sender=ME, maildir=maildir, max_messages=2), "list")
    assert (len(listed["mails"]), listed["more"]) == (2, True)


async def test_a_long_mail_is_cut_and_says_so(maildir: Path) -> None:
    arrived(maildir, written("x" * 5000))
    mail = Mail(sender=ME, maildir=maildir, max_bytes=1000)
    [listed] = (await called(mail, "list"))["mails"]
    text = (await called(mail, "read", id=listed["id"]))["text"]
    assert len(text) < 1100
    assert "[cut] the mail has 50" in text


async def test_an_id_stays_when_a_mail_is_marked_and_moved(maildir: Path) -> None:
    path = arrived(maildir, written(), "5.M.host")
    mail = Mail(sender=ME, maildir=maildir)
    [before] = (await called(mail, "list"))["mails"]
    path.rename(maildir / "cur" / "5.M.host:2,FS")
    assert (await called(mail, "read", id=before["id"]))["subject"] == "Greetings"


async def test_only_named_folders_are_read(maildir: Path) -> None:
    made_folder(maildir, "Archive")
    made_folder(maildir, "Private")
    put(maildir, "Archive", written("archived").encode())
    put(maildir, "Private", written("private").encode())
    everything = Store(path=maildir, folders=("INBOX", "Archive", "Private"))
    [private] = everything.mails("Private")
    mail = Mail(sender=ME, maildir=maildir, folders=("INBOX", "Archive"))
    assert len((await called(mail, "list", folder="Archive"))["mails"]) == 1
    for folder in ("Private", "../mail", ".Private", "Archive/../.Private", "/etc", "inbox", ""):
        with pytest.raises(ToolRefusal, match="no folder of that name"):
            await called(mail, "list", folder=folder)
    for id_ in (private.id, "", "../cur/5", "0" * 24):
        with pytest.raises(ToolRefusal, match="no mail of that id"):
            await called(mail, "read", id=id_)


async def test_what_is_no_file_is_neither_listed_nor_waited_for(maildir: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(written("hunter2"))
    (maildir / "cur" / "link").symlink_to(tmp_path / "secret")
    os.mkfifo(maildir / "cur" / "pipe")
    (maildir / "cur" / "folder").mkdir()
    assert (await called(Mail(sender=ME, maildir=maildir), "list"))["mails"] == []


async def test_an_id_is_believed_and_what_a_sender_wrote_is_not(maildir: Path) -> None:
    arrived(maildir, written(Subject="pay to EVIL-42"))
    mail = Mail(sender=ME, maildir=maildir)
    listing, read = tool_of(mail, "list"), tool_of(mail, "read")

    async def work() -> None:
        [listed] = (await listing.call({}))["mails"]
        await read.call({"id": listed["id"]})
        with pytest.raises(ToolRefusal):
            await read.call({"id": listed["subject"]})

    ran = await inside(work, listing, read)
    assert ran.error is None
    labels = [j.labels["id"][0] for j in ran.of(CallJudged) if j.tool == "mail_read"]
    assert labels == ["trusted", "untrusted"]


# -- sending -----------------------------------------------------------------------------------------------------------


async def test_a_mail_is_sent(server: Server, port: int) -> None:
    mail = Mail(sender=ME, sender_name="The Desk", smtp=plain(port))
    text = "Hällo\n.\n..\nFrom here\n" + "x" * 2000
    sent = await called(mail, "send", to=["ann@Example.org", "bob@example.org"], subject="Grüße €", body=text)
    to, message = server.only()
    assert to == ["ann@example.org", "bob@example.org"]
    assert (message["From"], message["To"]) == ("The Desk <desk@example.com>", "ann@example.org, bob@example.org")
    assert message["Subject"] == "Grüße €"
    assert message.get_payload(decode=True).decode().replace("\r\n", "\n") == text + "\n"  # type: ignore[union-attr]
    assert (message["Message-ID"], message["Auto-Submitted"]) == (sent["message_id"], "auto-generated")
    assert sent == {"message_id": sent["message_id"], "accepted": to, "refused": [], "kept": False}


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
async def test_a_mail_is_sent_over_tls_after_a_log_in(server: Server, authority: Path, tls: str) -> None:
    logins: list[Any] = []

    def check(_: SMTP, __: Session, ___: Envelope, mechanism: str, given: LoginPassword) -> AuthResult:
        logins.append(given)
        return AuthResult(success=(given.login, given.password) == (b"desk", PASSWORD.encode()), handled=False)

    options: dict[str, Any] = {"authenticator": check}
    if tls == "starttls":
        options |= {"tls_context": context_of(authority), "require_starttls": True, "auth_required": True}
    else:
        options |= {"ssl_context": context_of(authority), "auth_require_tls": False}
    kind = {"host": "localhost", "tls": tls, "ca": authority / "cert.pem", "user": "desk"}
    with serving(server, **options) as port:
        smtp = Smtp(**kind, port=port, password=SecretStr(PASSWORD))  # type: ignore[arg-type]
        await called(Mail(sender=ME, smtp=smtp), "send", to=["ann@example.org"], subject="s", body="b")
        wrong = Smtp(**kind, port=port, password=SecretStr("wrong-password"))  # type: ignore[arg-type]
        with pytest.raises(ToolRefusal, match="refused user or password") as caught:
            await called(Mail(sender=ME, smtp=wrong), "send", to=["ann@example.org"], subject="s", body="b")
    assert server.only()[0] == ["ann@example.org"]
    assert len(logins) >= 2
    assert "wrong-password" not in f"{caught.value}{wrong!r}"


def test_a_server_without_tls_gets_nothing(server: Server, port: int, authority: Path) -> None:
    smtp = Smtp(host="localhost", port=port, ca=authority / "cert.pem", user="desk", password=SecretStr(PASSWORD))
    with pytest.raises(ToolRefusal, match="does not offer"):
        outgoing(smtp).send("k", ["ann@example.org"], "s", "b")
    assert server.mails == []


@pytest.mark.parametrize("more", [{}, {"host": "127.0.0.1"}])
def test_a_certificate_that_is_not_trusted_or_of_another_host_ends_it(
    server: Server, authority: Path, more: dict[str, str]
) -> None:
    trusted = {"ca": authority / "cert.pem"} if more else {}
    with serving(server, tls_context=context_of(authority), require_starttls=True) as port:
        smtp = Smtp(**{"host": "localhost", "port": port, **trusted, **more})  # type: ignore[arg-type]
        with pytest.raises(ToolRefusal, match="certificate is not trusted"):
            outgoing(smtp).send("k", ["ann@example.org"], "s", "b")
    assert server.mails == []


async def test_recipients_that_the_server_refuses_are_told_and_the_others_get_it(server: Server, port: int) -> None:
    server.refused = {"bob@example.org": "550 no such user", "cem@example.org": "452 full"}
    mail = Mail(sender=ME, smtp=plain(port))
    sent = await called(
        mail, "send", to=["ann@example.org", "bob@example.org", "cem@example.org"], subject="s", body="b"
    )
    assert sent["accepted"] == server.only()[0] == ["ann@example.org"]
    assert sent["refused"] == [
        {"address": "bob@example.org", "code": 550},
        {"address": "cem@example.org", "code": 452},
    ]


class RefusesTexts(SMTP):
    """A server that takes no text."""

    async def smtp_DATA(self, arg: str) -> None:
        """Refuse it."""
        await self.push("554 no")


class AnswersStrangely(SMTP):
    """A server that says yes before it has got anything."""

    async def smtp_DATA(self, arg: str) -> None:
        """Say yes."""
        await self.push("250 yes")


def test_what_the_server_refuses_was_not_sent(server: Server, tmp_path: Path) -> None:
    with serving(server) as port:
        server.refused = {"ann@example.org": "550 no"}
        with pytest.raises(ToolRefusal, match=r"takes no mail for ann@example.org \(550\)"):
            outgoing(plain(port)).send("k", ["ann@example.org"], "s", "b")
        server.refused = {}
        server.dies_at = "RCPT"
        with pytest.raises(ToolRefusal, match="nothing was sent"):
            outgoing(plain(port)).send("k", ["ann@example.org"], "s", "b")
        server.dies_at, server.answer = "", "554 no such text here"
        with pytest.raises(ToolRefusal, match=r"refused the mail \(554\)"):
            outgoing(plain(port)).send("k", ["ann@example.org"], "s", "b")
    with serving(server, RefusesTexts) as port, pytest.raises(ToolRefusal, match=r"refused the mail \(554\)"):
        outgoing(plain(port)).send("k", ["ann@example.org"], "s", "b")
    with serving(server, data_size_limit=100) as port, pytest.raises(ToolRefusal, match=r"552"):
        outgoing(plain(port)).send("k", ["ann@example.org"], "s", "b")
    with pytest.raises(ToolRefusal, match="nothing was sent"):  # nobody listens there any more
        outgoing(plain(port)).send("k", ["ann@example.org"], "s", "b")


@pytest.mark.parametrize("dies_at", ["DATA", "answer"])
def test_a_server_that_is_gone_after_the_text_leaves_the_outcome_open(server: Server, port: int, dies_at: str) -> None:
    server.dies_at = dies_at
    with pytest.raises(MailFailed, match="not known whether"):
        outgoing(plain(port, timeout=1.5)).send("k", ["ann@example.org"], "s", "b")
    assert len(server.mails) == 1


def test_an_answer_that_is_none_leaves_the_outcome_open(server: Server) -> None:
    with serving(server, AnswersStrangely) as port, pytest.raises(MailFailed, match="neither yes nor no"):
        outgoing(plain(port)).send("k", ["ann@example.org"], "s", "b")


async def test_an_open_outcome_is_on_record_as_that(server: Server, port: int) -> None:
    server.dies_at = "DATA"
    tool = tool_of(Mail(sender=ME, smtp=plain(port)), "send")
    ran = await inside(lambda: tool.call({"to": ["ann@example.org"], "subject": "s", "body": "b"}), tool)
    assert isinstance(ran.error, ToolFailed)
    assert [failed.unknown for failed in ran.of(EffectFailed)] == [True]


@pytest.mark.parametrize("text", NO_ADDRESSES)
def test_nothing_is_sent_to_what_is_no_address(server: Server, text: str) -> None:
    mail = Mail(sender=ME, smtp=plain(1))
    with pytest.raises(ToolRefusal, match="recipient 1"):
        mail._checked([text])


@pytest.mark.parametrize(
    ("to", "why"),
    [
        ([], "0 recipients"),
        (["a@example.org"] * 2, "twice"),
        (["a@example.org", "A@EXAMPLE.org"], "twice"),
        ([f"a{i}@example.org" for i in range(11)], "11 recipients"),
        (["a@example.net"], "may be written to"),
        (["a@example.org.evil.example"], "may be written to"),
    ],
)
async def test_recipients_that_are_refused_are_denied_before_anybody_is_asked(to: list[str], why: str) -> None:
    ask = PERMIT_ALL + (
        '@id("ask") @obligation("ask") @approver("a") @reason("r") forbid(principal, action, resource) '
        'unless { context.approvals.contains("ask") };'
    )
    tool = tool_of(Mail(sender=ME, smtp=plain(1), recipients=("*@example.org",)), "send")
    ran = await inside(lambda: tool.call({"to": to, "subject": "s", "body": "b"}), tool, policy=ask)
    assert isinstance(ran.error, CallDenied)
    assert why in str(ran.error)
    assert not ran.of(EffectIntended)


@pytest.mark.parametrize(
    ("subject", "body"),
    [
        ("s\r\nBcc: eve@evil.example", "b"),
        ("s\nBcc: eve@evil.example", "b"),
        ("s\rX: y", "b"),
        ("s\0", "b"),
        ("s\u2028X: y", "b"),
        ("s\u202ey", "b"),
        ("\ud800", "b"),
        ("s\ty", "b"),
        ("x" * 301, "b"),
        ("s", "b\0"),
        ("s", "b\x1b[0m"),
        ("s", "a\r.\rb"),
        ("s", "\ud800"),
        ("s", "x" * 10_001),
    ],
)
def test_what_could_end_a_header_or_the_text_is_not_sent(server: Server, port: int, subject: str, body: str) -> None:
    with pytest.raises(ToolRefusal, match="nothing was sent"):
        outgoing(plain(port)).send("k", ["ann@example.org"], subject, body)
    assert server.mails == []


@given(st.text(max_size=300), st.text(max_size=300))
def test_no_subject_and_no_text_makes_another_header_or_another_mail(subject: str, body: str) -> None:
    try:
        raw = outgoing(plain(1)).message("k", ["ann@example.org"], subject, body)
    except ToolRefusal:
        return
    assert raw.isascii()
    assert b"\r" not in raw.replace(b"\r\n", b"")
    assert b"\n" not in raw.replace(b"\r\n", b"")
    found = email.message_from_bytes(raw, policy=default)
    fields = [
        "From",
        "To",
        "Subject",
        "Date",
        "Message-ID",
        "Auto-Submitted",
        "Content-Type",
        "Content-Transfer-Encoding",
    ]
    assert sorted(found.keys()) == sorted([*fields, "MIME-Version"])
    assert found["To"] == "ann@example.org"
    got = found.get_content().replace("\r\n", "\n")
    assert got in (body.replace("\r\n", "\n"), body.replace("\r\n", "\n") + "\n")


# -- copies, and what a crash leaves -----------------------------------------------------------------------------------


@pytest.fixture
def folders(maildir: Path) -> Folders:
    """Where copies are kept."""
    found = Folders(maildir=maildir, sent="Sent", outbox="Outbox")
    for name in ("Sent", "Outbox"):
        made_folder(maildir, name)
    return found


def lying(maildir: Path) -> tuple[int, int]:
    """How many mails lie among what was sent, and in the outbox."""
    store = Store(path=maildir, folders=("Sent", "Outbox"))
    return len(store.mails("Sent")), len(store.mails("Outbox"))


def test_the_message_id_comes_from_the_key_alone(server: Server, port: int) -> None:
    sends = outgoing(plain(port))
    first, again, other = (
        sends.send(key, ["ann@example.org"], "s", body, None) for key, body in [("k", "a"), ("k", "b"), ("l", "a")]
    )
    assert first["message_id"] == again["message_id"] != other["message_id"]
    assert [message["Message-ID"] for _, message in server.mails] == [
        first["message_id"],
        again["message_id"],
        other["message_id"],
    ]


def test_what_was_sent_is_found_by_its_key_as_it_was_told(server: Server, port: int, folders: Folders) -> None:
    server.refused = {"bob@example.org": "550 no"}
    sends = outgoing(plain(port), folders)
    many = [f"{'x' * 40}{i}@{'long-name-' * 4}x.example.org" for i in range(9)]
    sent = sends.send("k", ["ann@example.org", "bob@example.org", *many], "s", "b")
    assert sent["kept"] is True
    assert sends.found("k") == sent
    assert lying(folders.maildir) == (1, 0)
    assert sends.found("other") is None


def test_what_was_refused_is_not_found(server: Server, port: int, folders: Folders) -> None:
    server.answer = "554 no"
    sends = outgoing(plain(port), folders)
    with pytest.raises(ToolRefusal):
        sends.send("k", ["ann@example.org"], "s", "b")
    assert sends.found("k") is None
    assert lying(folders.maildir) == (0, 0)


def test_what_nobody_knows_lies_in_the_outbox_until_a_person_has_looked(
    server: Server, port: int, folders: Folders
) -> None:
    server.dies_at = "DATA"
    sends = outgoing(plain(port), folders)
    with pytest.raises(MailFailed):
        sends.send("k", ["ann@example.org"], "s", "b")
    assert lying(folders.maildir) == (0, 1)
    with pytest.raises(MailFailed, match="Outbox"):
        sends.found("k")
    [path] = (folders.maildir / ".Outbox" / "cur").iterdir()
    path.rename(folders.maildir / ".Sent" / "cur" / path.name)
    found = sends.found("k")
    assert found is not None
    assert found["accepted"] == ["ann@example.org"]


def test_what_cannot_be_noted_before_is_not_sent(server: Server, port: int, folders: Folders) -> None:
    for inner in ("cur", "new", "tmp"):
        (folders.maildir / ".Outbox" / inner).rmdir()
    with pytest.raises(ToolRefusal, match="could not be noted"):
        outgoing(plain(port), folders).send("k", ["ann@example.org"], "s", "b")
    assert server.mails == []


def test_a_copy_that_cannot_be_kept_fails_nothing(server: Server, port: int, folders: Folders) -> None:
    (folders.maildir / ".Sent" / "tmp").rmdir()
    sends = outgoing(plain(port), folders)
    assert sends.send("k", ["ann@example.org"], "s", "b")["kept"] is False
    with pytest.raises(MailFailed):  # until somebody has looked
        sends.found("k")


@pytest.mark.parametrize("dies_at", ["", "DATA"])
async def test_after_a_crash_nothing_is_sent_twice(server: Server, port: int, maildir: Path, dies_at: str) -> None:
    mail = Mail(sender=ME, smtp=plain(port), maildir=maildir, sent="Sent")
    call = Call("mail_send", {"to": ["ann@example.org"], "subject": "s", "body": "b"})
    ledger = FailingLedger(EffectDone, EffectFailed)
    system = on_ledger(with_model(plays([call]), tool_of(mail, "send")), ledger)
    server.dies_at = dies_at
    with pytest.raises(LedgerUnavailable):
        await system.arun({"text": "go"}, thread="t")
    ledger.kinds = ()
    if dies_at:
        with pytest.raises(MailFailed, match="Outbox"):
            await system.aresume("t")
        [path] = (maildir / ".Outbox" / "cur").iterdir()
        path.rename(maildir / ".Sent" / "cur" / path.name)  # a person found that it had arrived
    result = await system.aresume("t")
    assert result.status == "completed"
    assert result.output is not None
    assert "ann@example.org" in result.output["text"]
    assert server.only()[0] == ["ann@example.org"]


def test_only_with_copies_is_there_a_probe(maildir: Path) -> None:
    without = Mail(sender=ME, smtp=plain(1), maildir=maildir)
    assert [tool_of(without, s).spec.has_probe for s in ("send", "reply")] == [False, False]
    keeping = Mail(sender=ME, smtp=plain(1), maildir=maildir, sent="Sent")
    assert [tool_of(keeping, s).spec.has_probe for s in ("send", "reply")] == [True, True]
    assert (maildir / ".Sent" / "cur").is_dir()


# -- replying ----------------------------------------------------------------------------------------------------------


def replying(maildir: Path, port: int, **more: Any) -> Mail:
    return Mail(sender=ME, maildir=maildir, smtp=plain(port), **more)


async def answer(mail: Mail, body: str = "Thanks.") -> Any:
    [listed] = (await called(mail, "list"))["mails"]
    return await called(mail, "reply", id=listed["id"], body=body)


async def test_an_answer_goes_to_the_sender_alone(server: Server, port: int, maildir: Path) -> None:
    arrived(maildir, written(Subject="Re: RE: =?utf-8?q?Gr=C3=BC?=", Cc="eve@evil.example", To="desk@example.com"))
    sent = await answer(replying(maildir, port))
    to, message = server.only()
    assert to == sent["accepted"] == ["ann@example.org"]
    assert message["Cc"] is None
    assert (message["In-Reply-To"], message["References"]) == ("<a1@example.org>", "<a1@example.org>")
    assert (message["Subject"], message["Auto-Submitted"]) == ("Re: Grü", "auto-replied")


async def test_a_long_message_id_is_answered_as_it_is(server: Server, port: int, maildir: Path) -> None:
    long = f"<{'x' * 180}@example.org>"
    arrived(maildir, written(Message_ID=long))
    await answer(replying(maildir, port))
    assert server.only()[1]["In-Reply-To"] == long


@pytest.mark.parametrize(
    "message_id", ["<a b@c>", "no brackets", "<" + "x" * 500 + "@c>", "<a@b>\n Bcc: eve@evil.example"]
)
async def test_a_message_id_that_is_none_is_left_out(server: Server, port: int, maildir: Path, message_id: str) -> None:
    arrived(maildir, written(Message_ID=message_id))
    await answer(replying(maildir, port))
    assert server.only()[1]["In-Reply-To"] is None
    assert server.only()[1]["Bcc"] is None


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"Reply_To": "eve@evil.example"}, "another address"),
        ({"Reply_To": "Ann <eve@evil.example>"}, "another address"),
        ({"Reply_To": "ann@example.org, eve@evil.example"}, "another address"),
        ({"Reply_To": "nonsense"}, "another address"),
        ({"From": "ann@example.org, eve@evil.example"}, "one plain address"),
        ({"From": "ann@example.org <eve@evil.example>"}, "one plain address"),
        ({"From": "nonsense"}, "one plain address"),
        ({"From": "Eve <eve@evil.example>"}, "may be written to"),
    ],
)
async def test_a_mail_that_leads_an_answer_elsewhere_is_not_answered(
    server: Server, port: int, maildir: Path, fields: dict[str, str], why: str
) -> None:
    arrived(maildir, written(**fields))
    with pytest.raises(ToolRefusal, match=why):
        await answer(replying(maildir, port, recipients=("*@example.org",)))
    assert server.mails == []


async def test_a_reply_to_that_is_the_sender_is_no_other(server: Server, port: int, maildir: Path) -> None:
    arrived(maildir, written(Reply_To="Ann Lee <ANN@Example.org>"))
    await answer(replying(maildir, port))
    assert server.only()[0] == ["ann@example.org"]


async def test_policy_reads_who_is_to_be_answered(server: Server, port: int, maildir: Path) -> None:
    known = (
        '@id("read") permit(principal, action == Action::"call:mail_list", resource);'
        '@id("known") permit(principal, action == Action::"call:mail_reply", resource) when '
        "{ context.facts.sender_known && !context.facts.reply_to_differs };"
    )
    arrived(maildir, written(), "1")
    arrived(maildir, written(From="Eve <eve@evil.example>"), "2")
    arrived(maildir, written(Reply_To="eve@evil.example"), "3")
    mail = replying(maildir, port, known=("*@example.org",))
    listing, reply = tool_of(mail, "list"), tool_of(mail, "reply")

    async def work() -> list[str]:
        found = []
        for listed in (await listing.call({}))["mails"]:
            try:
                found.extend((await reply.call({"id": listed["id"], "body": "b"}))["accepted"])
            except CallDenied as error:
                found.append(f"denied {error.rules}")
        return found

    ran = await inside(work, listing, reply, policy=known)
    assert sorted(ran.value) == ["ann@example.org", "denied ('default deny',)", "denied ('default deny',)"]


async def test_policy_reads_who_is_written_to(server: Server, port: int) -> None:
    rule = (
        '@id("house") permit(principal, action == Action::"call:mail_send", resource) when '
        '{ ["example.org"].containsAll(context.facts.domains) || context.facts.all_known };'
    )
    tool = tool_of(Mail(sender=ME, smtp=plain(port), known=("bob@example.net",)), "send")
    for to, passes in (
        (["ann@EXAMPLE.org"], True),
        (["bob@example.net"], True),
        (["ann@example.org", "c@example.net"], False),
    ):
        ran = await inside(lambda to=to: tool.call({"to": to, "subject": "s", "body": "b"}), tool, policy=rule)  # type: ignore[misc]
        assert isinstance(ran.error, CallDenied) is not passes


# -- declarations ------------------------------------------------------------------------------------------------------


def test_the_tools_say_what_they_are(maildir: Path) -> None:
    mail = Mail(name="desk", sender=ME, smtp=plain(1), maildir=maildir)
    told = {t.name: (t.spec.effect, t.spec.output, t.spec.sensitivity, t.spec.sink) for t in mail.tools()}
    reads, sends = ("read", "untrusted", "personal", False), ("irreversible", "untrusted", "personal", True)
    assert told == {"desk_list": reads, "desk_read": reads, "desk_send": sends, "desk_reply": sends}
    assert dict(tool_of(mail, "send").spec.roles) == {"to": "target", "subject": "content", "body": "content"}
    assert [t.name for t in Mail(sender=ME, smtp=plain(1)).tools()] == ["mail_send"]
    assert [t.name for t in Mail(sender=ME, maildir=maildir).tools()] == ["mail_list", "mail_read"]


def test_secrets_are_in_no_representation() -> None:
    smtp = Smtp(host="mail.example.com", user="desk", password=SecretStr(PASSWORD))
    mail = Mail(sender=ME, smtp=smtp)
    assert PASSWORD not in f"{smtp!r}{mail!r}{mail._outgoing!r}{[t.spec for t in mail.tools()]}"


@pytest.mark.parametrize(
    ("smtp", "fault"),
    [
        ({"tls": "none"}, "without TLS"),
        ({"tls": "none", "insecure": True}, "without TLS"),
        ({"tls": "none", "host": "127.0.0.1"}, "without TLS"),
        ({"tls": "none", "host": "127.0.0.1.evil.example", "insecure": True}, "without TLS"),
        ({"tls": "ssl"}, "is none of"),
        ({"host": ""}, "no host"),
        ({"port": 0}, "port"),
        ({"user": "a"}, "belong together"),
        ({"password": SecretStr("a")}, "belong together"),
        ({"timeout": 0}, "timeout"),
        ({"ca": Path("/no/such/file")}, "ca "),
        ({"ca": Path("/etc/passwd")}, "ca "),
    ],
)
def test_a_server_that_cannot_be_right_is_refused(smtp: dict[str, Any], fault: str) -> None:
    with pytest.raises(ToolInvalid, match=fault):
        Mail(sender=ME, smtp=Smtp(**{"host": "mail.example.com", **smtp}))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_without_tls_only_the_loopback_is_allowed_and_only_if_it_is_meant(host: str) -> None:
    Mail(sender=ME, smtp=Smtp(host=host, tls="none", insecure=True))


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        ({"name": "My Mail"}, "its name"),
        ({"sender": "Desk <desk@example.com>"}, "sender"),
        ({"sender_name": "a\nb"}, "sender_name"),
        ({"smtp": None}, "neither"),
        ({"maildir": Path("/usr")}, "no Maildir"),
        ({"sent": "Sent"}, "there is none"),
        ({"recipients": "*@example.com"}, "is a tuple"),
        ({"recipients": ("*",)}, "recipients"),
        ({"known": ("nobody",)}, "known"),
        ({"max_bytes": 0}, "max_bytes"),
    ],
)
def test_a_mailbox_that_cannot_be_right_is_refused(given: dict[str, Any], fault: str) -> None:
    with pytest.raises(ToolInvalid, match=fault):
        Mail(**{"sender": ME, "smtp": plain(1), **given})


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        ({"folders": ()}, "at least one"),
        ({"folders": "INBOX"}, "at least one"),
        ({"folders": ("INBOX", "Nope")}, "no folder 'Nope'"),
        ({"folders": ("../mail",)}, "no folder"),
        ({"sent": "../Sent"}, "cannot be kept"),
        ({"sent": "INBOX"}, "cannot be kept"),
        ({"sent": "Sent", "outbox": "Sent"}, "two folders"),
    ],
)
def test_folders_that_cannot_be_right_are_refused(maildir: Path, given: dict[str, Any], fault: str) -> None:
    with pytest.raises(ToolInvalid, match=fault):
        Mail(**{"sender": ME, "maildir": maildir, **given})

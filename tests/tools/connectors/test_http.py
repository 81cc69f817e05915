"""HTTP against real servers on loopback: where requests go, what they carry, and what of an answer gets in."""

from __future__ import annotations

import asyncio
import base64
import datetime
import gzip
import json
import socket
import ssl
import threading
import tracemalloc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache, partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from edgewright.contracts.errors import CallDenied, HttpFailed, ToolFailed, ToolInvalid, ToolRefusal, UrlRefused
from edgewright.ledger.records import CallJudged, EffectFailed, EffectIntended, EffectRefused
from edgewright.tools.connectors.exchange import Answer, Request, exchange
from edgewright.tools.connectors.hosts import canonical_url
from edgewright.tools.connectors.http import Http
from edgewright.tools.sealed import SealedTool
from pydantic import SecretStr
from support.systems import PERMIT_ALL, inside, plays, with_model

LOOPBACK = "127.0.0.0/8"
CANARY = "canary-5f2d9c1b7a"


@lru_cache(maxsize=1)
def bomb() -> bytes:
    """A hundred megabytes, packed."""
    return gzip.compress(bytes(100_000_000), 1)


class House:
    """A server: what it was asked, and what it waits for before it lets a slow answer go on."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.requests: list[tuple[str, str, dict[str, str], bytes]] = []
        self.asked, self.released = threading.Event(), threading.Event()

    @property
    def paths(self) -> list[str]:
        return [path for _, path, _, _ in self.requests]

    def url(self, path: str, host: str = "api.example.com", scheme: str = "http") -> str:
        return f"{scheme}://{host}:{self.port}{path}"


def _answers(house: House) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            size = int(self.headers.get("content-length") or 0)
            body = self.rfile.read(size)
            headers = {k.lower(): v for k, v in self.headers.items()}
            house.requests.append((self.command, self.path, headers, body))
            house.asked.set()
            split = urlsplit(self.path)
            query = {k: v[0] for k, v in parse_qs(split.query).items()}
            getattr(self, "do_" + split.path.strip("/").split("/")[0], self.do_text)(query, headers, body)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _answer

        def _say(self, status: int, body: bytes, **more: str) -> None:
            self.send_response(status)
            for name, value in {"content_type": "text/plain", "content_length": str(len(body)), **more}.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            self.wfile.write(body)

        def do_text(self, query: dict[str, str], headers: dict[str, str], body: bytes) -> None:
            self._say(200, b"hello")

        def do_echo(self, query: dict[str, str], headers: dict[str, str], body: bytes) -> None:
            self._say(
                200, json.dumps({"headers": headers, "body": body.decode()}).encode(), content_type="application/json"
            )

        def do_encoded(self, query: dict[str, str], headers: dict[str, str], body: bytes) -> None:
            given = headers.get("authorization", "")
            forms = [base64.b64encode(given.encode()).decode(), quote(given), given[::-1], given.upper(), given]
            self._say(int(query.get("status", 200)), "\n".join(forms).encode())

        def do_status(self, query: dict[str, str], headers: dict[str, str], body: bytes) -> None:
            self._say(int(query["code"]), b"because " * 200)

        def do_redirect(self, query: dict[str, str], headers: dict[str, str], body: bytes) -> None:
            to = query["to"] + headers.get("authorization", "") * ("leak" in query)
            self._say(int(query.get("code", 302)), b"moved", location=to)

        def do_loop(self, query: dict[str, str], headers: dict[str, str], body: bytes) -> None:
            self._say(302, b"", location="/loop")

        def do_raw(self, query: dict[str, str], headers: dict[str, str], body: bytes) -> None:
            self._say(200, bytes.fromhex(query["hex"]), content_type=query.get("type", ""))

        def do_packed(self, query: dict[str, str], headers: dict[str, str], body: bytes) -> None:
            packed = gzip.compress(b"one ") + gzip.compress(b"two")
            self._say(200, packed[: int(query.get("upto", 1000))], content_encoding=query.get("as", "gzip"))

        def do_big(self, query: dict[str, str], headers: dict[str, str], body: bytes) -> None:
            self.send_response(200)
            self.send_header("content-type", "text/plain")
            self.send_header("transfer-encoding", "chunked")
            self.end_headers()
            part = (query.get("of", "x") * 4096).encode()
            try:
                while True:  # without an end: only the reader can stop it
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
            except OSError:
                house.requests.append(("", "left", {}, b""))
                self.close_connection = True

        def do_bomb(self, query: dict[str, str], headers: dict[str, str], body: bytes) -> None:
            self._say(200, bomb(), content_encoding="gzip")

        def do_members(self, query: dict[str, str], headers: dict[str, str], body: bytes) -> None:
            self._say(200, gzip.compress(b"") * 4000, content_encoding="gzip")

        def do_slow(self, query: dict[str, str], headers: dict[str, str], body: bytes) -> None:
            if query["where"] == "head":
                house.released.wait(30)
            self.send_response(200)
            self.send_header("content-type", "text/plain")
            self.send_header("content-length", "100")
            self.end_headers()
            self.wfile.write(b"half ")
            house.released.wait(30)
            self.close_connection = True

        def do_garbage(self, query: dict[str, str], headers: dict[str, str], body: bytes) -> None:
            self.wfile.write(b"HTTP/1.1 200 OK\r\n" + headers["authorization"].encode() + b"\r\n\r\n")
            self.close_connection = True

        def do_die(self, query: dict[str, str], headers: dict[str, str], body: bytes) -> None:
            self.close_connection = True
            if query.get("where") == "body":
                self.send_response(201)
                self.send_header("content-type", "text/plain")
                self.send_header("content-length", "100")
                self.end_headers()
                self.wfile.write(b"half ")

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing is printed."""

    return Handler


class _Quiet(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is what some tests are about."""


@contextmanager
def serving(address: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> Iterator[House]:
    house = House(0)
    server = _Quiet((address, 0), _answers(house))
    house.port = server.server_address[1]
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield house
    finally:
        house.released.set()
        server.shutdown()
        server.server_close()
        thread.join(10)


@pytest.fixture
def house() -> Iterator[House]:
    with serving() as found:
        yield found


class Names:
    """Names as a test has them: each look-up of a host gives its next answer, and the last one from then on."""

    def __init__(self, **hosts: Sequence[Sequence[str]]) -> None:
        self.hosts = {name.replace("_", "."): list(answers) for name, answers in hosts.items()}
        self.asked: list[str] = []

    async def resolve(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        answers = self.hosts.get(host)
        if not answers:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return answers.pop(0) if len(answers) > 1 else answers[0]


HERE = [["127.0.0.1"]]


def http(house: House, **more: Any) -> Http:
    names = more.pop("names", None) or Names(api_example_com=HERE, other_example_com=HERE)
    given: dict[str, Any] = {
        "hosts": ("api.example.com",),
        "https_only": False,
        "ports": (house.port,),
        "private": (LOOPBACK,),
        "resolver": names,
        "timeout": 10.0,
        **more,
    }
    return Http(**given)


async def ask(made: Http, url: str, method: str = "GET", body: bytes | None = None, **more: Any) -> Answer:
    request = Request(method=method, url=canonical_url(url), changes=method != "GET", body=body, **more)
    return await asyncio.wait_for(exchange(made.reach, request), 30)


# -- where a request goes --------------------------------------------------------------------------------------------


async def test_a_url_on_the_list_is_fetched(house: House) -> None:
    answer = await ask(http(house), house.url("/text?x=1"))
    assert (answer.status, answer.text, answer.cut, answer.note) == (200, "hello", False, "")
    [(_, path, headers, _)] = house.requests
    assert path == "/text?x=1"
    assert headers["host"] == f"api.example.com:{house.port}"


@pytest.mark.parametrize(
    "url",
    [
        *(
            "http://other.example.com:PORT/",
            "http://127.0.0.1:PORT/",
            "http://2130706433:PORT/",
            "http://localhost:PORT/",
        ),
        *("http://api.example.com/", "http://api.example.com:22/", "http://a.api.example.com:PORT/"),
        *("http://api.example.com.evil.com:PORT/", "http://[::ffff:127.0.0.1]:PORT/", "http://аpi.example.com:PORT/"),
    ],
)
async def test_a_url_that_is_not_on_the_list_is_refused_before_its_name_is_looked_up(house: House, url: str) -> None:
    names = Names(api_example_com=HERE)
    with pytest.raises(UrlRefused):
        await ask(http(house, names=names), url.replace("PORT", str(house.port)))
    assert not names.asked
    assert not house.requests


@pytest.mark.parametrize("url", ["http://API.example.com.:PORT/text", "http://\uff41pi.example.com:PORT/text"])
async def test_another_spelling_of_an_allowed_host_is_that_host(house: House, url: str) -> None:
    await ask(http(house), url.replace("PORT", str(house.port)))
    assert house.requests[0][2]["host"] == f"api.example.com:{house.port}"


async def test_http_is_refused_unless_it_is_opened(house: House) -> None:
    with pytest.raises(UrlRefused, match="only https"):
        await ask(http(house, https_only=True), house.url("/text"))


@pytest.mark.parametrize("private", [False, ("10.0.0.0/8",)])
@pytest.mark.parametrize(
    "addresses",
    [
        *(["127.0.0.1"], ["93.184.216.34", "127.0.0.1"], ["127.0.0.1", "93.184.216.34"], ["::1"], ["::ffff:127.0.0.1"]),
        *(["169.254.169.254"], ["64:ff9b::7f00:1"], ["0.0.0.0"], ["192.168.0.1"], ["fe80::1%1"], ["fd00:ec2::254"]),
    ],
)
async def test_a_name_of_which_any_address_may_not_be_called_is_refused(
    house: House, addresses: list[str], private: bool | tuple[str, ...]
) -> None:
    names = Names(api_example_com=[addresses])
    with pytest.raises(UrlRefused, match="stands for"):
        await ask(http(house, names=names, private=private), house.url("/text"))
    assert not house.requests


@pytest.mark.parametrize("answers", [[[]], [["no address"]], []])
async def test_a_name_without_a_usable_address_is_refused(house: House, answers: list[list[str]]) -> None:
    with pytest.raises(UrlRefused):
        await ask(http(house, names=Names(api_example_com=answers)), house.url("/text"))


async def test_the_checked_address_is_connected_to_and_no_name_is_looked_up_again(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[Any] = []
    real = socket.getaddrinfo

    def watched(host: Any, *args: Any, **kwargs: Any) -> Any:
        looked.append(host)
        return real(host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", watched)
    # Rebinding: from the second look-up on, the name stands for what may not be called.
    names = Names(api_example_com=[["127.0.0.1"], ["169.254.169.254"]])
    made = http(house, names=names)
    assert (await ask(made, house.url("/text"))).text == "hello"
    assert names.asked == ["api.example.com"]
    assert {str(h) for h in looked} <= {"127.0.0.1"}
    with pytest.raises(UrlRefused, match="metadata"):
        await ask(made, house.url("/text"))
    assert len(house.requests) == 1


async def test_the_next_checked_address_is_tried_where_one_takes_no_connection(house: House) -> None:
    names = Names(api_example_com=[["127.0.0.2", "127.0.0.1"]])
    assert (await ask(http(house, names=names), house.url("/text"))).text == "hello"


async def test_the_systems_resolver_is_the_default_and_its_addresses_are_checked(house: House) -> None:
    given: dict[str, Any] = {"hosts": ("localhost",), "https_only": False, "ports": (house.port,)}
    with pytest.raises(UrlRefused, match="private address"):
        await ask(Http(**given), house.url("/text", "localhost"))
    assert (await ask(Http(private=True, **given), house.url("/text", "localhost"))).text == "hello"


async def test_an_address_may_be_on_the_list_itself(house: House) -> None:
    made = http(house, hosts=("127.0.0.1",))
    assert (await ask(made, house.url("/text", "0x7f.1"))).text == "hello"
    assert house.requests[0][2]["host"] == f"127.0.0.1:{house.port}"


async def test_nothing_of_the_environment_is_used(
    house: House, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text(
        f"machine api.example.com login me password {CANARY}\nmachine 127.0.0.1 login me password {CANARY}\n"
    )
    monkeypatch.setenv("NETRC", str(netrc))
    with serving() as proxy:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        await ask(http(house), house.url("/text"))
        assert not proxy.requests
    assert "authorization" not in house.requests[0][2]


# -- redirects -------------------------------------------------------------------------------------------------------


async def test_a_redirect_to_an_allowed_place_is_followed_and_checked(house: House) -> None:
    names = Names(api_example_com=HERE)
    answer = await ask(http(house, names=names), house.url("/redirect?to=/text"))
    assert (answer.text, str(answer.url)) == ("hello", house.url("/text"))
    assert names.asked == ["api.example.com"] * 2


@pytest.mark.parametrize(
    "to",
    [
        *("http://127.0.0.1:PORT/text", "http://169.254.169.254/", "http://[::1]:PORT/", "//evil.com/", "ftp://a.com/"),
        *("http://api.example.com:22/", "http://u:p@api.example.com:PORT/", "http://other.example.com:PORT/text"),
        *("http:\\\\127.0.0.1:PORT/", "file:///etc/passwd", "http://0x7f.1:PORT/text"),
    ],
)
async def test_a_redirect_to_what_may_not_be_called_is_refused(house: House, to: str) -> None:
    to = quote(to.replace("PORT", str(house.port)), safe="")
    with pytest.raises(HttpFailed, match="redirects"):
        await ask(http(house), house.url(f"/redirect?to={to}"))
    assert len(house.requests) == 1


async def test_a_redirect_to_a_name_that_stands_for_a_private_address_is_refused(house: House) -> None:
    names = Names(api_example_com=[["127.0.0.1"], ["10.0.0.1"]])
    with pytest.raises(HttpFailed, match="private address"):
        await ask(http(house, names=names), house.url("/redirect?to=/text"))
    assert len(house.requests) == 1


@pytest.mark.parametrize("most", [0, 3])
async def test_no_more_redirects_are_followed_than_allowed(house: House, most: int) -> None:
    with pytest.raises(HttpFailed, match=f"more than {most} times"):
        await ask(http(house, redirects=most), house.url("/loop"))
    assert len(house.requests) == most + 1


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
async def test_what_changes_something_follows_no_redirect_and_says_so(house: House, code: int) -> None:
    made = http(house, methods=("POST",))
    answer = await ask(made, house.url(f"/redirect?code={code}&to=/text"), "POST", b"{}")
    assert (answer.status, answer.note) == (code, "it redirects to /text, which was not followed")
    assert len(house.requests) == 1


async def test_a_get_that_may_change_something_follows_none_either(house: House) -> None:
    request = Request(method="GET", url=canonical_url(house.url("/redirect?to=/text")), changes=True)
    answer = await exchange(http(house).reach, request)
    assert answer.status == 302
    assert len(house.requests) == 1


# -- headers and secrets ---------------------------------------------------------------------------------------------


def _with_key(house: House, **more: Any) -> Http:
    return http(house, **{"headers": {"Authorization": SecretStr(f"Bearer {CANARY}")}, **more})


async def test_configured_headers_go_to_their_host_and_to_no_other(house: House) -> None:
    made = _with_key(house, hosts=("api.example.com", "other.example.com"), headers_to="api.example.com")
    other = house.url("/text", "other.example.com")
    await ask(made, house.url("/redirect?to=" + quote(other, safe="")))
    await ask(made, other)
    first, second, third = (headers for _, _, headers, _ in house.requests)
    assert first["authorization"] == f"Bearer {CANARY}"
    assert "authorization" not in second
    assert "authorization" not in third
    assert CANARY not in json.dumps([second, third])


async def test_configured_headers_are_not_sent_in_clear_over_a_public_network(house: House) -> None:
    names = Names(api_example_com=[["93.184.216.34"]])
    with pytest.raises(UrlRefused, match="in clear"):
        await ask(_with_key(house, names=names), house.url("/text"))


async def test_headers_for_one_of_several_hosts_need_to_say_which(house: House) -> None:
    for hosts in (("api.example.com", "other.example.com"), ("*.example.com",)):
        with pytest.raises(ToolInvalid, match="headers_to"):
            _with_key(house, hosts=hosts)
        _with_key(house, hosts=hosts, headers_to="api.example.com")
    with pytest.raises(ToolInvalid, match="none of the hosts"):
        _with_key(house, headers_to="evil.com")


@pytest.mark.parametrize("path", ["/echo", "/encoded"])
async def test_a_secret_that_comes_back_is_cut_out_in_every_encoding(house: House, path: str) -> None:
    answer = await ask(_with_key(house), house.url(path))
    assert "[secret]" in answer.text
    assert house.requests[0][2]["authorization"] == f"Bearer {CANARY}"
    _no_canary(answer.text)


def _no_canary(text: str) -> None:
    low = text.lower()
    encoded = base64.b64encode(f"Bearer {CANARY}".encode()).decode().lower()
    assert CANARY not in low
    assert CANARY[::-1] not in low
    assert encoded[8:24] not in low


async def test_a_secret_is_cut_out_of_errors_redirects_and_refusals(house: House) -> None:
    made = _with_key(house, methods=("GET", "POST"))
    with pytest.raises(HttpFailed) as failed:
        await ask(made, house.url("/encoded?status=500"))
    _no_canary(str(failed.value))
    with pytest.raises(HttpFailed, match="secret") as failed:  # the library says what it could not read
        await ask(made, house.url("/garbage"))
    _no_canary(str(failed.value))
    with pytest.raises(ToolRefusal) as refused:
        await ask(made, house.url("/encoded?status=400"), "POST")
    _no_canary(str(refused.value))


@pytest.mark.parametrize("to", ["http://evil.com/?t=", "/text?t=", "/text?" + "a" * 90])
async def test_a_redirect_that_holds_a_secret_is_not_followed(house: House, to: str) -> None:
    made = _with_key(house, methods=("GET", "POST"))
    for method in ("GET", "POST"):
        answer = await ask(made, house.url(f"/redirect?leak=1&to={quote(to)}"), method)
        assert answer.status == 302
        assert answer.note.endswith("which was not followed")
        _no_canary(answer.note + answer.text)
        assert "canar" not in answer.note
    assert len(house.requests) == 2


async def test_a_secret_is_cut_out_where_an_answer_is_cut(house: House) -> None:
    for size in range(2000, 2018):
        made = _with_key(house, max_bytes=size)
        answer = await ask(made, house.url(f"/big?of={CANARY}"))
        assert answer.cut
        assert "canar" not in answer.text


async def test_basic_credentials_are_cut_out_decoded_too(house: House) -> None:
    value = "Basic " + base64.b64encode(f"me:{CANARY}".encode()).decode()
    made = http(house, headers={"Authorization": value})
    answer = await ask(made, house.url("/raw?type=text/plain&hex=" + f"password {CANARY}!".encode().hex()))
    assert answer.text == "password [secret]!"


def test_no_secret_is_in_what_a_configuration_shows(house: House) -> None:
    made = http(house, headers={"Authorization": f"Bearer {CANARY}", "X-Api-Key": SecretStr(CANARY)})
    told = [repr(made), str(made), repr(made.reach), made.terms, *(repr(t) + repr(t.spec) for t in made.tools())]
    assert CANARY not in "".join(told)


def test_plain_headers_are_no_secrets(house: House) -> None:
    made = http(house, headers={"Accept-Language": "en-GB", "User-Agent": "house/1.0"})
    assert made.reach.cleaned("en-GB house/1.0") == "en-GB house/1.0"


# -- what gets in ----------------------------------------------------------------------------------------------------


async def test_an_answer_without_an_end_is_cut_with_a_mark(house: House) -> None:
    answer = await ask(http(house, max_bytes=1000), house.url("/big"))
    assert answer.text == "x" * 1000 + "\n[cut: only the first 1000 bytes are shown]"
    assert (answer.cut, answer.note) == (True, "[cut: only the first 1000 bytes are shown]")


async def test_an_answer_is_cut_between_characters(house: House) -> None:
    answer = await ask(http(house, max_bytes=1001), house.url("/big?of=%C3%A9"))
    assert answer.text.partition("\n")[0] == "é" * 500


async def test_what_unpacks_to_more_than_is_allowed_is_never_unpacked(house: House) -> None:
    made = http(house, max_bytes=10_000)
    bomb()  # packed in this process too, before anything is measured
    tracemalloc.start()
    try:
        answer = await ask(made, house.url("/bomb"))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 5_000_000
    assert answer.cut
    assert len(answer.text) < 10_100


async def test_packed_members_without_a_content_are_read_up_to_the_limit_only(house: House) -> None:
    answer = await ask(http(house, max_bytes=10_000), house.url("/members"))
    assert answer.cut
    assert answer.text.startswith("\n[cut")


async def test_a_packed_answer_is_unpacked(house: House) -> None:
    assert (await ask(http(house), house.url("/packed"))).text == "one two"


@pytest.mark.parametrize("encoding", ["br", "zstd", "compress", "gzip, gzip", "gzip;q=1"])
async def test_an_answer_packed_in_another_way_is_left_out_and_says_so(house: House, encoding: str) -> None:
    answer = await ask(http(house), house.url(f"/packed?as={quote(encoding)}"))
    assert (answer.text, answer.note) == ("", "the text was left out: its encoding is none that is read")


@pytest.mark.parametrize("query", ["upto=10", "upto=40", "as=deflate&upto=5"])
async def test_an_answer_that_cannot_be_unpacked_is_a_failure(house: House, query: str) -> None:
    with pytest.raises(HttpFailed, match="cannot be unpacked"):
        await ask(http(house), house.url(f"/packed?{query}"))


@pytest.mark.parametrize(
    "kind", ["image/png", "application/octet-stream", "text", "", "text/html\x01", "multipart/mixed"]
)
async def test_a_content_type_that_is_not_declared_is_left_out_and_says_so(house: House, kind: str) -> None:
    answer = await ask(http(house), house.url(f"/raw?hex=00ff&type={quote(kind)}"))
    assert answer.text == ""
    assert answer.note.startswith("the text was left out")


@pytest.mark.parametrize(
    ("kind", "raw", "text"),
    [
        ("text/plain", "é".encode(), "é"),
        ("TEXT/Plain; Charset=ISO-8859-1", b"\xe9", "é"),
        ('text/plain; charset="windows-1252"', b"\x80", "€"),
        ("text/plain; charset=utf-16", "é".encode("utf-16"), "é"),
        ("text/plain; charset=utf-7", b"+AOk-", "+AOk-"),
        ("text/plain; charset=punycode", b"a-b", "a-b"),
        ("text/plain; charset=zlib", b"x", "x"),
        ("text/plain; charset=nonsense", b"x\xff", "x\ufffd"),
        ("application/problem+json", b"{}", "{}"),
        ("text/plain", b"\xef\xbb\xbfx", "x"),
    ],
)
async def test_a_text_is_decoded_by_its_charset_and_what_is_none_shows(
    house: House, kind: str, raw: bytes, text: str
) -> None:
    answer = await ask(http(house), house.url(f"/raw?hex={raw.hex()}&type={quote(kind)}"))
    assert answer.text == text


@pytest.mark.parametrize("where", ["head", "body"])
async def test_a_slow_answer_is_given_up(house: House, where: str) -> None:
    with pytest.raises(HttpFailed, match="took too long"):
        await ask(http(house, timeout=0.3), house.url(f"/slow?where={where}"))


@pytest.mark.parametrize("where", ["head", "body"])
async def test_an_answer_that_breaks_off_is_a_failure(house: House, where: str) -> None:
    with pytest.raises(HttpFailed, match="RemoteProtocolError"):
        await ask(http(house), house.url(f"/die?where={where}"))


async def test_a_slow_look_up_is_given_up_and_nothing_was_sent(house: House) -> None:
    class Never:
        async def resolve(self, host: str, port: int) -> Sequence[str]:
            await asyncio.Event().wait()
            return ()

    with pytest.raises(ToolRefusal, match="nothing was sent"):
        await ask(http(house, names=Never(), timeout=0.1), house.url("/text"))


# -- what may have changed something ---------------------------------------------------------------------------------


async def test_a_server_that_cannot_be_reached_was_sent_nothing() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        closed = House(taken.getsockname()[1])
        with pytest.raises(ToolRefusal, match="nothing was sent"):
            await ask(http(closed, methods=("POST",)), closed.url("/echo"), "POST")


@pytest.mark.parametrize("status", [400, 403, 404, 422, 429])
async def test_a_status_by_which_a_server_says_that_it_did_nothing_is_a_refusal(house: House, status: int) -> None:
    with pytest.raises(ToolRefusal, match=f"answered {status}: because"):
        await ask(http(house), house.url(f"/status?code={status}"), "POST")
    with pytest.raises(HttpFailed):
        await ask(http(house, refusals=()), house.url(f"/status?code={status}"), "POST")


@pytest.mark.parametrize("status", [408, 409, 500, 502, 503])
async def test_any_other_failure_leaves_it_open_whether_something_changed(house: House, status: int) -> None:
    with pytest.raises(HttpFailed) as caught:
        await ask(http(house), house.url(f"/status?code={status}"), "POST")
    assert str(caught.value).endswith(" [cut]")
    assert len(str(caught.value)) < 600


async def test_a_connection_that_dies_before_an_answer_leaves_it_open(house: House) -> None:
    with pytest.raises(HttpFailed):
        await ask(http(house), house.url("/die"), "POST")


@pytest.mark.parametrize(("path", "status"), [("/die?where=body", 201), ("/slow?where=body", 200)])
async def test_an_outcome_whose_text_breaks_off_is_an_outcome_with_a_mark(house: House, path: str, status: int) -> None:
    answer = await ask(http(house, timeout=1.5), house.url(path), "POST")
    assert answer.status == status
    assert answer.cut
    assert answer.note.startswith("[broken off: ")


# -- TLS -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's context for api.example.com, and one that trusts its authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a test")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("api.example.com")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    folder = tmp_path_factory.mktemp("tls")
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "both.pem").write_bytes(private + pem)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(folder / "both.pem")
    return server, ssl.create_default_context(cadata=pem.decode())


async def test_the_certificate_is_checked_against_the_name_and_the_name_is_in_the_handshake(
    certificates: tuple[ssl.SSLContext, ssl.SSLContext],
) -> None:
    server, client = certificates
    seen: list[str | None] = []
    server.sni_callback = lambda _, name, __: seen.append(name)
    with serving(tls=server) as secure:
        made = _with_key(secure, https_only=True, tls=client)
        assert (await ask(made, secure.url("/text", scheme="https"))).text == "hello"
        assert secure.requests[0][2]["host"] == f"api.example.com:{secure.port}"
        assert secure.requests[0][2]["authorization"] == f"Bearer {CANARY}"
        assert seen == ["api.example.com"]
        other = http(secure, https_only=True, tls=client, hosts=("other.example.com",))
        with pytest.raises(ToolRefusal, match="nothing was sent"):
            await ask(other, secure.url("/text", "other.example.com", "https"))
        with pytest.raises(ToolRefusal, match="nothing was sent"):
            await ask(http(secure, https_only=True), secure.url("/text", scheme="https"))
        assert len(secure.requests) == 1


async def test_a_redirect_from_https_to_http_is_refused(
    house: House, certificates: tuple[ssl.SSLContext, ssl.SSLContext]
) -> None:
    server, client = certificates
    with serving(tls=server) as secure:
        made = http(secure, tls=client, ports=(secure.port, house.port))
        to = quote(house.url("/text"), safe="")
        with pytest.raises(HttpFailed, match="from https to http"):
            await ask(made, secure.url(f"/redirect?to={to}", scheme="https"))
    assert not house.requests


# -- the tools -------------------------------------------------------------------------------------------------------


def tools_of(made: Http) -> dict[str, SealedTool]:
    return {t.name: t for t in made.tools()}


def test_what_the_tools_declare_is_on_the_dangerous_side(house: House) -> None:
    found = tools_of(http(house, name="web", methods=("GET", "POST", "DELETE")))
    assert set(found) == {"web_get", "web_send"}
    get, send = found["web_get"].spec, found["web_send"].spec
    assert (get.effect, get.output, get.sink, get.sensitivity) == ("read", "untrusted", True, "secret")
    assert (send.effect, send.output, send.sink, send.idempotency) == ("irreversible", "untrusted", True, "none")
    assert (get.roles, send.roles["url"], send.roles["body"]) == ({"url": "target"}, "target", "content")
    assert send.parameters["properties"]["method"]["enum"] == ["POST", "DELETE"]
    assert "api.example.com" in get.description


def test_only_the_methods_that_are_named_have_a_tool(house: House) -> None:
    assert set(tools_of(http(house))) == {"http_get"}
    assert set(tools_of(http(house, methods=("PUT",)))) == {"http_send"}


def test_what_may_be_called_is_part_of_a_tools_digest(house: House) -> None:
    base = tools_of(http(house))["http_get"].spec.digest
    assert base == tools_of(http(house))["http_get"].spec.digest
    changes: list[dict[str, Any]] = [
        *({"private": True}, {"https_only": True}, {"redirects": 4}, {"max_bytes": 5}, {"ports": (443,)}),
        *({"hosts": ("other.example.com",)}, {"headers": {"X-Key": "12345"}}, {"content_types": ("*/*",)}),
    ]
    assert len({base, *(tools_of(http(house, **c))["http_get"].spec.digest for c in changes)}) == len(changes) + 1


async def test_an_agent_fetches_through_the_gate_and_policy_sees_the_canonical_host(house: House) -> None:
    get = tools_of(http(house))["http_get"]
    policy = PERMIT_ALL + (
        '@id("only-text") forbid(principal, action == Action::"call:http_get", resource) unless '
        '{ context.facts.host == "api.example.com" && context.facts.path == "/text" && context.facts.query == "" };'
    )
    spelt = house.url("/%74ext").replace("api", "API")
    ran = await inside(lambda: get.call({"url": spelt}), get, policy=policy)
    assert ran.value == {
        "url": house.url("/text"),
        "status": 200,
        "content_type": "text/plain",
        "text": "hello",
        "cut": False,
        "note": "",
    }
    denied = await inside(lambda: get.call({"url": house.url("/text?mail=secret")}), get, policy=policy)
    assert isinstance(denied.error, CallDenied)
    assert [j.rules for j in denied.of(CallJudged)] == [["only-text"]]


async def test_a_url_that_may_not_be_called_is_denied_before_anything_happens(house: House) -> None:
    made = tools_of(http(house, methods=("GET", "POST")))
    for name, more in (("http_get", {}), ("http_send", {"method": "POST"})):
        ran = await inside(partial(made[name].call, {"url": "http://169.254.169.254/", **more}), made[name])
        assert isinstance(ran.error, CallDenied)
        assert [(j.verdict, j.rules) for j in ran.of(CallJudged)] == [("deny", ["facts.error"])]
        assert not ran.of(EffectIntended)
    assert not house.requests


async def test_a_model_is_told_what_came_back_and_a_blocking_caller_too(house: House) -> None:
    from edgewright import Call

    get = tools_of(http(house))["http_get"]
    system = with_model(plays([Call("http_get", {"url": house.url("/text")})]), get)
    result = await system.arun({"text": "go"})
    assert result.output is not None
    assert '"text": "hello"' in result.output["text"]
    ran = await inside(lambda: asyncio.to_thread(get.invoke, {"url": house.url("/text")}), get)
    assert '"text": "hello"' in ran.value


async def test_a_request_that_may_change_something_is_sent_once_with_its_body(house: House) -> None:
    send = tools_of(http(house, methods=("POST",)))["http_send"]
    given = {"method": "POST", "url": house.url("/echo"), "body": '{"a": 1}'}
    ran = await inside(lambda: send.call(given), send)
    assert json.loads(ran.value["text"])["body"] == '{"a": 1}'
    [(method, _, headers, _)] = house.requests
    assert (method, headers["content-type"]) == ("POST", "application/json")
    assert "idempotency-key" not in headers
    assert len(ran.of(EffectIntended)) == 1


@pytest.mark.parametrize(
    "given", [{"method": "DELETE"}, {"method": "post"}, {"method": "GET"}, {"more": 1}, {"body": 5}]
)
async def test_arguments_that_were_not_declared_are_denied(house: House, given: dict[str, Any]) -> None:
    send = tools_of(http(house, methods=("POST",)))["http_send"]
    ran = await inside(lambda: send.call({"method": "POST", "url": house.url("/echo"), **given}), send)
    assert isinstance(ran.error, CallDenied)
    assert [j.rules for j in ran.of(CallJudged)] == [["arguments.schema"]]
    assert not house.requests


async def test_a_body_that_is_no_json_is_refused_where_json_is_sent(house: House) -> None:
    send = tools_of(http(house, methods=("POST",)))["http_send"]
    given = {"method": "POST", "url": house.url("/echo"), "body": "{"}
    ran = await inside(lambda: send.call(given), send)
    assert isinstance(ran.error, ToolRefusal)
    assert not house.requests


async def test_the_effects_key_is_sent_where_the_server_knows_such_a_header(house: House) -> None:
    send = tools_of(http(house, methods=("POST",), idempotency_header="Idempotency-Key"))["http_send"]
    assert send.spec.idempotency == "key"
    given = {"method": "POST", "url": house.url("/echo")}

    async def twice() -> None:
        await send.call(given)
        await send.call(given)

    await inside(twice, send)
    keys = [headers["idempotency-key"] for _, _, headers, _ in house.requests]
    assert len(set(keys)) == 2
    assert all(len(key) == 64 for key in keys)


async def test_a_refusal_is_final_and_a_failure_leaves_the_outcome_unknown(house: House) -> None:
    send = tools_of(http(house, methods=("POST",)))["http_send"]
    refused = await inside(lambda: send.call({"method": "POST", "url": house.url("/status?code=404")}), send)
    assert isinstance(refused.error, ToolRefusal)
    assert len(refused.of(EffectRefused)) == 1
    failed = await inside(lambda: send.call({"method": "POST", "url": house.url("/status?code=500")}), send)
    assert isinstance(failed.error, ToolFailed)
    assert [f.unknown for f in failed.of(EffectFailed)] == [True]


async def test_a_failed_read_has_changed_nothing(house: House) -> None:
    get = tools_of(http(house))["http_get"]
    ran = await inside(lambda: get.call({"url": house.url("/status?code=500")}), get)
    assert isinstance(ran.error, ToolFailed)
    assert [f.unknown for f in ran.of(EffectFailed)] == [False]


# -- configuration ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        ({"hosts": ()}, "at least one"),
        ({"hosts": "api.example.com"}, "is a tuple"),
        ({"hosts": ("*",)}, "host '*'"),
        ({"hosts": ("https://a.com",)}, "host 'https://a.com'"),
        ({"hosts": ("a.com/x",)}, "host 'a.com/x'"),
        ({"methods": ()}, "methods"),
        ({"methods": ("GET", "CONNECT")}, "CONNECT"),
        ({"headers": {"Host": "x"}}, "'Host' cannot be configured"),
        ({"headers": {"X Y": "abcd"}}, "'X Y' cannot be configured"),
        ({"headers": {"X": "a\r\nHost: b"}}, "not plain ASCII"),
        ({"headers": {"X": ""}}, "empty"),
        ({"headers": {"X": SecretStr("abc")}}, "fewer than 4"),
        ({"headers": {"X": "abcd", "x": "abcd"}}, "there twice"),
        ({"headers_to": "b.com"}, "none of the hosts"),
        ({"idempotency_header": "Host"}, "cannot be one"),
        ({"headers": {"K": "abcd"}, "idempotency_header": "k"}, "cannot be one"),
        ({"private": ("10.0.0.1/8",)}, "private network"),
        ({"ports": (0,)}, "port 0"),
        ({"content_types": ("text",)}, "content type 'text'"),
        ({"body_type": "text/*"}, "not a pattern"),
        ({"redirects": -1}, "not negative"),
        ({"max_bytes": 0}, "not negative"),
        ({"timeout": 0}, "not negative"),
        ({"timeout": float("inf")}, "not negative"),
        ({"refusals": (500,)}, "400 to 499"),
        ({"sensitivity": "none"}, "sensitivity"),
        ({"name": "Web"}, "lower case"),
        ({"tls": ssl._create_unverified_context()}, "does not check"),
    ],
)
def test_a_configuration_that_is_wrong_is_refused(given: dict[str, Any], fault: str) -> None:
    with pytest.raises(ToolInvalid) as caught:
        Http(**{"hosts": ("a.com",), **given})
    assert fault in str(caught.value)


def test_every_fault_of_a_configuration_is_told_at_once() -> None:
    with pytest.raises(ToolInvalid) as caught:
        Http(hosts=("a b",), methods=("BREW",), ports=(0,), headers={"Host": "x"})
    assert len(caught.value.faults) == 4


async def test_a_cancelled_request_leaves_nothing_behind(house: House) -> None:
    before = asyncio.all_tasks()
    task = asyncio.create_task(ask(http(house), house.url("/slow?where=body")))
    assert await asyncio.to_thread(house.asked.wait, 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert asyncio.all_tasks() == before

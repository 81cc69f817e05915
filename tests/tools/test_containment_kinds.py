"""What kind of failure an error tells of, asked of the errors that libraries really raise."""

from __future__ import annotations

import errno
import http.client
import json
import os
import socket
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from email.message import Message
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import httpx
import pytest
from edgewright.contracts.containment import Kind
from edgewright.contracts.errors import (
    BudgetExceeded,
    CircuitOpen,
    HttpFailed,
    Overloaded,
    ResultInvalid,
    ServerFailed,
    ServerUnreachable,
    StreamCut,
    TimedOut,
    ToolFailed,
    ToolRefusal,
)
from edgewright.tools.containment import kind_of, of_kind, retry_after
from openai import APIConnectionError, APITimeoutError, OpenAI, OpenAIError

ASKED = {"retry-after": "7"}


class _Says(BaseHTTPRequestHandler):
    """Answers with the status in its path; `/hang` never answers, `/gone` hangs up."""

    def do_GET(self) -> None:
        what = self.path.strip("/").split("/")[0]
        if what == "gone":
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        if what == "hang":
            self.rfile.read(1)  # until the client goes
            return
        body = b'{"error": {"message": "no", "code": "insufficient_quota"}}' if "quota" in self.path else b"{}"
        self.send_response(int(what))
        for name, value in ASKED.items():
            self.send_header(name, value)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", 0)))
        self.do_GET()

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    found = ThreadingHTTPServer(("127.0.0.1", 0), _Says)
    thread = Thread(target=found.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield f"http://127.0.0.1:{found.server_port}"
    found.shutdown()
    found.server_close()
    thread.join(5)


@pytest.fixture(scope="module")
def nobody() -> str:
    """An address where nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{taken.getsockname()[1]}"


STATUSES = [
    (400, "refused"),
    (401, "refused"),
    (404, "refused"),
    (408, "timeout"),
    (429, "rate_limited"),
    (500, "unavailable"),
    (501, "refused"),
    (503, "unavailable"),
    (504, "timeout"),
    (529, "unavailable"),
]


@pytest.mark.parametrize(("status", "kind"), STATUSES)
def test_a_status_is_known_whichever_library_tells_of_it(server: str, status: int, kind: Kind) -> None:
    with pytest.raises(httpx.HTTPStatusError) as by_httpx, httpx.Client(trust_env=False) as client:
        client.get(f"{server}/{status}").raise_for_status()
    with pytest.raises(urllib.error.HTTPError) as by_urllib:
        urllib.request.urlopen(f"{server}/{status}", timeout=5)
    with (
        pytest.raises(OpenAIError) as by_openai,
        OpenAI(base_url=f"{server}/{status}", api_key="k", max_retries=0) as provider,
    ):
        provider.models.list()
    for error in (by_httpx.value, by_urllib.value, by_openai.value):
        assert kind_of(error) == kind
        assert retry_after(error) == 7.0
    by_urllib.value.close()


def test_a_quota_that_is_used_up_is_not_a_rate(server: str) -> None:
    with (
        pytest.raises(OpenAIError) as caught,
        OpenAI(base_url=f"{server}/429/quota", api_key="k", max_retries=0) as provider,
    ):
        provider.models.list()
    assert kind_of(caught.value) == "refused"


def test_no_way_there_is_a_matter_of_the_connection(nobody: str, server: str) -> None:
    with httpx.Client(trust_env=False) as client:
        with pytest.raises(httpx.ConnectError) as refused:
            client.get(nobody)
        with pytest.raises(httpx.RemoteProtocolError) as gone:
            client.get(f"{server}/gone")
    with pytest.raises(urllib.error.URLError) as by_urllib:
        urllib.request.urlopen(nobody, timeout=5)
    with (
        pytest.raises(APIConnectionError) as by_openai,
        OpenAI(base_url=nobody, api_key="k", max_retries=0) as provider,
    ):
        provider.models.list()
    for error in (refused.value, gone.value, by_urllib.value, by_openai.value):
        assert kind_of(error) == "connection"


def test_what_takes_too_long_is_a_time_out(server: str) -> None:
    with httpx.Client(trust_env=False, timeout=0.1) as client, pytest.raises(httpx.ReadTimeout) as by_httpx:
        client.get(f"{server}/hang")
    with (
        pytest.raises(APITimeoutError) as by_openai,
        OpenAI(base_url=f"{server}/hang", api_key="k", max_retries=0, timeout=0.1) as provider,
    ):
        provider.models.list()
    for error in (by_httpx.value, by_openai.value, TimeoutError(), TimeoutError(), TimeoutError()):
        assert kind_of(error) == "timeout"


SAME = (
    *("ConnectError", "ReadError", "WriteError", "CloseError", "ProxyError", "RemoteProtocolError"),
    *("LocalProtocolError", "ConnectTimeout", "ReadTimeout", "WriteTimeout", "PoolTimeout", "DecodingError"),
    *("UnsupportedProtocol", "TooManyRedirects"),
)


def test_the_successor_of_httpx_raises_errors_of_the_same_kinds() -> None:
    httpx2 = pytest.importorskip("httpx2")
    told = {name: kind_of(getattr(httpx2, name)("x")) for name in SAME}
    assert told == {name: kind_of(getattr(httpx, name)("x")) for name in SAME}
    assert kind_of(httpx2.SSEError("no event")) == "broken"
    assert kind_of(_caused(RuntimeError("wrapped"), httpx2.ReadError("gone"))) == "connection"


def test_what_it_raises_for_real_is_known_too(nobody: str, server: str) -> None:
    httpx2 = pytest.importorskip("httpx2")
    with httpx2.Client(trust_env=False, timeout=0.1) as client:
        for url, kind in ((nobody, "connection"), (f"{server}/gone", "connection"), (f"{server}/hang", "timeout")):
            with pytest.raises(httpx2.TransportError) as caught:
                client.get(url)
            assert kind_of(caught.value) == kind
        with pytest.raises(httpx2.HTTPStatusError) as refused:
            client.get(f"{server}/503").raise_for_status()
    assert (kind_of(refused.value), retry_after(refused.value)) == ("unavailable", 7.0)


def _os(number: int) -> OSError:
    return OSError(number, os.strerror(number))


def _json() -> Exception:
    try:
        json.loads("{")
    except ValueError as error:
        return error
    raise AssertionError


def _caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


class _Status:
    def __init__(self, name: str) -> None:
        self.name = name


class _Rpc(Exception):
    def __init__(self, name: str) -> None:
        self._name = name

    def code(self) -> _Status:
        return _Status(self._name)


class _Boto(Exception):
    def __init__(self, status: int) -> None:
        self.response = {"Error": {}, "ResponseMetadata": {"HTTPStatusCode": status}}


class _Google(Exception):
    def __init__(self, code: Any) -> None:
        self.code = code


ERRORS: list[tuple[Exception, Kind]] = [
    (ConnectionResetError(), "connection"),
    (BrokenPipeError(), "connection"),
    (EOFError(), "connection"),
    (socket.gaierror(-2, "no such name"), "connection"),
    (_os(errno.EHOSTUNREACH), "connection"),
    (_os(errno.ETIMEDOUT), "timeout"),
    (_os(errno.ENOENT), "other"),
    (_os(errno.EACCES), "other"),
    (_os(errno.ENOSPC), "other"),
    (ssl.SSLError(1, "broken off"), "connection"),
    (ssl.SSLCertVerificationError(1, "nobody I know"), "refused"),
    (http.client.IncompleteRead(b""), "connection"),
    (http.client.RemoteDisconnected("gone"), "connection"),
    (httpx.LocalProtocolError("mine"), "other"),
    (httpx.PoolTimeout("full"), "timeout"),
    (httpx.DecodingError("what"), "broken"),
    (_json(), "broken"),
    (_Rpc("UNAVAILABLE"), "unavailable"),
    (_Rpc("DEADLINE_EXCEEDED"), "timeout"),
    (_Rpc("RESOURCE_EXHAUSTED"), "rate_limited"),
    (_Rpc("NOT_FOUND"), "other"),
    (_Boto(503), "unavailable"),
    (_Boto(404), "refused"),
    (_Google(429), "rate_limited"),
    (_Google(True), "other"),
    (_Google("x"), "other"),
    (_Google(7), "other"),
    (ValueError("mine"), "other"),
    (KeyError("mine"), "other"),
    (_caused(RuntimeError("wrapped"), ConnectionRefusedError()), "connection"),
    (_caused(RuntimeError("wrapped"), _caused(ValueError("twice"), TimeoutError())), "timeout"),
    (ExceptionGroup("both", [TimeoutError(), TimeoutError()]), "timeout"),
    (ExceptionGroup("one each", [TimeoutError(), ValueError()]), "other"),
    (TimedOut(of="t", bound="total", seconds=1.0), "timeout"),
    (ToolRefusal("no"), "refused"),
    (ServerUnreachable(server="s", fault="f"), "connection"),
    (ServerFailed(server="s", fault="f"), "broken"),
    (_caused(ServerFailed(server="s", fault="f"), TimeoutError()), "timeout"),
    (StreamCut(model="m"), "connection"),
    (ResultInvalid(tool="t", faults=["result: no"]), "broken"),
    (HttpFailed(method="GET", url="u", fault="f"), "broken"),
    (of_kind(HttpFailed(method="GET", url="u", fault="f"), "rate_limited", 3.0), "rate_limited"),
    (of_kind(ToolRefusal("nothing was sent"), "connection"), "connection"),
    # What a tool does by other gates is not its integration's doing.
    (_caused(ToolFailed(tool="t", error="e", unknown=False), TimeoutError()), "other"),
    (CircuitOpen(of="t", failures=1, last="timeout", until=1.0), "other"),
    (Overloaded(of="t", running=1, waiting=0, limit="1"), "other"),
    (
        BudgetExceeded(scope="run", unit="usd", limit="1", projected="2", used="0", over="1"),
        "other",
    ),
]


@pytest.mark.parametrize(("error", "kind"), ERRORS, ids=lambda v: v if isinstance(v, str) else type(v).__name__)
def test_an_error_is_of_the_kind_that_it_tells_of(error: Exception, kind: Kind) -> None:
    assert kind_of(error) == kind


def test_a_declared_error_is_transient_wherever_in_the_chain_it_stands() -> None:
    assert kind_of(KeyError("x"), (KeyError,)) == "unavailable"
    assert kind_of(_caused(RuntimeError("x"), KeyError("x")), (KeyError,)) == "unavailable"
    assert kind_of(ValueError("x"), (KeyError,)) == "other"


def test_causes_that_go_round_in_a_circle_end_the_search() -> None:
    one, two = ValueError("one"), ValueError("two")
    one.__cause__, two.__cause__ = two, one
    assert kind_of(one) == "other"
    assert retry_after(one) is None


class _Headers(Exception):
    def __init__(self, **headers: str) -> None:
        self.headers = Message()
        for name, value in headers.items():
            self.headers[name.replace("_", "-")] = value


def test_how_long_to_wait_is_read_in_each_form_that_it_is_told_in() -> None:
    assert retry_after(_Headers(Retry_After="2.5")) == 2.5
    assert retry_after(_Headers(retry_after_ms="1500")) == 1.5
    asked = retry_after(_Headers(Retry_After=formatdate(time.time() + 60, usegmt=True)))
    assert asked is not None
    assert 50 < asked <= 60
    assert retry_after(_Headers(Retry_After=formatdate(time.time() - 60, usegmt=True))) == 0
    assert retry_after(of_kind(ToolRefusal("later"), "rate_limited", 3.0)) == 3.0
    assert retry_after(_caused(RuntimeError("wrapped"), _Headers(Retry_After="4"))) == 4.0


@pytest.mark.parametrize("said", ["soon", "-3", "nan", "inf", "", "Thu, 99 Foo 2024"])
def test_what_is_no_time_is_not_waited_for(said: str) -> None:
    assert retry_after(_Headers(Retry_After=said)) is None

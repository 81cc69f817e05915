"""One HTTP exchange: a checked URL, a checked address, a request, and as much of the answer as may be read.

Built on HTTPX's transport, one per request: it follows no redirect by itself, keeps no cookie, and knows no proxy, no
password file and no variable of the environment.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
import ssl
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Any, Protocol

import httpx

from ...contracts.digest import digest_text
from ...contracts.errors import HttpFailed, ToolRefusal, UrlRefused
from ...contracts.redaction import Redactor
from ..containment.kinds import asked_by, kind_of, kind_of_status, of_kind
from .body import Body, charset_of, unpacker
from .hosts import Address, Network, Url, address_fault, is_address, is_allowed, is_private, joined, shown

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_TRIED = 4
"""So many of a name's addresses are tried; all of them are checked."""
_CONNECT = 5.0
"""Seconds until the next address is tried."""
_EXCERPT = 400
_TYPE = re.compile(r"[a-z0-9!#$&^_.+-]{1,64}/[a-z0-9!#$&^_.+-]{1,64}")


class Resolver(Protocol):
    """Who knows which addresses a name stands for. Asked once per request."""

    async def resolve(self, host: str, port: int) -> Sequence[str]:
        """All addresses of a host, as text. Raises OSError when there is none."""
        ...


class SystemResolver:
    """As the operating system resolves names."""

    async def resolve(self, host: str, port: int) -> Sequence[str]:
        """See `Resolver`."""
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        return list(dict.fromkeys(str(info[4][0]) for info in found))


@dataclass(frozen=True, kw_only=True)
class Reach:
    """What may be called, and how, in canonical form. `Http` has the words for each attribute."""

    hosts: tuple[str, ...]
    ports: tuple[int, ...]
    https_only: bool
    private: bool | tuple[Network, ...]
    headers: Mapping[str, str] = field(repr=False)
    headers_to: str
    content_types: tuple[str, ...]
    redirects: int
    max_bytes: int
    timeout: float
    idempotency_header: str | None
    refusals: tuple[int, ...]
    tls: ssl.SSLContext
    resolver: Resolver
    redactor: Redactor

    def checked(self, url: Url) -> Url:
        """The same URL, if its scheme, host and port may be called. Raises UrlRefused."""
        if self.https_only and url.scheme != "https":
            raise UrlRefused(url=url.shown, fault="only https is allowed")
        if not is_allowed(url.host, self.hosts):
            raise UrlRefused(url=url.shown, fault=f"its host is not one of: {', '.join(self.hosts)}")
        if url.port not in self.ports:
            raise UrlRefused(url=url.shown, fault=f"its port is not one of: {', '.join(map(str, self.ports))}")
        return url

    def cleaned(self, text: str) -> str:
        """A text that came from outside, or from a library, without the secrets in the headers."""
        return self.redactor.text(text)[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is asked. `changes` says whether it may change something. Redirects are followed by a GET that may not."""

    method: str
    url: Url
    changes: bool
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    key: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back; `note` says what is missing from `text`, `location` where it redirects to.

    `retry_after` are the seconds that callers are asked to wait, where the server says so.
    """

    url: Url
    status: int
    content_type: str
    text: str = ""
    cut: bool = False
    note: str = ""
    location: str = ""
    retry_after: float | None = None


class _Progress:
    """How many requests have begun to be written: before the first one, nothing can have happened."""

    def __init__(self) -> None:
        self.sent = 0

    async def trace(self, event: str, _: Any) -> None:
        """HTTPX's trace extension."""
        self.sent += event.endswith(".send_request_headers.started")


async def exchange(reach: Reach, request: Request) -> Answer:
    """Ask, and read the answer, within the time-out of `reach`.

    Raises:
        UrlRefused, ToolRefusal: nothing was sent; or the server said that it did nothing, by a status in
            `reach.refusals`.
        HttpFailed: it was sent, and there is no answer below status 400.
    """
    deadline = asyncio.get_running_loop().time() + reach.timeout
    progress, method, url = _Progress(), request.method, request.url
    try:
        answer = await _followed(reach, request, deadline, progress)
    except ToolRefusal as refused:
        if not progress.sent:
            raise
        raise HttpFailed(method=method, url=url.shown, fault=f"it redirects to where it may not: {refused}") from None
    except (httpx.HTTPError, OSError) as error:
        # Not chained: what libraries say may hold what must not be told, and paths of this machine.
        fault = _words(reach, error)
        kind = kind_of(error)
        if not progress.sent:
            raise of_kind(ToolRefusal(f"nothing was sent to {url.shown}: {fault}"), kind) from None
        raise of_kind(HttpFailed(method=method, url=url.shown, fault=fault), kind) from None
    if answer.status < 400:
        return answer
    fault = f"the server answered {answer.status}: {_excerpt(answer)}"
    kind, after = kind_of_status(answer.status) or "other", answer.retry_after
    if request.changes and answer.status in reach.refusals:
        raise of_kind(ToolRefusal(f"{method} {url.shown}: {fault}"), kind, after)
    raise of_kind(HttpFailed(method=method, url=url.shown, fault=fault), kind, after)


def _words(reach: Reach, error: Exception) -> str:
    if isinstance(error, TimeoutError | httpx.TimeoutException):
        return f"it took too long ({reach.timeout:g} seconds are allowed)"
    return shown(reach.cleaned(f"{type(error).__name__}: {error}"))


def _excerpt(answer: Answer) -> str:
    text = answer.text or answer.note or "without a text"
    return text if len(text) <= _EXCERPT else f"{text[:_EXCERPT]} [cut]"


async def _followed(reach: Reach, request: Request, deadline: float, progress: _Progress) -> Answer:
    url = reach.checked(request.url)
    for _ in range(reach.redirects + 1):
        answer = await _asked(reach, request, url, deadline, progress)
        if request.changes or request.method != "GET" or not answer.location:
            return answer
        before, url = url, reach.checked(joined(url, answer.location))
        if before.scheme == "https" and url.scheme == "http":
            raise UrlRefused(url=url.shown, fault="a redirect must not lead from https to http")
    raise HttpFailed(
        method=request.method, url=request.url.shown, fault=f"it redirects more than {reach.redirects} times"
    )


async def _asked(reach: Reach, request: Request, url: Url, deadline: float, progress: _Progress) -> Answer:
    """One request to one URL, at the first of its addresses that takes the connection."""
    async with asyncio.timeout_at(deadline):
        addresses = await _addresses(reach, url)
    own = reach.headers if url.host == reach.headers_to else {}
    if own and url.scheme == "http" and not all(is_private(a, reach.private) for a in addresses):
        raise UrlRefused(url=url.shown, fault="the configured headers must not be sent in clear over a public network")
    headers = _headers(reach, request, url, own)
    before, last = progress.sent, min(len(addresses), _TRIED) - 1
    for tried, address in enumerate(addresses[:_TRIED]):
        try:
            return await _sent(reach, request, url, address, headers, deadline, progress)
        except (httpx.ConnectError, httpx.ConnectTimeout):
            if progress.sent > before or tried == last:
                raise
    raise AssertionError("there is at least one address")


async def _addresses(reach: Reach, url: Url) -> list[Address]:
    """The addresses of a URL's host, looked up once and all of them checked. Raises UrlRefused."""
    try:
        found = [url.host] if is_address(url.host) else await reach.resolver.resolve(url.host, url.port)
        addresses = [ipaddress.ip_address(text) for text in found]
    except (socket.gaierror, UnicodeError) as error:
        raise UrlRefused(url=url.shown, fault=f"its host could not be resolved: {shown(str(error))}") from None
    except ValueError:
        raise UrlRefused(url=url.shown, fault="its host was resolved to what is no address") from None
    if not addresses:
        raise UrlRefused(url=url.shown, fault="its host has no address")
    for address in addresses:
        if fault := address_fault(address, reach.private):
            raise UrlRefused(url=url.shown, fault=f"its host stands for {address}, which {fault}")
    return [getattr(address, "ipv4_mapped", None) or address for address in addresses]


def _headers(reach: Reach, request: Request, url: Url, own: Mapping[str, str]) -> dict[str, str]:
    ranges = [t for t in reach.content_types if "*" not in t.removesuffix("/*")]
    found = {
        "host": url.authority,
        "user-agent": "edgewright",
        "accept": ", ".join(ranges) or "*/*",
        "accept-encoding": "gzip",
        "connection": "close",
        **request.headers,
        **own,
    }
    if request.key and reach.idempotency_header:
        found[reach.idempotency_header] = digest_text(request.key)
    return found


async def _sent(
    reach: Reach,
    request: Request,
    url: Url,
    address: Address,
    headers: Mapping[str, str],
    deadline: float,
    progress: _Progress,
) -> Answer:
    left = max(deadline - asyncio.get_running_loop().time(), 0.001)
    wire = httpx.Request(
        request.method,
        # The address stands where a name would be looked up again; the name stands in Host and in the TLS handshake,
        # where the certificate is checked against it.
        httpx.URL(scheme=url.scheme, host=str(address), port=url.port, raw_path=url.target.encode("ascii")),
        headers=headers,
        content=request.body,
        extensions={
            "sni_hostname": url.host,
            "trace": progress.trace,
            "timeout": {"connect": min(left, _CONNECT), "read": left, "write": left, "pool": left},
        },
    )
    async with httpx.AsyncHTTPTransport(verify=reach.tls, trust_env=False) as transport:
        async with asyncio.timeout_at(deadline):
            response = await transport.handle_async_request(wire)
        try:
            answer = await _answer(reach, request, url, response, deadline)
            return replace(answer, retry_after=asked_by(response.headers))
        finally:
            await response.aclose()


async def _answer(reach: Reach, request: Request, url: Url, response: httpx.Response, deadline: float) -> Answer:
    status, header = response.status_code, response.headers.get("content-type", "")
    kind, _, parameters = header.partition(";")
    kind = kind.strip().lower()
    kind = kind if _TYPE.fullmatch(kind) else ""
    location = response.headers.get("location", "") if status in _REDIRECTS else ""
    if location:
        plain = reach.cleaned(location)
        note = f"it redirects to {shown(plain)}, which was not followed"
        # A URL is shown, judged and logged by others: one with a secret in it is not called.
        location = location if location == plain else ""
        return Answer(url=url, status=status, content_type=kind, note=note, location=location)
    if status in (204, 304) or response.headers.get("content-length") == "0":
        return Answer(url=url, status=status, content_type=kind)
    unpacked = unpacker(response.headers.get("content-encoding", ""))
    if unpacked is None or not any(fnmatchcase(kind, pattern) for pattern in reach.content_types):
        what = "its encoding is none that is read" if unpacked is None else f"its content type is {kind or 'not told'}"
        note = f"the text was left out: {what}"
        return Answer(url=url, status=status, content_type=kind, note=note)
    # More is read than shown, so that no half of a secret stands where it is cut.
    body = Body(unpacked, reach.max_bytes + 4 * reach.redactor.window)
    broken = ""
    try:
        async with asyncio.timeout_at(deadline):
            await body.read(response)
    except (httpx.HTTPError, OSError, zlib.error) as error:
        if not request.changes:
            raise (httpx.DecodingError("it cannot be unpacked") if isinstance(error, zlib.error) else error) from None
        # The status has come, so the outcome is known; only its text is not.
        broken = f"[broken off: {_words(reach, error)}]"
    # In a thread: to look for secrets in a text that is made to look encoded takes its time.
    text, cut = await asyncio.to_thread(_text, reach, body, charset_of(parameters), broken=bool(broken))
    mark = broken or (f"[cut: only the first {reach.max_bytes} bytes are shown]" if cut else "")
    return Answer(
        url=url, status=status, content_type=kind, text=f"{text}\n{mark}" if mark else text, cut=bool(mark), note=mark
    )


def _text(reach: Reach, body: Body, charset: str, *, broken: bool) -> tuple[str, bool]:
    """The text without secrets, no longer than is allowed, and whether something of it is missing."""
    text = reach.cleaned(bytes(body.read_so_far).decode(charset, "replace").removeprefix("\ufeff"))
    if body.full or broken:
        text = text[: -reach.redactor.window]
    whole = text.encode()
    return whole[: reach.max_bytes].decode(errors="ignore"), body.full or len(whole) > reach.max_bytes

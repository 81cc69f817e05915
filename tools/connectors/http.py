"""HTTP, for agents: GET as a reading tool, everything else as an irreversible one, to hosts on an allow list.

A URL is read once (`hosts.py`), its host's name is resolved once, every address that it stands for is checked, and
exactly a checked address is connected to (`exchange.py`), so that a name cannot stand for something else a moment later
(threats 16, 46). What comes back is untrusted, of a bounded size, and cleaned of the secrets in the configured headers.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
import ssl
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from typing import Any, Literal, TypedDict, cast, get_args

import httpx
import orjson
from pydantic import SecretStr

from ...contracts.containment import Off
from ...contracts.digest import digest
from ...contracts.errors import ToolInvalid, ToolRefusal
from ...contracts.labels import Sensitivity
from ...contracts.redaction import Redactor
from ..foreign.declarations import Declaration
from ..function import read_function
from ..run import ToolContext
from ..sealed import SealedTool, seal
from .exchange import Answer, Reach, Request, Resolver, SystemResolver, exchange
from .hosts import Network, canonical_host, canonical_pattern, canonical_url, is_allowed

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
REFUSALS = (400, 401, 403, 404, 405, 406, 410, 411, 412, 413, 414, 415, 417, 422, 428, 429, 431, 451)
"""Statuses by which a server says that it did not do what it was asked. 408, 409, 425 and 5xx do not say that."""
GRACE = 2.0
"""The gate's own time-out is so many seconds later than the connector's, whose error says more."""
# Set by the connector or by the protocol: a header of that name would change what is asked, or of whom.
RESERVED = frozenset(
    [
        *("host", "content-length", "content-type", "content-encoding", "transfer-encoding", "accept-encoding"),
        *("connection", "keep-alive", "te", "trailer", "upgrade", "expect", "proxy-authorization", "proxy-connection"),
    ]
)
HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
HEADER_VALUE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?")
_PLAIN = frozenset({"accept", "accept-language", "user-agent"})
_TYPE = re.compile(r"[a-z0-9.+*-]+/[a-z0-9.+*-]+")
_NAME = re.compile(r"[a-z][a-z0-9_]{0,57}")
_SHORTEST = 4
"""Shorter secrets are in every text by chance, and so cannot be cut out of one."""


class HttpResponse(TypedDict):
    """What came back. `note` says what is missing from `text`, if anything is."""

    url: str
    status: int
    content_type: str
    text: str
    cut: bool
    note: str


class Destination(TypedDict):
    """What policy reads of a URL (`context.facts`): its parts in canonical form."""

    scheme: str
    host: str
    port: int
    path: str
    query: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Http:
    """HTTP to hosts on an allow list: `<name>_get(url)`, and `<name>_send(method, url, body)` for the other methods.

    An answer of status 400 or more is a failure, never a result.

    Attributes:
        name: the prefix of the tools' names.
        hosts: which hosts may be called; `*.example.com` stands for every name under that domain.
        methods: which methods, out of GET, POST, PUT, PATCH and DELETE.
        headers: sent to `headers_to` with every request, and to nobody else; over http only to addresses that `private`
            opens. Their values are taken for secrets, except those of Accept, Accept-Language and User-Agent.
        headers_to: the one host that gets the headers; not needed where `hosts` is one name.
        content_types: which answers are shown, as patterns (`text/*`).
        body_type: the content type of what is sent.
        ports, https_only: which ports may be called, and whether http may be spoken there.
        private: whether private addresses may be called: all of them (True), or networks (`("10.1.0.0/16",)`).
        redirects: how many a GET follows, each of them checked as a URL of its own; other methods follow none.
        max_bytes: how much of an answer is shown at most; not much more of it is read.
        timeout: seconds for a whole call, redirects and body included.
        idempotency_header: where the servers know one (`Idempotency-Key`): it gets the effect's key, and a call whose
            outcome is not known is sent again with the same key.
        refusals: statuses by which the servers say that they did nothing; any other of 400 or more leaves that open.
        sensitivity: of what is returned.
        tls: a context that checks certificates and host names; None trusts the public authorities.
        resolver: who knows the addresses of names.

    Raises:
        ToolInvalid: with everything that is wrong with it.
    """

    name: str = "http"
    hosts: tuple[str, ...]
    methods: tuple[str, ...] = ("GET",)
    headers: Mapping[str, str | SecretStr] = field(default_factory=dict, repr=False)
    headers_to: str | None = None
    content_types: tuple[str, ...] = ("text/*", "application/json", "application/*+json", "application/xml")
    body_type: str = "application/json"
    ports: tuple[int, ...] = (443, 80)
    https_only: bool = True
    private: bool | tuple[str, ...] = False
    redirects: int = 3
    max_bytes: int = 256 * 1024
    timeout: float = 20.0
    idempotency_header: str | None = None
    refusals: tuple[int, ...] = REFUSALS
    sensitivity: Sensitivity = "secret"
    tls: ssl.SSLContext | None = field(default=None, repr=False)
    resolver: Resolver = field(default_factory=SystemResolver, repr=False)

    def __post_init__(self) -> None:
        if faults := [*_faults_of_hosts(self), *_faults_of_headers(self), *_faults_of_limits(self)]:
            raise ToolInvalid(name=self.name, faults=faults)
        # Now and not at the first call: certificates are read from files, which must not be done on an event loop.
        _ = self.reach

    @cached_property
    def reach(self) -> Reach:
        """What it may call, and how, in canonical form."""
        headers = {name.lower(): _open(value) for name, value in self.headers.items()}
        secrets = {piece: "secret" for k, v in headers.items() if k not in _PLAIN for piece in _pieces(v)}
        return Reach(
            hosts=tuple(map(canonical_pattern, self.hosts)),
            ports=tuple(self.ports),
            https_only=self.https_only,
            private=self.private if isinstance(self.private, bool) else tuple(map(_network, self.private)),
            headers=headers,
            headers_to=canonical_host(self.headers_to or self.hosts[0]) if headers else "",
            content_types=tuple(self.content_types),
            redirects=self.redirects,
            max_bytes=self.max_bytes,
            timeout=self.timeout,
            idempotency_header=self.idempotency_header,
            refusals=tuple(self.refusals),
            tls=self.tls or _public_authorities(),
            resolver=self.resolver,
            redactor=Redactor((), secrets),
        )

    @cached_property
    def terms(self) -> str:
        """Digest of what may be called and how, without secrets: it rises into the digests of the tools."""
        left_out = ("name", "headers", "tls", "resolver")
        told = {
            name: value for name in self.__dataclass_fields__ if name not in left_out for value in [_told(self, name)]
        }
        return digest({**told, "headers": sorted(name.lower() for name in self.headers)})

    def tools(self) -> list[SealedTool]:
        """The governed tools. What they return is untrusted, and both are sinks: a URL carries data out as well."""
        others = tuple(method for method in METHODS if method in self.methods and method != "GET")
        made = [self._getting()] if "GET" in self.methods else []
        return [*made, self._sending(others)] if others else made

    def _getting(self) -> SealedTool:
        async def get(url: str) -> HttpResponse:
            asked = Request(method="GET", url=canonical_url(url), changes=False)
            return _response(await exchange(self.reach, asked))

        declared = Declaration(
            effect="read",
            output="untrusted",
            sensitivity=self.sensitivity,
            sink=True,
            roles={"url": "target"},
            timeout=self.timeout + GRACE,
            breaker=self._breaker,
        )
        return self._sealed("get", get, "Fetch a URL; returns what it answers as text.", declared)

    def _sending(self, methods: tuple[str, ...]) -> SealedTool:
        async def send(method: str, url: str, body: str = "", *, ctx: ToolContext) -> HttpResponse:
            raw = _body(body, self.body_type)
            headers = {"content-type": self.body_type} if raw else {}
            asked = Request(method=method, url=canonical_url(url), changes=True, body=raw, headers=headers, key=ctx.key)
            return _response(await exchange(self.reach, asked))

        # A closed type: which methods there are is configured.
        send.__annotations__["method"] = cast(Any, Literal)[methods]
        declared = Declaration(
            effect="irreversible",
            output="untrusted",
            sensitivity=self.sensitivity,
            sink=True,
            roles={"method": "scalar", "url": "target", "body": "content"},
            idempotency="key" if self.idempotency_header else "none",
            timeout=self.timeout + GRACE,
            breaker=self._breaker,
        )
        words = f"Send a request that may change something; its body, if any, is {self.body_type}."
        return self._sealed("send", send, words, declared)

    @property
    def _breaker(self) -> Off | None:
        """Without one where several hosts may be called: that one is dead says nothing about the others."""
        return None if len(self.hosts) == 1 and "*" not in self.hosts[0] else "off"

    def _sealed(self, suffix: str, main: Callable[..., Any], words: str, declaration: Declaration) -> SealedTool:
        def destination(url: str) -> Destination:
            found = self.reach.checked(canonical_url(url))
            return {
                "scheme": found.scheme,
                "host": found.host,
                "port": found.port,
                "path": found.path,
                "query": found.query or "",
            }

        reading = read_function(main, f"{self.name}_{suffix}")
        reading = replace(reading, code=digest([reading.code, self.terms]))
        where = f"Hosts: {', '.join(self.reach.hosts)}; {'https' if self.https_only else 'https and http'}."
        return seal(reading, main, description=f"{words} {where}", declaration=declaration, facts=destination)


def _response(answer: Answer) -> HttpResponse:
    return {
        "url": str(answer.url),
        "status": answer.status,
        "content_type": answer.content_type,
        "text": answer.text,
        "cut": answer.cut,
        "note": answer.note,
    }


def _body(text: str, kind: str) -> bytes | None:
    if text and kind == "application/json":
        try:
            orjson.loads(text)
        except orjson.JSONDecodeError as error:
            raise ToolRefusal(f"nothing was sent: the body is no JSON ({error})") from None
    return text.encode() if text else None


# -- secrets ---------------------------------------------------------------------------------------------------------


def _open(value: str | SecretStr) -> str:
    return value.get_secret_value() if isinstance(value, SecretStr) else value


def _pieces(value: str) -> Iterator[str]:
    """What of a header's value must not come back: all of it, its parts, and what a part holds in base64."""
    yield value
    for part in re.split(r"[\s;,]+|(?<=\w)=(?=.)", value):
        if len(part) >= 2 * _SHORTEST:
            yield part
    scheme, _, rest = value.partition(" ")
    if scheme.lower() == "basic":
        try:
            plain = base64.b64decode(rest, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            return
        yield plain
        yield plain.partition(":")[2]


# -- faults ----------------------------------------------------------------------------------------------------------


def _network(text: str) -> Network:
    return ipaddress.ip_network(text)


@lru_cache(maxsize=1)
def _public_authorities() -> ssl.SSLContext:
    return httpx.create_ssl_context(trust_env=False)


def _told(http: Http, name: str) -> Any:
    value = getattr(http, name)
    return list(value) if isinstance(value, tuple) else value


def _faults_of_hosts(http: Http) -> Iterator[str]:
    given: Any = http.hosts  # one text would be taken for the letters in it
    if isinstance(given, str) or not given:
        yield "hosts is a tuple of at least one name: ('api.example.com',)"
        return
    for host in http.hosts:
        try:
            canonical_pattern(host)
        except ValueError as error:
            yield f"host {host!r}: {error}"
    if not isinstance(http.private, bool):
        for network in http.private:
            try:
                _network(network)
            except ValueError as error:
                yield f"private network {network!r}: {error}"
    yield from (f"port {port} is none" for port in http.ports if not 0 < port < 65536)
    if http.tls is not None and (http.tls.verify_mode != ssl.CERT_REQUIRED or not http.tls.check_hostname):
        yield "tls does not check certificates and host names; give it the authority to trust instead"


def _faults_of_headers(http: Http) -> Iterator[str]:
    names = [name.lower() for name in http.headers]
    yield from (f"header {name!r} is there twice" for name in sorted({n for n in names if names.count(n) > 1}))
    for name, value in http.headers.items():
        if not HEADER.fullmatch(name) or name.lower() in RESERVED:
            yield f"header {name!r} cannot be configured"
        if not HEADER_VALUE.fullmatch(_open(value)):
            yield f"header {name!r} has a value that is empty or not plain ASCII"
        elif isinstance(value, SecretStr) and len(_open(value)) < _SHORTEST:
            yield f"header {name!r} has a secret of fewer than {_SHORTEST} characters, which nobody could keep"
    header = http.idempotency_header
    if header is not None and (not HEADER.fullmatch(header) or header.lower() in {*RESERVED, *names}):
        yield f"idempotency_header {header!r} cannot be one"
    if http.headers and http.headers_to is None and (len(http.hosts) != 1 or http.hosts[0].startswith("*.")):
        yield "headers may hold credentials, and there are several hosts: say in headers_to which one gets them"
    if http.headers_to is not None:
        try:
            if not is_allowed(canonical_host(http.headers_to), tuple(map(canonical_pattern, http.hosts))):
                yield f"headers_to {http.headers_to!r} is none of the hosts"
        except ValueError as error:
            yield f"headers_to {http.headers_to!r}: {error}"


def _faults_of_limits(http: Http) -> Iterator[str]:
    if not _NAME.fullmatch(http.name):
        yield "its name begins tools' names: lower case ASCII letters, digits and underscores, at most 58"
    methods: Any = http.methods
    if not methods or isinstance(methods, str):
        yield "methods is a tuple of at least one: ('GET',)"
    yield from (f"method {m!r} is not one of {', '.join(METHODS)}" for m in http.methods if m not in METHODS)
    for kind in (*http.content_types, http.body_type):
        if not _TYPE.fullmatch(kind):
            yield f"content type {kind!r} is none"
    if "*" in http.body_type:
        yield "body_type is one content type, not a pattern"
    if http.redirects < 0 or http.max_bytes < 1 or not 0 < http.timeout < float("inf"):
        yield "redirects, max_bytes and timeout are not negative, and the last two not zero"
    if any(not 400 <= status < 500 for status in http.refusals):
        yield "refusals are statuses from 400 to 499; after any other a server may have done what was asked"
    if http.sensitivity not in get_args(Sensitivity):
        yield f"sensitivity {http.sensitivity!r} is none"

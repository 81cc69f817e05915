"""What kind of failure an error tells of, by what errors carry: a status, a number of the system, a well-known name.

No provider's package is imported. A library's errors are known by the names of their classes, which are as much a
part of its interface as anything else.
"""

from __future__ import annotations

import errno
import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

from ...contracts.containment import KINDS, Kind
from ...contracts.errors import (
    EdgewrightError,
    HttpFailed,
    ResultInvalid,
    ServerFailed,
    ServerUnreachable,
    StreamCut,
    TimedOut,
    ToolRefusal,
)

E = TypeVar("E", bound=BaseException)
_DEEP = 8  # causes of causes that are looked at
_KIND, _AFTER = "_edgewright_kind", "_edgewright_after"
# Of httpx, httpx2, openai, anthropic, requests, urllib3, aiohttp, grpc, json.
_NAMES: Mapping[str, Kind] = {
    "TimeoutException": "timeout",
    "APITimeoutError": "timeout",
    "Timeout": "timeout",
    "ReadTimeoutError": "timeout",
    "DeadlineExceeded": "timeout",
    "APIConnectionError": "connection",
    "ClientConnectionError": "connection",
    "NetworkError": "connection",
    "RemoteProtocolError": "connection",
    "ProxyError": "connection",
    "LocalProtocolError": "other",
    "ProtocolError": "connection",
    "RateLimitError": "rate_limited",
    "ResourceExhausted": "rate_limited",
    "InternalServerError": "unavailable",
    "ServiceUnavailable": "unavailable",
    "DecodingError": "broken",
    "JSONDecodeError": "broken",
    "SSEError": "broken",
    "APIResponseValidationError": "broken",
    "IncompleteRead": "connection",
}
_GRPC: Mapping[str, Kind] = {
    "DEADLINE_EXCEEDED": "timeout",
    "RESOURCE_EXHAUSTED": "rate_limited",
    "UNAVAILABLE": "unavailable",
    "INTERNAL": "unavailable",
    "DATA_LOSS": "broken",
}
_NO_WAY = {
    *(errno.ECONNREFUSED, errno.ECONNRESET, errno.ECONNABORTED, errno.EPIPE, errno.ENOTCONN, errno.ESHUTDOWN),
    *(errno.EHOSTUNREACH, errno.EHOSTDOWN, errno.ENETUNREACH, errno.ENETDOWN, errno.ENETRESET),
}


def kind_of(error: BaseException, transient: tuple[type[BaseException], ...] = ()) -> Kind:
    """What kind of failure an error tells of; its causes are asked where it does not say.

    Args:
        transient: classes of errors that whoever is called raises when it cannot serve now: "unavailable".
    """
    for found in _chain(error):
        if transient and isinstance(found, transient):
            return "unavailable"
        if (kind := _kind(found)) is not None:
            return kind
    return "other"


def of_kind(error: E, kind: Kind, after: float | None = None) -> E:
    """The same error, which tells `kind_of` its kind (and `retry_after` its seconds) though it tells nobody else.

    For errors that are raised without their cause, because what that says must not be told.
    """
    setattr(error, _KIND, kind)
    setattr(error, _AFTER, after)
    return error


def kind_of_status(status: int) -> Kind | None:
    """What kind of failure an HTTP status is; None for what is no failure."""
    if status < 400:
        return None
    if status in (408, 504):
        return "timeout"
    if status == 429:
        return "rate_limited"
    # 501 and 505 say that it will never be done.
    return "refused" if status < 500 or status in (501, 505) else "unavailable"


def retry_after(error: BaseException) -> float | None:
    """The seconds that whoever was called asks callers to wait, where the error or one of its causes says so."""
    for found in _chain(error):
        if (seconds := _seconds(found.__dict__.get(_AFTER))) is not None:
            return seconds
        for holder in (getattr(found, "response", None), found):
            if (seconds := asked_by(getattr(holder, "headers", None))) is not None:
                return seconds
        if (seconds := _seconds(getattr(found, "retry_after", None))) is not None:
            return seconds
    return None


def _chain(error: BaseException) -> Iterator[BaseException]:
    found: BaseException | None = error
    for _ in range(_DEEP):
        if found is None:
            return
        yield found
        reason = getattr(found, "reason", None)  # urllib's URLError keeps its cause there
        found = found.__cause__ or (reason if isinstance(reason, BaseException) else None)


def _kind(error: BaseException) -> Kind | None:
    if (said := error.__dict__.get(_KIND)) in KINDS:
        return said  # type: ignore[no-any-return]
    if isinstance(error, EdgewrightError):
        return _own(error)
    if isinstance(error, BaseExceptionGroup):
        kinds = {kind_of(member) for member in error.exceptions}
        return kinds.pop() if len(kinds) == 1 else "other"
    if (status := _status(error)) is not None and (by_status := kind_of_status(status)) is not None:
        # A quota that is used up comes with the status of a rate limit, and no wait helps.
        return "refused" if getattr(error, "code", None) == "insufficient_quota" else by_status
    if (grpc := _grpc(error)) is not None:
        return grpc
    if isinstance(error, TimeoutError):
        return "timeout"
    if isinstance(error, ssl.SSLCertVerificationError):
        return "refused"
    no_way = ConnectionError | EOFError | socket.gaierror | socket.herror | ssl.SSLError
    if isinstance(error, no_way) or (isinstance(error, OSError) and error.errno in _NO_WAY):
        return "connection"
    return next((_NAMES[cls.__name__] for cls in type(error).__mro__ if cls.__name__ in _NAMES), None)


def _own(error: EdgewrightError) -> Kind | None:
    """Our own errors: refusals said no; a server's tell by their cause, where they have one; the rest is not asked.

    A tool that failed inside a tool, or a budget, is no failure of the outer tool's integration.
    """
    if isinstance(error, TimedOut):
        return "timeout"
    if isinstance(error, ServerUnreachable | StreamCut):
        return "connection"
    if isinstance(error, ResultInvalid):
        return "broken"
    if isinstance(error, ServerFailed | HttpFailed):
        return None if error.__cause__ is not None else "broken"
    return "refused" if isinstance(error, ToolRefusal) else "other"


def _status(error: BaseException) -> int | None:
    """The HTTP status that an error carries: openai, httpx, requests, aiohttp, urllib, google, boto."""
    response = getattr(error, "response", None)
    if isinstance(response, Mapping):
        meta = response.get("ResponseMetadata")
        response = meta if isinstance(meta, Mapping) else {}
        found = [response.get("HTTPStatusCode")]
    else:
        found = [getattr(response, "status_code", None), getattr(response, "status", None)]
    found += [getattr(error, name, None) for name in ("status_code", "status", "code", "http_status")]
    for value in found:
        if isinstance(value, int) and not isinstance(value, bool) and 100 <= value <= 599:
            return int(value)
    return None


def _grpc(error: BaseException) -> Kind | None:
    code = getattr(error, "code", None)
    if callable(code):
        try:
            code = code()
        except TypeError:
            return None
    return _GRPC.get(str(getattr(code, "name", "")))


def asked_by(headers: Any) -> float | None:
    """Retry-After of a set of headers, in seconds: it may be a date, or milliseconds, as some providers have it."""
    get = getattr(headers, "get", None)
    if get is None:
        return None
    if (milliseconds := _seconds(get("retry-after-ms"))) is not None:
        return milliseconds / 1000
    said = get("retry-after") or get("Retry-After")
    if (seconds := _seconds(said)) is not None or not isinstance(said, str):
        return seconds
    try:
        return max(0.0, parsedate_to_datetime(said).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None


def _seconds(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        seconds = float(value)
    except ValueError:
        return None
    return seconds if 0 <= seconds < float("inf") else None

"""The front door: who may speak to a server that asks nobody for a name, and what an error says on its way out.

A web page in a browser on the same machine can reach a loopback port. It cannot forge `Host` or `Origin`, so both
are checked: the first closes DNS rebinding, the second closes posting across origins. No CORS header is ever sent.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from typing import Any
from urllib.parse import urlsplit

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..contracts.errors import (
    ContractViolation,
    EdgewrightError,
    NotFound,
    RetryRefused,
    ReviewInvalid,
    SystemChanged,
    ThreadBusy,
    ThreadWaiting,
)
from . import view

LOOPBACK = ("127.0.0.1", "localhost", "::1")
_HEADERS = ((b"x-content-type-options", b"nosniff"), (b"cache-control", b"no-store"))
_MENDABLE: dict[type[EdgewrightError], int] = {
    ContractViolation: 422,
    ReviewInvalid: 422,
    NotFound: 404,
    RetryRefused: 409,
    SystemChanged: 409,
    ThreadBusy: 409,
    ThreadWaiting: 409,
}
log = logging.getLogger("edgewright.server")


class Guard:
    """ASGI middleware: refuses foreign hosts and origins, and marks every answer as private."""

    def __init__(self, app: ASGIApp, *, hosts: Collection[str]) -> None:
        self._app, self._hosts = app, frozenset(h.lower() for h in hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See the class."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return

        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *_HEADERS]
            await send(message)

        why = self._fault(scope)
        app = json_response(403, {"detail": why}) if why else self._app
        await app(scope, receive, marked)

    def _fault(self, scope: Scope) -> str:
        headers = [(name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in scope["headers"]]
        hosts = [value.lower() for name, value in headers if name == "host"]
        if len(hosts) != 1 or _host(f"//{hosts[0]}") not in self._hosts:
            return "this server does not answer to that host name"
        for name, value in headers:
            if name == "origin" and urlsplit(value).netloc.lower() != hosts[0]:
                return "requests from other origins are refused"
        return ""


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def json_response(status: int, body: object) -> Response:
    """A JSON answer."""
    return Response(view.dumps(body), status, media_type="application/json")


def handle_errors(app: FastAPI) -> None:
    """Turn errors into JSON that says what a client can mend, and nothing of how the server is made."""

    @app.exception_handler(StarletteHTTPException)
    async def on_http(_: Request, error: StarletteHTTPException) -> Response:
        detail: Any = error.detail  # FastAPI's own allows any JSON
        body = detail if isinstance(detail, dict) else {"detail": detail}
        response = json_response(error.status_code, body)
        response.headers.update(error.headers or {})
        return response

    @app.exception_handler(EdgewrightError)
    async def on_ours(request: Request, error: EdgewrightError) -> Response:
        status = next((code for kind, code in _MENDABLE.items() if isinstance(error, kind)), 500)
        if status == 500:
            log.error("%s %s failed", request.method, request.url.path, exc_info=error)
            return json_response(500, {"detail": "An internal error occurred", "error": type(error).__name__})
        return json_response(status, view.problem(error))

    @app.exception_handler(Exception)
    async def on_any(_: Request, __: Exception) -> Response:
        return json_response(500, {"detail": "An internal error occurred"})  # the server logs what it was

"""An integration that tools call over HTTP, and that misbehaves on command. What it did is counted here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, get_args

import orjson

from bench.faults.exchange import Answering, Request
from bench.faults.fault import Fault, HttpKind
from bench.faults.loopback import Loopback

Asked = Callable[[Request], Any]
"""The result of a request, as JSON. Quick: it runs on the server's event loop."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """What happened once in the integration: at which path, with which body, under which key (empty for none)."""

    path: str
    key: str
    body: Any


def done(request: Request) -> dict[str, Any]:
    """What the integration says of a request, unless told otherwise."""
    return {"text": f"{request.path.strip('/')}: done"}


class ToolServer(Loopback):
    """Entered, it serves at `url` until it is left. A GET reads; any other method has an effect.

    The same `Idempotency-Key` twice is the same effect once. What was done stays counted while the server is down.

    Args:
        result: what a request gets.
        keep_alive: whether a connection takes one request after another.

    Attributes:
        effects: what happened, in order.
    """

    kinds = frozenset(get_args(HttpKind))

    def __init__(self, result: Asked = done, *, keep_alive: bool = True) -> None:
        super().__init__(keep_alive=keep_alive)
        self._result = result
        self.effects: list[Effect] = []

    @property
    def url(self) -> str:
        """Where it is; any path below it can be asked."""
        return self.origin

    def effects_at(self, path: str) -> list[Effect]:
        """What happened at paths that contain this, in order."""
        return [e for e in list(self.effects) if path in e.path]

    def requests_at(self, path: str) -> list[Request]:
        """All requests for paths that contain this, in order."""
        return [r for r in list(self.seen) if path in r.path]

    def struck(self, request: Request, fault: Fault | None) -> None:
        """Have the effect happen, unless the fault comes before it."""
        if fault is None or fault.effect:
            self._happens(request)

    def _happens(self, request: Request) -> None:
        key = request.headers.get("idempotency-key", "")
        if request.method == "GET" or (key and any(e.key == key for e in self.effects)):
            return
        self.effects.append(Effect(path=request.path, key=key, body=request.body))

    async def answer(self, request: Request, way: Answering, fault: Fault | None) -> None:
        """See `Loopback.answer`."""
        match fault.kind if fault else None:
            case "429" | "500" | "503" as status if fault:
                after = {} if fault.retry_after is None else {"Retry-After": f"{fault.retry_after:g}"}
                way.whole(int(status), orjson.dumps({"error": "the integration failed"}), headers=after)
            case "wrong_shape":
                way.whole(200, orjson.dumps([{"unexpected": None}, 7]))
            case "garbage":
                way.whole(200, b"\x00\xff<html>all is well</html>")
            case None | "held" | "slow":
                if fault and not fault.effect:  # it happens only now
                    self._happens(request)
                way.whole(200, orjson.dumps(self._result(request)))
            case other:
                raise ValueError(f"{other!r} is none of this server's faults")

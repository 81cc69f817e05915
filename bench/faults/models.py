"""A model server that speaks OpenAI's chat completions format, and misbehaves on command."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, get_args

import orjson

from bench.faults.completions import Reply, chunks, failure, offered, unanswered, whole
from bench.faults.exchange import Answering, Request
from bench.faults.fault import Fault, HttpKind, ModelKind
from bench.faults.loopback import Loopback, for_ever

Rule = Callable[[dict[str, Any]], Reply]
"""What answers a request, by its body. Quick: it runs on the server's event loop."""
REFUSAL = "I cannot help with that."


class ModelServer(Loopback):
    """Entered, it serves a rule at `url` until it is left.

    Args:
        rule: what is answered where nothing goes wrong.
        keep_alive: off, for LangChain shares its clients among event loops, and a kept connection outlives its own.

    Attributes:
        replies: what was answered whole or is being streamed to its end, in order.
    """

    kinds = frozenset((*get_args(HttpKind), *get_args(ModelKind)))

    def __init__(self, rule: Rule, *, keep_alive: bool = False) -> None:
        super().__init__(keep_alive=keep_alive)
        self._rule = rule
        self.replies: list[Reply] = []

    @property
    def url(self) -> str:
        """What a client takes for `base_url`."""
        return f"{self.origin}/v1"

    @property
    def requests(self) -> list[dict[str, Any]]:
        """The bodies of all requests that reached it, in order."""
        return [r.body for r in self.seen]

    @property
    def usage(self) -> tuple[int, int]:
        """All tokens it reported: in, out."""
        replies = list(self.replies)
        return sum(r.usage[0] for r in replies), sum(r.usage[1] for r in replies)

    def requests_for(self, model: str) -> list[dict[str, Any]]:
        """The bodies of all requests for one model, in order."""
        return [r for r in self.requests if r.get("model") == model]

    def model_of(self, request: Request) -> str:
        """The model that a request names."""
        return str(request.body.get("model", "")) if isinstance(request.body, dict) else ""

    async def answer(self, request: Request, way: Answering, fault: Fault | None) -> None:
        """See `Loopback.answer`."""
        body = request.body
        if request.method != "POST" or not request.path.endswith("/chat/completions") or not isinstance(body, dict):
            _tell(way, 404, failure(f"no {request.method} {request.path} here", kind="invalid_request_error"))
            return
        if dangling := unanswered(body):
            said = f"tool calls without an answer: {dangling}"
            _tell(way, 400, failure(said, kind="invalid_request_error"))
            return
        streams = bool(body.get("stream"))
        match fault.kind if fault else None:
            case "429" | "500" | "503" as status if fault:
                _fail(way, int(status), fault)
            case "wrong_shape":
                _tell(way, 200, {"detail": "all is well"}, streams=streams)
            case "garbage":
                way.whole(200, b"<html>all is well</html>")
            case "truncated_stream" | "quiet_stream" | "stalled_stream" as kind:
                await _half(way, body, self._rule(body), kind)
            case "malformed_call" | "unknown_tool" | "refusal" as kind:
                self._reply(way, body, _turned(self._rule(body), kind, body))
            case None | "held" | "slow":
                self._reply(way, body, self._rule(body))
            case other:
                raise ValueError(f"{other!r} is none of this server's faults")

    def _reply(self, way: Answering, body: dict[str, Any], reply: Reply) -> None:
        if reply.status != 200:
            _tell(way, reply.status, failure("scripted failure"))
            return
        self.replies.append(reply)
        if body.get("stream"):
            _stream(way, list(chunks(reply, body)))
            way.part(b"data: [DONE]\n\n")
            way.end()
        else:
            way.whole(200, orjson.dumps(whole(reply, body["model"])))


def _tell(way: Answering, status: int, what: dict[str, Any], *, streams: bool = False) -> None:
    if streams:
        _stream(way, [what])
        way.end()
    else:
        way.whole(status, orjson.dumps(what))


def _stream(way: Answering, parts: Sequence[dict[str, Any]]) -> None:
    way.start(200, {"Content-Type": "text/event-stream"})
    for part in parts:
        way.part(b"data: " + orjson.dumps(part) + b"\n\n")


async def _half(way: Answering, body: dict[str, Any], reply: Reply, kind: str) -> None:
    """Half of an answer. Usage comes at the end of a stream, so it is not told."""
    if streams := bool(body.get("stream")):
        parts = list(chunks(reply, body))
        _stream(way, parts[: max(len(parts) // 2, 1)])
    else:
        way.half(orjson.dumps(whole(reply, body["model"])))
    if kind == "stalled_stream":
        await for_ever()
    elif kind == "quiet_stream" and streams:
        way.end()
    else:
        way.cut()


def _fail(way: Answering, status: int, fault: Fault) -> None:
    after = {} if fault.retry_after is None else {"Retry-After": f"{fault.retry_after:g}"}
    body = (
        failure("Rate limit reached.", kind="requests", code="rate_limit_exceeded")
        if status == 429
        else failure("The server had an error while processing your request.")
    )
    way.whole(status, orjson.dumps(body), headers=after)


def _turned(reply: Reply, kind: str, body: dict[str, Any]) -> Reply:
    """A reply with the fault in it."""
    match kind:
        case "refusal":
            return Reply(refusal=REFUSAL, usage=reply.usage)
        case "unknown_tool":
            return Reply(calls=[("no_such_tool", "{}")], usage=reply.usage)
        case _:
            calls = reply.calls or [(next(iter(sorted(offered(body))), "tool"), '{"text": "done"}')]
            # Without its first brace: LangChain mends arguments of streamed calls that break off at their end.
            return replace(reply, calls=[(name, arguments[1:] or "}") for name, arguments in calls])

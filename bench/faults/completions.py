"""OpenAI's chat completions format, as a server writes it: whole answers, and streams with usage."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What the server answers: text or calls (name, arguments as JSON text), the usage it reports, or an error.

    Attributes:
        ids: of the calls, in order; made up where there are none.
        usage: tokens in, tokens out.
        refusal: the provider's words for not answering; then there is no text, and the finish reason says so.
    """

    text: str = ""
    calls: Sequence[tuple[str, str]] = ()
    ids: Sequence[str] = ()
    usage: tuple[int, int] = (100, 20)
    status: int = 200
    refusal: str = ""

    @property
    def reason(self) -> str:
        """Why it ends."""
        return "content_filter" if self.refusal else "tool_calls" if self.calls else "stop"


def said(request: dict[str, Any], role: str) -> list[str]:
    """The contents of a request's messages of one role."""
    return [str(m.get("content") or "") for m in request["messages"] if m["role"] == role]


def offered(request: dict[str, Any]) -> set[str]:
    """The names of the tools a request offers."""
    return {t["function"]["name"] for t in request.get("tools", ())}


def unanswered(request: dict[str, Any]) -> list[str]:
    """Ids of tool calls that the messages leave unanswered, which the real server refuses."""
    asked = [c["id"] for m in request["messages"] for c in m.get("tool_calls") or ()]
    answered = {m.get("tool_call_id") for m in request["messages"] if m["role"] == "tool"}
    return [call for call in asked if call not in answered]


def whole(reply: Reply, model: str) -> dict[str, Any]:
    """A reply as one JSON object."""
    message: dict[str, Any] = {"role": "assistant", "content": reply.text or None}
    if reply.refusal:
        message["refusal"] = reply.refusal
    if reply.calls:
        message["tool_calls"] = _calls(reply)
    return {
        "id": f"chatcmpl-{uuid4().hex}",
        "object": "chat.completion",
        "created": 1,
        "model": model,
        "choices": [{"index": 0, "message": message, "finish_reason": reply.reason, "logprobs": None}],
        "usage": _usage(reply),
    }


def chunks(reply: Reply, request: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A reply as the objects of a stream; usage comes last, and only where the request asks for it."""
    head = {
        "id": f"chatcmpl-{uuid4().hex}",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": request["model"],
    }

    def choice(delta: dict[str, Any], reason: str | None = None) -> dict[str, Any]:
        return {**head, "choices": [{"index": 0, "delta": delta, "finish_reason": reason, "logprobs": None}]}

    yield choice({"role": "assistant", "content": ""})
    if reply.refusal:
        yield choice({"refusal": reply.refusal})
    for word in reply.text.split():
        yield choice({"content": word + " "})
    for index, call in enumerate(_calls(reply)):
        arguments = call["function"]["arguments"]
        call["function"] = {"name": call["function"]["name"], "arguments": ""}
        yield choice({"tool_calls": [{"index": index, **call}]})
        for part in (arguments[:7], arguments[7:]):
            yield choice({"tool_calls": [{"index": index, "function": {"arguments": part}}]})
    yield choice({}, reply.reason)
    if (request.get("stream_options") or {}).get("include_usage"):
        yield {**head, "choices": [], "usage": _usage(reply)}


def failure(message: str, *, kind: str = "server_error", code: str | None = None) -> dict[str, Any]:
    """An error as the provider words it."""
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def _calls(reply: Reply) -> list[dict[str, Any]]:
    return [
        {
            "id": reply.ids[i] if reply.ids else f"call_{uuid4().hex}",
            "type": "function",
            "function": {"name": name, "arguments": arguments},
        }
        for i, (name, arguments) in enumerate(reply.calls)
    ]


def _usage(reply: Reply) -> dict[str, int]:
    sent, got = reply.usage
    return {"prompt_tokens": sent, "completion_tokens": got, "total_tokens": sent + got}

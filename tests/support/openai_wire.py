"""A model server on loopback that speaks OpenAI's chat completions format, scripted by a function."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import uuid4


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What the server answers: text or calls (name, arguments as JSON text), the usage it reports, or an error."""

    text: str = ""
    calls: Sequence[tuple[str, str]] = ()
    ids: Sequence[str] = ()
    usage: tuple[int, int] = (100, 20)
    status: int = 200


Script = Callable[[dict[str, Any]], Reply]


@dataclass(kw_only=True)
class Wire:
    """The server's side of the story: its address, and every request it got."""

    url: str
    requests: list[dict[str, Any]] = field(default_factory=list)
    replies: list[Reply] = field(default_factory=list)

    @property
    def usage(self) -> tuple[int, int]:
        """All tokens it reported: in, out."""
        return sum(r.usage[0] for r in self.replies), sum(r.usage[1] for r in self.replies)


def said(request: dict[str, Any], role: str) -> list[str]:
    """The contents of a request's messages of one role."""
    return [str(m.get("content") or "") for m in request["messages"] if m["role"] == role]


def offered(request: dict[str, Any]) -> set[str]:
    """The names of the tools a request offers."""
    return {t["function"]["name"] for t in request.get("tools", ())}


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


def _whole(reply: Reply, model: str) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": reply.text or None}
    if reply.calls:
        message["tool_calls"] = _calls(reply)
    reason = "tool_calls" if reply.calls else "stop"
    return {
        "id": f"chatcmpl-{uuid4().hex}",
        "object": "chat.completion",
        "created": 1,
        "model": model,
        "choices": [{"index": 0, "message": message, "finish_reason": reason, "logprobs": None}],
        "usage": _usage(reply),
    }


def _chunks(reply: Reply, request: dict[str, Any]) -> Iterator[dict[str, Any]]:
    head = {
        "id": f"chatcmpl-{uuid4().hex}",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": request["model"],
    }

    def choice(delta: dict[str, Any], reason: str | None = None) -> dict[str, Any]:
        return {**head, "choices": [{"index": 0, "delta": delta, "finish_reason": reason, "logprobs": None}]}

    yield choice({"role": "assistant", "content": ""})
    for word in reply.text.split():
        yield choice({"content": word + " "})
    for index, call in enumerate(_calls(reply)):
        arguments = call["function"]["arguments"]
        call["function"] = {"name": call["function"]["name"], "arguments": ""}
        yield choice({"tool_calls": [{"index": index, **call}]})
        for part in (arguments[:7], arguments[7:]):
            yield choice({"tool_calls": [{"index": index, "function": {"arguments": part}}]})
    yield choice({}, "tool_calls" if reply.calls else "stop")
    if (request.get("stream_options") or {}).get("include_usage"):
        yield {**head, "choices": [], "usage": _usage(reply)}


def _unanswered(request: dict[str, Any]) -> list[str]:
    """Ids of tool calls that the messages leave unanswered, which the real server refuses."""
    asked = [c["id"] for m in request["messages"] for c in m.get("tool_calls") or ()]
    answered = {m.get("tool_call_id") for m in request["messages"] if m["role"] == "tool"}
    return [call for call in asked if call not in answered]


@contextmanager
def openai_wire(script: Script) -> Iterator[Wire]:
    """Serve the script until the context ends."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            wire.requests.append(request)
            if not self.path.endswith("/chat/completions"):
                self._answer(404, {"error": {"message": f"no {self.path} here"}})
                return
            if dangling := _unanswered(request):
                self._answer(400, {"error": {"message": f"tool calls without an answer: {dangling}"}})
                return
            reply = script(request)
            if reply.status != 200:
                self._answer(reply.status, {"error": {"message": "scripted failure"}})
                return
            wire.replies.append(reply)
            if not request.get("stream"):
                self._answer(200, _whole(reply, request["model"]))
                return
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Connection", "close")
            self.end_headers()
            for chunk in _chunks(reply, request):
                self.wfile.write(f"data: {json.dumps(chunk)}\n\n".encode())
            self.wfile.write(b"data: [DONE]\n\n")
            self.close_connection = True

        def _answer(self, status: int, body: dict[str, Any]) -> None:
            raw = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing is printed."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        block_on_close = False

    server = Server(("127.0.0.1", 0), Handler)
    wire = Wire(url=f"http://127.0.0.1:{server.server_address[1]}/v1")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield wire
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)

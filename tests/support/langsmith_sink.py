"""A stand-in for LangSmith on loopback: takes runs, and tells them as they add up from their posts and patches."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_INFO = {
    "batch_ingest_config": {
        "use_multipart_endpoint": False,
        "size_limit": 100,
        "size_limit_bytes": 20_000_000,
        "scale_up_nthreads_limit": 1,
        "scale_up_qsize_trigger": 1000,
        "scale_down_nempty_trigger": 4,
    }
}


@dataclass(kw_only=True)
class Sink:
    """What arrived: every request's path and body, and each run by id."""

    url: str
    paths: list[str] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    runs: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def roots(self) -> list[dict[str, Any]]:
        """The runs that nothing is above of: one per trace."""
        return [r for r in self.runs.values() if not r.get("parent_run_id")]

    def of(self, kind: str) -> list[dict[str, Any]]:
        """The runs of one kind: `chain`, `llm`, `tool`."""
        return [r for r in self.runs.values() if r.get("run_type") == kind]


def metadata(run: dict[str, Any]) -> dict[str, Any]:
    """A run's metadata."""
    found: dict[str, Any] = (run.get("extra") or {}).get("metadata") or {}
    return found


def environment(sink: Sink) -> dict[str, str]:
    """The settings that turn tracing on, as a user gives them."""
    return {"LANGSMITH_TRACING": "true", "LANGSMITH_ENDPOINT": sink.url, "LANGSMITH_API_KEY": "lsv2_test"}


@contextmanager
def langsmith_sink() -> Iterator[Sink]:
    """Take runs until the context ends."""
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._taken()

        def do_POST(self) -> None:
            self._taken()

        def do_PATCH(self) -> None:
            self._taken()

        def _taken(self) -> None:
            raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            with lock:
                sink.paths.append(f"{self.command} {self.path}")
                sink.bodies.append(raw)
                if self.path.endswith("/runs/batch"):
                    told = json.loads(raw)
                    for run in [*told.get("post", ()), *told.get("patch", ())]:
                        known = {k: v for k, v in run.items() if v is not None}
                        sink.runs.setdefault(run["id"], {}).update(known)
            body = json.dumps(_INFO if self.path.endswith("/info") else {}).encode()
            self.send_response(200 if self.command == "GET" else 202)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing is printed."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        block_on_close = False

    server = Server(("127.0.0.1", 0), Handler)
    sink = Sink(url=f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield sink
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)

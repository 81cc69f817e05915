"""The canary trial over the borders of the process: LangSmith, a program's own output, HTTP."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from edgewright import ReviewAnswer
from edgewright.server.app import create_app
from edgewright.server.project import Served
from langchain_core.tracers.langchain import LangChainTracer
from langsmith import Client
from support.canary_house import OWNERS, REQUEST, found, found_raw, house, prose
from support.langsmith_sink import Sink, environment, langsmith_sink

CHILD = Path(__file__).parents[1] / "support" / "canary_child.py"
APPROVED = ReviewAnswer(decision="approve", reason=prose("person"))


def _run(home: Path, settings: Mapping[str, str], *, fails: str = "", never: str = "closed") -> tuple[int, str]:
    """Run the program; returns its exit code and everything that it printed."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("LANGSMITH_", "LANGCHAIN_"))}
    done = subprocess.run(
        [sys.executable, str(CHILD), str(home), fails, never],
        env=clean | dict(settings),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def _sent(sink: Sink) -> list[str]:
    """The canaries in what was posted: in the bytes, and in what they say."""
    return [f for body in sink.bodies for f in found_raw(body)] + found(sink.runs)


def test_a_traced_program_sends_and_prints_no_canary(tmp_path: Path) -> None:
    with langsmith_sink() as sink:
        code, printed = _run(tmp_path, environment(sink))
    assert code == 0, printed[-3000:]
    assert len(sink.runs) > 40
    assert {"chain", "llm", "tool"} == {r["run_type"] for r in sink.runs.values()}
    assert _sent(sink) == []
    assert found(printed) == []


@pytest.mark.parametrize("fails", ["router", "beta"])
def test_a_program_that_dies_of_an_error_sends_and_prints_no_canary(fails: str, tmp_path: Path) -> None:
    with langsmith_sink() as sink:
        code, printed = _run(tmp_path, environment(sink), fails=fails)
    assert code == 1
    assert "RuntimeError: Please note [aws_key]" in printed
    assert any(r.get("error") for r in sink.runs.values())
    assert _sent(sink) == []
    assert found(printed) == []


def test_without_never_a_traced_program_sends_and_prints_them(tmp_path: Path) -> None:
    with langsmith_sink() as sink:
        code, printed = _run(tmp_path, environment(sink), never="open")
    assert code == 0
    sent, said = "\n".join(_sent(sink)), "\n".join(found(printed))
    for owner in OWNERS:
        if owner != "caller":  # of a request that agents do not quote only the trace tells
            assert f"{owner}'s" in said, owner
        assert f"{owner}'s" in sent, owner


async def test_a_tracer_given_with_the_run_sends_no_canary() -> None:
    with langsmith_sink() as sink:
        client = Client(api_url=sink.url, api_key="lsv2_test")
        config: Any = {"callbacks": [LangChainTracer(client=client)]}
        system = house().system
        asked = await system.arun(REQUEST, thread="t", config=config)
        await system.aresume("t", {r.id: APPROVED for r in asked.reviews}, config=config)
        await asyncio.to_thread(client.flush)
    assert len(sink.runs) > 40
    assert _sent(sink) == []


# -- HTTP ------------------------------------------------------------------------------------------------------------


async def _served(fails: str, home: Path) -> list[str]:
    """Everything that a client of the server gets of two threads: one streamed, one waited for."""
    import socket

    system = house(home, fails=fails).system
    listening = socket.create_server(("127.0.0.1", 0))
    served = {"house": Served(name="house", graph=system.graph, system=system)}
    server = uvicorn.Server(uvicorn.Config(create_app(served, home=system.home), log_level="warning", lifespan="on"))
    task = asyncio.create_task(server.serve(sockets=[listening]))
    got: list[str] = []
    answer = {"command": {"resume": APPROVED.model_dump(mode="json")}}
    try:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        async with httpx.AsyncClient(base_url=url, timeout=60) as client:

            async def told(verb: str, path: str, **body: Any) -> Any:
                response = await client.request(verb, path, json=body if verb == "POST" else None)
                got.append(response.text)
                return response

            for how in ("stream", "wait"):
                thread = (await told("POST", "/threads")).json()["thread_id"]
                run: dict[str, Any] = {"assistant_id": "house"}
                if how == "stream":
                    run["stream_mode"] = ["values", "updates", "messages-tuple", "custom"]
                await told("POST", f"/threads/{thread}/runs/{how}", **run, input={"request": REQUEST})
                await told("GET", f"/threads/{thread}/state")
                await told("POST", f"/threads/{thread}/runs/{how}", **run, **answer)
                await told("GET", f"/threads/{thread}/state")
                await told("POST", f"/threads/{thread}/history", limit=100)
                for each in (await told("GET", f"/threads/{thread}/runs")).json():
                    await told("GET", f"/threads/{thread}/runs/{each['run_id']}/join")
                await told("GET", f"/threads/{thread}")
            refused = {**REQUEST, prose("caller"): prose("caller"), "text": {"is": prose("caller")}}
            thread = (await told("POST", "/threads")).json()["thread_id"]
            wrong = await told("POST", f"/threads/{thread}/runs/wait", assistant_id="house", input={"request": refused})
            assert wrong.status_code == 422
    finally:
        server.should_exit = True
        async with asyncio.timeout(30):
            await task
    system.close()
    return got


@pytest.mark.parametrize("fails", ["", "alpha", "beta"])
async def test_the_server_tells_no_canary(fails: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("DEBUG", logger="edgewright"):
        got = await _served(fails, tmp_path)
    assert any("event: custom" in text for text in got)
    assert found(got, caplog.text) == []
    assert [f for p in tmp_path.rglob("*") if p.is_file() for f in found_raw(p.read_bytes())] == []  # noqa: ASYNC240

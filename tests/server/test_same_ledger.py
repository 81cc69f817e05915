"""One ticket, wherever it runs: the same verdicts, the same effects, the same ledger but for ids and times."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import shutil
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from edgewright.contracts.review import ReviewAnswer
from edgewright.graphs.system import System
from edgewright.ledger.sqlite import SqliteLedger
from langchain_core.callbacks import StdOutCallbackHandler
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command
from langgraph_sdk import get_client

from .conftest import Serve
from .house import PLAIN, REVIEWED, Till, desk
from .normalised import normalised

REASON = "agreed by phone"
Ledgered = list[tuple[str, dict[str, Any]]]

MODULE = """
import os
from house import Till, desk

graph = desk(os.environ["HOUSE_HOME"]).graph
"""


async def by_sdk(url: str, given: dict[str, Any]) -> str:
    """Run a request through a server, approving what it asks; returns the governed run's id."""
    async with get_client(url=url, api_key=None) as client:
        thread = (await client.threads.create())["thread_id"]
        out: Any = await client.runs.wait(thread, "desk", input=given)
        while asked := out.get("__interrupt__"):
            resume = {i["id"]: {"decision": "approve", "reason": REASON} for i in asked}
            out = await client.runs.wait(thread, "desk", command={"resume": resume})
    return str(out["run"])


async def in_process(system: System, given: dict[str, Any]) -> str:
    """Run a request by `System.arun`."""
    result = await system.arun(given["request"])
    while result.reviews:
        answers = {r.id: ReviewAnswer(decision="approve", reason=REASON) for r in result.reviews}
        result = await system.aresume(result.thread, answers)
    return result.run


async def expected(home: Path, given: dict[str, Any]) -> Ledgered:
    system = desk(home)
    try:
        return normalised(system.ledger.entries(await in_process(system, given)))
    finally:
        system.close()


@pytest.mark.parametrize("given", [PLAIN, REVIEWED], ids=["allowed", "reviewed"])
async def test_a_run_by_http_leaves_the_ledger_of_a_run_in_process(
    serve: Serve, system: System, till: Till, tmp_path: Path, given: dict[str, Any]
) -> None:
    run = await by_sdk(await serve(system), given)
    assert normalised(system.ledger.entries(run)) == await expected(tmp_path / "other", given)
    assert till.paid == [3000 if given is REVIEWED else 100]


async def test_runs_that_differ_do_not_compare_equal(tmp_path: Path) -> None:
    allowed, reviewed = [await expected(tmp_path / name, g) for name, g in (("a", PLAIN), ("b", REVIEWED))]
    assert allowed != reviewed
    other = {"request": {"sender": "C2", "text": "small refund"}}
    assert await expected(tmp_path / "c", other) != allowed


async def by_graph(system: System, given: dict[str, Any]) -> str:
    """Run a request on the plain compiled graph, over a checkpointer and with callbacks of the caller's own."""
    graph = system.compile(checkpointer=InMemorySaver())
    config: RunnableConfig = {"configurable": {"thread_id": str(uuid4())}, "callbacks": [StdOutCallbackHandler()]}
    out = await graph.ainvoke(given, config)
    while asked := out.get("__interrupt__"):
        resume = {i.id: {"decision": "approve", "reason": REASON} for i in asked}
        out = await graph.ainvoke(Command(resume=resume), config)
    return str(out["run"])


@pytest.mark.parametrize("given", [PLAIN, REVIEWED], ids=["allowed", "reviewed"])
async def test_a_run_of_the_plain_graph_leaves_the_ledger_of_a_run_in_process(
    system: System, till: Till, tmp_path: Path, given: dict[str, Any]
) -> None:
    run = await by_graph(system, given)
    assert normalised(system.ledger.entries(run)) == await expected(tmp_path / "other", given)
    assert till.paid == [3000 if given is REVIEWED else 100]


async def test_the_plain_graph_runs_without_a_checkpointer(system: System, till: Till) -> None:
    out = await system.graph.ainvoke(PLAIN)
    assert normalised(system.ledger.entries(out["run"]))[-1][1]["status"] == "completed"
    assert till.paid == [100]


@asynccontextmanager
async def langgraph_dev(folder: Path, home: Path) -> AsyncIterator[str]:
    """`langgraph dev` of a folder with a `langgraph.json`, in a process of its own."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    log = (folder / "dev.log").open("wb")
    kept = {k: v for k, v in os.environ.items() if k in ("PATH", "HOME", "LANG", "VIRTUAL_ENV")}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "langgraph_cli", "dev", "--no-browser", "--no-reload", "--port", str(port)),
        cwd=folder,
        env={**kept, "HOUSE_HOME": str(home), "EDGEWRIGHT_HOME": str(home)},
        stdout=log,
        stderr=log,
        start_new_session=True,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        async with asyncio.timeout(60), httpx.AsyncClient() as raw:
            while True:
                assert process.returncode is None, (folder / "dev.log").read_text()
                try:
                    if (await raw.get(f"{url}/ok")).is_success:
                        break
                except httpx.TransportError:
                    await asyncio.sleep(0.1)  # another program's start can only be asked for
        yield url
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGTERM)
            try:
                async with asyncio.timeout(20):
                    await process.wait()
            except TimeoutError:
                os.killpg(process.pid, signal.SIGKILL)
                await process.wait()
        log.close()


def studio() -> None:
    """Skip where the extra is not installed; fail where it has to be."""
    if importlib.util.find_spec("langgraph_cli") is None or importlib.util.find_spec("langgraph_api") is None:
        if os.environ.get("EDGEWRIGHT_REQUIRE_STUDIO"):
            pytest.fail("EDGEWRIGHT_REQUIRE_STUDIO is set, and the extra `studio` is not installed")
        pytest.skip("the extra `studio` (langgraph-cli[inmem]) is not installed")


@pytest.mark.slow
@pytest.mark.parametrize("given", [PLAIN, REVIEWED], ids=["allowed", "reviewed"])
async def test_a_run_by_langgraph_dev_leaves_the_ledger_of_a_run_in_process(
    tmp_path: Path, given: dict[str, Any]
) -> None:
    studio()
    folder, home = tmp_path / "project", tmp_path / "home"
    folder.mkdir()
    shutil.copy(Path(__file__).with_name("house.py"), folder / "house.py")
    (folder / "project.py").write_text(MODULE)
    config = {"dependencies": ["."], "graphs": {"desk": "./project.py:graph"}}
    (folder / "langgraph.json").write_text(json.dumps(config))
    async with langgraph_dev(folder, home) as url:
        run = await by_sdk(url, given)
    ledger = SqliteLedger(home / "edgewright.db")
    try:
        assert normalised(ledger.entries(run)) == await expected(tmp_path / "other", given)
    finally:
        ledger.close()


@pytest.mark.slow
async def test_langgraph_dev_opens_the_projects_own_langgraph_json(tmp_path: Path) -> None:
    studio()
    shutil.copy(Path(__file__).parents[2] / "langgraph.json", tmp_path / "langgraph.json")
    request = {"sender": "C-1015", "channel": "portal", "text": "Please cancel my mobile line right now."}
    async with langgraph_dev(tmp_path, tmp_path / "home") as url, get_client(url=url, api_key=None) as client:
        thread = (await client.threads.create())["thread_id"]
        asked: Any = await client.runs.wait(thread, "customer_support", input={"request": request})
        assert asked["__interrupt__"][0]["value"]["tool"] == "cancel_line"
        resume = {asked["__interrupt__"][0]["id"]: {"decision": "reject", "reason": "the term runs on"}}
        out: Any = await client.runs.wait(thread, "customer_support", command={"resume": resume})
        schemas: Any = await client.assistants.get_schemas((await client.assistants.search())[0]["assistant_id"])
    assert out["response"]["message"]
    assert "request" in schemas["input_schema"]["properties"]

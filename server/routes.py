"""The endpoints, as `langgraph_sdk` calls them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any
from uuid import uuid4

import orjson
from fastapi import APIRouter, Depends, HTTPException, Request, Response
from fastapi.responses import StreamingResponse
from langgraph.types import StateSnapshot

from ..contracts.errors import NotFound
from ..contracts.review import Reviewer
from . import view
from .assistants import assistant, assistant_id, graph_json, named, schemas
from .guard import json_response
from .project import Served
from .runs import Dispatcher, Live
from .sse import answer_when
from .threads import RunRow, Thread, Threads
from .wire import (
    AssistantSearchBody,
    HistoryBody,
    StreamBody,
    ThreadBody,
    ThreadSearchBody,
    WaitBody,
    body_of,
    query_of,
    refused,
    uuid_of,
)

MAX_METADATA = 16 * 1024
_FALSE = ("false", "0", "")
_STATE = "state belongs to the graph: it is read here, newest first, and written by nobody else"


@dataclass(slots=True, kw_only=True)
class Desk:
    """What the endpoints work with; `threads` and `runs` are there while the server runs."""

    served: Mapping[str, Served]
    since: str
    threads: Threads
    runs: Dispatcher

    async def snapshot(self, thread: Thread) -> tuple[Served | None, StateSnapshot | None]:
        """A thread's graph and its state; None before its first run, or where the graph is no longer served."""
        served = self.served.get(thread.graph)
        return served, await self.runs.state(served, thread.id) if served else None

    async def theirs(self, thread: str, reviewer: Reviewer | None) -> bool:
        """Whether a thread exists for somebody: another tenant neither made it nor has a run on it."""
        if reviewer is None:
            return True
        if await self.threads.tenant(thread) not in ("", reviewer.tenant):
            return False
        systems = {id(s.system.home): s.system for s in self.served.values() if s.system is not None}
        tenants = {await system.tenant_of(thread) for system in systems.values()}
        return tenants <= {None, reviewer.tenant}

    async def thread_json(self, thread: Thread) -> dict[str, Any]:
        """A thread as the SDK reads it."""
        served, snapshot = await self.snapshot(thread)
        shown, run = view.state(served, snapshot), await self.runs.newest(served, thread.id)
        graph = {"graph_id": thread.graph, "assistant_id": assistant_id(thread.graph)} if thread.graph else {}
        return {
            "thread_id": thread.id,
            "created_at": thread.created,
            "updated_at": thread.updated,
            "metadata": {**thread.metadata, **graph},
            "status": view.standing(snapshot, busy=self.runs.live(thread.id) is not None, run=run),
            **({"run": view.run(run)} if run else {}),
            "config": {},
            "values": shown["values"] or None,
            "interrupts": {t["id"]: t["interrupts"] for t in shown["tasks"] if t["interrupts"]},
        }


def desk_of(request: Request) -> Desk:
    """What the endpoints work with."""
    desk: Desk = request.app.state.desk
    return desk


def reviewer_of(request: Request) -> Reviewer | None:
    """Who asks, as the server's authentication knows them."""
    found: Reviewer | None = getattr(request.state, "reviewer", None)
    return found


def _tenant(request: Request) -> str:
    """Whose a thread is that this request makes; empty where nobody is asked who they are."""
    by = reviewer_of(request)
    return by.tenant if by else ""


async def _own(request: Request) -> None:
    """Raises NotFound: the thread in the path is another tenant's, with the words for one that is not there."""
    thread = uuid_of(request.path_params["thread_id"], "thread_id")
    if not await desk_of(request).theirs(thread, reviewer_of(request)):
        run = request.path_params.get("run_id")
        raise NotFound(kind="run", name=uuid_of(run, "run_id")) if run else NotFound(kind="thread", name=thread)


def _run_json(row: RunRow) -> dict[str, Any]:
    return {
        "run_id": row.id,
        "thread_id": row.thread,
        "assistant_id": assistant_id(row.graph),
        "created_at": row.created,
        "updated_at": row.updated,
        "status": row.status,
        "metadata": row.metadata,
        "multitask_strategy": "reject",
        "kwargs": {},
    }


def _small(metadata: Mapping[str, Any] | None) -> dict[str, Any]:
    if len(orjson.dumps(metadata or {})) > MAX_METADATA:
        raise refused("metadata", f"is larger than {MAX_METADATA} bytes")
    return dict(metadata or {})


system = APIRouter()
assistants = APIRouter(prefix="/assistants")
threads = APIRouter(prefix="/threads")
runs = APIRouter(prefix="/threads/{thread_id}/runs", dependencies=[Depends(_own)])
OWN = [Depends(_own)]


@system.get("/ok")
async def ok(request: Request) -> Response:
    """The server is up."""
    query_of(request)
    return json_response(200, {"ok": True})


@system.get("/info")
async def info(request: Request) -> Response:
    """Versions, and which parts of the Agent Server API are here."""
    query_of(request)
    flags = {"assistants": True, "threads": True, "crons": False, "store": False, "langsmith": False}
    return json_response(
        200,
        {
            "name": "edgewright",
            "version": version("edgewright"),
            "langgraph_py_version": version("langgraph"),
            "flags": {**flags, "strict_resume": True},
        },
    )


@assistants.post("/search")
async def search_assistants(request: Request) -> Response:
    """The served graphs."""
    query_of(request)
    body, desk = await body_of(request, AssistantSearchBody), desk_of(request)
    found = [assistant(desk.served[name], desk.since) for name in sorted(desk.served)]
    found = [
        a
        for a in found
        if body.graph_id in (None, a["graph_id"])
        and (body.name or "").lower() in a["name"].lower()
        and all(k in a["metadata"] and a["metadata"][k] == v for k, v in (body.metadata or {}).items())
    ]
    return _page(found, body.offset, body.limit)


@assistants.get("/{name}")
async def get_assistant(request: Request, name: str) -> Response:
    """One assistant, by its id or its graph's name."""
    query_of(request)
    desk = desk_of(request)
    return json_response(200, assistant(named(desk.served, name), desk.since))


@assistants.get("/{name}/graph")
async def get_graph(request: Request, name: str) -> Response:
    """Nodes and edges."""
    query_of(request, {"xray": _FALSE})
    return json_response(200, graph_json(named(desk_of(request).served, name)))


@assistants.get("/{name}/schemas")
async def get_schemas(request: Request, name: str) -> Response:
    """JSON schemas of input and output."""
    query_of(request)
    return json_response(200, schemas(named(desk_of(request).served, name)))


@threads.post("")
async def create_thread(request: Request) -> Response:
    """A new thread."""
    query_of(request)
    body, desk = await body_of(request, ThreadBody), desk_of(request)
    thread = uuid_of(body.thread_id, "thread_id") if body.thread_id is not None else str(uuid4())
    made = await desk.threads.create(thread, _small(body.metadata), tenant=_tenant(request))
    if not made and body.if_exists != "do_nothing":
        raise HTTPException(409, f"thread {thread} exists already")
    if not await desk.theirs(thread, reviewer_of(request)):
        raise HTTPException(409, f"thread {thread} exists already")
    return json_response(200, await desk.thread_json(await desk.threads.get(thread)))


@threads.post("/search")
async def search_threads(request: Request) -> Response:
    """Threads, newest first."""
    query_of(request)
    body, desk = await body_of(request, ThreadSearchBody), desk_of(request)
    found = await desk.threads.search(
        metadata=body.metadata,
        ids=[uuid_of(i, "ids") for i in body.ids] if body.ids is not None else None,
        by=body.sort_by or "created_at",
        ascending=body.sort_order == "asc",
    )
    found = [t for t in found if await desk.theirs(t.id, reviewer_of(request))]
    if body.status is None:
        shown = [await desk.thread_json(t) for t in found[body.offset : body.offset + body.limit]]
        return _page(shown, 0, body.limit, more=len(found) > body.offset + body.limit, at=body.offset)
    standing = [t for t in [await desk.thread_json(t) for t in found] if t["status"] == body.status]
    return _page(standing, body.offset, body.limit)


@threads.get("/{thread_id}", dependencies=OWN)
async def get_thread(request: Request, thread_id: str) -> Response:
    """A thread, with its status."""
    query_of(request)
    desk = desk_of(request)
    return json_response(200, await desk.thread_json(await desk.threads.get(uuid_of(thread_id, "thread_id"))))


@threads.get("/{thread_id}/state", dependencies=OWN)
async def get_state(request: Request, thread_id: str) -> Response:
    """A thread's newest state."""
    query_of(request, {"subgraphs": _FALSE})
    desk = desk_of(request)
    thread = await desk.threads.get(uuid_of(thread_id, "thread_id"))
    served, snapshot = await desk.snapshot(thread)
    run = await desk.runs.newest(served, thread.id)
    return json_response(200, {**view.state(served, snapshot), **({"run": view.run(run)} if run else {})})


@threads.post("/{thread_id}/history", dependencies=OWN)
async def get_history(request: Request, thread_id: str) -> Response:
    """A thread's states, newest first."""
    query_of(request)
    thread_id = uuid_of(thread_id, "thread_id")
    body, desk = await body_of(request, HistoryBody), desk_of(request)
    await _own(request)  # a body takes its time: the thread may be another's by now
    served = desk.served.get((await desk.threads.get(thread_id)).graph)
    if served is None:
        return json_response(200, [])
    graph = await desk.runs.graph(served)
    past = graph.aget_state_history({"configurable": {"thread_id": thread_id}}, limit=body.limit)
    return json_response(200, [view.state(served, snapshot) async for snapshot in past])


@threads.api_route("/{thread_id}/state", methods=["POST", "PATCH", "PUT"])
@threads.api_route("/{thread_id}/state/{checkpoint}", methods=["GET", "POST"])
async def refuse_state(thread_id: str, checkpoint: str = "") -> Response:
    """Nobody but the graph writes state, and nobody goes back to an earlier one: an approval would be replayed."""
    uuid_of(thread_id, "thread_id")
    raise refused("checkpoint" if checkpoint else "values", _STATE)


async def _started(request: Request, thread_id: str, model: type[WaitBody]) -> Live:
    query_of(request)
    thread, desk = uuid_of(thread_id, "thread_id"), desk_of(request)
    body = await body_of(request, model)
    served = named(desk.served, body.assistant_id)
    modes: tuple[str, ...] = ()
    if isinstance(body, StreamBody):
        modes = tuple(dict.fromkeys(body.stream_mode or ("values",)))
    _small(body.metadata)
    if body.if_not_exists == "create":
        await desk.threads.create(thread, {}, tenant=_tenant(request))
    await _own(request)  # a body takes its time: the thread may be another's by now
    return await desk.runs.start(thread, served, body, modes, by=reviewer_of(request))


def _at(run: Live, *, join: bool) -> dict[str, str]:
    """Where a client finds the run. A stream has no Location: what was missed of it is not kept."""
    where = f"/threads/{run.thread}/runs/{run.id}"
    return {"Content-Location": where, **({"Location": f"{where}/join"} if join else {})}


@runs.post("/wait")
async def wait_run(request: Request, thread_id: str) -> Response:
    """Run, and answer with what the run leaves. A run that fails is a 200 with `__error__`, as the SDK expects."""
    run = await _started(request, thread_id, WaitBody)
    return joined(run)


@runs.post("/stream")
async def stream_run(request: Request, thread_id: str) -> Response:
    """Run, and stream. The run goes on if the client leaves."""
    run = await _started(request, thread_id, StreamBody)
    assert run.feed is not None
    headers = {**_at(run, join=False), "X-Accel-Buffering": "no"}
    return StreamingResponse(run.feed.frames(), media_type="text/event-stream", headers=headers)


@runs.get("")
async def list_runs(request: Request, thread_id: str) -> Response:
    """A thread's runs, newest first."""
    numbers = {"limit": 10, "offset": 0}
    for name, value in request.query_params.multi_items():
        if name not in numbers or not (value.isascii() and value.isdecimal() and len(value) < 7):
            raise refused(name[:100], "is not a query parameter here, or not a number in range")
        numbers[name] = int(value)
    thread = (await desk_of(request).threads.get(uuid_of(thread_id, "thread_id"))).id
    found = await desk_of(request).threads.runs(thread)
    return _page([_run_json(row) for row in found], numbers["offset"], numbers["limit"])


@runs.get("/{run_id}")
async def get_run(request: Request, thread_id: str, run_id: str) -> Response:
    """A run's status."""
    query_of(request)
    return json_response(200, _run_json(await _run(request, thread_id, run_id)))


@runs.get("/{run_id}/join")
async def join_run(request: Request, thread_id: str, run_id: str) -> Response:
    """Wait for a run; of one that ended, the thread's values of now."""
    query_of(request)
    row, desk = await _run(request, thread_id, run_id), desk_of(request)
    live = desk.runs.live(row.thread)
    if live is not None and live.id == row.id:
        return joined(live)
    row = await _run(request, thread_id, run_id)  # it may have ended in between
    if row.error:
        return json_response(200, {"__error__": row.error})
    served, snapshot = await desk.snapshot(await desk.threads.get(row.thread))
    return json_response(200, view.final(served, snapshot) if served and snapshot else {})


@runs.post("/{run_id}/cancel")
async def cancel_run(request: Request, thread_id: str, run_id: str) -> Response:
    """Cancel a run where it is; with `wait=true`, answer once it has stopped. It can be gone on with."""
    query_of(request, {"wait": ("true", "1", *_FALSE), "action": ("interrupt", "")})
    row, desk = await _run(request, thread_id, run_id), desk_of(request)
    live = desk.runs.live(row.thread)
    if live is None or live.id != row.id:
        raise HTTPException(409, f"run {row.id} is not running")
    by = reviewer_of(request)
    desk.runs.cancel(live, f"cancelled by {by.id}" if by else "cancelled over HTTP")
    if request.query_params.get("wait", "").lower() not in ("true", "1"):
        return json_response(202, {})
    return StreamingResponse(answer_when(live.done, dict), media_type="application/json")


async def _run(request: Request, thread_id: str, run_id: str) -> RunRow:
    desk, thread, run = desk_of(request), uuid_of(thread_id, "thread_id"), uuid_of(run_id, "run_id")
    found = await desk.threads.runs(thread, run=run)
    if not found:
        raise NotFound(kind="run", name=run)
    return found[0]


def joined(run: Live) -> Response:
    """What a run leaves, once it has ended."""

    async def body() -> AsyncIterator[bytes]:
        async for piece in answer_when(run.done, lambda: run.outcome):
            yield piece

    return StreamingResponse(body(), media_type="application/json", headers=_at(run, join=True))


def _page(rows: list[dict[str, Any]], offset: int, limit: int, *, more: bool = False, at: int = 0) -> Response:
    more = more or len(rows) > offset + limit
    response = json_response(200, rows[offset : offset + limit])
    if more:
        response.headers["X-Pagination-Next"] = str(offset + at + limit)
    return response

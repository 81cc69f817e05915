"""`create_app`: a project's graphs behind the smallest honest part of the Agent Server API.

What `langgraph_sdk.get_client(url=…)` needs to find assistants, hold threads, run, stream, answer a review and read
what happened. What is not served is refused by name, never ignored. Unless it is told how to know people, a server asks
nobody who they are, and is for one person on one machine: see `create_app`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from fastapi import Depends, FastAPI

from ..contracts.errors import ProjectInvalid
from ..contracts.review import DEVELOPMENT
from ..graphs.home import Home
from .guard import LOOPBACK, Guard, handle_errors
from .identity import Identify, identified
from .operating import operating
from .project import Served
from .routes import Desk, assistants, runs, system, threads
from .runs import Dispatcher
from .threads import Threads

STOP_SECONDS = 10.0


def create_app(
    served: Mapping[str, Served],
    *,
    home: Home,
    environment: str = DEVELOPMENT,
    allow_unauthenticated: bool = False,
    identify: Identify | None = None,
    hosts: Collection[str] = LOOPBACK,
    max_runs: int = 64,
) -> FastAPI:
    """The server of some graphs.

    Args:
        served: the graphs by name. A governed graph keeps its checkpoints in its system's home.
        home: keeps the threads (`server.db`) and the checkpoints of plain graphs. One server per home.
        environment: of plain graphs; a governed graph has its system's.
        allow_unauthenticated: serve outside development although nobody is asked who they are. Requests run;
            answers to reviews are refused with 403 all the same, since a review there wants a name.
        identify: who a request is from (`server/identity.py`). With it every request but `/ok` is answered 401 without
            a known name, runs record who started them, a review is answered as that person, and the threads of
            another tenant are not found. None asks nobody.
        hosts: host names by which clients may call. Any other is refused (DNS rebinding).
        max_runs: how many runs may be in flight at once; one more is refused with 503.

    Raises:
        ProjectInvalid: a graph is not of the development environment, and neither `identify` nor
            `allow_unauthenticated` is given.
    """
    environments = {environment, *(s.system.standing.environment for s in served.values() if s.system)}
    if (outside := sorted(environments - {DEVELOPMENT})) and identify is None and not allow_unauthenticated:
        fault = (
            f"serves the environment {', '.join(outside)}, but asks nobody who they are; set "
            f"EDGEWRIGHT_ENVIRONMENT={DEVELOPMENT}, tell it how to know people (edgewright serve --reviewers FILE), or "
            "set allow_unauthenticated behind a gateway that does ask"
        )
        raise ProjectInvalid(name="server", faults=[fault])

    homes = list({id(h): h for h in (home, *(s.system.home for s in served.values() if s.system))}.values())

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        rows = await asyncio.to_thread(Threads, home.path)
        try:
            for each in homes:
                await each.saver()
            dispatcher = Dispatcher(rows, home, environment=environment, max_runs=max_runs)
            since = datetime.now(UTC).isoformat()
            app.state.desk = Desk(served=dict(served), since=since, threads=rows, runs=dispatcher)
            try:
                yield
            finally:
                await dispatcher.stop(STOP_SECONDS)
        finally:
            await asyncio.to_thread(rows.close)
            for each in homes:
                await asyncio.to_thread(each.close)

    app = FastAPI(
        title="Edgewright",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
    )
    app.state.identify = identify
    app.add_middleware(Guard, hosts=hosts)
    handle_errors(app)
    for router in (system, assistants, threads, runs, operating):
        app.include_router(router, dependencies=[Depends(identified)])
    return app

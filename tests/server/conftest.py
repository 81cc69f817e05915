"""A real server on a loopback port, for real clients."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from edgewright.graphs.home import Home
from edgewright.graphs.system import System
from edgewright.server.app import create_app
from edgewright.server.project import Served
from langgraph_sdk import get_client
from langgraph_sdk.client import LangGraphClient

from .house import MENDED, Till, desk, plain


@asynccontextmanager
async def serving(served: Mapping[str, Served], home: Home, **options: Any) -> AsyncIterator[str]:
    """The address of a server of these graphs; it has stopped when the block ends."""
    listening = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(create_app(served, home=home, **options), log_level="warning", ws="none", lifespan="on")
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        # The socket listens already: a client that calls before the server is up waits in its backlog.
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        async with asyncio.timeout(30):
            await task


@pytest.fixture
def till() -> Till:
    MENDED.clear()
    return Till()


@pytest.fixture
def system(tmp_path: Path, till: Till) -> System:
    return desk(tmp_path / "home", till=till)


Serve = Callable[..., Awaitable[str]]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Start servers that stop with the test."""
    async with AsyncExitStack() as stack:

        async def start(system: System, **options: Any) -> str:
            graphs = {"desk": Served(name="desk", graph=system.graph, system=system), "plain": plain()}
            return await stack.enter_async_context(serving(graphs, system.home, **options))

        yield start


@pytest.fixture
async def url(serve: Serve, system: System) -> str:
    """A server of the desk and the plain graph."""
    return await serve(system)


@pytest.fixture
async def client(url: str) -> AsyncIterator[LangGraphClient]:
    """The SDK's client."""
    async with get_client(url=url, api_key=None) as made:
        yield made


@pytest.fixture
async def raw(url: str) -> AsyncIterator[httpx.AsyncClient]:
    """HTTP without the SDK's manners."""
    async with httpx.AsyncClient(base_url=url, timeout=30) as made:
        yield made

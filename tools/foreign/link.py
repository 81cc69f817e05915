"""The connection to a tool server, held by one task on a thread of its own.

Agents run on many event loops, some of them for one call only; a session of the `mcp` package belongs to one loop and
one task. So the session lives here, and calls come as work that is handed to its loop. Whoever asks may be cancelled,
or end, without harm to the session; when the connection is lost, all that waits on it is told, and the next call makes
a new one. What a server asks of us (sampling, elicitation, roots) is not offered, and refused.
"""

from __future__ import annotations

import asyncio
import atexit
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager, suppress
from contextvars import Context
from typing import Any, TypeVar

import mcp_types as types
from mcp.client.session import ClientSession
from mcp.shared.exceptions import MCPError
from pydantic import TypeAdapter, ValidationError

from ...contracts.errors import ServerFailed
from ..containment.kinds import of_kind
from .process import GRACE, Lost, Streams
from .wire import Listing

T = TypeVar("T")
Opening = Callable[[Lost], AbstractAsyncContextManager[Streams]]
"""Opens a transport."""

MAX_PAGES, MAX_TOOLS = 100, 2000
_CLOSED = "it was closed by us"
_CLIENT = types.Implementation(name="edgewright", version="1")
_RAW: TypeAdapter[dict[str, Any]] = TypeAdapter(dict[str, Any])


class Connection:
    """One session with a server, used on its link's loop only."""

    def __init__(self, server: str) -> None:
        self.server, self.lost, self.why, self.said = server, asyncio.Event(), "its connection was closed", ""
        self.session: Any = None
        self.instructions: str | None = None
        self.answered = False
        self._listing: Listing | None = None
        self._changes, self._listed = 0, (-1, 0.0)

    def lose(self, why: str, said: str = "") -> None:
        """The connection is of no more use: why, and what the server said last, for whoever runs it."""
        if not self.lost.is_set():
            self.why, self.said = why, said
            self.lost.set()

    async def heard(self, message: Any) -> None:
        """Take a notification in."""
        if isinstance(message, types.ToolListChangedNotification):
            self._changes += 1

    async def listed(self, old: float) -> Listing:
        """All tools of the server, from all pages.

        Args:
            old: how many seconds old the answer may be, where the server has told of no change since.

        Raises:
            ServerFailed: it does not tell them.
        """
        changes, at = self._listed
        if self._listing is None or changes != self._changes or time.monotonic() - at >= old:
            began = self._changes, time.monotonic()
            self._listing = Listing.of([t async for t in self._pages()], self.instructions)
            self._listed = began
        return self._listing

    async def _pages(self) -> AsyncIterator[Any]:
        params, seen, count = None, set[str](), 0
        for _ in range(MAX_PAGES):
            page = await self.request(types.ListToolsRequest(params=params))
            for tool in page.get("tools", ()):
                count += 1
                yield tool
            cursor = page.get("nextCursor")
            if cursor is None:
                return
            if cursor in seen or count > MAX_TOOLS:
                break
            seen.add(cursor)
            params = types.PaginatedRequestParams(cursor=cursor)
        raise ServerFailed(server=self.server, fault="its list of tools does not end")

    async def request(self, request: Any) -> dict[str, Any]:
        """Ask the server; the result as it came over the wire.

        Raises:
            ServerFailed: it is gone, breaks the protocol, or answers with an error.
        """
        try:
            found: dict[str, Any] = await self.session.send_request(request, _RAW)
        except MCPError as error:
            if error.code == types.CONNECTION_CLOSED:
                self.lose("its connection was closed")
                raise of_kind(ServerFailed(server=self.server, fault=self.why), "connection") from None
            fault = f"answered with an error: {error.message[:2000]}"
            raise of_kind(ServerFailed(server=self.server, fault=fault), "refused") from None
        except ValidationError:
            raise ServerFailed(server=self.server, fault="its answer is not as the protocol has it") from None
        self.answered = True
        return found


class Link:
    """The way to one server, for any thread and any event loop.

    Args:
        server: its name, for errors.
        opening: opens the transport, for each connection anew.
        timeout: seconds that connecting, and listing, may take.
    """

    def __init__(self, server: str, opening: Opening, timeout: float) -> None:
        self._server, self._opening, self._timeout = server, opening, timeout
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False
        self._asked: set[Future[Any]] = set()
        # On the loop:
        self._live: Connection | None = None
        self._holding: set[asyncio.Task[None]] = set()

    # -- from anywhere -------------------------------------------------------------------------------------------

    def submit(self, work: Callable[[], Awaitable[T]]) -> Future[T]:
        """Have work done on the link's loop. Raises ServerFailed if the link has been closed."""

        async def doing() -> T:
            return await work()

        loop, given = self._started(), doing()
        try:
            # In a context of its own: the session outlives the run that happened to open it.
            future = Context().run(asyncio.run_coroutine_threadsafe, given, loop)
        except RuntimeError:  # the loop was closed a moment ago
            given.close()
            raise self._failed(_CLOSED) from None
        self._asked.add(future)
        future.add_done_callback(self._asked.discard)
        return future

    @property
    def closed(self) -> bool:
        """Whether it has been closed, so that nothing can be asked any more."""
        return self._closed

    async def ask(self, work: Callable[[], Awaitable[T]]) -> T:
        """`submit`, awaited; cancelled, the work is cancelled too."""
        future = await asyncio.to_thread(self.submit, work) if self._loop is None else self.submit(work)
        return await asyncio.wrap_future(future)

    def close(self) -> None:
        """End the connection and the thread, and with them the server's process. May be called again."""
        with self._lock:
            self._closed, loop, thread = True, self._loop, self._thread
            self._loop = self._thread = None
        if loop is not None and thread is not None:
            loop.call_soon_threadsafe(self._stop)
            thread.join(4 * GRACE + 2)
            atexit.unregister(self.close)
            for future in list(self._asked):  # came too late to be begun
                future.cancel()

    def _started(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._closed:
                raise self._failed(_CLOSED)
            if self._loop is None:
                ready: Future[asyncio.AbstractEventLoop] = Future()
                # The kernel ends a server's process with the thread that began it.
                self._thread = threading.Thread(
                    target=lambda: asyncio.run(self._serve(ready)), name=f"edgewright-{self._server}", daemon=True
                )
                self._thread.start()
                self._loop = ready.result(10)
                atexit.register(self.close)
            return self._loop

    # -- on the loop ---------------------------------------------------------------------------------------------

    async def _serve(self, ready: Future[asyncio.AbstractEventLoop]) -> None:
        self._stopping, self._connecting = asyncio.Event(), asyncio.Lock()
        ready.set_result(asyncio.get_running_loop())
        await self._stopping.wait()
        if self._live is not None:
            self._live.lose(_CLOSED)
        if self._holding:
            await asyncio.wait(self._holding, timeout=4 * GRACE)

    def _stop(self) -> None:
        self._stopping.set()

    async def connection(self) -> Connection:
        """The connection, made if there is none. Raises ServerFailed."""
        async with self._connecting:
            if self._live is None or self._live.lost.is_set():
                self._live = None
                connection, ready = Connection(self._server), asyncio.get_running_loop().create_future()
                task = asyncio.create_task(self._hold(connection, ready))
                self._holding.add(task)
                task.add_done_callback(self._holding.discard)
                try:
                    async with asyncio.timeout(self._timeout):
                        await ready
                except BaseException as error:
                    connection.lose("it was given up")
                    if isinstance(error, TimeoutError):
                        raise self._failed(f"did not answer within {self._timeout:g} s") from None
                    raise
                self._live = connection
            return self._live

    async def _hold(self, connection: Connection, ready: asyncio.Future[None]) -> None:
        """Open the session, keep it until it is lost, and close it: all in this one task."""
        fault = ""
        try:
            async with (
                self._opening(connection.lose) as (read, write),
                ClientSession(read, write, message_handler=connection.heard, client_info=_CLIENT) as session,
            ):
                connection.session = session
                async with asyncio.timeout(self._timeout):
                    connection.instructions = (await session.initialize()).instructions
                if not ready.done():
                    ready.set_result(None)
                await connection.lost.wait()
        except Exception as error:  # noqa: BLE001 - whatever a transport raises, the connection is lost by it
            fault = connection.why if connection.lost.is_set() else _said(error)
        finally:
            connection.lose(fault or connection.why)
            if not ready.done():
                said = f"; it said last: {connection.said}" if connection.said else ""
                ready.set_exception(self._failed(f"it could not be connected to: {connection.why}{said}"))

    def _failed(self, fault: str) -> ServerFailed:
        return ServerFailed(server=self._server, fault=fault)


def _said(error: BaseException) -> str:
    """The first error in a group of them, in a line."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    with suppress(ValidationError):
        return f"{type(error).__name__}: {str(error)[:500]}"
    return type(error).__name__


def call_request(name: str, arguments: Mapping[str, Any], meta: Mapping[str, Any] | None) -> Any:
    """The request that calls a tool."""
    given: dict[str, Any] = {"_meta": dict(meta)} if meta else {}
    return types.CallToolRequest(params=types.CallToolRequestParams(name=name, arguments=dict(arguments), **given))

"""An HTTP server on loopback whose every byte and every closed socket is in the hands of whoever answers.

One thread with one event loop holds all connections, so hundreds may hang at once. HTTP itself is h11's.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from types import TracebackType
from typing import Self

import h11

from bench.faults.exchange import Answering, Request, read_request
from bench.faults.fault import Fault, Faults

HOST = "127.0.0.1"
BOUND = 10.0
"""Seconds that anything here waits for, unless told otherwise."""
_WAITING = 1024


class Loopback(ABC):
    """A server with faults on command. Subclasses say what an answer is.

    It listens once it is entered. Counts are of requests that reached it whole, whatever became of them.

    Args:
        keep_alive: whether a connection takes one request after another.
    """

    kinds: frozenset[str]

    def __init__(self, *, keep_alive: bool) -> None:
        self.keep_alive = keep_alive
        self.seen: list[Request] = []
        self.errors: list[Exception] = []
        self.in_flight = 0
        self._faults = Faults()
        self._lock = threading.Lock()
        self._waiting: list[tuple[Callable[[], bool], Future[None]]] = []
        self._connections: set[_Connection] = set()
        self._held: set[asyncio.Event] = set()
        self._thread: threading.Thread | None = None
        self._port = 0

    # -- what a subclass says ----------------------------------------------------------------------------------------

    def model_of(self, request: Request) -> str:
        """The model that a request is for, for faults that are one model's."""
        return ""

    @abstractmethod
    async def answer(self, request: Request, way: Answering, fault: Fault | None) -> None:
        """Answer a request; cancelled when its client leaves. After `held` and `slow` it is answered as usual."""

    def struck(self, request: Request, fault: Fault | None) -> None:  # noqa: B027 - few servers want to know
        """Told of each request before anything goes wrong with it."""

    # -- life --------------------------------------------------------------------------------------------------------

    @property
    def origin(self) -> str:
        """Scheme, host and port. The port stays the same while the server is down."""
        return f"http://{HOST}:{self._port}"

    def __enter__(self) -> Self:
        # A second socket keeps the port while nobody listens. It never listens, so nothing is delivered to it.
        self._keeper = _bound(0)
        self._port = self._keeper.getsockname()[1]
        begun: Future[None] = Future()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._live(begun)), name="loopback", daemon=True)
        self._thread.start()
        begun.result(BOUND)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        if error is None and self.errors:
            raise RuntimeError("what answers for this server raised; the first error is the cause") from self.errors[0]

    def close(self) -> None:
        """Close every connection and the port. Whoever still waits for an answer finds the connection closed."""
        if self._thread is None:
            return
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(BOUND)
        if self._thread.is_alive():
            raise TimeoutError(f"the server at {self.origin} did not close within {BOUND} s")
        self._thread = None
        self._keeper.close()

    async def _live(self, begun: Future[None]) -> None:
        self._loop, self._over = asyncio.get_running_loop(), asyncio.Event()
        try:
            self._listener: asyncio.Server | None = await self._listening()
        except OSError as error:
            begun.set_exception(error)
            return
        begun.set_result(None)
        await self._over.wait()
        await self._gone_down()

    async def _listening(self) -> asyncio.Server:
        sock = _bound(self._port)
        return await self._loop.create_server(lambda: _Connection(self), sock=sock, backlog=_WAITING)

    async def _gone_down(self) -> None:
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        open_ = list(self._connections)
        for connection in open_:
            connection.transport.abort()
        await asyncio.gather(*(c.lost.wait() for c in open_))
        await asyncio.gather(*(c.task for c in open_ if c.task is not None), return_exceptions=True)

    async def _come_up(self) -> None:
        if self._listener is None:
            self._listener = await self._listening()

    def down(self) -> None:
        """Close the port and every connection: connections are refused until `up()`."""
        asyncio.run_coroutine_threadsafe(self._gone_down(), self._loop).result(BOUND)

    def up(self) -> None:
        """Listen again, on the same port."""
        asyncio.run_coroutine_threadsafe(self._come_up(), self._loop).result(BOUND)

    # -- faults ------------------------------------------------------------------------------------------------------

    @property
    def fault(self) -> Fault | None:
        """The one fault in force, or the first of several; set it to None to take all of them back."""
        return next(iter(self._faults.commanded), None)

    @fault.setter
    def fault(self, fault: Fault | None) -> None:
        self.command(*([] if fault is None else [fault]))

    def command(self, *faults: Fault) -> None:
        """Have these faults in force from now on, and no others. The first that meets a request counts.

        Requests that are held or hang already are not let go: that is `release()`, or their client's business.

        Raises:
            ValueError: this server cannot do that.
        """
        if strange := [f.kind for f in faults if f.kind not in self.kinds]:
            raise ValueError(f"{type(self).__name__} knows no fault {strange[0]!r}; it knows: {sorted(self.kinds)}")
        self._faults.command(faults)

    def release(self) -> None:
        """Let the requests that are held now be answered."""
        self._loop.call_soon_threadsafe(self._let_go)

    def _let_go(self) -> None:
        for event in self._held:
            event.set()

    # -- counts ------------------------------------------------------------------------------------------------------

    def reached(self, of: str = "", says: str = "") -> int:
        """How many requests have reached it: all, or those for this model or path, and whose body contains this."""
        return sum(says in r.text and (of in r.path or of == self.model_of(r)) for r in list(self.seen))

    def _told(self, requests: int, of: str, says: str, in_flight: int | None) -> Future[None]:
        found: Future[None] = Future()

        def so() -> bool:
            return self.reached(of, says) >= requests and in_flight in (None, self.in_flight)

        with self._lock:
            self._waiting.append((so, found))
        self._changed()
        return found

    def _changed(self, by: int = 0, seen: Request | None = None) -> None:
        with self._lock:
            self.in_flight += by
            self.seen += [seen] if seen is not None else []
            true = [w for w in self._waiting if w[0]()]
            self._waiting = [w for w in self._waiting if w not in true and not w[1].cancelled()]
        for _, future in true:
            if future.set_running_or_notify_cancel():
                future.set_result(None)

    def _late(self, requests: int, of: str, says: str, in_flight: int | None, seconds: float) -> TimeoutError:
        which = [*(["of", of] if of else []), *([f"that say {says!r}"] if says else [])]
        wanted = " ".join(["not", str(requests), "requests", *which])
        wanted += f" and {in_flight} in flight" if in_flight is not None else ""
        return TimeoutError(
            f"{wanted} within {seconds} s: there were {self.reached(of, says)}, {self.in_flight} in flight"
        )

    def wait_for(
        self,
        *,
        requests: int = 0,
        of: str = "",
        says: str = "",
        in_flight: int | None = None,
        seconds: float = BOUND,
    ) -> None:
        """Wait until at least so many requests have reached it, and exactly so many of all are in flight.

        Args:
            of: only requests for this model, or whose path contains this, count among `requests`.
            says: and whose body contains this.
            seconds: the bound of the wait.

        Raises:
            TimeoutError: it was not so in time.
        """
        found = self._told(requests, of, says, in_flight)
        try:
            found.result(seconds)
        except FutureTimeout:
            found.cancel()
            raise self._late(requests, of, says, in_flight, seconds) from None

    async def await_for(
        self,
        *,
        requests: int = 0,
        of: str = "",
        says: str = "",
        in_flight: int | None = None,
        seconds: float = BOUND,
    ) -> None:
        """`wait_for`, without blocking the event loop. Raises TimeoutError."""
        found = self._told(requests, of, says, in_flight)
        try:
            await asyncio.wait_for(asyncio.wrap_future(found), seconds)
        except TimeoutError:
            raise self._late(requests, of, says, in_flight, seconds) from None

    # -- one request -------------------------------------------------------------------------------------------------

    async def _answered(self, request: Request, way: Answering) -> None:
        """Answer a request, or have go wrong what is to go wrong with it."""
        fault = self._faults.taken(model=self.model_of(request), path=request.path, text=request.text)
        self.struck(request, fault)
        self._changed(+1, request)
        try:
            match fault:
                case Fault(kind="hang"):
                    await for_ever()
                case Fault(kind="disconnect"):
                    way.cut()
                    return
                case Fault(kind="held"):
                    await self._until_released()
                case Fault(kind="slow", seconds=seconds):
                    await asyncio.sleep(seconds)
                case _:
                    pass
            await self.answer(request, way, fault)
        except Exception as error:  # noqa: BLE001 - raised again where the server is left
            self.errors.append(error)
            way.cut()
        finally:
            self._changed(-1)

    async def _until_released(self) -> None:
        event = asyncio.Event()
        self._held.add(event)
        try:
            await event.wait()
        finally:
            self._held.discard(event)


async def for_ever() -> None:
    """Wait until this is cancelled: the client leaves, or the server closes."""
    await asyncio.Event().wait()


def _bound(port: int) -> socket.socket:
    # Named as TCP, or asyncio leaves Nagle's algorithm on, and every answer waits 40 ms for an acknowledgement.
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        sock.bind((HOST, port))
    except OSError:
        sock.close()
        raise
    return sock


class _Connection(asyncio.Protocol):
    """One connection: requests one after another, each answered by a task that ends with the connection."""

    transport: asyncio.Transport

    def __init__(self, server: Loopback) -> None:
        self._server = server
        self._http = h11.Connection(h11.SERVER)
        self._head: h11.Request | None = None
        self._body = bytearray()
        self.task: asyncio.Task[None] | None = None
        self.lost = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way back."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._server._connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """End what is being answered: nobody waits for it."""
        self._server._connections.discard(self)
        if self.task is not None:
            self.task.cancel()
        self.lost.set()

    def data_received(self, data: bytes) -> None:
        """Take what came."""
        self._http.receive_data(data)
        self._advance()

    def _advance(self) -> None:
        while self.task is None:
            try:
                event = self._http.next_event()
            except h11.RemoteProtocolError:
                self.transport.close()
                return
            match event:
                case h11.Request():
                    self._head = event
                    self._body.clear()
                case h11.Data():
                    self._body += event.data
                case h11.EndOfMessage():
                    assert self._head is not None
                    request = read_request(self._head, bytes(self._body))
                    self.task = asyncio.get_running_loop().create_task(self._answered(request))
                case h11.ConnectionClosed():
                    self.transport.close()
                    return
                case _:  # more is to come
                    return

    async def _answered(self, request: Request) -> None:
        way = Answering(self._http, self.transport, keep_alive=self._server.keep_alive)
        await self._server._answered(request, way)
        self.task = None
        if self.transport.is_closing():
            return
        if self._http.our_state is h11.DONE and self._http.their_state is h11.DONE:
            self._http.start_next_cycle()
            self._advance()
        else:
            self.transport.close()

"""A server in a process of its own, spoken to over its standard streams.

The process gets the environment it was given and nothing else, and does not outlive us: its whole group is ended when
the connection is, and the kernel ends the process itself if we die without a word (Linux). What a process starts in a
session of its own is out of our reach. One message is never longer than `MAX_MESSAGE`.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process, SubprocessStreamProtocol
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import anyio
import mcp_types as types
from mcp.shared.message import SessionMessage

MAX_MESSAGE = 8 * 1024 * 1024
GRACE = 2.0
"""Seconds that a process has to end by itself, and again after it was told to."""
_TAIL = 2000
_DIES_WITH_US = (
    "import ctypes, os, signal, sys\n"
    "ctypes.CDLL(None).prctl(1, signal.SIGKILL)\n"  # PR_SET_PDEATHSIG
    "os.getppid() == int(sys.argv[1]) or os._exit(1)\n"
    "os.execv(sys.argv[2], sys.argv[2:])\n"
)

Lost = Callable[[str, str], None]
"""Called once when a connection is lost: why, and what the server said last beside it."""
Streams = tuple[Any, Any]
"""What the client session of the `mcp` package reads from and writes to."""


@asynccontextmanager
async def process_streams(
    command: Sequence[str], env: Mapping[str, str], cwd: Path | None, lost: Lost
) -> AsyncIterator[Streams]:
    """Start a server, and end it on leaving.

    Args:
        command: the program, by its absolute path, and its arguments.
        lost: called when the process has closed its output, with what it said last on its standard error.

    Raises:
        OSError: it cannot be started.
    """
    loop = asyncio.get_running_loop()
    launched = [sys.executable, "-I", "-S", "-c", _DIES_WITH_US, str(os.getpid())] if sys.platform == "linux" else []
    transport, protocol = await loop.subprocess_exec(
        lambda: _Watched(limit=MAX_MESSAGE, loop=loop),
        *launched,
        *command,
        stdin=PIPE,
        stdout=PIPE,
        stderr=PIPE,
        env=dict(env),
        cwd=cwd,
        start_new_session=True,
    )
    server = Process(transport, protocol, loop)
    incoming, read = anyio.create_memory_object_stream[SessionMessage | Exception](0)
    write, outgoing = anyio.create_memory_object_stream[SessionMessage](0)
    said = _Tail()
    try:
        async with anyio.create_task_group() as group:
            group.start_soon(_reading, server, incoming, said, lost)
            group.start_soon(_writing, server, outgoing)
            group.start_soon(said.follow, server)
            try:
                yield read, write
            finally:
                with anyio.CancelScope(shield=True):
                    await _ended(server, protocol)
                group.cancel_scope.cancel()
    finally:
        transport.close()
        for stream in (incoming, read, write, outgoing):
            stream.close()


class _Watched(SubprocessStreamProtocol):
    """Notices the end of the process itself, whoever still holds its pipes."""

    def __init__(self, limit: int, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(limit=limit, loop=loop)
        self.exited = asyncio.Event()

    def process_exited(self) -> None:
        super().process_exited()
        self.exited.set()


class _Tail:
    """The last that a process said on its standard error."""

    def __init__(self) -> None:
        self.text = b""

    async def follow(self, server: Process) -> None:
        assert server.stderr is not None
        while chunk := await server.stderr.read(4096):
            self.text = (self.text + chunk)[-_TAIL:]


async def _reading(server: Process, incoming: Any, said: _Tail, lost: Lost) -> None:
    assert server.stdout is not None
    fault = "its process ended"
    async with incoming:
        try:
            while line := await server.stdout.readline():
                # What is no message is noise that a server printed.
                with suppress(ValueError):
                    await incoming.send(
                        SessionMessage(types.jsonrpc_message_adapter.validate_json(line, by_name=False))
                    )
        except ValueError:
            fault = f"it sent a message longer than {MAX_MESSAGE} bytes"
        except (anyio.BrokenResourceError, anyio.ClosedResourceError, ConnectionError):
            fault = "its connection was closed"
        # Before the stream ends, so that whoever waits on it is told why.
        lost(fault, said.text.decode(errors="replace").strip())


async def _writing(server: Process, outgoing: Any) -> None:
    assert server.stdin is not None
    with suppress(ConnectionError):  # its end is noticed where its output is read
        async with outgoing:
            async for sent in outgoing:
                server.stdin.write(sent.message.model_dump_json(by_alias=True, exclude_unset=True).encode() + b"\n")
                await server.stdin.drain()


async def _ended(server: Process, watched: _Watched) -> None:
    """End a process and its group: asked by the end of its input, then told, then by force. Bounded."""
    assert server.stdin is not None
    server.stdin.close()
    if not await _gone(watched):
        _signal(server, signal.SIGTERM)
        await _gone(watched)
    # What it started may still be there when it is not.
    _signal(server, signal.SIGKILL)
    await _gone(watched)


def _signal(server: Process, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(server.pid, number)


async def _gone(watched: _Watched) -> bool:
    """Whether a process has ended within the time it has. Not by `wait()`: that waits for what holds its pipes too."""
    with anyio.move_on_after(GRACE):
        await watched.exited.wait()
    return watched.exited.is_set()

"""A wire to PostgreSQL that can be cut around a commit: then nobody on the other end knows what came of it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Literal

Cut = Literal["before", "after", "silent"]
COMMIT = b"COMMIT\0"


class Wire:
    """Passes on what goes between clients and the server.

    Attributes:
        port: where it listens.
        cut: what happens at the next commit: it is lost, its answer is lost, or nothing is heard any more, and the
            connection stays. Then it is None again.
        refusing: whether new connections are closed at once.
    """

    def __init__(self, server_port: int = 5432) -> None:
        self._server_port, self._listener = server_port, socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.cut: Cut | None = None
        self.refusing = False
        self._ends: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._start(self._accept)

    def _start(self, work: object, *values: object) -> None:
        thread = threading.Thread(target=work, args=values, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with suppress(OSError):  # it is closed
            while True:
                client, _ = self._listener.accept()
                if self.refusing:
                    client.close()
                    continue
                server = socket.create_connection(("127.0.0.1", self._server_port))
                for end in (client, server):
                    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    self._ends.append(end)
                deaf: list[Cut] = []
                self._start(self._up, client, server, deaf)
                self._start(self._down, client, server, deaf)

    def _up(self, client: socket.socket, server: socket.socket, deaf: list[Cut]) -> None:
        with suppress(OSError):
            while data := client.recv(65536):
                cut = self.cut if COMMIT in data else None
                if cut is not None:
                    self.cut = None
                    deaf.append(cut)
                if cut == "before":
                    break
                server.sendall(data)
        _end(client, server)

    def _down(self, client: socket.socket, server: socket.socket, deaf: list[Cut]) -> None:
        with suppress(OSError):
            while data := server.recv(65536):
                if not deaf:
                    client.sendall(data)
                elif deaf[0] == "after" and COMMIT in data:  # the server says that it is done
                    break
        _end(client, server)

    def drop(self) -> None:
        """Cut all connections there are."""
        _end(*self._ends)

    def close(self) -> None:
        """Cut all, and listen no more."""
        _end(self._listener)
        self.drop()
        for thread in self._threads:
            thread.join(10)
        _end(*self._ends)


def _end(*ends: socket.socket) -> None:
    for end in ends:
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)  # wakes whoever reads there
        end.close()


@contextmanager
def wire() -> Iterator[Wire]:
    """A wire to the PostgreSQL of the tests, closed afterwards."""
    made = Wire()
    try:
        yield made
    finally:
        made.close()

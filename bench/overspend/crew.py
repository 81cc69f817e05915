"""Processes that take orders, say what becomes of them, and may be killed."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from multiprocessing import get_context
from multiprocessing.connection import wait
from types import TracebackType
from typing import Self, get_args

from bench.overspend.asking import BOUND, Told
from bench.overspend.child import ENDED, Order, live

# Forked from a process that has imported all of it and has no threads: a new one is there in a moment.
_CONTEXT = get_context("forkserver")
_CONTEXT.set_forkserver_preload(["bench.overspend.child"])


class Process:
    """One of the processes.

    Attributes:
        told: how often it has said what, since its last order.
        gone: it was killed, or ended by itself.
    """

    def __init__(self) -> None:
        self.pipe, theirs = _CONTEXT.Pipe()
        self._process = _CONTEXT.Process(target=live, args=(theirs,), daemon=True)
        self._process.start()
        theirs.close()
        self.told: Counter[str] = Counter()
        self.gone = False

    def order(self, order: Order) -> None:
        """Give it an order."""
        self.told.clear()
        self.pipe.send(order)

    def hear(self) -> None:
        """Take one word of what it says, or that it says no more."""
        try:
            self.told[self.pipe.recv()] += 1
        except (EOFError, ConnectionResetError):
            self.gone = True

    def kill(self) -> None:
        """Kill it, by SIGKILL."""
        self._process.kill()
        self._process.join(BOUND)
        self.gone = True

    def close(self) -> None:
        """Let it end, if it has not."""
        self.pipe.close()
        self._process.join(BOUND)
        self._process.kill()
        self._process.join(BOUND)
        self._process.close()

    @property
    def sent(self) -> int:
        """Its calls that went out."""
        return self.told["sent"]

    @property
    def decided(self) -> int:
        """Its calls that went out or were refused."""
        return self.told["sent"] + self.told["refused"]

    @property
    def faults(self) -> list[str]:
        """What it said that is none of the words it was to say."""
        return [word for word in self.told if word not in (*get_args(Told), ENDED)]


class Crew:
    """Some processes; entered, they are there until it is left."""

    def __init__(self, number: int) -> None:
        self._number = number
        self.all: list[Process] = []

    def __enter__(self) -> Self:
        self.all = [Process() for _ in range(self._number)]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self.all:
            process.close()

    @property
    def alive(self) -> list[Process]:
        """Those that are not gone."""
        return [p for p in self.all if not p.gone]

    def replaced(self) -> list[int]:
        """Have a new process in the place of each that is gone; returns their places."""
        places = [place for place, process in enumerate(self.all) if process.gone]
        for place in places:
            self.all[place].close()
            self.all[place] = Process()
        return places

    def hear(self, until: Callable[[], bool], of: Sequence[Process] | None = None) -> None:
        """Hear what they say until it is so.

        Args:
            of: only these; else all that are alive.

        Raises:
            TimeoutError: it was not so in time.
            RuntimeError: one of them ended, and nobody killed it.
        """
        deadline = time.monotonic() + BOUND
        while not until():
            pipes = {p.pipe: p for p in (self.alive if of is None else of)}
            said = wait(list(pipes), max(deadline - time.monotonic(), 0))
            if not said:
                raise TimeoutError(f"not so within {BOUND} s; told were {[dict(p.told) for p in self.all]}")
            for pipe in said:
                process = pipes[pipe]  # type: ignore[index]
                process.hear()
                if process.gone:
                    raise RuntimeError("a process ended by itself; what it said is above")

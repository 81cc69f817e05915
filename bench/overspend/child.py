"""A process that runs its share of the callers, on a home that it shares with others. It may be killed at any time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from edgewright import Budget, System
from edgewright.contracts.errors import BudgetExceeded, NotFound

from bench.overspend.asking import REQUEST, Asking, caller

ENDED = "ended"


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What a process is to do: begin a run on each of these threads at once, or go on with what others began there."""

    home: Path
    url: str
    budget: Budget
    threads: tuple[str, ...]
    resume: bool = False


def live(pipe: Connection) -> None:
    """Take orders until the other end is closed. Told are `sent`, `refused`, faults in words, and `ended`."""
    quiet()
    asyncio.run(_live(pipe))


def quiet() -> None:
    """Have LangChain not log each refusal of a gate: there are hundreds of them here."""
    logging.getLogger("langchain_core.callbacks.manager").setLevel(logging.CRITICAL)


async def _live(pipe: Connection) -> None:
    while (order := await asyncio.to_thread(_next, pipe)) is not None:
        await _done(order, pipe.send)
        pipe.send(ENDED)


def _next(pipe: Connection) -> Order | None:
    try:
        found: Order = pipe.recv()
    except EOFError:
        return None
    return found


async def _done(order: Order, told: Callable[[str], None]) -> None:
    asking = Asking(order.url, told)
    system = caller(asking, order.budget, order.home)
    try:
        for result in await asyncio.gather(*(_run(system, t, order) for t in order.threads), return_exceptions=True):
            if isinstance(result, BaseException):
                told(f"a run ended with {result!r}")
    finally:
        await asking.close()
        system.close()


async def _run(system: System, thread: str, order: Order) -> Any:
    try:
        return await (system.aresume(thread) if order.resume else system.arun(REQUEST, thread=thread))
    except BudgetExceeded:
        return None
    except NotFound:
        if order.resume:  # its process was killed before it began
            return None
        raise

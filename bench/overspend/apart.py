"""Two hundred callers in four processes on one home, under one budget of their tenant's day. Some may be killed."""

from __future__ import annotations

import random
import time
from pathlib import Path

from edgewright import Budget
from edgewright.contracts.budget import Amounts
from edgewright.tools.spending import RESERVED_SECONDS

from bench.faults import Fault, ModelServer
from bench.overspend.asking import ASKING, BOUND, CALLS, answering
from bench.overspend.books import faults_of
from bench.overspend.child import ENDED, Order
from bench.overspend.crew import Crew, Process
from bench.overspend.limits import covering
from bench.overspend.round import Round, judged

PROCESSES = 4
SHARE = ASKING // PROCESSES


def in_processes(limit: str, home: Path, one: Amounts, rng: random.Random, crew: Crew) -> Round:
    """Runs that ask at once, in several processes."""
    return _round(limit, home, one, rng, crew, doomed=[])


def with_kills(limit: str, home: Path, one: Amounts, rng: random.Random, crew: Crew) -> Round:
    """The same; one process is killed while its calls are out, another one while theirs are settled.

    Where calls are limited, others go on with what the dead had begun: their runs ask again, and are refused.
    """
    return _round(limit, home, one, rng, crew, doomed=rng.sample(crew.all, 2))


def _round(limit: str, home: Path, one: Amounts, rng: random.Random, crew: Crew, doomed: list[Process]) -> Round:
    began = time.perf_counter()
    budget = covering(limit, one, rng, of="tenant", per="day")
    with ModelServer(answering(rng, one)) as server:
        server.fault = Fault("held")
        for place in range(PROCESSES):
            crew.all[place].order(_order(home, server, budget, place))
        if doomed:
            some = rng.randint(1, CALLS - 1)
            crew.hear(lambda: sum(p.sent for p in crew.all) >= some)
            doomed[0].kill()
        crew.hear(lambda: all(p.decided == SHARE for p in crew.alive))
        out = sum(p.sent for p in crew.alive)
        server.wait_for(in_flight=out, seconds=BOUND)
        server.fault = None
        server.release()
        if doomed:
            some = rng.randint(0, out)
            crew.hear(lambda: sum(p.told["answered"] for p in crew.alive) >= some)
            doomed[1].kill()
        _ended(crew, crew.alive)
        if doomed:
            places = crew.replaced()
            if limit == "calls":
                for place in places:
                    crew.all[place].order(_order(home, server, budget, place, resume=True))
                _ended(crew, [crew.all[place] for place in places])
        books, faults = faults_of(home, server, now=time.time() + RESERVED_SECONDS, killed=bool(doomed))
        faults += [fault for process in crew.all for fault in process.faults]
        return judged(server, books, faults, time.perf_counter() - began, kills=len(doomed))


def _order(home: Path, server: ModelServer, budget: Budget, place: int, *, resume: bool = False) -> Order:
    threads = tuple(f"{place}-{number}" for number in range(SHARE))
    return Order(home=home, url=server.url, budget=budget, threads=threads, resume=resume)


def _ended(crew: Crew, processes: list[Process]) -> None:
    crew.hear(lambda: all(p.told[ENDED] for p in processes), processes)

"""A call inside its bulkheads, its breaker, its time and its tries: in an event loop and blocking."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest
from edgewright.contracts.containment import Breaker, Bulkhead, Containment, Retry, Timeouts
from edgewright.contracts.errors import (
    BudgetExceeded,
    CallDenied,
    CircuitOpen,
    LedgerUnavailable,
    Overloaded,
    TimedOut,
    ToolFailed,
    ToolRefusal,
)
from edgewright.tools.containment import (
    Breakers,
    Bulkheads,
    Means,
    Moved,
    Retried,
    Told,
    alive,
    contained,
    contained_blocking,
    in_thread,
)
from edgewright.tools.containment.threads import THREADS, Threads, begin
from langgraph.errors import GraphInterrupt

PLAIN = Containment(
    timeouts=Timeouts(total=30.0),
    retry=Retry(attempts=3, first=1.0, jitter=False),
    breaker=Breaker(failures=5, cooldown=60.0),
    bulkhead=Bulkhead(running=2, waiting=2, wait=5.0),
)


@dataclass
class House:
    """Both drivers over one clock, which sleeping moves on; what was told; and how long was slept."""

    blocking: bool
    at: float = 0.0
    told: list[Told] = field(default_factory=list)
    slept: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.breakers, self.bulkheads = Breakers(lambda: self.at), Bulkheads()
        self.means = Means(
            breakers=self.breakers,
            bulkheads=self.bulkheads,
            now=lambda: self.at,
            draw=lambda: 0.5,
            sleep=self._sleep,
            sleep_blocking=self._pass,
        )

    def _pass(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.at += seconds

    async def _sleep(self, seconds: float) -> None:
        self._pass(seconds)

    async def call(self, attempt: Callable[[], Any], by: Containment = PLAIN, **more: Any) -> Any:
        given: dict[str, Any] = {"of": "t", "by": by, "tell": self.told.append, "means": self.means, **more}
        if self.blocking:
            with ThreadPoolExecutor(1) as pool:
                return await asyncio.wrap_future(pool.submit(lambda: contained_blocking(attempt, **given)))

        async def trying() -> Any:
            return attempt()

        return await contained(trying, **given)

    @property
    def inside(self) -> int:
        return sum(row["running"] + row["waiting"] for row in self.bulkheads.snapshot())


@pytest.fixture(params=["async", "blocking"])
def house(request: pytest.FixtureRequest) -> House:
    return House(blocking=request.param == "blocking")


class Flaky:
    """Raises these errors one after the other, then answers."""

    def __init__(self, *errors: Exception) -> None:
        self.errors, self.calls = list(errors), 0

    def __call__(self) -> str:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return "there"


async def test_a_passing_failure_is_tried_again_after_its_pause_and_told_of(house: House) -> None:
    first, second = ConnectionError("one"), TimeoutError("two")
    flaky = Flaky(first, second)
    assert await house.call(flaky) == "there"
    assert flaky.calls == 3
    assert house.slept == [1.0, 2.0]
    assert house.told == [
        Retried(of="t", attempt=1, kind="connection", error=first, wait=1.0),
        Retried(of="t", attempt=2, kind="timeout", error=second, wait=2.0),
    ]
    assert house.inside == 0


async def test_what_is_left_after_the_last_try_is_its_error(house: House) -> None:
    flaky = Flaky(*[ConnectionError(str(n)) for n in range(9)])
    with pytest.raises(ConnectionError, match=r"^2$"):
        await house.call(flaky)
    assert flaky.calls == 3
    assert house.inside == 0


@pytest.mark.parametrize("error", [ValueError("mine"), PermissionError("no"), GraphInterrupt(())], ids=repr)
async def test_what_would_not_pass_is_not_tried_again(house: House, error: Exception) -> None:
    flaky = Flaky(error)
    with pytest.raises(type(error)):
        await house.call(flaky)
    assert flaky.calls == 1
    assert house.told == []
    assert house.inside == 0


async def test_without_a_retry_nothing_is_tried_again(house: House) -> None:
    flaky = Flaky(ConnectionError("gone"))
    with pytest.raises(ConnectionError):
        await house.call(flaky, Containment(retry=None))
    assert flaky.calls == 1


async def test_declared_errors_count_as_passing(house: House) -> None:
    assert await house.call(Flaky(KeyError("busy")), transient=(KeyError,)) == "there"


async def test_what_a_server_asks_for_is_waited_for_where_there_is_time(house: House) -> None:
    busy, too_busy = ConnectionError("busy"), ConnectionError("busy")
    busy.retry_after, too_busy.retry_after = 7.0, 25.0  # type: ignore[attr-defined]
    assert await house.call(Flaky(busy)) == "there"
    assert house.slept == [7.0]
    with pytest.raises(ConnectionError):
        # Two pauses of 25 s do not fit in 30 s.
        await house.call(Flaky(too_busy, too_busy))
    assert house.slept == [7.0, 25.0]


async def test_the_breaker_opens_in_the_middle_of_the_tries_and_the_error_is_the_callee_s(house: House) -> None:
    rule = Containment(retry=PLAIN.retry, breaker=Breaker(failures=2, cooldown=60.0))
    flaky = Flaky(*[ConnectionError(str(n)) for n in range(9)])
    with pytest.raises(ConnectionError, match=r"^1$"):
        await house.call(flaky, rule)
    assert flaky.calls == 2
    assert house.slept == [1.0]
    assert house.told[-1] == Moved(of="t", before="closed", after="open", failures=2, last="connection")
    with pytest.raises(CircuitOpen):
        await house.call(flaky, rule)
    assert flaky.calls == 2
    assert house.inside == 0


async def test_an_open_breaker_lets_one_call_through_after_its_time_and_closes_by_its_answer(
    house: House,
) -> None:
    rule = Containment(retry=None, breaker=Breaker(failures=1, cooldown=60.0))
    flaky = Flaky(ConnectionError("gone"))
    with pytest.raises(ConnectionError):
        await house.call(flaky, rule)
    house.at += 60
    house.told.clear()
    assert await house.call(flaky, rule) == "there"
    assert [(t.before, t.after) for t in house.told if isinstance(t, Moved)] == [
        ("open", "half_open"),
        ("half_open", "closed"),
    ]


@pytest.mark.parametrize(
    "ours",
    [
        BudgetExceeded(scope="run", unit="usd", limit="1", projected="2", used="0", over="1"),
        CallDenied(tool="t", agent="a", rules=["r"], reasons=[]),
        LedgerUnavailable(where="w", cause="c"),
        ToolFailed(tool="other", error="e", unknown=False),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_a_gate_that_says_no_within_a_try_is_no_answer_of_whoever_is_called(
    house: House, ours: Exception
) -> None:
    rule = Containment(retry=PLAIN.retry, breaker=Breaker(failures=2, cooldown=60.0))
    flaky = Flaky(ConnectionError("gone"), ours, ConnectionError("gone again"), ours)
    for error in (type(ours), ConnectionError):  # between two failures in a row it does not begin the row anew
        with pytest.raises(error):
            await house.call(flaky, rule)
    assert house.breakers.mode("t") == "open"
    house.at += 60
    with pytest.raises(type(ours)):
        await house.call(flaky, rule)
    assert house.breakers.mode("t") == "half_open"
    assert await house.call(flaky, rule) == "there"
    assert house.breakers.mode("t") == "closed"


async def test_a_refusal_is_an_answer_and_closes_the_breaker(house: House) -> None:
    rule = Containment(retry=None, breaker=Breaker(failures=1, cooldown=60.0))
    flaky = Flaky(ConnectionError("gone"), ToolRefusal("no seats left"))
    with pytest.raises(ConnectionError):
        await house.call(flaky, rule)
    house.at += 60
    with pytest.raises(ToolRefusal):
        await house.call(flaky, rule)
    assert house.breakers.mode("t") == "closed"


async def test_a_call_behind_an_open_breaker_does_not_stand_in_line(house: House) -> None:
    rule = Containment(retry=None, breaker=Breaker(failures=1), bulkhead=Bulkhead(running=1))
    with pytest.raises(ConnectionError):
        await house.call(Flaky(ConnectionError("gone")), rule)
    line, turn = house.bulkheads.arrive("t", Bulkhead(running=1))
    assert turn is None
    with pytest.raises(CircuitOpen):  # and not Overloaded
        await house.call(Flaky(), rule)
    line.leave()


async def test_the_places_of_a_tenant_and_an_agent_are_taken_too_and_their_lack_is_told_by_name(house: House) -> None:
    within = (("agent:a", Bulkhead(running=1)), ("tenant:x", Bulkhead(running=1)))
    line, _ = house.bulkheads.arrive("tenant:x", Bulkhead(running=1))
    flaky = Flaky()
    with pytest.raises(Overloaded) as caught:
        await house.call(flaky, within=within)
    assert caught.value.of == "tenant:x"
    assert flaky.calls == 0
    line.leave()
    assert await house.call(flaky, within=within) == "there"
    assert house.inside == 0


# -- time ------------------------------------------------------------------------------------------------------------

SHORT = 0.1


async def hang() -> None:
    await asyncio.Event().wait()


def rules(**given: Any) -> Containment:
    return Containment(timeouts=Timeouts(**({"total": 20.0} | given)), retry=None)


@pytest.mark.parametrize("bound", ["total", "each", "idle"])
async def test_a_call_that_hangs_is_ended_by_each_bound_that_is_declared(bound: str) -> None:
    means, began = Means(breakers=Breakers(), bulkheads=Bulkheads()), time.monotonic()
    with pytest.raises(TimedOut) as caught:
        await contained(hang, of="t", by=rules(**{bound: SHORT}), means=means)
    assert caught.value.facts == {"of": "t", "bound": bound, "seconds": SHORT}
    assert SHORT <= time.monotonic() - began < 10
    assert means.bulkheads.snapshot()[0]["running"] == 0
    assert means.breakers.snapshot()[0]["failures"] == 1


@pytest.mark.parametrize("bound", ["total", "each", "idle"])
def test_a_blocking_call_that_hangs_is_left_and_keeps_its_place_until_it_returns(bound: str) -> None:
    means, let = Means(breakers=Breakers(), bulkheads=Bulkheads()), threading.Event()
    ended = threading.Event()

    def work() -> None:
        let.wait(30)
        ended.set()

    by = Containment(timeouts=rules(**{bound: SHORT}).timeouts, retry=Retry(first=0.0))
    with pytest.raises(TimedOut) as caught:
        contained_blocking(work, of="t", by=by, means=means)
    assert caught.value.bound == bound
    assert means.bulkheads.snapshot()[0]["running"] == 1
    assert means.breakers.snapshot()[0]["failures"] == 1  # a second try beside the first would be two calls at once
    let.set()
    assert ended.wait(10)
    _until(lambda: means.bulkheads.snapshot()[0]["running"] == 0)


def _until(holds: Callable[[], bool]) -> None:
    """Wait until something holds that happens in another thread; for 10 seconds at most."""
    end = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < end
        os.sched_yield()


async def test_signs_of_life_keep_a_slow_call_going(house: House) -> None:
    beat, beats = threading.Event(), 6

    def work() -> str:
        for _ in range(beats):
            beat.wait(SHORT)  # never set: a piece of work that takes its time
            alive()
        return "done"

    async def in_loop() -> str:
        return await in_thread(work)

    by = rules(idle=SHORT * 4)
    began = time.monotonic()
    if house.blocking:
        assert await house.call(work, by) == "done"
    else:
        assert await contained(in_loop, of="t", by=by, means=house.means) == "done"
    assert time.monotonic() - began > SHORT * 4


async def test_a_time_out_that_a_function_raises_itself_is_its_own(house: House) -> None:
    with pytest.raises(TimeoutError, match="mine"):
        await house.call(Flaky(TimeoutError("mine")), rules(idle=5.0))
    with pytest.raises(TimeoutError, match="mine"):
        await house.call(Flaky(TimeoutError("mine")), rules())


async def test_a_try_that_is_too_long_is_tried_again_within_the_whole_time() -> None:
    means = Means(breakers=Breakers(), bulkheads=Bulkheads())
    calls = 0

    async def slow_at_first() -> int:
        nonlocal calls
        calls += 1
        if calls < 3:
            await hang()
        return calls

    by = Containment(timeouts=Timeouts(total=20.0, each=SHORT), retry=Retry(first=0.0))
    assert await contained(slow_at_first, of="t", by=by, means=means) == 3


# -- being cancelled -------------------------------------------------------------------------------------------------


async def test_a_call_that_is_cancelled_gives_everything_back_and_teaches_the_breaker_nothing() -> None:
    means, began = Means(breakers=Breakers(), bulkheads=Bulkheads()), asyncio.Event()
    rule = Containment(retry=None, breaker=Breaker(failures=1, cooldown=0.001))

    async def work() -> None:
        began.set()
        await hang()

    task = asyncio.create_task(contained(work, of="t", by=rule, means=means))
    await asyncio.wait_for(began.wait(), 5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert means.bulkheads.snapshot()[0]["running"] == 0
    assert means.breakers.mode("t") == "closed"


async def test_a_call_that_is_let_through_to_try_and_is_cancelled_makes_room_for_the_next() -> None:
    clock = [0.0]
    means = Means(breakers=Breakers(lambda: clock[0]), bulkheads=Bulkheads())
    rule, began = Containment(retry=None, breaker=Breaker(failures=1, cooldown=10.0)), asyncio.Event()

    async def gone() -> None:
        raise ConnectionError("gone")

    async def work() -> None:
        began.set()
        await hang()

    async def there() -> str:
        return "there"

    with pytest.raises(ConnectionError):
        await contained(gone, of="t", by=rule, means=means)
    clock[0] += 10
    task = asyncio.create_task(contained(work, of="t", by=rule, means=means))
    await asyncio.wait_for(began.wait(), 5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await contained(there, of="t", by=rule, means=means) == "there"


async def test_a_call_that_is_cancelled_in_its_pause_is_not_made_again() -> None:
    sleeping, flaky = asyncio.Event(), Flaky(ConnectionError("gone"))

    async def sleep(_: float) -> None:
        sleeping.set()
        await hang()

    async def attempt() -> str:
        return flaky()

    means = Means(breakers=Breakers(), bulkheads=Bulkheads(), sleep=sleep)
    task = asyncio.create_task(contained(attempt, of="t", by=PLAIN, means=means))
    await asyncio.wait_for(sleeping.wait(), 5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert flaky.calls == 1
    assert means.bulkheads.snapshot()[0]["running"] == 0


# -- threads ---------------------------------------------------------------------------------------------------------


async def test_what_hangs_in_threads_keeps_no_other_tool_from_a_thread() -> None:
    means, let = Means(breakers=Breakers(), bulkheads=Bulkheads()), threading.Event()
    dead = Containment(timeouts=Timeouts(total=20.0), retry=None, bulkhead=Bulkhead(running=64))
    full = threading.Barrier(65)

    def stuck() -> None:
        full.wait(10)
        let.wait(30)

    async def stuck_call() -> None:
        await in_thread(stuck)

    async def there() -> int:
        return await in_thread(threading.get_ident)

    hung = [asyncio.create_task(contained(stuck_call, of="dead", by=dead, means=means)) for _ in range(64)]
    await asyncio.to_thread(full.wait, 10)  # all of them hang: far more than the loop's own pool has threads
    began = time.monotonic()
    for _ in range(20):
        await asyncio.wait_for(contained(there, of="well", by=PLAIN, means=means), 5)
    assert time.monotonic() - began < 5
    for task in hung:
        task.cancel()
    await asyncio.gather(*hung, return_exceptions=True)
    (dead_row,) = [r for r in means.bulkheads.snapshot() if r["of"] == "dead"]
    assert dead_row["running"] == 64  # nobody waits for them, and they are at work
    let.set()
    await asyncio.to_thread(
        _until, lambda: [r["running"] for r in means.bulkheads.snapshot() if r["of"] == "dead"] == [0]
    )


def test_threads_that_find_nothing_to_do_end_and_new_ones_take_their_place() -> None:
    threads, noted = Threads(idle=0.01), list[int]()
    before = threading.active_count()
    for _ in range(3):
        for _ in range(5):
            threads.submit(lambda: noted.append(1), lambda: None).result(10)
        _until(lambda: threading.active_count() <= before)
    assert len(noted) == 15


def test_many_callers_at_once_get_every_answer_once() -> None:
    threads, over = Threads(idle=0.001), list[int]()
    with ThreadPoolExecutor(16) as pool:
        wanted = [
            pool.submit(lambda n: threads.submit(lambda: n, lambda: over.append(n)).result(10), n) for n in range(2000)
        ]
        assert [f.result(20) for f in wanted] == list(range(2000))
    assert sorted(over) == list(range(2000))


@pytest.mark.parametrize(
    "error", [ValueError("mine"), StopIteration("mine"), SystemExit(3), TimeoutError("mine")], ids=repr
)
def test_whatever_a_function_raises_in_a_thread_reaches_who_waits(error: BaseException) -> None:
    def work() -> None:
        raise error

    with pytest.raises(RuntimeError if isinstance(error, StopIteration) else type(error)):
        begin(work).result(10)
    assert begin(lambda: 1).result(10) == 1


def test_what_a_call_held_is_not_kept_alive_by_the_thread_that_did_it() -> None:
    class Big:
        pass

    big = Big()
    gone = weakref.ref(big)
    begin(partial(str, big)).result(10)
    del big
    gc.collect()
    _until(lambda: gone() is None)


def test_a_process_ends_although_a_call_hangs() -> None:
    code = (
        "import threading\n"
        "from edgewright.contracts.containment import *\n"
        "from edgewright.tools.containment import contained_blocking\n"
        "try:\n"
        "    contained_blocking(threading.Event().wait, of='t', by=Containment(timeouts=Timeouts(total=0.05)))\n"
        "except Exception as error:\n"
        "    print(type(error).__name__)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "TimedOut"


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_has_threads_of_its_own() -> None:
    begin(lambda: 1).result(10)  # a thread waits for work here, which is not there after the fork
    child = os.fork()
    if not child:
        try:
            os._exit(0 if THREADS.submit(lambda: 7, lambda: None).result(10) == 7 else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0

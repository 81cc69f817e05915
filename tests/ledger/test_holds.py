"""Thread holds: one at a time, in a process and between processes, and none outlives its holder."""

from __future__ import annotations

import asyncio
import contextvars
import os
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncGenerator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from edgewright.contracts.errors import LedgerUnavailable, ThreadBusy
from edgewright.ledger.holds import FILE, Holds
from edgewright.ledger.turns import Turns

WAIT = 20.0
TESTS = Path(__file__).parent.parent


@pytest.fixture(params=["memory", "file"])
def holds(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Holds]:
    found = Holds(tmp_path / "home" if request.param == "file" else None)
    yield found
    found.close()


@contextmanager
def child(folder: Path, thread: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Another process that tries to hold a thread; what it says first."""
    process = subprocess.Popen(
        [sys.executable, "-m", "support.holds_child", str(folder), thread],
        cwd=TESTS, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip(), process
    finally:
        process.kill()
        process.communicate(timeout=WAIT)


def is_free(holds: Holds, thread: str) -> bool:
    """Whether another context could hold it now."""

    def trying() -> bool:
        try:
            with holds.hold(thread):
                return True
        except ThreadBusy:
            return False

    return contextvars.Context().run(trying)


# -- in one process -----------------------------------------------------------------------------------------------


async def test_a_held_thread_is_refused_at_once_and_free_afterwards(holds: Holds) -> None:
    async with holds.hold("t"):
        assert not is_free(holds, "t")
        assert is_free(holds, "another")
        with pytest.raises(ThreadBusy) as refused, contextvars.copy_context().run(lambda: holds.hold("t")):
            pass
        assert refused.value.thread == "t"
    assert is_free(holds, "t")


async def test_a_hold_ends_with_an_error_too(holds: Holds) -> None:
    with pytest.raises(ValueError, match="broken"), holds.hold("t"):
        raise ValueError("broken")
    assert is_free(holds, "t")


async def test_who_waits_is_served_in_the_order_of_coming(holds: Holds) -> None:
    order: list[int] = []

    async def one(i: int) -> None:
        async with holds.hold("t", WAIT):
            order.append(i)
            await asyncio.sleep(0)

    async with holds.hold("t"):  # the file is open from here on
        pass
    async with asyncio.timeout(WAIT):
        async with asyncio.TaskGroup() as group:
            for i in range(20):
                group.create_task(one(i))
    assert order == list(range(20))


def test_threads_and_event_loops_never_hold_at_once(holds: Holds) -> None:
    inside, most = 0, 0
    lock = threading.Lock()

    def enter(by: int) -> None:
        nonlocal inside, most
        with lock:
            inside += by
            most = max(most, inside)

    def blocking(_: int) -> None:
        for _round in range(20):
            with holds.hold("t", WAIT):
                enter(1)
                enter(-1)

    async def asynchronous() -> None:
        for _round in range(20):
            async with holds.hold("t", WAIT):
                enter(1)
                await asyncio.sleep(0)
                enter(-1)

    with ThreadPoolExecutor(6) as pool:
        threads = [pool.submit(blocking, i) for i in range(3)]
        loops = [pool.submit(asyncio.run, asynchronous()) for _ in range(3)]
        for future in [*threads, *loops]:
            future.result(WAIT)
    assert most == 1


async def test_waiting_ends_with_the_time_and_leaves_the_line(holds: Holds) -> None:
    async with holds.hold("t"):
        context = contextvars.Context()

        async def waits(seconds: float) -> None:
            async with holds.hold("t", seconds):
                pass

        with pytest.raises(ThreadBusy):
            await asyncio.create_task(waits(0.05), context=context)
        gone = asyncio.create_task(waits(WAIT), context=context.copy())
        await asyncio.sleep(0)
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
        assert holds._table.turns._queues == {}
    assert is_free(holds, "t")


async def test_who_does_not_wait_does_not_pass_those_who_do(holds: Holds) -> None:
    async with asyncio.timeout(WAIT):
        served = asyncio.Event()

        async def waits() -> None:
            async with holds.hold("t", WAIT):
                served.set()

        async with holds.hold("t"):
            waiting = asyncio.create_task(waits(), context=contextvars.Context())
            while not holds._table.turns.waiting(holds.hold("t")._at):  # noqa: ASYNC110 - one turn of the loop
                await asyncio.sleep(0)
        assert not is_free(holds, "t")
        await served.wait()
        await waiting


# -- the same owner again -----------------------------------------------------------------------------------------


async def test_the_owner_may_hold_again_inside_where_it_says_so(holds: Holds) -> None:
    async with holds.hold("t"):
        async with holds.hold("t", nested=True):
            assert not is_free(holds, "t")
        assert not is_free(holds, "t")

        async def inner() -> None:
            async with holds.hold("t", nested=True):
                assert not is_free(holds, "t")

        await asyncio.create_task(inner())  # a graph's node is a task of its own
        await asyncio.to_thread(contextvars.copy_context().run, lambda: holds.hold("t", nested=True).__enter__())
        with pytest.raises(ThreadBusy):  # it would wait for itself
            async with holds.hold("t", WAIT):
                pass
    assert not is_free(holds, "t")  # the thread above has not let go


async def test_another_owner_is_none_whatever_it_says(holds: Holds) -> None:
    async with holds.hold("t"):

        async def other() -> None:
            async with holds.hold("t", nested=True):
                pass

        with pytest.raises(ThreadBusy):
            await asyncio.create_task(other(), context=contextvars.Context())


async def test_an_earlier_hold_gives_no_right_later(holds: Holds) -> None:
    go, ended = asyncio.Event(), list[str]()

    async def later() -> None:
        await go.wait()
        try:
            async with holds.hold("t", nested=True):
                ended.append("held")
        except ThreadBusy:
            ended.append("busy")

    async with holds.hold("t"):
        stray = asyncio.create_task(later())
        await asyncio.sleep(0)

    async def holder() -> None:
        async with holds.hold("t"):
            go.set()
            await stray

    await asyncio.create_task(holder(), context=contextvars.Context())
    assert ended == ["busy"]


async def test_a_generator_that_is_closed_elsewhere_lets_go(holds: Holds) -> None:
    async def stream() -> AsyncGenerator[int, None]:
        async with holds.hold("t"):
            yield 1

    parts = stream()

    async def first() -> int:
        return await anext(parts)

    assert await asyncio.create_task(first(), context=contextvars.Context()) == 1
    assert not is_free(holds, "t")
    await parts.aclose()
    assert is_free(holds, "t")


# -- one file -----------------------------------------------------------------------------------------------------


def test_objects_on_one_folder_share_their_holds_and_one_of_them_may_close(tmp_path: Path) -> None:
    one, two = Holds(tmp_path), Holds(tmp_path / ".")
    with one.hold("t"):
        two.close()
        two.close()
        three = Holds(tmp_path)
        assert not is_free(three, "t")
        three.close()
        with child(tmp_path, "t") as (said, _):
            assert said == "busy"  # closing another object on the file dropped nothing
    with pytest.raises(LedgerUnavailable, match="closed"):
        two.hold("t")
    one.close()
    again = Holds(tmp_path)
    assert is_free(again, "t")
    again.close()


def test_holds_in_memory_are_each_objects_own() -> None:
    one, two = Holds(None), Holds(None)
    with one.hold("t"):
        assert is_free(two, "t")


def test_without_a_file_to_lock_nothing_is_held(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file where the folder should be")
    holds = Holds(tmp_path / "home")
    with pytest.raises(LedgerUnavailable), holds.hold("t"):
        pass
    holds.close()


@pytest.mark.parametrize("thread", ["", "т", "a/b\x00c", "\udc00", "x" * 10_000])
def test_any_text_is_a_thread(tmp_path: Path, thread: str) -> None:
    holds = Holds(tmp_path)
    with holds.hold(thread):
        assert not is_free(holds, thread)
        assert (tmp_path / FILE).stat().st_size == 0
    assert is_free(holds, thread)
    holds.close()


# -- between processes --------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_another_process_is_refused_until_the_first_lets_go(tmp_path: Path) -> None:
    holds = Holds(tmp_path)
    with child(tmp_path, "t") as (said, process):
        assert said == "held"
        assert not is_free(holds, "t")
        assert is_free(holds, "another")
        assert process.stdin is not None
        threading.Timer(0.05, lambda: (process.stdin.write("go\n"), process.stdin.flush())).start()  # type: ignore[union-attr]
        with holds.hold("t", WAIT):  # it waits, and gets it
            pass
    holds.close()


@pytest.mark.slow
def test_kill_9_of_the_holder_frees_the_thread(tmp_path: Path) -> None:
    holds = Holds(tmp_path)
    with child(tmp_path, "t") as (said, process):
        assert said == "held"
        assert not is_free(holds, "t")
        os.kill(process.pid, signal.SIGKILL)
        process.wait(WAIT)
        assert is_free(holds, "t")
    holds.close()


@pytest.mark.slow
async def test_a_run_that_waits_gets_the_thread_when_its_holder_is_killed(tmp_path: Path) -> None:
    holds = Holds(tmp_path)
    with child(tmp_path, "t") as (said, process):
        assert said == "held"

        async def waits() -> None:
            async with holds.hold("t", WAIT):
                pass

        waiting = asyncio.create_task(waits())
        await asyncio.sleep(0)
        os.kill(process.pid, signal.SIGKILL)
        async with asyncio.timeout(WAIT):
            await waiting
    holds.close()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_holds_nothing_and_takes_nothing_from_its_parent(tmp_path: Path) -> None:
    holds = Holds(tmp_path)
    with holds.hold("t"):
        pid = os.fork()
        if not pid:
            code = 1
            try:
                inherited = is_free(holds, "t")
                try:
                    with holds.hold("t", nested=True):
                        inherited = True
                except ThreadBusy:
                    pass
                holds.close()
                code = int(inherited)
            finally:
                os._exit(code)
        assert os.waitpid(pid, 0)[1] == 0
        with child(tmp_path, "t") as (said, _):  # the child's closing dropped nothing of ours
            assert said == "busy"
    holds.close()


# -- turns --------------------------------------------------------------------------------------------------------


async def test_a_wake_before_the_wait_is_not_lost() -> None:
    turns, tries = Turns(), list[int]()

    async def attempt() -> int:
        tries.append(1)
        if len(tries) == 1:
            turns.wake("k")  # between the attempt and the wait
            raise ThreadBusy(thread="k")
        return 7

    assert await turns.take("k", attempt, wait=WAIT, busy=ThreadBusy) == 7
    assert turns.waiting("k") == 0


async def test_another_error_ends_the_turn_at_once() -> None:
    turns = Turns()

    async def attempt() -> int:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await turns.take("k", attempt, wait=WAIT, busy=ThreadBusy)
    assert turns.waiting("k") == 0

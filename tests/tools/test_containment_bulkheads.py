"""The bulkheads of a process: so many at once, a line that is bounded in length and time, first come, first served."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
from edgewright.contracts.containment import Breaker, Bulkhead, Containment, Timeouts
from edgewright.contracts.errors import CircuitOpen, Overloaded, TimedOut
from edgewright.tools.containment import Breakers, Bulkheads, Means, contained, contained_blocking, in_thread
from edgewright.tools.containment.bulkheads import Line, Stay, enter, enter_blocking, staying
from hypothesis import given
from hypothesis import strategies as st


def row(bulkheads: Bulkheads, of: str = "t") -> tuple[int, int]:
    (found,) = [r for r in bulkheads.snapshot() if r["of"] == of]
    return found["running"], found["waiting"]


async def until_waiting(bulkheads: Bulkheads, number: int) -> None:
    async with asyncio.timeout(5):
        while row(bulkheads)[1] != number:  # noqa: ASYNC110 - a line tells nobody that it was joined
            await asyncio.sleep(0)


async def test_the_next_one_waits_and_the_one_after_it_is_refused() -> None:
    bulkheads, rule = Bulkheads(), Bulkhead(running=1, waiting=1, wait=5.0)
    first, second = Stay(), Stay()
    await enter(first, [("t", rule)], bulkheads)
    waiting = asyncio.create_task(enter(second, [("t", rule)], bulkheads))
    await until_waiting(bulkheads, 1)
    with pytest.raises(Overloaded) as caught:
        await enter(Stay(), [("t", rule)], bulkheads)
    assert (caught.value.of, caught.value.running, caught.value.waiting) == ("t", 1, 1)
    first.leave()
    await asyncio.wait_for(waiting, 5)
    assert row(bulkheads) == (1, 0)
    second.leave()
    assert row(bulkheads) == (0, 0)
    assert bulkheads.snapshot()[0]["refused"] == 1


async def test_who_waits_too_long_is_refused_and_leaves_the_line() -> None:
    bulkheads, rule = Bulkheads(), Bulkhead(running=1, waiting=5, wait=0.02)
    first = Stay()
    await enter(first, [("t", rule)], bulkheads)
    with pytest.raises(Overloaded, match=r"waited 0\.02 s"):
        await enter(Stay(), [("t", rule)], bulkheads)
    with ThreadPoolExecutor(1) as pool, pytest.raises(Overloaded, match=r"waited 0\.02 s"):
        pool.submit(enter_blocking, Stay(), [("t", rule)], bulkheads).result(5)
    assert row(bulkheads) == (1, 0)
    first.leave()
    assert row(bulkheads) == (0, 0)


async def test_tasks_and_threads_stand_in_one_line_and_are_served_as_they_came() -> None:
    bulkheads, rule, served = Bulkheads(), Bulkhead(running=1, waiting=99, wait=10.0), list[int]()
    first, lock = Stay(), threading.Lock()
    await enter(first, [("t", rule)], bulkheads)

    async def by_task(number: int) -> None:
        stay = Stay()
        await enter(stay, [("t", rule)], bulkheads)
        with lock:
            served.append(number)
        stay.leave()

    def by_thread(number: int) -> None:
        stay = Stay()
        enter_blocking(stay, [("t", rule)], bulkheads)
        with lock:
            served.append(number)
        stay.leave()

    with ThreadPoolExecutor(10) as pool:
        work = []
        for number in range(20):
            if number % 2:
                work.append(asyncio.create_task(by_task(number)))
            else:
                work.append(asyncio.ensure_future(asyncio.wrap_future(pool.submit(by_thread, number))))
            await until_waiting(bulkheads, number + 1)
        first.leave()
        await asyncio.wait_for(asyncio.gather(*work), 10)
    assert served == list(range(20))
    assert row(bulkheads) == (0, 0)


async def test_a_waiter_that_is_cancelled_leaves_its_place_to_the_next() -> None:
    bulkheads, rule = Bulkheads(), Bulkhead(running=1, waiting=9, wait=10.0)
    first, third = Stay(), Stay()
    await enter(first, [("t", rule)], bulkheads)
    given_up = asyncio.create_task(enter(Stay(), [("t", rule)], bulkheads))
    await until_waiting(bulkheads, 1)
    patient = asyncio.create_task(enter(third, [("t", rule)], bulkheads))
    await until_waiting(bulkheads, 2)
    # The place is given to the one that is cancelled before it could take it.
    first.leave()
    given_up.cancel()
    with pytest.raises(asyncio.CancelledError):
        await given_up
    await asyncio.wait_for(patient, 5)
    assert row(bulkheads) == (1, 0)
    third.leave()
    assert row(bulkheads) == (0, 0)


async def test_of_several_places_those_that_were_taken_are_given_back_where_one_is_missing() -> None:
    bulkheads = Bulkheads()
    free, full = Bulkhead(running=5), Bulkhead(running=1)
    holder, late = Stay(), Stay()
    await enter(holder, [("full", full)], bulkheads)
    with pytest.raises(Overloaded), staying(late):
        await enter(late, [("free", free), ("full", full)], bulkheads)
    assert row(bulkheads, "free") == (0, 0)
    assert row(bulkheads, "full") == (1, 0)


async def test_a_call_inside_a_call_does_not_wait_for_what_its_own_caller_holds() -> None:
    bulkheads, rule = Bulkheads(), Bulkhead(running=1)
    outer, inner = Stay(), Stay()
    with staying(outer):
        await enter(outer, [("t", rule)], bulkheads)
        with staying(inner):
            await enter(inner, [("t", rule)], bulkheads)
            assert row(bulkheads) == (1, 0)
        assert row(bulkheads) == (1, 0)
    assert row(bulkheads) == (0, 0)


async def test_code_that_outlives_its_call_takes_a_place_of_its_own() -> None:
    bulkheads, rule, over = Bulkheads(), Bulkhead(running=1), asyncio.Event()
    outer, later = Stay(), Stay()

    async def background() -> None:
        await over.wait()
        await enter(later, [("t", rule)], bulkheads)

    with staying(outer):
        await enter(outer, [("t", rule)], bulkheads)
        task = asyncio.create_task(background())
    over.set()
    await asyncio.wait_for(task, 5)
    assert row(bulkheads) == (1, 0)
    later.leave()


async def test_a_rule_that_an_operator_declares_goes_before_what_callers_bring_along() -> None:
    bulkheads = Bulkheads()
    bulkheads.declare("t", Bulkhead(running=1))
    first, second = Stay(), Stay()
    await enter(first, [("t", Bulkhead(running=5))], bulkheads)
    with pytest.raises(Overloaded):
        await enter(Stay(), [("t", Bulkhead(running=5))], bulkheads)
    bulkheads.declare("t", None)
    await enter(second, [("t", Bulkhead(running=5))], bulkheads)
    assert row(bulkheads) == (2, 0)


async def test_a_rule_that_changes_holds_for_whoever_comes_or_goes_after_it() -> None:
    bulkheads, stays = Bulkheads(), [Stay() for _ in range(6)]
    rule = Bulkhead(running=3, waiting=9)
    for stay in stays[:3]:
        await enter(stay, [("t", rule)], bulkheads)
    waiting = [asyncio.create_task(enter(stay, [("t", rule)], bulkheads)) for stay in stays[3:]]
    await until_waiting(bulkheads, 3)
    narrow, wide = Bulkhead(running=2, waiting=3), Bulkhead(running=4, waiting=3)
    bulkheads.declare("t", narrow)
    with pytest.raises(Overloaded):
        bulkheads.arrive("t", rule)
    stays[0].leave()  # nobody follows: there are as many as there may be now
    assert row(bulkheads) == (2, 3)
    bulkheads.declare("t", wide)
    with pytest.raises(Overloaded):
        bulkheads.arrive("t", rule)
    stays[1].leave()  # and now everybody does
    await asyncio.wait_for(asyncio.gather(*waiting), 5)
    assert row(bulkheads) == (4, 0)
    for stay in stays[2:]:
        stay.leave()
    assert row(bulkheads) == (0, 0)


async def test_there_are_never_more_kept_than_declared_but_those_in_use() -> None:
    bulkheads, used = Bulkheads(most=10), Stay()
    await enter(used, [("used", Bulkhead(running=1))], bulkheads)
    for n in range(100):
        stay = Stay()
        await enter(stay, [(f"t{n}", Bulkhead(running=1))], bulkheads)
        stay.leave()
        assert len(bulkheads.snapshot()) <= 10
    assert row(bulkheads, "used") == (1, 0)
    bulkheads.clear()
    assert [r["of"] for r in bulkheads.snapshot()] == ["used"]


@given(
    st.integers(1, 4),
    st.integers(0, 4),
    st.lists(st.tuples(st.sampled_from(["arrive", "leave", "give up"]), st.integers(0, 99)), max_size=60),
)
def test_whatever_comes_and_goes_no_place_is_lost_and_none_is_given_twice(
    running: int, waiting: int, moves: list[tuple[str, int]]
) -> None:
    bulkheads, rule = Bulkheads(), Bulkhead(running=running, waiting=waiting)
    inside, line = 0, list[tuple[Line, Future[None]]]()
    for move, which in moves:
        if move == "arrive":
            try:
                found, turn = bulkheads.arrive("t", rule)
            except Overloaded:
                assert inside == running
                assert len(line) == waiting
                continue
            if turn is None:
                inside += 1
            else:
                line.append((found, turn))
        elif move == "leave" and inside:
            found.leave()
            inside -= 1
        elif move == "give up" and line:
            found, turn = line.pop(which % len(line))
            found.give_up(turn)
        served = [entry for entry in line if entry[1].done()]
        line = [entry for entry in line if not entry[1].done()]
        inside += len(served)
        assert inside <= running
        assert not line or inside == running
        assert not bulkheads.snapshot() or row(bulkheads) == (inside, len(line))


@pytest.mark.parametrize("blocking", [False, True])
def test_who_waits_behind_threads_that_hang_leaves_the_line_once_there_is_nothing_to_wait_for(blocking: bool) -> None:
    door = threading.Event()
    by = Containment(
        timeouts=Timeouts(total=0.2),
        retry=None,
        breaker=Breaker(failures=1),
        bulkhead=Bulkhead(running=1, waiting=9, wait=60.0),
    )
    means = Means(breakers=Breakers(), bulkheads=Bulkheads())

    async def call() -> BaseException:
        try:
            if blocking:
                await asyncio.to_thread(contained_blocking, door.wait, of="tool:t", by=by, means=means)
            else:
                await contained(lambda: in_thread(door.wait), of="tool:t", by=by, means=means)
        except Exception as error:  # noqa: BLE001 - the test looks at it
            return error
        raise AssertionError("nothing can have come of it")

    async def both() -> list[BaseException]:
        async with asyncio.timeout(20):
            return list(await asyncio.gather(call(), call()))

    try:
        kinds = {type(error) for error in asyncio.run(both())}
    finally:
        door.set()
    assert kinds == {TimedOut, CircuitOpen}

"""Four processes and one budget: never a call too many, exact totals, and books that add up after a `kill -9`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from edgewright.ledger.accounts import Account
from support.children import TESTS, expect_ready
from support.ledgers import WAIT
from support.takers import Clock, taker
from support.takers_child import CALLS, PRICE, RESERVED, SECONDS

pytestmark = pytest.mark.slow

PROCESSES, TAKERS = 4, 50
ROUNDS = int(os.environ.get("EDGEWRIGHT_ROUNDS", "5"))
SHARED = ["sqlite", "postgres"]


@contextmanager
def children(place: str) -> Iterator[list[subprocess.Popen[str]]]:
    """Processes that wait for orders, all of them ended afterwards."""
    pipe = subprocess.PIPE
    made = [
        subprocess.Popen(
            [sys.executable, "-m", "support.takers_child", place, f"process {n}"],
            cwd=TESTS, stdin=pipe, stdout=pipe, stderr=pipe, text=True,
        )
        for n in range(PROCESSES)
    ]  # fmt: skip
    try:
        for process in made:
            expect_ready(process)
        yield made
    finally:
        for process in made:
            process.kill()
            process.communicate(timeout=WAIT)


def order(processes: list[subprocess.Popen[str]], **what: object) -> list[int]:
    """Give all of them an order at once; returns their answers."""
    for process in processes:
        assert process.stdin is not None
        process.stdin.write(json.dumps(what) + "\n")
        process.stdin.flush()
    return [int(_line(process)) for process in processes]


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        process.kill()
        raise AssertionError(process.communicate(timeout=WAIT)[1])
    return line


def place_of(kind: str, folder: Path, request: pytest.FixtureRequest) -> str:
    return str(folder / "ledger.db") if kind == "sqlite" else str(request.getfixturevalue("counts_url"))


@pytest.mark.timeout(60 + 10 * ROUNDS)
@pytest.mark.parametrize("kind", SHARED)
def test_of_200_takers_in_four_processes_50_are_let_through_and_every_unit_adds_up(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    place = place_of(kind, tmp_path, request)
    with taker(kind, tmp_path, lambda: place) as books, children(place) as processes:
        for number in range(ROUNDS):
            let = order(processes, do="round", round=number, takers=TAKERS)
            assert sum(let) == CALLS
            for unit, amount in RESERVED.items():
                assert books.account(f"r{number}/{unit}") == Account(reserved=CALLS * amount, open=CALLS * amount)
            used = sum(order(processes, do="settle", round=number))
            account = books.account(f"r{number}/usd")
            assert (account.spent, account.reserved, account.open) == (used, CALLS * PRICE, 0)
            assert account.spent - account.excess + account.released == account.reserved
            assert books.counted(f"r{number}/usd") == used
            for unit in ("calls", "tokens"):
                total = CALLS * RESERVED[unit]
                assert books.account(f"r{number}/{unit}") == Account(reserved=total, spent=total)


@pytest.mark.parametrize("kind", SHARED)
def test_after_a_kill_in_the_middle_nothing_is_open_for_ever_and_the_books_add_up_to_the_last_unit(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    place, clock = place_of(kind, tmp_path, request), Clock(time.time())
    with taker(kind, tmp_path, lambda: place, clock) as books:
        with children(place) as processes:
            for process in processes:
                assert process.stdin is not None
                process.stdin.write('{"do": "spree"}\n')
                process.stdin.flush()
            told = 0
            for process in processes:
                told += sum(_line(process) == "settled\n" for _ in range(40))
        assert told == 40 * PROCESSES  # all of them were killed in the middle of the next
        clock.now = time.time()
        before = books.account("spree")
        assert before.open >= 3 * (told - PROCESSES)
        assert before.spent > PRICE * (told - 2 * PROCESSES)
        assert before.spent - before.excess + before.released + before.open == before.reserved
        clock.now += SECONDS
        after = books.account("spree")
        assert after.open == 0
        assert after.lapsed == before.open
        assert after.spent - after.excess + after.released == after.reserved == before.reserved
        assert after.spent == books.counted("spree")

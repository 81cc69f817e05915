"""A process that reserves and settles: `python -m support.takers_child PLACE NAME`, PLACE being a file or a URL.

It says `ready`, and then takes orders, a line of JSON each, which it answers with a line:

- `{"do": "round", "round": 3, "takers": 50}`: so many ask at once for a call, its dollars and its tokens. Of each unit
  there are limits for 50 calls of all processes together; the answer is how many of the takers got one.
- `{"do": "settle", "round": 3}`: those settle; the answer is what they used, in dollars.
- `{"do": "spree"}`: one call after another, reserved and settled, and a line for each settlement, until it is killed.
"""

from __future__ import annotations

import json
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from edgewright.contracts.errors import LimitReached
from edgewright.ledger.counters_postgres import PostgresCounters
from edgewright.ledger.counts import Count, Settle, Window
from edgewright.ledger.sqlite import SqliteLedger

from .ledgers import WAIT
from .takers import Taker

CALLS = 50
PRICE = 9_000_000_000_007  # picodollars: fifty of them, some times over, pass 63 bits
RESERVED = {"calls": 1, "usd": PRICE, "tokens": 1_003}
SECONDS = 600.0
THREADS = 10


def reservations(prefix: str, by: str, binding: str = "") -> list[Count]:
    """What one call reserves. Of units other than the binding one there is room for one call more."""
    expires = time.time() + SECONDS
    return [
        Count(
            key=f"{prefix}/{unit}",
            by=by,
            amount=amount,
            windows=(Window(limit=amount * (CALLS + (binding not in ("", unit))), since=0.0),),
            expires=expires,
        )
        for unit, amount in RESERVED.items()
    ]


def settlements(prefix: str, by: str, usd: int) -> list[Settle]:
    """What one call settles."""
    return [Settle(key=f"{prefix}/{u}", by=by, amount=usd if u == "usd" else n) for u, n in RESERVED.items()]


def used(number: int) -> int:
    """What a call used, in picodollars: less than was reserved, or more."""
    return PRICE - number if number % 2 else PRICE + number


def main(place: str, name: str) -> None:
    """Take orders until there are none."""
    postgres = place.startswith("postgresql://")
    counters = PostgresCounters(place) if postgres else SqliteLedger(Path(place))
    taker, let = Taker(counters), dict[int, list[str]]()
    print("ready", flush=True)
    with ThreadPoolExecutor(THREADS) as pool:
        for line in sys.stdin:
            order = json.loads(line)
            match order["do"]:
                case "round":
                    number, binding = order["round"], list(RESERVED)[order["round"] % 3]

                    def ask(i: int, number: int = number, binding: str = binding) -> str | None:
                        by = f"{name}/{i}"
                        refused = taker.refusal(*reservations(f"r{number}", by, binding))
                        assert refused is None or isinstance(refused, LimitReached), refused
                        return None if refused is not None else by

                    let[number] = [by for by in pool.map(ask, range(order["takers"])) if by is not None]
                    answer = len(let[number])
                case "settle":
                    number = order["round"]
                    answer = 0
                    for i, by in enumerate(let[number]):
                        taker.take(*settlements(f"r{number}", by, used(i)))
                        answer += used(i)
                case _:
                    answer = spree(taker, name)
            print(answer, flush=True)
    counters.close()


def spree(taker: Taker, name: str) -> int:
    """Reserve and settle until somebody kills this process."""
    number = 0
    while True:
        by = f"{name}/{number}"
        expires = time.time() + SECONDS
        open_ = Count(key="spree", by=f"{by}/open", amount=3, expires=expires)
        taker.begin(open_)  # some are never settled, also of those whose commit is under way
        taker.begin(Count(key="spree", by=by, amount=PRICE, expires=expires)).result(WAIT)
        taker.begin(Settle(key="spree", by=by, amount=used(number)))
        os.write(1, b"settled\n")
        number += 1


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Systems that change one customer's balance at once: the scenario of the shared-record tests, and its processes.

Started as a script it runs one system's rounds: `python -m support.shared_child HOME SYSTEM RUNS`. It says `ready` on
its first line, begins when it is told to, and prints how its runs ended.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import sys
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

from edgewright import Agent, Pipeline, Policy, System, ToolContext, tool
from edgewright.contracts.errors import RecordBusy, RecordConflict
from edgewright.contracts.tool import SharedRecord
from support.systems import ANSWER, PERMIT_ALL, QUESTION

CUSTOMER = "C-17"
TRIES = 4


class Bank:
    """A business database in a file. It locks nothing between a read and the write that follows."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with closing(self.connect()) as conn:
            conn.execute("CREATE TABLE IF NOT EXISTS balances (customer TEXT PRIMARY KEY, cents INTEGER)")
            conn.execute("INSERT OR IGNORE INTO balances VALUES (?, 0)", (CUSTOMER,))

    def connect(self) -> sqlite3.Connection:
        """A connection of its own; close it."""
        return sqlite3.connect(self.path, isolation_level=None, timeout=30)

    def balance(self, customer: str = CUSTOMER) -> int:
        """What the customer has."""
        with closing(self.connect()) as conn:
            return int(conn.execute("SELECT cents FROM balances WHERE customer = ?", (customer,)).fetchone()[0])

    def set(self, customer: str, cents: int) -> None:
        """Write over what the customer has."""
        with closing(self.connect()) as conn:
            conn.execute("UPDATE balances SET cents = ? WHERE customer = ?", (cents, customer))


CUSTOMERS = SharedRecord("customer", by="customer")


@tool(effect="read", record=CUSTOMERS)
def balance(customer: str, *, ctx: ToolContext) -> int:
    """Read a customer's balance."""
    return ctx.resource(Bank).balance(customer)


@tool(effect="write", idempotency="none", record=CUSTOMERS)
def set_balance(customer: str, cents: int, added: int, *, ctx: ToolContext) -> dict[str, int]:
    """Set a customer's balance."""
    ctx.resource(Bank).set(customer, cents)
    return {"added": added}


async def add(_: dict[str, Any]) -> dict[str, Any]:
    """Read, compute, write; after a conflict again, a few times."""
    for _try in range(TRIES):
        found = await balance.ainvoke({"customer": CUSTOMER})
        try:
            await set_balance.ainvoke({"customer": CUSTOMER, "cents": int(found) + 1, "added": 1})
        except (RecordConflict, RecordBusy) as error:
            told = type(error).__name__
        else:
            return {"text": "added"}
    return {"text": told}


def bank_system(name: str, home: Path | None, bank: Bank) -> System:
    """A system of one agent that adds a cent."""
    worker = Agent(f"{name}_clerk", version=1, function=add, tools=[balance, set_balance])
    return System(
        name,
        version=1,
        topology=Pipeline(stages=[worker], contracts=[QUESTION, ANSWER]),
        policy=Policy(text=PERMIT_ALL),
        resources=[bank],
        home=home,
    )


async def rounds(systems: list[System], runs: int) -> Counter[str]:
    """So many runs of each system, all at once; how they ended."""
    results = await asyncio.gather(*(s.arun({"text": "go"}) for s in systems for _ in range(runs)))
    return Counter(str((r.output or {}).get("text")) for r in results)


def main(home: str, name: str, runs: str) -> None:
    """One process's part."""
    system = bank_system(name, Path(home) / "home", Bank(Path(home) / "bank.db"))
    print("ready", flush=True)
    sys.stdin.readline()
    print(json.dumps(asyncio.run(rounds([system], int(runs)))), flush=True)
    system.close()


if __name__ == "__main__":
    main(*sys.argv[1:])

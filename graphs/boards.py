"""The board of a fan-out with a join policy: how its branches stand, and what is decided of that.

Ballots and decisions are records. Who waits for a person, and who waits for news, is found anew in each process.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any
from weakref import WeakKeyDictionary

from langgraph.types import Send

from ..contracts.digest import canonical
from ..contracts.edge import FanOut
from ..contracts.join import ALL, Ballot, Join, Unmet, Wait, decide
from ..ledger.entry import Draft
from ..ledger.records import JoinDecided
from ..ledger.sealing import keyed
from ..tools.position import Positions
from ..tools.run import Run

LATE, PARKED = "late", "parked"


def now() -> float:
    """Seconds since the epoch: the clock of deadlines."""
    return time.time()


def as_json(fans: Iterable[FanOut]) -> dict[str, Any]:
    """The join policies of fan-outs, by their source, as digests hold them; empty where every branch has to answer."""
    return {fan.source: fan.join.as_json() for fan in fans if fan.join != ALL}


# -- sending ----------------------------------------------------------------------------------------------------------


def first_sent(fan: FanOut, sends: Sequence[Send], waits: dict[str, Any]) -> tuple[list[Send], dict[str, Any]]:
    """Branches as they are sent first, and what the state keeps of the fan-out: its clock begins, and its rounds."""
    if fan.join == ALL:
        return list(sends), waits
    waits = {**waits, "sent": now(), "round": 0}
    return _told(sends, waits, [Ballot()] * waits["count"]), waits


def sent_again(
    sends: Sequence[Send], waits: Mapping[str, Any], ballots: Sequence[Ballot]
) -> tuple[list[Send], dict[str, Any]]:
    """`first_sent`, of branches that take another turn while the others stand as they do."""
    waits = {**waits, "round": waits["round"] + 1}
    return _told(sends, waits, ballots), waits


def _told(sends: Sequence[Send], waits: Mapping[str, Any], ballots: Sequence[Ballot]) -> list[Send]:
    join = {
        "at": waits["at"],
        "sent": waits["sent"],
        "round": waits["round"],
        "branches": [send.arg["branch"] for send in sends],
        "ballots": [[b.state, b.value] for b in ballots],
    }
    return [Send(send.node, {**send.arg, "join": join}) for send in sends]


# -- the board --------------------------------------------------------------------------------------------------------


class Board:
    """What only this process knows of a round: who waits for a person, whom the run stopped at, what happened."""

    def __init__(self) -> None:
        self.waiting: set[int] = set()
        self.stopped: set[int] = set()
        self.deciding = asyncio.Lock()
        self.news: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def tell(self) -> None:
        """Wake whoever waits for news."""
        before, self.news = self.news, asyncio.get_running_loop().create_future()
        before.set_result(None)


# By what belongs to one run in this process; a board holds nothing of it, so they end together.
_BOARDS: WeakKeyDictionary[Positions, dict[tuple[str, int], Board]] = WeakKeyDictionary()


def board_of(run: Run, sent: Mapping[str, Any]) -> Board:
    boards = _BOARDS.setdefault(run.positions, {})
    key = sent["at"], sent["round"]
    if key not in boards:
        boards[key] = Board()
    return boards[key]


@asynccontextmanager
async def at_board(run: Run, state: Mapping[str, Any]) -> AsyncIterator[None]:
    """While a branch's node is at work. Who leaves it by anything else than its turn's question stopped with the run:
    for want of budget, say. The run is gone on with, and the branch with it."""
    sent = state.get("join")
    if sent is None:
        yield
        return
    board, branch = board_of(run, sent), state["branch"]
    board.waiting.discard(branch)
    board.stopped.discard(branch)
    try:
        yield
    except BaseException:
        board.stopped.add(branch)
        board.tell()
        raise


def value_of(run: Run, join: Join, answer: Mapping[str, Any]) -> str:
    """What stands for the value of an answer that has to agree: equal where it is, and nobody can tell what it is."""
    return keyed(run.knows.key, canonical(answer.get(join.agree))) if join.kind == "quorum" else ""


def decided(run: Run, at: str) -> JoinDecided | None:
    """What is on record for a fan-out."""
    found = run.journal.get(f"joined:{at}")
    return found if isinstance(found, JoinDecided) else None


async def settle(run: Run, fan: FanOut, waits: Mapping[str, Any], ballots: Sequence[Ballot]) -> JoinDecided | None:
    """Decide over how the branches stand, and have that on record; None where the join is open yet.

    Raises:
        LedgerUnavailable: it could not be recorded, and must not be acted upon.
    """
    at = waits["at"]
    if (known := decided(run, at)) is not None:
        return known
    found = decide(fan.join, ballots, now() - waits["sent"])
    if isinstance(found, Wait):
        return None
    counted = () if isinstance(found, Unmet) else found.counted
    stood = {"running": LATE, "parked": PARKED}
    record = JoinDecided(
        fan=at,
        source=fan.source,
        policy=fan.join.told(len(ballots)),
        outcome="unmet" if isinstance(found, Unmet) else "released",
        why=found.why if isinstance(found, Unmet) else "",
        branches={
            str(i): "counted" if i in counted else stood.get(ballot.state, ballot.state)
            for i, ballot in enumerate(ballots)
        },
    )
    kept = (await run.write(Draft(record=record, key=f"joined:{at}")))[0].record
    return kept if isinstance(kept, JoinDecided) else record

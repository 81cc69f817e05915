"""Branches of a fan-out with a join policy: each races its turn against what the others give.

Whoever casts a ballot has the join decided. The decision is on record before anybody acts on it. What is on record for
a branch is given back on a re-execution, without another turn. Who is late is cancelled once its effects have ended.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

import orjson
from langchain_core.messages import messages_from_dict, messages_to_dict
from langgraph.errors import GraphInterrupt

from ..contracts.edge import FanOut
from ..contracts.errors import ContractViolation, LedgerCorrupt
from ..contracts.failure import STOP, GapKind, Skip
from ..contracts.join import ALL, Ballot
from ..contracts.marks import Mark, joined
from ..ledger.entry import Draft, Payload
from ..ledger.records import BranchVoted, EffectIntended, ReviewWithdrawn
from ..tools.run import Run
from .boards import LATE, PARKED, Board, board_of, decided, now, settle, value_of
from .calls import Calls, calls_here, calls_of_this_turn
from .failures import Seat
from .registries import Registry
from .state import Turned


def tolerant(seat: Seat, fan: FanOut | None) -> Seat:
    """The seat of an agent: as a branch of a join that can do without it, it may be skipped."""
    may_fail = fan is not None and fan.join != ALL and seat.declared == STOP
    return replace(seat, declared=Skip()) if may_fail else seat


def gap(turned: Turned, role: str, kind: GapKind, why: str) -> Turned:
    """What a branch leaves that gives nothing: a gap that says why, and a mark."""
    kept = turned.get("marks", ())
    if "stand_in" in turned:  # nobody has stood in
        kept = [m for m in kept if (m["kind"], m["agent"]) != ("fallback", role)]
    marks = joined(kept, [Mark("gap", role, why).as_json()])
    left: Turned = {**turned, "gap": {"agent": role, "kind": kind, "why": why}, "marks": marks}
    left.pop("stand_in", None)
    return left


@dataclass(frozen=True, slots=True, kw_only=True)
class _Race:
    """A branch in a round of its fan-out."""

    run: Run
    fan: FanOut
    sent: Mapping[str, Any]
    begun: Turned
    role: str
    registries: Mapping[str, Registry]
    ns: str

    @property
    def board(self) -> Board:
        return board_of(self.run, self.sent)

    @property
    def branch(self) -> int:
        return self.begun["branch"]

    @property
    def cut(self) -> str:
        """`late` or `parked` where the join was decided without this branch."""
        found = decided(self.run, self.sent["at"])
        how = found.branches.get(str(self.branch), "") if found is not None else ""
        return how if how in (LATE, PARKED) else ""

    def _vote(self, branch: int) -> BranchVoted | None:
        found = self.run.journal.get(f"voted:{self.sent['at']}:{self.sent['round']}:{branch}")
        return found if isinstance(found, BranchVoted) else None

    def ballots(self) -> list[Ballot]:
        """How every branch stands."""
        found = [Ballot(state, value) for state, value in self.sent["ballots"]]
        for i in self.sent["branches"]:
            vote: Any = self._vote(i)
            if vote is not None:
                found[i] = Ballot(vote.state, vote.value)
            else:
                found[i] = Ballot("parked" if i in self.board.waiting else "running")
        return found

    async def decide(self) -> None:
        """Have it decided, if that can be; one branch at a time."""
        board = self.board
        if decided(self.run, self.sent["at"]) is None:
            async with board.deciding:
                found = await settle(self.run, self.fan, self.sent, self.ballots())
            if found is not None:
                board.tell()

    async def news(self, *others: asyncio.Future[Any]) -> None:
        """Wait until something happens, or the deadline has passed; then it is decided."""
        deadline = self.fan.join.deadline
        left = max(self.sent["sent"] + deadline - now(), 0.0) if deadline is not None else None
        await asyncio.wait({self.board.news, *others}, timeout=left, return_when=asyncio.FIRST_COMPLETED)
        if deadline is not None and now() - self.sent["sent"] >= deadline:
            await self.decide()

    async def before(self) -> Turned | None:
        """What is on record for this branch: how its turn ended, or that it came too late. None where nothing is."""
        if self.cut:
            return self.left_out()
        vote = self._vote(self.branch)
        if vote is None or not vote.left:
            return None
        body = await asyncio.to_thread(self.run.ledger.exact, self.run.grounds.run, vote.left)
        if body is None:
            raise LedgerCorrupt(run=self.run.grounds.run, seq=-1, fault=f"what branch {self.branch} left is gone")
        kept = orjson.loads(body)
        whole: dict[str, Any] = {**self.begun, **kept, "talk": messages_from_dict(kept["talk"])}
        return cast("Turned", whole)

    async def ballot(self, left: Turned) -> Ballot:
        """How the branch stands by what its turn left: an answer counts only if its contract accepts it."""
        from .crossing import checked, refuse_partial  # they stand on the nodes, which stand on this

        if "gap" in left:
            return Ballot("failed")
        if "stand_in" in left:
            return Ballot("refused")
        edge, told = self.fan.answer(self.role), left["offers"][0]["payload"]
        try:
            refuse_partial(edge, left.get("marks", ()))
            crossing, _ = await checked(edge, told, left["inbox"], run=self.run, ns=self.ns, registries=self.registries)
        except ContractViolation:
            return Ballot("refused")
        return Ballot("answered", value_of(self.run, self.fan.join, crossing.payload))

    async def cast(self, left: Turned, ballot: Ballot) -> Turned:
        """Record how the branch stands, and have the join decided; returns what the branch leaves now."""
        body, sent = self._kept(left), self.sent
        record = BranchVoted(
            at=self.begun["at"],
            fan=sent["at"],
            round=sent["round"],
            branch=self.branch,
            agent=self.role,
            state=ballot.state,
            value=ballot.value,
            left=body.ref if body is not None else "",
        )
        key = f"voted:{sent['at']}:{sent['round']}:{self.branch}"
        self.run.note(Draft(record=record, key=key, payloads=(body,) if body is not None else ()))
        self.board.tell()
        await self.decide()
        return self.left_out() if self.cut else left

    def _kept(self, left: Turned) -> Payload | None:
        """What a turn left, beyond what it began with; None for what is no JSON, which no contract accepts."""
        begun: Mapping[str, Any] = self.begun
        changed = {k: v for k, v in left.items() if k not in begun or begun[k] != v}
        try:
            return self.run.knows.kept({**changed, "talk": messages_to_dict(left["talk"])})
        except TypeError:
            return None

    async def parked(self) -> bool:
        """Wait beside the others, as a branch that waits for a person.

        Returns:
            Whether the join was decided without it. If not, nothing more can come but the person's answer.
        """
        self.board.waiting.add(self.branch)
        self.board.tell()
        while True:
            await self.decide()
            if self.cut:
                return True
            at_work = {i for i, b in enumerate(self.ballots()) if b.state == "running"} - self.board.stopped
            if self.fan.join.deadline is None and not at_work:
                return False
            await self.news()

    def _unknown(self) -> dict[str, str]:
        """The effects of the branch that were begun before a crash and of which no outcome is on record, by place."""
        within, journal = (f"{self.begun['at']}/", f"{self.begun['at']}#"), dict(self.run.journal)
        begun = [r for r in journal.values() if isinstance(r, EffectIntended) and r.effect.startswith(within)]
        return {r.effect: r.tool for r in begun if f"outcome:{r.effect}" not in journal}

    def left_out(self) -> Turned:
        """What the branch leaves where the join was decided without it. Nobody waits for answers to it any more."""
        run, policy = self.run, self.fan.join.told(len(self.sent["ballots"]))
        parked, open_ = self.cut == PARKED, self.fan.join.parked == "open"
        why = f"{'waited for a person' if parked else 'was at work'} when its join was decided: {policy}"
        place, unknown = self.begun["at"], self._unknown()
        for asked in list(run.asked.values()):
            inside = asked.at == place or asked.at.startswith((f"{place}/", f"{place}#"))
            if inside and f"answered:{asked.review}" not in run.journal:
                left = open_ or asked.at in unknown  # somebody has to look what became of it
                record = ReviewWithdrawn(review=asked.review, at=asked.at, reason=why, open=left)
                run.note(Draft(record=record, key=f"{'left' if left else 'answered'}:{asked.review}"))
        if unknown:
            why += f"; not known whether it was done: {', '.join(sorted(set(unknown.values())))}"
        return gap(self.begun, self.role, "parked" if parked else "late", why)


async def raced(
    turn: Callable[[], Awaitable[Turned]],
    *,
    run: Run,
    fan: FanOut | None,
    state: Mapping[str, Any],
    begun: Turned,
    seat: Seat,
    registries: Mapping[str, Registry],
    ns: str,
) -> Turned:
    """A turn; of a branch whose fan-out has a join policy: as long as that waits for it.

    Raises:
        GraphInterrupt: the branch waits for a person, and nothing more can come but the answer.
        Whatever the turn raises.
    """
    sent = state.get("join")
    if fan is None or sent is None:
        return await turn()
    race = _Race(run=run, fan=fan, sent=sent, begun=begun, role=seat.role, registries=registries, ns=ns)
    await race.decide()  # the deadline may have passed, or a crash come between the last ballot and the decision
    if (before := await race.before()) is not None:
        return before
    if decided(run, sent["at"]) is not None:  # it is taken again, for what it would write was in conflict
        return await turn()
    calls = Calls(calls_here())

    async def taken() -> tuple[Turned, Ballot]:
        with calls_of_this_turn(calls):
            left = await turn()
            return left, await race.ballot(left)

    task = asyncio.create_task(taken())
    try:
        while not task.done() and not race.cut:
            await race.news(task)
        if not task.done():
            await calls.ended(task)
            error = None if task.cancelled() else task.exception()
            if error is not None and not isinstance(error, GraphInterrupt):
                raise error
            return race.left_out()
        try:
            left, ballot = task.result()
        except GraphInterrupt:
            if await race.parked():
                return race.left_out()
            raise
        return await race.cast(left, ballot)
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait({task})
        if not task.cancelled():
            task.exception()  # looked at, whatever else is raised

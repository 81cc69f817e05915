"""The trail of a run: its latest calls and handoffs, in which a loop is found before it takes another step.

Made of ledger records, one after the other, while the run goes and when it is built again, so that both decide alike.
A record that comes again, because a node was executed again, counts once. Steps of parallel branches come in between
each other in any order, so each branch has a line of its own: calls by the turn they are made in and where in it,
handoffs by the graph they belong to and the branch.
"""

from __future__ import annotations

import re
import threading
from collections import deque
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from ..contracts.errors import LoopFound
from ..contracts.loops import Cycle, Loops, find_cycle
from ..ledger.records import (
    AgentEnded,
    AgentStarted,
    CallJudged,
    ContractPassed,
    EffectDone,
    EffectFailed,
    EffectRefused,
    Record,
    SharedWritten,
)

PASSED = "passed:"
"""How the key of a crossing's record begins; its position follows."""
_STEP = re.compile(r"\.\d+(?=(\[\d+\])*$)")


class _Called(NamedTuple):
    """A call that was judged: who made it, and what of."""

    agent: str
    tool: str
    arguments: str

    def __str__(self) -> str:
        return f"{self.agent}: {self.tool}"


class _Told(NamedTuple):
    """A call, and what came of it."""

    call: _Called
    result: Hashable


class _Crossed(NamedTuple):
    """A payload that crossed an edge, and how much had been changed by then."""

    edge: str
    payload: str
    changes: int


@dataclass(slots=True)
class Trail:
    """See the module. Thread-safe.

    Attributes:
        loops: how many rounds of the same there may be.
    """

    loops: Loops = field(default_factory=Loops)
    _calls: dict[str, dict[str, deque[_Told]]] = field(default_factory=dict)
    _crossings: dict[str, deque[_Crossed]] = field(default_factory=dict)
    _turns: set[str] = field(default_factory=set)
    _judged: dict[str, _Called] = field(default_factory=dict)
    _counted: set[str] = field(default_factory=set)
    # What changed so far in the world or the shared state: the same once more is no change.
    _changes: int = 0
    _effects: set[_Called] = field(default_factory=set)
    _shared: dict[str, str] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def know(self, key: str | None, record: Record) -> None:
        """Take a record of the run in; those that tell of no step change nothing.

        Args:
            key: under which it was written; the position of a crossing stands in nothing else.
        """
        with self._lock:
            match record:
                case AgentStarted():
                    self._turns.add(record.at)
                case AgentEnded():
                    self._calls.pop(record.at, None)
                case CallJudged():
                    self._judge(record)
                case EffectDone():
                    if record.changes_world and record.effect not in self._counted:
                        self._change(record)
                    self._told(record.effect, ("done", record.outcome))
                case EffectRefused():
                    self._told(record.effect, ("refused", record.reason))
                case EffectFailed():
                    self._told(record.effect, ("failed", record.error))
                case SharedWritten():
                    if self._shared.get(record.key) != record.value:
                        self._shared[record.key] = record.value
                        self._changes += 1
                case ContractPassed():
                    at = (key or "").removeprefix(PASSED)
                    if at not in self._counted:
                        self._counted.add(at)
                        self._crossed(at).append(_Crossed(record.edge, record.payload, self._changes))
                case _:
                    pass

    def refuse_call(self, agent: str, tool: str, arguments: str, *, at: str) -> None:
        """Refuse a call that would begin another round of calls that told the same each time.

        A call that was judged before is not refused: it is being executed again, or a person was asked about it.

        Args:
            arguments: their ref, as `CallJudged` has it.
            at: the position of the call.

        Raises:
            LoopFound: of kind `call`.
        """
        with self._lock:
            if self.loops.same is None or at in self._judged or at in self._counted:
                return
            found = self._cycle(list(self._line(at)), self.loops.same)
            asked = _Called(agent, tool, arguments)
            if found is not None and (steps := [s for s in found.steps if isinstance(s, _Told)])[0].call == asked:
                raise self._found("call", [str(s.call) for s in steps], self.loops.same)

    def refuse_crossing(self, edge: str, payload: str, *, at: str) -> None:
        """Refuse a crossing that would begin another round: of the same payloads with no change, or of the same edges.

        A crossing that is on record is not refused: it is being executed again.

        Args:
            edge: its name, as `ContractPassed` has it.
            payload: its ref.
            at: its position, with its branch: what follows `passed:` in its record's key.

        Raises:
            LoopFound: of kind `state` or `handoff`.
        """
        with self._lock:
            if at in self._counted:
                return
            line = list(self._crossed(at))
            step = _Crossed(edge, payload, self._changes)
            if (limit := self.loops.same) is not None:
                found = self._cycle(line, limit)
                if found is not None and found.steps[0] == step:
                    raise self._found("state", [s.edge for s in found.steps if isinstance(s, _Crossed)], limit)
            if (limit := self.loops.cycle) is not None:
                found = self._cycle([s.edge for s in line], limit)
                if found is not None and found.steps[0] == edge:
                    raise self._found("handoff", [str(s) for s in found.steps], limit)

    # -- lines ---------------------------------------------------------------------------------------------------

    def _line(self, at: str) -> deque[_Told]:
        """The calls that were made where this one is: in the same turn, by the same node of whatever graph is in it."""
        turn, place = self._turn(at.partition("#")[0])
        lines = self._calls.setdefault(turn, {})
        return lines.setdefault(place, deque(maxlen=self.loops.remembered))

    def _turn(self, path: str) -> tuple[str, str]:
        for turn in _outwards(path):
            if turn in self._turns:
                inner = path[len(turn) :].strip("/")
                return turn, "/".join(_STEP.sub("", part) for part in inner.split("/"))
        return "", "/".join(_STEP.sub("", part) for part in path.split("/"))

    def _crossed(self, at: str) -> deque[_Crossed]:
        """The crossings of the graph that this one belongs to, in the same branch."""
        graph, _, node = at.rpartition("/")
        line = f"{graph}:{node.partition(':')[2]}"
        return self._crossings.setdefault(line, deque(maxlen=self.loops.remembered))

    # -- steps ---------------------------------------------------------------------------------------------------

    def _judge(self, record: CallJudged) -> None:
        if record.at in self._counted:
            return
        # What was judged last is what is done: a person may have edited it.
        self._judged[record.at] = _Called(record.agent, record.tool, record.arguments)
        if record.verdict == "deny":
            self._told(record.at, ("denied", tuple(record.rules)))

    def _told(self, at: str, result: Hashable) -> None:
        call = self._judged.get(at)
        if call is None or at in self._counted:
            return
        self._counted.add(at)
        del self._judged[at]
        self._line(at).append(_Told(call, result))

    def _change(self, record: EffectDone) -> None:
        call = self._judged.get(record.effect) or _Called("", record.tool, record.effect)
        if call not in self._effects:
            self._effects.add(call)
            self._changes += 1

    def _cycle(self, steps: list[Hashable] | list[_Told] | list[_Crossed] | list[str], times: int) -> Cycle | None:
        return find_cycle(steps, times=times, longest=self.loops.longest)

    def _found(self, kind: str, cycle: list[str], limit: int) -> LoopFound:
        return LoopFound(kind=kind, cycle=cycle, times=limit, limit=limit)


def _outwards(path: str) -> Iterator[str]:
    """A path and all that it lies in, from the inside out."""
    while path:
        yield path
        path = path.rpartition("/")[0]

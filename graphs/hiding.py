"""What the runs of a process must not show: to whoever reads a trace, a stream, or what a tool tells by itself."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import orjson

from ..contracts.redaction import Redactor
from ..tools.knowing import NOTHING_SHOWN, Knowledge
from ..tools.run import Run

if TYPE_CHECKING:
    from .standing import Standing

LATE, ADMITTED = 256, 32
"""How many runs that were let go, and requests that begin one, are remembered."""


class Hiding:
    """The runs of a system, as far as it is about what they must not show."""

    _standing: Standing
    _live: dict[str, Run]
    _late: deque[Knowledge]
    _admitted: deque[Knowledge]
    _made: dict[bool, tuple[tuple[tuple[int, int], ...], Redactor, list[Knowledge]]]

    def _knowledge(self, key: bytes) -> Knowledge:
        standing = self._standing
        return Knowledge(redactor=standing.recorded, watches=standing.watches, covered=standing.covered, key=key)

    def redactors(self) -> list[Redactor]:
        """What cuts out of a trace what it must not show: of the system, and of each run that knows sensitive values.

        Traces are sent a while after what they tell, so the newest runs that were let go count too.
        """
        if any(r.knows.overflowed for r in list(self._live.values())) or any(k.overflowed for k in self._late):
            return [NOTHING_SHOWN]
        before = [*self._admitted, *self._late]
        now = [r.knows for r in list(self._live.values()) if r.knows.known]
        return [self._joined(before, detect=True), *([self._joined(now, detect=False)] if now else ())]

    def _joined(self, every: Sequence[Knowledge], *, detect: bool) -> Redactor:
        """One redactor for what several runs know: each of its own would look at every text again."""
        of = tuple((id(knows), len(knows.known)) for knows in every)
        made = self._made.get(detect)
        if made is None or made[0] != of:
            known = {text: level for knows in every for text, level in dict(knows.known).items()}
            # With what it was made of, so that nothing new gets an id of theirs.
            made = self._made[detect] = of, self._standing.recorded(known, detect=detect), list(every)
        return made[1]

    def admitted(self, request: Mapping[str, Any]) -> None:
        """A request that is about to begin a run: a trace tells of it before there is one."""
        knows = self._knowledge(b"")
        knows.learn(self._standing.entry.leaves(request))
        if knows.known:
            self._admitted.append(knows)

    def cleaned(self, thread: str, value: Any) -> Any:
        """What a tool or a node tells the reader of a thread by itself, as that reader may see it.

        Messages, models and other objects are looked through as JSON, and told as such if something is cut out.
        """
        runs = [r for r in list(self._live.values()) if r.grounds.thread == thread]
        try:
            plain = orjson.loads(orjson.dumps(value, default=_unpacked, option=orjson.OPT_NON_STR_KEYS))
        except TypeError:
            plain = repr(value)
        cleaned = plain
        # Its run may have ended, or failed, before its reader takes what it had told.
        for redactor in [r.knows.redacts() for r in runs] or self.redactors():
            cleaned = redactor.clean(cleaned)[0]
        return value if cleaned == plain else cleaned


def _unpacked(value: Any) -> Any:
    """An object as JSON, or as what it says of itself."""
    if isinstance(value, bytes | bytearray):
        return value.decode(errors="replace")
    if isinstance(value, set | frozenset):
        return list(value)
    dump = getattr(value, "model_dump", None)
    return dump() if callable(dump) and not isinstance(value, type) else repr(value)

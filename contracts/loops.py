"""Loops: how often the same steps may come over and over, and how such a cycle is found. Pure decisions."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

LEAST_ROUNDS = 2
MOST_STEPS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Loops:
    """How many rounds of the same steps a run may make. The step that would begin one more is refused.

    Attributes:
        same: of steps with the same content: calls of the same tools with the same arguments that told the same, or
            payloads that crossed the same edges while nothing changed. To ask again how a job stands is honest work,
            and may well be told the same three times; told so four times, an agent learns nothing by asking on. It is
            one below the handoffs that an agent has by default, so that a loop is known for one before a budget is out.
        cycle: of the same edges in the same order, whatever crossed them. An author and a reviewer do not need more
            than ten drafts, and a loop whose words differ each time has nothing else to be known by.
        longest: how many steps a round has at most.

    None turns one of the rules off; it is still told by `as_json`.
    """

    same: int | None = 4
    cycle: int | None = 10
    longest: int = 6

    def __post_init__(self) -> None:
        for name, value, least in (
            ("same", self.same, LEAST_ROUNDS),
            ("cycle", self.cycle, LEAST_ROUNDS),
            ("longest", self.longest, 1),
        ):
            if value is None and name != "longest":
                continue
            if type(value) is not int:
                raise TypeError(f"Loops({name}={value!r}): takes an int")
            if not least <= value <= MOST_STEPS:
                raise ValueError(
                    f"Loops({name}={value}): from {least} to {MOST_STEPS}; None turns `same` or `cycle` off"
                )

    def as_json(self) -> dict[str, Any]:
        """Every rule, those that are off as None."""
        return {"same": self.same, "cycle": self.cycle, "longest": self.longest}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Loops:
        """The inverse of `as_json`."""
        return cls(**data)

    @property
    def remembered(self) -> int:
        """How many of the latest steps decide."""
        return self.longest * max(self.same or 0, self.cycle or 0)


LOOPS = Loops()
"""What a system allows unless it says otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cycle:
    """Steps that came over and over: those of one round, and how many rounds were looked for and found."""

    steps: tuple[Hashable, ...]
    times: int


def find_cycle(steps: Sequence[Hashable], *, times: int, longest: int) -> Cycle | None:
    """Whether a sequence ends with one round of 1 to `longest` steps, `times` times; the shortest such round.

    It looks at the last `times * longest` steps only.

    Raises:
        ValueError: for fewer than two times, or rounds of less than one step.
    """
    if times < LEAST_ROUNDS or longest < 1:
        raise ValueError(f"find_cycle(times={times}, longest={longest}): at least two times one step")
    for period in range(1, min(longest, len(steps) // times) + 1):
        tail = steps[len(steps) - period * times :]
        if tail[period:] == tail[:-period]:
            return Cycle(steps=tuple(tail[:period]), times=times)
    return None

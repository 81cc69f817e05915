"""When a fan-out has enough of its branches: join policies, and the decision over how the branches stand.

    FanOut(..., join=any_of())
    Supervisor(..., join=quorum(2, agree="recommendation", deadline=30.0, otherwise="review"))

Values and decisions only. `graphs/joining.py` has the branches race, and does what is decided.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, assert_never, get_args

JoinKind = Literal["all", "any", "first", "quorum", "best_effort"]
Late = Literal["cancel", "await"]
Parked = Literal["withdraw", "open"]
Otherwise = Literal["fail", "review", "pass"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Join:
    """A join policy. Made by `any_of`, `first`, `quorum` and `best_effort`; `ALL` is what holds where none is given.

    A branch answers when its contract accepts what it gives back. What a contract refuses is mended by its branch in a
    further step, as in any fan-out, as long as the join is open. Under every policy but `ALL` a branch whose own turn
    fails, and for whose failure nothing but `Stop()` is declared, leaves a gap, and the run goes on. What is decided
    is decided for good, in a run that is gone on with after a failure, too.

    Attributes:
        count: of how many branches it needs an answer (`first`, `quorum`, `best_effort`; 1 for `any`).
        agree: `quorum`: the field of the answers whose values have to be equal, as JSON.
        deadline: seconds from when the branches were sent until the join is decided by what is there; None is without.
            A restart does not begin it anew. A branch that waits for a person is waited for until then.
        late: what becomes of a branch that is at work once the policy is met, or cannot be met any more. `cancel`: its
            turn is cancelled; a tool call of it that may change the world is let end first, and no other begins.
            `await`: it is waited for, up to the deadline, and its answer counts among the others.
        parked: what becomes of the questions of a branch that waits for a person when the join is decided without it.
            `withdraw`: they cannot be answered any more. `open`: they can be until they expire; an answer is recorded
            and changes nothing.
        otherwise: what happens where the policy cannot be met. `fail`: the run ends with JoinUnmet. `review`: a person
            with the role of the fan-out's `on_violation` hands on what is there, mended or as it is, or ends the run.
            `pass`: what is there is handed on, and the answer is marked `unmet`; with no answer at all the run ends.

    A turn that is a plain function, not an async one, blocks the event loop: while it works nothing else is decided,
    and it cannot be cancelled.

    Raises:
        ValueError: for a number, a field or a word that cannot be.
    """

    kind: JoinKind = "all"
    count: int = 0
    agree: str = ""
    deadline: float | None = None
    late: Late = "cancel"
    parked: Parked = "withdraw"
    otherwise: Otherwise = "fail"

    def __post_init__(self) -> None:
        if self.kind not in get_args(JoinKind):
            known = ", ".join(map(repr, get_args(JoinKind)))
            raise ValueError(f"join: kind={self.kind!r}; it takes one of {known}")
        if self.kind == "all":
            return
        count: Any = self.count
        if not isinstance(count, int) or isinstance(count, bool) or count < 1:
            raise ValueError(f"{self.kind} join: {count!r} is no number of branches; it takes 1 or more")
        field: Any = self.agree
        if self.kind == "quorum" and (not isinstance(field, str) or not field):
            raise ValueError("quorum join: agree='' names no field; give it the field whose values have to be equal")
        limit: Any = self.deadline
        if limit is not None and (
            isinstance(limit, bool) or not isinstance(limit, int | float) or not math.isfinite(limit) or limit <= 0
        ):
            raise ValueError(f"{self.kind} join: deadline={limit!r} is no number of seconds above 0")
        if self.kind == "best_effort" and limit is None:
            raise ValueError("best_effort join: it takes a deadline; without one nothing says when it has enough")
        for name, words in (("late", Late), ("parked", Parked), ("otherwise", Otherwise)):
            if (given := getattr(self, name)) not in get_args(words):
                known = ", ".join(map(repr, get_args(words)))
                raise ValueError(f"{self.kind} join: {name}={given!r}; it takes one of {known}")

    def told(self, branches: int) -> str:
        """The policy in words, of a fan-out of so many branches: `any of 4`, `2 of 3 agree on recommendation`.

        Of fewer than it needs, as where one agent is to be sent several times, nothing is said of their number.
        """
        of = f" of {branches}" if branches >= self.count else ""
        match self.kind:
            case "all":
                return f"all of {branches}"
            case "any":
                told = f"any{of}"
            case "first":
                told = f"first {self.count}{of}"
            case "quorum":
                told = f"{self.count}{of} agree on {self.agree}"
            case "best_effort":
                told = f"at least {self.count}{of}"
            case _:
                assert_never(self.kind)
        return told if self.deadline is None else f"{told} within {self.deadline:g} s"

    def as_json(self) -> dict[str, Any]:
        """As locks and digests hold it."""
        return {
            "kind": self.kind,
            "count": self.count,
            "agree": self.agree,
            "deadline": self.deadline,
            "late": self.late,
            "parked": self.parked,
            "otherwise": self.otherwise,
        }


ALL = Join()
"""Every branch answers, or what is declared for its failure takes the place of its answer."""


def any_of(
    *,
    deadline: float | None = None,
    late: Late = "cancel",
    parked: Parked = "withdraw",
    otherwise: Otherwise = "fail",
) -> Join:
    """One answer is enough. The options are those of `Join`."""
    return Join(kind="any", count=1, deadline=deadline, late=late, parked=parked, otherwise=otherwise)


def first(
    count: int,
    *,
    deadline: float | None = None,
    late: Late = "cancel",
    parked: Parked = "withdraw",
    otherwise: Otherwise = "fail",
) -> Join:
    """So many answers are enough. The options are those of `Join`."""
    return Join(kind="first", count=count, deadline=deadline, late=late, parked=parked, otherwise=otherwise)


def quorum(
    count: int,
    *,
    agree: str,
    deadline: float | None = None,
    late: Late = "cancel",
    parked: Parked = "withdraw",
    otherwise: Otherwise = "fail",
) -> Join:
    """So many answers are enough that have the same value in the field `agree`. The options are those of `Join`.

    Values are compared as JSON, exactly: give the field a closed type. Answers that dissent are handed on, too. With no
    more than half of the branches two values could be met; then the one with more answers counts, or the one of the
    earliest branch.
    """
    return Join(
        kind="quorum", count=count, agree=agree, deadline=deadline, late=late, parked=parked, otherwise=otherwise
    )


def best_effort(
    *,
    deadline: float,
    least: int = 1,
    late: Late = "cancel",
    parked: Parked = "withdraw",
    otherwise: Otherwise = "fail",
) -> Join:
    """All answers that are there at the deadline, or once no branch is at work any more; so many at least.

    The options are those of `Join`.
    """
    return Join(kind="best_effort", count=least, deadline=deadline, late=late, parked=parked, otherwise=otherwise)


# -- the decision -----------------------------------------------------------------------------------------------------

BallotState = Literal["running", "answered", "failed", "refused", "parked"]


@dataclass(frozen=True, slots=True)
class Ballot:
    """How a branch stands.

    Attributes:
        state: `running`; `answered`: its contract accepts what it gave back; `failed`: it gives nothing; `refused`: its
            contract refused that, or another agent is to take its turn, in a further step; `parked`: it waits for a
            person.
        value: of an answer: what stands for the value that has to agree. Equal where the values are.
    """

    state: BallotState = "running"
    value: str = ""


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing is decided yet."""


@dataclass(frozen=True, slots=True)
class Released:
    """The policy is met, by the answers of these branches. Who has not answered is late."""

    counted: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Unmet:
    """The policy cannot be met any more, and why."""

    why: str


Decision = Wait | Released | Unmet
_OPEN = ("running", "refused", "parked")


def decide(join: Join, ballots: Sequence[Ballot], elapsed: float) -> Decision:
    """Whether a join has enough.

    Args:
        ballots: how each branch stands, by its place.
        elapsed: seconds since the branches were sent.
    """
    over = join.deadline is not None and elapsed >= join.deadline
    running = any(b.state == "running" for b in ballots)
    # A person may take days: who waits for one, or is to be sent again, is not awaited.
    if join.late == "await" and running and not over:
        return Wait()
    answered = tuple(i for i, b in enumerate(ballots) if b.state == "answered")
    left = 0 if over else sum(b.state in _OPEN for b in ballots)
    match join.kind:
        case "all":
            return Wait() if left else Released(answered)
        case "any" | "first":
            counted, enough = answered, len(answered) >= join.count
        case "quorum":
            counted = max(_agreeing(ballots), key=len, default=())
            enough = len(counted) >= join.count
        case "best_effort":
            counted, enough = answered, len(answered) >= join.count and not left
        case _:
            assert_never(join.kind)
    if enough:
        return Released(counted)
    if len(counted) + left >= join.count:
        return Wait()
    return Unmet(_why(join, len(answered), len(counted), over=over))


def _agreeing(ballots: Sequence[Ballot]) -> Iterator[tuple[int, ...]]:
    """The branches that agree, of each value; the one of the earliest branch first."""
    found = defaultdict[str, list[int]](list)
    for place, ballot in enumerate(ballots):
        if ballot.state == "answered":
            found[ballot.value].append(place)
    return map(tuple, found.values())


def _why(join: Join, answered: int, counted: int, *, over: bool) -> str:
    said = f"{answered} answered"
    if join.kind == "quorum":
        said += f", of whom no more than {counted} agree on {join.agree}"
    return f"{said} within {join.deadline:g} s" if over else f"{said}, and too few are left"

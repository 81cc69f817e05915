"""The edge: who hands over to whom, under which contract, with which part of the talk, and what if it is broken."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, get_args

from .contract import Contract
from .errors import TopologyInvalid
from .join import ALL as EVERY
from .join import Join

START = "start"
END = "end"
MAX_BRANCHES = 64
Then = Literal["review", "fail"]
Beyond = Literal["review", "fail", "pass"]
_GAPS = "gaps"


@dataclass(frozen=True, slots=True, kw_only=True)
class OnViolation:
    """What happens when a payload breaks the contract: so many repairs by the source, then a review or a failure.

    `role` is who may answer the review.
    """

    repair: int = 2
    then: Then = "review"
    role: str = "reviewer"

    def __post_init__(self) -> None:
        given: Any = self.repair
        if not isinstance(given, int) or isinstance(given, bool) or given < 0:
            raise ValueError(f"OnViolation(repair={given!r}): takes a number of tries, 0 for none")
        if self.then not in get_args(Then):
            raise ValueError(f"OnViolation(then={self.then!r}): takes one of {', '.join(map(repr, get_args(Then)))}")
        if not self.role:
            raise ValueError("OnViolation(role=''): takes the name of the role that may answer")

    def as_json(self) -> dict[str, Any]:
        """As locks and digests hold it."""
        return {"repair": self.repair, "then": self.then, "role": self.role}


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """How often an edge may be crossed in one run. Edges with a bound of the same name have one count between them.

    What was crossed is counted from the records of the run, so that no restart and no crash begins the count anew.

    Attributes:
        name: lower case identifier, `revise`, say; people read it in pictures, errors and questions.
        most: how many crossings there may be.
        then: what happens to the next one. `fail`: the run ends with BoundReached. `review`: a person is asked, of the
            role that the edge's `on_violation` names: approve is one more round, edit is what is handed on instead,
            reject ends the run. `pass`: the source is told that it may only hand on otherwise, and the answer is marked
            `degraded`.

    Raises:
        ValueError: for a name that is none, a number that is not positive, another `then`.
    """

    name: str
    most: int
    then: Beyond = "fail"

    def __post_init__(self) -> None:
        given: Any = self.most
        if not (self.name.isascii() and self.name.isidentifier() and self.name == self.name.lower()):
            raise ValueError(f"Bound(name={self.name!r}): takes a lower case identifier")
        if not isinstance(given, int) or isinstance(given, bool) or given < 1:
            raise ValueError(f"Bound(most={given!r}): takes a positive number; leave the edge out to allow none")
        if self.then not in get_args(Beyond):
            raise ValueError(f"Bound(then={self.then!r}): takes one of {', '.join(map(repr, get_args(Beyond)))}")

    def as_json(self) -> dict[str, Any]:
        """As locks and digests hold it."""
        return {"name": self.name, "most": self.most, "then": self.then}


class Summariser(Protocol):
    """Who sums a talk up: an agent, as far as an edge knows it."""

    @property
    def name(self) -> str:
        """Its name."""
        ...

    @property
    def version(self) -> int:
        """Its version."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """Which messages of the source's turn cross beside the payload. Made by `NO_HISTORY`, `ALL`, `last`, `summary`.

    System messages, reasoning and what a contract cuts out never cross; what crosses is a valid chat for every
    provider (each tool call has its result, each result its call).
    """

    kind: Literal["none", "last", "summary", "all"] = "none"
    count: int = 0
    by: Summariser | None = None

    def as_json(self) -> str:
        """`none`, `last(3)`, `summary(name@1)`, `all`."""
        if self.kind == "summary" and self.by is not None:
            return f"summary({self.by.name}@{self.by.version})"
        return f"last({self.count})" if self.kind == "last" else self.kind


NO_HISTORY = History()
ALL = History(kind="all")


def last(count: int) -> History:
    """The newest `count` messages, cut to a valid chat, so perhaps fewer."""
    given: Any = count
    if not isinstance(given, int) or isinstance(given, bool) or given < 1:
        raise ValueError(f"last({count!r}): takes a positive number; NO_HISTORY lets nothing cross")
    return History(kind="last", count=count)


def summary(by: Summariser) -> History:
    """One message that the agent `by` makes of the whole talk, under the budget of the run."""
    return History(kind="summary", by=by)


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """One edge. `source` is "start" at the entry, `target` is "end" at the exit.

    `within` is the team inside which it leads, where it is one of a topology that is an agent of another. `bound` is
    how often it may be crossed in one run; None where nothing but the run's own limits says so.
    """

    source: str
    target: str
    contract: Contract
    on_violation: OnViolation = OnViolation()
    history: History = NO_HISTORY
    within: str = ""
    bound: Bound | None = None

    @property
    def name(self) -> str:
        """`source→target`, inside a team `team/source→target`."""
        return f"{self.within}/{self.source}→{self.target}" if self.within else f"{self.source}→{self.target}"

    @property
    def node(self) -> str:
        """The name of its contract node in the graph: contract, version and edge."""
        return f"{self.contract.id} {self.source}→{self.target}"

    def as_json(self) -> dict[str, Any]:
        """As locks and digests hold it."""
        return {
            "source": self.source,
            "target": self.target,
            "contract": self.contract.id,
            "history": self.history.as_json(),
            "on_violation": self.on_violation.as_json(),
            **({"within": self.within} if self.within else {}),  # locks of before stay what they are
            **({"bound": self.bound.as_json()} if self.bound else {}),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class FanOut:
    """One agent hands over to several at once; what they answer meets in one inbox.

    The source may name a branch several times; each is a branch of its own. All must answer, unless `join` says
    otherwise. One contract node checks all that goes out, one all that comes back; a violation names its branch.

    Attributes:
        briefs: contract of what goes to each branch agent, by its name.
        answers: contract of what each gives back.
        target: the agent that gets all of it.
        gathered: contract of that: its field `results` is a list of `{"agent": name, "answer": payload}` in the order
            of the branches; its carried fields come from what the source received.
        limit: at most so many branches at once.
        within: the team inside which it is, as with an edge.
        concurrency: how many branches of one run take their turns at once, the others wait; None lets all of them.
        join: when enough of the branches have answered (`contracts/join.py`); all of them where it is left out. Under
            any other policy `gathered` has a field `gaps`, too, which names who did not answer, and why.

    Raises:
        TopologyInvalid: the join does not fit the fan-out; with every fault of that kind.
    """

    source: str
    briefs: Mapping[str, Contract]
    answers: Mapping[str, Contract]
    target: str
    gathered: Contract
    limit: int = MAX_BRANCHES
    on_violation: OnViolation = field(default_factory=OnViolation)
    history: History = NO_HISTORY
    within: str = ""
    join: Join = EVERY
    concurrency: int | None = None

    def __post_init__(self) -> None:
        if self.join != EVERY and (faults := self._faults_of_join()):
            raise TopologyInvalid(name=self.back, faults=[f"fan-out of {self.source!r}: {f}" for f in faults])

    def _faults_of_join(self) -> list[str]:
        given: Any = self.join
        if not isinstance(given, Join):
            return [f"join={given!r} is none; it takes any_of, first, quorum or best_effort"]
        faults = []
        if given.count > self.limit:
            faults.append(f"its join needs {given.count} branches; its limit allows {self.limit}")
        if _GAPS not in self.gathered.model.model_fields:
            faults.append(f"its join may leave gaps, and contract {self.gathered.id} has no field {_GAPS!r} to say so")
        if given.kind == "quorum":
            faults += [
                f"its branches are to agree on {given.agree!r}; contract {contract.id} of {name!r} has no such field"
                for name, contract in self.answers.items()
                if given.agree not in contract.model.model_fields
            ]
        return faults

    @property
    def branches(self) -> tuple[str, ...]:
        """The names of the branch agents."""
        return tuple(self.briefs)

    @property
    def out(self) -> str:
        """The name of the contract node before the branches."""
        return f"{_ids(self.briefs)} {self.source}→[{','.join(self.branches)}]"

    @property
    def back(self) -> str:
        """The name of the contract node after them."""
        return f"{_ids(self.answers)} [{','.join(self.branches)}]→{self.target}"

    def brief(self, branch: str) -> Edge:
        """The edge from the source to a branch."""
        return Edge(
            source=self.source,
            target=branch,
            contract=self.briefs[branch],
            on_violation=self.on_violation,
            history=self.history,
            within=self.within,
        )

    def answer(self, branch: str) -> Edge:
        """The edge from a branch to the target."""
        return Edge(
            source=branch,
            target=self.target,
            contract=self.answers[branch],
            on_violation=self.on_violation,
            within=self.within,
        )

    @property
    def edges(self) -> tuple[Edge, ...]:
        """All of them, the ones to the branches first. What lacks an answer is found when the topology is checked."""
        return (*map(self.brief, self.briefs), *map(self.answer, self.answers))


def _ids(contracts: Mapping[str, Contract]) -> str:
    return "+".join(dict.fromkeys(c.id for c in contracts.values()))

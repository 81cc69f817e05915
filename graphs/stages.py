"""What a pipeline is made of: stages, with or without a condition, stages side by side, and the way back.

Pipeline(stages=[drafter, critic, Stage(legal, when="contains_terms"), writer], contracts=[...],
         loop_backs=[LoopBack(source="critic", to="drafter", contract=REVISION, most=3, then="pass")])
Pipeline(stages=[intake, Parallel([law, cost], findings=FINDING), writer], contracts=[REQUEST, CASE, None, ANSWER])
Pipeline(stages=[Map(reader, over="pages", item=PAGE, gives=NOTE), writer], contracts=[BOOK, None, ANSWER])
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from ..agents.agent import Agent, Handoff
from ..contracts.contract import Contract
from ..contracts.edge import MAX_BRANCHES, Beyond, Bound, OnViolation
from ..contracts.errors import ConditionFailed, ContractViolation
from ..contracts.join import ALL, Join
from ..tools.function import source_digest
from .reactions import GAPS

When = str | Callable[[Mapping[str, Any]], bool]
MOST_ITEMS = 256


@dataclass(frozen=True)
class Stage:
    """An agent as a stage that is skipped where a condition does not hold. A skipped stage hands on what it was handed.

    Attributes:
        when: takes what the stage was handed and says whether it takes its turn: a pure function of it, or the name of
            a field of type bool that has to be true. One that raises, or says neither True nor False, ends the run.
    """

    agent: Agent
    when: When


@dataclass(frozen=True, slots=True)
class Condition:
    """The condition of a stage. `agent` is whose."""

    agent: str
    when: When

    @property
    def text(self) -> str:
        """As it stands on drawings and records: the field, or the function with the first digits of its digest."""
        if isinstance(self.when, str):
            return self.when
        return f"{getattr(self.when, '__name__', type(self.when).__name__).strip('<>')} {source_digest(self.when)[:8]}"

    def as_json(self) -> str:
        """As digests hold it."""
        return self.when if isinstance(self.when, str) else source_digest(self.when)

    def holds(self, payload: Mapping[str, Any]) -> bool:
        """Whether the stage takes its turn on a payload. Raises ConditionFailed."""
        try:
            said: Any = payload[self.when] if isinstance(self.when, str) else self.when(deepcopy(dict(payload)))
        except Exception as error:
            raise ConditionFailed(stage=self.agent, when=self.text, why=f"raised {type(error).__name__}") from error
        if not isinstance(said, bool):
            raise ConditionFailed(stage=self.agent, when=self.text, why=f"gave {type(said).__name__}")
        return said


@dataclass(frozen=True, kw_only=True)
class LoopBack:
    """A way from a stage back to an earlier one, so many times in a run.

    Attributes:
        source, to: names of stages; of `Parallel` and `Map` their own.
        contract: of what goes back. `to` takes two contracts then: its own, and this one.
        most: how often in one run; restarts and crashes do not begin the count anew.
        then: what happens to what would go back once more, see `Bound`: a person is asked (`review`), the run fails
            (`fail`), or the source is told to hand on, and the answer is marked degraded (`pass`, for a model only).
        name: of the bound; `<source>_<to>` where none is given. Ways back of one name share one count.
        on_violation: what happens when what goes back breaks the contract; the pipeline's own where none is given. Its
            role is who is asked.
    """

    source: str
    to: str
    contract: Contract
    most: int = 3
    then: Beyond = "review"
    name: str = ""
    on_violation: OnViolation | None = None

    @property
    def bound(self) -> Bound:
        """The bound on its edge. Raises ValueError."""
        return Bound(name=self.name or f"{self.source}_{self.to}", most=self.most, then=self.then)


@dataclass(frozen=True)
class Parallel:
    """Several agents at once, as one stage: each gets a brief, and what they find meets before the next stage.

    A generated function `<name>_split` hands out what the stage was handed: to each agent the fields of its brief. What
    meets behind them is `{"results": [{"agent": ..., "answer": ...}, ...]}` with the carried fields, and `gaps` where a
    branch may be missing. It goes to the next stage as it is: the contract there is generated, write None in its place,
    or write one with such fields. With `merge`, or as the last stage, it goes through a function `<name>_merge` first.

    Attributes:
        findings: contract of what each gives back, one for all or one per agent's name.
        briefs: contract of what each gets; what the stage itself takes, where none is given.
        carried: fields of what the stage takes that meet with the results.
        merge: makes what the next stage takes of what met.
        join: when enough of them have answered; all of them, where none is given.
        name: of the stage; its generated functions are named after it.
    """

    agents: Sequence[Agent]
    findings: Contract | Mapping[str, Contract]
    briefs: Contract | Mapping[str, Contract] | None = None
    carried: Sequence[str] = ()
    merge: Callable[[dict[str, Any]], Any] | None = None
    join: Join = ALL
    name: str = "parallel"


@dataclass(frozen=True)
class Map:
    """One agent on each item of a list, as one stage; what it makes of them meets in the order of the items.

    A generated function `<name>_split` hands out the items: an item that is an object is the payload itself, any other
    is `{"item": ...}`. Carried fields of the contract `item` come from what the stage took. What meets, and where it
    goes, is as with `Parallel`; an empty list meets at once.

    Attributes:
        over: the field that is a list.
        item: contract of what the agent gets of one item.
        gives: contract of what it gives back.
        concurrency: how many of its turns are under way at once.
        most: how many items there may be; more end the run with a ContractViolation.
        carried, merge, join: as with `Parallel`.
        name: of the stage; the agent's where none is given.
    """

    agent: Agent
    over: str
    item: Contract
    gives: Contract
    concurrency: int = 8
    most: int = MOST_ITEMS
    carried: Sequence[str] = ()
    merge: Callable[[dict[str, Any]], Any] | None = None
    join: Join = ALL
    name: str = ""


AnyStage = Agent | Stage | Parallel | Map


def name_of(stage: AnyStage) -> str:
    """What a stage is called in its pipeline."""
    match stage:
        case Agent():
            return stage.name
        case Stage():
            return stage.agent.name
        case Map(name=""):
            return stage.agent.name
        case _:
            return stage.name


# -- the generated functions: their repr is what a digest sees of them ------------------------------------------------


@dataclass(frozen=True)
class Split:
    """Hands each of several agents the fields of its brief."""

    fields: tuple[tuple[str, tuple[str, ...]], ...]

    def __call__(self, payload: dict[str, Any]) -> list[Handoff]:
        """One handoff per agent."""
        told = {agent: {n: payload[n] for n in names if n in payload} for agent, names in self.fields}
        return [Handoff(target=agent, payload=brief) for agent, brief in told.items()]


@dataclass(frozen=True)
class SplitItems:
    """Hands one agent each item of a list, or `behind` an empty result where there is none."""

    agent: str
    over: str
    most: int
    behind: str
    gaps: bool
    least: int
    contract: str

    def __call__(self, payload: dict[str, Any]) -> list[Handoff]:
        """One handoff per item, in their order. Raises ContractViolation: there are too many, or too few for a join."""
        items = payload[self.over]
        if len(items) > self.most:
            fault = f"{self.over}: holds {len(items)} items, and at most {self.most} are handed out"
            raise ContractViolation(contract=self.contract, edge=f"{self.over}→{self.agent}", faults=[fault])
        if not items and self.least:
            fault = f"{self.over}: holds nothing, and its join needs {self.least} answers"
            raise ContractViolation(contract=self.contract, edge=f"{self.over}→{self.agent}", faults=[fault])
        if not items:
            return [Handoff(target=self.behind, payload={"results": [], **({GAPS: []} if self.gaps else {})})]
        each = [item if isinstance(item, dict) else {"item": item} for item in items]
        return [Handoff(target=self.agent, payload=item) for item in each]


@dataclass(frozen=True)
class Meet:
    """Hands on what met behind several agents as it is, but for what the runtime carries."""

    carried: tuple[str, ...]

    def __call__(self, payload: dict[str, Any]) -> dict[str, Any]:
        """What met."""
        return {name: value for name, value in payload.items() if name not in self.carried}


def faults_of_stage(stage: Any, where: str) -> Iterator[str]:
    """What is wrong with a stage by itself."""
    match stage:
        case Agent():
            pass
        case Stage(agent=agent, when=when):
            if not isinstance(agent, Agent):
                yield f"{where} is Stage({agent!r}), not of an Agent"
            given: Any = when
            if not given or not (callable(given) or isinstance(given, str)):
                yield f"{where}: when={when!r} is neither a function nor the name of a field"
        case Parallel() | Map():
            yield from _faults_of_several(stage, where)
        case _:
            yield f"{where} is {stage!r}, not an Agent"


def _faults_of_several(stage: Parallel | Map, where: str) -> Iterator[str]:
    given: Any = stage.agents if isinstance(stage, Parallel) else [stage.agent]
    if not given or not all(isinstance(a, Agent) for a in given):
        yield f"{where} is of {given!r}; it takes agents"
    if not isinstance(stage.join, Join):
        yield f"{where}: join={stage.join!r} is no Join"
    if stage.merge is not None and not callable(stage.merge):
        yield f"{where}: merge={stage.merge!r} is no function"
    if isinstance(stage, Parallel):
        if not (stage.name.isascii() and stage.name.isidentifier() and stage.name == stage.name.lower()):
            yield f"{where}: its name {stage.name!r} must be a lower case identifier"
        if stage.join.count > len(stage.agents):  # each is sent once
            yield f"{where}: its join needs {stage.join.count} answers, and it is of {len(stage.agents)} agents"
        if len(stage.agents) > MAX_BRANCHES:
            yield f"{where} is of {len(stage.agents)} agents; at most {MAX_BRANCHES} run at once"
        return
    for name in ("concurrency", "most"):
        value = getattr(stage, name)
        if type(value) is not int or value < 1:
            yield f"{where}: {name}={value!r} is not a positive number"
    for name in ("item", "gives"):
        if not isinstance(getattr(stage, name), Contract):
            yield f"{where}: {name}={getattr(stage, name)!r} is no Contract"

"""Every error Edgewright raises, on one page.

The hierarchy::

    EdgewrightError
    ├── DefinitionError          a definition is wrong; found when a system is built
    │   ├── ContractInvalid
    │   ├── ToolInvalid
    │   ├── DeclarationsInvalid  a file that declares tools
    │   ├── AgentInvalid
    │   ├── TopologyInvalid
    │   ├── PolicyInvalid
    │   ├── DetectorInvalid
    │   ├── PricesInvalid        a file of prices
    │   ├── ReviewerInvalid      an identity that is none
    │   ├── LockInvalid          a lock that cannot be read
    │   ├── ContainmentInvalid   a timeout, retry, breaker or bulkhead that cannot be
    │   ├── AnswersInvalid       answers that no advice can be given on
    │   ├── ProjectExists        a new project would stand where something is; nothing was written
    │   └── ProjectInvalid       langgraph.json and what it names
    ├── GateError                a gate said no, while running
    │   ├── ContractViolation
    │   │   └── PartialRefused   a contract takes no partial input
    │   ├── MarksUnread          a system as a node answers with marks that the graph around has no key for
    │   ├── TurnFailed           an agent's turn failed, and nobody let the run go on
    │   ├── NothingLeft          every branch of a fan-out failed and was skipped
    │   ├── PlanFailed           steps of a plan failed, and it was planned anew as often as may be
    │   ├── JoinUnmet            too few branches of a fan-out answered, or agreed
    │   ├── CallDenied
    │   ├── CallRejected         a person said no
    │   │   └── ReviewRejected   to what an agent asks a person about, or nobody answered in time
    │   ├── ToolOutsideRun
    │   ├── BudgetExceeded
    │   │   ├── BudgetClosed     a call used more than its reservation
    │   │   └── BudgetRefused    a person did not add to it
    │   ├── CostUnknown
    │   ├── LimitReached         what is counted over runs would pass its limit; nothing was done
    │   ├── CountInvalid         an amount or a moment that cannot be counted
    │   ├── CircuitOpen          what is called failed each time, so it is not called for a while; nothing was done
    │   ├── Overloaded           too many calls of it are under way; nothing was done
    │   ├── ModelOutsideRun
    │   ├── LoopFound            the same steps over and over; the next one was not taken
    │   ├── ConditionFailed      the condition of a stage said neither yes nor no
    │   ├── BoundReached         an edge was crossed as often as its bound allows; it was not crossed again
    │   ├── HandoffConflict
    │   ├── SummaryFailed        who sums a talk up for an edge gave no summary
    │   ├── SharedWriteInvalid
    │   ├── WriteConflict        two agents wrote one shared key at once, or on what had changed
    │   ├── RecordRefusal        a shared record does not let a call or a write through; nothing was done
    │   │   ├── RecordBusy       another effect holds it
    │   │   ├── RecordConflict   it changed since it was read
    │   │   └── RecordUnknown    nobody knows whether another effect changed it
    │   ├── TooMuchToHide
    │   ├── BlocksItself         a blocking call on the loop that would do its work
    │   └── ReadRefused          what a reader asks for would show what no contract lets pass
    ├── ToolRefusal              a tool's own business refusal; nothing was done
    │   ├── SqlRefused           a SQL statement that may not run, or that the database did not take
    │   ├── PathRefused          a path, or what stands at it, that a files tool does not touch
    │   ├── ToolQuarantined      a tool is not defined as a person reviewed it; it was not called
    │   ├── ServerUnreachable    a tool server cannot be reached; nothing was sent
    │   ├── ToolUnavailable      a tool was not called: its breaker is open, or too many calls of it are under way
    │   └── UrlRefused           a URL, or what its host's name stands for, may not be called
    ├── ToolFailed               a tool raised
    ├── ResultInvalid            a tool returned something else than it declares
    ├── StreamCut                a model's stream ended before its reply did
    ├── TimedOut                 a call did not end in time, and nobody knows what became of it
    ├── ServerFailed             a tool server died, broke its protocol, or answered with an error
    ├── HttpFailed               an HTTP request was sent, and what came of it is no answer
    ├── SqlFailed                a changing SQL statement began, and nobody knows how it ended
    ├── FileFailed               a file was changed, and may not be on the disk
    ├── CommandFailed            a command may have begun, and nobody knows how it ended
    ├── MailFailed               a mail was handed over, and nobody knows whether it was taken
    ├── UndoRefused              a run's effects cannot be undone, or not now; nothing was done
    ├── RestartRefused           a run cannot be begun again at a stage; nothing was begun
    ├── RetryRefused             a run that stopped cannot be gone on with, or not now; nothing was done
    ├── EffectConflict           a re-execution asked for something else under the same key
    ├── StoreInvalid             a store was asked for what it cannot do
    ├── ReviewInvalid            an answer that fits no open question
    │   ├── ReviewExpired        it came too late
    │   ├── ReviewClosed         the run went on without it, and it was withdrawn
    │   └── ReviewerRefused      whoever gave it may not give it
    ├── LedgerError
    │   ├── LedgerUnavailable    a record could not be made durable
    │   ├── LedgerCorrupt        the chain does not verify
    │   ├── LedgerVersion        the file is of another version and cannot be upgraded
    │   ├── LedgerKey            what the file has sealed cannot be opened with the key that is there
    │   └── CheckpointCorrupt    a checkpoint is not as it was sealed
    ├── NotFound                 a run, thread or system that does not exist
    ├── ThreadBusy               one run at a time per thread
    ├── RunErased                its payloads are gone for good
    ├── RunUndone                its effects were undone, so it cannot go on
    ├── SystemChanged            a thread in flight began under another version
    └── ThreadWaiting            a thread waits for reviews, and takes nothing else

Each error carries its facts as attributes and says in its message which thing, which rule and what to do.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any, Self


class EdgewrightError(Exception):
    """Base of all errors of this package.

    Subclasses take keyword arguments only; they become attributes. Errors pickle, keyword-only or not.
    """

    template = "{detail}"

    def __init__(self, **facts: Any) -> None:
        self.facts = facts
        super().__init__(self.template.format_map(_Shown(facts)))

    def __getattr__(self, name: str) -> Any:
        facts = self.__dict__.get("facts", {})
        if name in facts:
            return facts[name]
        raise AttributeError(f"{type(self).__name__} has no fact {name!r}; it has {sorted(facts)}")

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.facts)

    @classmethod
    def _from_facts(cls, facts: dict[str, Any]) -> Self:
        return cls(**facts)


def _rebuild(cls: type[EdgewrightError], facts: dict[str, Any]) -> EdgewrightError:
    return cls._from_facts(facts)


class _Shown(dict[str, Any]):
    """Facts as they stand in a message: lists joined, strings as they are."""

    def __getitem__(self, key: str) -> Any:
        value = super().__getitem__(key)
        if isinstance(value, (list, tuple, set, frozenset)):
            return ", ".join(str(item) for item in value) or "none"
        return value


class DefinitionError(EdgewrightError):
    """A definition is wrong. Facts: `name`, `faults` (all of them, not the first)."""

    what = "definition"

    def __init__(self, *, name: str, faults: Sequence[str]) -> None:
        self.name, self.faults = name, tuple(faults)
        listed = self.faults[0] if len(self.faults) == 1 else "".join(f"\n  - {f}" for f in self.faults)
        super().__init__(name=name, faults=self.faults, detail=f"{self.what} {name!r}: {listed}")

    @classmethod
    def _from_facts(cls, facts: dict[str, Any]) -> Self:
        return cls(name=facts["name"], faults=facts["faults"])


class ContractInvalid(DefinitionError):
    """A contract's definition is wrong."""

    what = "contract"


class ToolInvalid(DefinitionError):
    """A tool's declaration is wrong."""

    what = "tool"


class DeclarationsInvalid(DefinitionError):
    """A file that declares tools cannot be read, or says what is not understood."""

    what = "declarations"


class AgentInvalid(DefinitionError):
    """An agent's definition is wrong."""

    what = "agent"


class TopologyInvalid(DefinitionError):
    """A topology names what it does not have, or cannot be reached."""

    what = "system"


class PolicyInvalid(DefinitionError):
    """A policy is missing, does not parse, or does not validate against the tools."""

    what = "policy"


class DetectorInvalid(DefinitionError, LookupError):
    """A detector that does not exist is named, or one that cannot be used is declared."""

    what = "detector"


class PricesInvalid(DefinitionError):
    """A file of prices cannot be read, or an entry of it is not exact or not complete. Nothing of it counts."""

    what = "prices"


class ReviewerInvalid(DefinitionError):
    """An id, a role or a tenant that cannot name anybody."""

    what = "reviewer"


class LockInvalid(DefinitionError):
    """A lock is not JSON, is not a lock, or is of a version that this program does not know."""

    what = "lock"


class ContainmentInvalid(DefinitionError):
    """A timeout, a retry, a breaker or a bulkhead is declared with values that cannot be."""

    what = "containment"


class ProjectInvalid(DefinitionError):
    """`langgraph.json`, or something it names, cannot be used."""

    what = "project"


class AnswersInvalid(DefinitionError):
    """Answers are missing, or are none, so that no topology can be advised."""

    what = "answers for"


class ProjectExists(DefinitionError):
    """A new project would stand where something is already. Nothing was written."""

    what = "new project"


class GateError(EdgewrightError):
    """A gate said no."""


class ContractViolation(GateError):
    """What wanted to cross an edge does not fit its contract.

    Facts: `contract` (name@version), `edge`, `faults` (field: rule; never a value).
    """

    template = "contract {contract} on {edge} does not let this pass: {faults}"

    def __init__(self, *, contract: str, edge: str, faults: Sequence[str]) -> None:
        self.contract, self.edge = contract, edge
        super().__init__(contract=contract, edge=edge, faults=tuple(faults))


class PartialRefused(ContractViolation):
    """What wanted to cross is made of less than it should be, and its contract takes nothing of that kind.

    Facts: as of `ContractViolation`; `faults` name what is missing. Its source cannot mend that.
    """


class MarksUnread(GateError):
    """A system as a node of a graph made by hand answered with marks, and that graph has no key for them.

    Facts: `system`, `marks` (each with its agent).
    """

    template = "system {system!r} answers with marks that the graph around has no key for: {marks}; give it marks="

    def __init__(self, *, system: str, marks: Sequence[str]) -> None:
        super().__init__(system=system, marks=list(marks))


class TurnFailed(GateError):
    """An agent's turn failed, a person was asked, and said no, or nothing in time.

    Facts: `agent`, `error` (its type), `why` (no word of what a model, a tool or a server said).
    """

    template = "the turn of agent {agent!r} failed ({error}: {why}), and nobody let the run go on; begin another run"

    def __init__(self, *, agent: str, error: str, why: str) -> None:
        super().__init__(agent=agent, error=error, why=why)


class NothingLeft(GateError):
    """Every branch of a fan-out failed and was skipped. Facts: `agent` (its source), `faults` (one for each)."""

    template = "nothing is left of what agent {agent!r} handed out, every branch of it was skipped: {faults}"

    def __init__(self, *, agent: str, faults: Sequence[str]) -> None:
        super().__init__(agent=agent, faults=tuple(faults))


class JoinUnmet(GateError):
    """The join policy of a fan-out cannot be met. Nothing was handed on.

    Facts: `agent` (its source), `policy`, `why`, `faults` (how each branch stood; one letter for those that agree).
    """

    template = (
        "the join of what agent {agent!r} handed out needs {policy}, and that is not met: {why}. Branches: {faults}. "
        "Ask for less, give them longer, or declare otherwise='review' or 'pass'"
    )

    def __init__(self, *, agent: str, policy: str, why: str, faults: Sequence[str]) -> None:
        super().__init__(agent=agent, policy=policy, why=why, faults=tuple(faults))


class PlanFailed(GateError):
    """Steps of a plan failed, and the planner has had all of its further tries, or a person would not go on without.

    Facts: `agent` (who planned), `replans` (how often it planned anew), `plan` (its steps, with what each comes after),
    `done` (steps that have an answer), `failed` (steps that have none, and why), `why` (why it was not gone on with).
    """

    template = (
        "the plan of {agent!r} failed: {failed}. It was made anew {replans} times, and {why}. Planned: {plan}. Done: "
        "{done}. Mend what failed, give it more replans=, or declare otherwise='review' or 'pass'"
    )

    def __init__(
        self, *, agent: str, replans: int, plan: Sequence[str], done: Sequence[str], failed: Sequence[str], why: str
    ) -> None:
        super().__init__(agent=agent, replans=replans, plan=plan, done=done, failed=failed, why=why)


class SummaryFailed(GateError):
    """The agent that sums a talk up gave no summary. Facts: `edge`, `by`, `faults` (field: rule; never a value)."""

    template = "agent {by!r} gave no summary for {edge}: {faults}"

    def __init__(self, *, edge: str, by: str, faults: Sequence[str]) -> None:
        self.edge, self.by = edge, by
        super().__init__(edge=edge, by=by, faults=tuple(faults))


class CallDenied(GateError):
    """Policy denied a tool call. Facts: `tool`, `agent`, `rules`, `reasons`."""

    template = "Denied by policy [{rules}]: {reasons}"

    def __init__(self, *, tool: str, agent: str, rules: Sequence[str], reasons: Sequence[str]) -> None:
        self.tool, self.agent = tool, agent
        super().__init__(tool=tool, agent=agent, rules=tuple(rules), reasons=tuple(reasons))


class CallRejected(GateError):
    """A reviewer rejected a tool call. Facts: `tool`, `agent`, `reason`."""

    template = "Rejected by reviewer: {reason}"

    def __init__(self, *, tool: str, agent: str, reason: str) -> None:
        super().__init__(tool=tool, agent=agent, reason=reason)


class ReviewRejected(CallRejected):
    """A person said no to what an agent made by `human_review` asked about, or nobody said anything in time.

    Facts: `agent`, `reason`. Its `tool` is empty, for it is about no call.
    """

    tool = ""
    template = (
        "agent {agent!r} may not hand on what it was handed, a person says so: {reason}; begin another run, or declare "
        "who mends it: human_review(reject=...)"
    )

    def __init__(self, *, agent: str, reason: str) -> None:
        GateError.__init__(self, agent=agent, reason=reason)


class ToolOutsideRun(GateError):
    """A governed tool was called where no run is. Facts: `tool`."""

    template = (
        "tool {tool!r} was called outside a run, where no policy can judge it; "
        "call it from an agent of a System, in the context of the run (threads: contextvars.copy_context())"
    )

    def __init__(self, *, tool: str) -> None:
        super().__init__(tool=tool)


class ModelOutsideRun(GateError):
    """A model was called from a thread that carries no run while governed runs are in flight."""

    template = (
        "a call of model {model!r} reached the gate from thread {thread!r}, which carries no run, while governed "
        "runs are in flight; pass the context on (contextvars.copy_context().run), or, if the call belongs to no "
        "run, make it inside `with edgewright.ungoverned():`"
    )

    def __init__(self, *, model: str, thread: str) -> None:
        super().__init__(model=model, thread=thread)


class BudgetExceeded(GateError):
    """A reservation would take a budget past its limit.

    Facts: `scope` (e.g. "run", "agent billing", "tenant in a day"), `unit`, `limit`, `projected` (what it would come
    to), `used`, `over` (by how much it is too much).
    """

    template = (
        "budget of {scope} allows {limit} {unit}; this call would bring it to {projected}, which is {over} too many "
        "(used {used})"
    )

    def __init__(self, *, scope: str, unit: str, limit: str, projected: str, used: str, over: str) -> None:
        self.scope, self.unit = scope, unit
        super().__init__(scope=scope, unit=unit, limit=limit, projected=projected, used=used, over=over)

    def inside(self, system: str) -> BudgetExceeded:
        """The same, of a run inside which the call was made: it says whose budget it was."""
        return type(self)._from_facts({**self.facts, "scope": f"{self.facts['scope']} of {system}"})


class BudgetClosed(BudgetExceeded):
    """A budget is closed: a call used more than was reserved for it, so that nothing bounds the next one.

    Facts: `scope`, `why`.
    """

    template = "budget of {scope} is closed: {why}; a better bound or price has to be declared"

    def __init__(self, *, scope: str, why: str) -> None:
        self.scope, self.unit = scope, "closed"
        GateError.__init__(self, scope=scope, why=why)


class BudgetRefused(BudgetExceeded):
    """A person was asked for more, and gave none, or no answer in time. Facts: `scope`, `unit`, `limit`."""

    template = "budget of {scope} allows {limit} {unit}, and nobody who was asked for more added to it"

    def __init__(self, *, scope: str, unit: str, limit: str) -> None:
        self.scope, self.unit = scope, unit
        GateError.__init__(self, scope=scope, unit=unit, limit=limit)


class CostUnknown(GateError):
    """A limited unit cannot be bounded before the call. Facts: `scope`, `unit`, `model`, `remedy`."""

    template = "budget of {scope} limits {unit}, which cannot be bounded for model {model!r}: {remedy}"

    def __init__(self, *, scope: str, unit: str, model: str, remedy: str) -> None:
        super().__init__(scope=scope, unit=unit, model=model, remedy=remedy)


class LimitReached(GateError):
    """What is counted over runs and processes would pass its limit. Nothing was written, and nothing was done.

    Facts: `name` (what is counted), `limit`, `used` (what is counted already), `asked` (the amount that did not fit),
    `since` (the moment from which it counts, in seconds since the epoch).
    """

    def __init__(self, *, name: str, limit: int, used: int, asked: int, since: float) -> None:
        self.name, self.limit, self.used, self.asked, self.since = name, limit, used, asked, since
        detail = (
            f"the limit of {name!r} is {limit} since {_moment(since)}; {used} are counted already, so {asked} more "
            "were not let through and nothing was done: ask for less, wait, or have the limit raised"
        )
        super().__init__(name=name, limit=limit, used=used, asked=asked, since=since, detail=detail)

    @classmethod
    def _from_facts(cls, facts: dict[str, Any]) -> Self:
        return cls(**{name: value for name, value in facts.items() if name != "detail"})


def _moment(since: float) -> str:
    """A moment as people write it; as it is where the calendar has no such moment."""
    try:
        return datetime.fromtimestamp(since, UTC).isoformat(" ", "seconds") if since > 0 else "ever"
    except (TypeError, ValueError, OverflowError, OSError):
        return str(since)


class CountInvalid(GateError):
    """Something cannot be counted, so what it was to be counted for must not happen. Facts: `name`, `fault`."""

    template = "{name!r} cannot be counted: {fault}"

    def __init__(self, *, name: str, fault: str) -> None:
        super().__init__(name=name, fault=fault)


class CircuitOpen(GateError):
    """What was to be called failed each time lately, so it was not called. Nothing was done.

    Facts: `of` (what was to be called), `failures` (so many in a row), `last` (the kind of the latest), `until`
    (seconds until a call may be let through).
    """

    template = (
        "{of} was not called: it failed {failures} times in a row (latest: {last}); a call may be let through "
        "in {until} s"
    )

    def __init__(self, *, of: str, failures: int, last: str, until: float) -> None:
        self.of, self.until = of, until
        super().__init__(of=of, failures=failures, last=last, until=until)


class Overloaded(GateError):
    """Too many calls are under way, or one waited for its place for too long. Nothing was done.

    Facts: `of` (whose places they are), `running` and `waiting` (how many there are), `limit` (which bound was met).
    """

    template = (
        "no place left for {of}: {running} calls are under way and {waiting} wait ({limit}); nothing was done: "
        "call it less at once, or declare more places"
    )

    def __init__(self, *, of: str, running: int, waiting: int, limit: str) -> None:
        self.of, self.limit = of, limit
        super().__init__(of=of, running=running, waiting=waiting, limit=limit)


class LoopFound(GateError):
    """The same steps came over and over, and the next one would have begun another round. It was not taken.

    Facts: `kind` (`call`: the same calls with the same results; `state`: the same payloads over the same edges, and
    nothing changed; `handoff`: the same edges, whatever crossed), `cycle` (one round, a text for each step), `times`
    (how many rounds there were), `limit` (how many there may be).
    """

    def __init__(self, *, kind: str, cycle: Sequence[str], times: int, limit: int) -> None:
        self.kind, self.cycle, self.times, self.limit = kind, tuple(cycle), times, limit
        rule = "cycle" if kind == "handoff" else "same"
        detail = (
            f"a {kind} loop was stopped before another round: {_round(self.cycle)} …, {times} times"
            f"{_REPEATED.get(kind, '')}; have the agents end or hand over something else, or allow more rounds with "
            f"Loops({rule}=...), which is {limit}"
        )
        super().__init__(kind=kind, cycle=self.cycle, times=times, limit=limit, detail=detail)

    @classmethod
    def _from_facts(cls, facts: dict[str, Any]) -> Self:
        return cls(**{name: value for name, value in facts.items() if name != "detail"})


_REPEATED = {"call": " with the same results", "state": " with the same payloads, and nothing changed"}


def _round(steps: Sequence[str]) -> str:
    """One round as people read it; edges that follow on each other as one path."""
    ends = [step.split("→") for step in steps]
    follows = all(len(e) == 2 for e in ends) and all(a[1] == b[0] for a, b in pairwise(ends))
    return " → ".join([ends[0][0], *(e[1] for e in ends)] if follows else steps)


class ConditionFailed(GateError):
    """The condition of a stage raised, or gave something else than True or False. Facts: `stage`, `when`, `why`."""

    template = (
        "the condition {when!r} of stage {stage!r} {why}, so nobody knows whether it is to be skipped; it takes a pure "
        "function of what the stage is handed that gives True or False"
    )

    def __init__(self, *, stage: str, when: str, why: str) -> None:
        super().__init__(stage=stage, when=when, why=why)


class BoundReached(GateError):
    """An edge was crossed as often in this run as its bound allows. It was not crossed again.

    Facts: `bound` (its name), `edge` (the one that was not crossed), `most`, `rounds` (the edges that were crossed, in
    order, those that share the bound included), `why` (what became of the further round, where somebody was asked).
    """

    def __init__(self, *, bound: str, edge: str, most: int, rounds: Sequence[str], why: str = "") -> None:
        self.bound, self.edge, self.most, self.rounds, self.why = bound, edge, most, tuple(rounds), why
        told = ", ".join(f"{n}. {step}" for n, step in enumerate(self.rounds, 1))
        detail = (
            f"bound {bound!r} allows {most} in a run, and {edge} would be one more after {told}"
            f"{f'; {why}' if why else ''}; have the agents finish sooner, or raise Bound(most=...)"
        )
        super().__init__(bound=bound, edge=edge, most=most, rounds=self.rounds, why=why, detail=detail)

    @classmethod
    def _from_facts(cls, facts: dict[str, Any]) -> Self:
        return cls(**{name: value for name, value in facts.items() if name != "detail"})


class HandoffConflict(GateError):
    """An agent asked for several handoffs in one turn. Facts: `agent`, `targets`."""

    template = "agent {agent!r} handed over to several targets in one turn: {targets}; exactly one is allowed"

    def __init__(self, *, agent: str, targets: Sequence[str]) -> None:
        super().__init__(agent=agent, targets=tuple(targets))


class SharedWriteInvalid(GateError):
    """An agent writes shared state that is not its to write, or of another type. Facts: `key`, `writer`, `faults`."""

    template = "agent {writer!r} cannot write shared key {key!r}: {faults}"

    def __init__(self, *, key: str, writer: str, faults: Sequence[str]) -> None:
        super().__init__(key=key, writer=writer, faults=tuple(faults))


class WriteConflict(GateError):
    """Two writes of one shared key cannot both count. Facts: `key`, `first`, `second` (the writers), `why`."""

    template = (
        "shared key {key!r} of agents {first!r} and {second!r} {why}; give it a reducer, one writer, "
        "or on_conflict='retry'"
    )

    def __init__(self, *, key: str, first: str, second: str, why: str) -> None:
        super().__init__(key=key, first=first, second=second, why=why)


class TooMuchToHide(GateError):
    """A run holds more sensitive values than can be looked for in what crosses. Facts: `contract`, `edge`, `limit`."""

    template = (
        "contract {contract} on {edge} lets no sensitive value of the run cross, and the run holds more than {limit}, "
        "too many to look for; give the agents less to read, or declare less of it sensitive"
    )

    def __init__(self, *, contract: str, edge: str, limit: int) -> None:
        super().__init__(contract=contract, edge=edge, limit=limit)


class ReadRefused(GateError):
    """A read or a write of a governed graph that goes round its contracts. Facts: `what`, `remedy`."""

    template = "{what} is refused on a governed graph: {remedy}"

    def __init__(self, *, what: str, remedy: str) -> None:
        super().__init__(what=what, remedy=remedy)


class BlocksItself(GateError):
    """A blocking call was made on the event loop that would have to do its work."""

    template = "a blocking call inside the code that it waits for would wait for ever; await the async form instead"

    def __init__(self) -> None:
        super().__init__()


class RecordRefusal(GateError):
    """A shared record does not let a call, or a write, through. Nothing was done.

    Facts of all of them: `record` (its kind), who is in the way (`system`, `agent`, `run`), `asked` (who was refused).
    """


class RecordBusy(RecordRefusal):
    """Another effect holds a shared record, and it did not end in time."""

    template = (
        "record {record!r} is being changed by agent {agent!r} of system {system} in run {run}; what {asked} asked for "
        "was not done: try again when that is done"
    )

    def __init__(self, *, record: str, system: str, agent: str, run: str, asked: str) -> None:
        super().__init__(record=record, system=system, agent=agent, run=run, asked=asked)


class RecordConflict(RecordRefusal):
    """A shared record changed since it was read. Further facts: `read` and `found`, its versions then and now.

    `read` is 0 for what was not there when it was looked for, or was never looked for.
    """

    template = (
        "record {record!r} was changed by agent {agent!r} of system {system} in run {run} since {asked} read it "
        "(version {read} then, {found} now); nothing was done: read it again, and decide on what it says now"
    )

    def __init__(self, *, record: str, system: str, agent: str, run: str, asked: str, read: int, found: int) -> None:
        super().__init__(record=record, system=system, agent=agent, run=run, asked=asked, read=read, found=found)


class RecordUnknown(RecordRefusal):
    """An effect of another call on a shared record began, and nobody knows whether it happened."""

    template = (
        "record {record!r} may have been changed by agent {agent!r} of system {system} in run {run}: how that effect "
        "ended is not known, so what {asked} asked for was not done; do not try again: resuming that run settles it, "
        "or an operator looks at the record and clears it (`ledger.shared.release`)"
    )

    def __init__(self, *, record: str, system: str, agent: str, run: str, asked: str) -> None:
        super().__init__(record=record, system=system, agent=agent, run=run, asked=asked)


class StoreInvalid(EdgewrightError):
    """A store cannot do what was asked of it. Facts: `operation`, `detail`."""

    template = "store {operation}: {detail}"

    def __init__(self, *, operation: str, detail: str) -> None:
        super().__init__(operation=operation, detail=detail)


class ToolRefusal(EdgewrightError):
    """Raised by a tool's function to refuse for a business reason, before it did anything.

    Takes the reason as its one positional argument; the model reads it. `through` is the position of the gate that it
    has come through: to a tool whose function called another one it says nothing of that function itself.
    """

    through: str = ""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(detail=reason)

    @classmethod
    def _from_facts(cls, facts: dict[str, Any]) -> Self:
        return cls(facts["detail"])


class UrlRefused(ToolRefusal):
    """A URL, or an address that its host's name stands for, may not be called. Nothing was sent.

    Facts: `url` (escaped and cut, as a person may see it), `fault`.
    """

    def __init__(self, *, url: str, fault: str) -> None:
        super().__init__(f"{url} may not be called: {fault}")
        self.facts = {"url": url, "fault": fault}

    @classmethod
    def _from_facts(cls, facts: dict[str, Any]) -> Self:
        return cls(**facts)


class SqlRefused(ToolRefusal):
    """A SQL statement may not run, or the database did not take it. Nothing was changed.

    Facts: `rule` (which one: a word of the list in `tools/connectors/sql_reading.py`, or `database`, `limit`), `fault`.
    """

    def __init__(self, *, rule: str, fault: str) -> None:
        super().__init__(f"{fault} [{rule}]")
        self.facts = {"rule": rule, "fault": fault}

    @classmethod
    def _from_facts(cls, facts: dict[str, Any]) -> Self:
        return cls(**facts)


class PathRefused(ToolRefusal):
    """A path, or what stands at it, is not for a files tool to touch. Nothing was changed.

    Facts: `path` (escaped and cut, as a person may see it), `rule` (a word), `fault`.
    """

    def __init__(self, *, path: str, rule: str, fault: str) -> None:
        super().__init__(f"{path}: {fault} [{rule}]")
        self.facts = {"path": path, "rule": rule, "fault": fault}

    @classmethod
    def _from_facts(cls, facts: dict[str, Any]) -> Self:
        return cls(**facts)


class ToolQuarantined(ToolRefusal):
    """A tool of a server is not defined, now, as a person reviewed and pinned it. It was not called.

    Facts: `tool` (as the server calls it), `fault`.
    """

    def __init__(self, *, tool: str, fault: str) -> None:
        super().__init__(f"tool {tool!r} is in quarantine and was not called: {fault}")
        self.facts = {"tool": tool, "fault": fault}

    @classmethod
    def _from_facts(cls, facts: dict[str, Any]) -> Self:
        return cls(**facts)


class ServerUnreachable(ToolRefusal):
    """A tool server cannot be reached, or does not say which tools it has. No call was sent.

    Facts: `server`, `fault`.
    """

    def __init__(self, *, server: str, fault: str) -> None:
        super().__init__(f"server {server!r} cannot be used, and the call was not sent: {fault}")
        self.facts = {"server": server, "fault": fault}

    @classmethod
    def _from_facts(cls, facts: dict[str, Any]) -> Self:
        return cls(**facts)


class ToolUnavailable(ToolRefusal):
    """A tool was not called: its breaker is open, or there was no place for the call.

    Facts: `tool`, `fault`. The CircuitOpen or Overloaded is its cause.
    """

    def __init__(self, *, tool: str, fault: str) -> None:
        super().__init__(f"tool {tool!r} cannot be used now, and nothing was done: {fault}")
        self.facts = {"tool": tool, "fault": fault}

    @classmethod
    def again(cls, tool: str, reason: str) -> Self:
        """One whose reason is on record."""
        return cls(tool=tool, fault=reason.partition("nothing was done: ")[2] or reason)

    @classmethod
    def _from_facts(cls, facts: dict[str, Any]) -> Self:
        return cls(**facts)


class ToolFailed(EdgewrightError):
    """A tool raised. Facts: `tool`, `error`, `unknown` (whether it may nevertheless have happened)."""

    template = "tool {tool!r} failed: {error}"

    def __init__(self, *, tool: str, error: str, unknown: bool) -> None:
        super().__init__(tool=tool, error=error, unknown=unknown)


class ResultInvalid(EdgewrightError):
    """A tool returned something else than it declares.

    Facts: `tool`, `faults` (all of them: field and rule, never a value).
    """

    def __init__(self, *, tool: str, faults: Sequence[str]) -> None:
        listed = "; ".join(faults)
        detail = f"tool {tool!r} returned something else than it declares: {listed}; mend it, or what it declares"
        super().__init__(tool=tool, faults=tuple(faults), detail=detail)

    @classmethod
    def _from_facts(cls, facts: dict[str, Any]) -> Self:
        return cls(tool=facts["tool"], faults=facts["faults"])


class StreamCut(EdgewrightError, ConnectionError):
    """A model's stream ended before its reply did, so there is no reply. Facts: `model`."""

    template = "the stream of {model!r} ended before its reply did; asking again may help"

    def __init__(self, *, model: str) -> None:
        super().__init__(model=model)


class TimedOut(EdgewrightError):
    """A call did not end in time, and nobody knows what became of it.

    Facts: `of` (what was called), `bound` (`total`: all tries; `each`: one try; `idle`: no sign of life), `seconds`.
    """

    template = "{of} did not end in time ({bound}: {seconds} s)"

    def __init__(self, *, of: str, bound: str, seconds: float) -> None:
        self.of, self.bound = of, bound
        super().__init__(of=of, bound=bound, seconds=seconds)


class ServerFailed(EdgewrightError):
    """A tool server died, broke its protocol, did not answer in time, or answered with an error.

    Facts: `server`, `fault` (which may hold the server's own words).
    """

    template = "server {server!r}: {fault}"

    def __init__(self, *, server: str, fault: str) -> None:
        super().__init__(server=server, fault=fault)


class HttpFailed(EdgewrightError):
    """An HTTP request was sent, and what came of it is no answer. Facts: `method`, `url`, `fault`."""

    template = "{method} {url}: {fault}"

    def __init__(self, *, method: str, url: str, fault: str) -> None:
        super().__init__(method=method, url=url, fault=fault)


class UndoRefused(EdgewrightError):
    """The effects of a run cannot be undone, or not now. Nothing was done. Facts: `run`, `fault`."""

    template = "the effects of run {run} cannot be undone: {fault}"

    def __init__(self, *, run: str, fault: str) -> None:
        super().__init__(run=run, fault=fault)


class RestartRefused(EdgewrightError):
    """A run cannot be begun again at a stage, or not now. Nothing was begun. Facts: `run`, `stage`, `fault`."""

    template = "run {run} is not begun again at {stage!r}: {fault}"

    def __init__(self, *, run: str, stage: str, fault: str) -> None:
        super().__init__(run=run, stage=stage, fault=fault)


class RetryRefused(EdgewrightError):
    """A run that stopped cannot be gone on with (or dropped), or not now. Nothing was done. Facts: `run`, `fault`."""

    template = "run {run} is left as it is: {fault}"

    def __init__(self, *, run: str, fault: str) -> None:
        super().__init__(run=run, fault=fault)


class SqlFailed(EdgewrightError):
    """A changing SQL statement began, and nobody knows how it ended. Facts: `statement` (its tool), `fault`."""

    template = "{statement}: {fault}"

    def __init__(self, *, statement: str, fault: str) -> None:
        super().__init__(statement=statement, fault=fault)


class FileFailed(EdgewrightError):
    """A file was changed, and nobody knows whether that is on the disk. Facts: `path`, `fault`."""

    template = "{path}: {fault}"

    def __init__(self, *, path: str, fault: str) -> None:
        super().__init__(path=path, fault=fault)


class CommandFailed(EdgewrightError):
    """A command may have begun, and nobody knows how it ended. Facts: `program`, `fault`."""

    template = "{program}: {fault}"

    def __init__(self, *, program: str, fault: str) -> None:
        super().__init__(program=program, fault=fault)


class MailFailed(EdgewrightError):
    """A mail was handed over to a server, and nobody knows whether it was taken. Facts: `fault`."""

    template = "it is not known whether the mail was sent: {fault}"

    def __init__(self, *, fault: str) -> None:
        super().__init__(fault=fault)


class EffectConflict(EdgewrightError):
    """Two different calls under one effect key. Facts: `key`, `recorded` and `asked` (tool names)."""

    template = (
        "effect {key} was recorded for tool {recorded!r}, but a re-execution asks for {asked!r} in its place; "
        "nothing was done: inspect the run with `edgewright explain`"
    )

    def __init__(self, *, key: str, recorded: str, asked: str) -> None:
        super().__init__(key=key, recorded=recorded, asked=asked)


class ReviewInvalid(EdgewrightError):
    """An answer that fits no open question. Facts: `review`, `detail`, `open` (ids)."""

    template = "review {review!r}: {detail}; open reviews: {open}"

    def __init__(self, *, review: str, detail: str, open: Sequence[str] = ()) -> None:
        super().__init__(review=review, detail=detail, open=tuple(open))


class ReviewExpired(ReviewInvalid):
    """An answer that came after its review had expired. Facts: `review`, `expired` (a moment, UTC)."""

    template = (
        "review {review!r} could be answered until {expired}; the call is denied when the run goes on: "
        "resume the thread without answers"
    )

    def __init__(self, *, review: str, expired: str) -> None:
        EdgewrightError.__init__(self, review=review, expired=expired)


class ReviewClosed(ReviewInvalid):
    """An answer to a question that nobody waits for any more: it was withdrawn. Facts: `review`, `reason`."""

    template = "review {review!r} was withdrawn, and takes no answer: {reason}; there is nothing left to answer"

    def __init__(self, *, review: str, reason: str) -> None:
        EdgewrightError.__init__(self, review=review, reason=reason)


class ReviewerRefused(ReviewInvalid):
    """Somebody who may not answer a review did. Nothing was resumed; it stays open.

    Facts: `review`, `reviewer` (empty for an answer without a name), `detail` (which rule, and what to do).
    """

    template = "review {review!r} takes no answer from {reviewer!r}: {detail}"

    def __init__(self, *, review: str, reviewer: str, detail: str) -> None:
        EdgewrightError.__init__(self, review=review, reviewer=reviewer, detail=detail)


class LedgerError(EdgewrightError):
    """Base of ledger errors."""


class LedgerUnavailable(LedgerError):
    """A record could not be made durable, so what it stands for must not happen. Facts: `where`, `cause`."""

    template = "the ledger at {where} did not take a record: {cause}"

    def __init__(self, *, where: str, cause: str) -> None:
        super().__init__(where=where, cause=cause)


class LedgerCorrupt(LedgerError):
    """A chain does not verify. Facts: `run`, `seq`, `fault`."""

    template = "run {run}, record {seq}: {fault}"

    def __init__(self, *, run: str, seq: int, fault: str) -> None:
        super().__init__(run=run, seq=seq, fault=fault)


class LedgerVersion(LedgerError):
    """A ledger file of a version this program cannot use. Facts: `where`, `found`, `known`."""

    template = "the ledger at {where} is of version {found}, this program knows up to {known}; {remedy}"

    def __init__(self, *, where: str, found: int, known: int, remedy: str) -> None:
        super().__init__(where=where, found=found, known=known, remedy=remedy)


class LedgerKey(LedgerError):
    """The key of a ledger file is missing, or is another one. Facts: `where`, `key_file`, `fault`, `remedy`."""

    template = "the ledger at {where} cannot be opened: {fault} (key file {key_file}); {remedy}"

    def __init__(self, *, where: str, key_file: str, fault: str, remedy: str) -> None:
        super().__init__(where=where, key_file=key_file, fault=fault, remedy=remedy)


class CheckpointCorrupt(LedgerError):
    """A checkpoint, or a write to it, is not as it was sealed. Facts: `thread`, `checkpoint`, `fault`."""

    template = (
        "thread {thread}, checkpoint {checkpoint}: {fault}, so nothing goes on from it; "
        "restore the file from a backup, or use another thread"
    )

    def __init__(self, *, thread: str, checkpoint: str, fault: str) -> None:
        super().__init__(thread=thread, checkpoint=checkpoint, fault=fault)


class NotFound(EdgewrightError):
    """Something named does not exist. Facts: `kind`, `name`, `known`."""

    def __init__(self, *, kind: str, name: str, known: Sequence[str] = ()) -> None:
        self.kind, self.name, self.known = kind, name, tuple(known)
        listed = f"; known: {', '.join(self.known)}" if known else ""
        super().__init__(kind=kind, name=name, known=self.known, detail=f"no {kind} {name!r}{listed}")

    @classmethod
    def _from_facts(cls, facts: dict[str, Any]) -> Self:
        return cls(kind=facts["kind"], name=facts["name"], known=facts["known"])


class ThreadBusy(EdgewrightError):
    """A thread runs one run at a time. Facts: `thread`."""

    template = "thread {thread} is running already; wait for that run, or use another thread"

    def __init__(self, *, thread: str) -> None:
        super().__init__(thread=thread)


class RunErased(EdgewrightError):
    """A run whose payloads were erased cannot go on. Facts: `run`, `thread`."""

    template = "the payloads of run {run} were erased, so it cannot go on; begin anew on another thread than {thread}"

    def __init__(self, *, run: str, thread: str) -> None:
        super().__init__(run=run, thread=thread)


class RunUndone(EdgewrightError):
    """A run whose effects were undone cannot go on: it would take them for done. Facts: `run`, `thread`."""

    template = "effects of run {run} were undone, so it cannot go on; ask thread {thread} anew"

    def __init__(self, *, run: str, thread: str) -> None:
        super().__init__(run=run, thread=thread)


class SystemChanged(EdgewrightError):
    """A thread in flight began under another version of its system, and cannot go on under this one.

    Facts: `thread`, `run`, `system`, `before` and `now` (digests), `reasons` (what changed; a sentence each).
    """

    template = (
        "run {run} on thread {thread} began under {system} {before:.12}, which is {now:.12} now: {reasons}; "
        "load the old version beside this one to let it end there, or start a new thread"
    )

    def __init__(self, *, thread: str, run: str, system: str, before: str, now: str, reasons: Sequence[str]) -> None:
        super().__init__(thread=thread, run=run, system=system, before=before, now=now, reasons=tuple(reasons))


class ThreadWaiting(EdgewrightError):
    """A thread waits for a person; a new request would leave that question behind. Facts: `thread`, `open`."""

    template = "thread {thread} waits for an answer to review {open}; answer it first, or use another thread"

    def __init__(self, *, thread: str, open: Sequence[str]) -> None:
        super().__init__(thread=thread, open=tuple(open))

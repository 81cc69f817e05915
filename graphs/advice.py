"""Advice: which topology fits, by seven answers. A pure decision, and what it has to be told with.

Each answer is a need. A topology meets some needs (`advice_facts.py` says which, and how). Advised is the first one
that meets all of them, in the order in which a run is ever harder to foresee. What reacts to events, and agents that
talk with the user in turn, are what no other topology can stand in for: they decide first, and what they lack is met
by a team inside.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args

from ..contracts.errors import AnswersInvalid
from .advice_facts import SHAPES, Failure, Kind, Need
from .advice_html import advice_html
from .solo import MANY_TOOLS

Steps = Literal["known", "unknown"]
SETTLING: tuple[Need, ...] = ("events", "talk")
"""Needs that one topology alone meets, the weightier one first: that topology it is, whatever else is needed."""
TEAMS: tuple[Kind, ...] = ("supervisor", "planning", "pipeline", "nested")
"""What a team inside another topology can be, in the order in which it is looked for."""

QUESTIONS: Mapping[str, str] = {
    "sequence": "Are the steps and their order known before the request comes, the same for every request?",
    "audit": "Must each step be shown to somebody, checked by itself, and be there to begin again from?",
    "parallel": "Is there work in a request that does not wait for other work, and should be done at once?",
    "plan": "Does each request need steps of its own, of which some need what others found?",
    "talk": "Do several agents talk with the user in turn, each taking the talk over from the one before?",
    "events": "Does the work arrive as events that agents react to, with nobody who waits for an answer?",
    "tools": "How many tools do the agents need, all together?",
}
"""Every question, by the name of its answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """The answers to `QUESTIONS`, by their names.

    Raises:
        AnswersInvalid: with every answer that is none.
    """

    sequence: Steps
    audit: bool
    parallel: bool
    plan: bool
    talk: bool
    events: bool
    tools: int

    def __post_init__(self) -> None:
        given: dict[str, Any] = asdict(self)
        faults = []
        if given["sequence"] not in get_args(Steps):
            faults.append(f"sequence={given['sequence']!r}: takes 'known' or 'unknown'")
        for name in ("audit", "parallel", "plan", "talk", "events"):
            if not isinstance(given[name], bool):
                faults.append(f"{name}={given[name]!r}: takes True or False")
        if not isinstance(given["tools"], int) or isinstance(given["tools"], bool) or given["tools"] < 0:
            faults.append(f"tools={given['tools']!r}: takes a number of tools, 0 or more")
        if faults:
            raise AnswersInvalid(name="advise", faults=faults)

    @property
    def needs(self) -> dict[Need, str]:
        """What is needed, each with the answer that says so, in words."""
        known = self.sequence == "known"
        found: dict[Need, str | None] = {
            "fixed": "the steps and their order are known" if known else None,
            "open": None if known else "the steps are not known before",
            "audit": "each step must be shown and begun again from" if self.audit else None,
            "parallel": "some of the work should be done at once" if self.parallel else None,
            "plan": "each request needs steps of its own" if self.plan else None,
            "talk": "several agents talk with the user in turn" if self.talk else None,
            "events": "the work arrives as events" if self.events else None,
            "tools": f"{self.tools} tools are too many for one agent" if self.tools > MANY_TOOLS else None,
        }
        return {need: words for need, words in found.items() if words is not None}


@dataclass(frozen=True, slots=True)
class Reason:
    """An answer, and what about the topology meets it."""

    answer: str
    why: str


@dataclass(frozen=True, slots=True)
class Considered:
    """A topology that is not advised, and why not."""

    topology: Kind
    title: str
    why: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """Which topology fits, and all that speaks for and against it.

    Attributes:
        topology: the one that is advised.
        inside: for `nested` and `swarm`: the topology of a team inside it, that meets what it does not; None where it
            needs none.
        meanwhile: where the topology is not there yet: the advice for the same work without what it alone could do.
        reasons: each answer that counts, and how it is met.
        failures: how it fails, and the declaration against each.
        considered: every other topology, and why it is not this one.
    """

    answers: Answers
    topology: Kind
    inside: Kind | None = None
    meanwhile: Advice | None = None
    reasons: tuple[Reason, ...] = ()
    failures: tuple[Failure, ...] = ()
    considered: tuple[Considered, ...] = ()

    @property
    def title(self) -> str:
        """The topology, in words."""
        if self.topology == "nested":
            return f"pipeline with a {SHAPES[self.inside or 'supervisor'].title} as a stage"
        shape = SHAPES[self.topology]
        if self.inside is None:
            return shape.title
        return f"{shape.title}, one peer of which is a team: {SHAPES[self.inside].title}"

    @property
    def what(self) -> str:
        """What that is, in a sentence."""
        return SHAPES[self.topology].what

    @property
    def there(self) -> bool:
        """Whether the topology can be declared with this version."""
        return SHAPES[self.topology].there

    @property
    def declared(self) -> str:
        """The class that declares it; empty where there is none yet."""
        return SHAPES[self.topology].declared

    @property
    def command(self) -> str:
        """What begins a project with it, or with what stands in for it."""
        return self.meanwhile.command if self.meanwhile else f"edgewright new NAME --topology {self.topology}"

    @property
    def then(self) -> str:
        """What is left to do by hand in that project; empty where it is all there."""
        if self.meanwhile is not None:
            told = f"This version has no {self.title}. Until one has: a run of a {self.meanwhile.title} for each event."
            return " ".join(filter(None, (told, self.meanwhile.then)))
        if self.inside is None or (self.topology, self.inside) == ("nested", "supervisor"):
            return ""
        made = SHAPES[self.inside].declared
        if self.topology == "nested":
            return f"In agents.py, make the team of `desk` a {made}."
        return f"In agents.py, make one of the peers a team: Agent(name, version=..., team={made}(...))."

    def as_json(self) -> dict[str, Any]:
        """For `--json`: all of it."""
        shown = ("topology", "title", "what", "there", "inside", "declared", "command", "then")
        return {
            "answers": asdict(self.answers),
            **{name: getattr(self, name) for name in shown},
            "meanwhile": self.meanwhile.as_json() if self.meanwhile else None,
            "reasons": [asdict(r) for r in self.reasons],
            "failures": [{"mode": f.mode, "guard": f.guard} for f in self.failures],
            "considered": [{**asdict(c), "why": list(c.why)} for c in self.considered],
        }

    def _repr_html_(self) -> str:
        return advice_html(self.as_json())


def advise(*, sequence: Steps, audit: bool, parallel: bool, plan: bool, talk: bool, events: bool, tools: int) -> Advice:
    """Which topology fits, by the answers to `QUESTIONS`. It asks no model and looks at nothing else.

    Args:
        sequence: whether the steps and their order are `known` before the request comes, or `unknown`.
        audit: whether each step must be shown, checked by itself, and begun again from.
        parallel: whether some of the work of a request should be done at once.
        plan: whether each request needs steps of its own, of which some need what others found.
        talk: whether several agents talk with the user in turn.
        events: whether the work arrives as events, with nobody who waits for an answer.
        tools: how many tools the agents need, all together.

    Raises:
        AnswersInvalid: with every answer that is none.
    """
    return advice_for(
        Answers(sequence=sequence, audit=audit, parallel=parallel, plan=plan, talk=talk, events=events, tools=tools)
    )


def advice_for(answers: Answers) -> Advice:
    """The advice that follows from the answers."""
    needs = answers.needs
    kind, inside = decided(needs)
    return Advice(
        answers=answers,
        topology=kind,
        inside=inside,
        meanwhile=None if SHAPES[kind].there else advice_for(replace(answers, events=False)),
        reasons=tuple(_reasons(answers, kind, inside)),
        failures=tuple(_failures(needs, kind, inside)),
        considered=tuple(_considered(needs, kind)),
    )


def decided(needs: Collection[Need]) -> tuple[Kind, Kind | None]:
    """The topology for these needs, and that of a team inside it that meets what it does not."""
    settling = [n for n in SETTLING if n in needs][:1]
    kind = next(k for k, shape in SHAPES.items() if set(settling or needs) <= set(shape.serves))
    if kind == "nested":
        return kind, _team(set(needs) - {"fixed", "open", "audit"})
    left = set(needs) - set(SHAPES[kind].serves)
    return kind, _team(left) if left and SHAPES[kind].there else None


def _team(needs: set[Need]) -> Kind:
    return next(kind for kind in TEAMS if needs <= set(SHAPES[kind].serves))


def _reasons(answers: Answers, kind: Kind, inside: Kind | None) -> Iterator[Reason]:
    shape = SHAPES[kind]
    for need, words in answers.needs.items():
        if need in shape.serves:
            yield Reason(words, shape.serves[need])
        elif inside is not None:
            yield Reason(words, f"a team inside, a {SHAPES[inside].title}: {SHAPES[inside].serves[need]}")
        else:
            yield Reason(words, f"this it cannot do: {shape.lacks[need]}")
    if kind == "solo":
        yield Reason(f"{answers.tools} tools in all", f"a model chooses well among up to {MANY_TOOLS}")


def _failures(needs: Collection[Need], kind: Kind, inside: Kind | None) -> Iterator[Failure]:
    every = [*SHAPES[kind].failures, *(SHAPES[inside].failures if inside else ())]
    return (f for f in dict.fromkeys(every) if f.need is None or f.need in needs)


def _considered(needs: Collection[Need], chosen: Kind) -> Iterator[Considered]:
    for kind, shape in SHAPES.items():
        if kind != chosen:
            lacks = tuple(shape.lacks[n] for n in needs if n in shape.lacks)
            why = lacks or ("it meets all of it, too, and leaves more to be decided while a run is under way",)
            yield Considered(kind, shape.title, why if shape.there else (*why, "it is not there yet"))

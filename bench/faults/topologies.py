"""The systems that are run under faults. A new topology joins the matrix by its line in `TOPOLOGIES`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from edgewright import Agent, Pipeline, PlanningSupervisor, Solo, Supervisor, Swarm, any_of, planner, quorum
from edgewright.contracts.join import Join
from edgewright.graphs.stages import Parallel

from bench.faults.cases import REACTIONS, STEADY, Brought, BudgetOut, ByModel, ByTool, Case, Reaction
from bench.faults.parts import BRIEF, FINDING, GIVES, TAKES, VOTE, Staff, declared, head, model, onward, scene, violated
from bench.faults.plain import hand_made, nested
from bench.faults.scenes import Scene, Site


@dataclass(frozen=True, slots=True, kw_only=True)
class Topology:
    """How a system is built on a site, and what can be tried in it.

    Attributes:
        reactions: those that can be declared in it.
        governed: what fails in it is a governed agent, so that what it comes to is a matter of what is declared.
        under: the kinds of fault that it is run under; None is all of them.
        comes_to: where it makes something else of the worker's failure than a line does, or a fan-out that needs every
            branch: what that would come to, and what may come of it here. A run's budget is the same everywhere.
    """

    build: Callable[[Site, Reaction], Scene]
    reactions: Sequence[Reaction] = REACTIONS
    governed: bool = True
    under: tuple[type[Brought], ...] | None = None
    comes_to: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def tries(self, case: Case, reaction: Reaction) -> bool:
        """Whether there is such a cell."""
        declarable = reaction in self.reactions and reaction in case.reactions
        return declarable and (self.under is None or isinstance(case.by, self.under))

    def must(self, case: Case, reaction: Reaction) -> tuple[str, ...]:
        """What a cell may come to by what is declared; nothing where that is left to it."""
        if not self.governed or reaction not in case.must:
            return ()
        elsewhere = case.must[reaction]
        of_run = isinstance(case.by, BudgetOut)
        return (elsewhere,) if of_run else self.comes_to.get(elsewhere, (elsewhere,))


def supervisor(site: Site, reaction: Reaction) -> Scene:
    """A router, worker and clerk side by side, and one that puts their answers together."""
    staff = Staff(site)
    topology = Supervisor(
        router=staff.router(),
        specialists=[staff.worker(), staff.clerk()],
        takes=TAKES,
        brief=BRIEF,
        answer=GIVES,
        aggregator=Agent("head", version=1, function=head),
        finding=FINDING,
        on_failure=declared(reaction, staff.deputy()),
        on_violation=violated(reaction),
    )
    return scene("supervised", site, topology, reaction)


def _joined(name: str, join: Join) -> Callable[[Site, Reaction], Scene]:
    """The supervisor, with a clerk more, and a join policy that can do without the worker."""

    def build(site: Site, reaction: Reaction) -> Scene:
        staff = Staff(site)
        topology = Supervisor(
            router=staff.router(),
            specialists=[staff.worker(), staff.clerk(), staff.clerk("second")],
            takes=TAKES,
            brief=BRIEF,
            answer=GIVES,
            aggregator=Agent("head", version=1, function=head),
            finding=VOTE,
            on_failure=declared(reaction, staff.deputy(), done=False),
            on_violation=violated(reaction),
            join=join,
        )
        return scene(name, site, topology, reaction)

    return build


def pipeline(site: Site, reaction: Reaction) -> Scene:
    """A line of three stages; worker and clerk are the second, side by side."""
    staff = Staff(site)
    topology = Pipeline(
        stages=[
            Agent("intake", version=1, function=onward),
            Parallel([staff.worker(), staff.clerk()], findings=FINDING),
            Agent("head", version=1, function=head),
        ],
        contracts=[TAKES, BRIEF, None, GIVES],
        on_failure=declared(reaction, staff.deputy()),
        on_violation=violated(reaction),
    )
    return scene("piped", site, topology, reaction)


def planning(site: Site, reaction: Reaction) -> Scene:
    """Worker and clerk take a step each. A failed step is planned once more, and then done without."""
    staff = Staff(site)
    topology = PlanningSupervisor(
        planner=planner({"worker": "books", "clerk": "files"}, model=model(site, STEADY)),
        specialists=[staff.worker(), staff.clerk()],
        takes=TAKES,
        briefs=BRIEF,
        findings=FINDING,
        answer=GIVES,
        aggregator=Agent("head", version=1, function=head),
        replans=1,
        otherwise="pass",
        on_failure=declared(reaction, staff.deputy()),
        on_violation=violated(reaction),
    )
    return scene("planned", site, topology, reaction)


def swarm(site: Site, reaction: Reaction) -> Scene:
    """Peers: the router hands over to the worker, who hands over to the clerk, who answers, or to the clerk at once."""
    staff = Staff(site)
    topology = Swarm(
        peers=[staff.steady("router", prompt="Hand it over to one."), staff.worker(), staff.clerk()],
        handoffs=dict.fromkeys(
            [("router", "worker"), ("router", "clerk"), ("worker", "clerk"), ("clerk", "router")], BRIEF
        ),
        first="router",
        takes=TAKES,
        answer=GIVES,
        answers=["clerk"],
        on_failure=declared(reaction, staff.deputy()),
        on_violation=violated(reaction),
    )
    return scene("swarming", site, topology, reaction)


def solo(site: Site, reaction: Reaction) -> Scene:
    """The worker alone, who books and files; the same agent serves the neighbour."""
    staff = Staff(site)
    topology = Solo(
        staff.worker(staff.file),
        takes=TAKES,
        answer=GIVES,
        on_failure=declared(reaction, staff.deputy(staff.file)),
        on_violation=violated(reaction),
    )
    return scene("alone", site, topology, reaction)


def _teams(name: str, *, above: bool) -> Callable[[Site, Reaction], Scene]:
    """A line, one of whose stages is a supervisor's team, one of whose branches is the team of the worker.

    Args:
        above: what is declared is declared for the team of the worker, as a branch, and not for the worker.
    """

    def build(site: Site, reaction: Reaction) -> Scene:
        staff = Staff(site)
        reacts: dict[str, Any] = declared(reaction, staff.deputy(), of="booking" if above else "worker")
        rule = violated(reaction)
        booking = Pipeline(
            stages=[staff.worker(), Agent("teller", version=1, function=onward)],
            contracts=[BRIEF, FINDING, FINDING],
            on_failure={} if above else reacts,
            on_violation=rule,
        )
        office = Supervisor(
            router=staff.router(),
            specialists=[Agent("booking", version=1, team=booking), staff.clerk()],
            takes=TAKES,
            brief=BRIEF,
            answer=GIVES,
            aggregator=Agent("head", version=1, function=head),
            finding=FINDING,
            on_failure=reacts if above else {},
            on_violation=rule,
        )
        outermost = Pipeline(
            stages=[
                Agent("intake", version=1, function=onward),
                Agent("office", version=1, team=office),
                Agent("outgoing", version=1, function=onward),
            ],
            contracts=[TAKES, TAKES, GIVES, GIVES],
            on_violation=rule,
        )
        return scene(name, site, outermost, reaction)

    return build


_WITHOUT = ("completed, gap",)
"""What a join that can do without the worker makes of its failure. It waits for who is at work; not for a person, nor
for who would have to be sent again: a stand-in, or whoever has to mend what its contract refused."""

TOPOLOGIES: Mapping[str, Topology] = {
    "supervisor": Topology(build=supervisor),
    "quorum": Topology(
        build=_joined("agreed", quorum(2, agree="done", late="await")),
        comes_to={
            **dict.fromkeys(("failed", "waiting", "completed, fallback"), _WITHOUT),
            "completed, degraded": ("completed, degraded", *_WITHOUT),
        },
    ),
    "any": Topology(
        build=_joined("first", any_of()),
        reactions=("stop",),
        under=(ByModel, ByTool),
        comes_to={"failed": _WITHOUT, "completed": ("completed", *_WITHOUT)},
    ),
    "pipeline": Topology(build=pipeline),
    "planning": Topology(build=planning),
    "swarm": Topology(build=swarm),
    "solo": Topology(build=solo),
    "teams": Topology(build=_teams("deep", above=False)),
    "teams, above": Topology(build=_teams("deep_above", above=True)),
    "hand-made": Topology(build=hand_made, reactions=("stop",), governed=False),
    "nested": Topology(build=nested),
}

"""The agents in code of a planning supervisor: who sends a wave of steps, and who puts what came back to them.

They copy and sort; what to do next is decided by `contracts/plan.py`. What crosses to them is checked and recorded as
for any agent, so an execution after a crash says the same again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ..agents.agent import Handoff
from ..contracts.errors import PlanFailed
from ..contracts.plan import DONE, FAILED, LEFT, LOST, REPLANS, STEPS, WAVES, brief_of, missing, ready
from ..contracts.review import AskingRule, ReviewAnswer, binding_of
from ..ledger.records import ContractPassed, ContractViolated
from ..tools.run import active
from .questions import Question, answer_to
from .reactions import GAPS

Otherwise = Literal["fail", "review", "pass"]
_NO_MORE = "no replans are left"


def called(roll: dict[str, Any]) -> dict[str, Any]:
    """Say which steps were sent: a wave of which every step failed still has an answer."""
    return roll


class PlanAnswer(ReviewAnswer):
    """What can be answered where a plan failed for good: answer from what there is, or end the run."""

    decision: Literal["approve", "reject"]


@dataclass(frozen=True, kw_only=True)
class Dispatch:
    """Sends what is ready, hands what is done to the aggregator, or has it planned anew.

    A value, so that what it is set to counts in its agent's digest.
    """

    name: str
    planner: str
    aggregator: str
    roll: str
    earlier: tuple[str, ...]
    replans: int
    otherwise: Otherwise
    role: str

    async def __call__(self, stands: dict[str, Any]) -> Handoff | list[Handoff]:
        """Decide what comes next. Raises PlanFailed."""
        wave = ready(stands[STEPS], stands[DONE])
        lost = stands.get(LOST) or self._refused(wave)
        if lost:
            return await self._failed(stands, [*stands[FAILED], *lost])
        if not wave:
            return self._outcome(stands, stands[FAILED])
        sent = Handoff(target=self.roll, payload={STEPS: [s["id"] for s in wave]})
        done = stands[DONE]
        briefs = [
            Handoff(target=s["agent"], payload=brief_of(s, done, earlier=s["agent"] in self.earlier)) for s in wave
        ]
        return [sent, *briefs]

    def _refused(self, wave: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """The steps of this wave whose briefs were refused just now, when it was sent: code would send them again."""
        activation = active()
        if activation is None or len(activation.places) < 2:
            return []
        graph, here, _ = _placed_at(activation.places[-1])
        told, latest = list[str](), -1
        for key, record in list(activation.run.journal.items()):
            where, step, _ = _placed_at(key.removeprefix("violated:"))
            if not isinstance(record, ContractViolated) or where != graph or not latest < step < here:
                continue  # of another team, of another wave, or of one that an execution before a crash came to later
            source, target = _ends(record.edge)
            if source == self.name and target.startswith("["):
                told, latest = record.faults, step
        return [
            {"step": s["id"], "agent": s["agent"], "kind": "contract", "why": f"its brief was refused: {faults[-1]}"}
            for nth, s in enumerate(wave, start=1)
            if (faults := [f.partition(": ")[2] for f in told if f.startswith(f"branch {nth} (")])
        ]

    async def _failed(self, stands: Mapping[str, Any], failed: list[dict[str, Any]]) -> Handoff:
        if stands[REPLANS] < self.replans:
            over = {d["step"] for d in stands[DONE]}
            left = [s for s in stands[STEPS] if s["id"] not in over]
            anew = {LEFT: left, FAILED: failed, REPLANS: stands[REPLANS] + 1}
            return Handoff(target=self.planner, payload=anew)
        if self.otherwise == "fail":
            raise self._error(stands, failed)
        if self.otherwise == "review":
            await self._allowed(stands, failed)
        return self._outcome(stands, failed)

    def _outcome(self, stands: Mapping[str, Any], failed: Sequence[Mapping[str, Any]]) -> Handoff:
        gaps = missing(stands[STEPS], stands[DONE], failed)
        return Handoff(target=self.aggregator, payload={"results": stands[DONE], "gaps": gaps})

    async def _allowed(self, stands: Mapping[str, Any], failed: Sequence[Mapping[str, Any]]) -> None:
        """Ask a person whether to answer from what there is. Raises PlanFailed."""
        activation, error = active(), self._error(stands, failed)
        if activation is None:
            raise error
        grounds, told = activation.run.grounds, {k: list(error.facts[k]) for k in ("plan", "done", "failed")}
        base = binding_of(
            kind="plan",
            run=grounds.run,
            tenant=grounds.tenant,
            crossed=activation.crossed,
            stands=stands,
            role=self.role,
        )
        question = Question(
            kind="failure",
            base=base,
            at=activation.places[-1],
            agent=self.name,
            about=f"the failed plan of {self.planner}",
            edge=f"{self.name}→{self.aggregator}",
            rule=AskingRule(id="plan.failed", approver=self.role, reason="answer from what there is?"),
            payload=told,
            faults=tuple(told["failed"]),
            takes=PlanAnswer,
        )
        answer = await answer_to(activation.run, question)
        if answer is None or answer.decision != "approve":
            raise self._error(stands, failed, why="a person said no" if answer else "nobody said to go on in time")

    def _error(self, stands: Mapping[str, Any], failed: Sequence[Mapping[str, Any]], why: str = _NO_MORE) -> PlanFailed:
        return PlanFailed(
            agent=self.planner,
            replans=stands[REPLANS],
            plan=tuple(_planned(s) for s in stands[STEPS]),
            done=tuple(d["step"] for d in stands[DONE]),
            failed=tuple(
                f"{m['step']} ({m['agent']}): {m['why']}" for m in missing(stands[STEPS], stands[DONE], failed)
            ),
            why=why,
        )


@dataclass(frozen=True, kw_only=True)
class Collect:
    """Puts what came back to the steps it is of."""

    name: str
    dispatch: str
    roll: str

    def __call__(self, met: dict[str, Any]) -> dict[str, Any]:
        """How the plan stands now."""
        wave = ready(met[STEPS], met[DONE])
        answers: dict[str, list[Any]] = {s["agent"]: [] for s in wave}
        gaps: dict[str, list[Any]] = {s["agent"]: [] for s in wave}
        for result in met["results"]:
            if result["agent"] != self.roll:
                answers[result["agent"]].append(result["answer"])
        for gap in met[GAPS]:
            if gap["agent"] != self.roll:
                gaps[gap["agent"]].append(gap)
        found = self._placed(wave, answers)
        done = [
            {"step": s["id"], "agent": s["agent"], "answer": found[nth]} for nth, s in enumerate(wave) if nth in found
        ]
        lost = []
        for nth, step in enumerate(wave):
            if nth not in found:
                mine = gaps[step["agent"]]
                gap = mine.pop(0) if mine else {"kind": "error", "why": "it cannot be told which step an answer is of"}
                lost.append({"step": step["id"], "agent": step["agent"], "kind": gap["kind"], "why": gap["why"]})
        return {DONE: [*met[DONE], *done], LOST: lost, WAVES: met[WAVES] + 1}

    def _placed(self, wave: Sequence[Mapping[str, Any]], answers: Mapping[str, list[Any]]) -> dict[int, Any]:
        """The answers by the place of their step in the wave. An agent's answers come in the order of its steps.

        Where an agent has several steps and only some came back, the records of what crossed say which.
        """
        found: dict[int, Any] = {}
        for agent, mine in answers.items():
            places = [nth for nth, s in enumerate(wave) if s["agent"] == agent]
            if 0 < len(mine) < len(places):
                back = self._came_back()
                places = [nth for nth in places if nth + 1 in back]  # the roll is branch 0
            if len(places) == len(mine):
                found |= dict(zip(places, mine, strict=True))
        return found

    def _came_back(self) -> set[int]:
        """The branches of this wave whose answers crossed."""
        activation = active()
        if activation is None:
            return set()
        graph, here, _ = _placed_at(activation.crossed)
        sent, back = [-1], list[tuple[int, int]]()
        for key, record in list(activation.run.journal.items()):
            if not isinstance(record, ContractPassed) or record.branch < 0:
                continue
            where, step, branch = _placed_at(key.removeprefix("passed:"))
            if where != graph or step > here:
                continue
            source, target = _ends(record.edge)
            if source == self.dispatch:
                sent.append(step)
            elif target == self.name:
                back.append((step, branch))
        return {branch for step, branch in back if step > max(sent)}


def _planned(step: Mapping[str, Any]) -> str:
    return f"{step['id']} ({', '.join([step['agent'], *(f'after {a}' for a in step['after'])])})"


def _ends(edge: str) -> tuple[str, str]:
    """Source and target of an edge by its name, whatever team it is inside of."""
    source, _, target = edge.rpartition("/")[2].partition("→")
    return source, target


def _placed_at(crossed: str) -> tuple[str, int, int]:
    """The graph that a crossing is in, its step there, and its branch; -1 where it has none."""
    graph, _, node = crossed.rpartition("/")
    node, _, branch = node.partition(":")
    step = node.rpartition(".")[2].partition("[")[0]
    return graph, int(step) if step.isdigit() else -1, int(branch) if branch.isdigit() else -1

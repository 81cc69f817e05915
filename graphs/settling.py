"""Behind the branches of a fan-out with a join policy: what is decided there, and what is handed on by it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf
from string import ascii_letters
from typing import Any

from ..contracts.edge import Edge, FanOut
from ..contracts.errors import ContractViolation, JoinUnmet
from ..contracts.failure import Skip, why_of
from ..contracts.join import ALL, Ballot, Released, decide
from ..contracts.marks import Mark
from ..contracts.review import AskingRule, binding_of
from ..ledger.entry import Draft
from ..ledger.records import ContractViolated, JoinDecided
from ..tools.run import Run
from .boards import settle, value_of
from .joining import gap
from .nodes import Means
from .questions import Question, answer_to
from .state import Turned

Refusal = tuple[Turned, Edge, ContractViolation]
UNMET = "join.unmet"
"""The id of the rule by which a person is asked about a join whose policy was not met."""


def tolerating(means: Means, fan: FanOut) -> Means:
    """Means by which a branch that cannot mend what it gives is skipped, where the join may do without it."""
    if fan.join == ALL:
        return means
    return replace(means, reactions={**dict.fromkeys(fan.branches, Skip()), **means.reactions})


@dataclass(frozen=True, slots=True, kw_only=True)
class Behind:
    """How the branches stand once a step of them is through, and what is decided of that.

    Attributes:
        waits: what the state keeps of the fan-out.
        turns: what each branch left.
        results: what crossed, or the gap, of each branch, by its number.
        ballots: how each stands.
        decided: None where the join is open, or there is no policy but that all answer.
    """

    run: Run
    fan: FanOut
    waits: Mapping[str, Any]
    turns: Mapping[int, Turned]
    results: Mapping[str, Any]
    ballots: tuple[Ballot, ...] = ()
    decided: JoinDecided | None = None

    @property
    def open(self) -> bool:
        """Whether there is a policy, and nothing is decided."""
        return bool(self.ballots) and self.decided is None

    def met(self) -> None:
        """Raises JoinUnmet: the policy cannot be met, and then the run fails; or what had met it did not hold."""
        if self.decided is None:
            return
        if self.decided.outcome == "unmet" and self.fan.join.otherwise == "fail":
            raise self.unmet(self.decided.why)
        # A turn that is taken again for what it writes may end in another way; what was counted must be handed on.
        ended = [Ballot("failed") if b.state == "refused" else b for b in self.ballots]
        if self.decided.outcome == "released" and not isinstance(decide(self.fan.join, ended, inf), Released):
            raise self.unmet("it was met by an answer that did not hold")

    def marks(self) -> list[dict[str, str]]:
        """What a reader has to know of the join, where it is handed on although its policy was not met."""
        if self.decided is None or self.decided.outcome != "unmet" or self.fan.join.otherwise != "pass":
            return []
        why = f"{self.decided.policy}: {self.decided.why}"
        return [Mark("unmet", self.fan.source, why).as_json()]

    def unmet(self, why: str) -> JoinUnmet:
        """The error that says that the policy was not met."""
        policy = self.fan.join.told(len(self.ballots))
        return JoinUnmet(agent=self.fan.source, policy=policy, why=why, faults=self._stood())

    def _stood(self) -> list[str]:
        """How each branch stood, without a word of what it said."""
        values = list(dict.fromkeys(b.value for b in self.ballots if b.state == "answered"))
        told = []
        for i, ballot in enumerate(self.ballots):
            how = ballot.state if "kind" not in (found := self.results.get(str(i), {})) else f"gap, {found['kind']}"
            alike = ballot.state == "answered" and self.fan.join.kind == "quorum"
            letter = f" {ascii_letters[values.index(ballot.value) % len(ascii_letters)]}" if alike else ""
            agent = self.turns[i]["source"] if i in self.turns else "?"
            told.append(f"{i} {agent}: {how}{letter}")
        return told


async def behind(
    fan: FanOut,
    waits: Mapping[str, Any],
    turns: Mapping[int, Turned],
    results: Mapping[str, Any],
    *,
    answers: Mapping[int, Mapping[str, Any]],
    run: Run,
) -> Behind:
    """How the branches stand.

    Args:
        turns, results: as in `Behind`.
        answers: what has just been accepted, by branch.
    """
    found = Behind(run=run, fan=fan, waits=waits, turns=turns, results=results)
    if "sent" not in waits:
        return found
    ballots = []
    for i in range(waits["count"]):
        answer = answers[i] if i in answers else results.get(str(i), {}).get("answer")
        if answer is not None:
            ballots.append(Ballot("answered", value_of(run, fan.join, answer)))
        else:
            ballots.append(Ballot("failed" if str(i) in results else "refused"))
    decided = await settle(run, fan, waits, ballots)
    return replace(found, ballots=tuple(ballots), decided=decided)


def left_behind(found: Behind, bad: Sequence[Refusal], *, role: Callable[[Turned], str], at: str) -> dict[int, Turned]:
    """The branches that would have to take another turn, when nobody waits for one any more: each leaves a gap."""
    left, run = dict[int, Turned](), found.run
    for turned, edge, violation in bad:
        branch = turned["branch"]
        faults = [f"branch {branch} ({turned['source']}): {fault}" for fault in violation.faults]
        record = ContractViolated(
            edge=edge.name, contract=edge.contract.id, faults=faults, tries=turned["tries"] + 1, then="skip"
        )
        run.note(Draft(record=record, key=f"violated:{at}:{branch}"))
        left[branch] = gap(turned, role(turned), "contract", why_of(violation).text)
    policy = found.fan.join.told(len(found.ballots))
    for branch, turned in found.turns.items():
        if "stand_in" in turned and str(branch) not in found.results:
            why = f"nobody had taken its turn yet when its join was decided: {policy}"
            left[branch] = gap(turned, role(turned), "late", why)
    return left


Recross = Callable[[int, Any], Awaitable[tuple[dict[str, Any], Draft]]]
"""Checks what a person gives in the place of a branch's answer; returns what `results` keeps of it, and its record."""


async def by_person(found: Behind, recross: Recross, *, at: str) -> dict[str, Any]:
    """What is handed on of a join whose policy was not met: as a person mends it, where one is to be asked.

    Raises:
        GraphInterrupt: a person is asked.
        JoinUnmet: they said no, or nobody anything in time.
    """
    results = dict(found.results)
    if found.decided is None or found.decided.outcome != "unmet" or found.fan.join.otherwise != "review":
        return results
    from .reviews import HandoffAnswer  # it stands on the contract node that this is a part of

    run, fan, why = found.run, found.fan, found.decided.why
    faults = [f"{found.decided.policy}: {why}", *found._stood()]
    told = [{"branch": int(i), "agent": r["agent"], "answer": r["answer"]} for i, r in results.items() if "answer" in r]
    while True:
        payload = {"branches": sorted(told, key=lambda each: int(each["branch"]))}
        question = Question(
            kind="handoff",
            base=binding_of(
                kind="join",
                run=run.grounds.run,
                tenant=run.grounds.tenant,
                at=at,
                edge=fan.back,
                payload=payload,
                faults=faults,
            ),
            at=at,
            agent=fan.source,
            about=fan.back,
            edge=fan.back,
            rule=AskingRule(id=UNMET, approver=fan.on_violation.role, reason="its join policy was not met"),
            payload=payload,
            faults=tuple(faults),
            takes=HandoffAnswer,
        )
        answer = await answer_to(run, question)
        if answer is None or answer.decision == "reject":
            raise found.unmet(f"{why}; and no person had it handed on")
        try:
            return {**results, **await _mended(found, answer.arguments or {}, recross)}
        except ContractViolation as violation:
            faults = list(violation.faults)


def whole_again(turns: Mapping[int, Turned], results: Mapping[str, Any]) -> dict[int, Turned]:
    """What the branches left, without the gaps that a person has filled."""
    found = dict(turns)
    for branch, turned in turns.items():
        if "gap" in turned and "answer" in results.get(str(branch), {}):
            found[branch] = {**turned, "marks": [m for m in turned.get("marks", ()) if m["kind"] != "gap"]}
    return found


async def _mended(found: Behind, edited: Mapping[str, Any], recross: Recross) -> dict[str, Any]:
    """The results that a person gives. What they do not name stays as it is.

    Raises:
        ContractViolation: of one of them, naming its branch.
    """
    fan, mended, drafts = found.fan, dict[str, Any](), list[Draft]()
    told = edited.get("branches")
    if not isinstance(told, list):  # a person may write anything
        raise ContractViolation(
            contract=fan.gathered.id, edge=fan.back, faults=["branches: is no list of {branch, answer}; [] keeps all"]
        )
    for each in told:
        branch = each.get("branch") if isinstance(each, Mapping) else None
        if not isinstance(branch, int) or branch not in found.turns or "answer" not in each:
            raise ContractViolation(
                contract=fan.gathered.id, edge=fan.back, faults=["branches: one of them is no {branch, answer}"]
            )
        mended[str(branch)], draft = await recross(branch, each["answer"])
        drafts.append(draft)
    found.run.note(*drafts)  # only now: what they gave is taken as a whole
    return mended

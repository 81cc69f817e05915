"""The role that is a person: an agent whose turn is a question, and whose offer is the answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..agents.agent import Agent, Handoff
from ..contracts.contract import Contract
from ..contracts.errors import AgentInvalid, ContractViolation, ReviewRejected, ToolOutsideRun
from ..contracts.review import AskingRule, ReviewAnswer, binding_of
from ..ledger.records import ContractViolated
from ..tools.asking import LATE
from ..tools.run import Activation, active
from .questions import Question, answer_to
from .reviews import HandoffAnswer

REASON = "a person decides whether this goes on"


def human_review(
    name: str = "human_review",
    *,
    gives: Contract,
    version: int = 1,
    role: str = "partner",
    to: str = "",
    reject: str = "",
    rejects: Contract | None = None,
    remarks: str = "remarks",
    reason: str = REASON,
    separation: bool = False,
) -> Agent:
    """An agent whose turn is a question to a person, who sees what crossed to it.

    Approve hands on of that what `gives` declares. Edit hands on what the person wrote, once `gives` lets it pass; an
    edit that does not fit is passed over, and the question stays open. What crossed to it and does not fit `gives` as
    it is can be edited or rejected, not approved. Reject hands the remarks to the agent `reject`, or ends the run.

    A question is asked once for what crossed, however often its turn is executed: by a resume, after a crash. Its
    answer is signed, on record before it is acted on, and good until the system's `review_seconds` are over; then the
    run ends as after a rejection, also where a rejection would lead elsewhere. It is a question of the kind `failure`
    (`handoff`, where it cannot be approved): all that can be answered to those can be answered to it.

    Args:
        gives: contract of what it hands on, of the edge behind it.
        role: who may answer.
        to: whom it hands on to; needed with `reject`, else it is the one target that it has.
        reject: whom a rejection goes to; its edge there needs a bound if it leads back. Empty ends the run.
        rejects: contract of that edge. The payload is the fields of what crossed that it declares, and the remarks;
            None hands over the remarks alone, and all else is for the contract to carry.
        remarks: the field of it that holds the person's reason, a text of up to 2000 characters.
        reason: shown to the person beside the payload.
        separation: whoever started the run may not approve it.

    Raises:
        AgentInvalid: with every fault found.
    """
    given: list[tuple[str, Any]] = [("gives", gives), *([("rejects", rejects)] if rejects is not None else [])]
    if odd := [f"{name_}={what!r} is no Contract" for name_, what in given if not isinstance(what, Contract)]:
        raise AgentInvalid(name=name, faults=odd)
    faults = [
        *([] if role else ["role='': takes the name of the role that may answer"]),
        *(["reject= needs to=, whom an approval goes to"] if reject and not to else []),
        *([f"an approval and a rejection both go to {to!r}"] if to and to == reject else []),
        *(["rejects= is of no use without reject="] if rejects and not reject else []),
    ]
    if rejects and (remarks not in rejects.model.model_fields or remarks in rejects.carried):
        faults.append(f"contract {rejects.id} has no field {remarks!r} that is told; remarks= says which it is")
    if faults:
        raise AgentInvalid(name=name, faults=faults)
    rule = AskingRule(id=f"review.{name}", approver=role, reason=reason, separation=separation)
    asks = _Asks(name=name, gives=gives, rule=rule, to=to, reject=reject, rejects=rejects, remarks=remarks)
    return Agent(name, version=version, function=asks)


@dataclass(frozen=True, kw_only=True)
class _Asks:
    """A value, so that what it is set to counts in its agent's digest."""

    name: str
    gives: Contract
    rule: AskingRule
    to: str
    reject: str
    rejects: Contract | None
    remarks: str = field(default="remarks")

    async def __call__(self, crossed: dict[str, Any]) -> Handoff | dict[str, Any]:
        """Ask, and make an offer of the answer. Raises ReviewRejected."""
        activation = active()
        if activation is None or not activation.places:
            raise ToolOutsideRun(tool=self.name)
        answer = await answer_to(activation.run, self._question(activation, crossed))
        if answer is None:
            raise ReviewRejected(agent=self.name, reason=LATE)
        if answer.decision == "reject":
            if not self.reject:
                raise ReviewRejected(agent=self.name, reason=answer.reason)
            kept = _of(self.rejects, crossed) if self.rejects else {}
            return Handoff(target=self.reject, payload={**kept, self.remarks: answer.reason})
        told = _of(self.gives, crossed)
        if answer.decision == "edit":
            told = self._edited(answer.arguments or {}, crossed, activation)
        return Handoff(target=self.to, payload=told) if self.to else told

    def _question(self, activation: Activation, crossed: Mapping[str, Any]) -> Question:
        grounds, tries = activation.run.grounds, len(activation.places) - 1
        broken = self._faults(_of(self.gives, crossed), crossed)
        return Question(
            kind="handoff" if broken else "sign_off",
            # By what crossed, and how often an answer to it was refused: not by the place of the turn, which is another
            # one each time that the turn is taken again.
            base=binding_of(
                kind="human_review",
                run=grounds.run,
                tenant=grounds.tenant,
                agent=self.name,
                crossed=activation.crossed,
                payload=crossed,
                rule=self.rule.model_dump(),
                gives=self.gives.digest,
                tries=tries,
            ),
            at=activation.places[-1],
            agent=self.name,
            about=f"what was handed to {self.name}",
            edge=f"{self.name}→{self.to}" if self.to else self.name,
            rule=self.rule,
            payload=dict(crossed),
            faults=(*broken, *(_refused(activation, self.name) if tries else ())),
            takes=HandoffAnswer if broken else ReviewAnswer,
            fits=lambda edited: not self._faults(self._edited(edited, crossed, activation), crossed),
        )

    def _edited(self, edited: Mapping[str, Any], crossed: Mapping[str, Any], activation: Activation) -> dict[str, Any]:
        """What a person wrote, but for what came back as it was shown: that is as it crossed, and nobody cut it."""
        shown = activation.run.knows.cleaned(dict(crossed))
        same = {k for k in edited if k in crossed and edited[k] == shown.get(k)}
        kept = _of(self.gives, crossed)
        return {k: kept[k] for k in same if k in kept} | {k: v for k, v in edited.items() if k not in same}

    def _faults(self, told: Mapping[str, Any], crossed: Mapping[str, Any]) -> tuple[str, ...]:
        try:
            self.gives.check(told, received=crossed, edge=self.name)
        except ContractViolation as violation:
            return tuple(violation.facts["faults"])
        return ()


def _of(contract: Contract, crossed: Mapping[str, Any]) -> dict[str, Any]:
    """Of what crossed what a contract declares; what it carries is the runtime's to fill in."""
    return {k: v for k, v in crossed.items() if k in contract.model.model_fields and k not in contract.carried}


def _refused(activation: Activation, name: str) -> tuple[str, ...]:
    """What was wrong with the answer that led to this try."""
    found = [
        r.faults
        for r in list(activation.run.journal.values())
        if isinstance(r, ContractViolated) and r.edge.rpartition("/")[2].startswith(f"{name}→")
    ]
    return tuple(found[-1]) if found else ()

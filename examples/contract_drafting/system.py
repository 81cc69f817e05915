"""The drafting line as one governed system: four stages, and the way back from compliance to drafting."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgewright import Budget, LoopBack, OnViolation, Pipeline, System, load_policy

from . import agents, rules
from .contracts import CHECKED, CHOICE, DRAFT, OUTCOME, REQUEST, REVISION
from .firm import Firm

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

POLICY = Path(__file__).with_name("policy.cedar")

FOLDER = "law_firm"
"""The firm's folder, inside a system's home."""

REVISIONS = 2
"""How often compliance may hand a draft back before a partner is asked."""

LINE = Pipeline(
    stages=agents.STAGES,
    contracts=[REQUEST, CHOICE, DRAFT, CHECKED, OUTCOME],
    loop_backs=[LoopBack(source="compliance", to="drafting", contract=REVISION, most=REVISIONS, name="revise")],
    on_violation=OnViolation(role="partner"),
)


def build(home: Path, *, model: BaseChatModel | str | None = None, environment: str = "development") -> System:
    """Put the drafting line together.

    Args:
        home: the folder of the system's files; the matters are put there if they are missing.
        model: what plays the stages; the offline rules if none is given.
        environment: what the policy reads as `context.env`.

    Raises:
        ProjectInvalid: python-docx is not installed.
    """
    return System(
        "contract_drafting",
        version=1,
        topology=LINE,
        policy=load_policy(POLICY),
        budget=Budget(usd="0.50", model_calls=60, tool_calls=60),
        model=rules.model if model is None else model,
        resources=[Firm.open(home / FOLDER)],
        environment=environment,
        home=home,
    )

"""The desk as one governed system: a supervisor over four analysts at once, and a chair who counts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgewright import Budget, OnViolation, Supervisor, System, load_policy
from edgewright.contracts.join import quorum

from . import agents, rules, tools
from .contracts import BRIEF, FINDING, ORDER, RECOMMENDATION
from .counting import QUORUM
from .papers import Papers

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

POLICY = Path(__file__).with_name("policy.cedar")


def build(
    home: Path,
    *,
    model: BaseChatModel | str | None = None,
    environment: str = "development",
    papers: Papers | None = None,
) -> System:
    """Put the desk together.

    Args:
        home: the folder of the system's files; the pictures go there, too.
        model: what plays the analysts; the offline rules if none is given.
        environment: what the policy reads as `context.env`.
        papers: the feeds; those of the example if none are given.

    The packages of the extra `examples` are not needed for that: a run without them ends with `ProjectInvalid`.
    """
    return System(
        "investment_analysis",
        version=1,
        topology=Supervisor(
            router=agents.desk,
            specialists=agents.SPECIALISTS,
            aggregator=agents.chair,
            takes=ORDER,
            brief=BRIEF,
            finding=FINDING,
            answer=RECOMMENDATION,
            carried=("ticker", "as_of"),
            # Who agrees late is still heard: dissent is worth more than seconds. An analyst that fails leaves a gap.
            join=quorum(QUORUM, agree="view", deadline=90.0, late="await", otherwise="pass"),
            on_violation=OnViolation(then="fail"),
        ),
        policy=load_policy(POLICY),
        budget=Budget(usd="0.25", model_calls=24, tool_calls=12),
        model=rules.model if model is None else model,
        resources=[tools.Desk(home, papers or Papers())],
        environment=environment,
        home=home,
    )

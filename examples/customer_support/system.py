"""The help desk as one governed system: a supervisor over three specialists, on one database."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgewright import Budget, Supervisor, System, load_policy

from . import agents, rules
from .contracts import ANSWER, BRIEF, TICKET
from .database import HelpDesk

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

POLICY = Path(__file__).with_name("policy.cedar")

DATABASE = "help_desk.db"
"""The help desk's file, inside a system's home."""


def build(home: Path, *, model: BaseChatModel | str | None = None, environment: str = "development") -> System:
    """Put the help desk together.

    Args:
        home: the folder of the system's files; the database is seeded there if it is missing.
        model: what plays the agents; the offline rules if none is given.
        environment: what the policy reads as `context.env`.
    """
    return System(
        "customer_support",
        version=1,
        topology=Supervisor(
            router=agents.triage, specialists=agents.SPECIALISTS, takes=TICKET, brief=BRIEF, answer=ANSWER
        ),
        policy=load_policy(POLICY),
        budget=Budget(usd="0.50", model_calls=30, tool_calls=40),
        model=rules.model if model is None else model,
        resources=[HelpDesk.open(home / DATABASE)],
        environment=environment,
        home=home,
    )

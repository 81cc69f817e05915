"""The coding assistant as one governed system: one agent, its gated tools, a repository and a sandbox."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from edgewright import Budget, System, load_policy
from edgewright.graphs.solo import Solo
from edgewright.tools.connectors.isolation import Isolation

from . import rules
from .agents import coder
from .contracts import REPORT, TASK
from .repositories import Workspaces
from .sandbox import Sandbox

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

POLICY = Path(__file__).with_name("policy.cedar")
FOLDER = "coding_assistant"
"""Where the repositories stand, inside a system's home."""


def build(
    home: Path,
    *,
    model: BaseChatModel | str | None = None,
    environment: str = "development",
    isolation: Isolation | Literal["best"] = "best",
) -> System:
    """Put the assistant together.

    Args:
        home: the folder of the system's files; the repository is made there if it is missing.
        model: what plays the agent; the offline rules if none is given.
        environment: what the policy reads as `context.env`.
        isolation: what keeps the code apart that is run: exactly that, or the best there is.

    Raises:
        ToolInvalid: git or pytest is not installed, or there is no such isolation here.
    """
    folder = home / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    return System(
        "coding_assistant",
        version=1,
        topology=Solo(coder, takes=TASK, answer=REPORT),
        policy=load_policy(POLICY),
        budget=Budget(usd="0.50", model_calls=60, tool_calls=80),
        model=rules.model if model is None else model,
        resources=[Workspaces(folder, Sandbox.found(folder, asked=isolation))],
        environment=environment,
        home=home,
    )

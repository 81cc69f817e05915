"""Handing over: a typed tool per outgoing edge, whose arguments are the edge's contract.

The tool records an intent and nothing else. It never moves the graph: the contract node, which is ours, checks the
payload and moves on, so no message is lost, every tool result is answered, and `after_agent` runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

from langchain_core.tools import BaseTool

from ..contracts.contract import Contract
from ..contracts.edge import END
from ..contracts.errors import ToolOutsideRun

SUBMIT = "submit"


def handoff_name(target: str) -> str:
    """The name of the tool that hands over to `target`."""
    return SUBMIT if target == END else f"handoff_to_{target}"


class HandoffTool(BaseTool):
    """Declares a handoff to a model. The middleware of the agent takes the call; the tool itself does nothing."""

    name: str
    description: str
    target: str
    return_direct: bool = True

    def _run(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise ToolOutsideRun(tool=self.name)


def handoff_tools(targets: Mapping[str, Contract]) -> list[HandoffTool]:
    """One tool per target, in the order given."""
    found = []
    for target, contract in targets.items():
        what = (contract.model.__doc__ or "").strip()
        does = "Give the final answer; this ends your work." if target == END else f"Hand the work over to {target!r}."
        found.append(
            HandoffTool(
                name=handoff_name(target),
                description=f"{does} {what}".strip(),
                args_schema=contract.told_schema,
                target=target,
            )
        )
    return found

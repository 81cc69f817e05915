"""Intents: what a model asks of the graph by a typed tool: a handoff under a contract, a write of shared state.

The tool records an intent and nothing else. It never moves the graph: the contract node, which is ours, checks the
payload and moves on, so no message is lost, every tool result is answered, and `after_agent` runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NoReturn

from langchain_core.tools import BaseTool

from ..contracts.contract import Contract
from ..contracts.edge import END
from ..contracts.errors import ToolOutsideRun
from ..contracts.shared import Key

SUBMIT = "submit"
OURS = "edgewright"
"""Marks, among a message's `additional_kwargs`, what is said about a handover: it never crosses as history."""


def handoff_name(target: str) -> str:
    """The name of the tool that hands over to `target`."""
    return SUBMIT if target == END else f"handoff_to_{target}"


def write_name(key: str) -> str:
    """The name of the tool that writes a shared key."""
    return f"write_{key}"


class IntentTool(BaseTool):
    """Declares an intent to a model. The middleware of the agent takes the call; the tool itself does nothing.

    `target` is who it hands over to, or the shared key that it writes. A handoff ends the turn.
    """

    name: str
    description: str
    kind: Literal["handoff", "write"]
    target: str

    def _run(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise ToolOutsideRun(tool=self.name)


def handoff_tools(targets: Mapping[str, Contract]) -> list[IntentTool]:
    """One tool per target, in the order given."""
    found = []
    for target, contract in targets.items():
        what = (contract.model.__doc__ or "").strip()
        does = "Give the final answer; this ends your work." if target == END else f"Hand the work over to {target!r}."
        found.append(
            IntentTool(
                name=handoff_name(target),
                description=f"{does} {what}".strip(),
                args_schema=contract.told_schema,
                kind="handoff",
                target=target,
                return_direct=True,
            )
        )
    return found


def write_tools(keys: Mapping[str, Key]) -> list[IntentTool]:
    """One tool per shared key that an agent may write."""
    found = []
    for name, key in keys.items():
        body = {k: v for k, v in key.schema.items() if k != "$defs"}
        schema = {
            "type": "object",
            "properties": {"value": body},
            "required": ["value"],
            "additionalProperties": False,
            **({"$defs": key.schema["$defs"]} if "$defs" in key.schema else {}),
        }
        does = "Add to" if key.reducer else "Set"
        found.append(
            IntentTool(
                name=write_name(name),
                description=f"{does} {name!r} in the shared state. It is written when your handover has passed.",
                args_schema=schema,
                kind="write",
                target=name,
            )
        )
    return found
